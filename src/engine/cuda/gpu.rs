//! A GPU that works, and the memory that a network takes on it.

use std::ffi::CStr;

use super::library::Library;
use super::network::Network;
use super::table;
use crate::engine::{Memory, Precision, Size};
use crate::error::{Error, ErrorKind, Result};
use crate::threads::{BlockedSignals, with_enough_stack};

/// A GPU that has been seen to work.
#[derive(Clone, Debug)]
pub struct Gpu {
    /// The library of its engine.
    pub(super) library: &'static Library,
    /// Which of several.
    pub(super) index: i32,
    /// The precision in which it has been seen to work.
    pub precision: Precision,
    /// Bytes of its memory.
    pub memory: u64,
    /// What its maker calls it.
    pub name: String,
}

impl Gpu {
    /// Opens the library of the CUDA engine and does a little work on a GPU.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for bf16; [`ErrorKind::DeviceUnavailable`], with the reason, where there is no library, no
    /// driver, no such GPU, or none that can do it; what the GPU itself says.
    pub fn probe(index: i32, precision: Precision) -> Result<Gpu> {
        if precision == Precision::Bf16 {
            let message = "no bf16 on a GPU: f16 is as fast there and eight times as exact; ask for precision F16 or F32";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        with_enough_stack(move || {
            // Threads that the driver starts are no concern of the host's signals.
            let _signals = BlockedSignals::new();
            let library = Library::open()?;
            let mut gpu = table::Gpu { memory: 0, name: [0; 128] };
            library.call("no CUDA device", |table, message| {
                // SAFETY: room for the answer and for a message.
                unsafe { (table.probe)(index, precision as i32, &mut gpu, message) }
            })?;
            let name = gpu.name.map(|letter| letter as u8);
            let name = CStr::from_bytes_until_nul(&name).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            Ok(Gpu { library, index, precision, memory: gpu.memory, name })
        })
    }
}

/// Memory of the CUDA engine for one network.
#[derive(Clone, Debug)]
pub struct CudaMemory {
    gpu: Gpu,
    network: Network,
    /// Bytes of the folded weights.
    folded: u64,
}

/// Bytes that no buffer accounts for, as on the CPU: tables, strings and lists. What the driver takes for itself is its own.
const OVERHEAD: u64 = 4 << 20;
/// The most bytes of a voxel.
const WIDEST: usize = 8;

impl CudaMemory {
    /// The memory for a network whose weights take so many bytes.
    pub fn new(gpu: Gpu, network: Network, folded: u64) -> Self {
        CudaMemory { gpu, network, folded }
    }

    /// A size in the library's words. Half of the GPU's memory is enough for more windows together than make it faster.
    pub(super) fn size(&self, size: &Size) -> table::Size {
        let all = size.input.iter().product::<usize>().saturating_mul(size.voxel_bytes);
        table::Size {
            input_bytes: (all as u64).max(Self::least_input(size)),
            voxels: size.voxels() as u64,
            indices: size.grid.iter().sum::<usize>() as u64,
            starts: size.starts.iter().sum::<usize>() as u64,
            windows: size.windows() as u64,
            limit: self.gpu.memory / 2,
        }
    }

    /// The fewest bytes for a volume's voxels: one that has more comes in parts, of which the smallest is a plane.
    pub(super) fn least_input(size: &Size) -> u64 {
        let [i, j, k] = size.input;
        (i * j).max(j * k).max(i * k).saturating_mul(WIDEST) as u64
    }

    /// Bytes for a size, pinned on the host.
    fn pinned(&self, size: &table::Size) -> Result<u64> {
        let (model, mut host) = (self.network.model(), 0);
        self.gpu.library.call("memory for the GPU", |table, message| {
            // SAFETY: the network's lists live as long as `self`; room for a number and a message.
            unsafe { (table.estimate)(&model, size, &mut host, std::ptr::null_mut(), message) }
        })?;
        Ok(host)
    }

    /// Bytes for a size, on the device.
    ///
    /// # Errors
    /// What the library says.
    pub(super) fn on_device(&self, size: &table::Size) -> Result<u64> {
        let (model, mut device) = (self.network.model(), 0);
        self.gpu.library.call("memory on the GPU", |table, message| {
            // SAFETY: as above.
            unsafe { (table.estimate)(&model, size, std::ptr::null_mut(), &mut device, message) }
        })?;
        Ok(device)
    }
}

impl Memory for CudaMemory {
    fn host_bytes(&self, size: &Size) -> u64 {
        let size = self.size(size);
        let pinned = self.pinned(&size).unwrap_or(u64::MAX);
        // The places of voxels and the starts of windows before they are pinned.
        let lists = size.indices * size_of::<u64>() as u64 + size.starts * size_of::<i32>() as u64;
        pinned.saturating_add(lists + OVERHEAD).max(self.loading_bytes())
    }

    fn loading_bytes(&self) -> u64 {
        // The file and its tensors, the tensors and the plan, the plan and the packed weights: two at a time.
        2 * self.folded + OVERHEAD
    }

    fn device_bytes(&self, size: &Size) -> u64 {
        self.on_device(&self.size(size)).unwrap_or(u64::MAX)
    }
}
