//! Tiny CT series for the tests, written by hand: what a library would not write can be written too.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};
use flate2::Compression;
use flate2::write::DeflateEncoder;

use super::super::series::{Series, SeriesHeader};
use super::super::{ReadOptions, read_series, read_series_header};
use crate::error::{ErrorKind, Result};
use crate::volume::Image;

/// Columns and Rows.
pub(super) const SIZE: [usize; 2] = [4, 3];

/// A value of an element.
#[derive(Clone)]
pub(super) enum Value {
    Text(String),
    Word(u16),
    /// Bytes as they stand in the file.
    Bytes(Vec<u8>),
    /// A sequence of undefined length, or whatever these bytes are behind such a length.
    Undefined(Vec<u8>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.into())
    }
}

impl From<u16> for Value {
    fn from(word: u16) -> Self {
        Value::Word(word)
    }
}

/// One file of a series.
#[derive(Clone)]
pub(super) struct File {
    pub syntax: &'static str,
    pub class: &'static str,
    /// With the two letters of its value representation.
    pub elements: BTreeMap<Tag, ([u8; 2], Value)>,
    /// The pixel data: numbers, or fragments.
    pub numbers: Vec<i32>,
    pub fragments: Option<Vec<Vec<u8>>>,
}

impl File {
    /// An axial slice of 4×3 voxels of 0.75×0.5 mm, `height` mm up; the first voxel holds `first`, the next one more.
    pub fn new(height: f64, first: i32) -> Self {
        let mut file = File {
            syntax: uids::EXPLICIT_VR_LITTLE_ENDIAN,
            class: uids::CT_IMAGE_STORAGE,
            elements: BTreeMap::new(),
            numbers: (0..12).map(|number| first + number).collect(),
            fragments: None,
        };
        for (tag, vr, text) in [
            (tags::IMAGE_TYPE, b"CS", r"ORIGINAL\PRIMARY\AXIAL"),
            (tags::SOP_CLASS_UID, b"UI", uids::CT_IMAGE_STORAGE),
            (tags::MODALITY, b"CS", "CT"),
            (tags::SERIES_DESCRIPTION, b"LO", "Spine 2.5 B30"),
            (tags::PATIENT_NAME, b"PN", "Nobody^Here"),
            (tags::SERIES_INSTANCE_UID, b"UI", "1.2.3"),
            (tags::IMAGE_ORIENTATION_PATIENT, b"DS", r"1\0\0\0\1\0"),
            (tags::FRAME_OF_REFERENCE_UID, b"UI", "1.2.4"),
            (tags::PHOTOMETRIC_INTERPRETATION, b"CS", "MONOCHROME2"),
            (tags::PIXEL_SPACING, b"DS", r"0.5\0.75"),
            (tags::RESCALE_INTERCEPT, b"DS", "-1024"),
            (tags::RESCALE_SLOPE, b"DS", "1"),
        ] {
            file.elements.insert(tag, (*vr, text.into()));
        }
        for (tag, word) in [
            (tags::SAMPLES_PER_PIXEL, 1),
            (tags::ROWS, SIZE[1] as u16),
            (tags::COLUMNS, SIZE[0] as u16),
            (tags::BITS_ALLOCATED, 16),
            (tags::BITS_STORED, 16),
            (tags::HIGH_BIT, 15),
            (tags::PIXEL_REPRESENTATION, 1),
        ] {
            file.elements.insert(tag, (*b"US", word.into()));
        }
        file.at([10.0, -20.0, height])
    }

    /// The same slice with another value, whose representation stays (a new one is text).
    pub fn with(mut self, tag: Tag, value: impl Into<Value>) -> Self {
        let vr = self.elements.get(&tag).map_or(*b"LO", |(vr, _)| *vr);
        self.elements.insert(tag, (vr, value.into()));
        self
    }

    pub fn without(mut self, tag: Tag) -> Self {
        self.elements.remove(&tag);
        self
    }

    pub fn at(self, [x, y, z]: [f64; 3]) -> Self {
        self.with(tags::IMAGE_POSITION_PATIENT, format!(r"{x}\{y}\{z}").as_str())
    }

    pub fn bits(self, bits: u16, signed: bool) -> Self {
        let file = self.with(tags::BITS_STORED, bits).with(tags::HIGH_BIT, bits - 1);
        file.with(tags::PIXEL_REPRESENTATION, u16::from(signed))
    }

