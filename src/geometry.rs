//! Where a volume lies in the world: affine, spacing, orientation. Numbers only.
//!
//! Conventions: an affine maps the index (i, j, k) of a voxel's center to millimeters. Axes are called i, j, k in the
//! order in which the caller counts them; the model's axes are D, H, W and increase towards Superior, Posterior and Left.

use crate::error::{Error, ErrorKind, Result};

/// The world that coordinates are written in. Left and right are never guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum World {
    /// Right, Anterior, Superior: 3D Slicer and NIfTI.
    Ras = 1,
    /// Left, Posterior, Superior: ITK and DICOM.
    Lps = 2,
}

/// A 4×4 matrix, row major, last row 0 0 0 1, that maps voxel indices to millimeters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine(pub [f64; 16]);

impl Affine {
    /// The affine of a volume whose axes are those of the world.
    pub fn from_spacing(spacing: [f64; 3], origin: [f64; 3]) -> Self {
        let ([x, y, z], [a, b, c]) = (spacing, origin);
        Affine([x, 0., 0., a, 0., y, 0., b, 0., 0., z, c, 0., 0., 0., 1.])
    }

    /// The world position (mm) of an index.
    pub fn apply(&self, index: [f64; 3]) -> [f64; 3] {
        let m = &self.0;
        std::array::from_fn(|r| m[4 * r] * index[0] + m[4 * r + 1] * index[1] + m[4 * r + 2] * index[2] + m[4 * r + 3])
    }

    /// Column `axis`: the step in the world (mm) from one voxel to the next along that axis.
    pub fn column(&self, axis: usize) -> [f64; 3] {
        std::array::from_fn(|r| self.0[4 * r + axis])
    }

    /// The lengths of the three columns, rounded to 1e-5 mm (method.md 1.2).
    pub fn spacing(&self) -> [f64; 3] {
        std::array::from_fn(|axis| (norm(self.column(axis)) * 1e5).round() / 1e5)
    }

    /// The same placement written in another world: changing between RAS and LPS negates the first two rows.
    #[must_use]
    pub fn between(mut self, from: World, to: World) -> Self {
        if from != to {
            for value in &mut self.0[..8] {
                *value = -*value;
            }
        }
        self
    }

    /// The determinant of the linear part (mm³ per voxel, negative where the axes are left-handed).
    pub fn determinant(&self) -> f64 {
        let [a, b, c] = [self.column(0), self.column(1), self.column(2)];
        dot(a, cross(b, c))
    }

    /// The map from world (mm) to index.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidGeometry`] for a singular matrix.
    pub fn inverse(&self) -> Result<Affine> {
        let columns = [self.column(0), self.column(1), self.column(2)];
        let determinant = self.determinant();
        if !(determinant.is_finite() && determinant != 0.0) {
            return Err(Error::new(ErrorKind::InvalidGeometry, "the affine is singular: its columns must span three dimensions"));
        }
        let mut inverse = [0.0; 16];
        for r in 0..3 {
            let row = cross(columns[(r + 1) % 3], columns[(r + 2) % 3]).map(|v| v / determinant);
            inverse[4 * r..4 * r + 3].copy_from_slice(&row);
            inverse[4 * r + 3] = -dot(row, [self.0[3], self.0[7], self.0[11]]);
        }
        inverse[15] = 1.0;
        Ok(Affine(inverse))
    }
}

/// The dimensions of a volume and its place in the world.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Geometry {
    /// Voxels along i, j, k.
    pub dims: [usize; 3],
    /// Index of a voxel's center to millimeters.
    pub ijk_to_world: Affine,
    /// The world that the affine leads to.
    pub world: World,
}

/// Spacing that is accepted, in mm (method.md 1.2).
pub const SPACING_LIMITS_MM: [f64; 2] = [0.05, 20.0];
/// How far apart the same voxel of two volumes on one grid may lie, mm.
pub const SAME_GRID_TOLERANCE_MM: f64 = 1e-3;
/// Shear above which a volume is warned of, in degrees.
pub const SHEAR_WARNING_DEGREES: f64 = 1.0;
/// Obliquity above which a volume is warned of, in degrees.
pub const OBLIQUITY_WARNING_DEGREES: f64 = 30.0;

