//! What a session promises: the same bits for any number of threads, a region that equals the whole, failures that
//! change nothing.

mod common;
#[path = "common/fixtures.rs"]
mod fixtures;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fixtures::{Noise, small_config};
use spinect::session::{RegionOfInterest, Stage};
use spinect::{Affine, Cancel, Error, ErrorKind, Geometry, Model, Run, Session, SessionConfig, Volume, Warnings, World};

fn session_with(config: &SessionConfig) -> Session {
    let session = Session::new(config).unwrap();
    let model = Model::untrained(small_config(), 5).unwrap();
    session.load_weights_from_memory(&model.to_bytes().unwrap()).unwrap();
    session
}

fn session(threads: usize) -> Session {
    session_with(&SessionConfig { threads, ..SessionConfig::default() })
}

fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    let error = result.unwrap_err();
    assert!(error.message().len() >= 8, "{error:?}");
    error.kind()
}

/// Everything that a result says about its voxels.
fn bits(session: &Session, volume: &Volume<'_>, run: Run<'_>) -> (Vec<u8>, Vec<u32>) {
    let segmentation = session.segment(volume, run).unwrap();
    let mut confidence = vec![0.0; segmentation.labels().len()];
    segmentation.copy_confidence(&mut confidence).unwrap();
    (segmentation.labels().to_vec(), confidence.into_iter().map(f32::to_bits).collect())
}

#[test]
fn the_bits_are_the_same_for_1_2_3_and_8_threads_and_in_20_runs() {
    let noise = Noise::new([61, 70, 45]);
    let expected = bits(&session(1), &noise.volume(), Run::default());
    for threads in [2, 3, 8] {
        let session = session(threads);
        for run in 0..20 {
            assert!(bits(&session, &noise.volume(), Run::default()) == expected, "run {run} on {threads} threads");
        }
    }
}

#[test]
fn identical_windows_computed_once_give_what_computing_them_all_gives() {
    let mut noise = Noise::new([100, 60, 40]);
    for (v, voxel) in noise.voxels.iter_mut().enumerate() {
        if v % 100 > 30 {
            *voxel = -1000;
        }
    }
    let session = session(2);
    let once = session.segment(&noise.volume(), Run::default()).unwrap();
    let all = session.segment(&noise.volume(), Run { all_windows: true, ..Run::default() }).unwrap();
    assert_eq!(all.timings().windows_computed, all.timings().windows);
    assert!(once.timings().windows_computed < once.timings().windows, "{:?}", once.timings());
    let run = |all_windows| bits(&session, &noise.volume(), Run { all_windows, ..Run::default() });
    assert!(run(true) == run(false));
}

#[test]
fn a_region_of_interest_is_exact_and_examines_nothing_else() {
    let noise = Noise::new([70, 66, 50]);
    let session = session(2);
    let whole = session.segment(&noise.volume(), Run::default()).unwrap();
    let geometry = *whole.geometry();
    // Voxels (40, 10, 20) to (49, 12, 30).
    let (a, b) = (geometry.ijk_to_world.apply([40.0, 10.0, 20.0]), geometry.ijk_to_world.apply([49.0, 12.0, 30.0]));
    let roi = RegionOfInterest { min: std::array::from_fn(|n| a[n].min(b[n])), max: std::array::from_fn(|n| a[n].max(b[n])) };
    let part = session.segment(&noise.volume(), Run { roi: Some(roi), ..Run::default() }).unwrap();
    assert!(part.timings().windows < whole.timings().windows);
    let mut examined = 0;
    for v in 0..geometry.voxel_count() {
        let index = [v % 70, v / 70 % 66, v / (70 * 66)];
        let point = geometry.ijk_to_world.apply(index.map(|n| n as f64));
        let inside = (40..50).contains(&index[0]) && (10..13).contains(&index[1]) && (20..31).contains(&index[2]);
        if inside {
            examined += 1;
            assert_eq!(part.at(geometry.world, point), whole.at(geometry.world, point), "{index:?}");
            assert_eq!(part.labels()[v], whole.labels()[v]);
        } else {
            assert_eq!(kind(part.at(geometry.world, point)), ErrorKind::NotExamined, "{index:?}");
        }
    }
    let counted: u64 = part.table().iter().map(|label| label.statistics.voxels).sum();
    assert_eq!((examined, counted), (10 * 3 * 11, 10 * 3 * 11));
    let outside = RegionOfInterest { min: [1e4; 3], max: [2e4; 3] };
    assert_eq!(kind(session.segment(&noise.volume(), Run { roi: Some(outside), ..Run::default() })), ErrorKind::InvalidArgument);
}

