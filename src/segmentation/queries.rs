//! Questions in physical space: how far a point or a tool is from a structure, and from what nobody looked at.

use std::sync::Arc;

use super::Segmentation;
use crate::error::{Error, ErrorKind, Result, try_reserve};
use crate::geometry::World;
use crate::query::{Examined, Structure};
use crate::surface::{self, Surface};

/// A tool: a capsule, that is a cylinder with spherical ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tool {
    /// One end of its axis, mm.
    pub from: [f64; 3],
    /// The other end, mm; may be the same point.
    pub to: [f64; 3],
    /// Its radius, mm; 0 or more.
    pub radius_mm: f64,
}

/// How far a structure is from a point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distance {
    /// To the structure's surface, mm; negative inside it.
    pub distance_mm: f64,
    /// The nearest point of that surface, mm.
    pub nearest: [f64; 3],
    /// To the nearest space that was not segmented, mm; 0 or less within it.
    pub unexamined_mm: f64,
}

/// How far a structure is from a tool.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Clearance {
    /// Whether the tool's axis passes through the structure.
    pub crosses: bool,
    /// From the tool's surface to the structure's surface, mm; negative where the tool enters.
    pub distance_mm: f64,
    /// The point of the tool's axis that is nearest, or deepest in the structure, mm.
    pub at: [f64; 3],
    /// The nearest point of the structure's surface, mm.
    pub nearest: [f64; 3],
    /// How much of the axis lies inside the structure, mm.
    pub length_inside_mm: f64,
    /// From the tool's surface to space that was not segmented, mm.
    pub unexamined_mm: f64,
}

/// Where a tool on its way first comes too near to a structure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Violation {
    /// How far along the tool's axis, mm.
    pub along_mm: f64,
    /// The point of the axis, mm.
    pub at: [f64; 3],
    /// The nearest point of the structure's surface, mm.
    pub nearest: [f64; 3],
}

/// Whether a tool on its way keeps its distance from a structure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Corridor {
    /// Where it first does not.
    pub violation: Option<Violation>,
    /// From the tool's surface to space that was not segmented, mm: where that is 0 or less, nothing vouches for it.
    pub unexamined_mm: f64,
}

/// What `prepare_queries` has made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prepared {
    /// By the label's value; no structure for one that is absent.
    structures: Vec<(u8, Option<Arc<Structure>>)>,
    examined: Option<Arc<Examined>>,
}

/// Coordinates beyond this are no places near a patient, and their squares would be rounded to nothing.
const FARTHEST_MM: f64 = 1e9;

// Messages that are fixed allocate nothing.
const UNKNOWN: &str = "no such value in the label table: see the table of the segmentation";
const NOT_PREPARED: &str = "the label has not been prepared for distances: call prepare_queries for it first";
const ABSENT: &str = "no voxel carries this label: there is nothing to be far from";
const NO_PLACE: &str = "a coordinate is not finite, or beyond 10^9 mm";
const NO_LENGTH: &str = "a radius or margin is negative, not finite, or beyond 10^9 mm";

impl Segmentation {
    /// Prepares for questions about a label: once, before the questions. Takes some tenths of a second, and about a bit per
    /// voxel and 14 bytes per face of the structure's surface (flat parts share one).
    ///
    /// # Errors
    /// [`ErrorKind::UnknownLabel`]; [`ErrorKind::VolumeTooLarge`] above 65,535 voxels along an axis;
    /// [`ErrorKind::OutOfMemory`].
    pub fn prepare_queries(&mut self, label: i32) -> Result<()> {
        let value = self.value_of(label)?;
        if self.prepared.examined.is_none() {
            self.prepared.examined = Some(Arc::new(Examined::of(&self.geometry, &self.examined)?));
        }
        if self.prepared.structures.iter().all(|(prepared, _)| *prepared != value) {
            let structure = Structure::of(&self.labels, value, &self.geometry)?.map(Arc::new);
            let structures = &mut self.prepared.structures;
            try_reserve(structures, structures.len() + 1, "the table of what is prepared")?;
            structures.push((value, structure));
        }
        Ok(())
    }

