//! A folder of DICOM on the command line, and in C.
#![cfg(feature = "cli")]

mod common;

use std::path::Path;
use std::process::{Command, Output};

use common::{Language, Link};

fn spinect(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_spinect")).current_dir(folder).args(arguments).output().unwrap()
}

fn fail(folder: &Path, arguments: &[&str]) -> String {
    let output = spinect(folder, arguments);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), errors.lines().count()), (Some(1), 1), "{arguments:?}: {errors}");
    errors
}

/// What the C client says about the series in this folder.
fn told_in_c(scans: &Path) -> Option<String> {
    let sources = ["tests/c/series.c", "tests/c/check.c"].map(Path::new);
    let program = common::compile(&sources, Language::C, Link::Shared, "client-series")?;
    let mut files: Vec<String> =
        std::fs::read_dir(scans).unwrap().map(|entry| entry.unwrap().path().to_str().unwrap().to_owned()).collect();
    files.sort();
    let arguments: Vec<&str> = std::iter::once(scans.to_str().unwrap()).chain(files.iter().map(String::as_str)).collect();
    Some(common::run(&program, &arguments))
}

#[cfg(not(feature = "dicom"))]
#[test]
fn a_build_without_dicom_says_which_build_reads_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("scans")).unwrap();
    for name in ["a", "b"] {
        std::fs::write(folder.path().join("scans").join(name), name).unwrap();
    }
    assert!(told_in_c(&folder.path().join("scans")).is_none_or(|told| told == "not built\n"));
    for command in [&["info", "scans"][..], &["image", "scans", "-o", "ct.nii"]] {
        assert!(fail(folder.path(), command).contains("--features dicom"));
    }
    assert!(!folder.path().join("ct.nii").exists());
}

#[cfg(feature = "dicom")]
mod with_dicom {
    use super::*;
    use serde_json::Value;
    use spinect::{ReadOptions, World, read_image};

