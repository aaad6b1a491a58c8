//! A file to a volume, a segmentation to a file: one folder per format. `docs/formats.md` says what each preserves.

use std::fs::File;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result, try_vec};
use crate::geometry::{Geometry, World};
use crate::model::LabelConfig;
use crate::segmentation::Segmentation;
use crate::volume::{Image, NiftiPlacement, Rescale, Volume, VoxelType};

mod atomic;
mod buffer;
#[cfg_attr(not(feature = "dicom"), path = "without_dicom.rs")]
mod dicom;
mod nifti;
mod nrrd;
mod series;
mod source;
mod table;
mod voxels;

pub use atomic::write_atomically;
pub use series::{Series, SeriesHeader, SkippedFiles};

/// Which transform of a file places its voxels. The numbers are those of the C ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(i32)]
pub enum GeometryChoice {
    /// By the method's rule; two transforms that disagree are an error.
    #[default]
    Strict = 0,
    /// The sform.
    Sform = 1,
    /// The qform.
    Qform = 2,
}

/// How an image file is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Which transform places the voxels of a NIfTI file; a NRRD file has but one.
    pub geometry: GeometryChoice,
    /// Bytes that the voxels may take; `None`: no limit.
    pub memory_limit: Option<u64>,
}

/// What a file says about its voxels, without the voxels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImageHeader {
    /// Dimensions and place; the world is that of the file (RAS for NIfTI and for a NRRD file in LAS).
    pub geometry: Geometry,
    /// How a voxel is stored.
    pub voxel_type: VoxelType,
    /// From stored numbers to Hounsfield units.
    pub rescale: Rescale,
    /// What a NIfTI header said about the voxels' place.
    pub placement: Option<NiftiPlacement>,
}

/// What a file of labels holds.
struct LabelMap {
    /// Packed, i fastest.
    values: Vec<u8>,
    geometry: Geometry,
    placement: Option<NiftiPlacement>,
    /// The labels' table, if the file brings one.
    table: Option<Vec<LabelConfig>>,
}

/// A format that is read and written here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// `.nii`
    Nifti,
    /// `.nii.gz`
    PackedNifti,
    /// `.nrrd`
    Nrrd,
    /// `.seg.nrrd`: a segmentation of 3D Slicer.
    SegNrrd,
}

impl Format {
    /// The format that a name's ending stands for, in capitals or not.
    fn of(path: &Path) -> Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let fail = |kind, text: &str| Err(Error::new(kind, format!("{}: {text}", path.display())));
        if name.ends_with(".nii.gz") {
            Ok(Format::PackedNifti)
        } else if name.ends_with(".nii") {
            Ok(Format::Nifti)
        } else if name.ends_with(".seg.nrrd") {
            Ok(Format::SegNrrd)
        } else if name.ends_with(".nrrd") {
            Ok(Format::Nrrd)
        } else if name.ends_with(".nhdr") {
            fail(ErrorKind::Unsupported, "a header without its voxels (.nhdr) is not supported: save the volume as one .nrrd file")
        } else if [".dcm", ".dicom", ".ima"].iter().any(|ending| name.ends_with(ending)) {
            fail(ErrorKind::UnsupportedFormat, "a DICOM slice is no volume: give the folder in which its series lies")
        } else if [".hdr", ".img", ".hdr.gz", ".img.gz"].iter().any(|ending| name.ends_with(ending)) {
            fail(ErrorKind::UnsupportedFormat, "a pair of files (.hdr, .img) is not supported: convert it to one .nii or .nii.gz")
        } else {
            fail(ErrorKind::UnsupportedFormat, "the name's ending must say the format: .nii, .nii.gz or .nrrd")
        }
    }

    /// The same, for a volume that is no segmentation.
    fn of_image(path: &Path) -> Result<Self> {
        match Format::of(path)? {
            Format::SegNrrd => {
                let message = format!("{}: a .seg.nrrd holds a segmentation: let the name of a volume end in .nrrd", path.display());
                Err(Error::new(ErrorKind::UnsupportedFormat, message))
            }
            format => Ok(format),
        }
    }
}

