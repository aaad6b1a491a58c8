//! Which voxels belong to a structure, one bit each, and how a straight line passes through them.

use crate::error::{Error, ErrorKind, Result, try_vec};

/// The voxels of a structure within the box around them.
#[derive(Clone, Debug)]
pub(super) struct Occupancy {
    /// The first voxel of the box.
    low: [usize; 3],
    /// Voxels of the box.
    dims: [usize; 3],
    /// Words of a row along i.
    words: usize,
    bits: Vec<u64>,
}

/// Corners of voxels are kept in 16 bits.
const MOST_VOXELS: usize = u16::MAX as usize;

impl Occupancy {
    /// The voxels of this value; `None` if there are none. `labels` are packed, i fastest.
    ///
    /// # Errors
    /// [`ErrorKind::VolumeTooLarge`] above 65,535 voxels along an axis; [`ErrorKind::OutOfMemory`].
    pub(super) fn of(labels: &[u8], value: u8, dims: [usize; 3]) -> Result<Option<Self>> {
        if dims.iter().any(|&n| n > MOST_VOXELS) {
            let message = format!("{dims:?} voxels: distances are measured in volumes of at most {MOST_VOXELS} voxels along an axis");
            return Err(Error::new(ErrorKind::VolumeTooLarge, message));
        }
        let [columns, rows, _] = dims;
        let row_of = |j: usize, k: usize| labels.get((k * rows + j) * columns..).and_then(|rest| rest.get(..columns)).unwrap_or(&[]);
        let (mut low, mut high) = ([usize::MAX; 3], [0; 3]);
        for k in 0..dims[2] {
            for j in 0..rows {
                let row = row_of(j, k);
                let Some(first) = row.iter().position(|&voxel| voxel == value) else { continue };
                let last = row.iter().rposition(|&voxel| voxel == value).unwrap_or(first);
                low = [low[0].min(first), low[1].min(j), low[2].min(k)];
                high = [high[0].max(last), high[1].max(j), high[2].max(k)];
            }
        }
        if low[0] == usize::MAX {
            return Ok(None);
        }
        let dims: [usize; 3] = std::array::from_fn(|axis| high[axis] + 1 - low[axis]);
        let words = dims[0].div_ceil(64);
        let mut bits = try_vec(0u64, words * dims[1] * dims[2], "the voxels of a structure")?;
        for (row, bits) in bits.chunks_exact_mut(words).enumerate() {
            let voxels = row_of(low[1] + row % dims[1], low[2] + row / dims[1]);
            let voxels = voxels.get(low[0]..low[0] + dims[0]).unwrap_or(&[]);
            for (word, voxels) in bits.iter_mut().zip(voxels.chunks(64)) {
                *word = voxels.iter().enumerate().fold(0, |word, (at, &voxel)| word | u64::from(voxel == value) << at);
            }
        }
        Ok(Some(Occupancy { low, dims, words, bits }))
    }

    /// The first voxel of the box around the structure, and the one behind its last.
    pub(super) fn bounds(&self) -> [[usize; 3]; 2] {
        [self.low, std::array::from_fn(|axis| self.low[axis] + self.dims[axis])]
    }

    /// Whether a voxel belongs to the structure. Outside the volume none does.
    pub(super) fn contains(&self, voxel: [i64; 3]) -> bool {
        let mut inside = [0; 3];
        for axis in 0..3 {
            match usize::try_from(voxel[axis] - self.low[axis] as i64) {
                Ok(at) if at < self.dims[axis] => inside[axis] = at,
                _ => return false,
            }
        }
        let [i, j, k] = inside;
        let word = self.bits.get((k * self.dims[1] + j) * self.words + i / 64).copied().unwrap_or(0);
        word >> (i % 64) & 1 == 1
    }

    /// Whether the voxel around a place (in voxels) belongs to the structure.
    pub(super) fn contains_place(&self, index: [f64; 3]) -> bool {
        // Casts saturate: what is far away is outside.
        self.contains(index.map(|c| c.floor() as i64))
    }

