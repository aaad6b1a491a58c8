//! Handles: what a caller holds is no address but a number, looked up in a table. So a handle that was freed, freed
//! twice, or belongs to another type is always noticed, and never undefined behavior.
//!
//! The number is `type tag | generation | slot`. A slot's generation is odd while it holds a value and grows with every
//! creation and every free. A lookup is one atomic addition: it counts a user and sees the generation of that moment,
//! so a value cannot go while somebody uses it. Tables only grow, in chunks; nothing here locks or waits, so that a
//! `fork` at any moment leaves the child a working table.

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use super::status::fail;
use crate::error::{Error, ErrorKind, Result, try_reserve};

/// An opaque type of the C ABI and the Rust value behind it.
pub(super) trait Handle: Sized + 'static {
    /// What the handle stands for.
    type Value: Send + Sync + 'static;
    /// Tells the types of handles apart; never 0.
    const TAG: u8;
    /// The message for a handle that is none.
    const INVALID: &'static str;
    /// The message for a handle that is in use.
    const BUSY: &'static str;
    /// Where the values are.
    fn table() -> &'static Table<Self::Value>;
}

/// Makes an opaque type of the C ABI a handle for a Rust type.
macro_rules! handle {
    ($handle:ident => $value:ty, $tag:literal) => {
        impl $crate::capi::handle::Handle for $handle {
            type Value = $value;
            const TAG: u8 = $tag;
            const INVALID: &'static str =
                concat!("this is no live ", stringify!($handle), ": it was freed already, is a handle of another type, or was never one");
            const BUSY: &'static str =
                concat!("the ", stringify!($handle), " is in use by another call: wait until that call has returned");
            fn table() -> &'static $crate::capi::handle::Table<$value> {
                static TABLE: $crate::capi::handle::Table<$value> = $crate::capi::handle::Table::new();
                &TABLE
            }
        }
    };
}
pub(super) use handle;

const _: () = assert!(usize::BITS == 64, "handles are made for machines with 64-bit pointers");

// A handle: tag in bits 56..64, generation in bits 24..56, slot in bits 0..24.
const SLOT_BITS: u32 = 24;
const TAG_SHIFT: u32 = 56;

// A slot's state: generation in bits 32..64, then two flags, then the number of users.
const GENERATION: u64 = 1 << 32;
/// The only user may change the value.
const EXCLUSIVE: u64 = 1 << 31;
/// The handle was freed: the last user drops the value.
const DYING: u64 = 1 << 30;
const USERS: u64 = DYING - 1;

/// Slots of the first chunk; every further chunk has twice as many.
const FIRST_CHUNK: usize = 64;
const CHUNKS: usize = SLOT_BITS as usize - FIRST_CHUNK.ilog2() as usize;

/// How many forks lie between the process that loaded the library and this one. A handle works only where it was made.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// Every value behind one type of handle.
pub(super) struct Table<T> {
    chunks: [AtomicPtr<Slot<T>>; CHUNKS],
    /// The first slot that was never used.
    fresh: AtomicU32,
    /// The top of the stack of vacant slots: a count against the ABA problem in the upper half, slot + 1 in the lower.
    vacant: AtomicU64,
}

struct Slot<T> {
    state: AtomicU64,
    /// [`FORKS`] when the value was made.
    forks: AtomicU32,
    /// The vacant slot below this one: slot + 1, or 0.
    below: AtomicU32,
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: the protocol of `state` gives out `&T` to counted users, `&mut T` to one exclusive user, and lets only the
// one that found no user left drop the value: as a lock would, for a T that may be shared and sent.
unsafe impl<T: Send + Sync> Sync for Slot<T> {}

impl<T> Table<T> {
    pub(super) const fn new() -> Self {
        Table { chunks: [const { AtomicPtr::new(ptr::null_mut()) }; CHUNKS], fresh: AtomicU32::new(0), vacant: AtomicU64::new(0) }
    }

