//! What `make install` and `make dist` leave behind, as those who build against it find it.
#![cfg(target_os = "linux")]

mod common;
#[path = "common/fixtures.rs"]
mod fixtures;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use common::{Language, succeeds};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A fresh folder for one test.
fn folder(name: &str) -> PathBuf {
    let folder = common::scratch_dir().join("install").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Whether all of these tools are there; says loudly which is not.
fn has(tools: &[&str]) -> bool {
    let missing = tools.iter().find(|tool| Command::new(tool).arg("--version").output().is_err());
    if let Some(tool) = missing {
        eprintln!("SKIPPED: {tool} is not there");
    }
    missing.is_none() && common::compiler(Language::C).is_some() && common::compiler(Language::Cpp).is_some()
}

/// What `BUILT` takes: a folder with the libraries and, where the features have it, the program of this very build.
fn built(test: &Path) -> (PathBuf, &'static str) {
    let folder = test.join("built");
    fs::create_dir_all(&folder).unwrap();
    let link = |target: &Path, name: &str| {
        let _ = fs::remove_file(folder.join(name));
        symlink(target, folder.join(name)).unwrap();
    };
    for library in ["libspinect.so", "libspinect.a"] {
        link(&common::library_dir().join(library), library);
    }
    match option_env!("CARGO_BIN_EXE_spinect") {
        Some(program) => {
            link(Path::new(program), "spinect");
            (folder, "cli")
        }
        None => (folder, ""),
    }
}

/// `make` with this build's libraries, and further arguments.
fn make(test: &Path, goal: &str, variables: &[String]) -> Command {
    let (built, features) = built(test);
    let mut command = Command::new("make");
    command.arg("-C").arg(common::root()).args(["--no-print-directory", goal]).args(variables);
    command.arg(format!("BUILT={}", built.display())).arg(format!("FEATURES={features}"));
    command.env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
    command
}

/// Installs into `prefix` below a fresh folder of this test and returns that prefix.
fn installed(test: &str, libraries: &str) -> PathBuf {
    let folder = folder(test);
    let prefix = folder.join("prefix");
    succeeds(&mut make(&folder, "install", &[format!("PREFIX={}", prefix.display()), format!("LIBRARIES={libraries}")]));
    prefix
}

/// Configures the application in `tests/install` against what is in `prefix`.
fn configure(prefix: &Path, build: &Path, wanted: &str) -> Output {
    let mut command = Command::new("cmake");
    command.arg("-S").arg(common::root().join("tests/install")).arg("-B").arg(build);
    command.arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display())).arg(format!("-DWANTED={wanted}"));
    // What is installed on this machine, or registered by somebody's build, is another library.
    command.args(["-DCMAKE_FIND_USE_CMAKE_SYSTEM_PATH=OFF", "-DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF"]);
    command.arg(format!("-DEXAMPLES={}", common::root().join("c_examples").display()));
    command.output().unwrap()
}

/// `pkg-config` that sees what is in `prefix` only.
fn pkg_config(prefix: &Path, arguments: &[&str]) -> Output {
    Command::new("pkg-config").args(arguments).env("PKG_CONFIG_LIBDIR", prefix.join("lib/pkgconfig")).output().unwrap()
}

/// Runs a consumer on a small volume: it segments it.
fn segments(program: &Path, libraries: Option<&Path>) {
    let folder = program.with_extension("run");
    fs::create_dir_all(&folder).unwrap();
    let mut command = Command::new(program);
    command.args([fixtures::small_model(&folder), fixtures::small_volume(&folder), folder.join("labels.nii.gz")]);
    command.env_remove("LD_LIBRARY_PATH");
    if let Some(libraries) = libraries {
        command.env("LD_LIBRARY_PATH", libraries);
    }
    let written = succeeds(&mut command);
    assert!(written.contains("nerve") && folder.join("labels.nii.gz").exists(), "{written}");
}

/// The names that a program asks the loader for.
fn needed(program: &Path) -> String {
    succeeds(Command::new("readelf").arg("-d").arg(program))
}

