//! `spinect bench`: how long segmentations take, run after run.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use serde::Serialize;

use super::arguments::{Compute, Placement, Size, precision_name};
use super::console::{Console, Table, number};
use super::distribution::{Distribution, histogram};
use super::segment::{cancelled, stop_if};
use super::{files, interrupt, json_text, synthetic};
use crate::error::{Error, ErrorKind, Result, try_vec};
use crate::geometry::Geometry;
use crate::io;
use crate::session::{RegionOfInterest, Run, Session};
use crate::volume::Image;

/// Measure latency: per window, per stage and in total
#[derive(Debug, Args)]
#[command(after_help = "All memory is taken before the clock starts, and the first run is not counted.\n\
    total: from call to return of one segmentation, without loading, reading and writing.\n\
    per window: the wall seconds of the network over the windows that it computed; with several threads, windows overlap,\n\
    and this is what each adds to the whole, not how long one takes by itself.\n\
    Percentiles by nearest rank: the smallest measured value that this share of the runs does not exceed.\n\
    Identical windows are computed once; --all-windows computes them again, as in the worst case.")]
pub(super) struct Arguments {
    /// The model: .safetensors
    #[arg(long, value_name = "MODEL")]
    model: PathBuf,
    /// A CT to measure on: .nii, .nii.gz or .nrrd, or a folder with a DICOM series [default: noise of --size, no two windows alike]
    #[arg(long, value_name = "INPUT", conflicts_with = "size")]
    volume: Option<PathBuf>,
    /// The size of the noise, in voxels of the model grid
    #[arg(long, value_name = "D,H,W", default_value = "72,144,144")]
    size: Size,
    #[command(flatten)]
    compute: Compute,
    /// Only a cube of this edge in the middle: the windows that touch it, as with a region of interest
    #[arg(long, value_name = "MM", value_parser = edge)]
    cube: Option<f64>,
    /// Counted runs
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    runs: u32,
    /// Compute identical windows again too
    #[arg(long)]
    all_windows: bool,
    /// Print an object for programs instead of tables
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    placement: Placement,
}

/// The object of `bench --json`, in seconds. The keys are a contract: more may be added, none renamed.
#[derive(Debug, Serialize)]
struct Benchmark {
    spinect_version: &'static str,
    windows: u64,
    windows_computed: u64,
    device: String,
    /// The GPU's name, or why `auto` became the CPU.
    device_note: Option<String>,
    threads: usize,
    precision: &'static str,
    runs: usize,
    model_sha256: String,
    /// Voxels of the input along i, j, k.
    dims: [usize; 3],
    /// The edge of the cube in mm that alone was examined.
    cube_mm: Option<f64>,
    per_window: Distribution,
    total: Distribution,
    stages: Stages<Distribution>,
    /// Every counted run, in order.
    samples: Vec<Sample>,
}

/// One value per stage.
#[derive(Clone, Copy, Debug, Serialize)]
struct Stages<T> {
    prepare: T,
    network: T,
    combine: T,
    restore: T,
}

/// One run.
#[derive(Clone, Copy, Debug, Serialize)]
struct Sample {
    #[serde(flatten)]
    stages: Stages<f64>,
    per_window: f64,
    total: f64,
}

pub(super) fn run(arguments: &Arguments, console: &Console) -> Result<String> {
    let benchmark = measure(arguments, console)?;
    if console.json { json_text(&benchmark) } else { Ok(benchmark.text(console)) }
}

