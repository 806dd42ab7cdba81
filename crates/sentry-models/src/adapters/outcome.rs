//! The results of the functions around a model call: an answer of the contract, or a failure.

use std::time::Duration;

use sentry_contract::request::Prompt;
use sentry_contract::sizes::{MAX_ANSWER_BYTES, payload_bytes};
use sentry_contract::states::{
    AnswerTerms, CallFailure, Carried, InvokeModelEvent, InvokeModelInput, Invoked, ModelAnswer, SealedAnswer, Target,
};
use sentry_contract::{ErrorBody, ErrorCode, Sealed};
use sentry_domain::Price;

use super::{ModelFailure, Reply, integration};
use crate::Catalogue;

/// A request to a model, and the form in which its prompt arrived.
#[derive(Debug)]
pub struct Received {
    /// The request. The event's `max_tokens`, if present, replaces that of the prompt.
    pub input: InvokeModelInput,
    /// The form in which the prompt arrived.
    pub carried: Carried,
}

/// Reads the input of the model router, of `Invoke Model` and of `Prepare Call`.
///
/// # Errors
/// If `event` is not such an input. The error contains only the position, because the text may be a prompt.
pub fn read_input(event: &str) -> Result<Received, ModelFailure> {
    let InvokeModelEvent { model, prompt, max_tokens, tags } =
        serde_json::from_str(event).map_err(|error| unreadable(&position(&error)))?;
    let (mut prompt, carried) = if prompt.get().starts_with('"') {
        let sealed: Sealed = serde_json::from_str(prompt.get()).map_err(|error| unreadable(&position(&error)))?;
        let prompt: Prompt =
            sealed.open().map_err(|error| unreadable(&format!("`prompt` cannot be opened, {error}")))?;
        (prompt, Carried::Sealed)
    } else {
        let prompt = serde_json::from_str::<Prompt>(prompt.get());
        (prompt.map_err(|error| unreadable(&format!("`prompt`: {}", position(&error))))?, Carried::Open)
    };
    prompt.parameters.max_tokens = max_tokens.or(prompt.parameters.max_tokens);
    Ok(Received { input: InvokeModelInput { model, prompt, tags }, carried })
}

fn position(error: &serde_json::Error) -> String {
    format!("{:?} error at line {} column {}", error.classify(), error.line(), error.column())
}

fn unreadable(problem: &str) -> ModelFailure {
    let message = format!("The model router's input is not {{model: {{modelId, family}}, prompt, tags}}: {problem}.");
    ModelFailure::never_sent(ErrorBody::new(ErrorCode::InvalidRequest, message).with("path", "$"))
}

/// Limit of the answer to `input`, in tokens: that of the request, or else the catalogue's default for the model.
#[must_use]
pub fn max_tokens(catalogue: &Catalogue, input: &InvokeModelInput) -> u32 {
    input.prompt.parameters.max_tokens.unwrap_or_else(|| catalogue.max_tokens(&input.model.model_id))
}

/// The properties of `prompt` that determine the form and the charges of its answer.
#[must_use]
pub fn terms(prompt: &Prompt) -> AnswerTerms {
    AnswerTerms { rich: prompt.is_rich(), charges: prompt.charges() }
}

/// The answer for a reply of `model`, with the cost at the model's price. If a caller of the router gives no price, the
/// catalogue's price in `region` applies.
#[must_use]
pub fn answer(catalogue: &Catalogue, region: &str, model: &Target, reply: Reply, terms: AnswerTerms) -> ModelAnswer {
    priced(reply, model.price.or_else(|| catalogue.price(&model.model_id, region)), terms)
}

/// The answer for a reply, with the cost at `price`.
pub(super) fn priced(reply: Reply, price: Option<Price>, terms: AnswerTerms) -> ModelAnswer {
    reply.answer(terms.rich, price.as_ref())
}

/// The result of a successful call, for the state machine. The answer is sealed if the prompt was sealed. An answer
/// that is too large becomes a failure.
#[must_use]
pub fn invoked(answer: ModelAnswer, carried: Carried) -> Invoked {
    let usage = answer.usage;
    let unwritable = || ModelFailure::malformed("it cannot be written as JSON").spent(usage.tokens);
    let made = match carried {
        Carried::Open => payload_bytes(&answer).map(|bytes| (Invoked::Answer(Box::new(answer)), bytes)),
        Carried::Sealed => Sealed::new(&answer).map(|sealed| {
            let bytes = sealed.bytes();
            (Invoked::Sealed(Box::new(SealedAnswer { answer: sealed, usage })), bytes)
        }),
    };
    match made {
        Ok((invoked, bytes)) if bytes <= MAX_ANSWER_BYTES => invoked,
        Ok((_, bytes)) => Invoked::Failure(failed(too_large(bytes, MAX_ANSWER_BYTES).spent(usage.tokens), carried)),
        Err(_) => Invoked::Failure(failed(unwritable(), carried)),
    }
}

/// The failure for an answer of `bytes` bytes if at most `most` bytes fit.
#[must_use]
pub fn too_large(bytes: usize, most: usize) -> ModelFailure {
    let message = format!(
        "The answer has {bytes} bytes, and a workflow can pass on at most {most}. Its tokens were used. Lower max_tokens, or ask for a shorter answer."
    );
    ModelFailure::new(ErrorCode::OutputTooLarge, message)
}

/// The failure of a call whose model did not answer within `timeout`.
#[must_use]
pub fn timed_out(timeout: Duration) -> ModelFailure {
    let seconds = timeout.as_secs();
    let message = format!("The model did not answer within {seconds} seconds. Ask for less, or try again.");
    ModelFailure::new(ErrorCode::ModelTimeout, message)
}

/// The failure of a call by Step Functions with a timeout of `timeout`, from the name and the cause of its error.
#[must_use]
pub fn native_failure(error: &str, cause: &str, timeout: Duration) -> ModelFailure {
    if error == integration::TIMEOUT { timed_out(timeout) } else { integration::failure(error, cause) }
}

/// Converts a failure for the state machine. Bedrock's own message is included only for a caller with a sealed prompt,
/// and it is sealed. The model router writes its failures to a log.
#[must_use]
pub fn failed(failure: ModelFailure, carried: Carried) -> Box<CallFailure> {
    let nothing_spent = failure.nothing_spent();
    let message = failure.bedrock_message.filter(|_| carried == Carried::Sealed);
    Box::new(CallFailure {
        status_code: failure.error.code.status(),
        usage: failure.usage.map(Into::into),
        nothing_spent,
        bedrock_message: message.and_then(|message| Sealed::new(&message).ok()),
        error: *failure.error,
    })
}
