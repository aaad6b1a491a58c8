//! What of the CUDA engine's library needs neither a GPU nor CUDA to be tested: where everything lies, by its own tests, compiled
//! here without the rest of it; and that the kernels' header says in C what the library says in Rust.
#![allow(dead_code)]

mod common;
#[path = "../cuda/src/launch.rs"]
mod launch;
#[path = "../cuda/src/layout.rs"]
mod layout;
#[path = "../src/engine/cuda/table.rs"]
mod table;

use std::mem::offset_of;

use common::{Language, Link, compile_with};

#[test]
fn the_kernels_arguments_are_the_same_in_c_and_in_rust() {
    let mut text = String::from("#include \"launch.h\"\n");
    macro_rules! same {
        ($($rust:ident = $c:ident { $($field:ident),* };)*) => {$(
            let size = size_of::<launch::$rust>();
            text += &format!("typedef char size_of_{}[sizeof({}) == {size} ? 1 : -1];\n", stringify!($rust), stringify!($c));
            $(
                let offset = offset_of!(launch::$rust, $field);
                text += &format!(
                    "typedef char {}_{}[offsetof({}, {1}) == {offset} ? 1 : -1];\n", stringify!($rust), stringify!($field), stringify!($c)
                );
            )*
        )*};
    }
    same! {
        Extent = spinect_extent { d, h, w };
        Fill = spinect_fill_arguments {
            voxel_type, voxels, element, grid, first, last, slope, intercept, clip_low, clip_high, mean, deviation, whitened, saturated, range
        };
        Stem = spinect_stem_arguments { precision, whitened, grid, outside, starts, windows, window, outputs, packed, bias, output };
        Convolution = spinect_convolution_arguments {
            precision, windows, shape, first_channels, second_channels, outputs, first, second, packed, bias, output, pooled
        };
        Upsample = spinect_upsample_arguments { precision, windows, shape, inputs, outputs, input, packed, bias, output };
        Head = spinect_head_arguments { precision, windows, shape, inputs, classes, input, weight, bias, probabilities };
        Combine = spinect_combine_arguments { probabilities, first_window, windows, classes, window, grid, starts, count, sums };
        Winners = spinect_winners_arguments { sums, classes, grid, first, last, channels, confidence, invalid };
    }
    text += &format!("typedef char block[SPINECT_CHANNEL_BLOCK == {} ? 1 : -1];\n", layout::padded(1));
    let source = common::scratch_dir().join("cuda-launch.c");
    std::fs::write(&source, text).unwrap();
    let include = format!("-I{}", common::root().join("cuda/kernels").display());
    compile_with(&[&source], Language::C, Link::Never, "cuda-launch.o", &[&include]);
}
