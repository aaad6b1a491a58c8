//! The connected pieces of a structure: voxels that share a face, an edge or a corner belong together.
//!
//! Runs of voxels along a row are found row by row and joined with the runs of the rows before that they touch (He, Chao
//! and Suzuki, *A Run-Based Two-Scan Labeling Algorithm*, IEEE Trans Image Process 17, 2008), in a forest of runs.

use std::ops::Range;

use super::Region;
use crate::error::{Result, try_reserve};

/// A structure's runs and how they hang together. Kept, so that the next structure needs no memory.
#[derive(Clone, Debug, Default)]
pub struct Pieces {
    runs: Vec<Run>,
    /// Of every row of the slice before and of this one, its runs.
    rows: [Vec<Range<u32>>; 2],
}

/// Voxels in a row that follow each other.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// The row: slice · rows + row.
    row: u32,
    first: u32,
    /// Behind the last.
    end: u32,
    /// A run of the same piece with a lower number, or itself.
    parent: u32,
    /// Voxels of the piece, for the run with its lowest number.
    voxels: u32,
}

/// A piece is large if it has this share of its structure's voxels.
pub const LARGE_PIECE: f64 = 0.1;
/// A structure with more runs than one per so many voxels of the grid is dust: it is not taken apart.
const VOXELS_PER_RUN: usize = 16;

impl Pieces {
    /// Bytes for a grid (D, H, W).
    pub fn bytes(grid: [usize; 3]) -> usize {
        let voxels: usize = grid.iter().product();
        voxels / VOXELS_PER_RUN * size_of::<Run>() + 2 * grid[1] * size_of::<Range<u32>>()
    }

