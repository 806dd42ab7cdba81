//! The facts of the catalogue as tables: every entry, and every rule with the models that have it.

use std::collections::BTreeMap;

use sentry_models::catalogue::file::{Common, Entry, PriceRow, Sourced, fits};
use sentry_models::{Catalogue, Resolved, Sampling, Takes, Thinking};
use serde::Serialize;

use crate::{PLACES, TODAY, called, common, entries, is_alive, print_table, providers};

/// The row of the price of `form` in `region`. A row for the Region overrides one for all Regions.
fn price_row<'e>(entry: &'e Entry, form: &str, region: &str) -> Option<&'e PriceRow> {
    let rows = || entry.prices.iter().filter(|row| row.r#for.iter().any(|own| own == form));
    rows().find(|row| row.regions.iter().any(|at| at == region)).or_else(|| rows().find(|row| row.regions.is_empty()))
}

#[test]
fn every_entry_as_a_table() {
    let (catalogue, entries) = (Catalogue::bundled().unwrap(), entries());
    let dash = || "-".to_owned();
    let mut rows = Vec::new();
    for entry in &entries {
        let figure = |figure: Option<u32>| figure.map_or_else(dash, |figure| figure.to_string());
        let here = PLACES.map(|place| called(&catalogue, entry, place.region, place.forms));
        let priced = here.each_ref().map(|found| match found {
            Some((_, resolved)) if resolved.model.price.is_some() => "yes",
            Some(_) => "no",
            None => "not offered",
        });
        let row = here[0].as_ref().and_then(|(form, _)| price_row(entry, form, PLACES[0].region));
        assert_eq!(row.is_some(), priced[0] == "yes", "{}: the price of its row in {}", entry.model, PLACES[0].name);
        rows.push([
            entry.model.clone(),
            priced[0].to_owned(),
            priced[1].to_owned(),
            priced[2].to_owned(),
            figure(entry.context_window),
            figure(entry.output_limit),
            row.map_or_else(dash, |row| row.source.clone()),
            row.and_then(|row| row.second.clone()).unwrap_or_else(dash),
            entry.ends.map_or_else(dash, |day| day.to_string()),
        ]);
    }
    let alive = entries.iter().filter(|entry| is_alive(entry)).count();
    let title = format!("Every entry of the catalogue: {}, of which {alive} live on {TODAY}", entries.len());
    // Source and second source are those of the price under the id that us-east-1 calls.
    let [us, eu, global] = PLACES.map(|place| format!("priced: {}", place.name));
    let heads = [
        "model",
        us.as_str(),
        eu.as_str(),
        global.as_str(),
        "context",
        "output limit",
        "source",
        "second source (us-east-1)",
        "ends",
    ];
    print_table(&title, heads, &rows);
    assert!(alive > 80 && rows.iter().all(|row| !row[4].is_empty() && !row[5].is_empty()));
}

/// The models that have each rule, by its name.
#[derive(Default)]
struct Rules<'m>(BTreeMap<String, Vec<&'m str>>);

impl<'m> Rules<'m> {
    /// Lists the rule, and the model if it has the rule.
    fn add(&mut self, rule: &str, model: &'m str, has: bool) {
        let models = self.0.entry(rule.to_owned()).or_default();
        if has {
            models.push(model);
        }
    }

    /// The same for a rule that exists only with a value.
    fn add_value(&mut self, rule: &str, model: &'m str, value: impl Serialize) {
        let value = serde_json::to_value(value).unwrap();
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        self.add(&format!("{rule} {text}"), model, true);
    }

