//! `spinect_volume`: a borrowed view of the caller's voxels.

use std::ffi::{c_char, c_void};

use super::status::{border, fail, require, spinect_status};
use super::structs::{Output, choice, layout, read};
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::{Affine, Geometry, World};
use crate::segmentation::Warnings;
use crate::volume::{Rescale, Volume, VoxelType};

/// Signed 8-bit voxels.
pub const SPINECT_VOXEL_INT8: i32 = 1;
/// Unsigned 8-bit voxels.
pub const SPINECT_VOXEL_UINT8: i32 = 2;
/// Signed 16-bit voxels: what CT usually is.
pub const SPINECT_VOXEL_INT16: i32 = 3;
/// Unsigned 16-bit voxels.
pub const SPINECT_VOXEL_UINT16: i32 = 4;
/// Signed 32-bit voxels.
pub const SPINECT_VOXEL_INT32: i32 = 5;
/// 32-bit IEEE 754 voxels.
pub const SPINECT_VOXEL_FLOAT32: i32 = 6;
/// 64-bit IEEE 754 voxels.
pub const SPINECT_VOXEL_FLOAT64: i32 = 7;

/// Coordinates grow towards Right, Anterior, Superior: 3D Slicer, NIfTI.
pub const SPINECT_WORLD_RAS: i32 = 1;
/// Coordinates grow towards Left, Posterior, Superior: ITK, DICOM. 0 is no world: left and right are never guessed.
pub const SPINECT_WORLD_LPS: i32 = 2;

/// Voxels in the host's memory.
pub const SPINECT_MEMORY_HOST: i32 = 0;
/// Voxels already on the session's CUDA device. SPINECT_ERROR_UNSUPPORTED in this version.
pub const SPINECT_MEMORY_CUDA: i32 = 1;

/// A borrowed view of the caller's voxels and their place in the world. Set it to zero, then fill it in.
///
/// The voxels are only read, and only during the call that the view is given to.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct spinect_volume {
    /// sizeof(spinect_volume).
    pub struct_size: u32,
    /// SPINECT_VOXEL_*, in the machine's byte order.
    pub voxel_type: i32,
    /// The address of voxel (0, 0, 0), which need not be aligned. NULL where only the shape matters, for `like`.
    pub voxels: *const c_void,
    /// Voxels along i, j, k; each at least 1.
    pub dims: [u64; 3],
    /// Bytes from a voxel to its neighbor along i, j, k, also negative ones. All 0: packed, i fastest.
    pub strides: [i64; 3],
    /// The index (i, j, k) of a voxel's center to millimeters: 4 by 4, row major, last row 0 0 0 1. Spacing 0.05 to 20 mm,
    /// not singular; left-handed is fine.
    pub ijk_to_world: [f64; 16],
    /// SPINECT_WORLD_*: what `ijk_to_world` leads to.
    pub world: i32,
    /// SPINECT_MEMORY_*.
    pub memory: i32,
    /// Hounsfield units per stored unit. Slope and intercept both 0: the voxels are Hounsfield units already. Any other
    /// slope of 0 is an error: a forgotten slope must not eat an intercept of -1024.
    pub rescale_slope: f64,
    /// Hounsfield units at a stored 0.
    pub rescale_intercept: f64,
}
layout!(spinect_volume, 216, {
    struct_size: 0, voxel_type: 4, voxels: 8, dims: 16, strides: 40, ijk_to_world: 64, world: 192, memory: 196,
    rescale_slope: 200, rescale_intercept: 208,
});

/// What the geometry of a volume says about it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct spinect_volume_info {
    /// sizeof(spinect_volume_info), set by the caller.
    pub struct_size: u32,
    /// The letters that i, j, k increase towards, NUL-terminated, for example "LPS".
    pub orientation: [c_char; 4],
    /// The distance between neighboring voxel centers along i, j, k in mm, rounded to 1e-5 mm.
    pub spacing_mm: [f64; 3],
    /// SPINECT_WARNING_SPACING and SPINECT_WARNING_SHEARED, where they apply.
    pub warnings: u64,
}
layout!(spinect_volume_info, 40, { struct_size: 0, orientation: 4, spacing_mm: 8, warnings: 32 });

/// The world that a number stands for.
pub(super) fn world(number: i32) -> Result<World> {
    match number {
        SPINECT_WORLD_RAS => Ok(World::Ras),
        SPINECT_WORLD_LPS => Ok(World::Lps),
        _ => Err(fail!(InvalidArgument, "world is {number}; it must be SPINECT_WORLD_RAS (1) or SPINECT_WORLD_LPS (2)")),
    }
}

/// A `spinect_volume` whose values are fine; its geometry has not been looked at yet. Every call checks the values of
/// all its arguments before any geometry.
pub(super) struct Values {
    raw: spinect_volume,
    voxel_type: VoxelType,
    world: World,
    rescale: Rescale,
    on_device: bool,
}

