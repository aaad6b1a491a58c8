//! Structures against brute force over their voxels, in every kind of grid.

use super::testing::{blobs, grids, random};
use super::*;
use crate::geometry::norm;

const DIMS: [usize; 3] = [9, 8, 7];

/// The voxels of random structures: dense, sparse, a solid block, a single voxel.
fn shapes(seed: u64) -> Vec<Vec<u8>> {
    let block = (0..DIMS.iter().product()).map(|v| {
        let [i, j, k] = [v % DIMS[0], v / DIMS[0] % DIMS[1], v / (DIMS[0] * DIMS[1])];
        u8::from((2..8).contains(&i) && (1..7).contains(&j) && (1..6).contains(&k))
    });
    let mut single = vec![0; DIMS.iter().product()];
    single[(3 * DIMS[1] + 4) * DIMS[0] + 5] = 1;
    vec![blobs(seed, DIMS, 0.5), blobs(seed + 100, DIMS, 0.05), block.collect(), single]
}

fn distance(a: [f64; 3], b: [f64; 3]) -> f64 {
    norm(std::array::from_fn(|c| a[c] - b[c]))
}

/// A structure by its definition: every voxel face, one by one.
struct Definition {
    faces: Vec<Place>,
    frame: Frame,
    occupancy: Occupancy,
}

impl Definition {
    fn of(labels: &[u8], geometry: &Geometry) -> Self {
        let frame = Frame::of(geometry).unwrap();
        let occupancy = Occupancy::of(labels, 1, geometry.dims).unwrap().unwrap();
        let mut faces = Vec::new();
        let [i, j, k] = geometry.dims.map(|n| n as i64);
        for voxel in (0..=k).flat_map(|k| (0..=j).flat_map(move |j| (0..=i).map(move |i| [i, j, k]))) {
            for axis in 0..3 {
                let mut before = voxel;
                before[axis] -= 1;
                if occupancy.contains(voxel) != occupancy.contains(before) {
                    let low = voxel.map(|c| c as u16);
                    let face = faces::Face { low, high: std::array::from_fn(|c| low[c] + u16::from(c != axis)) };
                    faces.push(Place::of(&face, &frame));
                }
            }
        }
        Definition { faces, frame, occupancy }
    }

    fn is_inside(&self, point: [f64; 3]) -> bool {
        self.occupancy.contains_place(self.frame.index(self.frame.place(point)))
    }

    fn distance(&self, point: [f64; 3]) -> f64 {
        let place = self.frame.place(point);
        let nearest = self.faces.iter().map(|face| face.squared(place)).fold(f64::INFINITY, f64::min).sqrt();
        if self.is_inside(point) { -nearest } else { nearest }
    }

    /// At many places along a line, the ends among them.
    fn along(&self, from: [f64; 3], to: [f64; 3]) -> Vec<(f64, f64)> {
        let at = |t: f64| std::array::from_fn(|c| from[c] + t * (to[c] - from[c]));
        (0..=400).map(|step| f64::from(step) / 400.0).map(|t| (t, self.distance(at(t)))).collect()
    }
}

/// Points in, around and far from a volume.
fn point(geometry: &Geometry, r: &mut impl FnMut(f64, f64) -> f64) -> [f64; 3] {
    let far = if r(0.0, 1.0) < 0.1 { 100.0 } else { 0.3 };
    geometry.ijk_to_world.apply(geometry.dims.map(|n| n as f64 * r(-far, 1.0 + far)))
}

/// A corner of voxels.
fn corner(geometry: &Geometry, r: &mut impl FnMut(f64, f64) -> f64) -> [f64; 3] {
    geometry.ijk_to_world.apply(geometry.dims.map(|n| r(-1.0, n as f64 + 1.0).round() - 0.5))
}

#[test]
fn distances_are_those_of_the_definition() {
    let mut r = random(41);
    let (mut inside, mut outside) = (0, 0);
    for (name, geometry) in grids(DIMS) {
        for (shape, labels) in shapes(1).iter().enumerate() {
            let (structure, definition) = (Structure::of(labels, 1, &geometry).unwrap().unwrap(), Definition::of(labels, &geometry));
            for turn in 0..300 {
                let point = if turn % 10 == 0 { corner(&geometry, &mut r) } else { point(&geometry, &mut r) };
                let (found, expected) = (structure.nearest(point), definition.distance(point));
                let scale = 1e-9 * (1.0 + norm(point));
                assert!((found.distance_mm - expected).abs() < scale, "{name} {shape} {point:?}: {found:?}, not {expected}");
                assert!((distance(found.point, point) - expected.abs()).abs() < scale);
                assert!(definition.distance(found.point).abs() < scale, "the nearest point lies on the surface");
                if expected < 0.0 {
                    inside += 1;
                } else {
                    outside += 1;
                }
            }
        }
    }
    assert!(inside > 150 && outside > 400, "{inside} inside, {outside} outside");
}