/// The name of an image file without `.nii`, `.nii.gz`, `.seg.nrrd` or `.nrrd`; `None` if it ends otherwise.
pub fn image_stem(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_string_lossy();
    let lower = name.to_ascii_lowercase();
    let end = [".nii", ".nii.gz", ".seg.nrrd", ".nrrd"].into_iter().find_map(|ending| lower.strip_suffix(ending))?.len();
    name.get(..end).map(str::to_owned)
}

/// Opens a regular file: nothing that blocks, never ends, or is a directory. Returns its length in bytes too.
fn open_regular(path: &Path) -> Result<(File, u64)> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // Opening a pipe would wait for its writer; a regular file does not care.
        options.custom_flags(libc::O_NONBLOCK);
    }
    let file = options.open(path).map_err(|error| Error::io(path, "open", &error))?;
    let metadata = file.metadata().map_err(|error| Error::io(path, "examine", &error))?;
    let fail = |text: &str| Err(Error::new(ErrorKind::Io, format!("cannot read {}: {text}", path.display())));
    if metadata.is_dir() {
        return fail("it is a directory; give a file");
    }
    if !metadata.is_file() {
        return fail("it is a pipe or a device; give a regular file");
    }
    Ok((file, metadata.len()))
}

/// Reads an image; the name's ending says the format: `.nii`, `.nii.gz`, `.nrrd`. A folder is read as the DICOM series in it
/// (see [`read_series`]). Whether a NIfTI file is compressed, its first bytes decide. Bytes behind the voxels are ignored (in a compressed file: less than 1 MiB of them, for its checksum is checked).
///
/// # Errors
/// [`ErrorKind::Io`]: missing, unreadable, or no regular file; [`ErrorKind::UnsupportedFormat`],
/// [`ErrorKind::Unsupported`]: another format, voxel type or number of dimensions; [`ErrorKind::CorruptFile`]: truncated,
/// damaged, or at odds with itself; [`ErrorKind::InvalidGeometry`], [`ErrorKind::AmbiguousGeometry`]: no usable place, or
/// two of them; [`ErrorKind::VolumeTooLarge`]: above the memory limit; [`ErrorKind::OutOfMemory`].
pub fn read_image(path: &Path, options: &ReadOptions) -> Result<Image> {
    if path.is_dir() {
        return read_series(&Series::in_folder(path), options);
    }
    let (file, length) = open_regular(path)?;
    match Format::of(path)? {
        Format::Nifti | Format::PackedNifti => nifti::read(file, length, options),
        Format::Nrrd | Format::SegNrrd => nrrd::read(file, length, options),
    }
    .map_err(|error| error.context(path.display()))
}

/// Reads what [`read_image`] reads, except the voxels. The memory limit does not matter here.
///
/// # Errors
/// As [`read_image`], as far as the header tells.
pub fn read_image_header(path: &Path, options: &ReadOptions) -> Result<ImageHeader> {
    if path.is_dir() {
        return Ok(read_series_header(&Series::in_folder(path))?.image);
    }
    let (file, length) = open_regular(path)?;
    match Format::of(path)? {
        Format::Nifti | Format::PackedNifti => nifti::read_header(file, length, options),
        Format::Nrrd | Format::SegNrrd => nrrd::read_header(file),
    }
    .map_err(|error| error.context(path.display()))
}

/// Reads a CT series of DICOM files, one slice in each, to a volume in LPS. `docs/dicom.md` has all of what is read and
/// refused.
///
/// Slices are sorted by position along the normal of their ImageOrientationPatient; names and instance numbers do not
/// matter. Voxels are what is stored, int16 or uint16, with the rescale to Hounsfield units that all slices share; where
/// slices differ, they are Hounsfield units, int16 if all are whole numbers of 16 bits, else float32. Padding
/// (PixelPaddingValue) is kept as it is stored. Nothing is taken for the voxels before all files have been checked.
///
/// # Errors
/// [`ErrorKind::Io`]: missing or unreadable; [`ErrorKind::UnsupportedFormat`], [`ErrorKind::Unsupported`]: no slice, no CT,
/// many slices in one file, a transfer syntax that is not decoded, or a build without the feature `dicom`;
/// [`ErrorKind::InvalidArgument`]: several series and none chosen, or not the one that was; [`ErrorKind::CorruptFile`]:
/// truncated, damaged, or without an attribute that a CT slice must have; [`ErrorKind::InvalidGeometry`]: slices that make
/// no volume, because they differ in size, spacing or orientation, are missing, lie twice in one place, or are tilted;
/// [`ErrorKind::VolumeTooLarge`]: above the memory limit; [`ErrorKind::OutOfMemory`].
pub fn read_series(series: &Series, options: &ReadOptions) -> Result<Image> {
    dicom::read(series, options)
}

