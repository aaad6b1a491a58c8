//! `spinect_session`: one model, one device, all its buffers and threads.

use std::ffi::{c_char, c_void};
use std::time::Duration;

use super::handle::{enter, enter_to_free, handle, vacancy};
use super::run::in_callback;
use super::status::{border, border_or, fail, require, spinect_status};
use super::structs::{Output, choice, layout, path, read, text, utf8};
use super::volume::{shape, spinect_volume};
use crate::error::{Result, try_reserve};
use crate::session::{Device, MAX_THREADS, Precision, Session, SessionConfig};
use crate::threads::with_enough_stack;

/// CUDA where it works, else the CPU.
pub const SPINECT_DEVICE_AUTO: i32 = 0;
/// The CPU.
pub const SPINECT_DEVICE_CPU: i32 = 1;
/// An NVIDIA GPU: needs `libspinect_cuda.so` beside this library, and the driver.
pub const SPINECT_DEVICE_CUDA: i32 = 2;

/// 32-bit floating point throughout, on a GPU too: the reference there, and not the fast one.
pub const SPINECT_PRECISION_F32: i32 = 0;
/// 16-bit inputs, 32-bit sums: what a GPU is fast in. Not on the CPU.
pub const SPINECT_PRECISION_F16: i32 = 1;
/// bfloat16 inputs, 32-bit sums: on no device of this version.
pub const SPINECT_PRECISION_BF16: i32 = 2;

/// One model, one device, all its buffers and threads. Freed with `spinect_session_free`.
pub struct spinect_session {
    _opaque: [u8; 0],
}
handle!(spinect_session => Session, 0xa3);

/// How a session works. Set it to zero, then fill it in: zero is the default everywhere.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct spinect_session_config {
    /// sizeof(spinect_session_config).
    pub struct_size: u32,
    /// SPINECT_DEVICE_*.
    pub device: i32,
    /// Which of several devices, from 0.
    pub device_index: i32,
    /// SPINECT_PRECISION_*.
    pub precision: i32,
    /// Threads, at most 1024. 0: one per core the caller may use; 1: the calling thread alone.
    pub threads: u32,
    /// Must be 0.
    pub reserved: u32,
    /// Host bytes that the session may take; 0: no limit.
    pub memory_limit: u64,
    /// Cores for the workers, `cpu_count` numbers. NULL: the caller's.
    pub cpus: *const i32,
    /// How many numbers `cpus` holds, at most 1024.
    pub cpu_count: u64,
}
layout!(spinect_session_config, 48, {
    struct_size: 0, device: 4, device_index: 8, precision: 12, threads: 16, reserved: 20, memory_limit: 24, cpus: 32,
    cpu_count: 40,
});

/// What a session knows about its model.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct spinect_model_info {
    /// sizeof(spinect_model_info), set by the caller.
    pub struct_size: u32,
    /// Output channels, background among them.
    pub classes: u32,
    /// Numbers in the model file.
    pub parameters: u64,
    /// Voxels of a window of the model grid along D, H, W.
    pub window_dhw: [u32; 3],
    /// Steps from window to window along D, H, W.
    pub stride_dhw: [u32; 3],
    /// Spacing of the model grid along D, H, W in mm.
    pub spacing_dhw_mm: [f64; 3],
    /// SPINECT_DEVICE_*: what SPINECT_DEVICE_AUTO became.
    pub device: i32,
    /// SPINECT_PRECISION_*.
    pub precision: i32,
    /// The model's name.
    pub name: [c_char; 64],
    /// The model's version.
    pub version: [c_char; 32],
    /// SHA-256 of the model file, 64 lower-case hexadecimal digits.
    pub sha256: [c_char; 72],
}
layout!(spinect_model_info, 240, {
    struct_size: 0, classes: 4, parameters: 8, window_dhw: 16, stride_dhw: 28, spacing_dhw_mm: 40, device: 64,
    precision: 68, name: 72, version: 136, sha256: 168,
});

