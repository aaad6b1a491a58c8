//! Where the voxels lie: the space, its axes and its origin.

use super::text::{Text, corrupt};
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::{Affine, Geometry, World};

/// Spaces whose left and right are told, what leads from them to a world of ours, and how many dimensions they have.
const SPACES: [(&str, &str, World, f64, usize); 6] = [
    ("right-anterior-superior", "RAS", World::Ras, 1.0, 3),
    ("left-anterior-superior", "LAS", World::Ras, -1.0, 3),
    ("left-posterior-superior", "LPS", World::Lps, 1.0, 3),
    ("right-anterior-superior-time", "RAST", World::Ras, 1.0, 4),
    ("left-anterior-superior-time", "LAST", World::Ras, -1.0, 4),
    ("left-posterior-superior-time", "LPST", World::Lps, 1.0, 4),
];

/// What a file should say of its space instead.
const ADVICE: &str = "say where it lies with `space: left-posterior-superior` (or RAS, LAS), `space directions` and `space origin`";

fn ambiguous(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::AmbiguousGeometry, message.into())
}

/// The axes' steps in the order of the file; `None` for an axis that leads nowhere in the world, as that of a list.
///
/// # Errors
/// [`ErrorKind::CorruptFile`]; [`ErrorKind::AmbiguousGeometry`] where there are none.
pub(super) fn directions(text: &Text, dimension: usize) -> Result<Vec<Option<[f64; 3]>>> {
    let Some(directions) = text.field("spacedirections") else {
        let spacings = if text.field("spacings").is_some() { "spacings, but " } else { "" };
        // 3D Slicer's two readers take such a file for RAS and for LPS (docs/formats.md).
        return Err(ambiguous(format!("the header gives {spacings}no space directions, so nobody knows where the volume lies: {ADVICE}")));
    };
    let (mut found, mut rest) = (Vec::new(), directions);
    while !rest.is_empty() {
        let direction;
        (direction, rest) = match rest.strip_prefix("none") {
            Some(rest) => (None, rest),
            None => vector(rest).ok_or_else(|| {
                corrupt(format!("space directions is \"{}\": it must be one vector (x,y,z) per axis", directions.escape_debug()))
            })?,
        };
        found.push(direction);
        rest = rest.trim_start();
    }
    if found.len() != dimension {
        return Err(corrupt(format!("space directions gives {} vectors for {dimension} axes", found.len())));
    }
    Ok(found)
}

/// The vector `(x,y,z)` at the beginning, and what follows it. Three NaN are how some say "none".
fn vector(text: &str) -> Option<(Option<[f64; 3]>, &str)> {
    let (inside, rest) = text.strip_prefix('(')?.split_once(')')?;
    let mut numbers = inside.split(',').map(|number| number.trim().parse::<f64>().ok());
    let vector = [numbers.next()??, numbers.next()??, numbers.next()??];
    let vector = (!vector.iter().all(|number| number.is_nan())).then_some(vector);
    numbers.next().is_none().then_some((vector, rest))
}

/// The place of voxels with these three steps.
///
/// # Errors
/// [`ErrorKind::AmbiguousGeometry`]: no space, or one that does not tell left from right; no origin.
/// [`ErrorKind::UnsupportedFormat`]: a space with time, or another unit than millimeters.
/// [`ErrorKind::InvalidGeometry`]: no volume. [`ErrorKind::CorruptFile`].
pub(super) fn geometry(text: &Text, dims: [usize; 3], steps: [[f64; 3]; 3]) -> Result<Geometry> {
    let Some(space) = text.field("space") else {
        return Err(ambiguous(format!("the header names no space, so it does not tell left from right: {ADVICE}")));
    };
    let known = SPACES.iter().find(|(long, short, ..)| space.eq_ignore_ascii_case(long) || space.eq_ignore_ascii_case(short));
    let Some((.., world, x, space_dimension)) = known else {
        return Err(ambiguous(format!("the space \"{}\" does not tell left from right: {ADVICE}", space.escape_debug())));
    };
    if *space_dimension != 3 {
        return Err(Error::new(ErrorKind::UnsupportedFormat, format!("the space {space} has time in it: give a single 3D volume")));
    }
    check_units(text)?;
    let Some(origin) = text.field("spaceorigin") else {
        return Err(ambiguous(format!("the header gives no space origin, so nobody knows where the volume lies: {ADVICE}")));
    };
    let Some((Some(origin), "")) = vector(origin) else {
        return Err(corrupt(format!("space origin is \"{}\": it must be one vector (x,y,z)", origin.escape_debug())));
    };
    let [i, j, k] = steps;
    let row = |r: usize, sign: f64| [i, j, k, origin].map(|column| sign * column[r]);
    let mut affine = [0.0; 16];
    for (to, from) in affine.iter_mut().zip([row(0, *x), row(1, 1.0), row(2, 1.0)].as_flattened()) {
        *to = *from;
    }
    affine[15] = 1.0;
    let geometry = Geometry { dims, ijk_to_world: Affine(affine), world: *world };
    geometry.check()?;
    Ok(geometry)
}

