//! A volume or a label map to a NRRD file, compressed with gzip; the same input makes the same bytes.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use super::super::voxels::{check_present, row_buffer, write_file, write_stored};
use super::header::type_name;
use super::segments;
use crate::error::Result;
use crate::geometry::{Geometry, World};
use crate::segmentation::Label;
use crate::volume::{Rescale, Volume, VoxelType, with_voxel_type};

/// Writes a volume. The format knows no rescale: stored numbers are Hounsfield units, so those of a volume with a rescale
/// are converted, to the first of int16, int32, float32 and float64 that holds them all exactly, else to float64.
///
/// # Errors
/// [`NullArgument`](crate::ErrorKind::NullArgument) for a volume without voxels; [`Io`](crate::ErrorKind::Io);
/// [`OutOfMemory`](crate::ErrorKind::OutOfMemory).
pub(in super::super) fn write_volume(volume: &Volume<'_>, path: &Path) -> Result<()> {
    check_present(volume)?;
    let stored = volume.rescale() == Rescale::IDENTITY;
    let voxel_type = if stored { volume.voxel_type() } else { type_of_units(volume) };
    let head = head(volume.geometry(), voxel_type) + "\n";
    let mut row = row_buffer(volume, voxel_type)?;
    write_file(path, true, false, head.as_bytes(), |writer| match stored {
        true => write_stored(volume, &mut row, writer),
        false => write_units(volume, voxel_type, &mut row, writer),
    })
}

/// Writes a label map with its table as the segments of 3D Slicer, in the label map's own world.
pub(in super::super) fn write_labels(labels: &[u8], geometry: &Geometry, table: &[Label], path: &Path) -> Result<()> {
    let head = head(geometry, VoxelType::Uint8) + &segments::keys(table, geometry) + "\n";
    write_file(path, true, false, head.as_bytes(), |writer| writer.write_all(labels))
}

/// The fields of a header, without the empty line that ends it. The world is the volume's own.
pub(super) fn head(geometry: &Geometry, voxel_type: VoxelType) -> String {
    let space = match geometry.world {
        World::Ras => "right-anterior-superior",
        World::Lps => "left-posterior-superior",
    };
    let [i, j, k] = geometry.dims;
    // Rust writes the shortest number that reads back as the same; adding 0 makes 0 of -0.
    let vector = |[x, y, z]: [f64; 3]| format!("({},{},{})", x + 0.0, y + 0.0, z + 0.0);
    let [a, b, c, origin] = std::array::from_fn(|axis| vector(geometry.ijk_to_world.column(axis)));
    let mut head = String::from("NRRD0004\n# https://teem.sourceforge.net/nrrd/format.html\n");
    // Writing to a string does not fail.
    let _ = write!(
        head,
        "type: {}\ndimension: 3\nspace: {space}\nsizes: {i} {j} {k}\nspace directions: {a} {b} {c}\nkinds: domain domain domain\n\
         endian: little\nencoding: gzip\nspace origin: {origin}\n",
        type_name(voxel_type)
    );
    head
}

/// The voxels of the row (j, k) in Hounsfield units.
fn units(volume: &Volume<'_>, j: usize, k: usize, mut take: impl FnMut(f64)) {
    let Rescale { slope, intercept } = volume.rescale();
    with_voxel_type!(volume.voxel_type(), T => {
        volume.row::<T>(j, k).into_iter().flatten().for_each(|stored| take(crate::volume::Voxel::to_f64(stored) * slope + intercept));
    });
}

/// The type that a volume's Hounsfield units are written in.
fn type_of_units(volume: &Volume<'_>) -> VoxelType {
    let [_, rows, slices] = volume.geometry().dims;
    let [mut int16, mut int32, mut float32] = [true; 3];
    for (k, j) in (0..slices).flat_map(|k| (0..rows).map(move |j| (k, j))) {
        units(volume, j, k, |value| {
            int16 &= f64::from(value as i16) == value;
            int32 &= f64::from(value as i32) == value;
            float32 &= value.is_nan() || f64::from(value as f32) == value;
        });
    }
    match [int16, int32, float32] {
        [true, ..] => VoxelType::Int16,
        [_, true, _] => VoxelType::Int32,
        [.., true] => VoxelType::Float32,
        _ => VoxelType::Float64,
    }
}

