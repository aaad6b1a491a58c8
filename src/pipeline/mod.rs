//! The method around the network: to the model grid and back ([`grid`], [`restore`]), where windows lie ([`window`]),
//! and how their results become one ([`combine`]).

pub mod combine;
pub mod grid;
pub mod pieces;
pub mod restore;
pub mod window;

use std::ops::Range;

/// A box of voxels: one range per axis.
pub type Region = [Range<usize>; 3];
