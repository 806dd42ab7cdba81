//! Reads the thinking options of a call. Each model family has its own format in `additionalModelRequestFields`.

use serde_json::{Map, Value};

use crate::{
    error::ApiError,
    facts::Rule,
    fields,
    models::Model,
    prompt::{Form, Prompt, Thinking},
};

/// Minimum thinking budget, in tokens. Source: Claude docs, Extended thinking.
const LEAST_BUDGET: u64 = 1_024;
const DOCS: &str = "https://docs.claude.com/en/docs/build-with-claude/extended-thinking";
/// Source: botocore 1.44.8, bedrock-runtime, `OutputConfig`: "Supported values are low, medium, high, xhigh, and max."
const EFFORTS: [&str; 5] = ["low", "medium", "high", "xhigh", "max"];

/// Reads the thinking options of a request. `None` if the model does not think.
///
/// # Errors
/// A `ValidationException` if the model would return one.
pub fn read(
    extra: Option<&Map<String, Value>>,
    effort: Option<&str>,
    prompt: &Prompt,
    model: Model<'_>,
) -> Result<Option<Thinking>, ApiError> {
    let nothing = Map::new();
    let extra = extra.unwrap_or(&nothing);
    if model.is_claude() {
        return claude(extra, effort, prompt, model);
    }
    if let Some(config) = extra.get("reasoningConfig") {
        return nova(config, prompt, model);
    }
    if model.has(Rule::ReasoningObject) {
        if extra.contains_key("reasoning_effort") && !model.has(Rule::IgnoresReasoningEffort) {
            return Err(ApiError::model("Unknown parameter: 'reasoning_effort'."));
        }
        let effort = extra.get("reasoning").and_then(|reasoning| reasoning.get("effort")).and_then(Value::as_str);
        return Ok(shown(effort.or(Some("medium")), Form::Encrypted));
    }
    if model.has(Rule::ReasoningEffort) || model.has(Rule::ReasonsAlways) {
        let effort = extra.get("reasoning_effort").and_then(Value::as_str);
        return Ok(shown(effort.or(Some("medium")), Form::Plain));
    }
    if model.has(Rule::ReasoningConfig) {
        return Ok(shown(extra.get("reasoning_config").and_then(Value::as_str), Form::Plain));
    }
    Ok(None)
}

fn shown(effort: Option<&str>, form: Form) -> Option<Thinking> {
    let tokens = tokens(effort?);
    (tokens > 0).then_some(Thinking { tokens, form, by_budget: false })
}

/// The number of tokens that the simulator spends on an effort. AWS does not publish such numbers.
fn tokens(effort: &str) -> u64 {
    match effort {
        "none" => 0,
        "minimal" | "low" => 8,
        "high" => 32,
        "xhigh" => 48,
        "max" => 64,
        _ => 16,
    }
}

fn claude(
    extra: &Map<String, Value>,
    effort: Option<&str>,
    prompt: &Prompt,
    model: Model<'_>,
) -> Result<Option<Thinking>, ApiError> {
    let own = extra.get("output_config").and_then(|config| config.get("effort")).and_then(Value::as_str);
    let effort = effort.or(own);
    if let Some(effort) = effort {
        check_effort(effort, model)?;
    }
    let config = extra.get("thinking");
    let word = |name: &str| config.and_then(|config| config.get(name)).and_then(Value::as_str);
    let is_seen = word("display").map_or(!model.has(Rule::ThinksUnseen), |display| display == "summarized");
    let form = if is_seen { Form::Signed } else { Form::Unseen };
    let kind = match (config, word("type")) {
        (None, _) => {
            return Ok(if thinks_unasked(prompt, model) { shown(effort.or(Some("high")), form) } else { None });
        }
        (Some(_), Some(kind)) => kind,
        (Some(_), None) => return Err(ApiError::model("thinking.type: Field required")),
    };
    match kind {
        "enabled" => {
            if !model.has(Rule::ThinksByBudget) {
                return Err(unsupported(kind));
            }
            let budget = budget(config, extra, prompt)?;
            check_beside(prompt)?;
            Ok(Some(Thinking { tokens: budget.min(tokens("max")), form, by_budget: true }))
        }
        "adaptive" if model.has(Rule::ThinksAdaptively) => {
            check_beside(prompt)?;
            Ok(shown(effort.or(Some("high")), form))
        }
        // This message is the simulator's own. It is not from AWS.
        "adaptive" => Err(ApiError::model("adaptive thinking is not supported on this model")),
        "disabled" if model.has(Rule::ThinksAlways) => Err(unsupported(kind)),
        // This message is the simulator's own. It is not from AWS.
        "disabled" if model.has(Rule::HighEffortNeedsThinking) && matches!(effort, Some("xhigh" | "max")) => {
            Err(ApiError::model("output_config.effort: effort over 'high' needs thinking on this model"))
        }
        "disabled" => Ok(None),
        "between_tools" if model.has(Rule::ThinksBetweenTools) => Ok(None),
        _ => Err(ApiError::model("thinking.type: Input should be 'enabled', 'disabled' or 'adaptive'")),
    }
}

