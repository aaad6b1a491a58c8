//! What to know before relying on a result.

use std::ops::{BitOr, BitOrAssign};

use crate::geometry::{Geometry, OBLIQUITY_WARNING_DEGREES, SHEAR_WARNING_DEGREES};
use crate::pipeline::Region;
use crate::pipeline::grid::Intensities;
use crate::pipeline::restore::Tally;

/// A set of warnings. The bits are those of the C ABI (`SPINECT_WARNING_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Warnings(pub u64);

macro_rules! warnings {
    ($($(#[$doc:meta])* $name:ident = $bit:literal, $key:literal, $text:literal;)*) => {
        impl Warnings {
            $($(#[$doc])* pub const $name: Warnings = Warnings($bit);)*
            const ALL: &'static [(Warnings, &'static str, &'static str)] = &[$((Warnings::$name, $key, $text),)*];
        }
    };
}

warnings! {
    /// A structure touches the border of the field of view or of the region of interest.
    STRUCTURE_CUT = 0x1, "structure_cut", "a structure touches the border of what was examined: its volume is that of the part in view";
    /// A label of the model was not found.
    STRUCTURE_ABSENT = 0x2, "structure_absent", "a structure that the model knows was not found";
    /// Spacing or obliquity outside what models are trained for.
    SPACING = 0x4, "spacing", "voxel spacing or obliquity is outside what models are trained for";
    /// Metal, truncation, or no Hounsfield units.
    INTENSITY = 0x8, "intensity", "metal, truncated intensities, or values that are not Hounsfield units";
    /// A structure was found with low confidence.
    LOW_CONFIDENCE = 0x10, "low_confidence", "a structure was found with low confidence";
    /// More large components than the structure has.
    FRAGMENTED = 0x20, "fragmented", "a structure is in more large pieces than it has";
    /// Demonstration or untrained weights.
    MODEL_NOT_CLINICAL = 0x40, "model_not_clinical", "demonstration or untrained weights: not for patients";
    /// Gantry tilt or other shear.
    SHEARED = 0x80, "sheared", "the volume is sheared (gantry tilt)";
}

impl Warnings {
    /// Whether no warning is set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether every warning of `other` is set.
    pub const fn contains(self, other: Warnings) -> bool {
        self.0 & other.0 == other.0
    }

    /// The warnings that are set: a key for programs and a sentence for people.
    pub fn iter(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        Self::ALL.iter().filter(move |(warning, ..)| self.contains(*warning)).map(|&(_, key, text)| (key, text))
    }
}

impl BitOr for Warnings {
    type Output = Warnings;
    fn bitor(self, other: Warnings) -> Warnings {
        Warnings(self.0 | other.0)
    }
}

impl BitOrAssign for Warnings {
    fn bitor_assign(&mut self, other: Warnings) {
        self.0 |= other.0;
    }
}

/// Spacing that models are trained for, mm; thicker or finer voxels are warned of.
pub const SPACING_TRAINED_MM: [f64; 2] = [0.2, 3.0];
/// Voxels of the model grid at the upper clip (metal, or truncated intensities) from which a volume is warned of.
pub const SATURATED_VOXELS: u64 = 50;
/// Every CT of the spine holds fat (below this) and bone (above [`BONE_HU`]); values without either are no Hounsfield units.
pub const FAT_HU: f32 = -20.0;
/// See [`FAT_HU`].
pub const BONE_HU: f32 = 150.0;
/// The mean confidence of a structure below which it is warned of.
pub const CONFIDENT: f64 = 0.6;

impl Warnings {
    /// What a geometry gives reason to warn of.
    pub fn of_geometry(geometry: &Geometry) -> Warnings {
        let [low, high] = SPACING_TRAINED_MM;
        let mut warnings = Warnings::default();
        if geometry.ijk_to_world.spacing().iter().any(|spacing| !(low..=high).contains(spacing))
            || geometry.obliquity_degrees() > OBLIQUITY_WARNING_DEGREES
        {
            warnings |= Warnings::SPACING;
        }
        if geometry.shear_degrees() > SHEAR_WARNING_DEGREES {
            warnings |= Warnings::SHEARED;
        }
        warnings
    }

    /// What the intensities give reason to warn of. A region of interest need not hold fat and bone, a whole CT does.
    pub(crate) fn of_intensities(intensities: &Intensities, whole: bool) -> Warnings {
        let saturated = intensities.saturated >= SATURATED_VOXELS;
        let odd = whole && (intensities.min > FAT_HU || intensities.max < BONE_HU);
        if saturated || odd { Warnings::INTENSITY } else { Warnings::default() }
    }

    /// What a structure (any label but the background) gives reason to warn of, where these voxels were examined.
    pub(crate) fn of_structure(tally: &Tally, examined: &Region) -> Warnings {
        if tally.voxels == 0 {
            return Warnings::STRUCTURE_ABSENT;
        }
        let mut warnings = Warnings::default();
        let touches = |axis: usize| tally.min[axis] <= examined[axis].start as u64 || tally.max[axis] + 1 >= examined[axis].end as u64;
        if (0..3).any(touches) {
            warnings |= Warnings::STRUCTURE_CUT;
        }
        if tally.confidence / (tally.voxels as f64) < CONFIDENT {
            warnings |= Warnings::LOW_CONFIDENCE;
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Affine, World};

    fn geometry(spacing: [f64; 3]) -> Geometry {
        Geometry { dims: [4, 4, 4], ijk_to_world: Affine::from_spacing(spacing, [0.0; 3]), world: World::Ras }
    }

    #[test]
    fn spacing_obliquity_and_shear_are_warned_of_beyond_their_limits() {
        assert!(Warnings::of_geometry(&geometry([0.5, 0.5, 3.0])).is_empty());
        assert_eq!(Warnings::of_geometry(&geometry([0.5, 0.5, 3.1])), Warnings::SPACING);
        assert_eq!(Warnings::of_geometry(&geometry([0.1, 0.5, 1.0])), Warnings::SPACING);
        let (sine, cosine) = 35f64.to_radians().sin_cos();
        let mut turned = geometry([1.0; 3]);
        turned.ijk_to_world.0[..6].copy_from_slice(&[cosine, -sine, 0.0, 0.0, sine, cosine]);
        assert_eq!(Warnings::of_geometry(&turned), Warnings::SPACING);
        let mut tilted = geometry([1.0; 3]);
        tilted.ijk_to_world.0[6] = 0.03;
        assert_eq!(Warnings::of_geometry(&tilted), Warnings::SHEARED);
    }

    #[test]
    fn metal_and_values_that_are_no_hounsfield_units_are_warned_of() {
        let ct = Intensities { saturated: 0, min: -1024.0, max: 1500.0 };
        assert!(Warnings::of_intensities(&ct, true).is_empty());
        for odd in [Intensities { saturated: 50, ..ct }, Intensities { min: 0.0, ..ct }, Intensities { max: 100.0, ..ct }] {
            assert_eq!(Warnings::of_intensities(&odd, true), Warnings::INTENSITY);
        }
        assert!(Warnings::of_intensities(&Intensities { min: 0.0, ..ct }, false).is_empty());
    }

    #[test]
    fn structures_that_are_absent_cut_or_doubtful_are_warned_of() {
        let examined = [2..10, 0..10, 0..10];
        let inside = Tally { voxels: 10, index_sums: [0; 3], min: [3, 1, 1], max: [8, 8, 8], confidence: 9.0 };
        assert!(Warnings::of_structure(&inside, &examined).is_empty());
        assert_eq!(Warnings::of_structure(&Tally::EMPTY, &examined), Warnings::STRUCTURE_ABSENT);
        assert_eq!(Warnings::of_structure(&Tally { min: [2, 1, 1], ..inside }, &examined), Warnings::STRUCTURE_CUT);
        assert_eq!(Warnings::of_structure(&Tally { max: [8, 8, 9], ..inside }, &examined), Warnings::STRUCTURE_CUT);
        assert_eq!(Warnings::of_structure(&Tally { confidence: 5.0, ..inside }, &examined), Warnings::LOW_CONFIDENCE);
    }
}
