//! `spinect evaluate`: label maps against the truth.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::arguments::{LabelNames, Placement};
use super::console::{Console, Table, plain};
use super::{files, json_text};
use crate::error::{Error, ErrorKind, Result, try_reserve};
use crate::geometry::{Geometry, World};
use crate::io::{self, ReadOptions};
use crate::metrics::{Overlap, Overlaps, mean};
use crate::volume::{Image, with_voxel_type};

/// Compare label maps with the truth: pixel accuracy, IoU, Dice
#[derive(Debug, Args)]
#[command(after_help = "Pixel accuracy of a label: the share of the truth's voxels that were found (recall).\n\
    Folders are matched by file name, without .nii or .nii.gz. A label that neither map of a case holds does not count\n\
    in the mean; pixel accuracy does not where the truth lacks it.")]
pub(super) struct Arguments {
    /// The true label map, or a folder of them
    #[arg(long, value_name = "A")]
    truth: PathBuf,
    /// The label map to judge, or a folder of them
    #[arg(long, value_name = "B")]
    prediction: PathBuf,
    /// The labels to compare
    #[arg(long, value_name = "1=bone,2=nerve", default_value = "1=bone,2=nerve")]
    labels: LabelNames,
    /// Print an object for programs instead of a table
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    placement: Placement,
}

/// The object of `evaluate --json`. The keys are a contract: more may be added, none renamed.
#[derive(Debug, Serialize)]
struct Evaluation {
    /// The mean over the cases, by label name.
    labels: BTreeMap<String, Scores>,
    cases: Vec<Case>,
    /// Files in the folder of predictions that no truth belongs to.
    unmatched: Vec<String>,
}

/// One pair of label maps.
#[derive(Debug, Serialize)]
struct Case {
    name: String,
    labels: BTreeMap<String, Scores>,
}

/// The three metrics; null where they do not exist.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Scores {
    pixel_accuracy: Option<f64>,
    iou: Option<f64>,
    dice: Option<f64>,
}

impl From<Overlap> for Scores {
    fn from(overlap: Overlap) -> Self {
        Scores { pixel_accuracy: overlap.pixel_accuracy(), iou: overlap.iou(), dice: overlap.dice() }
    }
}

impl Scores {
    fn mean(scores: &[Scores]) -> Scores {
        Scores {
            pixel_accuracy: mean(scores.iter().map(|score| score.pixel_accuracy)),
            iou: mean(scores.iter().map(|score| score.iou)),
            dice: mean(scores.iter().map(|score| score.dice)),
        }
    }
}

pub(super) fn run(arguments: &Arguments, console: &Console) -> Result<String> {
    let (pairs, unmatched) = pairs(&arguments.truth, &arguments.prediction)?;
    let names = &arguments.labels.0;
    let mut cases = Vec::new();
    for Pair { name, truth, prediction } in pairs {
        let overlaps = compare(&truth, &prediction, &arguments.placement.read_options())?;
        let labels = names.iter().map(|(value, name)| (name.clone(), overlaps.of(*value).into())).collect();
        cases.push(Case { name, labels });
    }
    let of_label = |name: &String| -> Vec<Scores> { cases.iter().filter_map(|case| case.labels.get(name)).copied().collect() };
    let labels = names.iter().map(|(_, name)| (name.clone(), Scores::mean(&of_label(name)))).collect();
    let evaluation = Evaluation { labels, cases, unmatched };
    if console.json { json_text(&evaluation) } else { Ok(evaluation.text(console, names)) }
}

/// Two label maps of one case.
#[derive(Debug, PartialEq, Eq)]
struct Pair {
    name: String,
    truth: PathBuf,
    prediction: PathBuf,
}

/// The cases of two files or two folders, and the predictions that belong to none.
fn pairs(truth: &Path, prediction: &Path) -> Result<(Vec<Pair>, Vec<String>)> {
    let fail = |message: String| Err(Error::new(ErrorKind::InvalidArgument, message));
    match (truth.is_dir(), prediction.is_dir()) {
        (false, false) => {
            files::check_inputs(&[truth, prediction])?;
            let pair = Pair { name: case_name(truth), truth: truth.into(), prediction: prediction.into() };
            return Ok((vec![pair], Vec::new()));
        }
        (true, true) => {}
        (true, false) => return fail(format!("{} is a folder and {} is not: give two of a kind", truth.display(), prediction.display())),
        (false, true) => return fail(format!("{} is a folder and {} is not: give two of a kind", prediction.display(), truth.display())),
    }
    let (truths, mut predictions) = (images_in(truth)?, images_in(prediction)?);
    if truths.is_empty() {
        return fail(format!("{} holds no .nii or .nii.gz file: name the folder with the true label maps", truth.display()));
    }
    let mut pairs = Vec::new();
    for (name, truth) in truths {
        let Some(found) = predictions.remove(&name) else {
            let folder = prediction.display();
            return fail(format!("{folder} holds no prediction {name}.nii or {name}.nii.gz for {}: add it", truth.display()));
        };
        pairs.push(Pair { name, truth, prediction: found });
    }
    Ok((pairs, predictions.into_keys().collect()))
}

