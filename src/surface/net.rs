//! From voxels to a net of quadrilaterals: one between every inside voxel and every outside neighbor, oriented outward, with
//! its corners in the four cells of the dual grid around them.
//!
//! The net is closed, because outside the volume nothing is inside, and 2-manifold: every edge belongs to exactly two
//! quadrilaterals, and those around a point form one ring (see [`super::cell`]).

use super::cell::{Cells, Loops};
use super::{Growing, count_as_u32};
use crate::error::{Error, ErrorKind, Result, try_vec};

/// The surface of the voxels as a net. Places are indices of voxels, from the first voxel of the box around the label.
#[derive(Debug, Default)]
pub(super) struct Net {
    /// The center of every point's cell: where the voxels' own surface has its corner.
    pub centers: Vec<[f64; 3]>,
    /// On which side of the center the point has to stay along every axis: −1, 1, or 0 for either.
    pub sides: Vec<[i8; 3]>,
    /// Four points each, counterclockwise seen from outside in a right-handed volume. Consecutive ones lie in cells that
    /// share a face.
    pub quads: Vec<[u32; 4]>,
    /// The index of the first voxel of the box around the label.
    pub first_voxel: [usize; 3],
}

/// The label in the box around it; outside of the box nothing is inside.
struct Voxels<'a> {
    labels: &'a [u8],
    value: u8,
    dims: [usize; 3],
    /// First and last voxel of the box.
    first: [usize; 3],
    last: [usize; 3],
}

impl<'a> Voxels<'a> {
    /// Finds the box; `None` if no voxel carries the label.
    fn of(labels: &'a [u8], value: u8, dims: [usize; 3]) -> Option<Self> {
        let [columns, rows, _] = dims;
        let (mut first, mut last) = ([usize::MAX; 3], [0; 3]);
        for (at, row) in labels.chunks(columns).enumerate() {
            let ends = [row.iter().position(|&label| label == value), row.iter().rposition(|&label| label == value)];
            for i in ends.into_iter().flatten() {
                let place = [i, at % rows, at / rows];
                first = [0, 1, 2].map(|axis| place[axis].min(first[axis]));
                last = [0, 1, 2].map(|axis| place[axis].max(last[axis]));
            }
        }
        (first[0] != usize::MAX).then_some(Voxels { labels, value, dims, first, last })
    }

    /// The part of a row that lies in the box; empty for a row outside.
    fn row(&self, j: Option<usize>, k: Option<usize>) -> &'a [u8] {
        let (Some(j), Some(k)) = (j, k) else { return &[] };
        if !(self.first[1]..=self.last[1]).contains(&j) || !(self.first[2]..=self.last[2]).contains(&k) {
            return &[];
        }
        let start = (k * self.dims[1] + j) * self.dims[0];
        &self.labels[start + self.first[0]..start + self.last[0] + 1]
    }

    /// The four rows through the corners of the cells of a row. Cell c of an axis lies between the voxels c − 1 and c of the
    /// box.
    fn rows_around(&self, b: usize, c: usize) -> [&'a [u8]; 4] {
        let voxel = |axis: usize, cell: usize, far: usize| (self.first[axis] + cell + far).checked_sub(1);
        [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(j, k)| self.row(voxel(1, b, j), voxel(2, c, k)))
    }

    /// Cells along every axis.
    fn cells(&self) -> [usize; 3] {
        [0, 1, 2].map(|axis| self.last[axis] - self.first[axis] + 2)
    }

    /// The configuration of one cell; that of a cell outside is 0.
    fn configuration(&self, [a, b, c]: [Option<usize>; 3]) -> u8 {
        let (Some(a), Some(b), Some(c)) = (a, b, c) else { return 0 };
        let rows = self.rows_around(b, c);
        let column = |i: Option<usize>| i.map_or(0, |i| self.column(&rows, i));
        column(a.checked_sub(1)) | column(Some(a)) << 1
    }

    /// The four corners of a cell at voxel `i`, as bits 0, 2, 4 and 6.
    fn column(&self, rows: &[&[u8]; 4], i: usize) -> u8 {
        let bit = |row: usize| u8::from(rows[row].get(i) == Some(&self.value));
        bit(0) | bit(1) << 2 | bit(2) << 4 | bit(3) << 6
    }
}

/// A cell that the surface passes through.
#[derive(Clone, Copy)]
struct Active {
    configuration: u8,
    joined: bool,
    /// The point of its first loop; those of the others follow.
    first_point: u32,
}

/// A layer of cells: for each the number of its [`Active`], or [`NOWHERE`].
type Layer = Vec<u32>;

const NOWHERE: u32 = u32::MAX;

