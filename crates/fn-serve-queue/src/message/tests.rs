use std::collections::HashMap;

use sentry_lambda::sqs::{Attribute, Facts};
use serde_json::json;

use super::*;

fn record(body: &str) -> Record {
    Record {
        message_id: "message-1".to_owned(),
        receipt_handle: "receipt".to_owned(),
        body: body.to_owned(),
        attributes: Facts::default(),
        message_attributes: HashMap::new(),
    }
}

fn read(body: &str) -> Result<Asked, Poison> {
    Asked::read(&record(body), &[])
}

#[test]
fn a_document_without_an_id_gets_that_of_its_message_and_keeps_every_digit() {
    for none in ["", r#","requestId":null"#, r#","requestId":"""#] {
        let body =
            format!(r#"{{"prompt":{{"n":[12345678901234567890123,1.0,1e2]}},"tags":{{"applicationId":"a"{none}}}}}"#);
        let asked = read(&body).unwrap_or_else(|poison| panic!("{poison}"));
        assert_eq!((asked.request_id.as_str(), asked.first_id.as_str()), ("message-1", "message-1"));
        let expected = r#"{"prompt":{"n":[12345678901234567890123,1.0,1e2]},"tags":{"applicationId":"a","requestId":"message-1"}}"#;
        assert_eq!(asked.document, expected);
    }
}

#[test]
fn a_document_with_an_id_stays_as_it_is() {
    let body = r#"{ "tags" : {"requestId": "r-1", "applicationId": "a"} }"#;
    let asked = read(body).unwrap_or_else(|poison| panic!("{poison}"));
    assert_eq!((asked.request_id.as_str(), asked.document.as_str()), ("r-1", body));
    // The rate limiter refuses this id, so the answer has the message's.
    let asked = read(r#"{"tags":{"requestId":"not valid","applicationId":"a"}}"#).unwrap_or_else(|it| panic!("{it}"));
    assert_eq!(asked.request_id, "message-1");
    assert!(asked.document.contains("not valid"));
}

#[test]
fn a_body_without_a_place_for_its_answer_is_poison_and_is_not_quoted() {
    let long = "x".repeat(256);
    let cases = [
        ("{\"secret", Poison::NoJson("end", 1, 8)),
        ("{secret}", Poison::NoJson("syntax", 1, 2)),
        ("[]", Poison::NoDocument),
        ("{}", Poison::NoDocument),
        (r#"{"tags":"secret"}"#, Poison::NoDocument),
        (r#"{"tags":{}}"#, Poison::NoApplication),
        (r#"{"tags":{"applicationId":7}}"#, Poison::NoApplication),
        (r#"{"tags":{"applicationId":""}}"#, Poison::NoApplication),
    ];
    for (body, expected) in cases {
        let poison = read(body).err();
        assert!(poison.as_ref().is_none_or(|poison| !poison.to_string().contains("secret")));
        assert_eq!(poison, Some(expected), "{body}");
    }
    let body = json!({"tags": {"applicationId": long}}).to_string();
    assert_eq!(read(&body).err(), Some(Poison::NoApplication));
}

#[test]
fn a_document_above_the_input_of_an_execution_is_packed_and_keeps_its_text() {
    let body = json!({"prompt": "x\n".repeat(MAX_PAYLOAD_BYTES / 3), "id": 1_234_567_890_123_456_789_u64,
                      "tags": {"applicationId": "a", "requestId": "r"}})
    .to_string();
    assert!(body.len() > MAX_PAYLOAD_BYTES);
    let asked = read(&body).unwrap_or_else(|it| panic!("{it}"));
    assert_eq!(asked.refusal, None);
    let sent: BTreeMap<String, Sealed> = serde_json::from_str(&asked.document).unwrap();
    assert_eq!(sent["packed"].open::<Box<RawValue>>().unwrap().get(), body);
    assert!(asked.document.len() < MAX_PAYLOAD_BYTES);
}

#[test]
fn a_document_that_is_too_large_in_spite_of_that_is_refused() {
    // Every number has its digits by chance, as the base64 of a picture has.
    let chance: String = (0..80_000_u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20).to_string()).collect();
    for text in [chance, "x".repeat(MAX_DOCUMENT_BYTES)] {
        let body = json!({"prompt": text, "tags": {"applicationId": "a"}}).to_string();
        let refusal = read(&body).ok().and_then(|asked| asked.refusal);
        assert_eq!(refusal.map(|error| error.details["path"].clone()), Some(json!("$")));
    }
}

#[test]
fn only_a_valid_first_id_is_taken_over() {
    for (first, expected) in [("id-0", "id-0"), ("not valid", "message-1")] {
        let mut record = record(r#"{"tags":{"applicationId":"a"}}"#);
        record.message_attributes.insert(FIRST_ID.to_owned(), Attribute { string_value: Some(first.to_owned()) });
        assert_eq!(Asked::read(&record, &[]).ok().map(|asked| asked.first_id).as_deref(), Some(expected));
    }
}
