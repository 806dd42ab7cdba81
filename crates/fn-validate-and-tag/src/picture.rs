//! The size of a picture, from its header, and the upper bound of its tokens.
//!
//! The parser is strict. It does not read a header that a decoder could read in another way, because a size that is too
//! small would make the hold too low. Before its scan, a JPEG may have only the usual segments and exactly one frame.
//! The first chunk of a PNG must be its header. The size of a GIF contains its screen and all its frames. The crate
//! `imagesize` (0.15) is more lenient in all three cases. Only the Bedrock simulator uses it.
//!
//! Sources: PNG Specification (W3C), 5.6 and 11.2.2; JPEG, ITU-T T.81, annex B; `GIF89a` Specification (`CompuServe`), 18
//! to 23; WebP Container Specification (Google), RFC 9649.

use aws_smithy_types::base64;
use sentry_contract::content::{Image, ImageFormat, ImageSource};
use sentry_models::PictureRule;

/// The divisor for the margin over a published rule: an eighth of the rule's tokens is held in addition. The margin is
/// this project's own. Vendors call their figures approximate. Anthropic's former rule, one token per 750 pixels, gives
/// 5 percent more than the present rule.
const MARGIN: u64 = 8;
/// Tokens that may surround a picture: its number, tags, a remark that it was resized. This margin is this project's
/// own.
const TOKENS_A_PICTURE: u64 = 64;

/// The upper bound of the tokens of `image` by `rule`. If its size cannot be read, or if it does not have the declared
/// format, the rule's largest picture counts.
pub fn tokens(image: &Image, rule: PictureRule) -> u64 {
    let ImageSource::Bytes(encoded) = &image.source;
    let size = base64::decode(encoded).ok().and_then(|bytes| size(image.format, &bytes));
    let published = size.map_or_else(|| rule.most(), |(width, height)| rule.tokens(width, height));
    published.saturating_add(published.div_ceil(MARGIN)).saturating_add(TOKENS_A_PICTURE)
}

/// The width and height in pixels. `None` if one of them is 0 or cannot be read.
fn size(format: ImageFormat, bytes: &[u8]) -> Option<(u32, u32)> {
    let size = match format {
        ImageFormat::Png => png(bytes),
        ImageFormat::Jpeg => jpeg(bytes),
        ImageFormat::Gif => gif(bytes),
        ImageFormat::Webp => webp(bytes),
    };
    size.filter(|(width, height)| *width > 0 && *height > 0)
}

fn png(bytes: &[u8]) -> Option<(u32, u32)> {
    let header = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR")?;
    let (width, rest) = header.split_first_chunk()?;
    Some((u32::from_be_bytes(*width), u32::from_be_bytes(*rest.first_chunk()?)))
}

fn jpeg(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut rest = bytes.strip_prefix(b"\xff\xd8")?;
    let mut frame = None;
    loop {
        let ([0xff, marker, length @ ..], segment) = rest.split_first_chunk::<4>()? else { return None };
        match marker {
            // The frame. A second frame would be another picture.
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                let [_, a, b, c, d] = segment.first_chunk()?;
                let size = (u16::from_be_bytes([*c, *d]).into(), u16::from_be_bytes([*a, *b]).into());
                if frame.replace(size).is_some() {
                    return None;
                }
            }
            // The start of the scan.
            0xda => return frame,
            // Tables, restart intervals, application data and comments.
            0xc4 | 0xcc | 0xdb | 0xdd | 0xe0..=0xef | 0xfe => {}
            _ => return None,
        }
        rest = segment.get(usize::from(u16::from_be_bytes(*length)).checked_sub(2)?..)?;
    }
}

/// The smallest area that contains the screen and every frame.
fn gif(bytes: &[u8]) -> Option<(u32, u32)> {
    let screen = bytes.strip_prefix(b"GIF89a").or_else(|| bytes.strip_prefix(b"GIF87a"))?;
    let ([a, b, c, d, flags, _, _], mut rest) = screen.split_first_chunk()?;
    let (mut width, mut height) = (u32::from(u16::from_le_bytes([*a, *b])), u32::from(u16::from_le_bytes([*c, *d])));
    rest = rest.get(color_table(*flags)..)?;
    loop {
        match rest.split_first()? {
            (0x21, extension) => rest = blocks(extension.get(1..)?)?,
            (0x2c, frame) => {
                let (numbers, after) = frame.split_first_chunk::<9>()?;
                let [left, left_high, top, top_high, wide, wide_high, high, high_high, flags] = *numbers;
                let number = |low, high| u32::from(u16::from_le_bytes([low, high]));
                width = width.max(number(left, left_high).saturating_add(number(wide, wide_high)));
                height = height.max(number(top, top_high).saturating_add(number(high, high_high)));
                // The color table, then the code size, then the codes.
                rest = blocks(after.get(color_table(flags).saturating_add(1)..)?)?;
            }
            (0x3b, _) => return Some((width, height)),
            _ => return None,
        }
    }
}

/// The size of the color table that `flags` announces, in bytes.
fn color_table(flags: u8) -> usize {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}

/// The rest after a list of blocks. Each block starts with its length. An empty block ends the list.
fn blocks(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let (length, block) = rest.split_first()?;
        if *length == 0 {
            return Some(block);
        }
        rest = block.get(usize::from(*length)..)?;
    }
}

fn webp(bytes: &[u8]) -> Option<(u32, u32)> {
    let (_, chunk) = bytes.strip_prefix(b"RIFF")?.split_first_chunk::<4>()?;
    let (kind, rest) = chunk.strip_prefix(b"WEBP")?.split_first_chunk::<4>()?;
    let (_, data) = rest.split_first_chunk::<4>()?;
    match kind {
        // The size of the canvas, minus one. The canvas contains every frame. libwebp rejects a still picture of
        // another size.
        b"VP8X" => {
            let (_, edges) = data.split_first_chunk::<4>()?;
            let (width, edges) = edges.split_first_chunk::<3>()?;
            let height = edges.first_chunk::<3>()?;
            let edge = |[low, middle, high]: [u8; 3]| u32::from_le_bytes([low, middle, high, 0]).saturating_add(1);
            Some((edge(*width), edge(*height)))
        }
        // The size minus one, in 14 bits for each edge.
        b"VP8L" => {
            let numbers = u32::from_le_bytes(*data.strip_prefix(b"\x2f")?.first_chunk()?);
            Some(((numbers & 0x3fff) + 1, (numbers >> 14 & 0x3fff) + 1))
        }
        // The size in 14 bits for each edge, after the frame tag.
        b"VP8 " => {
            let [a, b, c, d] = *data.get(3..)?.strip_prefix(b"\x9d\x01\x2a")?.first_chunk()?;
            let number = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
            Some((number(a, b), number(c, d)))
        }
        _ => None,
    }
}

#[cfg(test)]
pub mod tests;
