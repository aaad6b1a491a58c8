//! The command line module of 3D Slicer in `c_examples/slicer`: it describes itself, does what the command line does, and tells
//! how far it is. That 3D Slicer runs it is shown by `tests/python/slicer_module.py`.

mod common;
#[path = "common/fixtures.rs"]
mod fixtures;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{Language, Link};
use spinect::{ReadOptions, World, read_image, read_segmentation};

const SOURCE: &str = "c_examples/slicer/SpinectSegmentation/SpinectSegmentation.cpp";

/// The compiled module; `None`, loudly, without a compiler. `test` keeps programs of tests that run at once apart.
fn module(link: Link, test: &str) -> Option<PathBuf> {
    common::compile(&[Path::new(SOURCE)], Language::Cpp, link, &format!("slicer-module-{test}"))
}

/// A fresh folder with a small model and a small volume.
fn folder(name: &str) -> (PathBuf, PathBuf, PathBuf) {
    let folder = common::scratch_dir().join("slicer-module").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let (model, input) = (fixtures::small_model(&folder), fixtures::small_volume(&folder));
    (folder, model, input)
}

fn attempt(program: &Path, args: &[&OsStr]) -> (Output, String, String) {
    let output = Command::new(program).args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    (output, stdout, stderr)
}

#[test]
fn the_description_names_every_parameter_that_3d_slicer_passes() {
    let Some(program) = module(Link::Shared, "xml") else { return };
    let (output, stdout, stderr) = attempt(&program, &["--xml".as_ref()]);
    assert!(output.status.success() && stderr.is_empty(), "{stderr}");
    assert!(stdout.starts_with("<?xml"), "{stdout}");
    let document = roxmltree::Document::parse(&stdout).unwrap();
    let version = document.descendants().find(|node| node.has_tag_name("version")).and_then(|node| node.text());
    assert_eq!(version, Some(env!("CARGO_PKG_VERSION")));
    let child = |node: roxmltree::Node, tag: &str| {
        node.children().find(|child| child.has_tag_name(tag)).and_then(|child| child.text()).unwrap_or_default().to_owned()
    };
    let read: Vec<_> = document
        .descendants()
        .filter(|node| node.parent().is_some_and(|parent| parent.has_tag_name("parameters")))
        .filter(|node| node.is_element() && !node.has_tag_name("label") && !node.has_tag_name("description"))
        .map(|node| [child(node, "name"), child(node, "longflag") + &child(node, "index"), child(node, "channel")])
        .collect();
    let expected = [
        ["inputVolume", "0", "input"],
        ["outputSegmentation", "1", "output"],
        ["model", "--model", "input"],
        ["region", "--region", ""],
        ["point", "--point", ""],
        ["structure", "--structure", ""],
        ["distance", "", "output"],
        ["volume", "", "output"],
        ["warnings", "", "output"],
        ["device", "--device", ""],
        ["threads", "--threads", ""],
    ];
    assert_eq!(read, expected.map(|row| row.map(str::to_owned)));
}

