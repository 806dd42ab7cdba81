//! Resolution of names, and invalid entries.

use proptest::prelude::*;
use sentry_contract::request::ReasoningStyle;

use super::*;

fn bundled() -> Catalogue {
    Catalogue::bundled().unwrap()
}

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

/// The day on which the shipped data was read.
fn today() -> NaiveDate {
    day("2026-11-26")
}

const HERE: &str = "us-east-1";

fn resolve(name: &str, region: &str) -> Result<Resolved, ResolveError> {
    bundled().resolve(name, region, today())
}

fn id(name: &str, region: &str) -> String {
    resolve(name, region).map_or_else(|error| format!("{error:?}"), |found| found.model.model_id)
}

#[test]
fn an_alias_means_the_id_that_the_region_can_call() {
    for (name, region, expected) in [
        ("claude-haiku-4-5", "us-east-1", "us.anthropic.claude-haiku-4-5-20251001-v1:0"),
        ("claude-haiku-4-5", "eu-west-1", "eu.anthropic.claude-haiku-4-5-20251001-v1:0"),
        ("claude-haiku-4-5", "ap-northeast-1", "jp.anthropic.claude-haiku-4-5-20251001-v1:0"),
        ("claude-haiku-4-5", "ap-southeast-2", "au.anthropic.claude-haiku-4-5-20251001-v1:0"),
        ("claude-haiku-4-5", "ap-southeast-1", "apac.anthropic.claude-haiku-4-5-20251001-v1:0"),
        ("claude-haiku-4-5", "sa-east-1", "global.anthropic.claude-haiku-4-5-20251001-v1:0"),
        ("claude-haiku-4-5", "us-gov-west-1", "anthropic.claude-haiku-4-5-20251001-v1:0"),
        ("claude-sonnet-5-5", "us-gov-west-1", "us-gov.anthropic.claude-sonnet-5-5"),
        ("claude-opus-4-6", "ap-south-1", "global.anthropic.claude-opus-4-6-v1"),
        ("kimi-k3", "ap-south-1", "in.moonshotai.kimi-k3"),
        ("qwen3-32b", "eu-central-1", "qwen.qwen3-32b-v1:0"),
        ("nova-lite", "us-east-1", "us.amazon.nova-lite-v1:0"),
        ("nova-lite", "us-gov-west-1", "amazon.nova-lite-v1:0"),
        ("claude-haiku-4-5-global", "eu-west-1", "global.anthropic.claude-haiku-4-5-20251001-v1:0"),
    ] {
        assert_eq!(id(name, region), expected, "{name} in {region}");
    }
}

#[test]
fn every_alias_resolves_or_is_refused_with_a_reason_in_every_kind_of_region() {
    let catalogue = bundled();
    for region in ["us-east-1", "eu-central-1", "us-gov-west-1", "cn-north-1", "ap-south-1"] {
        let (mut resolved, mut elsewhere, mut retired) = (0, 0, 0);
        for name in catalogue.aliases.keys() {
            match catalogue.resolve(name, region, today()) {
                Ok(found) => {
                    resolved += 1;
                    let limit = found.limits.output.unwrap_or(u32::MAX);
                    assert!(found.defaults.max_tokens.unwrap() <= limit && found.listed, "{name} in {region}");
                    let ends = found.ends.is_none_or(|ends| ends > today());
                    assert!(ends && found.model.foundation.is_some(), "{name} in {region}");
                }
                Err(ResolveError::Elsewhere { offered, .. }) => {
                    elsewhere += 1;
                    assert!(!offered.is_empty(), "{name} in {region}");
                }
                Err(ResolveError::Retired { replacement, .. }) => {
                    retired += 1;
                    assert_ne!(replacement, "another model", "{name}");
                }
                Err(other) => panic!("{name} in {region}: {other}"),
            }
        }
        println!("{region}: {resolved} aliases resolve, {elsewhere} are not offered, {retired} are retired");
        assert_eq!(resolved > 0, region != "cn-north-1", "{region}");
    }
}

