//! The seam to the library of the CUDA engine, as plain C data: `libspinect_cuda` exports one function,
//! `spinect_cuda_table`, which returns a [`Table`]. `table.h` says the same in C.
//!
//! Both sides compile this file, and nothing else of each other: no Rust type, allocation or panic crosses. Numbers of
//! statuses are those of the C ABI, 0 is success. Functions of one engine are called one at a time, from any
//! thread; those without an engine at any time.

use std::ffi::{c_char, c_void};

/// The version of this seam. It grows with every change of this file; both sides must have the same.
pub const VERSION: u32 = 1;

/// The name of the one exported function, of type [`Entry`].
pub const ENTRY: &std::ffi::CStr = c"spinect_cuda_table";

/// The exported function. What it returns stays for ever.
pub type Entry = unsafe extern "C" fn() -> *const Table;

/// [`Step::kind`]: 3×3×3 convolution of the window itself, bias, ReLU.
pub const STEM: i32 = 0;
/// [`Step::kind`]: 3×3×3 convolution of one or two maps, bias, ReLU.
pub const CONVOLUTION: i32 = 1;
/// [`Step::kind`]: 2×2×2 transposed convolution of stride 2, bias.
pub const UPSAMPLE: i32 = 2;
/// [`Step::kind`]: 1×1×1 convolution to the classes, softmax.
pub const HEAD: i32 = 3;
/// No map, in a [`Step`].
pub const NONE: i32 = -1;

/// What the library can do.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// [`VERSION`]. This field and the next two stay where they are in every version.
    pub version: u32,
    /// Bytes of this structure.
    pub size: u32,
    /// The release of spinect that the library is of, NUL-terminated.
    pub release: *const c_char,
    /// Whether a GPU works in a precision, shown by work done on it, and what it is.
    pub probe: unsafe extern "C" fn(device: i32, precision: i32, gpu: *mut Gpu, message: Message) -> i32,
    /// Bytes that an engine takes for a size: pinned on the host, and on the device. Either may be NULL; the host's are told
    /// without taking memory.
    pub estimate: unsafe extern "C" fn(model: *const Model, size: *const Size, host: *mut u64, device: *mut u64, message: Message) -> i32,
    /// Makes an engine: copies what it needs of a model and its weights, one layer per [`Step::layer`].
    pub create: unsafe extern "C" fn(
        device: i32,
        model: *const Model,
        layers: *const Layer,
        layer_count: usize,
        engine: *mut *mut c_void,
        message: Message,
    ) -> i32,
    /// Takes the memory for a size, in place of what was taken before. After a failure nothing is taken.
    pub prepare: unsafe extern "C" fn(engine: *mut c_void, size: *const Size, buffers: *mut Buffers, message: Message) -> i32,
    /// Waits until [`Buffers::input`] may be written to: work that was stopped may still be under way.
    pub wait: unsafe extern "C" fn(engine: *mut c_void, poll: Poll, message: Message) -> i32,
    /// Begins to fill a part of the model grid from what lies in [`Buffers::input`]. Does not wait.
    pub fill: unsafe extern "C" fn(engine: *mut c_void, fill: *const Fill, message: Message) -> i32,
    /// The windows of the grid through the network, and their sum; waits until the winners lie in [`Buffers`], or until `poll`
    /// stops it.
    pub run: unsafe extern "C" fn(engine: *mut c_void, run: *const Run, poll: Poll, outcome: *mut Outcome, message: Message) -> i32,
    /// Ends an engine, also one that has failed. Waits for what is under way.
    pub free: unsafe extern "C" fn(engine: *mut c_void),
}

/// Room for a message that says why something failed, NUL-terminated UTF-8.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Message {
    /// Where it goes.
    pub text: *mut c_char,
    /// Bytes there, more than 0.
    pub capacity: usize,
}

/// Asked between pieces of work, on the calling thread, with the share of the windows that is done; an answer other than 0
/// stops the work, which then returns the status of a cancelled run.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Poll {
    /// The function.
    pub ask: unsafe extern "C" fn(context: *mut c_void, share: f64) -> i32,
    /// Its first argument.
    pub context: *mut c_void,
}

/// What a GPU is.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Gpu {
    /// Its memory in bytes.
    pub memory: u64,
    /// Its name, NUL-terminated.
    pub name: [c_char; 128],
}

