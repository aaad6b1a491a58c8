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
    /// Compact bone: low in the 700 to 3000 HU that tables give for bone (no number for a vertebra's was seen). A shell of
    /// 0.38 ± 0.06 mm (Eswaran et al., Comput Methods Appl Mech Eng 196 (2007) 3025) shows a part of it only.
    pub cortex: f32,
    /// Thecal sac: fluid of 0 to 10 HU (Radiopaedia, rID 58893) with roots in it, so between the two. An estimate: no
    /// measurement of the sac itself was found.
    pub sac: f32,
    /// Roots and ganglia. Brain stands in for them, as no measurement was found: white matter 30 ± 3.5 HU, deep gray 33 ± 3
    /// (Cala et al., AJNR 2 (1981) 41, 115 volunteers). Hardly darker than muscle.
    pub nerve: f32,
    /// Epidural and foraminal fat. Abdominal fat stands in: −123 to −89 HU (Pop and Mărușteri, Diagnostics 13 (2023) 1913),
    /// visceral fat −94 HU (Framingham Heart Study, 3,198 CTs).
    pub fat: f32,
    /// Discs: 60 to 80 HU (a teaching page, ctlearn.com; no study's mean was seen), the densest soft tissue of a plain CT.
    pub disc: f32,
    /// Muscle without fat in it: psoas 42 ± 8, muscles of the back 35 ± 11 HU (Rollins et al., Clin Nutr 39 (2020) 2227, 150
    /// patients), psoas of the young 48 ± 6 (Lawlor et al., JFSF 7 (2022) 38).
    pub muscle: f32,
    /// Whether a contrast agent was given. The method is for plain CT; blood as dense as bone teaches it shape.
    pub enhanced: bool,
    /// Blood of arteries: 42 HU plain at 12.6 g/dL hemoglobin (Badhe et al., Int J Educ Res Health Sci 1(3), 2018). Dense as
    /// bone after contrast: renal arteries gain 240 to 288 HU at first (Eur J Radiol 63 (2007) 420).
    pub arteries: f32,
    /// Blood of large veins: plain, the vena cava had 36.1 HU where the aorta had 37.7 (151 patients, anemic and not; the
    /// study's journal was not seen).
    pub veins: f32,
    /// Blood of the small veins in canal and foramina: an estimate, somewhat below the large ones.
    pub small_veins: f32,
    /// Kidneys: plain 32.6 ± 3.4 HU on the healthy side (AJR 182 (2004) 1251, 145 CTs); after contrast the cortex gains 195 to
    /// 217 HU and the medulla up to 145 (Eur J Radiol 63 (2007) 420).
    pub kidney: f32,
    /// Liver and spleen, so between the two: liver 58.8 ± 10.8 HU (Boyce et al., 3,357 adults), 1 to 18 above the spleen (Park
    /// et al., 315 donors). After contrast the liver gains 56 ± 14 HU (Naruo et al., Radiat Med 25 (2007) 106).
    pub liver: f32,
    /// Content of bright bowel loops: water, food, or an oral contrast agent. Estimates; a strong agent has 500 to 600 HU
    /// (Insights Imaging 2011, s13244-011-0109-0).
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
