//! Synthetic lumbosacral CT with true labels: anatomy drawn from the literature, voxels as a scanner makes them.
//!
//! [`generate`] makes a [`Case`] from [`Options`]: an image in Hounsfield units and its label map. The same options and
//! seed give the same bits on one build, for any number of threads.
//!
//! # The way of a case
//!
//! Parameters are drawn, each from a stream of its own (`random`). From them come objects, signed distances in the
//! patient's frame (`shape`, `solid`): `torso`, `organs`, `joints`, `nerves`, `sacrum`, `pelvis`, `spine`. A slice is
//! painted object by object (`paint`), several times if it is thick (`scan`), and exposed (`scanner`).
//!
//! # What the labels hold
//!
//! Bone is cortex and marrow of vertebrae, sacrum with coccyx, hip bones, femora, ribs and forearms, wherever they are in
//! view, as annotators fill outlines; discs are not bone. Nerve is the thecal sac with its content, and the roots of every
//! level in view with their ganglia, from the sac to some centimeters beyond the foramen, often within the psoas, where
//! a plain CT hardly shows them. Metal within a bone's outline is bone, metal outside is background. A label belongs to
//! what fills most of the voxel's height at its center; noise, blur and streaks change no label.

mod additions;
mod joints;
mod labels;
mod nerves;
mod options;
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

use crate::error::{Result, try_vec};
use crate::geometry::{Affine, Geometry, World};
use crate::volume::{Image, Rescale, VoxelType};

pub use labels::LabelScheme;
pub use options::{FieldOfView, Metal, Options, Region};
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

/// Generates a case.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for options outside their limits,
/// [`ErrorKind::OutOfMemory`](crate::ErrorKind::OutOfMemory).
pub fn generate(options: &Options) -> Result<Case> {
    options.check()?;
    let seed = options.seed;
    let (drawn_view, drawn_spacing) = options::draw_view(seed, options.region, options.sampled_down);
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
    let grid = Grid { origin: origin.map(|v| v as f32), spacing: spacing.map(|v| v as f32), dims, edge: scanner.edge_mm };
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

#[cfg(test)]
mod tests;
