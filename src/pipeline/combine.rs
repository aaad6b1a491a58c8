//! From the windows' probabilities to one label and one confidence per voxel: Algorithm 1 of the paper, method.md 3.
//!
//! Windows come in their order, D first. So the sum needs only as many planes as a window is deep: planes below the
//! next window's start are final, and their place is used again. Plane `d` of the grid lies at `d % depth`.

use std::ops::Range;

use super::Region;
use crate::error::{Error, ErrorKind, Result, try_reserve, try_vec};

/// The winning channel and its confidence for every voxel of the model grid, D, H, W. Voxels that no window covers
/// keep what they held.
#[derive(Clone, Copy, Debug)]
pub struct Winners<'a> {
    /// The channel with the largest sum, the lowest of equals.
    pub channels: &'a [u8],
    /// The largest sum divided by the sum over channels, 0 to 1.
    pub confidence: &'a [f32],
}

/// Memory for [`Winners`].
#[derive(Clone, Debug, Default)]
pub struct WinnersBuffer {
    /// As [`Winners::channels`].
    pub channels: Vec<u8>,
    /// As [`Winners::confidence`].
    pub confidence: Vec<f32>,
}

impl WinnersBuffer {
    /// Bytes per voxel.
    pub const BYTES: usize = size_of::<u8>() + size_of::<f32>();

    /// What it holds.
    pub fn winners(&self) -> Winners<'_> {
        Winners { channels: &self.channels, confidence: &self.confidence }
    }

    /// Makes room for a grid of `count` voxels.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`].
    pub fn resize(&mut self, count: usize) -> Result<()> {
        try_reserve(&mut self.channels, count, "the winning channels")?;
        try_reserve(&mut self.confidence, count, "the confidences")?;
        self.channels.resize(count, 0);
        self.confidence.resize(count, 0.0);
        Ok(())
    }
}

/// The sum Y of Algorithm 1, as deep as a window.
#[derive(Debug)]
pub struct Combination {
    classes: usize,
    size: [usize; 3],
    grid: [usize; 3],
    /// In-plane voxels (H, W) that some window covers.
    covered: Region,
    /// The first plane that is not final yet.
    open: usize,
    /// Some sum was not a number.
    invalid: bool,
    /// \[depth\]\[class\]\[H\]\[W\].
    sums: Vec<f32>,
}

impl Combination {
    /// Bytes per voxel of a plane of the grid.
    pub fn bytes_per_plane_voxel(classes: usize, size: [usize; 3]) -> usize {
        classes * size[0] * size_of::<f32>()
    }

    /// An empty sum for windows of `size` (D, H, W).
    pub fn new(classes: usize, size: [usize; 3]) -> Self {
        Combination { classes, size, grid: [0; 3], covered: [0..0, 0..0, 0..0], open: 0, invalid: false, sums: Vec::new() }
    }

    /// Makes room for grids whose planes hold up to `plane` voxels.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`].
    pub fn reserve(&mut self, plane: usize) -> Result<()> {
        let len = plane.saturating_mul(self.classes * self.size[0]);
        if self.sums.len() < len {
            self.sums = Vec::new();
            self.sums = try_vec(0.0, len, "the sum of the windows")?;
        }
        Ok(())
    }

    /// Starts a sum over a grid (D, H, W) of which windows cover `covered`.
    pub fn begin(&mut self, grid: [usize; 3], covered: Region) {
        let len = self.classes * self.size[0] * grid[1] * grid[2];
        (self.grid, self.open, self.invalid) = (grid, covered[0].start, false);
        self.covered = covered;
        self.sums[..len].fill(0.0);
    }

    fn plane_range(&self, depth: usize, class: usize) -> Range<usize> {
        let plane = self.grid[1] * self.grid[2];
        let first = (depth % self.size[0] * self.classes + class) * plane;
        first..first + plane
    }

