//! What is around the spine: skin, fat, muscle, vessels, arms, the table.

use std::f32::consts::TAU;

use serde::Serialize;

use super::pelvis::Pelvis;
use super::random::Stream;
use super::scene::{Object, Paint, Role};
use super::shape::{Form, Frame, Ring, Station, V, add, mix, scale};
use super::solid::{Part, Solid, tube};
use super::spine::Spine;

/// What is drawn for the soft tissue. Lengths in mm.
#[derive(Clone, Debug, Serialize)]
pub struct TorsoParameters {
    /// Half width and half depth at the navel.
    pub half: [f32; 2],
    /// Thickness of subcutaneous fat.
    pub fat: f32,
    /// Share of fat in the muscles behind the spine, 0 to 1.
    pub atrophy: f32,
}

#[derive(Clone, Debug)]
pub(super) struct Torso {
    pub(super) p: TorsoParameters,
    pub(super) frame: Frame,
    pub(super) rings: Vec<Ring>,
    pub(super) seed: u64,
    pub(super) wall: f32,
}

impl Torso {
    pub(super) fn draw(spine: &Spine, pose: &Frame) -> Self {
        let mut r = Stream::new(spine.seed, "torso");
        let fat = 8.0 + 40.0 * r.unit().powi(2);
        let s = spine.p.size;
        let p = TorsoParameters {
            half: [(137.0 + 1.1 * fat + r.normal(0.0, 8.0)) * s, (97.0 + 0.8 * fat + r.normal(0.0, 9.0)) * s],
            fat,
            atrophy: r.unit().powi(2) * (0.4 + 0.6 * spine.p.degeneration),
        };
        let [a, b] = p.half;
        // The back lies about 105 mm behind S1's endplate at the navel, and follows the spine.
        let back = 62.0 + 0.75 * fat + r.normal(0.0, 4.0);
        let ring = |z: f32, wide: f32, deep: f32, shift: f32| Ring { z, half: [a * wide, b * deep], center: back * s + shift - b * deep };
        let hips = r.normal(1.08, 0.05);
        let rings = vec![
            ring(-260.0, 1.0 * hips, 0.95, 32.0),
            ring(-110.0, 1.08 * hips, 0.98, 36.0),
            ring(-60.0, 1.08 * hips, 1.0, 36.0),
            ring(-10.0, 1.06, 1.0, 26.0),
            ring(50.0, 1.0, 1.0, 10.0),
            ring(110.0, 0.98, 0.98, 6.0),
            ring(190.0, 0.97, 1.0, 14.0),
            ring(280.0, 0.98, 1.0, 26.0),
        ];
        Torso { p, frame: *pose, rings, seed: spine.seed, wall: r.normal(11.0, 3.0).max(4.0) }
    }

    fn shell(&self, inset: f32, wall: f32) -> Solid {
        let form = Form::Torso { frame: self.frame, rings: self.rings.clone(), inset, wall, power: 2.25 };
        Solid::of(vec![Part::new(form, 1.0)], 0.0)
    }

    /// A point of the ring within the wall at an angle from the back (radians, positive: left), for ribs.
    pub(super) fn around(&self, angle: f32, z: f32) -> V {
        let next = self.rings.iter().position(|ring| ring.z > z).unwrap_or(self.rings.len() - 1).max(1);
        let ring = self.rings[next];
        let depth = self.p.fat * 0.9 + 9.0;
        let [a, b] = ring.half.map(|v| v - depth);
        let p = self.frame.at([a * angle.sin(), ring.center + b * angle.cos(), 0.0]);
        [p[0], p[1], z]
    }

    /// Everything below the bones, in the order of painting.
    pub(super) fn objects(&self, spine: &Spine, pelvis: &Pelvis) -> Vec<Object> {
        let mut out = Vec::new();
        let mut r = Stream::new(self.seed, "soft");
        let muscle = spine.tissue.muscle;
        let fat = spine.tissue.fat - 6.0;
        self.table(&mut out);
        self.arms(spine, &mut out);
        out.push(Object::soft(self.shell(0.0, 0.0), r.normal(15.0, 20.0), 10.0, 3.0));
        out.push(Object::soft(self.shell(r.range(1.5, 2.8), 0.0), fat, 7.0, 6.0));
        // Wall of the belly: a ring of muscle, thicker behind, with fat inside.
        out.push(Object::soft(self.shell(self.p.fat * 0.85 + 3.0, 0.0), muscle - 4.0, 9.0, 4.0));
        let cavity = Object::soft(self.shell(self.p.fat * 0.85 + 3.0, self.wall), fat + 2.0, 9.0, 4.0);
        out.push(Object { role: Role::Cavity, ..cavity });
        let mut organs = Vec::new();
        self.organs(spine, pelvis, &mut organs);
        out.extend(organs.into_iter().map(|organ| Object { role: Role::Organ, ..organ }));
        self.hip_muscles(pelvis, muscle, &mut out);
        self.vessels(spine, &mut out);
        out.extend(spine.between_processes());
        self.back_muscles(spine, muscle, &mut out);
        out
    }