impl Geometry {
    /// Checks that this describes a volume that can be segmented.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidGeometry`]: a dimension of 0, more voxels than can be addressed, a matrix that is not finite
    /// or singular or has another last row than 0 0 0 1, a spacing outside [`SPACING_LIMITS_MM`].
    pub fn check(&self) -> Result<()> {
        let fail = |message: String| Err(Error::new(ErrorKind::InvalidGeometry, message));
        let [i, j, k] = self.dims;
        if i == 0 || j == 0 || k == 0 {
            return fail(format!("dimensions {i}×{j}×{k}: every dimension must be at least 1"));
        }
        if i.checked_mul(j).and_then(|n| n.checked_mul(k)).is_none_or(|n| n > isize::MAX as usize / 16) {
            return fail(format!("dimensions {i}×{j}×{k}: more voxels than this machine can address"));
        }
        let m = &self.ijk_to_world.0;
        if m.iter().any(|v| !v.is_finite()) {
            return fail("the affine holds a value that is not finite".into());
        }
        if m[12..] != [0.0, 0.0, 0.0, 1.0] {
            return fail(format!("the affine's last row is {:?}; it must be 0 0 0 1", &m[12..]));
        }
        let spacing = self.ijk_to_world.spacing();
        let [low, high] = SPACING_LIMITS_MM;
        if let Some(axis) = (0..3).find(|&a| !(low..=high).contains(&spacing[a])) {
            return fail(format!("spacing along axis {} is {} mm; accepted are {low} to {high} mm", ["i", "j", "k"][axis], spacing[axis]));
        }
        // The volume of a voxel against that of a box with the same edges: near 0, the axes lie in one plane.
        if self.ijk_to_world.determinant().abs() < 1e-3 * spacing.iter().product::<f64>() {
            return fail("the affine is singular: two of its axes point the same way".into());
        }
        Ok(())
    }

    /// Checks that every voxel lies where the other's voxel of the same index lies, within [`SAME_GRID_TOLERANCE_MM`].
    ///
    /// # Errors
    /// [`ErrorKind::InvalidGeometry`] for other dimensions or another place.
    pub fn check_same_grid(&self, other: &Geometry) -> Result<()> {
        if self.dims != other.dims {
            let message = format!("dimensions {:?} and {:?} differ: compare on one grid", self.dims, other.dims);
            return Err(Error::new(ErrorKind::InvalidGeometry, message));
        }
        let [a, b] = [self, other].map(|geometry| geometry.ijk_to_world.between(geometry.world, World::Ras));
        // A difference between two affines is largest at a corner.
        let distance = (0..8)
            .map(|corner| {
                let index: [f64; 3] = std::array::from_fn(|axis| if corner >> axis & 1 == 1 { self.dims[axis] as f64 - 1.0 } else { 0.0 });
                let (a, b) = (a.apply(index), b.apply(index));
                (a[0] - b[0]).hypot(a[1] - b[1]).hypot(a[2] - b[2])
            })
            .fold(0.0, f64::max);
        if distance > SAME_GRID_TOLERANCE_MM {
            let message =
                format!("the same voxel lies up to {distance:.4} mm apart (at most {SAME_GRID_TOLERANCE_MM} mm): compare on one grid");
            return Err(Error::new(ErrorKind::InvalidGeometry, message));
        }
        Ok(())
    }

    /// The number of voxels. Call [`check`](Self::check) first: the product of unchecked dimensions may overflow.
    pub fn voxel_count(&self) -> usize {
        self.dims.iter().product()
    }

    /// The volume of a voxel in mm³.
    pub fn voxel_volume(&self) -> f64 {
        self.ijk_to_world.determinant().abs()
    }

    /// How this volume's axes lie among the anatomical axes.
    pub fn orientation(&self) -> Orientation {
        Orientation::of(&self.ijk_to_world.between(self.world, World::Lps))
    }

