//! Deliberately wrong answers, which a directive in the prompt asks for.

use axum::{
    http::header,
    response::{IntoResponse, Response},
};

use crate::recorder::Damaged;

/// Status 200 with a body that ends in the middle of its JSON.
pub fn malformed() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], "{\"output\":{\"message\":{\"role\":\"assist").into_response()
}

/// Marks a response as deliberately wrong.
pub fn damaged(mut response: Response) -> Response {
    response.extensions_mut().insert(Damaged);
    response
}
