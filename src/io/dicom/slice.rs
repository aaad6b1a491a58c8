//! One CT slice: where it lies and how its voxels are stored, checked against what is read here (PS3.3 C.7.6.2, C.8.2.1).

use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};
use dicom_encoding::transfer_syntax::TransferSyntax;

use super::attributes::{Attributes, Voxels};
use super::codecs::Codec;
use super::{corrupt, not_read};
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::{dot, norm};
use crate::volume::Rescale;

/// How far a direction cosine vector may be from length 1, and two of them from a right angle.
const COSINE_TOLERANCE: f64 = 1e-3;
/// Classes of objects that hold many slices in one file.
const ENHANCED: [&str; 2] = [uids::ENHANCED_CT_IMAGE_STORAGE, uids::LEGACY_CONVERTED_ENHANCED_CT_IMAGE_STORAGE];
/// What RescaleType may say of a CT: Hounsfield units, or nothing in particular.
const HOUNSFIELD: [&str; 3] = ["", "HU", "US"];

/// How a stored number is written: two bytes, of which the lower ones count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    /// BitsStored, 1 to 16.
    pub(super) bits: u16,
    /// PixelRepresentation 1.
    pub(super) signed: bool,
}

/// A slice that can be read.
#[derive(Clone)]
pub(super) struct Slice {
    pub(super) attributes: Attributes,
    pub(super) syntax: &'static TransferSyntax,
    pub(super) codec: Codec,
    /// Voxels along a row and along a column: Columns, Rows.
    pub(super) size: [usize; 2],
    /// Center of the first voxel, LPS mm.
    pub(super) position: [f64; 3],
    /// Unit vectors along a row and along a column, LPS.
    pub(super) directions: [[f64; 3]; 2],
    /// From voxel to voxel along a row and along a column, mm.
    pub(super) spacing: [f64; 2],
    pub(super) frame_of_reference: String,
    /// GantryDetectorTilt in degrees; 0 if it is not told.
    pub(super) tilt: f64,
    pub(super) stored: Stored,
    pub(super) rescale: Rescale,
}

impl Slice {
    /// Checks a file's attributes.
    pub(super) fn new(attributes: Attributes) -> Result<Self> {
        check_kind(&attributes)?;
        let place = |error: Error| error.context(attributes.path.display());
        let size = [attributes.required_word(tags::COLUMNS)?, attributes.required_word(tags::ROWS)?].map(usize::from);
        if size.contains(&0) {
            return Err(place(corrupt("Rows or Columns is 0")));
        }
        // PixelSpacing has the distance between rows first, which is the step along a column.
        let [along_column, along_row] = attributes.required_numbers(tags::PIXEL_SPACING)?;
        let syntax = attributes.syntax;
        Ok(Slice {
            syntax,
            codec: Codec::of(syntax).map_err(place)?,
            size,
            position: attributes.required_numbers(tags::IMAGE_POSITION_PATIENT)?,
            directions: directions(&attributes)?,
            spacing: [along_row, along_column],
            frame_of_reference: attributes.text(tags::FRAME_OF_REFERENCE_UID),
            tilt: attributes.numbers(tags::GANTRY_DETECTOR_TILT)?.map_or(0.0, |[tilt]| tilt),
            stored: stored(&attributes)?,
            rescale: rescale(&attributes)?,
            attributes,
        })
    }

    /// The file's name, for messages.
    pub(super) fn name(&self) -> std::path::Display<'_> {
        self.attributes.path.display()
    }

    /// Bytes of the decoded voxels: two each.
    pub(super) fn bytes(&self) -> usize {
        let [columns, rows] = self.size;
        columns * rows * 2
    }
}