    /// Forearms beside the body, of those who cannot lift their arms.
    fn arms(&self, spine: &Spine, out: &mut Vec<Object>) {
        let mut r = Stream::new(self.seed, "arms");
        for (at, side) in [1.0f32, -1.0].into_iter().enumerate() {
            if !r.chance(0.06) {
                continue;
            }
            let ring = self.rings[4];
            let x = ring.half[0] + r.range(30.0, 50.0);
            let y = ring.center + r.range(-20.0, 50.0);
            let point = |dx: f32, dy: f32, z: f32| self.frame.at([side * (x + dx), y + dy, z]);
            let (elbow, wrist) = (r.range(90.0, 170.0), r.range(-130.0, -60.0));
            let limb = |radius: f32| {
                vec![Part::new(
                    Form::Cone { a: point(0.0, 0.0, elbow), b: point(8.0, -10.0, wrist), ra: radius * 1.15, rb: radius * 0.7 },
                    1.0,
                )]
            };
            let size = r.range(30.0, 42.0);
            out.push(Object::soft(Solid::of(limb(size), 0.0), spine.tissue.fat, 8.0, 5.0));
            out.push(Object::soft(Solid::of(limb(size * r.range(0.75, 0.93)), 0.0), spine.tissue.muscle, 9.0, 4.0));
            let bones = [-1.0f32, 1.0].map(|d| {
                Part::new(Form::Cone { a: point(10.0 * d, 6.0 * d, elbow), b: point(8.0 + 12.0 * d, -10.0, wrist), ra: 8.5, rb: 6.5 }, 2.6)
                    .marrow(0.2)
            });
            let paint = Paint::Bone { spongy: spine.tissue.spongy, cortex: spine.tissue.cortex, rough: 0.2, patches: 0.0 };
            out.push(Object::new(Solid::of(bones.to_vec(), 0.0), paint, Some(super::labels::ARM[at])));
        }
    }

    fn table(&self, out: &mut Vec<Object>) {
        let mut r = Stream::new(self.seed, "table");
        if r.chance(0.1) {
            return;
        }
        let low = self.rings.iter().map(|ring| ring.center + ring.half[1]).fold(f32::MIN, f32::max);
        // A curved couch: two thin skins.
        let (y, radius) = (self.frame.at([0.0, low, 0.0])[1] + r.range(2.0, 14.0), r.range(350.0, 900.0));
        for (depth, thick, hu) in [(0.0, 1.2, -200.0), (r.range(18.0, 45.0), 1.0, -250.0)] {
            let points: Vec<(V, f32)> = (-8..=8)
                .map(|i| {
                    let x = i as f32 * 27.0;
                    ([x, y + depth - x * x / (2.0 * radius), 0.0], thick)
                })
                .collect();
            let parts = points
                .windows(2)
                .map(|pair| Part::new(Form::Plate { a: pair[0].0, b: pair[1].0, e: [0.0, 0.0, 600.0], ra: thick, rb: thick }, 1.0))
                .collect();
            out.push(Object::soft(Solid::of(parts, 0.0), hu, 30.0, 10.0));
        }
    }