/// `true` if the model thinks by default. Here, it does not think if a tool is forced. The behavior on AWS in this
/// case was not found.
fn thinks_unasked(prompt: &Prompt, model: Model<'_>) -> bool {
    model.has(Rule::ThinksByDefault) && prompt.tools.chosen.is_none()
}

fn check_effort(effort: &str, model: Model<'_>) -> Result<(), ApiError> {
    if !model.has(Rule::Effort) {
        return Err(ApiError::model("This model does not support the effort parameter."));
    }
    if EFFORTS.contains(&effort) {
        return Ok(());
    }
    Err(ApiError::model("output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'"))
}

fn unsupported(kind: &str) -> ApiError {
    ApiError::model(format!(
        "\"thinking.type.{kind}\" is not supported for this model. Use \"thinking.type.adaptive\" and \"output_config.effort\" to \
         control thinking behavior."
    ))
}

fn budget(config: Option<&Value>, extra: &Map<String, Value>, prompt: &Prompt) -> Result<u64, ApiError> {
    let given = config.and_then(|config| config.get("budget_tokens")).and_then(Value::as_u64);
    let budget = given.ok_or_else(|| ApiError::model("thinking.enabled.budget_tokens: Field required"))?;
    if budget < LEAST_BUDGET {
        return Err(ApiError::model("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024"));
    }
    // With interleaved thinking, the budget is for all turns of a tool loop. It may exceed the maximum of one turn.
    let betas = extra.get("anthropic_beta").and_then(Value::as_array).into_iter().flatten();
    let is_interleaved = betas.filter_map(Value::as_str).any(|beta| beta.starts_with("interleaved-thinking"));
    if prompt.max_tokens.is_some_and(|most| most <= budget) && !is_interleaved {
        return Err(ApiError::model(format!(
            "`max_tokens` must be greater than `thinking.budget_tokens`. Please consult our documentation at \
             {DOCS}#max-tokens-and-context-window-size"
        )));
    }
    Ok(budget)
}

/// Checks the settings that conflict with requested thinking.
fn check_beside(prompt: &Prompt) -> Result<(), ApiError> {
    if prompt.tools.chosen.is_some() {
        return Err(ApiError::model("Thinking may not be enabled when tool_choice forces tool use."));
    }
    if prompt.temperature.is_some_and(|temperature| temperature < 1.0) {
        return Err(ApiError::model(format!(
            "`temperature` may only be set to 1 when thinking is enabled. Please consult our documentation at \
             {DOCS}#important-considerations-when-using-extended-thinking"
        )));
    }
    if prompt.top_p.is_some_and(|top_p| top_p < 0.95) {
        return Err(ApiError::model(
            "`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled.",
        ));
    }
    Ok(())
}

fn nova(config: &Value, prompt: &Prompt, model: Model<'_>) -> Result<Option<Thinking>, ApiError> {
    let word = |name: &str| config.get(name).and_then(Value::as_str);
    let effort = word("maxReasoningEffort");
    let is_known = matches!(
        (word("type"), effort),
        (Some("enabled"), None | Some("low" | "medium" | "high")) | (Some("disabled"), None)
    );
    if !is_known || !model.has(Rule::NovaReasoning) {
        return Err(ApiError::model(
            "Malformed input request: the provided reasoning config value is invalid, please reformat your input and try again.",
        ));
    }
    if word("type") == Some("disabled") {
        return Ok(None);
    }
    let is_tuned = prompt.max_tokens.is_some() || prompt.temperature.is_some() || prompt.top_p.is_some();
    if effort == Some("high") && is_tuned {
        // This message is the simulator's own. It is not from AWS.
        return Err(ApiError::model(
            fields::malformed("maxTokens, temperature and topP must not be set where maxReasoningEffort is high")
                .message,
        ));
    }
    Ok(shown(effort.or(Some("medium")), Form::Masked))
}
