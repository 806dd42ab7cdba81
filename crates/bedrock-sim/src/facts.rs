//! What models take: `data/rules.json`, each rule with its source, and `data/ids.json`, which ids exist.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;

/// A rule that some models have. `data/rules.json` says which, and where that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Only an inference profile can be called, not the id itself.
    ProfileOnly,
    /// Claude: sampling parameters other than the defaults are errors.
    NoSampling,
    /// Other models: `temperature` and `topP` are errors of Converse.
    NoSamplingField,
    /// One of the two, not both.
    TemperatureOrTopP,
    /// Claude: the last turn must be the user's.
    NoPrefill,
    /// Other models: the same.
    LastTurnIsTheUsers,
    /// `toolChoice` may only be `auto`, whether the model thinks or not.
    NoForcedTools,
    /// `toolChoice` has no `any` and no `tool`.
    NoToolChoice,
    /// No tools at all.
    NoTools,
    /// Pictures are refused.
    NoImages,
    /// Pictures are taken inside a tool's result too.
    ToolResultImages,
    /// A tool's result may not be an empty list.
    NoEmptyToolResult,
    /// `thinking: {type: enabled, budget_tokens}`.
    ThinksByBudget,
    /// `thinking: {type: adaptive}`.
    ThinksAdaptively,
    /// Thinks unless told otherwise.
    ThinksByDefault,
    /// `thinking: {type: disabled}` is an error.
    ThinksAlways,
    /// `thinking: {type: between_tools}`.
    ThinksBetweenTools,
    /// The thoughts' text is empty unless `display` asks for it; the signature carries them.
    ThinksUnseen,
    /// A signature of another model is no signature.
    ThoughtsAreItsOwn,
    /// With a budget, the assistant's turn of a tool loop must begin with its thoughts.
    ThinkingFirst,
    /// `output_config.effort` is taken.
    Effort,
    /// `effort` over `high` needs thinking.
    HighEffortNeedsThinking,
    /// `reasoningConfig`, the words of Nova 2, is taken.
    NovaReasoning,
    /// `reasoning: {effort}`.
    ReasoningObject,
    /// The reasoning comes as `redactedContent`.
    ReasoningIsEncrypted,
    /// `reasoning_effort`.
    ReasoningEffort,
    /// `reasoning_config`.
    ReasoningConfig,
    /// Reasons whatever it is told.
    ReasonsAlways,
    /// Takes a `cachePoint`; the value is the fewest tokens that are cached.
    Caches,
    /// No `cachePoint` among the tools.
    NoCachedTools,
    /// No lifetime of an hour.
    NoLongCache,
    /// `outputConfig.textFormat` is an error.
    NoStructuredOutput,
    /// CountTokens takes the model's id.
    CountsTokens,
    /// No system texts.
    NoSystem,
    /// No more than one message.
    NoHistory,
    /// No stop sequences.
    NoStopSequences,
}

#[derive(Deserialize)]
struct Row {
    rule: Rule,
    /// The starts of foundation models' ids; one that ends with `$` is the whole id.
    models: Vec<String>,
    #[serde(default)]
    value: u64,
    /// Where it is written; only tests look at it.
    #[cfg_attr(not(test), expect(dead_code, reason = "it is for readers of the file"))]
    source: String,
}

/// Facts about one foundation model.
#[derive(Debug, Default, Deserialize)]
pub struct Facts {
    /// The prefixes of its cross-Region profiles.
    pub profiles: Vec<String>,
    /// The most tokens that it reads.
    pub context: Option<u64>,
    /// The most tokens that it writes.
    pub output: Option<u64>,
    /// The first day on which it is not served any more, such as `2026-06-19`.
    pub ends: Option<String>,
}

static RULES: LazyLock<Vec<Row>> =
    LazyLock::new(|| serde_json::from_str(include_str!("../data/rules.json")).unwrap_or_default());
static IDS: LazyLock<BTreeMap<String, Facts>> =
    LazyLock::new(|| serde_json::from_str(include_str!("../data/ids.json")).unwrap_or_default());

/// Whether the foundation model `base` has the rule.
pub fn has(base: &str, rule: Rule) -> bool {
    value(base, rule).is_some()
}

/// The rule's figure for the foundation model `base`, if it has the rule.
pub fn value(base: &str, rule: Rule) -> Option<u64> {
    let fits = |start: &String| match start.strip_suffix('$') {
        Some(whole) => base == whole,
        None => base.starts_with(start.as_str()),
    };
    RULES.iter().find(|row| row.rule == rule && row.models.iter().any(fits)).map(|row| row.value)
}

/// The facts about the foundation model `base`; nothing about a model that is in no list.
pub fn of(base: &str) -> Option<&'static Facts> {
    IDS.get(base)
}

/// The foundation models that are in the list.
#[cfg(test)]
pub fn ids() -> impl Iterator<Item = (&'static String, &'static Facts)> {
    IDS.iter()
}

/// Whether a Region has the cross-Region profiles that begin with `prefix`.
///
/// Bedrock user guide, "Supported Regions and models for inference profiles"
/// (<https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html>, read 2026-11-26): source Regions of each geography.
pub fn region_has(region: &str, prefix: &str) -> bool {
    match prefix {
        "us-gov" => region.starts_with("us-gov-"),
        "us" => (region.starts_with("us-") && !region.starts_with("us-gov-")) || region.starts_with("ca-"),
        "eu" => region.starts_with("eu-"),
        "apac" => region.starts_with("ap-"),
        "jp" => matches!(region, "ap-northeast-1" | "ap-northeast-3"),
        "au" => matches!(region, "ap-southeast-2" | "ap-southeast-4" | "ap-southeast-6"),
        "in" => matches!(region, "ap-south-1" | "ap-south-2"),
        "global" => !region.starts_with("us-gov-") && !region.starts_with("cn-"),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_files_can_be_read_and_every_rule_has_a_source() {
        assert!(RULES.len() > 30 && IDS.len() > 100, "{} rules, {} ids", RULES.len(), IDS.len());
        for row in RULES.iter() {
            assert!(row.source.len() > 4 && !row.models.is_empty(), "{:?}", row.rule);
        }
    }

    #[test]
    fn starts_and_whole_ids_are_told_apart() {
        assert!(has("anthropic.claude-opus-5", Rule::HighEffortNeedsThinking));
        assert!(!has("anthropic.claude-opus-5-5", Rule::HighEffortNeedsThinking));
        assert_eq!(value("anthropic.claude-sonnet-5", Rule::Caches), Some(1_024));
        assert_eq!(value("anthropic.claude-sonnet-5-5", Rule::Caches), Some(512));
        assert_eq!(value("meta.llama4-scout-17b-instruct-v1:0", Rule::Caches), None);
    }

    #[test]
    fn a_region_has_the_profiles_of_its_geography() {
        for (region, has, lacks) in [
            ("us-east-1", ["us", "global"], ["eu", "us-gov"]),
            ("eu-central-1", ["eu", "global"], ["us", "apac"]),
            ("us-gov-west-1", ["us-gov", "us-gov"], ["us", "global"]),
            ("ap-northeast-1", ["jp", "apac"], ["au", "in"]),
        ] {
            assert!(has.iter().all(|prefix| region_has(region, prefix)), "{region}");
            assert!(lacks.iter().all(|prefix| !region_has(region, prefix)), "{region}");
        }
    }
}
