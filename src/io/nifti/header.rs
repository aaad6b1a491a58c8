//! The guard: a NIfTI header's bytes to checked fields, before anything is sized by them.

use ::nifti::{Endianness, NiftiHeader};

use super::super::voxels::byte_count;
use super::Version;
use crate::error::{Error, ErrorKind, Result};
use crate::volume::{NiftiPlacement, Rescale, VoxelType};

/// The magic of a NIfTI-2 header in a single file; the line ends show whether something translated them on the way.
pub(super) const MAGIC_TWO: [u8; 8] = *b"n+2\0\r\n\x1a\n";
/// The magic of a NIfTI-1 header in a single file.
pub(super) const MAGIC_ONE: [u8; 4] = *b"n+1\0";

/// The voxel types and their `datatype` codes.
const DATATYPES: [(VoxelType, i16); 7] = [
    (VoxelType::Uint8, 2),
    (VoxelType::Int16, 4),
    (VoxelType::Int32, 8),
    (VoxelType::Float32, 16),
    (VoxelType::Float64, 64),
    (VoxelType::Int8, 256),
    (VoxelType::Uint16, 512),
];

/// The `datatype` codes of the format that hold no CT.
const OTHER_DATATYPES: [(i16, &str); 10] = [
    (1, "binary"),
    (32, "complex64"),
    (128, "rgb24"),
    (768, "uint32"),
    (1024, "int64"),
    (1280, "uint64"),
    (1536, "float128"),
    (1792, "complex128"),
    (2048, "complex256"),
    (2304, "rgba32"),
];

/// The `datatype` code of a voxel type.
pub(super) fn datatype_of(voxel_type: VoxelType) -> i16 {
    DATATYPES.iter().find(|(known, _)| *known == voxel_type).map_or(0, |(_, code)| *code)
}

fn corrupt(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::CorruptFile, message.into())
}

/// A checked header: what is in here, reading may rely on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub endianness: Endianness,
    pub dims: [usize; 3],
    pub voxel_type: VoxelType,
    /// Bytes of all voxels.
    pub voxel_bytes: usize,
    /// Where the voxels begin, in bytes from the beginning of the unpacked file.
    pub voxel_offset: u64,
    pub rescale: Rescale,
    pub placement: NiftiPlacement,
}

/// The fields that matter here, as stored, in either version.
struct Fields {
    dim: [i64; 8],
    datatype: i16,
    bitpix: i16,
    voxel_offset: f64,
    slope: f64,
    intercept: f64,
    placement: NiftiPlacement,
}

/// The version and the byte order that a file's first four bytes tell.
///
/// # Errors
/// [`ErrorKind::CorruptFile`] for anything but NIfTI.
pub(super) fn identify(start: [u8; 4]) -> Result<(Version, Endianness)> {
    let size = |version: Version| version.header_bytes() as u32;
    for version in [Version::One, Version::Two] {
        if u32::from_le_bytes(start) == size(version) {
            return Ok((version, Endianness::Little));
        }
        if u32::from_be_bytes(start) == size(version) {
            return Ok((version, Endianness::Big));
        }
    }
    Err(corrupt(format!(
        "not a NIfTI file: its first number is {} and should be 348 or 540 in either byte order",
        i32::from_le_bytes(start)
    )))
}

/// Checks a header. `bytes` is all of it, and [`identify`] told the rest.
///
/// # Errors
/// [`ErrorKind::CorruptFile`], [`ErrorKind::UnsupportedFormat`]; [`ErrorKind::VolumeTooLarge`] for more voxels than can
/// be addressed.
pub(super) fn parse(version: Version, endianness: Endianness, bytes: &[u8]) -> Result<Header> {
    let fields = match version {
        Version::One => fields_one(endianness, bytes)?,
        Version::Two => fields_two(endianness, bytes)?,
    };
    let dims = dims(&fields.dim)?;
    let voxel_type = voxel_type(fields.datatype, fields.bitpix)?;
    let voxel_bytes = byte_count(&dims, voxel_type)?;
    let offset = fields.voxel_offset;
    // Above 2^53, f64 no longer tells every integer, and no file is that long.
    if !(offset >= version.first_voxel() as f64 && offset <= (1u64 << 53) as f64 && offset.fract() == 0.0) {
        return Err(corrupt(format!("vox_offset is {offset}: it must be a whole number, at least {}", version.first_voxel())));
    }
    Ok(Header {
        endianness,
        dims,
        voxel_type,
        voxel_bytes,
        voxel_offset: offset as u64,
        rescale: rescale(fields.slope, fields.intercept)?,
        placement: fields.placement,
    })
}

