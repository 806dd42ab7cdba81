//! The conversation of a request: its system texts, its messages, and the rules that they must follow.

use serde_json::Value;

use crate::{
    blocks,
    error::ApiError,
    facts::Rule,
    fields::{self, Fields},
    models::Model,
    prompt::{Kind, Prompt, Role, Turn},
};

/// Claude limits the sides of pictures to [`MOST_PIXELS_OF_MANY`] if a request has more than this many pictures.
/// Source: aws-solutions-library-samples/accelerated-intelligent-document-processing-on-aws issue 994.
const MANY_IMAGES: usize = 20;
const MOST_PIXELS_OF_MANY: u64 = 2_000;

/// Reads `system` and `messages` of a body into `prompt`.
///
/// # Errors
/// A `ValidationException` if messages are missing, in the wrong order, or malformed.
pub fn read_conversation(fields: &Fields<'_>, prompt: &mut Prompt, model: Option<Model<'_>>) -> Result<(), ApiError> {
    prompt.system = system(fields.list("system")?.map(Vec::as_slice).unwrap_or_default())?;
    let messages = fields.list("messages")?.ok_or_else(|| fields.missing("messages"))?;
    prompt.turns = messages
        .iter()
        .enumerate()
        .map(|(index, message)| {
            let (role, content) = message_parts(index, message)?;
            blocks::turn(role, content, &format!("messages.{index}.content"), model)
        })
        .collect::<Result<_, ApiError>>()?;
    check_order(&prompt.turns)?;
    check_results(&prompt.turns)?;
    if let Some(model) = model {
        check_model(prompt, model)?;
    }
    Ok(())
}

/// The role and the content blocks of a message.
///
/// # Errors
/// A `ValidationException` if the message is malformed, has no valid role, or has no content.
pub fn message_parts(index: usize, message: &Value) -> Result<(Role, &[Value]), ApiError> {
    let place = format!("#/messages/{index}");
    let message =
        message.as_object().ok_or_else(|| fields::malformed(format_args!("{place}: expected type: JSONObject")))?;
    Fields::new(message, &place, &["role", "content"])?;
    let role = match message.get("role").and_then(Value::as_str) {
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        None => return Err(fields::malformed(format_args!("{place}: required key [role] not found"))),
        // The service model also has the role `system`, but models reject it. Sources: BerriAI/litellm pull request
        // 41082, stdapi-ai/stdapi.ai issue 49.
        Some(_) => {
            return Err(ApiError::validation(format!(
                "1 validation error detected: Value at 'messages.{}.member.role' failed to satisfy constraint: Member must \
                 satisfy enum value set: [user, assistant]",
                index.saturating_add(1)
            )));
        }
    };
    let content = message.get("content").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if content.is_empty() {
        return Err(ApiError::validation(format!(
            "The content field in the Message object at messages.{index} is empty. Add a ContentBlock object to the content \
             field and try again."
        )));
    }
    Ok((role, content))
}

/// The texts of the system blocks, without cache points.
fn system(blocks: &[Value]) -> Result<Vec<String>, ApiError> {
    let mut texts = Vec::new();
    for (index, block) in blocks.iter().enumerate() {
        let place = format!("system.{index}");
        let block = blocks::union(block, &place, &["text", "cachePoint", "guardContent"])?;
        let guarded = block.object("guardContent")?.and_then(|guarded| guarded.get("text")?.get("text")?.as_str());
        match block.string("text")?.or(guarded) {
            Some(text) if text.trim().is_empty() => return Err(blocks::blank(&place)),
            Some(text) => texts.push(text.to_owned()),
            None if block.get("cachePoint").is_some() => {}
            None => return Err(block.missing("text")),
        }
    }
    Ok(texts)
}

fn check_order(turns: &[Turn]) -> Result<(), ApiError> {
    if turns.first().is_none_or(|turn| turn.role != Role::User) {
        return Err(ApiError::validation(
            "A conversation must start with a user message. Try again with a conversation that starts with a user message.",
        ));
    }
    if turns.windows(2).any(|pair| matches!(pair, [a, b] if a.role == b.role)) {
        return Err(ApiError::validation(
            "A conversation must alternate between user and assistant roles. Make sure the conversation alternates \
             between user and assistant roles and try again.",
        ));
    }
    Ok(())
}

/// Checks that every tool result answers a tool use of the previous turn, and that every tool use has a result.
/// Sources: strands-agents/harness-sdk issue 1435 (too many results), zeroclaw-labs/zeroclaw pull request 1476
/// (missing results).
fn check_results(turns: &[Turn]) -> Result<(), ApiError> {
    let mut open: &[String] = &[];
    for (index, turn) in turns.iter().enumerate() {
        if turn.role == Role::Assistant {
            open = &turn.tool_uses;
            continue;
        }
        if turn.tool_uses.len() > open.len() {
            return Err(ApiError::validation(format!(
                "The number of toolResult blocks at messages.{index}.content exceeds the number of toolUse blocks of previous turn."
            )));
        }
        let missing: Vec<&str> = open.iter().filter(|id| !turn.tool_uses.contains(id)).map(String::as_str).collect();
        if !missing.is_empty() {
            return Err(ApiError::validation(format!(
                "Expected toolResult blocks at messages.{index}.content for the following Ids: {}",
                missing.join(", ")
            )));
        }
        open = &[];
    }
    Ok(())
}

