//! What of a volume goes to the device: the box of voxels that a part of the model grid is made from, packed, in the order in
//! which it lies in memory, so that rows are copied whole wherever the volume has them whole.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::Result;
use crate::pipeline::Region;
use crate::pipeline::grid::GridMap;
use crate::threads::Pool;
use crate::volume::Volume;

/// Rows that a thread takes at a time.
const ROWS: usize = 64;

/// A box of voxels and its order.
#[derive(Clone, Debug)]
pub struct Packing {
    /// The voxels along i, j, k.
    region: Region,
    /// Array axes (0: i), those along which voxels lie closest first.
    order: [usize; 3],
    /// For i, j, k: whether memory runs against the index.
    backwards: [bool; 3],
    /// Bytes of a voxel.
    size: usize,
}

impl Packing {
    /// The box that this part of the model grid (D, H, W) is made from.
    pub fn of(volume: &Volume<'_>, map: &GridMap, part: &Region) -> Packing {
        let strides = volume.strides();
        let mut order = [0, 1, 2];
        order.sort_by_key(|&axis| strides[axis].unsigned_abs());
        Packing { region: map.input_region(part), order, backwards: strides.map(|stride| stride < 0), size: volume.voxel_type().size() }
    }

    /// Bytes of the box.
    pub fn bytes(&self) -> usize {
        self.region.iter().map(ExactSizeIterator::len).product::<usize>() * self.size
    }

    /// Voxels from one to its neighbor along an array axis, once packed.
    fn step(&self, axis: usize) -> usize {
        self.order.iter().take_while(|&&other| other != axis).map(|&other| self.region[other].len()).product()
    }

    /// For a model axis and each index of the grid along it: its share of a voxel's place in the box; 0 outside the part.
    pub fn places(&self, map: &GridMap, model_axis: usize, part: &Region, places: &mut Vec<u64>) {
        let (axis, input) = map.input(model_axis);
        let (range, step) = (&self.region[axis], self.step(axis));
        let place = |index: usize| if self.backwards[axis] { range.end - 1 - index } else { index - range.start };
        let inside = |o: usize| part[model_axis].contains(&o);
        places.clear();
        places.extend(input.iter().enumerate().map(|(o, &index)| if inside(o) { (place(index as usize) * step) as u64 } else { 0 }));
    }

    /// Copies the box. Allocates nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Panic`](crate::ErrorKind::Panic) if a thread panicked.
    ///
    /// # Panics
    /// If `target` does not hold exactly the box, or the volume has no voxels.
    pub fn copy(&self, volume: &Volume<'_>, target: &mut [u8], pool: &Pool) -> Result<()> {
        assert!(volume.has_voxels() && target.len() == self.bytes(), "room for the box of voxels");
        let [columns, rows, planes] = self.order.map(|axis| self.region[axis].len());
        let [inner, middle, outer] = self.order.map(|axis| volume.strides()[axis].unsigned_abs());
        // The voxel of the box that lies first in memory.
        let first = (0..3).map(|axis| {
            let range = &self.region[axis];
            let index = if self.backwards[axis] { range.end - 1 } else { range.start };
            index as isize * volume.strides()[axis]
        });
        // SAFETY: a voxel of the volume, whose address its creator promised.
        let base = Source(unsafe { volume.as_ptr().offset(first.sum()) });
        let (bytes, total) = (columns * self.size, rows * planes);
        let (target, next) = (Target(target.as_mut_ptr()), AtomicUsize::new(0));
        pool.run(|_| {
            let (base, target) = (&base, &target);
            loop {
                let begin = next.fetch_add(ROWS, Ordering::Relaxed);
                if begin >= total {
                    break;
                }
                for row in begin..(begin + ROWS).min(total) {
                    // SAFETY: the row lies within the volume's box: its steps are the volume's strides, their directions those
                    // in which memory grows. The target has room for `total` rows, each of which one thread writes.
                    unsafe {
                        let from = base.0.add(row % rows * middle + row / rows * outer);
                        copy_row(from, inner, self.size, target.0.add(row * bytes), columns);
                    }
                }
            }
        })
    }
}

/// The volume's memory, for all threads.
struct Source(*const u8);
// SAFETY: read only, and unchanged as long as the volume's view lives.
unsafe impl Sync for Source {}

/// The target's memory, for all threads.
struct Target(*mut u8);
// SAFETY: each thread writes rows of its own.
unsafe impl Sync for Target {}

