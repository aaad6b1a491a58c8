//! Painting a scene: one slice of a fine stack at a time, every object over those before it.

use super::scene::{Object, Paint, Texture};
use super::shape::V;

/// Where the voxels of a slice lie: center of the first, spacing, count along left and posterior.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    pub(super) origin: V,
    pub(super) spacing: V,
    pub(super) dims: [usize; 3],
}

/// Beyond what distance nerves are forgotten, mm.
const FAR: f32 = 4.0;

/// A painted slice.
#[derive(Clone, Debug)]
pub(super) struct Canvas {
    pub(super) hu: Vec<f32>,
    pub(super) label: Vec<u8>,
    /// Distance to the nearest nerve, at most [`FAR`].
    nerve: Vec<f32>,
}

/// The share of a pixel that lies inside a surface at signed distance `d`.
fn cover(d: f32, width: f32) -> f32 {
    (0.5 - d / width).clamp(0.0, 1.0)
}

impl Canvas {
    pub(super) fn paint(grid: &Grid, z: f32, objects: &[Object], texture: &Texture) -> Canvas {
        let [columns, rows, _] = grid.dims;
        let n = columns * rows;
        let mut canvas = Canvas { hu: vec![-1000.0; n], label: vec![0; n], nerve: vec![FAR; n] };
        for object in objects {
            canvas.add(grid, z, object, texture);
        }
        canvas
    }

    fn add(&mut self, grid: &Grid, z: f32, object: &Object, texture: &Texture) {
        let [low, high] = object.bounds;
        if z < low[2] || z > high[2] {
            return;
        }
        let window = |axis: usize| {
            let first = ((low[axis] - grid.origin[axis]) / grid.spacing[axis]).ceil().max(0.0) as usize;
            let last = ((high[axis] - grid.origin[axis]) / grid.spacing[axis]).floor();
            let last = if last < 0.0 { 0 } else { (last as usize + 1).min(grid.dims[axis]) };
            (first, last)
        };
        let ((i0, i1), (j0, j1)) = (window(0), window(1));
        let width = (0.5 * (grid.spacing[0] + grid.spacing[1])).max(0.5);
        let nerve = object.label.is_some_and(|value| value >= super::labels::THECAL_SAC);
        let band = if nerve { FAR } else { width };
        for j in j0..j1 {
            let y = grid.origin[1] + j as f32 * grid.spacing[1];
            let mut i = i0;
            while i < i1 {
                let p = [grid.origin[0] + i as f32 * grid.spacing[0], y, z];
                let at = j * grid.dims[0] + i;
                i += 1;
                let (d, cortex) = object.solid.distance(p);
                if d > band {
                    i += ((d - band) * 0.6 / grid.spacing[0]) as usize;
                    continue;
                }
                self.dab(at, p, d, cortex, width, nerve, object, texture);
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn dab(&mut self, at: usize, p: V, d: f32, cortex: f32, width: f32, nerve: bool, object: &Object, texture: &Texture) {
        let (Some(hu), Some(label), Some(near)) = (self.hu.get_mut(at), self.label.get_mut(at), self.nerve.get_mut(at)) else { return };
        if nerve {
            *near = near.min(d);
        }
        let d = if object.clearance > 0.0 { d.max(object.clearance - *near) } else { d };
        let share = cover(d, width);
        if share <= 0.0 {
            return;
        }
        let grain = |p: V, grain: f32| texture.at(p.map(|v| v / grain));
        let value = match object.paint {
            Paint::Plain { hu, texture, grain: size } => {
                share * (hu + if texture > 0.0 { texture * grain([p[0], p[1], p[2] * 0.5], size) } else { 0.0 })
            }
            Paint::Bone { spongy, cortex: dense, texture } => {
                let inside = cover(d + cortex, width);
                let rough = 1.0 + texture * (0.6 * grain(p, 1.6) + 0.6 * grain(p, 6.0));
                inside * (spongy * rough) + (share - inside) * dense
            }
            Paint::Bowel { wall, content, gas, bubbles, thick } => {
                let [low, high] = object.bounds;
                let level = low[1] + gas * (high[1] - low[1]);
                let within = if bubbles {
                    let n = grain(p, 3.0) + grain(p, 7.0);
                    if n > 1.4 - 2.4 * gas { -700.0 } else { content + 20.0 * n }
                } else if p[1] < level {
                    -980.0
                } else {
                    content + 6.0 * grain(p, 4.0)
                };
                let inside = cover(d + thick, width);
                share * (inside * within + (1.0 - inside) * wall)
            }
        };
        *hu = *hu * (1.0 - share) + value;
        if d < 0.0
            && let Some(value) = object.label
        {
            *label = value;
        }
    }
}
