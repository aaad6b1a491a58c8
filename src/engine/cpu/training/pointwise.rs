//! What stands between the convolutions in training, and its gradients: activation, batch normalization, pooling.
//!
//! All of it is bound by memory, so each is one pass over a map, plane by plane. A plane's sums are made in its own order, and
//! planes are added up in theirs: bits do not depend on threads.

#![allow(clippy::needless_range_loop, reason = "the loops over lanes run over constant lengths, so that they become vectors")]

use super::Map;
use crate::engine::cpu::executor::Executor;
use crate::engine::cpu::kernels::Block;
use crate::engine::plan::{BLOCK, Place};
use crate::error::{Result, try_vec};

/// Numbers of sixteen channels.
type Lanes = [f32; BLOCK];

/// Mean and variance of every channel of a batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moments {
    /// Means.
    pub mean: Vec<f64>,
    /// Biased variances.
    pub variance: Vec<f64>,
    /// How many voxels they were taken from.
    pub voxels: usize,
}

/// Two numbers per channel of a plane.
#[derive(Clone, Copy, Debug, Default)]
struct Pair([Block; 2]);

/// The rows of a plane, without its borders.
fn rows(place: &Place) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
    let (row, [_, height, width]) = (place.row(), place.shape);
    (1..=height).map(move |h| h * row + 1..h * row + 1 + width)
}

/// Whether a plane of the slice is one of voxels, and not of the border.
fn is_inside(place: &Place, plane: usize) -> bool {
    (1..=place.shape[0]).contains(&(plane % (place.shape[0] + 2)))
}

/// The block of channels of a plane of the slice.
fn block_of(place: &Place, plane: usize) -> usize {
    plane / (place.shape[0] + 2) % place.channel_blocks()
}

/// Values of the channels of a block, 0 beyond the last channel.
fn lanes(values: &[f32], block: usize) -> Lanes {
    let mut lanes = [0.0; BLOCK];
    lanes.iter_mut().zip(values.iter().skip(block * BLOCK)).for_each(|(lane, &value)| *lane = value);
    lanes
}

/// A pass over the planes of a map, side by side with a pair of sums per plane.
fn planes(
    executor: &Executor<'_>,
    map: &mut [Block],
    place: &Place,
    sums: &mut Vec<Pair>,
    pass: &(dyn Fn(usize, &mut [Block], &mut Pair) + Sync),
) -> Result<()> {
    let count = map.len() / place.plane();
    sums.clear();
    sums.extend(try_vec(Pair::default(), count, "sums per plane")?);
    executor.each_pair(map, place.plane(), sums, 1, &|plane, map, sums| {
        if is_inside(place, plane) {
            pass(plane, map, &mut sums[0]);
        }
    })
}

/// Sums per channel over all planes, in f64, in the planes' order.
fn by_channel(place: &Place, sums: &[Pair], index: usize) -> Vec<f64> {
    let mut channels = vec![0.0; place.channels];
    for (plane, pair) in sums.iter().enumerate() {
        let first = block_of(place, plane) * BLOCK;
        for (channel, &value) in channels.iter_mut().skip(first).zip(&pair.0[index].0) {
            *channel += f64::from(value);
        }
    }
    channels
}

/// Mean and variance per channel of a map.
///
/// Every row's mean and sum of squared deviations, joined pair by pair (Chan, Golub and LeVeque 1979): one pass over memory
/// without the cancellation of a difference of two large sums.
pub fn moments(executor: &Executor<'_>, map: &mut Map) -> Result<Moments> {
    let (place, mut sums) = (map.place, Vec::new());
    let [depth, height, width] = place.shape;
    planes(executor, &mut map.values, &place, &mut sums, &|_, map, Pair([mean, deviation])| {
        for (row, range) in rows(&place).enumerate() {
            let voxels = &map[range];
            let mut sum = [0.0; BLOCK];
            for voxel in voxels {
                (0..BLOCK).for_each(|l| sum[l] += voxel.0[l]);
            }
            let row_mean = sum.map(|sum| sum / width as f32);
            let mut squares = [0.0; BLOCK];
            for voxel in voxels {
                (0..BLOCK).for_each(|l| squares[l] += (voxel.0[l] - row_mean[l]) * (voxel.0[l] - row_mean[l]));
            }
            // Joining `row` rows with one more.
            let share = 1.0 / (row + 1) as f32;
            for l in 0..BLOCK {
                let difference = row_mean[l] - mean.0[l];
                mean.0[l] += difference * share;
                deviation.0[l] += squares[l] + difference * difference * (row * width) as f32 * share;
            }
        }
    })?;
    let windows = place.windows_in(&map.values);
    let (count, per_plane) = ((windows * depth) as f64, (height * width) as f64);
    let mean: Vec<f64> = by_channel(&place, &sums, 0).iter().map(|sum| sum / count).collect();
    let mut variance: Vec<f64> = by_channel(&place, &sums, 1);
    for (plane, pair) in sums.iter().enumerate().filter(|&(plane, _)| is_inside(&place, plane)) {
        let first = block_of(&place, plane) * BLOCK;
        for ((variance, mean), &plane_mean) in variance.iter_mut().zip(&mean).skip(first).zip(&pair.0[0].0) {
            *variance += (f64::from(plane_mean) - mean).powi(2) * per_plane;
        }
    }
    let voxels = windows * depth * height * width;
    variance.iter_mut().for_each(|sum| *sum /= voxels as f64);
    Ok(Moments { mean, variance, voxels })
}

