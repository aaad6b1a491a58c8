//! The rules of the model format (model-format.md), each with a message that names the key or tensor that breaks it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use super::config::*;
use super::layers::{LayerKind, TensorRole, TensorSpec};
use crate::error::{Error, ErrorKind, Result};

// Bounds that no sensible model meets and that keep every product of sizes far from overflow.
const CHANNELS: RangeInclusive<usize> = 1..=4096;
const LEVELS: RangeInclusive<usize> = 1..=8;
const CONVOLUTIONS_PER_STAGE: RangeInclusive<usize> = 1..=8;
const WINDOW: RangeInclusive<usize> = 1..=1024;
const LABELS: RangeInclusive<usize> = 2..=255;

/// An error of the model file's contents.
pub(super) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidModel, message.into())
}

/// Text out of a file as a message shows it: control characters escaped, cut at 200 characters.
pub(super) fn shown(text: &str) -> String {
    const LIMIT: usize = 200;
    let mut shown = String::new();
    for (index, character) in text.chars().enumerate() {
        if index == LIMIT {
            shown.push('…');
            break;
        }
        if character.is_control() { shown.extend(character.escape_default()) } else { shown.push(character) }
    }
    shown
}

impl Config {
    /// Checks every rule that needs no tensor.
    ///
    /// Beyond model-format.md the sizes are bounded: 1 to 8 levels of 1 to 4096 channels, 1 to 8 convolutions per stage,
    /// windows up to 1024 voxels along an axis, 2 to 255 labels; and every number must be usable in f32.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidModel`], naming the key.
    pub fn validate(&self) -> Result<()> {
        if self.format_version != FORMAT_VERSION {
            return Err(unknown_version(&self.format_version.to_string()));
        }
        text("name", &self.name)?;
        text("version", &self.version)?;
        self.architecture()?;
        self.norm()?;
        self.preprocess()?;
        self.window()?;
        self.labels()
    }

    /// Sizes of the network.
    fn architecture(&self) -> Result<()> {
        let architecture = &self.architecture;
        if architecture.in_channels != 1 {
            return refuse("architecture.in_channels", architecture.in_channels, "must be 1: CT has one channel");
        }
        counted("architecture.channels", architecture.channels.len(), &LEVELS)?;
        for (level, &channels) in architecture.channels.iter().enumerate() {
            within(&format!("architecture.channels[{level}]"), channels, &CHANNELS)?;
        }
        within("architecture.convs_per_stage", architecture.convs_per_stage, &CONVOLUTIONS_PER_STAGE)
    }

    /// Normalization names convolutions of this network, each once.
    fn norm(&self) -> Result<()> {
        let Norm::Batch { eps, layers } = &self.architecture.norm;
        positive("architecture.norm.eps", *eps)?;
        let convolutions: BTreeSet<String> =
            self.layers().filter(|layer| layer.kind == LayerKind::Convolution).map(|layer| layer.name).collect();
        let mut seen = BTreeSet::new();
        for (index, name) in layers.iter().enumerate() {
            let key = format!("architecture.norm.layers[{index}]");
            if !convolutions.contains(name) {
                return refuse(&key, quoted(name), "names no convolution of this network");
            }
            if !seen.insert(name) {
                return refuse(&key, quoted(name), "is there twice: name each convolution once");
            }
        }
        Ok(())
    }

    /// Numbers that whiten every Hounsfield unit within the clip limits to a finite f32.
    fn preprocess(&self) -> Result<()> {
        let Preprocess { spacing_mm, clip_hu, mean, std, .. } = &self.preprocess;
        for (axis, &spacing) in spacing_mm.iter().enumerate() {
            positive(&format!("preprocess.spacing_mm[{axis}]"), spacing)?;
        }
        let [low, high] = *clip_hu;
        finite("preprocess.clip_hu[0]", low)?;
        finite("preprocess.clip_hu[1]", high)?;
        if low >= high {
            return refuse("preprocess.clip_hu", format!("[{low}, {high}]"), "must increase: lower limit first");
        }
        finite("preprocess.mean", *mean)?;
        positive("preprocess.std", *std)?;
        for limit in clip_hu {
            if !(((limit - mean) / std) as f32).is_finite() {
                return refuse("preprocess.std", std, &format!("whitens {limit} HU beyond what f32 holds"));
            }
        }
        Ok(())
    }

    /// Windows that halve evenly down to the coarsest level, and steps that leave no gap.
    fn window(&self) -> Result<()> {
        let WindowConfig { size, stride, .. } = &self.window;
        let levels = self.architecture.channels.len();
        let divisor = 1 << levels.saturating_sub(1).min(LEVELS.end() - 1);
        for (axis, (&size, &stride)) in size.iter().zip(stride).enumerate() {
            let key = format!("window.size[{axis}]");
            within(&key, size, &WINDOW)?;
            if size % divisor != 0 {
                return refuse(&key, size, &format!("must be divisible by {divisor}, 2^(levels - 1), with {levels} levels"));
            }
            if stride == 0 || stride > size {
                return refuse(&format!("window.stride[{axis}]"), stride, &format!("must be 1 to {size}, the window's size"));
            }
        }
        Ok(())
    }

