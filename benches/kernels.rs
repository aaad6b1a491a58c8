//! Every kernel on the shapes of the paper's network, on one thread, on every instruction set.
//!
//! ```sh
//! cargo bench --bench kernels                     # all: minutes
//! cargo bench --bench kernels -- avx512/32x64x64  # those whose name holds this
//! ```
//!
//! Throughput is that of the plain formula, two operations per multiplication: "Gelem/s" is GFLOP/s. The first line is the
//! core's peak in products of registers.

mod common;

use std::hint::black_box;
use std::sync::Mutex;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use spinect::engine::cpu::executor::{Executor, Scratch};
use spinect::engine::cpu::kernels::{
    Block, Kernels, PackedConvolution, PackedHead, PackedUpsample, PackedWinograd, Source, Tile, Window, convolve, convolve_winograd, head,
    max_pool, stem, upsample,
};
use spinect::engine::fold::Layer;
use spinect::engine::plan::Place;

/// Voxels, channels of the two sources, output channels.
const CONVOLUTIONS: [([usize; 3], [usize; 2], usize); 12] = [
    ([32, 64, 64], [32, 0], 32),
    ([32, 64, 64], [32, 32], 32),
    ([16, 32, 32], [32, 0], 64),
    ([16, 32, 32], [64, 0], 64),
    ([16, 32, 32], [64, 64], 64),
    ([8, 16, 16], [64, 0], 128),
    ([8, 16, 16], [128, 0], 128),
    ([8, 16, 16], [128, 128], 128),
    ([4, 8, 8], [256, 0], 256),
    ([4, 8, 8], [256, 256], 256),
    ([2, 4, 4], [256, 0], 512),
    ([2, 4, 4], [512, 0], 512),
];

/// Voxels of the input, input and output channels.
const UPSAMPLINGS: [([usize; 3], usize, usize); 4] =
    [([2, 4, 4], 512, 256), ([4, 8, 8], 256, 128), ([8, 16, 16], 128, 64), ([16, 32, 32], 64, 32)];

/// Windows that the deep levels take together, as the engine does.
const DEEP_WINDOWS: usize = 4;

fn windows(shape: [usize; 3]) -> usize {
    if shape[0] <= 4 { DEEP_WINDOWS } else { 1 }
}

fn noise(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i * 7919 % 1009) as f32 / 504.5 - 1.0).collect()
}

fn layer(weights: usize, outputs: usize) -> Layer {
    Layer { name: "benchmark".into(), weight: noise(weights), bias: noise(outputs) }
}

fn place(channels: usize, shape: [usize; 3]) -> Place {
    Place { offset: 0, channels, shape, windows: windows(shape) }
}

fn blocks(place: &Place) -> Vec<Block> {
    let mut blocks = vec![Block::default(); place.range().len()];
    for (index, block) in blocks.iter_mut().enumerate() {
        *block = Block(std::array::from_fn(|lane| (index * 31 + lane * 7) as f32 % 17.0 / 17.0));
    }
    blocks
}

fn name(shape: [usize; 3]) -> String {
    shape.map(|n| n.to_string()).join("x")
}

/// These kernels on the calling thread, with room for any layer.
fn with_executor(kernels: &'static Kernels, run: impl FnOnce(&Executor<'_>)) {
    let scratch: Scratch = Mutex::new(vec![Block::default(); 1 << 20]).into();
    run(&Executor { kernels, pool: None, scratch: std::slice::from_ref(&scratch), check: &|| Ok(()), observe: None });
}

/// The sets of kernels that are worth minutes of measuring: all but the portable ones where there are others.
fn sets() -> impl Iterator<Item = &'static Kernels> {
    let alone = Kernels::available().count() == 1;
    Kernels::available().filter(move |kernels| alone || kernels.name != "portable")
}

