//! What a host or a machine may do to the library, once each, through the C ABI: volumes that no scanner makes, little
//! stack, one core, failing system calls, full disks, crowds of threads. It answers with a status and works on.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use common::{Language, Link, compile_with};
use spinect::model::{Config, Model};

/// A small untrained model in the scratch folder.
fn model() -> &'static Path {
    static MODEL: OnceLock<PathBuf> = OnceLock::new();
    MODEL.get_or_init(|| {
        let mut config = Config::spinect(&[2, 4]);
        config.window.size = [16, 16, 16];
        config.window.stride = [8, 8, 8];
        let bytes = Model::untrained(config, 1).and_then(|model| model.to_bytes()).expect("a small model");
        let path = common::scratch_dir().join("survival.safetensors");
        fs::write(&path, bytes).expect("the model can be written");
        path
    })
}

/// Compiles one client, together with `others`, and runs it with a model and an empty folder as its arguments. What it
/// says is shown, and whatever it had to skip.
fn client(name: &str, others: &[&str]) {
    let sources: Vec<PathBuf> = [name].iter().chain(others).map(|name| PathBuf::from(format!("tests/c/{name}.c"))).collect();
    let sources: Vec<&Path> = sources.iter().map(PathBuf::as_path).collect();
    // Linked only where it is called: one client opens the library by its name.
    let options = ["-Wl,--as-needed"];
    let Some(program) = compile_with(&sources, Language::C, Link::Shared, &format!("survival-{name}"), &options) else { return };
    let folder = common::scratch_dir().join(format!("survival-{name}-folder"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("the folder can be made");
    let library = common::library_dir().join("libspinect.so.1");
    let arguments = [model(), &folder, &library].map(|path| path.to_str().expect("the scratch folder's name is UTF-8"));
    let arguments = if name == "host" { &arguments[..] } else { &arguments[..2] };
    eprint!("{}", common::run(&program, arguments));
}

#[test]
fn volumes_that_no_scanner_makes_are_segmented_or_refused() {
    client("survival", &["check"]);
}

#[test]
#[cfg(target_os = "linux")]
fn paths_that_are_no_files_full_disks_and_missing_rights_are_io_errors() {
    client("files", &["check"]);
}

#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn sixteen_kib_of_stack_are_enough() {
    client("stack", &["check", "faults"]);
}

#[test]
fn many_sessions_work_at_once() {
    client("crowd", &["check"]);
}

#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn nothing_grows_from_run_to_run_and_one_core_is_enough() {
    client("steady", &["check", "faults"]);
}

#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn every_failing_system_call_is_a_status_without_a_leak() {
    client("failures", &["check", "faults"]);
}

#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn a_session_takes_what_its_estimate_says_and_its_limit_holds() {
    client("memory", &["check", "faults"]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_host_keeps_its_threads_scheduling_signals_and_may_close_the_library() {
    client("host", &[]);
}

#[test]
fn the_border_is_clean_under_valgrind() {
    if !std::process::Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: there is no valgrind");
        return;
    }
    for name in ["arguments", "handles", "volume", "library"] {
        let sources = [format!("tests/c/{name}.c"), "tests/c/check.c".into()];
        let sources = [Path::new(&sources[0]), Path::new(&sources[1])];
        let Some(program) = compile_with(&sources, Language::C, Link::Shared, &format!("valgrind-{name}"), &[]) else { return };
        let program = program.to_str().expect("the scratch folder's name is UTF-8");
        let leaks = ["-q", "--error-exitcode=9", "--leak-check=full", "--errors-for-leak-kinds=definite", program];
        common::run(Path::new("valgrind"), &leaks);
    }
}
