//! `spinect_surface`: a structure's surface as triangles.

use std::ffi::c_char;

use super::handle::{enter, free, handle, vacancy};
use super::segment::spinect_segmentation;
use super::status::{border, border_or, require, spinect_status};
use super::structs::{layout, path, read};
use super::volume::world;
use crate::surface::{Options, Surface};
use crate::threads::with_enough_stack;

/// A structure's surface as triangles. Freed with `spinect_surface_free`.
pub struct spinect_surface {
    _opaque: [u8; 0],
}
handle!(spinect_surface => Surface, 0xa5);

/// How a surface is made.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct spinect_surface_config {
    /// sizeof(spinect_surface_config).
    pub struct_size: u32,
    /// SPINECT_WORLD_*: the world of the points.
    pub world: i32,
    /// Features smaller than about this are smoothed away, in mm; 0: none, the surface is that of the voxels, step by step.
    /// One to two times the longest edge of a voxel takes the steps away.
    pub smoothing_mm: f64,
    /// The share of the triangles to take away, 0 (none) to less than 1.
    pub reduction: f64,
}
layout!(spinect_surface_config, 24, { struct_size: 0, world: 4, smoothing_mm: 8, reduction: 16 });

/// Makes the surface of a structure: closed (every edge belongs to two triangles), also where the volume ends, and
/// oriented outwards.
///
/// Smoothing moves no point farther than half a voxel along any axis: the surface and the voxels' faces lie within half a
/// voxel's diagonal of each other, and each piece encloses the volume of its voxels within 0.1 % (1 % where most of its
/// voxels touch others only at edges and corners). Triangles are taken away as long as the surface stays within half the
/// voxels' shortest edge of what it was before.
///
/// @param segmentation The result. Needs no `spinect_segmentation_prepare_queries`.
/// @param label The label's value.
/// @param config How to make it.
/// @param surface Receives the surface; the caller frees it. It outlives the result.
/// @return SPINECT_OK, or SPINECT_ERROR_NULL_ARGUMENT, INVALID_HANDLE, FORKED, BUSY, STRUCT_SIZE, INVALID_ARGUMENT,
///         UNKNOWN_LABEL, LABEL_ABSENT, OUT_OF_MEMORY, THREAD (only on a thread with less than 256 KiB of stack, which needs
///         another's).
/// @par Threads
/// Any number of threads, at any time.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn spinect_segmentation_surface(
    segmentation: *const spinect_segmentation,
    label: i32,
    config: *const spinect_surface_config,
    surface: *mut *mut spinect_surface,
) -> spinect_status {
    border(|| {
        require!(segmentation, config, surface);
        let segmentation = enter(segmentation)?;
        // SAFETY: not NULL, and the caller says how large the structure is.
        let raw = unsafe { read(config) }?;
        let options = Options { world: world(raw.world)?, smoothing_mm: raw.smoothing_mm, reduction: raw.reduction };
        let vacancy = vacancy()?;
        let made = with_enough_stack(|| segmentation.surface(label, &options))?;
        // SAFETY: not NULL; the caller gives a place for a pointer.
        unsafe { surface.write_unaligned(vacancy.fill(made)) };
        Ok(())
    })
}

/// Gives the points and triangles of a surface.
///
/// @param surface The surface, which stays the owner: the arrays are valid until it is freed.
/// @param points_xyz Receives the address of three coordinates in mm per point.
/// @param point_count Receives the number of points.
/// @param triangles Receives the address of three point numbers per triangle, counterclockwise seen from outside.
/// @param triangle_count Receives the number of triangles.
/// @return SPINECT_OK, or SPINECT_ERROR_NULL_ARGUMENT, INVALID_HANDLE, FORKED.
/// @par Threads
/// Any number of threads, at any time.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn spinect_surface_data(
    surface: *const spinect_surface,
    points_xyz: *mut *const f64,
    point_count: *mut usize,
    triangles: *mut *const u32,
    triangle_count: *mut usize,
) -> spinect_status {
    border(|| {
        require!(surface, points_xyz, point_count, triangles, triangle_count);
        let made = enter(surface)?;
        // SAFETY: not NULL; the caller gives places for two pointers and two numbers.
        unsafe {
            points_xyz.write_unaligned(made.points().as_ptr().cast());
            point_count.write_unaligned(made.points().len());
            triangles.write_unaligned(made.triangles().as_ptr().cast());
            triangle_count.write_unaligned(made.triangles().len());
        }
        Ok(())
    })
}

/// Writes a surface to a file. It appears whole or not at all and replaces an existing one.
///
/// @param surface The surface.
/// @param path The file, UTF-8.
/// @return SPINECT_OK, or SPINECT_ERROR_NULL_ARGUMENT, INVALID_HANDLE, FORKED, INVALID_ARGUMENT,
///         IO, UNSUPPORTED_FORMAT.
/// @par Threads
/// Any number of threads, at any time.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn spinect_surface_write(surface: *const spinect_surface, path: *const c_char) -> spinect_status {
    border(|| {
        require!(surface, path);
        let made = enter(surface)?;
        // SAFETY: the caller gives a NUL-terminated string.
        let path = unsafe { self::path(path) }?;
        with_enough_stack(|| made.write(path))
    })
}

/// Frees a surface.
///
/// @param surface The surface, or NULL: then nothing happens. A handle that is none is noticed and leaves a message.
/// @par Threads
/// Any thread, at any time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spinect_surface_free(surface: *mut spinect_surface) {
    border_or((), || if surface.is_null() { Ok(()) } else { free(surface) });
}