    /// The largest departure from a right angle between two axes, in degrees.
    pub fn shear_degrees(&self) -> f64 {
        let unit = |axis| normalized(self.ijk_to_world.column(axis));
        [(0, 1), (0, 2), (1, 2)].into_iter().map(|(a, b)| dot(unit(a), unit(b)).abs().min(1.0).asin().to_degrees()).fold(0.0, f64::max)
    }

    /// The largest angle between an array axis and the anatomical axis it stands for, in degrees.
    pub fn obliquity_degrees(&self) -> f64 {
        let orientation = self.orientation();
        (0..3)
            .map(|model| {
                let column = normalized(self.ijk_to_world.column(orientation.axes[model]));
                column[ANATOMICAL_ROW[model]].abs().min(1.0).acos().to_degrees()
            })
            .fold(0.0, f64::max)
    }
}

/// The world component that the model's axes D, H, W follow: D is z, H is y, W is x.
const ANATOMICAL_ROW: [usize; 3] = [2, 1, 0];

/// Which array axis serves as which model axis, and whether it runs the other way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orientation {
    /// For D, H, W: the array axis (0 = i, 1 = j, 2 = k).
    pub axes: [usize; 3],
    /// For D, H, W: whether the array axis runs against Superior, Posterior, Left.
    pub flipped: [bool; 3],
}

impl Orientation {
    /// The permutation with the largest sum of |cosine|; sums within 1e-6 tie and the lexicographically first
    /// (D, H, W) wins (method.md 1.2). `ijk_to_lps` is an affine to LPS.
    fn of(ijk_to_lps: &Affine) -> Self {
        const PERMUTATIONS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        let columns: [[f64; 3]; 3] = std::array::from_fn(|axis| normalized(ijk_to_lps.column(axis)));
        let cosine = |model: usize, axis: usize| columns[axis][ANATOMICAL_ROW[model]];
        let sum = |p: &[usize; 3]| (0..3).map(|model| cosine(model, p[model]).abs()).sum::<f64>();
        let best = PERMUTATIONS.iter().map(sum).fold(f64::MIN, f64::max);
        let axes = PERMUTATIONS.into_iter().find(|p| sum(p) >= best - 1e-6).unwrap_or(PERMUTATIONS[0]);
        Orientation { axes, flipped: std::array::from_fn(|model| cosine(model, axes[model]) < 0.0) }
    }

    /// The letters that i, j, k increase towards, for example `"LPS"`.
    pub fn letters(&self) -> [char; 3] {
        const LETTERS: [[char; 2]; 3] = [['S', 'I'], ['P', 'A'], ['L', 'R']];
        let mut letters = ['?'; 3];
        for model in 0..3 {
            letters[self.axes[model]] = LETTERS[model][usize::from(self.flipped[model])];
        }
        letters
    }
}

pub(crate) fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub(crate) fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

pub(crate) fn norm(v: [f64; 3]) -> f64 {
    dot(v, v).sqrt()
}

