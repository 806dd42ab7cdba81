//! The rules for the prompt: messages, and what stands beside them.

use sentry_contract::content::Content;
use sentry_contract::request::{Message, Role};
use sentry_contract::tools::{Guardrail, InputSchema, ServiceTier, Tool, ToolChoice, ToolSpec};

use crate::content::{cache_point, content, json_object, tool_name};
use crate::field::{Field, Offence};

/// Longest identifier of a guardrail, in characters. Source of this and the patterns: the service model of bedrock-runtime, 2023-09-30.
const MOST_GUARDRAIL_CHARS: usize = 2048;

/// A prompt without its parameters.
#[derive(Debug)]
pub struct Asked {
    pub system: Option<Content>,
    pub messages: Vec<Message>,
    pub tools: Vec<Tool>,
    pub tool_choice: Option<ToolChoice>,
    pub guardrail: Option<Guardrail>,
    pub service_tier: Option<ServiceTier>,
}

/// Reads everything but `parameters`.
pub fn read(field: &Field<'_>) -> Result<Asked, Offence> {
    field.object_of(&["system", "messages", "parameters", "tools", "toolChoice", "guardrail", "serviceTier"])?;
    let messages = messages(&field.required("messages")?)?;
    let tools = field.get("tools")?.map(|given| tools(&given)).transpose()?.unwrap_or_default();
    Ok(Asked {
        system: field.get("system")?.map(|given| content(&given, Role::System)).transpose()?,
        tool_choice: field.get("toolChoice")?.map(|given| tool_choice(&given, &tools)).transpose()?,
        guardrail: field.get("guardrail")?.map(|given| guardrail(&given)).transpose()?,
        service_tier: field
            .get("serviceTier")?
            .map(|given| given.name_of(ServiceTier::ALL, ServiceTier::name))
            .transpose()?,
        messages,
        tools,
    })
}

fn messages(field: &Field<'_>) -> Result<Vec<Message>, Offence> {
    let messages = field.list()?.iter().map(message).collect::<Result<Vec<_>, _>>()?;
    if messages.is_empty() {
        return Err(field.offence("must have at least one message"));
    }
    if messages.iter().all(|message| message.role == Role::System) {
        return Err(field
            .offence("must have a message whose role is user; with system messages alone there is nothing to answer"));
    }
    Ok(messages)
}

fn message(field: &Field<'_>) -> Result<Message, Offence> {
    field.object_of(&["role", "content"])?;
    let role = field.required("role")?;
    let role = match role.string()? {
        "system" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        _ => return Err(role.offence("must be system, user or assistant")),
    };
    Ok(Message { role, content: content(&field.required("content")?, role)? })
}

fn tools(field: &Field<'_>) -> Result<Vec<Tool>, Offence> {
    let tools = field.list()?.iter().map(tool).collect::<Result<Vec<_>, _>>()?;
    if tools.is_empty() { Err(field.offence("must have at least one tool")) } else { Ok(tools) }
}

fn tool(field: &Field<'_>) -> Result<Tool, Offence> {
    let (kind, spec) = field.only(&["toolSpec", "cachePoint"])?;
    if kind == "cachePoint" {
        return cache_point(&spec).map(Tool::CachePoint);
    }
    spec.object_of(&["name", "description", "inputSchema", "strict"])?;
    let (_, schema) = spec.required("inputSchema")?.only(&["json"])?;
    Ok(Tool::ToolSpec(ToolSpec {
        name: tool_name(&spec.required("name")?)?,
        description: spec.get("description")?.map(|given| given.text().map(str::to_owned)).transpose()?,
        input_schema: InputSchema::Json(json_object(&schema)?),
        strict: spec.get("strict")?.map(|given| given.boolean()).transpose()?,
    }))
}

fn tool_choice(field: &Field<'_>, tools: &[Tool]) -> Result<ToolChoice, Offence> {
    if tools.is_empty() {
        return Err(field.offence("chooses among tools, and there are none"));
    }
    let (kind, inside) = field.only(&["auto", "any", "tool"])?;
    if kind != "tool" {
        inside.object_of(&[])?;
        return Ok(if kind == "any" { ToolChoice::Any {} } else { ToolChoice::Auto {} });
    }
    inside.object_of(&["name"])?;
    let name = inside.required("name")?;
    let chosen = tool_name(&name)?;
    if tools.iter().filter_map(Tool::spec).all(|spec| spec.name != chosen) {
        return Err(name.offence("is the name of none of the tools"));
    }
    Ok(ToolChoice::Tool { name: chosen })
}

fn guardrail(field: &Field<'_>) -> Result<Guardrail, Offence> {
    field.object_of(&["identifier", "version"])?;
    let (identifier, version) = (field.required("identifier")?, field.required("version")?);
    Ok(Guardrail {
        identifier: identifier.matching("a guardrail's id or ARN", is_guardrail)?,
        version: version.matching("DRAFT or a number from 1 to 99999999", is_version)?,
    })
}

fn is_guardrail(text: &str) -> bool {
    let id = match text.split_once(":guardrail/") {
        Some((arn, id)) => Some(id).filter(|_| is_bedrock_arn(arn)),
        None => Some(text),
    };
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= MOST_GUARDRAIL_CHARS && id.is_some_and(|id| !id.is_empty() && id.bytes().all(plain))
}

/// Whether it is the part of an ARN before its resource.
fn is_bedrock_arn(arn: &str) -> bool {
    let parts: Vec<&str> = arn.split(':').collect();
    let ["arn", partition, "bedrock", region, account] = parts.as_slice() else { return false };
    let in_region = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (*partition == "aws" || partition.starts_with("aws-"))
        && (1..=20).contains(&region.len())
        && region.bytes().all(in_region)
        && account.len() == 12
        && account.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_version(text: &str) -> bool {
    let number = || text.len() <= 8 && !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    text == "DRAFT" || number()
}
