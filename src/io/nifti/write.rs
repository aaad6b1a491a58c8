//! A volume or a label map to a NIfTI file, little-endian; the same input makes the same bytes.

use std::path::Path;

use super::super::voxels::{check_present, row_buffer, write_file, write_stored};
use super::header::{MAGIC_ONE, MAGIC_TWO, datatype_of};
use super::{Version, table, transform};
use crate::error::Result;
use crate::geometry::Geometry;
use crate::segmentation::Label;
use crate::volume::{NiftiPlacement, Rescale, Volume, VoxelType};

/// `NIFTI_INTENT_LABEL`: the voxels are indices into a table of labels.
const INTENT_LABEL: i16 = 1002;
/// `NIFTI_INTENT_NONE`.
const INTENT_NONE: i16 = 0;
/// Who wrote the file.
const DESCRIPTION: &str = concat!("spinect ", env!("CARGO_PKG_VERSION"));

/// Writes a label map as uint8 with its table, and with what the input's header said about its place if there is that.
pub(in super::super) fn write_labels(
    labels: &[u8],
    geometry: &Geometry,
    placement: Option<&NiftiPlacement>,
    table: &[Label],
    packed: bool,
    path: &Path,
) -> Result<()> {
    let head = Head::new(geometry, placement, VoxelType::Uint8, Rescale::IDENTITY, INTENT_LABEL);
    let head = Head { extension: table::extension(table), ..head }.encode();
    write_file(path, packed, true, &head, |writer| writer.write_all(labels))
}

/// Writes a volume as it is stored, with its rescale.
///
/// # Errors
/// [`ErrorKind::NullArgument`] for a volume without voxels; [`ErrorKind::Io`]; [`ErrorKind::OutOfMemory`].
pub(in super::super) fn write_volume(volume: &Volume<'_>, packed: bool, path: &Path) -> Result<()> {
    check_present(volume)?;
    let head = Head::new(volume.geometry(), volume.placement(), volume.voxel_type(), volume.rescale(), INTENT_NONE).encode();
    let mut row = row_buffer(volume, volume.voxel_type())?;
    write_file(path, packed, true, &head, |writer| write_stored(volume, &mut row, writer))
}

/// What stands before the voxels.
pub(super) struct Head {
    pub version: Version,
    pub dims: [usize; 3],
    pub voxel_type: VoxelType,
    pub rescale: Rescale,
    pub placement: NiftiPlacement,
    pub intent: i16,
    /// A whole extension, or nothing.
    pub extension: Vec<u8>,
}

impl Head {
    /// NIfTI-1, unless it cannot hold this: a dimension above 32767, or transforms of a NIfTI-2 file that 32 bits would
    /// round. The affine of a volume that comes from no file is rounded, as any writer does, unless it would overflow.
    fn new(geometry: &Geometry, given: Option<&NiftiPlacement>, voxel_type: VoxelType, rescale: Rescale, intent: i16) -> Self {
        let placement = given.copied().unwrap_or_else(|| transform::placement(geometry));
        let numbers = placement.pixdim.iter().chain(&placement.quaternion).chain(placement.srows.iter().flatten());
        let fits = |value: &f64| {
            let narrow = f64::from(*value as f32);
            if given.is_some() { value.is_nan() || narrow == *value } else { narrow.is_finite() }
        };
        let narrow = geometry.dims.iter().all(|n| i16::try_from(*n).is_ok()) && numbers.copied().all(|value| fits(&value));
        let version = if narrow { Version::One } else { Version::Two };
        Head { version, dims: geometry.dims, voxel_type, rescale, placement, intent, extension: Vec::new() }
    }

