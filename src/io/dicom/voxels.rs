//! The voxels of all slices: as stored where one rescale holds for all, else as Hounsfield units.

use std::io;
use std::thread::{self, ScopedJoinHandle};

use super::pixels;
use super::slice::Slice;
use crate::error::{Error, ErrorKind, Result, try_vec};
use crate::volume::{Rescale, VoxelType};

/// Threads that decode at most: each holds one file in memory.
const MOST_THREADS: usize = 16;

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

    /// Writes the voxels of a slice, which are two bytes each, to `place` in native byte order.
    fn write(self, slice: &Slice, stored: &[u8], place: &mut [u8]) {
        let numbers = stored.as_chunks::<2>().0.iter().map(|two| slice.stored.number(*two));
        let units = |number: i32| f64::from(number) * slice.rescale.slope + slice.rescale.intercept;
        let halves = place.as_chunks_mut::<2>().0;
        match self {
            // The lower half of a number is the same for int16 and uint16.
            Kind::Stored { .. } => halves.iter_mut().zip(numbers).for_each(|(place, number)| *place = (number as i16).to_ne_bytes()),
            Kind::WholeUnits => halves.iter_mut().zip(numbers).for_each(|(place, number)| *place = (units(number) as i16).to_ne_bytes()),
            Kind::Units => {
                let places = place.as_chunks_mut::<4>().0.iter_mut();
                places.zip(numbers).for_each(|(place, number)| *place = (units(number) as f32).to_ne_bytes());
            }
        }
    }
}

/// Whether every Hounsfield value that a slice can hold is a whole number of 16 bits.
fn fits_int16(slice: &Slice) -> bool {
    let Rescale { slope, intercept } = slice.rescale;
    let within = |number: i32| (f64::from(i16::MIN)..=f64::from(i16::MAX)).contains(&(f64::from(number) * slope + intercept));
    slope.fract() == 0.0 && intercept.fract() == 0.0 && slice.stored.range().into_iter().all(within)
}

/// Reads the voxels of sorted slices, `bytes` in all. Decoding takes longer than reading, so slices are shared among
/// threads, which are gone when this returns.
pub(super) fn read(slices: &[Slice], kind: Kind, bytes: usize) -> Result<Vec<u8>> {
    let mut voxels = try_vec(0u8, bytes, "the voxels of a series")?;
    let per_slice = (bytes / slices.len().max(1)).max(1);
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
    let share = slices.len().div_ceil(threads).max(1);
    thread::scope(|scope| {
        let mut parts = slices.chunks(share).zip(voxels.chunks_mut(share.saturating_mul(per_slice)));
        let own = parts.next();
        let spawn = |(slices, places)| thread::Builder::new().spawn_scoped(scope, move || fill(slices, kind, places, per_slice));
        let others: Vec<_> = parts.map(spawn).collect();
        let own = own.map_or(Ok(()), |(slices, places)| fill(slices, kind, places, per_slice));
        // In the slices' order, so that the same damage gives the same message.
        others.into_iter().fold(own, |outcome, other| outcome.and(joined(other)))
    })?;
    Ok(voxels)
}

/// Reads slices, each to its place.
fn fill(slices: &[Slice], kind: Kind, places: &mut [u8], per_slice: usize) -> Result<()> {
    slices.iter().zip(places.chunks_mut(per_slice)).try_for_each(|(slice, place)| {
        kind.write(slice, &pixels::read(slice)?, place);
        Ok(())
    })
}

/// What a thread came to, all of them joined even if one failed.
fn joined(thread: io::Result<ScopedJoinHandle<'_, Result<()>>>) -> Result<()> {
    let started = thread.map_err(|error| Error::new(ErrorKind::Thread, format!("no thread to decode slices: {error}; free some")))?;
    let defect = || Error::new(ErrorKind::Panic, "a defect of spinect, please report it: a slice could not be decoded");
    started.join().unwrap_or_else(|_| Err(defect()))
}