    /// Makes room for a grid (D, H, W).
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`](crate::ErrorKind::OutOfMemory).
    pub fn reserve(&mut self, grid: [usize; 3]) -> Result<()> {
        let what = "the pieces of structures";
        try_reserve(&mut self.runs, grid.iter().product::<usize>() / VOXELS_PER_RUN, what)?;
        self.rows.iter_mut().try_for_each(|rows| try_reserve(rows, grid[1], what))
    }

    /// How many large pieces the voxels of this value have in a region of a grid (D, H, W); `None` if they are dust, which
    /// there is no room for. Allocates nothing after [`reserve`](Self::reserve).
    pub fn count_large(&mut self, values: &[u8], grid: [usize; 3], region: &Region, value: u8) -> Option<usize> {
        self.find(values, grid, region, value)?;
        let total: f64 = self.roots().map(|run| f64::from(run.voxels)).sum();
        Some(self.roots().filter(|run| f64::from(run.voxels) >= LARGE_PIECE * total).count())
    }

    /// Gives the voxels of this value outside its `keep` largest pieces (of equals, those that come first), and of pieces
    /// with fewer than `least` voxels, another value. Returns how many voxels that were.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`](crate::ErrorKind::OutOfMemory).
    pub fn remove_small(values: &mut [u8], grid: [usize; 3], value: u8, keep: usize, least: u64, other: u8) -> Result<u64> {
        let mut pieces = Pieces::default();
        pieces.reserve(grid)?;
        let whole = grid.map(|n| 0..n);
        // Dust needs more room: at most a run for every second voxel.
        while pieces.find(values, grid, &whole, value).is_none() {
            let room = (2 * pieces.runs.capacity()).max(64);
            try_reserve(&mut pieces.runs, room, "the pieces of structures")?;
        }
        let mut sizes = Vec::new();
        try_reserve(&mut sizes, pieces.roots().count(), "the pieces of structures")?;
        sizes.extend(pieces.runs.iter().enumerate().filter(|(at, run)| run.parent == *at as u32).map(|(at, run)| (run.voxels, at as u32)));
        sizes.sort_by_key(|&(voxels, at)| (std::cmp::Reverse(voxels), at));
        sizes.truncate(keep);
        sizes.retain(|&(voxels, _)| u64::from(voxels) >= least);
        sizes.sort_by_key(|&(_, at)| at);
        let mut removed = 0;
        for at in 0..pieces.runs.len() {
            let root = pieces.root(at as u32);
            let run = pieces.runs[at];
            if sizes.binary_search_by_key(&root, |&(_, at)| at).is_err() {
                let row = run.row as usize * grid[2];
                values[row + run.first as usize..row + run.end as usize].fill(other);
                removed += u64::from(run.end - run.first);
            }
        }
        Ok(removed)
    }

    /// Finds the runs of a value and joins them; `None` if there is no room.
    fn find(&mut self, values: &[u8], grid: [usize; 3], region: &Region, value: u8) -> Option<()> {
        let [_, height, width] = grid;
        self.runs.clear();
        self.rows.iter_mut().for_each(|rows| rows.clear());
        for d in region[0].clone() {
            let [above, here] = &mut self.rows;
            std::mem::swap(above, here);
            here.clear();
            for h in region[1].clone() {
                let row = d * height + h;
                let voxels = values.get(row * width..)?.get(region[2].clone())?;
                let first = self.runs.len() as u32;
                let mut w = region[2].start;
                for run in voxels.chunk_by(|a, b| a == b) {
                    let end = w + run.len();
                    if run[0] == value {
                        if self.runs.len() == self.runs.capacity() {
                            return None;
                        }
                        let parent = self.runs.len() as u32;
                        self.runs.push(Run { row: row as u32, first: w as u32, end: end as u32, parent, voxels: 0 });
                    }
                    w = end;
                }
                let runs = first..self.runs.len() as u32;
                let at = h - region[1].start;
                let [above, here] = &self.rows;
                let neighbors = [at.checked_sub(1).and_then(|at| here.get(at)), at.checked_sub(1).and_then(|at| above.get(at))];
                let neighbors = neighbors.into_iter().chain([above.get(at), above.get(at + 1)]);
                for other in neighbors.flatten() {
                    join(&mut self.runs, runs.clone(), other.clone());
                }
                self.rows[1].push(runs);
            }
        }
        for at in 0..self.runs.len() {
            let (root, length) = (self.root(at as u32), self.runs[at].end - self.runs[at].first);
            self.runs[root as usize].voxels += length;
        }
        Some(())
    }

    /// The first run of each piece.
    fn roots(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter().enumerate().filter(|(at, run)| run.parent == *at as u32).map(|(_, run)| run)
    }

    fn root(&mut self, at: u32) -> u32 {
        root(&mut self.runs, at)
    }
}

/// The lowest run of a piece. Halves the way there.
fn root(runs: &mut [Run], mut at: u32) -> u32 {
    while runs[at as usize].parent != at {
        let parent = runs[at as usize].parent;
        runs[at as usize].parent = runs[parent as usize].parent;
        at = parent;
    }
    at
}

