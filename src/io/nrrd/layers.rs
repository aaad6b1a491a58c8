//! The voxels of a segmentation: one layer or several to one label map, on the grid of the image that was segmented.

use super::segments::Segment;
use super::text::{Text, corrupt};
use crate::error::{Error, ErrorKind, Result, try_vec};
use crate::geometry::{Affine, Geometry, World};
use crate::volume::{Volume, Voxel, with_voxel_type};

/// The voxels that a segmentation is extended to where no memory limit says otherwise: 4 GiB. What it is extended by is
/// not in the file, so nothing else bounds it.
const LARGEST_REFERENCE: u64 = 1 << 32;
/// The key that only a segmentation of 3D Slicer has: the index in the image that was segmented of the file's first voxel.
pub(super) const OFFSET: &str = "Segmentation_ReferenceImageExtentOffset";
/// The parameter that holds the grid of the image that was segmented: an affine to RAS and an extent.
const REFERENCE: &str = "Reference image geometry|";

/// A grid, and where in it the file's first voxel lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Grid {
    pub geometry: Geometry,
    pub offset: [usize; 3],
}

/// The grid of the image that was segmented, if the header tells it and the file's voxels are some of its voxels; else
/// that of the file, whose space origin is right in any case.
///
/// # Errors
/// [`ErrorKind::CorruptFile`] for an offset that is none; [`ErrorKind::VolumeTooLarge`] for a grid above the limit.
pub(super) fn grid(text: &Text, stored: &Geometry, memory_limit: Option<u64>) -> Result<Grid> {
    let own = Grid { geometry: *stored, offset: [0; 3] };
    let Some(offset) = text.keys.get(OFFSET) else { return Ok(own) };
    let numbers: Option<Vec<i64>> = offset.split_whitespace().map(|number| number.parse().ok()).collect();
    let Some(&[i, j, k]) = numbers.as_deref() else {
        let message = format!("{OFFSET} is \"{}\": it must be three whole numbers", offset.escape_debug());
        return Err(corrupt(message));
    };
    let Some((to_ras, extent)) = text.keys.get("Segmentation_ConversionParameters").and_then(|parameters| reference(parameters)) else {
        return Ok(own);
    };
    // Indices of the reference count from its extent, which need not begin at 0.
    let mut grid = own;
    for (axis, start) in [i, j, k].into_iter().enumerate() {
        let [first, last] = extent[axis];
        let (Some(offset), Some(n)) = (unsigned(start, first), unsigned(last, first).and_then(|n| n.checked_add(1))) else {
            return Ok(own);
        };
        if offset.checked_add(stored.dims[axis]).is_none_or(|end| end > n) {
            return Ok(own);
        }
        (grid.offset[axis], grid.geometry.dims[axis]) = (offset, n);
    }
    let mut affine = to_ras;
    let first = to_ras.apply(extent.map(|[first, _]| first as f64));
    (affine.0[3], affine.0[7], affine.0[11]) = (first[0], first[1], first[2]);
    grid.geometry.ijk_to_world = affine.between(World::Ras, stored.world);
    let mut part = Geometry { dims: stored.dims, ..grid.geometry };
    let corner = part.ijk_to_world.apply(grid.offset.map(|n| n as f64));
    (part.ijk_to_world.0[3], part.ijk_to_world.0[7], part.ijk_to_world.0[11]) = (corner[0], corner[1], corner[2]);
    if grid.geometry.dims == stored.dims || grid.geometry.check().is_err() || part.check_same_grid(stored).is_err() {
        return Ok(own);
    }
    let (voxels, limit) = (grid.geometry.voxel_count() as u64, memory_limit.unwrap_or(LARGEST_REFERENCE));
    if voxels > limit {
        let message = format!("the image that was segmented has {voxels} voxels, above the memory limit of {limit} bytes");
        return Err(Error::new(ErrorKind::VolumeTooLarge, message));
    }
    Ok(grid)
}