/// A feature map of one window.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Map {
    /// Channels.
    pub channels: i32,
    /// Voxels along D, H, W.
    pub shape: [i32; 3],
}

/// A step of the network. Maps are numbers: places in [`Model::maps`], or [`NONE`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// [`STEM`], [`CONVOLUTION`], [`UPSAMPLE`] or [`HEAD`].
    pub kind: i32,
    /// The map that is read, its channels first.
    pub input: i32,
    /// The map whose channels follow: a concatenation that is never made.
    pub second: i32,
    /// The map that is made.
    pub output: i32,
    /// The map of its 2×2×2 maxima.
    pub pooled: i32,
    /// Which of the layers.
    pub layer: i32,
}

/// A network without its weights.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// The number of the precision in the C ABI.
    pub precision: i32,
    /// Output channels.
    pub classes: i32,
    /// Voxels of a window along D, H, W.
    pub window: [i32; 3],
    /// Every map is made by one step.
    pub maps: *const Map,
    /// How many there are.
    pub map_count: usize,
    /// In their order.
    pub steps: *const Step,
    /// How many there are.
    pub step_count: usize,
}

/// Folded weights of a layer, as in the model file: \[out\]\[in\]\[k\]\[k\]\[k\], or \[in\]\[out\]\[2\]\[2\]\[2\] where transposed.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Layer {
    /// The weights.
    pub weight: *const f32,
    /// How many.
    pub weight_count: usize,
    /// One per output channel.
    pub bias: *const f32,
    /// How many.
    pub bias_count: usize,
}

/// What memory is taken for.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Bytes of [`Buffers::input`].
    pub input_bytes: u64,
    /// Voxels of the model grid.
    pub voxels: u64,
    /// Indices of the model grid: D + H + W.
    pub indices: u64,
    /// Starts of windows along D, H and W together.
    pub starts: u64,
    /// Windows: every combination of starts.
    pub windows: u64,
    /// The most bytes to take on the device: fewer windows then go through the network together, but at least one.
    pub limit: u64,
}

/// Pinned memory of an engine on the host, valid until it is prepared again or freed.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Buffers {
    /// Where voxels are put before a fill.
    pub input: *mut u8,
    /// Bytes there.
    pub input_bytes: u64,
    /// The winning channel of every voxel of the grid, D, H, W, after a run.
    pub channels: *const u8,
    /// Its confidence.
    pub confidence: *const f32,
}

/// How a part of the model grid is filled (method.md 1).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Fill {
    /// The number of the voxel type in the C ABI.
    pub voxel_type: i32,
    /// Not 0 for the first part of a grid: what is known of its intensities is forgotten.
    pub first_part: i32,
    /// Bytes in [`Buffers::input`] that count.
    pub input_bytes: u64,
    /// For D, H, W and each index of the grid: its share of a voxel's place among the input's voxels.
    pub element: [*const u64; 3],
    /// Voxels of the grid along D, H, W.
    pub grid: [i32; 3],
    /// The part: first voxel along D, H, W.
    pub first: [i32; 3],
    /// The part: behind its last voxel along D, H, W.
    pub last: [i32; 3],
    /// Hounsfield units per stored unit.
    pub slope: f64,
    /// Hounsfield units at a stored 0.
    pub intercept: f64,
    /// Lower clip, Hounsfield units; also for what is no number.
    pub clip_low: f64,
    /// Upper clip.
    pub clip_high: f64,
    /// Whitening: (HU − mean) / deviation.
    pub mean: f32,
    /// See `mean`.
    pub deviation: f32,
    /// What stands beyond the grid, but within a window.
    pub outside: f32,
}

/// The windows of a run, on the grid of the last fill.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Starts along D, H, W, ascending; windows are ordered D, then H, then W.
    pub starts: [*const i32; 3],
    /// How many along each.
    pub count: [i32; 3],
    /// The part of the grid that windows cover: first voxel along D, H, W.
    pub first: [i32; 3],
    /// Behind its last voxel.
    pub last: [i32; 3],
}

/// What a run says.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// Voxels of the grid at or above the upper clip.
    pub saturated: u64,
    /// The smallest clipped Hounsfield value.
    pub min: f32,
    /// The largest.
    pub max: f32,
}
