//! Compares the entries with the keys of the whole data set, of which `sources/litellm.json` has only the imported
//! part.

use std::collections::{BTreeMap, BTreeSet};

use sentry_models::Catalogue;
use sentry_models::catalogue::file::{Common, Entry, fits};
use serde::Deserialize;

use crate::{LITELLM, PLACES, called, common, entries, id, is_alive, print_table, providers, source};

/// The keys of all chat models of Bedrock in the data set.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DataSet {
    /// The data set, its version and its license.
    #[serde(rename = "source")]
    _source: String,
    keys: BTreeSet<String>,
}

/// A key of the data set that is an id of Bedrock, perhaps in one Region.
#[derive(Clone, Copy)]
struct Key<'k> {
    form: &'k str,
    region: Option<&'k str>,
}

fn data_set() -> DataSet {
    serde_json::from_str(include_str!("data-set.json")).unwrap()
}

fn reason<'c>(common: &'c Common, key: &str) -> Option<&'c str> {
    let left_out = common.left_out.iter().find(|out| out.keys.iter().any(|pattern| fits(pattern, key)));
    left_out.map(|out| out.why.as_str())
}

/// The model of a key, and the form and the Region in which the key has it.
fn parsed<'k>(common: &'k Common, key: &'k str) -> (&'k str, Key<'k>) {
    let (region, called) = match key.strip_prefix("bedrock/").and_then(|rest| rest.split_once('/')) {
        Some((region, called)) => (Some(region), called),
        None => (None, key),
    };
    let (form, model) = match called.split_once('.') {
        Some((group, model)) if common.region_groups.contains_key(group) => (group, model),
        _ => ("bare", called),
    };
    (common.spellings.get(model).map_or(model, String::as_str), Key { form, region })
}

#[test]
fn every_chat_model_of_the_data_has_an_entry_or_a_reason_to_be_left_out() {
    let (common, DataSet { keys, .. }) = (common(), data_set());
    let known: BTreeSet<String> = entries().into_iter().map(|entry| entry.model).collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut models: BTreeSet<&str> = BTreeSet::new();
    for key in &keys {
        let (model, _) = parsed(&common, key);
        match (reason(&common, key), known.contains(model)) {
            (Some(why), _) => *counts.entry(why).or_default() += 1,
            (None, true) => _ = models.insert(model),
            (None, false) => panic!("{key} has no entry, and no reason to be left out"),
        }
    }
    let left_out: usize = counts.values().sum();
    let mut rows = vec![[format!("{} entries", models.len()), (keys.len() - left_out).to_string()]];
    rows.extend(counts.iter().map(|(why, count)| [format!("left out: {why}"), count.to_string()]));
    print_table("Keys of the data set", ["in the catalogue", "keys"], &rows);
    assert_eq!((keys.len(), left_out, models.len()), (479, 30, 120));

    // A pattern that fits nothing would hide the next key that it fits.
    for pattern in common.left_out.iter().flat_map(|out| &out.keys) {
        assert!(keys.iter().any(|key| fits(pattern, key)), "leftOut {pattern} fits no key of the data");
    }
    for key in source(LITELLM).keys() {
        assert_eq!(reason(&common, key), None, "{key}");
        assert!(known.contains(parsed(&common, key).0), "{key} has no entry");
    }
}

/// The last day of a model decides below if it counts. So no entry may have one without a source.
#[test]
fn every_end_is_that_of_the_data_or_has_a_source_of_its_own() {
    let (common, rows) = (common(), source(LITELLM));
    for entry in entries() {
        let Some(ends) = entry.ends.map(|ends| ends.to_string()) else { continue };
        let of_data = rows.iter().filter(|(key, _)| parsed(&common, key).0 == entry.model);
        let is_told = of_data.into_iter().any(|(_, row)| row["deprecation_date"] == ends.as_str());
        assert!(is_told || entry.kept.contains_key("ends"), "{} ends {ends}, by no source", entry.model);
    }
}

