//! The values of labels and their names.

use serde::Serialize;

/// Which values a phantom's labels have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LabelScheme {
    /// 1 bone, 2 nerve: the paper's.
    #[default]
    Simple,
    /// A value for every vertebra, hip bone, root and ganglion: [`LabelScheme::names`].
    Detailed,
}

/// The lowest value of a nerve in the detailed scheme.
const FIRST_NERVE: u8 = 40;

pub(super) const L5: u8 = 1;
pub(super) const SACRUM: u8 = 10;
pub(super) const HIP: [u8; 2] = [11, 12];
pub(super) const FEMUR: [u8; 2] = [13, 14];
pub(super) const RIBS: [u8; 2] = [15, 16];
pub(super) const ARM: [u8; 2] = [17, 18];
pub(super) const THECAL_SAC: u8 = FIRST_NERVE;
/// The roots of T11 to L5 and S1 to S3, left and right, from 41 on; their ganglia 20 above.
pub(super) const FIRST_ROOT: u8 = FIRST_NERVE + 1;
pub(super) const GANGLION: u8 = 20;

const NAMES: &[(u8, &str)] = &[
    (1, "L5"),
    (2, "L4"),
    (3, "L3"),
    (4, "L2"),
    (5, "L1"),
    (6, "T12"),
    (7, "T11"),
    (10, "sacrum"),
    (11, "hip bone left"),
    (12, "hip bone right"),
    (13, "femur left"),
    (14, "femur right"),
    (15, "ribs left"),
    (16, "ribs right"),
    (17, "forearm left"),
    (18, "forearm right"),
    (40, "thecal sac"),
];

/// The nerves in the order of their values.
const ROOTS: [&str; 10] = ["L5", "L4", "L3", "L2", "L1", "T12", "T11", "S1", "S2", "S3"];

impl LabelScheme {
    /// Every value that this scheme knows with its name, in ascending order. 0 is the background.
    pub fn names(self) -> Vec<(u8, String)> {
        match self {
            LabelScheme::Simple => vec![(1, "bone".into()), (2, "nerve".into())],
            LabelScheme::Detailed => {
                let mut names: Vec<(u8, String)> = NAMES.iter().map(|&(value, name)| (value, name.into())).collect();
                for (value, kind) in [(FIRST_ROOT, "root"), (FIRST_ROOT + GANGLION, "ganglion")] {
                    for (at, root) in ROOTS.iter().enumerate() {
                        for (side, name) in ["left", "right"].iter().enumerate() {
                            names.push((value + 2 * at as u8 + side as u8, format!("{root} {kind} {name}")));
                        }
                    }
                }
                names
            }
        }
    }

    /// The value in this scheme of a value of the detailed one.
    pub fn value(self, detailed: u8) -> u8 {
        match (self, detailed) {
            (_, 0) => 0,
            (LabelScheme::Detailed, value) => value,
            (LabelScheme::Simple, value) => 1 + u8::from(value >= FIRST_NERVE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_unique_and_in_order() {
        let names = LabelScheme::Detailed.names();
        assert!(names.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let mut texts: Vec<&String> = names.iter().map(|(_, name)| name).collect();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), names.len());
        let of = |value| names.iter().find(|(known, _)| *known == value).map(|(_, name)| name.as_str());
        assert_eq!(
            (of(FIRST_ROOT), of(FIRST_ROOT + 15), of(FIRST_ROOT + GANGLION + 3)),
            (Some("L5 root left"), Some("S1 root right"), Some("L4 ganglion right"))
        );
    }

    #[test]
    fn the_simple_value_is_bone_or_nerve() {
        let simple = |value| LabelScheme::Simple.value(value);
        assert_eq!([0, L5, SACRUM, ARM[1], THECAL_SAC, FIRST_ROOT, FIRST_ROOT + GANGLION + 19].map(simple), [0, 1, 1, 1, 2, 2, 2]);
        assert_eq!(LabelScheme::Detailed.value(SACRUM), SACRUM);
    }
}
