//! Facts about models: `data/rules.json` has rules with their sources, and `data/ids.json` has the model ids.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;

/// A rule that applies to some models. `data/rules.json` lists the models and the source of each rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The model can be called only through an inference profile, not by its own id.
    ProfileOnly,
    /// Claude: `temperature` and `top_p` below their default of 1, and any `top_k`, are errors.
    NoSampling,
    /// Models other than Claude: Converse rejects `temperature` and `topP`.
    NoSamplingField,
    /// `temperature` and `top_p` cannot be set together.
    TemperatureOrTopP,
    /// Claude: the last turn must be from the user.
    NoPrefill,
    /// Models other than Claude: the last turn must be from the user.
    LastTurnIsTheUsers,
    /// Claude: `toolChoice` must be `auto`, even if the model does not think.
    NoForcedTools,
    /// Converse rejects `any` and `tool` in `toolChoice`.
    NoToolChoice,
    /// The model does not support tools.
    NoTools,
    /// The model rejects pictures.
    NoImages,
    /// The model also accepts pictures in tool results.
    ToolResultImages,
    /// The content of a tool result must not be an empty list.
    NoEmptyToolResult,
    /// The model accepts `thinking: {type: enabled, budget_tokens}`.
    ThinksByBudget,
    /// The model accepts `thinking: {type: adaptive}`.
    ThinksAdaptively,
    /// The model thinks unless the request turns thinking off.
    ThinksByDefault,
    /// The model rejects `thinking: {type: disabled}`.
    ThinksAlways,
    /// The model accepts `thinking: {type: between_tools}`.
    ThinksBetweenTools,
    /// The text of the thoughts is empty unless `display` asks for it. The signature is always returned.
    ThinksUnseen,
    /// The model rejects signatures that another model created.
    ThoughtsAreItsOwn,
    /// If thinking has a budget, the assistant turn of a tool loop must begin with thoughts.
    ThinkingFirst,
    /// The model accepts `output_config.effort`.
    Effort,
    /// An `effort` above `high` requires thinking.
    HighEffortNeedsThinking,
    /// The model accepts `reasoningConfig`, the format of Nova 2.
    NovaReasoning,
    /// The model accepts `reasoning: {effort}`.
    ReasoningObject,
    /// The model ignores the field `reasoning_effort`. Without this rule, a model that accepts `reasoning` rejects it.
    IgnoresReasoningEffort,
    /// The model returns its reasoning as `redactedContent`.
    ReasoningIsEncrypted,
    /// The model accepts the field `reasoning_effort`.
    ReasoningEffort,
    /// The model accepts the field `reasoning_config`.
    ReasoningConfig,
    /// The model reasons whatever the request says.
    ReasonsAlways,
    /// The model accepts a `cachePoint`. The value of the rule is the minimum number of tokens in a cached prefix.
    Caches,
    /// The model caches without being asked, and rejects the field `cachePoint`.
    CachesImplicitly,
    /// The model rejects a `cachePoint` among the tools.
    NoCachedTools,
    /// The model rejects a cache lifetime of one hour.
    NoLongCache,
    /// The model rejects `outputConfig.textFormat`.
    NoStructuredOutput,
    /// `CountTokens` accepts the model's id.
    CountsTokens,
    /// The model rejects system texts.
    NoSystem,
    /// The model accepts only one message.
    NoHistory,
    /// The model rejects stop sequences.
    NoStopSequences,
}

#[derive(Deserialize)]
struct Row {
    rule: Rule,
    /// Prefixes of foundation model ids. An entry that ends with `$` must match the whole id.
    models: Vec<String>,
    #[serde(default)]
    value: u64,
    /// The source of the rule. Only tests read it.
    #[cfg_attr(not(test), expect(dead_code, reason = "it is for readers of the file"))]
    source: String,
}

/// Facts about a foundation model.
#[derive(Debug, Default, Deserialize)]
pub struct Facts {
    /// Prefixes of the model's cross-Region profiles, such as `us`.
    pub profiles: Vec<String>,
    /// Maximum number of input tokens, if it is known.
    pub context: Option<u64>,
    /// Maximum number of output tokens, if it is known.
    pub output: Option<u64>,
    /// The first day on which the model is not served anymore, such as `2026-06-19`. Absent if no such day is known.
    pub ends: Option<String>,
}

static RULES: LazyLock<Vec<Row>> =
    LazyLock::new(|| serde_json::from_str(include_str!("../data/rules.json")).unwrap_or_default());
static IDS: LazyLock<BTreeMap<String, Facts>> =
    LazyLock::new(|| serde_json::from_str(include_str!("../data/ids.json")).unwrap_or_default());

/// `true` if the foundation model `base` has the rule.
pub fn has(base: &str, rule: Rule) -> bool {
    value(base, rule).is_some()
}

/// The value of the rule for the foundation model `base`. `None` if the model does not have the rule.
pub fn value(base: &str, rule: Rule) -> Option<u64> {
    let fits = |start: &String| match start.strip_suffix('$') {
        Some(whole) => base == whole,
        None => base.starts_with(start.as_str()),
    };
    RULES.iter().find(|row| row.rule == rule && row.models.iter().any(fits)).map(|row| row.value)
}

/// The facts about the foundation model `base`. `None` if the model is not in the list.
pub fn of(base: &str) -> Option<&'static Facts> {
    IDS.get(base)
}

/// All listed foundation models with their facts.
#[cfg(test)]
pub fn ids() -> impl Iterator<Item = (&'static String, &'static Facts)> {
    IDS.iter()
}

/// `true` if cross-Region profiles that begin with `prefix` can be called from the Region.
///
/// Source: source Regions of each geography in Bedrock user guide, "Supported Regions and models for inference
/// profiles" (<https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html>, read
/// 2026-11-26).
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
