//! Tools: which a request has, and how the model asks for one.

use serde_json::{Map, Value, json};

use crate::{
    directives::Directives,
    error::ApiError,
    fields::{self, Fields},
    prompt::{Prompt, Role},
    reply::fingerprint,
    tokens,
};

/// Tokens of the instructions that come with tools.
const INSTRUCTION_TOKENS: u64 = 346;

/// What the model may ask for.
#[derive(Clone, Default)]
pub struct Tools {
    /// Names.
    pub names: Vec<String>,
    /// The `default`s of the properties of each tool's schema, which the model passes on as they are.
    pub defaults: Vec<Map<String, Value>>,
    /// The one that it has to ask for.
    pub chosen: Option<String>,
    /// Input tokens of all.
    pub input_tokens: u64,
}

/// The model asks for a tool.
pub struct ToolUse {
    /// What the result refers to.
    pub id: String,
    /// Which tool.
    pub name: String,
    /// What is passed to it.
    pub input: Value,
}

/// Reads `toolConfig`, and checks that the conversation fits it.
///
/// # Errors
/// A ValidationException where Bedrock would answer one.
pub fn read(config: Option<&Map<String, Value>>, prompt: &Prompt) -> Result<Tools, ApiError> {
    check_results(prompt)?;
    let Some(config) = config else {
        if prompt.turns.iter().any(|turn| !turn.tool_uses.is_empty()) {
            return Err(ApiError::validation(
                "The toolConfig field must be defined when using toolUse and toolResult content blocks.",
            ));
        }
        return Ok(Tools::default());
    };
    let config = Fields::new(config, "#/toolConfig", &["tools", "toolChoice"])?;
    let list = config.list("tools")?.filter(|tools| !tools.is_empty()).ok_or_else(|| config.missing("tools"))?;
    let mut tools = Tools { input_tokens: INSTRUCTION_TOKENS, ..Tools::default() };
    for tool in list {
        let malformed = || fields::malformed("#/toolConfig/tools: expected type: JSONObject");
        let tool = tool.as_object().ok_or_else(malformed)?;
        tools.names.push(name(tool)?);
        tools.defaults.push(defaults(tool));
        tools.input_tokens = tools.input_tokens.saturating_add(tokens::of_json(tool));
    }
    if let Some(choice) = config.object("toolChoice")? {
        tools.chosen = chosen(choice, &tools.names)?;
    }
    Ok(tools)
}

fn name(tool: &Map<String, Value>) -> Result<String, ApiError> {
    let place = "#/toolConfig/tools";
    let tool = Fields::new(tool, place, &["toolSpec"])?;
    let spec = tool.object("toolSpec")?.ok_or_else(|| tool.missing("toolSpec"))?;
    let spec = Fields::new(spec, place, &["name", "description", "inputSchema", "strict"])?;
    let schema = spec.object("inputSchema")?.ok_or_else(|| spec.missing("inputSchema"))?;
    let schema = Fields::new(schema, place, &["json"])?;
    let kind = schema.object("json")?.ok_or_else(|| schema.missing("json"))?.get("type");
    if kind.is_none_or(|kind| kind != "object") {
        return Err(ApiError::validation(
            "The value at toolConfig.tools.0.toolSpec.inputSchema.json.type must be one of the following: object.",
        ));
    }
    Ok(spec.text("name")?.to_owned())
}

fn defaults(tool: &Map<String, Value>) -> Map<String, Value> {
    let schema = tool.get("toolSpec").and_then(|spec| spec.pointer("/inputSchema/json/properties"));
    let properties = schema.and_then(Value::as_object).into_iter().flatten();
    properties.filter_map(|(name, property)| Some((name.clone(), property.get("default")?.clone()))).collect()
}

fn chosen(choice: &Map<String, Value>, names: &[String]) -> Result<Option<String>, ApiError> {
    let choice = Fields::new(choice, "#/toolConfig/toolChoice", &["auto", "any", "tool"])?;
    if choice.object("any")?.is_some() {
        return Ok(names.first().cloned());
    }
    let Some(tool) = choice.object("tool")? else { return Ok(None) };
    let name = Fields::new(tool, "#/toolConfig/toolChoice/tool", &["name"])?.text("name")?;
    if names.iter().any(|known| known == name) {
        return Ok(Some(name.to_owned()));
    }
    Err(ApiError::validation("The provided tool choice does not match any of the tools."))
}

/// Every result answers a use of the turn before it, and every use has its result.
fn check_results(prompt: &Prompt) -> Result<(), ApiError> {
    let mut open: &[String] = &[];
    for turn in &prompt.turns {
        let answers = turn.role == Role::User;
        if answers && (turn.tool_uses.len() != open.len() || !turn.tool_uses.iter().all(|id| open.contains(id))) {
            return Err(ApiError::validation(
                "The toolResult blocks of a message do not match the toolUse blocks of the previous turn.",
            ));
        }
        open = if answers { &[] } else { &turn.tool_uses };
    }
    Ok(())
}

/// The tool that this reply asks for: the one that a directive names, or the one that the request insists on.
///
/// # Errors
/// A ValidationException for a directive that names no tool of the request.
pub fn asked(prompt: &Prompt, directives: &Directives) -> Result<Option<ToolUse>, ApiError> {
    let Some(name) = directives.tool.as_ref().or(prompt.tools.chosen.as_ref()) else { return Ok(None) };
    let Some(place) = prompt.tools.names.iter().position(|known| known == name) else {
        return Err(ApiError::validation(format!("bedrock-sim: the request has no tool {name}.")));
    };
    let seed = fingerprint(prompt.last_user_text());
    let mut input =
        json!({"place": "harbor", "days": seed % 10, "exact": true, "weight": 0.5, "none": null, "more": [{}]});
    if let (Some(input), Some(defaults)) = (input.as_object_mut(), prompt.tools.defaults.get(place)) {
        input.extend(defaults.clone());
    }
    Ok(Some(ToolUse { id: format!("tooluse_{seed:016x}"), name: name.clone(), input }))
}