/// Batch normalization and activation: `y = max(0, γ·(x − μ)/√(σ² + ε) + β)` (Ioffe and Szegedy 2015, algorithm 1).
pub fn normalize(executor: &Executor<'_>, raw: &Map, output: &mut Map, moments: &Moments, norm: Normalization<'_>) -> Result<()> {
    let place = output.place;
    let scale: Vec<f32> = norm.scales(moments).map(|(scale, _)| scale as f32).collect();
    let shift: Vec<f32> = norm
        .scales(moments)
        .zip(norm.shift)
        .zip(&moments.mean)
        .map(|(((scale, _), &shift), mean)| (f64::from(shift) - scale * mean) as f32)
        .collect();
    let plane_length = place.plane();
    planes(executor, &mut output.values, &place, &mut Vec::new(), &|plane, output, _| {
        let raw = &raw.values[plane * plane_length..][..plane_length];
        let block = block_of(&place, plane);
        let (scale, shift) = (lanes(&scale, block), lanes(&shift, block));
        for range in rows(&place) {
            for (to, from) in output[range.clone()].iter_mut().zip(&raw[range]) {
                for l in 0..BLOCK {
                    let value = from.0[l] * scale[l] + shift[l];
                    // What is not a number stays visible.
                    to.0[l] = if value < 0.0 { 0.0 } else { value };
                }
            }
        }
    })
}

/// The parameters of a batch normalization.
#[derive(Clone, Copy, Debug)]
pub struct Normalization<'a> {
    /// γ
    pub scale: &'a [f32],
    /// β
    pub shift: &'a [f32],
    /// ε
    pub eps: f64,
}

impl Normalization<'_> {
    /// γ/√(σ² + ε) and 1/√(σ² + ε) per channel.
    fn scales<'m>(&'m self, moments: &'m Moments) -> impl Iterator<Item = (f64, f64)> + 'm {
        self.scale.iter().zip(&moments.variance).map(|(&scale, variance)| {
            let inverse = 1.0 / (variance + self.eps).sqrt();
            (f64::from(scale) * inverse, inverse)
        })
    }
}

/// Gradients of a normalization's parameters.
#[derive(Clone, Debug)]
pub struct NormalizationGradient {
    /// Of γ.
    pub scale: Vec<f64>,
    /// Of β.
    pub shift: Vec<f64>,
}

