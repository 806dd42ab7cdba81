//! The rules for the document: model, messages, parameters.

use sentry_contract::ErrorCode;
use sentry_contract::request::{Message, Model, Parameters, Prompt, Request, Role};
use sentry_models::Catalogue;
use serde_json::Value;

use crate::estimate;
use crate::field::{Field, Offence};
use crate::tags;

/// Both spellings of the model's field.
const MODEL_FIELDS: [&str; 2] = ["model", "modelId"];

/// Reads the document.
pub fn read(value: &Value, catalogue: &Catalogue) -> Result<Request, Offence> {
    let document = Field::root(value);
    document.object_of(&["model", "modelId", "prompt", "tags"])?;
    let model = model(&document, catalogue)?;
    let prompt = prompt(&document.required("prompt")?, catalogue.defaults(&model.model_id))?;
    let tags = tags::read(&document.required("tags")?)?;
    let max_tokens = prompt.parameters.max_tokens.unwrap_or_else(|| catalogue.max_tokens(&model.model_id));
    let given = value.pointer("/prompt/parameters/max_tokens").is_some();
    let estimate = estimate::of(&prompt, max_tokens, given);
    Ok(Request { tags, model, prompt, estimate })
}

/// What a document that is refused calls its model, if that can be shown.
pub fn requested_model(value: &Value) -> Option<&str> {
    let name = MODEL_FIELDS.iter().find_map(|field| value.get(field)?.as_str())?;
    (name.len() <= 255 && name.bytes().all(|byte| byte.is_ascii_graphic())).then_some(name)
}

fn model(document: &Field<'_>, catalogue: &Catalogue) -> Result<Model, Offence> {
    let field = match (document.get("model")?, document.get("modelId")?) {
        (Some(_), Some(second)) => return Err(second.offence("is another spelling of `model`; give only one of them")),
        (None, Some(field)) => field,
        (_, None) => document.required("model")?,
    };
    catalogue.resolve(field.text()?).map_err(|unresolved| Offence {
        code: ErrorCode::UnknownModel,
        path: field.path(),
        problem: format!("names no model: {unresolved}"),
    })
}

fn prompt(field: &Field<'_>, defaults: Parameters) -> Result<Prompt, Offence> {
    field.object_of(&["messages", "parameters"])?;
    let list = field.required("messages")?;
    let messages = list.list()?.iter().map(message).collect::<Result<Vec<_>, _>>()?;
    if messages.is_empty() {
        return Err(list.offence("must have at least one message"));
    }
    if messages.iter().all(|message| message.role == Role::System) {
        return Err(list
            .offence("must have a message whose role is user; with system messages alone there is nothing to answer"));
    }
    let parameters = match field.get("parameters")? {
        Some(given) => parameters(&given, defaults)?,
        None => defaults,
    };
    Ok(Prompt { messages, parameters })
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
    Ok(Message { role, content: field.required("content")?.text()?.to_owned() })
}

fn parameters(field: &Field<'_>, defaults: Parameters) -> Result<Parameters, Offence> {
    field.object_of(&["max_tokens", "temperature", "top_p", "top_k", "stop_sequences"])?;
    let max_tokens = field.get("max_tokens")?.map(|given| given.whole(1)).transpose()?;
    let temperature = field.get("temperature")?.map(|given| given.fraction()).transpose()?;
    let top_p = field.get("top_p")?.map(|given| given.fraction()).transpose()?;
    let top_k = field.get("top_k")?.map(|given| given.whole(0)).transpose()?;
    let stop_sequences = field.get("stop_sequences")?.map(|given| stop_sequences(&given)).transpose()?;
    Ok(Parameters {
        max_tokens: max_tokens.or(defaults.max_tokens),
        temperature: temperature.or(defaults.temperature),
        top_p: top_p.or(defaults.top_p),
        top_k: top_k.or(defaults.top_k),
        stop_sequences: stop_sequences.unwrap_or(defaults.stop_sequences),
    })
}

fn stop_sequences(field: &Field<'_>) -> Result<Vec<String>, Offence> {
    field.list()?.iter().map(|sequence| sequence.text().map(str::to_owned)).collect()
}