#[test]
fn the_approach_of_a_line_is_that_of_the_definition() {
    let mut r = random(43);
    let (mut crossing, mut clear) = (0, 0);
    for (name, geometry) in grids(DIMS) {
        for (shape, labels) in shapes(7).iter().enumerate() {
            let (structure, definition) = (Structure::of(labels, 1, &geometry).unwrap().unwrap(), Definition::of(labels, &geometry));
            for turn in 0..100 {
                let [from, mut to] = [point(&geometry, &mut r), point(&geometry, &mut r)];
                match turn % 10 {
                    0 => to = from,
                    1 => to[0] = from[0],
                    _ => {}
                }
                let what = format!("{name} {shape} {from:?} {to:?}");
                let (found, along) = (structure.approach(from, to), definition.along(from, to));
                let (length, scale) = (distance(from, to), 1e-9 * (1.0 + norm(from) + norm(to)));
                let least = along.iter().map(|(_, d)| *d).fold(f64::INFINITY, f64::min);
                // Nothing along the line is nearer (or deeper, but for the tolerance), and the answer is a place of the line.
                assert!(
                    found.distance_mm <= least + scale + if least < 0.0 { structure.tolerance } else { 0.0 },
                    "{what}: {found:?}, not {least}"
                );
                assert!((definition.distance(found.at) - found.distance_mm).abs() < scale, "{what}: {found:?}");
                assert!((distance(found.at, found.nearest) - found.distance_mm.abs()).abs() < scale, "{what}: {found:?}");
                let t = if length > 0.0 { distance(from, found.at) / length } else { 0.0 };
                let on_line: [f64; 3] = std::array::from_fn(|c| from[c] + t * (to[c] - from[c]));
                assert!(distance(on_line, found.at) < scale, "{what}: {found:?}");
                assert!(found.crosses || least >= -scale, "{what}: {found:?}");
                let share = along.iter().filter(|(_, d)| *d < 0.0).count() as f64 / along.len() as f64;
                assert!(
                    (found.length_inside_mm - share * length).abs() <= 0.06 * length + scale,
                    "{what}: {found:?}, not {share} of {length}"
                );
                if found.crosses {
                    crossing += 1;
                } else {
                    clear += 1;
                }
            }
        }
    }
    assert!(crossing > 400 && clear > 400, "{crossing} crossing, {clear} clear");
}

#[test]
fn the_first_place_too_near_is_that_of_the_definition() {
    let mut r = random(47);
    let (mut some, mut none) = (0, 0);
    for (name, geometry) in grids(DIMS) {
        for (shape, labels) in shapes(9).iter().enumerate() {
            let (structure, definition) = (Structure::of(labels, 1, &geometry).unwrap().unwrap(), Definition::of(labels, &geometry));
            for turn in 0..100 {
                let [from, mut to] = [point(&geometry, &mut r), point(&geometry, &mut r)];
                if turn % 10 == 0 {
                    to = from;
                }
                let reach = if turn % 5 == 0 { 0.0 } else { r(0.0, 4.0) };
                let what = format!("{name} {shape} {from:?} {to:?} {reach}");
                let scale = 1e-8 * (1.0 + norm(from) + norm(to));
                let (found, along) = (structure.first_within(from, to, reach), definition.along(from, to));
                let too_near = along.iter().find(|(_, d)| *d < reach - scale).map(|(t, _)| t * distance(from, to));
                match found {
                    Some(contact) => {
                        assert!((definition.distance(contact.at)) <= reach + scale, "{what}: {contact:?}");
                        assert!(too_near.is_none_or(|along| contact.along_mm <= along + scale), "{what}: {contact:?}, not {too_near:?}");
                        assert!((distance(from, contact.at) - contact.along_mm).abs() < scale);
                        some += 1;
                    }
                    None => {
                        assert_eq!(too_near, None, "{what}");
                        none += 1;
                    }
                }
            }
        }
    }
    assert!(some > 400 && none > 300, "{some} and {none}");
}

#[test]
fn a_structure_that_is_absent_is_none() {
    let geometry = grids(DIMS)[0].1;
    assert!(Structure::of(&vec![0; DIMS.iter().product()], 1, &geometry).unwrap().is_none());
}

#[test]
fn the_background_is_a_structure_with_the_border_of_the_volume() {
    let geometry = grids([5, 5, 5])[0].1;
    let structure = Structure::of(&[0; 125], 0, &geometry).unwrap().unwrap();
    assert_eq!(structure.nearest([2.0, 2.0, 2.0]).distance_mm, -2.5);
    assert_eq!(structure.nearest([2.0, 2.0, 14.5]), Nearest { distance_mm: 10.0, point: [2.0, 2.0, 4.5] });
}

#[test]
fn points_far_from_the_volume_have_their_distance() {
    let geometry = grids([5, 5, 5])[0].1;
    let structure = Structure::of(&[1; 125], 1, &geometry).unwrap().unwrap();
    assert_eq!(structure.nearest([1e9 + 4.5, 2.0, 2.0]).distance_mm, 1e9);
    let approach = structure.approach([-1e6, 10.0, 2.0], [1e6, 10.0, 2.0]);
    assert!((approach.distance_mm - 5.5).abs() < 1e-9 && !approach.crosses);
}
