//! Names and what they mean, and entries that make no sense.

use super::*;
use proptest::prelude::*;

fn bundled() -> Catalogue {
    Catalogue::bundled().unwrap()
}

const HERE: &str = "us-east-1";

#[test]
fn the_promised_aliases_mean_the_promised_models() {
    let promised = [
        ("nova-lite", "amazon.nova-lite-v1:0", Family::Nova),
        ("nova-micro", "amazon.nova-micro-v1:0", Family::Nova),
        ("claude-2", "anthropic.claude-v2:0", Family::AnthropicText),
        ("claude-3-haiku", "anthropic.claude-3-haiku-20240307-v1:0", Family::Anthropic),
        ("claude-3-5-sonnet-v2", "us.anthropic.claude-3-5-sonnet-20241022-v2:0", Family::Anthropic),
        ("claude-3-5-haiku", "us.anthropic.claude-3-5-haiku-20241022-v1:0", Family::Anthropic),
        ("llama-3-3-70b", "us.meta.llama3-3-70b-instruct-v1:0", Family::Llama),
        ("gpt-oss-120b", "openai.gpt-oss-120b-1:0", Family::GptOss),
    ];
    for (alias, model_id, family) in promised {
        let resolved = bundled().resolve(alias, HERE).unwrap();
        let expected = Model {
            requested: alias.to_owned(),
            model_id: model_id.to_owned(),
            model_metric: model_id.to_owned(),
            foundation: Some(model_id.trim_start_matches("us.").to_owned()),
            family,
            price: bundled().price(model_id, HERE),
            reasoning: None,
        };
        assert_eq!((resolved.model, resolved.listed), (expected, true));
    }
}

#[test]
fn every_alias_and_entry_of_the_deployed_file_can_be_called_from_where_its_prices_are() {
    let catalogue = bundled();
    for name in catalogue.aliases.keys().chain(catalogue.models.keys()) {
        let resolved = catalogue.resolve(name, HERE).unwrap();
        let limit = resolved.limits.output.unwrap_or(u32::MAX);
        assert!(resolved.defaults.max_tokens.unwrap() <= limit, "{name}");
    }
}

#[test]
fn ids_and_profile_ids_need_no_entry_and_profile_arns_tell_nothing() {
    let family = |name| bundled().resolve(name, "eu-west-1").map(|found| (found.model.family, found.listed));
    let profile = "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/ab12cd34";
    assert_eq!(family("eu.anthropic.claude-opus-4-5-20251101-v1:0"), Ok((Family::Anthropic, false)));
    assert_eq!(family("meta.llama3-3-70b-instruct-v1:0"), Ok((Family::Llama, true)));
    assert_eq!(family("anthropic.claude-v2:2"), Ok((Family::AnthropicText, false)));
    assert_eq!(family("ai21.j2-ultra-v1"), Ok((Family::Converse, false)));
    assert_eq!(family(profile), Err(Unresolved::Profile(profile.to_owned())));
}

#[test]
fn the_same_model_under_another_id_has_its_limits_and_only_where_it_is_said_its_price() {
    let catalogue = bundled();
    let of = |id: &str| {
        let found = catalogue.resolve(id, HERE).unwrap();
        (found.limits.output, found.model.price.is_some(), found.listed)
    };
    assert_eq!(of("us.amazon.nova-lite-v1:0"), (Some(10_000), true, true));
    assert_eq!(of("global.anthropic.claude-haiku-4-5-20251001-v1:0"), (Some(64_000), true, true));
    assert_eq!(of("us.anthropic.claude-haiku-4-5-20251001-v1:0"), (Some(64_000), false, true));
    assert_eq!(of("global.amazon.nova-lite-v1:0"), (Some(10_000), false, false));
    assert_eq!(catalogue.max_tokens("global.amazon.nova-lite-v1:0"), 2048);
}

