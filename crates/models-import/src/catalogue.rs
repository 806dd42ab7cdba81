//! The catalogue's files, in the form that an import uses: one price for each form and Region.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use chrono::NaiveDate;
use sentry_domain::Price;
use sentry_models::catalogue::file::{Common, Entry, PriceRow, ProviderFile, fits};
use serde_json::{Map, Value};

use super::layout;

/// Forms of an id, in the order in which rows list them. A model's own id has the form `bare`.
pub const FORMS: [&str; 10] = ["bare", "us", "eu", "apac", "au", "jp", "in", "ca", "us-gov", "global"];
/// Source name of LiteLLM's model map.
pub const LITELLM: &str = "litellm";
/// Source name of the AWS Price List.
pub const AWS: &str = "aws";
/// Name of the extract of genai-prices, which is only compared with the prices.
pub const GENAI: &str = "genai-prices";

/// A form, and the only Region in which the price applies. Without a Region, it applies to all Regions.
pub type Place = (String, Option<String>);

/// A price of one form, possibly in one Region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Priced {
    /// Dollars per million tokens.
    pub price: Price,
    /// Source name: `aws` or `litellm`.
    pub source: String,
    /// Source of the rates that are missing in `source`.
    pub rest: Option<String>,
    /// Page that the source names.
    pub url: Option<String>,
    /// Date on which the price was read.
    pub read: NaiveDate,
    /// Result of the comparison with genai-prices.
    pub second: Option<String>,
}

impl Priced {
    /// `true` if both are equal except for `url`.
    fn is_like(&self, other: &Self) -> bool {
        Self { url: other.url.clone(), ..self.clone() } == *other
    }
}

/// The catalogue's files on disk.
#[derive(Clone, Debug)]
pub struct Files {
    folder: PathBuf,
    /// Parsed `common.json`, which an import does not change.
    pub common: std::rc::Rc<Common>,
    /// Provider files by the name of the provider.
    pub providers: BTreeMap<String, Provider>,
    /// Rows of the sources that prices are based on, by the name of the extract file.
    pub extracts: BTreeMap<String, Map<String, Value>>,
}

/// The file of one provider.
#[derive(Clone, Debug)]
pub struct Provider {
    takes: Vec<sentry_models::catalogue::file::TakesRule>,
    profile_only: Vec<sentry_models::catalogue::file::Sourced>,
    /// The entries in the order of the file.
    pub models: Vec<Entry>,
}

/// A difference between two states of the catalogue.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    kind: Kind,
    /// Description of the change, for people.
    pub line: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A known value changed or disappeared.
    Drift,
    /// A new value or a new model.
    New,
    /// A model reached its end.
    Ended,
}

impl Change {
    /// `true` if a known value changed or disappeared.
    pub fn is_drift(&self) -> bool {
        self.kind == Kind::Drift
    }

    fn new(kind: Kind, text: &str) -> Self {
        let word = match kind {
            Kind::Drift => "changed",
            Kind::New => "new",
            Kind::Ended => "ended",
        };
        Self { kind, line: format!("{word:<8} {text}") }
    }
}

impl Files {
    /// Reads the files of the crate in `folder`.
    ///
    /// # Errors
    /// If a file is missing or has another format.
    pub fn open(folder: &Path) -> Result<Self> {
        let read = |path: PathBuf| fs::read_to_string(&path).with_context(|| path.display().to_string());
        let mut providers = Vec::new();
        for (name, _) in sentry_models::catalogue::PROVIDERS {
            providers.push(((*name).to_owned(), read(folder.join("catalogue").join(name))?));
        }
        let mut files = Self::parse(folder, &read(folder.join("catalogue/common.json"))?, &providers)?;
        for (name, rows) in &mut files.extracts {
            let path = folder.join(format!("sources/{name}.json"));
            if path.exists() {
                *rows = serde_json::from_str(&read(path)?).with_context(|| name.clone())?;
            }
        }
        Ok(files)
    }

    /// Parses the files of the crate in `folder` from these texts, with empty extracts.
    ///
    /// # Errors
    /// If a text has another format.
    pub fn parse(folder: &Path, common: &str, texts: &[(String, String)]) -> Result<Self> {
        let common = serde_json::from_str(common).context("common.json")?;
        let mut providers = BTreeMap::new();
        for (name, text) in texts {
            let file: ProviderFile<Entry> = serde_json::from_str(text).with_context(|| name.clone())?;
            let ProviderFile { provider, takes, profile_only, models } = file;
            providers.insert(provider, Provider { takes, profile_only, models });
        }
        let extracts = [LITELLM, AWS, GENAI].map(|name| (name.to_owned(), Map::new())).into();
        Ok(Self { folder: folder.to_owned(), common: std::rc::Rc::new(common), providers, extracts })
    }

