//! Signed picodollars, for differences.

use sentry_domain::{Usd, UsdDifference};

/// A signed amount in units of 10⁻¹² dollars.
pub type Picodollars = i128;

/// The amount as a signed number. An amount beyond the range of `i128` is its largest number.
pub fn signed(amount: Usd) -> Picodollars {
    i128::try_from(amount.picodollars()).unwrap_or(i128::MAX)
}

/// The amount as the exact difference that is written in reports.
pub fn difference(picodollars: Picodollars) -> UsdDifference {
    let size = Usd::from_picodollars(picodollars.unsigned_abs());
    if picodollars < 0 { Usd::ZERO.minus(size) } else { size.minus(Usd::ZERO) }
}

/// The amount without its sign.
pub fn size(picodollars: Picodollars) -> Usd {
    Usd::from_picodollars(picodollars.unsigned_abs())
}

/// The largest whole number whose square is at most `number`.
pub fn root(number: u128) -> u128 {
    number.isqrt()
}
