//! 2×2×2 max pooling, stride 2. Layout: feature maps as `plan.rs` says.

use super::Block;
use super::lanes::Lanes;
use crate::engine::cpu::executor::{Executor, Shared};
use crate::engine::plan::{BLOCK, Place};
use crate::error::Result;

/// One plane of one block of channels.
pub(super) struct Slab<'a> {
    /// The two planes of the input, from their first row without the border.
    input: [&'a [Block]; 2],
    /// Blocks from one of the input's rows to the next.
    row: usize,
    output: &'a mut [Block],
    output_row: usize,
    height: usize,
    width: usize,
}

/// Pools `input` into `output`, window after window.
///
/// # Errors
/// Whatever the executor's `check` returns: it is asked between planes.
///
/// # Panics
/// If a slice is not as long as its place, or the output is not half the input.
pub fn max_pool(executor: &Executor<'_>, input: &[Block], from: &Place, output: &mut [Block], to: &Place) -> Result<()> {
    assert!(from.windows_in(input) == to.windows_in(output), "as many windows");
    assert!(from.channels == to.channels && to.shape.map(|n| n * 2) == from.shape, "half the shape");
    let depth = to.shape[0];
    // A window's blocks of channels follow those of the window before.
    let volumes = output.len() / to.volume();
    let output = Shared::new(output);
    executor.each(volumes * depth, &|piece, _| {
        let (block, d) = (piece / depth, piece % depth);
        let input = &input[block * from.volume()..(block + 1) * from.volume()];
        let plane = |depth: usize| &input[depth * from.plane() + from.row() + 1..(depth + 1) * from.plane()];
        let first = block * to.volume() + (d + 1) * to.plane();
        let mut slab = Slab {
            input: [plane(2 * d + 1), plane(2 * d + 2)],
            row: from.row(),
            // SAFETY: every piece has a plane of its own.
            output: unsafe { output.part(first + to.row() + 1..first + to.plane()) },
            output_row: to.row(),
            height: to.shape[1],
            width: to.shape[2],
        };
        // SAFETY: both input planes hold 2·height rows of 2·width voxels from their start, the output one of height rows of
        // width voxels: the places' shapes, asserted above.
        unsafe { (executor.kernels.max_pool)(&mut slab) };
    })
}

/// The kernel.
///
/// # Safety
/// As [`Slab`] says, on a processor that has the instruction set of `L`.
#[inline(always)]
pub(super) unsafe fn slab<L: Lanes>(slab: &mut Slab<'_>) {
    for h in 0..slab.height {
        for w in 0..slab.width {
            // SAFETY: rows 2h and 2h + 1, voxels 2w and 2w + 1 of either plane exist, as does voxel (h, w) of the output.
            unsafe {
                let corner = 2 * h * slab.row + 2 * w;
                let at = |plane: usize, offset: usize| L::load(slab.input[plane].as_ptr().add(corner + offset).cast());
                let mut best = at(0, 0);
                for (plane, offset) in [(0, 1), (0, slab.row), (0, slab.row + 1), (1, 0), (1, 1), (1, slab.row), (1, slab.row + 1)] {
                    best = best.max(at(plane, offset));
                }
                best.store(slab.output.as_mut_ptr().cast::<f32>().add((h * slab.output_row + w) * BLOCK));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kernels;
    use super::super::testing::{alone, assert_close, blocked, garbage, noise, place, plain};
    use super::*;

    #[test]
    fn every_output_is_the_largest_of_its_eight_inputs() {
        for kernels in Kernels::available() {
            let (channels, [d, h, w]) = (19, [2, 3, 5]);
            let (from, to) = (place(channels, [2 * d, 2 * h, 2 * w]), place(channels, [d, h, w]));
            let x = noise(channels * 8 * d * h * w, 1);
            let mut expected = vec![f64::MIN; channels * d * h * w];
            for (index, &value) in x.iter().enumerate() {
                let (c, z, r, v) = (index / (8 * d * h * w), index / (4 * h * w) % (2 * d), index / (2 * w) % (2 * h), index % (2 * w));
                let best = &mut expected[((c * d + z / 2) * h + r / 2) * w + v / 2];
                *best = best.max(f64::from(value));
            }
            let mut output = garbage(&to);
            max_pool(&alone(kernels), &blocked(&x, &from), &from, &mut output, &to).unwrap();
            assert_close(&plain(&output, &to), &expected, kernels.name);
        }
    }
}
