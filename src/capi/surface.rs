//! `spinect_surface`: a structure's surface as triangles.

use std::convert::Infallible;
use std::ffi::c_char;

use super::handle::{enter, free, handle};
use super::segment::spinect_segmentation;
use super::segmentation::later;
use super::status::{border, border_or, fail, require, spinect_status};
use super::structs::{layout, read};
use super::volume::world;

/// A structure's surface as triangles. Freed with `spinect_surface_free`.
pub struct spinect_surface {
    _opaque: [u8; 0],
}
// This version makes no surface: no handle of this type can be valid.
handle!(spinect_surface => Infallible, 0xa5);

/// How a surface is made.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct spinect_surface_config {
    /// sizeof(spinect_surface_config).
    pub struct_size: u32,
    /// SPINECT_WORLD_*: the world of the points.
    pub world: i32,
    /// Features smaller than this are smoothed away, in mm; 0: none.
    pub smoothing_mm: f64,
    /// The share of the triangles to take away, 0 (none) to less than 1.
    pub reduction: f64,
}
layout!(spinect_surface_config, 24, { struct_size: 0, world: 4, smoothing_mm: 8, reduction: 16 });

/// Makes the surface of a structure. Not available in version 0.1.
///
/// @param segmentation The result.
/// @param label The label's value.
/// @param config How to make it.
/// @param surface Receives the surface; the caller frees it. It outlives the result.
/// @return SPINECT_ERROR_UNSUPPORTED in this version, after SPINECT_ERROR_NULL_ARGUMENT, INVALID_HANDLE, FORKED,
///         STRUCT_SIZE, INVALID_ARGUMENT.
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
        enter(segmentation)?;
        // SAFETY: not NULL, and the caller says how large the structure is.
        let config = unsafe { read(config) }?;
        world(config.world)?;
        if !(config.smoothing_mm >= 0.0 && config.smoothing_mm.is_finite()) {
            return Err(fail!(InvalidArgument, "smoothing_mm is {}: it must be 0 or a positive number", config.smoothing_mm));
        }
        if !(0.0..1.0).contains(&config.reduction) {
            return Err(fail!(InvalidArgument, "reduction is {}: it must be 0 or more, and less than 1", config.reduction));
        }
        let _ = label;
        Err(later("the surface of a structure"))
    })
}

/// Gives the points and triangles of a surface.
///
/// @param surface The surface, which stays the owner: the arrays are valid until it is freed.
/// @param points_xyz Receives the address of three coordinates in mm per point.
/// @param point_count Receives the number of points.
/// @param triangles Receives the address of three point numbers per triangle, counterclockwise seen from outside.
/// @param triangle_count Receives the number of triangles.
/// @return SPINECT_OK, or SPINECT_ERROR_NULL_ARGUMENT, INVALID_HANDLE (always, in this version), FORKED.
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
        match *enter(surface)? {}
    })
}

/// Writes a surface to a file. It appears whole or not at all and replaces an existing one.
///
/// @param surface The surface.
/// @param path The file, UTF-8.
/// @return SPINECT_OK, or SPINECT_ERROR_NULL_ARGUMENT, INVALID_HANDLE (always, in this version), FORKED, INVALID_ARGUMENT,
///         IO, UNSUPPORTED_FORMAT.
/// @par Threads
/// Any number of threads, at any time.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn spinect_surface_write(surface: *const spinect_surface, path: *const c_char) -> spinect_status {
    border(|| {
        require!(surface, path);
        match *enter(surface)? {}
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
