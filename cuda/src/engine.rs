//! One network on one GPU: everything is enqueued on one stream, and waited for once per segmentation.

use std::cell::Cell;
use std::ffi::c_void;
use std::sync::Arc;
use std::time::Duration;

use candle_core::CudaDevice;
use candle_core::cuda_backend::cudarc::driver::{CudaContext, CudaEvent};

use crate::buffers::Buffers;
use crate::device::{self, Bound, forget};
use crate::failure::{CANCELLED, DEVICE_FAILED, Failure, INVALID_MODEL, PANIC, Result, While, launched};
use crate::launch::{self, Stream, spinect_combine, spinect_fill, spinect_fill_range_value, spinect_winners};
use crate::layout::{Counters, Network, Place};
use crate::network::{Chunk, enqueue};
use crate::table::{self, Fill, Layer, Outcome, Poll, Run, Size};
use crate::weights::Weights;

/// Chunks of windows that are enqueued before the first of them is done: the GPU never waits, and what was stopped is over soon.
const AHEAD: usize = 2;
/// Between looks at whether the GPU is done.
const PAUSE: Duration = Duration::from_micros(20);

/// The engine behind a handle.
pub struct Engine {
    device: CudaDevice,
    ordinal: usize,
    network: Network,
    weights: Weights,
    buffers: Option<Buffers>,
    /// The grid of the last fill, and what stands beyond it.
    filled: ([i32; 3], f32),
    /// Why it does not work any more.
    failed: Option<Failure>,
}

/// Asks whether to go on.
fn ask(poll: &Poll, share: f64) -> Result<()> {
    // SAFETY: the other side's function with its own argument, on the thread and during the call that it gave them for.
    if unsafe { (poll.ask)(poll.context, share) } == 0 { Ok(()) } else { Err(Failure::new(CANCELLED, "stopped")) }
}

fn defect(what: &str) -> Failure {
    Failure::new(PANIC, format_args!("{what}: a defect of this library, please report it"))
}

impl Engine {
    /// An engine with a network's weights.
    ///
    /// # Safety
    /// The layers' pointers lead to as many numbers as they say.
    pub unsafe fn new(ordinal: i32, network: Network, layers: &[Layer]) -> Result<Engine> {
        let _bound = Bound::nowhere()?;
        let device = device::open(ordinal)?;
        // SAFETY: the caller's promise.
        let weights = unsafe { Weights::new(&device, &network, layers) }?;
        let ordinal = device.cuda_stream().context().ordinal();
        Ok(Engine { device, ordinal, network, weights, buffers: None, filled: ([0; 3], 0.0), failed: None })
    }

    /// The context that calls of this engine work in.
    pub fn context(&self) -> Arc<CudaContext> {
        Arc::clone(self.device.cuda_stream().context())
    }

    /// Does something, unless something has failed before. A GPU that failed is left alone.
    pub fn guarded(&mut self, work: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        if let Some(failure) = &self.failed {
            return Err(failure.clone());
        }
        let _bound = Bound::to(&self.context())?;
        let result = work(self);
        if let Err(failure) = &result
            && failure.status == DEVICE_FAILED
        {
            self.failed = Some(failure.clone());
            forget(self.ordinal);
        }
        result
    }

    fn stream(&self) -> Stream {
        self.device.cuda_stream().cu_stream().cast()
    }

    fn buffers(&self) -> Result<&Buffers> {
        self.buffers.as_ref().ok_or_else(|| defect("nothing was prepared"))
    }

