//! Random numbers that depend on what they are for and on nothing else: not on threads, not on what was drawn before.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// What random numbers are for. Two purposes never share a stream.
#[derive(Clone, Copy, Debug)]
pub(in crate::trainer) enum Purpose {
    /// One patch of one iteration.
    Patch { iteration: u64, patch: u64 },
    /// The order of the cases in a split.
    Split,
    /// The cases of the validation after an iteration.
    Validation { iteration: u64 },
}

/// The generator for a purpose under a seed: the 256-bit key of ChaCha8 is the seed, the purpose and its place.
pub(in crate::trainer) fn generator(seed: u64, purpose: Purpose) -> ChaCha8Rng {
    let (name, place) = match purpose {
        Purpose::Patch { iteration, patch } => (*b"patch   ", [iteration, patch]),
        Purpose::Split => (*b"split   ", [0; 2]),
        Purpose::Validation { iteration } => (*b"validate", [iteration, 0]),
    };
    let mut key = [0; 32];
    for (bytes, number) in key.chunks_exact_mut(8).zip([seed, u64::from_le_bytes(name), place[0], place[1]]) {
        bytes.copy_from_slice(&number.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;
    use std::collections::BTreeSet;

    #[test]
    fn every_seed_purpose_and_place_has_its_own_stream() {
        let purposes = |n: u64| [Purpose::Patch { iteration: n, patch: 0 }, Purpose::Patch { iteration: 0, patch: n }, Purpose::Split];
        let first = |seed, purpose| generator(seed, purpose).random::<u64>();
        let streams: BTreeSet<u64> = (0..4).flat_map(|seed| purposes(7).map(|purpose| first(seed, purpose))).collect();
        assert_eq!(streams.len(), 12);
        assert_eq!(first(3, purposes(7)[0]), first(3, purposes(7)[0]));
    }
}
