//! Hip bones, femora, ribs, a hip implant.

use super::labels;
use super::random::Stream;
use super::scene::{Object, Paint};
use super::shape::{Form, Frame, Station, V, add, curve, mix, scale};
use super::solid::{Part, Solid, tube};
use super::spine::Spine;

/// The wing of the ilium down to the roof of the acetabulum: horizontal sections of its middle surface, back to front,
/// left side, with half thickness, mm from the center of S1's endplate.
const WING: [(f32, [[f32; 3]; 5]); 10] = [
    (-82.0, [[68.0, 32.0, 9.0], [74.0, 18.0, 12.0], [80.0, 2.0, 14.0], [84.0, -12.0, 12.0], [90.0, -24.0, 7.0]]),
    (-69.0, [[69.0, 30.0, 8.0], [75.0, 16.0, 11.0], [82.0, 0.0, 12.0], [88.0, -15.0, 11.0], [94.0, -30.0, 7.0]]),
    (-57.0, [[67.0, 32.0, 8.0], [75.0, 16.0, 9.5], [84.0, 0.0, 10.0], [92.0, -12.0, 9.0], [102.0, -26.0, 8.0]]),
    (-45.0, [[62.0, 44.0, 7.0], [72.0, 26.0, 9.0], [84.0, 9.0, 8.0], [94.0, -8.0, 7.0], [105.0, -30.0, 7.5]]),
    (-33.0, [[50.0, 64.0, 8.5], [66.0, 38.0, 10.0], [84.0, 20.0, 6.0], [101.0, -8.0, 5.0], [114.0, -50.0, 6.0]]),
    (-21.0, [[48.0, 72.0, 10.0], [63.0, 46.0, 10.5], [82.0, 22.0, 5.0], [104.0, 2.0, 3.2], [117.0, -48.0, 6.5]]),
    (-9.0, [[47.0, 76.0, 10.5], [60.0, 52.0, 10.5], [80.0, 28.0, 5.5], [106.0, 8.0, 2.8], [126.0, -44.0, 6.0]]),
    (3.0, [[49.0, 76.0, 10.0], [63.0, 50.0, 10.0], [83.0, 29.0, 5.0], [111.0, 4.0, 2.8], [131.0, -36.0, 6.5]]),
    (15.0, [[53.0, 70.0, 8.5], [66.0, 50.0, 8.0], [84.0, 31.0, 4.5], [114.0, 8.0, 3.0], [136.0, -18.0, 7.0]]),
    (40.0, [[64.0, 52.0, 5.5], [74.0, 43.0, 5.5], [92.0, 28.0, 5.0], [114.0, 10.0, 4.5], [128.0, -4.0, 6.0]]),
];

/// The center of the hip joint, left.
const HIP: V = [90.0, 6.0, -101.0];

pub(super) struct Pelvis {
    frame: Frame,
    seed: u64,
    size: f32,
    /// Which hip is replaced by metal, if any: 0 left, 1 right.
    pub(super) implant: Option<usize>,
}

/// An object of metal: it keeps the label of the bone it lies in, because annotators draw the outline of a bone and fill
/// it; metal outside bone is background.
pub(super) fn metal(solid: Solid) -> Object {
    // Titanium and cobalt-chrome are beyond every scale; scanners stop at theirs.
    Object::new(solid, Paint::Plain { hu: 7000.0, texture: 0.0, grain: 1.0 }, None)
}

/// The frame's mirror image and the side's factor.
fn sided(frame: &Frame, side: f32) -> impl Fn(V) -> V + '_ {
    move |p| frame.at([side * p[0], p[1], p[2]])
}

impl Pelvis {
    pub(super) fn draw(spine: &Spine, pose: &Frame, implant: Option<usize>) -> Self {
        let mut r = Stream::new(spine.seed, "pelvis");
        // The sections were taken at a slope of 45 degrees.
        let tilt = (spine.p.sacral_slope - 45.0) * 0.8 + r.normal(0.0, 3.0);
        let frame = pose.compose(&Frame::turned([0.0; 3], tilt.to_radians(), 0.0, 0.0));
        Pelvis { frame, seed: spine.seed, size: spine.p.size / 1.06 * r.normal(1.0, 0.03), implant }
    }

    pub(super) fn frame(&self) -> &Frame {
        &self.frame
    }

    pub(super) fn size(&self) -> f32 {
        self.size
    }

    /// The wings as parts, left and right: a mirrored frame for the right.
    pub(super) fn wings(&self) -> Vec<Part> {
        let mut r = Stream::new(self.seed, "wings");
        let s = self.size;
        let crest = r.normal(43.0, 5.0) * s;
        let thick = r.normal(1.0, 0.1);
        let flare = r.normal(1.0, 0.03);
        [1.0, -1.0]
            .into_iter()
            .map(|side| {
                let stations = WING
                    .iter()
                    .map(|&(z, points)| Station { z: z * s, points: points.map(|[x, y, t]| [x * s * flare, y * s + 3.0, t * s * thick]) });
                let mut frame = self.frame;
                frame.axes[0] = scale(frame.axes[0], side);
                Part::new(Form::Sheet { frame, stations: stations.collect(), top: crest, bottom: -88.0 * s }, r.range(1.2, 1.9))
            })
            .collect()
    }

