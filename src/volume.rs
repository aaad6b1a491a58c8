//! Voxels and where they lie: a [`Volume`] is a view of somebody's memory, an [`Image`] owns its voxels.

use std::marker::PhantomData;

use ndarray::ArrayView3;

use crate::error::{Error, ErrorKind, Result, try_reserve};
use crate::geometry::Geometry;

/// How a voxel is stored. The numbers are those of the C ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum VoxelType {
    /// 8 bits, signed.
    Int8 = 1,
    /// 8 bits, unsigned.
    Uint8 = 2,
    /// 16 bits, signed: what CT usually is.
    Int16 = 3,
    /// 16 bits, unsigned.
    Uint16 = 4,
    /// 32 bits, signed.
    Int32 = 5,
    /// 32 bits, IEEE 754.
    Float32 = 6,
    /// 64 bits, IEEE 754.
    Float64 = 7,
}

impl VoxelType {
    /// Bytes of one voxel.
    pub const fn size(self) -> usize {
        match self {
            VoxelType::Int8 | VoxelType::Uint8 => 1,
            VoxelType::Int16 | VoxelType::Uint16 => 2,
            VoxelType::Int32 | VoxelType::Float32 => 4,
            VoxelType::Float64 => 8,
        }
    }

    /// The name used in tables and JSON, for example `"int16"`.
    pub const fn name(self) -> &'static str {
        match self {
            VoxelType::Int8 => "int8",
            VoxelType::Uint8 => "uint8",
            VoxelType::Int16 => "int16",
            VoxelType::Uint16 => "uint16",
            VoxelType::Int32 => "int32",
            VoxelType::Float32 => "float32",
            VoxelType::Float64 => "float64",
        }
    }
}

/// A Rust type that a voxel can have.
pub trait Voxel: Copy + Send + Sync + private::Sealed + 'static {
    /// The tag of this type.
    const TYPE: VoxelType;
    /// The stored number, exactly.
    fn to_f64(self) -> f64;
    /// Writes the voxel, little endian, to the start of `bytes` and says how many it took.
    fn write_le_bytes(self, bytes: &mut [u8]) -> usize;
}

mod private {
    pub trait Sealed {}
}

macro_rules! voxel {
    ($($type:ty => $tag:ident),*) => {$(
        impl private::Sealed for $type {}
        impl Voxel for $type {
            const TYPE: VoxelType = VoxelType::$tag;
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            fn write_le_bytes(self, bytes: &mut [u8]) -> usize {
                bytes[..size_of::<Self>()].copy_from_slice(&self.to_le_bytes());
                size_of::<Self>()
            }
        }
    )*};
}
voxel!(i8 => Int8, u8 => Uint8, i16 => Int16, u16 => Uint16, i32 => Int32, f32 => Float32, f64 => Float64);

/// Runs `$body` with the type alias `$T` set to the Rust type of a [`VoxelType`].
macro_rules! with_voxel_type {
    ($voxel_type:expr, $T:ident => $body:expr) => {
        match $voxel_type {
            $crate::volume::VoxelType::Int8 => {
                type $T = i8;
                $body
            }
            $crate::volume::VoxelType::Uint8 => {
                type $T = u8;
                $body
            }
            $crate::volume::VoxelType::Int16 => {
                type $T = i16;
                $body
            }
            $crate::volume::VoxelType::Uint16 => {
                type $T = u16;
                $body
            }
            $crate::volume::VoxelType::Int32 => {
                type $T = i32;
                $body
            }
            $crate::volume::VoxelType::Float32 => {
                type $T = f32;
                $body
            }
            $crate::volume::VoxelType::Float64 => {
                type $T = f64;
                $body
            }
        }
    };
}
pub(crate) use with_voxel_type;

/// From stored numbers to Hounsfield units: `stored · slope + intercept`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rescale {
    /// Hounsfield units per stored unit; never 0.
    pub slope: f64,
    /// Hounsfield units at a stored 0.
    pub intercept: f64,
}

