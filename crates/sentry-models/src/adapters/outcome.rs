//! What the model router's functions end with, whoever made the call: the answer in the one format, or a failure.

use std::time::Duration;

use sentry_contract::answer::{Output, OutputMessage};
use sentry_contract::request::Role;
use sentry_contract::states::{InvokeModelInput, Invoked, ModelAnswer, Refused, Target};
use sentry_contract::{ErrorBody, ErrorCode, MAX_PAYLOAD_BYTES, escaped_len};

use super::{ModelFailure, Reply};
use crate::Catalogue;

/// Room for what Step Functions and Lambda put beside an answer: ARNs, names, dates, metadata; and for tags and budget in the final document.
const ANSWER_RESERVE_BYTES: usize = 16_384;

/// The model router's input.
///
/// # Errors
/// When it is something else. The error tells the position only: the text may be a prompt.
pub fn read_input(event: &str) -> Result<InvokeModelInput, ModelFailure> {
    serde_json::from_str(event).map_err(|error| {
        let message = format!(
            "The model router's input is not {{model: {{modelId, family}}, prompt, tags}}: {:?} error at line {} column {}.",
            error.classify(),
            error.line(),
            error.column()
        );
        ModelFailure::never_sent(ErrorBody::new(ErrorCode::InvalidRequest, message).with("path", "$"))
    })
}

/// Most tokens that the answer to `input` may have.
#[must_use]
pub fn max_tokens(catalogue: &Catalogue, input: &InvokeModelInput) -> u32 {
    input.prompt.parameters.max_tokens.unwrap_or_else(|| catalogue.max_tokens(&input.model.model_id))
}

/// The answer for a reply of `model`, at its own price or else that of `region`; `request_bytes` is the [`escaped_len`] of the router's input.
#[must_use]
pub fn answer(catalogue: &Catalogue, region: &str, model: &Target, reply: Reply, request_bytes: usize) -> Invoked {
    let price = model.price.or_else(|| catalogue.price(&model.model_id, region));
    let answer = ModelAnswer {
        output: Output {
            message: OutputMessage { role: Role::Assistant, content: reply.text },
            stop_reason: reply.stop_reason,
        },
        usage: reply.usage.into(),
        cost: price.and_then(|price| price.cost(&reply.usage)).into(),
    };
    match fits(&answer, request_bytes) {
        Ok(()) => Invoked::Answer(Box::new(answer)),
        Err(too_large) => Invoked::Failure(refused(too_large.spent(reply.usage))),
    }
}

/// The answer travels to the rate limiter as a JSON string, beside the router's input, in one payload.
fn fits(answer: &ModelAnswer, request_bytes: usize) -> Result<(), ModelFailure> {
    let json = serde_json::to_string(answer).map_err(|_| ModelFailure::malformed("it cannot be written as JSON"))?;
    let bytes = escaped_len(&json) + request_bytes;
    let most = MAX_PAYLOAD_BYTES - ANSWER_RESERVE_BYTES;
    if bytes <= most {
        return Ok(());
    }
    let message = format!(
        "The answer and its request take {bytes} bytes on the way back; at most {most} fit. The tokens were used. Lower max_tokens or shorten the prompt."
    );
    Err(ModelFailure::new(ErrorCode::OutputTooLarge, message))
}

/// The model did not answer in the time that it has.
#[must_use]
pub fn timed_out(timeout: Duration) -> ModelFailure {
    let seconds = timeout.as_secs();
    let message = format!("The model did not answer within {seconds} seconds. Ask for less, or try again.");
    ModelFailure::new(ErrorCode::ModelTimeout, message)
}

/// The failure as the state machine takes it.
#[must_use]
pub fn refused(failure: ModelFailure) -> Box<Refused> {
    Box::new(Refused {
        status_code: failure.error.code.status(),
        usage: failure.usage.map(Into::into),
        nothing_spent: failure.nothing_spent(),
        error: *failure.error,
    })
}
