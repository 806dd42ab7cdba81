//! The trailing side: what AWS bills, by day, tag value and model.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use sentry_domain::Usd;

/// An amount of the bill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Billed {
    /// The UTC day of the usage.
    pub day: NaiveDate,
    /// The value of the cost-allocation tag. Empty if what was used does not have the tag.
    pub tag: String,
    /// Bedrock's name of the model, such as `Claude Haiku 4.5`. Absent if the bill was not asked by model.
    pub model: Option<String>,
    /// The amount of the bill, in dollars.
    pub usd: Usd,
}

/// The bill of a month.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bill {
    /// The amounts of Bedrock.
    pub lines: Vec<Billed>,
    /// Credits and refunds, which are negative amounts of the bill. They are not in `lines`.
    pub credits: Usd,
    /// The number of requests to Cost Explorer, at $0.01 each.
    pub requests: u32,
    /// The key of the cost-allocation tag.
    pub tag_key: String,
}

impl Bill {
    /// The last day for which the bill has an amount.
    #[must_use]
    pub fn until(&self) -> Option<NaiveDate> {
        self.lines.iter().filter(|line| line.usd != Usd::ZERO).map(|line| line.day).max()
    }

    /// The names of the models.
    pub(crate) fn models(&self) -> BTreeSet<&str> {
        self.lines.iter().filter_map(|line| line.model.as_deref()).collect()
    }
}

/// The model of the bill that each id of a model belongs to.
///
/// The bill has names such as `Nova Lite` and the ledger has ids such as `us.amazon.nova-lite-v1:0`. A name belongs to
/// an id if its letters and digits are, in one piece, in those of the id. If several do, the longest name wins, so that
/// `claude-sonnet-4-5` is not `Claude Sonnet 4`.
///
/// An id of `sources` is that of an application inference profile. It has no letters of its model, so its source counts.
pub fn by_id<'n>(
    names: &BTreeSet<&'n str>,
    ids: impl IntoIterator<Item = String>,
    sources: &BTreeMap<String, String>,
) -> BTreeMap<String, &'n str> {
    let matches = ids.into_iter().filter_map(|id| {
        let plain = letters(sources.get(&id).unwrap_or(&id));
        let fitting = names.iter().filter(|name| !letters(name).is_empty() && plain.contains(&letters(name)));
        let name = *fitting.max_by_key(|name| letters(name).len())?;
        Some((id, name))
    });
    matches.collect()
}

fn letters(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_the_bill_belongs_to_the_ids_of_its_model() {
        let names = BTreeSet::from(["Claude Sonnet 4", "Claude Sonnet 4.5", "Nova Lite", "Llama 3.3 70B Instruct", ""]);
        let sources = BTreeMap::from([("k3w9q1x0a2b5".to_owned(), "amazon.nova-lite-v1:0".to_owned())]);
        let of = |id: &str| by_id(&names, [id.to_owned()], &sources).get(id).copied();
        assert_eq!(of("us.anthropic.claude-sonnet-4-5-20250929-v1:0"), Some("Claude Sonnet 4.5"));
        assert_eq!(of("anthropic.claude-sonnet-4-20250514-v1:0"), Some("Claude Sonnet 4"));
        assert_eq!(of("us.amazon.nova-lite-v1:0"), Some("Nova Lite"));
        assert_eq!(of("amazon.nova-2-lite-v1:0"), None);
        assert_eq!(of("us.meta.llama3-3-70b-instruct-v1:0"), Some("Llama 3.3 70B Instruct"));
        assert_eq!(of("k3w9q1x0a2b4"), None);
        assert_eq!(of("k3w9q1x0a2b5"), Some("Nova Lite"));
    }
}