    /// How far a label's structure is from a point (mm in `world`), which may lie anywhere. Measured to the surface of the
    /// union of the label's voxels, as parallelepipeds of the affine: exact but for rounding, and in a grid whose shear moves
    /// no corner of the volume by more than 1 % of the smallest spacing, but for that.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownLabel`], [`ErrorKind::NotPrepared`], [`ErrorKind::LabelAbsent`];
    /// [`ErrorKind::InvalidArgument`] for a coordinate that is not finite, or beyond 10⁹ mm.
    pub fn distance(&self, label: i32, world: World, point: [f64; 3]) -> Result<Distance> {
        let point = self.place(world, point)?;
        let (structure, examined) = self.prepared(label)?;
        let found = structure.nearest(point);
        Ok(Distance {
            distance_mm: found.distance_mm,
            nearest: self.turned(world, found.point),
            unexamined_mm: examined.distance_mm(point),
        })
    }

    /// How far a label's structure is from a tool (mm in `world`). Exact as [`distance`](Self::distance); the depth of an
    /// axis that passes through the structure may be underestimated by a quarter of the smallest spacing.
    ///
    /// # Errors
    /// As [`distance`](Self::distance); [`ErrorKind::InvalidArgument`] also for a radius that is none.
    pub fn clearance(&self, label: i32, world: World, tool: &Tool) -> Result<Clearance> {
        let (tool, (structure, examined)) = (self.tool(world, tool)?, self.prepared(label)?);
        let found = structure.approach(tool.from, tool.to);
        Ok(Clearance {
            crosses: found.crosses,
            distance_mm: found.distance_mm - tool.radius_mm,
            at: self.turned(world, found.at),
            nearest: self.turned(world, found.nearest),
            length_inside_mm: found.length_inside_mm,
            unexamined_mm: unexamined(examined, &tool),
        })
    }

    /// [`clearance`](Self::clearance) of many tools, one after the other; any number of threads may share the work.
    ///
    /// # Errors
    /// As [`clearance`](Self::clearance), and then nothing is written; [`ErrorKind::BufferTooSmall`] for less room than tools.
    pub fn clearances(&self, label: i32, world: World, tools: &[Tool], clearances: &mut [Clearance]) -> Result<()> {
        if clearances.len() < tools.len() {
            return Err(Error::new(ErrorKind::BufferTooSmall, "there is less room for clearances than there are tools"));
        }
        tools.iter().try_for_each(|tool| self.check_tool(label, world, tool))?;
        for (tool, clearance) in tools.iter().zip(clearances) {
            *clearance = self.clearance(label, world, tool)?;
        }
        Ok(())
    }

    /// Whether a tool that moves along its axis, from one end to the other, keeps `margin_mm` between its surface and a
    /// label's structure (mm in `world`), and where it first does not.
    ///
    /// # Errors
    /// As [`clearance`](Self::clearance); [`ErrorKind::InvalidArgument`] also for a margin that is none.
    pub fn corridor(&self, label: i32, world: World, tool: &Tool, margin_mm: f64) -> Result<Corridor> {
        let (tool, (structure, examined)) = (self.tool(world, tool)?, self.prepared(label)?);
        check_length(margin_mm)?;
        let violation = structure.first_within(tool.from, tool.to, tool.radius_mm + margin_mm).map(|contact| Violation {
            along_mm: contact.along_mm,
            at: self.turned(world, contact.at),
            nearest: self.turned(world, contact.nearest),
        });
        Ok(Corridor { violation, unexamined_mm: unexamined(examined, &tool) })
    }

    /// The surface of a label: see [`Surface::of`]. Needs no preparation.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownLabel`], [`ErrorKind::LabelAbsent`]; those of [`Surface::of`].
    pub fn surface(&self, label: i32, options: &surface::Options) -> Result<Surface> {
        Surface::of(&self.labels, self.value_of(label)?, &self.geometry, options)
    }

    /// Whether a question about this tool has an answer.
    pub(crate) fn check_tool(&self, label: i32, world: World, tool: &Tool) -> Result<()> {
        self.prepared(label)?;
        self.tool(world, tool).map(|_| ())
    }

    /// The value of a label of the table.
    pub(super) fn value_of(&self, label: i32) -> Result<u8> {
        let value = u8::try_from(label).ok().filter(|value| self.table.iter().any(|entry| entry.value == *value));
        value.ok_or(Error::new(ErrorKind::UnknownLabel, UNKNOWN))
    }

