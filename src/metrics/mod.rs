//! How well one label map matches another: pixel accuracy, IoU and Dice (method.md 5; the paper's Tables 2, 3 and 4), and
//! the distances between surfaces that today's papers report beside them.

mod overlap;
mod scores;
mod statistics;
mod surface;

pub use overlap::{Overlap, Overlaps};
pub use scores::Scores;
pub use statistics::{mean, standard_deviation};
pub use surface::SurfaceDistances;
