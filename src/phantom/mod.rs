//! Synthetic lumbosacral CT with true labels: anatomy drawn from the literature, voxels as a scanner makes them.
//!
//! [`generate`] makes a [`Case`] from [`Options`]: an image in Hounsfield units and its label map. The same options and
//! seed give the same bits on one build.

mod additions;
mod joints;
mod labels;
mod nerves;
mod organs;
mod paint;
mod pelvis;
mod random;
mod sacrum;
mod scan;
mod scanner;
mod scene;
mod shape;
mod solid;
mod spine;
mod tissue;
mod torso;

use rayon::prelude::*;
use serde::Serialize;

use crate::error::{Error, ErrorKind, Result, try_vec};
use crate::geometry::{Affine, Geometry, World};
use crate::volume::{Image, Rescale, VoxelType};

pub use labels::LabelScheme;
pub use scanner::ScannerParameters;
pub use spine::SpineParameters;
pub use tissue::TissueParameters;
pub use torso::TorsoParameters;

use paint::Grid;
use random::Stream;
use scan::Scan;
use scene::{Object, Texture};
use shape::Frame;
use spine::Spine;

/// What to generate. What is `None` is drawn from the seed.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The seed: the same options and seed give the same case.
    pub seed: u64,
    /// Spacing, mm: left-right, front-back, along the table.
    pub spacing_mm: Option<[f64; 3]>,
    /// Whether the picture is cut around the spine or shows the whole body.
    pub region: Option<Region>,
    /// The exact part of the body in view; `region` then does not count.
    pub field_of_view: Option<FieldOfView>,
    /// The values of the labels.
    pub labels: LabelScheme,
    /// Whether there is metal.
    pub metal: Option<Metal>,
    /// Standard deviation of the noise, HU.
    pub noise_hu: Option<f32>,
}

/// What kind of picture a field of view is drawn for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Region {
    /// Cut around the spine, anywhere from L2 to S3.
    Spine,
    /// The whole body with skin and table, from about S3 or the femoral heads up to L2 or the lowest ribs.
    Body,
}

/// What part of the body is in view.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct FieldOfView {
    /// Width and depth of the picture, mm.
    pub size_mm: [f64; 2],
    /// Lowest and highest slice, mm above the center of S1's upper endplate.
    pub z_mm: [f64; 2],
    /// The picture's center, mm left of and behind the center of S1's upper endplate.
    pub center_mm: [f64; 2],
    /// Whether the corners are empty: scanners reconstruct a circle.
    pub round: bool,
}

/// Metal in the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Metal {
    /// None.
    None,
    /// A hip endoprosthesis.
    Hip,
    /// Pedicle screws with rods.
    Screws,
}

/// A generated case.
#[derive(Clone, Debug)]
pub struct Case {
    /// Hounsfield units, int16.
    pub image: Image,
    /// Label values of the scheme asked for, uint8, on the image's grid.
    pub labels: Image,
    /// Everything that was drawn.
    pub parameters: Parameters,
}

/// Everything that was drawn for a case.
#[derive(Clone, Debug, Serialize)]
pub struct Parameters {
    /// The seed.
    pub seed: u64,
    /// Spacing, mm.
    pub spacing_mm: [f64; 3],
    /// The part in view.
    pub field_of_view: FieldOfView,
    /// The values of the labels.
    pub labels: LabelScheme,
    /// Metal.
    pub metal: Metal,
    /// The spine.
    pub spine: SpineParameters,
    /// The densities of tissues.
    pub tissue: TissueParameters,
    /// Soft tissue.
    pub torso: TorsoParameters,
    /// The scanner.
    pub scanner: ScannerParameters,
}

impl Options {
    /// Everything drawn from this seed.
    pub fn new(seed: u64) -> Self {
        Options { seed, ..Options::default() }
    }

