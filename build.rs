//! What the shared library is called, and what `spinect_build_info` says. Writes nothing.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    link();
    describe();
}

/// The soname follows the ABI, not the release; a process that unloads the library keeps its code, because its threads
/// and its fork handler may still need it. What is exported needs no list: rustc exports the `no_mangle` functions only.
fn link() {
    let os = env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    // cargo-c sets a soname of its own.
    let soname = env::var_os("CARGO_FEATURE_CAPI").is_none();
    match os.as_str() {
        "linux" | "freebsd" | "netbsd" | "openbsd" | "android" => {
            println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
            if soname {
                println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libspinect.so.1");
            }
        }
        "macos" if soname => println!("cargo::rustc-cdylib-link-arg=-Wl,-install_name,@rpath/libspinect.1.dylib"),
        _ => {}
    }
}

fn describe() {
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let profile = variable("PROFILE");
    let mut features: Vec<String> = env::vars_os()
        .filter_map(|(name, _)| Some(name.to_str()?.strip_prefix("CARGO_FEATURE_")?.to_lowercase()))
        .filter(|feature| !["default", "capi"].contains(&feature.as_str()))
        .collect();
    features.sort();
    let features = if features.is_empty() { "none".into() } else { features.join(" ") };
    let rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())).arg("--version").output();
    let rustc = rustc.ok().and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    for (name, value) in [
        ("SPINECT_TARGET", variable("TARGET")),
        ("SPINECT_FEATURES", features),
        ("SPINECT_RUSTC", rustc.trim().to_owned()),
        ("SPINECT_COMMIT", commit(&profile)),
        ("SPINECT_PROFILE", profile),
    ] {
        println!("cargo::rustc-env={name}={value}");
    }
}

/// The commit: from the environment, from what `cargo package` left, or from git. Only a release build looks at git:
/// others would be rebuilt after every commit, or name a commit that they are not from.
fn commit(profile: &str) -> String {
    println!("cargo::rerun-if-env-changed=SPINECT_COMMIT");
    let root = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let root = Path::new(&root);
    let hexadecimal = |text: &str| (text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| text.to_owned());
    if let Some(commit) = env::var("SPINECT_COMMIT").ok().as_deref().and_then(hexadecimal) {
        return commit;
    }
    let packaged = root.join(".cargo_vcs_info.json");
    if let Ok(text) = std::fs::read_to_string(packaged) {
        return text.split('"').find_map(hexadecimal).unwrap_or_else(|| "unknown".into());
    }
    // Without its own .git this is a copy inside somebody else's repository.
    if profile == "release" && root.join(".git").exists() {
        let git = |arguments: &[&str]| {
            let output = Command::new("git").arg("-C").arg(root).args(arguments).output().ok()?;
            String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned())
        };
        if let Some(commit) = git(&["rev-parse", "HEAD"]).as_deref().and_then(hexadecimal) {
            if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| root.join(log).exists()) {
                println!("cargo::rerun-if-changed={log}");
            }
            return commit;
        }
    }
    "unknown".into()
}
