//! Lumbosacral nerve and bone segmentation on plain CT, as a part of surgical navigation.

#![warn(missing_docs)]

pub mod capi;
#[cfg(feature = "cli")]
pub mod cli;
pub mod engine;
pub mod error;
mod float_state;
pub mod geometry;
pub mod io;
pub mod metrics;
pub mod model;
pub mod ops;
pub mod pipeline;
pub mod segmentation;
pub mod session;
mod threads;
pub mod volume;

pub use error::{Error, ErrorKind, Result};
pub use geometry::{Affine, Geometry, Orientation, World};
pub use io::{GeometryChoice, ReadOptions, read_image, write_segmentation};
pub use model::Model;
pub use segmentation::{Segmentation, Warnings};
pub use session::{Cancel, Device, Precision, Run, Session, SessionConfig};
pub use volume::{Image, Rescale, Volume, Voxel, VoxelType};
