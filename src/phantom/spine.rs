//! The spine: vertebrae from L5 up to T11, the sacrum, discs, canal and nerves.

use serde::Serialize;

use super::labels;
use super::random::Stream;
use super::scene::{Object, Paint, Role};
use super::shape::{BodyShape, Form, Frame, Part, Solid, V, add, curve, mix, scale, sub, tube, unit};

/// Vertebrae from below: L5, L4, L3, L2, L1, T12, T11.
pub(super) const LEVELS: usize = 7;

/// What is drawn for a spine. Lengths in mm, angles in degrees.
#[derive(Clone, Debug, Serialize)]
pub struct SpineParameters {
    /// Size against the means of the literature.
    pub size: f32,
    /// Slope of the endplate of S1.
    pub sacral_slope: f32,
    /// Lordosis from S1 to L1.
    pub lordosis: f32,
    /// Lateral bend.
    pub scoliosis: f32,
    /// Density of spongy bone, HU.
    pub spongy: f32,
    /// Density of compact bone, HU.
    pub cortex: f32,
    /// Degeneration, 0 to 1: lower discs, osteophytes, sclerosis, narrow foramina.
    pub degeneration: f32,
    /// HU of the thecal sac.
    pub sac: f32,
    /// HU of roots and ganglia.
    pub nerve: f32,
    /// HU of epidural and foraminal fat.
    pub fat: f32,
    /// HU of discs.
    pub disc: f32,
    /// HU of muscle.
    pub muscle: f32,
}

/// One vertebra's frame and measures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    pub(super) frame: Frame,
    /// Half width, half depth, half height of the body.
    pub(super) half: V,
    /// Width and depth of the canal.
    pub(super) canal: [f32; 2],
    pub(super) pedicle: [f32; 2],
    pub(super) wedge: f32,
    /// Height of the disc below.
    pub(super) disc: f32,
}

/// A spine in place.
#[derive(Clone, Debug)]
pub(super) struct Spine {
    pub(super) p: SpineParameters,
    pub(super) levels: Vec<Level>,
    /// S1 to S5: frame, half sizes.
    pub(super) sacral: Vec<(Frame, V)>,
    pub(super) seed: u64,
    /// Whether a contrast agent was given.
    pub(super) enhanced: bool,
}

// From below, L5 to T11, mm. Bodies and canals: Zhou et al., Eur Spine J 9 (2000) 242 (L3-L5, CT) and Panjabi et al.,
// Spine 17 (1992) 299 (the others); pedicles: Zindrick et al., Spine 12 (1987) 160.
const WIDTH: [f32; LEVELS] = [51.5, 49.0, 46.5, 44.0, 42.5, 40.0, 37.0];
const DEPTH: [f32; LEVELS] = [35.0, 35.0, 34.5, 33.5, 32.5, 31.5, 30.0];
const HEIGHT: [f32; LEVELS] = [27.0, 27.5, 27.5, 27.0, 26.0, 24.5, 22.5];
const DISC: [f32; LEVELS] = [10.0, 11.5, 10.5, 9.5, 8.0, 6.5, 5.5];
const CANAL_WIDTH: [f32; LEVELS] = [27.0, 24.5, 23.5, 22.5, 22.5, 22.0, 18.5];
const CANAL_DEPTH: [f32; LEVELS] = [17.0, 16.5, 16.0, 16.5, 17.0, 16.5, 16.0];
const PEDICLE_WIDTH: [f32; LEVELS] = [16.0, 12.5, 10.0, 8.8, 8.5, 7.8, 7.8];
const PEDICLE_HEIGHT: [f32; LEVELS] = [14.5, 14.5, 14.5, 15.0, 15.0, 16.0, 16.5];
/// Shares of the lordosis: disc L5/S1, L5, disc L4/5, L4, … The body of L5 and the lowest discs carry most of it.
const DISC_WEDGE: [f32; LEVELS] = [14.0, 12.0, 8.5, 6.0, 3.0, 0.0, -1.0];
const BODY_WEDGE: [f32; LEVELS] = [8.0, 2.0, 0.0, -1.0, -2.0, -3.0, -3.5];
/// Reach of the transverse processes from the midline, and of the spinous process behind the canal.
const TRANSVERSE: [f32; LEVELS] = [45.0, 43.0, 47.0, 43.0, 37.0, 27.0, 30.0];
const SPINOUS: [f32; LEVELS] = [21.0, 29.0, 31.0, 30.0, 28.0, 26.0, 27.0];
/// Angle of the facet joint below each vertebra to the sagittal plane, degrees.
const FACET: [f32; LEVELS] = [50.0, 46.0, 38.0, 32.0, 28.0, 26.0, 75.0];

