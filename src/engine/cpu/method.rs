//! How each 3×3×3 convolution is computed: directly or by one of Winograd's tiles, whichever a model of the time says.
//!
//! The choice must not depend on the machine or the number of threads, or the bits of a result would. So it is not
//! measured at run time; the model's constants are, in `docs/performance.md`.

use super::kernels::Tile;
use crate::engine::plan::BLOCK;

/// How a 3×3×3 convolution is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// 27 products per output and input.
    Direct,
    /// Fewer.
    Winograd(Tile),
}

/// Time in products of a block of 16, which a core computes one of per cycle.
mod cost {
    /// A transform's number, loaded, transformed and stored.
    pub const TRANSFORM: f64 = 8.0;
    /// A block of weights that comes from memory.
    pub const WEIGHT: f64 = 8.0;
    /// What a direct convolution loses to loads.
    pub const DIRECT: f64 = 1.1;
}

impl Method {
    /// The fastest method for a convolution of so many voxels, D, H, W, and channels.
    pub fn fastest(shape: [usize; 3], inputs: [usize; 2], outputs: usize) -> Method {
        let ways = Tile::ALL.into_iter().map(Method::Winograd).chain(std::iter::once(Method::Direct));
        let cost = |way: &Method| way.cost(shape, inputs, outputs);
        ways.min_by(|a, b| cost(a).total_cmp(&cost(b))).unwrap_or(Method::Direct)
    }

    fn cost(self, shape: [usize; 3], inputs: [usize; 2], outputs: usize) -> f64 {
        let outputs = outputs.div_ceil(BLOCK) as f64;
        match self {
            Method::Direct => {
                let weights = (27 * (inputs[0] + inputs[1])) as f64 * outputs;
                weights * (shape.iter().product::<usize>() as f64 * cost::DIRECT + cost::WEIGHT)
            }
            Method::Winograd(tile) => {
                let per_axis = tile.outputs();
                let tiles: usize = (0..3).map(|axis| shape[axis].div_ceil(per_axis[axis])).product();
                let points: usize = per_axis.iter().map(|n| n + 2).product();
                let (tiles, points) = (tiles as f64, points as f64);
                let inputs = (inputs[0].div_ceil(BLOCK) + inputs[1].div_ceil(BLOCK)) as f64;
                let weights = points * inputs * BLOCK as f64 * outputs;
                tiles * (weights + cost::TRANSFORM * points * (inputs + outputs)) + cost::WEIGHT * weights
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_network_gets_the_methods_that_its_benchmarks_chose() {
        use Method::Winograd;
        let fastest = |shape, inputs, outputs| Method::fastest(shape, inputs, outputs);
        for (shape, channels) in [([32, 64, 64], 32), ([16, 32, 32], 64), ([8, 16, 16], 128)] {
            assert_eq!(fastest(shape, [channels / 2, 0], channels), Winograd(Tile::F444));
            assert_eq!(fastest(shape, [channels, 0], channels), Winograd(Tile::F444));
            assert_eq!(fastest(shape, [channels, channels], channels), Winograd(Tile::F444));
        }
        for inputs in [[128, 0], [256, 0], [256, 256]] {
            assert_eq!(fastest([4, 8, 8], inputs, 256), Winograd(Tile::F244));
        }
        assert_eq!(fastest([2, 4, 4], [512, 0], 512), Winograd(Tile::F222));
        // One channel would fill a block with fifteen zeros.
        assert_eq!(fastest([32, 64, 64], [1, 0], 32), Method::Direct);
    }
}
