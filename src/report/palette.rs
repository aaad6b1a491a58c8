//! Colors that people with any color vision can tell apart, the same for a label wherever it is drawn.

/// A hue, bright for a dark ground (a CT) and dark for a light one (a page). Red, green, blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shades {
    /// For masks on a CT.
    pub on_dark: [u8; 3],
    /// For lines and text on white: a contrast of at least 3 : 1.
    pub on_light: [u8; 3],
}

/// The hues of Okabe and Ito (*Color Universal Design*, 2008): orange, sky blue, bluish green, reddish purple, vermilion,
/// and darker relatives of the light ones.
const HUES: [Shades; 5] = [
    Shades { on_dark: [0xE6, 0x9F, 0x00], on_light: [0xC0, 0x70, 0x00] },
    Shades { on_dark: [0x56, 0xB4, 0xE9], on_light: [0x00, 0x72, 0xB2] },
    Shades { on_dark: [0x00, 0xC2, 0x8F], on_light: [0x00, 0x82, 0x5F] },
    Shades { on_dark: [0xCC, 0x79, 0xA7], on_light: [0xA8, 0x4C, 0x80] },
    Shades { on_dark: [0xD5, 0x5E, 0x00], on_light: [0xD5, 0x5E, 0x00] },
];

/// The color of the label or class that stands at `index` (from 0, without background). After five they repeat.
pub fn shades(index: usize) -> Shades {
    HUES[index % HUES.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The relative luminance of the WCAG 2.
    fn luminance(color: [u8; 3]) -> f64 {
        let linear = color.map(|value| {
            let value = f64::from(value) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    }

    #[test]
    fn every_color_stands_out_from_its_ground() {
        for index in 0..HUES.len() {
            let Shades { on_dark, on_light } = shades(index);
            assert!(1.05 / (luminance(on_light) + 0.05) >= 3.0, "{on_light:?}");
            assert!((luminance(on_dark) + 0.05) / 0.05 >= 3.0, "{on_dark:?}");
        }
        assert_eq!(shades(HUES.len()), shades(0));
    }
}
