//! The surface of a label as triangles: closed, 2-manifold, oriented outward, in millimeters of a named world.
//!
//! 1. A net around the voxels: `net`. Every edge belongs to exactly two triangles, also where voxels touch only along an
//!    edge or at a corner, and at the border of the volume, where a structure is closed by the faces of its last voxels.
//! 2. Smoothing that every point ends within its own cell of the dual grid: `smooth`. Then the volume is given back, piece
//!    by piece: `volume`.
//! 3. Triangles are taken away, as many as asked for, as long as a bound holds: `decimate`.
//!
//! How far this may go is known: see [`Surface::of`]. All of it happens on the caller's thread, so the same label gives the
//! same bits whatever runs beside it.

mod cell;
mod collapse;
mod decimate;
mod filter;
mod mesh;
mod net;
mod smooth;
mod view;
mod volume;
mod write;

use std::path::Path;

use self::net::Net;
use crate::error::{Error, ErrorKind, Result, try_reserve};
use crate::float_state::FloatState;
use crate::geometry::{Geometry, World, norm};

/// How a surface is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// The world of the points.
    pub world: World,
    /// Features smaller than about this are smoothed away, in mm. 0: none, the surface is that of the voxels, step by step.
    /// One to two times the voxels' longest edge takes their steps away; more than about 9 times the shortest does no more.
    pub smoothing_mm: f64,
    /// The share of the triangles to take away: 0 (none) to less than 1.
    pub reduction: f64,
}

impl Options {
    /// Every voxel's corner as it is, in this world.
    pub fn exact(world: World) -> Self {
        Options { world, smoothing_mm: 0.0, reduction: 0.0 }
    }

    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a number out of range.
    pub(crate) fn check(&self) -> Result<()> {
        let Options { smoothing_mm, reduction, .. } = *self;
        let fail = |message: String| Err(Error::new(ErrorKind::InvalidArgument, message));
        if !(smoothing_mm >= 0.0 && smoothing_mm.is_finite()) {
            return fail(format!("smoothing_mm is {smoothing_mm}: it must be 0 or a positive number"));
        }
        if !(0.0..1.0).contains(&reduction) {
            return fail(format!("reduction is {reduction}: it must be 0 or more, and less than 1"));
        }
        Ok(())
    }
}

/// A closed surface as triangles.
#[derive(Clone, Debug, PartialEq)]
pub struct Surface {
    points: Vec<[f64; 3]>,
    triangles: Vec<[u32; 3]>,
    world: World,
    deviation_mm: f64,
}

