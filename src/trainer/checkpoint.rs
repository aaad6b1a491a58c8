//! Everything that the next step of a run depends on, in one file.
//!
//! A safetensors file: `parameters/{name}` and `moment.{n}/{name}` (f32), and in its metadata one string, `spinect-checkpoint`,
//! a JSON object with the rest.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, View};
use serde::{Deserialize, Serialize};

use super::optimizer::Moments;
use super::options::Options;
use super::run::Best;
use crate::engine::cpu::training::Parameters;
use crate::error::{Error, ErrorKind, Result};
use crate::io::write_atomically;
use crate::model::{Config, Model, Tensor};

const FORMAT: &str = "spinect-checkpoint";
const VERSION: u32 = 1;

/// Everything that the next step of a run depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// What is written as JSON.
    pub head: Head,
    /// The parameters.
    pub parameters: Parameters,
    /// What the optimizer remembers.
    pub moments: Moments,
}

/// The part of a checkpoint that is not tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    version: u32,
    /// The model's configuration, with the training set's whitening.
    pub config: Config,
    /// What the run was asked for.
    pub options: Options,
    /// Iterations that are done.
    pub iteration: u64,
    /// Whether the validation after the last iteration is still to be done.
    pub validation_due: bool,
    /// The best validation so far.
    pub best: Option<Best>,
    /// Voxels of every class in the training cases.
    pub class_voxels: Vec<u64>,
    /// The identifiers of the cases to train, validate and test on.
    pub split: [Vec<String>; 3],
}

impl Head {
    /// The head of a checkpoint of this version.
    pub(super) fn new(config: Config, options: Options, class_voxels: Vec<u64>, split: [Vec<String>; 3]) -> Head {
        Head { version: VERSION, config, options, iteration: 0, validation_due: false, best: None, class_voxels, split }
    }
}

/// A tensor as safetensors writes it.
struct Values<'a> {
    shape: &'a [usize],
    values: &'a [f32],
}

impl View for Values<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }
    fn shape(&self) -> &[usize] {
        self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }
    fn data_len(&self) -> usize {
        size_of_val(self.values)
    }
}

impl Checkpoint {
    /// Writes the file: it appears whole or not at all.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    pub fn write(&self, path: &Path) -> Result<()> {
        let defect = |error: String| Error::new(ErrorKind::Panic, format!("a defect of spinect, please report it: {error}"));
        let head = serde_json::to_string(&self.head).map_err(|error| defect(error.to_string()))?;
        let sets = std::iter::once(("parameters".to_owned(), self.parameters.values()))
            .chain(self.moments.0.iter().enumerate().map(|(n, values)| (format!("moment.{n}"), values.as_slice())));
        let tensors = sets.flat_map(|(set, values)| {
            let named = self.parameters.specs().iter().zip(values);
            named.map(move |(spec, values)| (format!("{set}/{}", spec.name), Values { shape: &spec.shape, values })).collect::<Vec<_>>()
        });
        let metadata = HashMap::from([(FORMAT.to_owned(), head)]);
        let bytes = safetensors::serialize(tensors, Some(metadata)).map_err(|error| defect(error.to_string()))?;
        write_atomically(path, |file| file.write_all(&bytes))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`]; [`ErrorKind::CorruptFile`] for a file that is no checkpoint of this version, or is damaged.
    pub fn read(path: &Path) -> Result<Checkpoint> {
        let bytes = std::fs::read(path).map_err(|error| Error::io(path, "read", &error))?;
        Self::parse(&bytes).map_err(|error| error.context(path.display()))
    }

    fn parse(bytes: &[u8]) -> Result<Checkpoint> {
        let corrupt = |what: String| Error::new(ErrorKind::CorruptFile, format!("{what}: take an earlier checkpoint, or begin anew"));
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| corrupt(format!("no checkpoint ({error})")))?;
        let head = metadata.metadata().as_ref().and_then(|metadata| metadata.get(FORMAT));
        let head = head.ok_or_else(|| corrupt("no checkpoint: it lacks the key spinect-checkpoint".into()))?;
        let head: Head = serde_json::from_str(head).map_err(|error| corrupt(format!("the checkpoint's head cannot be read ({error})")))?;
        if head.version != VERSION {
            return Err(corrupt(format!("a checkpoint of version {}, this program reads {VERSION}", head.version)));
        }
        let file = SafeTensors::deserialize(bytes).map_err(|error| corrupt(format!("the checkpoint is damaged ({error})")))?;
        let values = |name: &str, expected: &[usize]| {
            let tensor = file.tensor(name).map_err(|_| corrupt(format!("the checkpoint has no tensor {name}")))?;
            if tensor.dtype() != Dtype::F32 || tensor.shape() != expected {
                return Err(corrupt(format!("the checkpoint's tensor {name} has another shape")));
            }
            Ok(tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect::<Vec<f32>>())
        };
        let tensors = head.config.tensors().map(|spec| {
            let data = values(&format!("parameters/{}", spec.name), &spec.shape)?;
            Ok((spec.name, Tensor { shape: spec.shape, data }))
        });
        let model = Model::new(head.config.clone(), tensors.collect::<Result<BTreeMap<_, _>>>()?)?;
        let parameters = Parameters::of(&model)?;
        let moment = |n: usize| {
            parameters.specs().iter().map(|spec| values(&format!("moment.{n}/{}", spec.name), &spec.shape)).collect::<Result<Vec<_>>>()
        };
        let moments = (0..head.options.optimizer.moments()).map(moment).collect::<Result<_>>().map(Moments)?;
        Ok(Checkpoint { head, parameters, moments })
    }
}