    /// Takes the memory for a size in place of what was taken, and goes through the network once, so that every kernel is
    /// loaded when the first volume comes.
    pub fn prepare(&mut self, size: &Size, told: &mut table::Buffers) -> Result<()> {
        let stream = self.device.cuda_stream();
        // Before pinned memory goes, which work under way may still use.
        stream.synchronize().doing("work under way")?;
        self.buffers = None;
        let buffers = Buffers::new(&self.device, &self.network, size, self.weights.bytes)?;
        *told = buffers.table();
        // One voxel of 0 for every voxel type; the windows all start at 0.
        for voxel_type in 1..=7 {
            let fill = Fill { voxel_type, ..NOTHING };
            launch_fill(&buffers, &fill, self.stream())?;
        }
        let chunk = Chunk { first: 0, windows: buffers.layout.chunk, grid: [1; 3], outside: 0.0 };
        enqueue(&self.network, &self.weights, &buffers, chunk, self.stream())?;
        combine(&self.network, &buffers, Chunk { windows: 1, ..chunk }, [1; 3], self.stream())?;
        let run = Run { starts: [std::ptr::null(); 3], count: [1; 3], first: [0; 3], last: [1; 3] };
        winners(&self.network, &buffers, &run, [1; 3], self.stream())?;
        buffers.done.record(&stream).doing("an event")?;
        stream.synchronize().doing("a first pass through the network")?;
        self.buffers = Some(buffers);
        Ok(())
    }

