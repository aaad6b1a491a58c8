//! Shapes as signed distances: negative inside, millimeters. Several are approximations that are exact at the surface.

/// A point or direction, mm: left, posterior, superior.
pub(super) type V = [f32; 3];

pub(super) fn add(a: V, b: V) -> V {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

pub(super) fn sub(a: V, b: V) -> V {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

pub(super) fn scale(a: V, s: f32) -> V {
    [a[0] * s, a[1] * s, a[2] * s]
}

pub(super) fn dot(a: V, b: V) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub(super) fn length(a: V) -> f32 {
    dot(a, a).sqrt()
}

pub(super) fn mix(a: V, b: V, t: f32) -> V {
    add(a, scale(sub(b, a), t))
}

pub(super) fn unit(a: V) -> V {
    scale(a, 1.0 / length(a).max(1e-6))
}

/// A right-handed orthonormal frame: where it lies, and its left, posterior and superior axes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) origin: V,
    pub(super) axes: [V; 3],
}

impl Frame {
    /// A frame turned by `tilt` about the left axis (positive: the top leans forward), then `roll` about the posterior
    /// axis, then `turn` about the superior axis, radians.
    pub(super) fn turned(origin: V, tilt: f32, roll: f32, turn: f32) -> Self {
        let ((sa, ca), (sb, cb), (sc, cc)) = (tilt.sin_cos(), roll.sin_cos(), turn.sin_cos());
        let rotate = |v: V| {
            let v = [v[0], ca * v[1] - sa * v[2], sa * v[1] + ca * v[2]];
            let v = [cb * v[0] + sb * v[2], v[1], -sb * v[0] + cb * v[2]];
            [cc * v[0] - sc * v[1], sc * v[0] + cc * v[1], v[2]]
        };
        Frame { origin, axes: [rotate([1.0, 0.0, 0.0]), rotate([0.0, 1.0, 0.0]), rotate([0.0, 0.0, 1.0])] }
    }

    /// From this frame's coordinates to those around it.
    pub(super) fn at(&self, p: V) -> V {
        add(self.origin, self.direction(p))
    }

    pub(super) fn direction(&self, v: V) -> V {
        let [a, b, c] = self.axes;
        add(add(scale(a, v[0]), scale(b, v[1])), scale(c, v[2]))
    }

    pub(super) fn local(&self, p: V) -> V {
        let q = sub(p, self.origin);
        [dot(q, self.axes[0]), dot(q, self.axes[1]), dot(q, self.axes[2])]
    }

    /// A frame given in this one's coordinates.
    pub(super) fn compose(&self, inner: &Frame) -> Frame {
        Frame { origin: self.at(inner.origin), axes: inner.axes.map(|axis| self.direction(axis)) }
    }
}

/// The body of a vertebra in its frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyShape {
    /// Half width, half depth, half height.
    pub(super) half: V,
    /// How much narrower the middle is than the ends, as a share.
    pub(super) waist: f32,
    /// How deep the endplates are hollowed, mm.
    pub(super) hollow: f32,
    /// Front height minus back height over two, mm.
    pub(super) wedge: f32,
    /// How far the back wall is flattened, as a share of the half depth.
    pub(super) flat: f32,
    /// Osteophytes: how far the rims stand out, mm, and to which side (radians) most.
    pub(super) lip: f32,
    pub(super) lip_side: f32,
}

/// A level of a lofted sheet: control points in the plane and half thickness at each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Station {
    pub(super) z: f32,
    pub(super) points: [[f32; 3]; 5],
}

/// A level of the torso: half width, half depth, center.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ring {
    pub(super) z: f32,
    pub(super) half: [f32; 2],
    pub(super) center: f32,
}

