//! What a model cannot honour is refused by name; the table in the README is what the adapters do.

use sentry_contract::request::Family;
use serde_json::{Value, json};

use super::reference::MODELS;
use super::{asking, input, prepare, refused_by, user};

const README: &str = include_str!("../../../README.md");

/// What can be asked of a model, and by which name it is refused.
fn demands() -> [(&'static str, Value); 8] {
    let system = json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]);
    let turns = json!([{"role": "user", "content": "A"}, {"role": "assistant", "content": "B"}, {"role": "user", "content": "C"}]);
    let asked = |parameters: Value| json!({"messages": user("Hi"), "parameters": parameters});
    let rich = |block: Value| json!({"messages": [{"role": "user", "content": [{"text": "Hi"}, block]}]});
    let tool = json!({"toolSpec": {"name": "find", "inputSchema": {"json": {"type": "object"}}}});
    [
        ("", asked(json!({"max_tokens": 9, "temperature": 0.5, "top_p": 0.5}))),
        ("top_k", asked(json!({"top_k": 5}))),
        ("stop_sequences", asked(json!({"stop_sequences": ["END"]}))),
        ("system", json!({"messages": system})),
        ("messages", json!({"messages": turns})),
        ("image", rich(json!({"image": {"format": "png", "source": {"bytes": "YQ=="}}}))),
        ("document", rich(json!({"document": {"format": "txt", "name": "a", "source": {"text": "a"}}}))),
        ("tools", json!({"messages": user("Hi"), "tools": [tool]})),
    ]
}

#[test]
fn the_table_in_the_readme_says_what_each_model_honours() {
    for (family, model_id) in MODELS {
        let cells = demands().map(|(name, prompt)| match prepare(&asking(*family, model_id, &prompt), 9) {
            Ok(_) => "yes",
            Err(failure) => {
                assert_eq!(refused_by(&failure), name);
                "refused"
            }
        });
        let row = format!("| {} | `{model_id}` | {} |", family.name(), cells.join(" | "));
        assert!(README.contains(&row), "the README has no row\n{row}");
    }
}

#[test]
fn a_choice_among_no_tools_is_refused() {
    let prompt = json!({"messages": user("Hi"), "toolChoice": {"any": {}}});
    let asked = asking(Family::Nova, "amazon.nova-lite-v1:0", &prompt);
    assert_eq!(refused_by(&prepare(&asked, 9).unwrap_err()), "toolChoice");
}

#[test]
fn more_tokens_than_bedrock_has_numbers_for_are_refused() {
    let most = 2_147_483_647;
    let input = input(Family::Nova, "amazon.nova-lite-v1:0", &user("Hi"), &json!({}));
    assert!(prepare(&input, most).is_ok());
    assert_eq!(refused_by(&prepare(&input, most + 1).unwrap_err()), "max_tokens");
}
