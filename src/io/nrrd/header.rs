//! The guard: a header's text to checked values, before anything is sized by them.

use super::super::voxels::byte_count;
use super::place;
use super::text::{Text, corrupt};
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::Geometry;
use crate::volume::VoxelType;

/// The voxel types and their names in the format; the first is the one written.
const TYPES: [(VoxelType, &[&str]); 7] = [
    (VoxelType::Int8, &["signed char", "int8", "int8_t"]),
    (VoxelType::Uint8, &["unsigned char", "uchar", "uint8", "uint8_t"]),
    (VoxelType::Int16, &["short", "short int", "signed short", "signed short int", "int16", "int16_t"]),
    (VoxelType::Uint16, &["unsigned short", "ushort", "unsigned short int", "uint16", "uint16_t"]),
    (VoxelType::Int32, &["int", "signed int", "int32", "int32_t"]),
    (VoxelType::Float32, &["float"]),
    (VoxelType::Float64, &["double"]),
];

/// The types of the format that hold no CT.
const OTHER_TYPES: [&str; 17] = [
    "uint",
    "unsigned int",
    "uint32",
    "uint32_t",
    "longlong",
    "long long",
    "long long int",
    "signed long long",
    "signed long long int",
    "int64",
    "int64_t",
    "ulonglong",
    "unsigned long long",
    "unsigned long long int",
    "uint64",
    "uint64_t",
    "block",
];

/// The name of a voxel type that is written.
pub(super) fn type_name(voxel_type: VoxelType) -> &'static str {
    TYPES.iter().find(|(known, _)| *known == voxel_type).and_then(|(_, names)| names.first()).copied().unwrap_or_default()
}

/// A checked header: what is in here, reading may rely on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub geometry: Geometry,
    /// Values per voxel, side by side: 1, unless the first axis is a list.
    pub layers: usize,
    /// Whether there is an axis that is a list, even of one.
    pub list: bool,
    pub voxel_type: VoxelType,
    /// Bytes of all voxels, of all layers.
    pub voxel_bytes: usize,
    pub packed: bool,
    pub big_endian: bool,
}

/// Checks a header.
///
/// # Errors
/// [`ErrorKind::CorruptFile`], [`ErrorKind::UnsupportedFormat`], [`ErrorKind::Unsupported`] for voxels in another file;
/// [`ErrorKind::VolumeTooLarge`] for more voxels than can be addressed; the geometry's own kinds.
pub(super) fn parse(text: &Text) -> Result<Header> {
    if text.field("datafile").is_some() {
        return Err(super::text::detached());
    }
    for (field, name) in [("lineskip", "line skip"), ("byteskip", "byte skip")] {
        if let Some(value) = text.field(field).filter(|value| *value != "0") {
            let message = format!("\"{name}: {}\" is not supported: save the file anew", value.escape_debug());
            return Err(Error::new(ErrorKind::UnsupportedFormat, message));
        }
    }
    let voxel_type = voxel_type(text.required("type", "type")?)?;
    let sizes = sizes(text)?;
    let list = is_list(text, sizes.len())?;
    let (layers, dims) = match *sizes {
        [i, j, k] if !list => (1, [i, j, k]),
        [layers, i, j, k] if list => (layers, [i, j, k]),
        _ => return Err(not_3d(sizes.len())),
    };
    let directions = place::directions(text, sizes.len())?;
    let steps = match *directions {
        [Some(i), Some(j), Some(k)] | [None, Some(i), Some(j), Some(k)] => [i, j, k],
        _ => return Err(not_3d(sizes.len())),
    };
    let packed = packed(text.required("encoding", "encoding")?)?;
    let big_endian = match text.field("endian").map(str::to_ascii_lowercase).as_deref() {
        Some("little") => false,
        Some("big") => true,
        None if voxel_type.size() == 1 => false,
        None => return Err(corrupt(format!("the header has no field \"endian\", which voxels of {} need", voxel_type.name()))),
        Some(other) => return Err(corrupt(format!("endian is \"{}\": it must be little or big", other.escape_debug()))),
    };
    let voxel_bytes = byte_count(&sizes, voxel_type)?;
    Ok(Header { geometry: place::geometry(text, dims, steps)?, layers, list, voxel_type, voxel_bytes, packed, big_endian })
}

fn not_3d(dimension: usize) -> Error {
    let message = format!("a {dimension}D image, or one of vectors or colors: give one with a single number per voxel of a 3D volume");
    Error::new(ErrorKind::UnsupportedFormat, message)
}

