//! A bounding volume hierarchy over the faces: eight boxes a node, corners in voxels of 16 bits. Faces are arranged so that
//! a node is the next eight of them, a node above the next eight nodes, and nothing but the boxes has to be stored.

use super::faces::Face;
use super::frame::Frame;
use crate::error::{Error, ErrorKind, Result, try_reserve};
use crate::geometry::norm;

/// Boxes of a node.
pub(super) const WIDTH: usize = 8;
/// As many as 8⁹ faces have. [`Tree::of`] refuses more.
const MOST_LEVELS: usize = 9;

/// Eight boxes, by axis: corners in voxels.
#[derive(Clone, Copy, Debug)]
struct Node {
    low: [[u16; WIDTH]; 3],
    high: [[u16; WIDTH]; 3],
}

#[derive(Clone, Copy, Debug)]
struct Level {
    /// Where its nodes begin.
    first: usize,
    /// Boxes in its nodes: faces, or nodes of the level below.
    boxes: usize,
}

/// The hierarchy.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    /// Level after level, the leaves first.
    nodes: Vec<Node>,
    levels: Vec<Level>,
    /// The box around all faces, mm.
    border: [[f64; 3]; 2],
}

/// A question to the tree: which face has the smallest value?
pub(super) trait Probe {
    /// The box around what is asked from, mm.
    fn around(&self) -> [[f64; 3]; 2];
    /// The squared distance from that box at which no face has a value below `limit`.
    fn reach(&self, limit: f64) -> f64;
    /// A number that no face in a box has a value below, given the box and no more than its squared distance from
    /// [`around`](Self::around). What is not below `limit` does not matter.
    fn bound(&self, squared: f64, low: [f64; 3], high: [f64; 3], limit: f64) -> f64;
    /// The value of a face, given its own [`bound`](Self::bound).
    fn value(&self, face: &Face, bound: f64) -> f64;
}

/// The box around what is asked from, in 32 bits. What lies beyond the faces is moved to their border, so that rounding
/// stays small, and its way there is kept.
struct Around {
    low: [f32; 3],
    high: [f32; 3],
    /// From the box to the border of the faces.
    beyond: [f32; 3],
    /// How much rounding may add to a distance, mm.
    slack: f32,
}

/// The share that rounding may add to a square of some thousand operations' worth, and more.
const ROUNDING: f32 = 1.0 - 1e-5;

impl Around {
    fn of([low, high]: [[f64; 3]; 2], border: [[f64; 3]; 2]) -> Self {
        let inside = |x: f64, axis: usize| x.max(border[0][axis]).min(border[1][axis]) as f32;
        let beyond = |axis: usize| (border[0][axis] - high[axis]).max(low[axis] - border[1][axis]).max(0.0) as f32;
        let largest = border.into_iter().flatten().fold(0.0, |largest: f64, x| largest.max(x.abs()));
        Around {
            low: std::array::from_fn(|axis| inside(low[axis], axis)),
            high: std::array::from_fn(|axis| inside(high[axis], axis)),
            beyond: std::array::from_fn(beyond),
            slack: (largest * 2f64.powi(-20)) as f32,
        }
    }
}

impl Node {
    /// Boxes that no probe finds nearer than a real one.
    const NONE: Node = Node { low: [[u16::MAX; WIDTH]; 3], high: [[0; WIDTH]; 3] };

    fn set(&mut self, lane: usize, face: &Face) {
        for axis in 0..3 {
            (self.low[axis][lane], self.high[axis][lane]) = (face.low[axis], face.high[axis]);
        }
    }

    fn face(&self, lane: usize) -> Face {
        Face { low: self.low.map(|axis| axis[lane]), high: self.high.map(|axis| axis[lane]) }
    }

    /// The box around all of them.
    fn around(&self) -> Face {
        let of = |corners: [[u16; WIDTH]; 3], choose: fn(u16, u16) -> u16| corners.map(|axis| axis.into_iter().fold(axis[0], choose));
        Face { low: of(self.low, u16::min), high: of(self.high, u16::max) }
    }

