//! `spinect segment`: a CT in, a label map out.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::arguments::{Clean, Compute, RasBox};
use super::console::Console;
use super::input::Reading;
use super::report::{Cleaned, Memory, Report, Seconds};
use super::stopwatch::Stopwatch;
use super::surfaces::Surfaces;
use super::{files, interrupt, json_text};
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::World;
use crate::io;
use crate::report::overlay::{self, DrawnLabel};
use crate::report::shades;
use crate::segmentation::Segmentation;
use crate::session::{Cancel, RegionOfInterest, Run, Session};
use crate::volume::Volume;

/// Segment bone and nerve on a CT
#[derive(Debug, Args)]
#[command(after_help = "Example: spinect segment ct.nii.gz --model spinect.safetensors -o labels.nii.gz\n\
    The label map has the input's grid, geometry and, of a NIfTI file, header. Not a medical device: every result needs review.")]
pub(super) struct Arguments {
    /// The CT: .nii, .nii.gz or .nrrd, or a folder with a DICOM series
    input: PathBuf,
    /// The model: .safetensors
    #[arg(long, value_name = "MODEL")]
    model: PathBuf,
    /// The label map to write: .nii, .nii.gz, .nrrd, or .seg.nrrd for 3D Slicer
    #[arg(short, long, value_name = "OUTPUT")]
    output: PathBuf,
    #[command(flatten)]
    compute: Compute,
    /// Segment only this box, in RAS millimeters (x to the Right, y to Anterior, z to Superior)
    #[arg(long, value_name = "x0,y0,z0,x1,y1,z1", allow_hyphen_values = true)]
    roi: Option<RasBox>,
    /// Also write the confidence of every voxel, 0 to 1: .nii, .nii.gz or .nrrd
    #[arg(long, value_name = "FILE")]
    confidence: Option<PathBuf>,
    /// Also draw the labels on the CT, in three planes: .png
    #[arg(long, value_name = "FILE.png")]
    picture: Option<PathBuf>,
    #[command(flatten)]
    pub(super) surfaces: Surfaces,
    /// Make background of a label's voxels that are not in its largest pieces; may be given several times [default: never]
    #[arg(long, value_name = "LABEL=N[,MM3]")]
    clean: Vec<Clean>,
    /// Also write the object of --json to this file
    #[arg(long, value_name = "FILE.json")]
    report: Option<PathBuf>,
    /// Print an object for programs instead of tables
    #[arg(long)]
    pub(super) json: bool,
    /// Replace outputs that exist
    #[arg(long)]
    force: bool,
    /// Fail if segmenting takes longer (without loading, reading and writing)
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    deadline: Option<Duration>,
    #[command(flatten)]
    reading: Reading,
}

fn seconds(text: &str) -> std::result::Result<Duration, String> {
    let duration = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.filter(|duration| !duration.is_zero()).ok_or_else(|| "a deadline is a number of seconds above 0".into())
}

impl Arguments {
    /// The plainest run: one model, one input, one output.
    pub(super) fn plain(input: PathBuf, model: PathBuf, output: PathBuf, force: bool) -> Self {
        Arguments {
            input,
            model,
            output,
            compute: Compute::default(),
            roi: None,
            confidence: None,
            picture: None,
            surfaces: Surfaces::default(),
            clean: Vec::new(),
            report: None,
            json: false,
            force,
            deadline: None,
            reading: Reading::default(),
        }
    }
}

pub(super) fn run(arguments: &Arguments, console: &Console) -> Result<String> {
    let report = segment(arguments, console)?;
    if console.json { json_text(&report) } else { Ok(report.text(console)) }
}

