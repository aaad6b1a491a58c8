//! Whole runs, small.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::dataset::{Augmentation, Batches, Case, Classes, Dataset, Part, Sampling, Split};
use super::*;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Config, Model};
use crate::phantom;
use crate::session::{Cancel, Session, SessionConfig};

/// A ball of bone with a rod of nerve in it, at another place for every seed, in noise.
fn ball(seed: u64) -> Case {
    let dims = [20, 24, 28];
    let center = [10 + seed % 3, 11 + seed % 2, 12 + seed % 4].map(|n| n as f64);
    let (mut hounsfield, mut classes) = (Vec::new(), Vec::new());
    for voxel in 0..dims.iter().product::<usize>() {
        let at = [voxel / (24 * 28), voxel / 28 % 24, voxel % 28].map(|n| n as f64);
        let distance = |axes: &[usize]| axes.iter().map(|&axis| (at[axis] - center[axis]).powi(2)).sum::<f64>().sqrt();
        let class = if distance(&[1, 2]) < 2.5 { 2 } else { u8::from(distance(&[0, 1, 2]) < 8.0) };
        classes.push(class);
        hounsfield.push([-80i16, 400, 40][usize::from(class)] + (voxel * 7919 % 41) as i16 - 20);
    }
    Case::new(dims, [1.0; 3], hounsfield, classes).unwrap()
}

fn balls(count: u64) -> Arc<Dataset> {
    let cases = (0..count).map(|seed| (format!("case-{seed}"), ball(seed))).collect();
    Arc::new(Dataset::from_cases(Classes::spinect(), cases).unwrap())
}

fn config() -> Config {
    let mut config = Config::spinect(&[4, 8]);
    (config.window.size, config.window.stride) = ([8, 16, 16], [5, 10, 10]);
    config
}

fn options() -> Options {
    Options {
        epoch: 4,
        epochs: 3,
        batch: 2,
        validate_every: 5,
        validation_cases: Some(1),
        checkpoint_every: 4,
        warm_up: 2,
        ..Options::recommended()
    }
}

fn split() -> Split {
    Split { train: vec![0, 1, 2], validation: vec![3, 4], test: vec![5] }
}

fn trainer(folder: &Path, options: Options) -> Trainer {
    Trainer::new(balls(6), split(), config(), options, folder, 2).unwrap()
}

/// Runs until so many iterations are done.
fn run_to(trainer: &mut Trainer, end: u64) -> Result<bool> {
    trainer.run(None, &mut |event| match event {
        Event::Record(Record::Iteration { iteration, .. }) if *iteration >= end => Ok(ControlFlow::Break(())),
        _ => Ok(ControlFlow::Continue(())),
    })
}

fn file(folder: &Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join(name)).unwrap()
}

#[test]
fn a_small_network_overfits_one_phantom_patch() {
    let case = phantom::generate(&phantom::Options::demo(1)).unwrap();
    let case = Case::from_volume(&case.image.view(), case.labels.bytes(), Classes::spinect().values()).unwrap();
    let dataset = Arc::new(Dataset::from_cases(Classes::spinect(), vec![("phantom".into(), case)]).unwrap());
    let mut config = Config::spinect(&[8, 16, 32]);
    let statistics = dataset.statistics(&[0], &config.preprocess).unwrap();
    (config.preprocess.mean, config.preprocess.std) = (statistics.mean, statistics.std);
    // The first patch that is centered on the foreground.
    let augmentation = Augmentation { foreground_share: 1.0, ..Augmentation::NONE };
    let sampling = Sampling { batch: 1, window: config.window.size, preprocess: config.preprocess.clone(), augmentation, seed: 1 };
    let batch = Batches::start(&dataset, &[0], &sampling, 0, 1).unwrap().next().unwrap();
    assert!([1, 2].into_iter().all(|class| batch.classes.iter().filter(|&&found| found == class).count() > 500));

    let options = Options { epoch: 1, epochs: 400, warm_up: 10, learning_rate: 1e-2, ..Options::recommended() };
    let parameters = crate::engine::cpu::training::Parameters::of(&Model::untrained(config.clone(), 0).unwrap()).unwrap();
    let mut moments = options.optimizer.begin(&parameters).unwrap();
    let mut network = crate::engine::cpu::training::TrainingNetwork::new(&config, parameters, 1, 2).unwrap();
    let mut dice = 0.0;
    for iteration in 0..options.iterations() {
        let loss = options.loss_at(iteration, &statistics).unwrap();
        let slice = config.window.size[1] * config.window.size[2];
        let mut winners = Vec::new();
        let step = |probabilities: &mut [f32]| {
            winners.extend(probabilities.chunks(3 * slice).flat_map(|plane| {
                (0..slice).map(|voxel| {
                    (0..3u8)
                        .max_by(|&a, &b| plane[usize::from(a) * slice + voxel].total_cmp(&plane[usize::from(b) * slice + voxel]))
                        .unwrap()
                })
            }));
            loss.evaluate(probabilities, &batch.classes, slice)
        };
        network.step(&batch.voxels, step).unwrap();
        let overlaps = crate::metrics::Overlaps::between(&batch.classes, &winners).unwrap();
        dice = [1, 2].map(|class| overlaps.of(class).dice().unwrap()).into_iter().fold(1.0, f64::min);
        if dice >= 0.98 {
            break;
        }
        let (parameters, gradients) = network.parameters_and_gradients();
        options.optimizer.step(parameters, gradients, &mut moments, options.learning_rate_at(iteration), iteration + 1).unwrap();
    }
    assert!(dice >= 0.98, "the worse of bone and nerve has a Dice of {dice}");
}

