//! Back to the input grid (method.md 4): every input voxel takes the winner of its model voxel. Label maps get their
//! values here, and statistics are gathered on the way.

use std::mem::MaybeUninit;
use std::sync::Mutex;

use super::Region;
use super::combine::Winners;
use crate::error::{Result, try_reserve};
use crate::threads::{Pool, lock};

/// What was counted of one channel, in input voxels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tally {
    /// Voxels.
    pub voxels: u64,
    /// Sums of their i, j, k.
    pub index_sums: [u64; 3],
    /// The smallest i, j, k.
    pub min: [u64; 3],
    /// The largest i, j, k.
    pub max: [u64; 3],
    /// The sum of their confidences.
    pub confidence: f64,
}

impl Tally {
    /// Nothing counted yet.
    pub const EMPTY: Tally = Tally { voxels: 0, index_sums: [0; 3], min: [u64::MAX; 3], max: [0; 3], confidence: 0.0 };

    /// Both together.
    #[must_use]
    pub fn and(self, other: &Tally) -> Tally {
        Tally {
            voxels: self.voxels + other.voxels,
            index_sums: std::array::from_fn(|axis| self.index_sums[axis] + other.index_sums[axis]),
            min: std::array::from_fn(|axis| self.min[axis].min(other.min[axis])),
            max: std::array::from_fn(|axis| self.max[axis].max(other.max[axis])),
            confidence: self.confidence + other.confidence,
        }
    }
}

/// One tally per slice (k) and channel, so that the sums do not depend on who counted which slice.
#[derive(Clone, Debug, Default)]
pub struct Tallies {
    classes: usize,
    slices: Vec<Tally>,
}

impl Tallies {
    /// Bytes for a volume of this many slices.
    pub fn bytes(slices: usize, classes: usize) -> usize {
        slices.saturating_mul(classes).saturating_mul(size_of::<Tally>())
    }

    /// Makes room for volumes of up to this many slices.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`](crate::ErrorKind::OutOfMemory).
    pub fn reserve(&mut self, slices: usize, classes: usize) -> Result<()> {
        try_reserve(&mut self.slices, slices * classes, "the statistics")
    }

    /// What was counted of a channel.
    pub fn of(&self, channel: usize) -> Tally {
        self.slices.iter().skip(channel).step_by(self.classes.max(1)).fold(Tally::EMPTY, |sum, tally| sum.and(tally))
    }
}

/// A label map to be filled, and how.
pub struct LabelMap<'a> {
    /// Voxels along i, j, k.
    pub dims: [usize; 3],
    /// For i, j, k and each index: its share of the offset into the model grid (`GridMap::offsets`).
    pub offsets: &'a [Vec<u32>; 3],
    /// The voxels that were examined; the others get the first channel's value.
    pub examined: &'a Region,
    /// The label map's value of each channel.
    pub values: &'a [u8],
    /// The label map, packed, i fastest.
    pub labels: &'a mut [MaybeUninit<u8>],
}

/// Fills a label map from the winners of the model grid and counts what it holds.
///
/// # Errors
/// [`ErrorKind::OutOfMemory`](crate::ErrorKind::OutOfMemory) if `tallies` has no room for as many slices.
pub fn restore(winners: &Winners, map: LabelMap<'_>, tallies: &mut Tallies, pool: &Pool) -> Result<()> {
    let LabelMap { dims: [columns, rows, slices], offsets, examined, values, labels } = map;
    let classes = values.len();
    tallies.reserve(slices, classes)?;
    tallies.classes = classes;
    tallies.slices.clear();
    tallies.slices.resize(slices * classes, Tally::EMPTY);
    let background = MaybeUninit::new(values[0]);
    let work = Mutex::new(labels.chunks_exact_mut(columns * rows).zip(tallies.slices.chunks_exact_mut(classes)).enumerate());
    pool.run(|_| {
        loop {
            let Some((k, (slice, tally))) = lock(&work).next() else { break };
            if !examined[2].contains(&k) {
                slice.fill(background);
                continue;
            }
            for (j, row) in slice.chunks_exact_mut(columns).enumerate() {
                if !examined[1].contains(&j) {
                    row.fill(background);
                    continue;
                }
                row[..examined[0].start].fill(background);
                row[examined[0].end..].fill(background);
                let base = offsets[2][k] as usize + offsets[1][j] as usize;
                for i in examined[0].clone() {
                    let model = base + offsets[0][i] as usize;
                    let channel = usize::from(winners.channels[model]);
                    row[i] = MaybeUninit::new(values[channel]);
                    let index = [i as u64, j as u64, k as u64];
                    let tally = &mut tally[channel];
                    tally.voxels += 1;
                    tally.confidence += f64::from(winners.confidence[model]);
                    for axis in 0..3 {
                        tally.index_sums[axis] += index[axis];
                        tally.min[axis] = tally.min[axis].min(index[axis]);
                        tally.max[axis] = tally.max[axis].max(index[axis]);
                    }
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voxels_take_their_models_winner_and_unexamined_ones_the_background() {
        let winners = Winners { channels: vec![0, 1, 2, 1], confidence: vec![0.5, 0.25, 1.0, 0.75] };
        // Two voxels along i per model voxel; i runs against the model axis.
        let offsets = [vec![3, 3, 2, 2, 1, 1, 0, 0], vec![0], vec![0]];
        let mut labels = [MaybeUninit::new(9u8); 8];
        let mut tallies = Tallies::default();
        let map = LabelMap { dims: [8, 1, 1], offsets: &offsets, examined: &[1..7, 0..1, 0..1], values: &[7, 1, 4], labels: &mut labels };
        restore(&winners, map, &mut tallies, &Pool::new(2, None).unwrap()).unwrap();
        // SAFETY: every element was initialized.
        assert_eq!(labels.map(|label| unsafe { label.assume_init() }), [7, 1, 4, 4, 1, 1, 7, 7]);
        let bone = tallies.of(1);
        assert_eq!((bone.voxels, bone.min, bone.max, bone.index_sums), (3, [1, 0, 0], [5, 0, 0], [10, 0, 0]));
        assert_eq!((bone.confidence, tallies.of(0).voxels, tallies.of(2).voxels), (1.25, 1, 2));
    }
}
