//! The program as its users run it: exit status, the one line of an error, files, and the objects of `--json`.
#![cfg(feature = "cli")]

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use spinect::{Affine, Geometry, Volume, World};

/// A folder of its own for a test, and the program in it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Place(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_spinect"));
        command.current_dir(self.0.path()).args(arguments).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs the program, which must succeed, and returns what it printed.
    fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let (text, errors) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {errors}");
        assert_eq!(errors, "", "{arguments:?}");
        text
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.succeed(arguments)).unwrap()
    }

    /// Runs the program, which must fail with status 1, nothing on standard output and one line `error: …`, and returns
    /// that line.
    fn fail(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let (printed, errors) = (text(&output.stdout), text(&output.stderr));
        assert_eq!((output.status.code(), printed.as_str()), (Some(1), ""), "{arguments:?}: {errors}");
        assert!(errors.starts_with("error: ") && errors.ends_with('\n') && errors.lines().count() == 1, "{arguments:?}: {errors:?}");
        assert!(errors.len() >= "error: ".len() + 8, "{errors}");
        errors
    }

    /// A label map of 4×3×2 voxels of 1×1×2 mm; the first voxels are these, the others background.
    fn label_map(&self, name: &str, first: &[u8]) -> PathBuf {
        self.label_map_at(name, first, [0.0; 3])
    }

    fn label_map_at(&self, name: &str, first: &[u8], origin: [f64; 3]) -> PathBuf {
        let mut voxels = [0u8; 24];
        voxels[..first.len()].copy_from_slice(first);
        self.image(name, &voxels, [4, 3, 2], [1.0, 1.0, 2.0], origin)
    }

    fn image<T: spinect::Voxel>(&self, name: &str, voxels: &[T], dims: [usize; 3], spacing: [f64; 3], origin: [f64; 3]) -> PathBuf {
        let geometry = Geometry { dims, ijk_to_world: Affine::from_spacing(spacing, origin), world: World::Ras };
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        spinect::io::write_image(&Volume::from_slice(voxels, geometry).unwrap(), &path).unwrap();
        path
    }

    /// A CT of 20×24×12 voxels of 2 mm: a bright ball in soft tissue.
    fn ct(&self, name: &str) -> PathBuf {
        let voxels: Vec<i16> = (0..20 * 24 * 12i32)
            .map(|at| {
                let (i, j, k) = (at % 20 - 10, at / 20 % 24 - 12, at / 480 - 6);
                if i * i + j * j + k * k < 25 { 700 } else { 40 + (at * 7919 % 31) as i16 }
            })
            .collect();
        self.image(name, &voxels, [20, 24, 12], [2.0; 3], [-20.0, -24.0, -12.0])
    }

    /// An untrained model that is small enough for a test.
    fn model(&self, name: &str) -> PathBuf {
        self.succeed(&["init", "--preset", "spinect", "--channels", "2,2,4,4,4", "-o", name]);
        self.path(name)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

fn assert_has_keys(object: &Value, expected: &[&str]) {
    let found = keys(object);
    assert!(expected.iter().all(|key| found.contains(key)), "{expected:?} in {found:?}");
}

fn close(value: &Value, expected: f64) -> bool {
    (value.as_f64().unwrap() - expected).abs() < 1e-12
}

fn entries(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

#[test]
fn wrong_usage_exits_with_2_and_help_with_0() {
    let place = Place::new();
    let wrong: &[&[&str]] = &[
        &[],
        &["nothing"],
        &["segment"],
        &["segment", "ct.nii"],
        &["segment", "ct.nii", "--model", "m", "-o", "l.nii", "--device", "tpu"],
        &["segment", "ct.nii", "--model", "m", "-o", "l.nii", "--precision", "f8"],
        &["segment", "ct.nii", "--model", "m", "-o", "l.nii", "--roi", "1,2,3"],
        &["segment", "ct.nii", "--model", "m", "-o", "l.nii", "--deadline", "0"],
        &["bench", "--model", "m", "--size", "1,2"],
        &["bench", "--model", "m", "--runs", "0"],
        &["bench", "--model", "m", "--size", "1,2,3", "--volume", "ct.nii"],
        &["init", "-o", "m"],
        &["evaluate", "--truth", "a", "--prediction", "b", "--labels", "bone"],
        &["phantom"],
        &["phantom", "-o", "p", "--count", "0"],
        &["phantom", "-o", "p", "--spacing", "1,1"],
        &["query", "labels.nii"],
        &["query", "labels.nii", "--point", "1,2"],
        &["segment", "ct.nii", "--model", "m", "-o", "l.nii", "--clean", "nerve"],
        &["segment", "ct.nii", "--model", "m", "-o", "l.nii", "--surface-format", "stl"],
    ];
    for arguments in wrong {
        let output = place.run(arguments);
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(2), ""), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
    for name in ["segment", "info", "query", "image", "evaluate", "init", "convert", "bench", "demo", "phantom"] {
        assert!(place.succeed(&[name, "--help"]).contains("Usage: spinect"), "{name}");
    }
    let help = place.succeed(&["--help"]);
    assert_eq!(help.contains("train "), cfg!(feature = "trainer"), "{help}");
}

#[test]
fn the_version_and_how_it_was_built_are_told() {
    let version = Place::new().succeed(&["--version"]);
    assert!(version.starts_with(concat!("spinect ", env!("CARGO_PKG_VERSION"), "\n")) && version.contains("build: "), "{version}");
}

#[test]
fn a_missing_file_is_one_line_that_names_it() {
    let place = Place::new();
    for arguments in [
        &["info", "missing.nii"][..],
        &["segment", "missing.nii", "--model", "m.safetensors", "-o", "l.nii"],
        &["evaluate", "--truth", "missing.nii", "--prediction", "b.nii"],
    ] {
        let line = place.fail(arguments);
        assert!(line.contains("missing.nii"), "{line}");
    }
    assert!(place.fail(&["bench", "--model", "missing.safetensors"]).contains("missing.safetensors"));
    assert!(place.fail(&["info", "line\nbreak.nii"]).contains("line break.nii"));
    assert_eq!(entries(place.0.path()), 0);
}

#[test]
fn nothing_is_overwritten_without_force() {
    let place = Place::new();
    let arguments = ["init", "--preset", "spinect", "--channels", "2,2", "--seed", "3", "-o", "m.safetensors"];
    fs::write(place.path("m.safetensors"), "precious").unwrap();
    let line = place.fail(&arguments);
    assert!(line.contains("m.safetensors exists: use --force"), "{line}");
    assert_eq!(fs::read(place.path("m.safetensors")).unwrap(), b"precious");
    place.succeed(&[&arguments[..], &["--force"]].concat());
    assert_ne!(fs::read(place.path("m.safetensors")).unwrap(), b"precious");
    assert_eq!(entries(place.0.path()), 1);
}

#[test]
fn outputs_are_checked_before_any_work() {
    let place = Place::new();
    // Neither input is there: what is wrong with an output is told first.
    let segment = |more: &[&str]| place.fail(&[&["segment", "ct.nii", "--model", "m.safetensors"], more].concat());
    fs::write(place.path("old.json"), "precious").unwrap();
    assert!(segment(&["-o", "labels.png"]).contains(".nii"));
    assert!(segment(&["-o", "none/labels.nii"]).contains("none"));
    assert!(segment(&["-o", "labels.nii", "--report", "old.json"]).contains("old.json exists"));
    assert!(segment(&["-o", "labels.nii", "--confidence", "labels.nii"]).contains("two outputs"));
    assert!(segment(&["-o", "labels.nii", "--surface", "meshes", "--surface-reduction", "1"]).contains("reduction"));
    assert!(segment(&["-o", "labels.nii", "--surface", "."]).contains("--force"));
    assert_eq!(fs::read(place.path("old.json")).unwrap(), b"precious");
}

#[test]
fn an_untrained_model_says_so_and_tells_what_it_is() {
    let place = Place::new();
    let arguments = ["init", "--preset", "spinect", "--channels", "2,4,8,8,8", "--seed", "5"];
    let told = place.succeed(&[&arguments[..], &["-o", "a.safetensors"]].concat());
    assert!(told.contains("untrained") && told.contains("latency tests only"), "{told}");
    place.succeed(&[&arguments[..], &["-o", "b.safetensors"]].concat());
    assert_eq!(fs::read(place.path("a.safetensors")).unwrap(), fs::read(place.path("b.safetensors")).unwrap());

    let info = place.json(&["info", "a.safetensors", "--json"]);
    assert_has_keys(&info, &["kind", "name", "version", "sha256", "parameters", "classes", "window", "stride", "spacing_mm", "labels"]);
    assert_eq!((&info["kind"], &info["classes"]), (&"model".into(), &3.into()));
    assert_eq!(info["window"], serde_json::json!([32, 64, 64]));
    assert_eq!(info["stride"], serde_json::json!([20, 40, 40]));
    assert_eq!(info["labels"][2], serde_json::json!({"value": 2, "name": "nerve"}));
    assert_eq!(info["sha256"].as_str().unwrap().len(), 64);
    assert!(told.contains(info["sha256"].as_str().unwrap()));
    assert!(place.succeed(&["info", "a.safetensors"]).contains("parameters\t"));
}

#[test]
fn an_image_tells_its_grid() {
    let place = Place::new();
    place.label_map_at("labels.nii.gz", &[1], [-5.0, 6.0, 7.5]);
    let info = place.json(&["info", "labels.nii.gz", "--json"]);
    assert_has_keys(&info, &["kind", "dims", "voxel_type", "spacing_mm", "orientation", "affine"]);
    assert_eq!((&info["kind"], &info["voxel_type"], &info["orientation"]), (&"image".into(), &"uint8".into(), &"RAS".into()));
    assert_eq!(info["dims"], serde_json::json!([4, 3, 2]));
    assert_eq!(info["spacing_mm"], serde_json::json!([1.0, 1.0, 2.0]));
    let affine = [1.0, 0.0, 0.0, -5.0, 0.0, 1.0, 0.0, 6.0, 0.0, 0.0, 2.0, 7.5, 0.0, 0.0, 0.0, 1.0];
    assert_eq!(info["affine"], serde_json::json!(affine));
}

#[test]
fn evaluation_scores_two_files_as_counted_by_hand() {
    let place = Place::new();
    // Bone: 4 and 3 voxels, 2 in both, 5 in the union. Nerve: found exactly.
    place.label_map("truth.nii", &[1, 1, 1, 1, 0, 2]);
    place.label_map("prediction.nii.gz", &[0, 0, 1, 1, 1, 2]);
    let result = place.json(&["evaluate", "--truth", "truth.nii", "--prediction", "prediction.nii.gz", "--json"]);
    let bone = &result["labels"]["bone"];
    assert!(close(&bone["pixel_accuracy"], 0.5) && close(&bone["iou"], 0.4) && close(&bone["dice"], 4.0 / 7.0), "{bone}");
    // Bone lies in rows 0 and 1: from the truth 1 1 0 0 mm, back 0 0 1 mm.
    assert!(close(&bone["hd95_mm"], 1.0) && close(&bone["assd_mm"], 3.0 / 7.0), "{bone}");
    let perfect = serde_json::json!({"pixel_accuracy": 1.0, "iou": 1.0, "dice": 1.0, "hd95_mm": 0.0, "assd_mm": 0.0});
    assert_eq!(result["cases"][0]["labels"]["nerve"], perfect);
    let table = place.succeed(&["evaluate", "--truth", "truth.nii", "--prediction", "prediction.nii.gz"]);
    assert!(table.contains("truth\tbone\t0.5000\t0.4000\t0.5714\t1.00\t0.43\n"), "{table}");
}

#[test]
fn evaluation_of_folders_is_the_mean_over_cases_that_can_be_judged() {
    let place = Place::new();
    place.label_map("truth/a.nii", &[1, 1, 1, 1, 0, 2]);
    place.label_map("prediction/a.nii", &[0, 0, 1, 1, 1, 2]);
    place.label_map("truth/b.nii.gz", &[1, 1]);
    place.label_map("prediction/b.nii", &[1, 1]);
    let result = place.json(&["evaluate", "--truth", "truth", "--prediction", "prediction", "--json"]);
    assert!(close(&result["labels"]["bone"]["dice"], (4.0 / 7.0 + 1.0) / 2.0), "{result}");
    assert!(close(&result["labels"]["bone"]["standard_deviation"]["dice"], (3.0 / 14.0) * 2f64.sqrt()), "{result}");
    // Case b has no nerve in either map.
    assert!(close(&result["labels"]["nerve"]["dice"], 1.0) && result["cases"][1]["labels"]["nerve"]["dice"].is_null(), "{result}");
    let named = place.json(&["evaluate", "--truth", "truth", "--prediction", "prediction", "--labels", "1=vertebra", "--json"]);
    assert_eq!(keys(&named["labels"]), ["vertebra"]);
    fs::remove_file(place.path("prediction/b.nii")).unwrap();
    assert!(place.fail(&["evaluate", "--truth", "truth", "--prediction", "prediction"]).contains('b'));
    assert!(place.fail(&["evaluate", "--truth", "truth", "--prediction", "prediction/a.nii"]).contains("folder"));
}

#[test]
fn an_evaluation_writes_a_report_with_the_masks_on_the_images() {
    let place = Place::new();
    for name in ["a", "b"] {
        place.label_map(&format!("truth/{name}.nii"), &[1, 1, 1, 1, 0, 2]);
        place.label_map(&format!("prediction/{name}.nii"), &[0, 0, 1, 1, 1, 2]);
        place.image(&format!("ct/{name}.nii"), &[-7i16; 24], [4, 3, 2], [1.0, 1.0, 2.0], [0.0; 3]);
    }
    let folders = ["evaluate", "--truth", "truth", "--prediction", "prediction", "--report", "report"];
    let with_images = [&folders[..], &["--images", "ct"]].concat();
    assert!(place.succeed(&with_images).contains("report: report/index.html"));
    assert!(fs::read(place.path("report/overlays/b.png")).unwrap().starts_with(b"\x89PNG"));
    let page = fs::read_to_string(place.path("report/index.html")).unwrap();
    assert!(["overlays/a.png", "57.1", "Not a medical device"].iter().all(|part| page.contains(part)), "{page}");
    let csv = fs::read_to_string(place.path("report/scores.csv")).unwrap();
    assert!(csv.contains("case,a,bone,0.5,0.4,0.57"), "{csv}");
    assert!(place.fail(&with_images).contains("--force"));
    place.succeed(&[&folders[..], &["--force"]].concat());
    assert!(!fs::read_to_string(place.path("report/index.html")).unwrap().contains("overlays/"));
    // An image of another grid, and one that is missing.
    place.image("ct/b.nii", &[-7i16; 24], [4, 3, 2], [1.0, 1.0, 3.0], [0.0; 3]);
    assert!(place.fail(&[&with_images[..], &["--force"]].concat()).contains("ct/b.nii"));
    fs::remove_file(place.path("ct/b.nii")).unwrap();
    assert!(place.fail(&[&with_images[..], &["--force"]].concat()).contains("no image b"));
}

#[test]
fn evaluation_refuses_maps_of_another_grid() {
    let place = Place::new();
    place.label_map("truth.nii", &[1]);
    place.label_map_at("moved.nii", &[1], [0.01, 0.0, 0.0]);
    place.image("smaller.nii", &[1u8; 12], [4, 3, 1], [1.0, 1.0, 2.0], [0.0; 3]);
    place.image("ct.nii", &[-7i16; 24], [4, 3, 2], [1.0, 1.0, 2.0], [0.0; 3]);
    let evaluate = |prediction| place.fail(&["evaluate", "--truth", "truth.nii", "--prediction", prediction]);
    assert!(evaluate("moved.nii").contains("mm apart"));
    assert!(evaluate("smaller.nii").contains("dimensions"));
    assert!(evaluate("ct.nii").contains("whole numbers"));
}

#[test]
fn a_segmentation_writes_its_files_and_tells_the_keys_of_the_contract() {
    let place = Place::new();
    let (ct, model) = (place.ct("ct.nii.gz"), place.model("m.safetensors"));
    let outputs = ["-o", "labels.nii.gz", "--confidence", "confidence.nii", "--report", "report.json", "--picture", "planes.png"];
    let segment = [&["segment", "ct.nii.gz", "--model", "m.safetensors", "--threads", "1", "--json"][..], &outputs].concat();
    let result = place.json(&segment);
    assert_has_keys(&result, &["labels", "windows", "device", "model_sha256", "timings", "warnings"]);
    assert_has_keys(&result["timings"], &["read", "prepare", "network", "combine", "restore", "write", "total"]);
    assert_has_keys(&result["labels"][0], &["value", "name", "voxels", "volume_mm3"]);
    assert_eq!(result["device"], "cpu");
    // 40×48×24 mm fit one window.
    assert_eq!(result["windows"], 1);
    assert_eq!(result["model_sha256"], place.json(&["info", model.to_str().unwrap(), "--json"])["sha256"]);
    assert!(result["warnings"].as_array().unwrap().contains(&"model_not_clinical".into()), "{result}");
    let labels = result["labels"].as_array().unwrap();
    let voxels: u64 = labels.iter().map(|label| label["voxels"].as_u64().unwrap()).sum();
    let volume: f64 = labels.iter().map(|label| label["volume_mm3"].as_f64().unwrap()).sum();
    assert!(voxels == 20 * 24 * 12 && (volume - 8.0 * voxels as f64).abs() < 1e-6, "{result}");
    assert_eq!(serde_json::from_slice::<Value>(&fs::read(place.path("report.json")).unwrap()).unwrap(), result);

    let [input, written] = [ct.as_path(), &place.path("labels.nii.gz")].map(|path| place.json(&["info", path.to_str().unwrap(), "--json"]));
    assert_eq!((&written["voxel_type"], &written["affine"]), (&"uint8".into(), &input["affine"]));
    assert_eq!(place.json(&["info", "confidence.nii", "--json"])["voxel_type"], "float32");
    assert!(place.fail(&segment).contains("exists"));
    // The same input gives the same report, but for what was measured: seconds, and what the process held.
    let said = |mut report: Value| {
        report["timings"].take();
        report["memory"] = report["memory"]["session_estimate_bytes"].take();
        report
    };
    assert_eq!(said(place.json(&[&segment[..], &["--force"]].concat())), said(result));
    assert!(fs::read(place.path("planes.png")).unwrap().starts_with(b"\x89PNG"));
    assert!(place.fail(&["segment", "ct.nii.gz", "--model", "m.safetensors", "-o", "new.nii", "--picture", "planes.jpg"]).contains(".png"));
    assert_eq!(entries(place.0.path()), 6);
}

#[test]
fn a_ct_in_nrrd_is_segmented_into_a_segmentation_of_3d_slicer_in_its_place() {
    let place = Place::new();
    place.ct("ct.nii");
    let ct = place.ct("ct.nrrd");
    place.model("m.safetensors");
    let segment = |input: &str, output: &str| place.json(&["segment", input, "--model", "m.safetensors", "-o", output, "--json"]);
    let (nifti, nrrd) = (segment("ct.nii", "labels.nii"), segment("ct.nrrd", "labels.seg.nrrd"));
    assert_eq!((&nifti["labels"], &nifti["input_sha256"]), (&nrrd["labels"], &nrrd["input_sha256"]));
    let [input, written] = [ct.to_str().unwrap(), "labels.seg.nrrd"].map(|path| place.json(&["info", path, "--json"]));
    assert_eq!((&written["voxel_type"], &written["affine"], &written["orientation"]), (&"uint8".into(), &input["affine"], &"RAS".into()));
    let header = fs::read(place.path("labels.seg.nrrd")).unwrap();
    assert!(String::from_utf8_lossy(&header).contains("Segment1_Name:=nerve\n"));
    // An untrained network may find nothing: maps that hold something are compared across formats here.
    place.label_map("truth.nrrd", &[1, 1, 0, 2]);
    place.label_map("prediction.nii", &[1, 1, 0, 2]);
    let scores = place.json(&["evaluate", "--truth", "truth.nrrd", "--prediction", "prediction.nii", "--json"]);
    let found: Vec<f64> = scores["labels"].as_object().unwrap().values().filter_map(|label| label["dice"].as_f64()).collect();
    assert_eq!(found, [1.0, 1.0], "{scores}");
    let confidence = place.fail(&["segment", "ct.nrrd", "--model", "m.safetensors", "-o", "new.nrrd", "--confidence", "new.seg.nrrd"]);
    assert!(confidence.contains("holds labels") && !place.path("new.nrrd").exists());
}

#[test]
fn the_seconds_of_the_stages_add_up_to_the_total() {
    let place = Place::new();
    place.ct("ct.nii");
    place.model("m.safetensors");
    let result = place.json(&["segment", "ct.nii", "--model", "m.safetensors", "-o", "labels.nii", "--json"]);
    let timings = result["timings"].as_object().unwrap();
    let seconds = |key: &String| timings[key].as_f64().unwrap();
    let sum: f64 = timings.keys().filter(|key| *key != "total").map(seconds).sum();
    assert!((sum - seconds(&"total".into())).abs() < 1e-6, "{timings:?}");
    assert!(timings.keys().all(|key| seconds(key) >= 0.0), "{timings:?}");
}

#[test]
fn a_region_of_interest_leaves_the_rest_alone_and_one_elsewhere_is_refused() {
    let place = Place::new();
    place.ct("ct.nii");
    place.model("m.safetensors");
    let segment =
        |roi: &str, output: &str| place.run(&["segment", "ct.nii", "--model", "m.safetensors", "-o", output, "--json", "--roi", roi]);
    let inside = segment("-5,-5,-5,5,5,5", "inside.nii");
    assert_eq!(inside.status.code(), Some(0), "{}", text(&inside.stderr));
    let outside = segment("500,500,500,600,600,600", "outside.nii");
    assert_eq!(outside.status.code(), Some(1), "{}", text(&outside.stdout));
    assert!(!place.path("outside.nii").exists());
}

#[test]
fn a_pipe_gets_neither_colors_nor_borders_nor_a_progress_bar() {
    let place = Place::new();
    place.ct("ct.nii");
    place.model("m.safetensors");
    let told = place.succeed(&["segment", "ct.nii", "--model", "m.safetensors", "-o", "labels.nii"]);
    assert!(told.contains("label\tvalue\tvoxels\t") && told.contains("\ntotal\t"), "{told}");
    assert!(!told.contains('\u{1b}') && !told.contains('│'), "{told:?}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let place = Place::new();
    place.model("m.safetensors");
    let mut child = place.command(&["info", "m.safetensors"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
}

#[test]
fn a_passed_deadline_is_an_error_and_leaves_no_file() {
    let place = Place::new();
    place.ct("ct.nii");
    place.model("m.safetensors");
    place.fail(&["segment", "ct.nii", "--model", "m.safetensors", "-o", "labels.nii", "--deadline", "1e-9"]);
    assert_eq!(entries(place.0.path()), 2);
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_ends_with_one_line_and_without_a_file() {
    let place = Place::new();
    place.succeed(&["init", "--preset", "spinect", "--channels", "8,16,32,64,64", "-o", "m.safetensors"]);
    // No two windows are alike: hundreds of them go through the network.
    let voxels: Vec<i16> = (0..200 * 200 * 200u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 21) as i16).collect();
    place.image("ct.nii", &voxels, [200; 3], [1.0; 3], [0.0; 3]);
    let mut command = place.command(&["segment", "ct.nii", "--model", "m.safetensors", "-o", "labels.nii"]);
    // Whoever runs the tests in the background ignores SIGINT, and so would the program.
    // SAFETY: between fork and exec, only an async-signal-safe function is called.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGINT, libc::SIG_DFL);
            Ok(())
        })
    };
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Before the handler stands, the signal ends the process without a word: wait until it is caught.
    let status = format!("/proc/{}/status", child.id());
    let caught = || {
        let status = fs::read_to_string(&status).unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim();
        u64::from_str_radix(mask, 16).unwrap() & 1 << (libc::SIGINT - 1) != 0
    };
    while !caught() && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    // SAFETY: the process is a child of this one that nobody has waited for.
    unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGINT) };
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(1), "error: cancelled: nothing was written\n"));
    assert_eq!(entries(place.0.path()), 2);
}

