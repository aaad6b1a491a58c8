//! Headers and tensors that break a rule, by mistake or by intent: refused by name, without a panic.

use super::*;

/// Changes a small model's tensor by its name.
fn with_values(name: &str, edit: impl FnOnce(&mut Vec<f32>)) -> Result<Model> {
    let (config, mut tensors) = small().into_parts();
    edit(&mut tensors.get_mut(name).unwrap().data);
    Model::new(config, tensors)
}

#[test]
fn a_key_that_is_there_twice_is_refused() {
    let (header, data) = disassemble(&small().to_bytes().unwrap());
    let text = header.to_string();
    let tensor = format!("\"head.bias\":{},", header["head.bias"]);
    for (from, to, word) in [
        (tensor.as_str(), format!("{tensor}{tensor}"), "`head.bias` is there twice"),
        ("\"format\":", "\"format\":\"other\",\"format\":".into(), "`format` is there twice"),
        ("\"__metadata__\":", "\"__metadata__\":{},\"__metadata__\":".into(), "`__metadata__` is there twice"),
        ("\\\"stride\\\":", "\\\"stride\\\":[1,1,1],\\\"stride\\\":".into(), "duplicate field `stride`"),
    ] {
        let doubled = text.replacen(from, &to, 1);
        assert_ne!(doubled, text);
        assert_refused(&assemble(&doubled, &data), &[word]);
    }
}

#[test]
fn a_file_without_our_metadata_is_not_a_spinect_model() {
    assert_refused(&edited(|header, _| header["__metadata__"] = json!({"config": "{}"})), &["not a spinect model", "`format`"]);
    assert_refused(&edited(|header, _| header["__metadata__"]["format"] = json!("pt")), &["not a spinect model", "\"pt\""]);
    assert_refused(&edited(|header, _| header["__metadata__"] = json!({"format": "spinect-model"})), &["`config`"]);
    assert_refused(&edited(|header, _| drop(header.as_object_mut().unwrap().remove("__metadata__"))), &["`format`"]);
    assert_refused(&edited(|header, _| header["__metadata__"]["format"] = json!(1)), &["__metadata__.format"]);
    for config in ["", "{", "[]", "7", "null", "{} {}", "\u{0}"] {
        assert_refused(&edited(|header, _| header["__metadata__"]["config"] = config.into()), &["config"]);
    }
}

#[test]
fn tensors_missing_surplus_or_misshapen_are_named() {
    let remove = |name: &'static str| edited(move |header, _| drop(header.as_object_mut().unwrap().remove(name).unwrap()));
    for name in ["encoder.0.0.norm.running_var", "upsample.0.bias", "head.weight"] {
        assert_refused(&remove(name), &[name, "missing"]);
    }
    let place = |header: &mut Value, data: &mut Vec<u8>| {
        let start = data.len();
        data.extend([0; 16]);
        header["encoder.1.0.norm.weight"] = json!({"dtype": "F32", "shape": [4], "data_offsets": [start, start + 16]});
    };
    assert_refused(&edited(place), &["encoder.1.0.norm.weight", "surplus"]);
    for shape in [json!([12, 2, 1, 1, 1]), json!([3, 2]), json!([]), json!([2, 3, 1, 1, 1]), json!([0, 2, 1, 1, 1])] {
        assert_refused(&edited(|header, _| header["head.weight"]["shape"] = shape), &["head.weight", "shape"]);
    }
    // One label more than the head has rows.
    let labels = |config: &mut Value| {
        let labels = config["labels"].as_array_mut().unwrap();
        labels.push(json!({"value": 9, "name": "disc", "color": [1, 2, 3]}));
    };
    assert_refused(&with_config(labels), &["head.weight", "shape"]);
}