#[test]
fn what_is_no_model_is_told_apart() {
    let refusal = |name| bundled().resolve(name, HERE).unwrap_err();
    for name in ["", "gpt-4", "anthropic.", "us.", "anthropic.claude v2", "anthropic.clаude", "default", "vendor.model"]
    {
        assert_eq!(refusal(name), Unresolved::Unknown, "{name:?}");
    }
    assert_eq!(refusal("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0"), Unresolved::OtherArn);
    assert_eq!(refusal(&format!("anthropic.{}", "a".repeat(300))), Unresolved::Unknown);
}

#[test]
fn a_retired_name_says_since_when_and_what_to_use() {
    let retired = |name| bundled().resolve(name, HERE).unwrap_err();
    let says = retired("claude-3-7-sonnet").to_string();
    assert!(says.contains("2026-04-28") && says.contains("claude-sonnet-4-5"), "{says}");
    assert!(matches!(retired("us.anthropic.claude-3-7-sonnet-20250219-v1:0"), Unresolved::Retired { .. }));
}

#[test]
fn a_model_that_a_region_has_not_got_is_refused_with_where_it_is() {
    let elsewhere = |name: &str, region: &str| match bundled().resolve(name, region) {
        Err(Unresolved::Elsewhere { offered, region: named, .. }) => (named == region).then_some(offered),
        _ => None,
    };
    assert_eq!(elsewhere("jamba-1-5-mini", "eu-west-1"), Some(vec!["us-east-1".to_owned()]));
    assert_eq!(elsewhere("claude-3-5-haiku", "eu-west-1"), Some(vec!["us-*".to_owned(), "ca-*".to_owned()]));
    assert_eq!(elsewhere("jamba-1-5-mini", HERE), None);
    assert!(bundled().resolve("nova-lite", "eu-west-1").unwrap().model.price.is_none());
    assert!(bundled().resolve("claude-haiku-4-5-global", "eu-west-1").is_ok());
}

#[test]
fn a_fallback_is_a_cheaper_model_with_an_entry() {
    let catalogue = bundled();
    for id in catalogue.models.keys() {
        let Some(fallback) = catalogue.fallback(id) else { continue };
        if let (Some(dear), Some(cheap)) = (catalogue.price(id, HERE), catalogue.price(&fallback, HERE)) {
            assert!(cheap.rates.output.times(1) < dear.rates.output.times(1), "{fallback} is not cheaper than {id}");
        }
    }
    let fallback = |id: &str| catalogue.fallback(id);
    assert_eq!(fallback("amazon.nova-pro-v1:0").as_deref(), Some("amazon.nova-lite-v1:0"));
    // What is called in Europe is answered in Europe.
    assert_eq!(fallback("us.amazon.nova-pro-v1:0").as_deref(), Some("us.amazon.nova-lite-v1:0"));
    assert_eq!(fallback("eu.amazon.nova-pro-v1:0").as_deref(), Some("eu.amazon.nova-lite-v1:0"));
    let (sonnet, haiku) = ("anthropic.claude-sonnet-4-20250514-v1:0", "anthropic.claude-3-5-haiku-20241022-v1:0");
    assert_eq!(fallback(&format!("us.{sonnet}")), Some(format!("us.{haiku}")));
    assert_eq!(fallback(&format!("eu.{sonnet}")), Some(format!("eu.{haiku}")));
    assert_eq!(catalogue.resolve("nova-pro", HERE).unwrap().fallback.as_deref(), Some("amazon.nova-lite-v1:0"));
    let names = ["amazon.nova-lite-v1:0", "acme.unknown"].map(|id| catalogue.name_of(id));
    assert_eq!(names, ["nova-lite", "acme.unknown"]);
}

