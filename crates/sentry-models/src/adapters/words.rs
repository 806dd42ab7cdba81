//! The parts of a request that Converse has no field for, in the format of the model's family:
//! `additionalModelRequestFields`.

use sentry_contract::request::{Effort, Family, Prompt, Reasoning, ReasoningStyle};
use sentry_contract::states::Target;
use serde_json::{Map, Value, json};

use super::unsupported::Unsupported;

/// Smallest thinking budget of a model of Anthropic, in tokens. Source: Amazon Bedrock User Guide, "Extended thinking".
const LEAST_BUDGET: u32 = 1_024;
/// The parameter with the client's own fields.
const ADDITIONAL: &str = "additionalModelRequestFields";
const REASONING: &str = "reasoning";

/// The fields for `prompt` to `model`, for an answer of at most `max_tokens`: the client's own fields, `top_k` and
/// `reasoning`.
///
/// # Errors
/// If the model has no field for a part, or if the client's own fields set the same part.
pub fn fields(model: &Target, prompt: &Prompt, max_tokens: u32) -> Result<Option<Value>, Unsupported> {
    let refused = |parameter, because| Unsupported { parameter, because };
    let mut fields = match &prompt.additional_model_request_fields {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(fields)) => fields.clone(),
        Some(_) => return Err(refused(ADDITIONAL, "it must be an object")),
    };
    let top_k = prompt.parameters.top_k.map(|top_k| self::top_k(model.family, top_k));
    let reasoning = prompt.reasoning.and_then(|wanted| match (model.reasoning, wanted) {
        (Some(style), wanted) => Some(reasoning(style, wanted, max_tokens)),
        // A model without a style does not think on request, so `off` needs no field.
        (None, Reasoning::Off(_)) => None,
        (None, _) => Some(Err("it cannot be told how much to think")),
    });
    let reasoning = reasoning.transpose().map_err(|because| refused(REASONING, because))?;
    for more in [top_k, reasoning].into_iter().flatten() {
        merge(&mut fields, more).map_err(|()| refused(ADDITIONAL, "it says again what `top_k` or `reasoning` says"))?;
    }
    Ok((!fields.is_empty()).then_some(Value::Object(fields)))
}

/// Adds the fields of `more` to `fields`. Objects are merged field by field. Fails if both have the same field.
fn merge(fields: &mut Map<String, Value>, more: Value) -> Result<(), ()> {
    let Value::Object(more) = more else { return Err(()) };
    more.into_iter().try_for_each(|(name, value)| match fields.get_mut(&name) {
        None => {
            fields.insert(name, value);
            Ok(())
        }
        Some(Value::Object(inner)) => merge(inner, value),
        Some(_) => Err(()),
    })
}

/// The field for `top_k`, for a family that accepts it.
///
/// Sources: Amazon Nova User Guide, "Complete request schema"; Amazon Bedrock User Guide, "Cohere Command R and Command
/// R+ models", "Anthropic Claude Messages API" and "Mistral AI text completion".
fn top_k(family: Family, top_k: u32) -> Value {
    match family {
        Family::Nova => json!({"inferenceConfig": {"topK": top_k}}),
        Family::Cohere => json!({"k": top_k}),
        // No wildcard, so that the compiler asks for the field of a new family.
        Family::Anthropic
        | Family::AnthropicText
        | Family::Titan
        | Family::Llama
        | Family::Mistral
        | Family::Jamba
        | Family::Deepseek
        | Family::GptOss
        | Family::Qwen
        | Family::Converse => json!({"top_k": top_k}),
    }
}

/// The fields for the amount of thinking. Within a style, models differ in the efforts that they accept and in whether
/// thinking can be turned off. Validation checks this. Bedrock rejects the rest, at no cost.
///
/// Sources: Amazon Bedrock User Guide, "Extended thinking" and "Adaptive thinking"; Amazon Nova 2 User Guide, "Extended
/// thinking in Amazon Nova 2"; OpenAI API Reference, `reasoning_effort`.
fn reasoning(style: ReasoningStyle, wanted: Reasoning, max_tokens: u32) -> Result<Value, &'static str> {
    use ReasoningStyle::{
        ClaudeAdaptive, ClaudeBudget, ClaudeBudgetOrAdaptive, NovaEffort, ReasoningEffort, ReasoningObject,
    };
    let budget = |tokens| json!({"thinking": {"type": "enabled", "budget_tokens": tokens}});
    match (style, wanted) {
        (ClaudeBudget | ClaudeBudgetOrAdaptive, Reasoning::BudgetTokens(tokens)) => {
            budget_below(max_tokens, tokens).map(budget)
        }
        (ClaudeBudget, Reasoning::Effort(effort)) => budget_for(max_tokens, effort).map(budget),
        (ClaudeBudgetOrAdaptive | ClaudeAdaptive, Reasoning::Effort(effort)) => {
            Ok(json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": effort.name()}}))
        }
        (ClaudeBudget | ClaudeBudgetOrAdaptive | ClaudeAdaptive, Reasoning::Off(_)) => {
            Ok(json!({"thinking": {"type": "disabled"}}))
        }
        (NovaEffort, Reasoning::Effort(effort @ (Effort::Low | Effort::Medium))) => {
            Ok(json!({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": effort.name()}}))
        }
        (NovaEffort, Reasoning::Effort(Effort::High)) => {
            Err("with the effort `high` the model accepts no `max_tokens`, which is always sent; use `medium`")
        }
        (NovaEffort, Reasoning::Effort(Effort::Max)) => Err("it has no effort `max`"),
        (NovaEffort, Reasoning::Off(_)) => Ok(json!({"reasoningConfig": {"type": "disabled"}})),
        (ReasoningEffort, Reasoning::Effort(effort)) => Ok(json!({"reasoning_effort": effort.name()})),
        (ReasoningEffort, Reasoning::Off(_)) => Ok(json!({"reasoning_effort": "none"})),
        (ReasoningObject, Reasoning::Effort(effort)) => Ok(json!({"reasoning": {"effort": effort.name()}})),
        (ReasoningObject, Reasoning::Off(_)) => Ok(json!({"reasoning": {"effort": "none"}})),
        (ClaudeAdaptive | NovaEffort | ReasoningEffort | ReasoningObject, Reasoning::BudgetTokens(_)) => {
            Err("it takes an effort, not a budget of tokens")
        }
    }
}

/// Returns `tokens`, or half of `max_tokens` if an answer of `max_tokens` has no room for `tokens`.
fn budget_below(max_tokens: u32, tokens: u32) -> Result<u32, &'static str> {
    fitting(max_tokens, if tokens < max_tokens { tokens } else { max_tokens / 2 })
}

/// The budget for an effort, as a share of `max_tokens`. It is for a model that accepts only budgets.
///
/// The shares are this project's choice. No vendor publishes any.
fn budget_for(max_tokens: u32, effort: Effort) -> Result<u32, &'static str> {
    let percent = match effort {
        Effort::Low => 20,
        Effort::Medium => 50,
        Effort::High => 80,
        Effort::Max => 95,
    };
    fitting(max_tokens, max_tokens / 100 * percent)
}

/// A budget must be less than `max_tokens`, because the answer uses the same tokens.
fn fitting(max_tokens: u32, tokens: u32) -> Result<u32, &'static str> {
    let tokens = tokens.max(LEAST_BUDGET);
    if tokens < max_tokens {
        Ok(tokens)
    } else {
        Err("thinking needs at least 1,024 tokens, and `max_tokens` must be more")
    }
}