/// `dim`: up to 7 dimensions, of which the fourth and later ones must be 1.
fn dims(dim: &[i64; 8]) -> Result<[usize; 3]> {
    let [rank, dims @ ..] = dim;
    let used = usize::try_from(*rank)
        .ok()
        .filter(|rank| *rank > 0)
        .and_then(|rank| dims.get(..rank))
        .ok_or_else(|| corrupt(format!("dim[0] is {rank}: a volume has 1 to 7 dimensions")))?;
    if let Some((axis, n)) = used.iter().enumerate().find(|(_, n)| **n < 1) {
        return Err(corrupt(format!("dim[{}] is {n}: a dimension must be at least 1", axis + 1)));
    }
    if let Some(n) = used.iter().skip(3).find(|n| **n > 1) {
        return Err(Error::new(
            ErrorKind::UnsupportedFormat,
            format!("a {}D image ({n} volumes along a further axis): give one with a single 3D volume", used.len()),
        ));
    }
    let mut voxels = [1; 3];
    for (voxels, n) in voxels.iter_mut().zip(used) {
        *voxels = usize::try_from(*n)
            .map_err(|_| Error::new(ErrorKind::VolumeTooLarge, format!("a dimension of {n} voxels cannot be addressed")))?;
    }
    Ok(voxels)
}

fn voxel_type(datatype: i16, bitpix: i16) -> Result<VoxelType> {
    let Some((voxel_type, _)) = DATATYPES.iter().find(|(_, code)| *code == datatype) else {
        return Err(match OTHER_DATATYPES.iter().find(|(code, _)| *code == datatype) {
            Some((code, name)) => Error::new(
                ErrorKind::UnsupportedFormat,
                format!("voxels of type {name} (datatype {code}): convert them to int16 or another of the seven types that hold a CT"),
            ),
            None => corrupt(format!("datatype is {datatype}, which the format does not define")),
        });
    };
    if usize::try_from(bitpix) != Ok(8 * voxel_type.size()) {
        return Err(corrupt(format!("bitpix is {bitpix}, but a voxel of {} has {} bits", voxel_type.name(), 8 * voxel_type.size())));
    }
    Ok(*voxel_type)
}

/// A slope of 0 or not finite means none (method.md 1.1).
fn rescale(slope: f64, intercept: f64) -> Result<Rescale> {
    if slope == 0.0 || !slope.is_finite() {
        return Ok(Rescale::IDENTITY);
    }
    if !intercept.is_finite() {
        return Err(corrupt(format!("scl_inter is {intercept} beside a scl_slope of {slope}: it must be finite")));
    }
    Ok(Rescale { slope, intercept })
}

/// Transform codes are small; whatever does not fit 16 bits or is negative is damage.
fn codes(qform: i64, sform: i64) -> Result<[i16; 2]> {
    let code = |name, code: i64| {
        i16::try_from(code).ok().filter(|code| *code >= 0).ok_or_else(|| corrupt(format!("{name} is {code}: it must be 0 to 5")))
    };
    Ok([code("qform_code", qform)?, code("sform_code", sform)?])
}

fn check_magic(magic: &[u8]) -> Result<()> {
    if magic == MAGIC_ONE || magic == MAGIC_TWO {
        return Ok(());
    }
    let unsupported = |message| Err(Error::new(ErrorKind::UnsupportedFormat, message));
    match magic.first_chunk() {
        Some(b"ni1\0" | b"ni2\0") => unsupported("the header of a pair of files (.hdr, .img): convert the pair to one .nii file"),
        Some(b"\0\0\0\0") => unsupported("an ANALYZE 7.5 header, which does not tell left from right: convert the image to NIfTI"),
        _ => Err(corrupt(format!("not a NIfTI file: its magic is \"{}\" and should be n+1 or n+2", magic.escape_ascii()))),
    }
}

