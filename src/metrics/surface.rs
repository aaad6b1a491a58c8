//! How far apart the surfaces of two segmentations lie: HD95 and ASSD, defined as in MedPy 0.5 (`medpy.metric.binary.hd95`
//! and `assd`), so that numbers can stand beside those of papers that use it.
//!
//! - The surface of a label: its voxels with a neighbor, of six, that is not the label. Beyond the volume nothing is, so
//!   that a structure cut by the volume's border has surface there.
//! - A surface voxel's distance: from its center to the nearest center of the other's surface voxels, in mm. Exact, in
//!   `f64`; only the spacing counts, see [`crate::distance`].
//! - HD95: the 95th percentile of the distances of both directions together, interpolated linearly between ranks.
//! - ASSD: the mean of the distances of both directions together (Heimann et al., IEEE Transactions on Medical Imaging 28,
//!   2009). MedPy before 0.5 took the mean of the two directions' means, which weighs the smaller surface more.

use std::ops::Range;

use crate::distance::{NearestVoxels, check_spacing};
use crate::error::{Error, ErrorKind, Result, try_reserve, try_vec};

/// How far apart the surfaces of one label lie in two label maps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SurfaceDistances {
    /// The 95th percentile of the distances from either surface to the other, mm.
    pub hd95_mm: f64,
    /// The average symmetric surface distance, mm.
    pub assd_mm: f64,
}

impl SurfaceDistances {
    /// The distances between the surfaces of `label` in two label maps of one grid: `dims` voxels along i, j, k, i fastest,
    /// `spacing_mm` apart. `None` where either map lacks the label. Time and memory (5 bytes per voxel) are those of the box
    /// around both structures; the result is the same for any number of threads.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if the maps do not both hold `dims` voxels, the spacing is not above 0 and finite, or
    /// the box holds 2³² voxels or more; [`ErrorKind::OutOfMemory`].
    pub fn between(truth: &[u8], prediction: &[u8], label: u8, dims: [usize; 3], spacing_mm: [f64; 3]) -> Result<Option<Self>> {
        let voxels = dims.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
        if voxels != Some(truth.len()) || voxels != Some(prediction.len()) {
            let message = format!(
                "the truth has {} voxels and the prediction {}, dimensions {dims:?} another number: compare label maps of one grid",
                truth.len(),
                prediction.len()
            );
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        check_spacing(spacing_mm)?;
        let (Some(a), Some(b)) = (bounds(truth, label, dims), bounds(prediction, label, dims)) else { return Ok(None) };
        let range = |axis: usize| a[axis].start.min(b[axis].start)..a[axis].end.max(b[axis].end);
        let surfaces = Surfaces::of([truth, prediction], label, dims, [range(0), range(1), range(2)])?;
        let mut pooled = Vec::new();
        try_reserve(&mut pooled, surfaces.count(TRUTH) + surfaces.count(PREDICTION), "surface distances")?;
        surfaces.measure(TRUTH, PREDICTION, spacing_mm, &mut pooled)?;
        surfaces.measure(PREDICTION, TRUTH, spacing_mm, &mut pooled)?;
        let assd_mm = pooled.iter().sum::<f64>() / pooled.len() as f64;
        Ok(percentile(&mut pooled, 0.95).map(|hd95_mm| SurfaceDistances { hd95_mm, assd_mm }))
    }
}

/// The smallest box that holds every voxel of a label; `None` if there is none.
fn bounds(map: &[u8], label: u8, dims: [usize; 3]) -> Option<[Range<usize>; 3]> {
    let [columns, rows, _] = dims;
    let mut bounds: Option<[Range<usize>; 3]> = None;
    for (at, row) in map.chunks(columns.max(1)).enumerate() {
        let Some(first) = row.iter().position(|&value| value == label) else { continue };
        let last = row.iter().rposition(|&value| value == label).unwrap_or(first);
        let (j, k) = (at % rows, at / rows);
        let found = [first..last + 1, j..j + 1, k..k + 1];
        bounds = Some(match bounds {
            None => found,
            Some(old) => std::array::from_fn(|axis| old[axis].start.min(found[axis].start)..old[axis].end.max(found[axis].end)),
        });
    }
    bounds
}

/// The bits of [`Surfaces`].
const TRUTH: u8 = 1;
const PREDICTION: u8 = 2;

/// The surfaces of a label in two label maps, within the box around both.
struct Surfaces {
    dims: [usize; 3],
    /// Per voxel of the box, i fastest: whose surface it belongs to, as bits.
    voxels: Vec<u8>,
}

impl Surfaces {
    fn of(maps: [&[u8]; 2], label: u8, dims: [usize; 3], region: [Range<usize>; 3]) -> Result<Self> {
        let box_dims = [0, 1, 2].map(|axis: usize| region[axis].len());
        let mut voxels = try_vec(0, box_dims.iter().product(), "the surfaces of a label")?;
        let steps = [1, dims[0], dims[0] * dims[1]];
        let [columns, rows, slices] = region;
        let places = slices.flat_map(|k| {
            let columns = &columns;
            rows.clone().flat_map(move |j| columns.clone().map(move |i| [i, j, k]))
        });
        for (voxel, place) in voxels.iter_mut().zip(places) {
            let at = place[0] + place[1] * steps[1] + place[2] * steps[2];
            for (map, bit) in maps.into_iter().zip([TRUTH, PREDICTION]) {
                let inside = |axis: usize| {
                    let step = steps[axis];
                    place[axis] > 0 && place[axis] + 1 < dims[axis] && map[at - step] == label && map[at + step] == label
                };
                if map[at] == label && !(0..3).all(inside) {
                    *voxel |= bit;
                }
            }
        }
        Ok(Surfaces { dims: box_dims, voxels })
    }

