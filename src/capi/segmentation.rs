//! `spinect_segmentation`: the result, its labels, where it came from.

use std::ffi::c_char;

use super::handle::{enter, free};
use super::library::COMMIT;
use super::segment::spinect_segmentation;
use super::status::{border, border_or, fail, require, spinect_status};
use super::structs::{Output, layout, path, text};
use crate::model::Code;
use crate::segmentation::Label;
use crate::threads::with_enough_stack;

/// A label: what it stands for, and how much of it was found. Background is a label like any other.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct spinect_label {
    /// sizeof(spinect_label), set by the caller.
    pub struct_size: u32,
    /// The value in the label map.
    pub value: i32,
    /// Red, green, blue.
    pub rgb: [u8; 3],
    /// 0.
    pub reserved: [u8; 5],
    /// What users call it.
    pub name: [c_char; 64],
    /// The coding scheme of the structure, for example "SCT" for SNOMED CT; empty if it is not coded.
    pub scheme: [c_char; 16],
    /// The structure's code.
    pub code: [c_char; 32],
    /// What the code means.
    pub meaning: [c_char; 64],
    /// The coding scheme of the structure's category; empty if it is not coded.
    pub category_scheme: [c_char; 16],
    /// The category's code.
    pub category_code: [c_char; 32],
    /// What the category's code means.
    pub category_meaning: [c_char; 64],
    /// Voxels with this label.
    pub voxels: u64,
    /// Their volume in mm^3.
    pub volume_mm3: f64,
    /// The smallest i, j, k of its voxels; an absent label has min > max.
    pub box_min: [u64; 3],
    /// The largest i, j, k of its voxels, inclusive.
    pub box_max: [u64; 3],
    /// The mean position of its voxels in mm, in the volume's world; NaN for an absent label.
    pub centroid: [f64; 3],
    /// The mean confidence of its voxels, 0 to 1; NaN for an absent label.
    pub mean_confidence: f64,
}
layout!(spinect_label, 400, {
    struct_size: 0, value: 4, rgb: 8, reserved: 11, name: 16, scheme: 80, code: 96, meaning: 128, category_scheme: 192,
    category_code: 208, category_meaning: 240, voxels: 304, volume_mm3: 312, box_min: 320, box_max: 344, centroid: 368,
    mean_confidence: 392,
});

/// A structure touches the border of the field of view or of the region of interest.
pub const SPINECT_WARNING_STRUCTURE_CUT: u64 = 0x1;
/// A label of the model was not found.
pub const SPINECT_WARNING_STRUCTURE_ABSENT: u64 = 0x2;
/// Spacing or obliquity outside what the model was trained for.
pub const SPINECT_WARNING_SPACING: u64 = 0x4;
/// Metal, truncation, or no Hounsfield units.
pub const SPINECT_WARNING_INTENSITY: u64 = 0x8;
/// A structure was found with low confidence.
pub const SPINECT_WARNING_LOW_CONFIDENCE: u64 = 0x10;
/// More large components than the structure has.
pub const SPINECT_WARNING_FRAGMENTED: u64 = 0x20;
/// Demonstration or untrained weights: not for patients.
pub const SPINECT_WARNING_MODEL_NOT_CLINICAL: u64 = 0x40;
/// Gantry tilt or other shear above 1 degree: segmented along the nearest axes.
pub const SPINECT_WARNING_SHEARED: u64 = 0x80;

