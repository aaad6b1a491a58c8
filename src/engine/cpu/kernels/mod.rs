//! The arithmetic of the CPU engine: one operator per file, compiled once per instruction set, chosen at run time.
//!
//! [`Kernels`] is the place where another implementation can be swapped in: a table of functions over the layouts that
//! `plan.rs` defines.

/// Covers every row of a slab with tiles, the widest first: `voxels => kernel call`, widest first, 1 last.
macro_rules! cover {
    ($slab:ident, $row:ident, $column:ident, $($voxels:expr => $tile:expr),+ $(,)?) => {
        for $row in 0..$slab.height {
            let mut $column = 0;
            $(#[allow(clippy::int_plus_one, reason = "the last tile is one voxel wide")]
            while $column + $voxels <= $slab.width {
                // SAFETY: the tile lies within the row; the caller answers for the rest.
                unsafe { $tile };
                $column += $voxels;
            })+
        }
    };
}

mod convolution;
#[cfg(feature = "trainer")]
mod correlation;
#[cfg(feature = "trainer")]
mod downsample;
mod head;
mod lanes;
mod max_pool;
mod upsample;
mod winograd;

pub use convolution::{PackedConvolution, Source, Window, convolve, stem};
#[cfg(feature = "trainer")]
pub use correlation::Correlation;
#[cfg(feature = "trainer")]
pub use downsample::{PackedDownsample, downsample};
pub use head::{PackedHead, head};
pub use max_pool::max_pool;
pub use upsample::{PackedUpsample, upsample};
pub use winograd::{PackedWinograd, Tile, convolve as convolve_winograd};

use crate::engine::plan::BLOCK;
use crate::error::{Result, try_vec};

/// One block of channels of one voxel, aligned as a cache line is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C, align(64))]
pub struct Block(pub [f32; BLOCK]);

