//! How the voxels of a slice are encoded, by transfer syntax, and their decoding to 16-bit numbers.

use std::panic::{AssertUnwindSafe, catch_unwind};

use dicom_dictionary_std::uids;
use dicom_encoding::transfer_syntax::TransferSyntax;
use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};

use super::{corrupt, not_read, rle};
use crate::error::{Result, try_vec};

/// A way to encode voxels that is decoded here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    /// Numbers of two bytes.
    Plain,
    Rle,
    /// The lossless processes, predictive, and the 8-bit baseline.
    Jpeg,
    Jpeg2000,
}

impl Codec {
    /// The codec of a transfer syntax.
    // Big endian is retired from the standard, not from archives.
    #[allow(deprecated)]
    pub(super) fn of(syntax: &TransferSyntax) -> Result<Self> {
        match syntax.uid() {
            uids::IMPLICIT_VR_LITTLE_ENDIAN
            | uids::EXPLICIT_VR_LITTLE_ENDIAN
            | uids::EXPLICIT_VR_BIG_ENDIAN
            | uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN
            | uids::ENCAPSULATED_UNCOMPRESSED_EXPLICIT_VR_LITTLE_ENDIAN => Ok(Codec::Plain),
            uids::RLE_LOSSLESS => Ok(Codec::Rle),
            uids::JPEG_LOSSLESS | uids::JPEG_LOSSLESS_SV1 => Ok(Codec::Jpeg),
            uids::JPEG2000_LOSSLESS | uids::JPEG2000 => Ok(Codec::Jpeg2000),
            uid => Err(not_read(format!(
                "transfer syntax {} ({uid}) is not decoded: export the series uncompressed, or as RLE, JPEG Lossless or JPEG 2000",
                syntax.name()
            ))),
        }
    }

    /// Decodes a slice of `[columns, rows]` voxels to two bytes each, little endian.
    pub(super) fn decode(self, encoded: Vec<u8>, size: [usize; 2]) -> Result<Vec<u8>> {
        let bytes = size[0] * size[1] * 2;
        let decoded = match self {
            Codec::Plain => encoded,
            Codec::Rle => rle::decode(&encoded, bytes)?,
            Codec::Jpeg => guarded("JPEG", || jpeg(&encoded, size))?,
            Codec::Jpeg2000 => guarded("JPEG 2000", || jpeg_2000(&encoded, size))?,
        };
        // A fragment has an even number of bytes, and so have these.
        if decoded.len() != bytes {
            return Err(corrupt(format!("the voxels take {} bytes, Columns and Rows tell of {bytes}", decoded.len())));
        }
        Ok(decoded)
    }
}

/// Turns a decoder's panic, which damaged data may cause, into an error.
fn guarded(name: &str, decode: impl FnOnce() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| Err(corrupt(format!("the {name} data is damaged"))))
}

fn check_size(name: &str, found: [usize; 2], expected: [usize; 2]) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(corrupt(format!("the {name} data has {found:?} voxels, Columns and Rows tell of {expected:?}")))
}

fn jpeg(encoded: &[u8], size: [usize; 2]) -> Result<Vec<u8>> {
    let damaged = |error: jpeg_decoder::Error| corrupt(format!("the JPEG data is damaged or cut off: {error}"));
    let mut decoder = jpeg_decoder::Decoder::new(encoded);
    decoder.read_info().map_err(damaged)?;
    let info = decoder.info().ok_or_else(|| corrupt("the JPEG data has no header"))?;
    check_size("JPEG", [info.width, info.height].map(usize::from), size)?;
    let mut decoded = match info.pixel_format {
        jpeg_decoder::PixelFormat::L8 | jpeg_decoder::PixelFormat::L16 => decoder.decode().map_err(damaged)?,
        other => return Err(corrupt(format!("the JPEG data has pixels of {other:?}, a CT one gray value"))),
    };
    if info.pixel_format == jpeg_decoder::PixelFormat::L8 {
        let mut wide = try_vec(0u8, decoded.len().saturating_mul(2), "a slice")?;
        wide.iter_mut().step_by(2).zip(&decoded).for_each(|(low, value)| *low = *value);
        return Ok(wide);
    }
    // The decoder writes numbers as this machine does.
    decoded.as_chunks_mut::<2>().0.iter_mut().for_each(|bytes| *bytes = u16::from_ne_bytes(*bytes).to_le_bytes());
    Ok(decoded)
}

fn jpeg_2000(encoded: &[u8], size: [usize; 2]) -> Result<Vec<u8>> {
    let damaged = |error| corrupt(format!("the JPEG 2000 data is damaged or cut off: {error}"));
    let settings = DecodeSettings { resolve_palette_indices: false, strict: true, target_resolution: None };
    let image = Image::new(encoded, &settings).map_err(damaged)?;
    check_size("JPEG 2000", [image.width() as usize, image.height() as usize], size)?;
    let mut context = DecoderContext::default();
    let decoded = image.decode(&mut context).map_err(damaged)?;
    let [component] = decoded.components() else {
        return Err(corrupt(format!("the JPEG 2000 data has {} components, a CT one", decoded.components().len())));
    };
    let bits = component.bit_depth();
    if bits > 16 {
        return Err(corrupt(format!("the JPEG 2000 data has numbers of {bits} bits, a CT at most 16")));
    }
    // The decoder lifts signed numbers like unsigned ones: half the range comes off again.
    let lift = if is_signed(encoded) { 1 << (bits.max(1) - 1) } else { 0 };
    let mut bytes = try_vec(0u8, component.samples().len().saturating_mul(2), "a slice")?;
    for (place, sample) in bytes.as_chunks_mut::<2>().0.iter_mut().zip(component.samples()) {
        let stored = sample.round() as i32 - lift;
        *place = (stored as u16).to_le_bytes();
    }
    Ok(bytes)
}

/// Whether the first component of a codestream is signed: the top bit of Ssiz in the SIZ marker segment (ISO/IEC 15444-1
/// A.5.1), which stands 42 bytes behind the start of the codestream.
fn is_signed(encoded: &[u8]) -> bool {
    const START: [u8; 4] = [0xff, 0x4f, 0xff, 0x51];
    let start = encoded.windows(START.len()).position(|bytes| bytes == START).unwrap_or_default();
    encoded.get(start + 42).is_some_and(|ssiz| ssiz & 0x80 != 0)
}
