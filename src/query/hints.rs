//! A coarse grid that says which face is nearest to the middle of each of its bricks: for a point in the brick a good first
//! guess, so that a search looks into few boxes.

use super::faces::Face;
use super::frame::Frame;
use super::probe::{FromPoint, Place};
use super::tree::Tree;
use crate::error::{Result, try_reserve};
use crate::geometry::norm;

/// The guesses.
#[derive(Clone, Debug)]
pub(super) struct Hints {
    /// Voxels of a brick.
    brick: [f64; 3],
    /// Bricks.
    dims: [usize; 3],
    faces: Vec<Face>,
}

/// How long a brick's edges are, mm. Smaller ones guess better and take more memory.
const BRICK_MM: f64 = 6.0;
/// Bricks along an axis in a large volume.
const MOST_BRICKS: f64 = 64.0;

impl Hints {
    /// # Errors
    /// [`ErrorKind::OutOfMemory`](crate::ErrorKind::OutOfMemory).
    pub(super) fn of(tree: &Tree, volume: [usize; 3], frame: &Frame) -> Result<Self> {
        let brick: [f64; 3] = std::array::from_fn(|axis| {
            let voxels = BRICK_MM / norm(frame.edge(axis));
            voxels.max(volume[axis] as f64 / MOST_BRICKS).max(1.0)
        });
        let dims: [usize; 3] = std::array::from_fn(|axis| (volume[axis] as f64 / brick[axis]).ceil() as usize);
        let mut faces: Vec<Face> = Vec::new();
        try_reserve(&mut faces, dims.iter().product(), "guesses at distances")?;
        for at in 0..dims.iter().product() {
            let [i, j, k] = [at % dims[0], at / dims[0] % dims[1], at / (dims[0] * dims[1])];
            let middle = [i, j, k].map(|c| c as f64 + 0.5);
            let probe = FromPoint { frame, point: frame.corner(std::array::from_fn(|axis| middle[axis] * brick[axis])) };
            // The neighbor's face is a good guess, too.
            let guess = faces.last().copied();
            let limit = guess.map_or(f64::INFINITY, |face| Place::of(&face, frame).squared(probe.point));
            let nearest = tree.smallest(frame, &probe, limit).map(|(_, face)| face);
            faces.extend(nearest.or(guess));
        }
        Ok(Hints { brick, dims, faces })
    }

    /// The face that is nearest to the middle of the brick around a place (in voxels), or of the brick at the border next to it.
    pub(super) fn near(&self, index: [f64; 3]) -> Option<Face> {
        // Casts saturate.
        let at: [usize; 3] = std::array::from_fn(|axis| ((index[axis] / self.brick[axis]) as usize).min(self.dims[axis] - 1));
        self.faces.get((at[2] * self.dims[1] + at[1]) * self.dims[0] + at[0]).copied()
    }
}