/// NIfTI-1, by the `nifti` crate: this much of it is safe once the byte order is certain, and a panic stays here.
fn fields_one(endianness: Endianness, bytes: &[u8]) -> Result<Fields> {
    check_magic(bytes.last_chunk::<4>().map_or(&[], |magic| magic.as_slice()))?;
    let header = std::panic::catch_unwind(|| NiftiHeader::from_reader(bytes))
        .map_err(|_| corrupt("the header cannot be read"))?
        .map_err(|error| corrupt(format!("the header cannot be read: {error}")))?;
    // The crate tells the byte order by dim[0]; they part where that is out of range.
    if header.endianness != endianness {
        return Err(corrupt("dim[0] is out of range: a volume has 1 to 7 dimensions"));
    }
    let h = &header;
    let wide = |row: [f32; 4]| row.map(f64::from);
    Ok(Fields {
        // The crate takes the signed dimensions for unsigned ones.
        dim: h.dim.map(|n| i64::from(n.cast_signed())),
        datatype: h.datatype,
        bitpix: h.bitpix,
        voxel_offset: h.vox_offset.into(),
        slope: h.scl_slope.into(),
        intercept: h.scl_inter.into(),
        placement: NiftiPlacement {
            pixdim: h.pixdim.map(f64::from),
            codes: codes(h.qform_code.into(), h.sform_code.into())?,
            quaternion: [h.quatern_b, h.quatern_c, h.quatern_d, h.quatern_x, h.quatern_y, h.quatern_z].map(f64::from),
            srows: [wide(h.srow_x), wide(h.srow_y), wide(h.srow_z)],
            units: h.xyzt_units,
        },
    })
}

/// NIfTI-2, which the crate does not know.
fn fields_two(endianness: Endianness, bytes: &[u8]) -> Result<Fields> {
    let mut fields = Cursor { rest: bytes, endianness };
    fields.take::<4>()?; // sizeof_hdr
    check_magic(&fields.take::<8>()?)?;
    let [datatype, bitpix] = [fields.i16()?, fields.i16()?];
    let dim = fields.array(Cursor::i64)?;
    fields.take::<24>()?; // intent_p1, intent_p2, intent_p3
    let pixdim = fields.array(Cursor::f64)?;
    let voxel_offset = fields.i64()? as f64;
    let [slope, intercept] = fields.array(Cursor::f64)?;
    // cal_max, cal_min, slice_duration, toffset, slice_start, slice_end, descrip, aux_file
    fields.take::<152>()?;
    let [qform, sform] = fields.array(Cursor::i32)?;
    let quaternion = fields.array(Cursor::f64)?;
    let srows = fields.array(|fields| fields.array(Cursor::f64))?;
    fields.take::<4>()?; // slice_code
    let units = fields.i32()?;
    Ok(Fields {
        dim,
        datatype,
        bitpix,
        voxel_offset,
        slope,
        intercept,
        placement: NiftiPlacement {
            pixdim,
            codes: codes(qform.into(), sform.into())?,
            quaternion,
            srows,
            units: u8::try_from(units).map_err(|_| corrupt(format!("xyzt_units is {units}: it must be 0 to 255")))?,
        },
    })
}

