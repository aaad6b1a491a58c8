//! A result from a label map that was not segmented here: reviewed, edited, or somebody else's.

use std::ffi::c_char;

use super::handle::{enter_exclusively, vacancy};
use super::segment::spinect_segmentation;
use super::segmentation::spinect_label;
use super::status::{border, fail, require, spinect_status};
use super::structs::{field, path, read};
use super::volume::{Values, spinect_volume};
use crate::error::{Error, ErrorKind, Result};
use crate::io::ReadOptions;
use crate::model::{Code, LabelConfig};
use crate::segmentation::{Cleaning, Segmentation};
use crate::threads::with_enough_stack;

/// As many labels as a label map has values.
const MOST_LABELS: usize = 256;

/// Makes a result from a label map that was reviewed or edited: it answers every question that a fresh one does.
///
/// All of it counts as examined, with confidence 1. No model made it: the provenance names none, and whoever reviewed
/// the labels answers for them.
///
/// @param labels The label map: voxels of any type that hold whole numbers from 0 to 255, and their place.
/// @param table The labels that may occur in it, one behind the other, each with its `struct_size`. Read are value, name,
///              colors and codes; statistics are computed. 0 is the background and need not be listed.
/// @param count How many, 1 to 256.
/// @param segmentation Receives the result; the caller frees it.
/// @return SPINECT_OK, or SPINECT_ERROR_NULL_ARGUMENT, STRUCT_SIZE, INVALID_ARGUMENT (a value that is listed twice, or occurs
///         and is not listed), INVALID_GEOMETRY, UNSUPPORTED (voxels on a device), OUT_OF_MEMORY, THREAD (only on a thread
///         with less than 256 KiB of stack, which needs another's).
/// @par Threads
/// Any thread, at any time.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn spinect_segmentation_from_labels(
    labels: *const spinect_volume,
    table: *const spinect_label,
    count: usize,
    segmentation: *mut *mut spinect_segmentation,
) -> spinect_status {
    border(|| {
        require!(labels, table, segmentation);
        // SAFETY: not NULL, and the caller says how large the structures are.
        let raw = unsafe { read(labels) }?;
        if !(1..=MOST_LABELS).contains(&count) {
            return Err(fail!(InvalidArgument, "count is {count}: a table has 1 to {MOST_LABELS} labels"));
        }
        if raw.voxels.is_null() {
            return Err(Error::new(ErrorKind::NullArgument, "`labels->voxels` is NULL: a label map has voxels"));
        }
        // SAFETY: as above; there are `count` of them.
        let table = unsafe { self::table(table, count) }?;
        // SAFETY: the caller keeps the voxels for this call.
        let volume = unsafe { Values::of(raw)?.volume() }?;
        let vacancy = vacancy()?;
        let result = with_enough_stack(|| Segmentation::from_labels(&volume, &table))?;
        // SAFETY: not NULL; the caller gives a place for a pointer.
        unsafe { segmentation.write_unaligned(vacancy.fill(result)) };
        Ok(())
    })
}

/// Reads the labels of a table. Each stands as many bytes behind the one before as that one is large.
///
/// # Errors
/// `StructSize`; `InvalidArgument` for what no label can be.
///
/// # Safety
/// `first` leads to `count` structures of the sizes they say.
unsafe fn table(first: *const spinect_label, count: usize) -> Result<Vec<LabelConfig>> {
    let mut next = first;
    let mut labels = Vec::with_capacity(count);
    for at in 0..count {
        // SAFETY: the caller's promise; `next` lies behind `at` structures.
        let raw = unsafe { read(next) }?;
        labels.push(label(&raw, at)?);
        // SAFETY: as above; at most the end of the last structure.
        next = unsafe { next.byte_add(raw.struct_size as usize) };
    }
    Ok(labels)
}

