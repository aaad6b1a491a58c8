//! CUDA without a GPU: a library that is not there, one that does not fit, and an engine written in C on the host
//! (`tests/c/cuda_engine.c`), all through the code that loads the real one. Each test is a process of its own, because a
//! library that is open stays open.
#![cfg(target_os = "linux")]

mod common;
#[path = "common/fixtures.rs"]
mod fixtures;

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::CString;
use std::mem::offset_of;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs};

use common::{Language, Link, compile_with};
use fixtures::{Noise, small_config};
use spinect::engine::cuda::table;
use spinect::session::RegionOfInterest;
use spinect::{
    Affine, Cancel, Device, Error, ErrorKind, Geometry, Model, Precision, Rescale, Run, Session, SessionConfig, Volume, VoxelType, World,
};

/// The variable that tells a child which test it is.
const CHILD: &str = "SPINECT_TEST_CHILD";
/// The variable that the engine in C listens to.
const FAKE: &str = "FAKE_CUDA";

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

/// Counts what Rust code takes, but for the test harness: its thread is the process's first, no test's.
struct Counting;

impl Counting {
    fn count() {
        // SAFETY: neither call has a condition.
        if unsafe { libc::gettid() != libc::getpid() } {
            ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        }
    }
}

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count();
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::count();
        // SAFETY: the caller's contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Builds the engine in C, in a folder of its own. `None`, loudly, if there is no compiler.
