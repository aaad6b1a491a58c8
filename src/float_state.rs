//! The processor's floating-point mode: the library computes in the default one, whatever its host has set.
//!
//! A host may flush subnormals to zero, round differently or unmask exceptions: the first two would change results, the
//! third would end the process in a signal. New threads inherit the mode of their creator. So every entry from a host
//! and every worker thread takes [`FloatState::default_for_scope`].

/// The mode of floating-point arithmetic on one thread: rounding, subnormals, exception masks (and, on x86, flags).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FloatState(Register);

/// A mode that holds until this is dropped; then the former one comes back.
#[derive(Debug)]
#[must_use = "the mode ends when this is dropped"]
pub struct FloatScope {
    former: FloatState,
    /// The mode belongs to a thread: this may not be sent to another one.
    not_send: std::marker::PhantomData<*const ()>,
}

impl FloatState {
    /// Round to nearest, subnormals kept, every exception masked.
    pub const DEFAULT: FloatState = FloatState(DEFAULT);

    /// The calling thread's mode.
    pub fn current() -> FloatState {
        FloatState(read())
    }

    /// Computes in the default mode until the scope ends.
    pub fn default_for_scope() -> FloatScope {
        Self::DEFAULT.for_scope()
    }

    /// Computes in this mode until the scope ends.
    pub fn for_scope(self) -> FloatScope {
        let former = Self::current();
        write(self.0);
        FloatScope { former, not_send: std::marker::PhantomData }
    }
}

impl FloatScope {
    /// The mode that comes back when this is dropped.
    pub fn former(&self) -> FloatState {
        self.former
    }
}

impl Drop for FloatScope {
    fn drop(&mut self) {
        write(self.former.0);
    }
}

#[cfg(target_arch = "x86_64")]
mod register {
    use std::arch::asm;

    /// MXCSR.
    pub(super) type Register = u32;
    /// Its value at power-on: all six exceptions masked, the rest 0.
    pub(super) const DEFAULT: Register = 0x1f80;

    pub(super) fn read() -> Register {
        let mut value: Register = 0;
        // SAFETY: stores MXCSR to the four bytes of `value`.
        unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut value, options(nostack, preserves_flags)) };
        value
    }

    pub(super) fn write(value: Register) {
        // SAFETY: `value` is the default or came from `read`, so it has no reserved bit; callers restore it in scopes.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const value, options(nostack, preserves_flags)) };
    }
}

#[cfg(target_arch = "aarch64")]
mod register {
    use std::arch::asm;

    /// FPCR.
    pub(super) type Register = u64;
    /// Its value at reset: round to nearest, subnormals kept, no trap.
    pub(super) const DEFAULT: Register = 0;

    pub(super) fn read() -> Register {
        let value: Register;
        // SAFETY: reads FPCR.
        unsafe { asm!("mrs {}, fpcr", out(reg) value, options(nomem, nostack, preserves_flags)) };
        value
    }

    pub(super) fn write(value: Register) {
        // SAFETY: `value` is the default or came from `read`; callers restore it in scopes.
        unsafe { asm!("msr fpcr, {}", in(reg) value, options(nostack, preserves_flags)) };
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod register {
    pub(super) type Register = ();
    pub(super) const DEFAULT: Register = ();
    pub(super) fn read() -> Register {}
    pub(super) fn write((): Register) {}
}

use register::{DEFAULT, Register, read, write};

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use std::hint::black_box;

    const FLUSH_TO_ZERO: u32 = 0x8000;

    #[test]
    fn subnormals_survive_in_the_scope_and_the_callers_mode_comes_back() {
        let smallest = || black_box(f32::MIN_POSITIVE) / black_box(2.0);
        let host = FloatState(DEFAULT | FLUSH_TO_ZERO).for_scope();
        assert_eq!(smallest(), 0.0);
        {
            let scope = FloatState::default_for_scope();
            assert!(smallest() > 0.0);
            assert_eq!(scope.former().0 & FLUSH_TO_ZERO, FLUSH_TO_ZERO);
        }
        assert_eq!(smallest(), 0.0);
        drop(host);
        assert_eq!(FloatState::current().0 & FLUSH_TO_ZERO, 0);
    }
}