/// The label that entry `at` of the table describes.
fn label(raw: &spinect_label, at: usize) -> Result<LabelConfig> {
    if raw.reserved != [0; 5] {
        return Err(fail!(InvalidArgument, "table[{at}].reserved must be 0"));
    }
    let number = raw.value;
    let value = u8::try_from(number).map_err(|_| fail!(InvalidArgument, "table[{at}].value is {number}: a label's value is 0 to 255"))?;
    let name = field(&raw.name, format_args!("table[{at}].name"))?;
    if name.is_empty() {
        return Err(fail!(InvalidArgument, "table[{at}].name is empty: give the label {value} a name"));
    }
    let code = |scheme: &[c_char; 16], code: &[c_char; 32], meaning: &[c_char; 64]| -> Result<Option<Code>> {
        let what = format_args!("code of table[{at}]");
        let code = Code { scheme: field(scheme, what)?, code: field(code, what)?, meaning: field(meaning, what)? };
        Ok((!code.scheme.is_empty()).then_some(code))
    };
    Ok(LabelConfig {
        value,
        name,
        color: raw.rgb,
        terminology: code(&raw.scheme, &raw.code, &raw.meaning)?,
        category: code(&raw.category_scheme, &raw.category_code, &raw.category_meaning)?,
        pieces: None,
    })
}

/// Makes background of all voxels of a label that are not in its largest pieces, and counts anew. Never done unasked; a
/// report of the result should say that it was done. Voxels that share a face, an edge or a corner are of one piece.
/// Confidences stay those of the labels that won; questions need `spinect_segmentation_prepare_queries` again.
///
/// @param segmentation The result. Unchanged if the call fails.
/// @param label The label's value; not the background's.
/// @param keep How many pieces stay, the largest, at least 1.
/// @param least_mm3 Of those, smaller ones go, too, in mm^3; 0: none does.
/// @param removed Receives how many voxels became background.
/// @return SPINECT_OK, or SPINECT_ERROR_NULL_ARGUMENT, INVALID_HANDLE, FORKED, BUSY (somebody uses the result),
///         INVALID_ARGUMENT, UNKNOWN_LABEL, OUT_OF_MEMORY, THREAD (only on a thread with less than 256 KiB of stack, which
///         needs another's).
/// @par Threads
/// Any thread; nobody else may use the result during the call, also not what `spinect_segmentation_labels` gave.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn spinect_segmentation_clean(
    segmentation: *mut spinect_segmentation,
    label: i32,
    keep: u64,
    least_mm3: f64,
    removed: *mut u64,
) -> spinect_status {
    border(|| {
        require!(segmentation, removed);
        let mut segmentation = enter_exclusively(segmentation)?;
        let cleaning = Cleaning { keep: usize::try_from(keep).unwrap_or(usize::MAX), least_mm3 };
        let voxels = with_enough_stack(|| segmentation.clean(label, &cleaning))?;
        // SAFETY: not NULL; the caller gives a place for a number.
        unsafe { removed.write_unaligned(voxels) };
        Ok(())
    })
}

/// Reads a label map that was reviewed or edited, or made by others: `.seg.nrrd` of 3D Slicer, `.nrrd`, `.nii`, `.nii.gz`.
///
/// A file's own table names the labels, where it has one; else each value that occurs is a label of the name "label N".
/// All of it counts as examined, with confidence 1; the provenance names no model.
///
/// @param path The file, UTF-8. Its name's ending says the format.
/// @param segmentation Receives the result; the caller frees it.
/// @return SPINECT_OK, or SPINECT_ERROR_NULL_ARGUMENT, INVALID_ARGUMENT (voxels that are no label values, too), IO,
///         UNSUPPORTED_FORMAT, UNSUPPORTED (segments that overlap), CORRUPT_FILE, INVALID_GEOMETRY, AMBIGUOUS_GEOMETRY,
///         OUT_OF_MEMORY, THREAD (only on a thread with less than 256 KiB of stack, which needs another's).
/// @par Threads
/// Any thread, at any time.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn spinect_segmentation_read(path: *const c_char, segmentation: *mut *mut spinect_segmentation) -> spinect_status {
    border(|| {
        require!(path, segmentation);
        // SAFETY: the caller gives a NUL-terminated string.
        let path = unsafe { self::path(path) }?;
        let vacancy = vacancy()?;
        let result = with_enough_stack(|| crate::io::read_segmentation(path, &ReadOptions::default()))?;
        // SAFETY: not NULL; the caller gives a place for a pointer.
        unsafe { segmentation.write_unaligned(vacancy.fill(result)) };
        Ok(())
    })
}