    /// The parts of the line `from + t·step`, 0 ≤ t ≤ 1 (in voxels), that lie in the structure, one after the other
    /// (Amanatides and Woo, *A Fast Voxel Traversal Algorithm*, Eurographics 1987).
    pub(super) fn walk(&self, from: [f64; 3], step: [f64; 3], mut inside: impl FnMut(f64, f64)) {
        // The part of the line in the box around the structure.
        let (mut enter, mut leave) = (0.0f64, 1.0f64);
        for axis in 0..3 {
            let (low, high) = (self.low[axis] as f64, (self.low[axis] + self.dims[axis]) as f64);
            if step[axis] == 0.0 {
                if !(low..high).contains(&from[axis]) {
                    return;
                }
                continue;
            }
            let [a, b] = [low, high].map(|plane| (plane - from[axis]) / step[axis]);
            enter = enter.max(a.min(b));
            leave = leave.min(a.max(b));
        }
        if enter > leave {
            return;
        }
        let mut voxel = [0i64; 3];
        // Where the line reaches the next voxel along each axis.
        let mut next = [f64::INFINITY; 3];
        for axis in 0..3 {
            let (low, high) = (self.low[axis] as i64, (self.low[axis] + self.dims[axis]) as i64 - 1);
            voxel[axis] = ((from[axis] + enter * step[axis]).floor() as i64).clamp(low, high);
            if step[axis] != 0.0 {
                let plane = voxel[axis] + i64::from(step[axis] > 0.0);
                next[axis] = ((plane as f64 - from[axis]) / step[axis]).max(enter);
            }
        }
        let mut began = None;
        let mut t = enter;
        // A line crosses every plane between voxels once.
        for _ in 0..self.dims.iter().sum::<usize>() + 3 {
            let axis = if next[0] <= next[1] && next[0] <= next[2] { 0 } else { 1 + usize::from(next[2] < next[1]) };
            let end = next[axis].min(leave);
            match (self.contains(voxel), began) {
                (true, None) => began = Some(t),
                (false, Some(start)) => {
                    inside(start, t);
                    began = None;
                }
                _ => {}
            }
            t = end;
            if next[axis] >= leave {
                break;
            }
            let forward = step[axis] > 0.0;
            voxel[axis] += if forward { 1 } else { -1 };
            let plane = voxel[axis] + i64::from(forward);
            next[axis] = ((plane as f64 - from[axis]) / step[axis]).max(t);
        }
        if let Some(start) = began {
            inside(start, t);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::testing::{blobs, random};

    fn parts(occupancy: &Occupancy, from: [f64; 3], to: [f64; 3]) -> Vec<(f64, f64)> {
        let mut parts = Vec::new();
        occupancy.walk(from, std::array::from_fn(|c| to[c] - from[c]), |a, b| parts.push((a, b)));
        parts
    }

    #[test]
    fn voxels_are_those_with_the_value_and_nothing_lies_outside() {
        let dims = [130, 5, 4];
        let labels = blobs(3, dims, 0.3);
        let occupancy = Occupancy::of(&labels, 1, dims).unwrap().unwrap();
        for k in -1..5 {
            for j in -1..6 {
                for i in -1..131 {
                    let outside = i < 0 || j < 0 || k < 0 || i >= 130 || j >= 5 || k >= 4;
                    let expected = !outside && labels[((k * 5 + j) * 130 + i) as usize] == 1;
                    assert_eq!(occupancy.contains([i, j, k]), expected, "{i} {j} {k}");
                }
            }
        }
        assert!(!occupancy.contains_place([1e300, 0.0, 0.0]) && !occupancy.contains_place([-1e300, 0.0, 0.0]));
        assert!(Occupancy::of(&labels, 7, dims).unwrap().is_none());
    }

    #[test]
    fn a_line_lies_in_the_structure_where_its_points_do() {
        let dims = [9, 8, 7];
        let mut r = random(5);
        for seed in 0..200 {
            let Some(occupancy) = Occupancy::of(&blobs(seed, dims, 0.4), 1, dims).unwrap() else { continue };
            let [mut from, mut to]: [[f64; 3]; 2] = std::array::from_fn(|_| std::array::from_fn(|_| r(-3.0, 12.0)));
            // Some lines run along an axis or stand still.
            for axis in 0..3 {
                if r(0.0, 1.0) < 0.2 {
                    to[axis] = from[axis];
                }
            }
            if seed % 10 == 0 {
                from = from.map(f64::round);
                to = to.map(f64::round);
            }
            let parts = parts(&occupancy, from, to);
            assert!(parts.windows(2).all(|pair| pair[0].1 <= pair[1].0) && parts.iter().all(|(a, b)| 0.0 <= *a && a <= b && *b <= 1.0));
            for _ in 0..200 {
                let t = r(0.0, 1.0);
                let place: [f64; 3] = std::array::from_fn(|c| from[c] + t * (to[c] - from[c]));
                // On a plane between two voxels either answer is right.
                if place.iter().all(|c| (c - c.round()).abs() > 1e-9) {
                    let within = parts.iter().any(|(a, b)| (a..=b).contains(&&t));
                    assert_eq!(within, occupancy.contains_place(place), "{seed}: {from:?} {to:?} at {t}: {parts:?}");
                }
            }
        }
    }

    #[test]
    fn a_line_without_length_lies_in_the_structure_or_not() {
        let occupancy = Occupancy::of(&[0, 1, 1, 0], 1, [4, 1, 1]).unwrap().unwrap();
        assert_eq!(parts(&occupancy, [2.5, 0.5, 0.5], [2.5, 0.5, 0.5]).len(), 1);
        assert!(parts(&occupancy, [3.5, 0.5, 0.5], [3.5, 0.5, 0.5]).is_empty());
        assert_eq!(parts(&occupancy, [0.0, 0.5, 0.5], [4.0, 0.5, 0.5]), [(0.25, 0.75)]);
    }

    #[test]
    fn a_volume_that_is_too_long_is_refused() {
        let error = Occupancy::of(&[], 1, [65_536, 1, 1]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::VolumeTooLarge);
    }
}
