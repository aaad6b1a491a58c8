//! Questions to a result: what lies at a point, how far a structure is from a point or a tool.

use super::handle::enter;
use super::segment::spinect_segmentation;
use super::segmentation::later;
use super::status::{border, fail, require, spinect_status};
use super::structs::{Output, layout};
use super::volume::world;
use crate::error::Result;

/// What lies at a point.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct spinect_sample {
    /// sizeof(spinect_sample), set by the caller.
    pub struct_size: u32,
    /// The label's value.
    pub label: i32,
    /// Its confidence, 0 to 1.
    pub confidence: f64,
}
layout!(spinect_sample, 16, { struct_size: 0, label: 4, confidence: 8 });

/// How far a structure is from a point.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct spinect_distance {
    /// sizeof(spinect_distance), set by the caller.
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// To the structure's surface in mm, negative inside it.
    pub distance_mm: f64,
    /// The nearest point of that surface in mm, in the world of the question.
    pub nearest: [f64; 3],
    /// To the nearest space that was not segmented in mm; 0 or less within it.
    pub unexamined_mm: f64,
}
layout!(spinect_distance, 48, { struct_size: 0, reserved: 4, distance_mm: 8, nearest: 16, unexamined_mm: 40 });

/// How far a structure is from a tool.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct spinect_clearance {
    /// sizeof(spinect_clearance), set by the caller.
    pub struct_size: u32,
    /// 1 if the tool's axis passes through the structure, else 0.
    pub crosses: i32,
    /// From the tool's surface to the structure's surface in mm, negative where the tool enters.
    pub distance_mm: f64,
    /// The point of the tool's axis that is nearest, in mm.
    pub at: [f64; 3],
    /// The nearest point of the structure's surface, in mm.
    pub nearest: [f64; 3],
    /// How much of the axis lies inside the structure, in mm.
    pub length_inside_mm: f64,
    /// From the tool's surface to space that was not segmented, in mm.
    pub unexamined_mm: f64,
}
layout!(spinect_clearance, 80, {
    struct_size: 0, crosses: 4, distance_mm: 8, at: 16, nearest: 40, length_inside_mm: 64, unexamined_mm: 72,
});

/// Prepares a result for questions about the distance to a label. Not available in version 0.1. Once it has been called
/// for the labels that will be asked about, the result never changes again.
///
/// @param segmentation The result.
/// @param label The label's value.
/// @return SPINECT_ERROR_UNSUPPORTED in this version, after SPINECT_ERROR_NULL_ARGUMENT, INVALID_HANDLE, FORKED.
/// @par Threads
/// Any thread; nobody else may use the result during the call.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn spinect_segmentation_prepare_queries(segmentation: *mut spinect_segmentation, label: i32) -> spinect_status {
    border(|| {
        require!(segmentation);
        enter(segmentation)?;
        let _ = label;
        Err(later("preparing distance queries"))
    })
}

/// Says which label lies at a point: that of the voxel that contains it.
///
/// cbindgen:ptrs-as-arrays=[[point;3]]
/// @param segmentation The result. Needs no `spinect_segmentation_prepare_queries`.
/// @param world SPINECT_WORLD_*: the world of `point`, whatever that of the result.
/// @param point The point in mm.
/// @param sample Receives label and confidence; the caller sets its `struct_size`.
/// @return SPINECT_OK, or SPINECT_ERROR_NULL_ARGUMENT, INVALID_HANDLE, FORKED, BUSY, STRUCT_SIZE, INVALID_ARGUMENT,
///         NOT_EXAMINED (outside the field of view or the region of interest: that is not background).
/// @par Threads
/// Any number of threads, at any time: no lock, no allocation, no system call.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn spinect_segmentation_at(
    segmentation: *const spinect_segmentation,
    world: i32,
    point: *const f64,
    sample: *mut spinect_sample,
) -> spinect_status {
    border(|| {
        require!(segmentation, point, sample);
        let segmentation = enter(segmentation)?;
        // SAFETY: not NULL, and the caller says how large the structure is.
        let output = unsafe { Output::new(sample) }?;
        // SAFETY: not NULL; the caller gives three numbers.
        let found = segmentation.at(self::world(world)?, unsafe { position("point", point) }?)?;
        output.write(spinect_sample { struct_size: 0, label: found.label, confidence: found.confidence });
        Ok(())
    })
}

