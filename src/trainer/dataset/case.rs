//! A preprocessed case: Hounsfield units and classes along the model's axes, at the case's own spacing.
//!
//! Clipping, whitening and resampling are left to whoever takes voxels out, since augmentation draws the voxel size anew for
//! every patch.

use std::ops::Range;

use crate::error::{Error, ErrorKind, Result, try_reserve, try_vec};
use crate::geometry::{Affine, Geometry, SPACING_LIMITS_MM, World};
use crate::model::Preprocess;
use crate::pipeline::grid::{Grid, GridMap, input_index, resampled_length};
use crate::volume::{Volume, Voxel, with_voxel_type};

use super::classes::ValueMap;

/// What stands for the class of a voxel beyond the case's end: it does not count.
pub const PADDING: u8 = 255;

/// An image and its classes, along the model's axes D, H, W (increasing towards Superior, Posterior, Left), the last fastest.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    dims: [usize; 3],
    spacing_mm: [f64; 3],
    hounsfield: Vec<i16>,
    classes: Vec<u8>,
    foreground: Vec<ClassPlanes>,
}

/// Where a class lies, coarsely: enough to draw one of its voxels uniformly.
#[derive(Clone, Debug, PartialEq)]
struct ClassPlanes {
    class: u8,
    /// For each plane along D: the voxels of the class up to and with this plane.
    up_to: Vec<u64>,
}

