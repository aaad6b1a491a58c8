//! `spinect phantom`, `spinect train` and the report, as a person at a terminal uses them.
#![cfg(all(feature = "cli", feature = "trainer"))]

use std::path::Path;
use std::process::{Command, Output};

fn spinect(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_spinect")).current_dir(folder).args(arguments).output().expect("the program starts")
}

fn succeed(folder: &Path, arguments: &[&str]) -> String {
    let output = spinect(folder, arguments);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).expect("text")
}

/// Standard error of a command that exits with 1.
fn fail(folder: &Path, arguments: &[&str]) -> String {
    let output = spinect(folder, arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8(output.stderr).expect("text")
}

/// The shortest run that has every part.
const SHORT: [&str; 11] =
    ["--channels", "2,4", "--epochs", "1", "--iterations-per-epoch", "4", "--batch", "1", "--data", "phantoms", "--threads=2"];

fn train<'a>(more: &[&'a str]) -> Vec<&'a str> {
    ["train"].into_iter().chain(SHORT).chain(more.iter().copied()).collect()
}

#[test]
fn phantoms_are_trained_on_tested_and_reported() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    succeed(folder, &["phantom", "-o", "phantoms", "--count", "5", "--small"]);
    let text = succeed(folder, &train(&["-o", "run"]));
    assert!(text.contains("report: run/report/index.html") && text.contains("not clinical"), "{text}");
    for name in ["checkpoint.safetensors", "best.safetensors", "last.safetensors", "metrics.csv", "metrics.jsonl", "run.json"] {
        assert!(folder.join("run").join(name).is_file(), "{name}");
    }
    for name in ["index.html", "scores.md", "scores.csv", "loss.svg", "dice.svg"] {
        assert!(folder.join("run/report").join(name).is_file(), "{name}");
    }
    assert_eq!(std::fs::read_dir(folder.join("run/report/overlays")).expect("overlays").count(), 1);
    let scores = std::fs::read_to_string(folder.join("run/report/scores.md")).expect("scores");
    assert!(scores.contains("SPINECT paper"), "{scores}");
    // The model is one that segments.
    let info = succeed(folder, &["info", "run/best.safetensors", "--json"]);
    assert!(info.contains("\"nerve\""), "{info}");

    // Nothing is overwritten unasked, and a finished run that is resumed is tested again.
    assert!(fail(folder, &train(&["-o", "run"])).contains("--resume"));
    let model = std::fs::read(folder.join("run/best.safetensors")).expect("a model");
    succeed(folder, &["train", "--data", "phantoms", "-o", "run", "--resume", "--threads=1"]);
    assert!(std::fs::read(folder.join("run/best.safetensors")).expect("a model") == model);
    // The same seed gives the same model.
    succeed(folder, &train(&["-o", "again"]));
    assert!(std::fs::read(folder.join("again/best.safetensors")).expect("a model") == model);

    let json: serde_json::Value =
        serde_json::from_str(&succeed(folder, &train(&["-o", "folds", "--cross-validate", "--json"]))).expect("JSON");
    assert_eq!((json["finished"].as_bool(), json["outcome"]["cases"].as_array().map(Vec::len)), (Some(true), Some(5)));
    // Folds that go on need the options that they began with; a run that goes on has them.
    assert!(fail(folder, &["train", "--data", "phantoms", "-o", "folds", "--cross-validate", "--resume"]).contains("other options"));
    succeed(folder, &train(&["-o", "folds", "--cross-validate", "--resume"]));
    assert!(fail(folder, &train(&["-o", "run", "--resume"])).contains("leave yours out"));
    assert!((0..5).all(|fold| folder.join(format!("folds/fold-{fold}/report/index.html")).is_file()));
    assert!(folder.join("folds/report/index.html").is_file());
}

#[test]
fn everything_wrong_with_the_data_is_listed_before_anything_is_learned() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    succeed(folder, &["phantom", "-o", "phantoms", "--count", "3", "--small"]);
    let images = folder.join("phantoms/images");
    let mut names: Vec<_> = std::fs::read_dir(&images).expect("images").map(|entry| entry.expect("an entry").path()).collect();
    names.sort();
    // An image twice, and one without labels.
    std::fs::copy(&names[0], &names[1]).expect("a copy");
    std::fs::copy(&names[0], images.join("lonely.nii.gz")).expect("a copy");
    let error = fail(folder, &train(&["-o", "run"]));
    let lines: Vec<&str> = error.lines().collect();
    assert!(lines.iter().filter(|line| line.starts_with("problem: ")).count() >= 2, "{error}");
    assert!(error.contains("lonely") && error.contains("same image"), "{error}");
    assert!(lines.last().is_some_and(|line| line.starts_with("error: ")), "{error}");
    assert!(!folder.join("run/checkpoint.safetensors").exists());
}

#[test]
fn what_cannot_be_trained_is_refused_with_what_to_do() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    assert!(fail(folder, &train(&["-o", "run", "--device", "cuda"])).contains("--device cpu"));
    assert!(fail(folder, &train(&["-o", "run", "--learning-rate=-1"])).contains("learning_rate"));
    std::fs::write(folder.join("options.json"), "{\"epoch\": 4, \"momentum\": 1}").expect("a file");
    assert!(fail(folder, &["train", "--data", "phantoms", "-o", "run", "--options", "options.json"]).contains("momentum"));
    assert!(fail(folder, &["train", "--data", "nowhere", "-o", "run", "--resume"]).contains("nowhere"));
}