fn write_units(volume: &Volume<'_>, voxel_type: VoxelType, row: &mut Vec<u8>, writer: &mut dyn Write) -> io::Result<()> {
    let [_, rows, slices] = volume.geometry().dims;
    for (k, j) in (0..slices).flat_map(|k| (0..rows).map(move |j| (k, j))) {
        row.clear();
        with_voxel_type!(voxel_type, T => units(volume, j, k, |value| row.extend((value as T).to_le_bytes())));
        writer.write_all(row)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{TYPES, geometry, voxels};
    use super::super::text::Text;
    use super::*;
    use crate::error::ErrorKind;
    use crate::geometry::Affine;
    use crate::io::{ReadOptions, read_image, read_image_header, write_image};
    use crate::volume::Image;

    /// What a volume becomes on its way into a file and out again.
    fn returned(volume: &Volume<'_>) -> Image {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.nrrd");
        write_image(volume, &path).unwrap();
        let image = read_image(&path, &ReadOptions::default()).unwrap();
        let header = read_image_header(&path, &ReadOptions::default()).unwrap();
        let view = image.view();
        assert_eq!((header.geometry, header.voxel_type, header.placement), (*view.geometry(), view.voxel_type(), None));
        image
    }

    #[test]
    fn every_voxel_type_comes_back_as_it_was_in_either_world() {
        for voxel_type in TYPES {
            for world in [World::Ras, World::Lps] {
                let affine = geometry().ijk_to_world.between(World::Lps, world);
                let there = Geometry { ijk_to_world: affine, world, ..geometry() };
                let image = Image::new(voxels(voxel_type, cfg!(target_endian = "big")), voxel_type, there, Rescale::IDENTITY).unwrap();
                let back = returned(&image.view());
                assert_eq!((back.bytes(), *back.view().geometry()), (image.bytes(), there), "{voxel_type:?}");
            }
        }
    }

    #[test]
    fn any_strides_are_written_i_fastest() {
        let array = ndarray::Array3::from_shape_fn((3, 4, 2), |(i, j, k)| (i + 10 * j + 100 * k) as i32);
        let volume = Volume::from_array(array.view(), geometry().ijk_to_world, World::Lps).unwrap();
        assert_eq!(returned(&volume).view().row::<i32>(2, 1).unwrap().collect::<Vec<_>>(), [120, 121, 122]);
    }

    #[test]
    fn numbers_with_a_rescale_are_written_as_hounsfield_units_in_the_first_type_that_holds_them() {
        let there = Geometry { dims: [3, 1, 1], ..geometry() };
        for (stored, slope, intercept, expected, units) in [
            ([0u16, 1024, 4095], 1.0, -1024.0, VoxelType::Int16, [-1024.0, 0.0, 3071.0]),
            ([0, 1, 65535], 1.0, -1024.0, VoxelType::Int32, [-1024.0, -1023.0, 64511.0]),
            ([0, 1, 2], 0.5, 0.0, VoxelType::Float32, [0.0, 0.5, 1.0]),
            ([0, 1, 3], 0.1, 0.0, VoxelType::Float64, [0.0, 0.1, 3.0 * 0.1]),
        ] {
            let volume = Volume::from_slice(&stored, there).unwrap().with_rescale(Rescale { slope, intercept });
            let back = returned(&volume);
            let mut found = Vec::new();
            super::units(&back.view(), 0, 0, |value| found.push(value));
            assert_eq!((back.view().voxel_type(), found.as_slice()), (expected, &units[..]));
        }
    }

    #[test]
    fn the_header_is_that_which_others_read_and_the_bytes_are_the_same_each_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.nrrd");
        let there =
            Geometry { dims: [2, 1, 3], ijk_to_world: Affine::from_spacing([0.7, 1.0, 1e-1], [-0.0, -20.5, 3.0]), world: World::Ras };
        let bytes = [0, 1].map(|_| {
            write_image(&Volume::from_slice(&[-1000i16, 1, 2, 3, 4, 5], there).unwrap(), &path).unwrap();
            std::fs::read(&path).unwrap()
        });
        assert_eq!(bytes[0], bytes[1]);
        let head = "NRRD0004\n# https://teem.sourceforge.net/nrrd/format.html\ntype: short\ndimension: 3\nspace: right-anterior-superior\n\
            sizes: 2 1 3\nspace directions: (0.7,0,0) (0,1,0) (0,0,0.1)\nkinds: domain domain domain\nendian: little\n\
            encoding: gzip\nspace origin: (0,-20.5,3)\n\n";
        assert_eq!(String::from_utf8_lossy(&bytes[0][..head.len()]), head);
        assert_eq!(Text::read(&mut &bytes[0][..]).unwrap().bytes as usize, head.len());
        // No time in the gzip header.
        assert_eq!(bytes[0][head.len()..head.len() + 8], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_volume_without_voxels_is_refused() {
        // SAFETY: no address is read.
        let shape = unsafe { Volume::from_raw(std::ptr::null(), VoxelType::Int16, None, geometry(), Rescale::IDENTITY) }.unwrap();
        assert_eq!(write_image(&shape, Path::new("never.nrrd")).unwrap_err().kind(), ErrorKind::NullArgument);
    }
}
