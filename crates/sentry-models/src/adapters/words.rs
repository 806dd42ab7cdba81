//! What Converse has no field for, in the words of a model's family: `additionalModelRequestFields`.

use sentry_contract::request::{Effort, Family, Prompt, Reasoning, ReasoningStyle};
use sentry_contract::states::Target;
use serde_json::{Map, Value, json};

use super::call::Refusal;

/// Fewest tokens that a model of Anthropic can be told to think. Source: Amazon Bedrock User Guide, "Extended thinking".
const LEAST_BUDGET: u32 = 1_024;
/// The client's own fields.
const ADDITIONAL: &str = "additionalModelRequestFields";
const REASONING: &str = "reasoning";

/// The fields for `prompt` to `model`, which may write `max_tokens`: the client's own, `top_k` and `reasoning`.
///
/// # Errors
/// When the model has no word for a part, or the client has said the same in its own fields in another way.
pub fn fields(model: &Target, prompt: &Prompt, max_tokens: u32) -> Result<Option<Value>, Refusal> {
    let refused = |parameter, because| Refusal { parameter, because };
    let mut fields = match &prompt.additional_model_request_fields {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(fields)) => fields.clone(),
        Some(_) => return Err(refused(ADDITIONAL, "it must be an object")),
    };
    let top_k = prompt.parameters.top_k.map(|top_k| self::top_k(model.family, top_k));
    let reasoning = prompt.reasoning.and_then(|wanted| match (model.reasoning, wanted) {
        (Some(style), wanted) => Some(reasoning(style, wanted, max_tokens)),
        // It does not think by anybody's word.
        (None, Reasoning::Off(_)) => None,
        (None, _) => Some(Err("it cannot be told how much to think")),
    });
    let reasoning = reasoning.transpose().map_err(|because| refused(REASONING, because))?;
    for more in [top_k, reasoning].into_iter().flatten() {
        merge(&mut fields, more).map_err(|()| refused(ADDITIONAL, "it says again what `top_k` or `reasoning` says"))?;
    }
    Ok((!fields.is_empty()).then_some(Value::Object(fields)))
}

/// Adds the fields of `more` to `fields`, objects field by field.
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

/// `top_k`, for a family that has it.
///
/// Sources: Amazon Nova User Guide, "Complete request schema"; Amazon Bedrock User Guide, "Cohere Command R and Command R+ models",
/// "Anthropic Claude Messages API" and "Mistral AI text completion".
fn top_k(family: Family, top_k: u32) -> Value {
    match family {
        Family::Nova => json!({"inferenceConfig": {"topK": top_k}}),
        Family::Cohere => json!({"k": top_k}),
        _ => json!({"top_k": top_k}),
    }
}

/// How much to think. Which efforts a model of a style knows, and whether it can be kept from thinking, differs by model: Bedrock refuses,
/// at no cost, what validation has let through.
///
/// Sources: Amazon Bedrock User Guide, "Extended thinking" and "Adaptive thinking"; Amazon Nova 2 User Guide, "Extended thinking in Amazon
/// Nova 2"; OpenAI API Reference, `reasoning_effort`.
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
            Err("with the effort `high` it takes no `max_tokens`, which is always sent; use `medium`")
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

/// `tokens`, or where an answer of `max_tokens` has no room for them, half of it.
fn budget_below(max_tokens: u32, tokens: u32) -> Result<u32, &'static str> {
    fitting(max_tokens, if tokens < max_tokens { tokens } else { max_tokens / 2 })
}

/// A share of `max_tokens` for an effort, in a model that knows budgets only.
///
/// The shares are this project's own choice; no vendor publishes any.
fn budget_for(max_tokens: u32, effort: Effort) -> Result<u32, &'static str> {
    let percent = match effort {
        Effort::Low => 20,
        Effort::Medium => 50,
        Effort::High => 80,
        Effort::Max => 95,
    };
    fitting(max_tokens, max_tokens / 100 * percent)
}

/// A budget must be below `max_tokens`, for the answer comes out of the same tokens.
fn fitting(max_tokens: u32, tokens: u32) -> Result<u32, &'static str> {
    let tokens = tokens.max(LEAST_BUDGET);
    if tokens < max_tokens {
        Ok(tokens)
    } else {
        Err("thinking takes 1,024 tokens at least, and `max_tokens` more than them")
    }
}
