//! Back to the input grid (method.md 4): every input voxel takes the winner of its model voxel. Label maps get their
//! values here, and statistics are gathered on the way.

use std::mem::MaybeUninit;
use std::ops::Range;
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

    /// Counts a run of voxels along i, whose confidences have been added already.
    pub(crate) fn count(&mut self, i: Range<usize>, j: usize, k: usize) {
        let run = i.len() as u64;
        let [first, last, j, k] = [i.start, i.end - 1, j, k].map(|n| n as u64);
        self.voxels += run;
        // The sum of an arithmetic series: one of the factors is even.
        for (axis, sum) in [(first + last) * run / 2, j * run, k * run].into_iter().enumerate() {
            self.index_sums[axis] += sum;
        }
        self.min = [self.min[0].min(first), self.min[1].min(j), self.min[2].min(k)];
        self.max = [self.max[0].max(last), self.max[1].max(j), self.max[2].max(k)];
    }

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
pub fn restore(winners: Winners<'_>, map: LabelMap<'_>, tallies: &mut Tallies, pool: &Pool) -> Result<()> {
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
                // Run after run of equal channels: neighbors along i most often are.
                let model = |i: usize| base + offsets[0][i] as usize;
                let Range { start: mut i, end } = examined[0];
                while i < end {
                    let (first, channel) = (i, winners.channels[model(i)]);
                    let tally = &mut tally[usize::from(channel)];
                    let mut confidence = tally.confidence;
                    while i < end && winners.channels[model(i)] == channel {
                        confidence += f64::from(winners.confidence[model(i)]);
                        i += 1;
                    }
                    row[first..i].fill(MaybeUninit::new(values[usize::from(channel)]));
                    tally.confidence = confidence;
                    tally.count(first..i, j, k);
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
        let winners = Winners { channels: &[0, 1, 2, 1], confidence: &[0.5, 0.25, 1.0, 0.75] };
        // Two voxels along i per model voxel; i runs against the model axis.
        let offsets = [vec![3, 3, 2, 2, 1, 1, 0, 0], vec![0], vec![0]];
        let mut labels = [MaybeUninit::new(9u8); 8];
        let mut tallies = Tallies::default();
        let map = LabelMap { dims: [8, 1, 1], offsets: &offsets, examined: &[1..7, 0..1, 0..1], values: &[7, 1, 4], labels: &mut labels };
        restore(winners, map, &mut tallies, &Pool::new(2, None).unwrap()).unwrap();
        // SAFETY: every element was initialized.
        assert_eq!(labels.map(|label| unsafe { label.assume_init() }), [7, 1, 4, 4, 1, 1, 7, 7]);
        let bone = tallies.of(1);
        assert_eq!((bone.voxels, bone.min, bone.max, bone.index_sums), (3, [1, 0, 0], [5, 0, 0], [10, 0, 0]));
        assert_eq!((bone.confidence, tallies.of(0).voxels, tallies.of(2).voxels), (1.25, 1, 2));
    }
}