/// Reads what [`read_series`] reads, except the voxels, and tells what else lies there. The memory limit does not matter
/// here.
///
/// # Errors
/// As [`read_series`], as far as the files' attributes tell.
pub fn read_series_header(series: &Series) -> Result<SeriesHeader> {
    dicom::read_header(series)
}

/// Reads a segmentation that was written here, reviewed, or made by others; the name's ending says the format: `.nii`,
/// `.nii.gz`, `.nrrd`, `.seg.nrrd`. The result answers what a fresh one does (see [`Segmentation::from_labels`]).
///
/// A file's own table names the labels, where it has one; else each value that occurs is a label of the name `label N`.
/// Layers of a `.seg.nrrd` are merged, and given values of their own where they share some. One that holds a part of the
/// image that was segmented is extended to the whole of it, if it tells the image's grid.
///
/// # Errors
/// As [`read_image`]; [`ErrorKind::Unsupported`]: segments that overlap; [`ErrorKind::InvalidArgument`]: voxels that are no
/// whole numbers from 0 to 255, or not in the file's table.
pub fn read_segmentation(path: &Path, options: &ReadOptions) -> Result<Segmentation> {
    let (file, length) = open_regular(path)?;
    let read = match Format::of(path)? {
        Format::Nifti | Format::PackedNifti => nifti::read_labels(file, length, options),
        Format::Nrrd | Format::SegNrrd => nrrd::read_labels(file, length, options),
    };
    read.and_then(|LabelMap { values, geometry, placement, table }| {
        let table = table.unwrap_or_else(|| table::of_values(&values));
        Segmentation::from_labels(&Volume::from_slice(&values, geometry)?.with_placement(placement), &table)
    })
    .map_err(|error| error.context(path.display()))
}

/// Writes a label map with its table; the name's ending says the format: `.nii`, `.nii.gz`, `.nrrd`, `.seg.nrrd`. The file
/// appears whole or not at all and replaces an existing one. The same labels make the same bytes.
///
/// `.seg.nrrd` is a segmentation of 3D Slicer, in LPS: names, colors and codes of all labels but the background. `.nrrd` is
/// the same in the world of the volume.
///
/// A NIfTI file repeats the dimensions, both transforms, both codes and the units of the NIfTI file that was segmented;
/// a volume that came by pointer is placed by its affine.
///
/// # Errors
/// [`ErrorKind::UnsupportedFormat`], [`ErrorKind::Unsupported`]: another ending; [`ErrorKind::Io`].
pub fn write_segmentation(segmentation: &Segmentation, path: &Path) -> Result<()> {
    let (labels, geometry, placement) = (segmentation.labels(), segmentation.geometry(), segmentation.placement());
    match Format::of(path)? {
        format @ (Format::Nifti | Format::PackedNifti) => {
            nifti::write_labels(labels, geometry, placement, segmentation.table(), format == Format::PackedNifti, path)
        }
        Format::Nrrd => nrrd::write_labels(labels, geometry, segmentation.table(), path),
        Format::SegNrrd => {
            let ijk_to_world = geometry.ijk_to_world.between(geometry.world, World::Lps);
            let lps = Geometry { ijk_to_world, world: World::Lps, ..*geometry };
            nrrd::write_labels(labels, &lps, segmentation.table(), path)
        }
    }
}

/// Writes the confidence of every voxel, 0 to 1 as float32, into a file that lies where that of [`write_segmentation`]
/// does: `.nii`, `.nii.gz`, `.nrrd`.
///
/// # Errors
/// As [`write_image`]; [`ErrorKind::OutOfMemory`].
pub fn write_confidence(segmentation: &Segmentation, path: &Path) -> Result<()> {
    Format::of_image(path)?;
    let mut confidence = try_vec(0f32, segmentation.labels().len(), "the confidence of every voxel")?;
    segmentation.copy_confidence(&mut confidence)?;
    let volume = Volume::from_slice(&confidence, *segmentation.geometry())?;
    write_image(&volume.with_placement(segmentation.placement().copied()), path)
}

