//! Between the vertebrae: discs, ligaments, the capsules of the facet joints, and small muscles.

use super::random::Stream;
use super::scene::Object;
use super::shape::{BodyShape, Form, Frame, add, cross, dot, mix, scale, sub, unit};
use super::solid::{Part, Solid};
use super::spine::{Level, SIDES, Spine};

impl Spine {
    /// Discs, ligamenta flava, cartilage and capsule of the facet joints.
    pub(super) fn soft(&self) -> Vec<Object> {
        let mut out = Vec::new();
        for (i, level) in self.levels.iter().enumerate() {
            let mut r = Stream::numbered(self.seed, "disc", i as u64);
            let below = match i {
                0 => {
                    let (f, half) = &self.sacral[0];
                    f.at([0.0, 0.0, half[2]])
                }
                _ => {
                    let l = &self.levels[i - 1];
                    l.frame.at([0.0, 0.0, l.half[2]])
                }
            };
            let above = level.frame.at([0.0, 0.0, -level.half[2]]);
            let bulge = r.range(0.98, 1.05) + 0.03 * self.p.degeneration;
            let up = unit(sub(above, below));
            let left = level.frame.axes[0];
            let left = unit(sub(left, scale(up, dot(left, up))));
            let behind = cross(up, left);
            let frame = Frame { origin: mix(below, above, 0.5), axes: [left, behind, up] };
            let shape = BodyShape {
                half: [level.half[0] * bulge, level.half[1] * bulge, 0.5 * level.disc + 3.5 + level.half[1] * 0.12],
                waist: -0.02,
                hollow: 0.0,
                wedge: 0.0,
                flat: 0.06,
                lip: 0.0,
                lip_side: 0.0,
            };
            out.push(Object::soft(
                Solid::of(vec![Part::new(Form::Body { frame, shape }, 1.0)], 0.0),
                self.tissue.disc + r.normal(0.0, 6.0),
                7.0,
                5.0,
            ));
            let s = self.p.size;
            let mut parts = Vec::new();
            for side in SIDES {
                let (joint, normal, along) = self.facet(i, side);
                // Capsule and cartilage.
                let block = Frame { origin: joint, axes: [along, normal, level.frame.axes[2]] };
                parts.push(Part::new(Form::Block { frame: block, half: [8.5 * s, 4.5 * s, 9.5 * s], round: 4.0 }, 1.0));
                // Ligamentum flavum: from lamina to lamina along the canal's back.
                let (a, b) = (
                    level.frame.at([side * 8.0, level.half[1] + 0.9 * level.canal[1], -0.8 * level.half[2]]),
                    level.frame.at([side * 1.0, level.half[1] + level.canal[1] + 1.5, -0.8 * level.half[2]]),
                );
                let e = level.frame.direction([0.0, 0.0, -11.0]);
                parts.push(Part::new(Form::Plate { a: add(a, e), b: add(b, e), e, ra: r.range(1.6, 2.6), rb: 1.8 }, 1.0));
            }
            out.push(Object::soft(Solid::of(parts, 1.0), 72.0, 8.0, 3.0));
        }
        out
    }

    /// Small muscles between the transverse processes: painted before the foramina's fat.
    pub(super) fn between_processes(&self) -> Vec<Object> {
        let mut r = Stream::new(self.seed, "between processes");
        let s = self.p.size;
        let mut parts = Vec::new();
        for pair in self.levels.windows(2).take(5) {
            let (lower, upper) = (&pair[0], &pair[1]);
            for side in SIDES {
                let at = |l: &Level, x: f32| l.frame.at([side * x * s, l.half[1] + 0.55 * l.canal[1], 0.3 * l.half[2]]);
                let wide = r.range(5.0, 10.0);
                let e = scale(lower.frame.axes[0], wide);
                parts.push(Part::new(
                    Form::Plate { a: at(lower, 30.0), b: at(upper, 29.0), e, ra: r.range(4.0, 8.0), rb: r.range(4.0, 8.0) },
                    1.0,
                ));
            }
        }
        let (first, half) = &self.sacral[0];
        for side in SIDES {
            let l = &self.levels[0];
            let (a, b) = (first.at([side * 32.0 * s, half[1], 12.0]), l.frame.at([side * 32.0 * s, l.half[1] + 8.0, 0.0]));
            parts.push(Part::new(Form::Plate { a, b, e: scale(first.axes[0], 7.0), ra: r.range(3.0, 6.0), rb: r.range(3.0, 6.0) }, 1.0));
        }
        vec![Object::soft(Solid::of(parts, 3.0), self.tissue.muscle - r.range(0.0, 25.0), r.range(8.0, 25.0), 3.0)]
    }
}
