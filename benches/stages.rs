//! Where a window's time goes: every stage of the preset network.
//!
//! ```sh
//! cargo bench --bench stages -- [THREADS] [--kernels avx512|avx2|portable]
//! ```
//!
//! Each thread takes groups of windows of its own through the network, as in a segmentation, and the threads are not in
//! step. What is printed is the first thread's, the median of the rounds, in milliseconds per window and thread. GFLOP/s
//! are those of the plain formula, two operations per multiplication; the peak is that of registers without memory.

mod common;

use std::cell::RefCell;
use std::sync::Mutex;
use std::time::Duration;

use spinect::Model;
use spinect::engine::cpu::CpuEngine;
use spinect::engine::cpu::executor::Executor;
use spinect::engine::cpu::kernels::Kernels;
use spinect::engine::cpu::network::{Network, Workspace};
use spinect::engine::plan::Plan;
use spinect::model::Config;
use spinect::pipeline::grid::Grid;

const ROUNDS: usize = 7;

/// Median seconds of each stage per window, on the first of several threads that all do the same.
fn measure(network: &Network, kernels: &'static Kernels, threads: usize) -> Vec<f64> {
    let result = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let result = &result;
            scope.spawn(move || {
                std::thread::sleep(Duration::from_millis(97 * thread as u64));
                let rounds = rounds(network, kernels);
                if thread == 0 {
                    *result.lock().expect("no panic") = (0..rounds[0].len()).map(|stage| median(&rounds[1..], stage)).collect();
                }
            });
        }
    });
    result.into_inner().expect("no panic")
}

/// Seconds of each stage per window, round after round.
fn rounds(network: &Network, kernels: &'static Kernels) -> Vec<Vec<f64>> {
    let voxels = (0..network.window.iter().product()).map(|i: usize| (i * 7919 % 1009) as f32 / 500.0 - 1.0).collect();
    let grid = Grid { dims: network.window, voxels, outside: 0.0 };
    let mut work = Workspace::new(network).expect("memory");
    let scratch = [network.scratch().expect("memory")];
    let mut probabilities = vec![0.0; network.probability_count()];
    (0..=ROUNDS)
        .map(|_| {
            let seconds = RefCell::new(vec![0.0; network.describe().count()]);
            let observe = |stage: usize, took: Duration| seconds.borrow_mut()[stage] += took.as_secs_f64() / network.group as f64;
            let executor = Executor { kernels, pool: None, scratch: &scratch, check: &|| Ok(()), observe: Some(&observe) };
            network.encode(&executor, &grid, &vec![[0; 3]; network.group], &mut work).expect("nothing stops it");
            for window in 0..network.group {
                network.decode(&executor, window, &mut work, &mut probabilities).expect("nothing stops it");
            }
            seconds.into_inner()
        })
        .collect()
}

fn median(rounds: &[Vec<f64>], stage: usize) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(|round| round[stage]).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let threads = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(1);
    let name = arguments.iter().skip_while(|argument| *argument != "--kernels").nth(1).map_or(Kernels::best().name, String::as_str);
    let Some(kernels) = Kernels::available().find(|kernels| kernels.name == name) else {
        eprintln!("this processor has no kernels {name:?}");
        std::process::exit(2);
    };
    let model = Model::untrained(Config::spinect(&[32, 64, 128, 256, 512]), 1).expect("a model");
    let network = Network::new(Plan::new(&model, CpuEngine::GROUPING).expect("a plan")).expect("a network");
    let seconds = measure(&network, kernels, threads);
    println!("{name}, {threads} thread(s), each with windows of its own; peak of a core: {:.0} GFLOP/s\n", common::peak_gflops(name));
    println!("| stage | ms per window | GFLOP/s |\n|---|---|---|");
    let (mut total, mut operations) = (0.0, 0.0);
    for ((stage, products), seconds) in network.describe().zip(seconds) {
        println!("| {stage} | {:.3} | {:.0} |", seconds * 1e3, 2.0 * products as f64 / seconds / 1e9);
        total += seconds;
        operations += 2.0 * products as f64;
    }
    println!("| **in all** | {:.2} | {:.0} |", total * 1e3, operations / total / 1e9);
}
