//! The pages in `docs/` say what is true: their programs compile and run, their tables are complete, their command lines
//! name options that exist, and their links lead somewhere.

mod common;
#[path = "common/fixtures.rs"]
mod fixtures;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use common::{Language, Link};

/// The README and the pages of the book.
fn pages() -> Vec<(PathBuf, String)> {
    let folders = ["docs", "models", "."].map(|folder| common::root().join(folder));
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    let mut pages: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    pages.sort();
    pages.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

fn page(name: &str) -> String {
    fs::read_to_string(common::root().join("docs").join(name)).unwrap()
}

/// The pieces of code in this language; "" for those of which the page does not say it.
fn code(page: &str, language: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut open: Option<(&str, Vec<&str>)> = None;
    for line in page.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(language), None) => open = Some((language, Vec::new())),
            (Some(_), Some(_)) => pieces.extend(open.take()),
            (None, Some((_, lines))) => lines.push(line),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "the last piece of code never ends");
    pieces.into_iter().filter(|(of, _)| *of == language).map(|(_, lines)| lines.join("\n")).collect()
}

/// Compiles the pieces of code on a page as one program and runs it with a small model.
fn runs(name: &str, fence: &str, language: Language, told: &str) {
    let folder = common::scratch_dir().join("docs").join(name);
    fs::create_dir_all(&folder).unwrap();
    let source = folder.join(format!("page.{fence}"));
    fs::write(&source, code(&page(name), fence).join("\n") + "\n").unwrap();
    let Some(program) = common::compile(&[&source], language, Link::Shared, &format!("docs-{fence}-{}", name.replace('.', "-"))) else {
        return;
    };
    let output = common::run(&program, &[fixtures::small_model(&folder).to_str().unwrap()]);
    assert!(output.contains(told), "{name} says\n{output}");
}

#[test]
fn c_in_ten_minutes_compiles_and_runs() {
    runs("c.md", "c", Language::C, "clear");
}

#[test]
fn cpp_in_ten_minutes_compiles_and_runs() {
    runs("cpp.md", "cpp", Language::Cpp, "of 1000 poses");
}

#[test]
fn the_program_about_threads_compiles_and_runs() {
    runs("threads.md", "cpp", Language::Cpp, "");
}

#[test]
fn every_status_and_every_warning_is_explained() {
    let header = fs::read_to_string(common::include_dir().join("spinect.h")).unwrap();
    for (prefix, page) in [("SPINECT_ERROR_", page("errors.md")), ("SPINECT_WARNING_", page("safety.md"))] {
        let declared: BTreeSet<&str> =
            header.lines().filter_map(|line| line.strip_prefix("#define ")?.strip_prefix(prefix)?.split_whitespace().next()).collect();
        let (_, table) = page.split_once(&format!("| `{prefix}…`")).unwrap();
        let explained: BTreeSet<&str> =
            table.lines().skip(2).map_while(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name)).collect();
        assert_eq!(explained, declared);
    }
}

#[test]
fn every_link_leads_to_a_file_or_a_heading() {
    for (path, text) in pages() {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            if link.contains("://") || link.contains(' ') {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(target.exists(), "{}: {link} leads nowhere", path.display());
            if !heading.is_empty() {
                let page = fs::read_to_string(&target).unwrap();
                let headings: Vec<String> = page.lines().filter(|line| line.starts_with('#')).map(anchor).collect();
                assert!(headings.iter().any(|one| one == heading), "{}: no heading of {link} in {headings:?}", path.display());
            }
        }
    }
}

/// What a heading is called in a link.
fn anchor(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase();
    words.chars().filter(|c| c.is_alphanumeric() || "- _".contains(*c)).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[cfg(all(feature = "cli", feature = "trainer"))]
#[test]
fn command_lines_name_subcommands_and_options_that_exist() {
    use std::collections::BTreeMap;
    use std::process::Command;

    let mut helps: BTreeMap<String, String> = BTreeMap::new();
    let mut looked_at = 0;
    for (path, text) in pages() {
        // Whatever the program's path is.
        let pieces = [code(&text, "sh"), code(&text, "")].concat();
        let lines = pieces.iter().flat_map(|piece| piece.lines()).map(str::trim);
        for line in lines.filter_map(|line| line.strip_prefix("spinect ")) {
            let line = line.split(" #").next().unwrap();
            let mut words = line.split_whitespace();
            let subcommand = words.next().unwrap().to_owned();
            let help = helps.entry(subcommand.clone()).or_insert_with(|| {
                let output = Command::new(env!("CARGO_BIN_EXE_spinect")).args([&subcommand, "--help"]).output().unwrap();
                assert!(output.status.success(), "{}: spinect {line}: no such subcommand", path.display());
                String::from_utf8(output.stdout).unwrap()
            });
            for option in words.filter(|word| word.starts_with("--")).map(|word| word.split('=').next().unwrap()) {
                assert!(help.contains(option), "{}: spinect {line}: {option} is no option", path.display());
                looked_at += 1;
            }
        }
    }
    assert!(looked_at > 20, "only {looked_at} options were found: are the command lines still written as they were?");
}

#[test]
fn files_that_pages_name_in_the_repository_are_there() {
    for (path, text) in pages() {
        let names = text.split('`').skip(1).step_by(2).filter(|name| {
            ["tests/", "benches/", "c_examples/", "include/", "models/", "src/"].iter().any(|folder| name.starts_with(folder))
                && name.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
        });
        for name in names {
            assert!(Path::new(&common::root().join(name)).exists(), "{}: there is no {name}", path.display());
        }
    }
}