    /// A small case that takes less than a second: L4 to S2, 128 × 128 × 80 voxels of 1 × 1 × 1.5 mm.
    pub fn demo(seed: u64) -> Self {
        let field_of_view = Some(FieldOfView { size_mm: [128.0, 128.0], z_mm: [-50.0, 70.0], center_mm: [0.0, 12.0], round: false });
        Options { seed, spacing_mm: Some([1.0, 1.0, 1.5]), field_of_view, metal: Some(Metal::None), ..Options::default() }
    }

    fn check(&self) -> Result<()> {
        let fail = |message: String| Err(Error::new(ErrorKind::InvalidArgument, message));
        if let Some(spacing) = self.spacing_mm
            && spacing.iter().any(|s| !(0.2..=10.0).contains(s))
        {
            return fail(format!("a phantom's spacing is 0.2 to 10 mm, not {spacing:?}"));
        }
        if let Some(noise) = self.noise_hu
            && !(0.0..=500.0).contains(&noise)
        {
            return fail(format!("a phantom's noise is 0 to 500 HU, not {noise}"));
        }
        if let Some(view) = self.field_of_view {
            let [low, high] = view.z_mm;
            if view.size_mm.iter().any(|s| !(20.0..=600.0).contains(s)) {
                return fail(format!("a phantom's field of view is 20 to 600 mm wide and deep, not {:?}", view.size_mm));
            }
            if !(-260.0..=260.0).contains(&low) || !(-260.0..=260.0).contains(&high) || high - low < 10.0 {
                return fail(format!("a phantom's slices lie between -260 and 260 mm, at least 10 mm of them, not {:?}", view.z_mm));
            }
            if view.center_mm.iter().any(|c| !(-200.0..=200.0).contains(c)) {
                return fail(format!("a phantom's field of view has its center within 200 mm of S1, not at {:?}", view.center_mm));
            }
        }
        Ok(())
    }
}

/// The part in view and the spacing. Pictures of the whole body or cut around the spine; a fifth as archives keep them,
/// sampled down to voxels of 1.5 to 3 mm.
fn draw_view(seed: u64, region: Option<Region>) -> (FieldOfView, [f64; 3]) {
    let mut r = Stream::new(seed, "view");
    let mut range = |low: f32, high: f32| f64::from(r.range(low, high));
    let drawn = if range(0.0, 1.0) < 0.45 { Region::Body } else { Region::Spine };
    let body = region.unwrap_or(drawn) == Region::Body;
    let view = if body {
        let wide = range(310.0, 450.0);
        let low = if range(0.0, 1.0) < 0.5 { range(-150.0, -110.0) } else { range(-105.0, -60.0) };
        let size_mm = [wide, wide * range(0.7, 1.0)];
        FieldOfView {
            size_mm,
            z_mm: [low, range(110.0, 215.0)],
            center_mm: [range(-12.0, 12.0), range(-45.0, 10.0)],
            round: range(0.0, 1.0) < 0.3,
        }
    } else {
        let (wide, tall) = (range(110.0, 220.0), range(90.0, 200.0));
        let low = range(-85.0, (150.0 - tall).max(-60.0) as f32);
        let size_mm = [wide, wide * range(0.85, 1.15)];
        FieldOfView { size_mm, z_mm: [low, low + tall], center_mm: [range(-15.0, 15.0), range(-15.0, 30.0)], round: false }
    };
    let mut plane = if body { range(0.7, 1.0) } else { range(0.35, 1.0) };
    let mut slice = if body { range(1.0, 3.0) } else { range(0.5, 3.0) };
    if range(0.0, 1.0) < 0.22 {
        plane = range(1.5, 3.2).min(3.0);
        slice = if range(0.0, 1.0) < 0.6 { plane } else { range(1.5, 3.0) };
    }
    let [plane, slice] = [(plane * 1000.0).round() / 1000.0, (slice * 8.0).round() / 8.0];
    (view, [plane, plane, slice])
}

