//! Labeled cases: found ([`Manifest`]), checked ([`Findings`]), preprocessed ([`Case`]), split ([`Split`]), and drawn from
//! ([`Batches`]).

mod batches;
mod cache;
mod case;
mod check;
mod classes;
mod findings;
#[cfg(test)]
mod fixtures;
mod folder;
mod manifest;
mod patch;
pub(super) mod random;
mod split;
mod statistics;
mod store;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::io::ReadOptions;

pub use self::batches::{Batch, Batches, Sampling};
pub use self::case::{Case, PADDING, Whitening};
pub use self::classes::{BACKGROUND, Classes, MAX_CLASSES, ValueMap};
pub use self::findings::{Findings, Problem};
pub use self::manifest::{Manifest, Pair};
pub use self::patch::Augmentation;
pub use self::split::{FOLDS, Part, Split};
pub use self::statistics::Statistics;

use self::cache::image_digest;
use self::store::Store;

/// How the cases of a manifest are read and kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    /// How image files are read.
    pub read: ReadOptions,
    /// A folder for preprocessed cases, made if it is not there; `None`: images are read anew whenever they are needed and not
    /// in memory.
    pub cache: Option<PathBuf>,
    /// Bytes of preprocessed cases (3 per voxel) that are kept in memory; those beyond are read whenever they are needed.
    pub memory: u64,
}

impl Default for OpenOptions {
    fn default() -> Self {
        OpenOptions { read: ReadOptions::default(), cache: None, memory: u64::MAX }
    }
}

/// Told before each case is read: how many are done, of how many. `Break` cancels.
pub type Progress<'a> = &'a mut dyn FnMut(usize, usize) -> ControlFlow<()>;

/// Labeled cases, sorted by their identifiers. Shared between threads.
#[derive(Debug)]
pub struct Dataset {
    classes: Classes,
    ids: Vec<String>,
    /// What each case is for, if a manifest says so.
    parts: Option<Vec<Part>>,
    store: Store,
}