impl Case {
    /// A case from voxels along D, H, W, the last fastest. `hounsfield` need not be clipped.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for slices of another length than the dimensions say, or a class of [`PADDING`];
    /// [`ErrorKind::InvalidGeometry`] for dimensions or a spacing that no volume has; [`ErrorKind::OutOfMemory`].
    pub fn new(dims: [usize; 3], spacing_mm: [f64; 3], hounsfield: Vec<i16>, classes: Vec<u8>) -> Result<Case> {
        check_spacing(spacing_mm)?;
        let count = dims[0].checked_mul(dims[1]).and_then(|n| n.checked_mul(dims[2])).filter(|&n| n > 0 && n <= u32::MAX as usize);
        if count.is_none() {
            let message = format!("a case of {dims:?} voxels: there must be some, and at most {}", u32::MAX);
            return Err(Error::new(ErrorKind::InvalidGeometry, message));
        }
        if count != Some(hounsfield.len()) || count != Some(classes.len()) {
            let message =
                format!("{} Hounsfield units and {} classes given for a case of {dims:?} voxels", hounsfield.len(), classes.len());
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        let foreground = foreground(dims, &classes)?;
        if foreground.last().is_some_and(|last| last.class == PADDING) {
            let message = format!("a voxel has class {PADDING}, which stands for no voxel at all: the classes are 0 to 254");
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        Ok(Case { dims, spacing_mm, hounsfield, classes, foreground })
    }

    /// The case of an image and the values of its label map (packed, i fastest, on the image's grid): turned to the model's
    /// axes without interpolation (method.md 1.2), Hounsfield units rounded to whole numbers. NaN becomes the lowest number,
    /// as clipping makes of it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for another number of labels than voxels, or a value without a class;
    /// [`ErrorKind::NullArgument`] for an image without voxels; [`ErrorKind::VolumeTooLarge`], [`ErrorKind::OutOfMemory`].
    pub fn from_volume(image: &Volume<'_>, labels: &[u8], values: &ValueMap) -> Result<Case> {
        let geometry = image.geometry();
        if !image.has_voxels() {
            return Err(Error::new(ErrorKind::NullArgument, "the image has no voxels: only a shape was given"));
        }
        if labels.len() != geometry.voxel_count() {
            let message = format!("{} labels given for an image of {:?} voxels", labels.len(), geometry.dims);
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        let (orientation, spacing) = (geometry.orientation(), geometry.ijk_to_world.spacing());
        let spacing_mm = orientation.axes.map(|axis| spacing[axis]);
        // At the volume's own spacing, the map to the model grid moves every voxel and loses none.
        let mut map = GridMap::default();
        map.set(geometry, spacing_mm)?;
        let mut hounsfield = try_vec(0i16, labels.len(), "a case's voxels")?;
        let mut classes = try_vec(0u8, labels.len(), "a case's classes")?;
        let ([offsets_i, offsets_j, offsets_k], rescale) = (map.offsets(), image.rescale());
        let mut labels = labels.iter();
        for (k, &plane) in offsets_k.iter().enumerate() {
            for (j, &row) in offsets_j.iter().enumerate() {
                with_voxel_type!(image.voxel_type(), T => for (stored, (&column, &label)) in
                    image.row::<T>(j, k).into_iter().flatten().zip(offsets_i.iter().zip(&mut labels))
                {
                    let at = (plane + row + column) as usize;
                    hounsfield[at] = whole(stored.to_f64() * rescale.slope + rescale.intercept);
                    classes[at] = values.class(label).ok_or_else(|| {
                        Error::new(ErrorKind::InvalidArgument, format!("label value {label} belongs to no class: map it to one"))
                    })?;
                });
            }
        }
        Case::new(map.dims, spacing_mm, hounsfield, classes)
    }

    /// Voxels along D, H, W.
    pub fn dims(&self) -> [usize; 3] {
        self.dims
    }

    /// Spacing along D, H, W, mm.
    pub fn spacing_mm(&self) -> [f64; 3] {
        self.spacing_mm
    }

    /// Hounsfield units, not clipped.
    pub fn hounsfield(&self) -> &[i16] {
        &self.hounsfield
    }

    /// The class of every voxel.
    pub fn classes(&self) -> &[u8] {
        &self.classes
    }

    /// The image on the case's own grid, whose axes i, j, k are W, H, D: a session segments it as it segments the file, and
    /// its labels lie in the order of [`classes`](Self::classes).
    ///
    /// # Errors
    /// None that a case which exists could meet: those of [`Volume::from_slice`].
    pub fn volume(&self) -> Result<Volume<'_>> {
        let [depth, height, width] = self.dims;
        let [d, h, w] = self.spacing_mm;
        let ijk_to_world = Affine::from_spacing([w, h, d], [0.0; 3]);
        Volume::from_slice(&self.hounsfield, Geometry { dims: [width, height, depth], ijk_to_world, world: World::Lps })
    }

    /// The classes but background that the case holds, in rising order.
    pub fn foreground_classes(&self) -> impl ExactSizeIterator<Item = u8> + '_ {
        self.foreground.iter().map(|planes| planes.class)
    }

    /// How many voxels a class of the foreground has.
    pub fn foreground_count(&self, class: u8) -> u64 {
        self.foreground.iter().find(|planes| planes.class == class).and_then(|planes| planes.up_to.last().copied()).unwrap_or(0)
    }

    /// The place D, H, W of voxel number `rank` of a class of the foreground, counted in memory order; `None` beyond the last.
    pub fn foreground_voxel(&self, class: u8, rank: u64) -> Option<[usize; 3]> {
        let planes = self.foreground.iter().find(|planes| planes.class == class)?;
        let d = planes.up_to.partition_point(|&up_to| up_to <= rank);
        let before = d.checked_sub(1).map_or(0, |last| planes.up_to[last]);
        let plane = self.classes.chunks_exact(self.dims[1] * self.dims[2]).nth(d)?;
        let (at, _) = plane.iter().enumerate().filter(|&(_, &found)| found == class).nth((rank - before) as usize)?;
        Some([d, at / self.dims[2], at % self.dims[2]])
    }

    /// Bytes that the case takes in memory.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + 3 * self.hounsfield.len() + self.foreground.iter().map(|planes| 8 * planes.up_to.len()).sum::<usize>()
    }

    /// Voxels along D, H, W once resampled to another spacing (method.md 1.3).
    pub fn resampled_dims(&self, spacing_mm: [f64; 3]) -> [usize; 3] {
        std::array::from_fn(|axis| resampled_length(self.dims[axis], self.spacing_mm[axis], spacing_mm[axis]))
    }

