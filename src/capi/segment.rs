//! Segmenting a volume: into a new result, into the caller's label map, into a result that exists.

use std::mem::MaybeUninit;

use super::handle::{Shared, check_alive, enter, enter_exclusively, handle, vacancy};
use super::image::{owner, spinect_image, with_placement_of};
use super::run::{self, spinect_run};
use super::session::spinect_session;
use super::status::{border, border_for_callback, fail, require, spinect_status};
use super::structs::read;
use super::volume::{self, shape, spinect_volume};
use crate::error::{Error, ErrorKind, Result};
use crate::segmentation::Segmentation;
use crate::volume::Volume;

/// A label map in the geometry of the volume it came from, with statistics, confidence and provenance. Freed with
/// `spinect_segmentation_free`.
pub struct spinect_segmentation {
    _opaque: [u8; 0],
}
handle!(spinect_segmentation => Segmentation, 0xa4);

/// The checked volume and run of a segmentation.
struct Request<'a> {
    volume: Volume<'a>,
    run: run::Values,
    /// The image that the voxels belong to stays while they are read.
    _image: Option<Shared<spinect_image>>,
}

/// Checks in the order of the header: structure sizes, NULL inside them, handles inside them, values, geometry.
///
/// # Safety
/// The structures are as large as they say, and the voxels are readable and unchanged for `'a`.
unsafe fn request<'a>(volume: *const spinect_volume, run: *const spinect_run) -> Result<Request<'a>> {
    // SAFETY: the caller's promise.
    let (volume, run) = unsafe { (read(volume)?, read(run)?) };
    if volume.voxels.is_null() {
        return Err(Error::new(ErrorKind::NullArgument, "`volume->voxels` is NULL: a segmentation needs voxels"));
    }
    let cancel = run::cancel_of(&run)?;
    let values = volume::Values::of(volume)?;
    let run = run::Values::of(run, cancel)?;
    // SAFETY: the caller's promise.
    let mut view = unsafe { values.volume() }?;
    let image = owner(volume.voxels);
    if let Some(image) = &image {
        view = with_placement_of(view, image);
    }
    Ok(Request { volume: view, run, _image: image })
}

/// Segments a volume.
///
/// @param session The session, with a model.
/// @param volume The voxels and their place. They must not change during the call.
/// @param run How to run.
/// @param segmentation Receives the result; the caller frees it. It outlives the session and the voxels.
/// @return SPINECT_OK, or SPINECT_ERROR_NULL_ARGUMENT, INVALID_HANDLE (also that of `run->cancel`), FORKED, STRUCT_SIZE,
///         INVALID_ARGUMENT, INVALID_GEOMETRY, BUSY (another call of this session is running), NO_MODEL,
///         VOLUME_TOO_LARGE, CANCELLED, DEADLINE, OUT_OF_MEMORY, DEVICE_FAILED, DEVICE_OUT_OF_MEMORY, UNSUPPORTED,
///         THREAD (only for a GPU, on a thread with less than 256 KiB of stack).
/// @par Threads
/// Any thread; one segmentation of a session at a time. `run->progress` is called on this thread.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn spinect_session_segment(
    session: *mut spinect_session,
    volume: *const spinect_volume,
    run: *const spinect_run,
    segmentation: *mut *mut spinect_segmentation,
) -> spinect_status {
    border_for_callback(|callers| {
        require!(session, volume, run, segmentation);
        let session = enter(session)?;
        // SAFETY: not NULL; the caller says how large the structures are and keeps the voxels.
        let request = unsafe { request(volume, run) }?;
        let vacancy = vacancy()?;
        let result = request.run.with(callers, |run| session.segment(&request.volume, run))?;
        // SAFETY: not NULL; the caller gives places for a number and a pointer.
        unsafe {
            request.run.report(result.provenance().warnings);
            segmentation.write_unaligned(vacancy.fill(result));
        }
        Ok(())
    })
}

