//! The sacrum with its foramina, and the coccyx.

use super::labels;
use super::random::Stream;
use super::scene::Object;
use super::shape::{BodyShape, Form, Frame, add, mix, scale, unit};
use super::solid::{Part, Solid};
use super::spine::{SIDES, Spine};

impl Spine {
    /// Sacrum with coccyx.
    pub(super) fn sacrum(&self, hips: &[Part]) -> Object {
        let mut r = Stream::new(self.seed, "sacrum");
        // The wings of the sacrum hold little bone and much fat.
        let ala = r.range(0.15, 0.8);
        let s = self.p.size;
        let mut parts = Vec::new();
        let lateral: [[f32; 6]; 5] = [
            // center x, y; half x, y, z; round
            [33.0, 12.0, 24.0, 12.5, 14.5, 9.0],
            [30.0, 11.0, 21.0, 13.5, 16.0, 8.0],
            [24.0, 7.0, 17.0, 9.5, 13.5, 6.0],
            [17.0, 4.0, 12.0, 6.0, 11.5, 5.0],
            [10.0, 2.0, 7.0, 4.0, 8.0, 3.5],
        ];
        let canal: [[f32; 2]; 5] = [[30.0, 15.0], [24.0, 11.0], [18.0, 8.0], [13.0, 6.0], [8.0, 4.0]];
        let mut cuts = Vec::new();
        for (i, (frame, half)) in self.sacral.iter().enumerate() {
            let shape = BodyShape {
                half: *half,
                waist: 0.04,
                hollow: if i == 0 { 1.0 } else { 0.0 },
                wedge: 0.0,
                flat: 0.05,
                lip: 0.0,
                lip_side: 0.0,
            };
            parts.push(Part::new(Form::Body { frame: *frame, shape }, 0.8));
            let [cw, cd] = canal[i].map(|v| v * s);
            let back = half[1] + cd;
            for side in SIDES {
                let [x, y, a, b, c, round] = lateral[i].map(|v| v * s);
                // The wings lean back: towards the side they lie farther behind.
                let turned = Frame::turned([side * x, y, if i == 0 { -2.5 * s } else { 0.0 }], 0.0, 0.0, side * 0.30);
                parts.push(Part::new(Form::Block { frame: frame.compose(&turned), half: [a, b, c], round }, 0.9).marrow(ala));
                if i < 4 {
                    let (p, q) = (frame.at([side * (0.5 * cw + 2.0), half[1] + 0.75 * cd, 0.0]), frame.at([0.0, back + 1.0, -1.0]));
                    let e = frame.direction([0.0, 0.5, -0.8 * half[2]]);
                    parts.push(Part::new(Form::Plate { a: p, b: q, e, ra: 2.8 * s, rb: 2.6 * s }, 1.2));
                }
            }
            if i < 3 {
                let crest = Frame { origin: frame.at([r.normal(0.0, 0.8), back + 5.0 * s, -2.0]), axes: frame.axes };
                parts.push(Part::new(Form::Ellipsoid { frame: crest, radii: [3.0 * s, 7.5 * s, 10.0 * s] }, 1.2));
            }
            let column = Frame { origin: frame.at([0.0, half[1] + 0.5 * cd - 0.5, 2.0]), axes: frame.axes };
            if i < 4 {
                cuts.push((
                    Part::new(Form::Column { frame: column, half: [0.5 * cw, 0.5 * cd], power: 2.0, height: half[2] + 3.0 }, 1.0),
                    0.0,
                ));
            }
        }
        // The processes that meet L5.
        let (first, half) = &self.sacral[0];
        for side in SIDES {
            let (joint, normal, along) = self.facet(0, side);
            let upper = add(joint, scale(normal, -4.2 * s));
            let block = Frame { origin: upper, axes: [along, normal, unit(mix(first.axes[2], self.levels[0].frame.axes[2], 0.7))] };
            parts.push(Part::new(Form::Block { frame: block, half: [7.5 * s, 3.2 * s, 7.5 * s], round: 2.8 * s }, 1.5));
            let base = first.at([side * 26.0 * s, half[1] + 6.0, 4.0]);
            parts.push(Part::new(Form::Cone { a: base, b: upper, ra: 6.5 * s, rb: 4.5 * s }, 1.2));
        }
        // The coccyx goes on below.
        let (last, half) = &self.sacral[4];
        let (p, q) = (last.at([0.0, 0.0, -half[2] - 4.0]), last.at([0.0, -7.0, -half[2] - 26.0]));
        parts.push(Part::new(Form::Plate { a: p, b: q, e: scale(last.axes[0], 5.0), ra: 4.0, rb: 2.5 }, 0.8));
        let mut solid = Solid::of(parts, 5.0);
        // The joint between sacrum and ilium.
        let gap = r.range(1.5, 3.5);
        cuts.extend(hips.iter().map(|part| (part.clone(), gap)));
        // Foramina, in front and behind.
        for (i, (upper, a)) in self.sacral.iter().take(4).enumerate() {
            for side in SIDES {
                let x = [15.5, 14.0, 12.0, 10.0][i] * s;
                let wide = [5.8, 5.2, 4.4, 3.4][i] * s * r.normal(1.0, 0.1);
                let inside = upper.at([side * (x - 3.0), a[1] + 3.0, -a[2] + 5.0]);
                let front = upper.at([side * (x + 7.0), -a[1] - 3.0, -a[2] - 4.0]);
                cuts.push((Part::new(Form::Cone { a: inside, b: front, ra: wide, rb: wide * 1.25 }, 1.0), 0.0));
                let behind = upper.at([side * (x + 2.0), a[1] + 22.0, -a[2] - 2.0]);
                cuts.push((Part::new(Form::Cone { a: inside, b: behind, ra: 3.0 * s, rb: 3.0 * s }, 1.0), 0.0));
            }
        }
        solid.cuts = cuts;
        self.bone(solid, labels::SACRUM, r.normal(0.85, 0.1), r.range(15.0, 50.0))
    }
}
