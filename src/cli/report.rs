//! What a segmentation reports: the object of `--json`, and the same as tables for people.

use serde::Serialize;

use super::console::{Console, Table, number};
use crate::geometry::{Geometry, World};
use crate::segmentation::{Cleaning, Segmentation, Timings};
use crate::session::MemoryEstimate;

/// The object of `segment --json`. The keys are a contract: more may be added, none renamed.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) spinect_version: &'static str,
    /// Commit, target, compiler, features and instruction set.
    build: &'static str,
    geometry: GridReport,
    pub(super) labels: Vec<LabelReport>,
    /// Windows that the volume has, and those that went through the network (identical ones do so once).
    pub(super) windows: u64,
    pub(super) windows_computed: u64,
    pub(super) device: String,
    /// The GPU's name, or why `auto` became the CPU.
    pub(super) device_note: Option<String>,
    pub(super) precision: &'static str,
    pub(super) threads: usize,
    pub(super) model_name: String,
    pub(super) model_sha256: String,
    pub(super) input_sha256: String,
    /// The lowest and highest corner of the region of interest; null: all of it.
    pub(super) roi_ras_mm: Option<[[f64; 3]; 2]>,
    /// What was taken away from labels after the network.
    pub(super) cleaned: Vec<Cleaned>,
    /// The files of surfaces.
    pub(super) surfaces: Vec<String>,
    pub(super) timings: Seconds,
    pub(super) memory: Memory,
    pub(super) warnings: Vec<&'static str>,
    #[serde(skip)]
    warning_texts: Vec<&'static str>,
}

/// The grid of the input and of the label map.
#[derive(Debug, Serialize)]
struct GridReport {
    /// Voxels along i, j, k.
    dims: [usize; 3],
    spacing_mm: [f64; 3],
    /// The letters that i, j, k increase towards.
    orientation: String,
    /// Index to RAS mm, row major.
    affine: [f64; 16],
}

/// A label that was cleaned: [`Segmentation::clean`].
#[derive(Debug, Serialize)]
pub(super) struct Cleaned {
    label: String,
    keep_pieces: usize,
    least_mm3: f64,
    removed_voxels: u64,
}

impl Cleaned {
    pub(super) fn of(label: &str, cleaning: &Cleaning, removed_voxels: u64) -> Self {
        Cleaned { label: label.into(), keep_pieces: cleaning.keep, least_mm3: cleaning.least_mm3, removed_voxels }
    }
}

impl GridReport {
    fn of(geometry: &Geometry) -> Self {
        let affine = geometry.ijk_to_world.between(geometry.world, World::Ras);
        let spacing_mm = geometry.ijk_to_world.spacing();
        GridReport { dims: geometry.dims, spacing_mm, orientation: geometry.orientation().letters().iter().collect(), affine: affine.0 }
    }
}

/// One label of a result.
#[derive(Debug, Serialize)]
pub(super) struct LabelReport {
    value: u8,
    name: String,
    voxels: u64,
    volume_mm3: f64,
    /// Null if no voxel has the label.
    mean_confidence: f64,
    /// RAS mm; null if no voxel has the label.
    centroid_ras_mm: Option<[f64; 3]>,
}

/// Seconds per stage, measured with one clock: all but `total` add up to `total`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Seconds {
    /// Checking the arguments, starting the session, loading the model.
    pub(super) load: f64,
    /// Reading the input.
    pub(super) read: f64,
    /// From the call of the segmentation to the network, and whatever of that call no other stage claims.
    pub(super) prepare: f64,
    pub(super) network: f64,
    pub(super) combine: f64,
    pub(super) restore: f64,
    /// Writing the outputs.
    pub(super) write: f64,
    pub(super) total: f64,
}

impl Seconds {
    /// The stages of one run; `segment` is the whole call of the segmentation seen from outside.
    pub(super) fn new(load: f64, read: f64, segment: f64, stages: &Timings, write: f64, total: f64) -> Self {
        let Timings { network, combine, restore, .. } = *stages;
        Seconds { load, read, prepare: segment - network - combine - restore, network, combine, restore, write, total }
    }

    fn stages(&self) -> [(&'static str, f64); 7] {
        let Seconds { load, read, prepare, network, combine, restore, write, .. } = *self;
        [
            ("load", load),
            ("read", read),
            ("prepare", prepare),
            ("network", network),
            ("combine", combine),
            ("restore", restore),
            ("write", write),
        ]
    }
}

/// Memory that the process was expected to hold, and the most that it held.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Memory {
    /// Bytes expected: what the process held at its start, the input, the session with its result.
    estimate_bytes: u64,
    /// Of these, the session with its result.
    session_estimate_bytes: u64,
    /// Expected bytes on the device.
    device_estimate_bytes: u64,
    /// Null where the operating system does not tell.
    peak_rss_bytes: Option<u64>,
}

impl Memory {
    /// Before anything is loaded.
    pub(super) fn at_start() -> Self {
        let held = resident("VmRSS:").unwrap_or(0);
        Memory { estimate_bytes: held, session_estimate_bytes: 0, device_estimate_bytes: 0, peak_rss_bytes: None }
    }

    /// Adds what is expected from here on.
    pub(super) fn expect(&mut self, session: MemoryEstimate, input_bytes: usize) {
        self.session_estimate_bytes = session.host_bytes;
        self.device_estimate_bytes = session.device_bytes;
        self.estimate_bytes += session.host_bytes + input_bytes as u64;
    }