/// Lengths are millimeters, or of no unit, which means them.
fn check_units(text: &Text) -> Result<()> {
    let Some(units) = text.field("spaceunits") else { return Ok(()) };
    // "mm" "mm" "mm": every other piece is a unit.
    match units.split('"').skip(1).step_by(2).find(|unit| !matches!(*unit, "" | "???" | "mm" | "millimeter" | "millimeters")) {
        Some(unit) => Err(Error::new(
            ErrorKind::UnsupportedFormat,
            format!("lengths in \"{}\": convert the file to millimeters", unit.escape_debug()),
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(lines: &str) -> Text {
        Text::read(&mut format!("NRRD0004\n{lines}\n\n").as_bytes()).unwrap()
    }

    const STEPS: [[f64; 3]; 3] = [[0.5, 0.0, 0.0], [0.0, 0.0, 2.0], [0.0, -0.5, 0.25]];

    fn place(lines: &str) -> Result<Geometry> {
        geometry(&text(lines), [2, 3, 4], STEPS)
    }

    #[test]
    fn a_space_spelled_out_or_short_leads_to_its_world() {
        let ras = [0.5, 0.0, 0.0, 7.0, 0.0, 0.0, -0.5, 8.0, 0.0, 2.0, 0.25, 9.0, 0.0, 0.0, 0.0, 1.0];
        let mut las = ras;
        las[..4].copy_from_slice(&[-0.5, -0.0, -0.0, -7.0]);
        for (names, affine, world) in [
            (["right-anterior-superior", "RAS"], ras, World::Ras),
            (["Left-Posterior-Superior", "lps"], ras, World::Lps),
            (["left-anterior-superior", "LAS"], las, World::Ras),
        ] {
            for name in names {
                let expected = Geometry { dims: [2, 3, 4], ijk_to_world: Affine(affine), world };
                assert_eq!(place(&format!("space: {name}\nspace origin: ( 7, 8,9e0)")).unwrap(), expected, "{name}");
            }
        }
    }

    #[test]
    fn what_does_not_tell_left_from_right_or_the_origin_is_ambiguous() {
        for lines in [
            "space origin: (7,8,9)",
            "space dimension: 3\nspace origin: (7,8,9)",
            "space: scanner-xyz\nspace origin: (7,8,9)",
            "space: 3D-right-handed\nspace origin: (7,8,9)",
            "space: LPS",
        ] {
            assert_eq!(place(lines).unwrap_err().kind(), ErrorKind::AmbiguousGeometry, "{lines}");
        }
        let error = directions(&text("spacings: 1 1 1"), 3).unwrap_err();
        assert!(error.kind() == ErrorKind::AmbiguousGeometry && error.message().contains("spacings, but no space"), "{error}");
    }

    #[test]
    fn other_units_and_time_are_not_supported_and_millimeters_are() {
        for lines in ["space: LPST\nspace origin: (7,8,9)", "space: LPS\nspace units: \"mm\" \"um\" \"mm\"\nspace origin: (7,8,9)"] {
            assert_eq!(place(lines).unwrap_err().kind(), ErrorKind::UnsupportedFormat, "{lines}");
        }
        assert!(place("space: LPS\nspace units: \"mm\" \"\" \"millimeter\"\nspace origin: (7,8,9)").is_ok());
    }

    #[test]
    fn vectors_that_are_none_are_corrupt() {
        let steps = |value: &str| directions(&text(&format!("space directions: {value}")), 3);
        assert_eq!(steps("(1,0,0) (0,1,0) (0,0,1e0)").unwrap(), [[1., 0., 0.], [0., 1., 0.], [0., 0., 1.]].map(Some));
        assert_eq!(steps("none (0,1,0)(nan,nan,nan)").unwrap(), [None, Some([0., 1., 0.]), None]);
        for wrong in ["", "(1,0,0) (0,1,0)", "(1,0,0) (0,1,0) (0,0,1) (0,0,1)", "(1,0) (0,1,0) (0,0,1)", "(1,0,0,0) (0,1,0) (0,0,1)"] {
            assert_eq!(steps(wrong).unwrap_err().kind(), ErrorKind::CorruptFile, "{wrong}");
        }
        for wrong in ["1,0,0 0,1,0 0,0,1", "(1,0,0) (0,1,0) (0,0,1", "(1,0,0) (0,1,0) (0,0,x)", "none, none, none"] {
            assert_eq!(steps(wrong).unwrap_err().kind(), ErrorKind::CorruptFile, "{wrong}");
        }
        for wrong in ["", "7,8,9", "none", "(7,8)", "(7,8,9) x", "(7,8,nine)"] {
            assert_eq!(place(&format!("space: LPS\nspace origin: {wrong}")).unwrap_err().kind(), ErrorKind::CorruptFile, "{wrong}");
        }
        assert_eq!(place("space: LPS\nspace origin: (7,inf,9)").unwrap_err().kind(), ErrorKind::InvalidGeometry);
    }
}
