//! Of whole surfaces: closed, oriented, of the right volume and place, within the bounds.

use std::collections::HashMap;

use super::*;
use crate::geometry::{Affine, cross, dot};

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

    pub fn torus() -> Self {
        Scene::new([40, 40, 20], |[i, j, k]| {
            let ring = (i as f64 - 19.5).hypot(j as f64 - 19.5) - 12.0;
            ring.hypot(k as f64 - 9.5) <= 5.0
        })
    }

    pub fn checkerboard() -> Self {
        Scene::new([6, 5, 4], |[i, j, k]| (i + j + k) % 2 == 0)
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
        Surface::of(&self.labels, 1, &self.geometry, &Options { world: World::Ras, smoothing_mm, reduction }).unwrap()
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
    let places: std::collections::HashSet<_> = surface.points.iter().map(|point| point.map(f64::to_bits)).collect();
    assert_eq!(places.len(), surface.points.len());
    surface.points.len() as i64 - edges.len() as i64 / 2 + surface.triangles.len() as i64
}

#[test]
fn euler_characteristics_are_those_of_sphere_torus_and_shell() {
    for smoothing in [0.0, 3.0] {
        assert_eq!(euler_of_closed_manifold(&Scene::ball(24, 9.0).surface(smoothing, 0.0)), 2);
        assert_eq!(euler_of_closed_manifold(&Scene::torus().surface(smoothing, 0.0)), 0);
        let shell = Scene::new([24; 3], |place| (5.0..=9.5).contains(&distance_to_middle(place, 24)));
        assert_eq!(euler_of_closed_manifold(&shell.surface(smoothing, 0.0)), 4);
    }
}

#[test]
fn any_voxels_at_all_have_a_closed_manifold_surface_of_their_volume() {
    for (seed, share) in [(1, 0.1), (2, 0.3), (3, 0.5), (4, 0.7), (5, 0.9), (6, 0.5)] {
        let scene = Scene::noise([17, 13, 11], seed, share).spaced([0.7, 0.7, 3.0]);
        for smoothing in [0.0, 1.0, 5.0] {
            let surface = scene.surface(smoothing, 0.0);
            euler_of_closed_manifold(&surface);
            let relative = surface.volume_mm3() / scene.volume_mm3() - 1.0;
            assert!(relative.abs() < 0.02, "{share} {smoothing}: {relative}");
            assert!(surface.deviation_mm() <= scene.half_diagonal());
        }
    }
}