    fn hip_muscles(&self, pelvis: &Pelvis, muscle: f32, out: &mut Vec<Object>) {
        let mut r = Stream::new(self.seed, "hip muscles");
        let s = pelvis.size();
        let thick = r.normal(1.0, 0.12);
        for side in [1.0f32, -1.0] {
            let mut frame = *pelvis.frame();
            frame.axes[0] = scale(frame.axes[0], side);
            let sheet = |points: Vec<(f32, [[f32; 3]; 5])>, top: f32, bottom: f32| {
                let stations = points
                    .into_iter()
                    .map(|(z, p)| Station { z: z * s, points: p.map(|[x, y, t]| [x * s, y * s, t * s * thick]) })
                    .collect();
                Part::new(Form::Sheet { frame, stations, top: top * s, bottom: bottom * s }, 1.0)
            };
            // Gluteal muscles outside the wing.
            let gluteus = sheet(
                vec![
                    (-160.0, [[40.0, 92.0, 16.0], [62.0, 84.0, 22.0], [90.0, 68.0, 22.0], [120.0, 44.0, 18.0], [140.0, 10.0, 14.0]]),
                    (-100.0, [[28.0, 100.0, 16.0], [58.0, 88.0, 26.0], [90.0, 64.0, 24.0], [122.0, 36.0, 20.0], [136.0, -12.0, 15.0]]),
                    (-50.0, [[32.0, 98.0, 12.0], [62.0, 82.0, 24.0], [92.0, 52.0, 26.0], [116.0, 20.0, 22.0], [128.0, -20.0, 14.0]]),
                    (-10.0, [[50.0, 92.0, 8.0], [76.0, 66.0, 18.0], [100.0, 38.0, 20.0], [124.0, 12.0, 16.0], [138.0, -28.0, 8.0]]),
                    (30.0, [[72.0, 66.0, 3.0], [86.0, 52.0, 8.0], [110.0, 28.0, 9.0], [130.0, 10.0, 7.0], [140.0, -6.0, 5.0]]),
                ],
                36.0,
                -200.0,
            );
            out.push(Object::soft(Solid::of(vec![gluteus], 0.0), muscle - 3.0, 14.0, 5.0));
            let iliacus = sheet(
                vec![
                    (-90.0, [[62.0, -24.0, 12.0], [74.0, -34.0, 14.0], [84.0, -40.0, 14.0], [96.0, -42.0, 12.0], [106.0, -40.0, 10.0]]),
                    (-40.0, [[66.0, 6.0, 9.0], [74.0, -6.0, 13.0], [82.0, -18.0, 15.0], [92.0, -28.0, 14.0], [102.0, -38.0, 8.0]]),
                    (0.0, [[66.0, 30.0, 6.0], [80.0, 16.0, 10.0], [94.0, 4.0, 11.0], [108.0, -10.0, 10.0], [120.0, -30.0, 6.0]]),
                    (34.0, [[74.0, 30.0, 3.0], [86.0, 22.0, 5.0], [98.0, 12.0, 6.0], [112.0, 0.0, 5.0], [122.0, -10.0, 4.0]]),
                ],
                36.0,
                -140.0,
            );
            out.push(Object::soft(Solid::of(vec![iliacus], 0.0), muscle + 2.0, 9.0, 5.0));
            // Obturator, piriformis and thigh.
            let at = |x: f32, y: f32, z: f32| pelvis.frame().at([side * x * s, y * s, z * s]);
            let mut parts = tube(
                &[
                    (at(24.0, 58.0, -42.0), 9.0),
                    (at(52.0, 56.0, -58.0), 12.0),
                    (at(92.0, 44.0, -84.0), 11.0),
                    (at(128.0, 26.0, -100.0), 7.0),
                ],
                3,
            );
            parts.extend(tube(&[(at(46.0, 0.0, -95.0), 9.0), (at(48.0, 14.0, -112.0), 11.0), (at(56.0, 30.0, -120.0), 9.0)], 2));
            // Inside the hip bone and on the pelvis' floor.
            parts.push(Part::new(
                Form::Plate {
                    a: at(58.0, -6.0, -92.0),
                    b: at(50.0, 18.0, -118.0),
                    e: pelvis.frame().direction([0.0, 16.0, -10.0]),
                    ra: 9.0 * s,
                    rb: 8.0 * s,
                },
                1.0,
            ));
            parts.push(Part::new(
                Form::Plate {
                    a: at(44.0, 8.0, -112.0),
                    b: at(10.0, 34.0, -142.0),
                    e: pelvis.frame().direction([0.0, 26.0, 0.0]),
                    ra: 3.0,
                    rb: 3.5,
                },
                1.0,
            ));
            parts.push(Part::new(Form::Cone { a: at(30.0, -34.0, -132.0), b: at(46.0, -20.0, -230.0), ra: 20.0 * s, rb: 34.0 * s }, 1.0));
            parts.push(Part::new(Form::Cone { a: at(86.0, 30.0, -118.0), b: at(76.0, 26.0, -240.0), ra: 26.0 * s, rb: 44.0 * s }, 1.0));
            parts.push(Part::new(Form::Cone { a: at(108.0, -2.0, -130.0), b: at(108.0, 4.0, -300.0), ra: 52.0 * s, rb: 60.0 * s }, 1.0));
            parts.push(Part::new(Form::Cone { a: at(110.0, -44.0, -70.0), b: at(112.0, -38.0, -200.0), ra: 16.0 * s, rb: 30.0 * s }, 1.0));
            parts.push(Part::new(Form::Cone { a: at(50.0, -20.0, -140.0), b: at(60.0, 4.0, -280.0), ra: 26.0 * s, rb: 36.0 * s }, 1.0));
            out.push(Object::soft(Solid::of(parts, 3.0), muscle, 12.0, 5.0));
        }
    }