    pub fn rescale(self, slope: &str, intercept: &str) -> Self {
        self.with(tags::RESCALE_SLOPE, slope).with(tags::RESCALE_INTERCEPT, intercept)
    }

    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut meta = Vec::new();
        let text = |text: &str| Value::Text(text.into());
        let little = Way { explicit: true, big: false };
        little.element(&mut meta, tags::MEDIA_STORAGE_SOP_CLASS_UID, *b"UI", &text(self.class));
        little.element(&mut meta, tags::TRANSFER_SYNTAX_UID, *b"UI", &text(self.syntax));
        let mut bytes = vec![0; 128];
        bytes.extend(b"DICM");
        let length = Value::Bytes((meta.len() as u32).to_le_bytes().to_vec());
        little.element(&mut bytes, tags::FILE_META_INFORMATION_GROUP_LENGTH, *b"UL", &length);
        bytes.extend(meta);
        #[allow(deprecated)]
        let way = Way { explicit: self.syntax != uids::IMPLICIT_VR_LITTLE_ENDIAN, big: self.syntax == uids::EXPLICIT_VR_BIG_ENDIAN };
        let mut set = Vec::new();
        for (tag, (vr, value)) in &self.elements {
            way.element(&mut set, *tag, *vr, value);
        }
        let pixels = match &self.fragments {
            None => Value::Bytes(self.numbers.iter().flat_map(|number| way.word(*number as u16)).collect()),
            Some(fragments) => {
                let items = std::iter::once(&Vec::new()).chain(fragments).flat_map(|fragment| item(fragment)).collect::<Vec<u8>>();
                Value::Undefined([items, delimiter(0xe0dd)].concat())
            }
        };
        way.element(&mut set, tags::PIXEL_DATA, if self.fragments.is_some() { *b"OB" } else { *b"OW" }, &pixels);
        if self.syntax == uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN {
            let mut encoder = DeflateEncoder::new(bytes, Compression::fast());
            encoder.write_all(&set).unwrap();
            return encoder.finish().unwrap();
        }
        bytes.extend(set);
        bytes
    }
}

/// An item of defined length, little endian.
pub(super) fn item(contents: &[u8]) -> Vec<u8> {
    [&[0xfe, 0xff, 0x00, 0xe0], (contents.len() as u32).to_le_bytes().as_slice(), contents].concat()
}

/// A delimiter, little endian: 0xe0dd ends a sequence, 0xe00d an item.
pub(super) fn delimiter(element: u16) -> Vec<u8> {
    [&[0xfe, 0xff], element.to_le_bytes().as_slice(), &[0; 4]].concat()
}

/// How elements are written.
struct Way {
    explicit: bool,
    big: bool,
}

impl Way {
    fn word(&self, word: u16) -> [u8; 2] {
        if self.big { word.to_be_bytes() } else { word.to_le_bytes() }
    }

    fn long(&self, long: u32) -> [u8; 4] {
        if self.big { long.to_be_bytes() } else { long.to_le_bytes() }
    }

    fn element(&self, bytes: &mut Vec<u8>, tag: Tag, vr: [u8; 2], value: &Value) {
        let (mut contents, undefined) = match value {
            Value::Text(text) => (text.clone().into_bytes(), false),
            Value::Word(word) => (self.word(*word).to_vec(), false),
            Value::Bytes(contents) => (contents.clone(), false),
            Value::Undefined(contents) => (contents.clone(), true),
        };
        if contents.len() % 2 == 1 {
            contents.push(if &vr == b"UI" { 0 } else { b' ' });
        }
        let length = if undefined { u32::MAX } else { contents.len() as u32 };
        bytes.extend(self.word(tag.group()).into_iter().chain(self.word(tag.element())));
        let long = [b"OB", b"OW", b"SQ", b"UN", b"UT"].contains(&&vr);
        match (self.explicit, long) {
            (false, _) => bytes.extend(self.long(length)),
            (true, true) => bytes.extend(vr.into_iter().chain([0, 0]).chain(self.long(length))),
            (true, false) => bytes.extend(vr.into_iter().chain(self.word(length as u16))),
        }
        bytes.extend(contents);
    }
}

/// A folder with a series, which is gone at the end of the test.
pub(super) struct Place(tempfile::TempDir);

impl Place {
    /// Three slices, 2.5 mm apart, under names that tell another order.
    pub fn series() -> Self {
        Place::with(series())
    }

    pub fn with(files: impl IntoIterator<Item = File>) -> Self {
        let place = Place(tempfile::tempdir().unwrap());
        for (name, file) in ["b", "c", "a", "e", "d", "f"].into_iter().zip(files) {
            place.write(name, &file.encode());
        }
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    pub fn folder(&self) -> Series {
        Series::in_folder(self.0.path())
    }

    pub fn read(&self) -> Result<Image> {
        read_series(&self.folder(), &ReadOptions::default())
    }

    pub fn header(&self) -> SeriesHeader {
        read_series_header(&self.folder()).unwrap()
    }

    /// Why the series is refused: reading the header alone must say the same.
    pub fn refusal(&self) -> (ErrorKind, String) {
        let error = self.read().unwrap_err();
        assert_eq!(read_series_header(&self.folder()).unwrap_err(), error);
        (error.kind(), error.message().into())
    }
}

/// Three slices, 2.5 mm apart, not in the order of their heights.
pub(super) fn series() -> Vec<File> {
    [(2.5, 100), (5.0, 200), (0.0, 0)].map(|(height, first)| File::new(height, first)).to_vec()
}

/// The voxels of an image as numbers of its type, i fastest.
pub(super) fn stored(image: &Image) -> Vec<f64> {
    let (view, mut numbers) = (image.view(), Vec::new());
    let [_, rows, slices] = view.geometry().dims;
    for (k, j) in (0..slices).flat_map(|k| (0..rows).map(move |j| (k, j))) {
        crate::volume::with_voxel_type!(view.voxel_type(), T => {
            numbers.extend(view.row::<T>(j, k).unwrap().map(crate::volume::Voxel::to_f64));
        });
    }
    numbers
}

/// The voxels in Hounsfield units.
pub(super) fn hounsfield(image: &Image) -> Vec<f64> {
    let rescale = image.view().rescale();
    stored(image).into_iter().map(|number| number * rescale.slope + rescale.intercept).collect()
}
