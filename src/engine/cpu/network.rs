//! One window through the network: the plan's steps over one worker's arena.

use super::executor::Executor;
use super::kernels::{Block, PackedConvolution, PackedHead, PackedUpsample, Source, Window, convolve, head, max_pool, stem, upsample};
use crate::engine::plan::{Place, Plan, Step};
use crate::error::{Error, ErrorKind, Result, try_vec};
use crate::pipeline::grid::Grid;

/// A layer's weights, packed for the kernel that reads them.
#[derive(Debug)]
enum Packed {
    Convolution(PackedConvolution),
    Upsample(PackedUpsample),
    Head(PackedHead),
}

/// A plan with its weights packed: shared by every worker, read only.
#[derive(Debug)]
pub struct Network {
    /// Voxels of the window, D, H, W.
    pub window: [usize; 3],
    /// Output channels.
    pub classes: usize,
    steps: Vec<(Step, Option<Packed>)>,
    arena: usize,
}

/// The memory of one worker.
#[derive(Debug)]
pub struct Workspace {
    arena: Vec<Block>,
    /// The window, with a border of zeros.
    window: Vec<f32>,
}

impl Network {
    /// Packs a plan's weights for the kernels.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidModel`] if a layer has another shape than the plan; [`ErrorKind::OutOfMemory`].
    pub fn new(plan: Plan) -> Result<Network> {
        let Plan { window, classes, steps: planned, mut layers, arena } = plan;
        let mut steps = Vec::with_capacity(planned.len());
        // Each layer's weights are dropped as soon as they are packed.
        let mut take = |layer: usize| layers.get_mut(layer).map(std::mem::take).ok_or_else(defect);
        for step in &planned {
            let packed = match *step {
                Step::Stem { output, layer } => Some(Packed::Convolution(PackedConvolution::new(&take(layer)?, [1, 0], output.channels)?)),
                Step::Convolution { input, second, output, layer } => {
                    let inputs = [input.channels, second.map_or(0, |place| place.channels)];
                    Some(Packed::Convolution(PackedConvolution::new(&take(layer)?, inputs, output.channels)?))
                }
                Step::MaxPool { .. } => None,
                Step::Upsample { input, output, layer } => {
                    Some(Packed::Upsample(PackedUpsample::new(&take(layer)?, input.channels, output.channels)?))
                }
                Step::Head { input, layer } => Some(Packed::Head(PackedHead::new(&take(layer)?, input.channels, classes)?)),
            };
            steps.push((*step, packed));
        }
        Ok(Network { window, classes, steps, arena })
    }

    /// Bytes of a plan's packed weights.
    pub fn weight_bytes(plan: &Plan) -> usize {
        plan.steps
            .iter()
            .map(|step| match *step {
                Step::Stem { output, .. } => PackedConvolution::bytes(1, output.channels),
                Step::Convolution { input, second, output, .. } => {
                    PackedConvolution::bytes(input.channels + second.map_or(0, |place| place.channels), output.channels)
                }
                Step::MaxPool { .. } => 0,
                Step::Upsample { input, output, .. } => PackedUpsample::bytes(input.channels, output.channels),
                Step::Head { input, .. } => PackedHead::bytes(input.channels, plan.classes),
            })
            .sum()
    }

    /// Numbers of a window's probabilities: \[D\]\[class\]\[H\]\[W\].
    pub fn probability_count(&self) -> usize {
        self.classes * self.window.iter().product::<usize>()
    }

    /// Takes one window (from `start`, D, H, W, of the grid) through the network to its probabilities, \[D\]\[class\]\[H\]\[W\].
    ///
    /// # Errors
    /// Whatever the executor's `check` returns; it is asked a few hundred times.
    pub fn forward(
        &self,
        executor: &Executor<'_>,
        grid: &Grid,
        start: [usize; 3],
        work: &mut Workspace,
        probabilities: &mut [f32],
    ) -> Result<()> {
        work.extract(grid, start, self.window);
        let Workspace { arena, window } = work;
        for (step, packed) in &self.steps {
            match (step, packed) {
                (Step::Stem { output, .. }, Some(Packed::Convolution(weights))) => {
                    let [to] = parts(arena, [output])?;
                    let window = Window { voxels: window, shape: self.window };
                    stem(executor, window, weights, to, output)?;
                }
                (Step::Convolution { input, second: None, output, .. }, Some(Packed::Convolution(weights))) => {
                    let [to, from] = parts(arena, [output, input])?;
                    let sources = [Some(Source { blocks: from, place: *input }), None];
                    convolve(executor, sources, weights, to, output)?;
                }
                (Step::Convolution { input, second: Some(second), output, .. }, Some(Packed::Convolution(weights))) => {
                    let [to, skip, below] = parts(arena, [output, input, second])?;
                    let sources = [Some(Source { blocks: skip, place: *input }), Some(Source { blocks: below, place: *second })];
                    convolve(executor, sources, weights, to, output)?;
                }
                (Step::MaxPool { input, output }, None) => {
                    let [to, from] = parts(arena, [output, input])?;
                    max_pool(executor, from, input, to, output)?;
                }
                (Step::Upsample { input, output, .. }, Some(Packed::Upsample(weights))) => {
                    let [to, from] = parts(arena, [output, input])?;
                    upsample(executor, from, input, weights, to, output)?;
                }
                (Step::Head { input, .. }, Some(Packed::Head(weights))) => {
                    let [from] = parts(arena, [input])?;
                    head(executor, from, input, weights, probabilities)?;
                }
                _ => return Err(defect()),
            }
        }
        Ok(())
    }
}

