//! A document in packed form: `{"packed": "…"}`, deflated and in base64. A document that is larger than the input of an
//! execution can fit into it in this form.

use sentry_contract::Sealed;
use sentry_contract::sealed::Unsealable;
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Packed {
    packed: Sealed,
}

/// The document inside `document`. `None` if `document` is not in packed form.
pub(crate) fn unpack(document: &RawValue) -> Option<Result<Box<RawValue>, Unsealable>> {
    let Packed { packed } = serde_json::from_str(document.get()).ok()?;
    Some(packed.open())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::tests::{request, validate};

    fn packed(document: &Value) -> Value {
        json!({"packed": Sealed::new(document).unwrap()})
    }

    #[test]
    fn a_packed_document_is_the_same_request() {
        let validated = validate(&request());
        assert_eq!((&validated["valid"], validate(&packed(&request()))), (&json!(true), validated.clone()));
    }

    #[test]
    fn a_packed_document_may_be_larger_than_an_input_and_has_a_limit_too() {
        let with_text = |length: usize| {
            let mut document = request();
            document["prompt"]["messages"][0]["content"] = json!("x ".repeat(length / 2));
            validate(&packed(&document))
        };
        assert_eq!(with_text(1_000_000)["valid"], true);
        let refused = with_text(1_048_576);
        assert_eq!((&refused["valid"], &refused["answer"]["error"]["details"]["path"]), (&json!(false), &json!("$")));
    }

    #[test]
    fn a_text_that_cannot_be_unpacked_and_a_field_beside_it_are_refused() {
        let mut beside = packed(&request());
        beside["model"] = json!("nova-lite");
        for document in [json!({"packed": "no base64!"}), json!({"packed": "c2VjcmV0"}), beside] {
            let answer = &validate(&document)["answer"];
            assert_eq!((&answer["statusCode"], &answer["error"]["details"]["path"]), (&json!(400), &json!("packed")));
        }
        assert_eq!(validate(&packed(&packed(&request())))["answer"]["error"]["details"]["path"], "packed");
    }

    #[test]
    fn the_digest_is_that_of_the_document_without_its_form() {
        let digest = |document: &Value| validate(document)["request"]["digest"].clone();
        let tags = json!({"environment": "production", "costCenter": "support", "applicationId": "helper"});
        let (first, mut other) = (request(), request());
        other["tags"] = tags;
        assert_eq!(digest(&first), digest(&other));
        other["prompt"]["parameters"]["top_k"] = json!(51);
        assert_ne!(digest(&first), digest(&other));
    }
}