/// The kernels of one instruction set.
pub struct Kernels {
    /// The instruction set: "avx512", "avx2" or "portable".
    pub name: &'static str,
    /// Blocks of output channels that a convolution computes together: 1 or 2. What is left over is computed alone.
    channel_blocks: usize,
    convolution: unsafe fn(&convolution::Slab<'_>),
    stem: unsafe fn(&convolution::Slab<'_>),
    winograd: [winograd::Kernel; Tile::ALL.len()],
    upsample: unsafe fn(&upsample::Slab<'_>),
    max_pool: unsafe fn(&mut max_pool::Slab<'_>),
    head: unsafe fn(&mut head::Row<'_>),
    #[cfg(feature = "trainer")]
    correlation: unsafe fn(&correlation::Run),
    #[cfg(feature = "trainer")]
    downsample: unsafe fn(&downsample::Slab<'_>),
}

impl std::fmt::Debug for Kernels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Compiles every kernel for an instruction set. The numbers are the register tile of a convolution: blocks of output
/// channels × voxels along W, widest first.
macro_rules! kernels {
    ($name:literal, $lanes:ty, $(#[$features:meta])?, $blocks:literal by [$p0:literal, $p1:literal], 1 by [$q0:literal, $q1:literal],
     tiles [$t0:literal, $t1:literal, $t2:literal]) => {{
        use super::{convolution as conv, head as h, max_pool as pool, upsample as up};
        // SAFETY (of every function): `Kernels` is handed out only where the processor has the instruction set.
        $(#[$features])?
        unsafe fn convolution(slab: &conv::Slab<'_>) {
            unsafe { conv::slab::<$lanes, $blocks, $p0, $p1, $q0, $q1, { super::BLOCK }>(slab) }
        }
        $(#[$features])?
        unsafe fn stem(slab: &conv::Slab<'_>) {
            unsafe { conv::slab::<$lanes, $blocks, $p0, $p1, $q0, $q1, 1>(slab) }
        }
        $(#[$features])?
        unsafe fn upsample(slab: &up::Slab<'_>) {
            unsafe { up::slab::<$lanes, $blocks, $p0, $p1, $q0, $q1>(slab) }
        }
        $(#[$features])?
        unsafe fn max_pool(slab: &mut pool::Slab<'_>) {
            unsafe { pool::slab::<$lanes>(slab) }
        }
        $(#[$features])?
        unsafe fn head(row: &mut h::Row<'_>) {
            unsafe { h::row::<$lanes, $q0>(row) }
        }
        #[cfg(feature = "trainer")]
        $(#[$features])?
        unsafe fn correlation(run: &super::correlation::Run) {
            unsafe { super::correlation::run::<$lanes, $blocks, $p0, $p1, $q0, $q1>(run) }
        }
        #[cfg(feature = "trainer")]
        $(#[$features])?
        unsafe fn downsample(slab: &super::downsample::Slab<'_>) {
            unsafe { super::downsample::slab::<$lanes, $blocks, $p0, $p1, $q0, $q1>(slab) }
        }
        let winograd = super::winograd::tiles!($lanes, $(#[$features])?, $blocks by [$t0, $t1, $t2]);
        super::Kernels {
            name: $name,
            channel_blocks: $blocks,
            convolution,
            stem,
            winograd,
            upsample,
            max_pool,
            head,
            #[cfg(feature = "trainer")]
            correlation,
            #[cfg(feature = "trainer")]
            downsample,
        }
    }};
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    pub static KERNELS: super::Kernels = kernels!("avx512", super::lanes::x86::Avx512, #[target_feature(enable = "avx512f,avx2,fma")], 2 by [8, 4], 1 by [16, 8], tiles [12, 8, 4]);
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    pub static KERNELS: super::Kernels =
        kernels!("avx2", super::lanes::x86::Avx2, #[target_feature(enable = "avx2,fma")], 1 by [4, 2], 1 by [4, 2], tiles [6, 4, 2]);
}

mod portable {
    pub static KERNELS: super::Kernels = kernels!("portable", super::lanes::Portable, , 1 by [2, 1], 1 by [2, 1], tiles [2, 2, 2]);
}

impl Kernels {
    /// Every set of kernels that this processor can run, the fastest first.
    pub fn available() -> impl Iterator<Item = &'static Kernels> {
        #[cfg(target_arch = "x86_64")]
        let wide = [
            (is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("fma")).then_some(&avx512::KERNELS),
            (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(&avx2::KERNELS),
        ];
        #[cfg(not(target_arch = "x86_64"))]
        let wide = [None, None];
        wide.into_iter().flatten().chain(std::iter::once(&portable::KERNELS))
    }

    /// The fastest kernels that this processor can run.
    pub fn best() -> &'static Kernels {
        Self::available().next().unwrap_or(&portable::KERNELS)
    }
}

/// Biases in blocks of outputs; unused lanes are 0.
fn pack_bias(bias: &[f32]) -> Result<Vec<Block>> {
    let mut packed = try_vec(Block::default(), bias.len().div_ceil(BLOCK), "the packed weights")?;
    set_bias(&mut packed, bias);
    Ok(packed)
}

fn set_bias(packed: &mut [Block], bias: &[f32]) {
    for (block, values) in packed.iter_mut().zip(bias.chunks(BLOCK)) {
        block.0[..values.len()].copy_from_slice(values);
    }
}

/// Feature maps for the kernels' tests: plain arrays \[channel\]\[D\]\[H\]\[W\] to places and back.
#[cfg(test)]
pub(in crate::engine::cpu) mod testing {
    use super::*;
    use std::sync::Mutex;

    use crate::engine::cpu::executor::{Executor, Scratch};
    use crate::engine::fold::Layer;
    use crate::engine::plan::Place;

    /// These kernels on the calling thread.
    pub fn alone(kernels: &'static Kernels) -> Executor<'static> {
        let scratch: Scratch = Mutex::new(vec![Block::default(); 1 << 16]).into();
        Executor { kernels, pool: None, scratch: std::slice::from_ref(Box::leak(Box::new(scratch))), check: &|| Ok(()), observe: None }
    }

    /// Numbers between −1 and 1 that differ from place to place.
    pub fn noise(count: usize, seed: u64) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    pub fn place(channels: usize, shape: [usize; 3]) -> Place {
        Place { offset: 0, channels, shape, windows: 1 }
    }

    fn at(place: &Place, channel: usize, [d, h, w]: [usize; 3]) -> usize {
        channel / BLOCK * place.volume() + (d + 1) * place.plane() + (h + 1) * place.row() + w + 1
    }

    fn voxels([d, h, w]: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
        (0..d * h * w).map(move |v| [v / (h * w), v / w % h, v % w])
    }

    /// A place filled from a plain array; everything else is 0.
    pub fn blocked(plain: &[f32], place: &Place) -> Vec<Block> {
        let mut blocks = vec![Block::default(); place.len()];
        let mut values = plain.iter();
        for channel in 0..place.channels {
            for voxel in voxels(place.shape) {
                blocks[at(place, channel, voxel)].0[channel % BLOCK] = *values.next().unwrap();
            }
        }
        blocks
    }

    /// A place as an earlier step may leave it: garbage where a result goes, zeros in the border and in unused lanes.
    pub fn garbage(place: &Place) -> Vec<Block> {
        blocked(&vec![f32::NAN; place.channels * place.shape.iter().product::<usize>()], place)
    }

    /// The plain array of a place, after checking that the border and unused lanes hold zeros.
    pub fn plain(blocks: &[Block], place: &Place) -> Vec<f32> {
        let mut rest = blocks.to_vec();
        let mut plain = Vec::new();
        for channel in 0..place.channels {
            for voxel in voxels(place.shape) {
                plain.push(std::mem::take(&mut rest[at(place, channel, voxel)].0[channel % BLOCK]));
            }
        }
        assert!(rest.iter().all(|block| block.0 == [0.0; BLOCK]), "the border or an unused lane is not zero");
        plain
    }

    /// 3×3×3 convolution, bias, ReLU in f64, with plain loops.
    pub fn convolution(x: &[f32], channels: usize, [d, h, w]: [usize; 3], layer: &Layer) -> Vec<f64> {
        let outputs = layer.bias.len();
        let mut y = Vec::new();
        for o in 0..outputs {
            for voxel in 0..d * h * w {
                let at = [voxel / (h * w), voxel / w % h, voxel % w];
                let mut sum = f64::from(layer.bias[o]);
                for i in 0..channels {
                    for tap in 0..27 {
                        let [z, r, c] = [at[0] + tap / 9, at[1] + tap / 3 % 3, at[2] + tap % 3];
                        if (1..=d).contains(&z) && (1..=h).contains(&r) && (1..=w).contains(&c) {
                            let value = x[((i * d + z - 1) * h + r - 1) * w + c - 1];
                            sum += f64::from(value) * f64::from(layer.weight[(o * channels + i) * 27 + tap]);
                        }
                    }
                }
                y.push(sum.max(0.0));
            }
        }
        y
    }

    pub fn assert_close(actual: &[f32], expected: &[f64], context: &str) {
        assert_within(actual, expected, 1e-5, context);
    }

    pub fn assert_within(actual: &[f32], expected: &[f64], tolerance: f64, context: &str) {
        assert_eq!(actual.len(), expected.len());
        for (index, (&a, &e)) in actual.iter().zip(expected).enumerate() {
            assert!((f64::from(a) - e).abs() <= tolerance * (1.0 + e.abs()), "{context}: {a} instead of {e} at {index}");
        }
    }
}
