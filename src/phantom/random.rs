//! Random numbers by name: every quantity has its own stream, so that a new one changes no other.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A stream of random numbers that belongs to a seed and a name.
#[derive(Clone, Debug)]
pub(super) struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream of this name.
    pub(super) fn new(seed: u64, name: &str) -> Self {
        Self::numbered(seed, name, 0)
    }

    /// The stream of this name and number, for example of a slice.
    pub(super) fn numbered(seed: u64, name: &str, number: u64) -> Self {
        // FNV-1a: fixed for ever, unlike the hash of the standard library.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(hash.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        Stream(rng)
    }

    /// Uniform in [0, 1).
    pub(super) fn unit(&mut self) -> f32 {
        // 24 bits are what an f32 holds.
        (self.0.next_u32() >> 8) as f32 / (1 << 24) as f32
    }

    /// Uniform between two values.
    pub(super) fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Normal, within 2.2 standard deviations.
    pub(super) fn normal(&mut self, mean: f32, deviation: f32) -> f32 {
        mean + deviation * self.gauss().clamp(-2.2, 2.2)
    }

    /// Standard normal: Box and Muller.
    pub(super) fn gauss(&mut self) -> f32 {
        let (a, b) = (1.0 - self.unit(), self.unit());
        (-2.0 * a.ln()).sqrt() * (std::f32::consts::TAU * b).cos()
    }

    /// Fills with standard normal numbers.
    pub(super) fn fill_normal(&mut self, values: &mut [f32]) {
        for pair in values.chunks_mut(2) {
            let (a, b) = (1.0 - self.unit(), self.unit());
            let (radius, (sin, cos)) = ((-2.0 * a.ln()).sqrt(), (std::f32::consts::TAU * b).sin_cos());
            pair.iter_mut().zip([radius * cos, radius * sin]).for_each(|(value, normal)| *value = normal);
        }
    }

    /// True with this probability.
    pub(super) fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// A whole number below `n`.
    pub(super) fn below(&mut self, n: u32) -> u32 {
        ((u64::from(self.0.next_u32()) * u64::from(n)) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_and_number_has_its_own_stream_that_repeats() {
        let draw = |seed, name, number| Stream::numbered(seed, name, number).unit().to_bits();
        let first = draw(1, "noise", 0);
        assert_eq!(first, draw(1, "noise", 0));
        for other in [draw(2, "noise", 0), draw(1, "streaks", 0), draw(1, "noise", 1)] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn numbers_have_the_moments_asked_for_and_no_outliers() {
        let mut stream = Stream::new(3, "test");
        let drawn: Vec<f32> = (0..20_000).map(|_| stream.normal(10.0, 2.0)).collect();
        let mean = drawn.iter().sum::<f32>() / 20_000.0;
        let variance = drawn.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / 20_000.0;
        assert!((mean - 10.0).abs() < 0.05 && (variance.sqrt() - 2.0).abs() < 0.15, "{mean} {variance}");
        assert!(drawn.iter().all(|v| (5.59..14.41).contains(v)));
        assert!((0..1000).all(|_| stream.below(7) < 7));
        let share = (0..20_000).filter(|_| stream.chance(0.3)).count();
        assert!((5_700..6_300).contains(&share), "{share}");
    }

    #[test]
    fn filling_leaves_no_value_out() {
        let mut values = [0.0f32; 7];
        Stream::new(0, "test").fill_normal(&mut values);
        assert!(values.iter().all(|value| *value != 0.0));
    }
}
