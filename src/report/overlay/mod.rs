//! Masks on a CT in three planes: the paper's Figure 5.
//!
//! The planes are those of the voxels that come nearest to axial, coronal and sagittal; nothing is interpolated across
//! them. Pixels are square and all planes have one scale, whatever the voxels' spacing. As radiologists look: the
//! patient's left on the right, anterior up or to the left, superior up.

mod section;

use super::picture::{CHARACTER, Picture};
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::Orientation;
use crate::volume::Volume;
use section::Section;

/// A label, and how it is drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrawnLabel {
    /// Its value in the masks. Values that no drawn label has are not drawn.
    pub value: u8,
    /// Its name in the legend.
    pub name: String,
    /// Red, green, blue; [`super::shades`] gives those of the report's other figures.
    pub color: [u8; 3],
}

/// The Hounsfield units that are shown between black and white.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Shown as middle gray.
    pub level: f64,
    /// From black to white; above 0.
    pub width: f64,
}

impl Window {
    /// Nerves, muscle and fat; bone is white.
    pub const SOFT_TISSUE: Window = Window { level: 50.0, width: 400.0 };
    /// The inside of bone; soft tissue is an even gray.
    pub const BONE: Window = Window { level: 400.0, width: 1800.0 };
}

/// How [`three_planes`] draws.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Which Hounsfield units are told apart.
    pub window: Window,
    /// The picture's width, pixels; from 300 to 10 000. Its height follows, and is at most as much.
    pub width: u32,
    /// Cuts what lies farther than this (mm) outside the box around the masks; `None`, or masks without a drawn label,
    /// shows the whole CT.
    pub margin_mm: Option<f64>,
    /// The outlines of the manual mask.
    pub manual: [u8; 3],
}

impl Default for Options {
    fn default() -> Self {
        Options { window: Window::SOFT_TISSUE, width: 1200, margin_mm: Some(15.0), manual: [0xFF, 0x30, 0xC8] }
    }
}

/// Draws axial, coronal and sagittal planes of a CT through the voxel `center` (i, j, k), side by side, with a legend.
///
/// Masks are label maps on the CT's grid, packed, i fastest. `automatic` is filled, translucent, in the labels' colors;
/// `manual` is outlined in one color. Either may be missing. Without a `center`, the planes that show the most of all
/// labels in the manual mask, else the automatic one: every label counts as much as every other, however small it is.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] if a mask does not hold the CT's voxels, the center lies outside, or the options are
/// none; [`ErrorKind::NullArgument`] for a CT without voxels; [`ErrorKind::OutOfMemory`].
pub fn three_planes(
    ct: &Volume<'_>,
    automatic: Option<&[u8]>,
    manual: Option<&[u8]>,
    labels: &[DrawnLabel],
    center: Option<[usize; 3]>,
    options: &Options,
) -> Result<Picture> {
    check(ct, [automatic, manual], center, options)?;
    let geometry = ct.geometry();
    let dims = geometry.dims;
    let masks = [automatic, manual].map(|mask| mask.map(|mask| Extent::of(mask, dims, labels)));
    let found = |which: usize| masks[which].as_ref().filter(|extent| extent.any());
    let Orientation { axes: [d, h, w], flipped } = geometry.orientation();
    let mut reversed = [false; 3];
    [d, h, w].into_iter().zip(flipped).for_each(|(axis, flipped)| reversed[axis] = flipped);
    let fullest = || found(1).or(found(0)).map(|extent| extent.fullest_planes(reversed));
    let center = center.or_else(fullest).unwrap_or_else(|| std::array::from_fn(|axis| middle(dims[axis], reversed[axis])));
    let spacing = geometry.ijk_to_world.spacing();
    let shown: [std::ops::Range<usize>; 3] = std::array::from_fn(|axis| {
        let bounds = [found(0), found(1)].into_iter().flatten().map(|extent| extent.bounds(axis));
        let bounds = bounds.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end));
        match (bounds, options.margin_mm) {
            (Some(bounds), Some(margin)) => {
                let voxels = (margin / spacing[axis]).ceil() as usize;
                let end = bounds.end.max(center[axis] + 1).saturating_add(voxels).min(dims[axis]);
                bounds.start.min(center[axis]).saturating_sub(voxels)..end
            }
            _ => 0..dims[axis],
        }
    });
    // The model's axes increase towards Superior, Posterior, Left; a picture's from left to right and from top to bottom.
    let (leftwards, backwards, downwards) = ((w, flipped[2]), (h, flipped[1]), (d, !flipped[0]));
    let section = |columns, rows, across| Section::new(ct, [columns, rows], across, center, &shown, spacing);
    let panels = [
        ("axial", ["R", "L", "A", "P"], section(leftwards, backwards, d)?),
        ("coronal", ["R", "L", "S", "I"], section(leftwards, downwards, h)?),
        ("sagittal", ["A", "P", "S", "I"], section(backwards, downwards, w)?),
    ];
    let drawing = Drawing { masks: [automatic, manual], dims, labels, options };
    drawing.draw(&panels)
}