fn voxel_type(name: &str) -> Result<VoxelType> {
    let lower = name.to_ascii_lowercase();
    if let Some((voxel_type, _)) = TYPES.iter().find(|(_, names)| names.contains(&lower.as_str())) {
        return Ok(*voxel_type);
    }
    if OTHER_TYPES.contains(&lower.as_str()) {
        let message = format!("voxels of type {lower}: convert them to short or another of the seven types that hold a CT");
        return Err(Error::new(ErrorKind::UnsupportedFormat, message));
    }
    Err(corrupt(format!("type is \"{}\", which the format does not define", name.escape_debug())))
}

/// The axes' sizes; their number is the dimension.
fn sizes(text: &Text) -> Result<Vec<usize>> {
    let dimension = text.required("dimension", "dimension")?;
    let Some(count) = dimension.parse::<usize>().ok().filter(|count| (1..=16).contains(count)) else {
        return Err(corrupt(format!("dimension is \"{}\": it must be 1 to 16", dimension.escape_debug())));
    };
    let field = text.required("sizes", "sizes")?;
    let sizes: Option<Vec<u64>> = field.split_whitespace().map(|size| size.parse().ok().filter(|size| *size > 0)).collect();
    let Some(sizes) = sizes.filter(|sizes| sizes.len() == count) else {
        let message = format!("sizes is \"{}\": it must be {count} numbers of at least 1", field.escape_debug());
        return Err(corrupt(message));
    };
    let size = |size: u64| {
        usize::try_from(size).map_err(|_| Error::new(ErrorKind::VolumeTooLarge, format!("a size of {size} voxels cannot be addressed")))
    };
    sizes.into_iter().map(size).collect()
}

/// Whether the first axis is one of values side by side, and not of space. Without kinds, the directions tell.
fn is_list(text: &Text, dimension: usize) -> Result<bool> {
    let Some(field) = text.field("kinds") else {
        return Ok(dimension == 4 && text.field("spacedirections").is_some_and(|field| field.starts_with("none")));
    };
    let kinds: Vec<&str> = field.split_whitespace().collect();
    if kinds.len() != dimension {
        return Err(corrupt(format!("kinds is \"{}\": it must be {dimension} words", field.escape_debug())));
    }
    let spatial = |kind: &str| ["domain", "space", "none", "???"].iter().any(|known| kind.eq_ignore_ascii_case(known));
    match *kinds {
        [i, j, k] if [i, j, k].into_iter().all(spatial) => Ok(false),
        // An axis of unknown kind is a list where its direction is none, which is checked in any case.
        [list, i, j, k]
            if [i, j, k].into_iter().all(spatial) && !["domain", "space"].iter().any(|kind| list.eq_ignore_ascii_case(kind)) =>
        {
            Ok(true)
        }
        _ => Err(not_3d(dimension)),
    }
}

