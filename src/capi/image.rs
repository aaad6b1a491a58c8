//! `spinect_image`: an image read from a file.

use std::ffi::{c_char, c_void};

use super::handle::{Shared, enter, find, free, handle, vacancy};
use super::status::{border, border_or, fail, require, spinect_status};
use super::structs::{Output, choice, layout, path, read, utf8};
use super::volume::spinect_volume;
use crate::error::{Result, try_reserve};
use crate::io::{GeometryChoice, ReadOptions, Series, read_image, read_series};
use crate::threads::with_enough_stack;
use crate::volume::{Image, Volume};

/// Two transforms of a file that disagree are SPINECT_ERROR_AMBIGUOUS_GEOMETRY.
pub const SPINECT_GEOMETRY_STRICT: i32 = 0;
/// The sform places the voxels.
pub const SPINECT_GEOMETRY_SFORM: i32 = 1;
/// The qform places the voxels.
pub const SPINECT_GEOMETRY_QFORM: i32 = 2;

/// An image read from a file. It owns its voxels and never changes. Freed with `spinect_image_free`.
pub struct spinect_image {
    _opaque: [u8; 0],
}
handle!(spinect_image => Image, 0xa1);

/// How an image file is read. Set it to zero, then fill it in: zero is the default everywhere.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct spinect_image_config {
    /// sizeof(spinect_image_config).
    pub struct_size: u32,
    /// SPINECT_GEOMETRY_*: which transform of a NIfTI file places its voxels.
    pub geometry: i32,
    /// Bytes that reading may take; 0: no limit.
    pub memory_limit: u64,
}
layout!(spinect_image_config, 16, { struct_size: 0, geometry: 4, memory_limit: 8 });

/// How a configuration asks for a file to be read.
///
/// # Errors
/// `InvalidArgument`.
fn options(raw: &spinect_image_config) -> Result<ReadOptions> {
    const CHOICES: &[(i32, GeometryChoice)] = &[
        (SPINECT_GEOMETRY_STRICT, GeometryChoice::Strict),
        (SPINECT_GEOMETRY_SFORM, GeometryChoice::Sform),
        (SPINECT_GEOMETRY_QFORM, GeometryChoice::Qform),
    ];
    let geometry = choice("geometry", raw.geometry, CHOICES)?;
    Ok(ReadOptions { geometry, memory_limit: (raw.memory_limit != 0).then_some(raw.memory_limit) })
}

/// Reads an image and hands it over.
///
/// # Safety
/// `image` leads to memory for a pointer.
unsafe fn hand_over(image: *mut *mut spinect_image, read: impl FnOnce() -> Result<Image> + Send) -> Result<()> {
    let vacancy = vacancy()?;
    let result = with_enough_stack(read)?;
    // SAFETY: the caller's promise.
    unsafe { image.write_unaligned(vacancy.fill(result)) };
    Ok(())
}

/// Reads an image from a file: NIfTI-1 or NIfTI-2, `.nii` or `.nii.gz`, or NRRD, `.nrrd`; or from a folder that holds one
/// DICOM series of CT slices, in builds with the feature `dicom`.
///
/// @param path The file or folder, UTF-8.
/// @param config How to read it.
/// @param image Receives the image; the caller frees it.
/// @return SPINECT_OK, or SPINECT_ERROR_NULL_ARGUMENT, STRUCT_SIZE, INVALID_ARGUMENT (several series in the folder, too), IO,
///         UNSUPPORTED_FORMAT, UNSUPPORTED (`.nhdr`; a folder, in a build without `dicom`), CORRUPT_FILE, INVALID_GEOMETRY,
///         AMBIGUOUS_GEOMETRY, VOLUME_TOO_LARGE (beyond `memory_limit`), OUT_OF_MEMORY, THREAD (the system refuses one).
/// @par Threads
/// Any thread, at any time.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn spinect_image_read(
    path: *const c_char,
    config: *const spinect_image_config,
    image: *mut *mut spinect_image,
) -> spinect_status {
    border(|| {
        require!(path, config, image);
        // SAFETY: not NULL, and the caller says how large the structure is.
        let raw = unsafe { read(config) }?;
        // SAFETY: the caller gives a NUL-terminated string.
        let path = unsafe { self::path(path) }?;
        let options = options(&raw)?;
        // SAFETY: not NULL; the caller gives a place for a pointer.
        unsafe { hand_over(image, || read_image(path, &options)) }
    })
}