/// The middle of `n` places; of two, the same one of the patient, also where the array runs the other way.
fn middle(n: usize, reversed: bool) -> usize {
    if reversed { n / 2 } else { n.saturating_sub(1) / 2 }
}

fn check(ct: &Volume<'_>, masks: [Option<&[u8]>; 2], center: Option<[usize; 3]>, options: &Options) -> Result<()> {
    let fail = |message: String| Err(Error::new(ErrorKind::InvalidArgument, message));
    let (voxels, dims) = (ct.geometry().voxel_count(), ct.geometry().dims);
    if !ct.has_voxels() {
        return Err(Error::new(ErrorKind::NullArgument, "the CT has no voxels to draw: give those, too"));
    }
    if let Some(mask) = masks.into_iter().flatten().find(|mask| mask.len() != voxels) {
        return fail(format!("a mask has {} voxels, the CT {voxels}: draw a mask on its own CT", mask.len()));
    }
    if center.is_some_and(|center| (0..3).any(|axis| center[axis] >= dims[axis])) {
        return fail(format!("the center {center:?} lies outside a CT of {dims:?} voxels: give a voxel of it"));
    }
    let Options { window, width, margin_mm, .. } = options;
    if !(window.level.is_finite() && window.width.is_finite() && window.width > 0.0) {
        return fail(format!("a window of level {} and width {}: both finite, the width above 0", window.level, window.width));
    }
    if !(300..=10_000).contains(width) || margin_mm.is_some_and(|margin| !(margin.is_finite() && margin >= 0.0)) {
        return fail(format!(
            "a picture {width} pixels wide with a margin of {margin_mm:?} mm: 300 to 10000 pixels, and a margin of at least 0"
        ));
    }
    Ok(())
}

/// Where the drawn labels of a mask lie.
struct Extent {
    /// Along i, j, k, in each plane across that axis: the share of every label's voxels that lies in it, summed.
    shares: [Vec<f64>; 3],
}

impl Extent {
    fn of(mask: &[u8], dims: [usize; 3], labels: &[DrawnLabel]) -> Extent {
        let mut place = [usize::MAX; 256];
        labels.iter().enumerate().for_each(|(at, label)| place[usize::from(label.value)] = at);
        let mut counts: [Vec<Vec<u64>>; 3] = dims.map(|n| vec![vec![0; n]; labels.len()]);
        for (row, voxels) in mask.chunks(dims[0]).enumerate() {
            let (j, k) = (row % dims[1], row / dims[1]);
            for (i, &value) in voxels.iter().enumerate() {
                let label = place[usize::from(value)];
                if label < labels.len() {
                    counts[0][label][i] += 1;
                    counts[1][label][j] += 1;
                    counts[2][label][k] += 1;
                }
            }
        }
        let shares = counts.map(|counts| {
            let mut shares = vec![0.0; counts.first().map_or(0, Vec::len)];
            for label in counts {
                let total = label.iter().sum::<u64>().max(1) as f64;
                shares.iter_mut().zip(label).for_each(|(share, count)| *share += count as f64 / total);
            }
            shares
        });
        Extent { shares }
    }

    fn any(&self) -> bool {
        self.shares[0].iter().any(|share| *share > 0.0)
    }

