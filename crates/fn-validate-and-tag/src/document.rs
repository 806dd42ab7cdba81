//! The rules for the document: model, messages, parameters.

use sentry_contract::request::{Fallback, Message, Parameters, Prompt, Request, Role, Tags};
use sentry_models::Resolved;
use serde_json::Value;

use crate::estimate;
use crate::field::{Field, Offence};
use crate::tags;

/// Both spellings of the model's field.
const MODEL_FIELDS: [&str; 2] = ["model", "modelId"];
/// Where a client says how much the model may write.
const MAX_TOKENS_PATH: &str = "prompt.parameters.max_tokens";

/// A document that is acceptable, as far as that can be told without knowing its model.
#[derive(Debug)]
pub struct Draft {
    /// What the client calls the model.
    pub requested: String,
    /// The field that says so.
    pub model_path: String,
    messages: Vec<Message>,
    given: Given,
    tags: Tags,
}

/// The parameters that the client gave.
#[derive(Debug, Default)]
struct Given {
    max_tokens: Option<u32>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<u32>,
    stop_sequences: Option<Vec<String>>,
}

/// Reads the document.
pub fn read(value: &Value) -> Result<Draft, Offence> {
    let document = Field::root(value);
    document.object_of(&["model", "modelId", "prompt", "tags"])?;
    let model = model(&document)?;
    let requested = model.text()?.to_owned();
    let (messages, given) = prompt(&document.required("prompt")?)?;
    let tags = tags::read(&document.required("tags")?)?;
    Ok(Draft { requested, model_path: model.path(), messages, given, tags })
}

impl Draft {
    /// The request to `resolved`, with the model's defaults filled in, which `fallback` may answer as well.
    pub fn finish(self, resolved: Resolved, fallback: Option<Resolved>) -> Result<Request, Offence> {
        let Resolved { model, defaults, limits, .. } = resolved;
        if let (Some(asked), Some(limit)) = (self.given.max_tokens, limits.output)
            && asked > limit
        {
            let problem = format!("is {asked}, but {} writes at most {limit} tokens", model.model_id);
            let details = vec![("limit", limit.into())];
            return Err(Offence { details, ..Offence::new(MAX_TOKENS_PATH, problem) });
        }
        let max_tokens_given = self.given.max_tokens.is_some();
        let parameters = self.given.or(defaults);
        // The catalogue always says how much.
        let max_tokens = parameters.max_tokens.unwrap_or(1);
        let prompt = Prompt { messages: self.messages, parameters };
        let estimate = estimate::of(&prompt, max_tokens, max_tokens_given);
        let fallback = fallback.map(|Resolved { model, limits, .. }| {
            let max_tokens = limits.output.map_or(max_tokens, |limit| max_tokens.min(limit));
            Fallback { model, max_tokens }
        });
        Ok(Request { tags: self.tags, model, prompt, estimate, fallback })
    }
}

impl Given {
    fn or(self, defaults: Parameters) -> Parameters {
        Parameters {
            max_tokens: self.max_tokens.or(defaults.max_tokens),
            temperature: self.temperature.or(defaults.temperature),
            top_p: self.top_p.or(defaults.top_p),
            top_k: self.top_k.or(defaults.top_k),
            stop_sequences: self.stop_sequences.unwrap_or(defaults.stop_sequences),
        }
    }
}

/// What a document that is refused calls its model, if that can be shown.
pub fn requested_model(value: &Value) -> Option<&str> {
    let name = MODEL_FIELDS.iter().find_map(|field| value.get(field)?.as_str())?;
    (name.len() <= 255 && name.bytes().all(|byte| byte.is_ascii_graphic())).then_some(name)
}

fn model<'d>(document: &Field<'d>) -> Result<Field<'d>, Offence> {
    match (document.get("model")?, document.get("modelId")?) {
        (Some(_), Some(second)) => Err(second.offence("is another spelling of `model`; give only one of them")),
        (None, Some(field)) => Ok(field),
        (_, None) => document.required("model"),
    }
}

fn prompt(field: &Field<'_>) -> Result<(Vec<Message>, Given), Offence> {
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
    let given = field.get("parameters")?.map(|given| parameters(&given)).transpose()?.unwrap_or_default();
    Ok((messages, given))
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

fn parameters(field: &Field<'_>) -> Result<Given, Offence> {
    field.object_of(&["max_tokens", "temperature", "top_p", "top_k", "stop_sequences"])?;
    Ok(Given {
        max_tokens: field.get("max_tokens")?.map(|given| given.whole(1)).transpose()?,
        temperature: field.get("temperature")?.map(|given| given.fraction()).transpose()?,
        top_p: field.get("top_p")?.map(|given| given.fraction()).transpose()?,
        top_k: field.get("top_k")?.map(|given| given.whole(0)).transpose()?,
        stop_sequences: field.get("stop_sequences")?.map(|given| stop_sequences(&given)).transpose()?,
    })
}

fn stop_sequences(field: &Field<'_>) -> Result<Vec<String>, Offence> {
    field.list()?.iter().map(|sequence| sequence.text().map(str::to_owned)).collect()
}
