//! Answers that are wrong because a directive asked for that.

use axum::{
    http::header,
    response::{IntoResponse, Response},
};

use crate::recorder::Damaged;

/// Status 200 and a body that ends in the middle of its JSON.
pub fn malformed() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], "{\"output\":{\"message\":{\"role\":\"assist").into_response()
}

/// The same answer, marked as wrong on purpose.
pub fn damaged(mut response: Response) -> Response {
    response.extensions_mut().insert(Damaged);
    response
}
