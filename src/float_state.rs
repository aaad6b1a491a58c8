//! The processor's floating-point state, which a host may have changed: flush-to-zero changes results, unmasked
//! exceptions end the process, and new threads inherit both.

/// The default state (round to nearest, exceptions masked, subnormals kept) until dropped; then the caller's again.
pub(crate) struct FloatState {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    before: u64,
}

#[cfg(target_arch = "x86_64")]
mod register {
    /// MXCSR at reset: every exception masked, round to nearest, no flush-to-zero.
    pub const DEFAULT: u64 = 0x1f80;

    pub fn get() -> u64 {
        let mut value = 0u32;
        // SAFETY: stores the 32 bits of MXCSR to a local variable.
        unsafe { std::arch::asm!("stmxcsr [{}]", in(reg) &mut value, options(nostack, preserves_flags)) };
        u64::from(value)
    }

    pub fn set(value: u64) {
        let value = value as u32;
        // SAFETY: the value is the default or one that `get` read, so no reserved bit is set.
        unsafe { std::arch::asm!("ldmxcsr [{}]", in(reg) &value, options(nostack, preserves_flags)) };
    }
}

#[cfg(target_arch = "aarch64")]
mod register {
    /// FPCR at reset: no exception traps, round to nearest, no flush-to-zero.
    pub const DEFAULT: u64 = 0;

    pub fn get() -> u64 {
        let value: u64;
        // SAFETY: reads FPCR.
        unsafe { std::arch::asm!("mrs {}, fpcr", out(reg) value, options(nomem, nostack, preserves_flags)) };
        value
    }

    pub fn set(value: u64) {
        // SAFETY: the value is the default or one that `get` read.
        unsafe { std::arch::asm!("msr fpcr, {}", in(reg) value, options(nomem, nostack, preserves_flags)) };
    }
}

impl FloatState {
    /// Sets the default state for as long as the returned guard lives.
    pub(crate) fn default_for_scope() -> Self {
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        {
            let before = register::get();
            register::set(register::DEFAULT);
            FloatState { before }
        }
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        FloatState {}
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
impl Drop for FloatState {
    fn drop(&mut self) {
        register::set(self.before);
    }
}