/// The most threads, and the most cores, that a session is asked for; also above the number of any core.
const MOST_THREADS: u32 = MAX_THREADS as u32;

/// The configuration that the structure describes.
///
/// # Errors
/// `NullArgument`, `InvalidArgument`, `OutOfMemory`.
///
/// # Safety
/// `cpus` is NULL or leads to `cpu_count` numbers.
unsafe fn config_of(raw: &spinect_session_config) -> Result<SessionConfig> {
    if raw.cpus.is_null() && raw.cpu_count != 0 {
        return Err(fail!(NullArgument, "`cpus` is NULL, but cpu_count is {}: give the cores, or 0", raw.cpu_count));
    }
    const DEVICES: &[(i32, Device)] =
        &[(SPINECT_DEVICE_AUTO, Device::Auto), (SPINECT_DEVICE_CPU, Device::Cpu), (SPINECT_DEVICE_CUDA, Device::Cuda)];
    const PRECISIONS: &[(i32, Precision)] =
        &[(SPINECT_PRECISION_F32, Precision::F32), (SPINECT_PRECISION_F16, Precision::F16), (SPINECT_PRECISION_BF16, Precision::Bf16)];
    let device = choice("device", raw.device, DEVICES)?;
    let precision = choice("precision", raw.precision, PRECISIONS)?;
    if raw.device_index < 0 {
        return Err(fail!(InvalidArgument, "device_index is {}: it counts from 0", raw.device_index));
    }
    if raw.threads > MOST_THREADS {
        return Err(fail!(InvalidArgument, "threads is {}: at most {MOST_THREADS}; 0 is one per core", raw.threads));
    }
    if raw.reserved != 0 {
        return Err(fail!(InvalidArgument, "reserved is {}: it must be 0", raw.reserved));
    }
    if raw.cpu_count > u64::from(MOST_THREADS) || (!raw.cpus.is_null() && raw.cpu_count == 0) {
        return Err(fail!(InvalidArgument, "cpu_count is {}: 1 to {MOST_THREADS}, or 0 with cpus NULL", raw.cpu_count));
    }
    let mut cpus = Vec::new();
    try_reserve(&mut cpus, raw.cpu_count as usize, "the list of cores")?;
    for at in 0..raw.cpu_count as usize {
        // SAFETY: `cpus` is not NULL, as the count is not 0, and the caller promised that many numbers.
        let cpu = unsafe { raw.cpus.add(at).read_unaligned() };
        match usize::try_from(cpu) {
            Ok(known) if known < MOST_THREADS as usize => cpus.push(known),
            _ => return Err(fail!(InvalidArgument, "cpus[{at}] is {cpu}: cores are numbered from 0 to {}", MOST_THREADS - 1)),
        }
    }
    Ok(SessionConfig {
        device,
        device_index: raw.device_index,
        precision,
        threads: raw.threads as usize,
        memory_limit: (raw.memory_limit != 0).then_some(raw.memory_limit),
        cpus: (!cpus.is_empty()).then_some(cpus),
    })
}

/// Makes a session without a model. Its worker threads are started here and joined in `spinect_session_free`; they block
/// all signals and do not inherit the caller's real-time scheduling.
///
/// @param config How it works.
/// @param session Receives the session; the caller frees it.
/// @return SPINECT_OK, or SPINECT_ERROR_NULL_ARGUMENT, STRUCT_SIZE, INVALID_ARGUMENT, OUT_OF_MEMORY, THREAD,
///         DEVICE_UNAVAILABLE (SPINECT_DEVICE_CUDA where it does not work: the message says why), DEVICE_FAILED,
///         UNSUPPORTED (a precision that the device has not).
/// @par Threads
/// Any thread, at any time.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn spinect_session_create(
    config: *const spinect_session_config,
    session: *mut *mut spinect_session,
) -> spinect_status {
    border(|| {
        require!(config, session);
        // SAFETY: not NULL, and the caller says how large the structure is.
        let raw = unsafe { read(config) }?;
        // SAFETY: the caller gives `cpu_count` numbers.
        let config = unsafe { config_of(&raw) }?;
        let vacancy = vacancy()?;
        let result = Session::new(&config)?;
        // SAFETY: not NULL; the caller gives a place for a pointer.
        unsafe { session.write_unaligned(vacancy.fill(result)) };
        Ok(())
    })
}