/// Segments the small volume and compares everything that the module leaves behind with the library.
fn segments_the_small_volume(link: Link, test: &str) {
    let Some(program) = module(link, test) else { return };
    let (folder, model, input) = folder(test);
    let (result, told) = (folder.join("labels.seg.nrrd"), folder.join("told.params"));
    let args = [
        "--returnparameterfile".as_ref(),
        told.as_os_str(),
        "--model".as_ref(),
        model.as_os_str(),
        "--point".as_ref(),
        "-40.5,2,-700".as_ref(),
        "--point=-60,2,-700".as_ref(),
        "--structure".as_ref(),
        "bone".as_ref(),
        "--threads".as_ref(),
        "2".as_ref(),
        input.as_os_str(),
        result.as_os_str(),
    ];
    let (output, stdout, stderr) = attempt(&program, &args);
    assert!(output.status.success() && stderr.is_empty(), "{stdout}{stderr}");

    // The tags: from 0 to 1, never falling, between a start and an end.
    let fractions: Vec<f64> = stdout
        .lines()
        .filter_map(|line| line.strip_prefix("<filter-progress>")?.strip_suffix("</filter-progress>")?.parse().ok())
        .collect();
    assert!(fractions.len() > 3 && fractions.is_sorted() && fractions.last() == Some(&1.0), "{stdout}");
    assert!(stdout.starts_with("<filter-start>") && stdout.trim_end().ends_with("</filter-end>"), "{stdout}");

    let mut segmentation = read_segmentation(&result, &ReadOptions::default()).unwrap();
    let ct = read_image(&input, &ReadOptions::default()).unwrap();
    assert_eq!(segmentation.geometry().dims, ct.view().geometry().dims);
    let bone = segmentation.table().iter().find(|label| label.name == "bone").unwrap().clone();
    assert!(bone.statistics.voxels > 0, "no bone: nothing is tested");

    // What it told 3D Slicer is what the file answers.
    let told = fs::read_to_string(told).unwrap();
    let value = |key: &str| told.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = ")).unwrap_or_default();
    let value_of_bone = i32::from(bone.value);
    segmentation.prepare_queries(value_of_bone).unwrap();
    let expected = segmentation.distance(value_of_bone, World::Ras, [-40.5, 2.0, -700.0]).unwrap().distance_mm;
    assert!((value("distance").parse::<f64>().unwrap() - expected).abs() < 1e-6, "{told}{expected}");
    assert!((value("volume").parse::<f64>().unwrap() - bone.statistics.volume_mm3 / 1000.0).abs() < 1e-6, "{told}");
    assert!(value("warnings").contains("model_not_clinical"), "{told}");
}

#[test]
fn it_segments_a_volume_with_the_shared_library() {
    segments_the_small_volume(Link::Shared, "shared");
}

#[test]
fn it_segments_a_volume_with_the_static_library() {
    segments_the_small_volume(Link::Static, "static");
}

#[test]
fn it_fails_with_a_message_and_without_a_file() {
    let Some(program) = module(Link::Shared, "failures") else { return };
    let (folder, model, input) = folder("failures");
    let result = folder.join("labels.seg.nrrd");
    let (model, input, result) = (model.to_str().unwrap(), input.to_str().unwrap(), result.to_str().unwrap());
    for (args, status, word) in [
        (&["--model", "none.safetensors", input, result][..], 1, "none.safetensors"),
        (&["--model", model, "none.nrrd", result], 1, "none.nrrd"),
        (&["--model", model, "--point", "0,0,0", "--structure", "liver", input, result], 1, "liver"),
        (&["--model", model, "--region", "900,900,900,1,1,1", input, result], 1, "region"),
        (&["--model", model, "--region", "0,0,0,1,1,0", input, result], 2, "empty"),
        (&["--model", model, "--point", "1,2", input, result], 2, "three numbers"),
        (&["--model", model, "--point", "1,2,nan", input, result], 2, "numbers"),
        (&["--model", model, "--device", "gpu", input, result], 2, "gpu"),
        (&["--model", model, "--threads", "-1", input, result], 2, "-1"),
        (&["--model", model, "--nonsense", "1", input, result], 2, "--nonsense"),
        (&["--model", model, input], 2, "output"),
        (&[input, result], 2, "--model"),
        (&["--model"], 2, "value"),
    ] {
        let words: Vec<&OsStr> = args.iter().map(OsStr::new).collect();
        let (output, stdout, stderr) = attempt(&program, &words);
        assert_eq!(output.status.code(), Some(status), "{args:?}: {stdout}{stderr}");
        assert!(stderr.contains("error: ") && stderr.contains(word), "{args:?}: {stderr}");
        assert!(!Path::new(result).exists(), "{args:?}: there is a result in spite of the failure");
    }
}
