//! Which of a NIfTI file's two transforms places its voxels (method.md 1.2), and the way back.

use super::super::GeometryChoice;
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::{Affine, Geometry, World, norm};
use crate::volume::NiftiPlacement;

/// What two scanner transforms may differ by, at the center of any corner voxel.
const AGREEMENT_MM: f64 = 0.1;
/// Below this, the square of a quaternion's first component is rounding: the rule of the format's reference library.
const ROUNDED_SQUARE: f64 = 1e-7;
/// By how much the squares of a stored quaternion's components may add up to more than 1.
const QUATERNION_EXCESS: f64 = 1e-4;
/// `xyzt_units` for millimeters.
const UNITS_MM: u8 = 2;

/// The place of voxels with this header. The world is RAS.
///
/// # Errors
/// [`ErrorKind::AmbiguousGeometry`]: no transform, not the chosen one, or two that disagree;
/// [`ErrorKind::InvalidGeometry`]: a transform that describes no volume; [`ErrorKind::CorruptFile`]: no unit of length.
pub(super) fn geometry(placement: &NiftiPlacement, dims: [usize; 3], choice: GeometryChoice) -> Result<Geometry> {
    let ambiguous = |message: String| Err(Error::new(ErrorKind::AmbiguousGeometry, message));
    let [qform_code, sform_code] = placement.codes;
    let mm = millimeters(placement.units)?;
    let use_sform = match choice {
        GeometryChoice::Strict if qform_code == 0 && sform_code == 0 => {
            return ambiguous(
                "qform_code and sform_code are 0: the file does not tell left from right; set a transform in it, or pass its voxels with an affine".into(),
            );
        }
        GeometryChoice::Strict => is_scanner(sform_code) || qform_code == 0,
        GeometryChoice::Sform if sform_code == 0 => {
            return ambiguous("the sform was chosen, but sform_code is 0: the file has none; choose another".into());
        }
        GeometryChoice::Qform if qform_code == 0 => {
            return ambiguous("the qform was chosen, but qform_code is 0: the file has none; choose another".into());
        }
        GeometryChoice::Sform => true,
        GeometryChoice::Qform => false,
    };
    let (name, affine) =
        if use_sform { ("sform", Ok(sform(placement, mm))) } else { ("qform", Qform::new(placement).map(|q| q.affine(mm))) };
    let named = |error: Error| error.context(format_args!("the {name}"));
    let geometry = Geometry { dims, ijk_to_world: affine.map_err(named)?, world: World::Ras };
    geometry.check().map_err(named)?;
    if choice == GeometryChoice::Strict && is_scanner(sform_code) && is_scanner(qform_code) {
        let difference = match Qform::new(placement) {
            Ok(qform) => qform.distance(&geometry, mm),
            Err(error) => {
                return ambiguous(format!(
                    "the sform (code {sform_code}) places the voxels, but the qform (code {qform_code}) cannot be read ({error}): choose the sform if it is right"
                ));
            }
        };
        // NaN lies in no range.
        if !(..=AGREEMENT_MM).contains(&difference) {
            return ambiguous(format!(
                "the sform (code {sform_code}) and the qform (code {qform_code}) place a corner voxel {difference:.3} mm apart (at most {AGREEMENT_MM}): choose one of them"
            ));
        }
    }
    Ok(geometry)
}

/// Whether a transform with this code leads to the scanner's coordinates, or to those of another scan of the patient.
fn is_scanner(code: i16) -> bool {
    matches!(code, 1 | 2)
}

/// Millimeters per unit of length; no unit means millimeters.
fn millimeters(units: u8) -> Result<f64> {
    match units & 7 {
        0 | UNITS_MM => Ok(1.0),
        1 => Ok(1e3),
        3 => Ok(1e-3),
        unit => Err(Error::new(ErrorKind::CorruptFile, format!("xyzt_units names {unit} as unit of length: 0 to 3 are defined"))),
    }
}

fn sform(placement: &NiftiPlacement, mm: f64) -> Affine {
    let [x, y, z] = placement.srows;
    let mut m = [0.0; 16];
    for (to, from) in m.iter_mut().zip(x.into_iter().chain(y).chain(z)) {
        *to = from * mm;
    }
    m[15] = 1.0;
    Affine(m)
}