/// Frees a session. A call of it that is running on another thread is cancelled first and waited for. In a progress
/// callback, of this session or of another one, nothing is waited for: the run is cancelled, and the session goes when the
/// run has returned. Results outlive their session.
///
/// @param session The session, or NULL: then nothing happens. A handle that is none is noticed and leaves a message. In
///                the child of a fork nothing happens.
/// @par Threads
/// Any thread, at any time. Further calls with this handle return SPINECT_ERROR_INVALID_HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spinect_session_free(session: *mut spinect_session) {
    border_or((), || {
        if session.is_null() {
            return Ok(());
        }
        let last = enter_to_free(session)?;
        last.close();
        // A call that entered before but had not begun its run yet must hear it too: so again, until all have left.
        while !last.is_alone() && !in_callback() {
            std::thread::sleep(Duration::from_millis(1));
            last.close();
        }
        Ok(())
    });
}

/// Loads a model file. A failed load keeps the previous model.
///
/// @param session The session.
/// @param path The file, UTF-8. It is read whole before it is looked at.
/// @return SPINECT_OK, or SPINECT_ERROR_NULL_ARGUMENT, INVALID_HANDLE, FORKED, INVALID_ARGUMENT, BUSY (a segmentation is
///         running), IO, CORRUPT_FILE, INVALID_MODEL, OUT_OF_MEMORY, THREAD (only on a thread with less than 256 KiB of
///         stack, which needs another's), DEVICE_FAILED, DEVICE_OUT_OF_MEMORY.
/// @par Threads
/// Any thread; one at a time.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn spinect_session_load_weights(session: *mut spinect_session, path: *const c_char) -> spinect_status {
    border(|| {
        require!(session, path);
        let session = enter(session)?;
        // SAFETY: the caller gives a NUL-terminated string.
        let path = unsafe { self::path(path) }?;
        with_enough_stack(|| session.load_weights(path))
    })
}

/// Loads a model file that is already in memory. A failed load keeps the previous model.
///
/// @param session The session.
/// @param data The file's bytes; read only during the call.
/// @param size How many bytes.
/// @return As `spinect_session_load_weights`, without IO.
/// @par Threads
/// Any thread; one at a time.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn spinect_session_load_weights_from_memory(
    session: *mut spinect_session,
    data: *const c_void,
    size: usize,
) -> spinect_status {
    border(|| {
        require!(session, data);
        let session = enter(session)?;
        if isize::try_from(size).is_err() || data.addr().checked_add(size).is_none() {
            return Err(fail!(InvalidArgument, "size is {size}: no file in memory is that large"));
        }
        // SAFETY: not NULL, does not wrap around, and the caller gives that many bytes.
        let bytes = unsafe { std::slice::from_raw_parts(data.cast(), size) };
        with_enough_stack(|| session.load_weights_from_memory(bytes))
    })
}

/// Says what the session knows about its model.
///
/// @param session The session.
/// @param info Receives it; the caller sets its `struct_size`.
/// @return SPINECT_OK, or SPINECT_ERROR_NULL_ARGUMENT, INVALID_HANDLE, FORKED, STRUCT_SIZE, NO_MODEL.
/// @par Threads
/// Any thread, at any time, also during a segmentation.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn spinect_session_model_info(session: *const spinect_session, info: *mut spinect_model_info) -> spinect_status {
    border(|| {
        require!(session, info);
        let session = enter(session)?;
        // SAFETY: not NULL, and the caller says how large the structure is.
        let output = unsafe { Output::new(info) }?;
        let model = session.model_info()?;
        output.write(spinect_model_info {
            struct_size: 0,
            classes: model.classes as u32,
            parameters: model.parameters,
            window_dhw: model.window.map(|n| n as u32),
            stride_dhw: model.stride.map(|n| n as u32),
            spacing_dhw_mm: model.spacing_mm,
            device: model.device as i32,
            precision: model.precision as i32,
            name: text(&model.name),
            version: text(&model.version),
            sha256: text(&model.sha256),
        });
        Ok(())
    })
}