/// Loads, reads, segments, writes; every stage on one clock.
pub(super) fn segment(arguments: &Arguments, console: &Console) -> Result<Report> {
    let mut watch = Stopwatch::start();
    let mut memory = Memory::at_start();
    check(arguments)?;
    let cancel = interrupt::cancel_on_interrupt();
    let progress = console.progress();

    progress.say("loading");
    let session = Session::new(&arguments.compute.session_config())?;
    session.load_weights(&arguments.model)?;
    let device = arguments.compute.device_name(session.model_info()?.device);
    let load = watch.lap();

    progress.say("reading");
    let image = arguments.reading.read(&arguments.input)?;
    let volume = image.view();
    memory.expect(session.estimate_memory(&volume)?, image.bytes().len());
    stop_if(cancel)?;
    let read = watch.lap();

    let mut report_progress = |fraction, stage| progress.report(fraction, stage);
    let run = Run {
        roi: arguments.roi.map(|roi| in_world(roi.0, volume.geometry().world)),
        cancel: Some(cancel),
        progress: Some(&mut report_progress),
        deadline: arguments.deadline,
        ..Run::default()
    };
    let labels: Vec<u8> = arguments.clean.iter().map(|clean| session.find_label(&clean.label)).collect::<Result<_>>()?;
    let mut result = session.segment(&volume, run).map_err(cancelled)?;
    let segment = watch.lap();
    let mut cleaned = Vec::new();
    for (Clean { label: name, cleaning }, label) in arguments.clean.iter().zip(labels) {
        cleaned.push(Cleaned::of(name, cleaning, result.clean(i32::from(label), cleaning)?));
    }

    // From here on the outputs are finished: a request to stop comes too late to leave them half done.
    stop_if(cancel)?;
    progress.say("writing");
    io::write_segmentation(&result, &arguments.output)?;
    if let Some(path) = &arguments.confidence {
        io::write_confidence(&result, path)?;
    }
    if let Some(path) = &arguments.picture {
        files::write(path, &picture(&result, &volume)?)?;
    }
    let surfaces = arguments.surfaces.write(&result)?;
    let write = watch.lap();

    let timings = Seconds::new(load, read, segment, result.timings(), write, watch.total());
    let mut report = Report::of(&result, device, session.threads(), timings, memory.at_end());
    (report.cleaned, report.surfaces) = (cleaned, surfaces);
    report.device_note = session.device_note().map(str::to_owned);
    report.roi_ras_mm = arguments.roi.map(|roi| [roi.0.min, roi.0.max]);
    if let Some(path) = &arguments.report {
        files::write(path, json_text(&report)?.as_bytes())?;
    }
    Ok(report)
}

/// The labels on their CT, as a PNG file's bytes; the background is not drawn.
fn picture(result: &Segmentation, ct: &Volume<'_>) -> Result<Vec<u8>> {
    let structures = result.table().iter().skip(1).enumerate();
    let labels: Vec<DrawnLabel> =
        structures.map(|(at, label)| DrawnLabel { value: label.value, name: label.name.clone(), color: shades(at).on_dark }).collect();
    overlay::three_planes(ct, Some(result.labels()), None, &labels, None, &overlay::Options::default())?.to_png()
}

/// Everything that can be found wrong before any work is done.
fn check(arguments: &Arguments) -> Result<()> {
    arguments.surfaces.check(arguments.force)?;
    let images: Vec<&Path> = [Some(&arguments.output), arguments.confidence.as_ref()].into_iter().flatten().map(PathBuf::as_path).collect();
    images.iter().try_for_each(|path| files::check_image_name(path))?;
    if let Some(path) = &arguments.confidence {
        files::check_volume_name(path)?;
    }
    if let Some(path) = arguments.picture.as_ref().filter(|path| path.extension().is_none_or(|ending| !ending.eq_ignore_ascii_case("png")))
    {
        return Err(Error::new(ErrorKind::UnsupportedFormat, format!("{}: a picture's name ends in .png", path.display())));
    }
    let others = [&arguments.report, &arguments.picture].into_iter().flatten().map(PathBuf::as_path);
    let outputs: Vec<&Path> = images.into_iter().chain(others).collect();
    files::check_outputs(&outputs, &[&arguments.input, &arguments.model], arguments.force)?;
    arguments.reading.series(&arguments.input)?;
    files::check_inputs(&[&arguments.model])
}

/// The region, which the command line takes in RAS, in the world of the volume.
fn in_world(roi: RegionOfInterest, world: World) -> RegionOfInterest {
    match world {
        World::Ras => roi,
        World::Lps => {
            let ([x0, y0, z0], [x1, y1, z1]) = (roi.min, roi.max);
            RegionOfInterest { min: [-x1, -y1, z0], max: [-x0, -y0, z1] }
        }
    }
}

/// Fails if a request to stop has arrived.
pub(super) fn stop_if(cancel: &Cancel) -> Result<()> {
    if cancel.is_set() { Err(cancelled(Error::new(ErrorKind::Cancelled, ""))) } else { Ok(()) }
}

/// A cancelled run in the user's words; every other failure as it is.
pub(super) fn cancelled(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Cancelled => Error::new(ErrorKind::Cancelled, "cancelled: nothing was written"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_in_ras_keeps_its_place_in_lps() {
        let roi = RegionOfInterest { min: [-10.0, 1.0, 2.0], max: [20.0, 3.0, 4.0] };
        assert_eq!(in_world(roi, World::Ras), roi);
        assert_eq!(in_world(roi, World::Lps), RegionOfInterest { min: [-20.0, -3.0, 2.0], max: [10.0, -1.0, 4.0] });
    }

    #[test]
    fn a_deadline_is_a_positive_number_of_seconds() {
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        for wrong in ["", "0", "-1", "nan", "inf", "1s", "1e300"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_request_to_stop_is_told_as_cancelled() {
        let cancel = Cancel::new();
        assert!(stop_if(&cancel).is_ok());
        cancel.set();
        assert!(stop_if(&cancel).unwrap_err().message().starts_with("cancelled"));
    }
}
