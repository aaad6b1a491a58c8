//! A training step of the paper's network: `cargo bench --features trainer --bench training -- [channels] [batch] [threads]
//! [rounds]`.

use std::time::Instant;

use spinect::engine::cpu::training::{Parameters, TrainingNetwork};
use spinect::model::{Config, Model};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let argument = |at: usize, default: &str| arguments.get(at).map_or(default, String::as_str).to_owned();
    let channels: Vec<usize> = argument(0, "32,64,128,256,512").split(',').map(|n| n.parse().unwrap()).collect();
    let [batch, threads, rounds] = [(1, "4"), (2, "2"), (3, "5")].map(|(at, default)| argument(at, default).parse::<usize>().unwrap());
    let config = Config::spinect(&channels);
    let parameters = Parameters::of(&Model::untrained(config.clone(), 0).unwrap()).unwrap();
    let mut network = TrainingNetwork::new(&config, parameters, batch, threads).unwrap();
    let voxels: Vec<f32> = (0..batch * 131_072).map(|i| (i as f32 * 0.37).sin()).collect();
    let mut seconds: Vec<f64> = (0..=rounds)
        .map(|_| {
            let start = Instant::now();
            network
                .step(&voxels, |probabilities| {
                    probabilities.iter_mut().for_each(|p| *p = (*p - 0.3) * 1e-6);
                    Ok(())
                })
                .unwrap();
            start.elapsed().as_secs_f64()
        })
        .skip(1)
        .collect();
    seconds.sort_by(f64::total_cmp);
    println!(
        "{channels:?}, batch {batch}, {threads} threads: {:.3} s per step (median; {:.3} to {:.3})",
        seconds[rounds / 2],
        seconds[0],
        seconds[rounds - 1]
    );
}
