//! What a session takes from the heap: nothing after `prepare`, and never more than its estimate.

mod common;
#[path = "common/fixtures.rs"]
mod fixtures;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use fixtures::{Noise, small_config};
use spinect::model::Config;
use spinect::{Model, Run, Session, SessionConfig};

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);
static PEAK: AtomicU64 = AtomicU64::new(0);

struct Counting;

impl Counting {
    fn take(bytes: usize) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        let now = BYTES.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        PEAK.fetch_max(now, Ordering::Relaxed);
    }

    fn give(bytes: usize) {
        BYTES.fetch_sub(bytes as u64, Ordering::Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::take(layout.size());
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        Self::give(layout.size());
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::take(size);
        Self::give(layout.size());
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
fn a_prepared_session_allocates_nothing_and_never_more_than_its_estimate() {
    nothing_after_prepare();
    never_more_than_the_estimate();
}

fn never_more_than_the_estimate() {
    let noise = Noise::new([150, 130, 95]);
    for (channels, threads) in [(vec![4, 8, 16], 1), (vec![8, 16, 32, 64], 3)] {
        let mut config = Config::spinect(&channels);
        config.window.size = [16, 32, 32];
        config.window.stride = [10, 20, 20];
        let model = Model::untrained(config, 1).unwrap().to_bytes().unwrap();
        let before = BYTES.load(Ordering::SeqCst);
        PEAK.store(before, Ordering::SeqCst);
        let session = Session::new(&SessionConfig { threads, ..SessionConfig::default() }).unwrap();
        session.load_weights_from_memory(&model).unwrap();
        let estimate = session.estimate_memory(&noise.volume()).unwrap().host_bytes;
        let segmentation = session.segment(&noise.volume(), Run::default()).unwrap();
        let taken = PEAK.load(Ordering::SeqCst) - before;
        println!("{channels:?} on {threads} threads: {taken} bytes taken, {estimate} estimated");
        assert!(taken <= estimate, "{taken} bytes taken, {estimate} estimated");
        assert!(estimate < taken + taken / 4, "{taken} bytes taken, {estimate} estimated: an estimate, not a guess");
        drop(segmentation);
    }
}

fn nothing_after_prepare() {
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
