//! What the tests of the operations share: seeded tensors, comparisons, finite differences.

use candle_core::{DType, Device, Shape, Tensor, Var};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, Uniform};

/// Values uniform in [−1, 1) from a seed.
pub fn random(shape: impl Into<Shape>, seed: u64, dtype: DType) -> Tensor {
    let shape = shape.into();
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let uniform = Uniform::new(-1.0, 1.0).unwrap();
    let values: Vec<f64> = (0..shape.elem_count()).map(|_| uniform.sample(&mut generator)).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

/// All values, row major.
pub fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// The same bits, for "strided equals contiguous" and "twice the same".
pub fn bits(tensor: &Tensor) -> Vec<u64> {
    flat(tensor).into_iter().map(f64::to_bits).collect()
}

/// max |a − b| / max(|b|, 1).
pub fn difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let scale = b.iter().fold(1.0_f64, |scale, b| scale.max(b.abs()));
    // `f64::max` would ignore a NaN.
    let differ = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, |max, d| if d <= max { max } else { d });
    differ / scale
}

/// Holds candle's gradients of a random weighting of `f`'s result against central differences, for every element of
/// every input. The functions tested are piecewise linear in each single element, so the step may be large.
pub fn assert_gradients(inputs: &[Tensor], f: impl Fn(&[Tensor]) -> crate::Result<Tensor>) {
    let weighting = random(f(inputs).unwrap().shape(), 99, DType::F64);
    let loss = |inputs: &[Tensor]| (f(inputs).unwrap() * &weighting).unwrap().sum_all().unwrap();
    let variables: Vec<Var> = inputs.iter().map(|input| Var::from_tensor(input).unwrap()).collect();
    let tracked: Vec<Tensor> = variables.iter().map(|variable| variable.as_tensor().clone()).collect();
    let gradients = loss(&tracked).backward().unwrap();
    for (which, variable) in tracked.iter().enumerate() {
        let analytic = flat(gradients.get(variable).unwrap_or_else(|| panic!("input {which} has no gradient")));
        assert!(analytic.iter().any(|g| g.abs() > 1e-3), "the gradient of input {which} is zero");
        let numeric: Vec<f64> = (0..analytic.len()).map(|element| central_difference(inputs, which, element, &loss)).collect();
        let error = difference(&analytic, &numeric);
        assert!(error < 1e-6, "the gradient of input {which} is off by {error:e}");
    }
}

fn central_difference(inputs: &[Tensor], which: usize, element: usize, loss: &impl Fn(&[Tensor]) -> Tensor) -> f64 {
    const STEP: f64 = 1e-5;
    let moved = |step: f64| {
        let mut values = flat(&inputs[which]);
        values[element] += step;
        let mut inputs = inputs.to_vec();
        inputs[which] = Tensor::from_vec(values, inputs[which].shape(), &Device::Cpu).unwrap();
        loss(&inputs).to_scalar::<f64>().unwrap()
    };
    (moved(STEP) - moved(-STEP)) / (2.0 * STEP)
}

/// The same values behind other strides, and behind an offset into the storage.
pub fn strided_copies(tensor: &Tensor) -> [Tensor; 2] {
    let last = tensor.rank() - 1;
    let transposed = tensor.transpose(0, last).unwrap().contiguous().unwrap().transpose(0, last).unwrap();
    let first = tensor.narrow(0, 0, 1).unwrap();
    let offset = Tensor::cat(&[&first, tensor], 0).unwrap().narrow(0, 1, tensor.dims()[0]).unwrap();
    assert!(offset.layout().start_offset() > 0);
    [transposed, offset]
}
