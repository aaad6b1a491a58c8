//! The scanner: slice profile, point spread, reconstruction kernel, metal streaks, noise.

use serde::Serialize;

use super::random::Stream;
use crate::error::{Result, try_reserve, try_vec};

const WHAT: &str = "a slice of a phantom";

/// What is drawn for a scanner.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ScannerParameters {
    /// Full width at half maximum of the point spread in the plane, mm.
    pub fwhm_mm: f32,
    /// Overshoot of a sharp kernel, 0 for a soft one.
    pub sharpness: f32,
    /// Standard deviation of the noise, HU.
    pub noise_hu: f32,
    /// Width of the noise's grain, mm (standard deviation of the filter).
    pub grain_mm: f32,
    /// How wide edges are where the voxels are coarser than the scanner's picture was: volumes that were sampled down, mm.
    pub edge_mm: f32,
}

impl ScannerParameters {
    pub(super) fn draw(seed: u64, noise: Option<f32>) -> Self {
        let mut r = Stream::new(seed, "scanner");
        let sharpness = if r.chance(0.35) { r.range(0.2, 1.1) } else { 0.0 };
        let drawn = 5.0 + 24.0 * r.unit().powf(1.5) + 8.0 * sharpness;
        ScannerParameters {
            fwhm_mm: r.range(0.7, 1.3),
            sharpness,
            noise_hu: noise.unwrap_or(drawn),
            grain_mm: r.range(0.3, 0.75),
            edge_mm: r.range(1.0, 2.8),
        }
    }
}

/// Values from which on something is metal.
pub(super) const METAL: f32 = 3500.0;

fn copy(values: &[f32]) -> Result<Vec<f32>> {
    let mut out = Vec::new();
    try_reserve(&mut out, values.len(), WHAT)?;
    out.extend_from_slice(values);
    Ok(out)
}

/// The weights of a Gaussian of this standard deviation, pixels.
fn kernel(sigma: f32) -> Vec<f32> {
    let radius = (2.5 * sigma).ceil() as i32 * i32::from(sigma > 0.2);
    let weights: Vec<f32> = (-radius..=radius)
        .map(|x| if sigma <= 0.2 { f32::from(u8::from(x == 0)) } else { (-0.5 * (x as f32 / sigma).powi(2)).exp() })
        .collect();
    let sum: f32 = weights.iter().sum();
    weights.into_iter().map(|w| w / sum).collect()
}

/// Blurs a slice with a Gaussian of this standard deviation, in pixels along each axis; edges repeat.
fn blur(image: &mut [f32], dims: [usize; 2], sigma: [f32; 2]) -> Result<()> {
    let [columns, rows] = dims;
    let weights = kernel(sigma[0]);
    let radius = weights.len() / 2;
    let mut line = vec![0.0f32; columns + 2 * radius];
    for row in image.chunks_exact_mut(columns) {
        let (first, last) = (row[0], row[columns - 1]);
        line[..radius].fill(first);
        line[radius..radius + columns].copy_from_slice(row);
        line[radius + columns..].fill(last);
        row.fill(0.0);
        for (w, weight) in weights.iter().enumerate() {
            row.iter_mut().zip(&line[w..]).for_each(|(out, value)| *out += weight * value);
        }
    }
    let weights = kernel(sigma[1]);
    let source = copy(image)?;
    let radius = (weights.len() / 2) as isize;
    for j in 0..rows {
        let out = &mut image[j * columns..(j + 1) * columns];
        out.fill(0.0);
        for (w, weight) in weights.iter().enumerate() {
            let from = (j as isize + w as isize - radius).clamp(0, rows as isize - 1) as usize;
            for (o, v) in out.iter_mut().zip(&source[from * columns..(from + 1) * columns]) {
                *o += weight * v;
            }
        }
    }
    Ok(())
}

/// What the scanner makes of a slice of true densities.
pub(super) fn expose(slice: &mut [f32], dims: [usize; 2], spacing: [f32; 2], p: &ScannerParameters, seed: u64, number: u64) -> Result<()> {
    let streaks = streaks(slice, dims, spacing, seed, number)?;
    for value in slice.iter_mut() {
        *value = value.min(4500.0);
    }
    let sigma = p.fwhm_mm / 2.355;
    let pixels = |mm: f32| spacing.map(|s| mm / s);
    blur(slice, dims, pixels(sigma))?;
    if p.sharpness > 0.0 {
        let mut wide = copy(slice)?;
        blur(&mut wide, dims, pixels(sigma * 1.6))?;
        for (value, wide) in slice.iter_mut().zip(&wide) {
            *value += p.sharpness * (*value - wide);
        }
    }
    let mut random = Stream::numbered(seed, "noise", number);
    let mut noise = try_vec(0.0f32, slice.len(), WHAT)?;
    random.fill_normal(&mut noise);
    blur(&mut noise, dims, pixels(p.grain_mm))?;
    if p.sharpness > 0.0 {
        let mut wide = copy(&noise)?;
        blur(&mut wide, dims, pixels(p.grain_mm * 2.2))?;
        noise.iter_mut().zip(&wide).for_each(|(value, wide)| *value -= 0.8 * wide);
    }
    let power = noise.iter().map(|v| v * v).sum::<f32>() / noise.len().max(1) as f32;
    let gain = p.noise_hu / power.sqrt().max(1e-6);
    for (value, noise) in slice.iter_mut().zip(&noise) {
        *value += gain * noise;
    }
    if let Some(streaks) = streaks {
        slice.iter_mut().zip(&streaks).for_each(|(value, streak)| *value += streak);
    }
    Ok(())
}

