//! The exact Euclidean distance transform: for every voxel of a grid the nearest voxel of a set, in time that is linear in
//! the number of voxels.
//!
//! One axis after the other. Along i, two sweeps find the nearest voxel of the row. Along j and then along k, the squared
//! distance to the best voxel so far is a parabola over every voxel of a line, and the lower envelope of those parabolas
//! says which is nearest where (Felzenszwalb and Huttenlocher, *Distance Transforms of Sampled Functions*, Theory of
//! Computing 8, 2012; the same idea in whole numbers: Meijster, Roerdink and Hesselink, 2000). What is stored is which
//! voxel is nearest, so that distances come from whole indices in `f64` and no error adds up from axis to axis.
//!
//! Distances are between voxel centers, along axes that are taken as perpendicular: only the spacing counts. That is exact
//! for any rotated or mirrored volume; in a sheared one a distance is off by at most the sine of its shear, relatively.

use rayon::prelude::*;

use crate::error::{Error, ErrorKind, Result, try_vec};

/// For every voxel of a grid, the nearest voxel of a set.
///
/// ```
/// use spinect::distance::NearestVoxels;
///
/// // Of a row of five voxels 0.5 mm apart, the second is in the set.
/// let nearest = NearestVoxels::of([5, 1, 1], [0.5, 1.0, 1.0], |voxel| voxel == 1)?;
/// assert_eq!(nearest.nearest([4, 0, 0]), Some([1, 0, 0]));
/// assert_eq!(nearest.distance_mm([4, 0, 0]), Some(1.5));
/// # Ok::<(), spinect::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct NearestVoxels {
    dims: [usize; 3],
    spacing_mm: [f64; 3],
    /// For every voxel, i fastest, the offset of the nearest one; [`NONE`] if the set is empty.
    nearest: Vec<u32>,
}

/// No voxel.
const NONE: u32 = u32::MAX;

impl NearestVoxels {
    /// Finds the nearest voxel for a grid of `dims` voxels along i, j, k, `spacing_mm` apart. `is_set` says of an offset
    /// (i fastest) whether that voxel is in the set. Takes 4 bytes per voxel; runs on rayon's threads, and the result is the
    /// same for any number of them.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for 2³² voxels or more, or a spacing that is not above 0 and finite;
    /// [`ErrorKind::OutOfMemory`].
    pub fn of(dims: [usize; 3], spacing_mm: [f64; 3], is_set: impl Fn(usize) -> bool + Sync) -> Result<Self> {
        let voxels = dims.iter().try_fold(1usize, |product, &n| product.checked_mul(n)).filter(|&n| n < NONE as usize);
        let Some(voxels) = voxels else {
            let message = format!("{dims:?} voxels are too many to measure distances in: take a smaller region");
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        };
        check_spacing(spacing_mm)?;
        let mut nearest = try_vec(NONE, voxels, "a distance transform")?;
        if voxels > 0 {
            let [columns, rows, _] = dims;
            let slice = columns * rows;
            nearest.par_chunks_mut(slice).enumerate().for_each(|(k, plane)| {
                sweep_rows(plane, columns, k * slice, &is_set);
                let mut lines: Vec<&mut [u32]> = plane.chunks_mut(columns).collect();
                // The nearest voxel of row j lies in that row.
                let first = |j: usize| k * slice + j * columns;
                sweep_lines(&mut lines, spacing_mm[1], |i, j, voxel| square((voxel as usize).abs_diff(first(j) + i), spacing_mm[0]));
            });
            let mut planes: Vec<Vec<&mut [u32]>> = (0..rows).map(|_| Vec::with_capacity(dims[2])).collect();
            for (at, row) in nearest.chunks_mut(columns).enumerate() {
                planes[at % rows].push(row);
            }
            planes.par_iter_mut().enumerate().for_each(|(j, lines)| {
                sweep_lines(lines, spacing_mm[2], |i, k, voxel| {
                    // The nearest voxel of slice k lies in that slice.
                    let place = voxel as usize - k * slice;
                    square((place % columns).abs_diff(i), spacing_mm[0]) + square((place / columns).abs_diff(j), spacing_mm[1])
                });
            });
        }
        Ok(NearestVoxels { dims, spacing_mm, nearest })
    }