impl Rescale {
    /// The stored numbers are Hounsfield units.
    pub const IDENTITY: Rescale = Rescale { slope: 1.0, intercept: 0.0 };

    /// The rule of the C ABI: 0 and 0 is the identity, any other slope of 0 an error, because a forgotten slope must
    /// not eat an intercept of −1024.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a slope of 0 with an intercept, or a value that is not finite.
    pub fn new(slope: f64, intercept: f64) -> Result<Self> {
        if slope == 0.0 && intercept == 0.0 {
            return Ok(Self::IDENTITY);
        }
        if slope == 0.0 || !slope.is_finite() || !intercept.is_finite() {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("rescale slope {slope} and intercept {intercept}: both must be finite and the slope not 0 (0 and 0 mean none)"),
            ));
        }
        Ok(Rescale { slope, intercept })
    }
}

/// A borrowed view of voxels: type, place, strides, rescale. Any strides, also negative ones.
#[derive(Clone, Copy, Debug)]
pub struct Volume<'a> {
    geometry: Geometry,
    voxel_type: VoxelType,
    /// Voxel (0, 0, 0). NULL where only the shape matters.
    voxels: *const u8,
    /// Bytes from a voxel to its neighbor along i, j, k.
    strides: [isize; 3],
    rescale: Rescale,
    placement: Option<NiftiPlacement>,
    memory: PhantomData<&'a [u8]>,
}

// SAFETY: a `Volume` only reads memory that its creator promised to keep unchanged for `'a`, as `&[u8]` does.
unsafe impl Send for Volume<'_> {}
// SAFETY: as above; there is no interior mutability.
unsafe impl Sync for Volume<'_> {}