#[test]
fn arns_of_models_and_of_system_profiles_mean_their_ids_in_every_partition() {
    for (arn, region, metric) in [
        ("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0", HERE, "amazon.nova-lite-v1:0"),
        (
            "arn:aws:bedrock:us-east-1:111122223333:inference-profile/us.anthropic.claude-sonnet-5",
            HERE,
            "us.anthropic.claude-sonnet-5",
        ),
        (
            "arn:aws-us-gov:bedrock:us-gov-west-1:111122223333:inference-profile/us-gov.anthropic.claude-sonnet-5",
            "us-gov-west-1",
            "us-gov.anthropic.claude-sonnet-5",
        ),
        (
            "arn:aws-cn:bedrock:cn-north-1::foundation-model/amazon.nova-lite-v1:0",
            "cn-north-1",
            "amazon.nova-lite-v1:0",
        ),
    ] {
        let model = resolve(arn, region).unwrap().model;
        assert_eq!((model.model_id.as_str(), model.model_metric.as_str()), (arn, metric));
        assert_eq!(model.price.is_some(), region != "cn-north-1", "{arn}");
        assert_eq!(model.price, bundled().price(arn, region));
    }
    let elsewhere = resolve("arn:aws:bedrock:eu-west-1::foundation-model/amazon.nova-lite-v1:0", HERE);
    assert!(matches!(elsewhere, Err(ResolveError::Elsewhere { .. })), "{elsewhere:?}");
    let profile = "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/ab12cd34";
    assert_eq!(resolve(profile, "eu-west-1"), Err(ResolveError::Profile(profile.to_owned())));
}