#[test]
fn statistics_are_those_of_the_label_map() {
    let noise = Noise::new([61, 40, 33]);
    let segmentation = session(2).segment(&noise.volume(), Run::default()).unwrap();
    let geometry = segmentation.geometry();
    let mut total = 0;
    for label in segmentation.table() {
        let voxels: Vec<[usize; 3]> = (0..geometry.voxel_count())
            .filter(|&v| segmentation.labels()[v] == label.value)
            .map(|v| [v % 61, v / 61 % 40, v / (61 * 40)])
            .collect();
        let statistics = &label.statistics;
        total += statistics.voxels;
        assert_eq!(statistics.voxels as usize, voxels.len(), "{}", label.name);
        assert!((statistics.volume_mm3 - voxels.len() as f64 * geometry.voxel_volume()).abs() < 1e-6);
        if voxels.is_empty() {
            assert!(statistics.box_min[0] > statistics.box_max[0] && statistics.centroid[0].is_nan());
            continue;
        }
        for axis in 0..3 {
            assert_eq!(statistics.box_min[axis] as usize, voxels.iter().map(|v| v[axis]).min().unwrap());
            assert_eq!(statistics.box_max[axis] as usize, voxels.iter().map(|v| v[axis]).max().unwrap());
        }
        let mean = |axis: usize| voxels.iter().map(|v| v[axis] as f64).sum::<f64>() / voxels.len() as f64;
        let center = geometry.ijk_to_world.apply([mean(0), mean(1), mean(2)]);
        assert!((0..3).all(|axis| (statistics.centroid[axis] - center[axis]).abs() < 1e-9));
        assert!((1.0 / 3.0..=1.0).contains(&statistics.mean_confidence));
    }
    assert_eq!(total as usize, geometry.voxel_count());
    let timings = segmentation.timings();
    let sum = timings.prepare + timings.network + timings.combine + timings.restore;
    assert!((sum - timings.total).abs() < 1e-9, "{timings:?}");
}

#[test]
fn segment_into_and_segment_again_give_what_segment_gives() {
    let (first, second) = (Noise::new([50, 40, 30]), Noise::new([33, 48, 29]));
    let session = session(2);
    let expected = session.segment(&second.volume(), Run::default()).unwrap();
    let mut labels = vec![9; expected.labels().len() + 3];
    let report = session.segment_into(&second.volume(), Run::default(), &mut labels).unwrap();
    assert_eq!(&labels[..expected.labels().len()], expected.labels());
    assert_eq!(&labels[expected.labels().len()..], [9; 3]);
    assert_eq!(report.warnings, expected.provenance().warnings);

    let mut again = session.reserve(&first.volume()).unwrap();
    let origin = first.volume().geometry().ijk_to_world.apply([0.0; 3]);
    assert_eq!(kind(again.at(first.volume().geometry().world, origin)), ErrorKind::NotExamined);
    session.segment_again(&first.volume(), Run::default(), &mut again).unwrap();
    session.segment_again(&second.volume(), Run::default(), &mut again).unwrap();
    assert_eq!((again.labels(), again.geometry(), again.provenance()), (expected.labels(), expected.geometry(), expected.provenance()));
    assert_eq!(format!("{:?}", again.table()), format!("{:?}", expected.table()));
}