fn fake(name: &str, options: &[&str]) -> Option<PathBuf> {
    let options: Vec<&str> = ["-fPIC", "-shared"].iter().chain(options).copied().collect();
    let source = Path::new("tests/c/cuda_engine.c");
    let _ = fs::create_dir_all(common::scratch_dir().join("cuda"));
    compile_with(&[source], Language::C, Link::Never, &format!("cuda/{name}.o"), &["-fPIC"])?;
    // Linked by hand: it needs nothing of spinect's.
    let out = common::scratch_dir().join(format!("cuda/{name}.so"));
    let mut command = Command::new(common::compiler(Language::C)?);
    command.args(["-std=c99", "-O1", "-I"]).arg(common::include_dir()).arg(common::root().join(source)).args(options);
    command.arg("-o").arg(&out).arg("-lm");
    let output = command.output().expect("the compiler starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(out)
}

/// Runs `body` in a child of this test program, as the test `name`, with these variables.
fn in_child(name: &str, variables: &[(&str, &Path)], body: impl FnOnce()) {
    if env::var_os(CHILD).is_some_and(|child| child == name) {
        return body();
    }
    let mut command = Command::new(env::current_exe().expect("the test program has a path"));
    command.args([name, "--exact", "--nocapture", "--test-threads=1"]).env(CHILD, name);
    command.env_remove("SPINECT_CUDA_LIBRARY").env_remove(FAKE);
    command.envs(variables.iter().map(|&(name, value)| (name, value)));
    let output = command.output().expect("the test program starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && stdout.contains("1 passed"), "{name}: {}\n{stdout}{stderr}", output.status);
}

/// Runs `body` in a child that finds the engine in C.
fn with_fake(name: &str, body: impl FnOnce()) {
    let is_child = env::var_os(CHILD).is_some();
    let Some(library) = (if is_child { Some(PathBuf::new()) } else { fake(name, &[]) }) else { return };
    in_child(name, &[("SPINECT_CUDA_LIBRARY", &library)], body);
}

/// Tells the engine in C what is to go wrong.
fn ask_for(what: &str) {
    // SAFETY: the child runs one test on one thread.
    unsafe { env::set_var(FAKE, what) };
}

/// What the engine in C was asked for: `fake_log` of its source.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
struct Log {
    probes: u64,
    creates: u64,
    prepares: u64,
    waits: u64,
    fills: u64,
    runs: u64,
    frees: u64,
    device_index: u64,
    precision: u64,
    layers: u64,
    steps: u64,
    device_bytes: u64,
    windows_together: u64,
    input_bytes: u64,
}

fn log() -> Log {
    let path = CString::new(env::var("SPINECT_CUDA_LIBRARY").unwrap()).unwrap();
    // SAFETY: the library is open already; its variable has this layout.
    unsafe {
        let library = libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD);
        assert!(!library.is_null(), "the library was not opened");
        libc::dlsym(library, c"fake_log".as_ptr()).cast::<Log>().read_volatile()
    }
}

fn config(device: Device) -> SessionConfig {
    SessionConfig { device, threads: 2, ..SessionConfig::default() }
}

fn load(session: &Session) {
    session.load_weights_from_memory(&Model::untrained(small_config(), 5).unwrap().to_bytes().unwrap()).unwrap();
}

fn session(device: Device) -> Session {
    let session = Session::new(&config(device)).unwrap();
    load(&session);
    session
}

fn refusal(device: Device) -> Error {
    Session::new(&config(device)).unwrap_err()
}

/// AUTO computes on the CPU, and says why in these words.
fn auto_is_the_cpu_because(words: &str) {
    let session = session(Device::Auto);
    assert!(session.device_note().unwrap().contains(words), "{:?}", session.device_note());
    assert_eq!((session.device(), session.model_info().unwrap().device), (Device::Cpu, Device::Cpu));
    let segmentation = session.segment(&Noise::new([30, 30, 20]).volume(), Run::default()).unwrap();
    assert_eq!(segmentation.provenance().device, Device::Cpu);
}

/// CUDA is unavailable because of all these words, and AUTO is the CPU.
fn unavailable_because(words: &[&str]) {
    let error = refusal(Device::Cuda);
    assert_eq!(error.kind(), ErrorKind::DeviceUnavailable);
    for words in words {
        assert!(error.message().contains(words), "{error} lacks {words}");
    }
    auto_is_the_cpu_because(words[0]);
}

#[test]
fn without_the_library_cuda_says_where_it_was_looked_for_and_auto_is_the_cpu() {
    in_child("without_the_library_cuda_says_where_it_was_looked_for_and_auto_is_the_cpu", &[], || {
        let place = env::current_exe().unwrap().parent().unwrap().join("libspinect_cuda.so");
        if place.exists() {
            return eprintln!("SKIPPED: {} is there", place.display());
        }
        unavailable_because(&[place.to_str().unwrap(), "SPINECT_CUDA_LIBRARY"]);
    });
}

#[test]
fn the_path_in_the_environment_must_be_absolute_and_there() {
    let name = "the_path_in_the_environment_must_be_absolute_and_there";
    in_child(name, &[("SPINECT_CUDA_LIBRARY", Path::new("somewhere/engine.so"))], || {
        unavailable_because(&["absolute", "somewhere/engine.so"]);
        // SAFETY: the child runs one test on one thread.
        unsafe { env::set_var("SPINECT_CUDA_LIBRARY", "/nowhere/engine.so") };
        unavailable_because(&["there is no /nowhere/engine.so"]);
    });
}

#[test]
fn a_library_of_another_release_is_refused() {
    let name = "a_library_of_another_release_is_refused";
    let libraries = [fake("other-version", &["-DFAKE_VERSION=7"]), fake("other-size", &["-DFAKE_SIZE=40"])];
    for library in libraries.into_iter().flatten() {
        in_child(name, &[("SPINECT_CUDA_LIBRARY", &library)], || {
            unavailable_because(&["release 9.9.9", env!("CARGO_PKG_VERSION"), "install both"]);
        });
    }
}

#[test]
fn a_library_without_the_table_is_refused() {
    let library = common::library_dir().join("libspinect.so");
    let name = "a_library_without_the_table_is_refused";
    in_child(name, &[("SPINECT_CUDA_LIBRARY", &library)], || unavailable_because(&["no CUDA engine of spinect"]));
}

/// An engine that needs a library which is gone when the program runs.
fn needing(name: &str, soname: &str) -> Option<PathBuf> {
    let compiler = common::compiler(Language::C)?;
    let folder = common::scratch_dir().join("cuda");
    fs::create_dir_all(&folder).unwrap();
    let (source, needed) = (folder.join(format!("{name}-needed.c")), folder.join(format!("{name}-needed.so")));
    fs::write(&source, "int needed(unsigned flags) { return (int)flags; }\n").unwrap();
    let mut command = Command::new(compiler);
    command.args(["-shared", "-fPIC", &format!("-Wl,-soname,{soname}"), "-o"]).arg(&needed).arg(&source);
    assert!(command.status().unwrap().success());
    let library = fake(name, &["-Wl,--no-as-needed", needed.to_str().unwrap()]);
    fs::remove_file(&needed).unwrap();
    library
}

#[test]
fn a_missing_driver_is_named() {
    let name = "a_missing_driver_is_named";
    let Some(library) = (if env::var_os(CHILD).is_some() { Some(PathBuf::new()) } else { needing(name, "libcuda.so.0-absent") }) else {
        return;
    };
    in_child(name, &[("SPINECT_CUDA_LIBRARY", &library)], || {
        unavailable_because(&["libcuda.so.0-absent", "the NVIDIA driver is not installed"]);
    });
}

#[test]
fn missing_runtime_libraries_are_named() {
    let name = "missing_runtime_libraries_are_named";
    let Some(library) = (if env::var_os(CHILD).is_some() { Some(PathBuf::new()) } else { needing(name, "libcudart.so.0-absent") }) else {
        return;
    };
    in_child(name, &[("SPINECT_CUDA_LIBRARY", &library)], || {
        unavailable_because(&["libcudart.so.0-absent", "the CUDA runtime libraries are not installed"]);
    });
}

#[test]
fn a_machine_without_a_gpu_is_told_so() {
    with_fake("a_machine_without_a_gpu_is_told_so", || {
        ask_for("no device");
        unavailable_because(&["this machine has 0 NVIDIA GPUs"]);
        // Whatever a library says, it ends.
        ask_for("endless message");
        unavailable_because(&["xxxxxxxx"]);
        ask_for("no message");
        assert_eq!(refusal(Device::Cuda).kind(), ErrorKind::DeviceFailed);
        assert!(refusal(Device::Cuda).message().contains("12345"));
        // Once it is there, it is used.
        ask_for("");
        assert_eq!(session(Device::Auto).device(), Device::Cuda);
    });
}

#[test]
fn auto_takes_cuda_where_it_works_and_every_result_says_so() {
    with_fake("auto_takes_cuda_where_it_works_and_every_result_says_so", || {
        let config = SessionConfig { device_index: 3, precision: Precision::F16, ..config(Device::Auto) };
        let session = Session::new(&config).unwrap();
        load(&session);
        assert_eq!((session.device(), session.device_note()), (Device::Cuda, Some("Fake GPU")));
        assert_eq!((log().probes, log().creates, log().device_index, log().precision), (1, 1, 3, 1));
        // 3 levels: 10 convolutions, 2 transposed ones, the head.
        assert_eq!((log().layers, log().steps), (13, 13));
        let info = session.model_info().unwrap();
        assert_eq!((info.device, info.precision), (Device::Cuda, Precision::F16));
        let segmentation = session.segment(&Noise::new([30, 30, 20]).volume(), Run::default()).unwrap();
        assert_eq!((segmentation.provenance().device, segmentation.provenance().precision), (Device::Cuda, Precision::F16));
        assert_eq!(segmentation.timings().windows, segmentation.timings().windows_computed);
        drop(session);
        assert_eq!((log().creates, log().frees), (1, 1));
    });
}

#[test]
fn bf16_is_unsupported_and_f16_is_cudas_alone() {
    with_fake("bf16_is_unsupported_and_f16_is_cudas_alone", || {
        let refusal = |device, precision| Session::new(&SessionConfig { precision, ..config(device) }).unwrap_err();
        for device in [Device::Auto, Device::Cpu, Device::Cuda] {
            assert_eq!(refusal(device, Precision::Bf16).kind(), ErrorKind::Unsupported);
        }
        assert_eq!(refusal(Device::Cpu, Precision::F16).kind(), ErrorKind::Unsupported);
        ask_for("no device");
        let error = refusal(Device::Auto, Precision::F16);
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().contains("0 NVIDIA GPUs"), "{error}");
    });
}

