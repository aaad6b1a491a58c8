//! `spinect info`: what a model or an image is.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::console::{Console, Table};
use super::input::Reading;
use super::{files, json_text};
use crate::error::{Error, Result};
use crate::geometry::{Geometry, World};
use crate::io::{self, SeriesHeader, SkippedFiles};
use crate::model::Model;
use crate::volume::{Rescale, Volume, VoxelType};

/// Tell what a model, an image or a DICOM series is
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A model (.safetensors), an image (.nii, .nii.gz, .nrrd), or a folder with a DICOM series
    file: PathBuf,
    /// Print an object for programs instead of a table
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    reading: Reading,
}

/// The object of `info --json` for a model. The keys are a contract: more may be added, none renamed.
#[derive(Debug, Serialize)]
struct ModelInfo<'a> {
    kind: &'static str,
    name: &'a str,
    version: &'a str,
    sha256: &'a str,
    parameters: u64,
    classes: usize,
    channels: &'a [usize],
    window: [usize; 3],
    stride: [usize; 3],
    spacing_mm: [f64; 3],
    clip_hu: [f64; 2],
    mean_hu: f64,
    std_hu: f64,
    labels: Vec<LabelInfo<'a>>,
    provenance: &'a serde_json::Map<String, serde_json::Value>,
}

/// A label of a model.
#[derive(Debug, Serialize)]
struct LabelInfo<'a> {
    value: u8,
    name: &'a str,
}

/// The object of `info --json` for an image. The keys are a contract: more may be added, none renamed.
#[derive(Debug, Serialize)]
struct ImageInfo {
    kind: &'static str,
    /// Voxels along i, j, k.
    dims: [usize; 3],
    voxel_type: &'static str,
    /// Along i, j, k.
    spacing_mm: [f64; 3],
    /// The letters that i, j, k increase towards.
    orientation: String,
    /// Index to RAS mm, row major.
    affine: [f64; 16],
    rescale_slope: f64,
    rescale_intercept: f64,
    obliquity_degrees: f64,
    shear_degrees: f64,
    /// Only of a folder of DICOM.
    #[serde(skip_serializing_if = "Option::is_none")]
    series: Option<SeriesInfo>,
}

/// What a DICOM series is beyond an image, and what else lies in its folder.
#[derive(Debug, Serialize)]
struct SeriesInfo {
    uid: String,
    description: String,
    transfer_syntax: String,
    /// Files that are no part of the series, by kind.
    skipped: SkippedFiles,
}

pub(super) fn run(arguments: &Arguments, console: &Console) -> Result<String> {
    let path = &arguments.file;
    let info = if let Some(series) = arguments.reading.series(path)? {
        ImageInfo::of_series(io::read_series_header(&series)?)
    } else if is_model(path)? {
        let model = Model::from_file(path)?;
        let info = ModelInfo::of(&model);
        return if console.json { json_text(&info) } else { Ok(console.table(&info.table())) };
    } else {
        ImageInfo::of(&arguments.reading.read(path)?.view())
    };
    if console.json { json_text(&info) } else { Ok(console.table(&info.table())) }
}

/// Whether the file is a model rather than an image: by the name's ending, else by the `{` that follows the eight bytes
/// of a safetensors file's header length.
fn is_model(path: &Path) -> Result<bool> {
    files::check_inputs(&[path])?;
    if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("safetensors")) {
        return Ok(true);
    }
    // Opening a pipe would wait for its writer.
    if files::is_image_name(path) || !path.is_file() {
        return Ok(false);
    }
    let mut start = [0; 9];
    let mut file = File::open(path).map_err(|error| Error::io(path, "read", &error))?;
    Ok(file.read_exact(&mut start).is_ok() && start[8] == b'{')
}

impl<'a> ModelInfo<'a> {
    fn of(model: &'a Model) -> Self {
        let config = model.config();
        ModelInfo {
            kind: "model",
            name: &config.name,
            version: &config.version,
            sha256: model.sha256(),
            parameters: model.parameters(),
            classes: config.labels.len(),
            channels: &config.architecture.channels,
            window: config.window.size,
            stride: config.window.stride,
            spacing_mm: config.preprocess.spacing_mm,
            clip_hu: config.preprocess.clip_hu,
            mean_hu: config.preprocess.mean,
            std_hu: config.preprocess.std,
            labels: config.labels.iter().map(|label| LabelInfo { value: label.value, name: &label.name }).collect(),
            provenance: &config.provenance,
        }
    }

