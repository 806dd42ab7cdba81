#![doc = include_str!("../README.md")]

use sentry_contract::answer::{BudgetEntry, Headroom};
use sentry_contract::states::{CheckBudgetInput, Decision, Gathered, Limit, LimitFound, UsageFigure};
use sentry_contract::{ErrorBody, ErrorCode};
use sentry_domain::Verdict;
use sentry_domain::budget::Spent;
use serde_json::json;

/// Decides whether the model may be called.
#[must_use]
pub fn check_budget(input: CheckBudgetInput) -> Decision {
    let limit = match input.limit {
        Gathered::Available(LimitFound::Limit(limit)) => limit,
        Gathered::Available(LimitFound::Refusal(refusal)) => return denied(*refusal, Vec::new()),
        Gathered::Unavailable { unavailable } => {
            return denied(unknown(ErrorCode::LedgerUnavailable, "limit", &unavailable), Vec::new());
        }
    };
    let usage = match input.usage {
        Gathered::Available(usage) => usage,
        Gathered::Unavailable { unavailable } => {
            return denied(unknown(ErrorCode::UsageUnavailable, "usage", &unavailable), Vec::new());
        }
    };
    decide(&input.model_metric, &limit, &usage)
}

fn decide(model_metric: &str, limit: &Limit, usage: &UsageFigure) -> Decision {
    let spent = Spent { input: usage.input_tokens, output: usage.output_tokens };
    let entry = BudgetEntry {
        scope: format!("model#{model_metric}"),
        window: usage.window.clone(),
        resets_at: usage.resets_at,
        source: limit.source,
        input: limit.tokens.input.map(|tokens| Headroom::new(tokens, spent.input, 0)),
        output: limit.tokens.output.map(|tokens| Headroom::new(tokens, spent.output, 0)),
    };
    let kind = match limit.tokens.judge(spent) {
        Verdict::Approved => return Decision { approved: true, denial: None, budget: vec![entry] },
        Verdict::InputExceeded => "input",
        Verdict::OutputExceeded => "output",
    };
    denied(exceeded(kind, &entry), vec![entry])
}

fn exceeded(kind: &str, entry: &BudgetEntry) -> ErrorBody {
    let resets_at = json!(entry.resets_at);
    let message = format!(
        "The {kind} tokens of {} are used up for {}. Wait until {}, or ask an admin to raise the limit.",
        entry.scope,
        entry.window,
        resets_at.as_str().unwrap_or_default(),
    );
    ErrorBody::new(ErrorCode::BudgetExceeded, message)
        .with("scope", entry.scope.clone())
        .with("window", entry.window.clone())
        .with("resetsAt", resets_at)
        .with("exceeded", kind)
}

fn unknown(code: ErrorCode, what: &str, reason: &str) -> ErrorBody {
    let message =
        format!("The {what} cannot be read, so the budget cannot be known and the request is denied. Try again.");
    ErrorBody::new(code, message).with("reason", reason)
}

fn denied(error: ErrorBody, budget: Vec<BudgetEntry>) -> Decision {
    Decision { approved: false, denial: Some(error.into()), budget }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn decision(usage: Value, limit: Value) -> Value {
        let input = json!({"modelMetric": "amazon.nova-lite-v1:0", "usage": usage, "limit": limit});
        serde_json::to_value(check_budget(serde_json::from_value(input).unwrap())).unwrap()
    }

    fn usage(input: u64, output: u64) -> Value {
        json!({"window": "2026-11", "resetsAt": "2026-12-01T00:00:00Z", "inputTokens": input, "outputTokens": output})
    }

    fn limit(limits: Value) -> Value {
        let mut limit = json!({"source": "model"});
        limit.as_object_mut().unwrap().extend(limits.as_object().unwrap().clone());
        json!({"limit": limit})
    }

    #[test]
    fn below_every_limit_is_approved_with_the_figures_that_decided() {
        let decision = decision(usage(20_500, 99_143), limit(json!({"input": 1_000_000, "output": 3_000_000})));
        let budget = json!({
            "scope": "model#amazon.nova-lite-v1:0", "window": "2026-11", "resetsAt": "2026-12-01T00:00:00Z", "source": "model",
            "input": {"limit": 1_000_000, "used": 20_500, "reserved": 0, "remaining": 979_500},
            "output": {"limit": 3_000_000, "used": 99_143, "reserved": 0, "remaining": 2_900_857}
        });
        assert_eq!(decision, json!({"approved": true, "budget": [budget]}));
    }

    #[test]
    fn a_spent_limit_is_denied_and_says_until_when() {
        let decision = decision(usage(10, 101), limit(json!({"output": 100})));
        assert_eq!((&decision["approved"], &decision["denial"]["statusCode"]), (&json!(false), &json!(429)));
        let error = json!({
            "code": "BudgetExceeded",
            "message": "The output tokens of model#amazon.nova-lite-v1:0 are used up for 2026-11. \
                        Wait until 2026-12-01T00:00:00Z, or ask an admin to raise the limit.",
            "retryable": false,
            "details": {"scope": "model#amazon.nova-lite-v1:0", "window": "2026-11",
                        "resetsAt": "2026-12-01T00:00:00Z", "exceeded": "output"}
        });
        assert_eq!(decision["denial"]["error"], error);
        assert_eq!(decision["budget"][0]["output"]["remaining"], 0);
        assert!(decision["budget"][0].get("input").is_none());
    }

    #[test]
    fn what_cannot_be_known_is_denied() {
        let unavailable = |name: &str| json!({"unavailable": name});
        let fine = limit(json!({"input": 5}));
        let refusal = json!({"refusal": ErrorBody::new(ErrorCode::LimitNotConfigured, "none")});
        let cases = [
            (decision(unavailable("UsageUnavailable"), fine.clone()), "UsageUnavailable", 503),
            (decision(unavailable("Lambda.Unknown"), fine), "UsageUnavailable", 503),
            (decision(usage(0, 0), unavailable("LedgerUnavailable")), "LedgerUnavailable", 503),
            (decision(usage(0, 0), refusal), "LimitNotConfigured", 403),
        ];
        for (decision, code, status) in cases {
            assert_eq!(decision["approved"], false);
            assert_eq!(decision["denial"]["error"]["code"], code);
            assert_eq!(decision["denial"]["statusCode"], status);
        }
    }
}
