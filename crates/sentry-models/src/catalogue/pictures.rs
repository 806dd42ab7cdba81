//! The tokens of a picture, by the rules that vendors publish.
//!
//! The figures of a rule are data: `pictures` in `common.json`. Each rule names the page that publishes it and the day
//! on which the page was read.

use std::num::NonZeroU32;

use serde::Deserialize;

/// A vendor's rule for the tokens of one picture. It has no margin. A caller that holds tokens adds its own margin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PictureRule {
    /// A fixed maximum of tokens for a picture of any size.
    Flat(NonZeroU32),
    /// One token for each square of the picture.
    Patches(Patches),
    /// The rule of Amazon Nova, first version.
    ///
    /// Source: Amazon Nova User Guide, "Image understanding"
    /// (docs.aws.amazon.com/nova/latest/userguide/modalities-image.html), read 2026-11-26. The picture is rescaled to
    /// the closest of some aspect ratios. A table lists the tokens of five sizes, with "~2600" for the largest. The
    /// guide does not say how a picture between two sizes counts, nor how a larger picture counts. Therefore a picture
    /// has the tokens of the smallest size in the table that certainly holds it, or 2,600 if no size does. Above the
    /// largest area of the table, a picture has one token per 650 pixels, which is the rate of the largest size.
    Nova,
}

/// A rule that cuts a picture into squares. Each square is one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Patches {
    /// The side of a square, in pixels.
    side: NonZeroU32,
    /// The long edge to which a larger picture is scaled down, in pixels. Absent if the vendor has no such step.
    long_edge: Option<NonZeroU32>,
    /// `true` if each row ends with one more token.
    #[serde(default)]
    row_end: bool,
    /// Fewest tokens of a picture. A smaller picture is scaled up.
    #[serde(default)]
    least: u32,
    /// Most tokens of a picture. A larger picture is scaled down.
    most: NonZeroU32,
}

impl PictureRule {
    /// The maximum of tokens for a picture of `width` and `height` pixels.
    #[must_use]
    pub fn tokens(self, width: u32, height: u32) -> u64 {
        match self {
            Self::Flat(tokens) => tokens.get().into(),
            Self::Patches(patches) => patches.tokens(width.into(), height.into()),
            Self::Nova => nova(width.max(height).into(), width.min(height).into()),
        }
    }

    /// The maximum of tokens for any picture that the model accepts.
    #[must_use]
    pub fn most(self) -> u64 {
        match self {
            Self::Flat(tokens) => tokens.get().into(),
            Self::Patches(patches) => patches.most.get().into(),
            Self::Nova => nova(NOVA_EDGE, NOVA_EDGE),
        }
    }
}

impl Patches {
    fn tokens(self, width: u64, height: u64) -> u64 {
        let long = width.max(height);
        let scaled = |edge: u64| match self.long_edge.map(|most| u64::from(most.get())) {
            Some(most) if most < long => edge.saturating_mul(most).div_ceil(long),
            _ => edge,
        };
        let squares = |edge| scaled(edge).div_ceil(self.side.get().into());
        let tokens = squares(width).saturating_add(self.row_end.into()).saturating_mul(squares(height));
        tokens.max(self.least.into()).min(self.most.get().into())
    }
}

/// The longest edge, in pixels. "There's a maximum resolution of 8,000x8,000 pixels."
const NOVA_EDGE: u64 = 8_000;
/// The aspect ratios to which a picture is rescaled: long edge to short edge, in halves.
const NOVA_RATIOS: [u64; 10] = [2, 3, 4, 6, 8, 10, 12, 14, 16, 18];
/// The largest size of the table, 1.3Kx1.3K: its tokens, and its pixels per token.
const NOVA_LARGEST: (u64, u64) = (2_600, 650);
/// For the ratios 1:1, 2:3 and 1:2: the aspect ratios, from and to, for which each can be the closest. In hundredths.
/// The guide does not say how it measures the distance, so the ranges overlap.
const NOVA_RATIOS_OF_SIZES: [(u64, u64); 3] = [SQUARE, TWO_THIRDS, HALF];
const SQUARE: (u64, u64) = (100, 125);
const TWO_THIRDS: (u64, u64) = (120, 175);
const HALF: (u64, u64) = (170, 250);
/// The long and the short edge in pixels, the tokens, and the aspect ratios of the pictures that are rescaled to this
/// size.
type Size = (u64, u64, u64, (u64, u64));
/// The other sizes of the table. If two sizes have the same ratio, the smaller one is first.
const NOVA_SIZES: [Size; 4] =
    [(900, 450, 800, HALF), (900, 900, 1_300, SQUARE), (1_400, 900, 1_800, TWO_THIRDS), (1_800, 900, 2_400, HALF)];

