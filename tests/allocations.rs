//! After `prepare`, a segmentation of the same size allocates nothing, on any thread.

mod common;
#[path = "common/fixtures.rs"]
mod fixtures;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use fixtures::{Noise, small_config};
use spinect::{Model, Run, Session, SessionConfig};

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of the whole process while `work` runs.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.load(Ordering::SeqCst);
    work();
    ALLOCATIONS.load(Ordering::SeqCst) - before
}

// One test in this file, so that no other test's allocations are counted.
#[test]
fn a_prepared_session_segments_without_allocating() {
    let (large, small) = (Noise::new([70, 60, 45]), Noise::new([50, 60, 31]));
    let model = Model::untrained(small_config(), 1).unwrap().to_bytes().unwrap();
    for threads in [1, 2, 4] {
        let session = Session::new(&SessionConfig { threads, ..SessionConfig::default() }).unwrap();
        session.load_weights_from_memory(&model).unwrap();
        session.prepare(&large.volume()).unwrap();
        let mut labels = vec![0; large.voxels.len()];
        let mut segmentation = session.reserve(&large.volume()).unwrap();
        for (name, noise) in [("the prepared size", &large), ("a smaller one", &small), ("the prepared size again", &large)] {
            let volume = noise.volume();
            let into = allocations(|| {
                session.segment_into(&volume, Run::default(), &mut labels).unwrap();
            });
            let again = allocations(|| session.segment_again(&volume, Run::default(), &mut segmentation).unwrap());
            println!("{threads} threads, {name}: segment_into {into}, segment_again {again} allocations");
            assert_eq!((into, again), (0, 0), "{threads} threads, {name}");
        }
    }
}
