//! Questions of a navigation loop to a phantom of 152×224×224 voxels of 1 mm: `cargo bench --bench queries`.
//!
//! First a table of percentiles over every question, because a loop at 1 kHz waits for the slowest (reading the clock costs
//! some 25 ns of each); then criterion's estimates of the mean, to compare with an earlier run.

use std::hint::black_box;
use std::time::Instant;

use criterion::{BatchSize, Criterion};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use spinect::distance::NearestVoxels;
use spinect::model::LabelConfig;
use spinect::phantom::{self, FieldOfView, Options};
use spinect::segmentation::Tool;
use spinect::{Segmentation, World};

/// Where nothing else is said: as in the report of a segmentation.
const LABELS: [(u8, &str); 2] = [(1, "bone"), (2, "nerve")];

/// Questions about points; about tools a tenth of it.
const POINTS: usize = 100_000;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let view = FieldOfView { size_mm: [224.0, 224.0], z_mm: [-50.0, 102.0], center_mm: [0.0, 12.0], round: false };
    let options = Options { seed: 1, spacing_mm: Some([1.0; 3]), field_of_view: Some(view), ..Options::default() };
    let case = phantom::generate(&options).expect("a phantom");
    let table = LABELS.map(|(value, name)| LabelConfig {
        value,
        name: name.into(),
        color: [0; 3],
        terminology: None,
        category: None,
        pieces: None,
    });
    let mut segmentation = Segmentation::from_labels(&case.labels.view(), &table).expect("a segmentation");
    let geometry = *segmentation.geometry();
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    let started = Instant::now();
    let map = one_thread.install(|| NearestVoxels::of(geometry.dims, [1.0; 3], |voxel| segmentation.labels()[voxel] == 2));
    println!(
        "{:?} voxels; a map of distances to every voxel of nerve, one thread, for comparison: {:.3} s",
        geometry.dims,
        seconds(started)
    );
    drop(map);

    println!("| question | label | n | p50 µs | p90 µs | p99 µs | p99.9 µs | max µs | mean µs |\n|---|---|---|---|---|---|---|---|---|");
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut place = || geometry.ijk_to_world.apply(geometry.dims.map(|n| random.random_range(0.0..n as f64)));
    let points: Vec<[f64; 3]> = (0..POINTS).map(|_| place()).collect();
    let tools: Vec<Tool> = points.windows(2).take(POINTS / 10).map(|pair| needle(pair[0], pair[1])).collect();
    for (value, name) in LABELS {
        let label = i32::from(value);
        let started = Instant::now();
        segmentation.prepare_queries(label).expect("prepared");
        println!("| prepare | {name} | 1 | {:.0} | | | | | |", 1e6 * seconds(started));
        let world = World::Ras;
        report("distance of a point", name, &points, |point| segmentation.distance(label, world, *point).expect("an answer").distance_mm);
        let clearance = |tool: &Tool| segmentation.clearance(label, world, tool).expect("an answer");
        let (crossing, clear): (Vec<Tool>, Vec<Tool>) = tools.iter().partition(|tool| clearance(tool).crosses);
        report("clearance of 100 mm that miss", name, &clear, |tool| clearance(tool).distance_mm);
        report("clearance of 100 mm that cross", name, &crossing, |tool| clearance(tool).distance_mm);
        let corridor = |tool: &Tool| segmentation.corridor(label, world, tool, 3.0).expect("an answer").unexamined_mm;
        report("corridor of 100 mm, margin 3 mm", name, &tools, corridor);
    }
    for (value, name) in LABELS {
        let (label, world) = (i32::from(value), World::Ras);
        let mut group = criterion.benchmark_group(name);
        group.bench_function("prepare", |bencher| {
            // Prepared already, it would do nothing.
            let fresh = || Segmentation::from_labels(&case.labels.view(), &table).expect("a segmentation");
            bencher.iter_batched_ref(fresh, |fresh| fresh.prepare_queries(label), BatchSize::PerIteration);
        });
        let mut point = points.iter().cycle();
        group.bench_function("distance of a point", |bencher| {
            bencher.iter(|| segmentation.distance(label, world, *point.next().expect("a cycle")));
        });
        let mut tool = tools.iter().cycle();
        group.bench_function("clearance of 100 mm", |bencher| {
            bencher.iter(|| segmentation.clearance(label, world, tool.next().expect("a cycle")));
        });
        group.finish();
    }
    criterion.final_summary();
}

/// A needle of 100 mm from a point towards another, 2 mm thick.
fn needle(from: [f64; 3], towards: [f64; 3]) -> Tool {
    let way: [f64; 3] = std::array::from_fn(|c| towards[c] - from[c]);
    let length = way.iter().map(|c| c * c).sum::<f64>().sqrt().max(1e-9);
    Tool { from, to: std::array::from_fn(|c| from[c] + 100.0 * way[c] / length), radius_mm: 1.0 }
}

fn seconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64()
}

fn report<Q>(question: &str, label: &str, questions: &[Q], answer: impl Fn(&Q) -> f64) {
    let mut micros: Vec<f64> = questions
        .iter()
        .map(|question| {
            let started = Instant::now();
            black_box(answer(black_box(question)));
            1e6 * seconds(started)
        })
        .collect();
    let mean = micros.iter().sum::<f64>() / micros.len().max(1) as f64;
    micros.sort_by(f64::total_cmp);
    let at = |share: f64| micros.get((share * micros.len() as f64) as usize).or(micros.last()).copied().unwrap_or(f64::NAN);
    let [p50, p90, p99, p999, most] = [0.5, 0.9, 0.99, 0.999, 1.0].map(at);
    println!("| {question} | {label} | {} | {p50:.2} | {p90:.2} | {p99:.2} | {p999:.2} | {most:.1} | {mean:.2} |", micros.len());
}