#[test]
fn a_benchmark_tells_the_keys_of_the_contract() {
    let place = Place::new();
    place.model("m.safetensors");
    let bench = ["bench", "--model", "m.safetensors", "--size", "40,64,64", "--runs", "3", "--threads", "1"];
    let result = place.json(&[&bench[..], &["--json"]].concat());
    assert_has_keys(&result, &["windows", "device", "threads", "precision", "per_window", "total", "stages"]);
    let expected = ["p50", "p90", "p99", "max", "mean"];
    assert_has_keys(&result["per_window"], &expected);
    assert_has_keys(&result["total"], &expected);
    for stage in ["prepare", "network", "combine", "restore"] {
        assert_has_keys(&result["stages"][stage], &expected);
    }
    assert_eq!((&result["windows"], &result["windows_computed"], &result["threads"]), (&2.into(), &2.into(), &1.into()));
    assert_eq!((&result["precision"], &result["device"], &result["runs"]), (&"f32".into(), &"cpu".into(), &3.into()));
    assert_eq!(result["total"]["p99"], result["total"]["max"]);
    assert!(place.succeed(&bench).contains("per window\t"));
}

#[test]
fn the_demonstration_finds_bone_and_nerve_of_a_phantom_and_says_twice_that_it_is_not_for_patients() {
    let place = Place::new();
    let told = place.succeed(&["demo", "-o", "demo"]);
    assert_eq!(told.matches("not for patients, and the scores").count(), 2, "{told}");
    assert!(told.contains("demonstration or untrained weights: not for patients") && told.contains("along the midline"), "{told}");
    for file in [
        "ct.nii.gz",
        "truth.nii.gz",
        "labels.nii.gz",
        "demonstration.safetensors",
        "report/index.html",
        "report/overlays/truth.png",
        "surfaces/nerve.stl",
        "surfaces/bone.stl",
    ] {
        assert!(place.path("demo").join(file).is_file(), "{file}");
    }
    let again = [place.path("demo/ct.nii.gz"), place.path("demo/labels.nii.gz")]
        .map(|path| place.json(&["info", path.to_str().unwrap(), "--json"]));
    assert_eq!(again[0]["affine"], again[1]["affine"]);
    assert!(place.fail(&["demo", "-o", "demo"]).contains("--force"));
    let json = place.json(&["demo", "-o", "demo", "--force", "--json"]);
    assert!(json["notice"].as_str().unwrap().contains("not for patients"));
    assert!(json["warnings"].as_array().unwrap().contains(&"model_not_clinical".into()), "{}", json["warnings"]);
    assert_has_keys(&json, &["labels", "windows", "timings", "phantom_seconds", "segment_seconds", "evaluate_seconds", "query_seconds"]);
    let needles = json["needles"].as_array().unwrap();
    assert!(needles[0]["clearance_mm"].as_f64().unwrap() > 1.0 && needles[1]["crosses"] == true, "{needles:?}");
    for needle in needles {
        let [found, truth] = ["clearance_mm", "true_clearance_mm"].map(|key| needle[key].as_f64().unwrap());
        assert!((found - truth).abs() < 3.0, "{needle}");
    }
    for (label, least) in [("bone", 0.9), ("nerve", 0.8)] {
        let dice = json["evaluation"]["labels"][label]["dice"].as_f64().unwrap();
        assert!(dice > least, "{label}: {dice}");
    }
}