    fn back_muscles(&self, spine: &Spine, muscle: f32, out: &mut Vec<Object>) {
        let mut r = Stream::new(self.seed, "back muscles");
        let s = spine.p.size;
        let bulk = r.normal(1.0, 0.12);
        let spread = 10.0 + 40.0 * self.p.atrophy;
        let hu = muscle - 35.0 * self.p.atrophy;
        let top = spine.levels.len() - 1;
        for side in [1.0f32, -1.0] {
            // Psoas: beside the bodies from L1 down over the rim of the pelvis to the hip.
            let mut psoas = Vec::new();
            for (i, [x, y, radius]) in [
                (4usize, [5.0, 0.3, 6.0]),
                (3, [8.0, 0.25, 10.0]),
                (2, [11.5, 0.15, 13.5]),
                (1, [15.0, 0.0, 16.5]),
                (0, [19.0, -0.5, 18.0]),
            ] {
                let l = &spine.levels[i];
                psoas.push((l.frame.at([side * (l.half[0] + x * s * bulk), y * l.half[1], -0.5 * l.half[2]]), radius * s * bulk));
            }
            let f = &spine.sacral[0].0;
            let o = f.origin;
            psoas.push((add(o, [side * 62.0 * s, -34.0 * s, -25.0 * s]), 16.5 * s * bulk));
            psoas.push((add(o, [side * 78.0 * s, -52.0 * s, -62.0 * s]), 16.0 * s * bulk));
            psoas.push((add(o, [side * 92.0 * s, -44.0 * s, -105.0 * s]), 13.0 * s * bulk));
            out.push(Object::soft(Solid::of(tube(&psoas, 3), 2.0), muscle + 4.0, 8.0, 4.0));
            // Quadratus lumborum.
            let mut parts = Vec::new();
            for i in 0..4usize {
                let (l, n) = (&spine.levels[i], &spine.levels[i + 1]);
                let at = |l: &super::spine::Level, i: usize| l.frame.at([side * (58.0 - 4.0 * i as f32) * s, l.half[1] + 6.0, 0.0]);
                parts.push(Part::new(
                    Form::Plate { a: at(l, i), b: at(n, i + 1), e: [side * 14.0, 9.0, 0.0], ra: 8.0 * s, rb: 7.5 * s },
                    1.0,
                ));
            }
            out.push(Object::soft(Solid::of(parts, 2.0), muscle, 9.0, 4.0));
            // Erector spinae and multifidus.
            let (mut erector, mut multifidus) = (Vec::new(), Vec::new());
            for i in (0..=top).rev() {
                let l = &spine.levels[i];
                let y = l.half[1] + l.canal[1];
                let (wide, deep) =
                    ([24.0, 27.0, 29.0, 29.0, 28.0, 25.0, 24.0][i] * s * bulk, [17.0, 20.0, 22.0, 22.0, 21.0, 19.0, 18.0][i] * s * bulk);
                erector.push((l.frame.at([side * (38.0 * s), y + 14.0 * s, 0.0]), deep, wide));
                multifidus.push((l.frame.at([side * 13.0 * s, y + 10.0 * s, 0.0]), 12.0 * s * bulk));
            }
            let (s2, s4) = (&spine.sacral[1], &spine.sacral[3]);
            erector.push((s2.0.at([side * 30.0 * s, s2.1[1] + 30.0 * s, 6.0]), 11.0 * s * bulk, 15.0 * s));
            erector.push((s4.0.at([side * 16.0 * s, s4.1[1] + 18.0 * s, 0.0]), 4.0 * s, 6.0 * s));
            multifidus.push((s2.0.at([side * 15.0 * s, s2.1[1] + 24.0 * s, 4.0]), 9.5 * s * bulk));
            multifidus.push((s4.0.at([side * 9.0 * s, s4.1[1] + 12.0 * s, 0.0]), 4.0 * s));
            let parts = erector
                .windows(2)
                .map(|pair| {
                    let [(a, ra, wa), (b, rb, _)] = [pair[0], pair[1]];
                    Part::new(Form::Plate { a, b, e: [(wa - ra).max(1.0), 0.0, 0.0], ra, rb }, 1.0)
                })
                .collect();
            out.push(Object::soft(Solid::of(parts, 3.0), hu, spread * 0.8, 4.0));
            out.push(Object::soft(Solid::of(tube(&multifidus, 2), 2.0), hu - 15.0 * self.p.atrophy, spread, 4.0));
            // A seam of fat between the two, and between them and the lamina.
            let seam: Vec<Part> = multifidus
                .windows(2)
                .map(|pair| {
                    let shift = [side * 11.5 * s * bulk, -2.0, 0.0];
                    Part::new(
                        Form::Plate {
                            a: add(pair[0].0, shift),
                            b: add(pair[1].0, shift),
                            e: [side * 2.0, 7.0, 0.0],
                            ra: 0.8 + 1.5 * self.p.atrophy,
                            rb: 0.8,
                        },
                        1.0,
                    )
                })
                .collect();
            out.push(Object::soft(Solid::of(seam, 1.0), spine.tissue.fat + 25.0, 20.0, 3.0));
        }
    }

