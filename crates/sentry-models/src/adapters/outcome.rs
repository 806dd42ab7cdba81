//! What the model router's functions end with, whoever made the call: the answer in the one format, or a failure.

use std::time::Duration;

use sentry_contract::states::{AnswerTerms, InvokeModelInput, Invoked, ModelAnswer, Refused, Target};
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

/// What the answer to `input`, which was read from `event`, depends on.
#[must_use]
pub fn terms(input: &InvokeModelInput, event: &str) -> AnswerTerms {
    let prompt = &input.prompt;
    AnswerTerms { rich: prompt.is_rich(), other_rate: prompt.has_other_rate(), request_bytes: escaped_len(event) }
}

/// The answer for a reply of `model`, at its own price; for who calls the router without one at that of `region`.
#[must_use]
pub fn answer(catalogue: &Catalogue, region: &str, model: &Target, reply: Reply, terms: AnswerTerms) -> Invoked {
    let usage = reply.usage;
    let price = model.price.or_else(|| catalogue.price(&model.model_id, region)).filter(|_| !terms.other_rate);
    let answer = ModelAnswer {
        output: reply.output(terms.rich),
        usage: usage.into(),
        cost: price.and_then(|price| price.cost(&usage)).into(),
    };
    match fits(&answer, terms.request_bytes) {
        Ok(()) => Invoked::Answer(Box::new(answer)),
        Err(too_large) => Invoked::Failure(refused(too_large.spent(usage))),
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
