//! Painting a scene: one slice of a fine stack at a time, every object over those before it.

use super::scene::{Object, Paint, Role, Texture};
use super::shape::V;
use crate::error::{Result, try_vec};

/// Where the voxels of a slice lie: center of the first, spacing, count along left and posterior.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    pub(super) origin: V,
    pub(super) spacing: V,
    pub(super) dims: [usize; 3],
    /// How wide the edges of coarse voxels are, mm.
    pub(super) edge: f32,
}

/// Beyond what distance nerves are forgotten, mm.
const FAR: f32 = 4.0;

/// A painted slice.
#[derive(Clone, Debug)]
pub(super) struct Canvas {
    pub(super) hu: Vec<f32>,
    pub(super) label: Vec<u8>,
    /// Amplitude and grain (mm) of the texture, added once at the end; a negative grain is that of spongy bone.
    rough: Vec<[f32; 2]>,
    /// Distance to the nearest nerve, at most [`FAR`].
    nerve: Vec<f32>,
    /// Distance to the wall of the belly's cavity, negative inside.
    cavity: Vec<f32>,
}

/// The share of a pixel that lies inside a surface at signed distance `d`.
fn cover(d: f32, width: f32) -> f32 {
    (0.5 - d / width).clamp(0.0, 1.0)
}

impl Canvas {
    pub(super) fn paint(grid: &Grid, z: f32, objects: &[Object], texture: &Texture) -> Result<Canvas> {
        const WHAT: &str = "a slice of a phantom";
        let [columns, rows, _] = grid.dims;
        let n = columns * rows;
        let mut canvas = Canvas {
            hu: try_vec(-1000.0, n, WHAT)?,
            label: try_vec(0, n, WHAT)?,
            rough: try_vec([0.0, 1.0], n, WHAT)?,
            nerve: try_vec(FAR, n, WHAT)?,
            cavity: try_vec(FAR, n, WHAT)?,
        };
        for object in objects {
            canvas.add(grid, z, object, texture);
        }
        canvas.roughen(grid, z, texture);
        Ok(canvas)
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
        let width = (0.5 * (grid.spacing[0] + grid.spacing[1])).clamp(0.5, grid.edge);
        let nerve = object.label.is_some_and(|value| value >= super::labels::THECAL_SAC);
        let band = if nerve { FAR } else { width };
        // Below this depth nothing changes anymore.
        let shell = match object.paint {
            Paint::Bowel { thick, .. } => thick,
            Paint::Plain { .. } | Paint::Bone { .. } => 0.0,
        };
        for j in j0..j1 {
            let y = grid.origin[1] + j as f32 * grid.spacing[1];
            let mut i = i0;
            while i < i1 {
                let p = [grid.origin[0] + i as f32 * grid.spacing[0], y, z];
                let (d, look) = object.solid.distance(p);
                if d > band {
                    // Distances are not exact everywhere: part of the way is safe.
                    i += 1 + ((d - band) * 0.6 / grid.spacing[0]) as usize;
                    continue;
                }
                let depth = -d - width - if matches!(object.paint, Paint::Bone { .. }) { look[0] } else { shell };
                let run = 1 + (depth.max(0.0) * 0.6 / grid.spacing[0]) as usize;
                for i in i..(i + run).min(i1) {
                    let p = [grid.origin[0] + i as f32 * grid.spacing[0], y, z];
                    self.dab(j * grid.dims[0] + i, p, (d, look), width, object, texture);
                }
                i += run;
            }
        }
    }

    fn dab(&mut self, at: usize, p: V, (d, [cortex, marrow]): (f32, [f32; 2]), width: f32, object: &Object, texture: &Texture) {
        let (Some(hu), Some(label), Some(near)) = (self.hu.get_mut(at), self.label.get_mut(at), self.nerve.get_mut(at)) else { return };
        let (Some(rough), Some(cavity)) = (self.rough.get_mut(at), self.cavity.get_mut(at)) else { return };
        let mut d = d;
        match object.role {
            Role::Plain => {}
            Role::Nerve => *near = near.min(d),
            Role::Bone { clearance } => d = d.max(clearance - *near),
            Role::Cavity => *cavity = d,
            Role::Organ => d = d.max(*cavity + 1.0),
        }
        let share = cover(d, width);
        if share <= 0.0 {
            return;
        }
        let (value, amplitude) = match object.paint {
            Paint::Plain { hu, texture, grain } => {
                if share > 0.5 {
                    rough[1] = grain;
                }
                (share * hu, share * texture)
            }
            Paint::Bone { spongy, cortex: dense, rough: share_of, patches } => {
                let inside = cover(d + cortex, width);
                if share > 0.5 {
                    rough[1] = -1.0;
                }
                // Marrow turns to fat in patches of a centimeter.
                let patch = if patches > 0.0 { patches * texture.at(p.map(|v| v / 11.0)) } else { 0.0 };
                let spongy = (spongy * marrow + patch).max(-70.0);
                (inside * spongy + (share - inside) * dense, inside * (15.0 + spongy.max(0.0) * share_of) + (share - inside) * 0.12 * dense)
            }
            Paint::Bowel { wall, content, gas, bubbles, thick } => {
                let [low, high] = object.bounds;
                let level = low[1] + gas * (high[1] - low[1]);
                let within = if bubbles {
                    let n = texture.at(p.map(|v| v / 2.5)) + texture.at(p.map(|v| v / 6.0));
                    if n > 1.4 - 2.4 * gas { (-420.0 * (n - 1.4 + 2.4 * gas) - 100.0).max(-900.0) } else { content + 20.0 * n }
                } else if p[1] < level {
                    -980.0
                } else {
                    content
                };
                let inside = cover(d + thick, width);
                if share > 0.5 {
                    rough[1] = 4.0;
                }
                (share * (inside * within + (1.0 - inside) * wall), share * 6.0)
            }
        };
        *hu = *hu * (1.0 - share) + value;
        rough[0] = rough[0] * (1.0 - share) + amplitude;
        if d < 0.0
            && let Some(value) = object.label
        {
            *label = value;
        }
    }

    /// Adds the texture of what lies on top everywhere.
    fn roughen(&mut self, grid: &Grid, z: f32, texture: &Texture) {
        let [columns, rows, _] = grid.dims;
        let mut pixels = self.hu.iter_mut().zip(&self.rough);
        for j in 0..rows {
            for i in 0..columns {
                let Some((hu, &[amplitude, grain])) = pixels.next() else { return };
                if amplitude == 0.0 {
                    continue;
                }
                let p = [grid.origin[0] + i as f32 * grid.spacing[0], grid.origin[1] + j as f32 * grid.spacing[1], z];
                *hu += amplitude
                    * if grain < 0.0 {
                        0.6 * texture.at(p.map(|v| v / 1.6)) + 0.6 * texture.at(p.map(|v| v / 6.0))
                    } else {
                        texture.at([p[0] / grain, p[1] / grain, 0.5 * p[2] / grain])
                    };
            }
        }
    }
}
