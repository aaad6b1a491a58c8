//! Windows whose input is the same byte for byte (air, clipped values) go through the network once.

use std::sync::Mutex;

use crate::error::{Result, try_reserve, try_vec};
use crate::pipeline::grid::Grid;
use crate::pipeline::window::Windows;
use crate::threads::{Pool, lock};

/// Results that are kept for windows to come. Air is one; a second serves volumes padded with another value.
pub const KEPT: usize = 2;

/// What is to be done about a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It goes through the network.
    Compute,
    /// It goes through the network, and its result is kept at this place.
    ComputeAndKeep(usize),
    /// Its result is the one kept at this place.
    Reuse(usize),
}

/// What is to be done about every window of a run.
#[derive(Debug, Default)]
pub struct Actions {
    /// One per window.
    actions: Vec<Action>,
    /// Windows by the hash of their input.
    hashes: Vec<(u64, u32)>,
}

impl Actions {
    /// Bytes per window.
    pub const BYTES: usize = size_of::<Action>() + size_of::<(u64, u32)>();

    /// Makes room for this many windows.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`](crate::ErrorKind::OutOfMemory).
    pub fn reserve(&mut self, windows: usize) -> Result<()> {
        if self.actions.capacity() < windows {
            *self = Actions { actions: try_vec(Action::Compute, windows, "the list of windows")?, hashes: Vec::new() };
        }
        try_reserve(&mut self.hashes, windows, "the list of windows")
    }

    /// What is to be done about window `index`.
    pub fn of(&self, index: usize) -> Action {
        self.actions.get(index).copied().unwrap_or(Action::Compute)
    }

    /// Whether window `index` goes through the network.
    pub fn computes(&self, index: usize) -> bool {
        !matches!(self.of(index), Action::Reuse(_))
    }

    /// The first window behind which this many windows or fewer are still to be computed; the end if that is none.
    pub fn tail(&self, computed: usize) -> usize {
        let mut left = self.computed();
        let behind = |action: &Action| {
            let computes = !matches!(action, Action::Reuse(_));
            let found = computes && left <= computed;
            left -= usize::from(computes);
            found
        };
        self.actions.iter().position(behind).unwrap_or(self.actions.len())
    }

    /// How many of the windows go through the network.
    pub fn computed(&self) -> usize {
        self.actions.iter().filter(|action| !matches!(action, Action::Reuse(_))).count()
    }

    /// Looks for windows with identical input, unless every window is to be computed.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`](crate::ErrorKind::OutOfMemory).
    pub fn find(&mut self, grid: &Grid, windows: &Windows, all: bool, pool: &Pool) -> Result<()> {
        self.reserve(windows.len())?;
        self.actions.clear();
        self.actions.resize(windows.len(), Action::Compute);
        if all {
            return Ok(());
        }
        self.hashes.clear();
        self.hashes.extend((0..windows.len()).map(|index| (0, index as u32)));
        let todo = Mutex::new(self.hashes.iter_mut());
        pool.run(|_| {
            loop {
                let Some(entry) = lock(&todo).next() else { break };
                entry.0 = hash(grid, windows, entry.1 as usize);
            }
        })?;
        self.hashes.sort_unstable();

        // The largest groups: how many windows equal their first one.
        let mut largest = [(0usize, 0u32); KEPT];
        for group in self.hashes.chunk_by(|a, b| a.0 == b.0).filter(|group| group.len() > 1) {
            let first = group[0].1;
            let equals = group[1..].iter().filter(|entry| same(grid, windows, first as usize, entry.1 as usize)).count();
            let smallest = if largest[0].0 <= largest[1].0 { 0 } else { 1 };
            if equals > largest[smallest].0 {
                largest[smallest] = (equals, first);
            }
        }
        for (place, &(equals, first)) in largest.iter().enumerate().filter(|(_, (equals, _))| *equals > 0) {
            debug_assert!(equals < windows.len());
            let key = hash(grid, windows, first as usize);
            for &(_, index) in self.hashes.iter().filter(|entry| entry.0 == key) {
                if index == first {
                    self.actions[index as usize] = Action::ComputeAndKeep(place);
                } else if same(grid, windows, first as usize, index as usize) {
                    self.actions[index as usize] = Action::Reuse(place);
                }
            }
        }
        Ok(())
    }
}

