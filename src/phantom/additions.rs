//! What only some spines have: dense islands, screws.

use super::pelvis::metal;
use super::random::Stream;
use super::scene::Object;
use super::shape::{Form, Frame, V, add};
use super::solid::{Part, Solid};
use super::spine::{SIDES, Spine};

impl Spine {
    /// Dense islands in the bodies of some: compact bone where there is no reason for any.
    pub(super) fn islands(&self) -> Vec<Object> {
        let mut r = Stream::new(self.seed, "islands");
        let mut out = Vec::new();
        for level in &self.levels {
            if r.chance(0.12) {
                let at = level.frame.at([0, 1, 2].map(|i| level.half[i] * r.range(-0.55, 0.55)));
                let radii = [0, 1, 2].map(|_| r.range(1.5, 5.0));
                let part = Part::new(Form::Ellipsoid { frame: Frame { origin: at, axes: level.frame.axes }, radii }, 1.0);
                out.push(Object::soft(Solid::of(vec![part], 0.0), r.range(400.0, 900.0), 60.0, 2.0));
            }
        }
        out
    }

    /// Pedicle screws with rods, in two or three neighboring vertebrae.
    pub(super) fn screws(&self) -> Vec<Object> {
        let mut r = Stream::new(self.seed, "screws");
        let s = self.p.size;
        let first = r.below(3) as usize;
        let count = 2 + r.below(2) as usize;
        let mut parts = Vec::new();
        let radius = r.range(2.6, 3.6);
        for side in SIDES {
            let mut heads: Vec<V> = Vec::new();
            if first == 0 {
                let (f, half) = &self.sacral[0];
                let head = f.at([side * 22.0 * s, half[1] + 22.0 * s, 8.0]);
                let tip = f.at([side * 12.0 * s, -0.5 * half[1], 2.0]);
                parts.push(Part::new(Form::Cone { a: head, b: tip, ra: radius, rb: radius }, 1.0));
                heads.push(head);
            }
            for level in self.levels.iter().skip(first).take(count) {
                let [_, b, h] = level.half;
                let z = h - 0.5 * level.pedicle[1] - 1.0;
                let x = 0.5 * (level.canal[0] + level.pedicle[0]);
                let head = level.frame.at([side * (x + 5.0), b + level.canal[1] + 9.0, z + 2.0]);
                let tip = level.frame.at([side * (x - 8.0), -0.35 * b, z - 1.0]);
                parts.push(Part::new(Form::Cone { a: head, b: tip, ra: radius, rb: radius * 0.8 }, 1.0));
                heads.push(head);
            }
            for &head in &heads {
                parts.push(Part::new(Form::Cone { a: head, b: add(head, [0.0, 7.0, 0.0]), ra: 6.0, rb: 6.0 }, 1.0));
            }
            for pair in heads.windows(2) {
                let back = [0.0, 5.0, 0.0];
                parts.push(Part::new(Form::Cone { a: add(pair[0], back), b: add(pair[1], back), ra: 2.75, rb: 2.75 }, 1.0));
            }
        }
        vec![metal(Solid::of(parts, 0.0))]
    }
}