#[test]
fn a_run_that_was_stopped_and_resumed_has_the_bits_of_an_unbroken_one() {
    let (whole, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert!(trainer(whole.path(), options()).run(None, &mut |_| Ok(ControlFlow::Continue(()))).unwrap());
    // Stopped behind a step that no checkpoint is due for, with another number of threads the second time.
    assert!(!run_to(&mut trainer(broken.path(), options()), 6).unwrap());
    let checkpoint = Checkpoint::read(&broken.path().join(Trainer::CHECKPOINT)).unwrap();
    let mut resumed = Trainer::resume(balls(6), checkpoint, broken.path(), 3).unwrap();
    assert_eq!(resumed.iteration(), 6);
    assert!(resumed.run(None, &mut |_| Ok(ControlFlow::Continue(()))).unwrap());
    for name in [Trainer::CHECKPOINT, Trainer::BEST, Trainer::LAST] {
        assert!(file(whole.path(), name) == file(broken.path(), name), "{name}");
    }
}

#[test]
fn a_process_that_dies_loses_no_more_than_a_checkpoint_interval() {
    let (whole, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    trainer(whole.path(), options()).run(None, &mut |_| Ok(ControlFlow::Continue(()))).unwrap();
    // Nothing is written any more behind step 7: the checkpoint of step 4 is the last.
    let mut seen = 0;
    let died = trainer(broken.path(), options()).run(None, &mut |event| {
        seen += u64::from(matches!(event, Event::Record(Record::Iteration { .. })));
        if seen == 7 { Err(Error::new(ErrorKind::Io, "the power is gone")) } else { Ok(ControlFlow::Continue(())) }
    });
    assert_eq!(died.unwrap_err().message(), "the power is gone");
    let checkpoint = Checkpoint::read(&broken.path().join(Trainer::CHECKPOINT)).unwrap();
    assert_eq!(checkpoint.head.iteration, 4);
    Trainer::resume(balls(6), checkpoint, broken.path(), 2).unwrap().run(None, &mut |_| Ok(ControlFlow::Continue(()))).unwrap();
    assert!(file(whole.path(), Trainer::LAST) == file(broken.path(), Trainer::LAST));
}

#[test]
fn training_learns_and_the_best_model_is_the_one_of_its_validation() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { epoch: 20, epochs: 15, learning_rate: 1e-2, validate_every: 100, validation_cases: None, ..options() };
    let mut trainer = trainer(folder.path(), options);
    let mut records = Vec::new();
    trainer
        .run(None, &mut |event| {
            if let Event::Record(record) = event {
                records.push(Record::clone(record));
            }
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    let losses: Vec<f64> =
        records.iter().filter_map(|record| if let Record::Iteration { loss, .. } = record { Some(*loss) } else { None }).collect();
    assert!(losses.len() == 300 && losses[299] < 0.3 * losses[0], "{} to {}", losses[0], losses[299]);
    let best = trainer.best().unwrap();
    let model = Model::from_file(&folder.path().join(Trainer::BEST)).unwrap();
    let again = validate(&model, &balls(6), &[3, 4], 1, None).unwrap();
    assert_eq!(again.mean, Some(best.dice));
    assert!(best.dice > 0.8, "{best:?}");
    assert!(!model.is_declared_clinical());
    // On a case that is for testing, on its own grid, through a session.
    let session = Session::new(&SessionConfig { threads: 2, ..SessionConfig::default() }).unwrap();
    session.load_weights(&folder.path().join(Trainer::BEST)).unwrap();
    let case = balls(6).case(5).unwrap();
    let tested = test_case(&session, &model.config().labels, &case).unwrap();
    let overlaps = crate::metrics::Overlaps::between(case.classes(), &tested.prediction).unwrap();
    assert!(overlaps.of(1).dice().unwrap() > 0.8 && tested.geometry.dims == [28, 24, 20]);
}

#[test]
fn a_run_that_diverges_stops_with_its_last_good_state() {
    let folder = tempfile::tempdir().unwrap();
    run_to(&mut trainer(folder.path(), options()), 6).unwrap();
    let good = file(folder.path(), Trainer::CHECKPOINT);
    let mut checkpoint = Checkpoint::read(&folder.path().join(Trainer::CHECKPOINT)).unwrap();
    checkpoint.head.options = Options { learning_rate: 1e30, optimizer: checkpoint.head.options.optimizer, ..checkpoint.head.options };
    let mut diverging = Trainer::resume(balls(6), checkpoint, folder.path(), 2).unwrap();
    let error = diverging.run(None, &mut |_| Ok(ControlFlow::Continue(()))).unwrap_err();
    assert!(error.message().contains("diverged in iteration") && error.message().contains("lower the learning rate"), "{error}");
    assert!(file(folder.path(), Trainer::CHECKPOINT) == good);
    assert!(Checkpoint::read(&folder.path().join(Trainer::CHECKPOINT)).is_ok());
}

#[test]
fn a_request_to_stop_leaves_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let cancel = Cancel::new();
    let mut trainer = trainer(folder.path(), options());
    let finished = trainer.run(Some(&cancel), &mut |event| {
        if matches!(event, Event::Record(Record::Iteration { iteration: 3, .. })) {
            cancel.set();
        }
        Ok(ControlFlow::Continue(()))
    });
    assert!(!finished.unwrap());
    assert_eq!(Checkpoint::read(&folder.path().join(Trainer::CHECKPOINT)).unwrap().head.iteration, 3);
}

#[test]
fn a_validation_that_was_interrupted_is_made_up_for() {
    let (whole, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    trainer(whole.path(), options()).run(None, &mut |_| Ok(ControlFlow::Continue(()))).unwrap();
    // The validation after step 5 hears the request; so would the last one.
    for last in [5, 12] {
        let cancel = Cancel::new();
        let path = broken.path().join(Trainer::CHECKPOINT);
        let mut interrupted = match Checkpoint::read(&path) {
            Ok(checkpoint) => Trainer::resume(balls(6), checkpoint, broken.path(), 2).unwrap(),
            Err(_) => trainer(broken.path(), options()),
        };
        let finished = interrupted.run(Some(&cancel), &mut |event| {
            if matches!(event, Event::Record(Record::Iteration { iteration, .. }) if *iteration == last) {
                cancel.set();
            }
            Ok(ControlFlow::Continue(()))
        });
        assert!(!finished.unwrap());
        let head = Checkpoint::read(&path).unwrap().head;
        assert_eq!((head.iteration, head.validation_due), (last, true));
    }
    let checkpoint = Checkpoint::read(&broken.path().join(Trainer::CHECKPOINT)).unwrap();
    let mut validated = 0;
    let count = |event: &Event<'_>| u64::from(matches!(event, Event::Record(Record::Validation { .. })));
    let mut resumed = Trainer::resume(balls(6), checkpoint, broken.path(), 2).unwrap();
    assert!(
        resumed
            .run(None, &mut |event| {
                validated += count(event);
                Ok(ControlFlow::Continue(()))
            })
            .unwrap()
    );
    assert_eq!(validated, 1);
    for name in [Trainer::CHECKPOINT, Trainer::BEST, Trainer::LAST] {
        assert!(file(whole.path(), name) == file(broken.path(), name), "{name}");
    }
}

#[test]
fn fine_tuning_begins_with_the_models_weights_and_whitening() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = trainer(folder.path(), options());
    run_to(&mut first, 3).unwrap();
    let model = first.model().unwrap();
    let tuned =
        Trainer::fine_tune(balls(4), Split { train: vec![0, 1], ..Split::default() }, model.clone(), options(), folder.path(), 2).unwrap();
    let start = tuned.model().unwrap();
    assert_eq!(start.config().preprocess, model.config().preprocess);
    assert!(start.tensors().zip(model.tensors()).all(|(a, b)| a == b));
    let classes = Classes::new(&[("bone", vec![1, 2])]).unwrap();
    let cases = vec![("a".to_owned(), Case::new([8, 16, 16], [1.0; 3], vec![0; 2048], vec![1; 2048]).unwrap())];
    let other = Arc::new(Dataset::from_cases(classes, cases).unwrap());
    let refused = Trainer::fine_tune(other, Split { train: vec![0], ..Split::default() }, model, options(), folder.path(), 1);
    assert!(refused.unwrap_err().message().contains("3 labels"));
}

#[test]
fn a_checkpoint_is_refused_with_other_data_or_when_it_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    run_to(&mut trainer(folder.path(), options()), 2).unwrap();
    let path = folder.path().join(Trainer::CHECKPOINT);
    let checkpoint = Checkpoint::read(&path).unwrap();
    let error = Trainer::resume(balls(5), checkpoint, folder.path(), 1).unwrap_err();
    assert!(error.message().contains("case-5"), "{error}");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 9]).unwrap();
    assert_eq!(Checkpoint::read(&path).unwrap_err().kind(), ErrorKind::CorruptFile);
    std::fs::write(&path, b"not a checkpoint").unwrap();
    assert_eq!(Checkpoint::read(&path).unwrap_err().kind(), ErrorKind::CorruptFile);
}