/// What a part of an object looks like.
#[derive(Clone, Debug)]
pub(super) enum Form {
    Ellipsoid {
        frame: Frame,
        radii: V,
    },
    Block {
        frame: Frame,
        half: V,
        round: f32,
    },
    /// A cone with round ends.
    Cone {
        a: V,
        b: V,
        ra: f32,
        rb: f32,
    },
    /// A parallelogram a–b ± e, thickened.
    Plate {
        a: V,
        b: V,
        e: V,
        ra: f32,
        rb: f32,
    },
    Body {
        frame: Frame,
        shape: BodyShape,
    },
    /// A superelliptic tube in its frame, endless within ± height.
    Column {
        frame: Frame,
        half: [f32; 2],
        power: f32,
        height: f32,
    },
    Sheet {
        frame: Frame,
        stations: Vec<Station>,
        top: f32,
        bottom: f32,
    },
    /// `wall`: how much farther inside the surface lies where the belly's wall is: all around above the iliac crests,
    /// in front only below them.
    Torso {
        frame: Frame,
        rings: Vec<Ring>,
        inset: f32,
        wall: f32,
        power: f32,
    },
}

fn radial(x: f32, y: f32, a: f32, b: f32, power: f32) -> f32 {
    let k = ((x / a).abs().powf(power) + (y / b).abs().powf(power)).powf(1.0 / power);
    if k < 1e-4 { -a.min(b) } else { (x * x + y * y).sqrt() * (1.0 - 1.0 / k) }
}

fn radial_two(x: f32, y: f32, a: f32, b: f32) -> f32 {
    let (p, q) = (x / a, y / b);
    let k = (p * p + q * q).sqrt();
    if k < 1e-4 { -a.min(b) } else { (x * x + y * y).sqrt() * (1.0 - 1.0 / k) }
}

/// Maximum with a rounded edge of this radius.
pub(super) fn smooth_max(a: f32, b: f32, k: f32) -> f32 {
    let h = (k - (a - b).abs()).max(0.0) / k;
    a.max(b) + 0.25 * h * h * k
}

impl Form {
    pub(super) fn bound(&self) -> (V, f32) {
        match self {
            Form::Ellipsoid { frame, radii } => (frame.origin, radii[0].max(radii[1]).max(radii[2])),
            Form::Block { frame, half, .. } => (frame.origin, length(*half)),
            Form::Cone { a, b, ra, rb } => (mix(*a, *b, 0.5), 0.5 * length(sub(*b, *a)) + ra.max(*rb)),
            Form::Plate { a, b, e, ra, rb } => (mix(*a, *b, 0.5), 0.5 * length(sub(*b, *a)) + length(*e) + ra.max(*rb)),
            Form::Body { frame, shape } => {
                (frame.origin, length([shape.half[0].max(shape.half[1]) + shape.lip, 0.0, shape.half[2] + shape.wedge.abs() + 1.0]))
            }
            Form::Column { frame, half, height, .. } => (frame.origin, length([half[0] * 1.2, half[1] * 1.2, *height])),
            Form::Sheet { frame, stations, top, bottom } => {
                let middle = [80.0, 10.0, 0.5 * (top + bottom)];
                let far = stations
                    .iter()
                    .flat_map(|station| station.points.iter().map(move |p| length(sub([p[0], p[1], station.z], middle)) + p[2]))
                    .fold(0.0, f32::max);
                (frame.at(middle), far + 5.0)
            }
            Form::Torso { frame, .. } => (frame.origin, 1e4),
        }
    }

