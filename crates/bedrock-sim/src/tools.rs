//! Tools: the definitions in a request, and the tool use in a reply.

use serde_json::{Map, Value, json};

use crate::{
    blocks,
    directives::Directives,
    error::ApiError,
    facts::Rule,
    fields::{self, Fields},
    fingerprint::fingerprint,
    models::Model,
    prompt::{Prompt, Tools},
    reply::ToolUse,
    tokens,
};

/// Input tokens of the instructions that the model gets together with tools.
const INSTRUCTION_TOKENS: u64 = 346;

/// Reads `toolConfig`, and checks that the conversation is consistent with it.
///
/// # Errors
/// A `ValidationException` if Bedrock would return one.
pub fn read(config: Option<&Map<String, Value>>, prompt: &Prompt, model: Option<Model<'_>>) -> Result<Tools, ApiError> {
    let has = |rule| model.is_some_and(|model| model.has(rule));
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
    if has(Rule::NoTools) {
        return Err(ApiError::validation("This model doesn't support tool use."));
    }
    let mut tools = Tools::default();
    for (index, tool) in list.iter().enumerate() {
        if let Some(name) = name(tool, &format!("toolConfig.tools.{index}"))? {
            // Source: Anthropic's API. The wording on Bedrock was not found.
            if tools.names.contains(&name) && model.is_some_and(|model| model.is_claude()) {
                return Err(ApiError::model("tools: Tool names must be unique."));
            }
            tools.names.push(name);
            tools.defaults.push(defaults(tool));
        }
        tools.input_tokens = tools.input_tokens.saturating_add(tokens_of(tool, tools.input_tokens == 0));
    }
    if let Some(choice) = config.object("toolChoice")? {
        tools.chosen = chosen(choice, &tools.names, &has)?;
    }
    Ok(tools)
}

/// Input tokens of a tool. The first tool also includes the tokens of the instructions. A cache point has no tokens.
pub fn tokens_of(tool: &Value, is_first: bool) -> u64 {
    match tool.as_object() {
        Some(object) if !object.contains_key("cachePoint") => {
            tokens::of_json(object).saturating_add(if is_first { INSTRUCTION_TOKENS } else { 0 })
        }
        _ => 0,
    }
}

/// The name of a tool, or `None` for a cache point.
fn name(tool: &Value, place: &str) -> Result<Option<String>, ApiError> {
    let tool = blocks::union(tool, place, &["toolSpec", "systemTool", "cachePoint"])?;
    if let Some(system) = tool.object("systemTool")? {
        return Ok(Some(Fields::new(system, place, &["name"])?.text("name")?.to_owned()));
    }
    let Some(spec) = tool.object("toolSpec")? else { return Ok(None) };
    let place = format!("{place}.toolSpec");
    let spec = Fields::new(spec, &place, &["name", "description", "inputSchema", "strict"])?;
    if spec.get("description").is_some() {
        spec.text("description")?;
    }
    let schema = spec.object("inputSchema")?.ok_or_else(|| spec.missing("inputSchema"))?;
    let schema = Fields::new(schema, &place, &["json"])?;
    let kind = schema.object("json")?.ok_or_else(|| schema.missing("json"))?.get("type");
    if kind.is_none_or(|kind| kind != "object") {
        // Source: kirodotdev/Kiro issue 11026.
        return Err(ApiError::validation(format!(
            "The value at {place}.inputSchema.json.type must be one of the following: object."
        )));
    }
    let name = spec.text("name")?;
    blocks::check_tool_name(name, &format!("{place}.name"))?;
    Ok(Some(name.to_owned()))
}

fn defaults(tool: &Value) -> Map<String, Value> {
    let schema = tool.get("toolSpec").and_then(|spec| spec.pointer("/inputSchema/json/properties"));
    let properties = schema.and_then(Value::as_object).into_iter().flatten();
    properties.filter_map(|(name, property)| Some((name.clone(), property.get("default")?.clone()))).collect()
}

fn chosen(
    choice: &Map<String, Value>,
    names: &[String],
    has: &impl Fn(Rule) -> bool,
) -> Result<Option<String>, ApiError> {
    let choice = Fields::new(choice, "#/toolConfig/toolChoice", &["auto", "any", "tool"])?;
    let (any, tool) = (choice.object("any")?, choice.object("tool")?);
    if let Some(kind) = any.map(|_| "any").or(tool.map(|_| "tool")) {
        if has(Rule::NoToolChoice) {
            return Err(fields::unsupported(&format!("toolConfig.toolChoice.{kind}")));
        }
        if has(Rule::NoForcedTools) {
            return Err(ApiError::model("tool_choice: type \"tool\" and \"any\" are not supported for this model."));
        }
    }
    if any.is_some() {
        return Ok(names.first().cloned());
    }
    let Some(tool) = tool else { return Ok(None) };
    let name = Fields::new(tool, "#/toolConfig/toolChoice/tool", &["name"])?.text("name")?;
    if names.iter().any(|known| known == name) {
        return Ok(Some(name.to_owned()));
    }
    Err(ApiError::validation("The provided tool choice does not match any of the tools."))
}

/// The tool use of this reply. A directive names the tool. Without a directive, it is the tool that the request
/// forces.
///
/// # Errors
/// A `ValidationException` if a directive names a tool that the request does not have.
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