    fn succeed(folder: &Path, arguments: &[&str]) -> String {
        let output = spinect(folder, arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// An axial slice of 24×20 voxels of 2 mm, explicit little endian: a bright square in soft tissue.
    fn slice(uid: &str, height: i32) -> Vec<u8> {
        let mut bytes = [[0; 128].as_slice(), b"DICM"].concat();
        let mut element = |group: u16, element: u16, vr: &[u8; 2], value: &[u8]| {
            bytes.extend([group.to_le_bytes(), element.to_le_bytes()].concat());
            let padding: &[u8] = if value.len() % 2 == 1 { b" " } else { b"" };
            let length = value.len() + padding.len();
            bytes.extend(vr);
            if vr == b"OW" {
                bytes.extend([0, 0]);
                bytes.extend((length as u32).to_le_bytes());
            } else {
                bytes.extend((length as u16).to_le_bytes());
            }
            bytes.extend([value, padding].concat());
        };
        let syntax = b"1.2.840.10008.1.2.1\0";
        element(0x0002, 0x0000, b"UL", &(8 + syntax.len() as u32).to_le_bytes());
        element(0x0002, 0x0010, b"UI", syntax);
        element(0x0008, 0x0008, b"CS", br"ORIGINAL\PRIMARY\AXIAL");
        element(0x0008, 0x0060, b"CS", b"CT");
        element(0x0008, 0x103e, b"LO", b"Spine");
        element(0x0020, 0x000e, b"UI", uid.as_bytes());
        element(0x0020, 0x0032, b"DS", format!(r"-24\-20\{height}").as_bytes());
        element(0x0020, 0x0037, b"DS", br"1\0\0\0\1\0");
        element(0x0028, 0x0004, b"CS", b"MONOCHROME2");
        for (number, value) in [(0x0010u16, 20u16), (0x0011, 24), (0x0100, 16), (0x0101, 12), (0x0102, 11), (0x0103, 0)] {
            if number == 0x0100 {
                element(0x0028, 0x0030, b"DS", br"2\2");
            }
            element(0x0028, number, b"US", &value.to_le_bytes());
        }
        element(0x0028, 0x1052, b"DS", b"-1024");
        element(0x0028, 0x1053, b"DS", b"1");
        let voxel = |at: i32| if (8..16).contains(&(at % 24)) && (6..14).contains(&(at / 24)) { 1724u16 } else { 1064 };
        element(0x7fe0, 0x0010, b"OW", &(0..480).flat_map(|at| voxel(at).to_le_bytes()).collect::<Vec<u8>>());
        bytes
    }

    fn place() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let scans = folder.path().join("scans");
        std::fs::create_dir(&scans).unwrap();
        for height in 0..12 {
            std::fs::write(scans.join(format!("IM{}", height * 7 % 12)), slice("1.2.3", 2 * height)).unwrap();
        }
        folder
    }

    #[test]
    fn a_folder_is_told_of_written_as_nifti_and_segmented() {
        let folder = place();
        let here = folder.path();
        std::fs::write(here.join("scans/notes.txt"), b"no DICOM").unwrap();
        let info: Value = serde_json::from_str(&succeed(here, &["info", "scans", "--json"])).unwrap();
        assert_eq!((&info["kind"], &info["dims"]), (&"image".into(), &serde_json::json!([24, 20, 12])));
        assert_eq!((&info["orientation"], &info["voxel_type"]), (&"LPS".into(), &"uint16".into()));
        assert_eq!((&info["series"]["uid"], &info["series"]["skipped"]["not_dicom"]), (&"1.2.3".into(), &1.into()));
        assert!(succeed(here, &["info", "scans"]).contains("1 no DICOM"));

        succeed(here, &["image", "scans", "-o", "ct.nii.gz"]);
        let image = read_image(&here.join("ct.nii.gz"), &ReadOptions::default()).unwrap();
        let geometry = *image.view().geometry();
        // In RAS, the corner that is −24, −20 in LPS lies at +24, +20.
        assert_eq!((geometry.world, geometry.ijk_to_world.apply([0.0; 3])), (World::Ras, [24.0, 20.0, 0.0]));
        assert_eq!(geometry.ijk_to_world.apply([1.0, 0.0, 11.0]), [22.0, 20.0, 22.0]);
        assert_eq!(image.view().rescale().intercept, -1024.0);

        succeed(here, &["init", "--preset", "spinect", "--channels", "2,2,4,4,4", "-o", "m.safetensors"]);
        for input in ["scans", "ct.nii.gz"] {
            succeed(here, &["segment", input, "--model", "m.safetensors", "-o", "labels.nii", "--force"]);
            let labels = read_image(&here.join("labels.nii"), &ReadOptions::default()).unwrap();
            assert!(labels.view().geometry().check_same_grid(&geometry).is_ok());
            std::fs::rename(here.join("labels.nii"), here.join(format!("{input}.labels.nii"))).unwrap();
        }
        let [a, b] = ["scans", "ct.nii.gz"]
            .map(|input| read_image(&here.join(format!("{input}.labels.nii")), &ReadOptions::default()).unwrap().bytes().to_vec());
        assert!(a == b, "the same CT as DICOM and as NIfTI has other labels");
    }

    #[test]
    fn c_reads_a_folder_and_a_list_of_files_alike() {
        let folder = place();
        assert!(told_in_c(&folder.path().join("scans")).is_none_or(|told| told == "read\n"));
    }

    #[test]
    fn one_of_several_series_is_chosen_by_its_uid() {
        let folder = place();
        let here = folder.path();
        for height in 0..3 {
            std::fs::write(here.join(format!("scans/X{height}")), slice("1.2.9", 2 * height)).unwrap();
        }
        let refused = fail(here, &["image", "scans", "-o", "ct.nii"]);
        assert!(refused.contains("2 series") && refused.contains("1.2.9 (CT, 3 files"), "{refused}");
        assert!(!here.join("ct.nii").exists());
        let told = succeed(here, &["image", "scans", "--series", "1.2.9", "-o", "ct.nii"]);
        assert!(told.contains("24×20×3"), "{told}");
        assert!(fail(here, &["image", "ct.nii", "--series", "1.2.9", "-o", "again.nii"]).contains("--series"));
        assert!(fail(here, &["info", "scans", "--series", "9"]).contains("1.2.3 (CT, 12 files"));
        assert!(fail(here, &["info", "scans/X0"]).contains("ending"));
    }
}
