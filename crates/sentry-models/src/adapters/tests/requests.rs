//! The exact JSON of the requests.

use sentry_contract::request::Family;
use serde_json::json;

use super::reference::MODELS;
use super::{input, sent, user};

#[test]
fn every_family_has_a_model_in_these_tests() {
    for family in Family::ALL {
        assert!(MODELS.iter().any(|(of, _)| of == family), "{}", family.name());
    }
}

#[test]
fn a_plain_question_is_sent_with_max_tokens_and_nothing_else() {
    for (family, model_id) in MODELS {
        let body = json!({
            "messages": [{"role": "user", "content": [{"text": "Hi"}]}], "inferenceConfig": {"maxTokens": 9},
            "requestMetadata": {"applicationId": "helper"}
        });
        assert_eq!(sent(&input(*family, model_id, &user("Hi"), &json!({}))), body, "{model_id}");
    }
}

#[test]
fn every_parameter_is_sent_and_top_k_in_the_familys_spelling() {
    let turns = json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One."},
        {"role": "user", "content": "Two."},
        {"role": "assistant", "content": "Three."},
        {"role": "user", "content": "Four."},
        {"role": "system", "content": "Be kind."}
    ]);
    let parameters = json!({"temperature": 0.5, "top_p": 0.25, "top_k": 50, "stop_sequences": ["END"]});
    for (family, model_id, additional) in [
        (Family::Anthropic, "anthropic.claude-3-haiku-20240307-v1:0", json!({"top_k": 50})),
        (Family::AnthropicText, "anthropic.claude-v2", json!({"top_k": 50})),
        (Family::Nova, "amazon.nova-pro-v1:0", json!({"inferenceConfig": {"topK": 50}})),
        (Family::Cohere, "cohere.command-r-v1:0", json!({"k": 50})),
    ] {
        let body = json!({
            "system": [{"text": "Be brief."}, {"text": "Be kind."}],
            "messages": [
                {"role": "user", "content": [{"text": "One."}, {"text": "Two."}]},
                {"role": "assistant", "content": [{"text": "Three."}]},
                {"role": "user", "content": [{"text": "Four."}]}
            ],
            "inferenceConfig": {"maxTokens": 9, "temperature": 0.5, "topP": 0.25, "stopSequences": ["END"]},
            "additionalModelRequestFields": additional,
            "requestMetadata": {"applicationId": "helper"}
        });
        assert_eq!(sent(&input(family, model_id, &turns, &parameters)), body, "{model_id}");
    }
    let mixtral = input(Family::Mistral, "mistral.mixtral-8x7b-instruct-v0:1", &user("Hi"), &json!({"top_k": 50}));
    assert_eq!(sent(&mixtral)["additionalModelRequestFields"], json!({"top_k": 50}));
}
