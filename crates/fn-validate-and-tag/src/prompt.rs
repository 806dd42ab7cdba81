//! The rules for the prompt: its messages and its other fields.

use sentry_contract::content::Content;
use sentry_contract::request::{Effort, Message, Reasoning, Role};
use sentry_contract::tools::{
    Guardrail, InputSchema, JsonSchema, OutputFormat, ServiceTier, Tool, ToolChoice, ToolSpec,
};
use serde_json::Value;

use crate::content::{cache_point, content, json_object, tool_name};
use crate::field::{Field, Refusal};

/// Smallest thinking budget, in tokens. Source: Claude Docs, "Extended thinking".
const LEAST_BUDGET_TOKENS: u64 = 1_024;

/// Longest identifier of a guardrail, in characters. Source of this limit and of the patterns: the service model of
/// bedrock-runtime, 2023-09-30.
const MOST_GUARDRAIL_CHARS: usize = 2048;

/// A prompt without its parameters.
#[derive(Debug)]
pub struct PromptFields {
    pub system: Option<Content>,
    /// The messages as the client sent them. [`PromptFields::without_blank_texts`] removes blank ones.
    pub messages: Vec<Message>,
    pub tools: Vec<Tool>,
    pub tool_choice: Option<ToolChoice>,
    pub guardrail: Option<Guardrail>,
    pub service_tier: Option<ServiceTier>,
    pub reasoning: Option<Reasoning>,
    pub output_format: Option<OutputFormat>,
    pub additional_model_request_fields: Option<Value>,
    pub additional_model_response_field_paths: Vec<String>,
}

/// Most paths to fields of the answer, and the most characters of one. Source: Amazon Bedrock API Reference, Converse.
const MOST_PATHS: usize = 10;
const MOST_PATH_CHARS: usize = 256;
/// All fields that a prompt can have.
const FIELDS: [&str; 11] = [
    "system",
    "messages",
    "parameters",
    "tools",
    "toolChoice",
    "guardrail",
    "serviceTier",
    "reasoning",
    "outputFormat",
    "additionalModelRequestFields",
    "additionalModelResponseFieldPaths",
];

/// Reads all fields except `parameters`.
pub fn read(field: &Field<'_>) -> Result<PromptFields, Refusal> {
    field.object_of(&FIELDS)?;
    let messages = messages(&field.required("messages")?)?;
    let tools = field.optional("tools")?.map(|given| tools(&given)).transpose()?.unwrap_or_default();
    let tier = field.optional("serviceTier")?;
    let additional = field.optional("additionalModelRequestFields")?;
    let paths = field.optional("additionalModelResponseFieldPaths")?;
    let fields = PromptFields {
        system: field.optional("system")?.map(|given| content(&given, Role::System)).transpose()?,
        tool_choice: field.optional("toolChoice")?.map(|given| tool_choice(&given, &tools)).transpose()?,
        guardrail: field.optional("guardrail")?.map(|given| guardrail(&given)).transpose()?,
        service_tier: tier
            .map(|given| given.name_of(ServiceTier::ALL, sentry_domain::ServiceTier::name))
            .transpose()?,
        reasoning: field.optional("reasoning")?.map(|given| reasoning(&given)).transpose()?,
        output_format: field.optional("outputFormat")?.map(|given| output_format(&given)).transpose()?,
        additional_model_request_fields: additional.map(|given| json_object(&given)).transpose()?,
        additional_model_response_field_paths: paths.map(|given| pointers(&given)).transpose()?.unwrap_or_default(),
        messages,
        tools,
    };
    Ok(fields)
}

impl PromptFields {
    /// Removes blank texts of the assistant, and messages that are empty then. A model's answer may contain them, and a
    /// client can send it back unchanged, but Converse rejects them. If this removes the only list of blocks, the first
    /// message of the user becomes a list, because the answer to blocks is a list of blocks.
    pub fn without_blank_texts(messages: Vec<Message>) -> Vec<Message> {
        let is_list = |message: &Message| matches!(message.content, Content::Blocks(_));
        let had_lists = messages.iter().any(is_list);
        let mut kept: Vec<Message> = messages.into_iter().filter_map(not_blank).collect();
        let of_user = kept.iter().position(|message| message.role == Role::User);
        if had_lists
            && !kept.iter().any(is_list)
            && let Some(message) = of_user.and_then(|place| kept.get_mut(place))
        {
            message.content = Content::Blocks(message.content.to_blocks());
        }
        kept
    }
}

fn not_blank(mut message: Message) -> Option<Message> {
    if message.role != Role::Assistant {
        return Some(message);
    }
    match &mut message.content {
        Content::Text(text) => (!text.trim().is_empty()).then_some(message),
        Content::Blocks(blocks) => {
            blocks.retain(|block| block.as_text().is_none_or(|text| !text.trim().is_empty()));
            (!blocks.is_empty()).then_some(message)
        }
    }
}

