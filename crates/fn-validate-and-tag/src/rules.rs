//! Refuses the parts of a request that its model does not accept, before anything is held.
//!
//! The rules of each model are data of the catalogue, [`Takes`]. Every refusal names the place in the document and the
//! parameter.

use sentry_contract::content::{Block, CachePoint, ResultBlock};
use sentry_contract::request::{Family, Model, Prompt, Reasoning, ReasoningStyle, Role};
use sentry_contract::states::Target;
use sentry_contract::tools::{Tool, ToolChoice};
use sentry_domain::CacheTtl;
use sentry_models::adapters;
use sentry_models::{Sampling, Takes, Thinking};
use serde_json::Value;

use crate::field::Refusal;

/// Names of the limit for the answer in the formats of the families. In `additionalModelRequestFields`, they could
/// raise the limit above the hold.
const TOKEN_LIMITS: [&str; 6] =
    ["max_tokens", "maxTokens", "max_new_tokens", "max_completion_tokens", "max_gen_len", "maxTokenCount"];

/// Checks `prompt` against the capabilities `takes` of `model`, for an answer of at most `max_tokens`.
///
/// # Errors
/// Returns the first part that the model does not accept.
pub fn check(prompt: &Prompt, model: &Model, takes: &Takes, max_tokens: u32) -> Result<(), Refusal> {
    let rules = Rules { prompt, model, takes };
    rules.parameters()?;
    rules.messages()?;
    rules.tools()?;
    rules.reasoning()?;
    rules.caching()?;
    rules.output_format()?;
    rules.own_fields()?;
    // The last check is the combination of the parts in the format of the model's family.
    adapters::check(&Target::from(model), prompt, max_tokens).map_err(|(parameter, because)| {
        let path =
            if parameter == "max_tokens" { "prompt.parameters.max_tokens" } else { &format!("prompt.{parameter}") };
        Refusal::new(path, format!("cannot be sent to {}: {because}", model.model_id)).parameter(parameter)
    })
}

struct Rules<'a> {
    prompt: &'a Prompt,
    model: &'a Model,
    takes: &'a Takes,
}

