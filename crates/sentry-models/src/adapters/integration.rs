//! Converse as a service integration of Step Functions (`aws-sdk:bedrockruntime:converse`): its names, and its errors.
//!
//! Source: AWS Step Functions Developer Guide, "Learning to use AWS service SDK integrations": parameters, results and errors have the
//! names of the AWS SDK for Java 2.x, in PascalCase.

mod error;
mod names;

use serde_json::{Map, Value};

use super::converse::{ConverseAnswer, ConverseRequest, normalise};
use super::{ModelFailure, Reply};

pub use error::{TIMEOUT, failure};
pub use names::{camel, pascal};

/// The parameters of the integration for `request` to `model_id`; `None` where it cannot be sent this way.
///
/// AWS does not say how a binary value (`bytes` of an image or a document) is written in a state machine, and JSON has none.
///
/// # Errors
/// When the request cannot be written as JSON.
pub fn parameters(model_id: &str, request: &ConverseRequest) -> Result<Option<Value>, ModelFailure> {
    let request = serde_json::to_value(request).map_err(|_| ModelFailure::unwritable())?;
    if names::has_bytes(&request) {
        return Ok(None);
    }
    let mut parameters = Map::from_iter([("ModelId".to_owned(), model_id.into())]);
    if let Value::Object(fields) = pascal(request) {
        parameters.extend(fields);
    }
    Ok(Some(Value::Object(parameters)))
}

/// The reply in the integration's result.
///
/// # Errors
/// When it cannot be understood, or says nothing of its usage.
pub fn read(result: Value) -> Result<Reply, ModelFailure> {
    let answer: ConverseAnswer = serde_json::from_value(camel(result)).map_err(|_| error::unreadable())?;
    normalise(answer)
}