fn messages(field: &Field<'_>) -> Result<Vec<Message>, Refusal> {
    let messages = field.list()?.iter().map(message).collect::<Result<Vec<_>, _>>()?;
    if messages.is_empty() {
        return Err(field.refuse("must have at least one message"));
    }
    if messages.iter().all(|message| message.role == Role::System) {
        return Err(field.refuse("must have a message with the role user; system messages alone ask for no answer"));
    }
    Ok(messages)
}

fn reasoning(field: &Field<'_>) -> Result<Reasoning, Refusal> {
    let (kind, inside) = field.only(&["effort", "budgetTokens", "off"])?;
    Ok(match kind {
        "effort" => Reasoning::Effort(inside.name_of(Effort::ALL, Effort::name)?),
        "budgetTokens" => Reasoning::BudgetTokens(inside.whole(LEAST_BUDGET_TOKENS)?),
        _ if inside.boolean()? => Reasoning::Off(true),
        _ => return Err(inside.refuse("must be true; leave `reasoning` out to let the model decide")),
    })
}

/// JSON Pointers (RFC 6901) to fields of the model's own answer.
fn pointers(field: &Field<'_>) -> Result<Vec<String>, Refusal> {
    let paths = field.list()?;
    if paths.len() > MOST_PATHS {
        return Err(field.refuse(format!("must have at most {MOST_PATHS} paths")));
    }
    let pointer = |path: &Field<'_>| {
        let text = path.text()?;
        if !text.starts_with('/') || text.chars().count() > MOST_PATH_CHARS {
            return Err(path.refuse(format!("must be a JSON Pointer of at most {MOST_PATH_CHARS} characters")));
        }
        Ok(text.to_owned())
    };
    paths.iter().map(pointer).collect()
}

fn output_format(field: &Field<'_>) -> Result<OutputFormat, Refusal> {
    let (_, inside) = field.only(&["jsonSchema"])?;
    inside.object_of(&["name", "schema", "description"])?;
    let schema = inside.required("schema")?;
    of_type_object(&schema)?;
    let name = tool_name(&inside.required("name")?)?;
    let description = inside.optional("description")?.map(|given| given.text().map(str::to_owned)).transpose()?;
    Ok(OutputFormat::JsonSchema(JsonSchema { name, schema: json_object(&schema)?, description }))
}

/// Checks that a schema has `type: object` at its top. This applies to schemas of tools and of answers. Source: Claude
/// Docs, "Tool use" and "Structured outputs".
fn of_type_object(schema: &Field<'_>) -> Result<(), Refusal> {
    let kind = schema.required("type")?;
    if kind.string()? == "object" { Ok(()) } else { Err(kind.refuse("must be object, at the top of a schema")) }
}

fn message(field: &Field<'_>) -> Result<Message, Refusal> {
    field.object_of(&["role", "content"])?;
    let role = field.required("role")?;
    let role = match role.string()? {
        "system" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        _ => return Err(role.refuse("must be system, user or assistant")),
    };
    Ok(Message { role, content: content(&field.required("content")?, role)? })
}

fn tools(field: &Field<'_>) -> Result<Vec<Tool>, Refusal> {
    let tools = field.list()?.iter().map(tool).collect::<Result<Vec<_>, _>>()?;
    if tools.iter().all(|tool| tool.spec().is_none()) {
        return Err(field.refuse("must have at least one tool"));
    }
    Ok(tools)
}

fn tool(field: &Field<'_>) -> Result<Tool, Refusal> {
    let (kind, spec) = field.only(&["toolSpec", "cachePoint"])?;
    if kind == "cachePoint" {
        return cache_point(&spec).map(Tool::CachePoint);
    }
    spec.object_of(&["name", "description", "inputSchema", "strict"])?;
    let (_, schema) = spec.required("inputSchema")?.only(&["json"])?;
    of_type_object(&schema)?;
    Ok(Tool::ToolSpec(ToolSpec {
        name: tool_name(&spec.required("name")?)?,
        description: spec.optional("description")?.map(|given| given.text().map(str::to_owned)).transpose()?,
        input_schema: InputSchema::Json(json_object(&schema)?),
        strict: spec.optional("strict")?.map(|given| given.boolean()).transpose()?,
    }))
}

fn tool_choice(field: &Field<'_>, tools: &[Tool]) -> Result<ToolChoice, Refusal> {
    if tools.is_empty() {
        return Err(field.refuse("chooses among tools, and there are none"));
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
        return Err(name.refuse("is the name of none of the tools"));
    }
    Ok(ToolChoice::Tool { name: chosen })
}

fn guardrail(field: &Field<'_>) -> Result<Guardrail, Refusal> {
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

/// `true` if `arn` is the part of a Bedrock ARN before its resource.
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
