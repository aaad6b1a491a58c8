//! The programs in `c_examples/`: they compile under every warning, shared and static, and do what they say.

mod common;
#[path = "common/fixtures.rs"]
mod fixtures;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{Language, Link, succeeds};
use spinect::{Affine, Geometry, ReadOptions, Segmentation, Volume, World, read_image, write_segmentation};

/// A fresh folder for one test.
fn folder(name: &str) -> PathBuf {
    let folder = common::scratch_dir().join("examples").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Compiles an example; `None`, loudly, without a compiler. `test` keeps programs of tests that run at once apart.
fn example(source: &str, link: Link, test: &str) -> Option<PathBuf> {
    let language = if source.ends_with(".c") { Language::C } else { Language::Cpp };
    let path = Path::new("c_examples").join(source);
    common::compile(&[&path], language, link, &format!("{}-{test}", source.replace('.', "-")))
}

/// Runs a program whatever its exit status; the second value is all that it wrote.
fn attempt(program: &Path, args: &[&OsStr]) -> (Output, String) {
    let output = Command::new(program).args(args).output().unwrap();
    let written = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, written)
}

/// Segments the small volume with a compiled example and checks everything that it leaves behind.
fn segments_the_small_volume(source: &str, link: Link, test: &str) {
    let Some(program) = example(source, link, test) else { return };
    let folder = folder(test);
    let (model, input, result) = (fixtures::small_model(&folder), fixtures::small_volume(&folder), folder.join("labels.nii.gz"));
    let (output, written) = attempt(&program, &[model.as_ref(), input.as_ref(), result.as_ref()]);
    assert_eq!(output.status.code(), Some(0), "{written}");

    let labels = read_image(&result, &ReadOptions::default()).unwrap();
    let (read, expected) = (labels.view(), read_image(&input, &ReadOptions::default()).unwrap());
    assert_eq!(read.geometry(), expected.view().geometry());
    assert!(labels.bytes().iter().all(|label| *label <= 2));

    let stdout = String::from_utf8_lossy(&output.stdout);
    for (value, name) in [(0u8, "background"), (1, "bone"), (2, "nerve")] {
        let voxels = labels.bytes().iter().filter(|label| **label == value).count();
        let row: Vec<&str> =
            stdout.lines().map(str::trim).find(|line| line.contains(name)).unwrap_or_default().split_whitespace().collect();
        assert_eq!(row.get(..3), Some(&[value.to_string().as_str(), name, voxels.to_string().as_str()][..]), "{stdout}");
    }
    assert!(stdout.contains("windows"), "{stdout}");
    assert!(stdout.contains("WARNING: the model is a demonstration or untrained"), "{stdout}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("100 %"), "{written}");
}

/// Runs a compiled example without what it needs: exit status 1, a message that names the file, and no output file.
fn fails_with_a_message(source: &str, test: &str) {
    let Some(program) = example(source, Link::Shared, test) else { return };
    let folder = folder(test);
    let (model, input, result) = (fixtures::small_model(&folder), fixtures::small_volume(&folder), folder.join("labels.nii.gz"));
    let cut = folder.join("cut.safetensors");
    fs::write(&cut, &fs::read(&model).unwrap()[..1000]).unwrap();
    let (no_model, no_input, no_folder) = (folder.join("none.safetensors"), folder.join("none.nii.gz"), folder.join("none/labels.nii.gz"));
    for (model, input, result, names) in [
        (&no_model, &input, &result, "none.safetensors"),
        (&cut, &input, &result, "cut.safetensors"),
        (&model, &no_input, &result, "none.nii.gz"),
        (&model, &model, &result, "small.safetensors"),
        (&model, &input, &no_folder, "labels.nii.gz"),
    ] {
        let (output, written) = attempt(&program, &[model.as_ref(), input.as_ref(), result.as_ref()]);
        assert_eq!(output.status.code(), Some(1), "{names}: {written}");
        let line = written.lines().find(|line| line.contains("error: ")).unwrap_or_default();
        assert!(line.contains(names) && line.len() > names.len() + 20, "{names}: {written}");
        assert!(!result.exists(), "{names}: there is a result in spite of the failure");
    }
    let (output, written) = attempt(&program, &[]);
    assert_eq!(output.status.code(), Some(2), "{written}");
    assert!(written.contains("usage: "), "{written}");
}

#[test]
fn segment_c_segments_a_volume_with_the_shared_library() {
    segments_the_small_volume("segment.c", Link::Shared, "c-shared");
}

#[test]
fn segment_c_segments_a_volume_with_the_static_library() {
    segments_the_small_volume("segment.c", Link::Static, "c-static");
}

#[test]
fn segment_cpp_segments_a_volume_with_the_shared_library() {
    segments_the_small_volume("segment.cpp", Link::Shared, "cpp-shared");
}

#[test]
fn segment_cpp_segments_a_volume_with_the_static_library() {
    segments_the_small_volume("segment.cpp", Link::Static, "cpp-static");
}

#[test]
fn segment_c_fails_with_a_message() {
    fails_with_a_message("segment.c", "c-failures");
}

#[test]
fn segment_cpp_fails_with_a_message() {
    fails_with_a_message("segment.cpp", "cpp-failures");
}

/// The lines that `latency` prints about a few runs on a small volume.
fn latency_reports(link: Link, test: &str) {
    let Some(program) = example("latency.cpp", link, test) else { return };
    let model = fixtures::small_model(&folder(test));
    let stdout = common::run(&program, &[model.to_str().unwrap(), "--size", "40,36,20", "--runs", "7", "--threads", "2", "--all-windows"]);
    for part in ["first (cold) run", "7 warm runs: p50", "p90", "p99", "max", "WARNING: the model is a demonstration or untrained"] {
        assert!(stdout.contains(part), "no {part:?} in\n{stdout}");
    }
    // Windows of 16×32×32 every 10×20×20 voxels: 2 along each axis of 20×36×40.
    assert!(stdout.contains("8 windows per run, 8 of them computed"), "{stdout}");
    let counted: usize =
        stdout.lines().filter_map(|line| line.split_once(" s |")?.1.split_whitespace().last()?.parse::<usize>().ok()).sum();
    assert_eq!(counted, 7, "the histogram does not hold every run:\n{stdout}");
}

#[test]
fn latency_reports_every_run_with_the_shared_library() {
    latency_reports(Link::Shared, "latency-shared");
}

#[test]
fn latency_reports_every_run_with_the_static_library() {
    latency_reports(Link::Static, "latency-static");
}

#[test]
fn latency_refuses_wrong_usage() {
    let Some(program) = example("latency.cpp", Link::Shared, "latency-usage") else { return };
    for wrong in [&["model", "--size", "40,36"][..], &["model", "--runs", "0"], &["model", "--runs"], &["model", "--fast"], &[]] {
        let args: Vec<&OsStr> = wrong.iter().map(OsStr::new).collect();
        let (output, written) = attempt(&program, &args);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {written}");
        assert!(written.contains("error: ") && written.contains("usage: "), "{wrong:?}: {written}");
    }
    let (output, written) = attempt(&program, &[OsStr::new("none.safetensors")]);
    assert_eq!(output.status.code(), Some(1), "{written}");
    assert!(written.contains("none.safetensors"), "{written}");
}

/// Runs `clearance` on a label map with a block of nerve, 10 to 20 mm along every axis, in the middle of 30 mm.
#[test]
fn clearance_says_whether_a_needle_keeps_its_margin() {
    let Some(program) = example("clearance.c", Link::Shared, "clearance") else { return };
    let labels = folder("clearance").join("labels.seg.nrrd");
    let voxels: Vec<u8> =
        (0..27_000).map(|n| if [n % 30, n / 30 % 30, n / 900].iter().all(|c| (10..20).contains(c)) { 2 } else { 0 }).collect();
    // A voxel's center is half a voxel from its border.
    let geometry = Geometry { dims: [30; 3], ijk_to_world: Affine::from_spacing([1.0; 3], [0.5; 3]), world: World::Ras };
    let table = fixtures::small_config().labels;
    let segmentation = Segmentation::from_labels(&Volume::from_slice(&voxels, geometry).unwrap(), &table).unwrap();
    write_segmentation(&segmentation, &labels).unwrap();
    let ask = |name: &str, entry: &str, tip: &str, radius: &str, margin: &str| {
        let arguments: [&OsStr; 6] = [labels.as_ref(), name.as_ref(), entry.as_ref(), tip.as_ref(), radius.as_ref(), margin.as_ref()];
        let (output, written) = attempt(&program, &arguments);
        (output.status.code(), written)
    };
    // 5 mm beside the block, less the needle's 1 mm.
    let (code, written) = ask("nerve", "5,5,5", "5,25,15", "1", "3");
    assert_eq!((code, written.contains("clearance 4.00 mm") && written.lines().count() == 1), (Some(0), true), "{written}");
    let (code, written) = ask("nerve", "5,15,15", "15,15,15", "1", "3");
    assert_eq!((code, written.contains("passes through") && written.contains("too near after 1.0 mm")), (Some(3), true), "{written}");
    let (code, written) = ask("nerve", "5,5,5", "5,25,15", "1", "4.5");
    assert_eq!((code, written.contains("too near")), (Some(3), true), "{written}");
    let (code, written) = ask("nerve", "2,5,5", "2,25,15", "1", "3");
    assert_eq!((code, written.contains("nobody has examined comes within 1.00 mm")), (Some(3), true), "{written}");
    let (code, written) = ask("heart", "5,5,5", "5,25,15", "1", "3");
    assert_eq!((code, written.contains("no label \"heart\"")), (Some(1), true), "{written}");
    assert_eq!(ask("bone", "5,5,5", "5,25,15", "1", "3").0, Some(1));
    assert_eq!(ask("nerve", "5,5", "5,25,15", "1", "3").0, Some(2));
    assert_eq!(ask("nerve", "5,5,5", "5,25,15", "thin", "3").0, Some(2));
}

/// What `navigation` prints about 200 poses on the small volume, in which the untrained model finds bone somewhere.
fn navigation_reports(link: Link, test: &str) {
    let Some(program) = example("navigation.cpp", link, test) else { return };
    let folder = folder(test);
    let (model, input) = (fixtures::small_model(&folder), fixtures::small_volume(&folder));
    let arguments = |rest: &[&str]| -> Vec<String> {
        let files = [model.to_str().unwrap(), input.to_str().unwrap(), "--label", "bone", "--poses", "200"];
        files.iter().chain(rest).map(|text| (*text).to_owned()).collect()
    };
    for (options, rows) in [(&["--no-pace"][..], 1), (&["--rate", "2000"], 2)] {
        let options = arguments(options);
        let stdout = common::run(&program, &options.iter().map(String::as_str).collect::<Vec<_>>());
        for part in ["WARNING: the model is a demonstration or untrained", "p50", "p99", "p99.9", "max", "closest to the bone: "] {
            assert!(stdout.contains(part), "no {part:?} in\n{stdout}");
        }
        let counted: usize =
            stdout.lines().filter_map(|line| line.split_once(" µs |")?.1.split_whitespace().last()?.parse::<usize>().ok()).sum();
        assert_eq!(counted, 200, "the histogram does not hold every answer:\n{stdout}");
        // Of each row: four numbers, none smaller than the one before.
        let numbers: Vec<Vec<f64>> = ["the answer", "taken up after its time"]
            .iter()
            .filter_map(|name| stdout.lines().find_map(|line| line.strip_prefix(name)))
            .map(|row| row.split_whitespace().map(|number| number.parse().unwrap()).collect())
            .collect();
        assert_eq!(numbers.len(), rows, "{stdout}");
        assert!(numbers.iter().all(|row| row.len() == 4 && row[0] > 0.0 && row.is_sorted()), "{stdout}");
    }
    let cancelled = attempt(&program, &[model.as_ref(), input.as_ref(), OsStr::new("--cancel-at"), OsStr::new("0")]);
    assert_eq!(cancelled.0.status.code(), Some(3), "{}", cancelled.1);
    assert!(cancelled.1.contains("cancelled") && !cancelled.1.contains("p50"), "{}", cancelled.1);
}

#[test]
fn navigation_segments_aside_and_answers_every_pose_with_the_shared_library() {
    navigation_reports(Link::Shared, "navigation-shared");
}

#[test]
fn navigation_segments_aside_and_answers_every_pose_with_the_static_library() {
    navigation_reports(Link::Static, "navigation-static");
}

#[test]
fn navigation_refuses_wrong_usage() {
    let Some(program) = example("navigation.cpp", Link::Shared, "navigation-usage") else { return };
    for wrong in
        [&["model"][..], &["model", "ct", "--poses", "0"], &["model", "ct", "--rate"], &["model", "ct", "--fast"], &["a", "b", "c"]]
    {
        let args: Vec<&OsStr> = wrong.iter().map(OsStr::new).collect();
        let (output, written) = attempt(&program, &args);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {written}");
        assert!(written.contains("error: ") && written.contains("usage: "), "{wrong:?}: {written}");
    }
    let (output, written) = attempt(&program, &[OsStr::new("none.safetensors"), OsStr::new("none.nii.gz")]);
    assert_eq!(output.status.code(), Some(1), "{written}");
    assert!(written.contains("none.safetensors"), "{written}");
}

/// The README's first piece of code in this language: its includes, and the rest.
fn readme_code(language: &str) -> (String, String) {
    let readme = fs::read_to_string(common::root().join("README.md")).unwrap();
    let (_, rest) = readme.split_once(&format!("```{language}\n")).expect("the README has code in this language");
    let (code, _) = rest.split_once("\n```").expect("the code ends");
    let (include, body) = code.split_once('\n').expect("the first line is the include");
    assert!(include.starts_with("#include"), "{include}");
    (include.to_owned(), body.to_owned())
}

#[test]
fn the_code_in_the_readme_compiles() {
    for (fence, language) in [("c", Language::C), ("cpp", Language::Cpp)] {
        let (include, body) = readme_code(fence);
        let source = common::scratch_dir().join(format!("readme.{fence}"));
        fs::write(&source, format!("{include}\nvoid readme(void);\nvoid readme(void) {{\n{body}\n}}\n")).unwrap();
        common::compile(&[&source], language, Link::Never, &format!("readme-{fence}.o"));
    }
}

#[test]
fn valgrind_is_clean_on_segment_c() {
    if !has("valgrind") {
        return;
    }
    let Some(program) = example("segment.c", Link::Shared, "valgrind") else { return };
    let folder = folder("valgrind");
    let (model, input, result) = (fixtures::small_model(&folder), fixtures::small_volume(&folder), folder.join("labels.nii.gz"));
    let mut command = Command::new("valgrind");
    command.args(["--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite,possible"]);
    command.arg(format!("--suppressions={}", common::root().join("tests/valgrind.supp").display()));
    let output = command.arg(&program).args([&model, &input, &result]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(result.exists());
}

#[test]
fn the_cmake_project_builds_and_its_tests_pass() {
    if !has("cmake") || !has("ctest") || common::compiler(Language::Cpp).is_none() {
        return;
    }
    for library in ["libspinect.so", "libspinect.a"] {
        let folder = folder(&format!("cmake-{library}"));
        let build = folder.join("build");
        let variable = |name: &str, value: &Path| format!("-D{name}={}", value.display());
        let mut configure = Command::new("cmake");
        configure.arg("-S").arg(common::root().join("c_examples")).arg("-B").arg(&build);
        configure.arg("-DCMAKE_DISABLE_FIND_PACKAGE_spinect=ON"); // what is installed is another library
        configure.arg(variable("SPINECT_LIBRARY", &common::library_dir().join(library)));
        configure.arg(variable("SPINECT_MODEL", &fixtures::small_model(&folder)));
        configure.arg(variable("SPINECT_INPUT", &fixtures::small_volume(&folder)));
        succeeds(&mut configure);
        succeeds(Command::new("cmake").arg("--build").arg(&build));
        let tests = succeeds(Command::new("ctest").arg("--output-on-failure").current_dir(&build));
        assert!(tests.contains("100% tests passed, 0 tests failed out of 7"), "{tests}");
    }
}

#[test]
fn the_cmake_project_says_what_to_do_without_a_library() {
    if !has("cmake") || common::compiler(Language::Cpp).is_none() {
        return;
    }
    let folder = folder("cmake-nothing");
    let mut configure = Command::new("cmake");
    configure.arg("-S").arg(common::root().join("c_examples")).arg("-B").arg(folder.join("build"));
    let output = configure.arg("-DCMAKE_DISABLE_FIND_PACKAGE_spinect=ON").arg("-DSPINECT_ROOT=/nonexistent").output().unwrap();
    assert!(!output.status.success());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("cargo build --release") && stderr.contains("SPINECT_ROOT"), "{stderr}");
}

/// Whether a tool is there; says so loudly if it is not.
fn has(tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").output().is_ok();
    if !found {
        eprintln!("SKIPPED: {tool} is not there");
    }
    found
}
