//! The surface of the union of a structure's voxels: rectangles (in a sheared grid parallelograms) between voxels that
//! belong to it and voxels that do not.

use super::occupancy::Occupancy;
use crate::error::{Result, try_reserve, try_vec};

/// A rectangle of voxel faces, by its corners in voxels: along one axis both are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Face {
    pub(super) low: [u16; 3],
    pub(super) high: [u16; 3],
}

/// Rectangles are no larger, so that boxes around neighbors stay small.
const LARGEST: usize = 16;

/// Every face of the surface, merged into rectangles.
///
/// # Errors
/// [`ErrorKind::OutOfMemory`](crate::ErrorKind::OutOfMemory).
pub(super) fn of(occupancy: &Occupancy) -> Result<Vec<Face>> {
    let mut faces = Vec::new();
    (0..3).try_for_each(|axis| across(occupancy, axis, &mut faces))?;
    Ok(faces)
}

/// The faces that lie across an axis.
fn across(occupancy: &Occupancy, axis: usize, faces: &mut Vec<Face>) -> Result<()> {
    let [low, high] = occupancy.bounds();
    let (u, v) = ((axis + 1) % 3, (axis + 2) % 3);
    let (wide, tall) = (high[u] - low[u], high[v] - low[v]);
    let mut open = try_vec(false, wide * tall, "the surface of a structure")?;
    for plane in low[axis]..=high[axis] {
        let mut any = false;
        for (row, open) in open.chunks_exact_mut(wide).enumerate() {
            for (column, open) in open.iter_mut().enumerate() {
                let mut voxel = [0; 3];
                (voxel[axis], voxel[u], voxel[v]) = (plane as i64, (low[u] + column) as i64, (low[v] + row) as i64);
                let mut before = voxel;
                before[axis] -= 1;
                *open = occupancy.contains(voxel) != occupancy.contains(before);
                any |= *open;
            }
        }
        if any {
            merge(&mut open, wide, |columns, rows| {
                try_reserve(faces, faces.len() + 1, "the surface of a structure")?;
                let (mut first, mut last) = ([0; 3], [0; 3]);
                (first[axis], first[u], first[v]) = (plane, low[u] + columns.start, low[v] + rows.start);
                (last[axis], last[u], last[v]) = (plane, low[u] + columns.end, low[v] + rows.end);
                // A structure's corners fit into 16 bits.
                faces.push(Face { low: first.map(|c| c as u16), high: last.map(|c| c as u16) });
                Ok(())
            })?;
        }
    }
    Ok(())
}

type Span = std::ops::Range<usize>;

/// Covers what is open in a plane with rectangles, and closes it.
fn merge(open: &mut [bool], wide: usize, mut rectangle: impl FnMut(Span, Span) -> Result<()>) -> Result<()> {
    let tall = open.len() / wide;
    for row in 0..tall {
        let mut column = 0;
        while column < wide {
            if !open[row * wide + column] {
                column += 1;
                continue;
            }
            let width = open[row * wide + column..(row + 1) * wide].iter().take(LARGEST).take_while(|open| **open).count();
            let span = |row: usize| row * wide + column..row * wide + column + width;
            let mut height = 1;
            while height < LARGEST && row + height < tall && open[span(row + height)].iter().all(|open| *open) {
                height += 1;
            }
            (row..row + height).for_each(|row| open[span(row)].fill(false));
            rectangle(column..column + width, row..row + height)?;
            column += width;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::testing::blobs;

    /// The unit faces of a structure, each by its corners, from the definition.
    fn unit_faces(labels: &[u8], dims: [usize; 3]) -> Vec<Face> {
        let inside = |v: [i64; 3]| {
            let outside = (0..3).any(|axis| v[axis] < 0 || v[axis] >= dims[axis] as i64);
            !outside && labels[(v[2] as usize * dims[1] + v[1] as usize) * dims[0] + v[0] as usize] == 1
        };
        let mut faces = Vec::new();
        for k in 0..=dims[2] as i64 {
            for j in 0..=dims[1] as i64 {
                for i in 0..=dims[0] as i64 {
                    for axis in 0..3 {
                        let mut before = [i, j, k];
                        before[axis] -= 1;
                        if inside([i, j, k]) != inside(before) {
                            let low = [i, j, k].map(|c| c as u16);
                            faces.push(Face { low, high: std::array::from_fn(|c| low[c] + u16::from(c != axis)) });
                        }
                    }
                }
            }
        }
        faces.sort();
        faces
    }

    #[test]
    fn rectangles_cover_every_face_once_and_nothing_else() {
        let dims = [40, 6, 5];
        for (seed, share) in [(1, 0.5), (2, 0.95), (3, 0.03), (4, 1.0)] {
            let labels = blobs(seed, dims, share);
            let occupancy = Occupancy::of(&labels, 1, dims).unwrap().unwrap();
            let mut units = Vec::new();
            for face in of(&occupancy).unwrap() {
                let range = |axis: usize| face.low[axis]..face.high[axis].max(face.low[axis] + 1);
                let across = (0..3).find(|&axis| face.low[axis] == face.high[axis]).unwrap();
                for k in range(2) {
                    for j in range(1) {
                        for i in range(0) {
                            units.push(Face { low: [i, j, k], high: std::array::from_fn(|c| [i, j, k][c] + u16::from(c != across)) });
                        }
                    }
                }
            }
            units.sort();
            assert_eq!(units, unit_faces(&labels, dims), "{share}");
        }
    }
}