const SIDES: [f32; 2] = [1.0, -1.0];

impl Spine {
    pub(super) fn draw(seed: u64, pose: &Frame) -> Self {
        let mut r = Stream::new(seed, "spine");
        let degeneration = r.unit().powf(1.5);
        let p = SpineParameters {
            size: r.normal(1.04, 0.065),
            sacral_slope: r.normal(41.0, 8.0),
            lordosis: 0.0,
            scoliosis: r.normal(0.0, 3.0),
            spongy: Stream::new(seed, "spongy").range(70.0, 300.0),
            cortex: Stream::new(seed, "cortex").normal(880.0, 160.0),
            degeneration,
            sac: Stream::new(seed, "sac").normal(17.0, 6.0),
            nerve: Stream::new(seed, "nerve").normal(32.0, 7.0),
            fat: Stream::new(seed, "fat").normal(-98.0, 9.0),
            disc: Stream::new(seed, "disc").normal(80.0, 12.0),
            muscle: Stream::new(seed, "muscle").normal(48.0, 12.0),
        };
        let mut spine = Spine { p, levels: Vec::new(), sacral: Vec::new(), seed, enhanced: Stream::new(seed, "contrast").chance(0.35) };
        spine.stack(pose);
        spine
    }

    fn stack(&mut self, pose: &Frame) {
        let mut r = Stream::new(self.seed, "levels");
        let s = self.p.size;
        let slope = self.p.sacral_slope;
        // More slope, more lordosis.
        let share = (0.72 + 0.0102 * slope) * r.normal(1.0, 0.10);
        let mut tilt = slope;
        let mut at: V = [0.0; 3];
        let bend = self.p.scoliosis.to_radians();
        let phase = r.range(0.0, std::f32::consts::TAU);
        let along = |tilt: f32, roll: f32| -> V { Frame::turned([0.0; 3], tilt.to_radians(), roll, 0.0).axes[2] };
        let mut turn = 0.0f32;
        for i in 0..LEVELS {
            let narrow = 1.0 - self.p.degeneration * r.range(0.0, 0.65) * if i < 3 { 1.0 } else { 0.5 };
            let disc = DISC[i] * s * narrow * r.normal(1.0, 0.08);
            let roll = bend * (phase + i as f32 * 1.1).sin() + r.normal(0.0, 0.012);
            turn += r.normal(0.0, 0.012);
            let wedge = DISC_WEDGE[i] * share * narrow.sqrt();
            at = add(at, scale(along(tilt - 0.5 * wedge, roll), disc));
            tilt -= wedge;
            let own = BODY_WEDGE[i] * share + r.normal(0.0, 0.8);
            let height = HEIGHT[i] * s * r.normal(1.0, 0.04);
            let middle = tilt - 0.5 * own;
            let axis = along(middle, roll);
            let frame = Frame::turned(add(at, scale(axis, 0.5 * height)), middle.to_radians(), roll, turn);
            let mut of = |value: f32, spread: f32| value * s * r.normal(1.0, spread);
            let half = [0.5 * of(WIDTH[i], 0.03), 0.5 * of(DEPTH[i], 0.03), 0.5 * height];
            let canal = [of(CANAL_WIDTH[i], 0.06), of(CANAL_DEPTH[i], 0.08)];
            let pedicle = [of(PEDICLE_WIDTH[i], 0.1), of(PEDICLE_HEIGHT[i], 0.06)];
            self.levels.push(Level { frame: pose.compose(&frame), half, canal, pedicle, wedge: 0.5 * half[1] * own.to_radians(), disc });
            at = add(at, scale(axis, height));
            tilt -= own;
        }
        self.p.lordosis = slope - self.levels.get(4).map_or(0.0, |level| -level.frame.axes[2][1].asin().to_degrees());
        // Downwards: the sacrum is hollow in front, so it leans back less and less.
        let kyphosis = r.normal(1.0, 0.2);
        let mut at: V = [0.0; 3];
        let mut tilt = slope + 6.0;
        let sizes: [V; 5] = [[25.0, 16.0, 15.5], [19.5, 12.0, 13.0], [15.0, 9.0, 11.0], [12.0, 7.0, 9.5], [9.0, 5.5, 8.5]];
        for (i, size) in sizes.into_iter().enumerate() {
            let size = size.map(|v| v * s);
            let axis = along(tilt, 0.0);
            at = add(at, scale(axis, -size[2]));
            self.sacral.push((pose.compose(&Frame::turned(at, tilt.to_radians(), 0.0, 0.0)), size));
            at = add(at, scale(axis, -size[2]));
            let turn = [2.0, 13.0, 20.0, 20.0, 15.0][i] * kyphosis;
            let next = along(tilt - turn, 0.0);
            at = add(at, scale(add(axis, scale(next, -1.0)), 0.0));
            tilt -= turn;
        }
    }

