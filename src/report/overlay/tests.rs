use super::*;
use crate::geometry::{Affine, Geometry, World};

const RED: [u8; 3] = [255, 0, 0];
const BLUE: [u8; 3] = [0, 0, 255];

fn labels() -> Vec<DrawnLabel> {
    let label = |value, name: &str, color| DrawnLabel { value, name: name.into(), color };
    vec![label(1, "bone", RED), label(2, "nerve", BLUE)]
}

fn whole() -> Options {
    Options { margin_mm: None, window: Window { level: 0.0, width: 100.0 }, ..Options::default() }
}

/// A patient of 60×80×100 mm (right to left, front to back, feet to head) in voxels of 2×4×5 mm, whose voxels say where
/// they lie; stored along the axes that `letters` name.
struct Patient {
    geometry: Geometry,
    /// The patient's voxel at each offset of the array: towards Left, Posterior, Superior.
    places: Vec<[usize; 3]>,
}

const VOXELS: [usize; 3] = [30, 20, 20];
const SPACING: [f64; 3] = [2.0, 4.0, 5.0];

impl Patient {
    fn stored(letters: &str) -> Patient {
        let axes: Vec<(usize, bool)> = letters
            .chars()
            .map(|letter| match letter {
                'L' | 'R' => (0, letter == 'R'),
                'P' | 'A' => (1, letter == 'A'),
                _ => (2, letter == 'I'),
            })
            .collect();
        let dims = [0, 1, 2].map(|axis: usize| VOXELS[axes[axis].0]);
        let mut matrix = [0.0; 16];
        matrix[15] = 1.0;
        for (column, &(row, reversed)) in axes.iter().enumerate() {
            matrix[4 * row + column] = SPACING[row] * if reversed { -1.0 } else { 1.0 };
        }
        let places = (0..dims.iter().product()).map(|at: usize| {
            let index = [at % dims[0], at / dims[0] % dims[1], at / dims[0] / dims[1]];
            let mut place = [0; 3];
            for (axis, &(of, reversed)) in axes.iter().enumerate() {
                place[of] = if reversed { dims[axis] - 1 - index[axis] } else { index[axis] };
            }
            place
        });
        Patient { geometry: Geometry { dims, ijk_to_world: Affine(matrix), world: World::Lps }, places: places.collect() }
    }

    fn map<T>(&self, value: impl Fn([usize; 3]) -> T) -> Vec<T> {
        self.places.iter().map(|place| value(*place)).collect()
    }
}

/// A ramp in every direction, and masks that overlap in part.
fn drawn(patient: &Patient, options: &Options) -> Picture {
    let ct = patient.map(|[x, y, z]| (3 * x + y + 2 * z) as i16 - 60);
    let automatic = patient.map(|[x, y, z]| if x < 8 && y < 9 { 1 } else { u8::from(z > 12 && x > 20) * 2 });
    let manual = patient.map(|[x, y, z]| if x < 10 && y < 7 { 1 } else { u8::from(z > 14 && x > 18) * 2 });
    let volume = Volume::from_slice(&ct, patient.geometry).unwrap();
    three_planes(&volume, Some(&automatic), Some(&manual), &labels(), None, options).unwrap()
}

#[test]
fn a_picture_is_the_same_however_the_volume_is_stored() {
    for options in [whole(), Options::default()] {
        let expected = drawn(&Patient::stored("LPS"), &options);
        for letters in ["RAS", "PSL", "IRA", "SLA", "ALI", "RPS"] {
            assert!(drawn(&Patient::stored(letters), &options) == expected, "{letters}");
        }
    }
}