    /// Adds the probabilities (\[D\]\[class\]\[H\]\[W\]) of the window that starts at `start`; what lies beyond the grid is cropped.
    /// Planes that no later window reaches become final first. Windows come in their order.
    pub fn add(&mut self, start: [usize; 3], probabilities: &[f32], winners: &mut WinnersBuffer) {
        self.finish_below(start[0], winners);
        let [depth, height, width] = self.size;
        let grid = self.grid;
        let columns = width.min(grid[2] - start[2]);
        for d in 0..depth.min(grid[0] - start[0]) {
            for class in 0..self.classes {
                let range = self.plane_range(start[0] + d, class);
                let plane = &mut self.sums[range];
                for h in 0..height.min(grid[1] - start[1]) {
                    let from = ((d * self.classes + class) * height + h) * width;
                    let to = (start[1] + h) * grid[2] + start[2];
                    for (sum, p) in plane[to..to + columns].iter_mut().zip(&probabilities[from..from + columns]) {
                        *sum += p;
                    }
                }
            }
        }
    }

    /// Makes the planes below `depth` final.
    fn finish_below(&mut self, depth: usize, winners: &mut WinnersBuffer) {
        while self.open < depth {
            self.finish_plane(self.open, winners);
            self.open += 1;
        }
    }

    /// Makes every plane final, after the last window.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidModel`] if a sum was not a number: the network's values outgrew f32.
    pub fn finish(&mut self, winners: &mut WinnersBuffer) -> Result<()> {
        self.finish_below(self.covered[0].end, winners);
        if self.invalid {
            let message = "the network's output is not a number: its values outgrow f32; these weights are unusable";
            return Err(Error::new(ErrorKind::InvalidModel, message));
        }
        Ok(())
    }

    fn finish_plane(&mut self, d: usize, winners: &mut WinnersBuffer) {
        let width = self.grid[2];
        let plane = self.grid[1] * width;
        let ring = self.plane_range(d, 0).start;
        let sums = &mut self.sums[ring..ring + self.classes * plane];
        let channels = &mut winners.channels[d * plane..(d + 1) * plane];
        let confidence = &mut winners.confidence[d * plane..(d + 1) * plane];
        for h in self.covered[1].clone() {
            let mut v = h * width + self.covered[2].start;
            let end = h * width + self.covered[2].end;
            while v + LANES <= end {
                self.invalid |= decide::<LANES>(sums, plane, v, &mut channels[v..], &mut confidence[v..]);
                v += LANES;
            }
            while v < end {
                self.invalid |= decide::<1>(sums, plane, v, &mut channels[v..], &mut confidence[v..]);
                v += 1;
            }
        }
        sums.fill(0.0);
    }
}

/// Voxels that are decided together, in the vectors that the compiler makes of them.
const LANES: usize = 16;

/// Channel and confidence of `N` voxels from `v` on, whose sums lie `plane` apart from class to class. Whether some sum was
/// not a number.
#[inline(always)]
fn decide<const N: usize>(sums: &[f32], plane: usize, v: usize, channels: &mut [u8], confidence: &mut [f32]) -> bool {
    let (mut best, mut channel) = ([0.0; N], [0u32; N]);
    best.copy_from_slice(&sums[v..v + N]);
    let mut total = best;
    for (class, sums) in sums.chunks_exact(plane).enumerate().skip(1) {
        for (lane, &sum) in sums[v..v + N].iter().enumerate() {
            total[lane] += sum;
            channel[lane] = if sum > best[lane] { class as u32 } else { channel[lane] };
            best[lane] = if sum > best[lane] { sum } else { best[lane] };
        }
    }
    let mut invalid = false;
    for lane in 0..N {
        channels[lane] = channel[lane] as u8;
        confidence[lane] = best[lane] / total[lane];
        invalid |= total[lane].is_nan();
    }
    invalid
}

#[cfg(test)]
mod tests {
    use super::super::window::Windows;
    use super::*;

