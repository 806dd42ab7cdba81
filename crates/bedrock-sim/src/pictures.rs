//! Computes the input tokens of a picture. The formulas come only from pages that the models' vendors publish.

use crate::models::Model;

/// Tokens of a picture if the vendor publishes no formula, or if the size of the picture is not known.
pub const TOKENS: u64 = 1_600;

/// Picture sizes in pixels, with their "estimated token count". Source: Amazon Nova User Guide, "Image
/// understanding".
const NOVA: [(u64, u64); 5] =
    [(900 * 450, 800), (900 * 900, 1_300), (1_400 * 900, 1_800), (1_800 * 900, 2_400), (1_300 * 1_300, 2_600)];
/// Aspect ratios. Source: the same page ("1:1, 1:2, 1:3, 1:4, 1:5, 1:6, 1:7, 1:8, 1:9 2:3, 2:4 and their
/// transposes").
const NOVA_RATIOS: [(u64, u64); 10] = [(1, 1), (2, 3), (1, 2), (1, 3), (1, 4), (1, 5), (1, 6), (1, 7), (1, 8), (1, 9)];
/// The longer side is scaled to more than this number of pixels. Source: the same page.
const NOVA_SIDE: u64 = 896;

/// Claude models of the "High-resolution" tier. Source: Claude Docs, "Images and vision": "Claude 4.7 and later". An
/// earlier version of the page lists Fable 5, Mythos 5, Opus 4.7, Opus 4.8, and Sonnet 5. Mythos Preview has no version
/// and is not in that list, so it is in the "Standard" tier, which has "all other models".
const CLAUDE_LARGE: [&str; 7] = [
    "anthropic.claude-opus-4-7",
    "anthropic.claude-opus-4-8",
    "anthropic.claude-opus-5",
    "anthropic.claude-sonnet-5",
    "anthropic.claude-haiku-5",
    "anthropic.claude-fable-",
    "anthropic.claude-mythos-5",
];

/// Width and height of a picture in pixels. `None` if the format is not PNG, JPEG, GIF, or WebP, or if the size
/// cannot be read.
pub fn size(bytes: &[u8]) -> Option<(u64, u64)> {
    let size = imagesize::blob_size(bytes).ok()?;
    Some((u64::try_from(size.width).ok()?.max(1), u64::try_from(size.height).ok()?.max(1)))
}

/// Input tokens of a picture of this size for `model`.
pub fn tokens(model: Option<Model<'_>>, size: Option<(u64, u64)>) -> u64 {
    let (Some(model), Some((width, height))) = (model, size) else { return TOKENS };
    let starts = |starts: &[&str]| starts.iter().any(|start| model.base.starts_with(start));
    match () {
        () if starts(&["amazon.nova-lite-v1", "amazon.nova-pro-v1", "amazon.nova-premier-v1"]) => nova(width, height),
        () if starts(&CLAUDE_LARGE) => claude(width, height, 2_576, 4_784),
        () if starts(&["anthropic.claude"]) => claude(width, height, 1_568, 1_568),
        () if starts(&["meta.llama3-2-"]) => llama_3_2(width, height),
        () if starts(&["meta.llama4-"]) => llama_4(width, height),
        () if starts(&["mistral.pixtral-large"]) => pixtral(width, height),
        () if starts(&["qwen.qwen3-vl"]) => qwen_3_vl(width, height),
        // Source: Google AI for Developers, Gemma ("each image typically uses 256 tokens").
        () if starts(&["google.gemma-3-"]) => 256,
        () => TOKENS,
    }
}

