//! Thecal sac, roots and ganglia, and what surrounds them: fat and veins.

use super::labels;
use super::random::Stream;
use super::scene::{Object, Paint};
use super::shape::{Form, V, curve, mix, scale};
use super::solid::{Part, Solid, tube};
use super::spine::{SIDES, Spine};

impl Spine {
    /// The axis of the canal from above downwards, with half its depth and half its width.
    fn canal_axis(&self) -> Vec<(V, [f32; 2])> {
        let mut points = Vec::new();
        for level in self.levels.iter().rev() {
            let y = level.half[1] + 0.48 * level.canal[1];
            let half = [0.5 * level.canal[1], 0.5 * level.canal[0]];
            points.push((level.frame.at([0.0, y, 0.5 * level.half[2]]), half));
            points.push((level.frame.at([0.0, y - 0.2, -level.half[2]]), half));
        }
        for (i, share) in [(0, 0.42), (1, 0.4)] {
            let (frame, half) = &self.sacral[i];
            let depth = share * 15.0 * self.p.size;
            points.push((frame.at([0.0, half[1] + 6.0 - 2.0 * i as f32, 0.0]), [depth, depth + 2.0 * self.p.size]));
        }
        points
    }

    /// Fat of the canal and the foramina, then sac, roots and ganglia.
    pub(super) fn canal(&self) -> Vec<Object> {
        let mut r = Stream::new(self.seed, "canal");
        let s = self.p.size;
        let axis = self.canal_axis();
        let of = |dimension: usize| axis.iter().map(|&(at, half)| (at, half[dimension])).collect::<Vec<_>>();
        let (depths, widths) = (of(0), of(1));
        let fat = |parts: Vec<Part>, hu: f32| Object::soft(Solid::of(parts, 2.0), hu, 10.0, 4.0);
        let mut out = Vec::new();
        // Fat fills the canal.
        let mut parts = Vec::new();
        let left = self.levels[0].frame.axes[0];
        for pair in curve(&depths, 3).windows(2) {
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
        out.push(fat(parts, self.tissue.fat));
        // The sac: how much of the canal it fills at its end, and where that is (S1/S2 to S2). Further up there is less fat
        // around it, around the cord next to none.
        let fill = r.range(0.68, 0.97);
        let end = r.range(1.0, 2.6);
        let (mut sac, widths) = (curve(&depths, 4), curve(&widths, 4));
        let keep = (sac.len() as f32 - 1.0 - (2.6 - end) * 3.0) as usize;
        sac.truncate(keep.max(4));
        let n = sac.len();
        let section = |j: usize| {
            let taper = ((n - 1 - j) as f32 / 7.0).min(1.0).powf(0.6);
            let share = fill + (0.98 - fill) * ((n - 1 - j) as f32 / (n - 1) as f32).powi(2);
            let depth = sac[j].1 * share * (0.35 + 0.65 * taper);
            (depth, (0.84 * share * widths[j].1 - depth).max(0.05) * taper)
        };
        let parts = (1..n).map(|j| {
            let ((ra, wide), (rb, _)) = (section(j - 1), section(j));
            Part::new(Form::Plate { a: sac[j - 1].0, b: sac[j].0, e: scale(left, wide.max(0.05)), ra, rb }, 1.0)
        });
        let sac = Object::new(
            Solid::of(parts.collect(), 1.0),
            Paint::Plain { hu: self.tissue.sac, texture: 5.0, grain: 2.5 },
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
        let hu = self.tissue.small_veins;
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
        // Ganglia, L5 to L1: 5.8, 5.2, 5.0, 4.6, 4.4 mm wide, 10.8 to 5.4 long (Silav et al., J Neurosurg Sci 60 (2016) 339);
        // in other bodies 6.8 to 5.0 wide, 15.0 to 6.5 long (Rohini et al., Natl J Clin Anat 11 (2022) 131).
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
        let hu = self.tissue.nerve + r.normal(0.0, 2.0);
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
        fat.push(Object::soft(Solid::of(parts, 2.0), self.tissue.fat + r.normal(3.0, 5.0), 14.0, 3.0));
    }

    fn sacral_root(&self, i: usize, side: f32, at: u8, fat: &mut Vec<Object>, nerves: &mut Vec<Object>) {
        let mut r = Stream::numbered(self.seed, "sacral root", 2 * i as u64 + u64::from(at));
        let s = self.p.size;
        let (f, [_, b, h]) = (&self.sacral[i].0, self.sacral[i].1);
        let point = |x: f32, y: f32, z: f32| f.at([side * x * s, y, z]);
        // S1 has the largest: 384 ± 145 mm³, L5 291 ± 91, L4 211 ± 53, S2 192 ± 53 (Weiner et al., AJNR 43 (2022) 769).
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
        let hu = self.tissue.nerve + r.normal(0.0, 2.0);
        self.nerve(&points, (points[1].0, points[2].0, ganglion), labels::FIRST_ROOT + 14 + 2 * i as u8 + at, hu, nerves);
        let wide = r.normal(2.0, 0.5);
        let sleeve: Vec<(V, f32)> = points.iter().map(|&(p, rr)| (p, rr + wide + 1.0)).collect();
        fat.push(Object::soft(Solid::of(tube(&sleeve, 2), 2.0), self.tissue.fat + r.normal(3.0, 5.0), 14.0, 3.0));
    }
}