#[test]
fn values_that_are_not_finite_and_variances_below_zero_are_refused_by_name() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let error = with_values("decoder.0.1.conv.weight", |values| values[5] = value).unwrap_err();
        assert!(error.message().contains("decoder.0.1.conv.weight") && error.message().contains("element 5"), "{error}");
    }
    let error = with_values("encoder.1.1.norm.running_var", |values| values[3] = -1e-9).unwrap_err();
    assert!(error.message().contains("encoder.1.1.norm.running_var") && error.message().contains("element 3"), "{error}");
    with_values("encoder.1.1.norm.running_var", |values| values[3] = 0.0).unwrap();
    with_values("encoder.1.1.norm.running_mean", |values| values[3] = -1.0).unwrap();

    let infinite = edited(|header, data| {
        let start = header["head.bias"]["data_offsets"][0].as_u64().unwrap() as usize;
        data[start..start + 4].copy_from_slice(&f32::INFINITY.to_le_bytes());
    });
    assert_refused(&infinite, &["head.bias", "inf", "element 0"]);
}

#[test]
fn parts_that_contradict_their_shape_give_no_model() {
    let error = with_values("head.bias", |values| values.push(0.0)).unwrap_err();
    assert!(error.message().contains("head.bias") && error.message().contains("4 values"), "{error}");
}

#[test]
fn types_other_than_floats_are_refused_by_name() {
    for dtype in ["I32", "F64", "U8", "F8_E4M3"] {
        assert_refused(&edited(|header, _| header["head.bias"]["dtype"] = dtype.into()), &["head.bias", dtype]);
    }
    assert_refused(&edited(|header, _| header["head.bias"]["dtype"] = "F31".into()), &["head.bias", "F31"]);
}

#[test]
fn offsets_that_do_not_fit_are_refused() {
    let offsets = |name: &'static str, offsets: Value| edited(move |header, _| header[name]["data_offsets"] = offsets);
    for value in [json!([12, 0]), json!([0, 1u64 << 60]), json!([u64::MAX - 12, u64::MAX]), json!([0, 0])] {
        assert_refused(&offsets("head.bias", value), &[]);
    }
    for value in [json!([0, -1]), json!([0, 1e30]), json!([0]), json!("0"), json!([0, 12, 24])] {
        assert_refused(&offsets("head.bias", value), &["head.bias.data_offsets"]);
    }
    // Two tensors in one place, and a file that goes on behind its last tensor.
    let overlap =
        edited(|header, _| header["encoder.0.0.conv.bias"]["data_offsets"] = header["encoder.0.1.conv.bias"]["data_offsets"].clone());
    assert_refused(&overlap, &["overlap or leave gaps"]);
    assert_refused(&edited(|_, data| data.push(0)), &["behind its header"]);
    assert_refused(&edited(|_, data| data.truncate(data.len() - 1)), &["behind its header"]);
}

#[test]
fn sizes_that_overflow_are_refused() {
    for shape in [json!([1u64 << 40, 1u64 << 40]), json!([u64::MAX, 2, 1, 1, 1]), json!([u64::MAX])] {
        assert_refused(&edited(|header, _| header["head.weight"]["shape"] = shape), &["head.weight", "shape"]);
    }
    for shape in ["[1e400]", "[18446744073709551616]", "[-1]", "[3.5]"] {
        let (header, data) = disassemble(&small().to_bytes().unwrap());
        let text = header.to_string();
        let start = text.find("\"head.bias\"").unwrap();
        let (before, after) = text.split_at(start);
        assert_refused(&assemble(&format!("{before}{}", after.replacen("[3]", shape, 1)), &data), &[]);
    }
    assert_refused(&with_key("/architecture/channels/0", json!(u64::MAX)), &["architecture.channels[0]"]);
    assert_refused(&with_key("/window/size/0", json!(u64::MAX)), &["window.size[0]"]);
    // Offsets that run up to the end of all numbers.
    let giant = edited(|header, data| {
        let start = data.len() as u64;
        header["giant"] = json!({"dtype": "F16", "shape": [(u64::MAX - start) / 2], "data_offsets": [start, u64::MAX - 1]});
    });
    assert_refused(&giant, &["giant"]);
}