/// Reads an image from a DICOM series of CT slices, one per file, in builds with the feature `dicom`. Slices are sorted by
/// their positions; slices that are missing, tilted or of different grids are refused. The world is LPS.
///
/// @param files The files in any order, UTF-8; or one folder, whose files are taken.
/// @param count How many names there are.
/// @param series_uid SeriesInstanceUID of the series to read, the files of others are passed over; or NULL: there is only one.
/// @param config How to read it; its `geometry` does not matter here.
/// @param image Receives the image; the caller frees it.
/// @return SPINECT_OK, or SPINECT_ERROR_NULL_ARGUMENT, STRUCT_SIZE, INVALID_ARGUMENT (several series, or not the one asked
///         for), IO, UNSUPPORTED_FORMAT, UNSUPPORTED (a build without `dicom`), CORRUPT_FILE, INVALID_GEOMETRY,
///         VOLUME_TOO_LARGE (beyond `memory_limit`), OUT_OF_MEMORY, THREAD (the system refuses one).
/// @par Threads
/// Any thread, at any time.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn spinect_image_read_series(
    files: *const *const c_char,
    count: usize,
    series_uid: *const c_char,
    config: *const spinect_image_config,
    image: *mut *mut spinect_image,
) -> spinect_status {
    border(|| {
        require!(files, config, image);
        // SAFETY: not NULL, and the caller says how large the structure is.
        let raw = unsafe { read(config) }?;
        let mut paths = Vec::new();
        try_reserve(&mut paths, count, "the names of the files")?;
        for at in 0..count {
            // SAFETY: the caller gives `count` pointers.
            let file = unsafe { files.add(at).read_unaligned() };
            if file.is_null() {
                return Err(fail!(NullArgument, "files[{at}] is NULL"));
            }
            // SAFETY: the caller gives NUL-terminated strings.
            paths.push(unsafe { self::path(file) }?);
        }
        let mut series = match paths[..] {
            [] => return Err(fail!(InvalidArgument, "count is 0: give the series' files, or the folder in which they lie")),
            [folder] if folder.is_dir() => Series::in_folder(folder),
            _ => Series::of_files(paths),
        };
        if !series_uid.is_null() {
            // SAFETY: the caller gives a NUL-terminated string.
            series = series.with_uid(unsafe { utf8(series_uid, "series_uid") }?);
        }
        let options = options(&raw)?;
        // SAFETY: not NULL; the caller gives a place for a pointer.
        unsafe { hand_over(image, || read_series(&series, &options)) }
    })
}

/// Fills a view of an image's voxels. A segmentation of this view repeats the file's transforms bit by bit when it is
/// written.
///
/// @param image The image, which stays the owner of the voxels: the view is valid until the image is freed.
/// @param volume Receives the view; the caller sets its `struct_size`.
/// @return SPINECT_OK, or SPINECT_ERROR_NULL_ARGUMENT, INVALID_HANDLE, FORKED, STRUCT_SIZE.
/// @par Threads
/// Any thread, at any time.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn spinect_image_view(image: *const spinect_image, volume: *mut spinect_volume) -> spinect_status {
    border(|| {
        require!(image, volume);
        let image = enter(image)?;
        // SAFETY: not NULL, and the caller says how large the structure is.
        let output = unsafe { Output::new(volume) }?;
        output.write(view(&image.view()));
        Ok(())
    })
}