#[test]
fn any_number_of_classes_with_names_of_their_own_is_learned() {
    let folder = tempfile::tempdir().unwrap();
    let classes = Classes::new(&[("L4", vec![40]), ("L5", vec![50]), ("S1", vec![60]), ("dural sac", vec![7])]).unwrap();
    let case = |seed: u64| {
        let ball = ball(seed);
        let classes =
            ball.classes().iter().enumerate().map(|(at, &class)| if class == 1 { 1 + (at / (7 * 24 * 28)) as u8 } else { 2 * class });
        let classes = classes.map(|class| if class > 4 { 4 } else { class }).collect();
        Case::new(ball.dims(), ball.spacing_mm(), ball.hounsfield().to_vec(), classes).unwrap()
    };
    let cases = (0..4).map(|seed| (format!("case-{seed}"), case(seed))).collect();
    let dataset = Arc::new(Dataset::from_cases(classes, cases).unwrap());
    let split = Split::explicit(dataset.ids(), &[Part::Train, Part::Train, Part::Validation, Part::Test]).unwrap();
    let weights = ClassWeights::Frequency { power: 0.5 };
    let options = Options { loss: LossOptions { weights, dice: 0.5 }, ..options() };
    let mut trainer = Trainer::new(dataset, split, config(), options, folder.path(), 1).unwrap();
    assert!(trainer.run(None, &mut |_| Ok(ControlFlow::Continue(()))).unwrap());
    let labels = Model::from_file(&folder.path().join(Trainer::LAST)).unwrap().config().labels.clone();
    assert_eq!(labels.iter().map(|label| label.value).collect::<Vec<_>>(), [0, 40, 50, 60, 7]);
    // The paper's three weights do not fit five classes.
    let refused = Trainer::new(
        balls(3),
        Split { train: vec![0], ..Split::default() },
        config(),
        Options {
            loss: LossOptions { weights: ClassWeights::Epochs(vec![Phase { from: 0, weights: vec![1.0; 5] }]), dice: 0.0 },
            ..Options::paper()
        },
        folder.path(),
        1,
    );
    assert!(refused.unwrap_err().message().contains("5 class weights for 3 classes"));
}