/// Finds the value of a label by its name, for example "nerve".
///
/// @param session The session.
/// @param name The label's name, UTF-8.
/// @param label Receives its value in label maps.
/// @return SPINECT_OK, or SPINECT_ERROR_NULL_ARGUMENT, INVALID_HANDLE, FORKED, INVALID_ARGUMENT, NO_MODEL, UNKNOWN_LABEL.
/// @par Threads
/// Any thread, at any time, also during a segmentation.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn spinect_session_find_label(
    session: *const spinect_session,
    name: *const c_char,
    label: *mut i32,
) -> spinect_status {
    border(|| {
        require!(session, name, label);
        let session = enter(session)?;
        // SAFETY: the caller gives a NUL-terminated string.
        let value = session.find_label(unsafe { utf8(name, "label name") }?)?;
        // SAFETY: not NULL; the caller gives a place for a number.
        unsafe { label.write_unaligned(i32::from(value)) };
        Ok(())
    })
}

/// Says how much memory segmenting a volume of this shape takes at most. Takes none itself.
///
/// @param session The session.
/// @param like A volume of the shape in question; `like->voxels` may be NULL.
/// @param host_bytes Receives bytes on the host, with the result, without the caller's voxels.
/// @param device_bytes Receives bytes on the device, besides what its driver takes for itself; 0 on the CPU.
/// @return SPINECT_OK, or SPINECT_ERROR_NULL_ARGUMENT, INVALID_HANDLE, FORKED, STRUCT_SIZE, INVALID_ARGUMENT,
///         INVALID_GEOMETRY, VOLUME_TOO_LARGE, NO_MODEL, UNSUPPORTED.
/// @par Threads
/// Any thread, at any time, also during a segmentation.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn spinect_session_estimate_memory(
    session: *const spinect_session,
    like: *const spinect_volume,
    host_bytes: *mut u64,
    device_bytes: *mut u64,
) -> spinect_status {
    border(|| {
        require!(session, like, host_bytes, device_bytes);
        let session = enter(session)?;
        // SAFETY: not NULL, and the caller says how large the structure is.
        let estimate = session.estimate_memory(&unsafe { shape(like) }?)?;
        // SAFETY: not NULL; the caller gives places for two numbers.
        unsafe {
            host_bytes.write_unaligned(estimate.host_bytes);
            device_bytes.write_unaligned(estimate.device_bytes);
        }
        Ok(())
    })
}

/// Takes all memory for volumes of this shape now. Afterwards a volume that is no larger, on its own grid and on the
/// model grid, allocates nothing in `spinect_session_segment_into` and `spinect_session_segment_again`.
///
/// @param session The session.
/// @param like A volume of that shape; `like->voxels` may be NULL.
/// @return SPINECT_OK, or SPINECT_ERROR_NULL_ARGUMENT, INVALID_HANDLE, FORKED, STRUCT_SIZE, INVALID_ARGUMENT,
///         INVALID_GEOMETRY, BUSY, NO_MODEL, VOLUME_TOO_LARGE, OUT_OF_MEMORY, DEVICE_FAILED, DEVICE_OUT_OF_MEMORY,
///         UNSUPPORTED.
/// @par Threads
/// Any thread; one at a time.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn spinect_session_prepare(session: *mut spinect_session, like: *const spinect_volume) -> spinect_status {
    border(|| {
        require!(session, like);
        let session = enter(session)?;
        // SAFETY: not NULL, and the caller says how large the structure is.
        session.prepare(&unsafe { shape(like) }?)
    })
}