impl Values {
    /// Checks everything but the geometry.
    ///
    /// # Errors
    /// `InvalidArgument`.
    pub(super) fn of(raw: spinect_volume) -> Result<Values> {
        const TYPES: &[(i32, VoxelType)] = &[
            (SPINECT_VOXEL_INT8, VoxelType::Int8),
            (SPINECT_VOXEL_UINT8, VoxelType::Uint8),
            (SPINECT_VOXEL_INT16, VoxelType::Int16),
            (SPINECT_VOXEL_UINT16, VoxelType::Uint16),
            (SPINECT_VOXEL_INT32, VoxelType::Int32),
            (SPINECT_VOXEL_FLOAT32, VoxelType::Float32),
            (SPINECT_VOXEL_FLOAT64, VoxelType::Float64),
        ];
        let voxel_type = choice("voxel_type", raw.voxel_type, TYPES)?;
        let world = world(raw.world)?;
        let on_device = choice("memory", raw.memory, &[(SPINECT_MEMORY_HOST, false), (SPINECT_MEMORY_CUDA, true)])?;
        let rescale = Rescale::new(raw.rescale_slope, raw.rescale_intercept)?;
        Ok(Values { raw, voxel_type, world, rescale, on_device })
    }

    /// The view that the structure describes.
    ///
    /// # Errors
    /// `InvalidGeometry`; `Unsupported` for voxels on a device.
    ///
    /// # Safety
    /// Every voxel that the dimensions and strides address is readable and unchanged for `'a`, or `voxels` is NULL.
    pub(super) unsafe fn volume<'a>(&self) -> Result<Volume<'a>> {
        let raw = &self.raw;
        let outside = |what: &str| fail!(InvalidGeometry, "{what} beyond what this machine can address");
        let mut dims = [0usize; 3];
        let mut strides = [0isize; 3];
        for axis in 0..3 {
            dims[axis] = usize::try_from(raw.dims[axis]).map_err(|_| outside("dimensions"))?;
            strides[axis] = isize::try_from(raw.strides[axis]).map_err(|_| outside("strides"))?;
        }
        let geometry = Geometry { dims, ijk_to_world: Affine(raw.ijk_to_world), world: self.world };
        let strides = (strides != [0; 3]).then_some(strides);
        // SAFETY: the caller's promise.
        let volume = unsafe { Volume::from_raw(raw.voxels.cast(), self.voxel_type, strides, geometry, self.rescale) }?;
        if self.on_device {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "SPINECT_MEMORY_CUDA is not in this version: it reads voxels from the host's memory, also for a GPU",
            ));
        }
        Ok(volume)
    }
}

/// Reads a `like`: its voxels may be NULL and are not looked at.
///
/// # Errors
/// `StructSize`, then `InvalidArgument`, then `InvalidGeometry`, then `Unsupported`.
///
/// # Safety
/// `like` leads to a structure of the size it says.
pub(super) unsafe fn shape<'a>(like: *const spinect_volume) -> Result<Volume<'a>> {
    // SAFETY: the caller's promise.
    let mut raw = unsafe { read(like) }?;
    raw.voxels = std::ptr::null();
    // SAFETY: there are no voxels.
    unsafe { Values::of(raw)?.volume() }
}

/// Checks that a volume can be segmented, and says how it lies. Looks at the shape only: `volume->voxels` may be NULL.
///
/// @param volume The volume.
/// @param info Receives what its geometry says; the caller sets its `struct_size`.
/// @return SPINECT_OK, or SPINECT_ERROR_NULL_ARGUMENT, STRUCT_SIZE, INVALID_ARGUMENT (voxel type, world, memory, rescale),
///         INVALID_GEOMETRY (dimensions, strides, affine), UNSUPPORTED (voxels on a device that this build has not).
/// @par Threads
/// Any thread, at any time.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn spinect_volume_check(volume: *const spinect_volume, info: *mut spinect_volume_info) -> spinect_status {
    border(|| {
        require!(volume, info);
        // SAFETY: not NULL, and the caller says how large the structures are.
        let raw = unsafe { read(volume) }?;
        // SAFETY: as above.
        let output = unsafe { Output::new(info) }?;
        // SAFETY: only the shape is looked at.
        let checked = unsafe { Values::of(raw)?.volume() }?;
        let geometry = checked.geometry();
        let [i, j, k] = geometry.orientation().letters().map(|letter| letter as u8 as c_char);
        output.write(spinect_volume_info {
            struct_size: 0,
            orientation: [i, j, k, 0],
            spacing_mm: geometry.ijk_to_world.spacing(),
            warnings: Warnings::of_geometry(geometry).0,
        });
        Ok(())
    })
}