/// A view as a structure of the C ABI.
fn view(volume: &Volume<'_>) -> spinect_volume {
    let geometry = volume.geometry();
    spinect_volume {
        struct_size: 0,
        voxel_type: volume.voxel_type() as i32,
        voxels: volume.as_ptr().cast(),
        dims: geometry.dims.map(|n| n as u64),
        strides: volume.strides().map(|stride| stride as i64),
        ijk_to_world: geometry.ijk_to_world.0,
        world: geometry.world as i32,
        memory: super::volume::SPINECT_MEMORY_HOST,
        rescale_slope: volume.rescale().slope,
        rescale_intercept: volume.rescale().intercept,
    }
}

/// Frees an image. Views of its voxels end with it; segmentations do not.
///
/// @param image The image, or NULL: then nothing happens. A handle that is none is noticed and leaves a message.
/// @par Threads
/// Any thread. A call that reads the image on another thread keeps its voxels until it returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spinect_image_free(image: *mut spinect_image) {
    border_or((), || if image.is_null() { Ok(()) } else { free(image) });
}

/// The live image whose voxels these are, kept alive.
pub(super) fn owner(voxels: *const c_void) -> Option<Shared<spinect_image>> {
    find(|image: &Image| !voxels.is_null() && image.bytes().as_ptr() == voxels.cast())
}

/// The volume with the image's NIfTI placement, if it is the unchanged view of that image.
pub(super) fn with_placement_of<'a>(volume: Volume<'a>, image: &Image) -> Volume<'a> {
    let own = image.view();
    let same = volume.geometry() == own.geometry() && volume.strides() == own.strides() && volume.voxel_type() == own.voxel_type();
    if same { volume.with_placement(image.placement().copied()) } else { volume }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Affine, Geometry, World};
    use crate::volume::{NiftiPlacement, Rescale, VoxelType};

    const PLACEMENT: NiftiPlacement =
        NiftiPlacement { pixdim: [1.0; 8], codes: [1, 2], quaternion: [0.5; 6], srows: [[1.0; 4]; 3], units: 2 };

    fn image() -> Image {
        let geometry = Geometry { dims: [2, 3, 4], ijk_to_world: Affine::from_spacing([1.0; 3], [5.0; 3]), world: World::Ras };
        Image::new(vec![7; 48], VoxelType::Int16, geometry, Rescale { slope: 2.0, intercept: -1024.0 }).unwrap().with_placement(PLACEMENT)
    }

    #[test]
    fn the_view_of_a_live_image_carries_its_placement_and_keeps_it_alive() {
        let handle = vacancy::<spinect_image>().unwrap().fill(image());
        let mut raw = view(&enter(handle).unwrap().view());
        raw.strides = [0; 3];
        let kept = owner(raw.voxels).unwrap();
        // SAFETY: the image is alive.
        unsafe { spinect_image_free(handle) };
        // SAFETY: as above: it is still in use.
        let volume = unsafe { super::super::volume::Values::of(raw).unwrap().volume() }.unwrap();
        assert_eq!((volume.rescale(), volume.row::<i16>(0, 0).unwrap().next()), (kept.view().rescale(), Some(0x0707)));
        assert_eq!(volume.placement(), None);
        assert_eq!(with_placement_of(volume, &kept).placement(), Some(&PLACEMENT));
        drop(kept);
        assert!(owner(raw.voxels).is_none());
    }

    #[test]
    fn a_view_that_was_changed_carries_no_placement() {
        let image = image();
        let changes: [fn(&mut spinect_volume); 4] =
            [|raw| raw.dims = [1, 3, 4], |raw| raw.ijk_to_world[3] = 6.0, |raw| raw.world = 2, |raw| raw.strides = [4, 4, 12]];
        for change in changes {
            let mut raw = view(&image.view());
            change(&mut raw);
            // SAFETY: the voxels are not read.
            let volume = unsafe { super::super::volume::Values::of(raw).unwrap().volume() }.unwrap();
            assert_eq!(with_placement_of(volume, &image).placement(), None);
        }
    }
}
