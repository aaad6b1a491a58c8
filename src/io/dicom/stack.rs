//! Slices to a stack: sorted by position along their normal, on one grid, without a gap (PS3.3 C.7.6.2.1.1).

use super::slice::Slice;
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::{Affine, Geometry, World, cross, dot, norm};

/// How far a slice may lie from its place on the grid: the larger of a share of the spacing and millimeters.
const GAP_SHARE: f64 = 0.01;
const GAP_MM: f64 = 0.01;
/// Angle between the way from slice to slice and the slices' normal, from which a stack counts as tilted.
const TILT_DEGREES: f64 = 0.1;
/// How far two slices' direction cosines may differ.
const SAME_DIRECTION: f64 = 1e-4;
/// How far two slices' spacing may differ, as a share of it.
const SAME_SPACING: f64 = 1e-5;

/// Sorts slices and finds the grid on which they lie.
pub(super) fn stack(mut slices: Vec<Slice>) -> Result<(Vec<Slice>, Geometry)> {
    let Some(first) = slices.first().filter(|_| slices.len() > 1) else {
        let name = slices.first().map(|slice| slice.name().to_string()).unwrap_or_default();
        let message = "one slice alone is no volume, and its thickness does not say how far the next one lies: give the whole series";
        return Err(invalid(format!("{name}: {message}")));
    };
    slices.iter().try_for_each(|slice| check_same_plane(first, slice))?;
    let [row, column] = first.directions;
    let normal = cross(row, column);
    slices.sort_by(|a, b| dot(a.position, normal).total_cmp(&dot(b.position, normal)));
    let step = step(&slices, normal)?;
    let Some(first) = slices.first() else { return Err(invalid("no slices".into())) };
    let ([x, y], [columns, rows]) = (first.spacing, first.size);
    let [i, j, k, origin] = [row.map(|v| v * x), column.map(|v| v * y), step, first.position];
    let mut affine = [0.0; 16];
    for (line, (((i, j), k), origin)) in affine.chunks_exact_mut(4).zip(i.into_iter().zip(j).zip(k).zip(origin)) {
        line.copy_from_slice(&[i, j, k, origin]);
    }
    affine[15] = 1.0;
    let geometry = Geometry { dims: [columns, rows, slices.len()], ijk_to_world: Affine(affine), world: World::Lps };
    geometry.check()?;
    Ok((slices, geometry))
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidGeometry, message)
}

/// Whether two slices have the same pixels in the same orientation.
fn check_same_plane(first: &Slice, other: &Slice) -> Result<()> {
    let differ = |what: &str, a: String, b: String| {
        let names = format!("{} and {}", first.name(), other.name());
        Err(invalid(format!("{names} differ in {what}, {a} and {b}: give slices of one reconstruction")))
    };
    if first.size != other.size {
        return differ("size (Columns, Rows)", format!("{:?}", first.size), format!("{:?}", other.size));
    }
    let far = |a: f64, b: f64, tolerance: f64| (a - b).abs() > tolerance;
    if first.spacing.iter().zip(other.spacing).any(|(&a, b)| far(a, b, SAME_SPACING * a.abs())) {
        return differ("PixelSpacing", format!("{:?}", first.spacing), format!("{:?}", other.spacing));
    }
    let cosines = first.directions.iter().flatten().zip(other.directions.iter().flatten());
    if cosines.into_iter().any(|(&a, &b)| far(a, b, SAME_DIRECTION)) {
        return differ("ImageOrientationPatient", format!("{:?}", first.directions), format!("{:?}", other.directions));
    }
    if first.frame_of_reference != other.frame_of_reference {
        return differ("FrameOfReferenceUID", format!("{:?}", first.frame_of_reference), format!("{:?}", other.frame_of_reference));
    }
    Ok(())
}

/// The way from slice to slice, if it is the same everywhere and along the normal. The slices are sorted.
fn step(slices: &[Slice], normal: [f64; 3]) -> Result<[f64; 3]> {
    let (Some(first), Some(last)) = (slices.first(), slices.last()) else { return Err(invalid("no slices".into())) };
    let count = slices.len() as f64 - 1.0;
    let step = difference(last.position, first.position).map(|way| way / count);
    let height = |slice: &Slice| dot(slice.position, normal);
    let pairs = || slices.iter().zip(slices.iter().skip(1));
    let mut steps: Vec<f64> = pairs().map(|(a, b)| height(b) - height(a)).collect();
    steps.sort_by(f64::total_cmp);
    let usual = steps.get(steps.len() / 2).copied().unwrap_or_default();
    for (a, b) in pairs() {
        if height(b) - height(a) <= GAP_MM.min(usual / 2.0) {
            return Err(invalid(format!(
                "{} and {} lie at the same position ({:.3} mm along the normal): give one series, of one time and one reconstruction",
                a.name(),
                b.name(),
                height(a)
            )));
        }
    }
    let tolerance = GAP_MM.max(GAP_SHARE * usual);
    for (a, b) in pairs() {
        let distance = height(b) - height(a);
        if (distance - usual).abs() > tolerance {
            return Err(invalid(format!(
                "{} at {:.3} mm and {} at {:.3} mm along the normal lie {distance:.3} mm apart, the others {usual:.3} mm \
                (±{tolerance:.3}): slices are missing or of another series; give all slices of one series",
                a.name(),
                height(a),
                b.name(),
                height(b)
            )));
        }
    }
    check_tilt(first, step, normal)?;
    // Steps that are each within bounds may still add up, and rows may shift sideways.
    for (slice, number) in slices.iter().zip(0u32..) {
        let place: [f64; 3] = std::array::from_fn(|axis| first.position[axis] + step[axis] * f64::from(number));
        let off = norm(difference(slice.position, place));
        if off > tolerance {
            return Err(invalid(format!(
                "{} lies {off:.3} mm from its place in a regular stack (at most {tolerance:.3} mm): \
                the slices' distance or field of view changes; reconstruct the series on one grid",
                slice.name()
            )));
        }
    }
    Ok(step)
}

/// Refuses slices that are shifted against each other, as a tilted gantry leaves them.
fn check_tilt(first: &Slice, step: [f64; 3], normal: [f64; 3]) -> Result<()> {
    let along = dot(step, normal);
    let sideways = norm(difference(step, normal.map(|value| value * along)));
    let tilt = sideways.atan2(along).to_degrees();
    if tilt > TILT_DEGREES {
        let told = if first.tilt == 0.0 { String::new() } else { format!(" (GantryDetectorTilt {}°)", first.tilt) };
        return Err(invalid(format!(
            "{}: the gantry was tilted{told}, the slices lie {tilt:.2}° from above each other (at most {TILT_DEGREES}°): \
            resample the series to a straight stack first",
            first.name()
        )));
    }
    Ok(())
}

fn difference(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|axis| a[axis] - b[axis])
}