/// What made a result.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct spinect_provenance {
    /// sizeof(spinect_provenance), set by the caller.
    pub struct_size: u32,
    /// SPINECT_DEVICE_*: the device that computed it.
    pub device: i32,
    /// SPINECT_PRECISION_*.
    pub precision: i32,
    /// 0.
    pub reserved: u32,
    /// SPINECT_WARNING_* bits: what to know before relying on the result.
    pub warnings: u64,
    /// The model's name.
    pub model_name: [c_char; 64],
    /// SHA-256 of the model file, 64 lower-case hexadecimal digits.
    pub model_sha256: [c_char; 72],
    /// SHA-256 of the input's voxels as stored: packed, i fastest, little endian.
    pub input_sha256: [c_char; 72],
    /// The library's version.
    pub library_version: [c_char; 32],
    /// The git commit that the library was built from, "unknown" where that is not known.
    pub library_commit: [c_char; 48],
}
layout!(spinect_provenance, 312, {
    struct_size: 0, device: 4, precision: 8, reserved: 12, warnings: 16, model_name: 24, model_sha256: 88,
    input_sha256: 160, library_version: 232, library_commit: 264,
});

/// Seconds per stage. The stages follow each other without a gap: they add up to `total`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct spinect_timings {
    /// sizeof(spinect_timings), set by the caller.
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// Checks, orientation, resampling, whitening.
    pub prepare: f64,
    /// The network over all windows.
    pub network: f64,
    /// Adding the windows up and choosing the winner.
    pub combine: f64,
    /// Back to the input grid, with statistics.
    pub restore: f64,
    /// From call to return.
    pub total: f64,
    /// Windows that the volume, or the region of interest, has.
    pub windows: u64,
    /// Windows that went through the network; identical ones do so once.
    pub windows_computed: u64,
}
layout!(spinect_timings, 64, {
    struct_size: 0, reserved: 4, prepare: 8, network: 16, combine: 24, restore: 32, total: 40, windows: 48,
    windows_computed: 56,
});

/// Writes the label map with its label table to a file: NIfTI, `.nii` or `.nii.gz`, NIfTI-1 unless only NIfTI-2 can hold its
/// dimensions or transforms; NRRD, `.nrrd`; or a segmentation of 3D Slicer, `.seg.nrrd`, with names, colors and terminology.
/// It appears whole or not at all and replaces an existing one. A segmentation of the unchanged view of a NIfTI image
/// repeats that file's transforms bit by bit in a NIfTI file.
///
/// @param segmentation The result.
/// @param path The file, UTF-8.
/// @return SPINECT_OK, or SPINECT_ERROR_NULL_ARGUMENT, INVALID_HANDLE, FORKED, BUSY (`spinect_session_segment_again` is
///         changing it), INVALID_ARGUMENT, IO, UNSUPPORTED_FORMAT, UNSUPPORTED (`.nhdr`), OUT_OF_MEMORY, THREAD (only on a
///         thread with less than 256 KiB of stack, which needs another's).
/// @par Threads
/// Any number of threads, at any time.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn spinect_segmentation_write(segmentation: *const spinect_segmentation, path: *const c_char) -> spinect_status {
    border(|| {
        require!(segmentation, path);
        let segmentation = enter(segmentation)?;
        // SAFETY: the caller gives a NUL-terminated string.
        let path = unsafe { self::path(path) }?;
        with_enough_stack(|| crate::io::write_segmentation(&segmentation, path))
    })
}

/// Frees a result. What `spinect_segmentation_labels` gave ends with it.
///
/// @param segmentation The result, or NULL: then nothing happens. A handle that is none is noticed and leaves a message.
/// @par Threads
/// Any thread. A call that uses the result on another thread keeps it until that call returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spinect_segmentation_free(segmentation: *mut spinect_segmentation) {
    border_or((), || if segmentation.is_null() { Ok(()) } else { free(segmentation) });
}

