//! Configurations that break a rule: refused by the name of the key.

use super::*;

#[test]
fn values_out_of_bounds_are_refused_by_the_name_of_their_key() {
    let cases = [
        ("/format_version", json!(2), vec!["format_version", "2 is not known; this library reads 1"]),
        ("/format_version", json!("1"), vec!["format_version", "not known"]),
        ("/name", json!("a\0b"), vec!["name", "NUL"]),
        ("/architecture/in_channels", json!(2), vec!["in_channels", "2"]),
        ("/architecture/channels", json!([]), vec!["architecture.channels", "0"]),
        ("/architecture/channels", json!([2, 2, 2, 2, 2, 2, 2, 2, 2]), vec!["architecture.channels", "9"]),
        ("/architecture/channels/1", json!(0), vec!["architecture.channels[1]", "0"]),
        ("/architecture/channels/1", json!(4097), vec!["architecture.channels[1]", "4097"]),
        ("/architecture/convs_per_stage", json!(0), vec!["convs_per_stage", "0"]),
        ("/architecture/convs_per_stage", json!(9), vec!["convs_per_stage", "9"]),
        ("/architecture/norm/eps", json!(0.0), vec!["norm.eps", "0"]),
        ("/architecture/norm/eps", json!(-1e-3), vec!["norm.eps", "-0.001"]),
        ("/architecture/norm/eps", json!(1e-60), vec!["norm.eps", "f32"]),
        ("/architecture/norm/layers/0", json!("encoder.2.0"), vec!["norm.layers[0]", "encoder.2.0"]),
        ("/architecture/norm/layers/0", json!("upsample.0"), vec!["norm.layers[0]", "upsample.0"]),
        ("/architecture/norm/layers/1", json!("encoder.0.0"), vec!["norm.layers[1]", "encoder.0.0", "twice"]),
        ("/preprocess/spacing_mm/1", json!(0.0), vec!["spacing_mm[1]", "0"]),
        ("/preprocess/spacing_mm/2", json!(-1.0), vec!["spacing_mm[2]", "-1"]),
        ("/preprocess/clip_hu", json!([5.0, 5.0]), vec!["clip_hu", "[5, 5]"]),
        ("/preprocess/clip_hu/1", json!(1e300), vec!["clip_hu[1]", "f32"]),
        ("/preprocess/mean", json!(-1e300), vec!["preprocess.mean", "f32"]),
        ("/preprocess/std", json!(0.0), vec!["preprocess.std", "0"]),
        ("/preprocess/std", json!(-3.0), vec!["preprocess.std", "-3"]),
        ("/preprocess/std", json!(1e-38), vec!["preprocess.std", "f32"]),
        ("/window/size/1", json!(5), vec!["window.size[1]", "5", "divisible by 2"]),
        ("/window/size/2", json!(0), vec!["window.size[2]", "0"]),
        ("/window/size/0", json!(1026), vec!["window.size[0]", "1026"]),
        ("/window/stride/0", json!(0), vec!["window.stride[0]", "0"]),
        ("/window/stride/2", json!(5), vec!["window.stride[2]", "5"]),
        ("/labels", json!([{"value": 0, "name": "background", "color": [0, 0, 0]}]), vec!["labels", "1"]),
        ("/labels/2/value", json!(1), vec!["labels[2].value", "1", "unique"]),
        ("/labels/2/name", json!(""), vec!["labels[2].name", "empty"]),
        ("/labels/2/name", json!("bone"), vec!["labels[2].name", "bone", "unique"]),
        ("/labels/2/name", json!("ner\0ve"), vec!["labels[2].name", "NUL"]),
        ("/labels/1/terminology/meaning", json!("\0"), vec!["labels[1].terminology.meaning", "NUL"]),
    ];
    for (pointer, value, words) in cases {
        assert_refused(&with_key(pointer, value), &words);
    }
}

