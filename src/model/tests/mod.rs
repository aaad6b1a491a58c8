//! Model files against the model format: what loads here, what is refused in the rooms below, and with which words.

mod configuration;
mod contents;

use serde_json::{Value, json};

use super::*;
use crate::error::ErrorKind;

/// The smallest network with a way down and up.
fn small() -> Model {
    let mut config = Config::spinect(&[2, 4]);
    config.window = WindowConfig { size: [4; 3], stride: [2; 3], weighting: Weighting::Uniform };
    Model::untrained(config, 3).unwrap()
}

/// A file's header as JSON, and its data.
fn disassemble(bytes: &[u8]) -> (Value, Vec<u8>) {
    let (length, rest) = bytes.split_first_chunk().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    (serde_json::from_slice(header).unwrap(), data.to_vec())
}

/// A file from the text of its header and its data.
fn assemble(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

/// The small model's file with its header and data edited.
fn edited(edit: impl FnOnce(&mut Value, &mut Vec<u8>)) -> Vec<u8> {
    let (mut header, mut data) = disassemble(&small().to_bytes().unwrap());
    edit(&mut header, &mut data);
    assemble(&header.to_string(), &data)
}

/// The small model's file with its configuration edited.
fn with_config(edit: impl FnOnce(&mut Value)) -> Vec<u8> {
    edited(|header, _| {
        let mut config = serde_json::from_str(header["__metadata__"]["config"].as_str().unwrap()).unwrap();
        edit(&mut config);
        header["__metadata__"]["config"] = config.to_string().into();
    })
}

/// The small model's file with one key of its configuration set; the parent must exist.
fn with_key(pointer: &str, value: Value) -> Vec<u8> {
    with_config(|config| {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        match config.pointer_mut(parent).unwrap() {
            Value::Array(array) => array[key.parse::<usize>().unwrap()] = value,
            parent => parent[key] = value,
        }
    })
}

/// The message with which a file is refused.
fn refusal(bytes: &[u8]) -> String {
    let error = Model::from_bytes(bytes).expect_err("must be refused");
    assert_eq!(error.kind(), ErrorKind::InvalidModel, "{error}");
    assert!(error.message().len() >= 8 && error.message().len() < 1000, "{error}");
    error.message().to_owned()
}

/// Asserts that a file is refused in words that hold each of these.
fn assert_refused(bytes: &[u8], words: &[&str]) {
    let message = refusal(bytes);
    for word in words {
        assert!(message.contains(word), "`{word}` is not in: {message}");
    }
}

#[test]
fn the_golden_model_loads_with_its_number_of_parameters() {
    let Some(path) = crate::testing::shared_data("golden/tiny.safetensors") else { return };
    let model = Model::from_file(&path).unwrap();
    assert_eq!(model.parameters(), 353_975);
    assert_eq!(model.tensors().map(|(_, tensor)| tensor.data.len() as u64).sum::<u64>(), 353_975);
    assert_eq!(model.config().name, "golden-base4");
    assert_eq!(model.config().preprocess.mean, -26.472124099731445);
    assert_eq!(model.sha256().len(), 64);
    assert!(!model.is_declared_clinical());
    let again = Model::from_bytes(&model.to_bytes().unwrap()).unwrap();
    assert_eq!(again.into_parts(), model.into_parts());
}

#[test]
fn a_model_survives_the_way_through_its_file_bit_for_bit() {
    let mut config = small().config().clone();
    config.preprocess.mean = -26.472_124_099_731_445;
    config.preprocess.std = 1.0 / 3.0 + 1e-16;
    let model = Model::untrained(config, 5).unwrap();
    let bytes = model.to_bytes().unwrap();
    let again = Model::from_bytes(&bytes).unwrap();
    assert_eq!(again, model);
    assert_eq!(again.to_bytes().unwrap(), bytes);
}

#[test]
fn a_file_of_half_the_bytes_holds_kernels_rounded_to_f16_and_the_rest_as_it_was() {
    let model = small();
    let bytes = model.to_half_bytes().unwrap();
    let again = Model::from_bytes(&bytes).unwrap();
    assert_eq!(again.config(), model.config());
    for (name, tensor) in model.tensors() {
        let round = |&value: &f32| if tensor.shape.len() > 1 { half::f16::from_f32(value).to_f32() } else { value };
        let rounded: Vec<f32> = tensor.data.iter().map(round).collect();
        assert_eq!(again.tensor(name).unwrap().data, rounded, "{name}");
    }
    assert_eq!(again.to_half_bytes().unwrap(), bytes);
    let (whole, half) = (model.to_bytes().unwrap().len() as u64, bytes.len() as u64);
    assert!(10 * (whole - half) >= 18 * model.parameters(), "{whole} and {half}");
    assert!(safetensors::SafeTensors::deserialize(&bytes).is_ok());
}

#[test]
fn a_number_beyond_f16_is_refused_by_the_name_of_its_tensor() {
    let (config, mut tensors) = small().into_parts();
    tensors.get_mut("head.weight").unwrap().data[1] = 65_536.0;
    tensors.get_mut("head.bias").unwrap().data[1] = 65_536.0;
    let model = Model::new(config, tensors).unwrap();
    assert!(model.to_bytes().is_ok());
    let error = model.to_half_bytes().unwrap_err();
    assert!(error.message().contains("head.weight") && error.message().contains("65504"), "{error}");
}

#[test]
fn the_hash_is_that_of_the_files_bytes() {
    use sha2::Digest;
    let model = small();
    let hash: String = sha2::Sha256::digest(model.to_bytes().unwrap()).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(model.sha256(), hash);
    let spaced = edited(|_, _| {});
    let hash: String = sha2::Sha256::digest(&spaced).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(Model::from_bytes(&spaced).unwrap().sha256(), hash);
}

#[test]
fn other_readers_of_safetensors_understand_the_file() {
    let model = small();
    let bytes = model.to_bytes().unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.len(), model.tensors().count());
    for (name, tensor) in model.tensors() {
        assert_eq!(file.tensor(name).unwrap().shape(), tensor.shape);
    }
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "spinect-model");
}

