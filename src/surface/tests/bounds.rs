//! How far a surface may be from the voxels, and how smooth it is.

use super::*;
use crate::geometry::{cross, dot};

fn minus(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [0, 1, 2].map(|axis| a[axis] - b[axis])
}

/// From a point to a triangle: to its plane if it lies over it, else to the nearest edge.
fn distance_to_triangle(point: [f64; 3], [a, b, c]: [[f64; 3]; 3]) -> f64 {
    let normal = cross(minus(b, a), minus(c, a));
    let over = |from: [f64; 3], to: [f64; 3]| dot(cross(minus(to, from), minus(point, from)), normal) >= 0.0;
    if over(a, b) && over(b, c) && over(c, a) {
        return (dot(minus(point, a), normal) / norm(normal)).abs();
    }
    let to_edge = |from: [f64; 3], to: [f64; 3]| {
        let edge = minus(to, from);
        let at = (dot(minus(point, from), edge) / dot(edge, edge)).clamp(0.0, 1.0);
        norm([0, 1, 2].map(|axis| from[axis] + at * edge[axis] - point[axis]))
    };
    to_edge(a, b).min(to_edge(b, c)).min(to_edge(c, a))
}

/// The largest distance from a sample of one surface (corners, middles of edges and of triangles) to another surface.
fn farthest(from: &Surface, to: &Surface) -> f64 {
    let corners = |surface: &Surface, triangle: [u32; 3]| triangle.map(|point| surface.points()[point as usize]);
    let targets: Vec<_> = to.triangles().iter().map(|&triangle| corners(to, triangle)).collect();
    let samples = from.triangles().iter().flat_map(|&triangle| {
        let corners = corners(from, triangle);
        [[1., 0., 0.], [0.5, 0.5, 0.], [0., 0.5, 0.5], [0.5, 0., 0.5], [0.3, 0.3, 0.4]]
            .map(|shares| [0, 1, 2].map(|axis| (0..3).map(|at| shares[at] * corners[at][axis]).sum::<f64>()))
    });
    let distance = |sample| targets.iter().map(|&target| distance_to_triangle(sample, target)).fold(f64::INFINITY, f64::min);
    samples.map(distance).fold(0.0, f64::max)
}

fn scenes() -> Vec<Scene> {
    vec![
        Scene::ball(9, 3.6),
        Scene::ball(9, 3.6).spaced([0.7, 0.7, 3.0]),
        Scene::noise([5, 5, 4], 3, 0.4).spaced([0.7, 0.9, 2.0]),
        Scene::ball(8, 2.9).placed([1., 0.5, 0., 1., 0., 1., -0.6, 2., 0., 0., 1.5, 3., 0., 0., 0., 1.]),
    ]
}

#[test]
fn smooth_surface_and_voxels_lie_within_half_a_diagonal_of_each_other() {
    for scene in scenes() {
        let exact = scene.surface(0.0, 0.0);
        for smoothing in [0.7, 2.0, 50.0] {
            let surface = scene.surface(smoothing, 0.0);
            let bound = surface.deviation_mm();
            // Something is smoothed, and not more than allowed.
            assert!(bound > 0.0 && bound <= scene.half_diagonal(), "{bound}");
            assert!(farthest(&surface, &exact) <= bound + 1e-9);
            assert!(farthest(&exact, &surface) <= bound + 1e-9);
        }
    }
}

#[test]
fn what_is_left_of_the_triangles_lies_within_half_the_shortest_edge_of_all_of_them() {
    for scene in scenes() {
        let tolerance = scene.geometry.ijk_to_world.spacing().into_iter().fold(f64::INFINITY, f64::min) / 2.0;
        for smoothing in [0.0, 2.0] {
            let whole = scene.surface(smoothing, 0.0);
            for reduction in [0.4, 0.99] {
                let surface = scene.surface(smoothing, reduction);
                euler_of_closed_manifold(&surface);
                let bound = surface.deviation_mm() - whole.deviation_mm();
                assert!(surface.triangles().len() < whole.triangles().len());
                assert!(bound <= tolerance + 1e-9);
                assert!(farthest(&surface, &whole) <= bound + 1e-9);
                assert!(farthest(&whole, &surface) <= bound + 1e-9);
                assert!((surface.volume_mm3() / whole.volume_mm3() - 1.0).abs() < 1e-9);
            }
        }
    }
}