    fn prepared(&self, label: i32) -> Result<(&Structure, &Examined)> {
        let value = self.value_of(label)?;
        let structure = self.prepared.structures.iter().find(|(prepared, _)| *prepared == value);
        let (Some((_, structure)), Some(examined)) = (structure, &self.prepared.examined) else {
            return Err(Error::new(ErrorKind::NotPrepared, NOT_PREPARED));
        };
        let structure = structure.as_ref().ok_or(Error::new(ErrorKind::LabelAbsent, ABSENT))?;
        Ok((structure, examined))
    }

    /// A point of this world in the geometry's.
    fn place(&self, world: World, point: [f64; 3]) -> Result<[f64; 3]> {
        if point.iter().all(|coordinate| coordinate.abs() <= FARTHEST_MM) {
            return Ok(self.turned(world, point));
        }
        Err(Error::new(ErrorKind::InvalidArgument, NO_PLACE))
    }

    /// Between this world and the geometry's: the same turn in both directions.
    fn turned(&self, world: World, [x, y, z]: [f64; 3]) -> [f64; 3] {
        if world == self.geometry.world { [x, y, z] } else { [-x, -y, z] }
    }

    fn tool(&self, world: World, tool: &Tool) -> Result<Tool> {
        check_length(tool.radius_mm)?;
        Ok(Tool { from: self.place(world, tool.from)?, to: self.place(world, tool.to)?, radius_mm: tool.radius_mm })
    }
}

fn check_length(mm: f64) -> Result<()> {
    if (0.0..=FARTHEST_MM).contains(&mm) { Ok(()) } else { Err(Error::new(ErrorKind::InvalidArgument, NO_LENGTH)) }
}

