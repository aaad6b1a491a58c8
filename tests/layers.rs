//! Who may call whom: the arrows between the rooms of `src` point downwards only (docs/architecture.md).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The layers, the highest first. Within a layer an arrow may point one way, never both.
const LAYERS: &[&[&str]] = &[
    &["cli", "capi"],
    &["session", "trainer", "report"],
    &["pipeline", "engine", "segmentation"],
    &["ops", "model", "io", "phantom", "metrics", "surface"],
    &["volume", "geometry", "distance", "query"],
    &["error", "float_state", "threads", "testing"],
];

/// Upward arrows that are allowed, each with its reason. An entry that is no longer needed fails the test.
const EXCEPTIONS: &[(&str, &str, &str)] = &[(
    "io",
    "segmentation",
    "a writer takes the result as it is, and a reader hands labels and table to its one constructor; they compute nothing",
)];

/// The source without comments, and without the tests at its end: tests may set a whole house up.
fn code_of(source: &str) -> String {
    let code = source.split("#[cfg(test)]\nmod tests").next().unwrap_or(source);
    code.lines().map(|line| line.split("//").next().unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

/// The identifier that the text starts with.
fn leading_name(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The parts of `a, b::{c, d}, e` between the commas outside braces, up to the brace that closes the list.
fn list_items(text: &str) -> Vec<String> {
    let (mut items, mut depth) = (vec![String::new()], 0);
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(String::new());
                continue;
            }
            _ => {}
        }
        items.last_mut().expect("there is always one").push(c);
    }
    items
}

/// Every name that follows `crate::`, also in `use crate::{a, b::c}`.
fn names_of_the_crate(code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => names.extend(list_items(list).iter().map(|item| leading_name(item))),
            None => names.extend([leading_name(rest)]),
        }
    }
    names.remove("");
    names
}

/// From a name that `lib.rs` exports to the room that it comes from: `pub use room::{Name, ...}`.
fn exports(lib: &str) -> BTreeMap<String, String> {
    let mut exports = BTreeMap::new();
    for statement in code_of(lib).split(';') {
        let Some((_, path)) = statement.split_once("use ") else { continue };
        let Some((room, names)) = path.split_once("::") else { continue };
        let names = names.trim();
        let items = names.strip_prefix('{').map_or_else(|| vec![names.to_owned()], list_items);
        exports.extend(items.into_iter().map(|name| (leading_name(&name), room.trim().to_owned())));
    }
    exports
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("src is readable") {
        let path = entry.expect("src is readable").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The room of a file of `src`: its folder, or its own name.
fn room_of(relative: &Path) -> Option<String> {
    let first = relative.components().next()?.as_os_str().to_str()?;
    let room = first.strip_suffix(".rs").unwrap_or(first);
    (!["lib", "bin"].contains(&room)).then(|| room.to_owned())
}

/// The layer of a room, counted from the top.
fn layer_of(room: &str) -> usize {
    LAYERS
        .iter()
        .position(|layer| layer.contains(&room))
        .unwrap_or_else(|| panic!("`{room}` stands in no layer: give it one in tests/layers.rs and docs/architecture.md"))
}

/// Every arrow from a room to another, with a file that draws it.
fn arrows() -> BTreeMap<(String, String), String> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let exports = exports(&fs::read_to_string(src.join("lib.rs")).expect("lib.rs is readable"));
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    let mut arrows = BTreeMap::new();
    for file in files {
        let relative = file.strip_prefix(&src).expect("every file lies in src");
        let Some(from) = room_of(relative) else { continue };
        for name in names_of_the_crate(&code_of(&fs::read_to_string(&file).expect("src is readable"))) {
            let to = exports.get(&name).cloned().unwrap_or(name);
            if to != from {
                arrows.insert((from.clone(), to), relative.display().to_string());
            }
        }
    }
    arrows
}

#[test]
fn arrows_between_rooms_point_downwards() {
    let allowed: BTreeSet<_> = EXCEPTIONS.iter().map(|&(from, to, _)| (from.to_owned(), to.to_owned())).collect();
    let arrows = arrows();
    assert!(!arrows.is_empty(), "no arrow at all was found: this test no longer reads the sources");
    let points_back = |from: &String, to: &String| layer_of(from) == layer_of(to) && arrows.contains_key(&(to.clone(), from.clone()));
    let upward: BTreeMap<_, _> = arrows.iter().filter(|((from, to), _)| layer_of(to) < layer_of(from) || points_back(from, to)).collect();
    let forbidden: Vec<_> = upward
        .iter()
        .filter(|(arrow, _)| !allowed.contains(arrow))
        .map(|((from, to), file)| format!("{from} -> {to} in src/{file}"))
        .collect();
    assert!(forbidden.is_empty(), "arrows that point upwards or back: {forbidden:#?}");
    let unused: Vec<_> = allowed.iter().filter(|arrow| !upward.contains_key(arrow)).collect();
    assert!(unused.is_empty(), "exceptions that nothing needs anymore: {unused:?}");
}

#[test]
fn names_are_found_in_paths_and_in_nested_lists() {
    let code = code_of("use crate::{a::{b, c}, d::E};\nlet x = crate::f::g(); // crate::h\n#[cfg(test)]\nmod tests { use crate::i; }");
    assert_eq!(names_of_the_crate(&code), ["a", "d", "f"].map(String::from).into());
    let exported = exports("pub mod a;\npub use a::{B, C};\npub use d::E;");
    assert_eq!(exported.get("C").map(String::as_str), Some("a"));
    assert_eq!(exported.get("E").map(String::as_str), Some("d"));
}