#[test]
fn a_header_length_beyond_the_file_or_the_limit_is_refused() {
    let bytes = small().to_bytes().unwrap();
    for length in [1u64 << 63, u64::MAX, u64::MAX - 7, (1 << 20) + 1] {
        assert_refused(&[&length.to_le_bytes(), &bytes[8..]].concat(), &[&length.to_string(), "1048576"]);
    }
    let long = [&(1u64 << 20).to_le_bytes(), &bytes[8..]].concat();
    assert_refused(&long, &["truncated"]);
    assert_refused(&[&0u64.to_le_bytes(), &bytes[8..]].concat(), &[]);
    let padded = |length: usize| {
        let (header, data) = disassemble(&bytes);
        let header = header.to_string();
        assemble(&(header.clone() + &" ".repeat(length - header.len())), &data)
    };
    Model::from_bytes(&padded(1 << 20)).unwrap();
    assert_refused(&padded((1 << 20) + 1), &["1048577", "1048576"]);
}

#[test]
fn a_hundred_thousand_header_entries_are_refused() {
    let entries = |count: usize| {
        let entry = |index| format!("\"{index}\":{{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}");
        let config = small().to_bytes().map(|bytes| disassemble(&bytes).0["__metadata__"].to_string()).unwrap();
        let all: Vec<String> = (0..count).map(entry).collect();
        assemble(&format!("{{\"__metadata__\":{config},{}}}", all.join(",")), &[])
    };
    assert_refused(&entries(100_000), &["header claims", "1048576"]);
    assert_refused(&entries(18_000), &["missing"]);
    let surplus = edited(|header, _| {
        for index in 0..15_000 {
            header[format!("s{index}")] = json!({"dtype": "F32", "shape": [0], "data_offsets": [0, 0]});
        }
    });
    assert_refused(&surplus, &["`s0`", "surplus", "15000"]);
}

#[test]
fn json_nested_deeply_is_refused_and_spares_the_stack() {
    let deep = "[".repeat(200_000) + &"]".repeat(200_000);
    let (mut header, data) = disassemble(&small().to_bytes().unwrap());
    assert_refused(&assemble(&format!("{{\"a\":{deep}}}"), &data), &[]);
    assert_refused(&assemble(&format!("{{\"__metadata__\":{deep}}}"), &data), &[]);
    for config in [deep.clone(), format!("{{\"format_version\":1,\"provenance\":{{\"a\":{deep}}}}}"), "{\"a\":".repeat(50_000)] {
        header["__metadata__"]["config"] = config.into();
        assert_refused(&assemble(&header.to_string(), &data), &["recursion limit"]);
    }
}

#[test]
fn messages_show_strange_text_escaped_and_short() {
    let long = format!("evil\u{1b}[2J\n{}", "x".repeat(5000));
    let message = refusal(&edited(|header, _| header[&long] = json!({"dtype": "F32", "shape": [0], "data_offsets": [0, 0]})));
    assert!(message.contains("surplus") && !message.contains(char::is_control), "{message:?}");
    let message = refusal(&with_key(&format!("/window/{}", long.replace('/', "")), json!(1)));
    assert!(!message.contains(char::is_control), "{message:?}");
}

#[test]
fn a_file_truncated_anywhere_is_refused() {
    let bytes = small().to_bytes().unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for end in (0..=header).chain((header..bytes.len()).step_by(97)) {
        refusal(&bytes[..end]);
    }
}

#[test]
fn flipped_bits_in_the_header_never_panic() {
    let original = small();
    let mut bytes = original.to_bytes().unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for position in 0..header {
        for bit in 0..8 {
            bytes[position] ^= 1 << bit;
            match Model::from_bytes(&bytes) {
                // The hash tells a changed file from the original even where it is still a model.
                Ok(model) => assert_ne!(model.sha256(), original.sha256(), "bit {bit} of byte {position}"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidModel, "bit {bit} of byte {position}: {error}"),
            }
            bytes[position] ^= 1 << bit;
        }
    }
}
