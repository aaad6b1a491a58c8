//! Which engine a session has: chosen once, when the session is made.

use super::cpu::CpuEngine;
use super::cpu::kernels::Kernels;
use super::cuda::{CudaEngine, Gpu};
use super::plan::Plan;
use super::{Device, Engine, Memory, Precision};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Model;

/// An engine before it has a model.
#[derive(Clone, Debug)]
pub enum Backend {
    /// The CPU, and why CUDA does not work if it was to be tried.
    Cpu(Option<Error>),
    /// A GPU that works.
    Cuda(Gpu),
}

impl Backend {
    /// The engine for what is asked. [`Device::Auto`] is CUDA where it works in this precision, else the CPU.
    ///
    /// # Errors
    /// Those of [`Gpu::probe`] for [`Device::Cuda`]; [`ErrorKind::Unsupported`] for a precision that the CPU has not.
    pub fn choose(device: Device, index: i32, precision: Precision) -> Result<Backend> {
        let instead = match device {
            Device::Cpu => None,
            Device::Cuda => return Gpu::probe(index, precision).map(Backend::Cuda),
            Device::Auto => match Gpu::probe(index, precision) {
                Ok(gpu) => return Ok(Backend::Cuda(gpu)),
                Err(error) => Some(error),
            },
        };
        if precision != Precision::F32 {
            let message =
                "the CPU engine computes in f32 only, which is faster there than a lower precision would be: ask for precision F32";
            let message = instead.map_or_else(|| message.into(), |error| format!("{message}; CUDA was tried first: {error}"));
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        Ok(Backend::Cpu(instead))
    }

    /// The device that it is on.
    pub fn device(&self) -> Device {
        match self {
            Backend::Cpu(_) => Device::Cpu,
            Backend::Cuda(_) => Device::Cuda,
        }
    }

    /// A model as it is carried out there.
    ///
    /// # Errors
    /// Those of [`Plan::new`].
    pub fn plan(&self, model: &Model) -> Result<Plan> {
        Plan::new(model, if self.device() == Device::Cuda { CudaEngine::GROUPING } else { CpuEngine::GROUPING })
    }

    /// The memory that a plan takes there.
    ///
    /// # Errors
    /// Those of [`CudaEngine::memory`].
    pub fn memory(&self, plan: &Plan, threads: usize) -> Result<Box<dyn Memory>> {
        Ok(match self {
            Backend::Cpu(_) => Box::new(CpuEngine::memory(plan, threads)),
            Backend::Cuda(gpu) => Box::new(CudaEngine::memory(plan, gpu)?),
        })
    }

    /// The engine with a model.
    ///
    /// # Errors
    /// Those of [`CpuEngine::new`] and [`CudaEngine::new`].
    pub fn engine(&self, plan: Plan, threads: usize) -> Result<Box<dyn Engine>> {
        Ok(match self {
            Backend::Cpu(_) => Box::new(CpuEngine::new(plan, threads, Kernels::best())?),
            Backend::Cuda(gpu) => Box::new(CudaEngine::new(&plan, gpu)?),
        })
    }
}
