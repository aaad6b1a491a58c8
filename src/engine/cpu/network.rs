//! A group of windows through the network: the plan's steps over one worker's arena.

use std::ops::Range;
use std::sync::Mutex;
use std::time::Instant;

use super::convolution::Convolution;
use super::executor::{Executor, Scratch};
use super::kernels::{Block, PackedConvolution, PackedHead, PackedUpsample, Source, Window, head, max_pool, stem, upsample};
use super::method::Method;
use crate::engine::plan::{Place, Plan, Step};
use crate::error::{Error, ErrorKind, Result, try_vec};
use crate::pipeline::grid::Grid;

/// A step of the plan with its weights, packed for the kernel that reads them.
#[derive(Debug)]
enum Stage {
    Stem { output: Place, pooled: Option<Place>, weights: PackedConvolution },
    Convolution { input: Place, second: Option<Place>, output: Place, pooled: Option<Place>, weights: Convolution },
    Upsample { input: Place, output: Place, weights: PackedUpsample },
    Head { input: Place, weights: PackedHead },
}

/// A plan with its weights packed: shared by every worker, read only.
#[derive(Debug)]
pub struct Network {
    /// Voxels of the window, D, H, W.
    pub window: [usize; 3],
    /// Output channels.
    pub classes: usize,
    /// Windows of a group, at most.
    pub group: usize,
    stages: Vec<Stage>,
    /// The stages that take all windows of a group together.
    deep: Range<usize>,
    arena: usize,
    scratch: usize,
}

/// Channels of a convolution's sources.
fn channels(input: Place, second: Option<Place>) -> [usize; 2] {
    [input.channels, second.map_or(0, |place| place.channels)]
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
        Self::with_method(plan, Method::fastest)
    }

    /// As [`new`](Self::new), with a choice of one's own of how each convolution is computed: directly, for comparison.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_method(plan: Plan, method: impl Fn([usize; 3], [usize; 2], usize) -> Method) -> Result<Network> {
        let scratch = Self::scratch_blocks(&plan);
        let Plan { window, classes, group, steps, deep, mut layers, arena } = plan;
        let mut stages = Vec::with_capacity(steps.len());
        // Each layer's weights are dropped as soon as they are packed.
        let mut take = |layer: usize| layers.get_mut(layer).map(std::mem::take).ok_or_else(defect);
        for step in steps {
            let stage = match step {
                Step::Stem { output, pooled, layer } => {
                    Stage::Stem { output, pooled, weights: PackedConvolution::new(&take(layer)?, [1, 0], output.channels)? }
                }
                Step::Convolution { input, second, output, pooled, layer } => {
                    let inputs = channels(input, second);
                    let weights = Convolution::new(&take(layer)?, method(output.shape, inputs, output.channels), inputs, output.channels)?;
                    Stage::Convolution { input, second, output, pooled, weights }
                }
                Step::Upsample { input, output, layer } => {
                    Stage::Upsample { input, output, weights: PackedUpsample::new(&take(layer)?, input.channels, output.channels)? }
                }
                Step::Head { input, layer } => Stage::Head { input, weights: PackedHead::new(&take(layer)?, input.channels, classes)? },
            };
            stages.push(stage);
        }
        Ok(Network { window, classes, group, stages, deep, arena, scratch })
    }

    /// Bytes of a plan's packed weights.
    pub fn weight_bytes(plan: &Plan) -> usize {
        plan.steps
            .iter()
            .map(|step| match *step {
                Step::Stem { output, .. } => PackedConvolution::bytes(1, output.channels),
                Step::Convolution { input, second, output, .. } => {
                    Convolution::bytes(output.shape, channels(input, second), output.channels)
                }
                Step::Upsample { input, output, .. } => PackedUpsample::bytes(input.channels, output.channels),
                Step::Head { input, .. } => PackedHead::bytes(input.channels, plan.classes),
            })
            .sum()
    }

    /// Blocks of scratch memory that a thread needs for a plan.
    fn scratch_blocks(plan: &Plan) -> usize {
        let blocks = plan.steps.iter().map(|step| match *step {
            Step::Convolution { input, second, output, .. } => {
                Convolution::scratch_blocks(output.shape, channels(input, second), output.channels)
            }
            _ => 0,
        });
        blocks.max().unwrap_or(0)
    }

    /// The scratch memory of one thread.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`].
    pub fn scratch(&self) -> Result<Scratch> {
        Ok(Mutex::new(try_vec(Block::default(), self.scratch, "a thread's scratch memory")?).into())
    }

    /// Numbers of a window's probabilities: \[D\]\[class\]\[H\]\[W\].
    pub fn probability_count(&self) -> usize {
        self.classes * self.window.iter().product::<usize>()
    }

    /// Takes a group of windows (from `starts`, D, H, W, of the grid) through the encoder, and through those levels of the
    /// decoder that take a group together.
    ///
    /// # Errors
    /// Whatever the executor's `check` returns; it is asked a few hundred times.
    ///
    /// # Panics
    /// If there are more windows than in a group.
    pub fn encode(&self, executor: &Executor<'_>, grid: &Grid, starts: &[[usize; 3]], work: &mut Workspace) -> Result<()> {
        assert!(starts.len() <= self.group, "a group of windows");
        for (window, &start) in starts.iter().enumerate() {
            work.extract(grid, start, self.window);
            for stage in 0..self.deep.start {
                self.run(executor, stage, window..window + 1, work, &mut [])?;
            }
        }
        for stage in self.deep.clone() {
            self.run(executor, stage, 0..starts.len(), work, &mut [])?;
        }
        Ok(())
    }

    /// Takes one window of the group that was encoded last on to its probabilities, \[D\]\[class\]\[H\]\[W\].
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn decode(&self, executor: &Executor<'_>, window: usize, work: &mut Workspace, probabilities: &mut [f32]) -> Result<()> {
        for stage in self.deep.end..self.stages.len() {
            self.run(executor, stage, window..window + 1, work, probabilities)?;
        }
        Ok(())
    }

    /// One stage for some windows of the group.
    fn run(
        &self,
        executor: &Executor<'_>,
        stage: usize,
        windows: Range<usize>,
        work: &mut Workspace,
        probabilities: &mut [f32],
    ) -> Result<()> {
        let started = executor.observe.map(|_| Instant::now());
        self.stages[stage].run(self.window, executor, windows, work, probabilities)?;
        if let (Some(observe), Some(started)) = (executor.observe, started) {
            observe(stage, started.elapsed());
        }
        Ok(())
    }

    /// What each stage is, for benchmarks: its name and the multiplications that the plain formula takes per window.
    pub fn describe(&self) -> impl Iterator<Item = (String, usize)> + '_ {
        self.stages.iter().map(Stage::describe)
    }
}