impl Rules<'_> {
    fn refuse(&self, path: impl Into<String>, parameter: &str, problem: &str) -> Refusal {
        Refusal::new(path, format!("{problem} ({})", self.model.model_id)).parameter(parameter)
    }

    fn refuse_parameter(&self, name: &str, problem: &str) -> Refusal {
        self.refuse(format!("prompt.parameters.{name}"), name, problem)
    }

    /// `true` if the request itself turns thinking on.
    fn asks_to_think(&self) -> bool {
        let own_words = self.prompt.additional_model_request_fields.as_ref().and_then(|fields| fields.get("thinking"));
        let in_own_words = own_words.and_then(|thinking| thinking.get("type")).is_some_and(|kind| kind != "disabled");
        in_own_words || matches!(self.prompt.reasoning, Some(Reasoning::Effort(_) | Reasoning::BudgetTokens(_)))
    }

    fn is_claude(&self) -> bool {
        self.model.family == Family::Anthropic
    }

    fn parameters(&self) -> Result<(), Refusal> {
        let parameters = &self.prompt.parameters;
        let (temperature, top_p, top_k) = (parameters.temperature, parameters.top_p, parameters.top_k);
        let given = [("temperature", temperature.is_some()), ("top_p", top_p.is_some()), ("top_k", top_k.is_some())];
        let first = given.into_iter().find(|(_, given)| *given).map(|(name, _)| name);
        match (self.takes.sampling, first) {
            (Sampling::None, Some(name)) => {
                return Err(self.refuse_parameter(
                    name,
                    "is not supported by this model, which has no sampling parameters; omit it",
                ));
            }
            (Sampling::OneOfTemperatureTopP, _) if temperature.is_some() && top_p.is_some() => {
                return Err(self.refuse_parameter(
                    "top_p",
                    "cannot be combined with temperature for this model; omit one of them",
                ));
            }
            _ => {}
        }
        if top_k.is_some() && !self.takes.top_k {
            return Err(self.refuse_parameter("top_k", "is not taken by this model; leave it out"));
        }
        if !parameters.stop_sequences.is_empty() && !self.takes.stop_sequences {
            return Err(self.refuse_parameter("stop_sequences", "are not taken by this model; leave them out"));
        }
        // Source: Claude Docs, "Extended thinking", feature compatibility.
        let thinks = self.is_claude() && self.asks_to_think();
        match (temperature, top_k) {
            (Some(temperature), _) if thinks && temperature < 1.0 => {
                Err(self.refuse_parameter("temperature", "must be 1 or left out while the model thinks"))
            }
            (_, Some(_)) if thinks => Err(self.refuse_parameter("top_k", "cannot be given while the model thinks")),
            _ => Ok(()),
        }
    }

    fn messages(&self) -> Result<(), Refusal> {
        let messages = &self.prompt.messages;
        let of_system = messages.iter().position(|message| message.role == Role::System);
        if !self.takes.system && (self.prompt.system.is_some() || of_system.is_some()) {
            let path =
                of_system.map_or_else(|| "prompt.system".to_owned(), |place| format!("prompt.messages[{place}]"));
            return Err(self.refuse(path, "system", "is not taken: this model has no system messages"));
        }
        if let (Some(place), false) = (messages.iter().position(|each| each.role == Role::Assistant), self.takes.turns)
        {
            return Err(self.refuse(
                format!("prompt.messages[{place}]"),
                "messages",
                "is not taken: this model answers a single turn",
            ));
        }
        self.prefill()?;
        self.files()
    }

    /// Checks a prefill: a last turn of the assistant, which the model continues.
    fn prefill(&self) -> Result<(), Refusal> {
        let mut said = self.prompt.messages.iter().enumerate().filter(|(_, message)| message.role != Role::System);
        let Some((place, last)) = said.next_back().filter(|(_, message)| message.role == Role::Assistant) else {
            return Ok(());
        };
        let path = format!("prompt.messages[{place}]");
        if !self.takes.prefill {
            return Err(self.refuse(
                path,
                "messages",
                "must be the user's, because this model does not continue an answer that the request begins",
            ));
        }
        if self.is_claude() && self.asks_to_think() {
            return Err(self.refuse(path, "messages", "must be the user's if the model thinks"));
        }
        // Source: Claude Docs, "Prefill Claude's response".
        if self.is_claude() && last.content.text().ends_with(char::is_whitespace) {
            return Err(self.refuse(
                format!("{path}.content"),
                "messages",
                "must not end with white space: the model continues it",
            ));
        }
        Ok(())
    }

    fn files(&self) -> Result<(), Refusal> {
        if !self.takes.images {
            self.none_of(
                "image",
                |block| matches!(block, Block::Image(_)),
                |result| matches!(result, ResultBlock::Image(_)),
            )?;
        }
        if !self.takes.documents {
            let in_result = |result: &ResultBlock| matches!(result, ResultBlock::Document(_));
            self.none_of("document", |block| matches!(block, Block::Document(_)), in_result)?;
        }
        Ok(())
    }

    /// Refuses the first block of a kind. Blocks in a tool's result count too.
    fn none_of(&self, kind: &str, is: fn(&Block) -> bool, in_result: fn(&ResultBlock) -> bool) -> Result<(), Refusal> {
        match self.path_of_block(|block| is(block) || block.results().iter().any(in_result)) {
            Some(path) => Err(self.refuse(
                path,
                kind,
                &format!("has a block of the kind {kind}, which this model does not support"),
            )),
            None => Ok(()),
        }
    }

    fn path_of_block(&self, is: impl Fn(&Block) -> bool) -> Option<String> {
        self.prompt.messages.iter().enumerate().find_map(|(place, message)| {
            let index = message.content.blocks().iter().position(&is)?;
            Some(format!("prompt.messages[{place}].content[{index}]"))
        })
    }

    fn tools(&self) -> Result<(), Refusal> {
        if !self.takes.tools && self.prompt.has_tools() {
            let speaks = |block: &Block| matches!(block, Block::ToolUse(_) | Block::ToolResult(_));
            let path = self.path_of_block(speaks).filter(|_| self.prompt.tools.is_empty());
            return Err(self.refuse(
                path.unwrap_or_else(|| "prompt.tools".to_owned()),
                "tools",
                "cannot be used: this model takes no tools",
            ));
        }
        if !matches!(self.prompt.tool_choice, Some(ToolChoice::Any {} | ToolChoice::Tool { .. })) {
            return Ok(());
        }
        if !self.takes.tool_choice {
            return Err(self.refuse(
                "prompt.toolChoice",
                "toolChoice",
                "must be auto or absent, because this model cannot be forced to use a tool",
            ));
        }
        let always = self.takes.reasoning.as_ref().is_some_and(|reasoning| reasoning.default == Thinking::Always);
        if !self.takes.forced_tool_with_reasoning && (always || self.asks_to_think()) {
            return Err(self.refuse(
                "prompt.toolChoice",
                "toolChoice",
                "must be auto, or left out, while the model thinks",
            ));
        }
        Ok(())
    }

    fn reasoning(&self) -> Result<(), Refusal> {
        let Some(wanted) = self.prompt.reasoning else { return Ok(()) };
        let refuse =
            |field: &str, problem: &str| Err(self.refuse(format!("prompt.reasoning{field}"), "reasoning", problem));
        let Some(reasoning) = self.takes.reasoning.as_ref() else {
            return match wanted {
                Reasoning::Off(_) => Ok(()),
                _ => refuse("", "is not taken: this model does not think before it answers"),
            };
        };
        let Some(style) = reasoning.style else {
            return refuse("", "is not supported: the amount of thinking of this model cannot be set");
        };
        let takes_budget = matches!(style, ReasoningStyle::ClaudeBudget | ReasoningStyle::ClaudeBudgetOrAdaptive);
        match wanted {
            Reasoning::Off(_) if !reasoning.can_be_off => refuse(".off", "is not possible: this model always thinks"),
            Reasoning::BudgetTokens(_) if !takes_budget => {
                refuse(".budgetTokens", "is not taken by this model: say an effort instead")
            }
            Reasoning::BudgetTokens(tokens) if self.prompt.parameters.max_tokens.is_some_and(|most| tokens >= most) => {
                refuse(".budgetTokens", "must be less than max_tokens, because the answer uses the same tokens")
            }
            Reasoning::Effort(effort)
                if style != ReasoningStyle::ClaudeBudget && !reasoning.efforts.contains(&effort) =>
            {
                let known: Vec<_> = reasoning.efforts.iter().map(|effort| effort.name()).collect();
                refuse(".effort", &format!("must be one of {} for this model", known.join(", ")))
            }
            _ => Ok(()),
        }
    }

    fn caching(&self) -> Result<(), Refusal> {
        let Some(cache) = self.takes.cache else {
            return match self.path_of_cache_point(|_| true) {
                Some(path) => Err(self.refuse(path, "cachePoint", "is not taken: this model has no prompt cache")),
                None => Ok(()),
            };
        };
        let for_an_hour = self.path_of_cache_point(|point| point.ttl == Some(CacheTtl::OneHour));
        if let (false, Some(path)) = (cache.one_hour, for_an_hour) {
            return Err(self.refuse(
                format!("{path}.ttl"),
                "cachePoint",
                "must be 5m or absent, because this model keeps a cache for five minutes only",
            ));
        }
        // Source: Amazon Bedrock User Guide, "Prompt caching": Amazon Nova accepts cache points in `system` and in
        // messages.
        let in_tools = self.prompt.tools.iter().position(|tool| matches!(tool, Tool::CachePoint(_)));
        match in_tools.filter(|_| self.model.family == Family::Nova) {
            Some(place) => Err(self.refuse(
                format!("prompt.tools[{place}].cachePoint"),
                "cachePoint",
                "is not taken among the tools of this model",
            )),
            None => Ok(()),
        }
    }

    /// The path of the first cache point that `is` accepts, in the order tools, `system`, messages.
    fn path_of_cache_point(&self, is: fn(&CachePoint) -> bool) -> Option<String> {
        let is_point = |block: &Block| matches!(block, Block::CachePoint(point) if is(point));
        let is_tool = |tool: &Tool| matches!(tool, Tool::CachePoint(point) if is(point));
        let in_tools = self.prompt.tools.iter().position(is_tool);
        let in_system = self.prompt.system.as_ref().and_then(|system| system.blocks().iter().position(is_point));
        in_tools
            .map(|place| format!("prompt.tools[{place}].cachePoint"))
            .or_else(|| in_system.map(|place| format!("prompt.system[{place}].cachePoint")))
            .or_else(|| self.path_of_block(is_point).map(|path| format!("{path}.cachePoint")))
    }

    fn output_format(&self) -> Result<(), Refusal> {
        if self.prompt.output_format.is_some() && !self.takes.structured_output {
            return Err(self.refuse(
                "prompt.outputFormat",
                "outputFormat",
                "is not taken: this model has no structured output",
            ));
        }
        Ok(())
    }

    fn own_fields(&self) -> Result<(), Refusal> {
        let path = "prompt.additionalModelRequestFields";
        let Some(fields) = &self.prompt.additional_model_request_fields else { return Ok(()) };
        let names = || fields.as_object().into_iter().flat_map(|fields| fields.keys());
        if let Some(name) = names().find(|name| !self.takes.fields.contains(name)) {
            let known = self.takes.fields.join(", ");
            let problem = format!("is not a known field for this model; known fields: {known}");
            return Err(self.refuse(format!("{path}.{name}"), "additionalModelRequestFields", &problem));
        }
        match token_limit(fields) {
            Some(name) => {
                let problem = format!("sets {name}; use `prompt.parameters.max_tokens`, from which the budget is held");
                Err(self.refuse(path, "additionalModelRequestFields", &problem))
            }
            None => Ok(()),
        }
    }
}

/// The first name in `value` that limits the answer, at any depth.
fn token_limit(value: &Value) -> Option<&str> {
    match value {
        Value::Object(fields) => fields.iter().find_map(|(name, value)| {
            if TOKEN_LIMITS.contains(&name.as_str()) { Some(name.as_str()) } else { token_limit(value) }
        }),
        Value::Array(values) => values.iter().find_map(token_limit),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