    /// The nearest voxel of the set to the voxel `index` (i, j, k). Of several that are equally near, always the same one.
    /// `None` if the set is empty or the index lies outside the grid.
    pub fn nearest(&self, index: [usize; 3]) -> Option<[usize; 3]> {
        if (0..3).any(|axis| index[axis] >= self.dims[axis]) {
            return None;
        }
        let [columns, rows, _] = self.dims;
        let &voxel = self.nearest.get((index[2] * rows + index[1]) * columns + index[0])?;
        let (row, i) = (voxel as usize / columns, voxel as usize % columns);
        (voxel != NONE).then_some([i, row % rows, row / rows])
    }

    /// The distance (mm) from the center of the voxel `index` to the center of the nearest voxel of the set; 0 within the
    /// set. `None` as for [`nearest`](Self::nearest).
    pub fn distance_mm(&self, index: [usize; 3]) -> Option<f64> {
        let nearest = self.nearest(index)?;
        Some((0..3).map(|axis| square(index[axis].abs_diff(nearest[axis]), self.spacing_mm[axis])).sum::<f64>().sqrt())
    }
}

/// Refuses a spacing in which distances cannot be measured.
pub(crate) fn check_spacing(spacing_mm: [f64; 3]) -> Result<()> {
    if spacing_mm.iter().all(|spacing| spacing.is_finite() && *spacing > 0.0) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidArgument, format!("a spacing of {spacing_mm:?} mm: every spacing must be above 0 and finite")))
}

fn square(voxels: usize, spacing: f64) -> f64 {
    let distance = voxels as f64 * spacing;
    distance * distance
}

/// Puts down for every voxel of a plane the nearest voxel of its row, as an offset into the grid; the plane's own offset is
/// `first`.
fn sweep_rows(plane: &mut [u32], columns: usize, first: usize, is_set: &impl Fn(usize) -> bool) {
    for (j, row) in plane.chunks_mut(columns).enumerate() {
        let start = first + j * columns;
        let mut last = NONE;
        for (i, nearest) in row.iter_mut().enumerate() {
            if is_set(start + i) {
                last = (start + i) as u32;
            }
            *nearest = last;
        }
        let mut next = NONE;
        for (i, nearest) in row.iter_mut().enumerate().rev() {
            let here = (start + i) as u32;
            if *nearest == here {
                next = here;
            } else if next != NONE && (*nearest == NONE || next - here < here - *nearest) {
                *nearest = next;
            }
        }
    }
}

/// A parabola of the lower envelope: the squared distance along the line to `position` plus `height`.
#[derive(Clone, Copy)]
struct Parabola {
    voxel: u32,
    position: f64,
    height: f64,
    /// Where the line is nearer to this parabola's voxel than to those before it.
    start: f64,
}