/// The way back through activation and batch normalization: turns the gradient of the output, `output.gradient`, into that of
/// the input `raw`, in place.
///
/// With g the gradient where the output is above 0 and x̂ the normalized input: g_β = Σ g, g_γ = Σ g·x̂, and
/// `g_x = γ/√(σ² + ε) · (g − mean(g) − x̂·mean(g·x̂))`.
pub fn normalize_back(
    executor: &Executor<'_>,
    raw: &Map,
    output: &mut Map,
    moments: &Moments,
    norm: Normalization<'_>,
) -> Result<NormalizationGradient> {
    let (place, mut sums) = (output.place, Vec::new());
    let plane_length = place.plane();
    let values = &output.values;
    let inverse: Vec<f32> = norm.scales(moments).map(|(_, inverse)| inverse as f32).collect();
    let mean: Vec<f32> = moments.mean.iter().map(|&mean| mean as f32).collect();
    planes(executor, &mut output.gradient, &place, &mut sums, &|plane, gradient, Pair([sum, product])| {
        let (raw, values) = (&raw.values[plane * plane_length..][..plane_length], &values[plane * plane_length..][..plane_length]);
        let block = block_of(&place, plane);
        let (inverse, mean) = (lanes(&inverse, block), lanes(&mean, block));
        for range in rows(&place) {
            let (mut row_sum, mut row_product) = ([0.0; BLOCK], [0.0; BLOCK]);
            for ((gradient, value), raw) in gradient[range.clone()].iter_mut().zip(&values[range.clone()]).zip(&raw[range]) {
                for l in 0..BLOCK {
                    let g = if value.0[l] > 0.0 { gradient.0[l] } else { 0.0 };
                    gradient.0[l] = g;
                    row_sum[l] += g;
                    row_product[l] += g * ((raw.0[l] - mean[l]) * inverse[l]);
                }
            }
            (0..BLOCK).for_each(|l| sum.0[l] += row_sum[l]);
            (0..BLOCK).for_each(|l| product.0[l] += row_product[l]);
        }
    })?;
    let shift = by_channel(&place, &sums, 0);
    let scale = by_channel(&place, &sums, 1);
    let voxels = moments.voxels as f64;
    // g_x = a·g + b·x + c per channel.
    let (mut a, mut b, mut c) = (Vec::new(), Vec::new(), Vec::new());
    for (((factor, inverse), mean), (sum, product)) in norm.scales(moments).zip(&moments.mean).zip(shift.iter().zip(&scale)) {
        a.push(factor as f32);
        b.push((-factor * inverse * product / voxels) as f32);
        c.push((factor * (inverse * mean * product - sum) / voxels) as f32);
    }
    planes(executor, &mut output.gradient, &place, &mut sums, &|plane, gradient, _| {
        let raw = &raw.values[plane * plane_length..][..plane_length];
        let block = block_of(&place, plane);
        let (a, b, c) = (lanes(&a, block), lanes(&b, block), lanes(&c, block));
        for range in rows(&place) {
            for (gradient, raw) in gradient[range.clone()].iter_mut().zip(&raw[range]) {
                (0..BLOCK).for_each(|l| gradient.0[l] = a[l] * gradient.0[l] + b[l] * raw.0[l] + c[l]);
            }
        }
    })?;
    Ok(NormalizationGradient { scale, shift })
}

/// The way back through an activation: the gradient is 0 where the output is. Returns its sum per channel, which is the
/// gradient of the bias before.
pub fn activate_back(executor: &Executor<'_>, output: &mut Map) -> Result<Vec<f64>> {
    let values = &output.values;
    let (place, mut sums) = (output.place, Vec::new());
    let plane_length = place.plane();
    planes(executor, &mut output.gradient, &place, &mut sums, &|plane, gradient, Pair([sum, _])| {
        let values = &values[plane * plane_length..][..plane_length];
        for range in rows(&place) {
            let mut row_sum = [0.0; BLOCK];
            for (gradient, value) in gradient[range.clone()].iter_mut().zip(&values[range]) {
                for l in 0..BLOCK {
                    let g = if value.0[l] > 0.0 { gradient.0[l] } else { 0.0 };
                    gradient.0[l] = g;
                    row_sum[l] += g;
                }
            }
            (0..BLOCK).for_each(|l| sum.0[l] += row_sum[l]);
        }
    })?;
    Ok(by_channel(&place, &sums, 0))
}

/// The sum of a map's gradient per channel: the gradient of a bias that no activation follows.
pub fn sum_gradient(executor: &Executor<'_>, map: &mut Map) -> Result<Vec<f64>> {
    let (place, mut sums) = (map.place, Vec::new());
    planes(executor, &mut map.gradient, &place, &mut sums, &|_, gradient, Pair([sum, _])| {
        for range in rows(&place) {
            let mut row_sum = [0.0; BLOCK];
            for gradient in &gradient[range] {
                (0..BLOCK).for_each(|l| row_sum[l] += gradient.0[l]);
            }
            (0..BLOCK).for_each(|l| sum.0[l] += row_sum[l]);
        }
    })?;
    Ok(by_channel(&place, &sums, 0))
}