#[test]
fn tokens_are_counted_for_claude_3_5_and_later_under_the_foundation_models_id() {
    let catalogue = bundled();
    for (model_id, counted_as) in [
        ("us.anthropic.claude-3-5-haiku-20241022-v1:0", "anthropic.claude-3-5-haiku-20241022-v1:0"),
        ("anthropic.claude-3-5-sonnet-20240620-v1:0", "anthropic.claude-3-5-sonnet-20240620-v1:0"),
        ("eu.anthropic.claude-3-7-sonnet-20250219-v1:0", "anthropic.claude-3-7-sonnet-20250219-v1:0"),
        ("global.anthropic.claude-sonnet-4-20250514-v1:0", "anthropic.claude-sonnet-4-20250514-v1:0"),
        ("apac.anthropic.claude-opus-4-5-20251101-v1:0", "anthropic.claude-opus-4-5-20251101-v1:0"),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", "anthropic.claude-haiku-4-5-20251001-v1:0"),
        ("us.anthropic.claude-opus-4-1-20250805-v1:0", "anthropic.claude-opus-4-1-20250805-v1:0"),
        ("us.anthropic.claude-opus-4-6-v1", "anthropic.claude-opus-4-6-v1"),
        ("us.anthropic.claude-opus-4-7", "anthropic.claude-opus-4-7"),
        ("us.anthropic.claude-sonnet-4-6", "anthropic.claude-sonnet-4-6"),
    ] {
        assert_eq!(catalogue.counted_as(model_id), Some(counted_as));
    }
    for model_id in [
        "anthropic.claude-3-haiku-20240307-v1:0",
        "us.anthropic.claude-3-opus-20240229-v1:0",
        // Launched with cross-Region inference only.
        "us.anthropic.claude-opus-4-8",
        "global.anthropic.claude-sonnet-5",
        "anthropic.claude-v2:1",
        "anthropic.claude-instant-v1",
        "us.amazon.nova-lite-v1:0",
        "meta.llama3-3-70b-instruct-v1:0",
        "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/anthropic.claude-3-5-x",
    ] {
        assert_eq!(catalogue.counted_as(model_id), None, "{model_id}");
    }
}

#[test]
fn a_pattern_of_count_tokens_that_fits_no_family_is_named() {
    let file = |pattern: &str| {
        let families = r#"[{"pattern": "amazon.nova-*", "family": "nova"}]"#;
        format!(
            r#"{{"defaults": {{"max_tokens": 7}}, "priceRegion": "us-east-1", "families": {families},
                "countTokens": ["{pattern}"], "models": [], "aliases": {{}}}}"#
        )
    };
    assert!(Catalogue::parse(&file("amazon.nova-2-*")).is_ok());
    for pattern in ["amazn.nova-*", "us.amazon.nova-*", ""] {
        let error = Catalogue::parse(&file(pattern)).unwrap_err().to_string();
        assert!(error.contains(&format!("{pattern:?}")), "{error} should name {pattern:?}");
    }
}

#[test]
fn pictures_have_the_rule_of_their_models_page_and_none_where_nothing_is_published() {
    let most = |name: &str| bundled().resolve(name, HERE).unwrap().limits.picture.map(PictureRule::most);
    for (name, expected) in [
        ("nova-pro", Some(98_462)),
        ("us.amazon.nova-premier-v1:0", Some(98_462)),
        ("claude-3-haiku", Some(1_568)),
        ("claude-sonnet-4-6", Some(1_568)),
        ("global.anthropic.claude-opus-4-6-v1", Some(1_568)),
        ("claude-opus-4-7", Some(4_784)),
        ("llama-4-scout", Some(2_467)),
        ("pixtral-large", Some(4_160)),
        ("qwen.qwen3-vl-235b-a22b", Some(16_384)),
        ("google.gemma-3-4b-it", Some(1_280)),
        ("nova-2-lite", None),
        ("mistral-large-3", None),
        ("us.anthropic.claude-fable-9", None),
        ("llama-3-3-70b", None),
    ] {
        assert_eq!(most(name), expected, "{name}");
    }
}