/// Joins the runs of two neighboring rows that touch.
fn join(runs: &mut [Run], mut a: Range<u32>, mut b: Range<u32>) {
    while let (false, false) = (a.is_empty(), b.is_empty()) {
        let (x, y) = (runs[a.start as usize], runs[b.start as usize]);
        if x.first <= y.end && y.first <= x.end {
            let (x, y) = (root(runs, a.start), root(runs, b.start));
            runs[x.max(y) as usize].parent = x.min(y);
        }
        if x.end < y.end {
            a.start += 1;
        } else {
            b.start += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    const GRID: [usize; 3] = [6, 9, 11];

    fn random(seed: u64, one_in: u32) -> Vec<u8> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        (0..GRID.iter().product()).map(|_| u8::from(random.next_u32() % one_in == 0)).collect()
    }

    /// The sizes of the pieces, by flooding one after the other, and the number of each voxel's piece.
    fn flooded(values: &[u8], region: &Region) -> (Vec<usize>, Vec<usize>) {
        let index = |[d, h, w]: [usize; 3]| (d * GRID[1] + h) * GRID[2] + w;
        let (mut sizes, mut pieces) = (Vec::new(), vec![usize::MAX; values.len()]);
        for start in (0..values.len()).map(|v| [v / (GRID[1] * GRID[2]), v / GRID[2] % GRID[1], v % GRID[2]]) {
            let inside = |v: [usize; 3]| (0..3).all(|axis| region[axis].contains(&v[axis]));
            let mut todo = vec![start];
            let mut size = 0;
            while let Some(v) = todo.pop() {
                if !inside(v) || values[index(v)] != 1 || pieces[index(v)] != usize::MAX {
                    continue;
                }
                pieces[index(v)] = sizes.len();
                size += 1;
                for n in 0..27 {
                    let shift = [n / 9, n / 3 % 3, n % 3];
                    let moved: [usize; 3] = std::array::from_fn(|axis| (v[axis] + shift[axis]).wrapping_sub(1));
                    if (0..3).all(|axis| moved[axis] < GRID[axis]) {
                        todo.push(moved);
                    }
                }
            }
            if size > 0 {
                sizes.push(size);
            }
        }
        (sizes, pieces)
    }

    #[test]
    fn large_pieces_are_those_that_flooding_finds() {
        let mut pieces = Pieces::default();
        pieces.reserve([60, 9, 11]).unwrap();
        let mut several = 0;
        for seed in 0..60 {
            let values = random(seed, 4 + seed as u32);
            for region in [GRID.map(|n| 0..n), [1..5, 2..8, 3..9]] {
                let sizes = flooded(&values, &region).0;
                let total: usize = sizes.iter().sum();
                let large = sizes.iter().filter(|&&size| size as f64 >= LARGE_PIECE * total as f64).count();
                assert_eq!(pieces.count_large(&values, GRID, &region, 1), Some(large), "{seed}");
                several += usize::from(large > 1);
            }
        }
        assert!(several > 40, "{several}");
    }

    #[test]
    fn small_pieces_are_removed_and_nothing_else_changes() {
        for seed in 0..40 {
            let values = random(seed, 5 + seed as u32 / 2);
            let (sizes, pieces) = flooded(&values, &GRID.map(|n| 0..n));
            let mut order: Vec<usize> = (0..sizes.len()).collect();
            order.sort_by_key(|&piece| (std::cmp::Reverse(sizes[piece]), piece));
            let (keep, least) = (1 + seed as usize % 4, seed % 3);
            let kept: Vec<usize> = order.into_iter().take(keep).filter(|&piece| sizes[piece] as u64 >= least).collect();
            let mut cleaned = values.clone();
            let removed = Pieces::remove_small(&mut cleaned, GRID, 1, keep, least, 7).unwrap();
            for (v, &value) in values.iter().enumerate() {
                let expected = if value == 1 && !kept.contains(&pieces[v]) { 7 } else { value };
                assert_eq!(cleaned[v], expected, "{seed}");
            }
            assert_eq!(removed, cleaned.iter().filter(|&&value| value == 7).count() as u64);
        }
    }

    #[test]
    fn dust_is_not_taken_apart_and_needs_no_memory() {
        let values: Vec<u8> = (0..GRID.iter().product()).map(|v| (v % 2) as u8).collect();
        let mut pieces = Pieces::default();
        pieces.reserve(GRID).unwrap();
        assert_eq!(pieces.count_large(&values, GRID, &GRID.map(|n| 0..n), 1), None);
        assert_eq!(pieces.count_large(&values, GRID, &GRID.map(|n| 0..n), 9), Some(0));
        // Where the memory may be taken, dust is one piece: its voxels touch at their corners.
        let mut cleaned = values.clone();
        assert_eq!(Pieces::remove_small(&mut cleaned, GRID, 1, 1, 0, 0).unwrap(), 0);
        assert_eq!(cleaned, values);
    }
}