/// From a tool's surface to what was not examined. The distance from a convex box's border is least at an end of a line.
fn unexamined(examined: &Examined, tool: &Tool) -> f64 {
    examined.distance_mm(tool.from).min(examined.distance_mm(tool.to)) - tool.radius_mm
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Affine, Geometry};
    use crate::model::LabelConfig;
    use crate::volume::Volume;

    /// 20 voxels of 1 mm along each axis in LPS, a nerve (2) of 10 in the middle, bone (1) absent.
    fn reviewed() -> Segmentation {
        let within = |c: usize| (5..15).contains(&c);
        let labels: Vec<u8> = (0..8000).map(|v| if within(v % 20) && within(v / 20 % 20) && within(v / 400) { 2 } else { 0 }).collect();
        let geometry = Geometry { dims: [20; 3], ijk_to_world: Affine::from_spacing([1.0; 3], [0.0; 3]), world: World::Lps };
        let label =
            |value, name: &str| LabelConfig { value, name: name.into(), color: [0; 3], terminology: None, category: None, pieces: None };
        Segmentation::from_labels(&Volume::from_slice(&labels, geometry).unwrap(), &[label(1, "bone"), label(2, "nerve")]).unwrap()
    }

    fn prepared() -> Segmentation {
        let mut segmentation = reviewed();
        [1, 2].into_iter().for_each(|label| segmentation.prepare_queries(label).unwrap());
        segmentation
    }

    fn tool(from: [f64; 3], to: [f64; 3]) -> Tool {
        Tool { from, to, radius_mm: 1.0 }
    }

    #[test]
    fn distances_and_points_are_in_the_world_of_the_question() {
        let segmentation = prepared();
        let found = segmentation.distance(2, World::Lps, [17.5, 9.0, 9.0]).unwrap();
        assert_eq!(found, Distance { distance_mm: 3.0, nearest: [14.5, 9.0, 9.0], unexamined_mm: 2.0 });
        let found = segmentation.distance(2, World::Ras, [-17.5, -9.0, 9.0]).unwrap();
        assert_eq!(found, Distance { distance_mm: 3.0, nearest: [-14.5, -9.0, 9.0], unexamined_mm: 2.0 });
        let far = segmentation.distance(2, World::Lps, [114.5, 9.0, 9.0]).unwrap();
        assert_eq!((far.distance_mm, far.unexamined_mm), (100.0, -95.0));
        let background = {
            let mut s = reviewed();
            s.prepare_queries(0).unwrap();
            s.distance(0, World::Lps, [9.5, 9.5, 9.5]).unwrap()
        };
        assert_eq!(background.distance_mm, 5.0);
    }

    #[test]
    fn a_tools_radius_counts_for_the_structure_and_for_what_was_not_examined() {
        let segmentation = prepared();
        let beside = segmentation.clearance(2, World::Lps, &tool([17.5, 0.0, 9.0], [17.5, 18.0, 9.0])).unwrap();
        assert_eq!((beside.crosses, beside.distance_mm, beside.length_inside_mm), (false, 2.0, 0.0));
        // The axis starts half a millimeter from the border.
        assert_eq!(beside.unexamined_mm, -0.5);
        let through = segmentation.clearance(2, World::Ras, &tool([0.0, -9.5, 9.5], [-18.0, -9.5, 9.5])).unwrap();
        assert!(through.crosses && (through.length_inside_mm - 10.0).abs() < 1e-9, "{through:?}");
        assert!((-6.0..=-5.75).contains(&through.distance_mm), "{through:?}");
    }

    #[test]
    fn a_corridor_ends_where_the_margin_is_first_broken() {
        let segmentation = prepared();
        let way = tool([9.5, 9.5, 40.0], [9.5, 9.5, 9.5]);
        let violation = segmentation.corridor(2, World::Lps, &way, 3.0).unwrap().violation.unwrap();
        assert!((violation.along_mm - (40.0 - 14.5 - 4.0)).abs() < 1e-6, "{violation:?}");
        let clear = segmentation.corridor(2, World::Lps, &tool([9.5, 9.5, 40.0], [9.5, 9.5, 18.6]), 3.0).unwrap();
        assert_eq!(clear.violation, None);
        assert!(clear.unexamined_mm < 0.0);
    }

    #[test]
    fn many_tools_have_the_clearances_of_each_or_none_is_written() {
        let segmentation = prepared();
        let tools: Vec<Tool> = (0..20).map(|x| tool([f64::from(x), 0.0, 17.0], [f64::from(x), 19.0, 17.0])).collect();
        let mut found = [Clearance::default(); 21];
        segmentation.clearances(2, World::Lps, &tools, &mut found).unwrap();
        for (tool, found) in tools.iter().zip(&found) {
            assert_eq!(*found, segmentation.clearance(2, World::Lps, tool).unwrap());
        }
        assert_eq!(found[20], Clearance::default());
        let mut none = [Clearance::default(); 20];
        let bad = [tools[0], Tool { radius_mm: f64::NAN, ..tools[1] }];
        assert_eq!(segmentation.clearances(2, World::Lps, &bad, &mut none).unwrap_err().kind(), ErrorKind::InvalidArgument);
        assert_eq!(segmentation.clearances(2, World::Lps, &tools, &mut none[..3]).unwrap_err().kind(), ErrorKind::BufferTooSmall);
        assert_eq!(none, [Clearance::default(); 20]);
    }

    #[test]
    fn what_cannot_be_answered_says_why() {
        let (raw, segmentation) = (reviewed(), prepared());
        let kind = |segmentation: &Segmentation, label, x| segmentation.distance(label, World::Ras, [x, 0.0, 0.0]).map_err(|e| e.kind());
        assert_eq!(kind(&raw, 2, 0.0), Err(ErrorKind::NotPrepared));
        assert_eq!(kind(&segmentation, 0, 0.0), Err(ErrorKind::NotPrepared));
        assert_eq!(kind(&segmentation, 1, 0.0), Err(ErrorKind::LabelAbsent));
        assert_eq!(kind(&segmentation, 3, 0.0), Err(ErrorKind::UnknownLabel));
        assert_eq!(kind(&segmentation, -1, 0.0), Err(ErrorKind::UnknownLabel));
        assert_eq!(kind(&segmentation, 258, 0.0), Err(ErrorKind::UnknownLabel));
        for x in [f64::NAN, f64::INFINITY, 1.1e9] {
            assert_eq!(kind(&segmentation, 2, x), Err(ErrorKind::InvalidArgument));
        }
        assert_eq!(reviewed().prepare_queries(7).unwrap_err().kind(), ErrorKind::UnknownLabel);
        let margin = segmentation.corridor(2, World::Ras, &tool([0.0; 3], [1.0; 3]), -1.0);
        assert_eq!(margin.unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
}
