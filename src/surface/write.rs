//! A surface to a file: binary STL, OBJ, binary PLY, VTP. All of them say in which world the points are, in the words that
//! 3D Slicer reads (`SPACE=RAS` or `SPACE=LPS`).

use std::io::{self, Write};
use std::path::Path;

use super::Surface;
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::{World, cross, norm};
use crate::io::write_atomically;

/// A format that a surface is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Stl,
    Obj,
    Ply,
    Vtp,
}

impl Format {
    /// The format that a name's ending stands for, in capitals or not.
    fn of(path: &Path) -> Result<Self> {
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        match ending.as_str() {
            "stl" => Ok(Format::Stl),
            "obj" => Ok(Format::Obj),
            "ply" => Ok(Format::Ply),
            "vtp" => Ok(Format::Vtp),
            _ => {
                let message = format!("{}: the name's ending must say the format: .stl, .obj, .ply or .vtp", path.display());
                Err(Error::new(ErrorKind::UnsupportedFormat, message))
            }
        }
    }
}

/// See [`Surface::write`].
pub(super) fn write(surface: &Surface, path: &Path) -> Result<()> {
    let format = Format::of(path)?;
    write_atomically(path, |writer| match format {
        Format::Stl => stl(surface, writer),
        Format::Obj => obj(surface, writer),
        Format::Ply => ply(surface, writer),
        Format::Vtp => vtp(surface, writer),
    })
}

/// The name of the world, as 3D Slicer and the NRRD format abbreviate it.
fn space(surface: &Surface) -> &'static str {
    match surface.world {
        World::Ras => "RAS",
        World::Lps => "LPS",
    }
}

/// 80 bytes, the number of triangles, and for each its normal and corners in 32 bits.
fn stl(surface: &Surface, writer: &mut dyn Write) -> io::Result<()> {
    // It must not begin with "solid": that is how the text format begins.
    let header = format!("spinect surface in mm. SPACE={}", space(surface));
    writer.write_all(format!("{header:80}").as_bytes())?;
    writer.write_all(&(surface.triangles.len() as u32).to_le_bytes())?;
    for triangle in &surface.triangles {
        let [a, b, c] = triangle.map(|point| surface.points[point as usize]);
        let to = |end: [f64; 3]| [0, 1, 2].map(|axis| end[axis] - a[axis]);
        let normal = cross(to(b), to(c));
        let length = norm(normal);
        let normal = normal.map(|value| if length > 0.0 { value / length } else { 0.0 });
        for value in [normal, a, b, c].into_iter().flatten() {
            writer.write_all(&(value as f32).to_le_bytes())?;
        }
        writer.write_all(&[0; 2])?;
    }
    Ok(())
}

/// Text; every number has as many digits as give it back exactly.
fn obj(surface: &Surface, writer: &mut dyn Write) -> io::Result<()> {
    writeln!(writer, "# spinect surface in mm. SPACE={}", space(surface))?;
    for [x, y, z] in &surface.points {
        writeln!(writer, "v {x} {y} {z}")?;
    }
    for triangle in &surface.triangles {
        let [a, b, c] = triangle.map(|point| u64::from(point) + 1);
        writeln!(writer, "f {a} {b} {c}")?;
    }
    Ok(())
}

/// Points in 64 bits.
fn ply(surface: &Surface, writer: &mut dyn Write) -> io::Result<()> {
    let (points, triangles) = (surface.points.len(), surface.triangles.len());
    write!(
        writer,
        "ply\nformat binary_little_endian 1.0\ncomment spinect surface in mm\ncomment SPACE={}\n\
         element vertex {points}\nproperty double x\nproperty double y\nproperty double z\n\
         element face {triangles}\nproperty list uchar int vertex_indices\nend_header\n",
        space(surface)
    )?;
    for value in surface.points.iter().flatten() {
        writer.write_all(&value.to_le_bytes())?;
    }
    for triangle in &surface.triangles {
        writer.write_all(&[3])?;
        for point in triangle {
            writer.write_all(&point.to_le_bytes())?;
        }
    }
    Ok(())
}

/// VTK's XML, with the arrays behind it as they are: each led by its length in bytes.
fn vtp(surface: &Surface, writer: &mut dyn Write) -> io::Result<()> {
    let (points, triangles) = (surface.points.len() as u64, surface.triangles.len() as u64);
    let (point_bytes, corner_bytes, end_bytes) = (24 * points, 24 * triangles, 8 * triangles);
    let (corners_at, ends_at) = (8 + point_bytes, 16 + point_bytes + corner_bytes);
    writeln!(writer, "<?xml version=\"1.0\"?>")?;
    writeln!(writer, "<VTKFile type=\"PolyData\" version=\"1.0\" byte_order=\"LittleEndian\" header_type=\"UInt64\">")?;
    writeln!(writer, "<PolyData>")?;
    write!(writer, "<FieldData><DataArray type=\"String\" Name=\"SPACE\" NumberOfTuples=\"1\" format=\"ascii\">")?;
    for letter in space(surface).bytes() {
        write!(writer, "{letter} ")?;
    }
    writeln!(writer, "0</DataArray></FieldData>")?;
    writeln!(
        writer,
        "<Piece NumberOfPoints=\"{points}\" NumberOfVerts=\"0\" NumberOfLines=\"0\" NumberOfStrips=\"0\" NumberOfPolys=\"{triangles}\">"
    )?;
    writeln!(
        writer,
        "<Points><DataArray type=\"Float64\" Name=\"Points\" NumberOfComponents=\"3\" format=\"appended\" offset=\"0\"/></Points>"
    )?;
    writeln!(writer, "<Polys>")?;
    writeln!(writer, "<DataArray type=\"Int64\" Name=\"connectivity\" format=\"appended\" offset=\"{corners_at}\"/>")?;
    writeln!(writer, "<DataArray type=\"Int64\" Name=\"offsets\" format=\"appended\" offset=\"{ends_at}\"/>")?;
    write!(writer, "</Polys>\n</Piece>\n</PolyData>\n<AppendedData encoding=\"raw\">\n_")?;
    writer.write_all(&point_bytes.to_le_bytes())?;
    for value in surface.points.iter().flatten() {
        writer.write_all(&value.to_le_bytes())?;
    }
    writer.write_all(&corner_bytes.to_le_bytes())?;
    for &point in surface.triangles.iter().flatten() {
        writer.write_all(&i64::from(point).to_le_bytes())?;
    }
    writer.write_all(&end_bytes.to_le_bytes())?;
    for end in 1..=triangles {
        writer.write_all(&(3 * end).to_le_bytes())?;
    }
    write!(writer, "\n</AppendedData>\n</VTKFile>\n")
}