    /// The signed distance at a point, mm.
    pub(super) fn distance(&self, p: V) -> f32 {
        match self {
            Form::Ellipsoid { frame, radii } => {
                let q = frame.local(p);
                let a = [q[0] / radii[0], q[1] / radii[1], q[2] / radii[2]];
                let b = [a[0] / radii[0], a[1] / radii[1], a[2] / radii[2]];
                let (k, g) = (length(a), length(b));
                if g < 1e-6 { -radii[0].min(radii[1]).min(radii[2]) } else { k * (k - 1.0) / g }
            }
            Form::Block { frame, half, round } => {
                let q = frame.local(p);
                let d: V = std::array::from_fn(|i| q[i].abs() - half[i] + round);
                length(d.map(|v| v.max(0.0))) + d[0].max(d[1]).max(d[2]).min(0.0) - round
            }
            Form::Cone { a, b, ra, rb } => {
                let (pa, ba) = (sub(p, *a), sub(*b, *a));
                let t = (dot(pa, ba) / dot(ba, ba).max(1e-6)).clamp(0.0, 1.0);
                length(sub(pa, scale(ba, t))) - (ra + (rb - ra) * t)
            }
            Form::Plate { a, b, e, ra, rb } => {
                let (pa, ba) = (sub(p, *a), sub(*b, *a));
                let t = (dot(pa, ba) / dot(ba, ba).max(1e-6)).clamp(0.0, 1.0);
                let q = sub(pa, scale(ba, t));
                let s = (dot(q, *e) / dot(*e, *e).max(1e-6)).clamp(-1.0, 1.0);
                length(sub(q, scale(*e, s))) - (ra + (rb - ra) * t)
            }
            Form::Body { frame, shape } => body(frame.local(p), shape),
            Form::Column { frame, half, power, height } => {
                let q = frame.local(p);
                smooth_max(radial(q[0], q[1], half[0], half[1], *power), q[2].abs() - height, 2.0)
            }
            Form::Sheet { frame, stations, top, bottom } => sheet(frame.local(p), stations, *top, *bottom),
            Form::Torso { frame, rings, inset, wall, power } => {
                let q = frame.local(p);
                let (a, b, t) = between(rings, q[2], |ring| ring.z);
                let half: [f32; 2] = std::array::from_fn(|i| a.half[i] + (b.half[i] - a.half[i]) * t);
                let y = q[1] - a.center - (b.center - a.center) * t;
                let ring = ((q[2] + 5.0) / 40.0).clamp(0.0, 1.0) * (1.0 - ((y / half[1] - 0.55) / 0.3).clamp(0.0, 0.85));
                let front = ((-y / half[1] - 0.25) / 0.35).clamp(0.0, 1.0) * ((q[2] + 130.0) / 60.0).clamp(0.0, 1.0);
                radial(q[0], y, half[0], half[1], *power) + inset + wall * ring.max(front)
            }
        }
    }
}

/// The two levels around z, and where z lies between them. The list is sorted and not empty.
fn between<T>(levels: &[T], z: f32, height: impl Fn(&T) -> f32) -> (&T, &T, f32) {
    let next = levels.iter().position(|level| height(level) > z).unwrap_or(levels.len() - 1).max(1).min(levels.len() - 1);
    let (a, b) = (&levels[next.saturating_sub(1)], &levels[next]);
    (a, b, ((z - height(a)) / (height(b) - height(a)).max(1e-3)).clamp(0.0, 1.0))
}

fn body(q: V, s: &BodyShape) -> f32 {
    let [a, b, h] = s.half;
    let (x, y) = (q[0] / a, q[1] / b);
    let rr = (x * x + y * y).min(1.2);
    let top = h - s.wedge * y - s.hollow * (1.0 - rr * rr).max(0.0);
    let z = (q[2] / h).clamp(-1.0, 1.0);
    let mut widen = 1.0 - s.waist * (1.0 - z * z);
    if s.lip > 0.0 {
        let side = 0.5 + 0.5 * (q[1].atan2(q[0]) - s.lip_side).cos();
        let near = ((q[2].abs() - top + 1.5) / 2.5).min(0.0);
        widen += s.lip / a * (0.3 + 0.7 * side) * (-near * near).exp();
    }
    // A rounded outline whose back is flat and a little hollow.
    let back = q[1] - b * (1.0 - s.flat) * widen.sqrt() - 1.5 * (q[0] * q[0]) / (a * a) + 1.0;
    let outline = radial_two(q[0], q[1], a * widen, b * widen);
    let outline = smooth_max(outline, back, 5.0);
    smooth_max(outline, q[2].abs() - top, 2.0)
}

