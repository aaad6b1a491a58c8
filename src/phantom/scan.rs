//! A scan: every slice painted at several heights, averaged, exposed.

use super::labels::LabelScheme;
use super::paint::{Canvas, Grid};
use super::scanner::{self, ScannerParameters};
use super::scene::{Object, Texture};
use crate::error::{Result, try_vec};

/// Slices thicker than this are painted at three heights, mm.
const THICK: f32 = 1.3;
/// What scanners write where they reconstruct nothing, HU.
const PADDING: f32 = -1024.0;

/// All that a slice depends on.
#[derive(Clone, Debug)]
pub(super) struct Scan {
    pub(super) grid: Grid,
    pub(super) objects: Vec<Object>,
    pub(super) texture: Texture,
    pub(super) scanner: ScannerParameters,
    pub(super) seed: u64,
    pub(super) scheme: LabelScheme,
    pub(super) round: bool,
}

impl Scan {
    /// Writes slice `k`: Hounsfield units as int16 in native byte order, and label values.
    ///
    /// A voxel's label is the class of most of its heights, seen at its center in the plane: what it is made of, not what
    /// it looks like.
    pub(super) fn slice(&self, k: usize, image: &mut [u8], labels: &mut [u8]) -> Result<()> {
        let Grid { origin, spacing, dims, .. } = self.grid;
        let z = origin[2] + k as f32 * spacing[2];
        let heights: &[f32] = if spacing[2] > THICK { &[-1.0 / 3.0, 0.0, 1.0 / 3.0] } else { &[0.0] };
        let mut layers = Vec::with_capacity(heights.len());
        for height in heights {
            layers.push(Canvas::paint(&self.grid, z + height * spacing[2], &self.objects, &self.texture)?);
        }
        let mut hu = try_vec(0.0f32, dims[0] * dims[1], "a slice of a phantom")?;
        for layer in &layers {
            hu.iter_mut().zip(&layer.hu).for_each(|(sum, value)| *sum += value / heights.len() as f32);
        }
        for (at, label) in labels.iter_mut().enumerate() {
            let value = |i: usize| layers.get(i).or(layers.first()).and_then(|layer| layer.label.get(at)).copied().unwrap_or(0);
            let [a, b, c] = [value(0), value(1), value(2)];
            // The class of the majority; of its members, the middle one names the structure.
            let class = |value| LabelScheme::Simple.value(value);
            *label = self.scheme.value(if class(a) == class(c) && class(a) != class(b) { a } else { b });
        }
        scanner::expose(&mut hu, [dims[0], dims[1]], [spacing[0], spacing[1]], &self.scanner, self.seed, k as u64)?;
        if self.round {
            self.cut_corners(&mut hu, labels);
        }
        for (bytes, value) in image.chunks_exact_mut(2).zip(&hu) {
            bytes.copy_from_slice(&(value.round().clamp(PADDING, 3071.0) as i16).to_ne_bytes());
        }
        Ok(())
    }

    fn cut_corners(&self, hu: &mut [f32], labels: &mut [u8]) {
        let Grid { spacing, dims: [columns, rows, _], .. } = self.grid;
        let radius = 0.5 * (columns as f32 * spacing[0]).max(rows as f32 * spacing[1]);
        for (at, (value, label)) in hu.iter_mut().zip(labels).enumerate() {
            let x = (at % columns) as f32 - 0.5 * (columns as f32 - 1.0);
            let y = (at / columns) as f32 - 0.5 * (rows as f32 - 1.0);
            if (x * spacing[0]).hypot(y * spacing[1]) > radius {
                (*value, *label) = (PADDING, 0);
            }
        }
    }
}