    /// No more than the squared distances between a box and these, mm². Plain loops over lanes, which compilers make
    /// vectors of.
    fn squared_gaps(&self, around: &Around, edges: &[[f32; 3]; 3], sheared: bool) -> [f32; WIDTH] {
        let mut squared = [0.0; WIDTH];
        for axis in 0..3 {
            let (mut low, mut high) = ([0.0; WIDTH], [0.0; WIDTH]);
            for lane in 0..WIDTH {
                low[lane] = f32::from(self.low[axis][lane]) * edges[axis][axis];
                high[lane] = f32::from(self.high[axis][lane]) * edges[axis][axis];
            }
            if sheared {
                self.shear(axis, edges, &mut low, &mut high);
            }
            for lane in 0..WIDTH {
                let (below, above) = (low[lane] - around.high[axis], around.low[axis] - high[lane]);
                let gap = if below > above { below } else { above } - around.slack;
                let gap = if gap > 0.0 { gap } else { 0.0 } + around.beyond[axis];
                squared[lane] += gap * gap;
            }
        }
        for squared in &mut squared {
            *squared *= ROUNDING;
        }
        squared
    }

    /// Adds the share that the later axes of the grid have in an axis of the frame.
    fn shear(&self, axis: usize, edges: &[[f32; 3]; 3], low: &mut [f32; WIDTH], high: &mut [f32; WIDTH]) {
        for (other, edge) in edges.iter().enumerate().skip(axis + 1) {
            let by = edge[axis];
            let (least, most) = if by > 0.0 { (&self.low[other], &self.high[other]) } else { (&self.high[other], &self.low[other]) };
            for lane in 0..WIDTH {
                low[lane] += f32::from(least[lane]) * by;
                high[lane] += f32::from(most[lane]) * by;
            }
        }
    }
}

impl Tree {
    /// # Errors
    /// [`ErrorKind::OutOfMemory`], also for more faces than any memory holds.
    pub(super) fn of(mut faces: Vec<Face>, frame: &Frame) -> Result<Self> {
        if faces.len() > WIDTH.pow(MOST_LEVELS as u32) {
            return Err(Error::new(ErrorKind::OutOfMemory, "a structure with more faces than 8⁹: take a smaller region"));
        }
        let spacing = [0, 1, 2].map(|axis| norm(frame.edge(axis)));
        let child = WIDTH.pow(faces.len().max(2).ilog(WIDTH));
        arrange(&mut faces, child, &spacing);
        let (mut nodes, mut levels) = (Vec::new(), Vec::new());
        try_reserve(&mut nodes, faces.len() / (WIDTH - 1) + MOST_LEVELS, "the surface of a structure")?;
        try_reserve(&mut levels, MOST_LEVELS, "the surface of a structure")?;
        nodes.extend(faces.chunks(WIDTH).map(Self::node));
        levels.push(Level { first: 0, boxes: faces.len() });
        while let Some(&Level { first, boxes }) = levels.last()
            && boxes > WIDTH
        {
            let end = nodes.len();
            for below in (first..end).step_by(WIDTH) {
                let mut node = Node::NONE;
                (below..end.min(below + WIDTH)).enumerate().for_each(|(lane, at)| node.set(lane, &nodes[at].around()));
                nodes.push(node);
            }
            levels.push(Level { first: end, boxes: end - first });
        }
        let border = nodes.last().map_or([[0.0; 3]; 2], |top| frame.bounds(&top.around()));
        Ok(Tree { nodes, levels, border })
    }

    fn node(faces: &[Face]) -> Node {
        let mut node = Node::NONE;
        faces.iter().enumerate().for_each(|(lane, face)| node.set(lane, face));
        node
    }