/// Generates a case.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] for options outside their limits, [`ErrorKind::OutOfMemory`].
pub fn generate(options: &Options) -> Result<Case> {
    options.check()?;
    let seed = options.seed;
    let (drawn_view, drawn_spacing) = draw_view(seed, options.region);
    let view = options.field_of_view.unwrap_or(drawn_view);
    let spacing = options.spacing_mm.unwrap_or(drawn_spacing);
    let metal = options.metal.unwrap_or_else(|| match Stream::new(seed, "metal").unit() {
        share if share < 0.05 => Metal::Hip,
        share if share < 0.10 => Metal::Screws,
        _ => Metal::None,
    });
    let scanner = ScannerParameters::draw(seed, options.noise_hu);

    let mut r = Stream::new(seed, "pose");
    let pose = Frame::turned([0.0; 3], r.normal(0.0, 0.03), r.normal(0.0, 0.03), r.normal(0.0, 0.07));
    let spine = Spine::draw(seed, &pose);
    let implant = (metal == Metal::Hip).then(|| usize::from(r.chance(0.5)));
    let pelvis = pelvis::Pelvis::draw(&spine, &pose, implant);
    let torso = torso::Torso::draw(&spine, &pose);
    let mut objects: Vec<Object> = torso.objects(&spine, &pelvis);
    objects.extend(spine.soft());
    objects.extend(pelvis.soft(&spine));
    objects.extend(spine.canal());
    objects.push(spine.sacrum(&pelvis.wings()));
    objects.extend(pelvis.bones(&spine));
    objects.extend(pelvis.ribs(&spine, |angle, z| torso.around(angle, z)));
    objects.extend(spine.vertebrae());
    objects.extend(spine.islands());
    if metal == Metal::Screws {
        objects.extend(spine.screws());
    }

    let [dx, dy] = [0, 1].map(|axis| (view.size_mm[axis] / spacing[axis]).round().max(1.0));
    let dz = ((view.z_mm[1] - view.z_mm[0]) / spacing[2]).round().max(1.0);
    let dims = [dx as usize, dy as usize, dz as usize];
    let origin = [
        view.center_mm[0] - 0.5 * (dx - 1.0) * spacing[0],
        view.center_mm[1] - 0.5 * (dy - 1.0) * spacing[1],
        view.z_mm[0] + 0.5 * spacing[2],
    ];
    let geometry = Geometry { dims, ijk_to_world: Affine::from_spacing(spacing, origin), world: World::Lps };
    geometry.check()?;
    let grid = Grid { origin: origin.map(|v| v as f32), spacing: spacing.map(|v| v as f32), dims };
    let plane = dims[0] * dims[1];
    let mut image = try_vec(0u8, 2 * plane * dims[2], "a phantom")?;
    let mut labels = try_vec(0u8, plane * dims[2], "a phantom's labels")?;
    let scan = Scan { grid, objects, texture: Texture::new(seed), scanner, seed, scheme: options.labels, round: view.round };
    // Every slice draws from its own streams: the threads do not change the bits.
    let slices = image.par_chunks_exact_mut(2 * plane).zip(labels.par_chunks_exact_mut(plane)).enumerate();
    slices.try_for_each(|(k, (image, labels))| scan.slice(k, image, labels))?;
    let ras = Geometry { ijk_to_world: geometry.ijk_to_world.between(World::Lps, World::Ras), world: World::Ras, ..geometry };
    let parameters = Parameters {
        seed,
        spacing_mm: spacing,
        field_of_view: view,
        labels: options.labels,
        metal,
        spine: spine.p.clone(),
        tissue: spine.tissue.clone(),
        torso: torso.p.clone(),
        scanner,
    };
    Ok(Case {
        image: Image::new(image, VoxelType::Int16, ras, Rescale::IDENTITY)?,
        labels: Image::new(labels, VoxelType::Uint8, ras, Rescale::IDENTITY)?,
        parameters,
    })
}