#[test]
fn a_models_own_rule_for_pictures_stands_before_a_pattern() {
    let added = item(r#"{"entry": "us.amazon.nova-lite-v1:9", "picture": {"flat": 230}}"#).unwrap();
    let found = bundled().resolve_added("x", &added, HERE).unwrap().unwrap();
    assert_eq!(found.limits.picture.map(PictureRule::most), Some(230));
    let added = item(r#"{"entry": "us.amazon.nova-lite-v1:9"}"#).unwrap();
    let found = bundled().resolve_added("x", &added, HERE).unwrap().unwrap();
    assert_eq!(found.limits.picture, Some(PictureRule::Nova));
}

#[test]
fn a_wrong_rule_for_pictures_is_named_with_its_field() {
    let file = |entry: &str| {
        let families = r#"[{"pattern": "amazon.nova-*", "family": "nova"}]"#;
        Catalogue::parse(&format!(
            r#"{{"defaults": {{"max_tokens": 7}}, "priceRegion": "us-east-1", "families": {families},
                "pictures": [{entry}], "models": [], "aliases": {{}}}}"#
        ))
    };
    let entry =
        |rule: &str, rest: &str| file(&format!(r#"{{"patterns": ["amazon.nova-2-*"], "rule": {rule}, {rest}}}"#));
    let read = r#""source": "a page", "read": "2026-11-26""#;
    assert!(entry(r#"{"flat": 9}"#, read).is_ok());
    for (result, name, field) in [
        (entry(r#"{"flat": 0}"#, read), "a page", "rule.flat"),
        (entry(r#"{"patches": {"side": 0, "most": 9}}"#, read), "a page", "rule.patches.side"),
        (entry(r#"{"patches": {"side": 28}}"#, read), "a page", "rule.patches.most"),
        (entry(r#""nova""#, r#""source": "a page", "read": "lately""#), "a page", "read"),
        (entry(r#""nova""#, r#""source": "", "read": "2026-11-26""#), "", "source"),
        (entry(r#""nova""#, r#""read": "2026-11-26""#), "pictures[0]", "source"),
        (file(&format!(r#"{{"patterns": ["amazn.nova-*"], "rule": "nova", {read}}}"#)), "amazn.nova-*", "pictures"),
    ] {
        let error = result.unwrap_err();
        let InvalidCatalogue::Entry(invalid) = &error else { panic!("{error}") };
        assert_eq!((invalid.entry.as_str(), invalid.field.as_str()), (name, field), "{error}");
    }
}

const SOURCE: &str =
    r#""priceSource": {"offer": "AmazonBedrock", "product": "Nova X", "scope": "regional", "published": "2026-08-31"}"#;

fn with(models: &str, aliases: &str) -> Result<Catalogue, InvalidCatalogue> {
    Catalogue::parse(&format!(
        r#"{{"defaults": {{"max_tokens": 7}}, "priceRegion": "us-east-1", "families": [{{"pattern": "amazon.nova-*", "family": "nova"}}],
            "models": [{models}], "aliases": {{{aliases}}}}}"#
    ))
}

#[test]
fn a_business_alias_may_map_to_a_profile_whose_family_and_price_are_listed() {
    let arn = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/p1";
    let entry = format!(
        r#"{{"modelId": "{arn}", "family": "nova", "defaults": {{"max_tokens": 9}},
            "price": {{"input": "1", "output": "2"}}, {SOURCE}}}"#
    );
    let catalogue = with(&entry, &format!(r#""sales": "{arn}""#)).unwrap();
    let model = catalogue.resolve("sales", HERE).unwrap().model;
    assert_eq!((model.model_id.as_str(), model.model_metric.as_str(), model.family), (arn, "p1", Family::Nova));
    assert_eq!(catalogue.defaults(&model.model_id).max_tokens, Some(9));
    assert!(catalogue.price(arn, "us-east-1").is_some());
    assert!(catalogue.price(arn, "eu-west-1").is_none());
    assert_eq!(catalogue.resolve("amazon.nova-pro-v1:0", HERE).unwrap().defaults.max_tokens, Some(7));
}

#[test]
fn a_wrong_entry_is_named_with_its_field() {
    let model = |rest: &str| format!(r#"{{"modelId": "amazon.nova-x"{rest}}}"#);
    let wrong = |rest: &str| with(&model(rest), "");
    let source = r#""offer": "AmazonBedrock", "product": "Nova X""#;
    let price = r#", "price": {"input": "1", "output": "1"}"#;
    let cases = [
        (with(r#"{"modelId": "acme.model"}"#, ""), "acme.model", "modelId"),
        (with(r#"{"family": "nova"}"#, ""), "models[0]", "modelId"),
        (with(&format!("{0}, {0}", model("")), ""), "amazon.nova-x", "modelId"),
        (wrong(r#", "alias": "y""#), "amazon.nova-x", "alias"),
        (wrong(r#", "family": "supernova""#), "amazon.nova-x", "family"),
        (wrong(r#", "transport": "converse""#), "amazon.nova-x", "transport"),
        (wrong(r#", "defaults": {"max_tokens": 0}"#), "amazon.nova-x", "defaults.max_tokens"),
        (wrong(r#", "defaults": {"max_tokens": 9}, "outputLimit": 8"#), "amazon.nova-x", "defaults.max_tokens"),
        (wrong(r#", "defaults": {"temperature": 2}"#), "amazon.nova-x", "defaults.temperature"),
        (wrong(r#", "outputLimit": -1"#), "amazon.nova-x", "outputLimit"),
        (wrong(r#", "outputLimit": 9, "contextWindow": 8"#), "amazon.nova-x", "contextWindow"),
        (wrong(r#", "price": {"input": "-1", "output": "1"}"#), "amazon.nova-x", "price.input"),
        (wrong(r#", "price": {"input": "1"}"#), "amazon.nova-x", "price.output"),
        (wrong(price), "amazon.nova-x", "priceSource"),
        (
            wrong(&format!(r#"{price}, "priceSource": {{{source}, "scope": "regional"}}"#)),
            "amazon.nova-x",
            "priceSource",
        ),
        (
            wrong(&format!(r#"{price}, "priceSource": {{{source}, "scope": "global", "published": "2026-08-31"}}"#)),
            "amazon.nova-x",
            "priceSource",
        ),
        (wrong(r#", "pricedAlike": ["us.amazon.nova-y"]"#), "amazon.nova-x", "pricedAlike"),
        (wrong(r#", "regions": ["Virginia"]"#), "amazon.nova-x", "regions"),
        (wrong(r#", "fallback": "amazon.nova-y""#), "amazon.nova-x", "fallback"),
        (with(&model(""), r#""default": "amazon.nova-x""#), "default", "aliases"),
        (with(&model(""), r#""amazon.nova-y": "amazon.nova-x""#), "amazon.nova-y", "aliases"),
        (with(&model(""), r#""sales": "acme.model""#), "sales", "aliases"),
        (retired(r#""old": {"since": "lately", "use": "amazon.nova-x"}"#), "old", "since"),
        (retired(r#""old": {"since": "2026-01-01", "use": "acme.model"}"#), "old", "use"),
        (retired(r#""old": {"since": "2026-01-01"}"#), "old", "use"),
        (retired(r#""amazon.nova-x": {"since": "2026-01-01", "use": "amazon.nova-y"}"#), "amazon.nova-x", "retired"),
    ];
    for (result, entry, field) in cases {
        let error = result.unwrap_err();
        let InvalidCatalogue::Entry(invalid) = &error else { panic!("{error}") };
        assert_eq!((invalid.entry.as_str(), invalid.field.as_str()), (entry, field), "{error}");
    }
}

fn retired(entries: &str) -> Result<Catalogue, InvalidCatalogue> {
    Catalogue::parse(&format!(
        r#"{{"defaults": {{"max_tokens": 7}}, "priceRegion": "us-east-1", "families": [{{"pattern": "amazon.nova-*", "family": "nova"}}],
            "models": [{{"modelId": "amazon.nova-x"}}], "aliases": {{}}, "retired": {{{entries}}}}}"#
    ))
}

fn item(text: &str) -> Result<Addition, InvalidEntry> {
    let item: serde_json::Map<_, _> = serde_json::from_str(text).unwrap();
    Addition::read(item["entry"].as_str().unwrap(), item.clone())
}

#[test]
fn an_addition_describes_a_model_that_no_pattern_fits() {
    let added = item(
        r#"{"entry": "acme.giant-v1", "family": "llama", "transport": "converse", "outputLimit": 100,
            "price": {"input": "1", "output": "2"}, "priceSource": "contract of 2026-10-01", "regions": ["us-*"]}"#,
    )
    .unwrap();
    let found = bundled().resolve_added("giant", &added, HERE).unwrap().unwrap();
    assert_eq!(found.model.family, Family::Llama);
    assert_eq!((found.defaults.max_tokens, found.limits.output), (Some(100), Some(100)));
    assert!(found.model.price.is_some() && found.model.requested == "giant");
    let elsewhere = bundled().resolve_added("giant", &added, "eu-west-1");
    assert!(matches!(elsewhere, Err(Unusable::Unresolved(Unresolved::Elsewhere { .. }))), "{elsewhere:?}");
}

#[test]
fn an_addition_leaves_to_the_catalogue_what_it_does_not_say() {
    let added = item(r#"{"entry": "eu.anthropic.claude-haiku-4-5-20251001-v1:0"}"#).unwrap();
    let found = bundled().resolve_added("x", &added, "eu-west-1").unwrap().unwrap();
    assert_eq!((found.model.family, found.limits.output, found.model.price), (Family::Anthropic, Some(64_000), None));
    assert_eq!(
        item(r#"{"entry": "alias#sales", "modelId": "amazon.nova-x"}"#).unwrap().target(),
        Some("amazon.nova-x")
    );
}

#[test]
fn a_wrong_addition_is_named_with_its_field() {
    let cases = [
        (r#"{"entry": "acme.a", "famly": "nova"}"#, "famly"),
        (r#"{"entry": "acme.a", "modelId": "acme.b"}"#, "modelId"),
        (r#"{"entry": "acme.a", "price": {"input": 1, "output": "2"}, "priceSource": "x"}"#, "price.input"),
        (r#"{"entry": "acme.a", "price": {"input": "1", "output": "2"}}"#, "priceSource"),
        (r#"{"entry": "acme.a", "aliases": ["a"]}"#, "aliases"),
        (r#"{"entry": "acme.a", "pricedAlike": ["us.acme.a"]}"#, "pricedAlike"),
        (r#"{"entry": "acme.a", "fallback": "acme.a"}"#, "fallback"),
        (r#"{"entry": "acme.a", "fallback": 7}"#, "fallback"),
        (r#"{"entry": "acme.a", "transport": "invoke-model"}"#, "transport"),
        (r#"{"entry": "alias#a"}"#, "modelId"),
        (r#"{"entry": "alias#a", "modelId": 7}"#, "modelId"),
        (r#"{"entry": "alias#a", "modelId": "acme.a", "since": "x"}"#, "since"),
    ];
    for (text, field) in cases {
        assert_eq!(item(text).unwrap_err().field, field, "{text}");
    }
    let without_family = item(r#"{"entry": "acme.a"}"#).unwrap();
    let Err(Unusable::Entry(invalid)) = bundled().resolve_added("a", &without_family, HERE) else { panic!() };
    assert_eq!((invalid.entry.as_str(), invalid.field.as_str()), ("acme.a", "family"));
}

proptest! {
    #[test]
    fn no_name_panics_and_what_is_resolved_fits_a_metric(name in "\\PC{0,300}|[a-z.:/-]{0,80}") {
        if let Ok(Resolved { model, .. }) = bundled().resolve(&name, HERE) {
            prop_assert!((1..=255).contains(&model.model_metric.len()) && model.model_metric.is_ascii());
        }
    }
}