/// Refuses what is no CT slice of one frame.
fn check_kind(attributes: &Attributes) -> Result<()> {
    let refuse = |error: Error| Err(error.context(attributes.path.display()));
    let modality = attributes.text(tags::MODALITY);
    if modality != "CT" {
        return refuse(not_read(format!("modality {modality:?}: only CT is read, for everything here is learned from Hounsfield units")));
    }
    let many = "many slices in one file (enhanced CT) are not read: export one slice per file, or convert to NIfTI";
    if ENHANCED.contains(&attributes.text(tags::SOP_CLASS_UID).as_str()) {
        return refuse(Error::new(ErrorKind::Unsupported, many));
    }
    match attributes.numbers(tags::NUMBER_OF_FRAMES)? {
        Some([frames]) if frames != 1.0 => return refuse(Error::new(ErrorKind::Unsupported, many)),
        _ => {}
    }
    if (attributes.required_voxels()? == Voxels::Encapsulated) != attributes.syntax.is_encapsulated_pixel_data() {
        return refuse(corrupt(format!("PixelData is not written as transfer syntax {} says", attributes.syntax.name())));
    }
    let samples = attributes.word(tags::SAMPLES_PER_PIXEL)?.unwrap_or(1);
    let photometric = attributes.required_text(tags::PHOTOMETRIC_INTERPRETATION)?;
    // MONOCHROME1 should only change how gray is shown, but some readers turn the numbers around: no scanner writes CT so.
    if samples != 1 || photometric != "MONOCHROME2" {
        let message = format!("{samples} samples per voxel, {photometric}: a CT has one gray value per voxel, MONOCHROME2");
        return refuse(not_read(message));
    }
    Ok(())
}

/// The unit vectors of ImageOrientationPatient.
fn directions(attributes: &Attributes) -> Result<[[f64; 3]; 2]> {
    let [a, b, c, d, e, f] = attributes.required_numbers(tags::IMAGE_ORIENTATION_PATIENT)?;
    let (row, column) = ([a, b, c], [d, e, f]);
    if [row, column].iter().any(|vector| (norm(*vector) - 1.0).abs() > COSINE_TOLERANCE) || dot(row, column).abs() > COSINE_TOLERANCE {
        let what = format!("is {row:?} and {column:?}: two unit vectors at a right angle must stand there");
        return Err(attributes.wrong(tags::IMAGE_ORIENTATION_PATIENT, &what));
    }
    // Cosines are written with few digits: what is left over must not change the spacing.
    Ok([row, column].map(|vector| vector.map(|value| value / norm(vector))))
}

/// How the numbers are stored, if it is one of the ways of a CT.
fn stored(attributes: &Attributes) -> Result<Stored> {
    let word = |tag: Tag| attributes.required_word(tag);
    let (allocated, bits, high) = (word(tags::BITS_ALLOCATED)?, word(tags::BITS_STORED)?, word(tags::HIGH_BIT)?);
    let representation = word(tags::PIXEL_REPRESENTATION)?;
    if allocated != 16 || !(1..=16).contains(&bits) || high.checked_add(1) != Some(bits) || representation > 1 {
        let message = format!(
            "BitsAllocated {allocated}, BitsStored {bits}, HighBit {high}, PixelRepresentation {representation}: \
            read are numbers in the low bits of 16"
        );
        return Err(not_read(message).context(attributes.path.display()));
    }
    Ok(Stored { bits, signed: representation == 1 })
}

/// From stored numbers to Hounsfield units. A slope or intercept that is not told is not guessed.
fn rescale(attributes: &Attributes) -> Result<Rescale> {
    let refuse = |error: Error| Err(error.context(attributes.path.display()));
    let unit = attributes.text(tags::RESCALE_TYPE);
    if !HOUNSFIELD.contains(&unit.as_str()) {
        return refuse(not_read(format!("RescaleType {unit:?}: only Hounsfield units (HU) are read")));
    }
    if attributes.has(tags::MODALITY_LUT_SEQUENCE) {
        return refuse(not_read("a table (ModalityLUTSequence) leads to its units: a CT has RescaleSlope and RescaleIntercept"));
    }
    let [slope] = attributes.required_numbers(tags::RESCALE_SLOPE)?;
    let [intercept] = attributes.required_numbers(tags::RESCALE_INTERCEPT)?;
    if slope == 0.0 {
        return Err(attributes.wrong(tags::RESCALE_SLOPE, "is 0: every voxel would be the same"));
    }
    Rescale::new(slope, intercept).map_err(|error| error.context(attributes.path.display()))
}
