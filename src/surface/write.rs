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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A tetrahedron, with numbers that 32 bits do not hold.
    fn surface() -> Surface {
        let points = vec![[0.1, 0.2, 0.3], [1.1, 0.2, 0.3], [0.1, 1.0 / 3.0 + 1.0, 0.3], [0.1, 0.2, -7.7]];
        Surface { points, triangles: vec![[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]], world: World::Lps, deviation_mm: 0.0 }
    }

    fn written(name: &str) -> Vec<u8> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        surface().write(&path).unwrap();
        fs::read(path).unwrap()
    }

    fn doubles(bytes: &[u8]) -> Vec<[f64; 3]> {
        bytes.chunks(24).map(|point| [0, 1, 2].map(|axis| f64::from_le_bytes(point[8 * axis..8 * axis + 8].try_into().unwrap()))).collect()
    }

    #[test]
    fn stl_has_normals_and_corners_in_32_bits() {
        let bytes = written("a.STL");
        assert!(bytes.len() == 84 + 4 * 50 && bytes.starts_with(b"spinect") && String::from_utf8_lossy(&bytes[..80]).contains("SPACE=LPS"));
        assert_eq!(bytes[80..84], 4u32.to_le_bytes());
        let values: Vec<f32> = bytes[84..84 + 48].chunks(4).map(|value| f32::from_le_bytes(value.try_into().unwrap())).collect();
        assert_eq!(values[..6], [0.0, 0.0, 1.0, 0.1, 0.2, 0.3]);
        assert_eq!(values[9..], [0.1, (1.0 / 3.0 + 1.0) as f32, 0.3]);
    }

    #[test]
    fn obj_counts_from_one_and_loses_no_digit() {
        let text = String::from_utf8(written("a.obj")).unwrap();
        assert!(text.starts_with("# spinect surface in mm. SPACE=LPS\n"));
        let points: Vec<Vec<f64>> = text
            .lines()
            .filter_map(|line| line.strip_prefix("v "))
            .map(|line| line.split(' ').map(|value| value.parse().unwrap()).collect())
            .collect();
        assert!(points.iter().zip(surface().points).all(|(read, point)| read[..] == point));
        assert!(text.ends_with("f 1 2 3\nf 1 4 2\nf 1 3 4\nf 2 4 3\n"));
    }

    #[test]
    fn ply_has_points_in_64_bits_behind_its_header() {
        let bytes = written("a.ply");
        let end = bytes.windows(11).position(|window| window == b"end_header\n").unwrap() + 11;
        let header = String::from_utf8_lossy(&bytes[..end]);
        assert!(header.starts_with("ply\nformat binary_little_endian 1.0\n") && header.contains("\ncomment SPACE=LPS\n"));
        assert!(header.contains("element vertex 4\nproperty double x") && header.contains("element face 4\n"));
        assert_eq!(doubles(&bytes[end..end + 96]), surface().points);
        let faces = &bytes[end + 96..];
        assert_eq!((faces.len(), faces[0], &faces[1..13]), (52, 3, &[0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0][..]));
    }

    #[test]
    fn vtp_has_its_arrays_where_it_says() {
        let bytes = written("a.vtp");
        let start = bytes.windows(2).position(|window| window == b"\n_").unwrap() + 2;
        let header = String::from_utf8_lossy(&bytes[..start]).into_owned();
        // The letters of LPS.
        assert!(header.contains(">76 80 83 0<") && header.contains("NumberOfPoints=\"4\"") && header.contains("NumberOfPolys=\"4\""));
        let arrays: Vec<&[u8]> = header
            .split("offset=\"")
            .skip(1)
            .map(|text| {
                let at = start + text.split('"').next().unwrap().parse::<usize>().unwrap();
                let length = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
                &bytes[at + 8..at + 8 + length]
            })
            .collect();
        assert_eq!(doubles(arrays[0]), surface().points);
        let numbers = |bytes: &[u8]| -> Vec<i64> { bytes.chunks(8).map(|value| i64::from_le_bytes(value.try_into().unwrap())).collect() };
        assert_eq!(numbers(arrays[1]), [0, 1, 2, 0, 3, 1, 0, 2, 3, 1, 3, 2]);
        assert_eq!(numbers(arrays[2]), [3, 6, 9, 12]);
        assert!(bytes.ends_with(b"\n</AppendedData>\n</VTKFile>\n"));
    }

    #[test]
    fn another_ending_is_refused_and_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["a.vtk", "a", "stl", "a.stl.gz"] {
            let error = surface().write(&directory.path().join(name)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnsupportedFormat, "{name}");
            assert!(error.message().contains(".vtp"));
        }
        assert_eq!(surface().write(&directory.path().join("missing/a.stl")).unwrap_err().kind(), ErrorKind::Io);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