/// The net of a label, or `None` if no voxel carries it.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] if it has too many points to be counted in 32 bits; [`ErrorKind::OutOfMemory`].
pub(super) fn net(labels: &[u8], value: u8, dims: [usize; 3]) -> Result<Option<Net>> {
    let Some(voxels) = Voxels::of(labels, value, dims) else { return Ok(None) };
    let cells = Cells::new();
    let mut net = Net { first_voxel: voxels.first, ..Net::default() };
    let [columns, rows, layers] = voxels.cells();
    let mut active: Vec<Active> = Vec::new();
    let mut layer: Layer = try_vec(NOWHERE, columns * rows, "the cells of a surface")?;
    let mut below: Layer = try_vec(NOWHERE, columns * rows, "the cells of a surface")?;
    for c in 0..layers {
        layer.fill(NOWHERE);
        for b in 0..rows {
            let around = voxels.rows_around(b, c);
            if around.iter().all(|row| !row.contains(&value)) {
                continue;
            }
            let mut near = 0;
            for a in 0..columns {
                let far = voxels.column(&around, a);
                let configuration = near | far << 1;
                near = far;
                if configuration == 0 || configuration == u8::MAX {
                    continue;
                }
                let joined = is_joined(&voxels, &cells, configuration, [a, b, c]);
                let loops = cells.loops(configuration, joined);
                let number = count_as_u32(active.len())?;
                layer[b * columns + a] = number;
                active.grow(Active { configuration, joined, first_point: count_as_u32(net.centers.len())? }, "the cells of a surface")?;
                for sides in &loops.sides[..usize::from(loops.count)] {
                    net.centers.grow([a, b, c].map(|cell| cell as f64 - 0.5), "the points of a surface")?;
                    net.sides.grow(*sides, "the points of a surface")?;
                }
                let neighbors = Neighbors { active: &active, layer: &layer, below: &below, columns, cells: &cells };
                for axis in 0..3 {
                    // The edge from the voxel between all eight cells along this axis: this cell is the last around it.
                    let ends = [configuration & 1 == 1, configuration >> (1 << axis) & 1 == 1];
                    if ends[0] != ends[1] {
                        net.quads.grow(neighbors.quad([a, b, c], axis, ends[0])?, "the triangles of a surface")?;
                    }
                }
            }
        }
        std::mem::swap(&mut layer, &mut below);
    }
    count_as_u32(net.quads.len().saturating_mul(2))?;
    Ok(Some(net))
}

/// Whether the inside corners of the cell's pinched face are joined: the face must be pinched for both cells that share it.
fn is_joined(voxels: &Voxels, cells: &Cells, configuration: u8, cell: [usize; 3]) -> bool {
    cells.pinched_face(configuration).is_some_and(|face| {
        let mut beyond = cell.map(Some);
        beyond[face.axis] = if face.end == 1 { Some(cell[face.axis] + 1) } else { cell[face.axis].checked_sub(1) };
        cells.pinched_face(voxels.configuration(beyond)).is_some_and(|other| other.axis == face.axis && other.end != face.end)
    })
}

/// The cells found so far.
struct Neighbors<'a> {
    active: &'a [Active],
    layer: &'a Layer,
    below: &'a Layer,
    columns: usize,
    cells: &'a Cells,
}

impl Neighbors<'_> {
    /// The quadrilateral across the edge along `axis` that ends at the near corner of a cell. `inside_first`: the near end
    /// is inside, so that the surface looks along the axis.
    fn quad(&self, cell: [usize; 3], axis: usize, inside_first: bool) -> Result<[u32; 4]> {
        let (first, second) = ((axis + 1) % 3, (axis + 2) % 3);
        let mut quad = [0; 4];
        for (at, (near_first, near_second)) in [(1, 1), (0, 1), (0, 0), (1, 0)].into_iter().enumerate() {
            let mut place = cell;
            place[first] = place[first].wrapping_sub(near_first);
            place[second] = place[second].wrapping_sub(near_second);
            let plane = if place[2] == cell[2] { self.layer } else { self.below };
            let found = plane.get(place[1].wrapping_mul(self.columns).wrapping_add(place[0])).copied();
            let neighbor = found.and_then(|number| self.active.get(number as usize)).ok_or_else(broken)?;
            let loops: &Loops = self.cells.loops(neighbor.configuration, neighbor.joined);
            quad[at] = neighbor.first_point + u32::from(loops.at(axis, near_first, near_second));
        }
        if !inside_first {
            quad.reverse();
        }
        Ok(quad)
    }
}

/// An edge has one end inside and one outside: so the surface passes through all four cells around it.
fn broken() -> Error {
    Error::new(ErrorKind::Panic, "a defect of this library, please report it: a surface has a hole")
}
