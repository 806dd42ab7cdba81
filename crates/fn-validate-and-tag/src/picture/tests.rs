//! Headers as encoders write them, damaged headers, ambiguous headers, and holds for a thousand sizes. The holds are
//! compared with the charges of the Bedrock simulator, which has its own implementation of the same pages.

use std::sync::LazyLock;

use proptest::prelude::*;
use sentry_models::Catalogue;

use super::*;

/// The start of a picture, with enough bytes to read its size.
pub fn header(format: ImageFormat, width: u16, height: u16) -> Vec<u8> {
    let (wide, high) = (u32::from(width), u32::from(height));
    match format {
        ImageFormat::Png => {
            [b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".as_slice(), &wide.to_be_bytes(), &high.to_be_bytes(), b"\x08\x02\0\0\0"]
                .concat()
        }
        ImageFormat::Jpeg => [
            b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0\xff\xdb\0\x03\0\xff\xc2\0\x0b\x08".as_slice(),
            &height.to_be_bytes(),
            &width.to_be_bytes(),
            b"\x01\x01\x11\0\xff\xc4\0\x03\0\xff\xda\0\x08",
        ]
        .concat(),
        ImageFormat::Gif => [
            b"GIF89a".as_slice(),
            &width.to_le_bytes(),
            &height.to_le_bytes(),
            b"\x80\0\0\0\0\0\xff\xff\xff\x21\xf9\x04\0\0\0\0\0\x2c\0\0\0\0",
            &width.to_le_bytes(),
            &height.to_le_bytes(),
            b"\0\x02\x02\x44\x01\0\x3b",
        ]
        .concat(),
        ImageFormat::Webp => {
            let canvas = [&(wide - 1).to_le_bytes()[..3], &(high - 1).to_le_bytes()[..3]].concat();
            [b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0".as_slice(), &canvas].concat()
        }
    }
}

/// A picture of this size.
pub fn image(format: ImageFormat, width: u16, height: u16) -> Image {
    Image { format, source: ImageSource::Bytes(base64::encode(header(format, width, height))) }
}

fn rule(model_id: &str) -> PictureRule {
    static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::bundled().unwrap());
    CATALOGUE.resolve(model_id, "us-east-1", "2026-06-01".parse().unwrap()).unwrap().limits.picture.unwrap()
}

#[test]
fn the_size_of_each_format_is_read_and_no_other_formats() {
    for format in ImageFormat::ALL {
        for (width, height) in [(1, 1), (640, 481), (16_383, 2)] {
            let bytes = header(*format, width, height);
            assert_eq!(size(*format, &bytes), Some((width.into(), height.into())), "{format:?}");
            for other in ImageFormat::ALL.iter().filter(|other| *other != format) {
                assert_eq!(size(*other, &bytes), None, "{format:?} as {other:?}");
            }
        }
    }
    let lossless = b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f\x7f\xc2\x77\0";
    assert_eq!(size(ImageFormat::Webp, lossless), Some((640, 480)));
    let lossy = b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a\x80\x42\xe0\x81";
    assert_eq!(size(ImageFormat::Webp, lossy), Some((640, 480)));
}

#[test]
fn a_header_that_says_two_things_or_nothing_is_not_read() {
    let mut late = header(ImageFormat::Png, 9, 9);
    late.splice(8..8, *b"\0\0\0\x08tEXt\0\0\0\x01\0\0\0\x01\0\0\0\0");
    assert_eq!(size(ImageFormat::Png, &late), None);
    assert_eq!(size(ImageFormat::Jpeg, &header(ImageFormat::Jpeg, 9, 0)), None);
    let jpeg = header(ImageFormat::Jpeg, 9, 9);
    let frame = b"\xff\xc0\0\x0b\x08\0\x01\0\x01\x01\x01\x11\0";
    for inside in [frame.as_slice(), b"\xff\xff", b"\xff\xd8", b"\xff\xe1\0\0", b"\0"] {
        let twice = [&jpeg[..20], inside, &jpeg[20..]].concat();
        assert_eq!(size(ImageFormat::Jpeg, &twice), None, "{inside:?}");
    }
    // A frame that is larger than the screen.
    let mut gif = header(ImageFormat::Gif, 300, 200);
    gif[6..10].copy_from_slice(&[1, 0, 1, 0]);
    assert_eq!(size(ImageFormat::Gif, &gif), Some((300, 200)));
    for format in ImageFormat::ALL {
        let whole = header(*format, 300, 200);
        for length in 0..16 {
            assert_eq!(size(*format, &whole[..length]), None);
        }
    }
}

#[test]
fn an_unreadable_picture_is_held_as_the_largest_of_the_family() {
    let damaged = Image { format: ImageFormat::Png, source: ImageSource::Bytes("YQ==".into()) };
    let other = Image { format: ImageFormat::Jpeg, ..image(ImageFormat::Png, 1, 1) };
    for picture in [damaged, other] {
        assert_eq!(tokens(&picture, rule("claude-haiku-4-5")), 1568 + 196 + 64);
        assert_eq!(tokens(&picture, rule("llama-4-maverick")), 2467 + 309 + 64);
        assert_eq!(tokens(&picture, rule("nova-pro")), 98_462 + 12_308 + 64);
    }
}

/// A model for every rule of the catalogue.
const MODELS: [&str; 11] = [
    "amazon.nova-lite-v1:0",
    "amazon.nova-pro-v1:0",
    "us.anthropic.claude-haiku-4-5-20251001-v1:0",
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "us.anthropic.claude-sonnet-4-6",
    "us.anthropic.claude-opus-4-7",
    "us.meta.llama3-2-90b-instruct-v1:0",
    "us.meta.llama4-maverick-17b-instruct-v1:0",
    "us.mistral.pixtral-large-2502-v1:0",
    "qwen.qwen3-vl-235b-a22b",
    "google.gemma-3-27b-it",
];

#[test]
fn a_picture_of_1600_tokens_to_nova_pro_is_held_at_no_more_than_twice_that() {
    let mut seen = 0;
    for (width, height) in
        (200..=2_000_u16).step_by(8).flat_map(|width| (200..=2_000).step_by(8).map(move |height| (width, height)))
    {
        let bytes = header(ImageFormat::Png, width, height);
        if bedrock_sim::picture_tokens("amazon.nova-pro-v1:0", &bytes) == 1_600 {
            seen += 1;
            let held = tokens(&image(ImageFormat::Png, width, height), rule("nova-pro"));
            assert!((1_600..=3_200).contains(&held), "{width}x{height}: {held}");
        }
    }
    assert!(seen > 10, "{seen}");
    assert_eq!(tokens(&image(ImageFormat::Png, 1_200, 900), rule("nova-pro")), 1_800 + 225 + 64);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Checks a thousand sizes in every format, for every family that accepts pictures.
    #[test]
    fn no_hold_is_below_what_is_charged(
        edges in prop_oneof![(1..8_001_u16, 1..8_001_u16), (1..2_000_u16, 1..2_000_u16), (1..200_u16, 1..8_001_u16)],
        turned in any::<bool>(),
        format in proptest::sample::select(ImageFormat::ALL),
    ) {
        let (width, height) = if turned { (edges.1, edges.0) } else { edges };
        let bytes = header(format, width, height);
        let picture = image(format, width, height);
        for model in MODELS {
            let charged = bedrock_sim::picture_tokens(model, &bytes);
            let held = tokens(&picture, rule(model));
            prop_assert!(held >= charged, "{model} {width}x{height}: {held} held, {charged} charged");
            if model.contains("nova") {
                prop_assert!(held <= 2 * charged + 1_400, "{model} {width}x{height}: {held} held, {charged} charged");
            }
        }
    }

    #[test]
    fn no_bytes_are_too_strange_to_be_looked_at(mut bytes in proptest::collection::vec(any::<u8>(), 0..80), at in 0..80_usize, width in 1..9_000_u16) {
        for format in ImageFormat::ALL {
            let _ = size(*format, &bytes);
            let mut damaged = header(*format, width, 7);
            if let (Some(place), Some(byte)) = (damaged.get_mut(at), bytes.pop()) {
                *place = byte;
            }
            let _ = size(*format, &damaged);
        }
    }
}