#[test]
fn half_precision_files_give_the_rounded_values() {
    let model = small();
    type Convert = fn(f32) -> ([u8; 2], f32);
    let types: [(&str, Convert); 2] = [
        ("F16", |value| (half::f16::from_f32(value).to_le_bytes(), half::f16::from_f32(value).to_f32())),
        ("BF16", |value| (half::bf16::from_f32(value).to_le_bytes(), half::bf16::from_f32(value).to_f32())),
    ];
    for (dtype, convert) in types {
        let mut data = Vec::new();
        let (mut header, _) = disassemble(&model.to_bytes().unwrap());
        for (name, tensor) in model.tensors() {
            let start = data.len();
            data.extend(tensor.data.iter().flat_map(|&value| convert(value).0));
            header[name] = json!({"dtype": dtype, "shape": tensor.shape, "data_offsets": [start, data.len()]});
        }
        let read = Model::from_bytes(&assemble(&header.to_string(), &data)).unwrap();
        for (name, tensor) in model.tensors() {
            let rounded: Vec<f32> = tensor.data.iter().map(|&value| convert(value).1).collect();
            assert_eq!(read.tensor(name).unwrap().data, rounded, "{dtype} {name}");
        }
        assert_ne!(read.tensor("head.weight"), model.tensor("head.weight"), "{dtype} must round something");
    }
}

#[test]
fn only_a_plain_true_declares_a_model_clinical() {
    for (value, expected) in [(json!(true), true), (json!(false), false), (json!("true"), false), (json!(1), false), (json!(null), false)] {
        let model = Model::from_bytes(&with_config(|config| config["provenance"]["clinical"] = value.clone())).unwrap();
        assert_eq!(model.is_declared_clinical(), expected, "{value}");
    }
}

#[test]
fn a_provenance_that_would_not_be_read_back_is_not_written() {
    let (mut config, tensors) = small().into_parts();
    config.provenance.insert("log".into(), "x".repeat(1 << 20).into());
    let error = Model::new(config, tensors).unwrap_err();
    assert!(error.message().contains("provenance"), "{error}");
}
