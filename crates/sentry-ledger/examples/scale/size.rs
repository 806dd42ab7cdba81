//! The size of an item by DynamoDB's rules: the names and values that the ledger writes (`expression.rs`).

use sentry_domain::{Amount, PerUnit};
use sentry_ledger::item::Item;
use sentry_ledger::steps::Key;

/// Bytes of a text or a name.
const fn text(text: &str) -> usize {
    text.len()
}

/// Bytes of a number: one byte for two significant digits, and one more. A sign takes another byte.
fn number(number: i128) -> usize {
    let digits = number.unsigned_abs().to_string();
    digits.trim_end_matches('0').len().div_ceil(2) + 1 + usize::from(number < 0)
}

/// Bytes of the attributes of a counter with the prefix `prefix`.
fn counters(prefix: &str, numbers: &PerUnit<i128>) -> usize {
    let names = ["Input", "Output", "Usd", "Requests", "InFlight"];
    numbers.iter().zip(names).map(|((_, each), name)| text(prefix) + text(name) + number(*each)).sum()
}

fn whole(name: &str, value: impl TryInto<i128>) -> usize {
    text(name) + number(value.try_into().unwrap_or_default())
}

/// Bytes of an item. A counter stays when it returns to zero, so all counters that such an item can have are included.
pub fn bytes_of(key: &Key, item: &Item) -> usize {
    let is_shard = key.of_shard().is_some();
    let mut bytes = text("scope") + text(&key.scope) + text("window") + text(&key.window);
    bytes += text("sweepdue") + whole("sweepAtMs", item.sweep_at_ms.unwrap_or_default());
    bytes += whole("expiresAt", 1_796_169_601);
    let settled = Amount { in_flight: 0, ..item.settled };
    bytes += counters("settled", &settled.signed()) + counters("held", &item.held.signed());
    bytes += if is_shard { counters("free", &item.free) } else { counters("committed", &item.committed().signed()) };
    bytes += whole("calls", item.calls) + whole("busyMs", item.busy_ms);
    bytes += item.terms.as_ref().map_or(0, |terms| text("terms") + text(terms));
    bytes += if item.begun { text("begun") + 1 } else { 0 };
    if is_shard {
        bytes += whole("leaseUntilMs", item.lease_until_ms) + whole("spread", item.spread);
    } else {
        bytes += whole("leases", item.leases) + whole("spread", item.spread) + whole("spreadAtMs", item.spread_at_ms);
    }
    let digits = |shard: u16| shard.checked_ilog10().map_or(1, |digits| usize::try_from(digits).unwrap() + 1);
    bytes += item.shards.iter().map(|(shard, holds)| 2 + digits(*shard) + number((*holds).into())).sum::<usize>();
    // This allocates no text, because a simulation calls it millions of times.
    let hold = |owner: &String, hold: &sentry_ledger::item::Hold| {
        let lasts = hold.expires_ms.abs_diff(hold.taken_ms);
        let amount = hold.amount;
        let numbers = [
            u128::from(amount.input),
            amount.output.into(),
            amount.usd.picodollars(),
            hold.taken_ms.unsigned_abs().into(),
            lasts.into(),
        ];
        text("h#") + text(owner) + numbers.iter().map(|number| base36(*number)).sum::<usize>() + numbers.len() - 1
    };
    bytes += item.holds.iter().map(|(owner, each)| hold(owner, each)).sum::<usize>();
    bytes + item.barred.iter().map(|(owner, until)| text("x#") + text(owner) + number((*until).into())).sum::<usize>()
}

/// The number of digits in base 36.
fn base36(number: u128) -> usize {
    usize::try_from(number.checked_ilog(36).map_or(1, |digits| digits + 1)).unwrap()
}
