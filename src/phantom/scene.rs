//! What a scene is made of: objects in the order in which they are painted, each over the ones before.

use super::random::Stream;
use super::shape::V;
use super::solid::Solid;

/// How an object is painted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Paint {
    /// One tissue: Hounsfield units, the amplitude of its texture, its grain (mm).
    Plain { hu: f32, texture: f32, grain: f32 },
    /// Spongy bone within a cortex: their density, how rough it is as a share, and patches in it (HU).
    Bone { spongy: f32, cortex: f32, rough: f32, patches: f32 },
    /// A hollow organ: wall, content, share of gas in the content, and whether gas lies on top or in bubbles.
    Bowel { wall: f32, content: f32, gas: f32, bubbles: bool, thick: f32 },
}

/// What an object does besides being painted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Role {
    Plain,
    /// Bone keeps off it.
    Nerve,
    /// It stays this far away from nerves, mm.
    Bone {
        clearance: f32,
    },
    /// Organs stay inside it.
    Cavity,
    /// It stays inside the cavity.
    Organ,
}

/// A painted shape.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) solid: Solid,
    pub(super) paint: Paint,
    /// The label's value in the detailed scheme; `None` leaves the label below.
    pub(super) label: Option<u8>,
    pub(super) role: Role,
    pub(super) bounds: [V; 2],
}

impl Object {
    pub(super) fn soft(solid: Solid, hu: f32, texture: f32, grain: f32) -> Self {
        Self::new(solid, Paint::Plain { hu, texture, grain }, None)
    }

    pub(super) fn new(solid: Solid, paint: Paint, label: Option<u8>) -> Self {
        let bounds = solid.bounds();
        let role = if label.is_some_and(|value| value >= super::labels::THECAL_SAC) { Role::Nerve } else { Role::Plain };
        Object { solid, paint, label, role, bounds }
    }
}

const TILE: usize = 64;

/// A cube of smooth random numbers that repeats: the texture of tissues.
#[derive(Clone, Debug)]
pub(super) struct Texture(Vec<f32>);

impl Texture {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Stream::new(seed, "texture");
        Texture((0..TILE * TILE * TILE).map(|_| random.gauss()).collect())
    }

    /// About standard normal, smooth over one unit.
    pub(super) fn at(&self, p: V) -> f32 {
        let cell = p.map(f32::floor);
        let f: V = std::array::from_fn(|i| p[i] - cell[i]);
        let i: [[usize; 2]; 3] = std::array::from_fn(|a| {
            let n = cell[a] as i32;
            [n, n + 1].map(|n| n.rem_euclid(TILE as i32) as usize)
        });
        let get = |a: usize, b: usize, c: usize| self.0.get((i[2][c] * TILE + i[1][b]) * TILE + i[0][a]).copied().unwrap_or(0.0);
        let row = |b, c| get(0, b, c) + (get(1, b, c) - get(0, b, c)) * f[0];
        let plane = |c| row(0, c) + (row(1, c) - row(0, c)) * f[1];
        // Interpolation takes a part of the spread.
        1.7 * (plane(0) + (plane(1) - plane(0)) * f[2])
    }
}