/// The qform: a rotation as a quaternion, spacing, the sign of the third axis and an offset, as stored.
struct Qform {
    /// b, c, d; the first component, a, follows from the length of 1.
    vector: [f64; 3],
    /// 1 − b² − c² − d².
    square: f64,
    /// Along i, j, k; the last one with the sign of qfac.
    spacing: [f64; 3],
    offset: [f64; 3],
}

impl Qform {
    fn new(placement: &NiftiPlacement) -> Result<Self> {
        let invalid = |message: String| Err(Error::new(ErrorKind::InvalidGeometry, message));
        let [b, c, d, offset @ ..] = placement.quaternion;
        let [qfac, x, y, z, ..] = placement.pixdim;
        let square = 1.0 - (b * b + c * c + d * d);
        // NaN lies in no range.
        if !(-QUATERNION_EXCESS..=1.0).contains(&square) {
            return invalid(format!("the quaternion {b}, {c}, {d} is none of a rotation: the squares may add up to 1"));
        }
        if let Some(spacing) = [x, y, z].into_iter().find(|spacing| !(*spacing > 0.0 && spacing.is_finite())) {
            return invalid(format!("pixdim holds {spacing} as spacing: it must be above 0"));
        }
        if !qfac.is_finite() {
            return invalid(format!("pixdim[0] is {qfac}: it must be -1 or 1"));
        }
        let z = if qfac < 0.0 { -z } else { z };
        Ok(Qform { vector: [b, c, d], square, spacing: [x, y, z], offset })
    }

    /// The first component of the quaternion.
    fn scalar(&self) -> f64 {
        if self.square < ROUNDED_SQUARE { 0.0 } else { self.square.sqrt() }
    }

    fn affine(&self, mm: f64) -> Affine {
        self.affine_with(self.scalar(), mm)
    }

    /// The affine if the quaternion's first component is `a`, before normalizing.
    fn affine_with(&self, a: f64, mm: f64) -> Affine {
        let length = a.hypot(norm(self.vector));
        let a = a / length;
        let [b, c, d] = self.vector.map(|component| component / length);
        let [x, y, z] = self.spacing.map(|spacing| spacing * mm);
        let [p, q, r] = self.offset.map(|offset| offset * mm);
        Affine([
            (a * a + b * b - c * c - d * d) * x,
            2.0 * (b * c - a * d) * y,
            2.0 * (b * d + a * c) * z,
            p,
            2.0 * (b * c + a * d) * x,
            (a * a + c * c - b * b - d * d) * y,
            2.0 * (c * d - a * b) * z,
            q,
            2.0 * (b * d - a * c) * x,
            2.0 * (c * d + a * b) * y,
            (a * a + d * d - b * b - c * c) * z,
            r,
            0.0,
            0.0,
            0.0,
            1.0,
        ])
    }

    /// How far apart (mm) this and another placement put the corner voxels' centers at most.
    ///
    /// Near half a turn, the rounding of b, c and d to 32 bits leaves a open, and with it tenths of a millimeter: the
    /// nearest of all that the stored numbers can mean counts.
    fn distance(&self, other: &Geometry, mm: f64) -> f64 {
        const STEPS: u32 = 16;
        let [low, high] = [-ROUNDED_SQUARE, ROUNDED_SQUARE].map(|error| (self.square + error).max(0.0).sqrt());
        let between = (0..=STEPS).map(|step| low + (high - low) * f64::from(step) / f64::from(STEPS));
        let distances = between.chain([self.scalar()]).map(|a| corner_distance(&self.affine_with(a, mm), other));
        distances.fold(f64::INFINITY, f64::min)
    }
}

/// The largest distance (mm) between the centers of the corner voxels as placed by `affine` and by `other`.
fn corner_distance(affine: &Affine, other: &Geometry) -> f64 {
    let [i, j, k] = other.dims.map(|n| [0.0, (n - 1) as f64]);
    let mut largest = 0f64;
    for i in i {
        for j in j {
            for k in k {
                let [a, b] = [affine, &other.ijk_to_world].map(|affine| affine.apply([i, j, k]));
                let distance = norm([a[0] - b[0], a[1] - b[1], a[2] - b[2]]);
                // `max` would lose a NaN.
                largest = if distance <= largest { largest } else { distance };
            }
        }
    }
    largest
}