    /// The slot of this number, if its chunk exists.
    fn slot(&'static self, index: u32) -> Option<&'static Slot<T>> {
        let (chunk, offset) = place(index);
        let first = self.chunks.get(chunk)?.load(Ordering::Acquire);
        // SAFETY: a chunk that exists has FIRST_CHUNK << chunk slots, which is more than `offset`, and is never freed.
        (!first.is_null()).then(|| unsafe { &*first.add(offset) })
    }

    /// Takes a vacant slot off the stack, or a fresh one.
    fn take(&'static self) -> Result<u32> {
        let mut top = self.vacant.load(Ordering::Acquire);
        while let Some(index) = (top as u32).checked_sub(1) {
            let Some(slot) = self.slot(index) else { break };
            let below = (top >> 32).wrapping_add(1) << 32 | u64::from(slot.below.load(Ordering::Relaxed));
            match self.vacant.compare_exchange_weak(top, below, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(index),
                Err(other) => top = other,
            }
        }
        loop {
            let index = self.fresh.load(Ordering::Relaxed);
            let Some(first) = self.chunks.get(place(index).0) else {
                return Err(Error::new(ErrorKind::OutOfMemory, "too many handles of one type are alive: free some"));
            };
            Self::grow(first, FIRST_CHUNK << place(index).0)?;
            if self.fresh.compare_exchange(index, index + 1, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                return Ok(index);
            }
        }
    }

    /// Makes sure that a chunk exists.
    fn grow(chunk: &AtomicPtr<Slot<T>>, len: usize) -> Result<()> {
        if !chunk.load(Ordering::Acquire).is_null() {
            return Ok(());
        }
        let mut slots = Vec::new();
        try_reserve(&mut slots, len, "handles")?;
        slots.resize_with(len, || Slot {
            state: AtomicU64::new(0),
            forks: AtomicU32::new(0),
            below: AtomicU32::new(0),
            value: UnsafeCell::new(MaybeUninit::uninit()),
        });
        let slots = slots.leak();
        if chunk.compare_exchange(ptr::null_mut(), slots.as_mut_ptr(), Ordering::AcqRel, Ordering::Acquire).is_err() {
            // SAFETY: another thread was faster; nobody has seen this chunk, which was a vector of just this size.
            drop(unsafe { Vec::from_raw_parts(slots.as_mut_ptr(), len, len) });
        }
        Ok(())
    }

    /// Puts a slot back on the stack of vacant ones.
    fn put_back(&'static self, index: u32) {
        let Some(slot) = self.slot(index) else { return };
        let mut top = self.vacant.load(Ordering::Relaxed);
        loop {
            slot.below.store(top as u32, Ordering::Relaxed);
            let next = (top >> 32).wrapping_add(1) << 32 | u64::from(index + 1);
            match self.vacant.compare_exchange_weak(top, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(other) => top = other,
            }
        }
    }
}

/// The chunk of a slot, and its place in that chunk.
fn place(index: u32) -> (usize, usize) {
    let index = index as usize;
    let chunk = (index / FIRST_CHUNK + 1).ilog2() as usize;
    (chunk, index - FIRST_CHUNK * ((1 << chunk) - 1))
}

/// A place for a value that does not exist yet: taken before the work, so that a finished work is never lost.
pub(super) struct Vacancy<H: Handle> {
    index: u32,
    slot: &'static Slot<H::Value>,
}

/// Takes a place for a value.
///
/// # Errors
/// `OutOfMemory`.
pub(super) fn vacancy<H: Handle>() -> Result<Vacancy<H>> {
    watch_forks();
    let index = H::table().take()?;
    match H::table().slot(index) {
        Some(slot) => Ok(Vacancy { index, slot }),
        None => Err(fail!(Panic, "slot {index} of {} is in no chunk", std::any::type_name::<H>())),
    }
}

impl<H: Handle> Vacancy<H> {
    /// Puts the value there and returns its handle.
    pub(super) fn fill(self, value: H::Value) -> *mut H {
        // SAFETY: this slot is off the stack of vacant ones and its generation is even: no other thread looks at it.
        unsafe { (*self.slot.value.get()).write(value) };
        self.slot.forks.store(FORKS.load(Ordering::Relaxed), Ordering::Relaxed);
        let generation = (self.slot.state.fetch_add(GENERATION, Ordering::Release) + GENERATION) >> 32;
        let index = self.index;
        std::mem::forget(self);
        ptr::without_provenance_mut((usize::from(H::TAG) << TAG_SHIFT) | (generation as usize) << SLOT_BITS | index as usize)
    }
}

impl<H: Handle> Drop for Vacancy<H> {
    fn drop(&mut self) {
        H::table().put_back(self.index);
    }
}

/// A counted use of a value: it stays until this is dropped.
pub(super) struct Shared<H: Handle> {
    index: u32,
    generation: u64,
    slot: &'static Slot<H::Value>,
    handle: PhantomData<H>,
}

/// The only use of a value.
pub(super) struct Exclusive<H: Handle>(Shared<H>);

/// Splits a handle into its slot and generation.
fn locate<H: Handle>(handle: *const H) -> Result<Shared<H>> {
    let bits = handle.addr();
    let index = (bits & ((1 << SLOT_BITS) - 1)) as u32;
    let generation = (bits >> SLOT_BITS) as u64 & u64::from(u32::MAX);
    match H::table().slot(index) {
        Some(slot) if bits >> TAG_SHIFT == usize::from(H::TAG) && generation % 2 == 1 => {
            Ok(Shared { index, generation, slot, handle: PhantomData })
        }
        _ => Err(Error::new(ErrorKind::InvalidHandle, H::INVALID)),
    }
}

/// Starts a use of a value that others may use at the same time. Never waits, locks or allocates.
///
/// # Errors
/// `InvalidHandle`, `Forked`, or `Busy` while somebody uses it exclusively.
pub(super) fn enter<H: Handle>(handle: *const H) -> Result<Shared<H>> {
    let shared = ManuallyDrop::new(locate(handle)?);
    let before = shared.slot.state.fetch_add(1, Ordering::Acquire);
    // From here on the use is counted: dropping it counts it out again.
    let shared = ManuallyDrop::into_inner(shared);
    if before >> 32 != shared.generation {
        return Err(Error::new(ErrorKind::InvalidHandle, H::INVALID));
    }
    shared.check_forks()?;
    if before & EXCLUSIVE != 0 {
        return Err(Error::new(ErrorKind::Busy, H::BUSY));
    }
    Ok(shared)
}

/// Whether this is a live handle, in use or not.
///
/// # Errors
/// `InvalidHandle`, `Forked`.
pub(super) fn check_alive<H: Handle>(handle: *const H) -> Result<()> {
    let shared = ManuallyDrop::new(locate(handle)?);
    if shared.slot.state.load(Ordering::Acquire) >> 32 != shared.generation {
        return Err(Error::new(ErrorKind::InvalidHandle, H::INVALID));
    }
    shared.check_forks()
}

/// Starts a use of a value that nobody else may use at the same time. Never waits, locks or allocates.
///
/// # Errors
/// `InvalidHandle`, `Forked`, or `Busy` while somebody uses it.
pub(super) fn enter_exclusively<H: Handle>(handle: *mut H) -> Result<Exclusive<H>> {
    let shared = ManuallyDrop::new(locate(handle.cast_const())?);
    let (idle, taken) = (shared.generation << 32, shared.generation << 32 | EXCLUSIVE | 1);
    match shared.slot.state.compare_exchange(idle, taken, Ordering::Acquire, Ordering::Relaxed) {
        Err(state) if state >> 32 != shared.generation => Err(Error::new(ErrorKind::InvalidHandle, H::INVALID)),
        Err(_) => shared.check_forks().and(Err(Error::new(ErrorKind::Busy, H::BUSY))),
        Ok(_) => {
            let exclusive = Exclusive(ManuallyDrop::into_inner(shared));
            exclusive.0.check_forks()?;
            Ok(exclusive)
        }
    }
}

/// Frees a value: its handle is dead at once, the value goes when its last user leaves, which may be now.
///
/// # Errors
/// `InvalidHandle`, or `Forked`: an inherited value is left alone.
pub(super) fn free<H: Handle>(handle: *mut H) -> Result<()> {
    enter_to_free(handle).map(drop)
}

/// As [`free`], with a last use of the value, which must not be of a type that is ever entered exclusively. Nobody else
/// can enter any more.
///
/// # Errors
/// As [`free`].
pub(super) fn enter_to_free<H: Handle>(handle: *mut H) -> Result<Shared<H>> {
    let shared = ManuallyDrop::new(locate(handle.cast_const())?);
    let freed = shared.slot.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
        let alive = state >> 32 == shared.generation && shared.check_forks().is_ok();
        alive.then(|| (state + GENERATION + 1) | DYING)
    });
    match freed {
        Ok(_) => Ok(ManuallyDrop::into_inner(shared)),
        Err(state) if state >> 32 == shared.generation => Err(shared.check_forks().err().unwrap_or_else(forked)),
        Err(_) => Err(Error::new(ErrorKind::InvalidHandle, H::INVALID)),
    }
}

