//! Where a network runs, and in what precision.

/// Where the network runs. The numbers are those of the C ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(i32)]
pub enum Device {
    /// CUDA where it works, else the CPU.
    #[default]
    Auto = 0,
    /// The CPU.
    Cpu = 1,
    /// An NVIDIA GPU.
    Cuda = 2,
}

/// The precision of the network's arithmetic. The numbers are those of the C ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(i32)]
pub enum Precision {
    /// 32-bit floating point throughout, on a GPU too: the reference there, and not the fast one.
    #[default]
    F32 = 0,
    /// 16-bit inputs, 32-bit sums: what a GPU is fast in. Not on the CPU.
    F16 = 1,
    /// bfloat16 inputs, 32-bit sums: on no device of this version.
    Bf16 = 2,
}