fn sheet(q: V, stations: &[Station], top: f32, bottom: f32) -> f32 {
    let (a, b, t) = between(stations, q[2], |station| station.z);
    let point = |i: usize| -> [f32; 3] { std::array::from_fn(|c| a.points[i][c] + (b.points[i][c] - a.points[i][c]) * t) };
    let mut best = f32::MAX;
    let mut p = point(0);
    for i in 1..5 {
        let n = point(i);
        let (dx, dy) = (n[0] - p[0], n[1] - p[1]);
        let s = (((q[0] - p[0]) * dx + (q[1] - p[1]) * dy) / (dx * dx + dy * dy).max(1e-3)).clamp(0.0, 1.0);
        let (ex, ey) = (q[0] - p[0] - s * dx, q[1] - p[1] - s * dy);
        best = best.min((ex * ex + ey * ey).sqrt() - (p[2] + (n[2] - p[2]) * s));
        p = n;
    }
    smooth_max(best * 0.85, (q[2] - top).max(bottom - q[2]), 3.0)
}

/// Points on a smooth curve through the given ones.
pub(super) fn curve(points: &[(V, f32)], steps: usize) -> Vec<(V, f32)> {
    let n = points.len();
    let mut out = Vec::new();
    for i in 0..n.saturating_sub(1) {
        let get = |j: isize| points[(i as isize + j).clamp(0, n as isize - 1) as usize];
        let (p0, p1, p2, p3) = (get(-1), get(0), get(1), get(2));
        for s in 0..steps {
            let t = s as f32 / steps as f32;
            let f = |a: f32, b: f32, c: f32, d: f32| {
                0.5 * (2.0 * b + (c - a) * t + (2.0 * a - 5.0 * b + 4.0 * c - d) * t * t + (3.0 * b - a - 3.0 * c + d) * t * t * t)
            };
            let p = std::array::from_fn(|k| f(p0.0[k], p1.0[k], p2.0[k], p3.0[k]));
            out.push((p, p1.1 + (p2.1 - p1.1) * t));
        }
    }
    out.extend(points.last().copied());
    out
}

