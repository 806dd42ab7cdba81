//! Messages whose content is a list of blocks, as Converse and Nova have them; text blocks here, Converse's others in [`crate::blocks`].

use serde_json::Value;

use crate::{
    error::ApiError,
    fields::{self, Fields},
    prompt::{Prompt, Role, Turn},
};

/// Reads the content of a message, which is at the place given, into its turn.
pub type ReadTurn = fn(Role, &[Value], &str) -> Result<Turn, ApiError>;

/// Reads `system` and `messages` of a body into its prompt.
///
/// # Errors
/// A ValidationException for messages that are missing, in the wrong order or not text.
pub fn read_conversation(fields: &Fields<'_>, prompt: &mut Prompt, read: ReadTurn) -> Result<(), ApiError> {
    prompt.system = texts(fields.list("system")?.map(Vec::as_slice).unwrap_or_default(), "system")?;
    prompt.turns = turns(fields.list("messages")?.ok_or_else(|| fields.missing("messages"))?, read)?;
    prompt.check_turns()
}

fn turns(messages: &[Value], read: ReadTurn) -> Result<Vec<Turn>, ApiError> {
    messages.iter().enumerate().map(|(index, message)| turn(index, message, read)).collect()
}

/// A turn of texts only.
///
/// # Errors
/// A ValidationException for a block of another kind.
pub fn text_turn(role: Role, content: &[Value], place: &str) -> Result<Turn, ApiError> {
    Ok(Turn::of(role, texts(content, place)?.join("\n")))
}

fn turn(index: usize, message: &Value, read: ReadTurn) -> Result<Turn, ApiError> {
    let place = format!("#/messages/{index}");
    let message =
        message.as_object().ok_or_else(|| fields::malformed(format_args!("{place}: expected type: JSONObject")))?;
    let message = Fields::new(message, &place, &["role", "content"])?;
    let role = match message.string("role")?.ok_or_else(|| message.missing("role"))? {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        _ => {
            return Err(ApiError::validation(format!(
                "1 validation error detected: Value at 'messages.{}.member.role' failed to satisfy constraint: Member must \
                 satisfy enum value set: [user, assistant]",
                index.saturating_add(1)
            )));
        }
    };
    let content = message.list("content")?.map(Vec::as_slice).unwrap_or_default();
    if content.is_empty() {
        return Err(ApiError::validation(format!(
            "The content field in the Message object at messages.{index} is empty. Add a ContentBlock object to the content \
             field and try again."
        )));
    }
    read(role, content, &format!("messages.{index}.content"))
}

/// Reads a list of text blocks; cache points are passed over.
fn texts(blocks: &[Value], place: &str) -> Result<Vec<String>, ApiError> {
    let mut texts = Vec::new();
    for (index, block) in blocks.iter().enumerate() {
        let place = format!("{place}.{index}");
        let block =
            block.as_object().ok_or_else(|| fields::malformed(format_args!("{place}: expected type: JSONObject")))?;
        if block.len() != 1 {
            return Err(fields::malformed(format_args!("{place}: a block must have exactly one member")));
        }
        let block = Fields::new(block, &place, &["text", "cachePoint"])?;
        match block.string("text")? {
            Some(text) if text.trim().is_empty() => return Err(blank(&place)),
            Some(text) => texts.push(text.to_owned()),
            None if block.get("cachePoint").is_some() => {}
            None => return Err(block.missing("text")),
        }
    }
    Ok(texts)
}

/// A ValidationException for a text block without text.
pub fn blank(place: &str) -> ApiError {
    ApiError::validation(format!(
        "The text field in the ContentBlock object at {place} is blank. Add text to the text field, and try again."
    ))
}