#[test]
fn a_label_map_answers_how_far_its_structure_is() {
    let place = Place::new();
    // 20 voxels of 1 mm along each axis in LPS; a box of 10 in the middle.
    let within = |c: usize| (5..15).contains(&c);
    let voxels: Vec<u8> = (0..8000).map(|v| if within(v % 20) && within(v / 20 % 20) && within(v / 400) { 4 } else { 0 }).collect();
    let geometry = Geometry { dims: [20; 3], ijk_to_world: Affine::from_spacing([1.0; 3], [0.0; 3]), world: World::Lps };
    spinect::io::write_image(&Volume::from_slice(&voxels, geometry).unwrap(), &place.path("labels.nii.gz")).unwrap();
    let answer = place.json(&["query", "labels.nii.gz", "--point", "-17.5,-9,9", "--json"]);
    let number = |answer: &Value, key: &str| answer[key].as_f64().unwrap_or_else(|| panic!("{key} of {answer}"));
    assert_eq!((answer["world"].as_str(), answer["label"].as_i64(), number(&answer, "confidence")), (Some("ras"), Some(0), 1.0));
    assert!((number(&answer, "distance_mm") - 3.0).abs() < 1e-6 && (number(&answer, "unexamined_mm") - 2.0).abs() < 1e-6);
    assert!((answer["nearest"][0].as_f64().unwrap() + 14.5).abs() < 1e-6 && answer.get("clearance_mm").is_none());
    let needle = ["query", "labels.nii.gz", "--point", "9.5,9.5,40", "--to", "9.5,9.5,0", "--radius", "1", "--world", "lps"];
    let answer = place.json(&[&needle[..], &["--margin", "3", "--label", "4", "--json"]].concat());
    assert!(answer["crosses"] == true && answer["violated"] == true && answer["label"].is_null());
    assert!((number(&answer, "length_inside_mm") - 10.0).abs() < 1e-6 && number(&answer, "clearance_unexamined_mm") < 0.0);
    assert!((number(&answer, "violation_along_mm") - (40.0 - 14.5 - 4.0)).abs() < 1e-5);
    let told = place.succeed(&needle);
    assert!(told.contains("LPS, mm") && told.contains("nothing was segmented"), "{told}");
    assert!(place.fail(&["query", "labels.nii.gz", "--point", "0,0,0", "--label", "bone"]).contains("label 4 (4)"));
    assert!(place.fail(&["query", "labels.nii.gz", "--point", "1e300,0,0"]).contains("10^9"));
    assert_eq!(place.run(&["query", "labels.nii.gz", "--point", "0,0,0", "--radius", "1"]).status.code(), Some(2));
}

