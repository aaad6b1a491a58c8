//! The whole pipeline against the golden data, which an independent implementation of the method made.

mod common;

use std::path::Path;

use spinect::io::{read_image, write_segmentation};
use spinect::{ReadOptions, Run, Session, SessionConfig};

/// Reads a label map or a margin as numbers, i fastest.
fn values(path: &Path) -> Vec<f64> {
    let image = read_image(path, &ReadOptions::default()).unwrap();
    let volume = image.view();
    let [_, rows, slices] = volume.geometry().dims;
    let mut values = Vec::new();
    for (k, j) in (0..slices).flat_map(|k| (0..rows).map(move |j| (k, j))) {
        match volume.voxel_type() {
            spinect::VoxelType::Uint8 => values.extend(volume.row::<u8>(j, k).unwrap().map(f64::from)),
            spinect::VoxelType::Float32 => values.extend(volume.row::<f32>(j, k).unwrap().map(f64::from)),
            other => panic!("{} holds {}", path.display(), other.name()),
        }
    }
    values
}

/// Segments a golden volume; labels may differ from the golden ones only where the margin is below 1e-3, and the label
/// map is written with the input's place, bit by bit.
fn agrees(input: &str, labels: &str, margin: &str) {
    let Some(shared) = common::shared_data() else { return };
    let golden = shared.join("golden");
    let session = Session::new(&SessionConfig::default()).unwrap();
    session.load_weights(&golden.join("tiny.safetensors")).unwrap();
    let image = read_image(&golden.join(input), &ReadOptions::default()).unwrap();
    let segmentation = session.segment(&image.view(), Run::default()).unwrap();

    let (expected, margin) = (values(&golden.join(labels)), values(&golden.join(margin)));
    let differing: Vec<_> =
        segmentation.labels().iter().zip(&expected).zip(&margin).filter(|((a, b), _)| f64::from(**a) != **b).map(|(_, m)| *m).collect();
    println!("{input}: {} of {} voxels differ, margins {differing:?}", differing.len(), expected.len());
    assert_eq!(segmentation.labels().len(), expected.len());
    assert!(differing.iter().all(|&margin| margin < 1e-3));

    let output = common::scratch_dir().join(labels);
    write_segmentation(&segmentation, &output).unwrap();
    let (written, golden) = [output, golden.join(labels)].map(|path| read_image(&path, &ReadOptions::default()).unwrap()).into();
    assert_eq!(written.placement(), image.placement());
    assert_eq!(written.placement(), golden.placement());
    assert_eq!(written.view().geometry(), golden.view().geometry());
    assert_eq!((written.bytes(), written.view().voxel_type()), (segmentation.labels(), spinect::VoxelType::Uint8));
}

#[test]
fn a_real_ct_gets_the_golden_labels() {
    agrees("ct-l5s1-3mm.nii.gz", "labels.nii.gz", "margin.nii.gz");
}

#[test]
fn an_oblique_anisotropic_rescaled_volume_gets_the_golden_labels() {
    agrees("oblique.nii.gz", "oblique-labels.nii.gz", "oblique-margin.nii.gz");
}