#[test]
fn other_arns_need_an_item_with_family_and_price() {
    for kind in ["provisioned-model", "imported-model", "custom-model-deployment", "default-prompt-router"] {
        let arn = format!("arn:aws:bedrock:us-east-1:111122223333:{kind}/ab12cd34");
        assert!(matches!(resolve(&arn, HERE), Err(ResolveError::Undescribed { .. })), "{kind}");
        let catalogue = bundled();
        let with = |fields: &str| {
            let added = item(&format!(r#"{{"entry": "{arn}"{fields}}}"#)).unwrap();
            catalogue.resolve_added(&arn, &added, HERE, today())
        };
        let price = r#", "price": {"input": "1", "output": "2"}, "priceSource": "x""#;
        assert!(with(price).is_err() && with(r#", "family": "llama""#).is_err());
        let found = with(&format!(r#"{price}, "family": "llama""#)).unwrap().unwrap();
        assert_eq!((found.model.model_id, found.model.model_metric), (arn.clone(), "ab12cd34".to_owned()));
    }
}

#[test]
fn ids_need_no_entry_and_a_model_that_needs_a_profile_says_which() {
    let family = |name| resolve(name, "eu-west-1").map(|found| (found.model.family, found.listed));
    assert_eq!(family("eu.anthropic.claude-opus-4-5-20251101-v1:0"), Ok((Family::Anthropic, true)));
    assert_eq!(family("eu.anthropic.claude-fable-9"), Ok((Family::Anthropic, false)));
    assert_eq!(family("anthropic.claude-v2:2"), Ok((Family::AnthropicText, false)));
    let profile_only = |name, region| match resolve(name, region) {
        Err(ResolveError::ProfileOnly { profiles, .. }) => profiles.first().cloned(),
        _ => None,
    };
    let sonnet = profile_only("anthropic.claude-sonnet-4-5-20250929-v1:0", "eu-west-1");
    assert_eq!(sonnet.as_deref(), Some("eu.anthropic.claude-sonnet-4-5-20250929-v1:0"));
    assert_eq!(profile_only("anthropic.claude-sonnet-4-5-20250929-v1:0", "us-gov-west-1"), None);
    for name in ["", "gpt-4", "anthropic.", "us.", "anthropic.claude v2", "anthropic.clаude", "default", "vendor.model"]
    {
        assert_eq!(resolve(name, HERE), Err(ResolveError::Unknown), "{name:?}");
    }
    assert_eq!(resolve(&format!("anthropic.{}", "a".repeat(300)), HERE), Err(ResolveError::Unknown));
    assert!(matches!(resolve("us.amazon.nova-lite-v1:0", "eu-west-1"), Err(ResolveError::Elsewhere { .. })));
}

#[test]
fn a_model_ends_by_the_clock_with_a_notice_sixty_days_before() {
    let catalogue = bundled();
    let at = |text: &str| catalogue.resolve("claude-sonnet-4-5", HERE, day(text));
    assert_eq!(at("2027-02-06").unwrap().retiring, None);
    let retiring = at("2027-02-07").unwrap().retiring.unwrap();
    assert_eq!((retiring.ends, retiring.successor.as_str()), (day("2027-04-08"), "claude-sonnet-5-5"));
    assert!(at("2027-04-07").is_ok() && retiring.to_string().contains("2027-04-08"));
    let retired = at("2027-04-08").unwrap_err();
    let says = retired.to_string();
    assert!(says.contains("2027-04-08") && says.contains("claude-sonnet-5-5"), "{says}");
    let by_id = resolve("us.anthropic.claude-3-7-sonnet-20250219-v1:0", HERE);
    assert!(matches!(by_id, Err(ResolveError::Retired { .. })), "{by_id:?}");
    assert!(matches!(resolve("claude-3-7-sonnet", HERE), Err(ResolveError::Retired { .. })));
}

#[test]
fn the_names_of_the_articles_lead_to_what_replaced_their_models_and_say_so() {
    for (name, by) in [
        ("claude-2", "claude-sonnet-4-5"),
        ("claude-3-haiku", "claude-haiku-4-5"),
        ("claude-3-5-haiku", "claude-haiku-4-5"),
        ("claude-3-5-sonnet-v2", "claude-sonnet-4-5"),
        ("services", "claude-haiku-4-5"),
        ("support", "claude-haiku-4-5"),
    ] {
        let found = resolve(name, HERE).unwrap();
        let replaced = found.replaced.unwrap();
        assert_eq!(
            (replaced.requested.as_str(), replaced.by.as_str(), found.model.requested.as_str()),
            (name, by, name)
        );
        assert_eq!(found.model.model_id, id(by, HERE));
        assert!(replaced.to_string().contains(by));
    }
    assert_eq!(resolve("nova-lite", HERE).unwrap().replaced, None);
    let before = bundled().resolve("claude-3-5-haiku", HERE, day("2026-06-18")).unwrap();
    assert_eq!(
        (before.replaced, before.model.foundation.as_deref()),
        (None, Some("anthropic.claude-3-5-haiku-20241022-v1:0"))
    );
    // The successor may have ended too.
    let later = bundled().resolve("claude-2", HERE, day("2027-04-08")).unwrap();
    assert_eq!(later.replaced.unwrap().by, "claude-sonnet-5-5");
}

#[test]
fn a_fallback_is_alive_has_an_entry_and_can_be_called_there() {
    let catalogue = bundled();
    for entry in catalogue.models.values() {
        for region in ["us-east-1", "eu-west-1", "us-gov-west-1"] {
            let Some(id) = catalogue.callable(entry, region) else { continue };
            let Ok(found) = catalogue.resolve(&id, region, today()) else { continue };
            let Some(fallback) = found.fallback else { continue };
            let other = catalogue.resolve(&fallback, region, today()).unwrap();
            assert!(other.listed && other.model.foundation != found.model.foundation, "{id} -> {fallback}");
            if let (Some(dear), Some(cheap)) = (found.model.price, other.model.price) {
                assert!(
                    cheap.rates.output.times(1) < dear.rates.output.times(1),
                    "{fallback} is not cheaper than {id}"
                );
            }
        }
    }
    let fallback = |id: &str, region: &str| resolve(id, region).unwrap().fallback;
    assert_eq!(fallback("amazon.nova-pro-v1:0", HERE).as_deref(), Some("amazon.nova-lite-v1:0"));
    // A call in Europe must be answered in Europe.
    assert_eq!(fallback("eu.amazon.nova-pro-v1:0", "eu-west-1").as_deref(), Some("eu.amazon.nova-lite-v1:0"));
    assert_eq!(
        ["amazon.nova-lite-v1:0", "acme.unknown"].map(|id| catalogue.name_of(id)),
        ["nova-lite", "acme.unknown"]
    );
}

#[test]
fn a_price_is_that_of_the_form_and_of_the_region() {
    let price = |id: &str, region: &str| bundled().price(id, region).map(|price| price.rates.input.to_string());
    let haiku = "anthropic.claude-haiku-4-5-20251001-v1:0";
    for (form, region, expected) in [
        ("us.", HERE, Some("1.10")),
        ("global.", HERE, Some("1.00")),
        ("global.", "eu-west-1", Some("1.00")),
        ("us.", "eu-west-1", None),
        ("", HERE, None),
        ("", "us-gov-west-1", Some("1.20")),
    ] {
        assert_eq!(price(&format!("{form}{haiku}"), region).as_deref(), expected, "{form} in {region}");
    }
    let lama = |region| price("meta.llama3-70b-instruct-v1:0", region);
    assert_eq!((lama("ap-south-1").as_deref(), lama("us-west-2").as_deref()), (Some("3.18"), Some("2.65")));
    let long = bundled().price("us.anthropic.claude-sonnet-4-5-20250929-v1:0", HERE).unwrap().long_context.unwrap();
    assert_eq!((long.above, long.rates.input.to_string()), (200_000, "6.60".to_owned()));
    let net = bundled().with_discount("10".parse().unwrap()).price("us.xai.grok-4.7", HERE).unwrap();
    assert_eq!(
        (net.rates.input.to_string(), net.tiers.flex.unwrap().input.to_string()),
        ("1.98".into(), "0.99".into())
    );
}

#[test]
fn cache_writes_of_nova_cost_the_input_rate_and_no_other_model_has_a_rate_that_no_row_has() {
    let price = |id: &str| bundled().price(id, HERE).unwrap();
    let pro = price("us.amazon.nova-pro-v1:0");
    for rates in [Some(pro.rates), pro.tiers.flex, pro.tiers.priority] {
        let rates = rates.unwrap();
        assert_eq!((rates.cache_write_5m, rates.cache_write_1h), (Some(rates.input), None));
    }
    let net = bundled().with_discount("10".parse().unwrap()).price("global.amazon.nova-2-lite-v1:0", HERE).unwrap();
    assert_eq!(net.rates.cache_write_5m.unwrap().to_string(), "0.27");
    assert_eq!(price("us.openai.gpt-5.5").rates.cache_write_5m, None);
    assert_eq!(price("us.amazon.nova-lite-v1:0").rates.cache_write_5m.unwrap().to_string(), "0.06");
}

#[test]
fn the_rules_say_which_parts_a_model_takes() {
    let takes = |name: &str| resolve(name, HERE).unwrap().takes;
    assert_eq!(takes("claude-sonnet-4-5").sampling, Sampling::OneOfTemperatureTopP);
    for name in ["claude-opus-4-7", "claude-sonnet-5", "claude-opus-5-5", "claude-haiku-5-5", "gpt-6-sol", "kimi-k3"] {
        assert_eq!(takes(name).sampling, Sampling::None, "{name}");
    }
    assert!(takes("claude-sonnet-4-5").prefill && !takes("claude-sonnet-4-6").prefill && takes("nova-lite").top_k);
    assert!(!takes("claude-opus-4-7").top_k && !takes("nova-micro").images && takes("llama-4-scout").images);
    assert!(
        !takes("deepseek-r1").tools && !takes("llama-4-scout").tool_choice && !takes("gpt-oss-120b").stop_sequences
    );
    let reasoning = |name: &str| takes(name).reasoning.map(|it| (it.style, it.default, it.can_be_off));
    for (name, expected) in [
        ("claude-sonnet-4-5", Some((Some(ReasoningStyle::ClaudeBudget), Thinking::Off, true))),
        ("claude-sonnet-4-6", Some((Some(ReasoningStyle::ClaudeBudgetOrAdaptive), Thinking::Off, true))),
        ("claude-sonnet-5", Some((Some(ReasoningStyle::ClaudeAdaptive), Thinking::On, true))),
        ("claude-sonnet-5-5", Some((Some(ReasoningStyle::ClaudeAdaptive), Thinking::Always, false))),
        ("nova-2-lite", Some((Some(ReasoningStyle::NovaEffort), Thinking::Off, true))),
        ("gpt-oss-120b", Some((Some(ReasoningStyle::ReasoningEffort), Thinking::Always, false))),
        ("gpt-6-sol", Some((Some(ReasoningStyle::ReasoningObject), Thinking::On, true))),
        ("kimi-k3", Some((Some(ReasoningStyle::ReasoningObject), Thinking::On, true))),
        ("kimi-k3-1", Some((Some(ReasoningStyle::ReasoningObject), Thinking::On, true))),
        ("deepseek-r1", Some((None, Thinking::Always, false))),
        ("nova-lite", None),
    ] {
        assert_eq!(reasoning(name), expected, "{name}");
    }
    assert_eq!(takes("claude-haiku-4-5").cache, Some(Cache { min_tokens: 4_096, one_hour: true }));
    assert_eq!(takes("llama-4-scout").cache, None);
    assert_eq!(takes("gpt-oss-120b").service_tiers, [ServiceTier::Flex, ServiceTier::Priority]);
    let tokens = |name: &str| resolve(name, HERE).unwrap().defaults.max_tokens;
    assert_eq!(["claude-sonnet-5", "gpt-oss-20b", "nova-lite"].map(tokens), [Some(8_192), Some(8_192), Some(2_048)]);
    let sonnet = resolve("claude-sonnet-4-5", HERE).unwrap();
    assert_eq!((sonnet.defaults.max_tokens, sonnet.thinking_max_tokens), (Some(2_048), 8_192));
    assert_eq!(sonnet.model.reasoning, Some(ReasoningStyle::ClaudeBudget));
}

#[test]
fn tokens_are_counted_under_the_foundation_models_id_where_bedrock_counts_them() {
    let catalogue = bundled();
    for (model_id, counted_as) in [
        ("us.anthropic.claude-3-5-haiku-20241022-v1:0", "anthropic.claude-3-5-haiku-20241022-v1:0"),
        ("global.anthropic.claude-sonnet-4-20250514-v1:0", "anthropic.claude-sonnet-4-20250514-v1:0"),
        ("apac.anthropic.claude-opus-4-5-20251101-v1:0", "anthropic.claude-opus-4-5-20251101-v1:0"),
        ("us.anthropic.claude-opus-4-7", "anthropic.claude-opus-4-7"),
        ("us.anthropic.claude-sonnet-4-6", "anthropic.claude-sonnet-4-6"),
    ] {
        assert_eq!(catalogue.counted_as(model_id), Some(counted_as));
    }
    for model_id in [
        "anthropic.claude-3-haiku-20240307-v1:0",
        // This model started with cross-Region inference only.
        "us.anthropic.claude-opus-4-8",
        "global.anthropic.claude-sonnet-5",
        "us.amazon.nova-lite-v1:0",
        "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/anthropic.claude-3-5-x",
    ] {
        assert_eq!(catalogue.counted_as(model_id), None, "{model_id}");
    }
}

#[test]
fn pictures_have_the_rule_of_their_models_page_and_none_where_nothing_is_published() {
    let most = |name: &str| bundled().limits(name).picture.map(PictureRule::most);
    for (name, expected) in [
        ("amazon.nova-pro-v1:0", Some(98_462)),
        ("anthropic.claude-sonnet-4-6", Some(1_568)),
        ("global.anthropic.claude-opus-4-6-v1", Some(1_568)),
        ("us.anthropic.claude-opus-4-7", Some(4_784)),
        ("us.anthropic.claude-opus-5-5", Some(4_784)),
        ("us.meta.llama4-scout-17b-instruct-v1:0", Some(2_467)),
        ("qwen.qwen3-vl-235b-a22b", Some(16_384)),
        ("amazon.nova-2-lite-v1:0", None),
        ("us.anthropic.claude-fable-9", None),
    ] {
        assert_eq!(most(name), expected, "{name}");
    }
}

fn item(text: &str) -> Result<Addition, InvalidEntry> {
    let item: serde_json::Map<_, _> = serde_json::from_str(text).unwrap();
    Addition::read(item["entry"].as_str().unwrap(), item.clone())
}

#[test]
fn an_admins_item_wins_over_the_bundled_entry_field_by_field() {
    let catalogue = bundled();
    let id = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
    assert_eq!(catalogue.item_key("claude-sonnet-4-5", HERE, today()).as_deref(), Some(id));
    assert_eq!(catalogue.item_key("gpt-4", HERE, today()), None);
    let added = item(&format!(
        r#"{{"entry": "{id}", "contextWindow": 1000000, "takes": {{"images": false, "cache": {{"oneHour": false}}}}, "ends": "2026-12-01",
            "successor": "claude-opus-5-5", "picture": {{"flat": 230}},
            "price": {{"input": "1", "output": "2", "longContext": {{"above": 5, "rates": {{"input": "2", "output": "3"}}}}}},
            "priceSource": "contract of 2026-10-01"}}"#
    ))
    .unwrap();
    let found = catalogue.resolve_added("claude-sonnet-4-5", &added, HERE, today()).unwrap().unwrap();
    let plain = catalogue.resolve("claude-sonnet-4-5", HERE, today()).unwrap();
    assert_eq!((found.limits.context_window, found.limits.output), (Some(1_000_000), plain.limits.output));
    assert_eq!(found.limits.picture.map(PictureRule::most), Some(230));
    assert!(!found.takes.images && found.takes.documents);
    assert_eq!(found.takes.cache, Some(Cache { min_tokens: 1_024, one_hour: false }));
    assert_eq!(found.model.price.unwrap().long_context.unwrap().above, 5);
    assert_eq!(found.retiring.unwrap().successor, "claude-opus-5-5");
    assert_eq!((found.model.family, found.model.requested.as_str()), (Family::Anthropic, "claude-sonnet-4-5"));
    // An item can bring a model back. An item of a profile can change the limits of the model behind it.
    let revived = item(r#"{"entry": "us.anthropic.claude-3-5-haiku-20241022-v1:0", "ends": "2030-01-01"}"#).unwrap();
    assert!(catalogue.resolve_added("x", &revived, HERE, today()).unwrap().is_some());
    let arn = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/p1";
    let of_profile = item(&format!(r#"{{"entry": "{arn}", "outputLimit": 9}}"#)).unwrap();
    let through = catalogue.overlaid(plain.called_through(arn), &of_profile);
    assert_eq!((through.limits.output, through.defaults.max_tokens), (Some(9), Some(9)));
    assert_eq!(through.model.model_metric, "p1");
}

#[test]
fn an_addition_describes_a_model_that_no_pattern_fits() {
    let added = item(
        r#"{"entry": "acme.giant-v1", "family": "llama", "transport": "converse", "outputLimit": 100, "takes": null,
            "price": {"input": "1", "output": "2"}, "priceSource": "contract of 2026-10-01", "regions": ["us-*"]}"#,
    )
    .unwrap();
    let found = bundled().resolve_added("giant", &added, HERE, today()).unwrap().unwrap();
    assert_eq!(
        (found.model.family, found.defaults.max_tokens, found.limits.output),
        (Family::Llama, Some(100), Some(100))
    );
    assert!(found.model.price.is_some() && found.model.requested == "giant" && found.listed);
    let elsewhere = bundled().resolve_added("giant", &added, "eu-west-1", today());
    assert!(matches!(elsewhere, Err(AdditionError::Resolve(ResolveError::Elsewhere { .. }))), "{elsewhere:?}");
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
        (r#"{"entry": "acme.a", "price": {"input": 1, "output": "2"}, "priceSource": "x"}"#, "price"),
        (r#"{"entry": "acme.a", "takes": {"pictures": true}}"#, "takes.pictures"),
        (r#"{"entry": "acme.a", "transport": "invoke-model"}"#, "transport"),
        (r#"{"entry": "acme.a", "ends": "lately"}"#, "ends"),
        (r#"{"entry": "acme.a", "defaults": {"temperature": 2}}"#, "defaults.temperature"),
        (r#"{"entry": "acme.a", "outputLimit": 9, "contextWindow": 8}"#, "contextWindow"),
        (r#"{"entry": "acme.a", "regions": ["Virginia"]}"#, "regions"),
        (r#"{"entry": "acme.a", "aliases": ["a"]}"#, "aliases"),
        (r#"{"entry": "acme.a", "pricedAlike": ["us.acme.a"]}"#, "pricedAlike"),
        (r#"{"entry": "acme.a", "fallback": "acme.a"}"#, "fallback"),
        (r#"{"entry": "alias#a"}"#, "modelId"),
        (r#"{"entry": "alias#a", "modelId": 7}"#, "modelId"),
        (r#"{"entry": "alias#a", "modelId": "acme.a", "since": "x"}"#, "since"),
    ];
    for (text, field) in cases {
        let invalid = item(text).unwrap_err();
        assert!(invalid.field.starts_with(field), "{text}: {invalid}");
    }
    let without_family = item(r#"{"entry": "acme.a"}"#).unwrap();
    let Err(AdditionError::Entry(invalid)) = bundled().resolve_added("a", &without_family, HERE, today()) else {
        panic!()
    };
    assert_eq!((invalid.entry.as_str(), invalid.field.as_str()), ("acme.a", "family"));
}

const COMMON_OF_TESTS: &str = r#"{"defaults": {"maxTokens": 7, "thinkingMaxTokens": 9}, "regionGroups": {"us": ["us-*"]},
    "families": [{"pattern": "acme.*", "family": "nova"}]"#;

fn parse(common: &str, models: &str) -> Result<Catalogue, InvalidCatalogue> {
    let provider = format!(r#"{{"provider": "acme", "models": [{models}]}}"#);
    Catalogue::parse(&format!("{COMMON_OF_TESTS}{common}}}"), &[("acme.json", &provider)])
}

#[test]
fn a_wrong_entry_is_named_with_its_field() {
    let wrong = |rest: &str| parse("", &format!(r#"{{"model": "acme.x"{rest}}}"#));
    let row = |rest: &str| wrong(&format!(r#", "prices": [{{"price": {{"input": "1", "output": "2"}}, {rest}}}]"#));
    assert!(row(r#""for": ["us"], "source": "aws", "read": "2026-11-26""#).is_ok());
    let cases = [
        (parse("", r#"{"model": "acme.x"}, {"model": "acme.x"}"#), "acme.x", "model"),
        (parse("", r#"{"model": "us.acme.x"}"#), "us.acme.x", "model"),
        (parse("", r#"{"aliases": ["x"]}"#), "acme.json", "model"),
        (wrong(r#", "alias": "y""#), "acme.x", "alias"),
        (wrong(r#", "outputLimit": -1"#), "acme.x", "outputLimit"),
        (wrong(r#", "maxTokens": 9, "outputLimit": 8"#), "acme.x", "maxTokens"),
        (wrong(r#", "ends": "2026-01-01""#), "acme.x", "successor"),
        (wrong(r#", "ends": "lately", "successor": "y""#), "acme.x", "ends"),
        (wrong(r#", "successor": "acme.x""#), "acme.x", "successor"),
        (wrong(r#", "fallback": "acme.y""#), "acme.x", "fallback"),
        (wrong(r#", "forms": ["mars"]"#), "acme.x", "forms"),
        (wrong(r#", "takes": {"pictures": true}"#), "acme.x", "takes.pictures"),
        (wrong(r#", "aliases": ["default"]"#), "default", "aliases"),
        (wrong(r#", "aliases": ["acme.y"]"#), "acme.y", "aliases"),
        (row(r#""for": ["mars"], "source": "aws", "read": "2026-11-26""#), "acme.x", "prices.for"),
        (row(r#""for": ["us"], "source": "hearsay", "read": "2026-11-26""#), "acme.x", "prices.source"),
        (row(r#""for": ["us"], "source": "aws""#), "acme.x", "prices[0].read"),
        (parse(r#", "aliases": {"sales": "other.model"}"#, ""), "sales", "aliases"),
        (parse(r#", "lasting": ["sales"]"#, ""), "sales", "lasting"),
        (parse(r#", "countTokens": [{"models": ["amce.*"], "source": "x"}]"#, ""), "amce.*", "countTokens"),
        (parse(r#", "cacheWriteAtInput": [{"models": ["amce.*"], "source": "x"}]"#, ""), "amce.*", "cacheWriteAtInput"),
        (parse(r#", "cacheWriteAtInput": [{"models": ["acme.*"], "source": ""}]"#, ""), "", "source"),
    ];
    for (result, entry, field) in cases {
        let error = result.unwrap_err();
        let InvalidCatalogue::Entry(invalid) = &error else { panic!("{error}") };
        assert_eq!((invalid.entry.as_str(), invalid.field.as_str()), (entry, field), "{error}");
    }
    let unreadable = Catalogue::parse("{", &[]).unwrap_err().to_string();
    assert!(unreadable.contains("common.json") && unreadable.contains("line 1"), "{unreadable}");
}

proptest! {
    #[test]
    fn no_name_panics_and_what_is_resolved_fits_a_metric(names in prop::collection::vec("\\PC{0,300}|[a-z.:/-]{0,80}", 64)) {
        let catalogue = bundled();
        for name in names {
            if let Ok(Resolved { model, .. }) = catalogue.resolve(&name, HERE, today()) {
                prop_assert!((1..=255).contains(&model.model_metric.len()) && model.model_metric.is_ascii());
            }
        }
    }
}
