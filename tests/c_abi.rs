//! Real C clients of the C ABI, compiled with every warning an error, against the shared and the static library.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use common::{Language, Link, compile, run};
use spinect::model::{Config, Model};

/// Compiles one client. `None`, loudly, if there is no compiler.
fn compiled(name: &str, link: Link) -> Option<PathBuf> {
    let source = PathBuf::from(format!("tests/c/{name}.c"));
    compile(&[&source, Path::new("tests/c/check.c")], Language::C, link, &format!("client-{name}-{link:?}"))
}

/// Compiles and runs one client.
fn client(name: &str, link: Link) {
    if let Some(program) = compiled(name, link) {
        run(&program, &[]);
    }
}

/// Compiles one client and runs it with a model, and a folder to write to, as its arguments.
fn client_with_model(name: &str) {
    let Some(program) = compiled(name, Link::Shared) else { return };
    let folder = common::scratch_dir().join(name);
    fs::create_dir_all(&folder).expect("the folder can be made");
    run(&program, &[model(), folder.to_str().expect("the scratch folder's name is UTF-8")]);
}

/// A small untrained model in the scratch folder.
fn model() -> &'static str {
    static MODEL: OnceLock<String> = OnceLock::new();
    MODEL.get_or_init(|| {
        let mut config = Config::spinect(&[2, 4]);
        config.window.size = [16, 16, 16];
        config.window.stride = [8, 8, 8];
        let bytes = Model::untrained(config, 1).and_then(|model| model.to_bytes()).expect("a small model");
        let path = common::scratch_dir().join("small.safetensors");
        fs::write(&path, bytes).expect("the model can be written");
        path.to_str().expect("the scratch folder's name is UTF-8").to_owned()
    })
}

#[test]
fn versions_status_names_and_messages() {
    client("library", Link::Shared);
}

#[test]
fn the_static_library_serves_as_well() {
    client("library", Link::Static);
}

#[test]
fn a_volume_is_checked_in_the_promised_order() {
    client("volume", Link::Shared);
}

#[test]
fn bad_arguments_are_refused_and_change_nothing() {
    client("arguments", Link::Shared);
}

#[test]
fn a_handle_that_is_none_is_always_noticed() {
    client("handles", Link::Shared);
}

#[test]
fn inherited_handles_answer_forked() {
    client("fork", Link::Shared);
}

#[test]
fn an_inherited_session_answers_forked() {
    client_with_model("fork");
}

#[test]
fn from_a_session_to_a_written_label_map() {
    client_with_model("flow");
}

#[test]
fn a_callback_may_call_the_library_and_free_its_session() {
    client_with_model("reentrant");
}

#[test]
fn threads_share_a_session_and_outlive_it() {
    client_with_model("threads");
}

#[test]
fn nothing_is_allocated_after_prepare_nor_by_queries() {
    if cfg!(target_env = "gnu") {
        client_with_model("allocations");
    }
}

/// The committed list of symbols.
fn listed() -> Vec<String> {
    let list = fs::read_to_string(common::include_dir().join("spinect.symbols")).expect("the list is there");
    list.lines().map(str::to_owned).collect()
}

/// The symbols that `nm` finds, sorted. `None`, loudly, if there is no `nm`.
fn symbols(library: &Path, options: &[&str]) -> Option<Vec<String>> {
    let Ok(output) = Command::new("nm").args(options).arg(library).output() else {
        eprintln!("SKIPPED: there is no nm to list the symbols of {}", library.display());
        return None;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let mut names: Vec<String> = text
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2))
        .map(|name| name.split('@').next().unwrap_or(name).to_owned())
        .collect();
    names.sort();
    Some(names)
}

#[test]
fn the_shared_library_exports_the_listed_symbols_and_nothing_else() {
    let Some(exported) = symbols(&common::library_dir().join("libspinect.so"), &["-D", "--defined-only"]) else { return };
    assert_eq!(exported, listed());
}

#[test]
fn the_static_library_has_the_listed_symbols() {
    let Some(all) = symbols(&common::library_dir().join("libspinect.a"), &["-g", "--defined-only"]) else { return };
    let ours: Vec<_> = all.into_iter().filter(|name| name.starts_with("spinect_")).collect();
    assert_eq!(ours, listed());
}

#[test]
fn the_shared_library_has_its_soname_and_stays_loaded() {
    let library = common::library_dir().join("libspinect.so");
    let Ok(output) = Command::new("readelf").arg("-d").arg(library).output() else {
        eprintln!("SKIPPED: there is no readelf");
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("[libspinect.so.1]") && text.contains("NODELETE"), "{text}");
}