    /// The index that each of these indices of the resampled grid takes along an axis: nearest neighbor (method.md 1.3).
    pub(super) fn sources(&self, axis: usize, spacing_mm: f64, outputs: Range<usize>) -> impl Iterator<Item = u32> + use<> {
        let (n, own) = (self.dims[axis], self.spacing_mm[axis]);
        outputs.map(move |o| input_index(o, n, own, spacing_mm) as u32)
    }

    /// The row of voxels along W at plane `d` and row `h`; empty beyond the case's end.
    pub(super) fn row(&self, d: u32, h: u32) -> (&[i16], &[u8]) {
        let [depth, height, width] = self.dims;
        let (d, h) = (d as usize, h as usize);
        if d >= depth || h >= height {
            return (&[], &[]);
        }
        let row = (d * height + h) * width..(d * height + h + 1) * width;
        (&self.hounsfield[row.clone()], &self.classes[row])
    }

    /// The source tables of the whole resampled grid, D, H, W.
    ///
    /// # Errors
    /// [`ErrorKind::VolumeTooLarge`] if its voxels cannot be addressed; [`ErrorKind::InvalidGeometry`] for a spacing that no
    /// volume has; [`ErrorKind::OutOfMemory`].
    pub(super) fn whole_grid(&self, spacing_mm: [f64; 3]) -> Result<[Vec<u32>; 3]> {
        check_spacing(spacing_mm)?;
        let dims = self.resampled_dims(spacing_mm);
        if dims[0].checked_mul(dims[1]).and_then(|n| n.checked_mul(dims[2])).is_none_or(|n| n > u32::MAX as usize) {
            let message = format!("the case has {dims:?} voxels at {spacing_mm:?} mm; the most is {}", u32::MAX);
            return Err(Error::new(ErrorKind::VolumeTooLarge, message));
        }
        let mut tables: [Vec<u32>; 3] = Default::default();
        for (axis, table) in tables.iter_mut().enumerate() {
            try_reserve(table, dims[axis], "the resampling tables")?;
            table.extend(self.sources(axis, spacing_mm[axis], 0..dims[axis]));
        }
        Ok(tables)
    }

    /// The case on the model grid: whitened voxels, exactly those that a session would compute on where the image holds
    /// whole Hounsfield units, and the class of each.
    ///
    /// # Errors
    /// [`ErrorKind::VolumeTooLarge`], [`ErrorKind::OutOfMemory`]; [`ErrorKind::InvalidGeometry`] for a spacing that no volume
    /// has; [`ErrorKind::InvalidArgument`] as [`Whitening::new`].
    pub fn to_model_grid(&self, preprocess: &Preprocess) -> Result<(Grid, Vec<u8>)> {
        let whitening = Whitening::new(preprocess)?;
        let [depths, rows, columns] = self.whole_grid(preprocess.spacing_mm)?;
        let dims = [depths.len(), rows.len(), columns.len()];
        let count = dims.iter().product();
        let (mut voxels, mut classes) = (Vec::new(), Vec::new());
        try_reserve(&mut voxels, count, "the model grid")?;
        try_reserve(&mut classes, count, "the model grid's classes")?;
        for (&d, &h) in depths.iter().flat_map(|d| rows.iter().map(move |h| (d, h))) {
            let (hounsfield, found) = self.row(d, h);
            voxels.extend(columns.iter().map(|&w| whitening.whiten(whitening.clip(f32::from(hounsfield[w as usize])))));
            classes.extend(columns.iter().map(|&w| found[w as usize]));
        }
        Ok((Grid { dims, voxels, outside: whitening.whiten(whitening.low) }, classes))
    }
}

/// Refuses a spacing (mm) that no volume has.
///
/// # Errors
/// [`ErrorKind::InvalidGeometry`].
pub(super) fn check_spacing(spacing_mm: [f64; 3]) -> Result<()> {
    let [low, high] = SPACING_LIMITS_MM;
    if spacing_mm.iter().any(|spacing| !(low..=high).contains(spacing)) {
        return Err(Error::new(ErrorKind::InvalidGeometry, format!("spacing {spacing_mm:?} mm: accepted are {low} to {high} mm")));
    }
    Ok(())
}

