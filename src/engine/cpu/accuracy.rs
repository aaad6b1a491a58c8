//! What fewer multiplications cost: the final probabilities of the paper's network beside those of direct convolutions.

use super::CpuEngine;
use super::executor::Executor;
use super::kernels::Kernels;
use super::method::Method;
use super::network::{Network, Workspace};
use crate::engine::plan::Plan;
use crate::io::{ReadOptions, read_image};
use crate::model::{Config, Model};
use crate::pipeline::grid::{Grid, GridMap};
use crate::testing::shared_data;
use crate::threads::Pool;

/// The largest difference that the choice of a method may make.
const TOLERANCE: f32 = 1e-4;

fn preset(seed: u64) -> Model {
    Model::untrained(Config::spinect(&[32, 64, 128, 256, 512]), seed).unwrap()
}

/// The probabilities of the window at `start`.
fn probabilities(network: &Network, kernels: &'static Kernels, grid: &Grid, start: [usize; 3]) -> Vec<f32> {
    let pool = Pool::new(2, None).unwrap();
    let scratch = [network.scratch().unwrap(), network.scratch().unwrap()];
    let executor = Executor { kernels, pool: Some(&pool), scratch: &scratch, check: &|| Ok(()), observe: None };
    let (mut work, mut result) = (Workspace::new(network).unwrap(), vec![0.0; network.probability_count()]);
    network.encode(&executor, grid, &[start], &mut work).unwrap();
    network.decode(&executor, 0, &mut work, &mut result).unwrap();
    result
}

/// The largest difference, after a look at whether there is anything to differ in.
fn largest_difference(values: &[f32], direct: &[f32]) -> f32 {
    let undecided = direct.iter().filter(|&&p| (0.01..0.99).contains(&p)).count();
    assert!(undecided * 10 > direct.len(), "the softmax is saturated: {undecided} of {} probabilities could differ", direct.len());
    values.iter().zip(direct).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Compares every set of kernels that is fast enough for this with direct convolutions, at some windows of a grid.
fn compare(model: &Model, grid: &Grid, starts: &[[usize; 3]], what: &str) {
    let plan = || Plan::new(model, CpuEngine::GROUPING).unwrap();
    let (fast, direct) = (Network::new(plan()).unwrap(), Network::with_method(plan(), |_, _, _| Method::Direct).unwrap());
    for &start in starts {
        let expected = probabilities(&direct, Kernels::best(), grid, start);
        for kernels in Kernels::available().filter(|kernels| kernels.name != "portable") {
            let difference = largest_difference(&probabilities(&fast, kernels, grid, start), &expected);
            println!("{what}, window at {start:?}, {}: largest difference to direct convolutions {difference:.1e}", kernels.name);
            assert!(difference <= TOLERANCE, "{what} {start:?} {}: {difference}", kernels.name);
        }
    }
}

#[test]
fn on_random_weights_of_ten_seeds_probabilities_stay_within_1e_4_of_direct_convolutions() {
    for seed in 0..10 {
        let model = preset(seed);
        let size = model.config().window.size;
        let voxels = super::kernels::testing::noise(size.iter().product(), seed + 100);
        compare(&model, &Grid { dims: size, voxels, outside: 0.0 }, &[[0; 3]], &format!("seed {seed}"));
    }
}

#[test]
fn on_a_real_ct_probabilities_stay_within_1e_4_of_direct_convolutions() {
    let Some(path) = shared_data("data/ct-abdomen-pelvis-3mm.nii.gz") else { return };
    let image = read_image(&path, &ReadOptions::default()).unwrap();
    let (volume, model) = (image.view(), preset(0));
    let preprocess = &model.config().preprocess;
    let (mut map, mut grid) = (GridMap::default(), Grid::default());
    map.set(volume.geometry(), preprocess.spacing_mm).unwrap();
    grid.fill(&volume, &map, preprocess, &map.dims.map(|n| 0..n), &Pool::new(2, None).unwrap()).unwrap();
    // Through spine and pelvis, and the corner of air.
    let middle: [usize; 3] = std::array::from_fn(|axis| (grid.dims[axis] - model.config().window.size[axis]) / 2);
    let starts = [[0; 3], [0, middle[1], middle[2]], middle, [middle[0] * 2, middle[1], middle[2]], [middle[0], middle[1] + 40, middle[2]]];
    compare(&model, &grid, &starts, "real CT");
}
