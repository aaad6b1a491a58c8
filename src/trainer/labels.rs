//! From the classes of a set to the labels of a model.

use super::dataset::Classes;
use crate::model::{Code, Config, LabelConfig};

/// Colors for classes that the library does not know, apart for the color-blind too (Okabe and Ito 2008).
const COLORS: [[u8; 3]; 7] = [[0, 114, 178], [230, 159, 0], [0, 158, 115], [204, 121, 167], [86, 180, 233], [213, 94, 0], [240, 228, 66]];

/// Structures of the lumbosacral spine: name, SNOMED CT code, meaning.
const KNOWN: [(&str, &str, &str); 12] = [
    ("L1", "66794005", "First lumbar vertebra"),
    ("L2", "14293000", "Second lumbar vertebra"),
    ("L3", "36470004", "Third lumbar vertebra"),
    ("L4", "11994002", "Fourth lumbar vertebra"),
    ("L5", "49668003", "Fifth lumbar vertebra"),
    ("S1", "65985001", "First sacral vertebra"),
    ("sacrum", "54735007", "Sacrum"),
    ("disc", "360499006", "Intervertebral disc"),
    ("nerve root", "40958000", "Spinal nerve root"),
    ("spinal nerve", "3169005", "Spinal nerve"),
    ("peripheral nerve", "84782009", "Peripheral nerve"),
    ("lumbosacral plexus", "45272004", "Lumbosacral plexus"),
];

/// The labels of a model for these classes: each with the lowest of its label values, the preset's color and code for names
/// that the preset has, codes for other structures of the spine, and a color of its own otherwise.
pub fn labels_of(classes: &Classes) -> Vec<LabelConfig> {
    let preset = Config::spinect(&[1]).labels;
    let label = |(class, name): (usize, &String)| {
        let value = (0..=u8::MAX).find(|&value| classes.class(value).map(usize::from) == Some(class)).unwrap_or(class as u8);
        if let Some(known) = preset.iter().find(|label| label.name == *name) {
            return LabelConfig { value, ..known.clone() };
        }
        let snomed = |code: &str, meaning: &str| Code { scheme: "SCT".into(), code: code.into(), meaning: meaning.into() };
        let known = KNOWN.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name));
        LabelConfig {
            value,
            name: name.clone(),
            color: COLORS[class % COLORS.len()],
            terminology: known.map(|(_, code, meaning)| snomed(code, meaning)),
            category: known.map(|_| snomed("123037004", "Anatomical Structure")),
            pieces: None,
        }
    };
    classes.names().iter().enumerate().map(label).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_classes_are_the_presets_labels() {
        assert_eq!(labels_of(&Classes::spinect()), Config::spinect(&[1]).labels);
    }

    #[test]
    fn other_classes_have_their_values_and_what_is_known_of_them() {
        let classes = Classes::new(&[("L5", vec![25, 20]), ("screw", vec![7])]).unwrap();
        let labels = labels_of(&classes);
        assert_eq!(
            labels.iter().map(|label| (label.value, label.name.as_str())).collect::<Vec<_>>(),
            [(0, "background"), (20, "L5"), (7, "screw")]
        );
        assert_eq!(labels[1].terminology.as_ref().unwrap().code, "49668003");
        assert!(labels[2].terminology.is_none() && labels[1].color != labels[2].color);
    }
}
