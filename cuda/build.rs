//! Compiles the kernels with nvcc and links them and CUDA's runtime.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the kernels are compiled for: Ampere, Ada, Hopper, Blackwell; newer GPUs compile the last one's PTX when it is loaded.
const ARCHITECTURES: [u32; 5] = [80, 86, 89, 90, 120];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=kernels");
    for variable in ["CUDA_HOME", "CUDA_PATH", "SPINECT_CUDA_ARCHITECTURES", "SPINECT_CUDA_KERNELS", "NVCC"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let home = cuda_home();
    archive(&home, &sources(), &out);
    link(&home, &out);
}

/// Where CUDA is: CUDA_HOME, CUDA_PATH, beside the nvcc that the path has, /usr/local/cuda.
fn cuda_home() -> PathBuf {
    let given = ["CUDA_HOME", "CUDA_PATH"].iter().filter_map(env::var_os).map(PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    let beside: Vec<PathBuf> = env::split_paths(&path).filter(|folder| folder.join("nvcc").is_file()).collect();
    let beside = beside.iter().filter_map(|bin| bin.parent()).map(Path::to_path_buf);
    let usual = std::iter::once(PathBuf::from("/usr/local/cuda"));
    given.chain(beside).chain(usual).find(|home| home.join("bin/nvcc").is_file()).unwrap_or_else(|| {
        panic!(
            "\n\nnvcc was not found. spinect-cuda is the CUDA engine: it needs the CUDA toolkit, 12.8 or newer (nvcc, cudart, cublas, \
             curand, nvrtc), and CUDA_HOME where it is not in /usr/local/cuda. Everything else of spinect builds without: leave out \
             `-p spinect-cuda`.\n"
        )
    })
}

/// Every .cu file of the folder of kernels.
fn sources() -> Vec<PathBuf> {
    // Another folder: kernels that need no GPU, in a test.
    let folder = env::var_os("SPINECT_CUDA_KERNELS").map_or_else(|| PathBuf::from("kernels"), PathBuf::from);
    println!("cargo::rerun-if-changed={}", folder.display());
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut sources: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    sources.retain(|path| path.extension().is_some_and(|extension| extension == "cu"));
    sources.sort();
    assert!(!sources.is_empty(), "there is no kernel (*.cu) in {}", folder.display());
    sources
}

/// Compiles the kernels into one static library.
fn archive(home: &Path, sources: &[PathBuf], out: &Path) {
    let given = env::var("SPINECT_CUDA_ARCHITECTURES").unwrap_or_default();
    let mut architectures: Vec<u32> = given.split(',').filter_map(|number| number.trim().parse().ok()).collect();
    if architectures.is_empty() {
        architectures = ARCHITECTURES.to_vec();
    }
    let newest = architectures.iter().max().copied().unwrap_or(80);
    let nvcc = env::var_os("NVCC").map_or_else(|| home.join("bin/nvcc"), PathBuf::from);
    let mut command = Command::new(&nvcc);
    command.args([
        "-lib",
        "-O3",
        "-std=c++17",
        "--fmad=true",
        "--expt-relaxed-constexpr",
        "-Xcompiler",
        "-fPIC,-fvisibility=hidden",
        "-Ikernels",
    ]);
    command.args(["--threads", "0", "-Xfatbin", "-compress-all"]);
    for number in &architectures {
        command.arg(format!("-gencode=arch=compute_{number},code=sm_{number}"));
    }
    command.arg(format!("-gencode=arch=compute_{newest},code=compute_{newest}"));
    let library = out.join("libspinect_kernels.a");
    let _ = std::fs::remove_file(&library);
    command.args(sources).arg("-o").arg(&library);
    let status = command.status().unwrap_or_else(|error| panic!("{}: {error}", nvcc.display()));
    assert!(status.success(), "{command:?}: {status}");
}

/// Links the kernels, and CUDA's runtime: shared, because candle's kernels need that one anyway.
fn link(home: &Path, out: &Path) {
    println!("cargo::rustc-link-search=native={}", out.display());
    println!("cargo::rustc-link-lib=static=spinect_kernels");
    for folder in ["lib64", "lib", "targets/x86_64-linux/lib", "targets/sbsa-linux/lib", "lib64/stubs"] {
        let folder = home.join(folder);
        if folder.is_dir() {
            println!("cargo::rustc-link-search=native={}", folder.display());
        }
    }
    println!("cargo::rustc-link-lib=dylib=cudart");
    println!("cargo::rustc-link-lib=dylib=stdc++");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libspinect_cuda.so");
}
