//! How the surface passes through one cell of the dual grid: the cube between eight voxel centers.
//!
//! Corners are numbered by their bits: bit 0 is i, bit 1 is j, bit 2 is k, set on the far side. A cell's configuration has
//! the bit of every corner that is inside. The surface crosses the edges between an inside and an outside corner; on every
//! face of the cell the crossed edges are linked in pairs, the links close to loops, and every loop is one point of the net
//! (G. M. Nielson, *Dual Marching Cubes*, IEEE Visualization 2004).
//!
//! A face whose diagonals differ can be linked in two ways. Here its inside corners are kept apart, so that voxels that
//! touch along an edge or at a corner do not hang together there. One exception keeps the net 2-manifold: where both links
//! belong to the same loop on both sides of the face, the two points of these loops would be joined by two edges, which four
//! quadrilaterals share. There the inside corners are joined: both cells then have two loops each (R. Wenger, *Isosurfaces:
//! Geometry, Topology, and Algorithms*, 2013, section 3.3).

/// No loop passes here.
const NONE: u8 = u8::MAX;

/// The loops of one cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Loops {
    /// How many.
    pub count: u8,
    /// The loop of every edge; meaningless for an edge that is not crossed.
    of_edge: [u8; 12],
    /// For every loop and axis the side of the cell's center on which it lies, −1 or 1; 0: on both. Loops of one cell
    /// lie on different sides along at least one axis.
    pub sides: [[i8; 3]; 4],
}

impl Loops {
    /// The loop through the edge along `axis` whose ends lie at `first` along the next axis and `second` along the one
    /// after it (0: near, 1: far).
    pub fn at(&self, axis: usize, first: usize, second: usize) -> u8 {
        self.of_edge.get(edge(axis, first, second)).copied().unwrap_or(0)
    }
}

/// The loops of every configuration.
#[derive(Debug)]
pub(super) struct Cells {
    apart: [Loops; 256],
    joined: [Loops; 256],
    pinched: [Option<Face>; 256],
}

/// A face of a cell: the one at the near (0) or far (1) end of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Face {
    /// The axis that it is perpendicular to.
    pub axis: usize,
    /// At which end of it.
    pub end: usize,
}

impl Face {
    const ALL: [Face; 6] = [
        Face { axis: 0, end: 0 },
        Face { axis: 0, end: 1 },
        Face { axis: 1, end: 0 },
        Face { axis: 1, end: 1 },
        Face { axis: 2, end: 0 },
        Face { axis: 2, end: 1 },
    ];

    /// Its corners, around it.
    fn corners(self) -> [usize; 4] {
        let (first, second) = (1 << ((self.axis + 1) % 3), 1 << ((self.axis + 2) % 3));
        [0, first, first | second, second].map(|corner| corner | self.end << self.axis)
    }

    /// The edges between one of its corners and the next.
    fn edges(self) -> [usize; 4] {
        let (axis, end) = (self.axis, self.end);
        // Seen from the axis after this one, this one is the second further; from the second further, it is the next.
        let (along_first, along_second) = (|side| edge((axis + 1) % 3, side, end), |side| edge((axis + 2) % 3, end, side));
        [along_first(0), along_second(1), along_first(1), along_second(0)]
    }
}

/// The number of an edge: see [`Loops::at`].
fn edge(axis: usize, first: usize, second: usize) -> usize {
    axis * 4 + first * 2 + second
}

/// Twice the place of an edge's middle, from the cell's center, in edges.
fn middle_of_edge(number: usize) -> [i8; 3] {
    let (axis, first, second) = (number / 4, number >> 1 & 1, number & 1);
    let mut middle = [0; 3];
    for (axis, end) in [((axis + 1) % 3, first), ((axis + 2) % 3, second)] {
        if let Some(value) = middle.get_mut(axis) {
            *value = if end == 1 { 1 } else { -1 };
        }
    }
    middle
}

fn is_inside(configuration: u8, corner: usize) -> bool {
    configuration >> corner & 1 == 1
}

/// Whether exactly two diagonal corners of the face are inside.
fn is_ambiguous(configuration: u8, face: Face) -> bool {
    let [a, b, c, d] = face.corners().map(|corner| is_inside(configuration, corner));
    a == c && b == d && a != b
}

/// For every crossed edge of the cell, the two edges that it is linked with. On the face `joined` the inside corners are
/// joined.
fn links(configuration: u8, joined: Option<Face>) -> [[usize; 2]; 12] {
    let mut links = [[usize::MAX; 2]; 12];
    let mut link = |a: usize, b: usize| {
        for (from, to) in [(a, b), (b, a)] {
            if let Some(free) = links.get_mut(from).and_then(|ends| ends.iter_mut().find(|end| **end == usize::MAX)) {
                *free = to;
            }
        }
    };
    for face in Face::ALL {
        let inside = face.corners().map(|corner| is_inside(configuration, corner));
        let edges = face.edges();
        if is_ambiguous(configuration, face) {
            // The link around a corner joins the edges before and after it. Inside corners are cut off, or outside ones.
            let cut_off = joined != Some(face);
            let around = |corner: usize| (edges[(corner + 3) % 4], edges[corner]);
            for corner in (0..4).filter(|&corner| inside[corner] == cut_off) {
                let (before, after) = around(corner);
                link(before, after);
            }
        } else {
            let mut crossed = (0..4).filter(|&at| inside[at] != inside[(at + 1) % 4]);
            if let (Some(a), Some(b)) = (crossed.next(), crossed.next()) {
                link(edges[a], edges[b]);
            }
        }
    }
    links
}