    /// The planes with the largest shares; of several, the middle one.
    fn fullest_planes(&self, reversed: [bool; 3]) -> [usize; 3] {
        std::array::from_fn(|axis| {
            let shares = &self.shares[axis];
            let largest = shares.iter().copied().fold(0.0, f64::max);
            let fullest: Vec<usize> = (0..shares.len()).filter(|&at| shares[at] == largest).collect();
            fullest.get(middle(fullest.len(), reversed[axis])).copied().unwrap_or(0)
        })
    }

    fn bounds(&self, axis: usize) -> std::ops::Range<usize> {
        let any = |share: &f64| *share > 0.0;
        let shares = &self.shares[axis];
        shares.iter().position(any).unwrap_or(0)..shares.iter().rposition(any).map_or(0, |last| last + 1)
    }
}

/// Pixels between panels and around the picture.
const GAP: u32 = 12;
/// Pixels of a line of text with what stands above it.
const LINE: u32 = CHARACTER[1] + 9;
/// How much of a filled mask hides the CT below.
const OPACITY: f64 = 0.55;
const LETTERS: [u8; 3] = [0xFF; 3];
const QUIET: [u8; 3] = [0xA0; 3];

/// What every panel is drawn with.
struct Drawing<'a> {
    /// Automatic and manual.
    masks: [Option<&'a [u8]>; 2],
    dims: [usize; 3],
    labels: &'a [DrawnLabel],
    options: &'a Options,
}

/// A panel: its name, the letters left, right, above and below it, and what it shows.
type Panel = (&'static str, [&'static str; 4], Section);

impl Drawing<'_> {
    fn draw(&self, panels: &[Panel; 3]) -> Result<Picture> {
        let width = self.options.width;
        let legend = self.legend();
        let sizes = panels.each_ref().map(|(_, _, section)| section.size_mm());
        let across: f64 = sizes.iter().map(|size| size[0]).sum();
        let tallest = sizes.iter().map(|size| size[1]).fold(0.0, f64::max);
        let others = LINE + GAP + LINE * legend.len() as u32 + GAP;
        let mm_per_pixel = (across / f64::from(width - 4 * GAP)).max(tallest / f64::from(width - others));
        let sizes = sizes.map(|size| size.map(|mm| ((mm / mm_per_pixel) as u32).max(1)));
        let panel_height = sizes.iter().map(|size| size[1]).max().unwrap_or(1);
        let mut picture = Picture::black(width, panel_height + others)?;
        let mut left = GAP + (width - 4 * GAP).saturating_sub(sizes.iter().map(|size| size[0]).sum()) / 2;
        for ((name, letters, section), size) in panels.iter().zip(sizes) {
            // A panel that is lower than the others stands in the middle.
            let top = LINE + (panel_height - size[1]) / 2;
            picture.write(name, [left, top - LINE + 5], QUIET);
            self.panel(&mut picture, section, [left, top], size, mm_per_pixel);
            write_letters(&mut picture, letters, [left, top], size);
            left += size[0] + GAP;
        }
        for (line, entries) in legend.iter().enumerate() {
            let top = LINE + panel_height + GAP + LINE * line as u32;
            for entry in entries {
                entry.draw(&mut picture, top);
            }
        }
        Ok(picture)
    }

    fn panel(&self, picture: &mut Picture, section: &Section, corner: [u32; 2], size: [u32; 2], mm_per_pixel: f64) {
        let Window { level, width } = self.options.window;
        let color_of = |value: u8| self.labels.iter().find(|label| label.value == value).map(|label| label.color);
        let manual = |x: i64, y: i64| -> u8 {
            let inside = (0..i64::from(size[0])).contains(&x) && (0..i64::from(size[1])).contains(&y);
            let place = [x, y].map(|at| (at as f64 + 0.5) * mm_per_pixel);
            let value = self.masks[1].filter(|_| inside).and_then(|mask| mask.get(section.voxel(place, self.dims)).copied());
            value.filter(|value| color_of(*value).is_some()).unwrap_or(0)
        };
        for (x, y) in (0..size[1]).flat_map(|y| (0..size[0]).map(move |x| (x, y))) {
            let place = [x, y].map(|at| (f64::from(at) + 0.5) * mm_per_pixel);
            let gray = ((section.value(place) - level) / width + 0.5).clamp(0.0, 1.0) * 255.0;
            let automatic = self.masks[0].and_then(|mask| mask.get(section.voxel(place, self.dims)).copied());
            let mut color = [gray; 3];
            if let Some(fill) = automatic.and_then(color_of) {
                color = std::array::from_fn(|channel| gray * (1.0 - OPACITY) + f64::from(fill[channel]) * OPACITY);
            }
            if self.masks[1].is_some() {
                // The outline lies on the inside of every region, two pixels wide.
                let (x, y) = (i64::from(x), i64::from(y));
                let here = manual(x, y);
                let edge = [(-1, 0), (1, 0), (0, -1), (0, 1), (-2, 0), (2, 0), (0, -2), (0, 2)]
                    .iter()
                    .any(|(dx, dy)| manual(x + dx, y + dy) != here);
                if here != 0 && edge {
                    color = self.options.manual.map(f64::from);
                }
            }
            if let Some(pixel) = picture.pixel(corner[0] + x, corner[1] + y) {
                pixel.copy_from_slice(&color.map(|value| value.round() as u8));
            }
        }
        section.other_planes(mm_per_pixel, size).into_iter().enumerate().for_each(|(axis, at)| marks(picture, corner, size, axis, at));
    }

    /// The legend, line by line.
    fn legend(&self) -> Vec<Vec<Entry>> {
        let mut entries = Vec::new();
        if self.masks[0].is_some() {
            entries.extend(self.labels.iter().map(|label| (format!("{}, automatic", label.name), label.color, true)));
        }
        if self.masks[1].is_some() {
            entries.push(("manual".into(), self.options.manual, false));
        }
        let mut lines: Vec<Vec<Entry>> = Vec::new();
        let mut left = u32::MAX;
        for (text, color, filled) in entries {
            let text: String = text.chars().take(60).collect();
            let width = Entry::TEXT + CHARACTER[0] * text.chars().count() as u32 + 2 * GAP;
            if left.saturating_add(width) > self.options.width {
                lines.push(Vec::new());
                left = GAP;
            }
            if let Some(line) = lines.last_mut() {
                line.push(Entry { text, color, filled, left });
            }
            left += width;
        }
        lines
    }
}