impl Stage {
    fn describe(&self) -> (String, usize) {
        let shape = |place: &Place| place.shape.map(|n| n.to_string()).join("×");
        let voxels = |place: &Place| place.shape.iter().product::<usize>();
        match self {
            Stage::Stem { output, .. } => {
                (format!("1 → {} at {}, direct", output.channels, shape(output)), 27 * output.channels * voxels(output))
            }
            Stage::Convolution { input, second, output, weights, .. } => {
                let inputs = channels(*input, *second);
                let from = if inputs[1] > 0 { format!("{} + {}", inputs[0], inputs[1]) } else { inputs[0].to_string() };
                let products = 27 * (inputs[0] + inputs[1]) * output.channels * voxels(output);
                (format!("{from} → {} at {}, {}", output.channels, shape(output), weights.method()), products)
            }
            Stage::Upsample { input, output, .. } => {
                let name = format!("{} → {} up to {}", input.channels, output.channels, shape(output));
                (name, input.channels * output.channels * voxels(output))
            }
            Stage::Head { input, weights } => {
                (format!("head and softmax at {}", shape(input)), input.channels * weights.classes() * voxels(input))
            }
        }
    }

    fn run(
        &self,
        size: [usize; 3],
        executor: &Executor<'_>,
        windows: Range<usize>,
        work: &mut Workspace,
        probabilities: &mut [f32],
    ) -> Result<()> {
        let Workspace { arena, window } = work;
        match self {
            Stage::Stem { output, pooled, weights } => {
                let [to, maxima] = parts(arena, &windows, [Some(output), pooled.as_ref()])?;
                stem(executor, Window { voxels: window, shape: size }, weights, to, output)?;
                pooled.as_ref().map_or(Ok(()), |pooled| max_pool(executor, to, output, maxima, pooled))
            }
            Stage::Convolution { input, second, output, pooled, weights } => {
                let places = [Some(output), pooled.as_ref(), Some(input), second.as_ref()];
                let [to, maxima, from, below] = parts(arena, &windows, places)?;
                let sources = [Some(Source { blocks: from, place: *input }), second.map(|place| Source { blocks: below, place })];
                weights.convolve(executor, sources, to, output, pooled.as_ref().map(|place| (maxima, place)))
            }
            Stage::Upsample { input, output, weights } => {
                let [to, from] = parts(arena, &windows, [Some(output), Some(input)])?;
                upsample(executor, from, input, weights, to, output)
            }
            Stage::Head { input, weights } => {
                let [from] = parts(arena, &windows, [Some(input)])?;
                head(executor, from, input, weights, probabilities)
            }
        }
    }
}

