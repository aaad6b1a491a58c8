//! Lumbosacral nerve and bone segmentation on plain CT, as a part of surgical navigation.
//!
//! spinect labels every voxel of a spinal CT as background, bone or nerve, with the 3D U-Net of the SPINECT paper in a
//! sliding window. It is one crate with three faces that say the same in the same words: this Rust library, a C ABI
//! (`include/spinect.h`, with a C++17 layer in `spinect.hpp`), and the program `spinect`.
//!
//! **Not a medical device.** Not for diagnosis or treatment. No clinical weights are public, and none are in here; every
//! result of a model that its file does not declare clinical carries [`Warnings::MODEL_NOT_CLINICAL`].
//!
//! # Segmenting a CT
//!
//! ```no_run
//! use std::path::Path;
//!
//! use spinect::{ReadOptions, Run, Session, SessionConfig, World, read_image, write_segmentation};
//!
//! fn main() -> spinect::Result<()> {
//!     // One model, one device, all its buffers and threads. Make it once, use it for many volumes.
//!     let session = Session::new(&SessionConfig::default())?;
//!     session.load_weights(Path::new("model.safetensors"))?;
//!
//!     let ct = read_image(Path::new("ct.nii.gz"), &ReadOptions::default())?;
//!     let segmentation = session.segment(&ct.view(), Run::default())?;
//!
//!     for label in segmentation.table() {
//!         println!("{}: {:.1} mL", label.name, label.statistics.volume_mm3 / 1000.0);
//!     }
//!     for (_, warning) in segmentation.provenance().warnings.iter() {
//!         println!("warning: {warning}");
//!     }
//!     // Left and right are never guessed: every coordinate names its world.
//!     let here = segmentation.at(World::Ras, [12.0, -30.0, 45.0])?;
//!     println!("label {} with confidence {:.2}", here.label, here.confidence);
//!
//!     // On the CT's own grid, with its geometry and header.
//!     write_segmentation(&segmentation, Path::new("labels.nii.gz"))
//! }
//! ```
//!
//! Voxels that are already in memory need no file: [`Volume::from_slice`] and [`Volume::from_array`] borrow them. A
//! [`Run`] takes a region of interest, a [`Cancel`], a progress function and a deadline. After [`Session::prepare`],
//! [`Session::segment_into`] and [`Session::segment_again`] allocate nothing.
//!
//! # What holds everywhere
//!
//! Lengths are millimeters, times seconds. Volumes are indexed i, j, k, the model grid D, H, W. A failure is an
//! [`Error`]: its [`ErrorKind`] is a status code of the C ABI, its message says what is wrong and what to do; it changes
//! nothing else. On one machine and one build, results are the same bit by bit from run to run and for any number of
//! threads. Nothing here uses the network, and no environment variable changes a result.
//!
//! # The rooms
//!
//! | module | what happens there |
//! |---|---|
//! | [`session`] | model + engine + pipeline = segment: read it from top to bottom, and you have read the method |
//! | [`segmentation`] | the result: labels, statistics, confidence, warnings, provenance |
//! | [`volume`], [`geometry`] | voxels, and where they lie in the world |
//! | [`io`] | NIfTI and NRRD in and out, segmentations of 3D Slicer, DICOM series in |
//! | [`model`] | the model file: configuration, tensors, validation, hash |
//! | [`pipeline`] | to the model grid and back, windows, combination |
//! | [`engine`] | the network over every window, fast |
//! | [`ops`] | the network's layers as candle operations with gradients: the reference, and for training |
//! | `query` | distances between points, tools and structures |
//! | [`metrics`] | pixel accuracy, IoU, Dice, distances between surfaces |
//! | [`distance`] | the exact distance transform |
//! | [`surface`] | the surface of a label as triangles |
//! | `report` | the paper's tables and figures, as files and one page (feature `report`) |
//! | [`phantom`] | synthetic lumbosacral CT with true labels |
//! | [`error`] | every way to fail, once |
//! | [`capi`] | the C ABI: nothing but translation |
//!
//! `docs/architecture.md` in the repository says who may call whom.
//!
//! # Features
//!
//! None is on by default, and none changes what the C ABI can do. CUDA is none of them: its engine is a library of its own, opened
//! where it is installed (`docs/cuda.md`). `cli`: the program `spinect` and its
//! module. `report`: tables, charts and overlays of a test or a training; part of `cli` and `trainer`. `trainer`: the module of
//! that name, which trains models from labeled cases. `dicom`: [`io::read_series`] reads DICOM; without it, it says that this
//! build does not. `capi`: empty, a name that cargo-c looks for.

#![warn(missing_docs)]

pub mod capi;
#[cfg(feature = "cli")]
pub mod cli;
pub mod distance;
pub mod engine;
pub mod error;
mod float_state;
pub mod geometry;
pub mod io;
pub mod metrics;
pub mod model;
pub mod ops;
pub mod phantom;
pub mod pipeline;
mod query;
#[cfg(feature = "report")]
pub mod report;
pub mod segmentation;
pub mod session;
pub mod surface;
mod threads;
#[cfg(feature = "trainer")]
pub mod trainer;
pub mod volume;

pub use error::{Error, ErrorKind, Result};
pub use geometry::{Affine, Geometry, Orientation, World};
pub use io::{GeometryChoice, ReadOptions, read_image, read_segmentation, write_segmentation};
pub use model::Model;
pub use segmentation::{Segmentation, Warnings};
pub use session::{Cancel, Device, Precision, Run, Session, SessionConfig};
pub use surface::Surface;
pub use volume::{Image, Rescale, Volume, Voxel, VoxelType};

#[cfg(test)]
mod testing;