/// An entry of the legend.
struct Entry {
    text: String,
    color: [u8; 3],
    filled: bool,
    left: u32,
}

impl Entry {
    /// Pixels from the entry's left edge to its text.
    const TEXT: u32 = 24;

    fn draw(&self, picture: &mut Picture, top: u32) {
        picture.fill([self.left, top], [16, 14], self.color);
        if !self.filled {
            picture.fill([self.left + 2, top + 2], [12, 10], [0; 3]);
        }
        picture.write(&self.text, [self.left + Self::TEXT, top], LETTERS);
    }
}

/// Writes where a panel's sides lie in the patient: left, right, above, below. On a panel that is too small, nothing.
fn write_letters(picture: &mut Picture, letters: &[&str; 4], [left, top]: [u32; 2], [width, height]: [u32; 2]) {
    let [letter_width, letter_height] = CHARACTER;
    if width < 8 * letter_width || height < 4 * letter_height {
        return;
    }
    let (middle, center) = (top + (height - letter_height) / 2, left + (width - letter_width) / 2);
    let places =
        [[left + 4, middle], [left + width - letter_width - 4, middle], [center, top + 2], [center, top + height - letter_height - 2]];
    for (letter, place) in letters.iter().zip(places) {
        picture.write(letter, [place[0] + 1, place[1] + 1], [0; 3]);
        picture.write(letter, place, LETTERS);
    }
}

/// Marks at a panel's edges where another plane cuts it: at column `at` (axis 0) or row `at` (axis 1).
fn marks(picture: &mut Picture, corner: [u32; 2], size: [u32; 2], axis: usize, at: u32) {
    const LENGTH: u32 = 8;
    let along = 1 - axis;
    for start in [0, size[along].saturating_sub(LENGTH)] {
        let (mut place, mut extent) = (corner, [1; 2]);
        place[axis] += at;
        place[along] += start;
        extent[along] = LENGTH.min(size[along]);
        picture.fill(place, extent, LETTERS);
    }
}

#[cfg(test)]
mod tests;
