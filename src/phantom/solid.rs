//! Objects from shapes: unions with fillets, cuts, and what bone is like in each part.

use super::shape::{Form, Frame, V, curve, dot, length, sub};

/// A shape, what bone is like in it, and a sphere around it.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) form: Form,
    /// Thickness of the cortex, mm.
    pub(super) cortex: f32,
    /// Density of the marrow's space against the bone's mean.
    pub(super) marrow: f32,
    center: V,
    radius: f32,
}

impl Part {
    pub(super) fn new(form: Form, cortex: f32) -> Self {
        let (center, radius) = form.bound();
        Part { form, cortex, marrow: 1.0, center, radius }
    }

    /// The same part with this density of the marrow's space.
    pub(super) fn marrow(self, marrow: f32) -> Self {
        Part { marrow, ..self }
    }

    /// How thick the cortex is: endplates are denser than walls.
    fn thickness(&self, p: V) -> f32 {
        match &self.form {
            Form::Body { frame, shape } if dot(sub(p, frame.origin), frame.axes[2]).abs() > 0.75 * shape.half[2] => 1.7 * self.cortex,
            _ => self.cortex,
        }
    }

    fn nearest_possible(&self, p: V) -> f32 {
        length(sub(p, self.center)) - self.radius
    }
}

/// A union of parts, minus cuts that keep a margin.
#[derive(Clone, Debug, Default)]
pub(super) struct Solid {
    pub(super) parts: Vec<Part>,
    /// Radius of the fillets between parts, mm.
    pub(super) blend: f32,
    /// Shapes that stay at least so many mm away.
    pub(super) cuts: Vec<(Part, f32)>,
    /// Whether the parts differ in what bone is like in them.
    mixed: bool,
}

impl Solid {
    pub(super) fn of(parts: Vec<Part>, blend: f32) -> Self {
        let mixed = parts.iter().any(|part| part.cortex != 1.0 || part.marrow != 1.0 || matches!(part.form, Form::Body { .. }));
        Solid { parts, blend, cuts: Vec::new(), mixed }
    }

    /// Signed distance at a point, and there the thickness of the cortex and the density of the marrow's space. Farther
    /// away than some millimeters the distance is a lower bound.
    pub(super) fn distance(&self, p: V) -> (f32, [f32; 2]) {
        let mut d = 1e6f32;
        let (mut sum, mut look) = (0.0f32, [0.0f32; 2]);
        for part in &self.parts {
            let bound = part.nearest_possible(p);
            if bound > d + self.blend {
                continue;
            }
            if bound > 8.0 {
                d = d.min(bound);
                continue;
            }
            let e = part.form.distance(p);
            if self.mixed && e < 6.0 {
                // The part that reaches deepest here decides, with a soft border.
                let weight = (-e.max(-40.0) / 2.5).exp();
                sum += weight;
                look[0] += weight * part.thickness(p);
                look[1] += weight * part.marrow;
            }
            let h = (self.blend - (d - e).abs()).max(0.0);
            d = d.min(e) - if self.blend > 0.0 { 0.25 * h * h / self.blend } else { 0.0 };
        }
        if d < 3.0 {
            for (cut, margin) in &self.cuts {
                if cut.nearest_possible(p) < *margin - d {
                    d = d.max(margin - cut.form.distance(p));
                }
            }
        }
        (d, if sum > 0.0 { look.map(|v| v / sum) } else { [1.0, 1.0] })
    }

    /// The box around the parts, low and high corner.
    pub(super) fn bounds(&self) -> [V; 2] {
        let mut low = [f32::MAX; 3];
        let mut high = [f32::MIN; 3];
        for part in &self.parts {
            let half: V = match &part.form {
                Form::Block { frame, half, .. } => extent(frame, *half),
                Form::Ellipsoid { frame, radii } => extent(frame, *radii),
                Form::Cone { a, b, ra, rb } => std::array::from_fn(|i| 0.5 * (a[i] - b[i]).abs() + ra.max(*rb)),
                Form::Plate { a, b, e, ra, rb } => std::array::from_fn(|i| 0.5 * (a[i] - b[i]).abs() + e[i].abs() + ra.max(*rb)),
                Form::Column { frame, half, height, .. } => extent(frame, [half[0], half[1], *height]),
                _ => [part.radius; 3],
            };
            for i in 0..3 {
                low[i] = low[i].min(part.center[i] - half[i] - 2.0);
                high[i] = high[i].max(part.center[i] + half[i] + 2.0);
            }
        }
        [low, high]
    }
}