/// The places of a step, as slices of the arena that do not overlap.
fn parts<'a, const N: usize>(arena: &'a mut [Block], places: [&Place; N]) -> Result<[&'a mut [Block]; N]> {
    arena.get_disjoint_mut(places.map(Place::range)).map_err(|_| defect())
}

fn defect() -> Error {
    Error::new(ErrorKind::Panic, "the network's plan contradicts itself: a defect of this library, please report it")
}

impl Workspace {
    /// The memory that one worker needs for a network.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`].
    pub fn new(network: &Network) -> Result<Workspace> {
        let bordered = network.window.map(|n| n + 2).iter().product();
        Ok(Workspace {
            arena: try_vec(Block::default(), network.arena, "a worker's feature maps")?,
            window: try_vec(0.0, bordered, "a worker's window")?,
        })
    }

    /// Bytes of the memory that one worker needs for a plan.
    pub fn bytes(plan: &Plan) -> usize {
        let bordered: usize = plan.window.map(|n| n + 2).iter().product();
        plan.arena * size_of::<Block>() + bordered * size_of::<f32>()
    }

    /// Copies a window out of the grid. Beyond the grid stands its `outside`; the border stays 0.
    fn extract(&mut self, grid: &Grid, start: [usize; 3], size: [usize; 3]) {
        let [_, h, w] = size.map(|n| n + 2);
        let inside: [usize; 3] = std::array::from_fn(|axis| size[axis].min(grid.dims[axis] - start[axis]));
        for depth in 0..size[0] {
            for row in 0..size[1] {
                let to = ((depth + 1) * h + row + 1) * w + 1;
                let target = &mut self.window[to..to + size[2]];
                if depth < inside[0] && row < inside[1] {
                    let from = ((start[0] + depth) * grid.dims[1] + start[1] + row) * grid.dims[2] + start[2];
                    let (copied, beyond) = target.split_at_mut(inside[2]);
                    copied.copy_from_slice(&grid.voxels[from..from + inside[2]]);
                    beyond.fill(grid.outside);
                } else {
                    target.fill(grid.outside);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use safetensors::SafeTensors;

    use super::super::kernels::Kernels;
    use super::*;
    use crate::model::Model;
    use crate::threads::Pool;

    fn golden() -> Option<PathBuf> {
        let folder =
            std::env::var_os("SPINECT_SHARED").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
        let golden = folder.join("golden");
        if !golden.is_dir() {
            eprintln!("SKIPPED: the shared data folder is not there ({}); set SPINECT_SHARED", folder.display());
            return None;
        }
        Some(golden)
    }

    #[test]
    fn every_instruction_set_gives_the_golden_probabilities_within_1e_5() {
        let Some(golden) = golden() else { return };
        let model = Model::from_file(&golden.join("tiny.safetensors")).unwrap();
        let file = std::fs::read(golden.join("patch.safetensors")).unwrap();
        let patch = SafeTensors::deserialize(&file).unwrap();
        let values = |name: &str| -> Vec<f32> {
            patch.tensor(name).unwrap().data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        };
        let grid = Grid { dims: [32, 64, 64], voxels: values("input"), outside: 0.0 };
        let expected = values("probabilities");
        let network = Network::new(Plan::new(&model).unwrap()).unwrap();
        let pool = Pool::new(2, None).unwrap();
        for (kernels, pool) in Kernels::available().flat_map(|kernels| [(kernels, None), (kernels, Some(&pool))]) {
            let mut probabilities = vec![0.0; network.probability_count()];
            let executor = Executor { kernels, pool, check: &|| Ok(()) };
            network.forward(&executor, &grid, [0; 3], &mut Workspace::new(&network).unwrap(), &mut probabilities).unwrap();
            // The golden file is [class][D][H][W].
            let golden = |at: usize| expected[(at / 4096 % 3 * 32 + at / (3 * 4096)) * 4096 + at % 4096];
            let worst = (0..probabilities.len()).map(|at| (probabilities[at] - golden(at)).abs()).fold(0.0, f32::max);
            println!("{}: largest difference {worst:.1e}", kernels.name);
            assert!(worst <= 1e-5, "{}: {worst}", kernels.name);
        }
    }
}