    /// Waits for an event, asking now and then.
    fn until(event: &CudaEvent, poll: &Poll, share: impl Fn() -> Result<f64>) -> Result<()> {
        loop {
            let done = event.try_is_complete().doing("the GPU's work")?;
            ask(poll, share()?)?;
            if done {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Waits until pinned memory may be written to.
    pub fn wait(&mut self, poll: &Poll) -> Result<()> {
        // Behind whatever a run that was stopped has left on the stream.
        let buffers = self.buffers()?;
        buffers.done.record(&self.device.cuda_stream()).doing("an event")?;
        Self::until(&buffers.done, poll, || Ok(0.0))
    }

    /// Begins to fill a part of the grid.
    ///
    /// # Safety
    /// The tables are as long as the grid.
    pub unsafe fn fill(&mut self, fill: &Fill) -> Result<()> {
        let buffers = self.buffers()?;
        let lengths = fill.grid.map(|n| u64::try_from(n).unwrap_or(u64::MAX));
        let voxels = lengths.iter().fold(1u64, |product, &n| product.saturating_mul(n));
        let indices = lengths.iter().fold(0u64, |sum, &n| sum.saturating_add(n));
        let inside = (0..3).all(|axis| 0 <= fill.first[axis] && fill.first[axis] < fill.last[axis] && fill.last[axis] <= fill.grid[axis]);
        if voxels > buffers.size.voxels || indices > buffers.size.indices || fill.input_bytes > buffers.size.input_bytes || !inside {
            return Err(defect("a volume larger than prepared for"));
        }
        let layout = &buffers.layout;
        let mut to = buffers.host_address(buffers.pinned.element).cast::<u64>();
        for (&table, &length) in fill.element.iter().zip(&lengths) {
            // SAFETY: the caller's promise; pinned memory for all three lengths, which nobody reads now (`wait`).
            unsafe {
                std::ptr::copy_nonoverlapping(table, to, length as usize);
                to = to.add(length as usize);
            }
        }
        buffers.up(buffers.pinned.element, layout.element, 8 * indices)?;
        buffers.up(buffers.pinned.input, layout.input, fill.input_bytes)?;
        if fill.first_part != 0 {
            // As order-preserving bits, the smallest begins at the largest of all.
            buffers.set(layout.counters, 0, layout.counters.bytes, 0)?;
            buffers.set(layout.counters, std::mem::offset_of!(Counters, range) as u64, 4, 0xff)?;
        }
        launch_fill(buffers, fill, self.stream())?;
        self.filled = (fill.grid, fill.outside);
        Ok(())
    }

    /// The windows through the network, and what they come to.
    ///
    /// # Safety
    /// The lists of starts are as long as `run` says.
    pub unsafe fn run(&mut self, run: &Run, poll: &Poll, outcome: &mut Outcome) -> Result<()> {
        let buffers = self.buffers()?;
        let (grid, outside) = self.filled;
        let counts = run.count.map(|n| u64::try_from(n).unwrap_or(0));
        let (windows, starts) = (counts.iter().product::<u64>(), counts.iter().sum::<u64>());
        let inside = (0..3).all(|axis| 0 <= run.first[axis] && run.first[axis] < run.last[axis] && run.last[axis] <= grid[axis]);
        if windows == 0 || windows > buffers.size.windows || starts > buffers.size.starts || !inside {
            return Err(defect("more windows than prepared for"));
        }
        // SAFETY: the caller's promise; nobody reads the pinned lists now: `wait` came before the fill.
        unsafe { write_starts(run, buffers) };
        let (layout, pinned) = (&buffers.layout, &buffers.pinned);
        buffers.up(pinned.starts, layout.starts, 4 * starts)?;
        buffers.up(pinned.windows, layout.windows, 12 * windows)?;

        let stream = self.device.cuda_stream();
        let chunks = buffers.chunks.len().min(layout.chunks(windows) as usize);
        let done = Cell::new(0);
        let finished = |enqueued: usize| -> Result<f64> {
            while done.get() < enqueued && buffers.chunks[done.get()].try_is_complete().doing("the GPU's work")? {
                done.set(done.get() + 1);
            }
            Ok((done.get() as u64 * layout.chunk).min(windows) as f64 / windows as f64)
        };
        for (number, event) in buffers.chunks[..chunks].iter().enumerate() {
            ask(poll, finished(number)?)?;
            if let Some(before) = number.checked_sub(AHEAD) {
                Self::until(&buffers.chunks[before], poll, || finished(number))?;
            }
            let first = number as u64 * layout.chunk;
            let chunk = Chunk { first, windows: layout.chunk.min(windows - first), grid, outside };
            enqueue(&self.network, &self.weights, buffers, chunk, self.stream())?;
            combine(&self.network, buffers, chunk, run.count, self.stream())?;
            event.record(&stream).doing("an event")?;
        }
        winners(&self.network, buffers, run, grid, self.stream())?;
        let plane = grid[1] as u64 * grid[2] as u64;
        let (begin, end) = (run.first[0] as u64 * plane, run.last[0] as u64 * plane);
        buffers.down(layout.channels, pinned.channels, begin, end)?;
        buffers.down(layout.confidence, pinned.confidence, 4 * begin, 4 * end)?;
        buffers.down(layout.counters, pinned.counters, 0, layout.counters.bytes)?;
        buffers.done.record(&stream).doing("an event")?;
        Self::until(&buffers.done, poll, || finished(chunks))?;

        // SAFETY: pinned memory for the counters, aligned as every place, which the device has written.
        let counters = unsafe { buffers.host_address(pinned.counters).cast::<Counters>().read() };
        if counters.invalid != 0 {
            let text = "the network's output is not a number: its values outgrow the precision; these weights are unusable, or need f32";
            return Err(Failure::new(INVALID_MODEL, text));
        }
        let [min, max] = counters.range.map(|bits| spinect_fill_range_value(bits));
        *outcome = Outcome { saturated: counters.saturated, min, max };
        Ok(())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Memory goes back behind what is under way; a GPU that failed says so again, which nobody needs to hear.
        let _bound = Bound::to(&self.context());
        let _ = self.device.cuda_stream().synchronize();
        self.buffers = None;
    }
}

/// A fill of one voxel.
const NOTHING: Fill = Fill {
    voxel_type: 0,
    first_part: 1,
    input_bytes: 0,
    element: [std::ptr::null(); 3],
    grid: [1; 3],
    first: [0; 3],
    last: [1; 3],
    slope: 1.0,
    intercept: 0.0,
    clip_low: 0.0,
    clip_high: 1.0,
    mean: 0.0,
    deviation: 1.0,
    outside: 0.0,
};

fn launch_fill(buffers: &Buffers, fill: &Fill, stream: Stream) -> Result<()> {
    let layout = &buffers.layout;
    let element = buffers.address(layout.element) as *const u64;
    let [d, h, _] = fill.grid.map(|n| n as usize);
    let counters = buffers.address(layout.counters);
    let arguments = launch::Fill {
        voxel_type: fill.voxel_type,
        voxels: buffers.address(layout.input) as *const c_void,
        element: [element, element.wrapping_add(d), element.wrapping_add(d + h)],
        grid: fill.grid.into(),
        first: fill.first.into(),
        last: fill.last.into(),
        slope: fill.slope,
        intercept: fill.intercept,
        clip_low: fill.clip_low,
        clip_high: fill.clip_high,
        mean: fill.mean,
        deviation: fill.deviation,
        whitened: buffers.address(layout.whitened) as *mut f32,
        saturated: (counters + std::mem::offset_of!(Counters, saturated) as u64) as *mut u64,
        range: (counters + std::mem::offset_of!(Counters, range) as u64) as *mut u32,
    };
    // SAFETY: places on the device for a grid of this size; the tables hold places of voxels within the input, as the other
    // side of the seam promises.
    launched("the model grid", unsafe { spinect_fill(&arguments, stream) })
}

fn combine(network: &Network, buffers: &Buffers, chunk: Chunk, count: [i32; 3], stream: Stream) -> Result<()> {
    let layout = &buffers.layout;
    let starts = buffers.address(layout.starts) as *const i32;
    let [d, h, _] = count.map(|n| n as usize);
    let arguments = launch::Combine {
        probabilities: buffers.address(layout.probabilities) as *const f32,
        first_window: chunk.first as i32,
        windows: chunk.windows as i32,
        classes: network.classes,
        window: network.window.into(),
        grid: chunk.grid.into(),
        starts: [starts, starts.wrapping_add(d), starts.wrapping_add(d + h)],
        count,
        sums: buffers.address(layout.sums) as *mut f32,
    };
    // SAFETY: places on the device for a grid and a chunk of this size.
    launched("the sum of the windows", unsafe { spinect_combine(&arguments, stream) })
}

fn winners(network: &Network, buffers: &Buffers, run: &Run, grid: [i32; 3], stream: Stream) -> Result<()> {
    let layout = &buffers.layout;
    let arguments = launch::Winners {
        sums: buffers.address(layout.sums) as *const f32,
        classes: network.classes,
        grid: grid.into(),
        first: run.first.into(),
        last: run.last.into(),
        channels: buffers.address(layout.channels) as *mut u8,
        confidence: buffers.address(layout.confidence) as *mut f32,
        invalid: (buffers.address(layout.counters) + std::mem::offset_of!(Counters, invalid) as u64) as *mut u32,
    };
    // SAFETY: places on the device for a grid of this size.
    launched("the winners", unsafe { spinect_winners(&arguments, stream) })
}

/// Writes starts along the axes, and the start of every window, to pinned memory.
///
/// # Safety
/// The lists are as long as `run` says; pinned memory has room for all and nobody reads it.
unsafe fn write_starts(run: &Run, buffers: &Buffers) {
    let address = |place: Place| buffers.host_address(place).cast::<i32>();
    let (mut along, mut every) = (address(buffers.pinned.starts), address(buffers.pinned.windows));
    // SAFETY: the caller's promise.
    unsafe {
        let [d, h, w] = [0, 1, 2].map(|axis: usize| std::slice::from_raw_parts(run.starts[axis], run.count[axis] as usize));
        for &start in d.iter().chain(h).chain(w) {
            along.write(start);
            along = along.add(1);
        }
        for (&d, &h, &w) in d.iter().flat_map(|d| h.iter().flat_map(move |h| w.iter().map(move |w| (d, h, w)))) {
            every.cast::<[i32; 3]>().write([d, h, w]);
            every = every.add(3);
        }
    }
}