    /// Cartilage and capsules of the hip joints and of the joints between sacrum and ilium.
    pub(super) fn soft(&self, spine: &Spine) -> Vec<Object> {
        let s = self.size;
        let mut parts = Vec::new();
        for side in [1.0f32, -1.0] {
            let p = |x: f32, y: f32, z: f32| sided(&self.frame, side)([x * s, y * s, z * s]);
            parts.push(Part::new(
                Form::Ellipsoid { frame: Frame { origin: p(HIP[0] + 3.0, HIP[1], HIP[2]), axes: self.frame.axes }, radii: [31.0 * s; 3] },
                1.0,
            ));
            parts.push(Part::new(
                Form::Plate {
                    a: p(60.0, 30.0, 14.0),
                    b: p(46.0, 56.0, -24.0),
                    e: self.frame.direction([0.0, 14.0, 12.0]),
                    ra: 7.0,
                    rb: 7.0,
                },
                1.0,
            ));
        }
        vec![Object::soft(Solid::of(parts, 2.0), spine.tissue.muscle + 15.0, 12.0, 4.0)]
    }

    pub(super) fn bones(&self, spine: &Spine) -> Vec<Object> {
        let mut out = Vec::new();
        let s = self.size;
        let wings = self.wings();
        let mut r = Stream::new(self.seed, "hip bones");
        let patches = r.range(15.0, 60.0);
        let paint = Paint::Bone { spongy: spine.tissue.spongy, cortex: spine.tissue.cortex * 1.05, rough: 0.22, patches };
        let [wing, pubis, dome, head] = [r.range(0.15, 0.8), r.range(0.2, 0.8), r.range(0.8, 1.5), r.range(1.0, 1.7)];
        for (at, side) in [1.0f32, -1.0].into_iter().enumerate() {
            let p = |x: f32, y: f32, z: f32| sided(&self.frame, side)([x * s, y * s, z * s]);
            let hip = p(HIP[0], HIP[1], HIP[2]);
            let mut parts = vec![wings[at].clone().marrow(wing)];
            // Acetabulum, pubis and ischium.
            parts.push(
                Part::new(
                    Form::Ellipsoid {
                        frame: Frame { origin: p(80.0, 7.0, -97.0), axes: self.frame.axes },
                        radii: [27.0 * s, 36.0 * s, 32.0 * s],
                    },
                    1.6,
                )
                .marrow(dome),
            );
            let (body, symphysis) = (p(64.0, -18.0, -94.0), p(7.0, -38.0, -122.0));
            parts.extend(
                tube(&[(body, 9.0 * s), (p(38.0, -37.0, -103.0), 7.0 * s), (p(16.0, -42.0, -113.0), 7.5 * s), (symphysis, 7.5 * s)], 3)
                    .into_iter()
                    .map(|part| Part::new(part.form, 1.5).marrow(pubis)),
            );
            let tuber = p(58.0, 42.0, -142.0);
            parts.extend(
                tube(
                    &[
                        (p(66.0, 34.0, -100.0), 12.0 * s),
                        (p(62.0, 42.0, -125.0), 12.0 * s),
                        (tuber, 13.0 * s),
                        (p(44.0, 18.0, -150.0), 7.0 * s),
                        (p(22.0, -16.0, -142.0), 6.0 * s),
                        (p(9.0, -36.0, -130.0), 7.5 * s),
                    ],
                    3,
                )
                .into_iter()
                .map(|part| Part::new(part.form, 1.5).marrow(pubis)),
            );
            let mut solid = Solid::of(parts, 8.0);
            let joint = Part::new(Form::Ellipsoid { frame: Frame { origin: hip, axes: self.frame.axes }, radii: [24.0 * s; 3] }, 1.0);
            let neck = add(hip, scale(self.frame.axes[0], side * 45.0 * s));
            solid.cuts.push((joint, 2.8));
            solid.cuts.push((Part::new(Form::Cone { a: hip, b: neck, ra: 22.0 * s, rb: 30.0 * s }, 1.0), 1.0));
            let obturator = Frame { origin: p(42.0, 6.0, -122.0), axes: self.frame.axes };
            solid.cuts.push((Part::new(Form::Ellipsoid { frame: obturator, radii: [17.0 * s, 22.0 * s, 17.0 * s] }, 1.0), 0.0));
            out.push(Object::new(solid, paint, Some(labels::HIP[at])));
            self.femur(at, side, hip, head, paint, &mut out);
        }
        out
    }

