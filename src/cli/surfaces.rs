//! `--surface DIR`: the surface of every structure of a result, one file each.

use std::fs;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::error::{Error, ErrorKind, Result};
use crate::geometry::World;
use crate::segmentation::{Label, Segmentation};
use crate::surface::Options;

/// Surfaces, if any.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Surfaces {
    /// Also write the surface of every structure that was found into this folder, in LPS mm; made if it is missing
    #[arg(long = "surface", value_name = "DIR")]
    folder: Option<PathBuf>,
    /// The surfaces' files
    #[arg(long = "surface-format", value_enum, default_value_t, requires = "folder")]
    format: Format,
    /// Features smaller than about this many mm are smoothed away; 0: none [default: twice the longest edge of a voxel]
    #[arg(long = "surface-smoothing", value_name = "MM", requires = "folder")]
    smoothing: Option<f64>,
    /// The share of the triangles to take away, 0 to less than 1
    #[arg(long = "surface-reduction", value_name = "SHARE", default_value_t = 0.0, requires = "folder")]
    reduction: f64,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    #[default]
    Stl,
    Obj,
    Ply,
    Vtp,
}

/// Letters, digits and `-` of a name, `_` for the rest.
fn plain_name(name: &str) -> String {
    name.chars().map(|c| if c.is_alphanumeric() || c == '-' { c } else { '_' }).collect()
}

impl Surfaces {
    /// All that has a default, in this folder.
    pub(super) fn in_folder(folder: PathBuf) -> Self {
        Surfaces { folder: Some(folder), ..Surfaces::default() }
    }

    /// Refuses what could only fail after the work is done: options out of range, a folder that holds something.
    pub(super) fn check(&self, force: bool) -> Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        // Any spacing shows whether the options are fine.
        self.options([1.0; 3]).check()?;
        match fs::read_dir(folder).map(|mut entries| entries.next().is_some()) {
            Ok(true) if !force => {
                let message = format!("{} holds files: use --force to replace those of surfaces in it", folder.display());
                Err(Error::new(ErrorKind::Io, message))
            }
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(folder, "read the folder", &error)),
            _ => Ok(()),
        }
    }

    /// Writes a file for every structure that was found, and returns their names.
    pub(super) fn write(&self, result: &Segmentation) -> Result<Vec<String>> {
        let Some(folder) = &self.folder else { return Ok(Vec::new()) };
        fs::create_dir_all(folder).map_err(|error| Error::io(folder, "make the folder", &error))?;
        let options = self.options(result.geometry().ijk_to_world.spacing());
        let found = |label: &&Label| label.statistics.voxels > 0;
        let mut written = Vec::new();
        for label in result.table().iter().skip(1).filter(found) {
            let path = folder.join(self.file_name(label, result.table()));
            result.surface(i32::from(label.value), &options)?.write(&path)?;
            written.push(path.display().to_string());
        }
        Ok(written)
    }

    fn options(&self, spacing_mm: [f64; 3]) -> Options {
        let smoothing_mm = self.smoothing.unwrap_or(2.0 * spacing_mm.into_iter().fold(0.0, f64::max));
        Options { world: World::Lps, smoothing_mm, reduction: self.reduction }
    }

    /// The label's name as a file's; with its value where another label's would be the same.
    fn file_name(&self, label: &Label, table: &[Label]) -> String {
        let ending = self.format.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        let name = plain_name(&label.name);
        let shared = table.iter().any(|other| other.value != label.value && plain_name(&other.name) == name);
        if shared { format!("{name}-{}.{ending}", label.value) } else { format!("{name}.{ending}") }
    }
}