    /// After the work.
    pub(super) fn at_end(self) -> Self {
        Memory { peak_rss_bytes: resident("VmHWM:"), ..self }
    }
}

/// A line of Linux's `/proc/self/status`, in bytes.
fn resident(key: &str) -> Option<u64> {
    kibibytes(&std::fs::read_to_string("/proc/self/status").ok()?, key)
}

fn kibibytes(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

impl Report {
    /// The report of a result. `device` and `threads` are the caller's words for where it ran.
    pub(super) fn of(result: &Segmentation, device: String, threads: usize, timings: Seconds, memory: Memory) -> Self {
        let provenance = result.provenance();
        let world = result.geometry().world;
        let labels = result.table().iter().map(|label| LabelReport {
            value: label.value,
            name: label.name.clone(),
            voxels: label.statistics.voxels,
            volume_mm3: label.statistics.volume_mm3,
            mean_confidence: label.statistics.mean_confidence,
            centroid_ras_mm: (label.statistics.voxels > 0).then(|| ras(world, label.statistics.centroid)),
        });
        Report {
            spinect_version: env!("CARGO_PKG_VERSION"),
            build: crate::capi::build_info(),
            geometry: GridReport::of(result.geometry()),
            labels: labels.collect(),
            windows: result.timings().windows,
            windows_computed: result.timings().windows_computed,
            device,
            device_note: None,
            precision: super::arguments::precision_name(provenance.precision),
            threads,
            model_name: provenance.model_name.clone(),
            model_sha256: provenance.model_sha256.clone(),
            input_sha256: provenance.input_sha256.clone(),
            roi_ras_mm: None,
            cleaned: Vec::new(),
            surfaces: Vec::new(),
            timings,
            memory,
            warnings: provenance.warnings.iter().map(|(key, _)| key).collect(),
            warning_texts: provenance.warnings.iter().map(|(_, text)| text).collect(),
        }
    }

    /// The report for people.
    pub(super) fn text(&self, console: &Console) -> String {
        let mut labels = Table::new(&["label", "value", "voxels", "volume mL", "volume mm³", "mean confidence", "centroid RAS mm"], 1);
        for label in &self.labels {
            labels.row([
                label.name.clone(),
                label.value.to_string(),
                label.voxels.to_string(),
                number(label.volume_mm3 / 1000.0, 2),
                number(label.volume_mm3, 1),
                number(label.mean_confidence, 3),
                label.centroid_ras_mm.map_or_else(|| "–".into(), |[x, y, z]| format!("{x:.1}, {y:.1}, {z:.1}")),
            ]);
        }
        let mut stages = Table::new(&["stage", "seconds", "share %"], 1);
        let share = |seconds: f64| number(100.0 * seconds / self.timings.total, 1);
        for (name, seconds) in self.timings.stages() {
            stages.row([name.into(), number(seconds, 4), share(seconds)]);
        }
        stages.row(["total".into(), number(self.timings.total, 4), share(self.timings.total)]);
        let mib = |bytes: u64| format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20));
        let mut text = console.table(&labels);
        text += &console.table(&stages);
        text += &format!(
            "{} windows, {} of them computed; {}, {}, {} threads; model {}; memory {} estimated, {} at most in use\n",
            self.windows,
            self.windows_computed,
            self.device,
            self.precision,
            self.threads,
            super::console::plain(&self.model_name),
            mib(self.memory.estimate_bytes),
            self.memory.peak_rss_bytes.map_or_else(|| "unknown".into(), mib),
        );
        for Cleaned { label, removed_voxels, .. } in &self.cleaned {
            text += &format!("{}: {removed_voxels} voxels outside its largest pieces became background\n", super::console::plain(label));
        }
        for surface in &self.surfaces {
            text += &format!("surface: {}\n", super::console::plain(surface));
        }
        for warning in &self.warning_texts {
            text += &console.warning(warning);
        }
        text
    }
}

/// A point in RAS millimeters.
fn ras(world: World, [x, y, z]: [f64; 3]) -> [f64; 3] {
    match world {
        World::Ras => [x, y, z],
        World::Lps => [-x, -y, z],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_add_up_to_the_total_whatever_the_session_left_unclaimed() {
        let stages = Timings { prepare: 0.1, network: 2.0, combine: 0.25, restore: 0.125, ..Timings::default() };
        let seconds = Seconds::new(0.5, 0.25, 2.625, &stages, 0.5, 3.875);
        let sum: f64 = seconds.stages().iter().map(|(_, seconds)| seconds).sum();
        assert!((sum - seconds.total).abs() < 1e-12, "{sum}");
        assert_eq!(seconds.prepare, 0.25);
    }

    #[test]
    fn the_peak_of_memory_is_read_in_bytes() {
        assert_eq!(kibibytes("Name:\tspinect\nVmPeak:\t 9 kB\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n", "VmHWM:"), Some(2 << 20));
        assert_eq!(kibibytes("Name:\tspinect\n", "VmHWM:"), None);
    }

    #[test]
    fn a_centroid_is_told_in_ras() {
        assert_eq!(ras(World::Lps, [1.0, 2.0, 3.0]), [-1.0, -2.0, 3.0]);
        assert_eq!(ras(World::Ras, [1.0, 2.0, 3.0]), [1.0, 2.0, 3.0]);
    }
}