/// The way back through 2×2×2 max pooling: the first of the eight voxels that hold the maximum gets the gradient, in addition
/// to what it has from elsewhere.
pub fn pool_back(executor: &Executor<'_>, pooled: &Map, input: &mut Map) -> Result<()> {
    let (coarse, fine) = (pooled.place, input.place);
    let values = &input.values;
    let depth = coarse.shape[0];
    // A pooled plane belongs to two planes of the input.
    executor.each_pair(&mut input.gradient, fine.volume(), &mut [(); 0], 0, &|volume, gradient, _| {
        for d in 1..=depth {
            let pooled_at = volume * coarse.volume() + d * coarse.plane();
            for (row, range) in rows(&coarse).enumerate() {
                for (w, at) in range.enumerate() {
                    let (maximum, g) = (pooled.values[pooled_at + at].0, pooled.gradient[pooled_at + at].0);
                    let corner = (2 * d - 1) * fine.plane() + (2 * row + 1) * fine.row() + 2 * w + 1;
                    let mut free = [true; BLOCK];
                    for (z, y, x) in (0..8).map(|i| (i / 4, i / 2 % 2, i % 2)) {
                        let voxel = corner + z * fine.plane() + y * fine.row() + x;
                        let value = &values[volume * fine.volume() + voxel].0;
                        let gradient = &mut gradient[voxel].0;
                        for l in 0..BLOCK {
                            let hit = free[l] & (value[l] == maximum[l]);
                            free[l] &= !hit;
                            gradient[l] += if hit { g[l] } else { 0.0 };
                        }
                    }
                }
            }
        }
    })
}

/// The way back through the head, from the gradient of the logits, `[window][D][class][H][W]`, to that of its input; returns
/// the gradients of weight \[class\]\[input\] and bias.
pub fn head_back(executor: &Executor<'_>, logits: &[f32], input: &mut Map, weight: &[f32], classes: usize) -> Result<(Vec<f64>, Vec<f64>)> {
    let place = input.place;
    let (channels, blocks, [depth, height, width]) = (place.channels, place.channel_blocks(), place.shape);
    let windows = place.windows_in(&input.values);
    let (plane, slice) = (place.plane(), height * width);
    // Per class and block of channels: the weights, as lanes.
    let columns: Vec<Lanes> = (0..classes * blocks).map(|at| lanes(&weight[at / blocks * channels..][..channels], at % blocks)).collect();
    let mut sums = try_vec(Block::default(), windows * blocks * (depth + 2) * classes, "sums per plane")?;
    let values = &input.values;
    executor.each_pair(&mut input.gradient, plane, &mut sums, classes, &|at, gradient, sums| {
        if !is_inside(&place, at) {
            return;
        }
        let (window, block, d) = (at / (blocks * (depth + 2)), block_of(&place, at), at % (depth + 2) - 1);
        let logits = &logits[(window * depth + d) * classes * slice..][..classes * slice];
        let values = &values[at * plane..][..plane];
        for (row, range) in rows(&place).enumerate() {
            let (gradient, values) = (&mut gradient[range.clone()], &values[range]);
            gradient.fill(Block::default());
            for (class, sum) in sums.iter_mut().enumerate() {
                let weight = &columns[class * blocks + block];
                let mut row_sum = [0.0; BLOCK];
                for ((gradient, value), &g) in gradient.iter_mut().zip(values).zip(&logits[class * slice + row * width..][..width]) {
                    (0..BLOCK).for_each(|l| gradient.0[l] += g * weight[l]);
                    (0..BLOCK).for_each(|l| row_sum[l] += g * value.0[l]);
                }
                (0..BLOCK).for_each(|l| sum.0[l] += row_sum[l]);
            }
        }
    })?;
    let mut of_weight = vec![0.0; classes * channels];
    for (at, sums) in sums.chunks(classes).enumerate() {
        for (class, sum) in sums.iter().enumerate() {
            let first = block_of(&place, at) * BLOCK;
            for (weight, &value) in of_weight[class * channels..(class + 1) * channels].iter_mut().skip(first).zip(&sum.0) {
                *weight += f64::from(value);
            }
        }
    }
    let of_bias = (0..classes)
        .map(|class| {
            let planes = logits.chunks(slice).skip(class).step_by(classes);
            planes.map(|plane| plane.chunks(width).map(|row| f64::from(row.iter().sum::<f32>())).sum::<f64>()).sum()
        })
        .collect();
    Ok((of_weight, of_bias))
}
