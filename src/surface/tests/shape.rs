//! What a surface is: closed, 2-manifold, oriented, at its place.

use super::*;

/// Affines to put voxels by: axis-aligned, left-handed, oblique and left-handed, sheared.
const PLACES: [[f64; 16]; 4] = [
    [0.7, 0., 0., -10., 0., 0.7, 0., 20., 0., 0., 3., 900., 0., 0., 0., 1.],
    [-0.7, 0., 0., 10., 0., 0.8, 0., 20., 0., 0., 1.25, -5., 0., 0., 0., 1.],
    [0.1, 0.8, 0.2, -5., 0.9, -0.1, 0.3, 7., 0.2, 0.1, 2.4, 11., 0., 0., 0., 1.],
    [1., 0.3, 0., 1., 0., 1., 0.4, 2., 0., 0., 1.5, 3., 0., 0., 0., 1.],
];

/// Fails unless every triangle has an inside voxel behind it and an outside one before it: of exact surfaces.
fn assert_looks_outward(surface: &Surface, scene: &Scene) {
    let voxel_edge = scene.geometry.ijk_to_world.spacing().into_iter().fold(f64::INFINITY, f64::min);
    for triangle in surface.triangles() {
        let [a, b, c] = triangle.map(|point| surface.points()[point as usize]);
        let to = |end: [f64; 3]| [0, 1, 2].map(|axis| end[axis] - a[axis]);
        let normal = crate::geometry::cross(to(b), to(c));
        let beside = |mm: f64| [0, 1, 2].map(|axis| (a[axis] + b[axis] + c[axis]) / 3.0 + mm * normal[axis] / norm(normal));
        assert!(scene.is_inside(beside(-voxel_edge / 5.0)) && !scene.is_inside(beside(voxel_edge / 5.0)), "{triangle:?}");
    }
}

fn torus() -> Scene {
    Scene::new([40, 40, 20], |[i, j, k]| {
        let ring = (i as f64 - 19.5).hypot(j as f64 - 19.5) - 12.0;
        ring.hypot(k as f64 - 9.5) <= 5.0
    })
}

fn checkerboard() -> Scene {
    Scene::new([6, 5, 4], |[i, j, k]| (i + j + k) % 2 == 0)
}

#[test]
fn euler_characteristics_are_those_of_sphere_torus_and_shell() {
    let shell = Scene::new([24; 3], |place| (5.0..=9.5).contains(&distance_to_middle(place, 24)));
    for (scene, euler) in [(Scene::ball(24, 9.0), 2), (torus(), 0), (shell, 4)] {
        for (smoothing, reduction) in [(0.0, 0.0), (3.0, 0.0), (0.0, 0.9), (3.0, 0.9)] {
            assert_eq!(euler_of_closed_manifold(&scene.surface(smoothing, reduction)), euler, "{smoothing} {reduction}");
        }
    }
}

#[test]
fn any_voxels_at_all_have_a_closed_manifold_surface_of_their_volume() {
    for (seed, share) in [(1, 0.1), (2, 0.3), (3, 0.5), (4, 0.7), (5, 0.9), (6, 0.5)] {
        let scene = Scene::noise([17, 13, 11], seed, share).spaced([0.7, 0.7, 3.0]);
        for (smoothing, reduction) in [(0.0, 0.0), (1.0, 0.0), (5.0, 0.0), (0.0, 0.5), (2.0, 0.9)] {
            let surface = scene.surface(smoothing, reduction);
            euler_of_closed_manifold(&surface);
            let relative = surface.volume_mm3() / scene.volume_mm3() - 1.0;
            assert!(relative.abs() < 0.01, "{share} {smoothing} {reduction}: {relative}");
        }
    }
}

#[test]
fn voxels_that_touch_along_an_edge_or_at_a_corner_are_apart() {
    for far in [[1, 1, 0], [0, 1, 1], [1, 0, 1], [1, 1, 1]] {
        let scene = Scene::new([2; 3], |place| place == [0; 3] || place == far);
        assert_eq!(euler_of_closed_manifold(&scene.surface(0.0, 0.0)), 4, "{far:?}");
        assert_eq!(euler_of_closed_manifold(&scene.surface(2.0, 0.0)), 4, "{far:?}");
    }
    // Every one of its 60 voxels is a surface of its own.
    let scene = checkerboard();
    assert_eq!(euler_of_closed_manifold(&scene.surface(0.0, 0.0)), 2 * 60);
}

#[test]
fn a_hole_that_is_pinched_from_both_sides_has_no_edge_of_four_triangles() {
    // Two voxels that touch along an edge, connected above and below: kept apart, the edge would be that of two rings.
    let scene = Scene::new([2, 2, 3], |[i, j, k]| if k == 1 { i == j } else { [i, j] != [0, 1] });
    for smoothing in [0.0, 1.0, 5.0] {
        // Joined, the hole between them is closed: a ball.
        assert_eq!(euler_of_closed_manifold(&scene.surface(smoothing, 0.0)), 2);
    }
    // Connected above only, they stay apart.
    let open = Scene::new([2, 2, 2], |[i, j, k]| if k == 1 { i == j } else { [i, j] != [0, 1] });
    assert_eq!(euler_of_closed_manifold(&open.surface(0.0, 0.0)), 2);
}