/// Where a voxel's label comes from: to the model grid and back, axis by axis, as method.md says.
fn taken_voxel(geometry: &Geometry, v: [usize; 3]) -> [usize; 3] {
    let (orientation, spacing) = (geometry.orientation(), geometry.ijk_to_world.spacing());
    let mut taken = v;
    for model in 0..3 {
        let axis = orientation.axes[model];
        let (n, s) = (geometry.dims[axis], spacing[axis]);
        let turned = |v: usize| if orientation.flipped[model] { n - 1 - v } else { v };
        let length = ((n as f64 * s + 0.5).floor() as usize).max(1);
        let on_grid = (((turned(v[axis]) as f64 + 0.5) * s).floor() as usize).min(length - 1);
        taken[axis] = turned((((on_grid as f64 + 0.5) / s).floor() as usize).min(n - 1));
    }
    taken
}

/// The labels of [`with_fake`]'s network, computed from the volume itself.
fn thresholded<T: spinect::Voxel>(volume: &Volume<'_>) -> Vec<u8> {
    let (geometry, rescale) = (volume.geometry(), volume.rescale());
    let [columns, rows, slices] = geometry.dims;
    let all = (0..slices).flat_map(|k| (0..rows).flat_map(move |j| (0..columns).map(move |i| [i, j, k])));
    let value = |[i, j, k]: [usize; 3]| volume.row::<T>(j, k).unwrap().nth(i).unwrap().to_f64() * rescale.slope + rescale.intercept;
    all.map(|v| u8::from(value(taken_voxel(geometry, v)) > 300.0)).collect()
}