impl<'a> Volume<'a> {
    /// A view of packed voxels, i fastest, that are Hounsfield units.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidGeometry`] for a geometry that [`Geometry::check`] refuses;
    /// [`ErrorKind::InvalidArgument`] if `voxels` does not hold exactly the geometry's number of voxels.
    pub fn from_slice<T: Voxel>(voxels: &'a [T], geometry: Geometry) -> Result<Self> {
        geometry.check()?;
        if voxels.len() != geometry.voxel_count() {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("{} voxels given, the dimensions {:?} hold {}", voxels.len(), geometry.dims, geometry.voxel_count()),
            ));
        }
        // SAFETY: the slice holds every voxel of a packed volume of these dimensions, for 'a.
        unsafe { Self::from_raw(voxels.as_ptr().cast(), T::TYPE, None, geometry, Rescale::IDENTITY) }
    }

    /// A view of an array indexed `[i, j, k]`, of any memory order.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidGeometry`] for an affine or dimensions that [`Geometry::check`] refuses.
    pub fn from_array<T: Voxel>(voxels: ArrayView3<'a, T>, ijk_to_world: crate::Affine, world: crate::World) -> Result<Self> {
        let (i, j, k) = voxels.dim();
        let geometry = Geometry { dims: [i, j, k], ijk_to_world, world };
        geometry.check()?;
        let strides: [isize; 3] = std::array::from_fn(|axis| voxels.strides()[axis] * size_of::<T>() as isize);
        // SAFETY: the array view holds every element that its dimensions and strides address, for 'a.
        unsafe { Self::from_raw(voxels.as_ptr().cast(), T::TYPE, Some(strides), geometry, Rescale::IDENTITY) }
    }

    /// A view of foreign memory. `voxels` is the address of voxel (0, 0, 0) and need not be aligned; NULL makes a view
    /// that has a shape and no voxels. `strides` are in bytes; `None` is packed, i fastest.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidGeometry`] for a geometry that [`Geometry::check`] refuses, or strides that reach beyond
    /// the address space.
    ///
    /// # Safety
    /// If `voxels` is not NULL, every voxel that the dimensions and strides address is readable, and unchanged, for
    /// the lifetime `'a`.
    pub unsafe fn from_raw(
        voxels: *const u8,
        voxel_type: VoxelType,
        strides: Option<[isize; 3]>,
        geometry: Geometry,
        rescale: Rescale,
    ) -> Result<Self> {
        geometry.check()?;
        let size = voxel_type.size() as isize;
        let [i, j, _] = geometry.dims.map(|n| n as isize);
        let strides = strides.unwrap_or([size, size * i, size * i * j]);
        let volume = Volume { geometry, voxel_type, voxels, strides, rescale, placement: None, memory: PhantomData };
        let reaches = volume.address_range().is_some_and(|(low, high)| {
            let base = voxels as i128;
            voxels.is_null() || (base + low >= 0 && base + high <= isize::MAX as i128)
        });
        if !reaches {
            return Err(Error::new(ErrorKind::InvalidGeometry, format!("strides {strides:?} reach beyond the address space")));
        }
        Ok(volume)
    }

    /// The bytes that the voxels span, relative to voxel (0, 0, 0): first, and one past the last.
    fn address_range(&self) -> Option<(i128, i128)> {
        let (mut low, mut high) = (0i128, self.voxel_type.size() as i128);
        for axis in 0..3 {
            let reach = (self.geometry.dims[axis] as i128 - 1).checked_mul(self.strides[axis] as i128)?;
            low += reach.min(0);
            high += reach.max(0);
        }
        (low >= isize::MIN as i128 && high <= isize::MAX as i128).then_some((low, high))
    }

    /// Whether any byte that the voxels span lies in `other`.
    pub fn overlaps(&self, other: &[std::mem::MaybeUninit<u8>]) -> bool {
        let Some((low, high)) = self.address_range() else { return false };
        let (base, start) = (self.voxels as i128, other.as_ptr() as i128);
        !self.voxels.is_null() && base + low < start + other.len() as i128 && start < base + high
    }

    /// The same voxels with another rescale to Hounsfield units.
    #[must_use]
    pub fn with_rescale(self, rescale: Rescale) -> Self {
        Volume { rescale, ..self }
    }

    /// The same voxels with what a NIfTI header said about their place, so that a label map can repeat it.
    #[must_use]
    pub fn with_placement(self, placement: Option<NiftiPlacement>) -> Self {
        Volume { placement, ..self }
    }

    /// What a NIfTI header said about the voxels' place, if they came from such a file.
    pub fn placement(&self) -> Option<&NiftiPlacement> {
        self.placement.as_ref()
    }

    /// Dimensions and place.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// How a voxel is stored.
    pub fn voxel_type(&self) -> VoxelType {
        self.voxel_type
    }

    /// Bytes from a voxel to its neighbor along i, j, k.
    pub fn strides(&self) -> [isize; 3] {
        self.strides
    }

    /// From stored numbers to Hounsfield units.
    pub fn rescale(&self) -> Rescale {
        self.rescale
    }

    /// Whether there are voxels, and not only a shape.
    pub fn has_voxels(&self) -> bool {
        !self.voxels.is_null()
    }

    /// Refuses a volume that has a shape only.
    ///
    /// # Errors
    /// [`ErrorKind::NullArgument`].
    pub fn require_voxels(&self) -> Result<()> {
        if self.has_voxels() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::NullArgument, "the volume has no voxels: only a shape was given"))
    }

    /// The address of voxel (0, 0, 0).
    pub fn as_ptr(&self) -> *const u8 {
        self.voxels
    }

    /// The row of voxels along i at (j, k) as stored numbers; `None` if there are no voxels or no such row.
    pub fn row<T: Voxel>(&self, j: usize, k: usize) -> Option<impl Iterator<Item = T> + 'a> {
        let [columns, rows, slices] = self.geometry.dims;
        if self.voxels.is_null() || self.voxel_type != T::TYPE || j >= rows || k >= slices {
            return None;
        }
        let (start, step) = (j as isize * self.strides[1] + k as isize * self.strides[2], self.strides[0]);
        let voxels = self.voxels;
        Some((0..columns as isize).map(move |i| {
            // SAFETY: (i, j, k) lies within the dimensions; `from_raw`'s caller promised that address, aligned or not.
            unsafe { voxels.offset(start + i * step).cast::<T>().read_unaligned() }
        }))
    }

    /// The voxels of a label map as label values, packed, i fastest.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a voxel that holds, rescaled, no whole number from 0 to 255;
    /// [`ErrorKind::OutOfMemory`].
    pub fn label_values(&self) -> Result<Vec<u8>> {
        let [_, rows, slices] = self.geometry.dims;
        let Rescale { slope, intercept } = self.rescale;
        let mut labels = Vec::new();
        try_reserve(&mut labels, self.geometry.voxel_count(), "a label map")?;
        for (j, k) in (0..slices).flat_map(|k| (0..rows).map(move |j| (j, k))) {
            with_voxel_type!(self.voxel_type, T => for stored in self.row::<T>(j, k).into_iter().flatten() {
                let value = stored.to_f64() * slope + intercept;
                if value.fract() != 0.0 || !(0.0..=255.0).contains(&value) {
                    let message = format!("a voxel holds {value}: a label map holds whole numbers from 0 to 255");
                    return Err(Error::new(ErrorKind::InvalidArgument, message));
                }
                labels.push(value as u8);
            });
        }
        Ok(labels)
    }
}

