//! Fewer triangles: edges become points, the cheapest first, as long as a bound holds.
//!
//! Every triangle carries a bound of how far its points lie from where they come from on the surface before. A collapse adds
//! the deviation between the old and the new triangles of its patch (see [`super::collapse`]) to the largest bound among the
//! old ones. Old and new surface are mapped onto each other point by point, so the bound holds in both directions.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::collapse::Patch;
use super::mesh::Mesh;
use crate::error::{Error, Result, try_vec};

/// How much dearer than it was an edge may have become to be collapsed at once, relatively.
const SLACK: f64 = 1e-6;

/// What is left of a surface.
#[derive(Debug)]
pub(super) struct Decimated {
    pub points: Vec<[f64; 3]>,
    pub triangles: Vec<[u32; 3]>,
    /// The largest bound of a triangle, mm.
    pub deviation_mm: f64,
}

/// An edge that may be collapsed.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    cost: f64,
    ends: [u32; 2],
    /// How often the ends had moved when the cost was computed.
    moves: u32,
}

impl Ord for Candidate {
    /// The cheapest is the greatest, which a heap gives first. Of equally cheap ones, the order of the points decides.
    fn cmp(&self, other: &Self) -> Ordering {
        other.cost.total_cmp(&self.cost).then_with(|| other.ends.cmp(&self.ends)).then_with(|| other.moves.cmp(&self.moves))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate {}

/// Takes away `reduction` of the triangles, or as many as can be while every point stays within `tolerance_mm` of the surface
/// as it was, and every point of that within as much of what is left.
///
/// # Errors
/// [`OutOfMemory`](crate::ErrorKind::OutOfMemory); [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for more than
/// 2³² corners.
pub(super) fn decimated(points: Vec<[f64; 3]>, triangles: Vec<[u32; 3]>, reduction: f64, tolerance_mm: f64) -> Result<Decimated> {
    let target = (triangles.len() as f64 * (1.0 - reduction)).ceil() as usize;
    let mut bounds = try_vec(0.0, triangles.len(), "the bounds of a surface")?;
    let mut moves = try_vec(0u32, points.len(), "the points of a surface")?;
    let mut mesh = Mesh::new(points, triangles)?;
    let mut patch = Patch::default();
    let mut queue = Queue::default();
    queue.reserve(mesh.triangle_count() / 2 * 3)?;
    for ends in mesh.edges() {
        queue.offer(&mesh, &mut patch, ends, 0)?;
    }
    // A collapse takes two triangles.
    while mesh.triangle_count() >= target + 2 {
        let Some(candidate) = queue.heap.pop() else { break };
        let [gone, kept] = candidate.ends;
        let moved = |[a, b]: [u32; 2]| moves[a as usize].wrapping_add(moves[b as usize]);
        if !mesh.is_there(gone) || !mesh.is_there(kept) || moved(candidate.ends) != candidate.moves {
            continue;
        }
        if !patch.fill(&mesh, candidate.ends)? {
            continue;
        }
        let Some(place) = patch.place() else { continue };
        // The triangles around may have changed since: then others may be cheaper now.
        if place.cost > candidate.cost * (1.0 + SLACK) && queue.heap.peek().is_some_and(|next| next.cost < place.cost) {
            queue.push(Candidate { cost: place.cost, ..candidate })?;
            continue;
        }
        let Some(deviation) = patch.deviation(place) else { continue };
        let bound = patch.triangles().map(|triangle| bounds[triangle as usize]).fold(0.0, f64::max) + deviation;
        if bound.is_nan() || bound > tolerance_mm {
            continue;
        }
        for triangle in patch.triangles() {
            bounds[triangle as usize] = bound;
        }
        mesh.points[kept as usize] = patch.point(place);
        mesh.merge(gone, kept);
        moves[kept as usize] = moves[kept as usize].wrapping_add(moves[gone as usize]).wrapping_add(1);
        for wing in mesh.wings(kept) {
            let ends = [kept.min(wing.after), kept.max(wing.after)];
            let moves = moves[ends[0] as usize].wrapping_add(moves[ends[1] as usize]);
            queue.offer(&mesh, &mut patch, ends, moves)?;
        }
    }
    // Bounds of triangles that are gone went on to those around them.
    let deviation_mm = bounds.into_iter().fold(0.0, f64::max);
    let (points, triangles) = mesh.into_points_and_triangles()?;
    Ok(Decimated { points, triangles, deviation_mm })
}

/// The edges in the order of their costs.
#[derive(Default)]
struct Queue {
    heap: BinaryHeap<Candidate>,
}

impl Queue {
    fn reserve(&mut self, more: usize) -> Result<()> {
        let bytes = (self.heap.len() + more).saturating_mul(size_of::<Candidate>());
        self.heap.try_reserve(more).map_err(|_| Error::out_of_memory("the edges of a surface", bytes))
    }

    fn push(&mut self, candidate: Candidate) -> Result<()> {
        self.reserve(1)?;
        self.heap.push(candidate);
        Ok(())
    }

    /// Adds an edge if it can be collapsed.
    fn offer(&mut self, mesh: &Mesh, patch: &mut Patch, ends: [u32; 2], moves: u32) -> Result<()> {
        if !patch.fill(mesh, ends)? {
            return Ok(());
        }
        patch.place().map_or(Ok(()), |place| self.push(Candidate { cost: place.cost, ends, moves }))
    }
}