#[test]
fn the_device_gets_the_model_grid_of_any_axes_strides_and_types() {
    with_fake("the_device_gets_the_model_grid_of_any_axes_strides_and_types", || {
        let session = session(Device::Cuda);
        let dims = [37, 25, 21];
        let memory = Noise::new([100, 100, 20]).voxels;
        let affines = [
            [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            [0.0, -1.3, 0.0, 0.0, 0.0, 0.0, 0.8, 0.0, -1.0, 0.0, 0.0, 0.0],
            [0.0, 0.0, 2.1, 0.0, 0.6, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0],
        ];
        let strides = [[1, 40, 1100], [900, 1, 40], [-30, 1200, 1], [1, -1000, -40]];
        for (affine, strides) in affines.iter().flat_map(|affine| strides.iter().map(move |strides| (affine, strides))) {
            let mut matrix = [0.0; 16];
            matrix[..12].copy_from_slice(affine);
            matrix[15] = 1.0;
            let geometry = Geometry { dims, ijk_to_world: Affine(matrix), world: World::Ras };
            let base: isize = (0..3).filter(|&axis| strides[axis] < 0).map(|axis| -strides[axis] * (dims[axis] as isize - 1)).sum();
            let rescale = Rescale::new(0.5, 100.0).unwrap();
            // SAFETY: at most 36·900 + 24·1200 + 20·1100 elements of 200,000.
            let volume = unsafe {
                let voxels = memory.as_ptr().offset(base).cast();
                Volume::from_raw(voxels, VoxelType::Int16, Some(strides.map(|s| s * 2)), geometry, rescale).unwrap()
            };
            let mut labels = vec![9; 37 * 25 * 21];
            session.segment_into(&volume, Run::default(), &mut labels).unwrap();
            let expected = thresholded::<i16>(&volume);
            assert!(expected.contains(&0) && expected.contains(&1));
            assert!(labels == expected, "{affine:?} {strides:?}");
        }
    });
}

#[test]
fn confidence_intensities_and_regions_come_back_from_the_device() {
    with_fake("confidence_intensities_and_regions_come_back_from_the_device", || {
        let session = session(Device::Cuda);
        let mut noise = Noise::new([50, 44, 60]);
        noise.voxels[..20_000].fill(3071);
        let whole = session.segment(&noise.volume(), Run::default()).unwrap();
        let mut confidence = vec![0.0; noise.voxels.len()];
        whole.copy_confidence(&mut confidence).unwrap();
        assert!(whole.labels().iter().zip(&confidence).all(|(&label, &c)| c == if label == 1 { 0.75 } else { 0.5 }));
        // A part of the volume above the upper clip is metal or no CT.
        assert!(whole.provenance().warnings.contains(spinect::Warnings::INTENSITY));

        let geometry = *whole.geometry();
        let (a, b) = (geometry.ijk_to_world.apply([30.0, 10.0, 40.0]), geometry.ijk_to_world.apply([39.0, 12.0, 44.0]));
        let roi = RegionOfInterest { min: std::array::from_fn(|n| a[n].min(b[n])), max: std::array::from_fn(|n| a[n].max(b[n])) };
        let full = log().input_bytes;
        let part = session.segment(&noise.volume(), Run { roi: Some(roi), ..Run::default() }).unwrap();
        assert!(part.timings().windows < whole.timings().windows);
        // Only what its windows need is sent.
        assert!(log().input_bytes < full, "{} of {full}", log().input_bytes);
        let at = |i: usize, j: usize, k: usize| (k * 44 + j) * 50 + i;
        for (i, j, k) in [(31, 11, 41), (38, 11, 43), (35, 10, 42)] {
            assert_eq!(part.labels()[at(i, j, k)], whole.labels()[at(i, j, k)]);
        }
    });
}

#[test]
fn memory_is_taken_once_as_estimated_and_a_segmentation_allocates_nothing() {
    let body = || {
        let (large, small) = (Noise::new([70, 60, 45]), Noise::new([50, 60, 31]));
        let session = session(Device::Cuda);
        let estimate = session.estimate_memory(&large.volume()).unwrap();
        session.prepare(&large.volume()).unwrap();
        assert_eq!((log().prepares, log().device_bytes), (1, estimate.device_bytes));
        assert!(
            estimate.host_bytes > 70 * 60 * 45 * 2
                && session.estimate_memory(&small.volume()).unwrap().device_bytes < estimate.device_bytes
        );
        let mut labels = vec![0; large.voxels.len()];
        let mut segmentation = session.reserve(&large.volume()).unwrap();
        for noise in [&large, &small, &large] {
            let volume = noise.volume();
            let before = ALLOCATIONS.load(Ordering::SeqCst);
            session.segment_into(&volume, Run::default(), &mut labels).unwrap();
            session.segment_again(&volume, Run::default(), &mut segmentation).unwrap();
            assert_eq!(ALLOCATIONS.load(Ordering::SeqCst), before);
        }
        assert_eq!((log().prepares, log().fills, log().runs), (1, 6, 6));

        // Wider voxels than prepared for come in parts, through the same memory.
        let wide: Vec<f64> = large.voxels.iter().map(|&v| f64::from(v)).collect();
        let wide = Volume::from_slice(&wide, *large.volume().geometry()).unwrap();
        let narrow = session.segment(&large.volume(), Run::default()).unwrap();
        let before = log();
        session.segment_into(&wide, Run::default(), &mut labels).unwrap();
        assert_eq!((log().prepares, log().runs), (1, before.runs + 1));
        assert!(log().fills > before.fills + 1, "{:?}", log());
        assert!(labels == narrow.labels());
    };
    // On a thread of its own: the harness may run a test on its own thread.
    with_fake("memory_is_taken_once_as_estimated_and_a_segmentation_allocates_nothing", || {
        std::thread::spawn(body).join().unwrap_or_else(|payload| std::panic::resume_unwind(payload));
    });
}

#[test]
fn where_the_gpu_is_full_fewer_windows_go_together_and_then_it_is_an_error() {
    with_fake("where_the_gpu_is_full_fewer_windows_go_together_and_then_it_is_an_error", || {
        let noise = Noise::new([70, 60, 45]);
        let session = session(Device::Cuda);
        let estimate = session.estimate_memory(&noise.volume()).unwrap().device_bytes;
        let expected = session.segment(&noise.volume(), Run::default()).unwrap();
        let together = log().windows_together;
        assert!(together > 2, "{together}");
        drop(session);

        let session = self::session(Device::Cuda);
        ask_for(&format!("memory {}", estimate * 2 / 3));
        let fewer = session.segment(&noise.volume(), Run::default()).unwrap();
        assert!(log().windows_together < together && log().device_bytes < estimate);
        assert!(fewer.labels() == expected.labels());
        drop(session);

        let session = self::session(Device::Cuda);
        ask_for("memory 1000");
        let error = session.segment(&noise.volume(), Run::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DeviceOutOfMemory);
        assert!(error.message().contains("the GPU is full"), "{error}");
        // Once there is room, it works.
        ask_for("");
        assert!(session.segment(&noise.volume(), Run::default()).unwrap().labels() == expected.labels());
    });
}

#[test]
fn a_gpu_that_is_lost_fails_every_call_until_weights_are_loaded_again_and_the_process_lives() {
    with_fake("a_gpu_that_is_lost_fails_every_call_until_weights_are_loaded_again_and_the_process_lives", || {
        let noise = Noise::new([40, 30, 25]);
        for how in ["die in run", "die in fill", "out of memory in run"] {
            let session = session(Device::Cuda);
            let mut labels = vec![7; noise.voxels.len()];
            ask_for(how);
            let error = session.segment_into(&noise.volume(), Run::default(), &mut labels).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::DeviceFailed, "{error}");
            assert!(labels.iter().all(|&label| label == 7));
            let calls = log();
            // Also when it would work again: its memory is not to be trusted.
            ask_for("");
            for _ in 0..2 {
                assert_eq!(session.segment(&noise.volume(), Run::default()).unwrap_err(), error);
                assert_eq!(session.prepare(&noise.volume()).unwrap_err(), error);
            }
            assert_eq!(log(), calls, "a lost GPU is left alone");
            // What asks nothing of it still works.
            assert!(session.model_info().is_ok() && session.estimate_memory(&noise.volume()).is_ok());
            load(&session);
            assert!(session.segment(&noise.volume(), Run::default()).is_ok());
        }
        assert_eq!((log().creates, log().frees), (6, 6));
    });
}