/// The panels of a picture that is black elsewhere: left, top, width, height, found by a CT that is white all over.
fn panels(patient: &Patient) -> Vec<[u32; 4]> {
    let ct = patient.map(|_| 1000i16);
    let picture = three_planes(&Volume::from_slice(&ct, patient.geometry).unwrap(), None, None, &[], None, &whole()).unwrap();
    let white = |x: u32, y: u32| {
        let at = 3 * (y * picture.width + x) as usize;
        picture.rgb[at..at + 3] == [255; 3]
    };
    let middle = LINE + (picture.height - LINE - 2 * GAP) / 2 + 20;
    let columns: Vec<u32> = (0..picture.width).filter(|&x| white(x, middle)).collect();
    let mut panels: Vec<[u32; 4]> = Vec::new();
    for x in columns {
        match panels.last_mut() {
            Some(panel) if panel[0] + panel[2] == x => panel[2] += 1,
            _ => {
                let column: Vec<u32> = (LINE..picture.height).filter(|&y| white(x, y)).collect();
                panels.push([x, column[0], 1, column.len() as u32]);
            }
        }
    }
    panels
}

#[test]
fn panels_have_the_patients_proportions_whatever_the_spacing() {
    let panels = panels(&Patient::stored("LPS"));
    let sizes: Vec<[f64; 2]> = panels.iter().map(|panel| [f64::from(panel[2]), f64::from(panel[3])]).collect();
    let scale = sizes[0][0] / 60.0;
    for (size, expected) in sizes.iter().zip([[60.0, 80.0], [60.0, 100.0], [80.0, 100.0]]) {
        assert!((0..2).all(|side| (size[side] - expected[side] * scale).abs() <= 1.5), "{sizes:?}");
    }
}

#[test]
fn left_is_on_the_right_anterior_and_superior_are_up() {
    let patient = Patient::stored("RAS");
    let panels = panels(&patient);
    // The brightest corner of each panel: Left, Anterior, Superior.
    for (panel, [right, down], bright) in [
        (panels[0], [true, false], [true, true, false]),
        (panels[1], [true, false], [true, false, true]),
        (panels[2], [false, false], [false, true, true]),
    ] {
        let [left, anterior, superior] = bright;
        let ct = patient.map(|[x, y, z]| {
            let here = (!left || x > 20) && (!anterior || y < 6) && (!superior || z > 14);
            if here { 100i16 } else { -100 }
        });
        let picture = three_planes(&Volume::from_slice(&ct, patient.geometry).unwrap(), None, None, &[], None, &whole()).unwrap();
        let at = |x: u32, y: u32| picture.rgb[3 * (y * picture.width + x) as usize];
        let inset = 12;
        let x = [panel[0] + inset, panel[0] + panel[2] - inset];
        let y = [panel[1] + inset, panel[1] + panel[3] - inset];
        for (column, row) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let expected = (column == 1) == right && (row == 1) == down;
            assert_eq!(at(x[column], y[row]) > 128, expected, "{panel:?} {column} {row}");
        }
    }
}

#[test]
fn the_automatic_mask_is_filled_and_the_manual_one_outlined() {
    let patient = Patient::stored("LPS");
    let ct = patient.map(|_| 0i16);
    let volume = Volume::from_slice(&ct, patient.geometry).unwrap();
    let mask = patient.map(|[x, ..]| u8::from(x > 14) + u8::from(x > 22) * 6);
    let count = |automatic: Option<&[u8]>, manual: Option<&[u8]>, color: [u8; 3]| {
        let picture = three_planes(&volume, automatic, manual, &labels(), None, &whole()).unwrap();
        let below_the_panels = 3 * (picture.width * (picture.height - GAP - LINE)) as usize;
        picture.rgb[..below_the_panels].chunks(3).filter(|pixel| *pixel == color).count()
    };
    let (fill, outline) = ([198, 57, 57], Options::default().manual);
    let filled = count(Some(&mask), None, fill);
    assert!(filled > 10_000, "{filled}");
    assert_eq!((count(Some(&mask), None, outline), count(None, Some(&mask), fill)), (0, 0));
    let outlined = count(None, Some(&mask), outline);
    assert!(outlined > 500 && outlined < filled / 10, "{outlined}");
    // The value 7 is no drawn label.
    let undrawn = patient.map(|_| 7u8);
    assert_eq!((count(Some(&undrawn), None, fill), count(None, Some(&undrawn), outline)), (0, 0));
}