/// Copies `count` voxels of `size` bytes that lie `stride` bytes apart.
///
/// # Safety
/// They are readable, and `to` has room for them.
unsafe fn copy_row(from: *const u8, stride: usize, size: usize, to: *mut u8, count: usize) {
    /// The same for voxels as large as `T`.
    unsafe fn scattered<T: Copy>(from: *const u8, stride: usize, to: *mut u8, count: usize) {
        for n in 0..count {
            // SAFETY: the caller's promise; neither address need be aligned.
            unsafe { to.cast::<T>().add(n).write_unaligned(from.add(n * stride).cast::<T>().read_unaligned()) };
        }
    }
    // SAFETY: the caller's promise.
    unsafe {
        match size {
            _ if stride == size => std::ptr::copy_nonoverlapping(from, to, count * size),
            1 => scattered::<u8>(from, stride, to, count),
            2 => scattered::<u16>(from, stride, to, count),
            4 => scattered::<u32>(from, stride, to, count),
            _ => scattered::<u64>(from, stride, to, count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Affine, Geometry, World};
    use crate::volume::{Rescale, VoxelType};

    const DIMS: [usize; 3] = [5, 4, 3];
    const SPACING: [f64; 3] = [1.0; 3];

    /// Whatever its axes, strides and directions: the packed box holds, at the places that are told, the voxels that the
    /// grid takes.
    #[test]
    fn packed_voxels_lie_where_the_places_say_for_every_order_and_direction_of_memory() {
        let memory: Vec<u16> = (0..2000).map(|n| n * 7 % 1999).collect();
        // Of i, j, k, in elements, with gaps.
        let orders = [[1, 7, 40], [40, 1, 7], [7, 40, 1], [2, 11, 50], [60, 13, 3]];
        let affines = [[1.0, 1.0, 1.0], [-0.5, 2.0, 1.0], [0.7, -0.8, -3.0]];
        let pool = Pool::new(2, None).unwrap();
        for (order, spacing) in orders.iter().flat_map(|order| affines.iter().map(move |spacing| (order, spacing))) {
            for signs in 0..8usize {
                let strides: [isize; 3] = std::array::from_fn(|axis| if signs >> axis & 1 == 1 { -order[axis] } else { order[axis] });
                let base: isize = (0..3).filter(|&axis| strides[axis] < 0).map(|axis| (DIMS[axis] as isize - 1) * order[axis]).sum();
                let geometry = Geometry { dims: DIMS, ijk_to_world: Affine::from_spacing(*spacing, [0.0; 3]), world: World::Ras };
                // SAFETY: base and strides stay within the memory: at most 4·60 + 3·40 + 2·60 elements.
                let volume = unsafe {
                    let voxels = memory.as_ptr().offset(base).cast();
                    Volume::from_raw(voxels, VoxelType::Uint16, Some(strides.map(|s| s * 2)), geometry, Rescale::IDENTITY).unwrap()
                };
                let mut map = GridMap::default();
                map.set(&geometry, SPACING).unwrap();
                let whole = map.dims.map(|n| 0..n);
                let part = map.dims.map(|n| n / 3..n);
                for part in [whole, part] {
                    let packing = Packing::of(&volume, &map, &part);
                    let mut packed = vec![0; packing.bytes()];
                    packing.copy(&volume, &mut packed, &pool).unwrap();
                    let mut places: [Vec<u64>; 3] = Default::default();
                    (0..3).for_each(|axis| packing.places(&map, axis, &part, &mut places[axis]));
                    for (d, h, w) in part[0]
                        .clone()
                        .flat_map(|d| part[1].clone().map(move |h| (d, h)))
                        .flat_map(|(d, h)| part[2].clone().map(move |w| (d, h, w)))
                    {
                        let place = [d, h, w].iter().zip(&places).map(|(&o, places)| places[o]).sum::<u64>() as usize;
                        let found = u16::from_ne_bytes([packed[place * 2], packed[place * 2 + 1]]);
                        let mut at = base;
                        for (axis, &o) in [d, h, w].iter().enumerate() {
                            let (input, indices) = map.input(axis);
                            at += indices[o] as isize * strides[input];
                        }
                        assert_eq!(found, memory[at as usize], "{strides:?} {spacing:?} {:?}", [d, h, w]);
                    }
                }
            }
        }
    }
}