    /// The header, the four bytes that announce an extension or none, and the extension.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Fields(Vec::with_capacity(self.first_voxel() as usize));
        match self.version {
            Version::One => self.encode_one(&mut bytes),
            Version::Two => self.encode_two(&mut bytes),
        }
        bytes.put(&[u8::from(!self.extension.is_empty()), 0, 0, 0]);
        bytes.put(&self.extension);
        bytes.0
    }

    /// Where the voxels begin.
    fn first_voxel(&self) -> u64 {
        self.version.first_voxel() + self.extension.len() as u64
    }

    fn bits(&self) -> i16 {
        8 * self.voxel_type.size() as i16
    }

    /// `dim`: the rank, three dimensions, and 1 for each that is not used.
    fn dim(&self) -> [i64; 8] {
        let [i, j, k] = self.dims.map(|n| n as i64);
        [3, i, j, k, 1, 1, 1, 1]
    }

    fn encode_one(&self, bytes: &mut Fields) {
        let (p, [qform, sform]) = (&self.placement, self.placement.codes);
        bytes.i32(348); // sizeof_hdr
        bytes.zeros(34); // data_type, db_name, extents, session_error
        bytes.put(b"r"); // regular
        bytes.zeros(1); // dim_info
        self.dim().into_iter().for_each(|n| bytes.i16(n as i16));
        bytes.zeros(12); // intent_p1, intent_p2, intent_p3
        [self.intent, datatype_of(self.voxel_type), self.bits(), 0].into_iter().for_each(|code| bytes.i16(code)); // …, slice_start
        bytes.f32s(&p.pixdim);
        bytes.f32s(&[self.first_voxel() as f64, self.rescale.slope, self.rescale.intercept]); // vox_offset, scl_slope, scl_inter
        bytes.zeros(3); // slice_end, slice_code
        bytes.put(&[p.units]); // xyzt_units
        bytes.zeros(24); // cal_max, cal_min, slice_duration, toffset, glmax, glmin
        bytes.text::<80>(DESCRIPTION); // descrip
        bytes.zeros(24); // aux_file
        bytes.i16(qform);
        bytes.i16(sform);
        bytes.f32s(&p.quaternion);
        p.srows.iter().for_each(|row| bytes.f32s(row));
        bytes.zeros(16); // intent_name
        bytes.put(&MAGIC_ONE);
    }

    fn encode_two(&self, bytes: &mut Fields) {
        let (p, [qform, sform]) = (&self.placement, self.placement.codes);
        bytes.i32(540); // sizeof_hdr
        bytes.put(&MAGIC_TWO);
        bytes.i16(datatype_of(self.voxel_type));
        bytes.i16(self.bits());
        self.dim().into_iter().for_each(|n| bytes.put(&n.to_le_bytes()));
        bytes.zeros(24); // intent_p1, intent_p2, intent_p3
        bytes.f64s(&p.pixdim);
        bytes.put(&self.first_voxel().to_le_bytes()); // vox_offset
        bytes.f64s(&[self.rescale.slope, self.rescale.intercept]); // scl_slope, scl_inter
        bytes.zeros(48); // cal_max, cal_min, slice_duration, toffset, slice_start, slice_end
        bytes.text::<80>(DESCRIPTION); // descrip
        bytes.zeros(24); // aux_file
        bytes.i32(qform.into());
        bytes.i32(sform.into());
        bytes.f64s(&p.quaternion);
        p.srows.iter().for_each(|row| bytes.f64s(row));
        bytes.zeros(4); // slice_code
        bytes.i32(p.units.into()); // xyzt_units
        bytes.i32(self.intent.into()); // intent_code
        bytes.zeros(32); // intent_name, dim_info, unused_str
    }
}

/// Fields one after the other, little-endian.
struct Fields(Vec<u8>);

impl Fields {
    fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn zeros(&mut self, count: usize) {
        self.0.resize(self.0.len() + count, 0);
    }

    fn i16(&mut self, value: i16) {
        self.put(&value.to_le_bytes());
    }

    fn i32(&mut self, value: i32) {
        self.put(&value.to_le_bytes());
    }

    fn f32s(&mut self, values: &[f64]) {
        values.iter().for_each(|value| self.put(&(*value as f32).to_le_bytes()));
    }

