//! Parts that no request can express are refused by name. Validation checks the capabilities of the model.

use sentry_contract::request::Family;
use serde_json::json;

use super::{asking, input, prepare, refused_by, user};

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
