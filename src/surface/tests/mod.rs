//! Of whole surfaces: closed, oriented, of the right volume and place, within the bounds.

mod bounds;
mod shape;

use std::collections::{HashMap, HashSet};

use super::*;
use crate::geometry::Affine;

/// A label map of one structure, label 1.
pub(super) struct Scene {
    pub labels: Vec<u8>,
    pub geometry: Geometry,
}

impl Scene {
    /// The voxels for which `inside` holds.
    pub fn new(dims: [usize; 3], inside: impl Fn([usize; 3]) -> bool) -> Self {
        let [columns, rows, layers] = dims;
        let places = (0..layers).flat_map(|k| (0..rows).flat_map(move |j| (0..columns).map(move |i| [i, j, k])));
        let geometry = Geometry { dims, ijk_to_world: Affine::from_spacing([1.0; 3], [0.0; 3]), world: World::Ras };
        Scene { labels: places.map(|place| u8::from(inside(place))).collect(), geometry }
    }

    /// The same voxels elsewhere.
    pub fn placed(mut self, ijk_to_world: [f64; 16]) -> Self {
        self.geometry.ijk_to_world = Affine(ijk_to_world);
        self
    }

    pub fn spaced(self, spacing: [f64; 3]) -> Self {
        self.placed(Affine::from_spacing(spacing, [-120.5, 33.25, 870.0]).0)
    }

    /// A ball around the middle, in units of voxels.
    pub fn ball(size: usize, radius: f64) -> Self {
        Scene::new([size; 3], |place| distance_to_middle(place, size) <= radius)
    }

    /// A thin rod, not along any axis, out of a large ball.
    pub fn rod_on_ball() -> Self {
        Scene::new([40, 24, 24], |place| {
            let ball = [7.0, 11.5, 11.5];
            let from_ball = [0, 1, 2].map(|axis| place[axis] as f64 - ball[axis]);
            let from_axis = Self::from_rod_axis(place.map(|index| index as f64));
            norm(from_ball) <= 6.5 || (from_axis <= 1.6 && place[0] >= 7)
        })
    }

    /// How far a place (index) is from the axis of the rod.
    pub fn from_rod_axis(place: [f64; 3]) -> f64 {
        let along = [1.0, 0.23, 0.11].map(|value| value / norm([1.0, 0.23, 0.11]));
        let from = [place[0] - 7.0, place[1] - 11.5, place[2] - 11.5];
        let at = crate::geometry::dot(along, from);
        norm([0, 1, 2].map(|axis| from[axis] - at * along[axis]))
    }

    /// Every voxel by chance.
    pub fn noise(dims: [usize; 3], seed: u64, share: f64) -> Self {
        let state = std::cell::Cell::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        Scene::new(dims, |_| {
            // xorshift64*
            let mut x = state.get();
            x ^= x >> 12;
            x ^= x << 25;
            x ^= x >> 27;
            state.set(x);
            (x.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64 <= share
        })
    }

    pub fn surface(&self, smoothing_mm: f64, reduction: f64) -> Surface {
        self.surface_in(World::Ras, smoothing_mm, reduction)
    }

    pub fn surface_in(&self, world: World, smoothing_mm: f64, reduction: f64) -> Surface {
        Surface::of(&self.labels, 1, &self.geometry, &Options { world, smoothing_mm, reduction }).unwrap()
    }

    /// Whether the voxel that a place in the world lies in carries the label.
    pub fn is_inside(&self, place: [f64; 3]) -> bool {
        let index = self.geometry.ijk_to_world.inverse().unwrap().apply(place).map(f64::round);
        let dims = self.geometry.dims;
        if (0..3).any(|axis| index[axis] < 0.0 || index[axis] >= dims[axis] as f64) {
            return false;
        }
        let [i, j, k] = index.map(|index| index as usize);
        self.labels[(k * dims[1] + j) * dims[0] + i] == 1
    }

    pub fn volume_mm3(&self) -> f64 {
        self.labels.iter().filter(|&&label| label == 1).count() as f64 * self.geometry.voxel_volume()
    }

    /// Half the longest diagonal of a voxel, mm.
    pub fn half_diagonal(&self) -> f64 {
        let columns = [0, 1, 2].map(|axis| self.geometry.ijk_to_world.column(axis));
        let diagonal = |signs: [f64; 3]| norm([0, 1, 2].map(|row| (0..3).map(|axis| signs[axis] * columns[axis][row]).sum::<f64>()));
        [[1., 1., 1.], [1., 1., -1.], [1., -1., 1.], [-1., 1., 1.]].map(diagonal).into_iter().fold(0.0, f64::max) / 2.0
    }
}

fn distance_to_middle(place: [usize; 3], size: usize) -> f64 {
    norm(place.map(|index| index as f64 - (size as f64 - 1.0) / 2.0))
}

/// Fails unless every edge belongs to two triangles that go along it in opposite directions, the triangles around every point
/// form one ring, and no two points are at one place. Returns the Euler characteristic.
pub(super) fn euler_of_closed_manifold(surface: &Surface) -> i64 {
    let mut edges: HashMap<(u32, u32), u32> = HashMap::new();
    // For every point, what follows what around it.
    let mut rings: Vec<HashMap<u32, u32>> = vec![HashMap::new(); surface.points.len()];
    for &[a, b, c] in &surface.triangles {
        for (from, to, other) in [(a, b, c), (b, c, a), (c, a, b)] {
            assert_ne!(from, to);
            *edges.entry((from, to)).or_default() += 1;
            assert!(rings[from as usize].insert(to, other).is_none(), "two triangles go from {from} to {to}");
        }
    }
    for (&(from, to), &count) in &edges {
        assert_eq!((count, edges.get(&(to, from))), (1, Some(&1)), "the edge {from} {to}");
    }
    for (point, ring) in rings.iter().enumerate() {
        let start = *ring.keys().min().unwrap_or_else(|| panic!("point {point} is in no triangle"));
        let (mut at, mut length) = (start, 0);
        loop {
            at = ring[&at];
            length += 1;
            if at == start {
                break;
            }
        }
        assert_eq!(length, ring.len(), "the triangles around {point} form several rings");
    }
    let places: HashSet<_> = surface.points.iter().map(|point| point.map(f64::to_bits)).collect();
    assert_eq!(places.len(), surface.points.len());
    surface.points.len() as i64 - edges.len() as i64 / 2 + surface.triangles.len() as i64
}