impl<H: Handle> Shared<H> {
    fn check_forks(&self) -> Result<()> {
        let same = self.slot.forks.load(Ordering::Relaxed) == FORKS.load(Ordering::Relaxed);
        if same { Ok(()) } else { Err(forked()) }
    }

    /// Whether nobody else uses the value.
    pub(super) fn is_alone(&self) -> bool {
        self.slot.state.load(Ordering::Acquire) & USERS == 1
    }

    fn leave(&self, parts: u64) {
        let state = self.slot.state.fetch_sub(parts, Ordering::AcqRel) - parts;
        if state & DYING == 0 || state & USERS != 0 || self.check_forks().is_err() {
            return;
        }
        // Whoever takes the mark away has the value. A late comer with a dead handle may have slipped in: then it will.
        if self.slot.state.compare_exchange(state, state & !DYING, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return;
        }
        // SAFETY: the generation is even and nobody is counted: no reference to the value exists, and none can arise.
        let drop_value = || unsafe { (*self.slot.value.get()).assume_init_drop() };
        // A drop that panics must not unwind into a caller that is unwinding already.
        let _ = catch_unwind(AssertUnwindSafe(drop_value));
        // A slot whose generations are used up stays away, so that no handle ever comes back.
        if state >> 32 < u64::from(u32::MAX - 1) {
            H::table().put_back(self.index);
        }
    }
}

