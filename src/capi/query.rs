//! Questions to a result: what lies at a point, how far a structure is from a point or a tool.

use super::handle::{enter, enter_exclusively};
use super::segment::spinect_segmentation;
use super::status::{border, fail, require, spinect_status};
use super::structs::{Output, layout, read};
use super::volume::world;
use crate::error::Result;
use crate::segmentation::{Clearance, Tool};
use crate::threads::with_enough_stack;

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

/// A tool: a capsule, that is a cylinder with spherical ends.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct spinect_tool {
    /// sizeof(spinect_tool).
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// One end of its axis in mm.
    pub from: [f64; 3],
    /// The other end in mm; may be the same point.
    pub to: [f64; 3],
    /// Its radius in mm, 0 or more.
    pub radius_mm: f64,
}
layout!(spinect_tool, 64, { struct_size: 0, reserved: 4, from: 8, to: 32, radius_mm: 56 });

/// Whether a tool on its way keeps its distance from a structure.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct spinect_corridor {
    /// sizeof(spinect_corridor), set by the caller.
    pub struct_size: u32,
    /// 1 if the tool comes too near somewhere, else 0.
    pub violated: i32,
    /// Where it first does, along its axis from `from`, in mm; 0 if it does not, as the two points are.
    pub along_mm: f64,
    /// That point of the axis, in mm.
    pub at: [f64; 3],
    /// The nearest point of the structure's surface, in mm.
    pub nearest: [f64; 3],
    /// From the tool's surface to space that was not segmented, in mm: where that is 0 or less, nothing vouches for it.
    pub unexamined_mm: f64,
}
layout!(spinect_corridor, 72, { struct_size: 0, violated: 4, along_mm: 8, at: 16, nearest: 40, unexamined_mm: 64 });

/// Prepares a result for questions about the distance to a label. Once it has been called for the labels that will be asked
/// about, the result never changes again (until `spinect_session_segment_again` fills it anew: then prepare it again).
///
/// Takes some tenths of a second, and about one bit per voxel of the box around the structure and 14 bytes per flat
/// piece of its surface.
///
/// @param segmentation The result.
/// @param label The label's value. One that no voxel carries can be prepared: questions then say LABEL_ABSENT.
/// @return SPINECT_OK, or SPINECT_ERROR_NULL_ARGUMENT, INVALID_HANDLE, FORKED, BUSY (somebody uses the result),
///         UNKNOWN_LABEL, VOLUME_TOO_LARGE (more than 65,535 voxels along an axis), OUT_OF_MEMORY, THREAD (only on a
///         thread with less than 256 KiB of stack, which needs another's).
/// @par Threads
/// Any thread; nobody else may use the result during the call.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn spinect_segmentation_prepare_queries(segmentation: *mut spinect_segmentation, label: i32) -> spinect_status {
    border(|| {
        require!(segmentation);
        let mut segmentation = enter_exclusively(segmentation)?;
        with_enough_stack(|| segmentation.prepare_queries(label))
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

/// Reads a tool.
///
/// # Errors
/// `InvalidArgument` for a coordinate that is not finite, or a radius that is none.
fn tool(from: [f64; 3], to: [f64; 3], radius_mm: f64) -> Result<Tool> {
    if radius_mm >= 0.0 && radius_mm.is_finite() {
        return Ok(Tool { from, to, radius_mm });
    }
    Err(fail!(InvalidArgument, "the tool's radius is {radius_mm}: it must be 0 or a positive number"))
}

impl spinect_clearance {
    fn of(clearance: &Clearance) -> Self {
        let Clearance { crosses, distance_mm, at, nearest, length_inside_mm, unexamined_mm } = *clearance;
        spinect_clearance { struct_size: 0, crosses: i32::from(crosses), distance_mm, at, nearest, length_inside_mm, unexamined_mm }
    }
}

/// Says how far a structure is from a point.
///
/// Measured to the surface of the union of the label's voxels, as parallelepipeds of the affine. The error is that of
/// rounding, plus, where the affine is sheared so little that no corner of the volume moves by more than 1 % of the smallest
/// spacing, that.
///
/// cbindgen:ptrs-as-arrays=[[point;3]]
/// @param segmentation The result, prepared for `label`.
/// @param label The label's value.
/// @param world SPINECT_WORLD_*: the world of `point` and of the answer, whatever that of the result.
/// @param point The point in mm, anywhere within 10^9 mm of the origin.
/// @param distance Receives the answer; the caller sets its `struct_size`.
/// @return SPINECT_OK, or SPINECT_ERROR_NULL_ARGUMENT, INVALID_HANDLE, FORKED, BUSY, STRUCT_SIZE, INVALID_ARGUMENT,
///         UNKNOWN_LABEL, NOT_PREPARED, LABEL_ABSENT.
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
        let segmentation = enter(segmentation)?;
        // SAFETY: not NULL, and the caller says how large the structure is.
        let output = unsafe { Output::new(distance) }?;
        // SAFETY: not NULL; the caller gives three numbers.
        let (world, point) = (self::world(world)?, unsafe { position("point", point) }?);
        let found = segmentation.distance(label, world, point)?;
        output.write(spinect_distance {
            struct_size: 0,
            reserved: 0,
            distance_mm: found.distance_mm,
            nearest: found.nearest,
            unexamined_mm: found.unexamined_mm,
        });
        Ok(())
    })
}