/// Follows the links around every loop.
fn trace(configuration: u8, joined: Option<Face>) -> Loops {
    let links = links(configuration, joined);
    let mut loops = Loops { count: 0, of_edge: [NONE; 12], sides: [[0; 3]; 4] };
    for start in 0..12 {
        let mut sum = [0; 3];
        let mut at = start;
        while links[at][0] != usize::MAX && loops.of_edge[at] == NONE {
            loops.of_edge[at] = loops.count;
            for (sum, middle) in sum.iter_mut().zip(middle_of_edge(at)) {
                *sum += middle;
            }
            let [a, b] = links[at];
            at = if loops.of_edge[a] == NONE { a } else { b };
        }
        if loops.of_edge[start] == loops.count {
            if let Some(sides) = loops.sides.get_mut(usize::from(loops.count)) {
                *sides = sum.map(i8::signum);
            }
            loops.count += 1;
        }
    }
    if loops.count == 1 {
        // A point that is alone in its cell may lie anywhere in it.
        loops.sides = [[0; 3]; 4];
    }
    let of_all = loops.sides;
    for sides in loops.sides.iter_mut().take(usize::from(loops.count)).filter(|sides| **sides == [0; 3]) {
        // A hexagon around the center, beside a corner that is cut off: it keeps away from that corner.
        *sides = [0, 1, 2].map(|axis: usize| -of_all.iter().map(|sides| sides[axis]).sum::<i8>().signum());
    }
    loops
}

/// The face, if there is one, both of whose links belong to the same loop while inside corners are kept apart. Such a cell
/// has no other ambiguous face.
fn pinched(configuration: u8, apart: &Loops) -> Option<Face> {
    Face::ALL.into_iter().find(|&face| {
        let [a, b, c, d] = face.edges().map(|edge| apart.of_edge[edge]);
        is_ambiguous(configuration, face) && a == b && b == c && c == d
    })
}

impl Cells {
    pub fn new() -> Self {
        let apart: [Loops; 256] = std::array::from_fn(|configuration| trace(configuration as u8, None));
        let pinched: [Option<Face>; 256] = std::array::from_fn(|configuration| pinched(configuration as u8, &apart[configuration]));
        Cells { apart, joined: std::array::from_fn(|configuration| trace(configuration as u8, pinched[configuration])), pinched }
    }

    /// The face across which the cell's point may be joined to its neighbor's point twice.
    pub fn pinched_face(&self, configuration: u8) -> Option<Face> {
        self.pinched[usize::from(configuration)]
    }

    /// The loops of a configuration; `joined`: the inside corners of its pinched face are joined, because the neighbor's
    /// face is pinched too.
    pub fn loops(&self, configuration: u8, joined: bool) -> &Loops {
        let table = if joined { &self.joined } else { &self.apart };
        &table[usize::from(configuration)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_of_a_face_lie_between_its_corners() {
        for face in Face::ALL {
            let (corners, edges) = (face.corners(), face.edges());
            for at in 0..4 {
                let place = |corner: usize| [0, 1, 2].map(|axis: usize| if corner >> axis & 1 == 1 { 1i8 } else { -1 });
                let (a, b) = (place(corners[at]), place(corners[(at + 1) % 4]));
                let middle = [0, 1, 2].map(|axis| (a[axis] + b[axis]) / 2);
                assert_eq!(middle_of_edge(edges[at]), middle, "{face:?}, edge {at}");
            }
        }
    }

    #[test]
    fn every_crossed_edge_is_on_a_loop_and_no_other() {
        for configuration in 0..=255u8 {
            for joined in [None, Cells::new().pinched_face(configuration)] {
                let loops = trace(configuration, joined);
                assert!(loops.count <= 4);
                for number in 0..12 {
                    let (axis, first, second) = (number / 4, number >> 1 & 1, number & 1);
                    let near = first << ((axis + 1) % 3) | second << ((axis + 2) % 3);
                    let crossed = is_inside(configuration, near) != is_inside(configuration, near | 1 << axis);
                    assert_eq!(loops.of_edge[number] != NONE, crossed);
                    assert!(!crossed || loops.of_edge[number] < loops.count);
                }
            }
        }
    }

    #[test]
    fn loops_of_one_cell_lie_on_different_sides() {
        let cells = Cells::new();
        for configuration in 0..=255u8 {
            for joined in [false, true] {
                let loops = cells.loops(configuration, joined);
                let sides = &loops.sides[..usize::from(loops.count)];
                for (at, a) in sides.iter().enumerate() {
                    for b in &sides[..at] {
                        assert!((0..3).any(|axis| a[axis] * b[axis] < 0), "{configuration:08b} {joined}: {sides:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_pinched_cell_has_one_ambiguous_face_and_joining_it_makes_two_loops() {
        let cells = Cells::new();
        let mut count = 0;
        for configuration in 0..=255u8 {
            let ambiguous = Face::ALL.iter().filter(|&&face| is_ambiguous(configuration, face)).count();
            if cells.pinched_face(configuration).is_some() {
                count += 1;
                assert_eq!((ambiguous, cells.loops(configuration, false).count), (1, 1), "{configuration:08b}");
                assert_eq!(cells.loops(configuration, true).count, 2, "{configuration:08b}");
            } else {
                assert_eq!(cells.loops(configuration, true), cells.loops(configuration, false));
            }
        }
        // Two or three outside corners with a diagonal of a face between them: 12 and 24 ways.
        assert_eq!(count, 36);
    }
}