/// Whether the voxels are compressed.
fn packed(encoding: &str) -> Result<bool> {
    match encoding.to_ascii_lowercase().as_str() {
        "raw" => Ok(false),
        "gzip" | "gz" => Ok(true),
        other @ ("txt" | "text" | "ascii" | "hex" | "bz2" | "bzip2" | "zrl") => {
            Err(Error::new(ErrorKind::UnsupportedFormat, format!("the encoding {other} is not supported: save the file as raw or gzip")))
        }
        _ => Err(corrupt(format!("encoding is \"{}\", which the format does not define", encoding.escape_debug()))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{plain_head, with_line};
    use super::*;

    fn parsed(head: &str) -> Result<Header> {
        parse(&Text::read(&mut head.as_bytes())?)
    }

    /// The plain header with another line for a field, or without it.
    fn changed(field: &str, line: &str) -> Result<Header> {
        parsed(&with_line(&plain_head(), field, line))
    }

    #[test]
    fn every_name_of_every_voxel_type_is_known() {
        for (voxel_type, names) in TYPES {
            for name in names {
                assert_eq!(changed("type", &format!("type: {name}")).unwrap().voxel_type, voxel_type);
            }
            assert_eq!(changed("type", &format!("type: {}", type_name(voxel_type))).unwrap().voxel_type, voxel_type);
        }
        for name in OTHER_TYPES {
            assert_eq!(changed("type", &format!("type: {name}")).unwrap_err().kind(), ErrorKind::UnsupportedFormat);
        }
    }

    #[test]
    fn every_line_missing_doubled_or_garbled_is_refused_or_does_not_matter() {
        let head = plain_head();
        // Without kinds, axes are spatial.
        assert!(changed("kinds", "").is_ok());
        let (mut missing, mut garbled) = (0, 0);
        for line in head.lines().filter(|line| !line.is_empty()) {
            let field = line.split(':').next().unwrap();
            let doubled = parsed(&with_line(&head, field, &format!("{line}\n{line}")));
            assert_eq!(doubled.unwrap_err().kind(), ErrorKind::CorruptFile, "{line} doubled");
            if field != "kinds" {
                let error = changed(field, "").unwrap_err();
                assert!(matches!(error.kind(), ErrorKind::CorruptFile | ErrorKind::AmbiguousGeometry), "{line} missing: {error}");
                missing += 1;
            }
            // Every byte of it lost, replaced, and swapped with the next.
            for at in 0..line.len() {
                let (head_of_line, tail) = line.split_at(at);
                let rest = &tail[1..];
                for other in [format!("{head_of_line}{rest}"), format!("{head_of_line}?{rest}"), format!("{head_of_line}\0{rest}")] {
                    if let Err(error) = parsed(&with_line(&head, field, &other)) {
                        assert!(error.message().len() > 10, "{other}");
                        garbled += 1;
                    }
                }
            }
        }
        assert_eq!(missing, 9);
        assert!(garbled > 500, "{garbled}");
    }

    #[test]
    fn other_dimensions_and_axes_that_are_no_space_are_not_supported() {
        let vectors = with_line(&with_line(&plain_head(), "dimension", "dimension: 4"), "sizes", "sizes: 3 3 4 2");
        let vectors = with_line(&vectors, "space directions", "space directions: none (1,0,0) (0,1,0) (0,0,1)");
        let listed = with_line(&vectors, "kinds", "kinds: list domain domain domain");
        let header = parsed(&listed).unwrap();
        assert_eq!((header.layers, header.list, header.geometry.dims, header.voxel_bytes), (3, true, [3, 4, 2], 144));
        assert_eq!(parsed(&with_line(&vectors, "kinds", "")).unwrap().layers, 3);
        for kinds in ["domain domain domain list", "domain domain domain domain", "list list domain domain", "list domain domain time"] {
            let error = parsed(&with_line(&vectors, "kinds", &format!("kinds: {kinds}"))).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnsupportedFormat, "{kinds}");
        }
        for kinds in ["vector domain domain", "domain domain time", "RGB-color domain domain"] {
            assert_eq!(changed("kinds", &format!("kinds: {kinds}")).unwrap_err().kind(), ErrorKind::UnsupportedFormat, "{kinds}");
        }
        let none = changed("space directions", "space directions: none (0,1,0) (0,0,1)");
        assert_eq!(none.unwrap_err().kind(), ErrorKind::UnsupportedFormat);
        let flat = with_line(&with_line(&plain_head(), "dimension", "dimension: 2"), "sizes", "sizes: 3 4");
        let flat = with_line(&with_line(&flat, "kinds", ""), "space directions", "space directions: (1,0,0) (0,1,0)");
        assert_eq!(parsed(&flat).unwrap_err().kind(), ErrorKind::UnsupportedFormat);
    }

    #[test]
    fn other_encodings_skips_and_files_elsewhere_are_not_supported() {
        for encoding in ["ascii", "hex", "bzip2", "zrl"] {
            let error = changed("encoding", &format!("encoding: {encoding}")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnsupportedFormat, "{encoding}");
        }
        assert!(changed("encoding", "encoding: GZ\nbyte skip: 0").unwrap().packed);
        assert_eq!(changed("encoding", "encoding: raw\nbyte skip: -1").unwrap_err().kind(), ErrorKind::UnsupportedFormat);
        let elsewhere = changed("encoding", "encoding: raw\ndata file: a.raw").unwrap_err();
        assert!(elsewhere.kind() == ErrorKind::Unsupported && elsewhere.message().contains("one .nrrd"), "{elsewhere}");
    }

    #[test]
    fn hostile_sizes_are_refused_before_anything_is_allocated() {
        for (sizes, kind) in [
            ("1000000 1000000 1000000", ErrorKind::InvalidGeometry),
            ("4611686018427387904 2 2", ErrorKind::VolumeTooLarge),
            ("18446744073709551615 18446744073709551615 18446744073709551615", ErrorKind::VolumeTooLarge),
            ("18446744073709551616 1 1", ErrorKind::CorruptFile),
            ("-3 4 2", ErrorKind::CorruptFile),
            ("0 4 2", ErrorKind::CorruptFile),
            ("3 4", ErrorKind::CorruptFile),
            ("3 4 2 1", ErrorKind::CorruptFile),
            ("3 4 2.0", ErrorKind::CorruptFile),
        ] {
            assert_eq!(changed("sizes", &format!("sizes: {sizes}")).unwrap_err().kind(), kind, "{sizes}");
        }
    }
}
