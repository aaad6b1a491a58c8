//! Where the windows of the sliding window lie (method.md 3).

use super::Region;
use crate::error::{Result, try_reserve};

/// The windows of a grid: every combination of a start along D, along H and along W, in that order.
#[derive(Clone, Debug, Default)]
pub struct Windows {
    size: [usize; 3],
    starts: [Vec<usize>; 3],
}

/// The starts of windows along an axis of `n` voxels: 0, stride, 2·stride … while below n − size, then n − size.
fn starts(n: usize, size: usize, stride: usize) -> impl Iterator<Item = usize> {
    let last = n.saturating_sub(size);
    (0..).map(move |step| step * stride).take_while(move |&start| start < last).chain(std::iter::once(last))
}

impl Windows {
    /// How many windows a grid has along one axis.
    pub fn count_along(n: usize, size: usize, stride: usize) -> usize {
        n.saturating_sub(size).div_ceil(stride.max(1)) + 1
    }

    /// Makes room for the windows of a grid of these dimensions, or of no larger ones in any order.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`](crate::ErrorKind::OutOfMemory).
    pub fn reserve(&mut self, grid: [usize; 3], size: [usize; 3], stride: [usize; 3]) -> Result<()> {
        let longest = grid.into_iter().max().unwrap_or(0);
        for axis in 0..3 {
            try_reserve(&mut self.starts[axis], Self::count_along(longest, size[axis], stride[axis]), "the list of windows")?;
        }
        Ok(())
    }

    /// The windows of a grid (D, H, W) that touch `region`.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`](crate::ErrorKind::OutOfMemory).
    pub fn set(&mut self, grid: [usize; 3], size: [usize; 3], stride: [usize; 3], region: &Region) -> Result<()> {
        self.reserve(grid, size, stride)?;
        self.size = size;
        for axis in 0..3 {
            let touches = |&start: &usize| start < region[axis].end && start + size[axis] > region[axis].start;
            self.starts[axis].clear();
            self.starts[axis].extend(starts(grid[axis], size[axis], stride[axis]).filter(touches));
        }
        Ok(())
    }

    /// How many windows there are.
    pub fn len(&self) -> usize {
        self.starts.iter().map(Vec::len).product()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Voxels of a window, D, H, W.
    pub fn size(&self) -> [usize; 3] {
        self.size
    }

    /// Where windows start along D, H, W, ascending. Every combination is a window.
    pub fn starts(&self) -> &[Vec<usize>; 3] {
        &self.starts
    }

    /// The first voxel (D, H, W) of window `index`, 0 to [`len`](Self::len) − 1: ordered D, then H, then W.
    pub fn start(&self, index: usize) -> [usize; 3] {
        let [d, h, w] = &self.starts;
        [d[index / (h.len() * w.len())], h[index / w.len() % h.len()], w[index % w.len()]]
    }

    /// The voxels of the grid (D, H, W) that some window covers.
    pub fn covered(&self, grid: [usize; 3]) -> Region {
        std::array::from_fn(|axis| {
            let starts = &self.starts[axis];
            let (first, last) = (starts.first().copied().unwrap_or(0), starts.last().copied().unwrap_or(0));
            first..(last + self.size[axis]).min(grid[axis])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_step_by_the_stride_and_end_flush_with_the_axis() {
        let of = |n| starts(n, 32, 20).collect::<Vec<_>>();
        assert_eq!(of(10), [0]);
        assert_eq!(of(32), [0]);
        assert_eq!(of(33), [0, 1]);
        assert_eq!(of(72), [0, 20, 40]);
        assert_eq!(of(73), [0, 20, 40, 41]);
        for n in 1..200 {
            assert_eq!(of(n).len(), Windows::count_along(n, 32, 20), "length {n}");
        }
    }

    #[test]
    fn the_papers_volume_has_175_windows_ordered_d_then_h_then_w() {
        let mut windows = Windows::default();
        let grid = [152, 224, 224];
        windows.set(grid, [32, 64, 64], [20, 40, 40], &grid.map(|n| 0..n)).unwrap();
        assert_eq!(windows.len(), 175);
        assert_eq!(
            [windows.start(0), windows.start(1), windows.start(5), windows.start(174)],
            [[0, 0, 0], [0, 0, 40], [0, 40, 0], [120, 160, 160]]
        );
    }

    #[test]
    fn a_region_keeps_only_the_windows_of_the_whole_grid_that_touch_it() {
        let (grid, size, stride) = ([90, 130, 150], [32, 64, 64], [20, 40, 40]);
        let (mut whole, mut part) = (Windows::default(), Windows::default());
        whole.set(grid, size, stride, &grid.map(|n| 0..n)).unwrap();
        let region = [40..41, 0..40, 63..80];
        part.set(grid, size, stride, &region).unwrap();
        let touching: Vec<_> = (0..whole.len())
            .map(|index| whole.start(index))
            .filter(|start| (0..3).all(|a| start[a] < region[a].end && start[a] + size[a] > region[a].start))
            .collect();
        assert_eq!((0..part.len()).map(|index| part.start(index)).collect::<Vec<_>>(), touching);
        assert!(!part.is_empty() && part.len() < whole.len());
    }
}