    fn vessels(&self, spine: &Spine, out: &mut Vec<Object>) {
        let mut r = Stream::new(self.seed, "vessels");
        let s = spine.p.size;
        let front = |i: usize, x: f32, gap: f32| {
            let l = &spine.levels[i];
            l.frame.at([x * s, -l.half[1] - gap * s, 0.0])
        };
        let o = spine.sacral[0].0.origin;
        let wide = r.normal(9.5, 1.4) * s;
        let iliac = |side: f32, y: f32| {
            vec![
                add(o, [side * 24.0 * s, (-38.0 + y) * s, 2.0]),
                add(o, [side * 46.0 * s, (-34.0 + y) * s, -22.0 * s]),
                add(o, [side * 64.0 * s, (-48.0 + y) * s, -62.0 * s]),
                add(o, [side * 74.0 * s, (-66.0 + y) * s, -105.0 * s]),
            ]
        };
        let mut veins: Vec<(V, f32)> = (2..7).rev().map(|i| (front(i, -19.0, 10.0), 11.0 * s)).collect();
        veins.push((front(1, -16.0, 8.0), 11.0 * s));
        let fork = mix(front(0, -10.0, 7.0), front(1, -12.0, 8.0), 0.5);
        veins.push((fork, 10.0 * s));
        let mut parts = tube(&veins, 2);
        for side in [1.0, -1.0] {
            let mut line = vec![(fork, 8.0 * s)];
            line.extend(iliac(side, 9.0).into_iter().map(|p| (p, 6.5 * s)));
            parts.extend(tube(&line, 3));
        }
        out.push(Object::soft(Solid::of(parts, 2.0), spine.tissue.veins, 5.0, 6.0));
        let mut aorta: Vec<(V, f32)> = (2..7).rev().map(|i| (front(i, 8.0, 13.0), wide)).collect();
        let split = mix(front(1, 4.0, 14.0), front(2, 6.0, 14.0), 0.3);
        aorta.push((split, wide * 0.95));
        let mut parts = tube(&aorta, 2);
        let mut chalk = Vec::new();
        let calcified = r.chance(0.55);
        for side in [1.0, -1.0] {
            let mut line = vec![(split, 6.5 * s)];
            line.extend(iliac(side, 0.0).into_iter().map(|p| (p, 4.8 * s)));
            let line = super::shape::curve(&line, 3);
            for &(p, radius) in &line {
                if calcified && r.chance(0.25) {
                    chalk.push((p, radius));
                }
            }
            parts.extend(
                line.windows(2).map(|pair| Part::new(Form::Cone { a: pair[0].0, b: pair[1].0, ra: pair[0].1, rb: pair[1].1 }, 1.0)),
            );
        }
        out.push(Object::soft(Solid::of(parts, 2.0), spine.tissue.arteries, 5.0, 6.0));
        // Chalk in the walls.
        for &(p, radius) in &aorta {
            if calcified {
                for _ in 0..r.below(4) {
                    chalk.push((add(p, [0.0, 0.0, r.range(-14.0, 14.0)]), radius));
                }
            }
        }
        let parts: Vec<Part> = chalk
            .into_iter()
            .map(|(p, radius)| {
                let angle = r.range(0.0, TAU);
                let at = |a: f32| add(p, [radius * a.cos(), radius * a.sin(), 0.0]);
                Part::new(
                    Form::Plate {
                        a: at(angle),
                        b: at(angle + r.range(0.1, 0.8)),
                        e: [0.0, 0.0, r.range(0.5, 4.0)],
                        ra: r.range(0.5, 1.3),
                        rb: 0.7,
                    },
                    1.0,
                )
            })
            .collect();
        if !parts.is_empty() {
            out.push(Object::soft(Solid::of(parts, 0.0), r.range(400.0, 1000.0), 100.0, 2.0));
        }
    }
}