/// The models that the data offers in a place, from its keys alone. The price rows of the catalogue have no part in
/// this, so a price that an import loses is missed below.
///
/// A key without a Region means every commercial Region of its form: LiteLLM's convention, and the catalogue's. There
/// is one exception, from AWS's pages and not from the data: the own id of a model in `profileOnly` cannot be called.
/// If the data has no profile of such a model, those of its entry's `forms` count.
fn offered<'f>(
    entry: &Entry,
    keys: &[Key<'_>],
    profile_only: bool,
    region: &str,
    forms: &[&'f str],
) -> Option<&'f str> {
    let only_own_id = profile_only && keys.iter().all(|key| key.form == "bare");
    forms.iter().copied().find(|form| {
        let has_key = |key: &Key<'_>| {
            key.form == *form
                && match key.region {
                    Some(other) => other == region,
                    None => !(profile_only && *form == "bare"),
                }
        };
        keys.iter().any(has_key) || only_own_id && entry.forms.iter().any(|own| own == form)
    })
}

/// The reading of "at least 95 % of the living chat models are priced for us-east-1, eu-west-1 and `global.`": of
/// those that the data offers there. Each must have a price under the id that an alias means there. The models that
/// the data does not offer in a place are named.
#[test]
fn living_chat_models_of_the_data_have_a_price_wherever_they_are_offered() {
    let (catalogue, common, DataSet { keys, .. }) = (Catalogue::bundled().unwrap(), common(), data_set());
    let mut of_model: BTreeMap<&str, Vec<Key<'_>>> = BTreeMap::new();
    for key in keys.iter().filter(|key| reason(&common, key).is_none()) {
        let (model, key) = parsed(&common, key);
        of_model.entry(model).or_default().push(key);
    }
    let profile_only: Vec<_> = providers().into_iter().flat_map(|file| file.profile_only).collect();
    let entries = entries();
    let alive: Vec<(&Entry, &Vec<Key<'_>>)> = entries
        .iter()
        .filter(|entry| is_alive(entry))
        .filter_map(|entry| Some((entry, of_model.get(entry.model.as_str())?)))
        .collect();
    let (mut rows, mut without, mut elsewhere) = (Vec::new(), Vec::new(), Vec::new());
    for place in &PLACES {
        let (mut priced, mut assumed, mut unpriced, mut absent) = (0, 0, Vec::new(), Vec::new());
        for (entry, keys) in &alive {
            let is_profile_only = profile_only.iter().any(|fact| fact.fits(&entry.model));
            let Some(form) = offered(entry, keys, is_profile_only, place.region, place.forms) else {
                absent.push(entry.model.as_str());
                continue;
            };
            match called(&catalogue, entry, place.region, place.forms) {
                Some((own, resolved)) if own == form && resolved.model.price.is_some() => {
                    priced += 1;
                    let is_told = |key: &Key<'_>| key.form == form && key.region == Some(place.region);
                    assumed += usize::from(form == "bare" && !keys.iter().any(is_told));
                }
                _ => unpriced.push(id(&entry.model, form)),
            }
        }
        let offered = alive.len() - absent.len();
        rows.push([
            place.name.to_owned(),
            alive.len().to_string(),
            offered.to_string(),
            priced.to_string(),
            assumed.to_string(),
            unpriced.join(", "),
            absent.join(", "),
        ]);
        without.extend(unpriced);
        elsewhere.push(absent);
    }
    // The price of an own id without a Region in its key is assumed to apply in every commercial Region.
    let by_own_id = "of these by an own id's price in no named Region";
    let heads = ["place", "living", "offered there", "priced", by_own_id, "without a price", "not offered there"];
    print_table("Living chat models of the data set with a price", heads, &rows);
    // This is stricter than the 95 %, so one lost price is noticed.
    assert_eq!(without, Vec::<String>::new(), "offered, but without a price");
    assert_eq!(elsewhere[0], Vec::<&str>::new());
    assert_eq!(
        elsewhere[1],
        [
            "amazon.nova-premier-v1:0",
            "anthropic.claude-mythos-5",
            "anthropic.claude-mythos-preview",
            "deepseek.r1-v1:0",
            "meta.llama4-scout-17b-instruct-v1:0",
            "meta.llama4-maverick-17b-instruct-v1:0",
        ]
    );
    assert_eq!(alive.len() - elsewhere[2].len(), 31);
}