    /// Voxels of one of the surfaces.
    fn count(&self, surface: u8) -> usize {
        self.voxels.iter().filter(|voxel| **voxel & surface != 0).count()
    }

    /// Appends, for every voxel of the surface `from` in the voxels' order, the distance to the surface `to`, mm.
    fn measure(&self, from: u8, to: u8, spacing_mm: [f64; 3], distances: &mut Vec<f64>) -> Result<()> {
        let nearest = NearestVoxels::of(self.dims, spacing_mm, |voxel| self.voxels[voxel] & to != 0)?;
        let [columns, rows, _] = self.dims;
        let surface = self.voxels.iter().enumerate().filter(|(_, voxel)| **voxel & from != 0);
        distances.extend(surface.filter_map(|(at, _)| nearest.distance_mm([at % columns, at / columns % rows, at / columns / rows])));
        Ok(())
    }
}

/// The value below which this share of the values lies, interpolated linearly between ranks as numpy does by default.
fn percentile(values: &mut [f64], share: f64) -> Option<f64> {
    let rank = share * values.len().checked_sub(1)? as f64;
    let (_, &mut low, above) = values.select_nth_unstable_by(rank as usize, f64::total_cmp);
    let high = above.iter().copied().min_by(f64::total_cmp).unwrap_or(low);
    Some(low + (high - low) * rank.fract())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    const DIMS: [usize; 3] = [7, 6, 5];

    fn places() -> impl Iterator<Item = [usize; 3]> {
        (0..DIMS[0] * DIMS[1] * DIMS[2]).map(|at| [at % DIMS[0], at / DIMS[0] % DIMS[1], at / DIMS[0] / DIMS[1]])
    }

    fn map(label: impl FnMut([usize; 3]) -> u8) -> Vec<u8> {
        places().map(label).collect()
    }

    fn between(truth: &[u8], prediction: &[u8], spacing: [f64; 3]) -> Option<SurfaceDistances> {
        SurfaceDistances::between(truth, prediction, 1, DIMS, spacing).unwrap()
    }

    /// The definition, word by word, in quadratic time.
    fn by_definition(truth: &[u8], prediction: &[u8], spacing: [f64; 3]) -> SurfaceDistances {
        let surface = |map: &[u8]| -> Vec<[usize; 3]> {
            let label = |place: [i64; 3]| {
                let [i, j, k] = place;
                let outside = (0..3).any(|axis| place[axis] < 0 || place[axis] >= DIMS[axis] as i64);
                !outside && map[((k * DIMS[1] as i64 + j) * DIMS[0] as i64 + i) as usize] == 1
            };
            let steps = [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]];
            places()
                .filter(|place| {
                    let at = place.map(|n| n as i64);
                    label(at) && steps.iter().any(|step| !label(std::array::from_fn(|axis| at[axis] + step[axis])))
                })
                .collect()
        };
        let (a, b) = (surface(truth), surface(prediction));
        let directed = |from: &[[usize; 3]], to: &[[usize; 3]]| -> Vec<f64> {
            let length = |p: &[usize; 3], q: &[usize; 3]| {
                (0..3).map(|axis| ((p[axis] as f64 - q[axis] as f64) * spacing[axis]).powi(2)).sum::<f64>().sqrt()
            };
            from.iter().map(|p| to.iter().map(|q| length(p, q)).fold(f64::INFINITY, f64::min)).collect()
        };
        let (there, back) = (directed(&a, &b), directed(&b, &a));
        let mut pooled = [there, back].concat();
        let assd_mm = pooled.iter().sum::<f64>() / pooled.len() as f64;
        pooled.sort_by(f64::total_cmp);
        let rank = 0.95 * (pooled.len() - 1) as f64;
        let (low, high) = (pooled[rank.floor() as usize], pooled[rank.ceil() as usize]);
        SurfaceDistances { hd95_mm: low + (high - low) * (rank - rank.floor()), assd_mm }
    }