#[test]
fn the_share_that_is_asked_for_is_taken_away_and_never_more() {
    let scene = Scene::ball(40, 17.0).spaced([0.7; 3]);
    let all = scene.surface(2.0, 0.0).triangles().len();
    for reduction in [0.1, 0.5, 0.8] {
        let left = scene.surface(2.0, reduction).triangles().len();
        let asked = all as f64 * (1.0 - reduction);
        assert!((asked..asked + 2.0).contains(&(left as f64)), "{left} of {all} for {reduction}");
    }
}

/// The area-weighted mean angle, in degrees, between the triangles of a surface and those of a ball around `middle`.
fn mean_angle_to_ball(surface: &Surface, middle: [f64; 3]) -> f64 {
    let (mut sum, mut area) = (0.0, 0.0);
    for triangle in surface.triangles() {
        let [a, b, c] = triangle.map(|point| surface.points()[point as usize]);
        let normal = cross(minus(b, a), minus(c, a));
        let outward = minus([0, 1, 2].map(|axis| (a[axis] + b[axis] + c[axis]) / 3.0), middle);
        sum += norm(normal) * (dot(normal, outward) / norm(normal) / norm(outward)).clamp(-1.0, 1.0).acos().to_degrees();
        area += norm(normal);
    }
    sum / area
}

#[test]
fn steps_are_smoothed_away_also_those_of_thick_slices() {
    let fine = Scene::ball(40, 17.0);
    let middle = [19.5; 3];
    assert!(mean_angle_to_ball(&fine.surface(0.0, 0.0), middle) > 40.0);
    assert!(mean_angle_to_ball(&fine.surface(3.0, 0.0), middle) < 2.0);
    let thick = Scene::new([40, 40, 12], |[i, j, k]| norm([i as f64 - 19.5, j as f64 - 19.5, 4.0 * (k as f64 - 5.5)]) <= 17.0);
    let thick = thick.placed(Affine::from_spacing([1.0, 1.0, 4.0], [0.0; 3]).0);
    let middle = [19.5, 19.5, 22.0];
    assert!(mean_angle_to_ball(&thick.surface(0.0, 0.0), middle) > 40.0);
    assert!(mean_angle_to_ball(&thick.surface(6.0, 0.0), middle) < 8.0);
}

#[test]
fn a_thin_rod_is_not_thinned_for_a_thick_body_of_the_same_piece() {
    let scene = Scene::rod_on_ball();
    let middle_part = 20.0..32.0;
    // The rod's volume there, from its voxels: of a rod as thick as that.
    let voxels = (0..scene.labels.len()).filter(|&at| scene.labels[at] == 1 && middle_part.contains(&((at % 40) as f64))).count();
    let slant = norm([1.0, 0.23, 0.11]);
    let radius = (voxels as f64 / 12.0 / slant / std::f64::consts::PI).sqrt();
    for smoothing in [1.0, 2.0, 4.0] {
        let surface = scene.surface(smoothing, 0.0);
        // Indices begin half a voxel before the first corner.
        let part: Vec<f64> =
            surface.points().iter().filter(|point| middle_part.contains(&point[0])).map(|&point| Scene::from_rod_axis(point)).collect();
        let mean = part.iter().sum::<f64>() / part.len() as f64;
        assert!((mean / radius - 1.0).abs() < 0.06, "smoothing {smoothing}: {mean} of {radius}");
    }
}

#[test]
fn smoothing_of_any_strength_ends_and_stays_within_its_bound() {
    let scene = Scene::ball(11, 4.2);
    for smoothing in [1e-300, 1e-6, 0.3, 1e3, 1e300] {
        let surface = scene.surface(smoothing, 0.0);
        assert_eq!(euler_of_closed_manifold(&surface), 2);
        assert!(surface.deviation_mm() <= scene.half_diagonal());
    }
    assert_eq!(scene.surface(1e-6, 0.0), scene.surface(0.0, 0.0));
}