#[test]
fn the_planes_that_show_most_of_every_label_are_chosen_and_of_equals_the_middle_one() {
    // A large bone in slices 0 to 9, a nerve of one voxel in slice 11: it counts as much as all of the bone.
    let dims = [6, 6, 12];
    let mask: Vec<u8> = (0..6 * 6 * 12).map(|at| if at == 11 * 36 + 2 * 6 + 4 { 2 } else { u8::from(at < 360) }).collect();
    let extent = Extent::of(&mask, dims, &labels());
    assert_eq!(extent.fullest_planes([false; 3]), [4, 2, 11]);
    assert_eq!([0, 1, 2].map(|axis| extent.bounds(axis)), [0..6, 0..6, 0..12]);
    let all = Extent::of(&[1; 432], dims, &labels());
    assert_eq!((all.fullest_planes([false; 3]), all.fullest_planes([true; 3])), ([2, 2, 5], [3, 3, 6]));
    assert!(!Extent::of(&[9; 432], dims, &labels()).any());
}

#[test]
fn volumes_of_any_shape_and_value_are_drawn() {
    let draw = |dims: [usize; 3], spacing: [f64; 3], value: f64, options: &Options| {
        let geometry = Geometry { dims, ijk_to_world: Affine::from_spacing(spacing, [0.0; 3]), world: World::Ras };
        let (ct, mask) = (vec![value; geometry.voxel_count()], vec![2; geometry.voxel_count()]);
        three_planes(&Volume::from_slice(&ct, geometry).unwrap(), Some(&mask), Some(&mask), &labels(), None, options).unwrap()
    };
    for value in [f64::NAN, f64::INFINITY, f64::MIN, 0.0] {
        for (dims, spacing) in [([1, 1, 1], [1.0; 3]), ([300, 1, 1], [20.0, 0.05, 0.05]), ([1, 2, 200], [0.05, 1.0, 20.0])] {
            for width in [300, 1200] {
                let picture = draw(dims, spacing, value, &Options { width, ..Options::default() });
                assert!(picture.width == width && picture.height <= width && picture.to_png().is_ok());
            }
        }
    }
}

#[test]
fn what_cannot_be_drawn_is_refused() {
    let patient = Patient::stored("LPS");
    let ct = patient.map(|_| 0i16);
    let volume = Volume::from_slice(&ct, patient.geometry).unwrap();
    let refused =
        |mask: &[u8], center, options: &Options| three_planes(&volume, Some(mask), None, &labels(), center, options).unwrap_err().kind();
    let mask = vec![0; ct.len()];
    assert_eq!(refused(&mask[1..], None, &whole()), ErrorKind::InvalidArgument);
    assert_eq!(refused(&mask, Some([30, 0, 0]), &whole()), ErrorKind::InvalidArgument);
    for options in [
        Options { width: 299, ..whole() },
        Options { width: 10_001, ..whole() },
        Options { margin_mm: Some(f64::NAN), ..whole() },
        Options { window: Window { level: 0.0, width: 0.0 }, ..whole() },
        Options { window: Window { level: f64::NAN, width: 1.0 }, ..whole() },
    ] {
        assert_eq!(refused(&mask, None, &options), ErrorKind::InvalidArgument, "{options:?}");
    }
    // SAFETY: a view without voxels reads nothing.
    let shape = unsafe { Volume::from_raw(std::ptr::null(), crate::VoxelType::Int16, None, patient.geometry, crate::Rescale::IDENTITY) };
    assert_eq!(three_planes(&shape.unwrap(), None, None, &[], None, &whole()).unwrap_err().kind(), ErrorKind::NullArgument);
}