    fn table(&self) -> Table {
        let labels: Vec<String> = self.labels.iter().map(|label| format!("{} {}", label.value, label.name)).collect();
        facts([
            ("kind", "model".into()),
            ("name", self.name.into()),
            ("version", self.version.into()),
            ("sha256", self.sha256.into()),
            ("parameters", self.parameters.to_string()),
            ("channels", list(self.channels)),
            ("classes", self.classes.to_string()),
            ("labels", labels.join(", ")),
            ("window (D, H, W)", list(&self.window)),
            ("stride (D, H, W)", list(&self.stride)),
            ("spacing mm (D, H, W)", rounded(&self.spacing_mm)),
            ("clip HU", rounded(&self.clip_hu)),
            ("mean, std HU", rounded(&[self.mean_hu, self.std_hu])),
            ("provenance", if self.provenance.is_empty() { "–".into() } else { provenance(self.provenance) }),
        ])
    }
}

impl ImageInfo {
    fn of(volume: &Volume<'_>) -> Self {
        Self::new(volume.geometry(), volume.voxel_type(), volume.rescale(), None)
    }

    fn of_series(header: SeriesHeader) -> Self {
        let SeriesHeader { image, uid, description, transfer_syntax, skipped } = header;
        Self::new(&image.geometry, image.voxel_type, image.rescale, Some(SeriesInfo { uid, description, transfer_syntax, skipped }))
    }

    fn new(geometry: &Geometry, voxel_type: VoxelType, rescale: Rescale, series: Option<SeriesInfo>) -> Self {
        ImageInfo {
            kind: "image",
            dims: geometry.dims,
            voxel_type: voxel_type.name(),
            spacing_mm: geometry.ijk_to_world.spacing(),
            orientation: geometry.orientation().letters().iter().collect(),
            affine: geometry.ijk_to_world.between(geometry.world, World::Ras).0,
            rescale_slope: rescale.slope,
            rescale_intercept: rescale.intercept,
            obliquity_degrees: geometry.obliquity_degrees(),
            shear_degrees: geometry.shear_degrees(),
            series,
        }
    }

    fn table(&self) -> Table {
        let [xi, xj, xk, x, yi, yj, yk, y, zi, zj, zk, z, ..] = self.affine;
        let mut table = facts([
            ("kind", "image".into()),
            ("dims (i, j, k)", list(&self.dims)),
            ("voxel type", self.voxel_type.into()),
            ("spacing mm (i, j, k)", rounded(&self.spacing_mm)),
            ("i, j, k increase towards", self.orientation.clone()),
            ("affine, index to RAS mm: x", rounded(&[xi, xj, xk, x])),
            ("y", rounded(&[yi, yj, yk, y])),
            ("z", rounded(&[zi, zj, zk, z])),
            ("rescale slope, intercept", rounded(&[self.rescale_slope, self.rescale_intercept])),
            ("obliquity", format!("{:.2}°", self.obliquity_degrees)),
            ("shear", format!("{:.2}°", self.shear_degrees)),
        ]);
        if let Some(series) = &self.series {
            let skipped = series.skipped.to_string();
            table.row(["series".into(), series.uid.clone()]);
            table.row(["description".into(), series.description.clone()]);
            table.row(["transfer syntax".into(), series.transfer_syntax.clone()]);
            table.row(["skipped files".into(), if skipped.is_empty() { "–".into() } else { skipped }]);
        }
        table
    }
}

fn facts<const N: usize>(facts: [(&str, String); N]) -> Table {
    let mut table = Table::new(&[], 2);
    for (name, value) in facts {
        table.row([name.into(), value]);
    }
    table
}

fn list<T: ToString>(values: &[T]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Numbers to a hundred-thousandth, as a person reads them; `--json` has them whole.
fn rounded(values: &[f64]) -> String {
    list(&values.iter().map(|value| (value * 1e5).round() / 1e5 + 0.0).collect::<Vec<f64>>())
}

fn provenance(map: &serde_json::Map<String, serde_json::Value>) -> String {
    map.iter().map(|(key, value)| format!("{key}: {value}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_rounded_numbers_without_a_negative_zero() {
        assert_eq!(rounded(&[-26.472_124_099, 3071.0, -0.0, -1e-9]), "-26.47212, 3071, 0, 0");
    }

    #[test]
    fn a_model_is_known_by_its_ending_or_its_first_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let is_model = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            is_model(&path).unwrap()
        };
        assert!(is_model("a.safetensors", b""));
        assert!(is_model("weights", b"\x02\0\0\0\0\0\0\0{}"));
        assert!(!is_model("a.nii.gz", b"\x02\0\0\0\0\0\0\0{}"));
        assert!(!is_model("weights", b"\x02\0\0\0\0\0\0\0"));
        assert!(super::is_model(&folder.path().join("missing")).is_err());
    }

    #[test]
    fn a_pipe_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let name = std::ffi::CString::new(pipe.to_str().unwrap()).unwrap();
        // SAFETY: the name ends with a zero.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        assert!(!super::is_model(&pipe).unwrap());
    }
}
