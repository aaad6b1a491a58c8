//! Which files of a folder are read.

use dicom_dictionary_std::{tags, uids};

use super::super::fixtures::{File, Place, series, stored};
use crate::error::ErrorKind;
use crate::io::{ReadOptions, Series, SkippedFiles, read_series, read_series_header};

/// A series of two slices beside the one of three.
fn another() -> [File; 2] {
    [50.0, 51.0].map(|height| File::new(height, 7).with(tags::SERIES_INSTANCE_UID, "1.2.9").with(tags::SERIES_DESCRIPTION, "Lung \"1.0\""))
}

#[test]
fn what_is_no_slice_of_the_series_is_passed_over_and_counted() {
    let place = Place::series();
    let mut directory = File::new(0.0, 0);
    directory.class = uids::MEDIA_STORAGE_DIRECTORY_STORAGE;
    place.write("DICOMDIR", &directory.encode());
    place.write("notes.txt", b"no DICOM");
    place.write("empty", b"");
    let scout = File::new(700.0, 0).with(tags::IMAGE_TYPE, r"ORIGINAL\PRIMARY\LOCALIZER").with(tags::SERIES_INSTANCE_UID, "1.2.8");
    place.write("scout", &scout.encode());
    std::fs::create_dir(place.path("folder")).unwrap();
    std::fs::write(place.path("folder/x"), File::new(7.5, 0).encode()).unwrap();
    let header = place.header();
    assert_eq!(header.skipped, SkippedFiles { not_dicom: 2, directories: 1, localizers: 1, ..SkippedFiles::default() });
    assert_eq!((header.image.geometry.dims, header.uid.as_str()), ([4, 3, 3], "1.2.3"));
    assert_eq!((header.description.as_str(), header.transfer_syntax.as_str()), ("Spine 2.5 B30", "Explicit VR Little Endian"));
    assert!(place.read().is_ok());
}

#[test]
fn several_series_are_listed_and_one_is_chosen_by_its_uid() {
    let place = Place::with(series().into_iter().chain(another()));
    let (kind, message) = place.refusal();
    assert_eq!(kind, ErrorKind::InvalidArgument);
    for part in ["2 series", "SeriesInstanceUID", r#"1.2.3 (CT, 3 files, "Spine 2.5 B30")"#, "1.2.9 (CT, 2 files"] {
        assert!(message.contains(part), "{message}");
    }
    let chosen = place.folder().with_uid("1.2.9");
    assert_eq!(stored(&read_series(&chosen, &ReadOptions::default()).unwrap())[0], 7.0);
    assert_eq!(read_series_header(&chosen).unwrap().skipped.other_series, 3);
    let unknown = read_series_header(&place.folder().with_uid("9.9")).unwrap_err();
    assert!(unknown.kind() == ErrorKind::InvalidArgument && unknown.message().contains("1.2.9 (CT"), "{unknown}");
}

#[test]
fn a_list_of_files_is_a_series_in_any_order_and_each_must_be_dicom() {
    let place = Place::series();
    let list = |names: &[&str]| Series::of_files(names.iter().map(|name| place.path(name)));
    let image = read_series(&list(&["c", "a", "b"]), &ReadOptions::default()).unwrap();
    assert_eq!(stored(&image), stored(&place.read().unwrap()));
    place.write("notes.txt", b"no DICOM");
    let error = read_series_header(&list(&["c", "a", "b", "notes.txt"])).unwrap_err();
    assert!(error.kind() == ErrorKind::CorruptFile && error.message().contains("notes.txt"), "{error}");
    assert_eq!(read_series_header(&list(&["c", "missing"])).unwrap_err().kind(), ErrorKind::Io);
    let twice = read_series_header(&list(&["a", "b", "c", "c"])).unwrap_err();
    assert!(twice.message().contains("same position"), "{twice}");
}

#[test]
fn a_name_that_promises_dicom_is_held_to_it() {
    let place = Place::series();
    place.write("x.dcm", b"");
    let (kind, message) = place.refusal();
    assert!(kind == ErrorKind::CorruptFile && message.contains("x.dcm"), "{message}");
}

#[test]
fn a_folder_without_slices_says_what_lies_there() {
    let place = Place::with([]);
    assert!(place.refusal().1.contains("it is empty"), "{:?}", place.refusal());
    place.write("ct.nii", b"");
    let (kind, message) = place.refusal();
    assert!(kind == ErrorKind::UnsupportedFormat && message.contains("1 no DICOM"), "{message}");
    let missing = read_series_header(&Series::in_folder(place.path("missing"))).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Io);
}

#[test]
fn a_report_without_voxels_beside_the_slices_is_passed_over() {
    let place = Place::series();
    // Without voxels, nothing follows the last element.
    let report = File::new(0.0, 0).with(tags::MODALITY, "SR").with(tags::SERIES_INSTANCE_UID, "1.2.7");
    let mut bytes = report.encode();
    let at = bytes.windows(4).rposition(|tag| tag == [0xe0, 0x7f, 0x10, 0x00]).unwrap();
    bytes.truncate(at);
    place.write("report", &bytes);
    assert_eq!(place.header().skipped.without_voxels, 1);
}
