//! The text of an alert for the topic's subscribers.

use aws_sdk_sns::error::BuildError;
use aws_sdk_sns::types::MessageAttributeValue;
use chrono::SecondsFormat;
use sentry_domain::{Action, Alert, AlertResponse, Reaction};
use serde_json::{Value, json};

/// Longest subject, in characters. SNS accepts subjects of less than 100 characters.
/// Source: API reference of Amazon SNS, `Publish`, parameter `Subject`, read in November 2026.
const SUBJECT_CHARS: usize = 99;

/// The subject of an e-mail: ASCII, one line, cut if it is too long.
pub fn subject(alert: &Alert) -> String {
    let subject = format!("Budget alert: {}% of {}", alert.threshold, alert.scope);
    let plain = |char: char| if char == ' ' || char.is_ascii_graphic() { char } else { '?' };
    subject.chars().map(plain).take(SUBJECT_CHARS).collect()
}

/// The attributes of the message, for the filter policies of subscriptions: `scope`, `scopeKind` (such as `costCenter`, or
/// `application+environment`), `unit` and `threshold`.
///
/// # Errors
/// The builder of the SDK returns an error for an attribute without a type. Each of these has a type.
pub fn attributes(alert: &Alert) -> Result<[(&'static str, MessageAttributeValue); 4], BuildError> {
    Ok([
        ("scope", attribute("String", &alert.scope)?),
        ("scopeKind", attribute("String", &kind(&alert.scope))?),
        ("unit", attribute("String", alert.unit.name())?),
        ("threshold", attribute("Number", &alert.threshold.to_string())?),
    ])
}

fn attribute(data_type: &str, value: &str) -> Result<MessageAttributeValue, BuildError> {
    MessageAttributeValue::builder().data_type(data_type).string_value(value).build()
}

/// The kind of a scope: `costCenter` of `costCenter#support`. The kinds of a combination are joined by `+`. SNS accepts no empty
/// attribute, so a scope without a kind is its own kind.
fn kind(scope: &str) -> String {
    let kinds: Vec<_> = scope.split('+').filter_map(|part| part.split_once('#')).map(|(kind, _)| kind).collect();
    if kinds.is_empty() { scope.to_owned() } else { kinds.join("+") }
}

/// The message: fields for machines, `text` for people, and the fields of a custom notification, with which Amazon Q
/// Developer in chat applications shows it in a channel. Notifications with the same `threadId` are one thread.
/// Source: Amazon Q Developer in chat applications administrator guide, "Custom notifications", read in November 2026.
pub fn message(alert: &Alert) -> Value {
    let mut message = json!({
        "version": "1.0",
        "source": "custom",
        "content": {
            "textType": "client-markdown",
            "title": subject(alert),
            "description": text(alert),
            "nextSteps": ["If the use is right, raise the limit. The change applies from the next request."],
        },
        "metadata": { "threadId": format!("{}@{}", alert.scope, alert.window_key) },
        "scope": alert.scope,
        "window": alert.window,
        "resetsAt": alert.resets_at,
        "threshold": alert.threshold,
        "unit": alert.unit,
        "limit": alert.limit,
        "used": alert.used,
        "text": text(alert),
    });
    if let (Some(response), Some(fields)) = (&alert.response, message.as_object_mut()) {
        fields.insert("response".to_owned(), json!(response.reaction));
    }
    message
}

fn text(alert: &Alert) -> String {
    let Alert { scope, threshold, window, used, limit, .. } = alert;
    let unit = alert.unit.noun();
    let resets = alert.resets_at.map_or_else(
        || "The budget does not reset.".to_owned(),
        |at| format!("The budget resets at {}.", at.to_rfc3339_opts(SecondsFormat::Secs, true)),
    );
    let response = alert.response.as_ref().map(effect).unwrap_or_default();
    format!(
        "{scope} has reached {threshold}% of its limit for {window}: {used} of {limit} {unit} are used. {resets}{response}"
    )
}

/// A sentence about an automated response, with a space before it.
fn effect(response: &AlertResponse) -> String {
    let change = match response.reaction {
        Reaction::Set(limits) => {
            let of = limits.iter().map(|(unit, most)| format!("{} {}", unit.written(most), unit.noun()));
            format!("the limit is {}", of.collect::<Vec<_>>().join(", "))
        }
        Reaction::Action(Action::Fallback) => "the fallback of the model answers".to_owned(),
    };
    format!(
        " From now on {change}, until the window ends or an admin removes `respond` from the limits item {}.",
        response.item
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(scope: &str) -> Alert {
        serde_json::from_value(json!({
            "scope": scope, "window": "2026-11", "windowKey": "2026-11@UTC", "resetsAt": "2026-12-01T00:00:00Z",
            "threshold": 80, "unit": "usd", "limit": "100.00", "used": "80.125"
        }))
        .unwrap()
    }

    #[test]
    fn a_subject_is_short_ascii_on_one_line() {
        assert_eq!(subject(&alert("costCenter#support")), "Budget alert: 80% of costCenter#support");
        assert_eq!(subject(&alert("costCenter#süd\n")), "Budget alert: 80% of costCenter#s?d?");
        assert_eq!(subject(&alert(&"x".repeat(500))).len(), 99);
    }

    #[test]
    fn attributes_name_the_scope_its_kind_the_unit_and_the_threshold() {
        let of = |scope: &str| {
            attributes(&alert(scope)).unwrap().map(|(name, value)| {
                (name, value.data_type().to_owned(), value.string_value().unwrap_or_default().to_owned())
            })
        };
        let expected = [
            ("scope", "String", "costCenter#support"),
            ("scopeKind", "String", "costCenter"),
            ("unit", "String", "usd"),
            ("threshold", "Number", "80"),
        ];
        assert_eq!(
            of("costCenter#support"),
            expected.map(|(name, kind, value)| (name, kind.to_owned(), value.to_owned()))
        );
        assert_eq!(of("application#a+b+environment#production")[1].2, "application+environment");
    }

    #[test]
    fn a_message_has_fields_for_machines_and_a_sentence_for_people() {
        let text = "costCenter#support has reached 80% of its limit for 2026-11: 80.125 of 100.00 US dollars are used. \
                    The budget resets at 2026-12-01T00:00:00Z.";
        let expected = json!({
            "version": "1.0", "source": "custom",
            "content": {
                "textType": "client-markdown", "title": "Budget alert: 80% of costCenter#support", "description": text,
                "nextSteps": ["If the use is right, raise the limit. The change applies from the next request."]
            },
            "metadata": {"threadId": "costCenter#support@2026-11@UTC"},
            "scope": "costCenter#support", "window": "2026-11", "resetsAt": "2026-12-01T00:00:00Z",
            "threshold": 80, "unit": "usd", "limit": "100.00", "used": "80.125",
            "text": text
        });
        assert_eq!(message(&alert("costCenter#support")), expected);
        let endless = Alert { resets_at: None, window: "total".to_owned(), ..alert("costCenter#support") };
        let message = message(&endless);
        assert_eq!(message["resetsAt"], Value::Null);
        assert!(message["text"].as_str().unwrap().ends_with("are used. The budget does not reset."));
    }

    #[test]
    fn a_message_says_which_response_is_set() {
        let response = |reaction: Value| {
            let mut response = json!({"item": "costCenter#default", "before": {"output": 1_000}});
            response.as_object_mut().unwrap().extend(reaction.as_object().unwrap().clone());
            message(&Alert { response: serde_json::from_value(response).unwrap(), ..alert("costCenter#support") })
        };
        let set = response(json!({"set": {"output": 950, "usd": "2.500000000"}}));
        assert_eq!(set["response"], json!({"set": {"output": 950, "usd": "2.500000000"}}));
        let text = set["text"].as_str().unwrap();
        assert!(text.contains("From now on the limit is 950 output tokens, 2.50 US dollars, until"), "{text}");
        let fallback = response(json!({"action": "fallback"}));
        assert!(fallback["text"].as_str().unwrap().contains("the fallback of the model answers"));
    }
}
