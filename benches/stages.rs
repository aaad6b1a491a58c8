//! Where a window's time goes: every stage of the preset network, on every set of kernels.
//!
//! ```sh
//! cargo bench --bench stages -- [THREADS]
//! ```
//!
//! Each thread takes groups of windows of its own through the network, as in a segmentation; what is printed is the first
//! thread's, the median of the rounds, per window. GFLOP/s are those of the plain formula, two per multiplication, beside
//! the peak that a core reaches in products of registers on as many threads.

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
    let [d, h, w] = network.window;
    let voxels = (0..d * h * w).map(|i| (i * 7919 % 1009) as f32 / 500.0 - 1.0).collect();
    let grid = Grid { dims: network.window, voxels, outside: 0.0 };
    let barrier = std::sync::Barrier::new(threads);
    let result = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (grid, barrier, result) = (&grid, &barrier, &result);
            scope.spawn(move || {
                let mut work = Workspace::new(network).expect("memory");
                let scratch = [network.scratch().expect("memory")];
                let mut probabilities = vec![0.0; network.probability_count()];
                let mut rounds: Vec<Vec<f64>> = Vec::new();
                for _ in 0..=ROUNDS {
                    let seconds = RefCell::new(vec![0.0; network.describe().count()]);
                    let observe = |stage: usize, took: Duration| seconds.borrow_mut()[stage] += took.as_secs_f64();
                    let executor = Executor { kernels, pool: None, scratch: &scratch, check: &|| Ok(()), observe: Some(&observe) };
                    if rounds.is_empty() {
                        barrier.wait();
                        std::thread::sleep(Duration::from_millis(thread as u64 * 97));
                    }
                    let starts = vec![[0; 3]; network.group];
                    network.encode(&executor, grid, &starts, &mut work).expect("no failure");
                    for window in 0..network.group {
                        network.decode(&executor, window, &mut work, &mut probabilities).expect("no failure");
                    }
                    rounds.push(seconds.into_inner());
                }
                if thread == 0 {
                    let median = |stage: usize| {
                        let mut values: Vec<f64> = rounds[1..].iter().map(|round| round[stage]).collect();
                        values.sort_by(f64::total_cmp);
                        values[ROUNDS / 2] / network.group as f64
                    };
                    *result.lock().expect("no panic") = (0..rounds[0].len()).map(median).collect();
                }
            });
        }
    });
    result.into_inner().expect("no panic")
}

fn main() {
    let threads = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(1);
    let model = Model::untrained(Config::spinect(&[32, 64, 128, 256, 512]), 1).expect("a model");
    let network = Network::new(Plan::new(&model, CpuEngine::GROUPING).expect("a plan")).expect("a network");
    for kernels in Kernels::available() {
        if kernels.name == "portable" && std::env::args().all(|argument| argument != "--portable") {
            continue;
        }
        let seconds = measure(&network, kernels, threads);
        println!(
            "\n{}, {threads} thread(s), each with windows of its own\n\n| stage | ms per window | GFLOP/s |\n|---|---|---|",
            kernels.name
        );
        let (mut total, mut all) = (0.0, 0.0);
        for ((name, products), seconds) in network.describe().zip(seconds) {
            println!("| {name} | {:.3} | {:.0} |", seconds * 1e3, 2.0 * products as f64 / seconds / 1e9);
            total += seconds;
            all += 2.0 * products as f64;
        }
        println!("| **in all** | {:.2} | {:.0} |", total * 1e3, all / total / 1e9);
    }
}