#[test]
fn an_installation_has_everything_where_it_belongs() {
    if !has(&["make", "readelf"]) {
        return;
    }
    let folder = folder("layout");
    let variables = [format!("DESTDIR={}", folder.join("image").display()), "PREFIX=/usr".into(), "LIBDIR=/usr/lib/here".into()];
    succeeds(&mut make(&folder, "install", &variables));
    let usr = folder.join("image/usr");
    let mode = |path: &str| fs::metadata(usr.join(path)).unwrap_or_else(|error| panic!("{path}: {error}")).permissions().mode() & 0o777;
    for file in [
        "include/spinect.h",
        "include/spinect.hpp",
        "lib/here/libspinect.a",
        "lib/here/pkgconfig/spinect.pc",
        "share/spinect/cmake/spinect-config.cmake",
        "share/spinect/cmake/spinect-config-version.cmake",
        "share/doc/spinect/LICENSE-MIT",
        "share/doc/spinect/LICENSE-APACHE",
    ] {
        assert_eq!(mode(file), 0o644, "{file}");
    }
    // The development link, the soname, the file: the soname has the number of the ABI.
    let soname = format!("libspinect.so.{}", spinect_abi());
    assert_eq!(fs::read_link(usr.join("lib/here/libspinect.so")).unwrap(), Path::new(&soname));
    let file = fs::read_link(usr.join("lib/here").join(&soname)).unwrap();
    assert!(file.to_str().unwrap().starts_with(&format!("{soname}.")), "{}", file.display());
    assert_eq!(mode(&format!("lib/here/{}", file.display())), 0o755);
    assert!(needed(&usr.join("lib/here").join(&file)).contains(&format!("soname: [{soname}]")));

    let pc = fs::read_to_string(usr.join("lib/here/pkgconfig/spinect.pc")).unwrap();
    assert!(pc.contains("prefix=/usr\n") && pc.contains("libdir=${prefix}/lib/here\n") && !pc.contains('@'), "{pc}");
    if option_env!("CARGO_BIN_EXE_spinect").is_some() {
        assert_eq!(mode("bin/spinect"), 0o755);
        let page = fs::read_to_string(usr.join("share/man/man1/spinect.1")).unwrap();
        assert!(page.contains(".TH spinect 1") && page.contains(&format!("spinect {VERSION}")), "{page}");
        let page = fs::read_to_string(usr.join("share/man/man1/spinect-segment.1")).unwrap();
        assert!(page.contains("\\-\\-confidence") && page.contains("spinect segment"), "{page}");
    }
}

/// The ABI that this build has, by its header.
fn spinect_abi() -> u32 {
    let header = fs::read_to_string(common::include_dir().join("spinect.h")).unwrap();
    let (_, rest) = header.split_once("#define SPINECT_ABI_VERSION ").unwrap();
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn an_application_with_cmake_finds_builds_and_runs() {
    if !has(&["make", "cmake", "readelf"]) {
        return;
    }
    let prefix = installed("cmake", "shared static");
    // Moved: nothing in it may remember where it was installed.
    let moved = prefix.with_file_name("moved");
    fs::rename(&prefix, &moved).unwrap();
    let build = moved.with_file_name("build");
    let output = configure(&moved, &build, "0.1;COMPONENTS;static");
    let written = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && written.contains(&format!("found spinect {VERSION}")), "{written}");
    succeeds(Command::new("cmake").arg("--build").arg(&build));
    for (program, shared) in [("c_spinect", true), ("cpp_spinect", true), ("c_static", false), ("cpp_static", false)] {
        let program = build.join(program);
        assert_eq!(needed(&program).contains("libspinect.so.1"), shared, "{}", program.display());
        segments(&program, None);
    }
}

#[test]
fn the_examples_find_what_is_installed() {
    if !has(&["make", "cmake", "ctest"]) {
        return;
    }
    let prefix = installed("cmake-examples", "shared");
    let build = prefix.with_file_name("build");
    let mut configure = Command::new("cmake");
    configure.arg("-S").arg(common::root().join("c_examples")).arg("-B").arg(&build);
    // Nowhere else is a library.
    configure.arg("-DSPINECT_ROOT=/nonexistent").arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display()));
    succeeds(&mut configure);
    succeeds(Command::new("cmake").arg("--build").arg(&build));
    let tests = succeeds(Command::new("ctest").arg("--output-on-failure").current_dir(&build));
    assert!(tests.contains("100% tests passed, 0 tests failed out of 3"), "{tests}");
}

#[test]
fn cmake_takes_the_static_library_where_only_that_is_installed() {
    if !has(&["make", "cmake", "readelf"]) {
        return;
    }
    let prefix = installed("cmake-static", "static");
    let build = prefix.with_file_name("build");
    assert!(configure(&prefix, &build, "").status.success());
    succeeds(Command::new("cmake").arg("--build").arg(&build).args(["--target", "cpp_spinect"]));
    assert!(!needed(&build.join("cpp_spinect")).contains("libspinect"));
    segments(&build.join("cpp_spinect"), None);
}