fn extent(frame: &Frame, half: V) -> V {
    std::array::from_fn(|i| (0..3).map(|j| frame.axes[j][i].abs() * half[j]).sum())
}

/// A smooth curve through the points (Catmull and Rom), as cones with radii between those given.
pub(super) fn tube(points: &[(V, f32)], steps: usize) -> Vec<Part> {
    let curve = curve(points, steps);
    curve.windows(2).map(|pair| Part::new(Form::Cone { a: pair[0].0, b: pair[1].0, ra: pair[0].1, rb: pair[1].1 }, 1.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ball(x: f32, radius: f32, cortex: f32) -> Part {
        let frame = Frame::turned([x, 0.0, 0.0], 0.0, 0.0, 0.0);
        Part::new(Form::Ellipsoid { frame, radii: [radius; 3] }, cortex)
    }

    #[test]
    fn fillets_add_between_parts_and_nothing_far_from_them() {
        let [sharp, round] = [0.0, 4.0].map(|blend| Solid::of(vec![ball(0.0, 5.0, 1.0), ball(9.0, 5.0, 1.0)], blend));
        let crease = [4.5, 2.5, 0.0];
        assert!(sharp.distance(crease).0 > 0.0 && round.distance(crease).0 < 0.0);
        let far = [-5.0, 0.0, 0.0];
        assert!((sharp.distance(far).0 - round.distance(far).0).abs() < 1e-4);
    }

    #[test]
    fn cuts_keep_their_margin() {
        let mut solid = Solid::of(vec![ball(0.0, 10.0, 1.0)], 0.0);
        solid.cuts.push((ball(10.0, 4.0, 1.0), 2.0));
        assert!(solid.distance([4.5, 0.0, 0.0]).0 > 0.0);
        assert!(solid.distance([3.5, 0.0, 0.0]).0 < 0.0);
    }

    #[test]
    fn bone_is_that_of_the_part_that_reaches_deepest() {
        let solid = Solid::of(vec![ball(0.0, 8.0, 0.5).marrow(1.0), ball(12.0, 8.0, 2.0).marrow(0.2)], 2.0);
        let (_, [cortex, marrow]) = solid.distance([-2.0, 0.0, 0.0]);
        assert!((cortex - 0.5).abs() < 0.1 && (marrow - 1.0).abs() < 0.1, "{cortex} {marrow}");
        let (_, [cortex, marrow]) = solid.distance([14.0, 0.0, 0.0]);
        assert!((cortex - 2.0).abs() < 0.1 && (marrow - 0.2).abs() < 0.1, "{cortex} {marrow}");
    }

    #[test]
    fn bounds_hold_the_whole_solid() {
        let tilted = Frame::turned([3.0, 4.0, 5.0], 0.5, 0.3, 0.2);
        let parts = vec![
            Part::new(Form::Block { frame: tilted, half: [3.0, 9.0, 2.0], round: 1.0 }, 1.0),
            Part::new(Form::Plate { a: [0.0; 3], b: [9.0, 2.0, 0.0], e: [0.0, 0.0, 7.0], ra: 2.0, rb: 1.0 }, 1.0),
        ];
        let solid = Solid::of(parts, 2.0);
        let [low, high] = solid.bounds();
        for at in 0..40 * 40 * 40 {
            let p = [at % 40, at / 40 % 40, at / 1600].map(|i| i as f32 - 20.0);
            let outside = (0..3).any(|axis| p[axis] < low[axis] || p[axis] > high[axis]);
            assert!(!outside || solid.distance(p).0 > 0.0, "{p:?} is inside, and outside {low:?} {high:?}");
        }
    }
}