impl Surface {
    /// The surface of the voxels that carry `value` in a label map of this geometry (packed, i fastest).
    ///
    /// Every edge belongs to exactly two triangles, and the triangles around a point form one ring. Voxels that touch only
    /// along an edge or at a corner do not hang together there, unless keeping them apart would make four triangles meet at
    /// an edge. A structure cut by the border of the volume is closed there.
    ///
    /// Smoothing moves no point farther than half a voxel along any axis: the surface and the faces of the voxels lie within
    /// half a voxel's diagonal of each other, every point of either. Each piece (and each cavity) encloses the volume of its
    /// voxels within 0.1 %, and within 1 % where most of its voxels touch others only at their edges and corners.
    ///
    /// Triangles are taken away until `reduction` is reached, the flattest first, as long as the surface stays within half
    /// the voxels' shortest edge of what it was before, every point of either. What cannot be taken away within that bound
    /// stays. This changes no volume.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidGeometry`] for a geometry that [`Geometry::check`] refuses; [`ErrorKind::InvalidArgument`] if
    /// `labels` does not hold its number of voxels, for options out of range, or for more than 2³² points or triangles;
    /// [`ErrorKind::LabelAbsent`] if no voxel carries `value`; [`ErrorKind::OutOfMemory`].
    pub fn of(labels: &[u8], value: u8, geometry: &Geometry, options: &Options) -> Result<Self> {
        let _float_state = FloatState::default_for_scope();
        geometry.check()?;
        options.check()?;
        if labels.len() != geometry.voxel_count() {
            let message = format!("{} labels given, the dimensions {:?} hold {}", labels.len(), geometry.dims, geometry.voxel_count());
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        let Some(net) = net::net(labels, value, geometry.dims)? else {
            return Err(Error::new(ErrorKind::LabelAbsent, format!("no voxel carries label {value}: there is no surface to make")));
        };
        let ijk_to_world = geometry.ijk_to_world.between(geometry.world, options.world);
        let mut points = smooth::smoothed(&net, &ijk_to_world, options.smoothing_mm)?;
        // Millimeters from the first voxel of the box: so that digits and bits do not depend on where the volume lies.
        let columns = [0, 1, 2].map(|axis| ijk_to_world.column(axis));
        let in_mm = |place: [f64; 3]| [0, 1, 2].map(|row| (0..3).map(|axis| place[axis] * columns[axis][row]).sum::<f64>());
        let mut triangles = triangulated(&net, |point| in_mm(points[point as usize]))?;
        if options.smoothing_mm > 0.0 {
            volume::restore(&net, &triangles, &ijk_to_world, &mut points)?;
        }
        let mut deviation_mm: f64 = 0.0;
        for (point, center) in points.iter_mut().zip(&net.centers) {
            deviation_mm = deviation_mm.max(norm(in_mm([0, 1, 2].map(|axis| point[axis] - center[axis]))));
            *point = in_mm(*point);
        }
        if ijk_to_world.determinant() < 0.0 {
            // Seen in a left-handed volume, the other side is outside.
            triangles.iter_mut().for_each(|triangle| triangle.swap(1, 2));
        }
        if options.reduction > 0.0 {
            let tolerance_mm = columns.map(norm).into_iter().fold(f64::INFINITY, f64::min) / 2.0;
            let decimated = decimate::decimated(points, triangles, options.reduction, tolerance_mm)?;
            deviation_mm += decimated.deviation_mm;
            (points, triangles) = (decimated.points, decimated.triangles);
        }
        let origin = ijk_to_world.apply(net.first_voxel.map(|index| index as f64));
        for point in &mut points {
            *point = [0, 1, 2].map(|axis| origin[axis] + point[axis]);
        }
        Ok(Surface { points, triangles, world: options.world, deviation_mm })
    }

    /// The points, in mm of [`world`](Self::world).
    pub fn points(&self) -> &[[f64; 3]] {
        &self.points
    }

    /// The triangles: three numbers of points each, counterclockwise seen from outside.
    pub fn triangles(&self) -> &[[u32; 3]] {
        &self.triangles
    }

    /// The world of the points.
    pub fn world(&self) -> World {
        self.world
    }

    /// The volume inside, mm³.
    pub fn volume_mm3(&self) -> f64 {
        volume::enclosed(&self.points, &self.triangles)
    }

    /// A bound, for this surface, of how far any of its points lies from the faces of the voxels, and any point of those
    /// faces from the surface, mm. At most what [`of`](Self::of) says of every surface.
    pub fn deviation_mm(&self) -> f64 {
        self.deviation_mm
    }

    /// Writes the surface to a file; the name's ending says the format: `.stl` (binary), `.obj`, `.ply` (binary), `.vtp`.
    /// The file appears whole or not at all and replaces an existing one. It names the world in the words that 3D Slicer
    /// reads. STL stores coordinates in 32 bits, the others in full.
    ///
    /// # Errors
    /// [`ErrorKind::UnsupportedFormat`]: another ending; [`ErrorKind::Io`]; [`ErrorKind::OutOfMemory`].
    pub fn write(&self, path: &Path) -> Result<()> {
        write::write(self, path)
    }
}

/// Two triangles for every quadrilateral, along the shorter diagonal. Two quadrilaterals never share both ends of one: the
/// cells of its ends have just one edge in common.
fn triangulated(net: &Net, place: impl Fn(u32) -> [f64; 3]) -> Result<Vec<[u32; 3]>> {
    let mut triangles = Vec::new();
    try_reserve(&mut triangles, 2 * net.quads.len(), "the triangles of a surface")?;
    for &[a, b, c, d] in &net.quads {
        let length = |from: u32, to: u32| {
            let (from, to) = (place(from), place(to));
            norm([0, 1, 2].map(|axis| to[axis] - from[axis]))
        };
        // Diagonals that are equally long but for rounding would be chosen by the rounding.
        let pair = if length(b, d) < length(a, c) * (1.0 - 1e-9) { [[b, c, d], [b, d, a]] } else { [[a, b, c], [a, c, d]] };
        triangles.extend_from_slice(&pair);
    }
    Ok(triangles)
}

/// A vector that grows without aborting when memory runs out.
trait Growing<T> {
    /// # Errors
    /// [`ErrorKind::OutOfMemory`], naming `what`.
    fn grow(&mut self, value: T, what: &str) -> Result<()>;
}

impl<T> Growing<T> for Vec<T> {
    fn grow(&mut self, value: T, what: &str) -> Result<()> {
        if self.len() == self.capacity() {
            let bytes = self.len().saturating_mul(2 * size_of::<T>());
            self.try_reserve(1).map_err(|_| Error::out_of_memory(what, bytes))?;
        }
        self.push(value);
        Ok(())
    }
}

/// A copy that can fail.
fn copy_of<T: Copy>(values: &[T]) -> Result<Vec<T>> {
    let mut copy = Vec::new();
    try_reserve(&mut copy, values.len(), "the points of a surface")?;
    copy.extend_from_slice(values);
    Ok(copy)
}

/// A number of points or triangles, which are counted in 32 bits.
fn count_as_u32(count: usize) -> Result<u32> {
    u32::try_from(count).ok().filter(|&count| count < u32::MAX).ok_or_else(|| {
        Error::new(ErrorKind::InvalidArgument, "the surface has more than 4 billion points or triangles: take a smaller region")
    })
}

#[cfg(test)]
mod tests;