/// The images in a folder by case name, without hidden files.
fn images_in(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let fail = |error: &std::io::Error| Error::io(folder, "list the folder", error);
    let mut images = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(|error| fail(&error))? {
        let path = entry.map_err(|error| fail(&error))?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if hidden || !files::is_image_name(&path) || path.is_dir() {
            continue;
        }
        let name = case_name(&path);
        if let Some(other) = images.insert(name, path.clone()) {
            let message = format!("{} and {} are the same case twice: keep one", other.display(), path.display());
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
    }
    Ok(images)
}

/// The file's name without `.nii` or `.nii.gz`.
fn case_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let end = name.to_ascii_lowercase().rfind(".nii").unwrap_or(name.len());
    name.get(..end).unwrap_or(&name).to_string()
}

fn compare(truth: &Path, prediction: &Path, options: &ReadOptions) -> Result<Overlaps> {
    let read = |path: &Path| io::read_image(path, options);
    let (expected, found) = (read(truth)?, read(prediction)?);
    same_grid(expected.view().geometry(), found.view().geometry())
        .map_err(|error| error.context(format!("{} and {}", truth.display(), prediction.display())))?;
    let labels = |image: &Image, path: &Path| labels(image).map_err(|error| error.context(path.display()));
    Overlaps::between(&labels(&expected, truth)?, &labels(&found, prediction)?)
}

/// How far apart the same voxel of two label maps may lie, mm.
const TOLERANCE_MM: f64 = 1e-3;

/// Refuses to compare voxels that are not the same place. A difference between two affines is largest at a corner.
fn same_grid(truth: &Geometry, prediction: &Geometry) -> Result<()> {
    if truth.dims != prediction.dims {
        let message = format!("dimensions {:?} and {:?} differ: compare on one grid", truth.dims, prediction.dims);
        return Err(Error::new(ErrorKind::InvalidGeometry, message));
    }
    let [a, b] = [truth, prediction].map(|geometry| geometry.ijk_to_world.between(geometry.world, World::Ras));
    let distance = (0..8)
        .map(|corner| {
            let index: [f64; 3] = std::array::from_fn(|axis| if corner >> axis & 1 == 1 { truth.dims[axis] as f64 - 1.0 } else { 0.0 });
            let (a, b) = (a.apply(index), b.apply(index));
            (a[0] - b[0]).hypot(a[1] - b[1]).hypot(a[2] - b[2])
        })
        .fold(0.0, f64::max);
    if distance > TOLERANCE_MM {
        let message = format!("the same voxel lies up to {distance:.4} mm apart (at most {TOLERANCE_MM} mm): compare on one grid");
        return Err(Error::new(ErrorKind::InvalidGeometry, message));
    }
    Ok(())
}

/// The voxels of a label map as label values, packed, i fastest.
fn labels(image: &Image) -> Result<Vec<u8>> {
    let volume = image.view();
    let (geometry, rescale) = (volume.geometry(), volume.rescale());
    let mut labels = Vec::new();
    try_reserve(&mut labels, geometry.voxel_count(), "a label map")?;
    let [_, rows, slices] = geometry.dims;
    for (j, k) in (0..slices).flat_map(|k| (0..rows).map(move |j| (j, k))) {
        with_voxel_type!(volume.voxel_type(), T => for stored in volume.row::<T>(j, k).into_iter().flatten() {
            let value = crate::volume::Voxel::to_f64(stored) * rescale.slope + rescale.intercept;
            if value.fract() != 0.0 || !(0.0..=255.0).contains(&value) {
                let message = format!("a voxel holds {value}: a label map holds whole numbers from 0 to 255");
                return Err(Error::new(ErrorKind::InvalidArgument, message));
            }
            labels.push(value as u8);
        });
    }
    Ok(labels)
}

