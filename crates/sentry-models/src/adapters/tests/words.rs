//! The fields for the amount of thinking in each style, and their combination with other fields.

use sentry_contract::request::{Family, ReasoningStyle};
use serde_json::{Value, json};

use super::{asking, refused_by, user};
use crate::adapters::prepare;

/// The additional fields for a prompt with the fields `beside`, or the parameter that is refused.
fn fields(style: Option<ReasoningStyle>, max_tokens: u32, beside: &Value) -> Result<Value, String> {
    let mut prompt = json!({"messages": user("Hi")});
    prompt.as_object_mut().unwrap().extend(beside.as_object().unwrap().clone());
    let mut input = asking(Family::Anthropic, "global.anthropic.claude-sonnet-4-6", &prompt);
    input.model.reasoning = style;
    match prepare(&input, max_tokens) {
        Ok(request) => Ok(request.additional_model_request_fields.unwrap_or_default()),
        Err(failure) => Err(refused_by(&failure).to_owned()),
    }
}

fn reasoning(style: ReasoningStyle, max_tokens: u32, wanted: &Value) -> Result<Value, String> {
    fields(Some(style), max_tokens, &json!({"reasoning": wanted}))
}

#[test]
fn each_style_has_its_own_words() {
    use ReasoningStyle::{
        ClaudeAdaptive, ClaudeBudget, ClaudeBudgetOrAdaptive, NovaEffort, ReasoningEffort, ReasoningObject,
    };
    let [low, high, max] = ["low", "high", "max"].map(|effort| json!({"effort": effort}));
    let (off, budget) = (json!({"off": true}), json!({"budgetTokens": 2_000}));
    let budgeted = |tokens: u32| Some(json!({"thinking": {"type": "enabled", "budget_tokens": tokens}}));
    let adaptive = |effort: &str| Some(json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": effort}}));
    let disabled = Some(json!({"thinking": {"type": "disabled"}}));
    let effort = |effort: &str| Some(json!({"reasoning_effort": effort}));
    let object = |effort: &str| Some(json!({"reasoning": {"effort": effort}}));
    let cases = [
        (ClaudeBudget, &off, disabled.clone()),
        (ClaudeBudget, &budget, budgeted(2_000)),
        (ClaudeBudget, &low, budgeted(2_000)),
        (ClaudeBudget, &high, budgeted(8_000)),
        (ClaudeBudget, &max, budgeted(9_500)),
        (ClaudeBudgetOrAdaptive, &off, disabled.clone()),
        (ClaudeBudgetOrAdaptive, &budget, budgeted(2_000)),
        (ClaudeBudgetOrAdaptive, &max, adaptive("max")),
        (ClaudeAdaptive, &off, disabled),
        (ClaudeAdaptive, &budget, None),
        (ClaudeAdaptive, &low, adaptive("low")),
        (ClaudeAdaptive, &max, adaptive("max")),
        (NovaEffort, &off, Some(json!({"reasoningConfig": {"type": "disabled"}}))),
        (NovaEffort, &budget, None),
        (NovaEffort, &low, Some(json!({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}))),
        (NovaEffort, &high, None),
        (NovaEffort, &max, None),
        (ReasoningEffort, &off, effort("none")),
        (ReasoningEffort, &budget, None),
        (ReasoningEffort, &low, effort("low")),
        (ReasoningEffort, &max, effort("max")),
        (ReasoningObject, &off, object("none")),
        (ReasoningObject, &budget, None),
        (ReasoningObject, &max, object("max")),
    ];
    for (style, wanted, expected) in cases {
        let expected = expected.ok_or_else(|| "reasoning".to_owned());
        assert_eq!(reasoning(style, 10_000, wanted), expected, "{style:?} {wanted}");
    }
}

#[test]
fn a_budget_stays_below_the_tokens_that_are_sent_and_is_never_too_small() {
    let budget = |max_tokens, wanted: &Value| {
        let fields = reasoning(ReasoningStyle::ClaudeBudget, max_tokens, wanted)?;
        Ok::<_, String>(fields["thinking"]["budget_tokens"].as_u64().unwrap())
    };
    let tokens = |tokens: u32| json!({"budgetTokens": tokens});
    let low = json!({"effort": "low"});
    assert_eq!(budget(8_000, &tokens(7_999)), Ok(7_999));
    assert_eq!(budget(8_000, &tokens(8_000)), Ok(4_000), "the answer needs room, too");
    assert_eq!(budget(1_500, &tokens(8_000)), Ok(1_024));
    assert_eq!(budget(1_025, &tokens(1_024)), Ok(1_024));
    assert_eq!(budget(8_000, &tokens(5)), Ok(1_024));
    assert_eq!(budget(2_000, &low), Ok(1_024));
    for wanted in [&tokens(1_024), &low, &json!({"effort": "max"})] {
        assert_eq!(budget(1_024, wanted), Err("reasoning".to_owned()));
    }
    for max_tokens in [1_025, 1_026, 1_100, 2_047, 2_147_483_647] {
        for effort in ["low", "medium", "high", "max"] {
            let budget = budget(max_tokens, &json!({"effort": effort})).unwrap();
            assert!((1_024..u64::from(max_tokens)).contains(&budget), "{max_tokens} {effort}: {budget}");
        }
    }
}

#[test]
fn a_model_that_cannot_be_told_how_much_to_think_refuses_it_by_name() {
    for wanted in [json!({"effort": "low"}), json!({"budgetTokens": 2_000})] {
        assert_eq!(fields(None, 9_000, &json!({"reasoning": wanted})), Err("reasoning".to_owned()));
    }
    for nothing in [json!({}), json!({"reasoning": {"off": true}})] {
        assert_eq!(fields(None, 9_000, &nothing), Ok(Value::Null));
    }
}

#[test]
fn the_clients_own_fields_stand_beside_the_others_and_say_nothing_twice() {
    let style = Some(ReasoningStyle::ClaudeAdaptive);
    let all = json!({
        "parameters": {"top_k": 5}, "reasoning": {"effort": "high"},
        "additionalModelRequestFields": {"output_config": {"format": {"type": "x"}}, "custom": [1]}
    });
    let expected = json!({
        "top_k": 5, "thinking": {"type": "adaptive"}, "custom": [1],
        "output_config": {"format": {"type": "x"}, "effort": "high"}
    });
    assert_eq!(fields(style, 9_000, &all), Ok(expected));
    let refused = || Err("additionalModelRequestFields".to_owned());
    let again = [
        json!({"thinking": 1}),
        json!({"thinking": {"type": "disabled"}}),
        json!({"output_config": null}),
        json!([]),
        json!("x"),
    ];
    for own in again {
        let twice = json!({"reasoning": {"effort": "high"}, "additionalModelRequestFields": own});
        assert_eq!(fields(style, 9_000, &twice), refused(), "{own}");
    }
    let twice = json!({"parameters": {"top_k": 5}, "additionalModelRequestFields": {"top_k": 6}});
    assert_eq!(fields(style, 9_000, &twice), refused());
}