/// A volume that owns its voxels: packed, i fastest.
#[derive(Clone, Debug)]
pub struct Image {
    geometry: Geometry,
    voxel_type: VoxelType,
    bytes: Vec<u8>,
    rescale: Rescale,
    placement: Option<NiftiPlacement>,
}

/// What a NIfTI file says about its place beyond one affine, kept so that a label map can repeat it bit by bit.
///
/// Numbers as stored, in the file's own unit of length; `f64` holds those of NIfTI-1 (`f32`) and of NIfTI-2 exactly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NiftiPlacement {
    /// `pixdim`, with the sign of qfac in front.
    pub pixdim: [f64; 8],
    /// `qform_code` and `sform_code`.
    pub codes: [i16; 2],
    /// `quatern_b`, `quatern_c`, `quatern_d`, `qoffset_x`, `qoffset_y`, `qoffset_z`.
    pub quaternion: [f64; 6],
    /// `srow_x`, `srow_y`, `srow_z`.
    pub srows: [[f64; 4]; 3],
    /// `xyzt_units`.
    pub units: u8,
}

impl Image {
    /// An image of packed voxels in native byte order, i fastest.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidGeometry`] for a geometry that [`Geometry::check`] refuses;
    /// [`ErrorKind::InvalidArgument`] if `bytes` does not hold exactly the geometry's voxels.
    pub fn new(bytes: Vec<u8>, voxel_type: VoxelType, geometry: Geometry, rescale: Rescale) -> Result<Self> {
        geometry.check()?;
        if bytes.len() != geometry.voxel_count() * voxel_type.size() {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("{} bytes given, {:?} voxels of {} take another number", bytes.len(), geometry.dims, voxel_type.name()),
            ));
        }
        Ok(Image { geometry, voxel_type, bytes, rescale, placement: None })
    }

    /// The same image with what its NIfTI header said about its place.
    #[must_use]
    pub fn with_placement(mut self, placement: NiftiPlacement) -> Self {
        self.placement = Some(placement);
        self
    }

    /// What the image's NIfTI header said about its place, if it came from such a file.
    pub fn placement(&self) -> Option<&NiftiPlacement> {
        self.placement.as_ref()
    }

    /// The voxels' bytes: packed, i fastest, native byte order.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A view of this image.
    pub fn view(&self) -> Volume<'_> {
        let size = self.voxel_type.size() as isize;
        let [i, j, _] = self.geometry.dims.map(|n| n as isize);
        Volume {
            geometry: self.geometry,
            voxel_type: self.voxel_type,
            voxels: self.bytes.as_ptr(),
            strides: [size, size * i, size * i * j],
            rescale: self.rescale,
            placement: self.placement,
            memory: PhantomData,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Affine, World};

    fn geometry(dims: [usize; 3]) -> Geometry {
        Geometry { dims, ijk_to_world: Affine::from_spacing([1.0; 3], [0.0; 3]), world: World::Ras }
    }

    #[test]
    fn a_row_follows_negative_and_padded_strides() {
        let memory: Vec<i16> = (0..24).collect();
        // 2×3×2 voxels, i backwards, j with a padded pitch of 4 elements.
        // SAFETY: base 1, strides -1, 4, 12 elements address 0..=21 of 24 elements.
        let volume = unsafe {
            Volume::from_raw(memory[1..].as_ptr().cast(), VoxelType::Int16, Some([-2, 8, 24]), geometry([2, 3, 2]), Rescale::IDENTITY)
        }
        .unwrap();
        assert_eq!(volume.row::<i16>(2, 1).unwrap().collect::<Vec<_>>(), [21, 20]);
        assert!(volume.row::<i16>(3, 0).is_none() && volume.row::<u8>(0, 0).is_none());
    }

    #[test]
    fn overlap_is_seen_at_its_first_and_last_byte() {
        let mut memory = [std::mem::MaybeUninit::new(0u8); 16];
        let base: *const u8 = memory.as_mut_ptr().cast();
        // SAFETY: bytes 4 to 11 of 16.
        let volume = unsafe { Volume::from_raw(base.add(4), VoxelType::Uint8, None, geometry([2, 2, 2]), Rescale::IDENTITY) }.unwrap();
        assert!(volume.overlaps(&memory[..5]) && volume.overlaps(&memory[11..]));
        assert!(!volume.overlaps(&memory[..4]) && !volume.overlaps(&memory[12..]));
    }

    #[test]
    fn a_forgotten_slope_is_an_error_and_no_rescale_the_identity() {
        assert_eq!(Rescale::new(0.0, 0.0).unwrap(), Rescale::IDENTITY);
        assert_eq!(Rescale::new(0.0, -1024.0).unwrap_err().kind(), ErrorKind::InvalidArgument);
        assert_eq!(Rescale::new(f64::NAN, 0.0).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }

    #[test]
    fn strides_beyond_the_address_space_are_refused() {
        let byte = 0u8;
        // SAFETY: refused before any address is read.
        let result =
            unsafe { Volume::from_raw(&byte, VoxelType::Uint8, Some([isize::MAX, isize::MAX, 1]), geometry([3, 3, 3]), Rescale::IDENTITY) };
        assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidGeometry);
    }

    #[test]
    fn label_maps_of_any_type_are_read_and_other_images_refused() {
        let labels = |values: [f32; 3], rescale| {
            let bytes = values.iter().flat_map(|value| value.to_ne_bytes()).collect();
            Image::new(bytes, VoxelType::Float32, geometry([3, 1, 1]), rescale).unwrap().view().label_values()
        };
        assert_eq!(labels([0.0, 2.0, 255.0], Rescale::IDENTITY).unwrap(), [0, 2, 255]);
        let fractions = labels([0.0, 2.0, 1.0], Rescale { slope: 0.5, intercept: 1.0 });
        assert_eq!(fractions.unwrap_err().kind(), ErrorKind::InvalidArgument);
        for wrong in [-1.0, 0.5, 256.0, f32::NAN] {
            assert!(labels([0.0, wrong, 1.0], Rescale::IDENTITY).unwrap_err().message().contains("whole numbers"));
        }
    }
}
