//! What the tests that compile C and C++ clients share: where the library is, how to compile, link and run.
#![allow(dead_code)]

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The language of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// C99.
    C,
    /// C++17.
    Cpp,
}

/// How a client is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Against `libspinect.so`, found at run time through the run path.
    Shared,
    /// Against `libspinect.a`.
    Static,
    /// Not at all: only compiled to an object file.
    Never,
}

/// What a static client needs besides `libspinect.a` (`rustc --print native-static-libs`).
const STATIC_NEEDS: &[&str] = &["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl", "-lc"];

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The folder of `spinect.h` and `spinect.hpp`.
pub fn include_dir() -> PathBuf {
    root().join("include")
}

/// A folder for what tests write.
pub fn scratch_dir() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// A folder with `libspinect.so`, `libspinect.so.1` (the soname that a client asks for at run time) and `libspinect.a`
/// of this very build. cargo leaves the libraries beside the test program; the soname exists only after installation.
pub fn library_dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let test = env::current_exe().expect("the test program has a path");
        let built = test.parent().expect("the test program lies in a folder");
        // Another profile has its own libraries.
        let profile = built.parent().and_then(Path::file_name).unwrap_or_default();
        let dir = scratch_dir().join("library").join(profile);
        std::fs::create_dir_all(&dir).expect("the scratch folder can be written");
        for (name, link) in [("libspinect.so", "libspinect.so"), ("libspinect.so", "libspinect.so.1"), ("libspinect.a", "libspinect.a")] {
            let target = built.join(name);
            assert!(target.exists(), "{} was not built", target.display());
            // Another test program may do the same at this moment: a rename is whole or not at all.
            let draft = dir.join(format!("{link}.{}", std::process::id()));
            let _ = std::fs::remove_file(&draft);
            std::os::unix::fs::symlink(target, &draft).expect("a link can be made");
            std::fs::rename(&draft, dir.join(link)).expect("a link can be renamed");
        }
        dir
    })
}

/// The compiler for `language`: `CC` or `CXX`, else `cc` or `c++`. Says so loudly when there is none.
pub fn compiler(language: Language) -> Option<OsString> {
    let (variable, default) = match language {
        Language::C => ("CC", "cc"),
        Language::Cpp => ("CXX", "c++"),
    };
    let compiler = env::var_os(variable).unwrap_or_else(|| default.into());
    let works = Command::new(&compiler).arg("--version").output().is_ok_and(|output| output.status.success());
    if !works {
        eprintln!("SKIPPED: no {language:?} compiler ({}); set {variable} to one", compiler.to_string_lossy());
    }
    works.then_some(compiler)
}

/// Compiles `sources` (relative to the repository's root, or absolute) with every warning an error and links them as
/// `out_name` in the scratch folder. `None`, loudly, if there is no compiler.
pub fn compile(sources: &[&Path], language: Language, link: Link, out_name: &str) -> Option<PathBuf> {
    compile_with(sources, language, link, out_name, &[])
}

/// As [`compile`], with further options in front of the sources.
pub fn compile_with(sources: &[&Path], language: Language, link: Link, out_name: &str, options: &[&str]) -> Option<PathBuf> {
    let compiler = compiler(language)?;
    let out = scratch_dir().join(out_name);
    let mut command = Command::new(compiler);
    command.arg(match language {
        Language::C => "-std=c99",
        Language::Cpp => "-std=c++17",
    });
    command.args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-g", "-O1", "-pthread"]);
    command.arg("-I").arg(include_dir()).args(options);
    command.args(sources.iter().map(|source| root().join(source))).arg("-o").arg(&out);
    let libraries = library_dir();
    match link {
        Link::Shared => {
            command.arg("-L").arg(libraries).arg("-lspinect").arg("-lm");
            command.arg(format!("-Wl,-rpath,{}", libraries.display()));
        }
        Link::Static => {
            command.arg(libraries.join("libspinect.a")).args(STATIC_NEEDS);
        }
        Link::Never => {
            command.arg("-c");
        }
    }
    let output = command.output().expect("the compiler starts");
    assert!(
        output.status.success(),
        "{command:?} failed:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Some(out)
}

/// Runs a program and returns what it wrote to its standard output. A failure is a failure of the test, with all that
/// the program wrote.
pub fn run(program: &Path, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{} {args:?}: {}\n{stdout}{stderr}", program.display(), output.status);
    stdout.into_owned()
}

/// Runs a tool that must succeed and returns what it wrote.
pub fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let written = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}:\n{written}");
    written
}

/// The shared data folder: `SPINECT_SHARED`, else `../shared` beside the repository. Says so loudly when it is missing.
pub fn shared_data() -> Option<PathBuf> {
    let folder = env::var_os("SPINECT_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
    if !folder.is_dir() {
        eprintln!("SKIPPED: the shared data folder is not there ({}); SPINECT_SHARED says where it is", folder.display());
        return None;
    }
    Some(folder)
}
