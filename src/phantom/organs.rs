//! The organs of belly and pelvis.

use super::pelvis::Pelvis;
use super::random::Stream;
use super::scene::{Object, Paint};
use super::shape::{Form, Frame, V, add};
use super::solid::{Part, Solid, tube};
use super::spine::Spine;
use super::torso::Torso;

impl Torso {
    /// Bowel, mesentery, and the solid organs over it.
    pub(super) fn organs(&self, spine: &Spine, pelvis: &Pelvis, out: &mut Vec<Object>) {
        let mut r = Stream::new(self.seed, "organs");
        let s = spine.p.size;
        let [a, b] = self.p.half.map(|v| v - self.p.fat - self.wall);
        let center = self.rings[4].center;
        let at = |x: f32, y: f32, z: f32| self.frame.at([x, y, z]);
        let ball = |p: V, radii: V, tilt: f32, roll: f32| {
            Part::new(
                Form::Ellipsoid {
                    frame: self.frame.compose(&Frame { origin: self.frame.local(p), ..Frame::turned([0.0; 3], tilt, roll, 0.0) }),
                    radii,
                },
                1.0,
            )
        };
        // Colon: up on the right, across, down on the left; and rectum.
        let mut loops: Vec<(Vec<(V, f32)>, bool)> = Vec::new();
        let big = |r: &mut Stream| r.range(14.0, 25.0);
        for side in [1.0f32, -1.0] {
            let line = (0..7)
                .map(|i| {
                    (
                        at(
                            side * (0.80 * a + r.normal(0.0, 5.0)),
                            center + (0.15 - 0.05 * i as f32) * b + r.normal(0.0, 6.0),
                            -30.0 + 30.0 * i as f32,
                        ),
                        big(&mut r),
                    )
                })
                .collect();
            loops.push((line, true));
        }
        let z = r.normal(80.0, 40.0);
        loops.push((
            (0..8)
                .map(|i| {
                    (at((i as f32 / 3.5 - 1.0) * 0.75 * a, center - 0.72 * b + r.normal(0.0, 6.0), z + r.normal(0.0, 14.0)), big(&mut r))
                })
                .collect(),
            true,
        ));
        let q = &spine.sacral;
        loops.push(([2usize, 3, 4].map(|i| (q[i].0.at([r.normal(0.0, 4.0), -q[i].1[1] - 24.0, 0.0]), r.range(11.0, 20.0))).to_vec(), true));
        // Small bowel: loops in the middle.
        for _ in 0..14 + r.below(26) {
            let (x, y, z) = (r.range(-0.62, 0.62) * a, center + r.range(-0.75, 0.0) * b, r.range(-70.0, 150.0));
            let mut p = [x, y, z];
            let mut line = Vec::new();
            for _ in 0..4 {
                line.push((at(p[0], p[1], p[2]), r.range(8.0, 15.0)));
                p = add(p, [r.normal(0.0, 22.0), r.normal(0.0, 14.0), r.normal(0.0, 16.0)]);
            }
            loops.push((line, false));
        }
        for (line, colon) in loops {
            let bright = r.chance(0.5);
            let paint = Paint::Bowel {
                wall: r.normal(40.0, 6.0),
                content: if bright { spine.tissue.bowel } else { r.normal(22.0, 14.0) },
                gas: if colon {
                    r.range(0.0, 0.8)
                } else if r.chance(0.2) {
                    r.range(0.1, 0.7)
                } else {
                    0.0
                },
                bubbles: colon && r.chance(0.55),
                thick: r.range(1.5, 3.0),
            };
            out.push(Object::new(Solid::of(tube(&line, 3), 2.0), paint, None));
        }
        // Strands and vessels of the mesentery.
        let strands = (0..60)
            .map(|_| {
                let p = at(r.range(-0.6, 0.6) * a, center + r.range(-0.6, 0.3) * b, r.range(-80.0, 180.0));
                Part::new(
                    Form::Cone {
                        a: p,
                        b: add(p, [r.normal(0.0, 14.0), r.normal(0.0, 14.0), r.normal(0.0, 14.0)]),
                        ra: r.range(0.8, 3.0),
                        rb: r.range(0.8, 2.5),
                    },
                    1.0,
                )
            })
            .collect();
        out.push(Object::soft(Solid::of(strands, 0.0), 0.5 * (spine.tissue.arteries + 40.0).min(150.0), 10.0, 3.0));
        // The lungs' lowest parts, thin around liver and spleen.
        let base = r.normal(185.0, 18.0);
        let lungs =
            [1.0f32, -1.0].map(|side| ball(at(side * 0.52 * a, center + 0.12 * b, base + 75.0), [0.47 * a, 0.9 * b, 90.0], 0.15, 0.0));
        out.push(Object::soft(Solid::of(lungs.to_vec(), 0.0), -840.0, 40.0, 5.0));
        // Liver on the right, spleen on the left.
        let liver = vec![
            ball(at(-0.46 * a, center - 0.02 * b, r.normal(195.0, 22.0)), [0.50 * a, 0.86 * b, 95.0 * s], 0.0, 0.3),
            ball(at(0.05 * a, center - 0.35 * b, 215.0), [0.5 * a, 0.5 * b, 48.0 * s], 0.0, 0.0),
        ];
        out.push(Object::soft(
            Solid::of(liver, 0.0),
            if spine.tissue.enhanced { r.range(90.0, 130.0) } else { r.normal(55.0, 8.0) },
            6.0,
            6.0,
        ));
        let spleen = vec![ball(at(0.75 * a, center + 0.4 * b, r.normal(200.0, 15.0)), [26.0, 42.0, 50.0], 0.0, -0.3)];
        out.push(Object::soft(Solid::of(spleen, 0.0), if spine.tissue.enhanced { r.range(90.0, 140.0) } else { 48.0 }, 6.0, 6.0));
        // Kidneys with a fatty sinus, and stones in some.
        for side in [1.0f32, -1.0] {
            let l = &spine.levels[3];
            let p = l.frame.at([side * 62.0 * s, l.half[1] + 2.0, r.normal(22.0, 12.0)]);
            let radii = [26.0 * s, 24.0 * s, 52.0 * s].map(|v| v * r.normal(1.0, 0.06));
            out.push(Object::soft(Solid::of(vec![ball(p, radii, 0.1, side * -0.2)], 0.0), spine.tissue.kidney, 8.0, 5.0));
            let inner = add(p, [-side * 10.0, -2.0, 0.0]);
            out.push(Object::soft(Solid::of(vec![ball(inner, [13.0, 9.0, 26.0], 0.1, side * -0.2)], 0.0), -50.0, 60.0, 6.0));
            if r.chance(0.3) {
                let pelvis_hu = if spine.tissue.enhanced { r.range(200.0, 900.0) } else { r.range(300.0, 1200.0) };
                let stones = (0..3)
                    .map(|_| {
                        let size = r.range(1.5, 4.5);
                        ball(
                            add(inner, [r.normal(0.0, 6.0), r.normal(0.0, 5.0), r.normal(0.0, 16.0)]),
                            [size, size * 1.2, size * 1.4],
                            0.0,
                            0.0,
                        )
                    })
                    .collect();
                out.push(Object::soft(Solid::of(stones, 0.0), pelvis_hu, 50.0, 3.0));
            }
        }
        // Bladder.
        let p = pelvis.frame().at([0.0, -18.0, -96.0]);
        let full = r.range(0.5, 1.1);
        out.push(Object::soft(
            Solid::of(vec![ball(p, [46.0 * full, 38.0 * full, 38.0 * full], 0.0, 0.0)], 0.0),
            if spine.tissue.enhanced && r.chance(0.3) { r.range(50.0, 400.0) } else { 8.0 },
            3.0,
            6.0,
        ));
    }
}