/// Segments a volume into the caller's label map: the same labels as `spinect_session_segment`, without a result object.
/// Allocates nothing after `spinect_session_prepare`.
///
/// @param session The session, with a model.
/// @param volume The voxels and their place. They must not change during the call.
/// @param run How to run.
/// @param labels Receives one label per voxel: packed, i fastest, whatever the strides of `volume`. Must not overlap the
///               voxels. Untouched if the call fails, also by a cancellation at fraction 1.
/// @param capacity How many elements `labels` holds; those beyond the number of voxels stay untouched.
/// @return As `spinect_session_segment`; SPINECT_ERROR_BUFFER_TOO_SMALL before any work; INVALID_ARGUMENT also for an
///         overlap.
/// @par Threads
/// Any thread; one segmentation of a session at a time. `run->progress` is called on this thread.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn spinect_session_segment_into(
    session: *mut spinect_session,
    volume: *const spinect_volume,
    run: *const spinect_run,
    labels: *mut u8,
    capacity: usize,
) -> spinect_status {
    border_for_callback(|callers| {
        require!(session, volume, run, labels);
        let session = enter(session)?;
        // SAFETY: not NULL; the caller says how large the structures are and keeps the voxels.
        let request = unsafe { request(volume, run) }?;
        let voxels = request.volume.geometry().voxel_count();
        if capacity < voxels {
            return Err(fail!(BufferTooSmall, "labels holds {capacity} elements, the volume has {voxels} voxels"));
        }
        if labels.addr().checked_add(voxels).is_none_or(|end| isize::try_from(end).is_err()) {
            return Err(fail!(InvalidArgument, "labels at {labels:?} cannot hold {voxels} elements"));
        }
        // SAFETY: not NULL, within the address space, and the caller says that `capacity` elements are there. Nothing is
        // read or written through this slice.
        let place = unsafe { std::slice::from_raw_parts(labels.cast::<MaybeUninit<u8>>(), voxels) };
        if request.volume.overlaps(place) {
            return Err(Error::new(ErrorKind::InvalidArgument, "labels overlaps the voxels: give the label map memory of its own"));
        }
        // SAFETY: as above, and no voxel lies there; the caller gives this memory to the call alone.
        let labels = unsafe { std::slice::from_raw_parts_mut(labels, voxels) };
        let report = request.run.with(callers, |run| session.segment_into(&request.volume, run, labels))?;
        // SAFETY: the caller gives a place for a number, or NULL.
        unsafe { request.run.report(report.warnings) };
        Ok(())
    })
}

/// Segments a volume into a result that exists, whose former content is replaced. Allocates nothing after
/// `spinect_session_prepare` if the result came from `spinect_segmentation_reserve` for a shape no smaller.
///
/// @param session The session, with a model.
/// @param volume The voxels and their place. They must not change during the call.
/// @param run How to run.
/// @param target The result. Nobody else may use it during the call, also not what
///               `spinect_segmentation_labels` gave. Unchanged if the call fails.
/// @return As `spinect_session_segment`; SPINECT_ERROR_BUSY also while another call uses `target`.
/// @par Threads
/// Any thread; one segmentation of a session at a time. `run->progress` is called on this thread.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn spinect_session_segment_again(
    session: *mut spinect_session,
    volume: *const spinect_volume,
    run: *const spinect_run,
    target: *mut spinect_segmentation,
) -> spinect_status {
    border_for_callback(|callers| {
        require!(session, volume, run, target);
        let session = enter(session)?;
        check_alive(target)?;
        // SAFETY: not NULL; the caller says how large the structures are and keeps the voxels.
        let request = unsafe { request(volume, run) }?;
        let mut target = enter_exclusively(target)?;
        request.run.with(callers, |run| session.segment_again(&request.volume, run, &mut target))?;
        // SAFETY: the caller gives a place for a number, or NULL.
        unsafe { request.run.report(target.provenance().warnings) };
        Ok(())
    })
}

/// Says how far the running segmentation is, or the last one was. Never falls during a run and ends at 1.
///
/// @param session The session.
/// @param fraction Receives 0 to 1.
/// @return SPINECT_OK, or SPINECT_ERROR_NULL_ARGUMENT, INVALID_HANDLE, FORKED.
/// @par Threads
/// Any thread, at any time: to watch a run from another thread without a callback.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn spinect_session_progress(session: *const spinect_session, fraction: *mut f64) -> spinect_status {
    border(|| {
        require!(session, fraction);
        let progress = enter(session)?.progress();
        // SAFETY: not NULL; the caller gives a place for a number.
        unsafe { fraction.write_unaligned(progress) };
        Ok(())
    })
}

/// Makes a result of this shape in which nothing has been examined yet, for `spinect_session_segment_again`.
///
/// @param session The session, with a model.
/// @param like A volume of that shape; `like->voxels` may be NULL.
/// @param segmentation Receives the result; the caller frees it. It outlives the session.
/// @return SPINECT_OK, or SPINECT_ERROR_NULL_ARGUMENT, INVALID_HANDLE, FORKED, STRUCT_SIZE, INVALID_ARGUMENT,
///         INVALID_GEOMETRY, NO_MODEL, VOLUME_TOO_LARGE, OUT_OF_MEMORY, UNSUPPORTED.
/// @par Threads
/// Any thread, at any time.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn spinect_segmentation_reserve(
    session: *const spinect_session,
    like: *const spinect_volume,
    segmentation: *mut *mut spinect_segmentation,
) -> spinect_status {
    border(|| {
        require!(session, like, segmentation);
        let session = enter(session)?;
        // SAFETY: not NULL, and the caller says how large the structure is.
        let like = unsafe { shape(like) }?;
        let vacancy = vacancy()?;
        let result = session.reserve(&like)?;
        // SAFETY: not NULL; the caller gives a place for a pointer.
        unsafe { segmentation.write_unaligned(vacancy.fill(result)) };
        Ok(())
    })
}