#[test]
fn a_cancelled_run_changes_nothing_at_any_fraction_and_the_session_works_on() {
    let noise = Noise::new([64, 64, 40]);
    let session = session(2);
    let mut labels = vec![7; noise.voxels.len()];
    for stop_at in 0..9 {
        let (mut calls, mut last) = (0, -1.0);
        let mut progress = |fraction: f64, _: Stage| {
            assert!(fraction >= last && (0.0..=1.0).contains(&fraction));
            last = fraction;
            calls += 1;
            if calls > stop_at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let run = Run { progress: Some(&mut progress), ..Run::default() };
        assert_eq!(kind(session.segment_into(&noise.volume(), run, &mut labels)), ErrorKind::Cancelled);
    }
    let mut at_the_end = |fraction: f64, _: Stage| if fraction == 1.0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let run = Run { progress: Some(&mut at_the_end), ..Run::default() };
    assert_eq!(kind(session.segment_into(&noise.volume(), run, &mut labels)), ErrorKind::Cancelled);
    assert!(labels.iter().all(|&label| label == 7));
    session.segment_into(&noise.volume(), Run::default(), &mut labels).unwrap();
    assert_eq!(session.progress(), 1.0);
}

#[test]
fn another_thread_can_cancel_and_the_session_works_on() {
    let noise = Noise::new([120, 120, 90]);
    let (session, cancel, windows) = (session(2), Cancel::new(), AtomicUsize::new(0));
    let before = session.segment(&noise.volume(), Run::default()).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while windows.load(Ordering::Acquire) == 0 {
                std::thread::yield_now();
            }
            cancel.set();
        });
        let mut progress = |_: f64, stage: Stage| {
            windows.fetch_add(usize::from(stage == Stage::Network), Ordering::Release);
            ControlFlow::Continue(())
        };
        let run = Run { cancel: Some(&cancel), progress: Some(&mut progress), all_windows: true, ..Run::default() };
        assert_eq!(kind(session.segment(&noise.volume(), run)), ErrorKind::Cancelled);
    });
    assert!(windows.into_inner() < before.timings().windows as usize, "cancelled only after the last window");
    assert_eq!(kind(session.segment(&noise.volume(), Run { cancel: Some(&cancel), ..Run::default() })), ErrorKind::Cancelled);
    cancel.reset();
    let run = Run { cancel: Some(&cancel), ..Run::default() };
    assert_eq!(session.segment(&noise.volume(), run).unwrap().labels(), before.labels());
}

#[test]
fn a_deadline_that_has_passed_ends_the_run() {
    let noise = Noise::new([64, 64, 40]);
    let mut labels = vec![7; noise.voxels.len()];
    let run = Run { deadline: Some(Duration::from_nanos(1)), ..Run::default() };
    assert_eq!(kind(session(2).segment_into(&noise.volume(), run, &mut labels)), ErrorKind::Deadline);
    assert!(labels.iter().all(|&label| label == 7));
    // Passed while the progress is told, in the middle of the network.
    let mut wait = |_: f64, stage: Stage| {
        std::thread::sleep(Duration::from_millis(if stage == Stage::Network { 400 } else { 0 }));
        ControlFlow::Continue(())
    };
    let run = Run { deadline: Some(Duration::from_millis(300)), progress: Some(&mut wait), ..Run::default() };
    assert_eq!(kind(session(1).segment_into(&noise.volume(), run, &mut labels)), ErrorKind::Deadline);
    assert!(labels.iter().all(|&label| label == 7));
    let run = Run { deadline: Some(Duration::MAX), ..Run::default() };
    session(1).segment_into(&noise.volume(), run, &mut labels).unwrap();
}

#[test]
fn a_session_at_work_is_busy_for_everybody_else() {
    let noise = Noise::new([40, 40, 30]);
    let session = session(2);
    let bytes = Model::untrained(small_config(), 6).unwrap().to_bytes().unwrap();
    let mut progress = |_: f64, _: Stage| {
        assert_eq!(kind(session.segment(&noise.volume(), Run::default())), ErrorKind::Busy);
        assert_eq!(kind(session.load_weights_from_memory(&bytes)), ErrorKind::Busy);
        assert_eq!(kind(session.prepare(&noise.volume())), ErrorKind::Busy);
        // These answer at any time.
        session.model_info().unwrap();
        session.find_label("nerve").unwrap();
        session.estimate_memory(&noise.volume()).unwrap();
        ControlFlow::Continue(())
    };
    session.segment(&noise.volume(), Run { progress: Some(&mut progress), ..Run::default() }).unwrap();
}

