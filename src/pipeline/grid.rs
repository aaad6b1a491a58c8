//! From a volume to the model grid: orient, resample, clip, whiten (method.md 1.1 to 1.4).

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Region;
use crate::error::{Error, ErrorKind, Result, try_reserve};
use crate::geometry::{Geometry, Orientation};
use crate::model::Preprocess;
use crate::threads::{Pool, lock};
use crate::volume::{Rescale, Volume, Voxel, with_voxel_type};

/// The model grid's length along an axis of `n` voxels of spacing `s` (mm), resampled to `t` (mm): method.md 1.3.
pub fn resampled_length(n: usize, s: f64, t: f64) -> usize {
    // The cast saturates; a length beyond memory is refused where memory is counted.
    ((n as f64 * s / t + 0.5).floor() as usize).max(1)
}

/// The input index that output index `o` takes: method.md 1.3.
pub(crate) fn input_index(o: usize, n: usize, s: f64, t: f64) -> usize {
    (((o as f64 + 0.5) * t / s).floor() as usize).min(n - 1)
}

/// The model index that input index `v` takes on the way back: method.md 4.
pub(crate) fn model_index(v: usize, n: usize, s: f64, t: f64) -> usize {
    (((v as f64 + 0.5) * s / t).floor() as usize).min(n - 1)
}

/// Voxels of the model grid, D, H, W, for a volume of this geometry.
///
/// # Errors
/// [`ErrorKind::VolumeTooLarge`] if their number cannot be addressed.
pub fn model_dims(geometry: &Geometry, spacing_mm: [f64; 3]) -> Result<[usize; 3]> {
    let (orientation, spacing) = (geometry.orientation(), geometry.ijk_to_world.spacing());
    let dims: [usize; 3] = std::array::from_fn(|model| {
        let axis = orientation.axes[model];
        resampled_length(geometry.dims[axis], spacing[axis], spacing_mm[model])
    });
    let voxels = dims[0].checked_mul(dims[1]).and_then(|n| n.checked_mul(dims[2]));
    if voxels.is_none_or(|n| n > u32::MAX as usize) {
        return Err(Error::new(
            ErrorKind::VolumeTooLarge,
            format!("the volume has {}×{}×{} voxels at the model's spacing; the most is {}", dims[0], dims[1], dims[2], u32::MAX),
        ));
    }
    Ok(dims)
}

/// Where every voxel of the model grid comes from and every voxel of the input goes to, axis by axis.
#[derive(Clone, Debug, Default)]
pub struct GridMap {
    /// Voxels of the model grid, D, H, W.
    pub dims: [usize; 3],
    /// For D, H, W and each model index: the input's index along the array axis that serves.
    input: [Vec<u32>; 3],
    /// For i, j, k and each input index: its share of the offset into the model grid.
    offsets: [Vec<u32>; 3],
    /// For D, H, W: the array axis that serves.
    axes: [usize; 3],
}

impl GridMap {
    /// Bytes of the tables for an input and a model grid of these dimensions.
    pub fn bytes(input_dims: [usize; 3], model_dims: [usize; 3]) -> usize {
        size_of::<u32>() * input_dims.iter().chain(&model_dims).fold(0usize, |sum, &n| sum.saturating_add(n))
    }

    /// Makes room for volumes of this shape or, axis by axis in any order, no larger.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`]; the map stays as it was.
    pub fn reserve(&mut self, input_dims: [usize; 3], model_dims: [usize; 3]) -> Result<()> {
        // A smaller volume may come in another axis order: every table is as long as the longest.
        let longest = |dims: [usize; 3]| dims.into_iter().max().unwrap_or(0);
        for table in &mut self.input {
            try_reserve(table, longest(model_dims), "the resampling tables")?;
        }
        for table in &mut self.offsets {
            try_reserve(table, longest(input_dims), "the resampling tables")?;
        }
        Ok(())
    }

