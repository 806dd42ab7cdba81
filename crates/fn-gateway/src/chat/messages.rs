//! The messages of a request, as messages of the document. Each has its place, so the path of an error fits both.

use serde::Serialize;
use serde_json::value::RawValue;

use super::content::{self, Content};
use super::tools::{self, Call};
use crate::document::raw;
use crate::errors::ApiError;
use crate::fields::{Fields, invalid};

/// A message of the document.
#[derive(Serialize)]
struct Message {
    role: &'static str,
    content: Content,
}

/// Reads `messages`. The second value is `true` if one of them uses a tool or has its result.
///
/// # Errors
/// If a message has a role or a part that has no place in a document.
pub fn read(fields: &mut Fields<'_>) -> Result<(Box<RawValue>, bool), ApiError> {
    let list = fields.list("messages")?.ok_or_else(|| invalid("messages", "is required"))?;
    let messages = list.into_iter().map(|(path, message)| read_one(Fields::of(path, message)?));
    let messages = messages.collect::<Result<Vec<_>, _>>()?;
    let uses_tools = messages.iter().any(|message| message.content.uses_tools());
    Ok((raw(messages)?, uses_tools))
}

fn read_one(mut fields: Fields<'_>) -> Result<Message, ApiError> {
    let message = match fields.required_text("role")?.as_str() {
        "system" | "developer" => Message { role: "system", content: content::texts(&mut fields, "content")? },
        "user" => Message { role: "user", content: content::parts(&mut fields, "content")? },
        "assistant" => Message { role: "assistant", content: assistant(&mut fields)? },
        "tool" => Message { role: "user", content: tool_result(&mut fields)? },
        _ => {
            let problem = "must be system, developer, user, assistant or tool";
            return Err(invalid(&fields.path("role"), problem));
        }
    };
    fields.end()?;
    Ok(message)
}

/// The text of an assistant and its calls of tools. A blank text beside calls is left out, because Converse refuses it.
fn assistant(fields: &mut Fields<'_>) -> Result<Content, ApiError> {
    let calls = fields.list("tool_calls")?.unwrap_or_default();
    // A client can send back the whole message of an answer.
    if fields.list("annotations")?.is_some_and(|notes| !notes.is_empty()) {
        return Err(invalid(&fields.path("annotations"), "must be empty"));
    }
    if calls.is_empty() {
        return if fields.has("content") {
            content::texts(fields, "content")
        } else {
            Ok(Content::Text(String::new()))
        };
    }
    let said = if fields.has("content") { content::optional_texts(fields, "content")? } else { Vec::new() };
    let said = said.into_iter().filter(|text| !text.trim().is_empty()).map(content::Block::Text);
    let uses = calls.into_iter().enumerate().map(|(place, (path, call))| tool_use(place, Fields::of(path, call)?));
    let uses = uses.collect::<Result<Vec<_>, _>>()?;
    Ok(Content::Blocks(said.chain(uses.into_iter().map(content::Block::ToolUse)).collect()))
}

/// The call at `place` in its message.
fn tool_use(place: usize, mut call: Fields<'_>) -> Result<Call, ApiError> {
    tools::function_type(&mut call)?;
    // A client that puts a message together from chunks can send back the place of each call.
    if call.typed::<usize>("index", "a whole number")?.is_some_and(|index| index != place) {
        return Err(invalid(&call.path("index"), "must be the place of the call in its message"));
    }
    let tool_use_id = call.required_text("id")?;
    let mut function = call.object("function")?.ok_or_else(|| invalid(&call.path("function"), "is required"))?;
    let name = function.required_text("name")?;
    let arguments = function.required_text("arguments")?;
    let input = tools::input(&function.path("arguments"), arguments)?;
    function.end()?;
    call.end()?;
    Ok(Call { tool_use_id, name, input })
}

/// The result of a tool. Blank texts are left out, because Converse refuses them.
fn tool_result(fields: &mut Fields<'_>) -> Result<Content, ApiError> {
    let tool_use_id = fields.required_text("tool_call_id")?;
    let texts = content::optional_texts(fields, "content")?.into_iter();
    let content = texts.filter(|text| !text.trim().is_empty()).map(content::ResultText::Text).collect();
    Ok(Content::Blocks(vec![content::Block::ToolResult { tool_use_id, content }]))
}