fn unsigned(high: i64, low: i64) -> Option<usize> {
    high.checked_sub(low).and_then(|difference| usize::try_from(difference).ok())
}

/// The affine and the extent (first and last index along i, j, k) of the reference image.
fn reference(parameters: &str) -> Option<(Affine, [[i64; 2]; 3])> {
    let parameter = parameters.split('&').find_map(|parameter| parameter.strip_prefix(REFERENCE))?;
    let mut numbers = parameter.split('|').next()?.split(';').map(str::trim);
    let mut affine = [0.0; 16];
    for number in &mut affine {
        *number = numbers.next()?.parse().ok()?;
    }
    let mut extent = [[0; 2]; 3];
    for number in extent.as_flattened_mut() {
        *number = numbers.next()?.parse().ok()?;
    }
    Some((Affine(affine), extent))
}

/// The value that stands for no segment in [`Lookup`].
const NO_SEGMENT: u8 = 0;

/// For a layer and what its voxels hold: the label's value.
struct Lookup(Vec<Vec<u8>>);

impl Lookup {
    fn new(segments: &[Segment]) -> Self {
        // No longer than the segments need: the number of layers is the file's word alone.
        let mut tables: Vec<Vec<u8>> = Vec::new();
        for segment in segments {
            let (layer, stored) = (segment.layer, segment.stored as usize);
            tables.resize_with(tables.len().max(layer + 1), Vec::new);
            let table = &mut tables[layer];
            table.resize(table.len().max(stored + 1), NO_SEGMENT);
            table[stored] = segment.label.value;
        }
        Lookup(tables)
    }

    /// The value of the label; `None` for what no segment stores.
    fn value(&self, layer: usize, stored: f64) -> Option<u8> {
        if stored == 0.0 {
            return Some(0);
        }
        let at = stored as usize;
        let value = *self.0.get(layer)?.get(at)?;
        (at as f64 == stored && value != NO_SEGMENT).then_some(value)
    }
}

/// One label map of all layers, packed, i fastest, on the whole of the grid. `voxels` are those of the file; along i they
/// are what the layers hold, voxel by voxel.
///
/// # Errors
/// [`ErrorKind::Unsupported`] for a voxel of two segments; [`ErrorKind::CorruptFile`] for one of a segment that the header
/// does not tell of; [`ErrorKind::OutOfMemory`].
pub(super) fn merged(voxels: &Volume<'_>, segments: &[Segment], layers: usize, grid: &Grid) -> Result<Vec<u8>> {
    let lookup = Lookup::new(segments);
    let mut labels = try_vec(0, grid.geometry.voxel_count(), "a label map")?;
    let ([values, rows, slices], [i, j, k], [to_columns, to_rows, _]) = (voxels.geometry().dims, grid.offset, grid.geometry.dims);
    for (z, y) in (0..slices).flat_map(|z| (0..rows).map(move |y| (z, y))) {
        let start = ((z + k) * to_rows + y + j) * to_columns + i;
        let Some(to) = labels.get_mut(start..start + values / layers) else { continue };
        with_voxel_type!(voxels.voxel_type(), T => {
            let row = voxels.row::<T>(y, z).into_iter().flatten().map(Voxel::to_f64);
            merge_row(row, to, layers, &lookup).map_err(|(x, problem)| problem.told([x, y, z], segments))?;
        });
    }
    Ok(labels)
}

/// What is wrong with a voxel.
enum Problem {
    /// Two labels' values.
    Overlap([u8; 2]),
    /// What the voxel holds, and its layer.
    Unknown(f64, usize),
}