    /// The face with the smallest value below `limit`, and that value.
    pub(super) fn smallest(&self, frame: &Frame, probe: &impl Probe, limit: f64) -> Option<(f64, Face)> {
        // Nodes that are still to be looked at, the nearest on top: its bound, its level, its place there.
        let mut stack = [(0.0, 0u32, 0u32); MOST_LEVELS * WIDTH];
        let (mut height, mut best, mut limit) = (0, None, limit);
        if let (Some(top), false) = (self.levels.len().checked_sub(1), self.nodes.is_empty()) {
            stack[0] = (f64::NEG_INFINITY, top as u32, 0);
            height = 1;
        }
        let around = Around::of(probe.around(), self.border);
        let edges = [0, 1, 2].map(|axis| frame.edge(axis).map(|c| c as f32));
        while height > 0 {
            height -= 1;
            let (bound, level, at) = stack[height];
            if bound >= limit {
                continue;
            }
            let at = at as usize;
            let Level { first, boxes } = self.levels[level as usize];
            let node = &self.nodes[first + at];
            let gaps = node.squared_gaps(&around, &edges, frame.is_sheared());
            let lanes = (boxes - at * WIDTH).min(WIDTH);
            let reach = probe.reach(limit).min(f64::from(f32::MAX)) as f32 * (1.0 + f32::EPSILON);
            let mut near = (0..WIDTH).fold(0u32, |near, lane| near | u32::from(gaps[lane] <= reach) << lane) & ((1 << lanes) - 1);
            let base = height;
            while near != 0 {
                let lane = near.trailing_zeros() as usize;
                near &= near - 1;
                let face = node.face(lane);
                let [low, high] = frame.bounds(&face);
                let bound = probe.bound(f64::from(gaps[lane]), low, high, limit);
                if bound >= limit {
                    continue;
                }
                if level == 0 {
                    let value = probe.value(&face, bound);
                    if value < limit {
                        (limit, best) = (value, Some((value, face)));
                    }
                } else {
                    // The farthest at the bottom.
                    let mut slot = height;
                    while slot > base && stack[slot - 1].0 < bound {
                        stack[slot] = stack[slot - 1];
                        slot -= 1;
                    }
                    stack[slot] = (bound, level - 1, (at * WIDTH + lane) as u32);
                    height += 1;
                }
            }
        }
        best
    }
}

/// Puts neighbors together: halves along the longest axis until a part is no larger than `child`, which the subtree of one
/// box holds, and then those parts.
fn arrange(faces: &mut [Face], child: usize, spacing: &[f64; 3]) {
    if faces.len() <= WIDTH {
        return;
    }
    if faces.len() <= child {
        return arrange(faces, child / WIDTH, spacing);
    }
    // Twice the center, in voxels.
    let middle = |face: &Face, axis: usize| u32::from(face.low[axis]) + u32::from(face.high[axis]);
    let extent = |axis: usize| {
        let (low, high) = faces.iter().map(|face| middle(face, axis)).fold((u32::MAX, 0), |(low, high), x| (low.min(x), high.max(x)));
        f64::from(high - low) * spacing[axis]
    };
    let extents = [0, 1, 2].map(extent);
    let longest = if extents[0] >= extents[1] && extents[0] >= extents[2] { 0 } else { 1 + usize::from(extents[2] > extents[1]) };
    let half = faces.len().div_ceil(child) / 2 * child;
    faces.select_nth_unstable_by_key(half, |face| (middle(face, longest), *face));
    let (left, right) = faces.split_at_mut(half);
    arrange(left, child, spacing);
    arrange(right, child, spacing);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::testing::{grids, random};

    /// Looks for the face whose low corner has the smallest i + j + k.
    struct Corner;

    impl Probe for Corner {
        fn around(&self) -> [[f64; 3]; 2] {
            [[0.0; 3]; 2]
        }

        fn reach(&self, limit: f64) -> f64 {
            limit * limit
        }

        fn bound(&self, squared: f64, low: [f64; 3], _: [f64; 3], _: f64) -> f64 {
            let exact = low.iter().map(|c| c * c).sum::<f64>();
            assert!(squared <= exact && exact.sqrt() - 0.2 <= squared.sqrt() * (1.0 + 1e-5), "{squared} for {exact}");
            low.iter().sum()
        }

        fn value(&self, face: &Face, _: f64) -> f64 {
            face.low.map(f64::from).iter().sum()
        }
    }

    #[test]
    fn the_smallest_of_any_number_of_faces_is_found() {
        let mut r = random(2);
        // Of 1 mm, so that voxels are mm.
        let frame = Frame::of(&grids([100, 100, 100])[0].1).unwrap();
        for count in [1, 7, 8, 9, 64, 65, 513, 5000] {
            let faces: Vec<Face> = (0..count)
                .map(|_| {
                    let low = std::array::from_fn(|_| r(0.0, 60_000.0) as u16);
                    Face { low, high: low.map(|c| c + r(0.0, 9.0) as u16) }
                })
                .collect();
            let sum = |face: &Face| face.low.map(f64::from).iter().sum::<f64>();
            let least = faces.iter().map(sum).fold(f64::INFINITY, f64::min);
            let tree = Tree::of(faces, &frame).unwrap();
            assert_eq!(tree.smallest(&frame, &Corner, f64::INFINITY).map(|(value, _)| value), Some(least), "{count}");
            assert!(tree.smallest(&frame, &Corner, least).is_none());
        }
        assert!(Tree::of(Vec::new(), &frame).unwrap().smallest(&frame, &Corner, f64::INFINITY).is_none());
    }
}
