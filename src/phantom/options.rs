//! What can be asked for, and what is drawn where nothing was.

use serde::Serialize;

use super::labels::LabelScheme;
use super::random::Stream;
use crate::error::{Error, ErrorKind, Result};

/// What to generate. What is `None` is drawn from the seed.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The seed: the same options and seed give the same case.
    pub seed: u64,
    /// Spacing, mm: left-right, front-back, along the table. Drawn, it is a scanner's: 0.35 to 1 mm in the plane, slices of
    /// 0.5 to 3 mm.
    pub spacing_mm: Option<[f64; 3]>,
    /// Where the spacing is drawn: voxels of 1.5 to 3 mm, as archives keep scans that were sampled down.
    pub sampled_down: bool,
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

    pub(super) fn check(&self) -> Result<()> {
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

/// The part in view and the spacing. Pictures of the whole body or cut around the spine.
pub(super) fn draw_view(seed: u64, region: Option<Region>, sampled_down: bool) -> (FieldOfView, [f64; 3]) {
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
    if sampled_down {
        plane = range(1.5, 3.2).min(3.0);
        slice = if range(0.0, 1.0) < 0.6 { plane } else { range(1.5, 3.0) };
    }
    let [plane, slice] = [(plane * 1000.0).round() / 1000.0, (slice * 8.0).round() / 8.0];
    (view, [plane, plane, slice])
}