    fn bone(&self, solid: Solid, label: u8, dense: f32, patches: f32) -> Object {
        let paint = Paint::Bone { spongy: self.p.spongy * dense, cortex: self.p.cortex, rough: 0.20, patches };
        Object { role: Role::Bone { clearance: 1.2 }, ..Object::new(solid, paint, Some(label)) }
    }

    /// The center of the facet joint between vertebra `i` and the one below, and its normal from the lower to the upper.
    fn facet(&self, i: usize, side: f32) -> (V, V, V) {
        let upper = &self.levels[i];
        let angle = FACET[i].to_radians();
        let x = [23.5, 20.5, 18.0, 16.5, 15.5, 15.0, 13.0][i] * self.p.size;
        let y = upper.half[1] + upper.canal[1] * 0.72;
        let z = -upper.half[2] - 0.45 * upper.disc - 1.0;
        let frame = &upper.frame;
        let normal = frame.direction([-side * angle.cos(), angle.sin(), 0.0]);
        let along = frame.direction([side * angle.sin(), angle.cos(), 0.0]);
        (frame.at([side * x, y, z]), normal, along)
    }

    /// Every vertebra, each as one object.
    pub(super) fn vertebrae(&self) -> Vec<Object> {
        (0..self.levels.len()).map(|i| self.vertebra(i)).collect()
    }