pub(super) fn cross(a: V, b: V) -> V {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Frame = Frame { origin: [1.0, 2.0, 3.0], axes: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]] };

    fn close(found: f32, expected: f32) {
        assert!((found - expected).abs() < 1e-3, "{found} instead of {expected}");
    }

    /// The volume (mm³) where the distance is negative, counted on a grid of half millimeters around the origin.
    fn volume(form: &Form, reach: i32) -> f32 {
        let step = |i: i32| (i as f32 + 0.5) * 0.5;
        let inside = |i, j, k| form.distance([step(i), step(j), step(k)]) < 0.0;
        let range = || -2 * reach..2 * reach;
        let count =
            range().flat_map(|k| range().flat_map(move |j| range().map(move |i| (i, j, k)))).filter(|&(i, j, k)| inside(i, j, k)).count();
        count as f32 / 8.0
    }

    fn near(found: f32, expected: f32, share: f32) {
        assert!((found / expected - 1.0).abs() < share, "{found} instead of {expected}");
    }

    #[test]
    fn a_frame_leads_there_and_back_and_turns_as_it_says() {
        let frame = Frame::turned([5.0, -3.0, 2.0], 0.4, -0.2, 0.7);
        let p = [1.0, -2.0, 3.0];
        let back = frame.local(frame.at(p));
        back.iter().zip(p).for_each(|(found, expected)| close(*found, expected));
        // A positive tilt leans the top forward: to negative posterior.
        close(Frame::turned([0.0; 3], 0.3, 0.0, 0.0).axes[2][1], -(0.3f32).sin());
        let both = frame.compose(&HERE);
        both.at([0.0; 3]).iter().zip(frame.at(HERE.origin)).for_each(|(found, expected)| close(*found, expected));
    }

    #[test]
    fn distances_of_simple_shapes_are_exact() {
        let sphere = Form::Ellipsoid { frame: HERE, radii: [4.0; 3] };
        close(sphere.distance([1.0, 2.0, 10.0]), 3.0);
        close(sphere.distance([1.0, 4.0, 3.0]), -2.0);
        let cone = Form::Cone { a: [0.0; 3], b: [10.0, 0.0, 0.0], ra: 1.0, rb: 3.0 };
        close(cone.distance([5.0, 6.0, 0.0]), 4.0);
        close(cone.distance([14.0, 0.0, 0.0]), 1.0);
        let plate = Form::Plate { a: [0.0; 3], b: [10.0, 0.0, 0.0], e: [0.0, 0.0, 5.0], ra: 1.0, rb: 1.0 };
        close(plate.distance([5.0, 3.0, 4.0]), 2.0);
        close(plate.distance([5.0, 0.0, 9.0]), 3.0);
        let block = Form::Block { frame: HERE, half: [2.0, 3.0, 4.0], round: 0.0 };
        close(block.distance([6.0, 2.0, 3.0]), 3.0);
        close(block.distance(HERE.origin), -2.0);
    }

    #[test]
    fn shapes_have_the_volumes_of_their_formulas() {
        let frame = Frame { origin: [0.0; 3], ..HERE };
        let pi = std::f32::consts::PI;
        near(volume(&Form::Ellipsoid { frame, radii: [9.0, 6.0, 4.0] }, 12), 4.0 / 3.0 * pi * 9.0 * 6.0 * 4.0, 0.02);
        // Its edges are rounded.
        near(volume(&Form::Column { frame, half: [8.0, 5.0], power: 2.0, height: 6.0 }, 12), 0.97 * pi * 8.0 * 5.0 * 12.0, 0.02);
        let shape = BodyShape { half: [12.0, 9.0, 7.0], waist: 0.0, hollow: 0.0, wedge: 0.0, flat: 0.0, lip: 0.0, lip_side: 0.0 };
        // The back wall takes a part of the cylinder.
        let body = volume(&Form::Body { frame, shape }, 16);
        near(body, 0.9 * pi * 12.0 * 9.0 * 14.0, 0.06);
        let slim = volume(&Form::Body { frame, shape: BodyShape { waist: 0.1, hollow: 1.0, ..shape } }, 16);
        assert!(slim < 0.95 * body, "{slim} {body}");
    }

    #[test]
    fn a_sheet_follows_its_stations() {
        let straight = |y: f32| [0.0, 10.0, 20.0, 30.0, 40.0].map(|x| [x, y, 3.0]);
        let stations = vec![Station { z: 0.0, points: straight(0.0) }, Station { z: 20.0, points: straight(10.0) }];
        let sheet = Form::Sheet { frame: Frame { origin: [0.0; 3], ..HERE }, stations, top: 18.0, bottom: 2.0 };
        assert!(sheet.distance([20.0, 5.0, 10.0]) < -2.0);
        assert!(sheet.distance([20.0, 0.0, 10.0]) > 1.0);
        assert!(sheet.distance([20.0, 10.0, 25.0]) > 5.0);
    }

    #[test]
    fn a_curve_goes_through_its_points() {
        let points = [([0.0, 0.0, 0.0], 1.0), ([10.0, 5.0, 0.0], 2.0), ([20.0, 0.0, 5.0], 3.0)];
        let curve = curve(&points, 4);
        assert_eq!(curve.len(), 9);
        for (at, point) in [0, 4, 8].into_iter().zip(points) {
            assert_eq!(curve[at], point);
        }
        assert!(curve.windows(2).all(|pair| length(sub(pair[1].0, pair[0].0)) < 5.0));
    }
}