/// Says where the label map lies: the geometry of the input, bit by bit.
///
/// cbindgen:ptrs-as-arrays=[[dims;3], [ijk_to_world;16]]
/// @param segmentation The result.
/// @param dims Receives the voxels along i, j, k.
/// @param ijk_to_world Receives the map from the index of a voxel's center to mm, row major.
/// @param world Receives SPINECT_WORLD_*.
/// @return SPINECT_OK, or SPINECT_ERROR_NULL_ARGUMENT, INVALID_HANDLE, FORKED, BUSY.
/// @par Threads
/// Any number of threads, at any time.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn spinect_segmentation_geometry(
    segmentation: *const spinect_segmentation,
    dims: *mut u64,
    ijk_to_world: *mut f64,
    world: *mut i32,
) -> spinect_status {
    border(|| {
        require!(segmentation, dims, ijk_to_world, world);
        let segmentation = enter(segmentation)?;
        let geometry = segmentation.geometry();
        // SAFETY: not NULL; the caller gives places for 3, 16 and 1 numbers.
        unsafe {
            dims.cast::<[u64; 3]>().write_unaligned(geometry.dims.map(|n| n as u64));
            ijk_to_world.cast::<[f64; 16]>().write_unaligned(geometry.ijk_to_world.0);
            world.write_unaligned(geometry.world as i32);
        }
        Ok(())
    })
}

/// Gives the label map itself.
///
/// @param segmentation The result, which stays the owner.
/// @param labels Receives the address of one label per voxel: packed, i fastest. Valid until the result is freed, or is
///               the target of `spinect_session_segment_again`.
/// @param count Receives the number of voxels.
/// @return SPINECT_OK, or SPINECT_ERROR_NULL_ARGUMENT, INVALID_HANDLE, FORKED, BUSY.
/// @par Threads
/// Any number of threads, at any time.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn spinect_segmentation_labels(
    segmentation: *const spinect_segmentation,
    labels: *mut *const u8,
    count: *mut usize,
) -> spinect_status {
    border(|| {
        require!(segmentation, labels, count);
        let segmentation = enter(segmentation)?;
        let map = segmentation.labels();
        // SAFETY: not NULL; the caller gives places for a pointer and a number.
        unsafe {
            labels.write_unaligned(map.as_ptr());
            count.write_unaligned(map.len());
        }
        Ok(())
    })
}

/// Copies the confidence of every voxel: the mean probability of its label, 0 where nothing was examined.
///
/// @param segmentation The result.
/// @param confidence Receives one number from 0 to 1 per voxel: packed, i fastest. Aligned as a float is.
/// @param capacity How many elements `confidence` holds.
/// @return SPINECT_OK, or SPINECT_ERROR_NULL_ARGUMENT, INVALID_HANDLE, FORKED, BUSY, INVALID_ARGUMENT, BUFFER_TOO_SMALL.
/// @par Threads
/// Any number of threads, at any time.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn spinect_segmentation_copy_confidence(
    segmentation: *const spinect_segmentation,
    confidence: *mut f32,
    capacity: usize,
) -> spinect_status {
    border(|| {
        require!(segmentation, confidence);
        let segmentation = enter(segmentation)?;
        let voxels = segmentation.labels().len();
        if capacity < voxels {
            return Err(fail!(BufferTooSmall, "confidence holds {capacity} elements, the label map has {voxels}"));
        }
        if !confidence.is_aligned() {
            return Err(fail!(InvalidArgument, "confidence at {confidence:?} is not aligned as a float is"));
        }
        // SAFETY: not NULL, aligned, and the caller says that `capacity` elements are there for this call alone.
        segmentation.copy_confidence(unsafe { std::slice::from_raw_parts_mut(confidence, voxels) })
    })
}

/// How many labels the model knows, background among them. They are all listed, found or not.
///
/// @param segmentation The result.
/// @return The number; 0 for NULL or a handle that is none, with a message for `spinect_last_error`.
/// @par Threads
/// Any number of threads, at any time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spinect_segmentation_label_count(segmentation: *const spinect_segmentation) -> usize {
    border_or(0, || {
        require!(segmentation);
        Ok(enter(segmentation)?.table().len())
    })
}

