//! The rules for the document: model, prompt and parameters.

use sentry_contract::notice::{Notice, NoticeCode};
use sentry_contract::request::{Estimate, Fallback, Model, Parameters, Prompt, Reasoning, Tags};
use sentry_models::Resolved;
use serde_json::Value;

use crate::conversation;
use crate::estimate;
use crate::field::{Field, Refusal};
use crate::prompt::{self, PromptFields};
use crate::{rules, tags};

/// Both spellings of the model's field.
const MODEL_FIELDS: [&str; 2] = ["model", "modelId"];
/// The path of the client's limit for the answer.
const MAX_TOKENS_PATH: &str = "prompt.parameters.max_tokens";

/// A document that follows all rules that do not depend on its model.
#[derive(Debug)]
pub struct Draft {
    /// The client's name for the model.
    pub requested: String,
    /// The path of the field with this name.
    pub model_path: String,
    fields: PromptFields,
    given: GivenParameters,
    /// The tags of the client, and those of the inference profile that it names.
    pub tags: Tags,
}

/// A request to a known model. Only the sentry's own tags are missing.
#[derive(Debug)]
pub struct Complete {
    pub tags: Tags,
    pub model: Model,
    /// The prompt with all parameters filled in.
    pub prompt: Prompt,
    /// The upper bound of the request's usage, for the hold.
    pub estimate: Estimate,
    /// The model that may answer instead.
    pub fallback: Option<Fallback>,
    /// Notices for the client about the model.
    pub notices: Vec<Notice>,
}

/// The parameters that the client gave.
#[derive(Debug, Default)]
struct GivenParameters {
    max_tokens: Option<u32>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<u32>,
    stop_sequences: Option<Vec<String>>,
}

/// Reads the document, and checks the rules that do not depend on its model.
pub fn read(value: &Value) -> Result<Draft, Refusal> {
    let document = Field::root(value);
    document.object_of(&["model", "modelId", "prompt", "tags"])?;
    let model = model(&document)?;
    let requested = model.text()?.to_owned();
    let prompt = document.required("prompt")?;
    let fields = prompt::read(&prompt)?;
    conversation::check(&fields)?;
    let given = prompt.optional("parameters")?.map(|given| parameters(&given)).transpose()?.unwrap_or_default();
    let tags = tags::read(&document.required("tags")?)?;
    Ok(Draft { requested, model_path: model.path(), fields, given, tags })
}

impl Draft {
    /// Completes the request to `resolved` with the model's defaults, and checks the rules of the model. `fallback` may
    /// answer instead.
    pub fn finish(self, resolved: Resolved, fallback: Option<Resolved>) -> Result<Complete, Refusal> {
        let notices = notices(&resolved);
        let Resolved { mut model, mut defaults, thinking_max_tokens, limits, takes, .. } = resolved;
        if matches!(self.fields.reasoning, Some(Reasoning::Effort(_) | Reasoning::BudgetTokens(_))) {
            defaults.max_tokens = defaults.max_tokens.max(Some(thinking_max_tokens));
        }
        if let (Some(max_tokens), Some(limit)) = (self.given.max_tokens, limits.output)
            && max_tokens > limit
        {
            let problem = format!("is {max_tokens}, but {} writes at most {limit} tokens", model.model_id);
            let details = vec![("limit", limit.into())];
            return Err(Refusal { details, ..Refusal::new(MAX_TOKENS_PATH, problem) });
        }
        let max_tokens_given = self.given.max_tokens.is_some();
        let parameters = self.given.or(defaults);
        // The catalogue always has a default.
        let max_tokens = parameters.max_tokens.unwrap_or(1);
        let fields = self.fields;
        let prompt = Prompt {
            system: fields.system,
            messages: PromptFields::without_blank_texts(fields.messages),
            parameters,
            tools: fields.tools,
            tool_choice: fields.tool_choice,
            guardrail: fields.guardrail,
            service_tier: fields.service_tier,
            reasoning: fields.reasoning,
            output_format: fields.output_format,
            additional_model_request_fields: fields.additional_model_request_fields,
            additional_model_response_field_paths: fields.additional_model_response_field_paths,
        };
        rules::check(&prompt, &model, &takes, max_tokens)?;
        model.price = model.price.and_then(|price| price.for_charges(prompt.charges()));
        let input_tokens = estimate::input_tokens(&prompt, limits)?;
        let estimate = Estimate { input_tokens, max_tokens, max_tokens_given, charges: prompt.charges() };
        let fallback = fallback.and_then(|resolved| stand_in(resolved, &prompt, max_tokens));
        Ok(Complete { tags: self.tags, model, prompt, estimate, fallback, notices })
    }
}

/// The fallback for `prompt`, with its input tokens and its limit of the answer. `None` if nothing bounds its input
/// tokens, or if it cannot honor a part of the request.
fn stand_in(resolved: Resolved, prompt: &Prompt, max_tokens: u32) -> Option<Fallback> {
    let Resolved { mut model, limits, takes, .. } = resolved;
    model.price = model.price.and_then(|price| price.for_charges(prompt.charges()));
    let input_tokens = estimate::input_tokens(prompt, limits).ok()?;
    let max_tokens = limits.output.map_or(max_tokens, |limit| max_tokens.min(limit));
    rules::check(prompt, &model, &takes, max_tokens).ok()?;
    Some(Fallback { model, input_tokens, max_tokens })
}

/// The notices about the model: it ends soon, or the name stood for another model before.
fn notices(resolved: &Resolved) -> Vec<Notice> {
    let notice = |code, message: String| Notice { code, message: format!("{message}.") };
    let replaced = resolved.replaced.as_ref().map(|it| notice(NoticeCode::ModelReplaced, it.to_string()));
    let retiring = resolved.retiring.as_ref().map(|it| notice(NoticeCode::ModelRetiring, it.to_string()));
    replaced.into_iter().chain(retiring).collect()
}

impl GivenParameters {
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

/// The model's name in a refused document. `None` if it is missing or is not fit to be shown.
pub fn requested_model(value: &Value) -> Option<&str> {
    let name = MODEL_FIELDS.iter().find_map(|field| value.get(field)?.as_str())?;
    (name.len() <= 255 && name.bytes().all(|byte| byte.is_ascii_graphic())).then_some(name)
}

fn model<'d>(document: &Field<'d>) -> Result<Field<'d>, Refusal> {
    match (document.get("model")?, document.get("modelId")?) {
        (Some(_), Some(second)) => Err(second.refuse("is another spelling of `model`; give only one of them")),
        (None, Some(field)) => Ok(field),
        (_, None) => document.required("model"),
    }
}

fn parameters(field: &Field<'_>) -> Result<GivenParameters, Refusal> {
    field.object_of(&["max_tokens", "temperature", "top_p", "top_k", "stop_sequences"])?;
    Ok(GivenParameters {
        max_tokens: field.optional("max_tokens")?.map(|given| given.whole(1)).transpose()?,
        temperature: field.optional("temperature")?.map(|given| given.fraction()).transpose()?,
        top_p: field.optional("top_p")?.map(|given| given.fraction()).transpose()?,
        top_k: field.optional("top_k")?.map(|given| given.whole(0)).transpose()?,
        stop_sequences: field.optional("stop_sequences")?.map(|given| stop_sequences(&given)).transpose()?,
    })
}

fn stop_sequences(field: &Field<'_>) -> Result<Vec<String>, Refusal> {
    field.list()?.iter().map(|sequence| sequence.visible_text().map(str::to_owned)).collect()
}