/// Hounsfield units as a whole number, ties away from zero; NaN is the lowest.
fn whole(hu: f64) -> i16 {
    // The cast saturates.
    if hu.is_nan() { i16::MIN } else { hu.round() as i16 }
}

/// The classes but background, and how many voxels of each lie in the planes along D.
fn foreground(dims: [usize; 3], classes: &[u8]) -> Result<Vec<ClassPlanes>> {
    let mut counts = try_vec([0u64; 256], dims[0], "a case's counts of voxels")?;
    for (counts, plane) in counts.iter_mut().zip(classes.chunks_exact(dims[1] * dims[2])) {
        plane.iter().for_each(|&class| counts[usize::from(class)] += 1);
    }
    let present = (1..=u8::MAX).filter(|&class| counts.iter().any(|counts| counts[usize::from(class)] > 0));
    Ok(present
        .map(|class| {
            let sums = counts.iter().scan(0, |sum, counts| {
                *sum += counts[usize::from(class)];
                Some(*sum)
            });
            ClassPlanes { class, up_to: sums.collect() }
        })
        .collect())
}

/// From Hounsfield units to the network's input: the clip, mean and standard deviation of a configuration, in f32 as the
/// pipeline computes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Whitening {
    /// The lower clip, Hounsfield units: what padding holds.
    pub low: f32,
    high: f32,
    mean: f32,
    std: f32,
}