/// Says what a label stands for, and how much of it was found.
///
/// @param segmentation The result.
/// @param index 0 up to, but not including, `spinect_segmentation_label_count`.
/// @param label Receives it; the caller sets its `struct_size`.
/// @return SPINECT_OK, or SPINECT_ERROR_NULL_ARGUMENT, INVALID_HANDLE, FORKED, BUSY, STRUCT_SIZE, INVALID_ARGUMENT.
/// @par Threads
/// Any number of threads, at any time.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn spinect_segmentation_label(
    segmentation: *const spinect_segmentation,
    index: usize,
    label: *mut spinect_label,
) -> spinect_status {
    border(|| {
        require!(segmentation, label);
        let segmentation = enter(segmentation)?;
        // SAFETY: not NULL, and the caller says how large the structure is.
        let output = unsafe { Output::new(label) }?;
        let table = segmentation.table();
        let Some(label) = table.get(index) else {
            return Err(fail!(InvalidArgument, "index is {index}: the segmentation has {} labels", table.len()));
        };
        output.write(describe(label));
        Ok(())
    })
}

/// A label as a structure of the C ABI.
fn describe(label: &Label) -> spinect_label {
    // A structure without a code has empty texts.
    let parts = |code: &Option<Code>| match code {
        Some(code) => (text(&code.scheme), text(&code.code), text(&code.meaning)),
        None => (text(""), text(""), text("")),
    };
    let (scheme, code, meaning) = parts(&label.terminology);
    let (category_scheme, category_code, category_meaning) = parts(&label.category);
    let statistics = &label.statistics;
    spinect_label {
        struct_size: 0,
        value: i32::from(label.value),
        rgb: label.color,
        reserved: [0; 5],
        name: text(&label.name),
        scheme,
        code,
        meaning,
        category_scheme,
        category_code,
        category_meaning,
        voxels: statistics.voxels,
        volume_mm3: statistics.volume_mm3,
        box_min: statistics.box_min,
        box_max: statistics.box_max,
        centroid: statistics.centroid,
        mean_confidence: statistics.mean_confidence,
    }
}

/// Says what made the result.
///
/// @param segmentation The result.
/// @param provenance Receives it; the caller sets its `struct_size`.
/// @return SPINECT_OK, or SPINECT_ERROR_NULL_ARGUMENT, INVALID_HANDLE, FORKED, BUSY, STRUCT_SIZE.
/// @par Threads
/// Any number of threads, at any time.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn spinect_segmentation_provenance(
    segmentation: *const spinect_segmentation,
    provenance: *mut spinect_provenance,
) -> spinect_status {
    border(|| {
        require!(segmentation, provenance);
        let segmentation = enter(segmentation)?;
        // SAFETY: not NULL, and the caller says how large the structure is.
        let output = unsafe { Output::new(provenance) }?;
        let known = segmentation.provenance();
        output.write(spinect_provenance {
            struct_size: 0,
            device: known.device as i32,
            precision: known.precision as i32,
            reserved: 0,
            warnings: known.warnings.0,
            model_name: text(&known.model_name),
            model_sha256: text(&known.model_sha256),
            input_sha256: text(&known.input_sha256),
            library_version: text(env!("CARGO_PKG_VERSION")),
            library_commit: text(COMMIT),
        });
        Ok(())
    })
}

/// Says how long each stage of the run took that made the result.
///
/// @param segmentation The result.
/// @param timings Receives seconds; the caller sets its `struct_size`.
/// @return SPINECT_OK, or SPINECT_ERROR_NULL_ARGUMENT, INVALID_HANDLE, FORKED, BUSY, STRUCT_SIZE.
/// @par Threads
/// Any number of threads, at any time.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn spinect_segmentation_timings(
    segmentation: *const spinect_segmentation,
    timings: *mut spinect_timings,
) -> spinect_status {
    border(|| {
        require!(segmentation, timings);
        let segmentation = enter(segmentation)?;
        // SAFETY: not NULL, and the caller says how large the structure is.
        let output = unsafe { Output::new(timings) }?;
        let known = segmentation.timings();
        output.write(spinect_timings {
            struct_size: 0,
            reserved: 0,
            prepare: known.prepare,
            network: known.network,
            combine: known.combine,
            restore: known.restore,
            total: known.total,
            windows: known.windows,
            windows_computed: known.windows_computed,
        });
        Ok(())
    })
}