#[test]
fn cmake_refuses_what_is_not_installed() {
    if !has(&["make", "cmake"]) {
        return;
    }
    let prefix = installed("cmake-versions", "shared");
    let series = VERSION.rsplit_once('.').unwrap().0;
    for (wanted, found) in [
        (VERSION, true),
        (series, true),
        ("0.0", false),
        ("0.1.99", false),
        ("99.0", false),
        (&format!("{VERSION};EXACT"), true),
        ("0.0;EXACT", false),
        (&format!("{series}...<99"), true),
        (&format!("0.0...<{VERSION}"), false),
        // The static library was left out.
        (&format!("{series};COMPONENTS;static"), false),
    ] {
        let build = prefix.with_file_name(format!("build-{}", wanted.replace([';', '<'], "-")));
        let output = configure(&prefix, &build, wanted);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), found, "{wanted}: {stderr}");
        assert!(found || stderr.contains("spinect"), "{wanted}: {stderr}");
    }
}

#[test]
fn an_application_with_pkg_config_builds_and_runs() {
    if !has(&["make", "pkg-config", "readelf"]) {
        return;
    }
    for (libraries, kind) in [("shared static", "--shared"), ("static", "--static")] {
        let prefix = installed(&format!("pkg-config{kind}"), libraries);
        let arguments: &[&str] =
            if kind == "--static" { &["--static", "--cflags", "--libs", "spinect"] } else { &["--cflags", "--libs", "spinect"] };
        let flags = String::from_utf8(pkg_config(&prefix, arguments).stdout).unwrap();
        for (language, source, standard) in [(Language::C, "segment.c", "-std=c99"), (Language::Cpp, "segment.cpp", "-std=c++17")] {
            let program = prefix.with_file_name(source.replace('.', "_"));
            let mut compile = Command::new(common::compiler(language).unwrap());
            compile.args([standard, "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]);
            compile.arg(common::root().join("c_examples").join(source)).args(flags.split_whitespace()).arg("-o").arg(&program);
            succeeds(&mut compile);
            let shared = kind == "--shared";
            assert_eq!(needed(&program).contains("libspinect.so.1"), shared, "{}", program.display());
            segments(&program, shared.then(|| prefix.join("lib")).as_deref());
        }
    }
}

#[test]
fn pkg_config_says_the_version_and_refuses_another() {
    if !has(&["make", "pkg-config"]) {
        return;
    }
    let prefix = installed("pkg-config-versions", "shared");
    let version = pkg_config(&prefix, &["--modversion", "spinect"]);
    assert_eq!(String::from_utf8_lossy(&version.stdout).trim(), VERSION);
    for (wanted, found) in [(format!("spinect = {VERSION}"), true), ("spinect >= 99".into(), false), ("spinect < 0.1".into(), false)] {
        let output = pkg_config(&prefix, &["--print-errors", "--exists", &wanted]);
        assert_eq!(output.status.success(), found, "{wanted}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_release_archive_has_the_same_bytes_twice_and_works_where_it_is_unpacked() {
    if !has(&["make", "tar", "gzip", "sha256sum", "pkg-config"]) {
        return;
    }
    let archive = |name: &str, umask: &str| {
        let folder = folder(name);
        let make = make(&folder, "dist", &[format!("TARGET_DIR={}", folder.display())]);
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("umask {umask} && exec \"$@\"")).arg("sh").arg(make.get_program()).args(make.get_args());
        shell.env("SOURCE_DATE_EPOCH", "1700000000").env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
        succeeds(&mut shell);
        let made: Vec<PathBuf> = fs::read_dir(folder.join("dist")).unwrap().map(|entry| entry.unwrap().path()).collect();
        let path = made.iter().find(|path| path.to_str().unwrap().ends_with(".tar.gz")).unwrap_or_else(|| panic!("{made:?}"));
        assert_eq!(made.len(), 2, "an archive and its SHA-256 only: {made:?}");
        succeeds(
            Command::new("sha256sum").args(["--check", "--strict"]).arg(path.with_extension("gz.sha256")).current_dir(folder.join("dist")),
        );
        path.clone()
    };
    let (first, second) = (archive("dist-first", "022"), archive("dist-second", "077"));
    assert!(fs::read(&first).unwrap() == fs::read(&second).unwrap(), "two archives of the same build differ");

    let listing = succeeds(Command::new("tar").args(["--list", "--verbose", "--numeric-owner", "--utc", "--file"]).arg(&first));
    for line in listing.lines() {
        assert!(line.contains(" 0/0 ") && line.contains("2023-11-14"), "{line}");
        assert!(line.starts_with("lrwx") || line[..10].ends_with("r-x") || line[..10].ends_with("r--"), "{line}");
    }
    let place = folder("dist-unpacked");
    succeeds(Command::new("tar").arg("--extract").arg("--file").arg(&first).arg("--directory").arg(&place));
    let prefix = fs::read_dir(&place).unwrap().next().unwrap().unwrap().path();
    assert!(prefix.file_name().unwrap().to_str().unwrap().starts_with(&format!("spinect-{VERSION}-")));
    let flags = String::from_utf8(pkg_config(&prefix, &["--cflags", "--libs", "spinect"]).stdout).unwrap();
    let program = place.join("segment_c");
    let mut compile = Command::new(common::compiler(Language::C).unwrap());
    compile.arg(common::root().join("c_examples/segment.c")).args(flags.split_whitespace()).arg("-o").arg(&program);
    succeeds(&mut compile);
    segments(&program, Some(&prefix.join("lib")));
}

#[test]
fn the_sbom_names_what_is_compiled_in_and_is_installed() {
    if Command::new("cargo-cyclonedx").arg("--version").output().is_err() {
        eprintln!("SKIPPED: cargo-cyclonedx is not there: cargo install --locked cargo-cyclonedx");
        return;
    }
    if !has(&["make"]) {
        return;
    }
    let folder = folder("sbom");
    let sbom = |epoch: &str| {
        succeeds(make(&folder, "sbom", &[]).env("SOURCE_DATE_EPOCH", epoch).env("CARGO_NET_OFFLINE", "true"));
        fs::read_to_string(folder.join("built/spinect.cdx.json")).unwrap()
    };
    let (first, second) = (sbom("1700000000"), sbom("1700000000"));
    assert!(first == second, "two SBOMs of the same sources differ");
    let document: serde_json::Value = serde_json::from_str(&first).unwrap();
    assert_eq!(document["bomFormat"], "CycloneDX");
    assert!(!first.contains(common::root().to_str().unwrap()), "it names this machine's folders");
    assert_eq!(document["metadata"]["component"]["version"], VERSION);
    let names: Vec<&str> = document["components"].as_array().unwrap().iter().map(|part| part["name"].as_str().unwrap()).collect();
    assert!(["candle-core", "nifti", "safetensors"].iter().all(|name| names.contains(name)), "{names:?}");
    // What only tests and generates is in no product.
    assert!(!names.contains(&"criterion") && !names.contains(&"cbindgen"), "{names:?}");
    let prefix = folder.join("prefix");
    succeeds(&mut make(&folder, "install", &[format!("PREFIX={}", prefix.display())]));
    assert!(prefix.join("share/doc/spinect/spinect.cdx.json").exists());
}

#[test]
fn cargo_c_installs_to_the_same_places() {
    if Command::new("cargo-cinstall").arg("--version").output().is_err() {
        eprintln!("SKIPPED: cargo-c is not there: cargo install --locked cargo-c");
        return;
    }
    if !has(&["make", "pkg-config", "cmake", "readelf"]) {
        return;
    }
    let ours = installed("cargo-c", "shared static");
    let prefix = ours.with_file_name("cinstalled");
    let mut cinstall = Command::new(env!("CARGO"));
    cinstall.args(["cinstall", "--release", "--locked", "--offline"]).current_dir(common::root());
    cinstall.arg(format!("--prefix={}", prefix.display())).arg("--libdir=lib");
    // The folder of the build that is being tested keeps what it has.
    cinstall.arg("--target-dir").arg(common::scratch_dir().join("cargo-c"));
    succeeds(&mut cinstall);
    let mut files = Vec::new();
    for folder in ["include", "lib", "lib/pkgconfig", "share/spinect/cmake"] {
        for entry in fs::read_dir(ours.join(folder)).unwrap() {
            files.push(Path::new(folder).join(entry.unwrap().file_name()));
        }
    }
    for file in &files {
        assert!(prefix.join(file).exists(), "cargo-c did not install {}", file.display());
        assert_eq!(fs::read_link(prefix.join(file)).ok(), fs::read_link(ours.join(file)).ok(), "{}", file.display());
    }
    assert!(needed(&prefix.join("lib/libspinect.so")).contains(&format!("soname: [libspinect.so.{}]", spinect_abi())));
    for arguments in [&["--modversion", "spinect"][..], &["--libs-only-l", "spinect"]] {
        assert_eq!(pkg_config(&prefix, arguments).stdout, pkg_config(&ours, arguments).stdout, "{arguments:?}");
    }
    let output = configure(&prefix, &prefix.with_file_name("build"), "0.1;COMPONENTS;static");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Builds an example that needs a library of somebody else's against an installation, every warning an error; `None`, loudly,
/// where `package` is not installed.
fn example_with(package: &str, folder: &str, program: &str) -> Option<PathBuf> {
    if !has(&["make", "cmake"]) {
        return None;
    }
    let prefix = installed(folder, "shared");
    let build = prefix.with_file_name("build");
    let mut configure = Command::new("cmake");
    configure.arg("-S").arg(common::root().join("c_examples").join(folder)).arg("-B").arg(&build);
    configure.arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display())).arg("-DCMAKE_CXX_FLAGS=-Werror");
    let output = configure.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        assert!(stderr.contains(&format!("\"{package}\"")) && !stderr.contains("\"spinect\""), "{stderr}");
        eprintln!("SKIPPED: {package} is not installed: c_examples/{folder} says which package has it");
        return None;
    }
    succeeds(Command::new("cmake").arg("--build").arg(&build));
    Some(build.join(program))
}

#[test]
fn the_openigtlink_server_answers_and_outlives_nonsense() {
    let Some(program) = example_with("OpenIGTLink", "openigtlink", "spinect_igtl") else { return };
    let model = fixtures::small_model(program.parent().unwrap());
    let mut server = Command::new(&program).arg(&model).args(["--port", "0"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let port: u16 = line.trim().rsplit(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("no port in {line:?}"));
    // The code of the STATUS that answers these bytes; `None` if the server closes instead.
    let ask = |bytes: &[u8]| -> Option<u16> {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        socket.write_all(bytes).unwrap();
        let mut answer = [0; 60];
        socket.read_exact(&mut answer).ok()?;
        assert_eq!(&answer[2..8], b"STATUS");
        Some(u16::from_be_bytes([answer[58], answer[59]]))
    };
    let header = |version: u16, kind: &str, size: u64| {
        let mut bytes = version.to_be_bytes().to_vec();
        bytes.extend(kind.bytes().chain(std::iter::repeat(0)).take(12));
        bytes.extend([0; 28]); // device, time stamp
        bytes.extend(size.to_be_bytes());
        bytes.extend([0; 8]); // the checksum of nothing is 0
        bytes
    };
    const RESOURCE: u16 = 11;
    const UNKNOWN_INSTRUCTION: u16 = 12;
    const NOT_READY: u16 = 13;
    const UNKNOWN_VERSION: u16 = 17;
    for (bytes, code) in [
        (header(1, "GET_STATUS", 0), NOT_READY),
        (header(1, "NONSENSE", 0), UNKNOWN_INSTRUCTION),
        (header(9, "IMAGE", 0), UNKNOWN_VERSION),
        (header(1, "IMAGE", u64::MAX), RESOURCE),
        (header(2, "GET_STATUS", 0), 8), // no extended header
        (header(1, "GET_STATUS", 0), NOT_READY),
    ] {
        assert_eq!(ask(&bytes), Some(code), "{bytes:?}");
    }
    assert!(server.try_wait().unwrap().is_none(), "the server has gone");
    succeeds(Command::new("kill").args(["-TERM", &server.id().to_string()]));
    assert!(server.wait().unwrap().success());
}

#[test]
fn the_vtk_example_draws_a_picture() {
    let Some(program) = example_with("VTK", "navigation_vtk", "navigation_vtk") else { return };
    if Command::new("xvfb-run").arg("--help").output().is_err() {
        eprintln!("SKIPPED: xvfb-run is not there, and VTK may need a display");
        return;
    }
    let folder = program.parent().unwrap();
    let (model, input, picture) = (fixtures::small_model(folder), fixtures::small_volume(folder), folder.join("picture.png"));
    let written = succeeds(Command::new("xvfb-run").arg("-a").arg(&program).args([&model, &input, &picture]));
    assert!(written.contains("within"), "{written}");
    let bytes = fs::read(&picture).unwrap();
    assert_eq!((&bytes[..8], &bytes[16..24]), (&b"\x89PNG\r\n\x1a\n"[..], &[0, 0, 4, 176, 0, 0, 3, 32][..]), "1200 × 800 pixels");
}