/// Two passes of a three-point mean: a detector element sees its neighbors' share.
fn soften(profile: &mut [f32]) {
    for _ in 0..2 {
        let mut before = profile.first().copied().unwrap_or(0.0);
        for at in 1..profile.len().saturating_sub(1) {
            let here = profile[at];
            profile[at] = 0.25 * before + 0.5 * here + 0.25 * profile[at + 1];
            before = here;
        }
    }
}

/// Metal's beam hardening and starved detectors: the error of its projections, filtered and projected back.
fn streaks(slice: &[f32], dims: [usize; 2], spacing: [f32; 2], seed: u64, number: u64) -> Result<Option<Vec<f32>>> {
    const ANGLES: usize = 120;
    let [columns, rows] = dims;
    let metal: Vec<(f32, f32)> = slice
        .iter()
        .enumerate()
        .filter(|(_, value)| **value > METAL)
        .map(|(at, _)| ((at % columns) as f32 * spacing[0], (at / columns) as f32 * spacing[1]))
        .collect();
    if metal.is_empty() {
        return Ok(None);
    }
    let mut random = Stream::numbered(seed, "streaks", number);
    let step = spacing[0].max(spacing[1]);
    let diagonal = (columns as f32 * spacing[0]).hypot(rows as f32 * spacing[1]);
    let bins = (2.0 * diagonal / step) as usize + 4;
    let mut out = try_vec(0.0f32, slice.len(), WHAT)?;
    let (mut profile, mut filtered) = (vec![0.0f32; bins], vec![0.0f32; bins]);
    for angle in 0..ANGLES {
        let (sin, cos) = (std::f32::consts::PI * angle as f32 / ANGLES as f32).sin_cos();
        let place = |x: f32, y: f32| (x * cos + y * sin + diagonal) / step;
        profile.fill(0.0);
        for &(x, y) in &metal {
            let t = place(x, y);
            let (bin, share) = (t as usize, t.fract());
            if bin + 1 < bins {
                profile[bin] += (1.0 - share) * spacing[0] * spacing[1] / step;
                profile[bin + 1] += share * spacing[0] * spacing[1] / step;
            }
        }
        // A thick piece of metal attenuates less than it should, and its shadow is noisy: more along the longer paths.
        let view = 1.0 + 0.5 * random.gauss();
        let error: Vec<(usize, f32)> = profile
            .iter()
            .enumerate()
            .filter(|(_, t)| **t > 0.0)
            .map(|(bin, &t)| (bin, -0.012 * t * t * view + 0.06 * t * random.gauss()))
            .collect();
        filtered.fill(0.0);
        for &(bin, e) in &error {
            filtered[bin] += 0.25 * e;
            for far in (1..bins).step_by(2) {
                let weight = e / (std::f32::consts::PI * std::f32::consts::PI * (far * far) as f32);
                if bin >= far {
                    filtered[bin - far] -= weight;
                }
                if bin + far < bins {
                    filtered[bin + far] -= weight;
                }
            }
        }
        soften(&mut filtered);
        for j in 0..rows {
            let mut t = place(0.0, j as f32 * spacing[1]);
            for value in &mut out[j * columns..(j + 1) * columns] {
                let (bin, share) = (t as usize, t.fract());
                *value += filtered[bin] + (filtered[bin + 1] - filtered[bin]) * share;
                t += spacing[0] * cos / step;
            }
        }
    }
    let gain = 1100.0 / ANGLES as f32 * std::f32::consts::PI;
    // Beyond some hundreds of units scanners correct.
    out.iter_mut().for_each(|value| *value = 700.0 * (*value * gain / step / 700.0).tanh());
    Ok(Some(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOFT: ScannerParameters = ScannerParameters { fwhm_mm: 2.4, sharpness: 0.0, noise_hu: 0.0, grain_mm: 0.5, edge_mm: 1.0 };

    /// A slice of 64 × 48 pixels of 1 mm with a disk of this value in the middle.
    fn disk(value: f32) -> Vec<f32> {
        (0..64 * 48).map(|at| if ((at % 64) as f32 - 32.0).hypot((at / 64) as f32 - 24.0) < 5.0 { value } else { 0.0 }).collect()
    }

    fn exposed(mut slice: Vec<f32>, p: &ScannerParameters) -> Vec<f32> {
        expose(&mut slice, [64, 48], [1.0, 1.0], p, 1, 0).unwrap();
        slice
    }

    #[test]
    fn the_point_spread_keeps_the_sum_and_has_the_width_asked_for() {
        let mut point = vec![0.0f32; 64 * 48];
        point[24 * 64 + 32] = 1000.0;
        let spread = exposed(point, &SOFT);
        assert!((spread.iter().sum::<f32>() - 1000.0).abs() < 1.0);
        let (peak, half) = (spread[24 * 64 + 32], 0.5 * (spread[24 * 64 + 33] + spread[24 * 64 + 34]));
        // Between 1 and 2 mm off its center, a spread of 2.4 mm has fallen to about a half.
        assert!((0.25..0.55).contains(&(half / peak)), "{half} of {peak}");
    }

    #[test]
    fn a_sharp_kernel_overshoots_at_edges() {
        let edge = |sharpness| {
            let slice = exposed(disk(500.0), &ScannerParameters { sharpness, ..SOFT });
            slice.iter().copied().fold(f32::MIN, f32::max)
        };
        assert!(edge(0.0) < 501.0 && edge(1.0) > 510.0, "{} {}", edge(0.0), edge(1.0));
    }

    #[test]
    fn metal_throws_streaks_and_bone_does_not() {
        let far = |value| {
            let slice = exposed(disk(value), &SOFT);
            slice.iter().enumerate().filter(|(at, value)| (at % 64) < 16 && value.abs() > 2.0).count()
        };
        assert_eq!(far(1500.0), 0);
        assert!(far(7000.0) > 100, "{}", far(7000.0));
    }
}