/// Says how far a structure is from a tool: a capsule, that is a cylinder with spherical ends.
///
/// Exact as `spinect_segmentation_distance`, but for one thing: where the axis passes through the structure, the distance is
/// that of the deepest point of the axis, and may be too large (too shallow) by a quarter of the smallest spacing.
///
/// cbindgen:ptrs-as-arrays=[[from;3], [to;3]]
/// @param segmentation The result, prepared for `label`.
/// @param label The label's value.
/// @param world SPINECT_WORLD_*: the world of the points and of the answer, whatever that of the result.
/// @param from One end of the tool's axis in mm, within 10^9 mm of the origin.
/// @param to The other end in mm; may be the same point.
/// @param tool_radius_mm The tool's radius in mm, 0 or more.
/// @param clearance Receives the answer; the caller sets its `struct_size`.
/// @return As `spinect_segmentation_distance`.
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
        let segmentation = enter(segmentation)?;
        // SAFETY: not NULL, and the caller says how large the structure is.
        let output = unsafe { Output::new(clearance) }?;
        let world = self::world(world)?;
        // SAFETY: not NULL; the caller gives three numbers each.
        let (from, to) = unsafe { (position("from", from)?, position("to", to)?) };
        let found = segmentation.clearance(label, world, &tool(from, to, tool_radius_mm)?)?;
        output.write(spinect_clearance::of(&found));
        Ok(())
    })
}

/// Says how far a structure is from each of many tools, for example candidates for a trajectory. One after the other; any
/// number of threads may share the work. If it fails, no answer is written.
///
/// @param segmentation The result, prepared for `label`.
/// @param label The label's value.
/// @param world SPINECT_WORLD_*: the world of the tools and of the answers, whatever that of the result.
/// @param tools The tools, one behind the other, each with its `struct_size`.
/// @param count How many.
/// @param clearances Receives an answer per tool, one behind the other; the caller sets the `struct_size` of each.
/// @return As `spinect_segmentation_distance`.
/// @par Threads
/// Any number of threads, at any time: no lock, no allocation, no system call.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn spinect_segmentation_clearances(
    segmentation: *const spinect_segmentation,
    label: i32,
    world: i32,
    tools: *const spinect_tool,
    count: usize,
    clearances: *mut spinect_clearance,
) -> spinect_status {
    border(|| {
        require!(segmentation, tools, clearances);
        let segmentation = enter(segmentation)?;
        let world = self::world(world)?;
        // First without an answer, so that a failure leaves none behind.
        for answer in [false, true] {
            let (mut tools, mut clearances) = (tools, clearances);
            for at in 0..count {
                // SAFETY: the caller gives `count` of them, which say how large they are.
                let (raw, output) = unsafe { (read(tools)?, Output::new(clearances)?) };
                let tool = entry(&raw, at)?;
                // SAFETY: as above: at most the end of the last one.
                tools = unsafe { tools.byte_add(raw.struct_size as usize) };
                // SAFETY: as above.
                clearances = unsafe { clearances.byte_add(output.size()) };
                if answer {
                    output.write(spinect_clearance::of(&segmentation.clearance(label, world, &tool)?));
                } else {
                    segmentation.check_tool(label, world, &tool)?;
                }
            }
        }
        Ok(())
    })
}

/// Entry `at` of a table of tools.
fn entry(raw: &spinect_tool, at: usize) -> Result<Tool> {
    if raw.reserved != 0 {
        return Err(fail!(InvalidArgument, "tools[{at}].reserved must be 0"));
    }
    if raw.from.iter().chain(&raw.to).any(|coordinate| !coordinate.is_finite()) {
        return Err(fail!(InvalidArgument, "tools[{at}] has a coordinate that is not finite"));
    }
    tool(raw.from, raw.to, raw.radius_mm)
}

/// Says whether a tool that moves along its axis, from `from` to `to`, keeps a margin between its surface and a structure,
/// and where it first does not. It does not, either, where its axis lies in the structure.
///
/// @param segmentation The result, prepared for `label`.
/// @param label The label's value.
/// @param world SPINECT_WORLD_*: the world of the tool and of the answer, whatever that of the result.
/// @param tool The tool, with its `struct_size`.
/// @param margin_mm How far it has to stay away, in mm, 0 or more.
/// @param corridor Receives the answer; the caller sets its `struct_size`.
/// @return As `spinect_segmentation_distance`.
/// @par Threads
/// Any number of threads, at any time: no lock, no allocation, no system call.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn spinect_segmentation_corridor(
    segmentation: *const spinect_segmentation,
    label: i32,
    world: i32,
    tool: *const spinect_tool,
    margin_mm: f64,
    corridor: *mut spinect_corridor,
) -> spinect_status {
    border(|| {
        require!(segmentation, tool, corridor);
        let segmentation = enter(segmentation)?;
        // SAFETY: not NULL, and the caller says how large the structures are.
        let (raw, output) = unsafe { (read(tool)?, Output::new(corridor)?) };
        let (world, tool) = (self::world(world)?, entry(&raw, 0)?);
        if !(margin_mm >= 0.0 && margin_mm.is_finite()) {
            return Err(fail!(InvalidArgument, "margin_mm is {margin_mm}: it must be 0 or a positive number"));
        }
        let found = segmentation.corridor(label, world, &tool, margin_mm)?;
        let (along_mm, at, nearest) = found.violation.map_or((0.0, [0.0; 3], [0.0; 3]), |v| (v.along_mm, v.at, v.nearest));
        let violated = i32::from(found.violation.is_some());
        output.write(spinect_corridor { struct_size: 0, violated, along_mm, at, nearest, unexamined_mm: found.unexamined_mm });
        Ok(())
    })
}