/// Tokens for Amazon Nova. The guide says that the picture is rescaled to the closest aspect ratio, and that one side
/// is then longer than 896 pixels. Between the sizes in the guide's table, this function interpolates the tokens by
/// pixels. Above the table, it uses the ratio of the largest size.
fn nova(width: u64, height: u64) -> u64 {
    let (long, short) = (width.max(height), width.min(height));
    // The closest aspect ratio is the one that changes the area the least.
    let stretched = |(a, b): (u64, u64)| (long.max(short * b / a), short.max(long * a / b));
    let change = |(long_then, short_then): (u64, u64)| (long_then * short_then).abs_diff(long * short);
    let (long, short) =
        NOVA_RATIOS.into_iter().map(stretched).min_by_key(|size| change(*size)).unwrap_or((long, short));
    let pixels = if long > NOVA_SIDE { long * short } else { short * (NOVA_SIDE + 4) * (NOVA_SIDE + 4) / long };
    let between = NOVA.windows(2).find_map(|pair| match pair {
        [(small, few), (large, many)] if (*small..=*large).contains(&pixels) => {
            Some(few + (many - few) * (pixels - small) / (large - small))
        }
        _ => None,
    });
    match (NOVA.first(), NOVA.last()) {
        (Some((small, few)), _) if pixels < *small => *few,
        (_, Some((large, many))) if pixels > *large => pixels * many / large,
        _ => between.unwrap_or(TOKENS),
    }
}

/// Tokens for Claude: one for each 28 by 28 pixels, "⌈width / 28⌉ × ⌈height / 28⌉". A picture above a limit is scaled
/// down to the largest size with the same aspect ratio that is within both limits. Source: Claude Docs, "Images and
/// vision".
fn claude(width: u64, height: u64, most_edge: u64, most_tokens: u64) -> u64 {
    let long = width.max(height);
    let tokens = |edge: u64| {
        let scaled = |side: u64| (side * edge / long).max(1).div_ceil(28);
        scaled(width) * scaled(height)
    };
    let fits = |edge: &u64| tokens(*edge) <= most_tokens;
    (1..=long.min(most_edge)).rev().find(fits).map_or(most_tokens, tokens)
}

/// Tokens for Llama 3.2. Source: Amazon Bedrock User Guide, model customization quotas
/// ("Tokens = min(2, max(Height // 560, 1)) * min(2, max(Width // 560, 1)) * 1601").
fn llama_3_2(width: u64, height: u64) -> u64 {
    let tiles = |side: u64| (side / 560).clamp(1, 2);
    tiles(width) * tiles(height) * 1_601
}

/// Tokens for Llama 4: 144 for each tile of 336 by 336 pixels, with at most 16 tiles. If there is more than one tile,
/// the whole picture costs 144 more. Marker tokens come between tiles, after rows, and around the picture. Source:
/// Hugging Face's `Llama4Processor`.
fn llama_4(width: u64, height: u64) -> u64 {
    let grids = (1..=16_u64).flat_map(|wide| (1..=16 / wide).map(move |high| (wide, high)));
    // The smallest grid that holds the picture. If there is none, the 4 by 4 grid.
    let fits = |(wide, high): &(u64, u64)| wide * 336 >= width && high * 336 >= height;
    let (wide, high) = grids.filter(fits).min_by_key(|(wide, high)| wide * high).unwrap_or((4, 4));
    if wide * high == 1 { 144 + 3 } else { (wide * high + 1) * 144 + wide * high + 3 }
}

/// Tokens for Pixtral: one for each 16 by 16 pixels, and one at the end of each row. The picture is first scaled down
/// to at most 1024 by 1024 pixels. Source: mistral-common, `ImageEncoder`.
fn pixtral(width: u64, height: u64) -> u64 {
    let long = width.max(height);
    let scaled = |side: u64| if long > 1_024 { ((2 * side * 1_024 + long) / (2 * long)).max(1) } else { side };
    (scaled(width).div_ceil(16) + 1) * scaled(height).div_ceil(16)
}

