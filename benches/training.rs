//! A training step of the paper's network, loss and plain descent included: `cargo bench --features trainer --bench training --
//! [channels] [batch] [threads] [rounds]`.

use std::time::Instant;

use spinect::engine::cpu::training::{Parameters, TrainingNetwork};
use spinect::model::{Config, Model};
use spinect::trainer::Optimizer;
use spinect::trainer::loss::Loss;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let argument = |at: usize, default: &str| arguments.get(at).map_or(default, String::as_str).to_owned();
    let channels: Vec<usize> = argument(0, "32,64,128,256,512").split(',').map(|n| n.parse().expect("channels")).collect();
    let [batch, threads, rounds] =
        [(1, "4"), (2, "2"), (3, "5")].map(|(at, default)| argument(at, default).parse::<usize>().expect("a number"));
    let config = Config::spinect(&channels);
    let parameters = Parameters::of(&Model::untrained(config.clone(), 0).expect("a model")).expect("its parameters");
    let optimizer = Optimizer::Sgd { momentum: 0.0 };
    let mut moments = optimizer.begin(&parameters).expect("memory");
    let mut network = TrainingNetwork::new(&config, parameters, batch, threads).expect("a network");
    let loss = Loss { weights: vec![1.0, 1.0, 20.0], dice: 0.0 };
    let [depth, height, width] = config.window.size;
    let count = batch * depth * height * width;
    let voxels: Vec<f32> = (0..count).map(|i| (i as f32 * 0.37).sin()).collect();
    let classes: Vec<u8> = (0..count).map(|i| (i / 7 % 3) as u8).collect();
    let mut step = |number: u64| {
        let start = Instant::now();
        network.step(&voxels, |probabilities| loss.evaluate(probabilities, &classes, height * width)).expect("a step");
        let (parameters, gradients) = network.parameters_and_gradients();
        optimizer.step(parameters, gradients, &mut moments, 5e-4, number).expect("a step");
        start.elapsed().as_secs_f64()
    };
    step(1);
    let mut seconds: Vec<f64> = (0..rounds as u64).map(|round| step(round + 2)).collect();
    seconds.sort_by(f64::total_cmp);
    let [least, median, most] = [0, rounds / 2, rounds - 1].map(|at| seconds[at]);
    println!("{channels:?}, batch {batch}, {threads} threads: {median:.3} s per step (median; {least:.3} to {most:.3})");
}
