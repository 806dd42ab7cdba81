//! The text of an alert for the topic's subscribers.

use chrono::SecondsFormat;
use sentry_domain::Alert;
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

/// The message: fields for machines, and `text` for people.
pub fn message(alert: &Alert) -> Value {
    json!({
        "scope": alert.scope,
        "window": alert.window,
        "resetsAt": alert.resets_at,
        "threshold": alert.threshold,
        "unit": alert.unit,
        "limit": alert.limit,
        "used": alert.used,
        "text": text(alert),
    })
}

fn text(alert: &Alert) -> String {
    let Alert { scope, threshold, window, used, limit, .. } = alert;
    let unit = alert.unit.noun();
    let resets = alert.resets_at.map_or_else(
        || "The budget does not reset.".to_owned(),
        |at| format!("The budget resets at {}.", at.to_rfc3339_opts(SecondsFormat::Secs, true)),
    );
    format!("{scope} has reached {threshold}% of its limit for {window}: {used} of {limit} {unit} are used. {resets}")
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
    fn a_message_has_fields_for_machines_and_a_sentence_for_people() {
        let expected = json!({
            "scope": "costCenter#support", "window": "2026-11", "resetsAt": "2026-12-01T00:00:00Z",
            "threshold": 80, "unit": "usd", "limit": "100.00", "used": "80.125",
            "text": "costCenter#support has reached 80% of its limit for 2026-11: 80.125 of 100.00 US dollars are used. \
                     The budget resets at 2026-12-01T00:00:00Z."
        });
        assert_eq!(message(&alert("costCenter#support")), expected);
        let endless = Alert { resets_at: None, window: "total".to_owned(), ..alert("costCenter#support") };
        let message = message(&endless);
        assert_eq!(message["resetsAt"], Value::Null);
        assert!(message["text"].as_str().unwrap().ends_with("are used. The budget does not reset."));
    }
}