fn convolutions(criterion: &mut Criterion) {
    if let Some(peak) = common::bf16_peak_gflops() {
        println!("bf16 dot products, which no kernel uses: peak of a core {peak:.0} GFLOP/s");
    }
    for kernels in sets() {
        println!("{}: peak of a core {:.0} GFLOP/s", kernels.name, common::peak_gflops(kernels.name));
        for (shape, inputs, outputs) in CONVOLUTIONS {
            let all = inputs[0] + inputs[1];
            let mut group = criterion.benchmark_group(format!("{}/{}/{all}-{outputs}", kernels.name, name(shape)));
            let products = 27 * all * outputs * shape.iter().product::<usize>() * windows(shape);
            group.throughput(Throughput::Elements(2 * products as u64));
            let places = inputs.map(|channels| place(channels, shape));
            let maps = [blocks(&places[0]), blocks(&places[1])];
            let sources = [0, 1].map(|s| (inputs[s] > 0).then_some(Source { blocks: &maps[s], place: places[s] }));
            let (to, layer) = (place(outputs, shape), layer(27 * all * outputs, outputs));
            let mut output = blocks(&to);
            with_executor(kernels, |executor| {
                let weights = PackedConvolution::new(&layer, inputs, outputs).expect("weights");
                group.bench_function("direct", |b| b.iter(|| convolve(executor, sources, &weights, &mut output, &to)));
                for tile in Tile::ALL {
                    let weights = PackedWinograd::new(&layer, tile, inputs, outputs).expect("weights");
                    group.bench_function(format!("{tile:?}"), |b| {
                        b.iter(|| convolve_winograd(executor, sources, &weights, &mut output, &to, None));
                    });
                }
            });
        }
    }
}

fn others(criterion: &mut Criterion) {
    for kernels in sets() {
        with_executor(kernels, |executor| {
            let mut group = criterion.benchmark_group(format!("{}/others", kernels.name));
            for (shape, inputs, outputs) in UPSAMPLINGS {
                let doubled = shape.map(|n| 2 * n);
                let from = place(inputs, shape);
                let to = Place { windows: from.windows, ..place(outputs, doubled) };
                let weights = PackedUpsample::new(&layer(8 * inputs * outputs, outputs), inputs, outputs).expect("weights");
                let (input, mut output) = (blocks(&from), blocks(&to));
                let products = inputs * outputs * doubled.iter().product::<usize>() * from.windows;
                group.throughput(Throughput::Elements(2 * products as u64));
                group.bench_function(format!("upsample {inputs}-{outputs} to {}", name(doubled)), |b| {
                    b.iter(|| upsample(executor, &input, &from, &weights, &mut output, &to));
                });
            }

            let shape = [32, 64, 64];
            let voxels: usize = shape.iter().product();
            let full = place(32, shape);
            let weights = PackedConvolution::new(&layer(27 * 32, 32), [1, 0], 32).expect("weights");
            let window = noise(shape.iter().map(|n| n + 2).product());
            let mut map = blocks(&full);
            group.throughput(Throughput::Elements(2 * (27 * 32 * voxels) as u64));
            group.bench_function("first layer 1-32", |b| {
                b.iter(|| stem(executor, Window { voxels: &window, shape }, &weights, &mut map, &full));
            });

            let half = place(32, [16, 32, 32]);
            let mut maxima = blocks(&half);
            group.throughput(Throughput::Bytes((full.len() * size_of::<Block>()) as u64));
            group.bench_function("max pool 32", |b| b.iter(|| max_pool(executor, &map, &full, &mut maxima, &half)));

            let weights = PackedHead::new(&layer(32 * 3, 3), 32, 3).expect("weights");
            let mut probabilities = vec![0.0; 3 * voxels];
            group.throughput(Throughput::Elements(2 * (32 * 3 * voxels) as u64));
            group.bench_function("head and softmax 32-3", |b| {
                b.iter(|| head(executor, &map, &full, &weights, black_box(&mut probabilities)))
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(800));
    targets = convolutions, others
}
criterion_main!(benches);