    /// Fills the tables for a volume of this geometry. Allocates nothing beyond what [`reserve`](Self::reserve) took.
    ///
    /// # Errors
    /// [`ErrorKind::VolumeTooLarge`], [`ErrorKind::OutOfMemory`].
    pub fn set(&mut self, geometry: &Geometry, spacing_mm: [f64; 3]) -> Result<()> {
        let dims = model_dims(geometry, spacing_mm)?;
        self.reserve(geometry.dims, dims)?;
        let Orientation { axes, flipped } = geometry.orientation();
        let spacing = geometry.ijk_to_world.spacing();
        let steps = [dims[1] * dims[2], dims[2], 1];
        for model in 0..3 {
            let axis = axes[model];
            let (n, s, t) = (geometry.dims[axis], spacing[axis], spacing_mm[model]);
            let turned = |index: usize| if flipped[model] { n - 1 - index } else { index };
            self.input[model].clear();
            self.input[model].extend((0..dims[model]).map(|o| turned(input_index(o, n, s, t)) as u32));
            self.offsets[axis].clear();
            self.offsets[axis].extend((0..n).map(|v| (model_index(turned(v), dims[model], s, t) * steps[model]) as u32));
        }
        (self.dims, self.axes) = (dims, axes);
        Ok(())
    }

    /// For i, j, k and each input index: its share of the offset into the model grid. The offset of a voxel is the sum.
    pub fn offsets(&self) -> &[Vec<u32>; 3] {
        &self.offsets
    }

    /// The array axis that serves a model axis (0: D), and for each model index the input's index along it.
    pub fn input(&self, model_axis: usize) -> (usize, &[u32]) {
        (self.axes[model_axis], &self.input[model_axis])
    }

    /// The input's voxels (i, j, k) between the first and the last that the model grid's voxels of `region` (D, H, W) take.
    pub fn input_region(&self, region: &Region) -> Region {
        let mut input = [0..1, 0..1, 0..1];
        for (model, range) in region.iter().enumerate() {
            // Indices rise or fall along the whole axis.
            let ends = [range.start, range.end.saturating_sub(1)].map(|o| self.input[model].get(o).map_or(0, |&index| index as usize));
            input[self.axes[model]] = ends[0].min(ends[1])..ends[0].max(ends[1]) + 1;
        }
        input
    }

    /// The model grid's voxels (D, H, W) that the input's voxels of `region` (i, j, k) take on the way back.
    pub fn model_region(&self, region: &Region) -> Region {
        let steps = [self.dims[1] * self.dims[2], self.dims[2], 1];
        std::array::from_fn(|model| {
            let axis = self.axes[model];
            let ends = [region[axis].start, region[axis].end.saturating_sub(1)]
                .map(|v| self.offsets[axis].get(v).map_or(0, |&offset| offset as usize / steps[model]));
            ends[0].min(ends[1])..ends[0].max(ends[1]) + 1
        })
    }
}

/// The network's input: whitened voxels, D, H, W, the last fastest.
#[derive(Clone, Debug, Default)]
pub struct Grid {
    /// Voxels along D, H, W.
    pub dims: [usize; 3],
    /// Whitened voxels.
    pub voxels: Vec<f32>,
    /// What stands beyond the volume's end where an axis is shorter than the window: the whitened lower clip.
    pub outside: f32,
}

/// What the intensities look like, to warn of volumes that are no CT in Hounsfield units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Intensities {
    /// Voxels at or above the upper clip.
    pub saturated: u64,
    /// The smallest Hounsfield value, after clipping.
    pub min: f32,
    /// The largest Hounsfield value, after clipping.
    pub max: f32,
}

impl Intensities {
    /// Of no voxel at all.
    pub const NONE: Intensities = Intensities { saturated: 0, min: f32::INFINITY, max: f32::NEG_INFINITY };
}