/// The rows (W) of a window that lie in the grid.
fn rows<'g>(grid: &'g Grid, windows: &Windows, index: usize) -> impl Iterator<Item = &'g [f32]> {
    let (start, size) = (windows.start(index), windows.size());
    let inside: [usize; 3] = std::array::from_fn(|axis| size[axis].min(grid.dims[axis] - start[axis]));
    (0..inside[0] * inside[1]).map(move |row| {
        let (depth, row) = (start[0] + row / inside[1], start[1] + row % inside[1]);
        let first = (depth * grid.dims[1] + row) * grid.dims[2] + start[2];
        &grid.voxels[first..first + inside[2]]
    })
}

fn same(grid: &Grid, windows: &Windows, a: usize, b: usize) -> bool {
    let bits = |value: &f32| value.to_bits();
    rows(grid, windows, a).zip(rows(grid, windows, b)).all(|(a, b)| a.iter().map(bits).eq(b.iter().map(bits)))
}

/// A hash that need not resist anybody: equal hashes are compared byte by byte.
fn hash(grid: &Grid, windows: &Windows, index: usize) -> u64 {
    const PRIME: u64 = 0x9e37_79b9_7f4a_7c15;
    // Four streams, so that one multiplication need not wait for the last.
    let mut streams = [1u64, 2, 3, 4];
    for row in rows(grid, windows, index) {
        for chunk in row.chunks(4) {
            for (stream, value) in streams.iter_mut().zip(chunk) {
                *stream = (stream.rotate_left(5) ^ u64::from(value.to_bits())).wrapping_mul(PRIME);
            }
        }
    }
    streams.into_iter().fold(0, |sum, stream| (sum.rotate_left(23) ^ stream).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actions(grid: &Grid, all: bool) -> (Vec<Action>, usize) {
        let mut windows = Windows::default();
        windows.set(grid.dims, [2, 2, 4], [2, 2, 4], &grid.dims.map(|n| 0..n)).unwrap();
        let mut actions = Actions::default();
        actions.find(grid, &windows, all, &Pool::new(2, None).unwrap()).unwrap();
        ((0..windows.len()).map(|index| actions.of(index)).collect(), actions.computed())
    }

    #[test]
    fn windows_of_air_are_computed_once_and_others_each() {
        let mut grid = Grid { dims: [2, 2, 24], voxels: vec![-1.0; 96], outside: 0.0 };
        grid.voxels[9] = 0.5;
        grid.voxels[24 + 13] = 0.25;
        use Action::*;
        assert_eq!(actions(&grid, false), (vec![ComputeAndKeep(0), Reuse(0), Compute, Compute, Reuse(0), Reuse(0)], 3));
        assert_eq!(actions(&grid, true), (vec![Compute; 6], 6));
    }

    #[test]
    fn the_tail_holds_the_last_windows_that_are_computed() {
        use Action::*;
        let actions = Actions { actions: vec![ComputeAndKeep(0), Reuse(0), Compute, Compute, Reuse(0)], hashes: vec![] };
        assert_eq!([0, 1, 2, 3, 9].map(|computed| actions.tail(computed)), [5, 3, 2, 0, 0]);
    }

    #[test]
    fn beyond_the_largest_groups_windows_are_computed_again() {
        // Groups of 2, 3, 2 and 4 windows: the last and the second are kept.
        let values = [1., 1., 2., 2., 2., 3., 3., 4., 4., 4., 4.];
        let row: Vec<f32> = values.iter().flat_map(|&v| [v; 4]).collect();
        let grid = Grid { dims: [2, 2, 44], voxels: row.repeat(4), outside: 0.0 };
        let (actions, computed) = actions(&grid, false);
        assert_eq!(computed, 2 + 1 + 2 + 1);
        let reused = |action: &&Action| matches!(action, Action::Reuse(_));
        assert_eq!(actions.iter().filter(reused).count(), 2 + 3);
    }
}