    /// Labels that can be told apart by value and by name.
    fn labels(&self) -> Result<()> {
        counted("labels", self.labels.len(), &LABELS)?;
        let (mut values, mut names) = (BTreeSet::new(), BTreeSet::new());
        for (index, label) in self.labels.iter().enumerate() {
            if !values.insert(label.value) {
                return refuse(&format!("labels[{index}].value"), label.value, "is another label's too: values must be unique");
            }
            let key = format!("labels[{index}].name");
            text(&key, &label.name)?;
            if label.name.is_empty() {
                return refuse(&key, quoted(&label.name), "must not be empty");
            }
            if !names.insert(&label.name) {
                return refuse(&key, quoted(&label.name), "is another label's too: names must be unique");
            }
            if label.pieces == Some(0) {
                return refuse(&format!("labels[{index}].pieces"), 0, "must be at least 1, or left out");
            }
            for (what, code) in [("terminology", &label.terminology), ("category", &label.category)] {
                let Some(Code { scheme, code, meaning }) = code else { continue };
                for (part, content) in [("scheme", scheme), ("code", code), ("meaning", meaning)] {
                    text(&format!("labels[{index}].{what}.{part}"), content)?;
                }
            }
        }
        Ok(())
    }
}

/// The file is of another version of the format.
pub(super) fn unknown_version(found: &str) -> Error {
    invalid(format!("config key `format_version`: {} is not known; this library reads {FORMAT_VERSION}", shown(found)))
}

/// Compares the tensors that are there, by name, with those that the configuration expects.
pub(super) fn check_shapes(specs: &[TensorSpec], found: &BTreeMap<&str, &[usize]>) -> Result<()> {
    for spec in specs {
        match found.get(spec.name.as_str()) {
            None => return Err(invalid(format!("tensor `{}` is missing: the configuration needs it", spec.name))),
            Some(shape) if **shape != *spec.shape => {
                let shape = shown(&format!("{shape:?}"));
                return Err(invalid(format!("tensor `{}` has shape {shape}: the configuration needs {:?}", spec.name, spec.shape)));
            }
            Some(_) => {}
        }
    }
    if found.len() > specs.len() {
        let expected: BTreeSet<_> = specs.iter().map(|spec| spec.name.as_str()).collect();
        if let Some(surplus) = found.keys().find(|name| !expected.contains(*name)) {
            let count = found.len() - specs.len();
            return Err(invalid(format!(
                "tensor `{}` is surplus: the configuration has no place for it ({count} such tensors in all)",
                shown(surplus)
            )));
        }
    }
    Ok(())
}

/// Every value is finite, and a variance is not below 0.
pub(super) fn check_values(spec: &TensorSpec, values: &[f32]) -> Result<()> {
    let variance = spec.role == TensorRole::RunningVariance;
    match values.iter().enumerate().find(|&(_, value)| !value.is_finite() || (variance && *value < 0.0)) {
        None => Ok(()),
        Some((index, value)) => {
            let rule = if value.is_finite() { "a variance must not be below 0" } else { "every value must be finite" };
            Err(invalid(format!("tensor `{}` holds {value} at element {index}: {rule}", spec.name)))
        }
    }
}

fn refuse(key: &str, value: impl std::fmt::Display, rule: &str) -> Result<()> {
    Err(invalid(format!("config key `{key}` is {value}: it {rule}")))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", shown(text))
}

fn within(key: &str, value: usize, range: &RangeInclusive<usize>) -> Result<()> {
    if range.contains(&value) {
        return Ok(());
    }
    refuse(key, value, &format!("must be {} to {}", range.start(), range.end()))
}

fn counted(key: &str, count: usize, range: &RangeInclusive<usize>) -> Result<()> {
    if range.contains(&count) {
        return Ok(());
    }
    refuse(key, format!("a list of {count}"), &format!("must hold {} to {}", range.start(), range.end()))
}

fn finite(key: &str, value: f64) -> Result<()> {
    if (value as f32).is_finite() { Ok(()) } else { refuse(key, value, "must be finite in f32") }
}

fn positive(key: &str, value: f64) -> Result<()> {
    let single = value as f32;
    if single.is_finite() && single > 0.0 { Ok(()) } else { refuse(key, value, "must be above 0 and finite in f32") }
}

/// Names travel through C strings: a NUL would cut them short.
fn text(key: &str, content: &str) -> Result<()> {
    if content.contains('\0') { refuse(key, quoted(content), "must not hold NUL") } else { Ok(()) }
}