    #[test]
    fn distances_are_those_of_the_definition_in_any_spacing() {
        let mut random = ChaCha8Rng::seed_from_u64(11);
        for (at, spacing) in [[1.0; 3], [0.7, 0.7, 3.0], [5.0, 0.3, 1.1]].into_iter().cycle().take(60).enumerate() {
            // From single voxels to nearly full volumes, with other labels between them.
            let share = [2, 9, 80, 200, 250][at % 5];
            let mut noise = || map(|_| if random.next_u32() % 256 < share { 1 } else { (random.next_u32() % 2 * 2) as u8 });
            let (mut truth, mut prediction) = (noise(), noise());
            (truth[at], prediction[209 - at]) = (1, 1);
            let (found, expected) = (between(&truth, &prediction, spacing).unwrap(), by_definition(&truth, &prediction, spacing));
            assert!((found.hd95_mm - expected.hd95_mm).abs() < 1e-12 * (1.0 + expected.hd95_mm), "{found:?}, not {expected:?}");
            assert!((found.assd_mm - expected.assd_mm).abs() < 1e-12 * (1.0 + expected.assd_mm), "{found:?}, not {expected:?}");
        }
    }

    #[test]
    fn equal_structures_are_no_distance_apart_also_where_they_fill_the_volume() {
        let everything = map(|_| 1);
        let cut = map(|[i, j, _]| u8::from(i < 3 && j > 1));
        for structure in [everything, cut] {
            assert_eq!(between(&structure, &structure, [0.5, 1.0, 2.0]), Some(SurfaceDistances { hd95_mm: 0.0, assd_mm: 0.0 }));
        }
    }

    #[test]
    fn two_voxels_are_as_far_apart_as_their_centers_in_millimeters() {
        let (truth, prediction) = (map(|place| u8::from(place == [0, 0, 0])), map(|place| u8::from(place == [6, 0, 4])));
        let found = between(&truth, &prediction, [0.5, 9.0, 1.0]).unwrap();
        assert_eq!((found.hd95_mm, found.assd_mm), (5.0, 5.0));
    }

    #[test]
    fn a_label_that_either_map_lacks_has_no_distance() {
        let (something, nothing) = (map(|[i, ..]| u8::from(i == 2)), map(|_| 0));
        for (truth, prediction) in [(&something, &nothing), (&nothing, &something), (&nothing, &nothing)] {
            assert_eq!(between(truth, prediction, [1.0; 3]), None);
        }
    }

    #[test]
    fn a_cut_structure_has_surface_at_the_border_of_the_volume() {
        // A slab of the last slices; the prediction misses the very last. Only the border tells the two outer faces apart.
        let (truth, prediction) = (map(|[.., k]| u8::from(k >= 1)), map(|[.., k]| u8::from((1..4).contains(&k))));
        assert_eq!(between(&truth, &prediction, [1.0; 3]).unwrap(), by_definition(&truth, &prediction, [1.0; 3]));
        assert!(between(&truth, &prediction, [1.0; 3]).unwrap().hd95_mm > 0.0);
    }

    #[test]
    fn maps_and_spacings_that_describe_no_grid_are_refused() {
        for (voxels, dims, spacing) in [(1, [2, 1, 1], [1.0; 3]), (2, [2, 1, 1], [0.0; 3]), (0, [usize::MAX, 3, 1], [1.0; 3])] {
            let map = vec![1; voxels];
            assert_eq!(SurfaceDistances::between(&map, &map, 1, dims, spacing).unwrap_err().kind(), ErrorKind::InvalidArgument);
        }
        assert_eq!(SurfaceDistances::between(&[], &[], 1, [0, 0, 5], [1.0; 3]), Ok(None));
    }
}