/// Stored numbers to the network's input: rescale, clip, whiten.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whitening {
    pub slope: f64,
    pub intercept: f64,
    pub low: f64,
    pub high: f64,
    pub mean: f32,
    pub std: f32,
}

impl Whitening {
    pub fn new(rescale: Rescale, preprocess: &Preprocess) -> Self {
        Whitening {
            slope: rescale.slope,
            intercept: rescale.intercept,
            low: preprocess.clip_hu[0],
            high: preprocess.clip_hu[1],
            mean: preprocess.mean as f32,
            std: preprocess.std as f32,
        }
    }

    /// What stands beyond the volume's end: the whitened lower clip.
    pub fn outside(&self) -> f32 {
        self.whiten(self.low as f32)
    }

    /// Clipped Hounsfield units; NaN becomes the lower clip.
    fn hounsfield(&self, raw: f64) -> f32 {
        let hu = raw * self.slope + self.intercept;
        (if hu > self.low { hu.min(self.high) } else { self.low }) as f32
    }

    fn whiten(&self, hu: f32) -> f32 {
        (hu - self.mean) / self.std
    }
}

impl Grid {
    /// Fills `region` of the grid (D, H, W) from a volume. Allocates nothing if the grid has held as many voxels before.
    ///
    /// # Errors
    /// [`ErrorKind::NullArgument`] if the volume has no voxels; [`ErrorKind::OutOfMemory`].
    pub fn fill(
        &mut self,
        volume: &Volume<'_>,
        map: &GridMap,
        preprocess: &Preprocess,
        region: &Region,
        pool: &Pool,
    ) -> Result<Intensities> {
        volume.require_voxels()?;
        let whitening = Whitening::new(volume.rescale(), preprocess);
        let count = map.dims.iter().product();
        try_reserve(&mut self.voxels, count, "the model grid")?;
        self.voxels.resize(count, 0.0);
        self.dims = map.dims;
        self.outside = whitening.outside();
        with_voxel_type!(volume.voxel_type(), T => self.fill_typed::<T>(volume, map, whitening, region, pool))
    }