    fn vertebra(&self, i: usize) -> Object {
        let level = &self.levels[i];
        let mut r = Stream::numbered(self.seed, "vertebra", i as u64);
        let (f, s, [a, b, h]) = (&level.frame, self.p.size, level.half);
        let [cw, cd] = level.canal;
        let lip = if r.chance(0.3 + 0.6 * self.p.degeneration) { r.range(0.0, 1.0) * (1.0 + 4.0 * self.p.degeneration) } else { 0.0 };
        let shape = BodyShape {
            half: level.half,
            waist: r.range(0.07, 0.14),
            hollow: r.range(0.8, 2.6),
            wedge: level.wedge,
            flat: r.range(0.02, 0.1),
            lip,
            lip_side: r.range(0.0, std::f32::consts::TAU),
        };
        let mut parts = vec![Part::new(Form::Body { frame: *f, shape }, r.range(0.3, 0.85))];
        let back = b + cd;
        let lamina_thick = r.normal(3.1, 0.35) * s;
        let compact = r.range(0.9, 1.6);
        for side in SIDES {
            let at = |x: f32, y: f32, z: f32| f.at([side * x, y, z]);
            let [pw, ph] = level.pedicle;
            let px = 0.5 * cw + 0.5 * pw;
            let pz = h - 0.5 * ph - 1.0;
            let length = 0.5 * cd + 9.0 * s;
            let inner = Frame { origin: at(px - 0.5, b + 0.35 * cd - 3.0, pz), axes: f.axes };
            parts.push(Part::new(Form::Block { frame: inner, half: [0.5 * pw, length, 0.5 * ph], round: 0.46 * pw.min(ph) }, compact));
            // From the pedicle down the pars to the lamina and the inferior articular process.
            let (joint, normal, along) = self.facet(i, side);
            let lower = add(joint, scale(normal, 4.6 * s));
            let pars = at(px, b + 0.75 * cd, pz - 2.0);
            let corner = at(0.5 * cw, b + 0.8 * cd, -0.25 * h);
            parts.push(Part::new(Form::Cone { a: pars, b: corner, ra: 5.0 * s, rb: 4.4 * s }, 1.5));
            parts.push(Part::new(Form::Cone { a: corner, b: lower, ra: 4.5 * s, rb: 4.6 * s }, 1.6));
            let axis = unit(f.axes[2]);
            let block = Frame { origin: lower, axes: [along, normal, axis] };
            parts.push(Part::new(Form::Block { frame: block, half: [6.5 * s, 3.7 * s, 8.5 * s], round: 3.2 * s }, 1.5));
            // The superior articular process, at the joint with the vertebra above.
            if i + 1 < self.levels.len() {
                let (joint, normal, along) = self.facet(i + 1, side);
                let upper = add(joint, scale(normal, -4.2 * s));
                let block = Frame { origin: upper, axes: [along, normal, unit(self.levels[i + 1].frame.axes[2])] };
                parts.push(Part::new(Form::Block { frame: block, half: [7.0 * s, 3.2 * s, 7.5 * s], round: 2.8 * s }, 1.5));
                parts.push(Part::new(Form::Cone { a: pars, b: upper, ra: 5.0 * s, rb: 4.0 * s }, 1.4));
            }
            // Lamina: a slanted plate from the pars to the midline.
            let (p, q) = (at(0.5 * cw - 1.0, b + 0.82 * cd, -0.35 * h), f.at([0.0, back + lamina_thick - 1.0, -0.55 * h]));
            let e = f.direction([0.0, 2.0, -0.48 * h]);
            parts.push(Part::new(Form::Plate { a: p, b: q, e, ra: lamina_thick, rb: lamina_thick }, 1.4));
            // Transverse process.
            let reach = TRANSVERSE[i] * s * r.normal(1.0, 0.06);
            let (root, tip) = (at(px, b + 0.55 * cd, pz - 1.0), at(reach, b + 0.55 * cd + r.normal(2.0, 2.5), pz + r.normal(1.0, 2.5)));
            let e = f.direction([0.0, 0.0, if i == 0 { 6.0 } else { 3.8 } * s]);
            parts.push(Part::new(
                Form::Plate { a: root, b: mix(root, tip, 0.9), e, ra: if i == 0 { 5.0 } else { 3.4 } * s, rb: 2.3 * s },
                1.0,
            ));
        }
        // Spinous process: a plate backwards and down, thicker at its tip.
        let reach = SPINOUS[i] * s * r.normal(1.0, 0.08);
        let lean = r.normal(0.0, 2.0);
        let (a0, tip) = (f.at([0.0, back, -0.6 * h]), f.at([lean, back + reach, -0.95 * h]));
        let e = f.direction([0.0, 1.0, if i == 0 { 4.5 } else { 6.5 } * s]);
        parts.push(Part::new(Form::Plate { a: a0, b: tip, e, ra: 2.8 * s, rb: 3.4 * s }, 1.2));
        let low = f.at([lean, back + reach - 1.0, -0.95 * h - 5.0 * s]);
        parts.push(Part::new(Form::Ellipsoid { frame: Frame { origin: low, axes: f.axes }, radii: [4.6 * s, 5.0 * s, 5.5 * s] }, 1.2));
        let mut solid = Solid::of(parts, 3.0);
        let canal = Frame { origin: f.at([0.0, b + 0.5 * cd - 0.5, -3.0]), axes: f.axes };
        solid.cuts.push((Part::new(Form::Column { frame: canal, half: [0.5 * cw, 0.5 * cd], power: 2.3, height: h + 12.0 }, 1.0), 0.0));
        // The joint spaces: each process keeps off its partner's.
        let _ = a;
        self.bone(solid, labels::L5 + i as u8, r.normal(1.0, 0.08), r.range(5.0, 30.0))
    }

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
        vec![super::pelvis::metal(Solid::of(parts, 0.0))]
    }

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
        for (i, pair) in self.sacral.windows(2).take(4).enumerate() {
            let ((upper, a), (lower, _)) = (&pair[0], &pair[1]);
            let _ = lower;
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
            let left = unit(sub(left, scale(up, super::shape::dot(left, up))));
            let behind = super::shape::cross(up, left);
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
                self.p.disc + r.normal(0.0, 6.0),
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

    /// The axis of the thecal sac from above downwards, with half width and half depth.
    fn sac_axis(&self) -> Vec<(V, f32)> {
        let mut points = Vec::new();
        for level in self.levels.iter().rev() {
            let y = level.half[1] + 0.48 * level.canal[1];
            points.push((level.frame.at([0.0, y, 0.5 * level.half[2]]), 0.5 * level.canal[1]));
            points.push((level.frame.at([0.0, y - 0.2, -level.half[2]]), 0.5 * level.canal[1]));
        }
        for (i, share) in [(0, 0.42), (1, 0.4)] {
            let (frame, half) = &self.sacral[i];
            points.push((frame.at([0.0, half[1] + 6.0 - 2.0 * i as f32, 0.0]), share * 15.0 * self.p.size));
        }
        points
    }

    /// Fat of the canal and the foramina, then sac, roots and ganglia.
    pub(super) fn canal(&self) -> Vec<Object> {
        let mut r = Stream::new(self.seed, "canal");
        let s = self.p.size;
        let axis = self.sac_axis();
        let fat = |parts: Vec<Part>, hu: f32| Object::soft(Solid::of(parts, 2.0), hu, 10.0, 4.0);
        let mut out = Vec::new();
        // Fat fills the canal.
        let mut parts = Vec::new();
        let left = self.levels[0].frame.axes[0];
        for pair in curve(&axis, 3).windows(2) {
            let rr = 0.5 * (pair[0].1 + pair[1].1);
            parts.push(Part::new(Form::Plate { a: pair[0].0, b: pair[1].0, e: scale(left, 5.0 * s), ra: rr + 0.5, rb: rr + 0.5 }, 1.0));
        }
        for pair in self.sacral.windows(2).take(3) {
            let (a, b) = (&pair[0], &pair[1]);
            parts.push(Part::new(
                Form::Plate {
                    a: a.0.at([0.0, a.1[1] + 4.0, 0.0]),
                    b: b.0.at([0.0, b.1[1] + 3.0, 0.0]),
                    e: scale(left, 6.0),
                    ra: 5.5,
                    rb: 4.0,
                },
                1.0,
            ));
        }
        out.push(fat(parts, self.p.fat));
        // The sac: how much of the canal it fills, and where it ends (S1/S2 to S2).
        let fill = r.range(0.68, 0.97);
        let end = r.range(1.0, 2.6);
        let mut sac = curve(&axis, 4);
        let keep = (sac.len() as f32 - 1.0 - (2.6 - end) * 3.0) as usize;
        sac.truncate(keep.max(4));
        let n = sac.len();
        let parts = sac.windows(2).enumerate().map(|(i, pair)| {
            let taper = |j: usize| ((n - 1 - j) as f32 / 7.0).min(1.0).powf(0.6);
            let (ra, rb) = (pair[0].1 * fill * (0.35 + 0.65 * taper(i)), pair[1].1 * fill * (0.35 + 0.65 * taper(i + 1)));
            let wide = (1.8 * s).max(0.0) * taper(i);
            Part::new(Form::Plate { a: pair[0].0, b: pair[1].0, e: scale(left, wide.max(0.05)), ra, rb }, 1.0)
        });
        let sac = Object::new(
            Solid::of(parts.collect(), 1.0),
            Paint::Plain { hu: self.p.sac, texture: 5.0, grain: 2.5 },
            Some(labels::THECAL_SAC),
        );
        self.plexus(&mut out);
        let mut nerves = vec![sac];
        for i in 0..self.levels.len() {
            for (at, side) in SIDES.into_iter().enumerate() {
                self.lumbar_root(i, side, at as u8, &mut out, &mut nerves);
            }
        }
        for i in 0..3 {
            for (at, side) in SIDES.into_iter().enumerate() {
                self.sacral_root(i, side, at as u8, &mut out, &mut nerves);
            }
        }
        out.extend(nerves);
        out
    }

    /// Veins of the canal and vessels of the foramina: as bright as nerves and as thin, and none.
    fn plexus(&self, out: &mut Vec<Object>) {
        let mut r = Stream::new(self.seed, "plexus");
        let hu = if self.enhanced { r.range(60.0, 160.0) } else { r.normal(38.0, 6.0) };
        let mut parts = Vec::new();
        for level in &self.levels {
            let [_, b, h] = level.half;
            let [cw, cd] = level.canal;
            for side in SIDES {
                let at = |x: f32, y: f32, z: f32| level.frame.at([side * x, y, z]);
                // Behind the body, from one end to the other.
                let mut line = Vec::new();
                for step in -2..=2 {
                    let z = h * 0.6 * step as f32;
                    line.push((at(cw * r.range(0.18, 0.32), b + r.range(0.8, 2.5), z), r.range(0.4, 1.5)));
                }
                parts.extend(tube(&line, 2));
                // Through the foramen, above or in front of the ganglion, and along the waist of the body.
                if r.chance(0.8) {
                    let (y, z) = (b + cd * r.range(-0.05, 0.35), h - level.pedicle[1] - r.range(2.0, 14.0));
                    let size = r.range(0.5, 1.6);
                    let out = 0.5 * (cw + level.pedicle[0]);
                    let line = [
                        (at(0.3 * cw, b + 2.0, z), size),
                        (at(out - 3.0, y, z), size),
                        (at(out + 12.0, y - 2.0, z + r.normal(0.0, 5.0)), size),
                    ];
                    parts.extend(tube(&line, 2));
                }
                let size = r.range(0.6, 1.6);
                let around = [0.4f32, 0.0, -0.6, -1.2]
                    .map(|angle| (at((level.half[0] + 0.5) * angle.cos(), (b + 0.5) * angle.sin(), r.normal(0.0, 1.0)), size));
                parts.extend(tube(&around, 2));
            }
        }
        out.push(Object::soft(Solid::of(parts, 0.0), hu, 6.0, 3.0));
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
        vec![Object::soft(Solid::of(parts, 3.0), self.p.muscle - r.range(0.0, 25.0), r.range(8.0, 25.0), 3.0)]
    }

    fn nerve(&self, points: &[(V, f32)], ganglion: (V, V, f32), label: u8, hu: f32, nerves: &mut Vec<Object>) {
        let root = Solid::of(tube(points, 4), 0.5);
        nerves.push(Object::new(root, Paint::Plain { hu, texture: 4.0, grain: 2.0 }, Some(label)));
        let (a, b, r) = ganglion;
        let parts = vec![
            Part::new(Form::Cone { a: mix(a, b, 0.15), b: mix(a, b, 0.85), ra: r * 0.92, rb: r * 0.92 }, 1.0),
            Part::new(Form::Cone { a: mix(a, b, 0.4), b: mix(a, b, 0.6), ra: r, rb: r }, 1.0),
        ];
        nerves.push(Object::new(
            Solid::of(parts, 1.5),
            Paint::Plain { hu: hu + 4.0, texture: 4.0, grain: 2.0 },
            Some(label + labels::GANGLION),
        ));
    }

    fn lumbar_root(&self, i: usize, side: f32, at: u8, fat: &mut Vec<Object>, nerves: &mut Vec<Object>) {
        let mut r = Stream::numbered(self.seed, "root", 2 * i as u64 + u64::from(at));
        let level = &self.levels[i];
        let s = self.p.size;
        let (f, [_, b, h]) = (&level.frame, level.half);
        let [cw, cd] = level.canal;
        let [pw, ph] = level.pedicle;
        let pz = h - 0.5 * ph - 1.0;
        let floor = pz - 0.5 * ph;
        let point = |x: f32, y: f32, z: f32| f.at([side * x, y, z]);
        // Ganglia: Cohen et al., AJNR 11 (1990) 1067 and Hasegawa et al., Spine 21 (1996) 1005: 5 to 7 mm wide, 9 to 13 long.
        let ganglion = [2.9, 2.8, 2.5, 2.3, 2.1, 1.9, 1.8][i] * s * r.normal(1.0, 0.1);
        let root = ganglion * r.range(0.62, 0.76);
        let out = 0.5 * cw + 0.55 * pw + r.normal(0.0, 1.0);
        let low = floor - ganglion - r.range(1.0, 2.5);
        let reach = r.range(0.85, 1.25);
        let points = [
            (point(0.24 * cw, b + 0.42 * cd, pz + 2.0), root),
            (point(0.5 * cw - 2.2, b + 0.34 * cd, floor + 2.0), root),
            (point(out - 4.0, b + 0.30 * cd, low + 1.5), root),
            (point(out + 4.5, b + 0.12 * cd, low - 5.0), root * 1.05),
            (point(out + 9.0 * reach, b - if i == 0 { 11.0 } else { 7.0 }, low - 13.0 * reach), root * 1.1),
            (point(out + 13.0 * reach, b - if i == 0 { 25.0 } else { 13.0 }, low - 26.0 * reach), root * 1.05),
        ];
        let hu = self.p.nerve + r.normal(0.0, 2.0);
        self.nerve(
            &points,
            (mix(points[1].0, points[2].0, 0.55), points[3].0, ganglion),
            labels::FIRST_ROOT + 2 * i as u8 + at,
            hu,
            nerves,
        );
        // Fat around the nerve in the foramen, narrower where the spine has aged.
        let wide = r.range(1.8, 4.6) * (1.0 - 0.4 * self.p.degeneration);
        let sleeve = [
            (points[1].0, ganglion + 1.5),
            (points[2].0, ganglion + wide),
            (points[3].0, ganglion + wide),
            (points[4].0, root + r.range(1.0, 4.0)),
            (mix(points[4].0, points[5].0, 0.4), root + 0.5),
        ];
        let mut parts = tube(&sleeve, 2);
        // The foramen's fat reaches up below the pedicle and down behind the disc.
        parts.push(Part::new(
            Form::Plate {
                a: point(0.5 * cw, b + 0.3 * cd, floor - 6.0),
                b: point(0.5 * cw + pw, b + 0.3 * cd, floor - 6.0),
                e: f.direction([0.0, 1.0, 6.5 * s]),
                ra: 4.0 * s,
                rb: 4.0 * s,
            },
            1.0,
        ));
        fat.push(Object::soft(Solid::of(parts, 2.0), self.p.fat + r.normal(3.0, 5.0), 14.0, 3.0));
    }

    fn sacral_root(&self, i: usize, side: f32, at: u8, fat: &mut Vec<Object>, nerves: &mut Vec<Object>) {
        let mut r = Stream::numbered(self.seed, "sacral root", 2 * i as u64 + u64::from(at));
        let s = self.p.size;
        let (f, [_, b, h]) = (&self.sacral[i].0, self.sacral[i].1);
        let point = |x: f32, y: f32, z: f32| f.at([side * x * s, y, z]);
        let ganglion = [3.2, 2.6, 2.0][i] * s * r.normal(1.0, 0.1);
        let root = ganglion * r.range(0.62, 0.76);
        let x = [14.5, 12.5, 10.5][i];
        let start = match i {
            0 => {
                let l = &self.levels[0];
                l.frame.at([side * 0.26 * l.canal[0], l.half[1] + 0.45 * l.canal[1], -0.95 * l.half[2]])
            }
            _ => point(4.5, b + 5.0, h),
        };
        let reach = r.range(0.8, 1.2);
        let points = [
            (start, root),
            (point(x - 4.0, b + 4.5, 0.4 * h), root),
            (point(x - 0.5, b + 1.5, -h + 7.0), root),
            (point(x + 4.0, -0.2 * b, -h + 0.5), root * 1.05),
            (point(x + 8.0, -b - 4.0, -h - 5.0), root * 1.1),
            (point(x + 12.0, -b - 9.0 * reach, -h - 14.0 * reach), root * 1.1),
            (point(x + 15.0, -b - 11.0 * reach, -h - 26.0 * reach), root * 1.0),
        ];
        let hu = self.p.nerve + r.normal(0.0, 2.0);
        self.nerve(&points, (points[1].0, points[2].0, ganglion), labels::FIRST_ROOT + 14 + 2 * i as u8 + at, hu, nerves);
        let wide = r.normal(2.0, 0.5);
        let sleeve: Vec<(V, f32)> = points.iter().map(|&(p, rr)| (p, rr + wide + 1.0)).collect();
        fat.push(Object::soft(Solid::of(tube(&sleeve, 2), 2.0), self.p.fat + r.normal(3.0, 5.0), 14.0, 3.0));
    }
}
