//! A plane of a volume as it is looked at: which voxel and which value lie where on it.

use std::ops::Range;

use crate::error::{Result, try_reserve};
use crate::volume::{Volume, Voxel, with_voxel_type};

/// A plane of voxels, shown from left to right and from top to bottom; places in it are mm from its upper left corner.
pub(super) struct Section {
    /// Along columns (left to right) and rows (top to bottom).
    sides: [Side; 2],
    /// The array axis across the plane, and the plane's index along it.
    across: (usize, usize),
    /// Hounsfield units of the whole plane, the lower array axis fastest.
    values: Vec<f32>,
}

/// A direction in a plane.
struct Side {
    /// The array axis that is followed.
    axis: usize,
    /// Whether against the array.
    reversed: bool,
    spacing: f64,
    /// The array's indices that are shown.
    shown: Range<usize>,
    /// All of the array's indices along the axis.
    all: usize,
    /// The array's index of the plane across this direction that another panel shows.
    center: usize,
}

impl Side {
    /// The array's index of the voxel that stands at `step` of those in `shown`, counted from the left or the top.
    fn turned(&self, step: usize, shown: &Range<usize>) -> usize {
        if self.reversed { shown.end - 1 - step } else { shown.start + step }
    }

    /// The array's index of the voxel at a distance (mm) from where the shown part begins.
    fn voxel(&self, mm: f64) -> usize {
        self.turned(((mm / self.spacing) as usize).min(self.shown.len() - 1), &self.shown)
    }

    /// The array's indices of the two voxels whose centers enclose a place, with their shares.
    fn between(&self, mm: f64) -> [(usize, f64); 2] {
        let before = if self.reversed { self.all - self.shown.end } else { self.shown.start };
        let at = (before as f64 + mm / self.spacing - 0.5).clamp(0.0, self.all as f64 - 1.0);
        let (low, share) = (at as usize, at.fract());
        let high = (low + 1).min(self.all - 1);
        [(self.turned(low, &(0..self.all)), 1.0 - share), (self.turned(high, &(0..self.all)), share)]
    }

    /// The distance (mm) from where the shown part begins to the middle of `center`.
    fn center_mm(&self) -> f64 {
        let step = if self.reversed { self.shown.end - 1 - self.center } else { self.center - self.shown.start };
        (step as f64 + 0.5) * self.spacing
    }
}

impl Section {
    /// The plane across the array axis `across` through the voxel `center`. `sides`: for columns and rows, the array axis
    /// and whether it is followed backwards.
    pub(super) fn new(
        ct: &Volume<'_>,
        sides: [(usize, bool); 2],
        across: usize,
        center: [usize; 3],
        shown: &[Range<usize>; 3],
        spacing: [f64; 3],
    ) -> Result<Section> {
        let dims = ct.geometry().dims;
        let sides = sides.map(|(axis, reversed)| Side {
            axis,
            reversed,
            spacing: spacing[axis],
            shown: shown[axis].clone(),
            all: dims[axis],
            center: center[axis],
        });
        let across = (across, center[across]);
        Ok(Section { sides, across, values: plane(ct, across)? })
    }

    /// Width and height, mm.
    pub(super) fn size_mm(&self) -> [f64; 2] {
        self.sides.each_ref().map(|side| side.shown.len() as f64 * side.spacing)
    }

    /// The offset, i fastest, of the voxel at a place.
    pub(super) fn voxel(&self, place: [f64; 2], dims: [usize; 3]) -> usize {
        let mut index = [0; 3];
        index[self.across.0] = self.across.1;
        for (side, mm) in self.sides.iter().zip(place) {
            index[side.axis] = side.voxel(mm);
        }
        (index[2] * dims[1] + index[1]) * dims[0] + index[0]
    }

    /// The Hounsfield units at a place, linear between voxel centers within the plane.
    pub(super) fn value(&self, place: [f64; 2]) -> f64 {
        let [columns, rows] = &self.sides;
        let (step_x, step_y) = if columns.axis < rows.axis { (1, columns.all) } else { (rows.all, 1) };
        let mut sum = 0.0;
        for (row, row_share) in rows.between(place[1]) {
            for (column, column_share) in columns.between(place[0]) {
                let value = self.values.get(column * step_x + row * step_y).copied().unwrap_or(f32::NEG_INFINITY);
                sum += f64::from(value) * row_share * column_share;
            }
        }
        sum
    }

    /// The pixel column and row of the other two panels' planes.
    pub(super) fn other_planes(&self, mm_per_pixel: f64, size: [u32; 2]) -> [u32; 2] {
        [0, 1].map(|direction: usize| ((self.sides[direction].center_mm() / mm_per_pixel) as u32).min(size[direction] - 1))
    }
}

/// Outside this range nothing can be told apart, and arithmetic stays finite.
const SHOWN_HU: [f64; 2] = [-32768.0, 32767.0];

/// The Hounsfield units of the plane across an array axis at an index, the lower remaining axis fastest.
fn plane(ct: &Volume<'_>, (axis, index): (usize, usize)) -> Result<Vec<f32>> {
    let (dims, rescale) = (ct.geometry().dims, ct.rescale());
    let range = |of: usize| if of == axis { index..index + 1 } else { 0..dims[of] };
    let mut values = Vec::new();
    try_reserve(&mut values, (0..3).map(|of| range(of).len()).product(), "a plane of the CT")?;
    for (j, k) in range(2).flat_map(|k| range(1).map(move |j| (j, k))) {
        with_voxel_type!(ct.voxel_type(), T => {
            let row = ct.row::<T>(j, k).into_iter().flatten();
            values.extend(row.skip(range(0).start).take(range(0).len()).map(|stored| {
                let value = stored.to_f64() * rescale.slope + rescale.intercept;
                // What is not a number is padding: black.
                if value.is_nan() { SHOWN_HU[0] as f32 } else { value.clamp(SHOWN_HU[0], SHOWN_HU[1]) as f32 }
            }));
        });
    }
    Ok(values)
}