    fn f64s(&mut self, values: &[f64]) {
        values.iter().for_each(|value| self.put(&value.to_le_bytes()));
    }

    /// Text in a field of `N` bytes, ended by a zero.
    fn text<const N: usize>(&mut self, text: &str) {
        let end = self.0.len() + N;
        self.put(text.as_bytes().get(..N - 1).unwrap_or(text.as_bytes()));
        self.0.resize(end, 0);
    }
}

#[cfg(test)]
mod tests {
    use ::nifti::Endianness;

    use super::super::fixtures::{DIMS, TYPES, file, geometry};
    use super::super::read::read_stream;
    use super::*;
    use crate::error::ErrorKind;
    use crate::geometry::World;
    use crate::io::{ReadOptions, read_image, read_image_header, write_image};
    use crate::model::LabelConfig;
    use crate::volume::Image;

    fn read(file: &[u8]) -> Image {
        read_stream(file, file.len() as u64, &ReadOptions::default()).unwrap()
    }

    fn table() -> Vec<Label> {
        let code = crate::model::Code { scheme: "SCT".into(), code: "272673000".into(), meaning: "Bone".into() };
        let bone = LabelConfig { value: 1, name: "bone".into(), color: [1, 2, 3], terminology: Some(code), category: None, pieces: None };
        let nerve = LabelConfig { value: 2, name: "nerve".into(), color: [4, 5, 6], terminology: None, category: None, pieces: None };
        [bone, nerve].iter().map(Label::new).collect()
    }

