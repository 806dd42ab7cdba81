//! Names and what they mean, and entries that make no sense.

use super::*;
use proptest::prelude::*;

fn bundled() -> Catalogue {
    Catalogue::bundled().unwrap()
}

#[test]
fn the_promised_aliases_mean_the_promised_models() {
    let promised = [
        ("nova-lite", "amazon.nova-lite-v1:0", Family::Nova),
        ("nova-micro", "amazon.nova-micro-v1:0", Family::Nova),
        ("claude-2", "anthropic.claude-v2:0", Family::AnthropicText),
        ("claude-3-haiku", "anthropic.claude-3-haiku-20240307-v1:0", Family::Anthropic),
        ("claude-3-5-sonnet-v2", "us.anthropic.claude-3-5-sonnet-20241022-v2:0", Family::Anthropic),
        ("claude-3-5-haiku", "us.anthropic.claude-3-5-haiku-20241022-v1:0", Family::Anthropic),
    ];
    for (alias, model_id, family) in promised {
        let model = bundled().resolve(alias).unwrap();
        let expected = Model {
            requested: alias.to_owned(),
            model_id: model_id.to_owned(),
            model_metric: model_id.to_owned(),
            family,
        };
        assert_eq!(model, expected);
    }
}

#[test]
fn ids_profile_ids_and_profile_arns_need_no_entry() {
    let family = |name| bundled().resolve(name).map(|model| (model.family, model.model_metric));
    let profile = "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/ab12cd34";
    assert_eq!(
        family("eu.anthropic.claude-opus-4-5-20251101-v1:0"),
        Ok((Family::Anthropic, "eu.anthropic.claude-opus-4-5-20251101-v1:0".to_owned()))
    );
    assert_eq!(family("meta.llama3-3-70b-instruct-v1:0").unwrap().0, Family::Converse);
    assert_eq!(family("anthropic.claude-v2:1").unwrap().0, Family::AnthropicText);
    assert_eq!(family(profile), Ok((Family::Converse, "ab12cd34".to_owned())));
}

#[test]
fn what_is_no_model_is_told_apart() {
    let refusal = |name| bundled().resolve(name).unwrap_err();
    for name in ["", "gpt-4", "anthropic.", "us.", "anthropic.claude v2", "anthropic.clаude", "default", "vendor.model"]
    {
        assert_eq!(refusal(name), Unresolved::Unknown, "{name:?}");
    }
    assert_eq!(refusal("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0"), Unresolved::OtherArn);
    assert_eq!(refusal(&format!("anthropic.{}", "a".repeat(300))), Unresolved::Unknown);
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
    ] {
        assert_eq!(catalogue.counted_as(model_id), Some(counted_as));
    }
    for model_id in [
        "anthropic.claude-3-haiku-20240307-v1:0",
        "us.anthropic.claude-3-opus-20240229-v1:0",
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
            "price": {{"input": "1", "output": "2"}}, "priceSource": "test"}}"#
    );
    let catalogue = with(&entry, &format!(r#""sales": "{arn}""#)).unwrap();
    let model = catalogue.resolve("sales").unwrap();
    assert_eq!((model.model_id.as_str(), model.model_metric.as_str(), model.family), (arn, "p1", Family::Nova));
    assert_eq!(catalogue.defaults(&model.model_id).max_tokens, Some(9));
    assert!(catalogue.price(arn, "us-east-1").is_some());
    assert!(catalogue.price(arn, "eu-west-1").is_none());
    let other = catalogue.resolve("amazon.nova-pro-v1:0").unwrap();
    assert_eq!(catalogue.defaults(&other.model_id).max_tokens, Some(7));
}

#[test]
fn a_wrong_entry_is_named() {
    let nova = r#"{"modelId": "amazon.nova-x"}"#;
    let cases = [
        (with(r#"{"modelId": "acme.model"}"#, ""), "acme.model"),
        (with(&format!("{nova}, {nova}"), ""), "amazon.nova-x"),
        (with(r#"{"modelId": "amazon.nova-x", "defaults": {"max_tokens": 0}}"#, ""), "amazon.nova-x"),
        (with(r#"{"modelId": "amazon.nova-x", "price": {"input": "1", "output": "1"}}"#, ""), "amazon.nova-x"),
        (with(nova, r#""default": "amazon.nova-x""#), "default"),
        (with(nova, r#""amazon.nova-y": "amazon.nova-x""#), "amazon.nova-y"),
        (with(nova, r#""sales": "acme.model""#), "sales"),
        (with(r#"{"modelId": "amazon.nova-x", "alias": "y"}"#, ""), "alias"),
        (with(r#"{"modelId": "amazon.nova-x", "price": {"input": "-1", "output": "1"}}"#, ""), "-1"),
    ];
    for (result, name) in cases {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(name), "{error} should name {name}");
    }
}

proptest! {
    #[test]
    fn no_name_panics_and_what_is_resolved_fits_a_metric(name in "\\PC{0,300}|[a-z.:/-]{0,80}") {
        if let Ok(model) = bundled().resolve(&name) {
            prop_assert!((1..=255).contains(&model.model_metric.len()) && model.model_metric.is_ascii());
        }
    }
}
