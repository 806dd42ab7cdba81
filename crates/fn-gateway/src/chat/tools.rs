//! Tools, the choice of a tool, and the input of a call.

use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::document::{raw, unsupported};
use crate::errors::ApiError;
use crate::fields::{Fields, invalid, is_text};

/// A tool use in a message of the assistant.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    pub tool_use_id: String,
    pub name: String,
    pub input: Box<RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tool {
    tool_spec: ToolSpec,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolSpec {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
    input_schema: InputSchema,
}

#[derive(Serialize)]
struct InputSchema {
    json: Box<RawValue>,
}

type Given = Option<Box<RawValue>>;

/// Reads `tools` and `tool_choice`. `are_used` is `true` if the messages have uses of tools, which need their tools.
///
/// # Errors
/// If a tool is no function, or the choice has no place in a document.
pub fn read(fields: &mut Fields<'_>, are_used: bool) -> Result<(Given, Given), ApiError> {
    let list = fields.list("tools")?.unwrap_or_default();
    let tools = list.into_iter().map(|(path, tool)| tool_of(Fields::of(path, tool)?));
    let tools = tools.collect::<Result<Vec<_>, _>>()?;
    let path = fields.path("tool_choice");
    let choice = match fields.take("tool_choice") {
        None => None,
        Some(word) if is_text(word) => match word.get() {
            r#""auto""# => Some(raw(json!({"auto": {}}))?),
            r#""required""# => Some(raw(json!({"any": {}}))?),
            // Converse has no such choice. A model without tools calls none.
            r#""none""# if !are_used => return Ok((None, None)),
            r#""none""# => {
                return Err(unsupported(&path, "none is not supported after a call of a tool; leave it out"));
            }
            _ => return Err(invalid(&path, "must be none, auto, required or a function")),
        },
        Some(function) => Some(chosen(Fields::of(path, function)?)?),
    };
    let tools = if tools.is_empty() { None } else { Some(raw(tools)?) };
    Ok((tools, choice))
}

fn tool_of(mut fields: Fields<'_>) -> Result<Tool, ApiError> {
    function_type(&mut fields)?;
    let mut function = fields.object("function")?.ok_or_else(|| invalid(&fields.path("function"), "is required"))?;
    let name = function.required_text("name")?;
    let description = function.text("description")?.filter(|text| !text.is_empty());
    let strict = function.typed("strict", "true or false")?.filter(|strict| *strict);
    let schema = function.raw("parameters");
    // Without `parameters`, a function has none.
    let json = schema.map_or_else(|| raw(json!({"type": "object", "properties": {}})), Ok)?;
    function.end()?;
    fields.end()?;
    Ok(Tool { tool_spec: ToolSpec { name, description, strict, input_schema: InputSchema { json } } })
}

fn chosen(mut fields: Fields<'_>) -> Result<Box<RawValue>, ApiError> {
    function_type(&mut fields)?;
    let mut function = fields.object("function")?.ok_or_else(|| invalid(&fields.path("function"), "is required"))?;
    let name = function.required_text("name")?;
    function.end()?;
    fields.end()?;
    raw(json!({"tool": {"name": name}}))
}

/// Reads the field `type`, which must be `function`.
///
/// # Errors
/// If it has another value.
pub fn function_type(fields: &mut Fields<'_>) -> Result<(), ApiError> {
    match fields.required_text("type")?.as_str() {
        "function" => Ok(()),
        _ => Err(unsupported(&fields.path("type"), "only function is supported")),
    }
}

/// The input of a tool use: the JSON object in `arguments`, digit by digit. An empty text has no arguments.
///
/// # Errors
/// If the text is no JSON object.
pub fn input(path: &str, arguments: String) -> Result<Box<RawValue>, ApiError> {
    let text = if arguments.trim().is_empty() { "{}".to_owned() } else { arguments };
    let problem = || invalid(path, "must be a JSON object, as a text");
    let input = RawValue::from_string(text).map_err(|_| problem())?;
    if input.get().starts_with('{') { Ok(input) } else { Err(problem()) }
}
