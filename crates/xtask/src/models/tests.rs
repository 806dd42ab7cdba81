//! Tests with one changed file of each kind. Exactly the changes are shown and written. An invalid row is reported
//! with its line.

use std::path::Path;

use super::*;

const COMMON: &str = sentry_models::catalogue::COMMON;
const LITELLM: &str = include_str!("../../fixtures/models/litellm.json");
const GENAI: &str = include_str!("../../fixtures/models/genai-prices.json");
const FIRST_PARTY: &str = include_str!("../../fixtures/models/AmazonBedrock.json");
const MARKETPLACE: &str = include_str!("../../fixtures/models/AmazonBedrockFoundationModels.json");

fn shipped() -> Files {
    let texts = [
        ("amazon.json".to_owned(), include_str!("../../fixtures/models/amazon.json").to_owned()),
        ("anthropic.json".to_owned(), include_str!("../../fixtures/models/anthropic.json").to_owned()),
    ];
    Files::parse(Path::new("unused"), COMMON, &texts).unwrap()
}

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn imported(before: &Files, sources: &[(&str, &str)]) -> Updated {
    let sources: Vec<Source> = sources.iter().map(|(name, text)| recognize(name, text).unwrap()).collect();
    update(before.clone(), &sources, day("2026-12-01")).unwrap()
}

fn changes(before: &Files, after: &Files) -> Vec<String> {
    before.changes(after, day("2026-12-01")).into_iter().map(|change| change.line).collect()
}

fn error(name: &str, text: &str) -> String {
    let source = recognize(name, text);
    let updated = source.and_then(|source| update(shipped(), &[source], day("2026-12-01")));
    format!("{:#}", updated.err().unwrap())
}