#[test]
fn a_result_that_is_no_number_is_an_invalid_model_and_no_label() {
    with_fake("a_result_that_is_no_number_is_an_invalid_model_and_no_label", || {
        let (session, noise) = (session(Device::Cuda), Noise::new([30, 30, 20]));
        ask_for("not a number");
        assert_eq!(session.segment(&noise.volume(), Run::default()).unwrap_err().kind(), ErrorKind::InvalidModel);
        ask_for("");
        assert!(session.segment(&noise.volume(), Run::default()).is_ok());
    });
}

#[test]
fn cancel_deadline_and_progress_reach_the_device() {
    with_fake("cancel_deadline_and_progress_reach_the_device", || {
        let (session, noise) = (session(Device::Cuda), Noise::new([40, 30, 25]));
        let mut labels = vec![7; noise.voxels.len()];
        ask_for("slow");
        let kind = |run: Run<'_>, labels: &mut [u8]| session.segment_into(&noise.volume(), run, labels).unwrap_err().kind();

        let cancel = Cancel::new();
        let cancelled = std::thread::scope(|scope| {
            let stopper = scope.spawn(|| {
                while log().runs == 0 {
                    std::thread::yield_now();
                }
                let set = Instant::now();
                cancel.set();
                set
            });
            let kind = kind(Run { cancel: Some(&cancel), ..Run::default() }, &mut labels);
            let returned = Instant::now();
            assert!(returned - stopper.join().unwrap() < Duration::from_secs(5), "cancelled in the middle, not at the end");
            kind
        });
        assert_eq!(cancelled, ErrorKind::Cancelled);
        assert_eq!(kind(Run { deadline: Some(Duration::from_millis(50)), ..Run::default() }, &mut labels), ErrorKind::Deadline);
        let mut calls = 0;
        let mut stop_late = |fraction: f64, _| {
            calls += 1;
            if fraction > 0.021 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        assert_eq!(kind(Run { progress: Some(&mut stop_late), ..Run::default() }, &mut labels), ErrorKind::Cancelled);
        assert!(calls > 3, "{calls}");
        let mut panics = |fraction: f64, _| if fraction > 0.021 { panic!("a test's panic") } else { ControlFlow::Continue(()) };
        assert_eq!(kind(Run { progress: Some(&mut panics), ..Run::default() }, &mut labels), ErrorKind::Panic);
        assert!(labels.iter().all(|&label| label == 7));

        ask_for("");
        let mut fractions = Vec::new();
        let mut record = |fraction: f64, _| {
            fractions.push(fraction);
            ControlFlow::Continue(())
        };
        session.segment_into(&noise.volume(), Run { progress: Some(&mut record), ..Run::default() }, &mut labels).unwrap();
        assert!(fractions.is_sorted() && fractions.len() >= 6 && fractions.last() == Some(&1.0), "{fractions:?}");
    });
}

#[test]
fn little_stack_is_refused_before_the_driver_runs_out_of_it() {
    with_fake("little_stack_is_refused_before_the_driver_runs_out_of_it", || {
        let little = std::thread::Builder::new().stack_size(64 << 10).spawn(|| {
            // What may move to another thread does.
            let session = session(Device::Cuda);
            let noise = Noise::new([30, 30, 20]);
            session.prepare(&noise.volume()).unwrap();
            session.segment(&noise.volume(), Run::default()).unwrap_err().kind()
        });
        assert_eq!(little.unwrap().join().unwrap(), if cfg!(target_env = "gnu") { ErrorKind::Thread } else { ErrorKind::Unsupported });
        assert_eq!(log().runs, 0);
    });
}

/// A program against `libspinect.so`, with and without the engine beside it: nothing needs a variable.
#[test]
fn a_c_program_finds_the_engine_beside_the_library() {
    let sources = [Path::new("tests/c/cuda.c"), Path::new("tests/c/check.c")];
    let Some(program) = compile_with(&sources, Language::C, Link::Shared, "client-cuda", &[]) else { return };
    let Some(engine) = fake("beside", &[]) else { return };
    let folder = common::scratch_dir().join("cuda/beside");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let library = fs::canonicalize(common::library_dir().join("libspinect.so.1")).unwrap();
    fs::copy(library, folder.join("libspinect.so.1")).unwrap();
    let model = folder.join("model.safetensors");
    fs::write(&model, Model::untrained(small_config(), 5).unwrap().to_bytes().unwrap()).unwrap();
    let run = |expected: &str| {
        let mut command = Command::new(&program);
        command.arg(expected).arg(&model).env("LD_LIBRARY_PATH", &folder).env_remove("SPINECT_CUDA_LIBRARY").env_remove(FAKE);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{expected}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let said = run("absent");
    assert!(said.contains(folder.join("libspinect_cuda.so").to_str().unwrap()), "{said}");
    fs::copy(engine, folder.join("libspinect_cuda.so")).unwrap();
    run("present");
}

/// The library that `SPINECT_CUDA_BUILT` names, as `.ci/cuda` does: it computes what the CPU computes, or says what it lacks.
#[test]
fn the_real_library_agrees_with_the_cpu_or_says_what_it_lacks() {
    let name = "the_real_library_agrees_with_the_cpu_or_says_what_it_lacks";
    let Some(library) = env::var_os("SPINECT_CUDA_BUILT").map(PathBuf::from) else {
        return eprintln!("SKIPPED: SPINECT_CUDA_BUILT names no libspinect_cuda.so; .ci/cuda builds one");
    };
    in_child(name, &[("SPINECT_CUDA_LIBRARY", &library)], || {
        let error = match Session::new(&config(Device::Cuda)) {
            Ok(_) => return agrees_with_the_cpu(),
            Err(error) => error,
        };
        assert_eq!(error.kind(), ErrorKind::DeviceUnavailable);
        eprintln!("SKIPPED: {error}");
        auto_is_the_cpu_because(error.message());
    });
}

fn agrees_with_the_cpu() {
    // A few windows along each axis: the kernels may be those that need no GPU, which are slow.
    let noise = Noise::new([36, 40, 28]);
    let confidences = |device, precision| {
        let session = Session::new(&SessionConfig { precision, ..config(device) }).unwrap();
        load(&session);
        let (mut all, mut again) = (vec![0.0; noise.voxels.len()], vec![0.0; noise.voxels.len()]);
        session.segment(&noise.volume(), Run::default()).unwrap().copy_confidence(&mut all).unwrap();
        session.segment(&noise.volume(), Run::default()).unwrap().copy_confidence(&mut again).unwrap();
        assert!(all == again, "the same bits from run to run");
        all
    };
    let cpu = confidences(Device::Cpu, Precision::F32);
    for (precision, bound) in [(Precision::F32, 1e-3f32), (Precision::F16, 2e-2)] {
        let gpu = confidences(Device::Cuda, precision);
        let largest = cpu.iter().zip(&gpu).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        println!("{precision:?}: largest difference of a confidence to the CPU {largest:.1e}");
        assert!(largest <= bound, "{precision:?}: {largest}");
    }
}

/// Sizes and offsets of the table's structures, in Rust and in `table.h`.
#[test]
fn the_table_is_the_same_in_c_and_in_rust() {
    let mut text = String::from("#include \"table.h\"\n");
    macro_rules! same {
        ($($rust:ident = $c:ident { $($field:ident),* };)*) => {$(
            let size = size_of::<table::$rust>();
            text += &format!("typedef char size_of_{}[sizeof({}) == {size} ? 1 : -1];\n", stringify!($rust), stringify!($c));
            $(
                let offset = offset_of!(table::$rust, $field);
                text += &format!(
                    "typedef char {}_{}[offsetof({}, {1}) == {offset} ? 1 : -1];\n", stringify!($rust), stringify!($field), stringify!($c)
                );
            )*
        )*};
    }
    same! {
        Table = spinect_cuda_table_data { version, size, release, probe, estimate, create, prepare, wait, fill, run, free };
        Message = spinect_cuda_message { text, capacity };
        Poll = spinect_cuda_poll { ask, context };
        Gpu = spinect_cuda_gpu { memory, name };
        Map = spinect_cuda_map { channels, shape };
        Step = spinect_cuda_step { kind, input, second, output, pooled, layer };
        Model = spinect_cuda_model { precision, classes, window, maps, map_count, steps, step_count };
        Layer = spinect_cuda_layer { weight, weight_count, bias, bias_count };
        Size = spinect_cuda_size { input_bytes, voxels, indices, starts, windows, limit };
        Buffers = spinect_cuda_buffers { input, input_bytes, channels, confidence };
        Fill = spinect_cuda_fill {
            voxel_type, first_part, input_bytes, element, grid, first, last, slope, intercept, clip_low, clip_high, mean, deviation, outside
        };
        Run = spinect_cuda_run { starts, count, first, last };
        Outcome = spinect_cuda_outcome { saturated, min, max };
    }
    let numbers = [
        ("SPINECT_CUDA_TABLE_VERSION", table::VERSION as i32),
        ("SPINECT_CUDA_STEM", table::STEM),
        ("SPINECT_CUDA_CONVOLUTION", table::CONVOLUTION),
        ("SPINECT_CUDA_UPSAMPLE", table::UPSAMPLE),
        ("SPINECT_CUDA_HEAD", table::HEAD),
        ("SPINECT_CUDA_NONE", table::NONE),
    ];
    for (name, value) in numbers {
        text += &format!("typedef char is_{name}[{name} == {value} ? 1 : -1];\n");
    }
    let source = common::scratch_dir().join("cuda-table.c");
    fs::write(&source, text).unwrap();
    let include = format!("-I{}", common::root().join("src/engine/cuda").display());
    compile_with(&[&source], Language::C, Link::Never, "cuda-table.o", &[&include]);
}