#[test]
fn a_single_voxel_is_a_box_of_twelve_triangles() {
    let scene = Scene::new([1; 3], |_| true).spaced([0.7, 0.8, 3.0]);
    let surface = scene.surface(0.0, 0.0);
    assert_eq!((surface.points().len(), surface.triangles().len(), euler_of_closed_manifold(&surface)), (8, 12, 2));
    assert!((surface.volume_mm3() - 0.7 * 0.8 * 3.0).abs() < 1e-9);
    let smooth = scene.surface(4.0, 0.0);
    assert_eq!(euler_of_closed_manifold(&smooth), 2);
    assert!((smooth.volume_mm3() / scene.volume_mm3() - 1.0).abs() < 0.002);
}

#[test]
fn a_structure_is_closed_at_the_border_of_the_volume() {
    let full = Scene::new([9, 7, 5], |_| true);
    for (smoothing, reduction) in [(0.0, 0.0), (3.0, 0.0), (0.0, 0.99)] {
        let surface = full.surface(smoothing, reduction);
        assert_eq!(euler_of_closed_manifold(&surface), 2);
        assert!((surface.volume_mm3() / full.volume_mm3() - 1.0).abs() < 0.002);
    }
    // The sides of a box are flat: next to nothing is needed for them.
    let few = full.surface(0.0, 0.8);
    assert!(few.triangles().len() <= 116 && few.deviation_mm() < 1e-9, "{} {}", few.triangles().len(), few.deviation_mm());
}

#[test]
fn an_exact_surface_is_that_of_the_voxels_wherever_they_lie() {
    for place in PLACES {
        let scene = Scene::ball(9, 3.3).placed(place);
        let surface = scene.surface(0.0, 0.0);
        euler_of_closed_manifold(&surface);
        assert_looks_outward(&surface, &scene);
        assert_eq!(surface.deviation_mm(), 0.0);
        assert!((surface.volume_mm3() / scene.volume_mm3() - 1.0).abs() < 1e-9);
        let inverse = scene.geometry.ijk_to_world.inverse().unwrap();
        for &point in surface.points() {
            // Corners of voxels: halves in indices.
            assert!(inverse.apply(point).into_iter().all(|index| ((index - 0.5) - (index - 0.5).round()).abs() < 1e-9));
        }
    }
}

#[test]
fn volume_is_kept_and_positive_wherever_the_voxels_lie() {
    for place in PLACES {
        let scene = Scene::ball(15, 5.5).placed(place);
        for (smoothing, reduction) in [(0.0, 0.0), (1.0, 0.0), (3.0, 0.0), (3.0, 0.7)] {
            let surface = scene.surface(smoothing, reduction);
            assert_eq!(euler_of_closed_manifold(&surface), 2);
            assert!((surface.volume_mm3() / scene.volume_mm3() - 1.0).abs() < 0.002, "{place:?} {smoothing}");
        }
    }
}

#[test]
fn the_other_world_has_the_same_surface_with_two_axes_negated() {
    for place in PLACES {
        let scene = Scene::ball(9, 3.3).placed(place);
        let (ras, lps) = (scene.surface(1.5, 0.5), scene.surface_in(World::Lps, 1.5, 0.5));
        assert_eq!((ras.world(), lps.world()), (World::Ras, World::Lps));
        // Up to rounding, collapses are the same ones, too.
        assert_eq!(ras.triangles().len(), lps.triangles().len());
        let negated: Vec<_> = scene.surface(1.5, 0.0).points().iter().map(|&[x, y, z]| [-x, -y, z]).collect();
        let whole = scene.surface_in(World::Lps, 1.5, 0.0);
        for (a, b) in negated.iter().flatten().zip(whole.points().iter().flatten()) {
            assert!((a - b).abs() < 1e-9);
        }
        assert!((lps.volume_mm3() / ras.volume_mm3() - 1.0).abs() < 1e-6);
    }
    // A geometry that is itself in LPS.
    let mut scene = Scene::ball(9, 3.3).spaced([0.7, 0.7, 3.0]);
    let expected = scene.surface(1.0, 0.0);
    scene.geometry.ijk_to_world = scene.geometry.ijk_to_world.between(World::Ras, World::Lps);
    scene.geometry.world = World::Lps;
    assert_eq!(scene.surface(1.0, 0.0), expected);
}

#[test]
fn the_bits_are_the_same_on_any_number_of_threads() {
    let scene = Scene::noise([20, 20, 20], 9, 0.6).spaced([0.7, 0.7, 3.0]);
    let alone = scene.surface(2.0, 0.5);
    let together: Vec<Surface> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| scene.surface(2.0, 0.5))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(together.iter().all(|surface| *surface == alone));
}

#[test]
fn an_absent_label_and_bad_arguments_are_refused() {
    let Scene { labels, geometry } = Scene::ball(5, 2.0);
    let kind = |labels: &[u8], value: u8, geometry: &Geometry, smoothing_mm: f64, reduction: f64| {
        Surface::of(labels, value, geometry, &Options { world: World::Ras, smoothing_mm, reduction }).unwrap_err().kind()
    };
    assert_eq!(kind(&labels, 2, &geometry, 0.0, 0.0), ErrorKind::LabelAbsent);
    assert_eq!(kind(&labels[1..], 1, &geometry, 0.0, 0.0), ErrorKind::InvalidArgument);
    for bad in [-1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(kind(&labels, 1, &geometry, bad, 0.0), ErrorKind::InvalidArgument);
        assert_eq!(kind(&labels, 1, &geometry, 0.0, bad), ErrorKind::InvalidArgument);
    }
    assert_eq!(kind(&labels, 1, &geometry, 0.0, 1.0), ErrorKind::InvalidArgument);
    assert_eq!(kind(&labels, 1, &Geometry { dims: [0, 5, 5], ..geometry }, 0.0, 0.0), ErrorKind::InvalidGeometry);
}