    fn femur(&self, at: usize, side: f32, hip: V, dense: f32, paint: Paint, out: &mut Vec<Object>) {
        let s = self.size;
        let p = |x: f32, y: f32, z: f32| sided(&self.frame, side)([x * s, y * s, z * s]);
        let head =
            Part::new(Form::Ellipsoid { frame: Frame { origin: hip, axes: self.frame.axes }, radii: [23.5 * s; 3] }, 0.8).marrow(dense);
        let trochanter = p(143.0, 18.0, -118.0);
        let neck = Part::new(Form::Cone { a: hip, b: mix(hip, trochanter, 0.7), ra: 15.0 * s, rb: 18.0 * s }, 1.8).marrow(0.6 * dense);
        let great = Part::new(
            Form::Ellipsoid { frame: Frame { origin: trochanter, axes: self.frame.axes }, radii: [15.0 * s, 20.0 * s, 23.0 * s] },
            1.2,
        )
        .marrow(0.15);
        let shaft = tube(&[(p(132.0, 12.0, -128.0), 19.0 * s), (p(130.0, 10.0, -165.0), 16.0 * s), (p(124.0, 8.0, -260.0), 14.0 * s)], 2);
        let mut parts = vec![great];
        // An endoprosthesis replaces head and neck.
        if self.implant != Some(at) {
            parts.extend([head, neck]);
        }
        parts.extend(shaft.into_iter().map(|part| Part::new(part.form, 5.0 * s).marrow(-0.2)));
        out.push(Object::new(Solid::of(parts, 8.0), paint, Some(labels::FEMUR[at])));
        if self.implant == Some(at) {
            let frame = Frame { origin: hip, axes: self.frame.axes };
            let mut cup = Solid::of(vec![Part::new(Form::Ellipsoid { frame, radii: [25.0 * s; 3] }, 1.0)], 0.0);
            cup.cuts.push((Part::new(Form::Ellipsoid { frame, radii: [20.0 * s; 3] }, 1.0), 0.0));
            let open = add(hip, self.frame.direction([side * 26.0 * s, -6.0, -18.0 * s]));
            cup.cuts.push((Part::new(Form::Ellipsoid { frame: Frame { origin: open, ..frame }, radii: [26.0 * s; 3] }, 1.0), 0.0));
            out.push(metal(cup));
            let stem = vec![
                Part::new(Form::Ellipsoid { frame, radii: [15.5 * s; 3] }, 1.0),
                Part::new(Form::Cone { a: hip, b: p(122.0, 12.0, -115.0), ra: 7.0, rb: 9.0 }, 1.0),
                Part::new(Form::Cone { a: p(122.0, 12.0, -112.0), b: p(127.0, 9.0, -230.0), ra: 9.0, rb: 5.5 }, 1.0),
            ];
            out.push(metal(Solid::of(stem, 2.0)));
        }
    }

    /// The lowest ribs, from T12 and T11.
    pub(super) fn ribs(&self, spine: &Spine, around: impl Fn(f32, f32) -> V) -> Vec<Object> {
        let mut out = Vec::new();
        let mut r = Stream::new(self.seed, "ribs");
        for (at, side) in [1.0f32, -1.0].into_iter().enumerate() {
            let mut parts = Vec::new();
            // T12, T11, and those above that reach down at the sides.
            for count in 0..5usize {
                let level = (5 + count).min(spine.levels.len() - 1);
                let Some(l) = spine.levels.get(level) else { continue };
                let higher = 27.0 * (count as f32 - 1.0).max(0.0);
                let start = l.frame.at([side * (l.half[0] + 4.0), l.half[1] + 2.0, 0.3 * l.half[2] + higher]);
                let reach = [r.range(0.7, 1.2), r.range(1.3, 1.8), 2.1, 2.4, 2.6][count];
                let mut points = vec![(start, 4.5)];
                for step in 1..9 {
                    let share = step as f32 / 8.0;
                    let angle = 0.3 + reach * share;
                    let z = start[2] - 14.0 - 90.0 * (reach * 0.5) * share * (1.2 - 0.35 * share);
                    points.push((around(side * angle, z), 4.4));
                }
                let e = [0.0, 0.0, 3.4];
                let pieces = curve(&points, 3);
                parts.extend(pieces.windows(2).map(|pair| Part::new(Form::Plate { a: pair[0].0, b: pair[1].0, e, ra: 3.2, rb: 3.2 }, 1.1)));
            }
            let paint = Paint::Bone { spongy: spine.tissue.spongy * 0.6, cortex: spine.tissue.cortex * 0.9, rough: 0.2, patches: 0.0 };
            out.push(Object::new(Solid::of(parts, 1.0), paint, Some(labels::RIBS[at])));
        }
        out
    }
}
