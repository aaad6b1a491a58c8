//! What to know before relying on a result.

use std::ops::{BitOr, BitOrAssign};

use crate::geometry::{Geometry, OBLIQUITY_WARNING_DEGREES, SHEAR_WARNING_DEGREES};

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
    /// What the geometry of a volume alone gives reason to warn of: shear, and obliquity (method.md 1.2).
    pub fn of_geometry(geometry: &Geometry) -> Warnings {
        let mut warnings = Warnings::default();
        if geometry.shear_degrees() > SHEAR_WARNING_DEGREES {
            warnings |= Warnings::SHEARED;
        }
        if geometry.obliquity_degrees() > OBLIQUITY_WARNING_DEGREES {
            warnings |= Warnings::SPACING;
        }
        warnings
    }

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