/// For each position in the lines, which lie side by side `spacing` apart: of the voxels that the lines name there, the
/// nearest. `height` is the squared distance across the lines from the place (position in the line, line) to a voxel.
fn sweep_lines(lines: &mut [&mut [u32]], spacing: f64, height: impl Fn(usize, usize, u32) -> f64) {
    let mut envelope: Vec<Parabola> = Vec::with_capacity(lines.len());
    for i in 0..lines.first().map_or(0, |line| line.len()) {
        envelope.clear();
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| line[i] != NONE) {
            let (voxel, position) = (line[i], at as f64 * spacing);
            let height = height(i, at, voxel);
            let mut start = f64::NEG_INFINITY;
            while let Some(last) = envelope.last() {
                // Where the two are equally far.
                start = (height - last.height) / (2.0 * (position - last.position)) + (position + last.position) / 2.0;
                if start > last.start {
                    break;
                }
                envelope.pop();
                start = f64::NEG_INFINITY;
            }
            envelope.push(Parabola { voxel, position, height, start });
        }
        let mut rest = envelope.as_slice();
        for (at, line) in lines.iter_mut().enumerate() {
            while rest.get(1).is_some_and(|next| next.start < at as f64 * spacing) {
                rest = &rest[1..];
            }
            line[i] = rest.first().map_or(NONE, |parabola| parabola.voxel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    const SPACINGS: [[f64; 3]; 4] = [[1.0; 3], [0.35, 0.8, 3.0], [5.0, 0.2, 0.7], [1.0 / 3.0, 20.0, 0.05]];

    fn random_set(seed: u64, voxels: usize, one_in: u32) -> Vec<bool> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        (0..voxels).map(|_| random.next_u32() % one_in == 0).collect()
    }

    fn places(dims: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
        let [columns, rows, slices] = dims;
        (0..slices).flat_map(move |k| (0..rows).flat_map(move |j| (0..columns).map(move |i| [i, j, k])))
    }

    #[test]
    fn distances_are_those_of_brute_force_in_any_spacing() {
        for (seed, dims) in [[7, 9, 6], [1, 8, 5], [12, 1, 3], [5, 6, 1], [1, 1, 9]].into_iter().enumerate() {
            for (one_in, spacing) in [2, 5, 40].into_iter().flat_map(|one_in| SPACINGS.map(|spacing| (one_in, spacing))) {
                let mut set = random_set(seed as u64, dims.iter().product(), one_in);
                set[0] |= set.iter().all(|set| !set);
                let found = NearestVoxels::of(dims, spacing, |voxel| set[voxel]).unwrap();
                let members: Vec<_> = places(dims).zip(&set).filter(|(_, set)| **set).map(|(place, _)| place).collect();
                for place in places(dims) {
                    let to = |other: &[usize; 3]| (0..3).map(|axis| square(place[axis].abs_diff(other[axis]), spacing[axis])).sum::<f64>();
                    let expected = members.iter().map(to).fold(f64::INFINITY, f64::min).sqrt();
                    let distance = found.distance_mm(place).unwrap();
                    assert!((distance - expected).abs() <= 1e-12 * expected, "{dims:?} {spacing:?} {place:?}: {distance}, not {expected}");
                    assert!(members.contains(&found.nearest(place).unwrap()));
                }
            }
        }
    }

    #[test]
    fn an_empty_set_and_an_empty_grid_have_no_nearest_voxel() {
        let empty = NearestVoxels::of([3, 2, 2], [1.0; 3], |_| false).unwrap();
        assert_eq!((empty.nearest([1, 1, 1]), empty.distance_mm([0; 3])), (None, None));
        assert_eq!(NearestVoxels::of([3, 0, 2], [1.0; 3], |_| true).unwrap().nearest([0; 3]), None);
        let full = NearestVoxels::of([3, 2, 2], [1.0; 3], |_| true).unwrap();
        assert_eq!((full.nearest([2, 1, 1]), full.nearest([3, 0, 0]), full.nearest([0, 2, 0])), (Some([2, 1, 1]), None, None));
    }

    #[test]
    fn the_result_does_not_depend_on_the_number_of_threads() {
        let dims = [17, 13, 11];
        let set = random_set(3, dims.iter().product(), 30);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| NearestVoxels::of(dims, [1.0, 1.0, 2.0], |voxel| set[voxel]).unwrap())
        };
        assert_eq!(with(1), with(5));
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        for spacing in [[0.0, 1.0, 1.0], [1.0, -1.0, 1.0], [1.0, 1.0, f64::NAN], [f64::INFINITY, 1.0, 1.0]] {
            assert_eq!(NearestVoxels::of([1; 3], spacing, |_| true).unwrap_err().kind(), ErrorKind::InvalidArgument);
        }
        for dims in [[usize::MAX, 2, 2], [1 << 16, 1 << 16, 1]] {
            assert_eq!(NearestVoxels::of(dims, [1.0; 3], |_| true).unwrap_err().kind(), ErrorKind::InvalidArgument);
        }
    }
}