#[test]
fn a_model_is_written_again_in_half_the_bytes_renamed_and_described() {
    let place = Place::new();
    place.succeed(&["init", "--preset", "spinect", "--channels", "2,4", "-o", "whole.safetensors"]);
    let convert = ["convert", "whole.safetensors", "--weights", "f16", "-o", "half.safetensors", "--name", "halved"];
    let told = place.succeed(&[&convert[..], &["--provenance", "trained_on=nobody"]].concat());
    assert!(told.contains("half.safetensors") && told.contains("sha256"), "{told}");
    let [whole, half] = ["whole.safetensors", "half.safetensors"].map(|name| place.path(name));
    let bytes = [&whole, &half].map(|path| fs::metadata(path).unwrap().len());
    assert!(bytes[1] * 10 < bytes[0] * 6 + 20_000, "{bytes:?}");
    let models = [whole, half].map(|path| spinect::model::Model::from_file(&path).unwrap());
    assert_eq!((models[1].config().name.as_str(), &models[1].config().provenance["trained_on"]), ("halved", &"nobody".into()));
    for (name, tensor) in models[0].tensors() {
        let rounded = &models[1].tensor(name).unwrap().data;
        assert!(tensor.data.iter().zip(rounded).all(|(a, b)| (a - b).abs() <= a.abs() / 2048.0 + 1e-7), "{name}");
    }
    assert!(place.fail(&convert).contains("--force"));
    let clinical = place.run(&["convert", "whole.safetensors", "-o", "x.safetensors", "--provenance", "clinical=true"]);
    assert_eq!(clinical.status.code(), Some(2));
    assert!(text(&clinical.stderr).contains("not made clinical"));
}