impl Whitening {
    /// The whitening of a model's configuration.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a clip that does not rise or reaches beyond the 16 bits that cases are kept in, or
    /// a mean or standard deviation that whitens to nothing finite.
    pub fn new(preprocess: &Preprocess) -> Result<Whitening> {
        let Preprocess { clip_hu: [low, high], mean, std, .. } = *preprocess;
        let limits = f64::from(i16::MIN)..=f64::from(i16::MAX);
        if !(limits.contains(&low) && limits.contains(&high) && low < high) {
            let message = format!("clip_hu is [{low}, {high}]: training takes limits that rise, within {} to {}", i16::MIN, i16::MAX);
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        let whitening = Whitening { low: low as f32, high: high as f32, mean: mean as f32, std: std as f32 };
        if std <= 0.0 || [low, high].iter().any(|&limit| !whitening.whiten(limit as f32).is_finite()) {
            let message = format!("mean {mean} and standard deviation {std} whiten to nothing finite");
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        Ok(whitening)
    }

    /// Clips Hounsfield units.
    pub fn clip(&self, hu: f32) -> f32 {
        hu.max(self.low).min(self.high)
    }

    /// Whitens clipped Hounsfield units.
    pub fn whiten(&self, hu: f32) -> f32 {
        (hu - self.mean) / self.std
    }
}

#[cfg(test)]
mod tests {
    use super::super::classes::Classes;
    use super::*;
    use crate::io::{ReadOptions, read_image};
    use crate::model::Config;
    use crate::threads::Pool;
    use crate::volume::Rescale;

    fn geometry(dims: [usize; 3]) -> Geometry {
        Geometry { dims, ijk_to_world: Affine::from_spacing([1.0; 3], [0.0; 3]), world: World::Lps }
    }

    /// The same anatomy, stored with array axis a along model axis `axes[a]` (0 = D), backwards where `flipped[a]`.
    fn stored(dims: [usize; 3], spacing: [f64; 3], axes: [usize; 3], flipped: [bool; 3]) -> (Geometry, Vec<i16>, Vec<u8>) {
        let stored_dims = axes.map(|model| dims[model]);
        let (mut hounsfield, mut labels) = (Vec::new(), Vec::new());
        for at in 0..dims.iter().product() {
            let index = [at % stored_dims[0], at / stored_dims[0] % stored_dims[1], at / stored_dims[0] / stored_dims[1]];
            let mut place = [0; 3];
            for array in 0..3 {
                place[axes[array]] = if flipped[array] { stored_dims[array] - 1 - index[array] } else { index[array] };
            }
            let number = (place[0] * dims[1] + place[1]) * dims[2] + place[2];
            hounsfield.push(number as i16 * 7 - 100);
            labels.push((number % 3) as u8);
        }
        let mut affine = Affine::from_spacing([0.0; 3], [3.0, -4.0, 5.0]);
        for array in 0..3 {
            let row = 2 - axes[array];
            affine.0[4 * row + array] = if flipped[array] { -spacing[axes[array]] } else { spacing[axes[array]] };
        }
        (Geometry { dims: stored_dims, ijk_to_world: affine, world: World::Lps }, hounsfield, labels)
    }

    #[test]
    fn a_case_is_the_same_however_its_files_are_permuted_and_flipped() {
        let (dims, spacing) = ([4, 3, 5], [3.0, 0.7, 0.9]);
        let number: Vec<usize> = (0..60).collect();
        let expected =
            Case::new(dims, spacing, number.iter().map(|&n| n as i16 * 7 - 100).collect(), number.iter().map(|n| (n % 3) as u8).collect())
                .unwrap();
        for axes in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            for flips in 0..8 {
                let flipped = [0, 1, 2].map(|array| flips >> array & 1 == 1);
                let (geometry, hounsfield, labels) = stored(dims, spacing, axes, flipped);
                let image = Volume::from_slice(&hounsfield, geometry).unwrap();
                let case = Case::from_volume(&image, &labels, Classes::spinect().values()).unwrap();
                assert_eq!(case, expected, "{axes:?} {flipped:?}");
            }
        }
    }

    /// The grid of a session's pipeline.
    fn pipeline_grid(image: &Volume<'_>, preprocess: &Preprocess) -> Grid {
        let (mut map, mut grid) = (GridMap::default(), Grid::default());
        map.set(image.geometry(), preprocess.spacing_mm).unwrap();
        let region = map.dims.map(|n| 0..n);
        grid.fill(image, &map, preprocess, &region, &Pool::new(1, None).unwrap()).unwrap();
        grid
    }

    #[test]
    fn the_model_grid_of_a_case_is_that_of_the_pipeline() {
        for (name, labels, spacing_mm) in [
            ("golden/ct-l5s1-3mm.nii.gz", "golden/labels.nii.gz", [1.0; 3]),
            ("golden/oblique.nii.gz", "golden/oblique-labels.nii.gz", [1.0; 3]),
            ("golden/oblique.nii.gz", "golden/oblique-labels.nii.gz", [1.3, 0.77, 2.1]),
        ] {
            let Some((image, labels)) = crate::testing::shared_data(name).zip(crate::testing::shared_data(labels)) else { return };
            let [image, labels] = [image, labels].map(|path| read_image(&path, &ReadOptions::default()).unwrap());
            let mut preprocess = Preprocess { spacing_mm, ..Config::spinect(&[2]).preprocess };
            let values = labels.view().label_values().unwrap();
            let case = Case::from_volume(&image.view(), &values, Classes::spinect().values()).unwrap();
            let (grid, classes) = case.to_model_grid(&preprocess).unwrap();
            let expected = pipeline_grid(&image.view(), &preprocess);
            assert!(grid.dims == expected.dims && grid.outside == expected.outside && grid.voxels == expected.voxels, "{name}");
            (preprocess.mean, preprocess.std) = (0.0, 1.0);
            let own_grid = pipeline_grid(&case.volume().unwrap(), &preprocess);
            let expected = pipeline_grid(&image.view(), &preprocess);
            assert!(own_grid.dims == expected.dims && own_grid.voxels == expected.voxels, "{name}: as a volume");
            let expected = pipeline_grid(&labels.view(), &preprocess);
            assert!(classes.iter().map(|&class| f32::from(class)).eq(expected.voxels), "{name}: classes");
            assert_eq!(case.foreground_classes().collect::<Vec<_>>(), [1, 2], "{name}");
        }
    }

    #[test]
    fn hounsfield_units_are_rescaled_rounded_and_saturated() {
        let voxels = [f32::NAN, 1.26, -1.26, f32::INFINITY, f32::NEG_INFINITY, 0.25];
        let image = Volume::from_slice(&voxels, geometry([6, 1, 1])).unwrap().with_rescale(Rescale { slope: 2.0, intercept: 0.0 });
        let case = Case::from_volume(&image, &[0; 6], Classes::spinect().values()).unwrap();
        assert_eq!(case.hounsfield(), [i16::MIN, 3, -3, i16::MAX, i16::MIN, 1]);
    }

    #[test]
    fn every_voxel_of_the_foreground_has_a_rank() {
        let classes: Vec<u8> = (0..60).map(|n| [0, 1, 0, 7, 0, 0, 1][n % 7]).collect();
        let case = Case::new([4, 3, 5], [1.0; 3], vec![0; 60], classes.clone()).unwrap();
        assert_eq!(case.foreground_classes().collect::<Vec<_>>(), [1, 7]);
        for class in [1, 7] {
            let expected: Vec<_> = (0..60).filter(|&at| classes[at] == class).map(|at| [at / 15, at / 5 % 3, at % 5]).collect();
            let found: Vec<_> = (0..).map_while(|rank| case.foreground_voxel(class, rank)).collect();
            assert_eq!((found, case.foreground_count(class)), (expected.clone(), expected.len() as u64));
        }
        assert_eq!((case.foreground_voxel(2, 0), case.foreground_count(2)), (None, 0));
    }

    #[test]
    fn what_is_no_case_is_refused() {
        let new =
            |dims, spacing, voxels: usize, class| Case::new(dims, spacing, vec![0; voxels], vec![class; voxels]).map_err(|e| e.kind());
        assert!(new([1, 2, 3], [1.0; 3], 6, 254).is_ok());
        assert_eq!(new([1, 2, 3], [1.0; 3], 6, PADDING).unwrap_err(), ErrorKind::InvalidArgument);
        assert_eq!(new([1, 2, 3], [1.0; 3], 5, 0).unwrap_err(), ErrorKind::InvalidArgument);
        assert_eq!(new([0, 2, 3], [1.0; 3], 0, 0).unwrap_err(), ErrorKind::InvalidGeometry);
        assert_eq!(new([usize::MAX, 2, 3], [1.0; 3], 0, 0).unwrap_err(), ErrorKind::InvalidGeometry);
        assert_eq!(new([1, 2, 3], [1.0, f64::NAN, 1.0], 6, 0).unwrap_err(), ErrorKind::InvalidGeometry);
        let case = Case::new([1, 2, 3], [1.0; 3], vec![0; 6], vec![0; 6]).unwrap();
        for spacing in [0.0, -1.0, 0.01, f64::NAN] {
            let preprocess = Preprocess { spacing_mm: [1.0, 1.0, spacing], ..Config::spinect(&[2]).preprocess };
            assert_eq!(case.to_model_grid(&preprocess).unwrap_err().kind(), ErrorKind::InvalidGeometry, "{spacing}");
        }
        let voxels = [0i16; 2];
        let image = Volume::from_slice(&voxels, geometry([2, 1, 1])).unwrap();
        let error = Case::from_volume(&image, &[1, 9], Classes::spinect().values()).unwrap_err();
        assert!(error.message().contains("label value 9"), "{error}");
        assert!(Case::from_volume(&image, &[1], Classes::spinect().values()).is_err());
    }

    #[test]
    fn a_whitening_that_sixteen_bits_cannot_follow_is_refused() {
        let preprocess = Config::spinect(&[2]).preprocess;
        assert!(Whitening::new(&preprocess).is_ok());
        for clip_hu in [[-1024.0, 40_000.0], [-40_000.0, 0.0], [5.0, 5.0], [f64::NAN, 0.0]] {
            assert!(Whitening::new(&Preprocess { clip_hu, ..preprocess.clone() }).is_err(), "{clip_hu:?}");
        }
        for std in [0.0, -1.0, f64::NAN, 1e-60] {
            assert!(Whitening::new(&Preprocess { std, ..preprocess.clone() }).is_err(), "{std}");
        }
    }
}
