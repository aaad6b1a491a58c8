//! `include/spinect.hpp`: complete, clean under every warning, and right when it runs (`tests/cpp/wrapper.cpp`).

mod common;
#[path = "common/fixtures.rs"]
mod fixtures;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use common::{Language, Link};

/// The functions that a header declares: every `spinect_name(`.
fn functions(header: &str) -> Vec<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut names: Vec<&str> = header
        .match_indices('(')
        .filter_map(|(at, _)| {
            let before = header.get(..at)?;
            let start = before.rfind(|c| !is_name(c)).map_or(0, |i| i + 1);
            before.get(start..)
        })
        .filter(|name| name.starts_with("spinect_"))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[test]
fn every_function_of_the_c_header_is_reachable() {
    let read = |name: &str| fs::read_to_string(common::include_dir().join(name)).unwrap();
    let (c, cpp) = (read("spinect.h"), read("spinect.hpp"));
    let code: String = c.lines().filter(|line| !line.trim_start().starts_with(['*', '/'])).collect::<Vec<_>>().join("\n");
    let declared = functions(&code);
    assert!(declared.len() >= 46, "ABI 1 has 46 functions, the C header declares {} functions: {declared:?}", declared.len());
    // Frees are not called but named, as the handles' template arguments.
    let missing: Vec<_> = declared.iter().filter(|name| !mentions(&cpp, name)).collect();
    assert!(missing.is_empty(), "spinect.hpp does not use {missing:?}");
}

/// Whether `name` occurs in `text` as a whole word.
fn mentions(text: &str, name: &str) -> bool {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(name).any(|(at, _)| !text[..at].ends_with(is_name) && !text[at + name.len()..].starts_with(is_name))
}

#[test]
fn the_header_compiles_alone_under_every_warning_in_every_compiler() {
    let source = common::scratch_dir().join("spinect_hpp_alone.cpp");
    fs::write(&source, "#include \"spinect.hpp\"\n").unwrap();
    let mut compiled = 0;
    for compiler in ["g++", "clang++"] {
        let mut command = Command::new(compiler);
        command.args(["-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror", "-fsyntax-only", "-I"]);
        let Ok(output) = command.arg(common::include_dir()).arg(&source).output() else {
            eprintln!("SKIPPED: {compiler} is not there");
            continue;
        };
        assert!(output.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&output.stderr));
        compiled += 1;
    }
    assert!(compiled > 0 || common::compiler(Language::Cpp).is_none(), "there is a C++ compiler, but neither g++ nor clang++");
}

/// The compiled wrapper test and the model it takes; `None`, loudly, without a compiler.
fn wrapper() -> Option<&'static (PathBuf, PathBuf)> {
    static WRAPPER: OnceLock<Option<(PathBuf, PathBuf)>> = OnceLock::new();
    WRAPPER
        .get_or_init(|| {
            let source = Path::new("tests/cpp/wrapper.cpp");
            let program = common::compile_with(&[source], Language::Cpp, Link::Shared, "wrapper", &["-Wconversion", "-Wshadow"])?;
            let folder = common::scratch_dir().join("cpp_header");
            fs::create_dir_all(&folder).unwrap();
            Some((program, fixtures::small_model(&folder)))
        })
        .as_ref()
}

fn passes(scenario: &str) {
    let Some((program, model)) = wrapper() else { return };
    let scratch = model.parent().unwrap();
    let output = Command::new(program).arg(scenario).arg(model).arg(scratch).output().unwrap();
    assert!(
        output.status.success(),
        "wrapper {scenario}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn the_library_says_what_it_is() {
    passes("library");
}

#[test]
fn an_error_carries_status_and_message() {
    passes("errors");
}

#[test]
fn a_moved_from_handle_is_empty() {
    passes("handles");
}

#[test]
fn a_view_describes_its_volume() {
    passes("views");
}

#[test]
fn every_way_to_segment_gives_the_same_labels() {
    passes("segment");
}

#[test]
fn an_exception_in_the_progress_callback_comes_back_and_the_session_works_on() {
    passes("exceptions");
}

#[test]
fn a_run_stops_when_asked() {
    passes("stopping");
}

#[test]
fn a_result_describes_itself() {
    passes("results");
}

#[test]
fn a_reviewed_label_map_answers_queries() {
    passes("queries");
}

#[test]
fn a_label_map_is_read_back() {
    passes("reading");
}

#[test]
fn a_surface_encloses_its_label() {
    passes("surfaces");
}
