//! What several subcommands accept, and how it is read.

use std::str::FromStr;

use clap::{Args, ValueEnum};

use crate::geometry::World;
use crate::io::{GeometryChoice, ReadOptions};
use crate::segmentation::Cleaning;
use crate::session::{Device, Precision, RegionOfInterest, SessionConfig};

/// Where and how the network runs.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Compute {
    /// Where the network runs: auto, cpu, cuda or cuda:N (the Nth GPU, from 0)
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: DeviceChoice,
    /// Threads; 0: one per core that this process may use
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Precision of the network's arithmetic
    #[arg(long, value_enum, default_value_t)]
    precision: PrecisionChoice,
}

impl Compute {
    pub(super) fn session_config(&self) -> SessionConfig {
        SessionConfig {
            device: self.device.kind,
            device_index: self.device.index,
            precision: self.precision.into(),
            threads: self.threads,
            ..SessionConfig::default()
        }
    }

    /// The name of the device that a session chose, as `--device` takes it.
    pub(super) fn device_name(&self, chosen: Device) -> String {
        match chosen {
            Device::Auto => "auto".into(),
            Device::Cpu => "cpu".into(),
            Device::Cuda => format!("cuda:{}", self.device.index),
        }
    }
}

/// The name of a precision, as `--precision` takes it.
pub(super) fn precision_name(precision: Precision) -> &'static str {
    match precision {
        Precision::F32 => "f32",
        Precision::F16 => "f16",
        Precision::Bf16 => "bf16",
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct DeviceChoice {
    kind: Device,
    index: i32,
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, index) = text.split_once(':').map_or((text, None), |(name, index)| (name, Some(index)));
        let (kind, index) = match (name, index) {
            ("auto", None) => (Device::Auto, 0),
            ("cpu", None) => (Device::Cpu, 0),
            ("cuda", None) => (Device::Cuda, 0),
            ("cuda", Some(index)) => {
                let number = index.parse::<u16>().map_err(|_| format!("'{index}' is no number of a GPU: 0 is the first"))?;
                (Device::Cuda, i32::from(number))
            }
            _ => return Err("a device is auto, cpu, cuda or cuda:N".into()),
        };
        Ok(DeviceChoice { kind, index })
    }
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum PrecisionChoice {
    /// 32-bit floating point throughout
    #[default]
    F32,
    /// 16-bit inputs, 32-bit sums
    F16,
    /// bfloat16 inputs, 32-bit sums
    Bf16,
}

impl From<PrecisionChoice> for Precision {
    fn from(choice: PrecisionChoice) -> Precision {
        match choice {
            PrecisionChoice::F32 => Precision::F32,
            PrecisionChoice::F16 => Precision::F16,
            PrecisionChoice::Bf16 => Precision::Bf16,
        }
    }
}

/// Which of a file's transforms counts.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(super) struct Placement {
    /// Which transform of a NIfTI file places its voxels; strict: two that disagree are an error
    #[arg(long, value_enum, default_value_t)]
    geometry: PlacementChoice,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum PlacementChoice {
    #[default]
    Strict,
    Sform,
    Qform,
}

impl Placement {
    pub(super) fn read_options(self) -> ReadOptions {
        let geometry = match self.geometry {
            PlacementChoice::Strict => GeometryChoice::Strict,
            PlacementChoice::Sform => GeometryChoice::Sform,
            PlacementChoice::Qform => GeometryChoice::Qform,
        };
        ReadOptions { geometry, ..ReadOptions::default() }
    }
}

/// A region of interest in RAS millimeters, written `x0,y0,z0,x1,y1,z1`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RasBox(pub(super) RegionOfInterest);

impl FromStr for RasBox {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let [x0, y0, z0, x1, y1, z1] = numbers::<f64, 6>(text, "a region is six numbers x0,y0,z0,x1,y1,z1 in RAS mm")?;
        let (min, max) = ([x0, y0, z0], [x1, y1, z1]);
        if min.iter().chain(&max).any(|value| !value.is_finite()) {
            return Err("every number of a region must be finite".into());
        }
        for (axis, (low, high)) in min.iter().zip(&max).enumerate() {
            if low >= high {
                return Err(format!("along {}, {low} is not below {high}: a region is x0,y0,z0,x1,y1,z1 in RAS mm", ["x", "y", "z"][axis]));
            }
        }
        Ok(RasBox(RegionOfInterest { min, max }))
    }
}

/// A point in millimeters, written `x,y,z`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Millimeters(pub(super) [f64; 3]);

impl FromStr for Millimeters {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "a point is three numbers x,y,z in mm";
        let point = numbers::<f64, 3>(text, expected)?;
        if point.iter().all(|c| c.is_finite()) { Ok(Millimeters(point)) } else { Err(expected.into()) }
    }
}

/// What coordinates are in.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(super) enum WorldChoice {
    /// x to the Right, y to Anterior, z to Superior
    #[default]
    Ras,
    /// x to the Left, y to Posterior, z to Superior
    Lps,
}

impl WorldChoice {
    pub(super) fn world(self) -> World {
        match self {
            WorldChoice::Ras => World::Ras,
            WorldChoice::Lps => World::Lps,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            WorldChoice::Ras => "ras",
            WorldChoice::Lps => "lps",
        }
    }
}

/// Which pieces of a label stay, written `LABEL=N` or `LABEL=N,MM3`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Clean {
    pub(super) label: String,
    pub(super) cleaning: Cleaning,
}