fn normalized(v: [f64; 3]) -> [f64; 3] {
    let length = norm(v);
    v.map(|x| x / length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn geometry(m: [f64; 16]) -> Geometry {
        Geometry { dims: [4, 5, 6], ijk_to_world: Affine(m), world: World::Ras }
    }

    #[test]
    fn an_inverse_undoes_its_affine() {
        let affine = Affine([0.1, 0.8, 0.2, -5., 0.9, -0.1, 0.3, 7., 0.2, 0.1, -2.4, 11., 0., 0., 0., 1.]);
        let back = affine.inverse().unwrap().apply(affine.apply([3.0, -4.0, 5.5]));
        for (a, b) in back.into_iter().zip([3.0, -4.0, 5.5]) {
            assert!((a - b).abs() < 1e-12);
        }
    }

    #[test]
    fn letters_name_what_i_j_k_increase_towards_in_either_world() {
        let ras = geometry(Affine::from_spacing([1.0; 3], [0.0; 3]).0);
        assert_eq!(ras.orientation().letters(), ['R', 'A', 'S']);
        let lps = Geometry { world: World::Lps, ..ras };
        assert_eq!(lps.orientation().letters(), ['L', 'P', 'S']);
        assert_eq!(lps.orientation(), Orientation { axes: [2, 1, 0], flipped: [false; 3] });
    }

    #[test]
    fn a_tie_between_permutations_goes_to_the_lexicographically_first() {
        // i and j both lie at 45° between x and y.
        let h = std::f64::consts::FRAC_1_SQRT_2;
        let tied = geometry([h, -h, 0., 0., h, h, 0., 0., 0., 0., 1., 0., 0., 0., 0., 1.]);
        assert_eq!(tied.orientation().axes, [2, 0, 1]);
    }

    #[test]
    fn what_describes_no_volume_is_refused() {
        let good = Affine::from_spacing([1.0; 3], [0.0; 3]).0;
        let with = |at: usize, value: f64| {
            let mut m = good;
            m[at] = value;
            geometry(m)
        };
        assert!(geometry(good).check().is_ok());
        for bad in [
            with(0, 0.0),
            with(0, f64::NAN),
            with(3, f64::INFINITY),
            with(0, 0.01),
            with(0, 25.0),
            with(15, 2.0),
            with(12, 1.0),
            Geometry { dims: [0, 1, 1], ..geometry(good) },
            Geometry { dims: [usize::MAX, 2, 2], ..geometry(good) },
            geometry([1., 1., 0., 0., 0., 1e-7, 0., 0., 0., 0., 1., 0., 0., 0., 0., 1.]),
        ] {
            assert_eq!(bad.check().unwrap_err().kind(), ErrorKind::InvalidGeometry, "{bad:?}");
        }
    }

    #[test]
    fn spacing_from_a_twentieth_of_a_millimeter_to_twenty_is_accepted_rounded_to_a_hundred_thousandth() {
        let spaced = |spacing: f64| geometry(Affine::from_spacing([spacing, 1.0, 1.0], [0.0; 3]).0);
        for (spacing, accepted) in
            [(0.05, true), (20.0, true), (0.049_996, true), (20.000_004, true), (0.049_99, false), (20.000_02, false)]
        {
            assert_eq!(spaced(spacing).check().is_ok(), accepted, "{spacing}");
        }
        assert_eq!(spaced(0.700_004_9).ijk_to_world.spacing()[0], 0.7);
    }

    #[test]
    fn shear_and_obliquity_are_angles_in_degrees() {
        let (sine, cosine) = 10f64.to_radians().sin_cos();
        let tilted = geometry([1., 0., 0., 0., 0., 1., sine, 0., 0., 0., cosine, 0., 0., 0., 0., 1.]);
        assert!((tilted.shear_degrees() - 10.0).abs() < 1e-9 && (tilted.obliquity_degrees() - 10.0).abs() < 1e-9);
    }

    fn ras_grid(spacing: f64, shift: f64) -> Geometry {
        let ijk_to_world = Affine::from_spacing([spacing; 3], [shift, 0.0, 0.0]);
        Geometry { dims: [101, 2, 1], ijk_to_world, world: World::Ras }
    }

    #[test]
    fn grids_are_the_same_within_a_micrometer() {
        let same = |other: Geometry| ras_grid(1.0, 0.0).check_same_grid(&other).is_ok();
        assert!(same(ras_grid(1.0, 0.0009)));
        assert!(!same(ras_grid(1.0, 0.0011)));
        // 100 voxels add up what one does not show.
        assert!(!same(ras_grid(1.000_02, 0.0)));
        assert!(!same(Geometry { dims: [100, 2, 1], ..ras_grid(1.0, 0.0) }));
    }

    #[test]
    fn the_same_place_in_another_world_is_the_same_grid() {
        let ras = ras_grid(1.0, 5.0);
        let lps = Geometry { ijk_to_world: ras.ijk_to_world.between(World::Ras, World::Lps), world: World::Lps, ..ras };
        assert!(ras.check_same_grid(&lps).is_ok());
        assert!(ras.check_same_grid(&Geometry { world: World::Lps, ..ras }).is_err());
    }
}
