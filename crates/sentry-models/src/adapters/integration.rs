//! Converse as a service integration of Step Functions (`aws-sdk:bedrockruntime:converse`), with its names and its
//! errors.
//!
//! Source: AWS Step Functions Developer Guide, "Learning to use AWS service SDK integrations": parameters, results and
//! errors have the names of the AWS SDK for Java 2.x, in `PascalCase`.

mod error;
mod names;
mod numbers;

use sentry_contract::sizes::{MAX_REQUEST_BYTES, payload_bytes};
use sentry_domain::Charges;
use serde_json::{Map, Value};

use super::converse::{ConverseAnswer, ConverseRequest, normalize};
use super::{ModelFailure, Reply};

pub use error::{TIMEOUT, failure};
pub use names::{camel, pascal};

/// Limit of `max_tokens` for a call by Step Functions. Step Functions loses an answer of more than 262,144 bytes,
/// together with its usage. A token of text has about 4 bytes on average. This limit leaves room for 12, with the other
/// parts of the answer.
const MOST_TOKENS: u32 = 16_384;

/// The parameters of the integration for `request` to `model_id`. `None` if the integration cannot send the request.
///
/// It cannot send these requests:
///
/// - A request with a binary value (`bytes` of an image or a document, encrypted reasoning). AWS does not document how
///   a state machine writes a binary value.
/// - A request with a number that an expression of the state machine may round.
/// - A request that is too large if it is not packed.
/// - A request whose answer may be too large.
///
/// # Errors
/// If the request cannot be written as JSON.
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

/// Reads the reply from the integration's result. `charges` are those of the request.
///
/// # Errors
/// If the result cannot be understood, or does not report its usage.
pub fn read(result: Value, charges: Charges) -> Result<Reply, ModelFailure> {
    let answer: ConverseAnswer = serde_json::from_value(camel(result)).map_err(|_| error::unreadable())?;
    normalize(answer, charges)
}