    fn fill_typed<T: Voxel>(
        &mut self,
        volume: &Volume<'_>,
        map: &GridMap,
        whitening: Whitening,
        region: &Region,
        pool: &Pool,
    ) -> Result<Intensities> {
        let [depths, rows, columns] = region.clone();
        let [_, height, width] = map.dims;
        let strides = volume.strides();
        // The byte offset of model index `o` along model axis `model`.
        let offset = |model: usize, o: usize| map.input[model][o] as isize * strides[map.axes[model]];
        let (saturated, extremes) = (AtomicU64::new(0), Mutex::new((f32::INFINITY, f32::NEG_INFINITY)));
        let planes = Mutex::new(self.voxels.chunks_exact_mut(height * width).enumerate().skip(depths.start).take(depths.len()));
        pool.run(|_| {
            loop {
                let Some((d, plane)) = lock(&planes).next() else { break };
                let (mut count, mut low, mut high) = (0u64, f32::INFINITY, f32::NEG_INFINITY);
                for h in rows.clone() {
                    let start = offset(0, d) + offset(1, h);
                    for w in columns.clone() {
                        // SAFETY: the tables hold indices within the volume's dimensions (`input_index` clamps), whose
                        // addresses `Volume::from_raw`'s caller promised; the address need not be aligned.
                        let raw = unsafe { volume.as_ptr().offset(start + offset(2, w)).cast::<T>().read_unaligned() };
                        let hu = whitening.hounsfield(raw.to_f64());
                        count += u64::from(f64::from(hu) >= whitening.high);
                        (low, high) = (low.min(hu), high.max(hu));
                        plane[h * width + w] = whitening.whiten(hu);
                    }
                }
                saturated.fetch_add(count, Ordering::Relaxed);
                let mut extremes = lock(&extremes);
                *extremes = (extremes.0.min(low), extremes.1.max(high));
            }
        })?;
        let (min, max) = *lock(&extremes);
        Ok(Intensities { saturated: saturated.into_inner(), min, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Affine, World};
    use crate::model::Config;

    fn filled(volume: &Volume<'_>) -> (Grid, GridMap, Intensities) {
        let preprocess = Config::spinect(&[2, 4]).preprocess;
        let (mut map, mut grid) = (GridMap::default(), Grid::default());
        map.set(volume.geometry(), preprocess.spacing_mm).unwrap();
        let region = map.dims.map(|n| 0..n);
        let intensities = grid.fill(volume, &map, &preprocess, &region, &Pool::new(2, None).unwrap()).unwrap();
        (grid, map, intensities)
    }

    fn hounsfield(grid: &Grid) -> Vec<f32> {
        let preprocess = Config::spinect(&[2, 4]).preprocess;
        grid.voxels.iter().map(|v| (v * preprocess.std as f32 + preprocess.mean as f32).round()).collect()
    }

    #[test]
    fn lengths_round_half_up_and_never_vanish() {
        assert_eq!(resampled_length(3, 0.5, 1.0), 2);
        assert_eq!(resampled_length(1, 0.3, 1.0), 1);
        assert_eq!(resampled_length(122, 3.0, 1.0), 366);
    }

    #[test]
    fn an_lps_volume_of_model_spacing_is_copied_as_it_is() {
        let voxels: Vec<i16> = (0..24).collect();
        let geometry = Geometry { dims: [4, 3, 2], ijk_to_world: Affine::from_spacing([1.0; 3], [5.0; 3]), world: World::Lps };
        let (grid, map, _) = filled(&Volume::from_slice(&voxels, geometry).unwrap());
        assert_eq!(map.dims, [2, 3, 4]);
        assert_eq!(hounsfield(&grid), (0..24).map(|v| v as f32).collect::<Vec<_>>());
    }

    #[test]
    fn ras_axes_are_turned_to_left_and_posterior() {
        let voxels: Vec<i16> = (0..4).collect();
        let geometry = Geometry { dims: [2, 2, 1], ijk_to_world: Affine::from_spacing([1.0; 3], [0.0; 3]), world: World::Ras };
        let (grid, map, _) = filled(&Volume::from_slice(&voxels, geometry).unwrap());
        assert_eq!(hounsfield(&grid), [3.0, 2.0, 1.0, 0.0]);
        assert_eq!(map.model_region(&[0..1, 0..1, 0..1]), [0..1, 1..2, 1..2]);
    }

    #[test]
    fn not_a_number_padding_and_metal_are_clipped() {
        let voxels = [f32::NAN, -32768.0, f32::INFINITY, f32::NEG_INFINITY];
        let geometry = Geometry { dims: [4, 1, 1], ijk_to_world: Affine::from_spacing([1.0; 3], [0.0; 3]), world: World::Lps };
        let (grid, _, intensities) = filled(&Volume::from_slice(&voxels, geometry).unwrap());
        assert_eq!(hounsfield(&grid), [-1024.0, -1024.0, 3071.0, -1024.0]);
        assert_eq!(intensities, Intensities { saturated: 1, min: -1024.0, max: 3071.0 });
    }

    #[test]
    fn rescale_gives_the_same_grid_as_hounsfield_units() {
        let geometry = Geometry { dims: [3, 1, 1], ijk_to_world: Affine::from_spacing([0.7, 1.0, 1.0], [0.0; 3]), world: World::Lps };
        let (plain, ..) = filled(&Volume::from_slice(&[-24i16, 0, 976], geometry).unwrap());
        let stored = Volume::from_slice(&[500u16, 512, 1000], geometry).unwrap();
        let (rescaled, ..) = filled(&stored.with_rescale(Rescale::new(2.0, -1024.0).unwrap()));
        assert_eq!(plain.voxels, rescaled.voxels);
    }
}
