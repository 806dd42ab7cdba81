//! Tests with one changed file of each kind. Exactly the changes are shown and written. An invalid row is reported
//! with its line.

use std::path::Path;

use super::*;
use crate::cli::Downloads;

const COMMON: &str = sentry_models::catalogue::COMMON;
const LITELLM: &str = include_str!("../fixtures/litellm.json");
const GENAI: &str = include_str!("../fixtures/genai-prices.json");
const FIRST_PARTY: &str = include_str!("../fixtures/AmazonBedrock.json");
const MARKETPLACE: &str = include_str!("../fixtures/AmazonBedrockFoundationModels.json");

fn shipped() -> Files {
    let texts = [
        ("amazon.json".to_owned(), include_str!("../fixtures/amazon.json").to_owned()),
        ("anthropic.json".to_owned(), include_str!("../fixtures/anthropic.json").to_owned()),
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
    let updated = imported(&before, &[("offer.json", FIRST_PARTY)]);
    assert_eq!(
        changes(&before, &updated.files),
        [
            "new      amazon.nova-lite-v1:0 bare in us-east-1: 0.05/0.24",
            "new      amazon.nova-lite-v1:0 us in us-east-1: 0.05/0.24",
        ]
    );
    assert_eq!(
        updated.left_out,
        [
            "left out 5 row(s) of AmazonBedrock that price other things",
            "left out Llama 3.3 70B: no entry has this `offer`",
            "left out Nova Micro: no entry has this `offer`",
            "left out Nova Pro: no entry has this `offer`",
            "left out gpt-oss-120b: no entry has this `offer`",
        ]
    );
    // The order of the files does not matter.
    let litellm_last = imported(&before, &[("offer.json", FIRST_PARTY), ("litellm.json", LITELLM)]).files;
    let litellm_first = imported(&before, &[("litellm.json", LITELLM), ("offer.json", FIRST_PARTY)]).files;
    assert_eq!(litellm_last.texts().unwrap(), litellm_first.texts().unwrap());

    let updated = imported(&before, &[("offer.json", MARKETPLACE)]);
    assert_eq!(
        changes(&before, &updated.files),
        [
            "new      anthropic.claude-haiku-4-5-20251001-v1:0 global in us-east-1: 1.00/5.00",
            "new      anthropic.claude-haiku-4-5-20251001-v1:0 us in us-east-1: 1.10/5.50",
            "new      anthropic.claude-sonnet-5 us in us-east-1: 3.00/15.00",
        ]
    );
    assert_eq!(
        updated.left_out,
        [
            "left out 1 row(s) of AmazonBedrockFoundationModels that price other things",
            "left out Claude 3.5 Haiku: no entry has this `offer`",
            "left out Claude 3.5 Sonnet v2: no entry has this `offer`",
            "left out Claude Opus 4.6: no entry has this `offer`",
        ]
    );
    let texts = updated.files.texts().unwrap();
    let row = texts["catalogue/anthropic.json"].lines().find(|line| line.contains(r#""source": "aws""#)).unwrap();
    // The offer in this test has no prices for caching.
    assert!(row.contains(r#""rest": "litellm""#) && row.contains("cacheRead"), "{row}");
    assert!(row.contains(r#""regions": ["us-east-1"]"#) && row.contains(r#""read": "2026-11-02""#), "{row}");
    // Both products have the usage type of their input.
    let inputs = texts["sources/aws.json"].matches("USE1-MP:USE1_InputTokenCount-Units").count();
    assert_eq!(inputs, 2, "{}", texts["sources/aws.json"]);
}

#[test]
fn an_offer_that_is_imported_again_takes_the_rest_from_the_rows_of_today() {
    let files = [("offer.json", MARKETPLACE), ("litellm.json", LITELLM), ("genai.json", GENAI)];
    let before = imported(&shipped(), &files).files;
    let again = imported(&before, &files).files;
    assert_eq!(changes(&before, &again), Vec::<String>::new());
    assert_eq!(before.texts().unwrap(), again.texts().unwrap());

    let dearer =
        LITELLM.replace("\"cache_read_input_token_cost\": 1.1e-07", "\"cache_read_input_token_cost\": 1.2e-07");
    let after =
        imported(&before, &[("offer.json", MARKETPLACE), ("litellm.json", &dearer), ("genai.json", GENAI)]).files;
    let shown = changes(&before, &after);
    let own = "changed  anthropic.claude-haiku-4-5-20251001-v1:0 us in us-east-1 cacheRead: 0.11 -> 0.12";
    assert!(shown.contains(&own.to_owned()), "{shown:#?}");
}

#[test]
fn a_rate_that_a_later_offer_lacks_goes_with_its_row() {
    let before = imported(&shipped(), &[("offer.json", FIRST_PARTY)]).files;
    let without_flex = FIRST_PARTY.replace("output-tokens-flex", "output-tokens-batch");
    let after = imported(&before, &[("offer.json", &without_flex)]).files;
    assert_eq!(
        changes(&before, &after),
        [
            "changed  amazon.nova-lite-v1:0 bare in us-east-1 tiers.flex.input: 0.025 -> gone",
            "changed  amazon.nova-lite-v1:0 bare in us-east-1 tiers.flex.output: 0.12 -> gone",
            "changed  amazon.nova-lite-v1:0 us in us-east-1 tiers.flex.input: 0.025 -> gone",
            "changed  amazon.nova-lite-v1:0 us in us-east-1 tiers.flex.output: 0.12 -> gone",
        ]
    );
    let rows = &after.texts().unwrap()["sources/aws.json"];
    assert!(rows.contains("USE1-NovaLite-input-tokens") && !rows.contains("flex"), "{rows}");
}

/// The tests of `sentry-models` recompute the prices of these files from their sources. After a change of the import,
/// run this test with `SENTRY_UPDATE_FILES=1`, then review the git diff.
#[test]
fn the_import_of_all_kinds_of_files_writes_what_the_tests_of_the_catalogue_recompute() {
    let sources = [
        ("offer.json", FIRST_PARTY),
        ("marketplace.json", MARKETPLACE),
        ("litellm.json", LITELLM),
        ("genai-prices.json", GENAI),
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sentry-models/tests/prices/imported");
    for (name, text) in imported(&shipped(), &sources).files.texts().unwrap() {
        let path = folder.join(&name);
        if std::env::var_os("SENTRY_UPDATE_FILES").is_some() {
            fs::write(&path, &text).unwrap();
        }
        let file = fs::read_to_string(&path).unwrap_or_default();
        let line = file.lines().zip(text.lines()).find(|(file, import)| file != import);
        assert!(file == text, "{} differs, first in: {line:#?}", path.display());
    }
}

#[test]
fn the_second_source_only_says_whether_it_agrees() {
    let before = shipped();
    let after = imported(&before, &[("genai-prices.json", GENAI)]).files;
    assert_eq!(
        changes(&before, &after),
        [
            "changed  amazon.nova-lite-v1:0 apac second source: differs: 0.06/0.24 -> differs: 0.06/0.25",
            "changed  amazon.nova-lite-v1:0 bare second source: agrees -> differs: 0.06/0.25",
            "changed  amazon.nova-lite-v1:0 bare in us-gov-west-1 second source: differs: 0.06/0.24 -> differs: 0.06/0.25",
            "changed  amazon.nova-lite-v1:0 eu second source: differs: 0.06/0.24 -> differs: 0.06/0.25",
            "changed  amazon.nova-lite-v1:0 us second source: agrees -> differs: 0.06/0.25",
        ]
    );
}

#[test]
fn a_changed_price_is_compared_with_the_last_rows_of_the_second_source() {
    let before = imported(&shipped(), &[("litellm.json", LITELLM), ("genai-prices.json", GENAI)]).files;
    let price = "\"output_cost_per_token\": 2.75e-06";
    let dearer = LITELLM.replace(price, "\"output_cost_per_token\": 2.80e-06");
    let after = imported(&before, &[("litellm.json", &dearer)]).files;
    assert_eq!(
        changes(&before, &after),
        [
            "changed  amazon.nova-2-lite-v1:0 us output: 2.75 -> 2.80",
            "changed  amazon.nova-2-lite-v1:0 us second source: agrees -> differs: 0.33/2.75",
        ]
    );
    assert_eq!(before.extracts["genai-prices"], after.extracts["genai-prices"]);
}

#[test]
fn a_check_fails_only_if_a_known_value_would_change() {
    let rows = models_crate().join("sources/litellm.json");
    let checked = |file: &Path| {
        let files = vec![file.to_owned()];
        run(&models_crate(), &Task::Check(Downloads { files, read: None })).unwrap()
    };
    assert_eq!(checked(&rows), ExitCode::SUCCESS, "the rows that the catalogue was made of");

    let rows: serde_json::Value = serde_json::from_str(&fs::read_to_string(&rows).unwrap()).unwrap();
    let changed = std::env::temp_dir().join(format!("models-import-{}.json", std::process::id()));
    let mut with_new = rows.clone();
    with_new["us.amazon.nova-9-lite-v1:0"] = rows["us.amazon.nova-lite-v1:0"].clone();
    fs::write(&changed, with_new.to_string()).unwrap();
    assert_eq!(checked(&changed), ExitCode::SUCCESS, "a new model only");

    let mut dearer = rows;
    dearer["us.amazon.nova-lite-v1:0"]["input_cost_per_token"] = serde_json::json!(0.5);
    fs::write(&changed, dearer.to_string()).unwrap();
    assert_eq!(checked(&changed), ExitCode::FAILURE, "a changed price");
    fs::remove_file(&changed).unwrap();
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
    let line = at(&broken, "\"id\": \"amazon.nova-lite-v1:0\"") - 1;
    assert_eq!(message, format!("genai.json:{line}: amazon.nova-lite-v1:0 output_mtok: \"0.25\" is no number"));
    assert!(error("other.json", "{}").contains("has none") && error("other.txt", "prices").contains("neither"));
}

#[test]
fn a_broken_row_of_an_offer_is_named_with_its_file_and_line() {
    // A product of the fixture, and its price.
    let product = r#""SKU0000000000002": {"#;
    let price = r#""SKU0000000000002.JRTCKXETXF.6YS6EN2CT7": {"#;
    let start = FIRST_PARTY.find(price).unwrap();
    let (before, of_price) = FIRST_PARTY.split_at(start);
    let at = |part: &str| FIRST_PARTY.lines().position(|line| line.contains(part)).unwrap() + 1;
    let own = format!("offer.json:{}: USE1-NovaLite-input-tokens: ", at(price));
    for (right, wrong, problem) in [
        ("\"USD\": \"0.0000500000\"", "\"USD\": \"cheap\"", "\"cheap\" is no price"),
        ("\"unit\": \"1K tokens\"", "\"unit\": \"1K words\"", "\"1K words\" is no unit of tokens"),
        ("\"USD\": \"0.0000500000\"", "\"USD\": 5", "invalid type: integer `5`, expected a string"),
    ] {
        let broken = format!("{before}{}", of_price.replacen(right, wrong, 1));
        assert_ne!(broken, FIRST_PARTY, "{right} is in the fixture");
        let message = error("offer.json", &broken);
        assert!(message.starts_with(&format!("{own}{problem}")), "{message}");
    }
    let broken = FIRST_PARTY.replacen("\"usagetype\": \"USE1-NovaLite-input-tokens\"", "\"usagetype\": 5", 1);
    let message = error("offer.json", &broken);
    assert!(message.starts_with(&format!("offer.json:{}: invalid type: integer `5`", at(product))), "{message}");
    // Two rows for the same tokens of one product.
    let broken = FIRST_PARTY.replacen("USE1-NovaLite-output-tokens", "USE1-NovaLite-input-tokens", 1);
    let other = at(r#""SKU0000000000003.JRTCKXETXF.6YS6EN2CT7": {"#);
    let second = format!("Nova Lite has another price for input in offer.json:{other}: USE1-NovaLite-input-tokens");
    assert_eq!(error("offer.json", &broken), format!("{own}{second}"));
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