impl Evaluation {
    /// The scores for people: a row per case and label, then the means.
    fn text(&self, console: &Console, names: &[(u8, String)]) -> String {
        let mut table = Table::new(&["case", "label", "pixel accuracy", "IoU", "Dice"], 2);
        let score = |value: Option<f64>| value.map_or_else(|| "–".into(), |value| format!("{value:.4}"));
        let mean = (self.cases.len() > 1).then_some(("mean", &self.labels));
        for (case, labels) in self.cases.iter().map(|case| (case.name.as_str(), &case.labels)).chain(mean) {
            for (label, scores) in names.iter().filter_map(|(_, name)| Some((name, labels.get(name)?))) {
                table.row([case.into(), label.clone(), score(scores.pixel_accuracy), score(scores.iou), score(scores.dice)]);
            }
        }
        let mut text = console.table(&table);
        if !self.unmatched.is_empty() {
            text += &console.warning(&format!("no truth belongs to {}", plain(&self.unmatched.join(", "))));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Affine;
    use crate::volume::{Rescale, VoxelType};

    fn grid(spacing: f64, shift: f64) -> Geometry {
        let ijk_to_world = Affine::from_spacing([spacing; 3], [shift, 0.0, 0.0]);
        Geometry { dims: [101, 2, 1], ijk_to_world, world: World::Ras }
    }

    #[test]
    fn grids_are_the_same_within_a_micrometer() {
        assert!(same_grid(&grid(1.0, 0.0), &grid(1.0, 0.0009)).is_ok());
        assert!(same_grid(&grid(1.0, 0.0), &grid(1.0, 0.0011)).is_err());
        // 100 voxels add up what one does not show.
        assert!(same_grid(&grid(1.0, 0.0), &grid(1.000_02, 0.0)).is_err());
        assert!(same_grid(&grid(1.0, 0.0), &Geometry { dims: [100, 2, 1], ..grid(1.0, 0.0) }).is_err());
    }

    #[test]
    fn the_same_place_in_another_world_is_the_same_grid() {
        let lps =
            Geometry { ijk_to_world: grid(1.0, 5.0).ijk_to_world.between(World::Ras, World::Lps), world: World::Lps, ..grid(1.0, 5.0) };
        assert!(same_grid(&grid(1.0, 5.0), &lps).is_ok());
    }

    #[test]
    fn label_maps_of_any_type_are_read_and_other_images_refused() {
        let geometry = Geometry { dims: [3, 1, 1], ..grid(1.0, 0.0) };
        let image = |values: [f32; 3], rescale| {
            let bytes = values.iter().flat_map(|value| value.to_ne_bytes()).collect();
            Image::new(bytes, VoxelType::Float32, geometry, rescale).unwrap()
        };
        assert_eq!(labels(&image([0.0, 2.0, 255.0], Rescale::IDENTITY)).unwrap(), [0, 2, 255]);
        assert_eq!(labels(&image([0.0, 2.0, 1.0], Rescale { slope: 0.5, intercept: 1.0 })).unwrap_err().kind(), ErrorKind::InvalidArgument);
        for wrong in [-1.0, 0.5, 256.0, f32::NAN] {
            assert!(labels(&image([0.0, wrong, 1.0], Rescale::IDENTITY)).unwrap_err().message().contains("whole numbers"));
        }
    }

    #[test]
    fn folders_are_matched_by_name_whatever_the_ending() {
        let [truth, prediction] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let touch = |folder: &tempfile::TempDir, names: &[&str]| {
            names.iter().for_each(|name| std::fs::write(folder.path().join(name), b"").unwrap());
        };
        touch(&truth, &["b.nii.gz", "a.nii", "notes.txt", ".hidden.nii"]);
        touch(&prediction, &["a.nii.gz", "b.nii.gz", "c.nii"]);
        let (pairs, unmatched) = pairs(truth.path(), prediction.path()).unwrap();
        assert_eq!(pairs.iter().map(|pair| pair.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(pairs[0].prediction, prediction.path().join("a.nii.gz"));
        assert_eq!(unmatched, ["c"]);
        touch(&truth, &["d.nii"]);
        assert!(super::pairs(truth.path(), prediction.path()).unwrap_err().message().contains("d.nii"));
        touch(&truth, &["a.nii.gz"]);
        assert!(super::pairs(truth.path(), prediction.path()).unwrap_err().message().contains("twice"));
    }
}
