//! The attributes of one file that matter here, and whether it holds voxels.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags};
use dicom_encoding::transfer_syntax::{Endianness, TransferSyntax};

use super::corrupt;
use super::data_set::DataSet;
use super::file::text;
use crate::error::Result;

/// What is kept of a data set; everything else is passed over.
const WANTED: &[Tag] = &[
    tags::IMAGE_TYPE,
    tags::SOP_CLASS_UID,
    tags::MODALITY,
    tags::SERIES_DESCRIPTION,
    tags::GANTRY_DETECTOR_TILT,
    tags::SERIES_INSTANCE_UID,
    tags::IMAGE_POSITION_PATIENT,
    tags::IMAGE_ORIENTATION_PATIENT,
    tags::FRAME_OF_REFERENCE_UID,
    tags::SAMPLES_PER_PIXEL,
    tags::PHOTOMETRIC_INTERPRETATION,
    tags::NUMBER_OF_FRAMES,
    tags::ROWS,
    tags::COLUMNS,
    tags::PIXEL_SPACING,
    tags::BITS_ALLOCATED,
    tags::BITS_STORED,
    tags::HIGH_BIT,
    tags::PIXEL_REPRESENTATION,
    tags::RESCALE_INTERCEPT,
    tags::RESCALE_SLOPE,
    tags::RESCALE_TYPE,
    tags::MODALITY_LUT_SEQUENCE,
];
/// Bytes that such a value may have; the longest lists a handful of words.
const LONGEST: u32 = 4096;

/// How the voxels follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Voxels {
    /// As they are, this many bytes.
    Native(u32),
    /// In fragments, encoded or not.
    Encapsulated,
}

/// What a file says before its voxels.
#[derive(Clone)]
pub(super) struct Attributes {
    pub(super) path: PathBuf,
    pub(super) syntax: &'static TransferSyntax,
    /// `None`: the file has none.
    pub(super) voxels: Option<Voxels>,
    values: BTreeMap<Tag, Vec<u8>>,
}

impl PartialEq for Attributes {
    fn eq(&self, other: &Self) -> bool {
        self.syntax.uid() == other.syntax.uid() && self.voxels == other.voxels && self.values == other.values
    }
}

impl Attributes {
    /// Reads up to the voxels, or to the end if there are none. Afterwards the voxels are what the data set gives next.
    pub(super) fn read(path: &Path, data_set: &mut DataSet) -> Result<Self> {
        let (mut values, mut voxels) = (BTreeMap::new(), None);
        while let Some(header) = data_set.next().map_err(|error| error.context(path.display()))? {
            if header.tag == tags::PIXEL_DATA {
                voxels = Some(header.len.get().map_or(Voxels::Encapsulated, Voxels::Native));
                break;
            }
            let value = match header.len.get() {
                Some(length) if WANTED.contains(&header.tag) && header.vr != VR::SQ => {
                    if length > LONGEST {
                        return Err(
                            corrupt(format!("{} has {length} bytes: the file is damaged", name(header.tag))).context(path.display())
                        );
                    }
                    data_set.value(length as usize)
                }
                _ => data_set.skip(&header).map(|()| Vec::new()),
            };
            let value = value.map_err(|error| error.context(path.display()))?;
            if WANTED.contains(&header.tag) {
                values.insert(header.tag, value);
            }
        }
        Ok(Attributes { path: path.to_owned(), syntax: data_set.syntax, voxels, values })
    }

    /// How the voxels follow, which they must.
    pub(super) fn required_voxels(&self) -> Result<Voxels> {
        let none = "there are no voxels (PixelData) in it: the file is cut off, or no image; copy it again, or take it out";
        self.voxels.ok_or_else(|| corrupt(none).context(self.path.display()))
    }

    /// Whether the attribute is there, with a value or without.
    pub(super) fn has(&self, tag: Tag) -> bool {
        self.values.contains_key(&tag)
    }

    /// A value as text; empty if there is none.
    pub(super) fn text(&self, tag: Tag) -> String {
        self.values.get(&tag).map(|value| text(value)).unwrap_or_default()
    }

    /// The values of an attribute that may have several.
    pub(super) fn texts(&self, tag: Tag) -> Vec<String> {
        let text = self.text(tag);
        text.split('\\').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
    }

    /// A value that must be there.
    pub(super) fn required_text(&self, tag: Tag) -> Result<String> {
        let text = self.text(tag);
        if text.is_empty() { Err(self.wrong(tag, "is missing, and a CT slice must have it")) } else { Ok(text) }
    }

    /// `N` decimal numbers; `None` if the attribute is missing or empty.
    pub(super) fn numbers<const N: usize>(&self, tag: Tag) -> Result<Option<[f64; N]>> {
        let texts = self.texts(tag);
        if texts.is_empty() {
            return Ok(None);
        }
        let numbers: Option<Vec<f64>> = texts.iter().map(|text| text.parse().ok().filter(|number: &f64| number.is_finite())).collect();
        let numbers = numbers.and_then(|numbers| <[f64; N]>::try_from(numbers).ok());
        numbers.map(Some).ok_or_else(|| self.wrong(tag, &format!("is {:?} where {N} numbers must stand", texts.join("\\"))))
    }

    /// `N` decimal numbers that must be there.
    pub(super) fn required_numbers<const N: usize>(&self, tag: Tag) -> Result<[f64; N]> {
        self.numbers(tag)?.ok_or_else(|| self.wrong(tag, "is missing, and a CT slice must have it"))
    }

    /// A whole number of 16 bits (VR US); `None` if the attribute is missing.
    pub(super) fn word(&self, tag: Tag) -> Result<Option<u16>> {
        let Some(value) = self.values.get(&tag) else { return Ok(None) };
        match (value.as_slice(), self.syntax.endianness()) {
            (&[a, b], Endianness::Little) => Ok(Some(u16::from_le_bytes([a, b]))),
            (&[a, b], Endianness::Big) => Ok(Some(u16::from_be_bytes([a, b]))),
            _ => Err(self.wrong(tag, &format!("has {} bytes where one number of 2 bytes must stand", value.len()))),
        }
    }

    /// A whole number that must be there.
    pub(super) fn required_word(&self, tag: Tag) -> Result<u16> {
        self.word(tag)?.ok_or_else(|| self.wrong(tag, "is missing, and a CT slice must have it"))
    }

    /// What is wrong with an attribute of this file.
    pub(super) fn wrong(&self, tag: Tag, what: &str) -> crate::Error {
        corrupt(format!("{} {what}", name(tag))).context(self.path.display())
    }
}

/// The keyword of an attribute, for example `Rows`.
fn name(tag: Tag) -> String {
    StandardDataDictionary.by_tag(tag).map_or_else(|| tag.to_string(), |entry| entry.alias().to_owned())
}