fn nova(long: u64, short: u64) -> u64 {
    let short = short.max(1);
    let ratio = long.saturating_mul(100) / short;
    // For each aspect ratio that may be the closest, take the smallest size that holds the picture.
    let mut sizes = NOVA_RATIOS_OF_SIZES.iter().filter(|(from, to)| (*from..=*to).contains(&ratio)).map(|at| {
        let size = NOVA_SIZES.iter().find(|(wide, high, _, of)| of == at && long <= *wide && short <= *high);
        size.map(|(_, _, tokens, _)| *tokens)
    });
    let tabled = sizes.try_fold(0, |most, tokens| tokens.map(|tokens| most.max(tokens))).filter(|tokens| *tokens > 0);
    let (tokens, rate) = NOVA_LARGEST;
    tabled.unwrap_or_else(|| rescaled(long, short).div_ceil(rate).max(tokens))
}

/// The maximum of pixels after a picture is rescaled to the nearest aspect ratio below or above its own.
fn rescaled(long: u64, short: u64) -> u64 {
    let below = NOVA_RATIOS.iter().rfind(|ratio| short.saturating_mul(**ratio) <= long.saturating_mul(2));
    let above = NOVA_RATIOS.iter().find(|ratio| short.saturating_mul(**ratio) >= long.saturating_mul(2));
    let covers = |ratio: &u64| {
        let long = long.saturating_mul(2);
        let wide = long.max(short.saturating_mul(*ratio)).div_ceil(2);
        wide.saturating_mul(short.max(long.div_ceil(*ratio)))
    };
    below.into_iter().chain(above).map(covers).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn a_picture_takes_a_token_for_each_square_that_it_touches() {
        let rule: PictureRule = from_value(json!({"patches": {"side": 28, "longEdge": 1568, "most": 1568}})).unwrap();
        // The examples of Anthropic's page, and the largest picture.
        for (width, height, tokens) in
            [(200, 200, 64), (1000, 1000, 1296), (1092, 1092, 1521), (1, 1, 1), (28, 29, 2), (8000, 8000, 1568)]
        {
            assert_eq!(rule.tokens(width, height), tokens, "{width}x{height}");
        }
        // The long edge limits this picture to 1568 x 98.
        assert_eq!(rule.tokens(3136, 196), 56 * 4);
        assert_eq!(rule.most(), 1568);
    }

    #[test]
    fn a_row_can_end_with_a_token_and_small_pictures_can_be_scaled_up() {
        let rule: PictureRule =
            from_value(json!({"patches": {"side": 16, "longEdge": 1024, "rowEnd": true, "least": 9, "most": 4160}}))
                .unwrap();
        assert_eq!((rule.tokens(32, 16), rule.tokens(160, 32), rule.tokens(1024, 1024)), (9, 22, 4160));
        assert_eq!(rule.tokens(u32::MAX, u32::MAX), 4160);
    }

    #[test]
    fn nova_takes_what_its_table_says_and_the_dearer_where_the_table_leaves_it_open() {
        for (width, height, tokens) in [
            (900, 450, 800),
            (450, 900, 800),
            (800, 400, 800),
            (900, 900, 1300),
            (900, 1400, 1800),
            (1200, 900, 1800),
            (1800, 900, 2400),
            (1300, 1300, 2600),
            (1000, 1000, 2600),
            (900, 100, 2600),
            // This picture may be rescaled to 1:1 or to 2:3.
            (610, 500, 1800),
            (1000, 830, 2600),
            (8000, 8000, 98_462),
        ] {
            assert_eq!(PictureRule::Nova.tokens(width, height), tokens, "{width}x{height}");
        }
        assert_eq!(PictureRule::Nova.most(), 98_462);
        assert_eq!(PictureRule::Nova.tokens(0, 0), 2600);
    }
}