/// Reads a point in mm.
///
/// # Errors
/// `InvalidArgument` for a coordinate that is not finite.
///
/// # Safety
/// `point` leads to three numbers, which need not be aligned.
unsafe fn position(what: &str, point: *const f64) -> Result<[f64; 3]> {
    // SAFETY: the caller's promise.
    let point = unsafe { point.cast::<[f64; 3]>().read_unaligned() };
    if point.iter().all(|coordinate| coordinate.is_finite()) {
        return Ok(point);
    }
    Err(fail!(InvalidArgument, "{what} is {point:?}: every coordinate must be finite"))
}

/// Says how far a structure is from a point. Not available in version 0.1.
///
/// Measured to the surface of the union of the label's voxels, as parallelepipeds of the affine.
///
/// cbindgen:ptrs-as-arrays=[[point;3]]
/// @param segmentation The result, prepared for `label`.
/// @param label The label's value.
/// @param world SPINECT_WORLD_*: the world of `point` and of the answer, whatever that of the result.
/// @param point The point in mm, anywhere.
/// @param distance Receives the answer; the caller sets its `struct_size`.
/// @return SPINECT_ERROR_UNSUPPORTED in this version, after SPINECT_ERROR_NULL_ARGUMENT, INVALID_HANDLE, FORKED,
///         STRUCT_SIZE, INVALID_ARGUMENT.
/// @par Threads
/// Any number of threads, at any time: no lock, no allocation, no system call.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn spinect_segmentation_distance(
    segmentation: *const spinect_segmentation,
    label: i32,
    world: i32,
    point: *const f64,
    distance: *mut spinect_distance,
) -> spinect_status {
    border(|| {
        require!(segmentation, point, distance);
        enter(segmentation)?;
        // SAFETY: not NULL, and the caller says how large the structure is.
        unsafe { Output::new(distance) }?;
        self::world(world)?;
        // SAFETY: not NULL; the caller gives three numbers.
        unsafe { position("point", point) }?;
        let _ = label;
        Err(later("the distance to a structure"))
    })
}

/// Says how far a structure is from a tool: a capsule, that is a cylinder with spherical ends. Not available in version
/// 0.1.
///
/// cbindgen:ptrs-as-arrays=[[from;3], [to;3]]
/// @param segmentation The result, prepared for `label`.
/// @param label The label's value.
/// @param world SPINECT_WORLD_*: the world of the points and of the answer, whatever that of the result.
/// @param from One end of the tool's axis in mm.
/// @param to The other end in mm; may be the same point.
/// @param tool_radius_mm The tool's radius in mm, 0 or more.
/// @param clearance Receives the answer; the caller sets its `struct_size`.
/// @return SPINECT_ERROR_UNSUPPORTED in this version, after SPINECT_ERROR_NULL_ARGUMENT, INVALID_HANDLE, FORKED,
///         STRUCT_SIZE, INVALID_ARGUMENT.
/// @par Threads
/// Any number of threads, at any time: no lock, no allocation, no system call.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn spinect_segmentation_clearance(
    segmentation: *const spinect_segmentation,
    label: i32,
    world: i32,
    from: *const f64,
    to: *const f64,
    tool_radius_mm: f64,
    clearance: *mut spinect_clearance,
) -> spinect_status {
    border(|| {
        require!(segmentation, from, to, clearance);
        enter(segmentation)?;
        // SAFETY: not NULL, and the caller says how large the structure is.
        unsafe { Output::new(clearance) }?;
        self::world(world)?;
        // SAFETY: not NULL; the caller gives three numbers each.
        unsafe { (position("from", from)?, position("to", to)?) };
        if !(tool_radius_mm >= 0.0 && tool_radius_mm.is_finite()) {
            return Err(fail!(InvalidArgument, "tool_radius_mm is {tool_radius_mm}: it must be 0 or a positive number"));
        }
        let _ = label;
        Err(later("the clearance of a tool"))
    })
}
