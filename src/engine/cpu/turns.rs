//! Who computes which window, and when a window's result may be added.
//!
//! Windows are given out in groups, computed in parallel and added in their order, one after the other, so that the bits of a sum do not
//! depend on the number of threads. Results that wait for their turn lie in slots; whoever finishes the window whose
//! turn it is adds it, and every one that was waiting behind it.
//!
//! No deadlock: windows are given out in order, so the one whose turn it is has a slot already.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::identical::{Action, Actions};
use crate::error::{Result, try_reserve};
use crate::threads::lock;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Free,
    /// Being computed.
    Taken,
    /// Holds the result of this window.
    Ready(usize),
}

#[derive(Debug, Default)]
struct State {
    slots: Vec<Slot>,
    /// The next window to give out.
    next: usize,
    /// The window whose turn to be added it is.
    turn: usize,
    /// Somebody is adding.
    adding: bool,
}

/// The turns of a run.
#[derive(Debug, Default)]
pub struct Turns {
    state: Mutex<State>,
    freed: Condvar,
}

/// A window's result, where it is its turn to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// In this slot.
    Slot(usize),
    /// Kept at this place.
    Kept(usize),
}

impl Turns {
    /// Turns with this many slots.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`](crate::ErrorKind::OutOfMemory).
    pub fn new(slots: usize) -> Result<Self> {
        let mut state = State::default();
        try_reserve(&mut state.slots, slots, "the list of results")?;
        state.slots.resize(slots, Slot::Free);
        Ok(Turns { state: Mutex::new(state), freed: Condvar::new() })
    }

    /// Starts a run.
    pub fn begin(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.slots.fill(Slot::Free);
        (state.next, state.turn, state.adding) = (0, 0, false);
    }

    /// The next windows to compute, each with the slot for its result, in `group`; how many they are: as many as there is
    /// room for, or fewer towards the end, so that `threads` end together; 0 when every window below `end` is given out.
    ///
    /// # Errors
    /// Whatever `check` returns; it is asked while waiting for slots.
    pub fn take(
        &self,
        end: usize,
        threads: usize,
        actions: &Actions,
        group: &mut [(usize, usize)],
        check: &dyn Fn() -> Result<()>,
    ) -> Result<usize> {
        let mut state = lock(&self.state);
        loop {
            check()?;
            let left = (state.next..end).filter(|&window| actions.computes(window)).count();
            let count = group.len().min(left.div_ceil(threads));
            if state.slots.iter().filter(|slot| **slot == Slot::Free).count() >= count {
                let State { slots, next, .. } = &mut *state;
                let free = slots.iter_mut().enumerate().filter(|(_, slot)| **slot == Slot::Free);
                let windows = (*next..end).filter(|&window| actions.computes(window));
                for (taken, (window, (slot, place))) in group.iter_mut().take(count).zip(windows.zip(free)) {
                    *place = Slot::Taken;
                    *taken = (window, slot);
                }
                *next = group[..count].last().map_or(end, |&(window, _)| window + 1);
                return Ok(count);
            }
            let waited = self.freed.wait_timeout(state, Duration::from_millis(10));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Hands in the result of a window, then adds every window whose turn has come, unless somebody is doing that.
    pub fn deliver(&self, window: usize, slot: usize, count: usize, actions: &Actions, add: &mut dyn FnMut(usize, Ready)) {
        let mut state = lock(&self.state);
        state.slots[slot] = Slot::Ready(window);
        if state.adding {
            return;
        }
        state.adding = true;
        while state.turn < count {
            let turn = state.turn;
            let ready = match actions.of(turn) {
                Action::Reuse(place) => Some(Ready::Kept(place)),
                _ => state.slots.iter().position(|slot| *slot == Slot::Ready(turn)).map(Ready::Slot),
            };
            let Some(ready) = ready else { break };
            drop(state);
            add(turn, ready);
            state = lock(&self.state);
            if let Ready::Slot(slot) = ready {
                state.slots[slot] = Slot::Free;
                self.freed.notify_all();
            }
            state.turn += 1;
        }
        state.adding = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_given_out_in_groups_that_shrink_towards_the_end() {
        let turns = Turns::new(16).unwrap();
        let mut taken = Vec::new();
        loop {
            let mut group = [(0, 0); 4];
            let count = turns.take(11, 2, &Actions::default(), &mut group, &|| Ok(())).unwrap();
            if count == 0 {
                break;
            }
            taken.push(group[..count].to_vec());
        }
        assert_eq!(taken.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2, 1]);
        let (windows, mut slots): (Vec<_>, Vec<_>) = taken.concat().into_iter().unzip();
        slots.sort_unstable();
        slots.dedup();
        assert_eq!((windows, slots.len()), ((0..11).collect(), 11), "every window once, each with a slot of its own");
    }

    #[test]
    fn a_result_waits_until_all_before_it_are_added() {
        let turns = Turns::new(4).unwrap();
        let mut group = [(0, 0); 3];
        assert_eq!(turns.take(3, 1, &Actions::default(), &mut group, &|| Ok(())).unwrap(), 3);
        let mut added = Vec::new();
        for window in [2, 0, 1] {
            turns.deliver(window, group[window].1, 3, &Actions::default(), &mut |window, _| added.push(window));
        }
        assert_eq!(added, [0, 1, 2]);
    }
}