    fn add_capabilities(&mut self, model: &'m str, takes: &Takes) {
        self.add("no temperature, no top_p", model, takes.sampling == Sampling::None);
        self.add("temperature or top_p", model, takes.sampling == Sampling::OneOfTemperatureTopP);
        for (rule, has) in [
            ("no top_k", !takes.top_k),
            ("no stop_sequences", !takes.stop_sequences),
            ("no system messages", !takes.system),
            ("one turn only", !takes.turns),
            ("no prefill", !takes.prefill),
            ("no tools", !takes.tools),
            ("no toolChoice any or tool", !takes.tool_choice),
            ("no forced tool while thinking", !takes.forced_tool_with_reasoning),
            ("no pictures", !takes.images),
            ("no documents", !takes.documents),
            ("no structured output", !takes.structured_output),
            ("cache points", takes.cache.is_some()),
            ("cache points of an hour", takes.cache.is_some_and(|cache| cache.one_hour)),
        ] {
            self.add(rule, model, has);
        }
        if let Some(cache) = takes.cache {
            self.add_value("cache minimum, tokens:", model, cache.min_tokens);
        }
        let thinks = |default| takes.reasoning.as_ref().is_some_and(|reasoning| reasoning.default == default);
        self.add("thinks when asked to", model, thinks(Thinking::Off));
        self.add("thinks unless asked not to", model, thinks(Thinking::On));
        self.add("always thinks", model, thinks(Thinking::Always));
        if let Some(reasoning) = &takes.reasoning {
            self.add("thinking can be off", model, reasoning.can_be_off);
            if let Some(style) = reasoning.style {
                self.add_value("reasoning style", model, style);
            }
            for effort in &reasoning.efforts {
                self.add_value("effort", model, effort);
            }
        }
        for field in &takes.fields {
            self.add_value("own field", model, field);
        }
        for tier in &takes.service_tiers {
            self.add_value("tier", model, tier);
        }
    }

    /// The rules that are not part of what the model takes.
    fn add_others(&mut self, model: &'m str, facts: &Facts<'_>, resolved: &Resolved) {
        self.add("profile only", model, facts.profile_only.iter().any(|fact| fact.fits(model)));
        self.add("counted by CountTokens", model, facts.catalogue.counted_as(&resolved.model.model_id).is_some());
        self.add(
            "rate for long prompts",
            model,
            resolved.model.price.is_some_and(|price| price.long_context.is_some()),
        );
        let pictures = &facts.common.pictures;
        let of_picture = pictures.iter().find(|entry| entry.patterns.iter().any(|pattern| fits(pattern, model)));
        assert_eq!(of_picture.map(|entry| entry.rule), resolved.limits.picture, "{model}");
        if let Some(entry) = of_picture {
            let (page, _) = entry.source.split_once(':').unwrap_or((&entry.source, ""));
            self.add(&format!("picture rule, at most {} tokens: {page}", entry.rule.most()), model, true);
        }
    }
}

/// The id without its provider.
fn short_name(model: &str) -> &str {
    model.split_once('.').unwrap().1
}

/// Facts that apply to several models.
struct Facts<'c> {
    catalogue: &'c Catalogue,
    common: Common,
    profile_only: Vec<Sourced>,
}

#[test]
fn every_rule_with_its_models_as_a_table() {
    let (catalogue, entries) = (Catalogue::bundled().unwrap(), entries());
    let profile_only = providers().into_iter().flat_map(|file| file.profile_only).collect();
    let facts = Facts { catalogue: &catalogue, common: common(), profile_only };
    let forms = ["us", "global", "bare", "eu", "apac", "au", "jp", "in", "ca", "us-gov"];
    let regions = ["us-east-1", "us-west-2", "eu-west-1", "us-gov-west-1"];
    let mut rules = Rules::default();
    let mut short: BTreeMap<&str, &str> = BTreeMap::new();
    let alive: Vec<&Entry> = entries.iter().filter(|entry| is_alive(entry)).collect();
    for entry in &alive {
        let found = regions.iter().find_map(|region| called(&catalogue, entry, region, &forms));
        let (_, resolved) = found.unwrap_or_else(|| panic!("{} cannot be called anywhere", entry.model));
        let name = short_name(&entry.model);
        assert_eq!(short.insert(name, &entry.model), None, "{name} is not enough to tell two models apart");
        rules.add_capabilities(&entry.model, &resolved.takes);
        rules.add_others(&entry.model, &facts, &resolved);
    }
    let rows: Vec<[String; 3]> = rules
        .0
        .iter()
        .map(|(rule, models)| {
            let names: Vec<&str> = models.iter().map(|model| short_name(model)).collect();
            [rule.clone(), models.len().to_string(), names.join(" ")]
        })
        .collect();
    let title = format!("Every rule with the models that have it, of {} that live on {TODAY}", alive.len());
    print_table(&title, ["rule", "models", "ids without their provider"], &rows);
    for rule in ["profile only", "thinking can be off", "counted by CountTokens", "cache points", "no prefill"] {
        assert!(rules.0.get(rule).is_some_and(|models| !models.is_empty()), "no model has: {rule}");
    }
}
