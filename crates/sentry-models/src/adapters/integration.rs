//! Converse as a service integration of Step Functions (`aws-sdk:bedrockruntime:converse`): its names, and its errors.
//!
//! Source: AWS Step Functions Developer Guide, "Learning to use AWS service SDK integrations": parameters, results and errors have the
//! names of the AWS SDK for Java 2.x, in PascalCase.

mod error;
mod names;
mod numbers;

use sentry_contract::sizes::{MAX_REQUEST_BYTES, payload_bytes};
use sentry_domain::Charges;
use serde_json::{Map, Value};

use super::converse::{ConverseAnswer, ConverseRequest, normalise};
use super::{ModelFailure, Reply};

pub use error::{TIMEOUT, failure};
pub use names::{camel, pascal};

/// Most tokens of an answer that is fetched this way. Step Functions loses an answer of more than 262,144 bytes together with its usage.
/// A token of text has some 4 bytes on average; this leaves room for 12 with what stands beside the text.
const MOST_TOKENS: u32 = 16_384;

/// The parameters of the integration for `request` to `model_id`; `None` where it cannot be sent this way.
///
/// These requests cannot: one with a binary value (`bytes` of an image or a document, encrypted reasoning), because AWS does not say how a state machine
/// writes one; one with a number that an expression may round; one that is too large when it is not packed; and one whose answer may
/// be too large.
///
/// # Errors
/// When the request cannot be written as JSON.
pub fn parameters(model_id: &str, request: &ConverseRequest) -> Result<Option<Value>, ModelFailure> {
    let most_tokens = request.inference_config.max_tokens;
    let request = serde_json::to_value(request).map_err(|_| ModelFailure::unwritable())?;
    if most_tokens > MOST_TOKENS || names::has_bytes(&request) || numbers::has_long_number(&request) {
        return Ok(None);
    }
    let mut parameters = Map::from_iter([("ModelId".to_owned(), model_id.into())]);
    if let Value::Object(fields) = pascal(request) {
        parameters.extend(fields);
    }
    let parameters = Value::Object(parameters);
    let bytes = payload_bytes(&parameters).map_err(|_| ModelFailure::unwritable())?;
    Ok((bytes <= MAX_REQUEST_BYTES).then_some(parameters))
}

/// The reply in the integration's result, to a request with `charges`.
///
/// # Errors
/// When it cannot be understood, or says nothing of its usage.
pub fn read(result: Value, charges: Charges) -> Result<Reply, ModelFailure> {
    let answer: ConverseAnswer = serde_json::from_value(camel(result)).map_err(|_| error::unreadable())?;
    normalise(answer, charges)
}
