//! The table of a label map that brings none.

use crate::model::LabelConfig;

/// A label per value that occurs, except the background's 0: `label 3`, in a color of its own.
pub(super) fn of_values(values: &[u8]) -> Vec<LabelConfig> {
    let mut occurs = [false; 256];
    values.iter().for_each(|value| occurs[usize::from(*value)] = true);
    (1..=u8::MAX).filter(|value| occurs[usize::from(*value)]).map(|value| unnamed(value, None)).collect()
}

/// A label with this value and name, or none, in a color of its own.
pub(super) fn unnamed(value: u8, name: Option<String>) -> LabelConfig {
    LabelConfig {
        value,
        name: name.unwrap_or_else(|| format!("label {value}")),
        color: color_of(value),
        terminology: None,
        category: None,
        pieces: None,
    }
}

/// Neighboring values get hues that lie the golden angle apart, so that any few of them are easily told from each other.
fn color_of(value: u8) -> [u8; 3] {
    let hue = f64::from(value) * 0.381_966_011_250_105 % 1.0 * 6.0;
    // HSV to RGB with saturation 0.6 and value 0.95: red, green and blue are the same wave, a third of a turn apart.
    [5.0, 3.0, 1.0].map(|shift: f64| {
        let k = (shift + hue) % 6.0;
        (255.0 * (0.95 - 0.95 * 0.6 * k.min(4.0 - k).clamp(0.0, 1.0))).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_that_occurs_is_a_label_with_a_color_of_its_own() {
        let table = of_values(&[0, 7, 2, 7, 0]);
        let told: Vec<_> = table.iter().map(|label| (label.value, label.name.as_str())).collect();
        assert_eq!(told, [(2, "label 2"), (7, "label 7")]);
        let all: Vec<u8> = (0..=255).collect();
        let mut colors: Vec<_> = of_values(&all).iter().map(|label| label.color).collect();
        assert_eq!(colors.len(), 255);
        let distance = |a: [u8; 3], b: [u8; 3]| a.iter().zip(b).map(|(a, b)| a.abs_diff(b)).max().unwrap();
        assert!(colors.windows(2).all(|pair| distance(pair[0], pair[1]) > 40));
        colors.sort_unstable();
        colors.dedup();
        assert!(colors.len() > 240, "{}", colors.len());
    }
}