    /// Writes the provider files and the extracts.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn save(&self) -> Result<()> {
        for (path, text) in self.texts()? {
            let path = self.folder.join(path);
            fs::write(&path, text).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }

    /// The contents of the provider files and the extracts, by their paths in the crate.
    ///
    /// # Errors
    /// If a file cannot be serialized as JSON.
    pub fn texts(&self) -> Result<BTreeMap<String, String>> {
        let mut texts = BTreeMap::new();
        for (provider, file) in &self.providers {
            let Provider { takes, profile_only, models } = file.clone();
            let file = ProviderFile { provider: provider.clone(), takes, profile_only, models };
            texts.insert(format!("catalogue/{provider}.json"), layout::provider_file(&file)?);
        }
        for (name, rows) in self.extracts.iter().filter(|(_, rows)| !rows.is_empty()) {
            texts.insert(format!("sources/{name}.json"), layout::rows(rows)?);
        }
        Ok(texts)
    }

    /// All entries of all providers.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.providers.values().flat_map(|file| &file.models)
    }

    /// The entry of `model`. It is created if it does not exist.
    ///
    /// # Errors
    /// If its provider has no file.
    pub fn entry(&mut self, model: &str) -> Result<&mut Entry> {
        let mut files = self.providers.iter_mut();
        let Some((_, file)) = files.find(|(provider, _)| model.starts_with(provider.as_str())) else {
            bail!("{model}: its provider has no file; add one to catalogue/ and to the list in catalogue/load.rs");
        };
        let at = file.models.iter().position(|entry| entry.model == model);
        let at = at.unwrap_or_else(|| {
            file.models.push(Entry { model: model.to_owned(), ..Entry::default() });
            file.models.len() - 1
        });
        file.models.get_mut(at).context("just found")
    }

    /// `true` if the model can be called only through profiles.
    pub fn is_profile_only(&self, model: &str) -> bool {
        self.providers.values().flat_map(|file| &file.profile_only).any(|fact| fact.fits(model))
    }

    /// The name that entries use for the model with the source's `id`. `None` if it has no entry.
    pub fn name_of(&self, id: &str) -> Option<String> {
        let entry = self.entries().find(|entry| entry.model == split(id).1)?;
        Some(entry.aliases.first().unwrap_or(&entry.model).clone())
    }

    /// The Region groups that contain `region`.
    pub fn groups_of(&self, region: &str) -> Vec<&str> {
        let groups = self.common.region_groups.iter();
        let of_region = groups.filter(|(_, regions)| regions.iter().any(|at| fits(at, region)));
        of_region.map(|(group, _)| group.as_str()).collect()
    }

    /// The differences between this state and `after`. Each has one line of text.
    pub fn changes(&self, after: &Self, today: NaiveDate) -> Vec<Change> {
        let before: BTreeMap<&str, &Entry> = self.entries().map(|entry| (entry.model.as_str(), entry)).collect();
        let mut changes = Vec::new();
        for entry in after.entries() {
            match before.get(entry.model.as_str()) {
                Some(old) => compare(old, entry, today, &mut changes),
                None => changes
                    .push(Change::new(Kind::New, &format!("{}, with {} price(s)", entry.model, places(entry).len()))),
            }
        }
        changes
    }
}