/// Rejects Converse fields that the model does not support.
fn check_model(prompt: &Prompt, model: Model<'_>) -> Result<(), ApiError> {
    let refused = |field: &str| Err(fields::unsupported(field));
    if !prompt.system.is_empty() && model.has(Rule::NoSystem) {
        return refused("system");
    }
    if !prompt.stop_sequences.is_empty() && model.has(Rule::NoStopSequences) {
        return refused("stopSequences");
    }
    if prompt.turns.len() > 1 && model.has(Rule::NoHistory) {
        return Err(ApiError::validation(
            "This model doesn't support conversation history. Try again with input that only includes one user message.",
        ));
    }
    if model.has(Rule::NoSamplingField) {
        if prompt.temperature.is_some() {
            return refused("temperature");
        }
        if prompt.top_p.is_some() {
            return refused("topP");
        }
    }
    check_last(prompt, model)?;
    if model.is_claude() {
        check_claude(prompt, model)?;
    }
    Ok(())
}

fn check_last(prompt: &Prompt, model: Model<'_>) -> Result<(), ApiError> {
    let Some(last) = prompt.turns.last().filter(|turn| turn.role == Role::Assistant) else { return Ok(()) };
    if model.has(Rule::LastTurnIsTheUsers) {
        return Err(ApiError::validation(
            "The model that you are using requires the last turn in the conversation to be a user message. Add a user message to the \
             conversation and try again.",
        ));
    }
    if model.has(Rule::NoPrefill) {
        return Err(ApiError::model(
            "This model does not support assistant message prefill. The conversation must end with a user message.",
        ));
    }
    if model.is_claude() && last.text.ends_with(char::is_whitespace) {
        return Err(ApiError::model("messages: final assistant content cannot end with trailing whitespace"));
    }
    Ok(())
}

fn check_claude(prompt: &Prompt, model: Model<'_>) -> Result<(), ApiError> {
    for (name, value) in [("temperature", prompt.temperature), ("top_p", prompt.top_p)] {
        // The default of both parameters is 1, which the model accepts.
        if value.is_some_and(|value| value < 1.0) && model.has(Rule::NoSampling) {
            return Err(ApiError::model(format!("`{name}` is deprecated for this model.")));
        }
    }
    if prompt.temperature.is_some() && prompt.top_p.is_some() && model.has(Rule::TemperatureOrTopP) {
        return Err(ApiError::model(
            "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
        ));
    }
    // Source: Anthropic's API. The wording on Bedrock was not found.
    if prompt.stop_sequences.iter().any(|stop| stop.trim().is_empty()) {
        return Err(ApiError::model("stop_sequences: each stop sequence must contain non-whitespace"));
    }
    let images: Vec<_> = prompt.turns.iter().flat_map(|turn| &turn.images).collect();
    let is_large = |size: &&Option<(u64, u64)>| size.is_some_and(|(w, h)| w.max(h) > MOST_PIXELS_OF_MANY);
    if images.len() > MANY_IMAGES && images.iter().any(is_large) {
        return Err(ApiError::model(format!(
            "messages: At least one of the image dimensions exceed max allowed size for many-image requests: {MOST_PIXELS_OF_MANY} \
             pixels"
        )));
    }
    Ok(())
}

/// If thinking has a budget, the assistant turn of a tool loop must begin with thoughts (langchain-ai/langchain-aws
/// issue 844). Models that think adaptively do not require this (pydantic/pydantic-ai pull request 5326).
///
/// # Errors
/// A `ValidationException` if the turn begins with text or a tool use.
pub fn check_thoughts(prompt: &Prompt, model: Model<'_>) -> Result<(), ApiError> {
    let thinks = prompt.thinking.is_some_and(|thinking| thinking.by_budget) && model.has(Rule::ThinkingFirst);
    let is_in_a_loop = prompt.turns.last().is_some_and(|turn| turn.role == Role::User && !turn.tool_uses.is_empty());
    let Some(index) = prompt.turns.len().checked_sub(2).filter(|_| thinks && is_in_a_loop) else { return Ok(()) };
    let found = match prompt.turns.get(index).and_then(|turn| turn.begins_with) {
        Some(Kind::Text) => "text",
        Some(Kind::ToolUse) => "tool_use",
        Some(Kind::Thoughts) | None => return Ok(()),
    };
    Err(ApiError::model(format!(
        "messages.{index}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{found}`. When `thinking` is enabled, a \
         final `assistant` message must start with a thinking block (preceeding the lastmost set of `tool_use` and `tool_result` blocks). \
         We recommend you include thinking blocks from previous turns. To avoid this requirement, disable `thinking`. Please consult our \
         documentation at https://docs.claude.com/en/docs/build-with-claude/extended-thinking"
    )))
}
