//! The spine: vertebrae from L5 up to T11, the sacrum, discs, canal and nerves.

use std::f32::consts::TAU;

use serde::Serialize;

use super::labels;
use super::random::Stream;
use super::scene::{Object, Paint, Role};
use super::shape::{BodyShape, Form, Frame, V, add, mix, scale, unit};
use super::solid::{Part, Solid};
use super::tissue::TissueParameters;

/// Vertebrae from below: L5, L4, L3, L2, L1, T12, T11.
pub(super) const LEVELS: usize = 7;

/// What is drawn for a spine. Lengths in mm, angles in degrees.
#[derive(Clone, Debug, Serialize)]
pub struct SpineParameters {
    /// Size against the means of the literature.
    pub size: f32,
    /// Slope of the endplate of S1: 24 to 55 degrees are the mean ± 2 SD of 709 adults (Mac-Thiong et al., Eur Spine J 20
    /// Suppl 5 (2011) 572).
    pub sacral_slope: f32,
    /// Lordosis from S1 to L1.
    pub lordosis: f32,
    /// Lateral bend.
    pub scoliosis: f32,
    /// Degeneration, 0 to 1: lower discs, osteophytes, sclerosis, narrow foramina.
    pub degeneration: f32,
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
    pub(super) tissue: TissueParameters,
}

// From below, L5 to T11, mm. What was checked, and agrees within 10 %:
// L5: Cook and Baker, Int J Spine Surg 15 (2021) 1072 (196 CTs): depth 35.5, height 28.3, canal 28.2 × 15.6, pedicle 16.1 × 12.9.
// L4: Junno et al., PLoS One 4 (2009) e4836 (91 MRIs): width 46.6, depth 35.9, height 29.6.
// Widths of the others from those of the canal, with canal/body 0.58, 0.53, 0.51, 0.49, 0.53 for L1 to L5 (Shrestha, J Nepal
// Med Assoc 60 (2022) 389). Width of the canal: L1 22.0, L5 26.7 (63 dry spines, Gujarat, 2012).
// Depth of the canal: Kang et al., Korean J Spine 9 (2012) 165 (83 CTs): T12 and L1 16.7, L3 15.7, S1 17.4, T8 14.6.
// Discs: Jentzsch et al., BMC Med Imaging 24 (2024) 213 (198 CTs): 10.5, 11.4, 11.3, 10.6, 9.2, 8.0 from L5/S1 to T12/L1, and
// Zhang et al., J Orthop Surg Res 13 (2018) 34 (169 MRIs): 10.1, 11.2, 10.4, 9.5, 8.6 to L1/2; T10/11 has 5.3 in front
// (Fletcher et al., Eur Spine J, CT morphometry of adult thoracic discs, 128 CTs).
// Pedicles: T11 17.0 high, L5 13.6 wide (Clin Anat 18 (2005) 404, 16 spines); T12 8.3 wide (Kaur et al., J Clin Orthop Trauma 7
// (2016) 101, 50 CTs); T11 to L5 7.2 to 17.8 wide and 13.9 to 16.7 high (Lien et al., Eur Spine J 16 (2007) 1215, 15 spines).
// Not checked: depths and heights from L3 up, widths of T12 and T11, widths of the pedicles of L4 to L1 beyond that range.
const WIDTH: [f32; LEVELS] = [51.5, 49.0, 46.5, 44.0, 42.5, 40.0, 37.0];
const DEPTH: [f32; LEVELS] = [35.0, 35.0, 34.5, 33.5, 32.5, 31.5, 30.0];
const HEIGHT: [f32; LEVELS] = [27.0, 27.5, 27.5, 27.0, 26.0, 24.5, 22.5];
const DISC: [f32; LEVELS] = [10.0, 11.5, 10.5, 10.0, 9.0, 8.0, 6.5];
const CANAL_WIDTH: [f32; LEVELS] = [27.0, 24.5, 23.5, 22.5, 22.5, 22.0, 18.5];
const CANAL_DEPTH: [f32; LEVELS] = [17.0, 16.5, 16.0, 16.5, 17.0, 16.5, 16.0];
const PEDICLE_WIDTH: [f32; LEVELS] = [16.0, 12.5, 10.0, 8.8, 8.5, 7.8, 7.8];
const PEDICLE_HEIGHT: [f32; LEVELS] = [13.0, 14.5, 14.5, 15.0, 15.0, 16.0, 16.5];
/// Shares of the lordosis: disc L5/S1, L5, disc L4/5, L4, … The body of L5 and the lowest discs carry most of it. Body and disc
/// together: 21.6, 12.7, 9.1, 5.9 and 1.2 degrees from L5 to L1, 50.5 in all (Sci Rep 2022, s41598-022-21840-x, 324 people).
const DISC_WEDGE: [f32; LEVELS] = [14.0, 12.0, 8.5, 6.0, 3.0, 0.0, -1.0];
const BODY_WEDGE: [f32; LEVELS] = [8.0, 2.0, 0.0, -1.0, -2.0, -3.0, -3.5];
/// Reach of the transverse processes from the midline, and of the spinous process behind the canal.
const TRANSVERSE: [f32; LEVELS] = [45.0, 43.0, 47.0, 43.0, 37.0, 27.0, 30.0];
const SPINOUS: [f32; LEVELS] = [21.0, 29.0, 31.0, 30.0, 28.0, 26.0, 27.0];
/// Angle of the facet joint below each vertebra to the sagittal plane, degrees.
const FACET: [f32; LEVELS] = [50.0, 46.0, 38.0, 32.0, 28.0, 26.0, 75.0];

pub(super) const SIDES: [f32; 2] = [1.0, -1.0];

impl Spine {
    pub(super) fn draw(seed: u64, pose: &Frame) -> Self {
        let mut r = Stream::new(seed, "spine");
        let degeneration = r.unit().powf(1.5);
        let p = SpineParameters {
            size: r.normal(1.04, 0.065),
            sacral_slope: r.normal(41.0, 8.0),
            lordosis: 0.0,
            scoliosis: r.normal(0.0, 3.0),
            degeneration,
        };
        let mut spine = Spine { p, levels: Vec::new(), sacral: Vec::new(), seed, tissue: TissueParameters::draw(seed) };
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
        let phase = r.range(0.0, TAU);
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
            tilt -= turn;
        }
    }

    pub(super) fn bone(&self, solid: Solid, label: u8, dense: f32, patches: f32) -> Object {
        let paint = Paint::Bone { spongy: self.tissue.spongy * dense, cortex: self.tissue.cortex, rough: 0.20, patches };
        Object { role: Role::Bone { clearance: 1.2 }, ..Object::new(solid, paint, Some(label)) }
    }

    /// The center of the facet joint between vertebra `i` and the one below, and its normal from the lower to the upper.
    pub(super) fn facet(&self, i: usize, side: f32) -> (V, V, V) {
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
        let (f, s, [_, b, h]) = (&level.frame, self.p.size, level.half);
        let [cw, cd] = level.canal;
        let lip = if r.chance(0.3 + 0.6 * self.p.degeneration) { r.range(0.0, 1.0) * (1.0 + 4.0 * self.p.degeneration) } else { 0.0 };
        let shape = BodyShape {
            half: level.half,
            waist: r.range(0.07, 0.14),
            hollow: r.range(0.8, 2.6),
            wedge: level.wedge,
            flat: r.range(0.02, 0.1),
            lip,
            lip_side: r.range(0.0, TAU),
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
        self.bone(solid, labels::L5 + i as u8, r.normal(1.0, 0.08), r.range(5.0, 30.0))
    }
}