/// The places of a step for some windows, as slices of the arena that do not overlap; empty where there is no place.
fn parts<'a, const N: usize>(arena: &'a mut [Block], windows: &Range<usize>, places: [Option<&Place>; N]) -> Result<[&'a mut [Block]; N]> {
    arena.get_disjoint_mut(places.map(|place| place.map_or(0..0, |place| place.range_of(windows)))).map_err(|_| defect())
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

    /// Bytes of the memory that one worker needs for a plan, its scratch memory included.
    pub fn bytes(plan: &Plan) -> usize {
        let bordered: usize = plan.window.map(|n| n + 2).iter().product();
        (plan.arena + Network::scratch_blocks(plan)) * size_of::<Block>() + bordered * size_of::<f32>()
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
    use safetensors::SafeTensors;

    use super::super::CpuEngine;
    use super::super::kernels::Kernels;
    use super::super::kernels::testing::noise;
    use super::*;
    use crate::model::{Config, Model};
    use crate::testing::shared_data;
    use crate::threads::Pool;

    #[test]
    fn every_instruction_set_gives_the_golden_probabilities_within_1e_4_and_directly_within_1e_5() {
        let Some(golden) = shared_data("golden") else { return };
        let model = Model::from_file(&golden.join("tiny.safetensors")).unwrap();
        let file = std::fs::read(golden.join("patch.safetensors")).unwrap();
        let patch = SafeTensors::deserialize(&file).unwrap();
        let values = |name: &str| -> Vec<f32> {
            patch.tensor(name).unwrap().data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        };
        let grid = Grid { dims: [32, 64, 64], voxels: values("input"), outside: 0.0 };
        let expected = values("probabilities");
        let plan = || Plan::new(&model, CpuEngine::GROUPING).unwrap();
        let networks = [
            ("as chosen", Network::new(plan()).unwrap(), 1e-4),
            ("direct", Network::with_method(plan(), |_, _, _| Method::Direct).unwrap(), 1e-5),
        ];
        let pool = Pool::new(2, None).unwrap();
        let ways = Kernels::available().flat_map(|kernels| [(kernels, None), (kernels, Some(&pool))]);
        for ((kernels, pool), (method, network, tolerance)) in ways.flat_map(|way| networks.iter().map(move |network| (way, network))) {
            let mut probabilities = vec![0.0; network.probability_count()];
            let scratch = [network.scratch().unwrap(), network.scratch().unwrap()];
            let executor = Executor { kernels, pool, scratch: &scratch, check: &|| Ok(()), observe: None };
            let mut work = Workspace::new(network).unwrap();
            network.encode(&executor, &grid, &[[0; 3]], &mut work).unwrap();
            network.decode(&executor, 0, &mut work, &mut probabilities).unwrap();
            // The golden file is [class][D][H][W].
            let golden = |at: usize| expected[(at / 4096 % 3 * 32 + at / (3 * 4096)) * 4096 + at % 4096];
            let worst = (0..probabilities.len()).map(|at| (probabilities[at] - golden(at)).abs()).fold(0.0, f32::max);
            println!("{}, {method}: largest difference {worst:.1e}", kernels.name);
            assert!(worst <= *tolerance, "{}, {method}: {worst}", kernels.name);
        }
    }

    #[test]
    fn a_group_of_windows_gives_the_bits_of_each_alone() {
        let mut config = Config::spinect(&[4, 20, 33]);
        config.window.size = [16, 32, 32];
        config.window.stride = [10, 20, 20];
        let network = Network::new(Plan::new(&Model::untrained(config, 1).unwrap(), CpuEngine::GROUPING).unwrap()).unwrap();
        assert!(network.group > 2 && !network.deep.is_empty());
        let grid = Grid { dims: [16, 32, 72], voxels: noise(16 * 32 * 72, 5), outside: 0.0 };
        let starts = [[0, 0, 0], [0, 0, 20], [0, 0, 40]];
        for kernels in Kernels::available() {
            let scratch = [network.scratch().unwrap()];
            let executor = Executor { kernels, pool: None, scratch: &scratch, check: &|| Ok(()), observe: None };
            let mut work = Workspace::new(&network).unwrap();
            let mut decode = |starts: &[[usize; 3]]| -> Vec<Vec<f32>> {
                network.encode(&executor, &grid, starts, &mut work).unwrap();
                let mut one = |window| {
                    let mut probabilities = vec![0.0; network.probability_count()];
                    network.decode(&executor, window, &mut work, &mut probabilities).unwrap();
                    probabilities
                };
                (0..starts.len()).map(&mut one).collect()
            };
            let together = decode(&starts);
            assert_ne!(together[0], together[1]);
            assert_eq!(together, starts.map(|start| decode(&[start]).remove(0)), "{}", kernels.name);
        }
    }
}