#[test]
fn values_of_a_wrong_type_are_refused_by_the_name_of_their_key() {
    let cases = [
        ("/name", json!(7), "name"),
        ("/architecture", json!([]), "architecture"),
        ("/architecture/kind", json!("transformer"), "transformer"),
        ("/architecture/channels/1", json!(-4), "architecture.channels[1]"),
        ("/architecture/channels/1", json!(4.5), "architecture.channels[1]"),
        ("/architecture/norm/kind", json!("instance"), "architecture.norm"),
        ("/architecture/norm/eps", json!("small"), "eps"),
        ("/architecture/norm/layers", json!([1]), "layers"),
        ("/architecture/activation/kind", json!("leaky_relu"), "architecture.activation"),
        ("/architecture/activation", json!(["relu"]), "architecture.activation"),
        ("/architecture/downsample", json!("strided_conv"), "architecture.downsample"),
        ("/architecture/upsample", json!("trilinear"), "architecture.upsample"),
        ("/preprocess", json!(["LPS", [1, 1, 1], "nearest", [-1024, 3071], 0, 1]), "preprocess"),
        ("/preprocess/orientation", json!("RAS"), "preprocess.orientation"),
        ("/preprocess/spacing_mm", json!([1, 1]), "preprocess.spacing_mm"),
        ("/preprocess/interpolation", json!("linear"), "preprocess.interpolation"),
        ("/preprocess/std", json!(null), "preprocess.std"),
        ("/window/size", json!([4, 4, 4, 4]), "window.size"),
        ("/window/weighting", json!("gaussian"), "window.weighting"),
        ("/labels/1/value", json!(256), "labels[1].value"),
        ("/labels/1/color", json!([1, 2]), "labels[1].color"),
        ("/labels/1/terminology", json!(["SCT", "1", "Bone"]), "labels.1.terminology"),
        ("/provenance", json!("mine"), "provenance"),
    ];
    for (pointer, value, word) in cases {
        assert_refused(&with_key(pointer, value), &[word]);
    }
}

#[test]
fn every_key_but_the_optional_ones_must_be_there() {
    let keys = [
        "/format_version",
        "/name",
        "/version",
        "/architecture",
        "/preprocess",
        "/window",
        "/labels",
        "/architecture/kind",
        "/architecture/in_channels",
        "/architecture/channels",
        "/architecture/convs_per_stage",
        "/architecture/norm",
        "/architecture/activation",
        "/architecture/downsample",
        "/architecture/upsample",
        "/architecture/norm/kind",
        "/architecture/norm/eps",
        "/architecture/norm/layers",
        "/architecture/activation/kind",
        "/preprocess/orientation",
        "/preprocess/spacing_mm",
        "/preprocess/interpolation",
        "/preprocess/clip_hu",
        "/preprocess/mean",
        "/preprocess/std",
        "/window/size",
        "/window/stride",
        "/window/weighting",
        "/labels/1/value",
        "/labels/1/name",
        "/labels/1/color",
        "/labels/1/terminology/code",
    ];
    let remove = |pointer: &str| {
        with_config(|config| {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            config.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key).unwrap();
        })
    };
    for pointer in keys {
        assert_refused(&remove(pointer), &[pointer.rsplit('/').next().unwrap()]);
    }
    for pointer in ["/provenance", "/labels/1/terminology", "/labels/1/category"] {
        Model::from_bytes(&remove(pointer)).unwrap();
    }
}

#[test]
fn unknown_keys_are_refused_where_they_could_change_the_result_and_ignored_elsewhere() {
    for parent in ["/architecture", "/architecture/norm", "/architecture/activation", "/preprocess", "/window"] {
        assert_refused(&with_key(&format!("{parent}/dropout"), json!(0.5)), &["dropout"]);
    }
    for parent in ["", "/labels/1", "/labels/1/terminology", "/provenance"] {
        Model::from_bytes(&with_key(&format!("{parent}/remark"), json!("hello"))).unwrap();
    }
}

#[test]
fn a_newer_file_is_called_newer_even_where_it_is_also_strange() {
    let message = refusal(&with_config(|config| {
        config["format_version"] = json!(2);
        config["architecture"] = json!("something new");
    }));
    assert!(message.contains("2 is not known; this library reads 1"), "{message}");
}