    /// The bytes that a label map gets.
    fn labels(geometry: &Geometry, placement: Option<&NiftiPlacement>, packed: bool) -> Vec<u8> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("labels");
        let labels: Vec<u8> = (0..geometry.voxel_count()).map(|n| (n % 3) as u8).collect();
        write_labels(&labels, geometry, placement, &table(), packed, &path).unwrap();
        std::fs::read(path).unwrap()
    }

    #[test]
    fn headers_have_the_size_of_the_format() {
        for version in [Version::One, Version::Two] {
            let placement = transform::placement(&geometry());
            let head = Head {
                version,
                dims: DIMS,
                voxel_type: VoxelType::Int16,
                rescale: Rescale::IDENTITY,
                placement,
                intent: 0,
                extension: vec![],
            };
            assert_eq!(head.encode().len() as u64, version.first_voxel());
        }
    }

    #[test]
    fn every_voxel_type_comes_back_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        for (voxel_type, name) in TYPES.into_iter().flat_map(|voxel_type| [(voxel_type, "a.nii"), (voxel_type, "a.nii.gz")]) {
            let path = directory.path().join(name);
            let image = read(&file(Version::One, Endianness::Little, voxel_type));
            write_image(&image.view(), &path).unwrap();
            let back = read_image(&path, &ReadOptions::default()).unwrap();
            assert_eq!(back.bytes(), image.bytes());
            assert_eq!(back.placement(), image.placement());
            assert_eq!((back.view().geometry(), back.view().rescale()), (image.view().geometry(), image.view().rescale()));
            let header = read_image_header(&path, &ReadOptions::default()).unwrap();
            assert_eq!((header.geometry, header.voxel_type, header.rescale), (*back.view().geometry(), voxel_type, back.view().rescale()));
        }
    }

    #[test]
    fn any_strides_are_written_i_fastest() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.nii");
        let array = ndarray::Array3::from_shape_fn((3, 4, 2), |(i, j, k)| (i + 10 * j + 100 * k) as i32);
        let volume = Volume::from_array(array.view(), geometry().ijk_to_world, World::Ras).unwrap();
        write_image(&volume, &path).unwrap();
        let image = read_image(&path, &ReadOptions::default()).unwrap();
        assert_eq!(image.view().row::<i32>(2, 1).unwrap().collect::<Vec<_>>(), [120, 121, 122]);
    }

    #[test]
    fn a_volume_without_voxels_is_refused() {
        // SAFETY: no address is read.
        let shape = unsafe { Volume::from_raw(std::ptr::null(), VoxelType::Int16, None, geometry(), Rescale::IDENTITY) }.unwrap();
        assert_eq!(write_image(&shape, Path::new("never.nii")).unwrap_err().kind(), ErrorKind::NullArgument);
    }

    #[test]
    fn labels_repeat_what_the_input_said_about_its_place_bit_by_bit() {
        let mut placement = transform::placement(&geometry());
        placement.codes = [2, 3];
        placement.pixdim = [-1.0, f64::from(0.7f32), 0.8, 2.5, f64::NAN, 4.0, 0.0, -7.0].map(|v| f64::from(v as f32));
        placement.quaternion = [0.1, 0.2, 0.3, 4.0, 5.0, 6.0].map(|v| f64::from(v as f32));
        placement.units = 2 + 16;
        let bytes = labels(&geometry(), Some(&placement), false);
        let stored = |offset: usize, values: &[f64]| {
            let expected: Vec<u8> = values.iter().flat_map(|value| (*value as f32).to_le_bytes()).collect();
            assert_eq!(bytes[offset..offset + expected.len()], expected, "at {offset}");
        };
        assert_eq!(bytes[..4], 348i32.to_le_bytes());
        stored(76, &placement.pixdim);
        let extension = table::extension(&table());
        stored(108, &[352.0 + extension.len() as f64, 1.0, 0.0]);
        assert_eq!((&bytes[348..352], &bytes[352..][..extension.len()]), (&[1, 0, 0, 0][..], &extension[..]));
        assert_eq!(bytes[352 + extension.len()..].iter().take(4).copied().collect::<Vec<u8>>(), [0, 1, 2, 0]);
        stored(256, &placement.quaternion);
        stored(280, placement.srows.as_flattened());
        assert_eq!((bytes[123], &bytes[252..256]), (18, &[2, 0, 3, 0][..]));
        // dim, intent_code, datatype, bitpix
        assert_eq!(bytes[40..56], [3, 0, 3, 0, 4, 0, 2, 0, 1, 0, 1, 0, 1, 0, 1, 0]);
        assert_eq!(bytes[68..74], [0xea, 3, 2, 0, 8, 0]);
        assert!(bytes[148..].starts_with(DESCRIPTION.as_bytes()));
    }

    #[test]
    fn the_same_labels_make_the_same_bytes() {
        for packed in [false, true] {
            let [a, b] = [0, 1].map(|_| labels(&geometry(), None, packed));
            assert_eq!(a, b);
        }
        // No time in the gzip header.
        assert_eq!(labels(&geometry(), None, true)[..8], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_volume_by_pointer_in_lps_is_placed_in_ras() {
        let ras = geometry();
        let lps = Geometry { ijk_to_world: ras.ijk_to_world.between(World::Ras, World::Lps), world: World::Lps, ..ras };
        let image = read(&labels(&lps, None, false));
        assert_eq!(*image.view().geometry(), ras);
        assert_eq!(image.view().row::<u8>(1, 0).unwrap().collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn a_dimension_above_32767_makes_nifti_2() {
        let long = Geometry { dims: [40_000, 1, 1], ..geometry() };
        let bytes = labels(&long, None, true);
        let image = read(&bytes);
        assert_eq!((image.view().geometry().dims, image.bytes().len()), (long.dims, 40_000));
    }

    #[test]
    fn transforms_of_a_nifti_2_file_are_not_rounded() {
        let mut placement = transform::placement(&geometry());
        placement.srows[1][3] = 12.345_678_901_234;
        let bytes = labels(&geometry(), Some(&placement), false);
        assert_eq!(bytes[..4], 540i32.to_le_bytes());
        assert_eq!(read(&bytes).placement(), Some(&placement));
    }
}