/// What a NIfTI header says about the place of a volume that comes from no such file: the affine as sform, and as qform
/// too if a quaternion can express it.
pub(super) fn placement(geometry: &Geometry) -> NiftiPlacement {
    let affine = geometry.ijk_to_world.between(geometry.world, World::Ras);
    let geometry = Geometry { ijk_to_world: affine, world: World::Ras, ..*geometry };
    let qfac = if affine.determinant() < 0.0 { -1.0 } else { 1.0 };
    let spacing = [0, 1, 2].map(|axis| norm(affine.column(axis)));
    let mut columns = [0, 1, 2].map(|axis| affine.column(axis).map(|component| component / spacing[axis]));
    columns[2] = columns[2].map(|component| component * qfac);
    let [b, c, d] = quaternion(columns);
    let m = &affine.0;
    let mut placement = NiftiPlacement {
        pixdim: [qfac, spacing[0], spacing[1], spacing[2], 0.0, 0.0, 0.0, 0.0],
        codes: [1, 1],
        quaternion: [b, c, d, m[3], m[7], m[11]],
        srows: [0, 1, 2].map(|row| [m[4 * row], m[4 * row + 1], m[4 * row + 2], m[4 * row + 3]]),
        units: UNITS_MM,
    };
    // Half of what reading allows, because both transforms will be rounded to 32 bits.
    let expressed = Qform::new(&placement).is_ok_and(|qform| qform.distance(&geometry, 1.0) <= AGREEMENT_MM / 2.0);
    if !expressed {
        placement.codes[0] = 0;
        placement.quaternion = [0.0; 6];
    }
    placement
}

