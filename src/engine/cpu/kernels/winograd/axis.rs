//! Winograd's minimal filtering along one axis, F(m, 3): `y = Aᵀ [(G g) ⊙ (Bᵀ x)]` gives m outputs of a filter of 3 taps
//! with m + 2 products (Lavin and Gray, "Fast algorithms for convolutional neural networks", CVPR 2016, equations 5–9).
//! In three dimensions every axis is transformed after the other.

use super::super::lanes::Lanes;

/// The most points along an axis.
pub const POINTS: usize = 6;

/// F(m, 3) along one axis.
pub trait Axis {
    /// Outputs, m.
    const OUTPUTS: usize;
    /// Inputs and products, m + 2.
    const POINTS: usize;
    /// G: one row per product.
    const FILTER: &'static [[f64; 3]];

    /// One half of Bᵀ x, the lower or the `UPPER` one: [`POINTS`](Self::POINTS) / 2 numbers from the start of the result. By
    /// halves, because two dimensions of it at a time then fit into registers.
    ///
    /// # Safety
    /// As [`Lanes`].
    unsafe fn input_half<L: Lanes, const UPPER: bool>(x: &[L; POINTS]) -> [L; POINTS / 2];

    /// Bᵀ x.
    ///
    /// # Safety
    /// As [`Lanes`].
    #[inline(always)]
    unsafe fn input<L: Lanes>(x: &[L; POINTS]) -> [L; POINTS] {
        // SAFETY: the caller's.
        let halves = unsafe { [Self::input_half::<L, false>(x), Self::input_half::<L, true>(x)] };
        std::array::from_fn(|point| halves[point / (Self::POINTS / 2) % 2][point % (Self::POINTS / 2)])
    }

    /// Aᵀ m, in place: the first [`OUTPUTS`](Self::OUTPUTS) numbers.
    ///
    /// # Safety
    /// As [`Lanes`].
    unsafe fn output<L: Lanes>(m: &mut [L; POINTS]);
}

/// F(2, 3): interpolation at 0, 1, −1, ∞.
#[derive(Debug)]
pub struct F2;

impl Axis for F2 {
    const OUTPUTS: usize = 2;
    const POINTS: usize = 4;
    const FILTER: &'static [[f64; 3]] = &[[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]];

    #[inline(always)]
    unsafe fn input_half<L: Lanes, const UPPER: bool>(x: &[L; POINTS]) -> [L; POINTS / 2] {
        let [a, b, c, d, ..] = *x;
        // SAFETY: the caller's.
        unsafe { if UPPER { [c.subtract(b), b.subtract(d), d] } else { [a.subtract(c), b.add(c), c] } }
    }

    #[inline(always)]
    unsafe fn output<L: Lanes>(m: &mut [L; POINTS]) {
        let [a, b, c, d, ..] = *m;
        // SAFETY: the caller's.
        unsafe {
            m[0] = a.add(b).add(c);
            m[1] = b.subtract(c).subtract(d);
        }
    }
}

/// F(4, 3): interpolation at 0, ¾, −¾, 1½, −1½, ∞.
///
/// The usual 0, 1, −1, 2, −2, ∞ take powers up to 8 in Aᵀ; these keep every coefficient near 1, for an error that is three
/// times smaller in three dimensions at hardly more arithmetic. All of Aᵀ and Bᵀ are exact in f32.
#[derive(Debug)]
pub struct F4;

/// The inner points, ±a.
const A: f32 = 0.75;
/// The outer points, ±b.
const B: f32 = 1.5;
const A2: f32 = A * A;
const B2: f32 = B * B;

impl Axis for F4 {
    const OUTPUTS: usize = 4;
    const POINTS: usize = 6;
    // Row p holds 1, p, p² divided by the product of p's distances from the other finite points.
    const FILTER: &'static [[f64; 3]] = &[
        [64.0 / 81.0, 0.0, 0.0],
        [-128.0 / 243.0, -32.0 / 81.0, -8.0 / 27.0],
        [-128.0 / 243.0, 32.0 / 81.0, -8.0 / 27.0],
        [32.0 / 243.0, 16.0 / 81.0, 8.0 / 27.0],
        [32.0 / 243.0, -16.0 / 81.0, 8.0 / 27.0],
        [0.0, 0.0, 1.0],
    ];

    #[inline(always)]
    unsafe fn input_half<L: Lanes, const UPPER: bool>(x: &[L; POINTS]) -> [L; POINTS / 2] {
        let [v0, v1, v2, v3, v4, v5] = *x;
        // SAFETY: the caller's.
        unsafe {
            let less = |sum: L, factor: f32, value: L| sum.subtract_product(L::splat(factor), value);
            // The row of the point near the half, 0 or ∞, and those of ±a or ±b.
            let [even, odd, last] = if UPPER { [v1, v3, v5] } else { [v0, v2, v4] };
            let end = less(last, A2 + B2, odd).add_product(L::splat(A2 * B2), even);
            let (point, other) = if UPPER { (B, A2) } else { (A, B2) };
            let (even, odd) = (less(v4, other, v2), less(v3, other, v1));
            let pair = [even.add_product(L::splat(point), odd), less(even, point, odd)];
            if UPPER { [pair[0], pair[1], end] } else { [end, pair[0], pair[1]] }
        }
    }

    #[inline(always)]
    unsafe fn output<L: Lanes>(m: &mut [L; POINTS]) {
        let [m0, m1, m2, m3, m4, m5] = *m;
        // SAFETY: the caller's.
        unsafe {
            let product = |factor: f32, sum: L, value: L| sum.add_product(L::splat(factor), value);
            let (sum_a, difference_a) = (m1.add(m2), m1.subtract(m2));
            let (sum_b, difference_b) = (m3.add(m4), m3.subtract(m4));
            m[0] = m0.add(sum_a).add(sum_b);
            m[1] = product(B, L::splat(A).multiply(difference_a), difference_b);
            m[2] = product(B2, L::splat(A2).multiply(sum_a), sum_b);
            m[3] = product(B2 * B, product(A2 * A, m5, difference_a), difference_b);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::lanes::Portable;
    use super::*;

    /// The correlation of six (or four) numbers with three taps, through the transforms.
    fn filtered<X: Axis>(x: [f32; POINTS], taps: [f64; 3]) -> Vec<f32> {
        // SAFETY: the portable lanes run everywhere; each load reads a whole block.
        unsafe {
            let mut values = X::input(&x.map(|value| Portable::splat(value)));
            for (value, row) in values.iter_mut().zip(X::FILTER) {
                let factor: f64 = row.iter().zip(taps).map(|(a, b)| a * b).sum();
                *value = Portable::splat(factor as f32).multiply(*value);
            }
            X::output(&mut values);
            let mut lanes = [0.0; crate::engine::plan::BLOCK];
            values[..X::OUTPUTS]
                .iter()
                .map(|value| {
                    value.store(lanes.as_mut_ptr());
                    lanes[5]
                })
                .collect()
        }
    }

    #[test]
    fn the_transforms_give_a_correlation() {
        let (x, taps) = ([0.3, -1.2, 0.7, 2.0, -0.4, 1.1], [0.5, -0.25, 2.0]);
        let expected = |at: usize| (0..3).map(|tap| f64::from(x[at + tap]) * taps[tap]).sum::<f64>() as f32;
        for (name, outputs) in [("F2", filtered::<F2>(x, taps)), ("F4", filtered::<F4>(x, taps))] {
            for (at, value) in outputs.iter().enumerate() {
                assert!((value - expected(at)).abs() < 1e-5, "{name} {at}: {value} instead of {}", expected(at));
            }
        }
    }
}