/// Tokens for Qwen3-VL: one for each 32 by 32 pixels. First, the sides become multiples of 32 pixels, and the area is
/// scaled to between 65,536 and 16,777,216 pixels. Source: Qwen3-VL's `smart_resize`.
fn qwen_3_vl(width: u64, height: u64) -> u64 {
    const LEAST: u64 = 65_536;
    const MOST: u64 = 16_777_216;
    let rounded = |side: u64| ((side + 16) / 32).max(1) * 32;
    let pixels = rounded(width) * rounded(height);
    // The side after scaling: side * sqrt(wanted / (width * height)).
    let scaled = |side: u64, wanted: u64| (side * side * wanted / (width * height)).isqrt();
    let (width, height) = match pixels {
        ..LEAST => (scaled(width, LEAST).div_ceil(32), scaled(height, LEAST).div_ceil(32)),
        LEAST..=MOST => (rounded(width) / 32, rounded(height) / 32),
        _ => ((scaled(width, MOST) / 32).max(1), (scaled(height, MOST) / 32).max(1)),
    };
    width.max(1) * height.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(model: &str, width: u64, height: u64) -> u64 {
        tokens(Model::parse(model), Some((width, height)))
    }

    #[test]
    fn the_examples_of_the_pages_cost_what_the_pages_say() {
        for (width, height, expected) in
            [(900, 450, 800), (800, 400, 800), (900, 900, 1_300), (1_800, 900, 2_400), (1_300, 1_300, 2_600)]
        {
            assert_eq!(to("amazon.nova-pro-v1:0", width, height), expected, "{width}x{height}");
        }
        assert!((1_750..=1_950).contains(&to("us.amazon.nova-lite-v1:0", 1_400, 900)));
        for (width, height, few, many) in [
            (200, 200, 64, 64),
            (1_000, 1_000, 1_296, 1_296),
            (1_092, 1_092, 1_521, 1_521),
            (1_920, 1_080, 1_560, 2_691),
            (3_840, 2_160, 1_560, 4_784),
        ] {
            assert_eq!(to("us.anthropic.claude-sonnet-4-6", width, height), few, "{width}x{height}");
            assert_eq!(to("us.anthropic.claude-opus-4-7", width, height), many, "{width}x{height}");
        }
        assert_eq!(to("meta.llama3-2-90b-instruct-v1:0", 1_280, 720), 2 * 1_601);
        assert_eq!(to("us.meta.llama4-maverick-17b-instruct-v1:0", 4_000, 4_000), 2_467);
        assert_eq!(to("us.mistral.pixtral-large-2502-v1:0", 1_024, 1_024), 4_160);
        assert_eq!(to("qwen.qwen3-vl-235b-a22b", 4_096, 4_096), 16_384);
        assert_eq!(to("google.gemma-3-27b-it", 4_096, 4_096), 256);
    }

    #[test]
    fn every_claude_from_4_7_on_takes_large_pictures() {
        for (model, most) in [
            ("us.anthropic.claude-haiku-4-5-20251001-v1:0", 1_560),
            ("us.anthropic.claude-opus-4-6-v1", 1_560),
            ("us.anthropic.claude-mythos-preview", 1_560),
            ("us.anthropic.claude-opus-4-8", 4_784),
            ("us.anthropic.claude-opus-5-5", 4_784),
            ("us.anthropic.claude-sonnet-5-5", 4_784),
            ("us.anthropic.claude-haiku-5-5", 4_784),
            ("us.anthropic.claude-fable-5", 4_784),
            ("us.anthropic.claude-mythos-5-1", 4_784),
        ] {
            assert_eq!(to(model, 3_840, 2_160), most, "{model}");
        }
    }

    #[test]
    fn a_picture_without_a_published_rule_or_that_is_not_readable_always_costs_the_same() {
        assert_eq!(to("us.amazon.nova-2-lite-v1:0", 9, 9), TOKENS);
        assert_eq!(tokens(None, Some((9, 9))), TOKENS);
        assert_eq!(tokens(Model::parse("amazon.nova-pro-v1:0"), size(b"a")), TOKENS);
    }
}