impl FromStr for Clean {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (label, rest) = text.rsplit_once('=').filter(|(label, _)| !label.is_empty())?;
            let (keep, least) = rest.split_once(',').unwrap_or((rest, "0"));
            let keep = keep.parse().ok().filter(|keep| *keep > 0)?;
            let least_mm3 = least.parse().ok().filter(|mm3: &f64| *mm3 >= 0.0 && mm3.is_finite())?;
            Some(Clean { label: label.into(), cleaning: Cleaning { keep, least_mm3 } })
        };
        read().ok_or_else(|| "cleaning is LABEL=N or LABEL=N,MM3: keep the N largest pieces (of at least MM3), for example nerve=1".into())
    }
}

/// A grid's size, written `D,H,W`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size(pub(super) [usize; 3]);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let size = numbers::<usize, 3>(text, "a size is three whole numbers D,H,W")?;
        if size.contains(&0) { Err("every size must be at least 1".into()) } else { Ok(Size(size)) }
    }
}

/// Channels per level, written `32,64,…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Channels(pub(super) Vec<usize>);

impl FromStr for Channels {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |part: &str| part.trim().parse::<usize>().ok().filter(|&n| n > 0);
        let channels: Option<Vec<usize>> = text.split(',').map(parse).collect();
        channels.map(Channels).ok_or_else(|| "channels are whole numbers above 0, one per level: 32,64,128,256,512".into())
    }
}

/// Label values and their names, written `1=bone,2=nerve`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LabelNames(pub(super) Vec<(u8, String)>);

impl FromStr for LabelNames {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut labels: Vec<(u8, String)> = Vec::new();
        for part in text.split(',') {
            let (value, name) = part.split_once('=').ok_or_else(|| format!("'{part}': write VALUE=NAME, for example 1=bone,2=nerve"))?;
            let value = value.trim().parse().map_err(|_| format!("'{value}' is no label value: they are 0 to 255"))?;
            let name = name.trim();
            if name.is_empty() {
                return Err(format!("label {value} has no name: write VALUE=NAME, for example 1=bone,2=nerve"));
            }
            if labels.iter().any(|(other, known)| *other == value || known == name) {
                return Err(format!("'{part}' stands there twice: every value and every name once"));
            }
            labels.push((value, name.into()));
        }
        Ok(LabelNames(labels))
    }
}

/// Exactly `N` numbers with commas between them.
fn numbers<T: FromStr + Copy, const N: usize>(text: &str, expected: &str) -> Result<[T; N], String> {
    let values: Option<Vec<T>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
    values.and_then(|values| values.try_into().ok()).ok_or_else(|| expected.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_with_their_number() {
        let read = |text: &str| text.parse::<DeviceChoice>().ok().map(|choice| (choice.kind, choice.index));
        assert_eq!(read("cpu"), Some((Device::Cpu, 0)));
        assert_eq!(read("auto"), Some((Device::Auto, 0)));
        assert_eq!(read("cuda"), Some((Device::Cuda, 0)));
        assert_eq!(read("cuda:3"), Some((Device::Cuda, 3)));
        for wrong in ["", "gpu", "cpu:0", "cuda:", "cuda:-1", "cuda:x", "CPU"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_region_is_six_finite_numbers_that_increase() {
        let region = "-10,-20.5,0,10, 20,5e1".parse::<RasBox>().unwrap().0;
        assert_eq!((region.min, region.max), ([-10.0, -20.5, 0.0], [10.0, 20.0, 50.0]));
        for wrong in
            ["", "1,2,3", "0,0,0,1,1", "0,0,0,1,1,1,1", "0,0,0,1,1,nan", "0,0,0,1,1,inf", "0,0,5,1,1,5", "0,0,0,-1,1,1", "a,0,0,1,1,1"]
        {
            assert!(wrong.parse::<RasBox>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn points_and_cleaning_are_read_or_refused() {
        assert_eq!("-1.5, 2,3e1".parse(), Ok(Millimeters([-1.5, 2.0, 30.0])));
        assert!(["", "1,2", "1,2,3,4", "1,2,nan", "1,2,inf", "a,b,c"].iter().all(|wrong| wrong.parse::<Millimeters>().is_err()));
        let clean = |label: &str, keep, least_mm3| Ok(Clean { label: label.into(), cleaning: Cleaning { keep, least_mm3 } });
        assert_eq!("nerve=1".parse(), clean("nerve", 1, 0.0));
        assert_eq!("a=b=2,12.5".parse(), clean("a=b", 2, 12.5));
        assert!(["", "nerve", "=1", "nerve=0", "nerve=1,-1", "nerve=1,nan", "nerve=x"].iter().all(|wrong| wrong.parse::<Clean>().is_err()));
    }

    #[test]
    fn sizes_and_channels_are_whole_numbers_above_zero() {
        assert_eq!("32,64,65".parse(), Ok(Size([32, 64, 65])));
        assert_eq!("4,8,16".parse(), Ok(Channels(vec![4, 8, 16])));
        for wrong in ["", "1,2", "1,2,0", "1,2,-3", "1,2,3,4", "1.5,2,3"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
        for wrong in ["", "4,,8", "4,0", "4;8", "-4"] {
            assert!(wrong.parse::<Channels>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn label_names_are_unique_pairs() {
        assert_eq!("1=bone, 2 = nerve".parse(), Ok(LabelNames(vec![(1, "bone".into()), (2, "nerve".into())])));
        for wrong in ["", "bone", "1=", "256=bone", "-1=bone", "1=bone,1=nerve", "1=bone,2=bone"] {
            assert!(wrong.parse::<LabelNames>().is_err(), "{wrong}");
        }
    }
}
