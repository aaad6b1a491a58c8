//! A model on a case that it was not trained on, on the case's own grid (method.md 5, test report).

use super::dataset::Case;
use crate::error::{Result, try_vec};
use crate::geometry::Geometry;
use crate::model::LabelConfig;
use crate::session::{Run, Session};

/// What a model made of a case.
#[derive(Clone, Debug, PartialEq)]
pub struct TestedCase {
    /// Voxels along i, j, k: towards Left, Posterior, Superior.
    pub geometry: Geometry,
    /// The model's classes, i fastest.
    pub prediction: Vec<u8>,
    /// Seconds that the session took.
    pub seconds: f64,
}

/// Segments a case on its own grid, with a session that has loaded a model of these labels, trained on the case's classes.
///
/// # Errors
/// Those of [`Session::segment_into`].
pub fn test_case(session: &Session, labels: &[LabelConfig], case: &Case) -> Result<TestedCase> {
    let volume = case.volume()?;
    let mut prediction = try_vec(0u8, case.hounsfield().len(), "a case's labels")?;
    let started = std::time::Instant::now();
    session.segment_into(&volume, Run::default(), &mut prediction)?;
    let seconds = started.elapsed().as_secs_f64();
    // From label values to the classes that they stand for.
    let mut class_of = [0u8; 256];
    labels.iter().enumerate().for_each(|(class, label)| class_of[usize::from(label.value)] = class as u8);
    prediction.iter_mut().for_each(|value| *value = class_of[usize::from(*value)]);
    Ok(TestedCase { geometry: *volume.geometry(), prediction, seconds })
}