#[test]
fn without_a_model_there_is_no_answer_and_a_failed_load_keeps_the_last_one() {
    let noise = Noise::new([20, 20, 20]);
    let empty = Session::new(&SessionConfig::default()).unwrap();
    assert_eq!(kind(empty.segment(&noise.volume(), Run::default())), ErrorKind::NoModel);
    assert_eq!(kind(empty.prepare(&noise.volume())), ErrorKind::NoModel);
    assert_eq!(kind(empty.model_info()), ErrorKind::NoModel);
    let session = session(1);
    let (info, before) = (session.model_info().unwrap(), bits(&session, &noise.volume(), Run::default()));
    assert_eq!(kind(session.load_weights_from_memory(b"not a model")), ErrorKind::InvalidModel);
    assert_eq!(session.model_info().unwrap(), info);
    assert!(bits(&session, &noise.volume(), Run::default()) == before);
    assert_eq!(kind(session.find_label("kidney")), ErrorKind::UnknownLabel);
}

#[test]
fn a_memory_limit_refuses_before_anything_is_taken() {
    let (small, large) = (Noise::new([30, 30, 30]), Noise::new([300, 300, 100]));
    let free = session(2);
    let needed = free.estimate_memory(&small.volume()).unwrap().host_bytes;
    assert!(free.estimate_memory(&large.volume()).unwrap().host_bytes > needed);
    let limited = session_with(&SessionConfig { threads: 2, memory_limit: Some(needed), ..SessionConfig::default() });
    limited.segment(&small.volume(), Run::default()).unwrap();
    assert_eq!(kind(limited.segment(&large.volume(), Run::default())), ErrorKind::VolumeTooLarge);
    assert_eq!(kind(limited.prepare(&large.volume())), ErrorKind::VolumeTooLarge);
    let tiny = Session::new(&SessionConfig { memory_limit: Some(1000), ..SessionConfig::default() }).unwrap();
    let model = Model::untrained(small_config(), 5).unwrap().to_bytes().unwrap();
    assert_eq!(kind(tiny.load_weights_from_memory(&model)), ErrorKind::OutOfMemory);
}

#[test]
fn an_untrained_model_is_never_taken_for_a_clinical_one() {
    let warnings = session(1).segment(&Noise::new([20, 20, 20]).volume(), Run::default()).unwrap().provenance().warnings;
    assert!(warnings.contains(Warnings::MODEL_NOT_CLINICAL), "{warnings:?}");
}

/// A model by hand that calls every voxel above its mean (of [`small_config`]'s preprocessing) its label 1, in at most so
/// many pieces: kernels that pass their first channel on.
fn threshold(pieces: Option<u32>) -> Vec<u8> {
    let mut config = small_config();
    config.labels[1].pieces = pieces;
    let (config, mut tensors) = Model::untrained(config, 1).unwrap().into_parts();
    for (name, tensor) in &mut tensors {
        let shape = tensor.shape.clone();
        let mut values = vec![0f32; tensor.data.len()];
        let passes = ["encoder.0.0", "encoder.0.1", "decoder.0.0", "decoder.0.1"].iter().any(|layer| name.starts_with(layer));
        match (name.rsplit('.').next().unwrap(), name.starts_with("head")) {
            // The middle of the first kernel's first channel; the decoder's first convolution takes either half of its input.
            ("weight", false) if passes && shape.len() == 5 => [0, shape[1] / 2].into_iter().for_each(|c| values[27 * c + 13] = 1.0),
            ("weight", true) => values[shape[1]] = 10.0,
            ("bias", true) => values.copy_from_slice(&[0.5, 0.0, -50.0]),
            ("weight" | "running_var", false) if shape.len() == 1 => values.fill(1.0),
            _ => {}
        }
        tensor.data = values;
    }
    Model::new(config, tensors).unwrap().to_bytes().unwrap()
}

