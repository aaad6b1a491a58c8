//! `include/spinect.h` is what cbindgen makes of the sources; it compiles alone as C99 and C++17; it says exactly what the
//! contract says. `SPINECT_RENEW_HEADER=1 cargo test --test header` renews it and the list of symbols.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Language, Link};

/// The header's sections: a title, and the sources whose constants, types and functions it holds, in this order.
const SECTIONS: &[(&str, &[&str])] = &[
    ("The library", &["status", "library"]),
    ("Volumes", &["volume"]),
    ("Images", &["image"]),
    ("Sessions", &["session"]),
    ("Runs", &["cancel", "run", "segment"]),
    ("Segmentations", &["segmentation", "label_map"]),
    ("Queries", &["query"]),
    ("Surfaces", &["surface"]),
];

/// Structures of ABI 1 that the contract does not have. Nothing that it declares may change, but there may be more.
const ADDED_STRUCTURES: [&str; 2] = ["spinect_tool", "spinect_corridor"];

/// The header that the sources give: what `cbindgen.toml` says about its beginning and end, and one section per noun
/// between them. (In one piece, cbindgen would write all constants, then all types, then all functions.)
fn generated() -> String {
    let mut config = cbindgen::Config::from_file(common::root().join("cbindgen.toml")).expect("cbindgen.toml is valid");
    let take = |part: &mut Option<String>| part.take().expect("cbindgen.toml has this part");
    let (manual, guard) = (take(&mut config.header), take(&mut config.include_guard));
    let (beginning, end) = (take(&mut config.after_includes), take(&mut config.trailer));
    let mut header = format!("{}\n#ifndef {guard}\n#define {guard}\n{beginning}", manual.trim_start());
    for (title, sources) in SECTIONS {
        let mut builder = cbindgen::Builder::new().with_config(config.clone());
        for source in *sources {
            builder = builder.with_src(common::root().join(format!("src/capi/{source}.rs")));
        }
        let mut section = Vec::new();
        builder.generate().expect("the section is made").write(&mut section);
        let rule = "-".repeat(112 - title.len());
        header += &format!("\n/* {rule} {title} */\n\n");
        // cbindgen repeats the tag of those structures that it knows; every one has a name without it.
        let section = String::from_utf8(section).expect("the header is UTF-8");
        let section = section.replace("struct spinect_", "spinect_").replace("typedef spinect_", "typedef struct spinect_");
        header += section.trim();
        header.push('\n');
    }
    header + &end + "\n#endif /* " + &guard + " */\n"
}