fn compare(old: &Entry, new: &Entry, today: NaiveDate, changes: &mut Vec<Change>) {
    let id = &new.model;
    let mut fact = |name: &str, old: Option<String>, new: Option<String>| match (old, new) {
        (old, new) if old == new => {}
        (None, Some(new)) => changes.push(Change::new(Kind::New, &format!("{id} {name}: {new}"))),
        (Some(old), new) => {
            let new = new.unwrap_or_else(|| "gone".to_owned());
            changes.push(Change::new(Kind::Drift, &format!("{id} {name}: {old} -> {new}")));
        }
        (None, None) => {}
    };
    let number = |value: Option<u32>| value.map(|value| value.to_string());
    fact("contextWindow", number(old.context_window), number(new.context_window));
    fact("outputLimit", number(old.output_limit), number(new.output_limit));
    fact("ends", old.ends.map(|day| day.to_string()), new.ends.map(|day| day.to_string()));
    fact("successor", old.successor.clone(), new.successor.clone());
    let takes = |entry: &Entry| layout::line(&entry.takes).ok().filter(|_| !entry.takes.is_empty());
    fact("takes", takes(old), takes(new));
    let (before, after) = (places(old), places(new));
    for (place, priced) in &after {
        let name = name_of_place(place);
        let second = |priced: &Priced| priced.second.clone();
        let Some(was) = before.get(place) else {
            fact(&name, None, Some(sum(&priced.price)));
            continue;
        };
        let (old, new) = (components(&was.price), components(&priced.price));
        for what in old.keys().chain(new.keys().filter(|what| !old.contains_key(*what))) {
            fact(&format!("{name} {what}"), old.get(what).cloned(), new.get(what).cloned());
        }
        fact(&format!("{name} second source"), second(was), second(priced));
        fact(&format!("{name} source"), Some(was.source.clone()), Some(priced.source.clone()));
    }
    for (place, priced) in before.iter().filter(|(place, _)| !after.contains_key(*place)) {
        fact(&name_of_place(place), Some(sum(&priced.price)), None);
    }
    if new.ends.is_some_and(|ends| ends <= today) && old.ends != new.ends {
        let by = new.successor.as_deref().unwrap_or("nothing yet");
        changes.push(Change::new(Kind::Ended, &format!("{id}, replaced by {by}")));
    }
}

fn name_of_place((form, region): &Place) -> String {
    region.as_ref().map_or_else(|| form.clone(), |region| format!("{form} in {region}"))
}

fn sum(price: &Price) -> String {
    format!("{}/{}", price.rates.input, price.rates.output)
}

/// Each rate of a price by its name, such as `longContext.rates.input`.
pub fn components(price: &Price) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    flatten("", &serde_json::to_value(price).unwrap_or_default(), &mut all);
    all
}

fn flatten(path: &str, value: &Value, all: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            flatten(&path, value, all);
        }),
        Value::String(text) => _ = all.insert(path.to_owned(), text.clone()),
        other => _ = all.insert(path.to_owned(), other.to_string()),
    }
}

/// The prices of an entry by form and Region.
pub fn places(entry: &Entry) -> BTreeMap<Place, Priced> {
    let mut places = BTreeMap::new();
    for row in &entry.prices {
        let PriceRow { price, source, rest, url, read, second, .. } = row.clone();
        let priced = Priced { price, source, rest, url, read, second };
        let regions: Vec<Option<String>> =
            if row.regions.is_empty() { vec![None] } else { row.regions.iter().cloned().map(Some).collect() };
        for form in &row.r#for {
            for region in &regions {
                places.insert((form.clone(), region.clone()), priced.clone());
            }
        }
    }
    places
}

/// The price rows of an entry. Forms with the same prices share a row, and so do Regions. A shared row has the URL of
/// the first price.
pub fn rows(places: &BTreeMap<Place, Priced>) -> Vec<PriceRow> {
    let mut by_form: Vec<(&str, Vec<String>, &Priced)> = Vec::new();
    for form in FORMS {
        for ((_, region), priced) in places.iter().filter(|((other, _), _)| other == form) {
            let region: Vec<String> = region.iter().cloned().collect();
            let same = by_form.iter_mut().find(|(other, regions, price)| {
                *other == form && price.is_like(priced) && regions.is_empty() == region.is_empty()
            });
            match same {
                Some((_, regions, _)) => regions.extend(region),
                None => by_form.push((form, region, priced)),
            }
        }
    }
    let mut rows: Vec<PriceRow> = Vec::new();
    for (form, regions, priced) in by_form {
        let Priced { price, source, rest, url, read, second } = priced.clone();
        let row = PriceRow { r#for: vec![form.to_owned()], regions, price, source, rest, url, read, second };
        let like =
            |other: &PriceRow| PriceRow { r#for: row.r#for.clone(), url: row.url.clone(), ..other.clone() } == row;
        let same = rows.iter_mut().find(|other| like(other));
        match same {
            Some(other) => other.r#for.extend(row.r#for),
            None => rows.push(row),
        }
    }
    rows
}

/// The Region group of an id (or `bare`), and the id without the group.
pub fn split(id: &str) -> (&str, &str) {
    match id.split_once('.') {
        Some((group, model)) if FORMS.contains(&group) => (group, model),
        _ => ("bare", id),
    }
}
