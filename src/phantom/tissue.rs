//! What tissues weigh in Hounsfield units, and how much they differ between people.

use serde::Serialize;

use super::random::Stream;

/// The densities that are drawn for a case, HU.
#[derive(Clone, Debug, Serialize)]
pub struct TissueParameters {
    /// Age that the density of spongy bone is drawn for, years: the 60 of the 20,374 people below, spread wider than their ± 12.
    pub age: f32,
    /// Spongy bone of the lumbar vertebrae: 226 ± 44 HU below 30 years, less by 2.5 HU a year, 89 ± 38 HU from 90 on
    /// (Jang et al., Radiology 291 (2019) 360, 20,374 CTs).
    pub spongy: f32,
    /// Compact bone. A shell of less than a millimeter shows a part of it only, which is the scanner's doing.
    pub cortex: f32,
    /// Thecal sac: fluid with the roots of the cauda equina in it, between water and nerve.
    pub sac: f32,
    /// Roots and ganglia: between fluid and muscle, so that they stand out from fat and hardly from muscle.
    pub nerve: f32,
    /// Epidural and foraminal fat.
    pub fat: f32,
    /// Discs: 60 to 100 HU, the densest soft tissue of a plain CT.
    pub disc: f32,
    /// Muscle without fat in it.
    pub muscle: f32,
    /// Whether a contrast agent was given. The method is for plain CT; blood as dense as bone teaches it shape.
    pub enhanced: bool,
    /// Blood of arteries: 35 to 50 HU plain, as dense as bone after contrast.
    pub arteries: f32,
    /// Blood of large veins.
    pub veins: f32,
    /// Blood of the small veins in canal and foramina.
    pub small_veins: f32,
    /// Kidneys.
    pub kidney: f32,
    /// Liver and spleen.
    pub liver: f32,
    /// Content of bright bowel loops: water, food, or an oral contrast agent.
    pub bowel: f32,
}

impl TissueParameters {
    pub(super) fn draw(seed: u64) -> Self {
        let draw = |name: &str| Stream::new(seed, name);
        let enhanced = draw("contrast").chance(0.35);
        let age = draw("age").normal(60.0, 17.0).clamp(20.0, 92.0);
        let either = |name: &str, bright: [f32; 2], plain: [f32; 2]| {
            let mut r = draw(name);
            if enhanced { r.range(bright[0], bright[1]) } else { r.normal(plain[0], plain[1]) }
        };
        let mut bowel = draw("bowel");
        TissueParameters {
            age,
            spongy: (draw("spongy").normal(232.0 - 2.2 * (age - 25.0).max(0.0), 42.0)).clamp(40.0, 320.0),
            cortex: draw("cortex").normal(880.0, 160.0),
            sac: draw("sac").normal(16.0, 6.0),
            nerve: draw("nerve").normal(32.0, 7.0),
            fat: draw("fat").normal(-100.0, 8.0),
            disc: draw("disc").normal(78.0, 11.0),
            muscle: draw("muscle").normal(39.0, 13.0),
            enhanced,
            arteries: either("arteries", [110.0, 320.0], [42.0, 5.0]),
            veins: either("veins", [80.0, 190.0], [40.0, 5.0]),
            small_veins: either("small veins", [60.0, 160.0], [38.0, 6.0]),
            kidney: either("kidney", [110.0, 230.0], [32.0, 4.0]),
            liver: either("liver", [85.0, 135.0], [54.0, 8.0]),
            bowel: if bowel.chance(0.35) { bowel.range(100.0, 420.0) } else { bowel.normal(25.0, 15.0) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spongy_bone_loses_density_with_age_as_the_literature_says() {
        let people: Vec<TissueParameters> = (0..4000).map(TissueParameters::draw).collect();
        let mean = |low: f32, high: f32| {
            let of: Vec<f32> = people.iter().filter(|p| (low..high).contains(&p.age)).map(|p| p.spongy).collect();
            of.iter().sum::<f32>() / of.len() as f32
        };
        assert!((mean(20.0, 30.0) - 226.0).abs() < 12.0, "{}", mean(20.0, 30.0));
        assert!((mean(85.0, 92.0) - 92.0).abs() < 14.0, "{}", mean(85.0, 92.0));
        let enhanced = people.iter().filter(|p| p.enhanced).count();
        assert!((1250..1550).contains(&enhanced), "{enhanced}");
        assert!(people.iter().all(|p| p.enhanced == (p.arteries > 100.0)));
    }
}