/// The functions that a header declares, in order of their names.
fn functions(header: &str) -> BTreeSet<String> {
    let code: String = without_comments(header);
    let names = code.match_indices("spinect_").filter_map(|(at, _)| {
        let whole = at == 0 || !code.as_bytes()[at - 1].is_ascii_alphanumeric() && code.as_bytes()[at - 1] != b'_';
        let name: String = code[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let called = code[at + name.len()..].trim_start().starts_with('(');
        (whole && called).then_some(name)
    });
    names.collect()
}

/// C without its comments.
fn without_comments(code: &str) -> String {
    let mut rest = code;
    let mut plain = String::new();
    while let Some(start) = rest.find("/*") {
        plain.push_str(&rest[..start]);
        plain.push(' ');
        rest = rest[start..].find("*/").map_or("", |end| &rest[start + end + 2..]);
    }
    plain + rest
}

/// Compares a committed file with what it should be, or renews it.
fn same_or_renewed(path: &Path, wanted: &str) {
    if std::env::var_os("SPINECT_RENEW_HEADER").is_some() {
        fs::write(path, wanted).expect("the file can be written");
    }
    let committed = fs::read_to_string(path).unwrap_or_default();
    let line = committed.lines().zip(wanted.lines()).position(|(a, b)| a != b).map(|at| at + 1);
    assert!(
        committed == wanted,
        "{} differs from the sources at line {line:?}: SPINECT_RENEW_HEADER=1 cargo test --test header",
        path.display()
    );
}

#[test]
fn the_committed_header_and_symbol_list_are_those_of_the_sources() {
    let header = generated();
    same_or_renewed(&common::include_dir().join("spinect.h"), &header);
    let symbols: String = functions(&header).into_iter().map(|name| name + "\n").collect();
    same_or_renewed(&common::include_dir().join("spinect.symbols"), &symbols);
}

#[test]
fn the_header_is_ascii_and_holds_no_rust() {
    let header = generated();
    assert!(header.is_ascii());
    for rust in ["](", "[`", "crate::", "Option<", "cbindgen:", "# Safety"] {
        assert!(!header.contains(rust), "{rust:?} leaked into the header");
    }
    let long = header.lines().find(|line| line.len() > 160);
    assert_eq!(long, None);
}

#[test]
fn the_header_compiles_alone_as_c_and_cpp() {
    for (language, name) in [(Language::C, "c"), (Language::Cpp, "cc")] {
        let source = common::scratch_dir().join(format!("alone.{name}"));
        fs::write(&source, "#include \"spinect.h\"\n#include \"spinect.h\"\n").expect("a source can be written");
        common::compile(&[&source], language, Link::Never, &format!("alone-{name}.o"));
    }
}

#[test]
fn a_callback_that_may_throw_does_not_compile_as_cpp17() {
    let Some(compiler) = common::compiler(Language::Cpp) else { return };
    for (name, promise, compiles) in [("throws", "", false), ("promises", "noexcept", true)] {
        let source = common::scratch_dir().join(format!("callback-{name}.cc"));
        let code = format!(
            "#include \"spinect.h\"\nextern \"C\" int32_t callback(double, const char *, void *) {promise} {{ return 0; }}\n\
             spinect_progress_fn progress = callback;\n"
        );
        fs::write(&source, code).expect("a source can be written");
        let mut command = Command::new(&compiler);
        command.args(["-std=c++17", "-fsyntax-only", "-I"]).arg(common::include_dir()).arg(&source);
        let output = command.output().expect("the compiler starts");
        assert_eq!(output.status.success(), compiles, "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_status_that_is_not_looked_at_is_warned_of() {
    for (language, name) in [(Language::C, "c"), (Language::Cpp, "cc")] {
        let Some(compiler) = common::compiler(language) else { return };
        let source = common::scratch_dir().join(format!("ignored.{name}"));
        fs::write(&source, "#include \"spinect.h\"\nvoid f(void);\nvoid f(void) { spinect_thread_prepare(); }\n").expect("written");
        let mut command = Command::new(&compiler);
        // gcc looks for ignored results only when it makes code.
        command.args(["-c", "-o"]).arg(common::scratch_dir().join(format!("ignored-{name}.o")));
        command.args(["-Werror", "-I"]).arg(common::include_dir()).arg(&source);
        let output = command.output().expect("the compiler starts");
        assert!(String::from_utf8_lossy(&output.stderr).contains("-Werror=unused-result"), "{language:?}");
    }
}

#[test]
fn sizes_and_offsets_hold_in_c_and_cpp() {
    common::compile(&[Path::new("tests/c/layout.c")], Language::C, Link::Never, "layout-c.o");
    common::compile(&[Path::new("tests/c/layout.cpp")], Language::Cpp, Link::Never, "layout-cpp.o");
}

#[test]
fn every_function_has_the_contracts_signature() {
    common::compile(&[Path::new("tests/c/signatures.c")], Language::C, Link::Shared, "signatures");
    let listed = fs::read_to_string(common::root().join("tests/c/signatures.c")).expect("the source is there");
    let missing: Vec<_> = functions(&generated()).into_iter().filter(|name| !listed.contains(&format!("= {name};"))).collect();
    assert!(missing.is_empty(), "not in tests/c/signatures.c: {missing:?}");
}

/// The contract, if the shared data folder is there.
fn contract() -> Option<PathBuf> {
    Some(common::shared_data()?.join("spec/spinect-contract.h"))
}

#[test]
fn the_header_declares_the_contracts_functions() {
    let Some(contract) = contract() else { return };
    let contract = fs::read_to_string(contract).expect("the contract is there");
    let (wanted, got) = (functions(&contract), functions(&generated()));
    let missing: Vec<_> = wanted.difference(&got).collect();
    assert!(wanted.len() > 40 && missing.is_empty(), "missing: {missing:?}");
}

/// Structures and their fields, in order, and the constants of a header.
fn declarations(header: &str) -> (Vec<(String, Vec<String>)>, Vec<String>) {
    let code = without_comments(header);
    let mut structures = Vec::new();
    for (at, _) in code.match_indices("typedef struct") {
        let (Some(open), Some(semicolon)) = (code[at..].find('{'), code[at..].find(';')) else { continue };
        if semicolon < open {
            continue;
        }
        let close = code[at..].find('}').expect("a structure ends");
        let name = code[at + close + 1..].split(';').next().unwrap_or_default().trim().to_owned();
        let fields = code[at + open + 1..at + close].split(';').flat_map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
        let fields = fields.filter_map(|field| {
            let field = field.split('[').next()?.trim().to_owned();
            field.rsplit([' ', '*', '\n']).next().filter(|name| !name.is_empty()).map(str::to_owned)
        });
        structures.push((name, fields.collect()));
    }
    let constants = code.lines().filter_map(|line| {
        let mut words = line.strip_prefix("#define ")?.split_whitespace();
        let name = words.next()?;
        (words.next()?.starts_with(|c: char| c.is_ascii_digit() || c == '-')).then(|| name.to_owned())
    });
    let constants = constants.collect();
    (structures, constants)
}

/// A program that prints every size, offset and constant that `names` has, according to `header`.
fn printed(header: &Path, names: &str, out: &str) -> Option<String> {
    let (structures, constants) = declarations(names);
    let mut code = format!("#include <stdio.h>\n#include \"{}\"\nint main(void) {{\n", header.display());
    for (structure, fields) in &structures {
        code += &format!("printf(\"{structure} %zu\\n\", sizeof({structure}));\n");
        for field in fields {
            code += &format!(
                "printf(\"{structure}.{field} %zu %zu\\n\", offsetof({structure}, {field}), sizeof((({structure} *)0)->{field}));\n"
            );
        }
    }
    for constant in &constants {
        code += &format!("printf(\"{constant} %lld\\n\", (long long){constant});\n");
    }
    code += "return 0;\n}\n";
    assert!(structures.len() > 10 && constants.len() > 40, "{structures:?} {constants:?}");
    let source = common::scratch_dir().join(format!("{out}.c"));
    fs::write(&source, code).expect("a source can be written");
    // Function declarations are only declared: nothing of the library is needed.
    let program = common::compile(&[&source], Language::C, Link::Shared, out)?;
    Some(common::run(&program, &[]))
}

#[test]
fn sizes_offsets_and_constants_are_the_contracts() {
    let Some(contract) = contract() else { return };
    let names = fs::read_to_string(&contract).expect("the contract is there");
    let Some(wanted) = printed(&contract, &names, "printed-contract") else { return };
    let got = printed(&common::include_dir().join("spinect.h"), &names, "printed-header").expect("there is a compiler");
    assert_eq!(got, wanted);
    // And nothing beside it.
    let (structures, constants) = declarations(&generated());
    let (wanted_structures, wanted_constants) = declarations(&names);
    let wanted: Vec<_> = wanted_structures.into_iter().map(|(name, _)| name).chain(ADDED_STRUCTURES.map(str::to_owned)).collect();
    let more: Vec<_> = structures.iter().filter(|(name, _)| !wanted.contains(name)).collect();
    assert!(more.is_empty() && structures.len() == wanted.len(), "structures beside the contract: {more:?}");
    let wanted: BTreeSet<_> = wanted_constants.iter().collect();
    let more: Vec<_> = constants.iter().filter(|name| !wanted.contains(name)).collect();
    assert!(more.is_empty(), "constants beside the contract: {more:?}");
}
