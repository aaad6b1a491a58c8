//! A picture of pixels, and PNG.

use std::convert::Infallible;

use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::iso_8859_1::FONT_9X15_BOLD;
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::text::{Baseline, Text};
use embedded_graphics::{Drawable, Pixel};

use crate::error::{Error, ErrorKind, Result, try_reserve, try_vec};

/// Pixels in three colors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Pixels from left to right.
    pub width: u32,
    /// Pixels from top to bottom.
    pub height: u32,
    /// Red, green, blue of each pixel, row by row from the top: 3 · width · height bytes.
    pub rgb: Vec<u8>,
}

/// Width and height of a character, pixels.
pub(super) const CHARACTER: [u32; 2] = [9, 15];

impl Picture {
    /// A black picture.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`].
    pub(super) fn black(width: u32, height: u32) -> Result<Picture> {
        Ok(Picture { width, height, rgb: try_vec(0, 3 * width as usize * height as usize, "a picture")? })
    }

    /// The pixel at (x, y), if it lies in the picture.
    pub(super) fn pixel(&mut self, x: u32, y: u32) -> Option<&mut [u8]> {
        let at = 3 * (y as usize * self.width as usize + x as usize);
        if x < self.width { self.rgb.get_mut(at..at + 3) } else { None }
    }

    /// Colors a rectangle, as far as it lies in the picture.
    pub(super) fn fill(&mut self, [left, top]: [u32; 2], [width, height]: [u32; 2], color: [u8; 3]) {
        for (x, y) in (top..top.saturating_add(height)).flat_map(|y| (left..left.saturating_add(width)).map(move |x| (x, y))) {
            if let Some(pixel) = self.pixel(x, y) {
                pixel.copy_from_slice(&color);
            }
        }
    }

    /// Writes a line of text with its upper left corner at (x, y). Characters outside Latin-1 become question marks.
    pub(super) fn write(&mut self, text: &str, [x, y]: [u32; 2], [red, green, blue]: [u8; 3]) {
        let style = MonoTextStyle::new(&FONT_9X15_BOLD, Rgb888::new(red, green, blue));
        let place = Point::new(i32::try_from(x).unwrap_or(i32::MAX), i32::try_from(y).unwrap_or(i32::MAX));
        let drawn = Text::with_baseline(&super::text::line(text), place, style, Baseline::Top).draw(self);
        drawn.map_or_else(|never| match never {}, |_| ());
    }

    /// The picture as a PNG file.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if `rgb` does not hold width · height pixels or there are none;
    /// [`ErrorKind::OutOfMemory`].
    pub fn to_png(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        try_reserve(&mut bytes, self.rgb.len() / 4, "a picture")?;
        let mut encoder = png::Encoder::new(&mut bytes, self.width, self.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let encoded = encoder.write_header().and_then(|mut writer| writer.write_image_data(&self.rgb).and_then(|()| writer.finish()));
        encoded.map_err(|error| Error::new(ErrorKind::InvalidArgument, format!("cannot write the picture as PNG: {error}")))?;
        Ok(bytes)
    }
}

impl OriginDimensions for Picture {
    fn size(&self) -> Size {
        Size::new(self.width, self.height)
    }
}

impl DrawTarget for Picture {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> std::result::Result<(), Infallible> {
        for Pixel(Point { x, y }, color) in pixels {
            if let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y))
                && let Some(pixel) = self.pixel(x, y)
            {
                pixel.copy_from_slice(&[color.r(), color.g(), color.b()]);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_png_decodes_to_the_same_pixels() {
        let mut picture = Picture::black(40, 20).unwrap();
        picture.write("Lä漢", [3, 2], [255, 200, 0]);
        picture.fill([35, 15], [10, 10], [1, 2, 3]);
        assert!(picture.rgb.chunks(3).any(|pixel| pixel == [255, 200, 0]) && picture.rgb.ends_with(&[1, 2, 3]));
        let png = picture.to_png().unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(&png)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let frame = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((frame.width, frame.height, &pixels), (40, 20, &picture.rgb));
    }

    #[test]
    fn a_picture_whose_bytes_do_not_fit_is_refused() {
        for (width, height, bytes) in [(2, 2, 11), (2, 2, 13), (0, 2, 0)] {
            let picture = Picture { width, height, rgb: vec![0; bytes] };
            assert_eq!(picture.to_png().unwrap_err().kind(), ErrorKind::InvalidArgument);
        }
    }
}