impl Problem {
    fn told(&self, [x, y, z]: [usize; 3], segments: &[Segment]) -> Error {
        let name = |value: u8| segments.iter().find(|segment| segment.label.value == value).map_or("", |segment| &segment.label.name);
        match *self {
            Problem::Overlap([a, b]) => Error::new(
                ErrorKind::Unsupported,
                format!(
                    "the segments \"{}\" and \"{}\" overlap, at voxel [{x}, {y}, {z}] of the file; a label map holds one label per voxel: \
                     erase one of them there, or save them apart",
                    name(a),
                    name(b)
                ),
            ),
            Problem::Unknown(stored, layer) => {
                corrupt(format!("voxel [{x}, {y}, {z}] of layer {layer} holds {stored}, which the header names no segment for"))
            }
        }
    }
}

/// A row of voxels to a row of labels, or the first that is wrong, with its index along i.
fn merge_row(
    row: impl Iterator<Item = f64>,
    labels: &mut [u8],
    layers: usize,
    lookup: &Lookup,
) -> std::result::Result<(), (usize, Problem)> {
    let (mut x, mut layer) = (0, 0);
    for stored in row {
        match (lookup.value(layer, stored), labels.get_mut(x)) {
            (Some(0), _) => {}
            (Some(value), Some(label)) if *label == 0 => *label = value,
            (Some(value), label) => return Err((x, Problem::Overlap([label.map_or(0, |label| *label), value]))),
            (None, _) => return Err((x, Problem::Unknown(stored, layer))),
        }
        layer += 1;
        if layer == layers {
            (x, layer) = (x + 1, 0);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::table::unnamed;
    use super::super::fixtures::geometry;
    use super::*;

    const TO_RAS: &str = "0.6;0;-2;40.5;0;-1;0;-12.25;0.8;0;1.5;310;0;0;0;1;";

    /// The grid of a file whose voxels lie at [`geometry`], with this offset in this reference.
    fn grid_of(offset: &str, reference: &str, memory_limit: Option<u64>) -> Result<Grid> {
        let keys = format!(
            "NRRD0004\nSegmentation_ReferenceImageExtentOffset:={offset}\n\
             Segmentation_ConversionParameters:=Smoothing factor|0.5|how smooth&Reference image geometry|{reference}|&\n\n"
        );
        grid(&Text::read(&mut keys.as_bytes()).unwrap(), &geometry(), memory_limit)
    }

    #[test]
    fn a_part_of_the_image_that_was_segmented_is_put_where_it_lies_in_it() {
        // Index (1, 2, 3) of the reference is the file's (0, 0, 0): its origin lies 1, 2, 3 steps before the file's.
        let shifted = "0.6;0;-2;45.9;0;-1;0;-10.25;0.8;0;1.5;304.7;0;0;0;1;";
        let found = grid_of("1 2 3", &format!("{shifted}0;9;0;9;0;9;"), None).unwrap();
        assert_eq!((found.geometry.dims, found.offset, found.geometry.world), ([10; 3], [1, 2, 3], World::Lps));
        let at = found.geometry.ijk_to_world.apply([1.0, 2.0, 3.0]);
        let expected = [-40.5, 12.25, 310.0];
        assert!(at.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{at:?}");
        // Indices that begin elsewhere: those of the reference's affine.
        let found = grid_of("1 2 3", &format!("{shifted}-1;9;1;9;0;9;"), None).unwrap();
        assert_eq!((found.geometry.dims, found.offset), ([11, 9, 10], [2, 1, 3]));
        let at = found.geometry.ijk_to_world.apply([2.0, 1.0, 3.0]);
        assert!(at.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{at:?}");
    }

    #[test]
    fn without_a_reference_that_fits_the_file_has_a_grid_of_its_own() {
        let own = Grid { geometry: geometry(), offset: [0; 3] };
        for (offset, reference) in [
            ("0 0 0", format!("{TO_RAS}0;2;0;3;0;1;")),
            ("1 2 3", format!("{TO_RAS}0;9;0;9;0;9;")),
            ("0 0 0", format!("{TO_RAS}0;1;0;9;0;9;")),
            ("8 0 0", format!("{TO_RAS}0;9;0;9;0;9;")),
            ("-1 0 0", format!("{TO_RAS}0;9;0;9;0;9;")),
            ("0 0 0", format!("{TO_RAS}0;9;0;9;")),
            ("0 0 0", format!("{TO_RAS}0;9;0;9;0;x;")),
            ("0 0 0", format!("nan;{TO_RAS}0;9;0;9;0;9;")),
            ("0 0 0", format!("{TO_RAS}-9223372036854775808;9223372036854775807;0;9;0;9;")),
        ] {
            assert_eq!(grid_of(offset, &reference, None).unwrap(), own, "{offset} {reference}");
        }
        let nothing = Text::read(&mut "NRRD0004\n\n".as_bytes()).unwrap();
        assert_eq!(grid(&nothing, &geometry(), None).unwrap(), own);
        for offset in ["", "1 2", "1 2 3 4", "a b c", "1.5 0 0"] {
            assert_eq!(grid_of(offset, TO_RAS, None).unwrap_err().kind(), ErrorKind::CorruptFile, "{offset}");
        }
    }

    #[test]
    fn a_reference_above_the_memory_limit_is_refused() {
        let thousand = format!("{TO_RAS}0;999;0;999;0;999;");
        assert_eq!(grid_of("0 0 0", &thousand, Some(999_999_999)).unwrap_err().kind(), ErrorKind::VolumeTooLarge);
        assert_eq!(grid_of("0 0 0", &thousand, Some(1_000_000_000)).unwrap().geometry.dims, [1000; 3]);
        let monstrous = format!("{TO_RAS}0;99999;0;99999;0;99999;");
        assert_eq!(grid_of("0 0 0", &monstrous, None).unwrap_err().kind(), ErrorKind::VolumeTooLarge);
    }

    fn segment(layer: usize, stored: u32, value: u8, name: &str) -> Segment {
        Segment { layer, stored, label: unnamed(value, Some(name.into())) }
    }

    /// Two voxels, each with two layers, put into the middle of four.
    fn merge(values: [i16; 4], segments: &[Segment]) -> Result<Vec<u8>> {
        let stored = Geometry { dims: [4, 1, 1], ..geometry() };
        merged(&Volume::from_slice(&values, stored).unwrap(), segments, 2, &Grid { geometry: stored, offset: [1, 0, 0] })
    }

    #[test]
    fn layers_that_do_not_overlap_become_one_label_map() {
        let segments = [segment(0, 1, 1, "a"), segment(1, 1, 2, "b"), segment(1, 300, 3, "c")];
        assert_eq!(merge([1, 0, 0, 1], &segments).unwrap(), [0, 1, 2, 0]);
        assert_eq!(merge([0, 300, 0, 0], &segments).unwrap(), [0, 3, 0, 0]);
        let overlap = merge([0, 1, 1, 300], &segments).unwrap_err();
        assert_eq!(overlap.kind(), ErrorKind::Unsupported);
        assert!(["\"a\" and \"c\"", "[1, 0, 0]"].iter().all(|part| overlap.message().contains(part)), "{overlap}");
    }

    #[test]
    fn a_value_that_no_segment_has_is_corrupt() {
        let segments = [segment(0, 1, 1, "a"), segment(1, 3, 2, "b")];
        for values in [[2, 0, 0, 0], [0, 1, 0, 0], [-1, 0, 0, 0], [3, 0, 0, 0], [0, 4, 0, 0]] {
            let error = merge(values, &segments).unwrap_err();
            assert!(error.kind() == ErrorKind::CorruptFile && error.message().contains("names no segment"), "{error}");
        }
        let stored = Geometry { dims: [1, 1, 1], ..geometry() };
        for odd in [0.5, f32::NAN, f32::INFINITY, 1.5, -0.5] {
            let volume = [odd];
            let grid = Grid { geometry: stored, offset: [0; 3] };
            let error = merged(&Volume::from_slice(&volume, stored).unwrap(), &segments, 1, &grid).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::CorruptFile, "{odd}");
        }
    }
}