impl Dataset {
    /// A dataset of cases in memory. Whether two of them are the same image is the caller's to know.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for an identifier that two cases have, or a class that is not among `classes`.
    pub fn from_cases(classes: Classes, mut cases: Vec<(String, Case)>) -> Result<Dataset> {
        cases.sort_by(|a, b| a.0.cmp(&b.0));
        if let Some(pair) = cases.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(Error::new(ErrorKind::InvalidArgument, format!("two cases are called {:?}: give each its own name", pair[0].0)));
        }
        for (id, case) in &cases {
            if let Some(class) = case.foreground_classes().find(|&class| usize::from(class) >= classes.count()) {
                let message = format!("case {id:?} holds class {class}: there are {}, from 0", classes.count());
                return Err(Error::new(ErrorKind::InvalidArgument, message));
            }
        }
        let (ids, cases): (_, Vec<_>) = cases.into_iter().unzip();
        Ok(Dataset { classes, ids, parts: None, store: Store::in_memory(cases) })
    }

    /// Reads and checks every case of a manifest, as [`examine`](Self::examine), and refuses a set with any problem.
    ///
    /// # Errors
    /// As [`examine`](Self::examine) and [`Findings::check`].
    pub fn open(manifest: &Manifest, options: &OpenOptions) -> Result<Dataset> {
        let (dataset, findings) = Dataset::examine(manifest, options, &mut |_, _| ControlFlow::Continue(()))?;
        findings.check().map(|()| dataset)
    }

    /// Reads and checks every case of a manifest: the cases that are in order, and everything that is wrong.
    ///
    /// Checked are: that each pair of files can be read, lies on one grid, has a spacing that a session accepts, holds
    /// plausible Hounsfield units and known label values; that no two cases hold the same image, however it is stored; that
    /// every class occurs. A case without foreground is warned of.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`]; [`ErrorKind::Io`] if the cache cannot be written; [`ErrorKind::OutOfMemory`].
    pub fn examine(manifest: &Manifest, options: &OpenOptions, progress: Progress<'_>) -> Result<(Dataset, Findings)> {
        let mut store = Store::of_files(options)?;
        let mut findings = Findings { problems: manifest.problems.clone(), warnings: Vec::new() };
        let (mut ids, mut parts, mut present) = (Vec::new(), Vec::new(), [false; 256]);
        let mut images: BTreeMap<[u8; 32], &str> = BTreeMap::new();
        for (done, pair) in manifest.pairs.iter().enumerate() {
            if progress(done, manifest.pairs.len()).is_break() {
                return Err(Error::new(ErrorKind::Cancelled, "cancelled while the cases were read"));
            }
            let case = match store.add(pair)? {
                Ok(case) => case,
                Err(problems) => {
                    findings.problems.extend(problems.into_iter().map(|message| Problem::new(&pair.id, message)));
                    continue;
                }
            };
            case.foreground_classes().for_each(|class| present[usize::from(class)] = true);
            if case.foreground_classes().len() == 0 {
                findings.warnings.push(Problem::new(&pair.id, "holds nothing but background: is it labeled?"));
            }
            if let Some(other) = images.insert(image_digest(&case), &pair.id) {
                let message = format!("holds the same image as {other}: one could train and the other test, so remove one");
                findings.problems.push(Problem::new(&pair.id, message));
            }
            ids.push(pair.id.clone());
            parts.push(pair.part);
        }
        // A class may lie in a case that was refused.
        if findings.problems.is_empty() {
            let absent = manifest.classes.names().iter().enumerate().skip(1).filter(|&(class, _)| !present[class]);
            let problem = |(_, name): (usize, &String)| {
                Problem::new("the set", format!("no voxel of any case is {name}: map its label value, or leave the class out"))
            };
            findings.problems.extend(absent.map(problem));
        }
        let parts = parts.into_iter().collect();
        Ok((Dataset { classes: manifest.classes.clone(), ids, parts, store }, findings))
    }

    /// How many cases there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The classes.
    pub fn classes(&self) -> &Classes {
        &self.classes
    }

    /// The cases' identifiers, sorted.
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// The files that a case came from; `None` for a case that came from memory, or is not there.
    pub fn pair(&self, index: usize) -> Option<&Pair> {
        self.store.pair(index)
    }

    /// The case of this number, from memory, from the cache, or from its files.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if there is no such case; [`ErrorKind::Io`], [`ErrorKind::CorruptFile`] if its files
    /// have vanished or changed since the dataset was opened; [`ErrorKind::OutOfMemory`].
    pub fn case(&self, index: usize) -> Result<Arc<Case>> {
        self.store.get(index)
    }

    /// The manifest's own split if it has one; else fold `fold` of five, or for `None` a single split.
    ///
    /// # Errors
    /// As [`Split::fold`], [`Split::single`], [`Split::explicit`]; [`ErrorKind::InvalidArgument`] for a fold of a set whose
    /// manifest has a split.
    pub fn split(&self, seed: u64, fold: Option<usize>) -> Result<Split> {
        match (&self.parts, fold) {
            (Some(_), Some(fold)) => {
                let message = format!("fold {fold} was asked for, and the manifest says what each case is for: leave one of the two out");
                Err(Error::new(ErrorKind::InvalidArgument, message))
            }
            (Some(parts), None) => Split::explicit(&self.ids, parts),
            (None, Some(fold)) => Split::fold(&self.ids, seed, fold),
            (None, None) => Split::single(&self.ids, seed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fixtures::{Files, volume};
    use super::*;

    /// A folder of cases, and its dataset's findings.
    fn examined(files: &Files, options: &OpenOptions) -> (Dataset, Findings) {
        let manifest = Manifest::read(&files.path(""), &Classes::spinect()).unwrap();
        Dataset::examine(&manifest, options, &mut |_, _| ControlFlow::Continue(())).unwrap()
    }

    fn four_cases() -> Files {
        let files = Files::new();
        for (number, name) in ["d", "b", "a", "c"].into_iter().enumerate() {
            files.write_case(&format!("images/{name}.nii.gz"), &format!("labels/{name}.nii.gz"), number as i16);
        }
        files
    }

    #[test]
    fn a_sound_folder_becomes_a_dataset_in_the_order_of_names() {
        let files = four_cases();
        let (dataset, findings) = examined(&files, &OpenOptions::default());
        assert_eq!((dataset.ids(), findings), (["a", "b", "c", "d"].map(String::from).as_slice(), Findings::default()));
        let case = dataset.case(0).unwrap();
        assert_eq!((case.dims(), case.foreground_classes().collect::<Vec<_>>()), ([4, 5, 6], vec![1, 2]));
        assert_eq!(dataset.pair(1).unwrap().image, files.path("images/b.nii.gz"));
        assert_eq!(dataset.split(0, None).unwrap(), Split::single(dataset.ids(), 0).unwrap());
        assert!(dataset.split(0, Some(0)).is_err() && dataset.case(4).is_err());
    }

    #[test]
    fn every_problem_of_every_case_is_found_in_one_pass() {
        let files = four_cases();
        files.write("images/a.nii.gz", &volume(&[0u8; 120], [6, 5, 4]));
        files.write("labels/b.nii.gz", &volume(&[77u8; 120], [6, 5, 4]));
        files.write("labels/c.nii.gz", &volume(&[0u8; 60], [6, 5, 2]));
        files.write("labels/e.nii.gz", &volume(&[0u8; 60], [6, 5, 2]));
        let (dataset, findings) = examined(&files, &OpenOptions::default());
        let subjects: Vec<_> = findings.problems.iter().map(|problem| problem.subject.as_str()).collect();
        assert_eq!((subjects, dataset.ids()), (vec!["e", "a", "b", "c"], ["d".to_owned()].as_slice()));
        let manifest = Manifest::read(&files.path(""), &Classes::spinect()).unwrap();
        let error = Dataset::open(&manifest, &OpenOptions::default()).unwrap_err();
        assert!(error.message().starts_with("4 problems"), "{error}");
    }

    #[test]
    fn one_image_under_two_names_is_found_though_it_is_stored_otherwise() {
        let files = four_cases();
        // Case a again: unpacked, as numbers of another type, from right to left.
        let image = crate::io::read_image(&files.path("images/a.nii.gz"), &ReadOptions::default()).unwrap();
        let mut voxels: Vec<f32> = image.view().row::<i16>(0, 0).into_iter().flatten().map(f32::from).collect();
        for (j, k) in (0..4).flat_map(|k| (0..5).map(move |j| (j, k))).skip(1) {
            voxels.extend(image.view().row::<i16>(j, k).unwrap().map(f32::from));
        }
        voxels.chunks_exact_mut(6).for_each(<[f32]>::reverse);
        let mut turned = volume(&voxels, [6, 5, 4]);
        turned.1.ijk_to_world.0[0] = -1.0;
        files.write("images/z.nii", &turned);
        turned.0.iter_mut().enumerate().for_each(|(at, label)| *label = [0.0, 1.0, 2.0][at % 3]);
        files.write("labels/z.nii", &turned);
        let (_, findings) = examined(&files, &OpenOptions::default());
        assert!(findings.problems.len() == 1 && findings.problems[0].to_string().starts_with("z: holds the same image as a"), "{findings}");
    }

    #[test]
    fn a_class_that_no_case_holds_is_a_problem_and_a_case_without_foreground_a_warning() {
        let files = four_cases();
        for name in ["a", "b", "c", "d"] {
            let only_bone = if name == "c" { [0u8; 120] } else { [1; 120] };
            files.write(&format!("labels/{name}.nii.gz"), &volume(&only_bone, [6, 5, 4]));
        }
        let (_, findings) = examined(&files, &OpenOptions::default());
        assert!(findings.problems.len() == 1 && findings.problems[0].to_string().contains("nerve"), "{findings}");
        assert!(findings.warnings.len() == 1 && findings.warnings[0].subject == "c", "{findings}");
    }

    #[test]
    fn the_golden_cts_pass_every_check() {
        let paths = ["ct-l5s1-3mm", "labels", "oblique", "oblique-labels"]
            .map(|name| crate::testing::shared_data(&format!("golden/{name}.nii.gz")).map(|path| std::fs::canonicalize(path).unwrap()));
        let [Some(image), Some(label), Some(oblique), Some(oblique_label)] = paths else { return };
        let text = serde_json::json!({ "cases": [{"image": image, "label": label}, {"image": oblique, "label": oblique_label}] });
        let files = Files::new();
        std::fs::write(files.path("set.json"), text.to_string()).unwrap();
        let manifest = Manifest::read(&files.path("set.json"), &Classes::spinect()).unwrap();
        let (dataset, findings) = Dataset::examine(&manifest, &OpenOptions::default(), &mut |_, _| ControlFlow::Continue(())).unwrap();
        assert_eq!((findings, dataset.ids()), (Findings::default(), ["ct-l5s1-3mm", "oblique"].map(String::from).as_slice()));
    }

    #[test]
    fn a_cancelled_examination_ends() {
        let files = four_cases();
        let manifest = Manifest::read(&files.path(""), &Classes::spinect()).unwrap();
        let mut seen = Vec::new();
        let result = Dataset::examine(&manifest, &OpenOptions::default(), &mut |done, of| {
            seen.push((done, of));
            if done == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!((result.unwrap_err().kind(), seen), (ErrorKind::Cancelled, vec![(0, 4), (1, 4), (2, 4)]));
    }

    #[test]
    fn a_manifests_split_is_kept_and_no_fold_of_it_given() {
        let files = four_cases();
        let text = "image,label,split\nimages/a.nii.gz,labels/a.nii.gz,test\nimages/b.nii.gz,labels/b.nii.gz,train\n";
        std::fs::write(files.path("set.csv"), text).unwrap();
        let manifest = Manifest::read(&files.path("set.csv"), &Classes::spinect()).unwrap();
        let dataset = Dataset::open(&manifest, &OpenOptions::default()).unwrap();
        assert_eq!(dataset.split(0, None).unwrap(), Split { train: vec![1], validation: vec![], test: vec![0] });
        assert!(dataset.split(0, Some(1)).unwrap_err().message().contains("fold 1"));
    }

    #[test]
    fn cases_in_memory_are_sorted_and_their_names_and_classes_checked() {
        let case = |class| Case::new([1, 1, 2], [1.0; 3], vec![0; 2], vec![0, class]).unwrap();
        let of = |cases: &[(&str, u8)]| {
            Dataset::from_cases(Classes::spinect(), cases.iter().map(|&(id, class)| (id.to_owned(), case(class))).collect())
        };
        assert_eq!(of(&[("b", 1), ("a", 2)]).unwrap().ids(), ["a", "b"]);
        assert!(of(&[("a", 1), ("b", 1), ("a", 2)]).unwrap_err().message().contains("\"a\""));
        assert!(of(&[("a", 3)]).unwrap_err().message().contains("class 3"));
    }
}