#[test]
fn a_structure_in_more_large_pieces_than_the_model_says_is_warned_of() {
    let dims = [40, 30, 20];
    let geometry = Geometry { dims, ijk_to_world: Affine::from_spacing([1.0; 3], [0.0; 3]), world: World::Ras };
    // Two blocks, a crumb, and whether a bridge joins the blocks.
    let voxels = |bridge: bool| -> Vec<i16> {
        let value = |v: usize| {
            let (i, j, k) = (v % 40, v / 40 % 30, v / 1200);
            let block = ((4..14).contains(&i) || (24..34).contains(&i)) && (8..20).contains(&j) && (5..15).contains(&k);
            let bone = block || (bridge && j == 10 && k == 9 && (14..24).contains(&i)) || (i, j, k) == (19, 25, 17);
            if bone { 900 } else { -100 }
        };
        (0..dims.iter().product()).map(value).collect()
    };
    let warnings = |pieces, bridge| {
        let session = Session::new(&SessionConfig { threads: 2, ..SessionConfig::default() }).unwrap();
        session.load_weights_from_memory(&threshold(pieces)).unwrap();
        let (voxels, run) = (voxels(bridge), Run::default());
        let result = session.segment(&Volume::from_slice(&voxels, geometry).unwrap(), run).unwrap();
        let expected: Vec<u8> = voxels.iter().map(|&hu| u8::from(hu > 0)).collect();
        assert!(result.labels() == expected, "the model finds what is bright");
        result.provenance().warnings.contains(Warnings::FRAGMENTED)
    };
    assert!(warnings(Some(1), false) && !warnings(Some(1), true));
    assert!(!warnings(Some(2), false) && !warnings(None, false));
}

#[test]
fn one_voxel_and_thin_volumes_are_segmented_too() {
    let session = session(2);
    for dims in [[1, 1, 1], [1, 1, 300], [300, 1, 1], [1, 300, 2]] {
        let noise = Noise::new(dims);
        assert_eq!(session.segment(&noise.volume(), Run::default()).unwrap().labels().len(), noise.voxels.len());
    }
}

#[test]
fn a_short_axis_is_padded_at_its_end_with_the_lower_clip() {
    // Smaller than the window of 16 × 32 × 32 along every axis, and the same in air up to the window.
    let (short, long) = ([20, 21, 9], [32, 32, 16]);
    let geometry = |dims| Geometry { dims, ijk_to_world: Affine::from_spacing([1.0; 3], [0.0; 3]), world: World::Lps };
    let noise = Noise::new(short).voxels;
    let at = |[i, j, k]: [usize; 3]| i + short[0] * (j + short[1] * k);
    let indices = || (0..long.iter().product()).map(|v: usize| [v % long[0], v / long[0] % long[1], v / long[0] / long[1]]);
    let is_inside = |index: [usize; 3]| (0..3).all(|axis| index[axis] < short[axis]);
    let padded: Vec<i16> = indices().map(|index| if is_inside(index) { noise[at(index)] } else { -1024 }).collect();
    let session = session(1);
    let ours = bits(&session, &Volume::from_slice(&noise, geometry(short)).unwrap(), Run::default());
    let theirs = bits(&session, &Volume::from_slice(&padded, geometry(long)).unwrap(), Run::default());
    for (v, index) in indices().enumerate().filter(|(_, index)| is_inside(*index)) {
        assert_eq!((ours.0[at(index)], ours.1[at(index)]), (theirs.0[v], theirs.1[v]), "{index:?}");
    }
}

#[test]
fn host_floating_point_modes_change_no_bit() {
    let noise = Noise::new([40, 40, 30]);
    let session = session(2);
    let expected = bits(&session, &noise.volume(), Run::default());
    #[cfg(target_arch = "x86_64")]
    {
        // Flush to zero, subnormals are zero, round towards zero.
        let odd: u32 = 0xff_c0;
        let mut before = 0u32;
        // SAFETY: reads and writes MXCSR of this thread; the former value comes back below.
        unsafe {
            std::arch::asm!("stmxcsr [{}]", in(reg) &mut before);
            std::arch::asm!("ldmxcsr [{}]", in(reg) &odd);
        }
        let odd_bits = bits(&session, &noise.volume(), Run::default());
        let mut after = 0u32;
        // SAFETY: as above.
        unsafe {
            std::arch::asm!("stmxcsr [{}]", in(reg) &mut after);
            std::arch::asm!("ldmxcsr [{}]", in(reg) &before);
        }
        assert!(odd_bits == expected);
        // The status flags may differ; the modes may not.
        assert_eq!(after & 0xffc0, odd & 0xffc0, "the host's mode was not given back");
    }
}