/// b, c, d of the rotation with these columns, a ≥ 0. Starts from the largest of the four components, which loses nothing.
fn quaternion([x, y, z]: [[f64; 3]; 3]) -> [f64; 3] {
    // Four times the squares of a, b, c, d.
    let squares = [1.0 + x[0] + y[1] + z[2], 1.0 + x[0] - y[1] - z[2], 1.0 - x[0] + y[1] - z[2], 1.0 - x[0] - y[1] + z[2]];
    let largest = squares.iter().copied().fold(f64::MIN, f64::max);
    // Sums and differences across the diagonal: 4ab, 4ac, 4ad and 4bc, 4bd, 4cd.
    let [ab, ac, ad] = [y[2] - z[1], z[0] - x[2], x[1] - y[0]];
    let [bc, bd, cd] = [x[1] + y[0], x[2] + z[0], y[2] + z[1]];
    let four_times = match squares.iter().position(|square| *square == largest) {
        Some(1) => [ab, largest, bc, bd],
        Some(2) => [ac, bc, largest, cd],
        Some(3) => [ad, bd, cd, largest],
        _ => [largest, ab, ac, ad],
    };
    let scale = 2.0 * largest.sqrt();
    let [a, b, c, d] = four_times.map(|product| product / scale);
    if a < 0.0 { [-b, -c, -d] } else { [b, c, d] }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIMS: [usize; 3] = [200, 180, 150];

    fn ras(affine: [f64; 16]) -> Geometry {
        Geometry { dims: DIMS, ijk_to_world: Affine(affine), world: World::Ras }
    }

    /// A turn by three angles (degrees), anisotropic spacing, an offset; the third axis mirrored if asked for.
    fn turned(angles: [f64; 3], mirrored: bool) -> Geometry {
        let turn = |axis: usize, degrees: f64, v: [f64; 3]| {
            let (sine, cosine) = degrees.to_radians().sin_cos();
            let (p, q) = ((axis + 1) % 3, (axis + 2) % 3);
            let mut turned = v;
            (turned[p], turned[q]) = (cosine * v[p] - sine * v[q], sine * v[p] + cosine * v[q]);
            turned
        };
        let mut m = [0.0, 0.0, 0.0, -40.0, 0.0, 0.0, 0.0, 25.0, 0.0, 0.0, 0.0, 310.0, 0.0, 0.0, 0.0, 1.0];
        for (axis, length) in [0.7, 0.8, if mirrored { -2.5 } else { 2.5 }].into_iter().enumerate() {
            let mut column = [0.0; 3];
            column[axis] = length;
            let column = (0..3).fold(column, |v, axis| turn(axis, angles[axis], v));
            (0..3).for_each(|row| m[4 * row + axis] = column[row]);
        }
        ras(m)
    }

    /// As a NIfTI-1 file holds it.
    fn rounded(mut p: NiftiPlacement) -> NiftiPlacement {
        let rows = p.srows.iter_mut().flatten();
        p.pixdim.iter_mut().chain(&mut p.quaternion).chain(rows).for_each(|value| *value = f64::from(*value as f32));
        p
    }

    fn close(a: &Geometry, b: &Geometry, mm: f64) -> bool {
        corner_distance(&a.ijk_to_world, b) <= mm
    }

    fn kind(result: Result<Geometry>) -> ErrorKind {
        result.unwrap_err().kind()
    }

    #[test]
    fn a_rotation_comes_back_from_its_quaternion() {
        for angles in
            [[0., 0., 0.], [90., 0., 0.], [0., 180., 0.], [0., 0., 180.], [180., 90., 0.], [20., -35., 110.], [179.99, 0.01, -120.]]
        {
            for mirrored in [false, true] {
                let geometry = turned(angles, mirrored);
                let placement = rounded(placement(&geometry));
                assert_eq!(placement.codes, [1, 1], "{angles:?}");
                let from_qform = super::geometry(&placement, DIMS, GeometryChoice::Qform).unwrap();
                assert!(close(&from_qform, &geometry, 0.05), "{angles:?} {mirrored}");
                assert!(close(&super::geometry(&placement, DIMS, GeometryChoice::Strict).unwrap(), &geometry, 1e-4));
            }
        }
    }

    #[test]
    fn all_48_axis_orders_and_flips_survive_the_qform_exactly() {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            for signs in 0..8 {
                let mut m = [0.0; 16];
                for axis in 0..3 {
                    m[4 * order[axis] + axis] = if signs >> axis & 1 == 1 { -1.0 } else { 1.0 } * [0.5, 1.0, 2.0][axis];
                }
                m[15] = 1.0;
                let geometry = ras(m);
                let from_qform = super::geometry(&rounded(placement(&geometry)), DIMS, GeometryChoice::Qform).unwrap();
                assert!(close(&from_qform, &geometry, 1e-4), "{order:?} {signs:03b}");
            }
        }
    }

    #[test]
    fn half_a_turn_with_a_tilt_that_32_bits_cannot_hold_is_no_contradiction() {
        for tilt in [0.005, 0.01, 0.02, 0.03, 0.04, 0.05] {
            for angles in [[0., tilt, 180.], [0., 0., 180. - tilt], [180. + tilt, tilt, 0.]] {
                let placement = rounded(placement(&turned(angles, false)));
                assert!(super::geometry(&placement, DIMS, GeometryChoice::Strict).is_ok(), "{angles:?}");
            }
        }
    }

    #[test]
    fn a_volume_in_lps_is_written_in_ras() {
        let lps = Geometry { world: World::Lps, ..turned([10., 20., 30.], false) };
        let back = geometry(&rounded(placement(&lps)), DIMS, GeometryChoice::Strict).unwrap();
        assert!(close(&back, &Geometry { ijk_to_world: lps.ijk_to_world.between(World::Lps, World::Ras), world: World::Ras, ..lps }, 1e-4));
    }

    #[test]
    fn a_sheared_volume_has_an_sform_only() {
        let mut sheared = turned([0.; 3], false);
        sheared.ijk_to_world.0[1] += 0.1;
        let placement = placement(&sheared);
        assert_eq!(placement.codes, [0, 1]);
        assert!(close(&geometry(&placement, DIMS, GeometryChoice::Strict).unwrap(), &sheared, 0.0));
    }

    /// Two transforms 5 mm apart, with these codes for the qform and the sform.
    fn apart(qform: i16, sform: i16) -> NiftiPlacement {
        let mut p = placement(&turned([0.; 3], false));
        p.quaternion[3] += 5.0;
        p.codes = [qform, sform];
        p
    }

    #[test]
    fn the_transform_is_the_one_that_the_method_names() {
        let offset = |p: &NiftiPlacement| geometry(p, DIMS, GeometryChoice::Strict).unwrap().ijk_to_world.0[3];
        for (codes, expected) in [
            ((0, 1), -40.),
            ((0, 2), -40.),
            ((1, 0), -35.),
            ((4, 0), -35.),
            ((1, 3), -35.),
            ((3, 4), -35.),
            ((0, 3), -40.),
            ((0, 4), -40.),
            ((3, 1), -40.),
            ((4, 2), -40.),
        ] {
            assert_eq!(offset(&apart(codes.0, codes.1)), expected, "qform and sform code {codes:?}");
        }
        assert_eq!(kind(geometry(&apart(0, 0), DIMS, GeometryChoice::Strict)), ErrorKind::AmbiguousGeometry);
    }

    #[test]
    fn two_scanner_transforms_apart_are_an_error_that_names_both_until_one_is_chosen() {
        for codes in [(1, 1), (1, 2), (2, 1), (2, 2)] {
            let p = apart(codes.0, codes.1);
            let error = geometry(&p, DIMS, GeometryChoice::Strict).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AmbiguousGeometry);
            assert!(error.message().contains("sform") && error.message().contains("qform") && error.message().contains("5.000 mm"));
            let chosen = [GeometryChoice::Sform, GeometryChoice::Qform].map(|choice| geometry(&p, DIMS, choice).unwrap().ijk_to_world.0[3]);
            assert_eq!(chosen, [-40.0, -35.0]);
        }
    }

    #[test]
    fn the_border_of_agreement_lies_at_a_tenth_of_a_millimeter_at_any_corner() {
        let with = |at: usize, more: f64| {
            let mut p = placement(&turned([0.; 3], false));
            p.srows[0][at] += more;
            geometry(&p, DIMS, GeometryChoice::Strict).is_ok()
        };
        assert!(with(3, 0.099) && !with(3, 0.101));
        // 199 steps along i to the far corner.
        assert!(with(0, 0.099 / 199.0) && !with(0, 0.101 / 199.0));
    }

    #[test]
    fn choosing_a_transform_that_is_not_there_is_an_error() {
        assert_eq!(kind(geometry(&apart(0, 1), DIMS, GeometryChoice::Qform)), ErrorKind::AmbiguousGeometry);
        assert_eq!(kind(geometry(&apart(1, 0), DIMS, GeometryChoice::Sform)), ErrorKind::AmbiguousGeometry);
    }

    #[test]
    fn units_of_length_become_millimeters_and_unknown_ones_an_error() {
        for (units, factor) in [(0, 1.0), (2, 1.0), (8 + 2, 1.0), (1, 1000.0), (3, 0.001)] {
            let mut p = placement(&turned([10., 20., 30.], false));
            let scaled = p.srows.iter_mut().flatten().chain(&mut p.pixdim[1..4]).chain(&mut p.quaternion[3..]);
            scaled.for_each(|value| *value /= factor);
            p.units = units;
            assert!(close(&geometry(&p, DIMS, GeometryChoice::Strict).unwrap(), &turned([10., 20., 30.], false), 1e-9), "{units}");
            assert!(close(&geometry(&p, DIMS, GeometryChoice::Qform).unwrap(), &turned([10., 20., 30.], false), 1e-9), "{units}");
        }
        let p = NiftiPlacement { units: 5, ..placement(&turned([0.; 3], false)) };
        assert_eq!(kind(geometry(&p, DIMS, GeometryChoice::Strict)), ErrorKind::CorruptFile);
    }

    #[test]
    fn a_qform_that_is_no_rotation_or_has_no_spacing_is_invalid() {
        let good = placement(&turned([0.; 3], false));
        let with = |change: &dyn Fn(&mut NiftiPlacement)| {
            let mut p = good;
            change(&mut p);
            p
        };
        for bad in [
            with(&|p| p.quaternion[0] = f64::NAN),
            with(&|p| p.quaternion[1] = f64::INFINITY),
            with(&|p| p.quaternion[2] = 1.5),
            with(&|p| p.quaternion[4] = f64::NAN),
            with(&|p| p.pixdim[0] = f64::NAN),
            with(&|p| p.pixdim[1] = 0.0),
            with(&|p| p.pixdim[2] = -0.8),
            with(&|p| p.pixdim[3] = f64::INFINITY),
        ] {
            assert_eq!(kind(geometry(&bad, DIMS, GeometryChoice::Qform)), ErrorKind::InvalidGeometry, "{bad:?}");
            // Beside a good sform it is a contradiction, until the sform is chosen.
            assert_eq!(kind(geometry(&bad, DIMS, GeometryChoice::Strict)), ErrorKind::AmbiguousGeometry, "{bad:?}");
            assert!(geometry(&bad, DIMS, GeometryChoice::Sform).is_ok());
        }
    }

    #[test]
    fn a_qfac_of_0_and_a_quaternion_barely_above_1_are_forgiven() {
        let mut p = placement(&turned([0., 0., 180.], false));
        p.pixdim[0] = 0.0;
        p.quaternion[2] = 1.000_01;
        assert!(close(&geometry(&p, DIMS, GeometryChoice::Qform).unwrap(), &turned([0., 0., 180.], false), 1e-3));
    }
}