#[test]
fn phantoms_repeat_with_their_seed_and_are_pairs_of_files_of_one_name() {
    let place = Place::new();
    let make = ["phantom", "-o", "p", "--count", "2", "--seed", "5", "--small", "--spacing", "2,2,3", "--json"];
    let told = place.json(&make);
    assert_eq!(told, serde_json::from_slice::<Value>(&fs::read(place.path("p/phantoms.json")).unwrap()).unwrap());
    assert_eq!((&told["labels"][0]["name"], &told["labels"][1]["value"]), (&"bone".into(), &2.into()));
    for (case, seed) in told["cases"].as_array().unwrap().iter().zip([5, 6]) {
        assert_eq!((&case["parameters"]["seed"], &case["dims"]), (&seed.into(), &serde_json::json!([64, 64, 40])));
        assert!(case["bone_share"].as_f64().unwrap() > 0.05 && case["nerve_share"].as_f64().unwrap() > 0.002);
        assert_has_keys(&case["parameters"], &["spine", "tissue", "torso", "scanner", "metal", "field_of_view"]);
        let [image, label] = ["image", "label"].map(|key| place.path("p").join(case[key].as_str().unwrap()));
        assert_eq!(image.file_name(), label.file_name());
        let infos = [image, label].map(|path| place.json(&["info", path.to_str().unwrap(), "--json"]));
        assert_eq!(infos[0]["affine"], infos[1]["affine"]);
    }
    let files = ["p/images/case-0005.nii.gz", "p/labels/case-0006.nii.gz"].map(|name| place.path(name));
    let before = files.each_ref().map(|path| fs::read(path).unwrap());
    let again: Vec<&str> = make.into_iter().chain(["--force"]).collect();
    assert!(place.fail(&make[..make.len() - 1]).contains("--force"));
    place.succeed(&again);
    assert_eq!(before, files.map(|path| fs::read(path).unwrap()));
    let same = place.json(&["evaluate", "--truth", "p/labels", "--prediction", "p/labels", "--json"]);
    assert_eq!(same["labels"]["nerve"]["dice"], 1.0);
    assert!(place.fail(&["phantom", "-o", "q", "--spacing", "50,1,1"]).contains("spacing"));
}