fn measure(arguments: &Arguments, console: &Console) -> Result<Benchmark> {
    let inputs: Vec<&Path> = std::iter::once(arguments.model.as_path()).chain(arguments.volume.as_deref()).collect();
    files::check_inputs(&inputs)?;
    let cancel = interrupt::cancel_on_interrupt();
    let progress = console.progress();
    progress.say("loading");
    let session = Session::new(&arguments.compute.session_config())?;
    session.load_weights(&arguments.model)?;
    let model = session.model_info()?;
    let image = volume(arguments, model.spacing_mm)?;
    let volume = image.view();
    session.prepare(&volume)?;
    let mut labels = try_vec(0u8, volume.geometry().voxel_count(), "the label map")?;

    let roi = arguments.cube.map(|edge| middle(volume.geometry(), edge));
    let mut samples = Vec::new();
    let (mut windows, mut windows_computed) = (0, 0);
    for at in 0..=arguments.runs {
        let share = f64::from(arguments.runs + 1);
        let mut report = |fraction, stage| progress.report((f64::from(at) + fraction) / share, stage);
        let run = Run { roi, all_windows: arguments.all_windows, cancel: Some(cancel), progress: Some(&mut report), ..Run::default() };
        let start = Instant::now();
        let finished = session.segment_into(&volume, run, &mut labels).map_err(cancelled)?;
        let total = start.elapsed().as_secs_f64();
        stop_if(cancel)?;
        let timings = finished.timings;
        (windows, windows_computed) = (timings.windows, timings.windows_computed);
        if at == 0 {
            // The first run also pays for cold caches and sleeping cores.
            continue;
        }
        samples.push(Sample {
            stages: Stages { prepare: timings.prepare, network: timings.network, combine: timings.combine, restore: timings.restore },
            per_window: timings.network / timings.windows_computed.max(1) as f64,
            total,
        });
    }
    Ok(Benchmark {
        spinect_version: env!("CARGO_PKG_VERSION"),
        windows,
        windows_computed,
        device: arguments.compute.device_name(model.device),
        device_note: session.device_note().map(str::to_owned),
        threads: session.threads(),
        precision: precision_name(model.precision),
        runs: samples.len(),
        model_sha256: model.sha256,
        dims: volume.geometry().dims,
        cube_mm: arguments.cube,
        per_window: distribution(&samples, |sample| sample.per_window)?,
        total: distribution(&samples, |sample| sample.total)?,
        stages: Stages {
            prepare: distribution(&samples, |sample| sample.stages.prepare)?,
            network: distribution(&samples, |sample| sample.stages.network)?,
            combine: distribution(&samples, |sample| sample.stages.combine)?,
            restore: distribution(&samples, |sample| sample.stages.restore)?,
        },
        samples,
    })
}

/// The edge of a cube in mm.
fn edge(text: &str) -> std::result::Result<f64, String> {
    match text.parse() {
        Ok(edge) if (1.0..=10_000.0).contains(&edge) => Ok(edge),
        _ => Err("give the edge in mm, 1 to 10000".into()),
    }
}

/// A cube of this edge (mm) in the middle of a volume.
fn middle(geometry: &Geometry, edge: f64) -> RegionOfInterest {
    let center = geometry.ijk_to_world.apply(geometry.dims.map(|n| (n as f64 - 1.0) / 2.0));
    RegionOfInterest { min: center.map(|x| x - edge / 2.0), max: center.map(|x| x + edge / 2.0) }
}

/// The volume to measure on: the user's, or noise on the model's own grid.
fn volume(arguments: &Arguments, spacing: [f64; 3]) -> Result<Image> {
    match &arguments.volume {
        Some(path) => io::read_image(path, &arguments.placement.read_options()),
        None => synthetic::noise(arguments.size.0, spacing, 0),
    }
}

fn distribution(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> Result<Distribution> {
    Distribution::of(samples.iter().map(of))
        .ok_or_else(|| Error::new(ErrorKind::InvalidArgument, "no run was counted: ask for at least one with --runs"))
}

impl Benchmark {
    /// The measurements for people.
    fn text(&self, console: &Console) -> String {
        let mut table = Table::new(&["milliseconds", "p50", "p90", "p99", "max", "mean"], 1);
        let Stages { prepare, network, combine, restore } = self.stages;
        let rows = [
            ("prepare", prepare),
            ("network", network),
            ("combine", combine),
            ("restore", restore),
            ("total", self.total),
            ("per window", self.per_window),
        ];
        for (name, Distribution { p50, p90, p99, max, mean }) in rows {
            let values = [p50, p90, p99, max, mean].map(|seconds| number(seconds * 1e3, 3));
            table.row(std::iter::once(name.to_string()).chain(values));
        }
        let totals: Vec<f64> = self.samples.iter().map(|sample| sample.total).collect();
        let bins = histogram(&totals, 10);
        let most = bins.iter().map(|bin| bin.count).max().unwrap_or(1).max(1);
        let mut bars = Table::new(&["total, milliseconds", "runs", ""], 1);
        for bin in &bins {
            let bar = "█".repeat((bin.count * 40).div_ceil(most));
            bars.row([format!("{:.3} to {:.3}", bin.low * 1e3, bin.high * 1e3), bin.count.to_string(), bar]);
        }
        let [i, j, k] = self.dims;
        let cube = self.cube_mm.map(|edge| format!(" (a cube of {edge} mm in the middle)")).unwrap_or_default();
        let mut text = format!(
            "{i}×{j}×{k} voxels{cube}, {} windows, {} of them computed; {}, {}, {} threads; {} runs after one that is not counted\n",
            self.windows, self.windows_computed, self.device, self.precision, self.threads, self.runs
        );
        text += &console.table(&table);
        text + &console.table(&bars)
    }
}