impl<H: Handle> Deref for Shared<H> {
    type Target = H::Value;

    fn deref(&self) -> &H::Value {
        // SAFETY: `fill` put a value there before the generation became the one that `enter` saw; it stays while this
        // user is counted, and no exclusive user exists beside it.
        unsafe { (*self.slot.value.get()).assume_init_ref() }
    }
}

impl<H: Handle> Drop for Shared<H> {
    fn drop(&mut self) {
        self.leave(1);
    }
}

impl<H: Handle> Deref for Exclusive<H> {
    type Target = H::Value;

    fn deref(&self) -> &H::Value {
        &self.0
    }
}

impl<H: Handle> DerefMut for Exclusive<H> {
    fn deref_mut(&mut self) -> &mut H::Value {
        // SAFETY: as in `Shared::deref`, and the mark EXCLUSIVE keeps every other user from the value.
        unsafe { (*self.0.slot.value.get()).assume_init_mut() }
    }
}

impl<H: Handle> Drop for Exclusive<H> {
    fn drop(&mut self) {
        // Counts as one user until the mark is gone; the field's own drop counts that user out.
        self.0.slot.state.fetch_and(!EXCLUSIVE, Ordering::AcqRel);
    }
}

/// The first live value that `wanted` accepts.
pub(super) fn find<H: Handle>(wanted: impl Fn(&H::Value) -> bool) -> Option<Shared<H>> {
    let table = H::table();
    (0..table.fresh.load(Ordering::Acquire)).find_map(|index| {
        let generation = table.slot(index)?.state.load(Ordering::Relaxed) >> 32;
        let handle = (usize::from(H::TAG) << TAG_SHIFT) | (generation as usize) << SLOT_BITS | index as usize;
        enter(ptr::without_provenance::<H>(handle)).ok().filter(|shared| wanted(shared))
    })
}

fn forked() -> Error {
    Error::new(ErrorKind::Forked, "this handle was made before fork: create a new one in the child process")
}

/// Counts forks from now on, in every child.
fn watch_forks() {
    static WATCHED: AtomicBool = AtomicBool::new(false);
    extern "C" fn in_child() {
        FORKS.fetch_add(1, Ordering::Relaxed);
    }
    if !WATCHED.swap(true, Ordering::Relaxed) {
        // SAFETY: the handler only touches an atomic, and the library is never unloaded (linked with -z nodelete).
        // It fails only without memory, before any handle exists; then a child's calls are not told apart.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    }
}

#[cfg(test)]
mod tests;