/// Writes a volume of any voxel type; the name's ending says the format: `.nii`, `.nii.gz`, `.nrrd`. The file appears
/// whole or not at all and replaces an existing one.
///
/// NIfTI holds a rescale (version 1 in 32 bits); NRRD holds none, so there the Hounsfield units themselves are written, in
/// the first of int16, int32, float32 and float64 that holds them all.
///
/// # Errors
/// [`ErrorKind::UnsupportedFormat`], [`ErrorKind::Unsupported`]: another ending; [`ErrorKind::Io`];
/// [`ErrorKind::NullArgument`] for a volume without voxels.
pub fn write_image(volume: &Volume<'_>, path: &Path) -> Result<()> {
    match Format::of_image(path)? {
        format @ (Format::Nifti | Format::PackedNifti) => nifti::write_volume(volume, format == Format::PackedNifti, path),
        Format::Nrrd | Format::SegNrrd => nrrd::write_volume(volume, path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Affine;
    use crate::model::Code;
    use crate::segmentation::Label;
    use std::path::PathBuf;

    fn refusal(path: &Path) -> (ErrorKind, String) {
        let error = read_image(path, &ReadOptions::default()).unwrap_err();
        assert_eq!(read_image_header(path, &ReadOptions::default()).unwrap_err(), error);
        (error.kind(), error.message().into())
    }

    fn image() -> Image {
        let geometry = Geometry { dims: [2, 2, 2], ijk_to_world: Affine::from_spacing([1.0; 3], [0.0; 3]), world: World::Ras };
        Image::new(vec![7; 8], VoxelType::Uint8, geometry, Rescale::IDENTITY).unwrap()
    }

    #[test]
    fn the_ending_says_the_format_in_capitals_or_not() {
        for (name, expected) in [
            ("a.nii", Ok(Format::Nifti)),
            ("A.NII", Ok(Format::Nifti)),
            ("a.nii.gz", Ok(Format::PackedNifti)),
            ("a.b.Nii.Gz", Ok(Format::PackedNifti)),
            ("a.seg.nrrd", Ok(Format::SegNrrd)),
            ("a.Seg.NRRD", Ok(Format::SegNrrd)),
            ("a.nrrd", Ok(Format::Nrrd)),
            ("a.nhdr", Err(ErrorKind::Unsupported)),
            ("a.hdr", Err(ErrorKind::UnsupportedFormat)),
            ("a.img.gz", Err(ErrorKind::UnsupportedFormat)),
            ("a.gz", Err(ErrorKind::UnsupportedFormat)),
            ("a.dcm", Err(ErrorKind::UnsupportedFormat)),
            ("nii", Err(ErrorKind::UnsupportedFormat)),
            ("", Err(ErrorKind::UnsupportedFormat)),
        ] {
            assert_eq!(Format::of(Path::new(name)).map_err(|error| error.kind()), expected, "{name}");
        }
    }

    #[test]
    fn a_stem_is_the_name_without_the_ending_of_an_image() {
        let stem = |name: &str| image_stem(Path::new(name));
        for (name, expected) in
            [("dir/a.nii", "a"), ("A.b.NII.GZ", "A.b"), ("a.nii.nii.gz", "a.nii"), ("ä.nii", "ä"), ("a.seg.nrrd", "a"), ("a.nrrd", "a")]
        {
            assert_eq!(stem(name).as_deref(), Some(expected), "{name}");
        }
        assert!(["nii", "a.gz", "a.nii.zip", ".", "", "a.nhdr"].into_iter().all(|name| stem(name).is_none()));
    }

    /// Six voxels of three labels, one of which does not occur, in RAS.
    fn segmentation() -> Segmentation {
        let code = |code: &str, meaning: &str| Some(Code { scheme: "SCT".into(), code: code.into(), meaning: meaning.into() });
        let (terminology, category) = (code("272673000", "Bone"), code("85756007", "Tissue"));
        let table = [
            LabelConfig { value: 3, name: "bone <&> 1\n2".into(), color: [241, 214, 145], terminology, category, pieces: None },
            LabelConfig { value: 1, name: "nerve".into(), color: [244, 214, 49], terminology: None, category: None, pieces: None },
            LabelConfig { value: 9, name: "absent".into(), color: [0, 0, 255], terminology: None, category: None, pieces: None },
        ];
        let geometry =
            Geometry { dims: [3, 2, 1], ijk_to_world: Affine::from_spacing([1.0, 2.0, 3.0], [-7.5, 8.0, 9.0]), world: World::Ras };
        Segmentation::from_labels(&Volume::from_slice(&[0u8, 3, 3, 1, 0, 3], geometry).unwrap(), &table).unwrap()
    }

    #[test]
    fn a_segmentation_comes_back_from_every_format_with_its_table() {
        let directory = tempfile::tempdir().unwrap();
        let original = segmentation();
        for (name, world) in [("a.nii", World::Ras), ("a.nii.gz", World::Ras), ("a.nrrd", World::Ras), ("a.seg.nrrd", World::Lps)] {
            let path = directory.path().join(name);
            write_segmentation(&original, &path).unwrap();
            let back = read_segmentation(&path, &ReadOptions::default()).unwrap();
            assert_eq!(back.labels(), original.labels(), "{name}");
            assert_eq!(back.geometry().world, world, "{name}");
            back.geometry().check_same_grid(original.geometry()).unwrap();
            let told = |segmentation: &Segmentation| -> Vec<_> {
                let of = |label: &Label| {
                    (
                        label.value,
                        label.name.clone(),
                        label.color,
                        label.terminology.clone(),
                        label.category.clone(),
                        label.statistics.voxels,
                    )
                };
                segmentation.table().iter().map(of).collect()
            };
            assert_eq!(told(&back), told(&original), "{name}");
            let point = back.at(World::Lps, [6.5, -8.0, 9.0]).unwrap();
            assert_eq!((point.label, point.confidence), (3, 1.0));
            // Whoever wants but the voxels gets them.
            assert_eq!(read_image(&path, &ReadOptions::default()).unwrap().bytes(), original.labels(), "{name}");
            let first = std::fs::read(&path).unwrap();
            write_segmentation(&original, &path).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), first, "{name}");
        }
    }

    #[test]
    fn a_label_map_without_a_table_gets_the_labels_that_occur() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["a.nii", "a.nii.gz", "a.nrrd"] {
            let path = directory.path().join(name);
            let volume = [0i16, 7, 2, 7, 0, 0];
            write_image(&Volume::from_slice(&volume, *segmentation().geometry()).unwrap(), &path).unwrap();
            let table = read_segmentation(&path, &ReadOptions::default()).unwrap();
            let told: Vec<_> = table.table().iter().map(|label| (label.name.as_str(), label.statistics.voxels)).collect();
            assert_eq!(told, [("background", 3), ("label 2", 1), ("label 7", 2)], "{name}");
        }
        let path = directory.path().join("ct.nrrd");
        write_image(&Volume::from_slice(&[-1000i16; 6], *segmentation().geometry()).unwrap(), &path).unwrap();
        let error = read_segmentation(&path, &ReadOptions::default()).unwrap_err();
        assert!(error.kind() == ErrorKind::InvalidArgument && error.message().contains("ct.nrrd"), "{error}");
    }

    #[test]
    fn a_confidence_is_written_beside_any_label_map_but_never_as_a_segmentation() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.nrrd");
        write_confidence(&segmentation(), &path).unwrap();
        let image = read_image(&path, &ReadOptions::default()).unwrap();
        assert_eq!(image.view().row::<f32>(0, 0).unwrap().collect::<Vec<_>>(), [1.0; 3]);
        let error = write_confidence(&segmentation(), &directory.path().join("b.seg.nrrd")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnsupportedFormat);
    }

    #[test]
    fn what_is_no_regular_file_is_an_io_error_that_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let missing = refusal(&directory.path().join("missing.nii"));
        assert!(missing.0 == ErrorKind::Io && missing.1.contains("missing.nii"), "{missing:?}");
        let folder = read_segmentation(directory.path(), &ReadOptions::default()).unwrap_err();
        assert!(folder.kind() == ErrorKind::Io && folder.message().contains("directory"), "{folder:?}");
        assert_eq!(refusal(Path::new("nul\0.nii")).0, ErrorKind::Io);
    }

    #[test]
    fn a_folder_is_read_as_the_series_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let series = Series::in_folder(directory.path());
        let error = read_series(&series, &ReadOptions::default()).unwrap_err();
        assert_eq!(refusal(directory.path()), (error.kind(), error.message().into()));
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_and_an_endless_device_do_not_block_reading() {
        let directory = tempfile::tempdir().unwrap();
        let [pipe, zero] = ["pipe.nii", "zero.nii"].map(|name| directory.path().join(name));
        let name = std::ffi::CString::new(pipe.to_str().unwrap()).unwrap();
        // SAFETY: the name ends with a zero.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        std::os::unix::fs::symlink("/dev/zero", &zero).unwrap();
        for path in [pipe, zero, PathBuf::from("/dev/zero")] {
            let refusal = refusal(&path);
            assert!(refusal.0 == ErrorKind::Io && refusal.1.contains("device"), "{refusal:?}");
        }
    }

    #[test]
    fn the_first_bytes_decide_whether_a_file_is_compressed() {
        let directory = tempfile::tempdir().unwrap();
        let [plain, packed] = ["a.nii", "a.nii.gz"].map(|name| directory.path().join(name));
        for (written, renamed) in [(&plain, &packed), (&packed, &plain)] {
            write_image(&image().view(), written).unwrap();
            std::fs::rename(written, renamed).unwrap();
            assert_eq!(read_image(renamed, &ReadOptions::default()).unwrap().bytes(), [7; 8]);
        }
    }

    #[test]
    fn another_ending_writes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        for (name, kind) in
            [("a.png", ErrorKind::UnsupportedFormat), ("a.nhdr", ErrorKind::Unsupported), ("a.seg.nrrd", ErrorKind::UnsupportedFormat)]
        {
            assert_eq!(write_image(&image().view(), &directory.path().join(name)).unwrap_err().kind(), kind);
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_message_names_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("broken.nii");
        std::fs::write(&path, "no image").unwrap();
        let refusal = refusal(&path);
        assert!(refusal.0 == ErrorKind::CorruptFile && refusal.1.contains("broken.nii: not a NIfTI file"), "{refusal:?}");
    }

    #[test]
    fn the_golden_volumes_lie_where_another_reader_finds_them() {
        // As printed by nibabel.
        let cases = [
            (
                "golden/ct-l5s1-3mm.nii.gz",
                ([42, 42, 29], VoxelType::Int16),
                [3.0, 0.0, 0.0, -57.956329345703125, 0.0, 3.0, 0.0, 20.319000244140625, 0.0, 0.0, 3.0, 190.3017578125],
            ),
            (
                "golden/oblique.nii.gz",
                ([10, 110, 100], VoxelType::Uint16),
                [
                    -0.10172569006681442,
                    0.7650437951087952,
                    0.26057371497154236,
                    -49.09185028076172,
                    0.3327297568321228,
                    0.2338973581790924,
                    -0.8522982597351074,
                    105.26307678222656,
                    -2.475670099258423,
                    0.0,
                    -0.1252557933330536,
                    249.64244079589844,
                ],
            ),
        ];
        for (name, expected, affine) in cases {
            let Some(path) = crate::testing::shared_data(name) else { return };
            let image = read_image(&path, &ReadOptions::default()).unwrap();
            let view = image.view();
            assert_eq!((view.geometry().dims, view.voxel_type()), expected, "{name}");
            assert_eq!(view.geometry().ijk_to_world.0[..12], affine, "{name}");
            let qform = read_image(&path, &ReadOptions { geometry: GeometryChoice::Qform, ..ReadOptions::default() }).unwrap();
            let difference = |at: usize| (qform.view().geometry().ijk_to_world.0[at] - affine[at]).abs();
            assert!((0..12).all(|at| difference(at) < 1e-6), "{name}");
        }
    }
}