    /// Sums every window over the whole grid, as Algorithm 1 is written.
    fn plain(grid: [usize; 3], windows: &Windows, classes: usize, probability: impl Fn(usize, usize) -> f32) -> (Vec<u8>, Vec<f32>) {
        let [d, h, w] = windows.size();
        let voxels: usize = grid.iter().product();
        let mut y = vec![0f32; classes * voxels];
        for index in 0..windows.len() {
            let start = windows.start(index);
            for class in 0..classes {
                for (z, x, c) in (0..d).flat_map(|z| (0..h).flat_map(move |x| (0..w).map(move |c| (z, x, c)))) {
                    let at = [start[0] + z, start[1] + x, start[2] + c];
                    if (0..3).all(|a| at[a] < grid[a]) {
                        let from = ((z * classes + class) * h + x) * w + c;
                        y[class * voxels + (at[0] * grid[1] + at[1]) * grid[2] + at[2]] += probability(index, from);
                    }
                }
            }
        }
        (0..voxels)
            .map(|v| {
                let sums: Vec<f32> = (0..classes).map(|c| y[c * voxels + v]).collect();
                let best = (1..classes).fold(0, |best, c| if sums[c] > sums[best] { c } else { best });
                (best as u8, sums[best] / sums.iter().sum::<f32>())
            })
            .unzip()
    }

    #[test]
    fn planes_used_again_give_the_sum_over_the_whole_grid() {
        let (size, stride, classes) = ([4, 6, 6], [3, 4, 4], 3);
        let probability = |index: usize, at: usize| ((index * 7919 + at * 104_729) % 1009) as f32 / 1009.0 + 0.01;
        for grid in [[11, 13, 9], [4, 6, 6], [3, 5, 20], [13, 2, 7]] {
            let mut windows = Windows::default();
            windows.set(grid, size, stride, &grid.map(|n| 0..n)).unwrap();
            let (mut combination, mut winners) = (Combination::new(classes, size), WinnersBuffer::default());
            combination.reserve(grid[1] * grid[2]).unwrap();
            winners.resize(grid.iter().product()).unwrap();
            for _ in 0..2 {
                combination.begin(grid, windows.covered(grid));
                for index in 0..windows.len() {
                    let p: Vec<f32> = (0..classes * size.iter().product::<usize>()).map(|at| probability(index, at)).collect();
                    combination.add(windows.start(index), &p, &mut winners);
                }
                combination.finish(&mut winners).unwrap();
                assert_eq!((winners.channels.clone(), winners.confidence.clone()), plain(grid, &windows, classes, probability));
            }
        }
    }

    #[test]
    fn a_sum_that_is_not_a_number_is_an_error_and_not_a_label() {
        let (mut combination, mut winners) = (Combination::new(2, [1, 1, 2]), WinnersBuffer::default());
        combination.reserve(2).unwrap();
        winners.resize(2).unwrap();
        combination.begin([1, 1, 2], [0..1, 0..1, 0..2]);
        combination.add([0; 3], &[0.5, f32::NAN, 0.5, 0.5], &mut winners);
        assert_eq!(combination.finish(&mut winners).unwrap_err().kind(), ErrorKind::InvalidModel);
        combination.begin([1, 1, 2], [0..1, 0..1, 0..2]);
        combination.add([0; 3], &[0.5; 4], &mut winners);
        combination.finish(&mut winners).unwrap();
    }

    #[test]
    fn the_lowest_channel_wins_a_tie() {
        let (mut combination, mut winners) = (Combination::new(3, [1, 1, 1]), WinnersBuffer::default());
        combination.reserve(1).unwrap();
        winners.resize(1).unwrap();
        combination.begin([1; 3], [0..1, 0..1, 0..1]);
        combination.add([0; 3], &[0.2, 0.4, 0.4], &mut winners);
        combination.finish(&mut winners).unwrap();
        assert_eq!(winners.channels, [1]);
    }
}