#[test]
fn a_changed_model_map_changes_exactly_what_it_says() {
    let before = shipped();
    let updated = imported(&before, &[("litellm.json", LITELLM)]);
    assert_eq!(
        changes(&before, &updated.files),
        [
            "changed  amazon.nova-lite-v1:0 us input: 0.06 -> 0.05",
            "changed  amazon.nova-lite-v1:0 us second source: agrees -> gone",
            "changed  amazon.nova-2-lite-v1:0 outputLimit: 64000 -> 65535",
            "new      amazon.nova-3-lite-v1:0, with 1 price(s)",
            "new      anthropic.claude-haiku-4-5-20251001-v1:0 ends: 2026-11-20",
            "new      anthropic.claude-haiku-4-5-20251001-v1:0 successor: claude-sonnet-5",
            "ended    anthropic.claude-haiku-4-5-20251001-v1:0, replaced by claude-sonnet-5",
            "new      anthropic.claude-sonnet-5 global longContext.above: 200000",
            "new      anthropic.claude-sonnet-5 global longContext.rates.input: 4.00",
            "new      anthropic.claude-sonnet-5 global longContext.rates.output: 15.00",
            "changed  anthropic.claude-sonnet-5 global second source: agrees -> gone",
        ]
    );
    let reason =
        "left out us.twelvelabs.pegasus-1-5-v1:0: answers questions about videos only, which requests cannot hold";
    assert!(updated.left_out.contains(&reason.to_owned()), "{:?}", updated.left_out);
    let texts = updated.files.texts().unwrap();
    let again = imported(&updated.files, &[("litellm.json", LITELLM)]).files;
    assert!(changes(&updated.files, &again).is_empty() && again.texts().unwrap() == texts);
    assert!(texts["sources/litellm.json"].contains("us.amazon.nova-3-lite-v1:0"));
    assert!(!texts["sources/litellm.json"].contains("gpt-9"), "only Bedrock's rows are kept");
    let nova = texts["catalogue/amazon.json"].lines().find(|line| line.contains("\"0.05\"")).unwrap();
    assert!(nova.contains(r#"{"for": ["us"], "price": {"input": "0.05", "output": "0.24""#), "{nova}");
    assert!(nova.contains(r#""read": "2026-12-01""#), "{nova}");
}

#[test]
fn an_offer_of_aws_wins_in_its_region_and_leaves_the_rest() {
    let before = shipped();
    let after = imported(&before, &[("offer.json", FIRST_PARTY), ("litellm.json", LITELLM)]).files;
    let shown = changes(&before, &after);
    for line in [
        "new      amazon.nova-lite-v1:0 bare in us-east-1: 0.05/0.24",
        "new      amazon.nova-lite-v1:0 us in us-east-1: 0.05/0.24",
    ] {
        assert!(shown.contains(&line.to_owned()), "{shown:#?}");
    }
    let after = imported(&before, &[("offer.json", MARKETPLACE)]).files;
    assert_eq!(
        changes(&before, &after),
        [
            "new      anthropic.claude-haiku-4-5-20251001-v1:0 global in us-east-1: 1.00/5.00",
            "new      anthropic.claude-haiku-4-5-20251001-v1:0 us in us-east-1: 1.10/5.50",
        ]
    );
    let texts = after.texts().unwrap();
    let row = texts["catalogue/anthropic.json"].lines().find(|line| line.contains(r#""source": "aws""#)).unwrap();
    // The offer in this test has no prices for caching.
    assert!(row.contains(r#""rest": "litellm""#) && row.contains("cacheRead"), "{row}");
    assert!(row.contains(r#""regions": ["us-east-1"]"#) && row.contains(r#""read": "2026-11-02""#), "{row}");
    assert!(texts["sources/aws.json"].contains("Claude Haiku 4.5"));
}

#[test]
fn the_second_source_only_says_whether_it_agrees() {
    let before = shipped();
    let after = imported(&before, &[("genai-prices.json", GENAI)]).files;
    let shown = changes(&before, &after);
    assert!(
        shown.iter().all(|line| line.contains("amazon.nova-lite-v1:0") && line.contains("second source")),
        "{shown:#?}"
    );
    let own = "changed  amazon.nova-lite-v1:0 us second source: agrees -> differs: 0.06/0.25";
    assert!(shown.contains(&own.to_owned()), "{shown:#?}");
}

#[test]
fn a_broken_row_is_named_with_its_file_and_line() {
    let at = |text: &str, part: &str| text.lines().position(|line| line.contains(part)).unwrap() + 1;
    let key = "\"us.amazon.nova-lite-v1:0\"";
    let broken = LITELLM.replace("\"input_cost_per_token\": 5e-08", "\"input_cost_per_token\": \"free\"");
    let message = error("litellm.json", &broken);
    assert!(message.contains(&format!("litellm.json:{}: us.amazon", at(&broken, key))), "{message}");
    assert!(message.contains("input_cost_per_token"), "{message}");
    for (value, problem) in [("-5e-08", "negative"), ("0.0", "is 0")] {
        let broken = LITELLM.replace("input_cost_per_token\": 5e-08", &format!("input_cost_per_token\": {value}"));
        let message = error("litellm.json", &broken);
        assert!(message.contains(problem) && message.contains("litellm.json:"), "{message}");
    }
    let broken = GENAI.replace("\"output_mtok\": 0.25", "\"output_mtok\": \"0.25\"");
    let message = error("genai.json", &broken);
    assert!(message.contains("genai.json:") && message.contains("amazon.nova-lite-v1:0 output_mtok"), "{message}");
    let broken = FIRST_PARTY.replace("0.0000500000", "cheap");
    let message = error("offer.json", &broken);
    assert!(message.contains("USE1-NovaLite-input-tokens") && message.contains("cheap"), "{message}");
    assert!(error("other.json", "{}").contains("has none") && error("other.txt", "prices").contains("neither"));
}

#[test]
fn the_shipped_files_are_what_the_import_of_their_sources_makes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sentry-models");
    let shipped = Files::open(&folder).unwrap();
    let sources = std::fs::read_to_string(folder.join("sources/litellm.json")).unwrap();
    let after = imported(&shipped, &[("sources/litellm.json", &sources)]).files;
    assert_eq!(changes(&shipped, &after), Vec::<String>::new());
    for (name, text) in after.texts().unwrap() {
        assert_eq!(
            std::fs::read_to_string(folder.join(&name)).unwrap(),
            text,
            "{name} is not laid out as an import does"
        );
    }
}
