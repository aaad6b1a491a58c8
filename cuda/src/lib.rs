//! The CUDA engine of spinect, as a library that libspinect opens on demand: it exports `spinect_cuda_table` and nothing
//! else. The seam is `table.rs`, which libspinect compiles too; the kernels are in `kernels/`.

#![warn(missing_docs)]

mod buffers;
mod device;
mod engine;
mod failure;
#[allow(missing_docs)]
mod launch;
mod layout;
mod network;
#[path = "../../src/engine/cuda/table.rs"]
#[allow(dead_code)]
mod table;
mod weights;

use std::ffi::c_void;

use self::engine::Engine;
use self::failure::{Failure, PANIC, Result, border};
use self::layout::{Layout, Pinned};
use self::network::network_of;
use self::table::{Buffers, Fill, Gpu, Layer, Message, Model, Outcome, Poll, Run, Size, Table, VERSION};
use self::weights::Places;

/// A table that never changes.
struct Shared(Table);
// SAFETY: functions and constants.
unsafe impl Sync for Shared {}

static TABLE: Shared = Shared(Table {
    version: VERSION,
    size: size_of::<Table>() as u32,
    release: concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast(),
    probe,
    estimate,
    create,
    prepare,
    wait,
    fill,
    run,
    free,
});

/// What this library can do.
#[unsafe(no_mangle)]
pub extern "C" fn spinect_cuda_table() -> *const Table {
    &raw const TABLE.0
}

/// What a pointer leads to.
///
/// # Safety
/// It is NULL, or leads to a `T` that nobody changes for as long as it is used.
unsafe fn read<'a, T>(pointer: *const T) -> Result<&'a T> {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_ref() }.ok_or_else(|| Failure::new(PANIC, "NULL: a defect of this library, please report it"))
}

/// As [`read`], to be changed.
///
/// # Safety
/// It is NULL, or leads to a `T` that nobody else uses.
unsafe fn change<'a, T>(pointer: *mut T) -> Result<&'a mut T> {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_mut() }.ok_or_else(|| Failure::new(PANIC, "NULL: a defect of this library, please report it"))
}

// SAFETY of every function of the table: pointers are those that table.rs says, and calls of one engine come one at a time.

unsafe extern "C" fn probe(device: i32, precision: i32, gpu: *mut Gpu, message: Message) -> i32 {
    border(message, || device::probe(device, precision, unsafe { change(gpu) }?))
}

unsafe extern "C" fn estimate(model: *const Model, size: *const Size, host: *mut u64, device: *mut u64, message: Message) -> i32 {
    border(message, || {
        let size = unsafe { read(size) }?;
        if let Some(host) = unsafe { host.as_mut() } {
            *host = Pinned::new(size).bytes;
        }
        if let Some(device) = unsafe { device.as_mut() } {
            let network = unsafe { network_of(read(model)?) }?;
            let weights = Places::new(&network).bytes;
            *device = weights.saturating_add(Layout::new(&network, size, weights).bytes);
        }
        Ok(())
    })
}

unsafe extern "C" fn create(
    device: i32,
    model: *const Model,
    layers: *const Layer,
    layer_count: usize,
    engine: *mut *mut c_void,
    message: Message,
) -> i32 {
    border(message, || {
        let network = unsafe { network_of(read(model)?) }?;
        let layers = unsafe { std::slice::from_raw_parts(read(layers)?, layer_count) };
        let made = unsafe { Engine::new(device, network, layers) }?;
        *unsafe { change(engine) }? = Box::into_raw(Box::new(made)).cast();
        Ok(())
    })
}

unsafe extern "C" fn prepare(engine: *mut c_void, size: *const Size, buffers: *mut Buffers, message: Message) -> i32 {
    border(message, || {
        let (size, buffers) = unsafe { (read(size)?, change(buffers)?) };
        unsafe { change(engine.cast::<Engine>()) }?.guarded(|engine| engine.prepare(size, buffers))
    })
}

unsafe extern "C" fn wait(engine: *mut c_void, poll: Poll, message: Message) -> i32 {
    border(message, || unsafe { change(engine.cast::<Engine>()) }?.guarded(|engine| engine.wait(&poll)))
}

unsafe extern "C" fn fill(engine: *mut c_void, fill: *const Fill, message: Message) -> i32 {
    border(message, || {
        let fill = unsafe { read(fill) }?;
        unsafe { change(engine.cast::<Engine>()) }?.guarded(|engine| unsafe { engine.fill(fill) })
    })
}

unsafe extern "C" fn run(engine: *mut c_void, run: *const Run, poll: Poll, outcome: *mut Outcome, message: Message) -> i32 {
    border(message, || {
        let (run, outcome) = unsafe { (read(run)?, change(outcome)?) };
        unsafe { change(engine.cast::<Engine>()) }?.guarded(|engine| unsafe { engine.run(run, &poll, outcome) })
    })
}

unsafe extern "C" fn free(engine: *mut c_void) {
    let message = Message { text: std::ptr::null_mut(), capacity: 0 };
    border(message, || {
        if !engine.is_null() {
            drop(unsafe { Box::from_raw(engine.cast::<Engine>()) });
        }
        Ok(())
    });
}
