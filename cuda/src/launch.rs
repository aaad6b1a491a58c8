//! `kernels/launch.h`, in Rust; `tests/cuda_layout.rs` compares them. Pointers are the device's but where the host's are said.

use std::ffi::{c_char, c_int, c_void};

pub type Stream = *mut c_void;

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    pub d: i32,
    pub h: i32,
    pub w: i32,
}

impl From<[i32; 3]> for Extent {
    fn from([d, h, w]: [i32; 3]) -> Self {
        Extent { d, h, w }
    }
}

#[repr(C)]
pub struct Fill {
    pub voxel_type: i32,
    pub voxels: *const c_void,
    pub element: [*const u64; 3],
    pub grid: Extent,
    pub first: Extent,
    pub last: Extent,
    pub slope: f64,
    pub intercept: f64,
    pub clip_low: f64,
    pub clip_high: f64,
    pub mean: f32,
    pub deviation: f32,
    pub whitened: *mut f32,
    pub saturated: *mut u64,
    pub range: *mut u32,
}

#[repr(C)]
pub struct Stem {
    pub precision: c_int,
    pub whitened: *const f32,
    pub grid: Extent,
    pub outside: f32,
    pub starts: *const i32,
    pub windows: i32,
    pub window: Extent,
    pub outputs: i32,
    pub packed: *const c_void,
    pub bias: *const f32,
    pub output: *mut c_void,
}

#[repr(C)]
pub struct Convolution {
    pub precision: c_int,
    pub windows: i32,
    pub shape: Extent,
    pub first_channels: i32,
    pub second_channels: i32,
    pub outputs: i32,
    pub first: *const c_void,
    pub second: *const c_void,
    pub packed: *const c_void,
    pub bias: *const f32,
    pub output: *mut c_void,
    pub pooled: *mut c_void,
}

#[repr(C)]
pub struct Upsample {
    pub precision: c_int,
    pub windows: i32,
    pub shape: Extent,
    pub inputs: i32,
    pub outputs: i32,
    pub input: *const c_void,
    pub packed: *const c_void,
    pub bias: *const f32,
    pub output: *mut c_void,
}

#[repr(C)]
pub struct Head {
    pub precision: c_int,
    pub windows: i32,
    pub shape: Extent,
    pub inputs: i32,
    pub classes: i32,
    pub input: *const c_void,
    pub weight: *const f32,
    pub bias: *const f32,
    pub probabilities: *mut f32,
}

#[repr(C)]
pub struct Combine {
    pub probabilities: *const f32,
    pub first_window: i32,
    pub windows: i32,
    pub classes: i32,
    pub window: Extent,
    pub grid: Extent,
    pub starts: [*const i32; 3],
    pub count: [i32; 3],
    pub sums: *mut f32,
}

#[repr(C)]
pub struct Winners {
    pub sums: *const f32,
    pub classes: i32,
    pub grid: Extent,
    pub first: Extent,
    pub last: Extent,
    pub channels: *mut u8,
    pub confidence: *mut f32,
    pub invalid: *mut u32,
}

unsafe extern "C" {
    pub fn spinect_fill(arguments: *const Fill, stream: Stream) -> c_int;
    pub safe fn spinect_fill_range_value(bits: u32) -> f32;
    pub safe fn spinect_stem_bytes(precision: c_int, outputs: i32) -> usize;
    pub fn spinect_stem_pack(precision: c_int, outputs: i32, weight: *const f32, packed: *mut c_void);
    pub fn spinect_stem(arguments: *const Stem, stream: Stream) -> c_int;
    pub safe fn spinect_convolution_bytes(precision: c_int, first: i32, second: i32, outputs: i32) -> usize;
    pub fn spinect_convolution_pack(precision: c_int, first: i32, second: i32, outputs: i32, weight: *const f32, packed: *mut c_void);
    pub fn spinect_convolution(arguments: *const Convolution, stream: Stream) -> c_int;
    pub safe fn spinect_upsample_bytes(precision: c_int, inputs: i32, outputs: i32) -> usize;
    pub fn spinect_upsample_pack(precision: c_int, inputs: i32, outputs: i32, weight: *const f32, packed: *mut c_void);
    pub fn spinect_upsample(arguments: *const Upsample, stream: Stream) -> c_int;
    pub fn spinect_head(arguments: *const Head, stream: Stream) -> c_int;
    pub fn spinect_combine(arguments: *const Combine, stream: Stream) -> c_int;
    pub fn spinect_winners(arguments: *const Winners, stream: Stream) -> c_int;
    /// CUDA's runtime: the name of an error, for ever.
    pub safe fn cudaGetErrorName(error: c_int) -> *const c_char;
}
