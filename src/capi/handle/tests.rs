//! What handles promise.

use super::*;
use std::sync::Arc;

struct Thing;
handle!(Thing => Arc<u32>, 0x71);
struct Other;
handle!(Other => u32, 0x72);

fn make(value: &Arc<u32>) -> *mut Thing {
    vacancy::<Thing>().unwrap().fill(value.clone())
}

fn kind<T>(result: Result<T>) -> ErrorKind {
    result.err().map(|error| error.kind()).expect("an error")
}

#[test]
fn a_stale_handle_and_a_double_free_are_noticed_even_when_the_slot_lives_again() {
    let value = Arc::new(5);
    let first = make(&value);
    assert_eq!(**enter(first).unwrap(), 5);
    free(first).unwrap();
    assert_eq!(Arc::strong_count(&value), 1);
    let others: Vec<_> = (0..100).map(|_| make(&value)).collect();
    assert_eq!(kind(enter(first)), ErrorKind::InvalidHandle);
    assert_eq!(kind(free(first)), ErrorKind::InvalidHandle);
    others.into_iter().for_each(|other| free(other).unwrap());
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn a_number_that_was_never_a_handle_and_one_of_another_type_are_noticed() {
    let other = vacancy::<Other>().unwrap().fill(1);
    assert_eq!(kind(enter(other.cast::<Thing>())), ErrorKind::InvalidHandle);
    for bits in [1usize, 0x7fff_1234_5678, usize::MAX, 0x71 << TAG_SHIFT, 0x71 << TAG_SHIFT | 1 << SLOT_BITS | 0xff_ffff] {
        assert_eq!(kind(enter(ptr::without_provenance::<Thing>(bits))), ErrorKind::InvalidHandle);
    }
    free(other).unwrap();
}

#[test]
fn a_value_stays_until_its_last_user_leaves() {
    let value = Arc::new(1);
    let handle = make(&value);
    let (a, b) = (enter(handle).unwrap(), enter(handle).unwrap());
    free(handle).unwrap();
    assert_eq!(kind(enter(handle)), ErrorKind::InvalidHandle);
    drop(a);
    assert_eq!((Arc::strong_count(&value), **b), (2, 1));
    drop(b);
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn exclusive_and_shared_use_refuse_each_other() {
    let handle = vacancy::<Other>().unwrap().fill(1);
    let shared = enter(handle).unwrap();
    assert_eq!(kind(enter_exclusively(handle)), ErrorKind::Busy);
    drop(shared);
    let mut exclusive = enter_exclusively(handle).unwrap();
    *exclusive = 2;
    assert_eq!(kind(enter(handle)), ErrorKind::Busy);
    assert_eq!(kind(enter_exclusively(handle)), ErrorKind::Busy);
    drop(exclusive);
    assert_eq!(*enter(handle).unwrap(), 2);
    let exclusive = enter_exclusively(handle).unwrap();
    free(handle).unwrap();
    assert_eq!(*exclusive, 2);
    drop(exclusive);
    assert_eq!(kind(enter_exclusively(handle)), ErrorKind::InvalidHandle);
}

#[test]
fn an_abandoned_vacancy_is_used_again() {
    struct Alone;
    handle!(Alone => u32, 0x73);
    let first = vacancy::<Alone>().unwrap().index;
    let handle = vacancy::<Alone>().unwrap().fill(1);
    assert_eq!((first, handle.addr() & 0xff_ffff), (0, 0));
}

#[test]
fn a_slot_whose_generations_are_used_up_is_never_used_again() {
    struct Old;
    handle!(Old => u32, 0x74);
    let vacant = vacancy::<Old>().unwrap();
    vacant.slot.state.store(u64::from(u32::MAX - 3) << 32, Ordering::Relaxed);
    let old = vacant.fill(1);
    free(old).unwrap();
    let next = vacancy::<Old>().unwrap().fill(2);
    assert_eq!(next.addr() & 0xff_ffff, 1);
}

#[test]
fn slots_lie_one_after_the_other_in_growing_chunks() {
    assert_eq!([0, 63, 64, 191, 192].map(place), [(0, 0), (0, 63), (1, 0), (1, 127), (2, 0)]);
    assert_eq!(place((1 << SLOT_BITS) - 1 - FIRST_CHUNK as u32), (CHUNKS - 1, (FIRST_CHUNK << (CHUNKS - 1)) - 1));
}

#[test]
fn threads_that_use_and_free_one_handle_agree_on_who_freed_it() {
    for _ in 0..200 {
        let value = Arc::new(7);
        let handle = make(&value).addr();
        let freed: usize = std::thread::scope(|scope| {
            let work = || {
                let handle = ptr::without_provenance_mut::<Thing>(handle);
                let seen = enter(handle).is_ok_and(|thing| **thing == 7);
                (seen, usize::from(free(handle).is_ok())).1
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!((freed, Arc::strong_count(&value)), (1, 1));
    }
}
