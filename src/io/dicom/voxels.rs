//! The voxels of all slices: as stored where one rescale holds for all, else as Hounsfield units.

use super::pixels;
use super::slice::Slice;
use crate::error::{Result, try_reserve};
use crate::volume::{Rescale, VoxelType};

/// What the voxels of the volume are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// The stored numbers, with the rescale of every slice.
    Stored { signed: bool, rescale: Rescale },
    /// Hounsfield units: the slices differ in rescale or sign, but every one is a whole number of 16 bits.
    WholeUnits,
    /// Hounsfield units as float32.
    Units,
}

impl Kind {
    pub(super) fn of(slices: &[Slice]) -> Self {
        let how = |slice: &Slice| (slice.stored.signed, slice.rescale);
        match slices.first() {
            Some(first) if slices.iter().all(|slice| how(slice) == how(first)) => {
                Kind::Stored { signed: first.stored.signed, rescale: first.rescale }
            }
            _ if slices.iter().all(fits_int16) => Kind::WholeUnits,
            _ => Kind::Units,
        }
    }

    pub(super) fn voxel_type(self) -> VoxelType {
        match self {
            Kind::Stored { signed: true, .. } | Kind::WholeUnits => VoxelType::Int16,
            Kind::Stored { signed: false, .. } => VoxelType::Uint16,
            Kind::Units => VoxelType::Float32,
        }
    }

    pub(super) fn rescale(self) -> Rescale {
        match self {
            Kind::Stored { rescale, .. } => rescale,
            Kind::WholeUnits | Kind::Units => Rescale::IDENTITY,
        }
    }

    /// Appends the voxels of a slice, which are two bytes each, in native byte order.
    fn append(self, slice: &Slice, stored: &[u8], bytes: &mut Vec<u8>) {
        let numbers = stored.as_chunks::<2>().0.iter().map(|two| slice.stored.number(*two));
        let units = |number: i32| f64::from(number) * slice.rescale.slope + slice.rescale.intercept;
        match self {
            // The lower half of a number is the same for int16 and uint16.
            Kind::Stored { .. } => bytes.extend(numbers.flat_map(|number| (number as i16).to_ne_bytes())),
            Kind::WholeUnits => bytes.extend(numbers.flat_map(|number| (units(number) as i16).to_ne_bytes())),
            Kind::Units => bytes.extend(numbers.flat_map(|number| (units(number) as f32).to_ne_bytes())),
        }
    }
}

/// Whether every Hounsfield value that a slice can hold is a whole number of 16 bits.
fn fits_int16(slice: &Slice) -> bool {
    let Rescale { slope, intercept } = slice.rescale;
    let within = |number: i32| (f64::from(i16::MIN)..=f64::from(i16::MAX)).contains(&(f64::from(number) * slope + intercept));
    slope.fract() == 0.0 && intercept.fract() == 0.0 && slice.stored.range().into_iter().all(within)
}

/// Reads the voxels of sorted slices, `bytes` in all.
pub(super) fn read(slices: &[Slice], kind: Kind, bytes: usize) -> Result<Vec<u8>> {
    let mut voxels = Vec::new();
    try_reserve(&mut voxels, bytes, "the voxels of a series")?;
    for slice in slices {
        kind.append(slice, &pixels::read(slice)?, &mut voxels);
    }
    Ok(voxels)
}