/// Numbers one after the other, in a byte order.
struct Cursor<'a> {
    rest: &'a [u8],
    endianness: Endianness,
}

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk().ok_or_else(|| corrupt("the header is cut off"))?;
        self.rest = rest;
        Ok(*head)
    }

    /// The next number's bytes, little-endian.
    fn little<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = self.take()?;
        if self.endianness == Endianness::Big {
            bytes.reverse();
        }
        Ok(bytes)
    }

    fn i16(&mut self) -> Result<i16> {
        self.little().map(i16::from_le_bytes)
    }

    fn i32(&mut self) -> Result<i32> {
        self.little().map(i32::from_le_bytes)
    }

    fn i64(&mut self) -> Result<i64> {
        self.little().map(i64::from_le_bytes)
    }

    fn f64(&mut self) -> Result<f64> {
        self.little().map(f64::from_le_bytes)
    }

    fn array<T: Copy + Default, const N: usize>(&mut self, read: impl Fn(&mut Self) -> Result<T>) -> Result<[T; N]> {
        let mut values = [T::default(); N];
        for value in &mut values {
            *value = read(self)?;
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{DIMS, TYPES, file, parse, plain, with};
    use super::*;

    /// The kind and the message that a damaged NIfTI-1 header gets.
    fn refusal(offset: usize, bytes: &[u8]) -> (ErrorKind, String) {
        let error = parse(&with(plain(), offset, bytes)).unwrap_err();
        (error.kind(), error.message().into())
    }

    /// The same for NIfTI-2.
    fn refusal_two(offset: usize, bytes: &[u8]) -> (ErrorKind, String) {
        let error = parse(&with(file(Version::Two, Endianness::Little, VoxelType::Int16), offset, bytes)).unwrap_err();
        (error.kind(), error.message().into())
    }

    fn is(refusal: (ErrorKind, String), kind: ErrorKind, part: &str) {
        assert!(refusal.0 == kind && refusal.1.contains(part), "{refusal:?}, expected {kind:?} with \"{part}\"");
    }

    #[test]
    fn both_versions_in_both_byte_orders_tell_the_same() {
        for voxel_type in TYPES {
            let reference = parse(&file(Version::One, Endianness::Little, voxel_type)).unwrap();
            for version in [Version::One, Version::Two] {
                for endianness in [Endianness::Little, Endianness::Big] {
                    let header = parse(&file(version, endianness, voxel_type)).unwrap();
                    assert_eq!((header.dims, header.voxel_type, header.endianness), (DIMS, voxel_type, endianness));
                    assert_eq!(header.voxel_bytes, 24 * voxel_type.size());
                    assert_eq!(header.voxel_offset, version.first_voxel());
                    assert_eq!(header.rescale, Rescale { slope: 2.0, intercept: -1024.0 });
                    assert_eq!((header.placement.srows, header.placement.codes), (reference.placement.srows, [1, 1]));
                    assert_eq!(header.placement.units, 2);
                }
            }
        }
    }

    #[test]
    fn what_is_no_nifti_file_is_corrupt_or_another_format() {
        is(refusal(0, b"DICM"), ErrorKind::CorruptFile, "not a NIfTI file");
        is(refusal(0, &[0; 4]), ErrorKind::CorruptFile, "348 or 540");
        is(refusal(344, b"abc\0"), ErrorKind::CorruptFile, "magic");
        is(refusal(344, b"n+2\0"), ErrorKind::CorruptFile, "magic");
        is(refusal(344, b"ni1\0"), ErrorKind::UnsupportedFormat, "pair");
        is(refusal(344, &[0; 4]), ErrorKind::UnsupportedFormat, "ANALYZE");
        is(refusal_two(4, b"ni2\0\r\n\x1a\n"), ErrorKind::UnsupportedFormat, "pair");
        is(refusal_two(4, b"n+2\0\n\n\x1a\n"), ErrorKind::CorruptFile, "magic");
        is(refusal_two(4, b"n+1\0"), ErrorKind::CorruptFile, "magic");
    }

    #[test]
    fn a_rank_outside_1_to_7_is_corrupt() {
        for rank in [0i16, 8, -1, 768, i16::MAX, i16::MIN] {
            is(refusal(40, &rank.to_le_bytes()), ErrorKind::CorruptFile, "dim[0]");
        }
        for rank in [0i64, 8, -1, i64::MAX, i64::MIN] {
            is(refusal_two(16, &rank.to_le_bytes()), ErrorKind::CorruptFile, "dim[0]");
        }
    }

    #[test]
    fn a_dimension_below_1_is_corrupt() {
        for n in [0i16, -1, i16::MIN] {
            is(refusal(44, &n.to_le_bytes()), ErrorKind::CorruptFile, "dim[2]");
        }
        is(refusal_two(32, &(-3i64).to_le_bytes()), ErrorKind::CorruptFile, "dim[2] is -3");
    }

    #[test]
    fn more_than_three_dimensions_must_be_1() {
        let rank = |rank: i16, fourth: i16| with(with(plain(), 40, &rank.to_le_bytes()), 48, &fourth.to_le_bytes());
        assert_eq!(parse(&rank(4, 1)).unwrap().dims, DIMS);
        assert_eq!(parse(&rank(7, 1)).unwrap().dims, DIMS);
        // Beyond dim[0] nothing counts.
        assert_eq!(parse(&rank(3, 0)).unwrap().dims, DIMS);
        assert_eq!(parse(&rank(2, 0)).unwrap().dims, [3, 4, 1]);
        let error = parse(&rank(4, 2)).unwrap_err();
        is((error.kind(), error.message().into()), ErrorKind::UnsupportedFormat, "4D");
        is((parse(&rank(4, 0)).unwrap_err().kind(), String::new()), ErrorKind::CorruptFile, "");
    }

    #[test]
    fn more_voxels_than_can_be_addressed_are_too_large() {
        let dims: Vec<u8> = [1i64 << 40, 1 << 40, 1 << 40].iter().flat_map(|n| n.to_le_bytes()).collect();
        is(refusal_two(24, &dims), ErrorKind::VolumeTooLarge, "addressed");
        is(refusal_two(24, &i64::MAX.to_le_bytes()), ErrorKind::VolumeTooLarge, "addressed");
    }

    #[test]
    fn a_voxel_type_that_holds_no_ct_is_named_and_an_undefined_one_is_corrupt() {
        for (code, name) in OTHER_DATATYPES {
            is(refusal(70, &code.to_le_bytes()), ErrorKind::UnsupportedFormat, name);
        }
        for code in [0i16, 3, -4, 255, i16::MAX] {
            is(refusal(70, &code.to_le_bytes()), ErrorKind::CorruptFile, "does not define");
        }
    }

    #[test]
    fn bitpix_must_fit_the_voxel_type() {
        for bits in [0i16, 8, 32, -16, i16::MAX] {
            is(refusal(72, &bits.to_le_bytes()), ErrorKind::CorruptFile, "bitpix");
        }
    }

    #[test]
    fn an_offset_that_is_no_place_behind_the_header_is_corrupt() {
        for offset in [0.0f32, 348.0, 351.0, 352.5, -352.0, 1e30, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            is(refusal(108, &offset.to_le_bytes()), ErrorKind::CorruptFile, "vox_offset");
        }
        for offset in [0i64, 352, 543, -544, i64::MAX, i64::MIN] {
            is(refusal_two(168, &offset.to_le_bytes()), ErrorKind::CorruptFile, "vox_offset");
        }
        assert_eq!(parse(&with(plain(), 108, &368f32.to_le_bytes())).unwrap().voxel_offset, 368);
    }

    #[test]
    fn a_slope_of_0_or_not_finite_means_no_rescale() {
        let rescale = |slope: f32, intercept: f32| parse(&with(with(plain(), 112, &slope.to_le_bytes()), 116, &intercept.to_le_bytes()));
        for slope in [0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(rescale(slope, -1024.0).unwrap().rescale, Rescale::IDENTITY);
            assert_eq!(rescale(slope, f32::NAN).unwrap().rescale, Rescale::IDENTITY);
        }
        assert_eq!(rescale(-0.5, 7.0).unwrap().rescale, Rescale { slope: -0.5, intercept: 7.0 });
        for intercept in [f32::NAN, f32::INFINITY] {
            assert_eq!(rescale(1.0, intercept).unwrap_err().kind(), ErrorKind::CorruptFile);
        }
    }

    #[test]
    fn a_transform_code_that_is_negative_or_huge_is_corrupt() {
        is(refusal(252, &(-1i16).to_le_bytes()), ErrorKind::CorruptFile, "qform_code is -1");
        is(refusal(254, &i16::MIN.to_le_bytes()), ErrorKind::CorruptFile, "sform_code");
        is(refusal_two(344, &65_537i32.to_le_bytes()), ErrorKind::CorruptFile, "qform_code is 65537");
        is(refusal_two(500, &(-1i32).to_le_bytes()), ErrorKind::CorruptFile, "xyzt_units is -1");
    }
}
