//! A check: what was looked at, the judgment, and what to do.

use chrono::TimeDelta;

use crate::failure::Failure;

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Ok,
    /// The stack works, but somebody should look at it.
    Warning,
    /// Something does not work.
    Fault,
    /// The caller cannot see it.
    Unknown,
}

impl State {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Fault => "FAULT",
            Self::Unknown => "unknown",
        }
    }
}

/// One line of the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub name: &'static str,
    pub state: State,
    pub finding: String,
    /// The remedy, as a sentence. Empty if none is needed.
    pub todo: String,
}

impl Check {
    pub fn ok(name: &'static str, finding: impl Into<String>) -> Self {
        Self { name, state: State::Ok, finding: finding.into(), todo: String::new() }
    }

    pub fn warning(name: &'static str, finding: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { name, state: State::Warning, finding: finding.into(), todo: todo.into() }
    }

    pub fn fault(name: &'static str, finding: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { name, state: State::Fault, finding: finding.into(), todo: todo.into() }
    }

    pub fn unknown(name: &'static str, gap: &Gap) -> Self {
        Self { name, state: State::Unknown, finding: gap.reason.clone(), todo: gap.todo.clone() }
    }

    /// The check of what was seen, or `unknown` if it could not be seen.
    pub fn of<T>(name: &'static str, seen: &Seen<T>, judge: impl FnOnce(&T) -> Self) -> Self {
        match seen {
            Ok(seen) => judge(seen),
            Err(gap) => Self::unknown(name, gap),
        }
    }
}

/// Why something could not be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    pub reason: String,
    pub todo: String,
}

/// Beginning of the reason after a refusal.
const NOT_ALLOWED: &str = "the caller may not call";

/// A figure, or the reason why it cannot be read.
pub type Seen<T> = Result<T, Gap>;

/// Words of the error codes with which services refuse a caller. CloudFormation and SQS say `AccessDenied`, DynamoDB, Step Functions
/// and Bedrock `AccessDeniedException`, SNS `AuthorizationError`.
const REFUSALS: [&str; 4] = ["AccessDenied", "NotAuthorized", "UnauthorizedOperation", "AuthorizationError"];

impl Gap {
    /// The gap after `failure` of a call that needs the permission `action`.
    pub fn of(action: &str, failure: &Failure) -> Self {
        let reason = failure.to_string();
        if REFUSALS.iter().any(|word| reason.contains(word)) {
            return Self {
                reason: format!("{NOT_ALLOWED} {action}"),
                todo: format!("allow {action}, or choose another --profile"),
            };
        }
        Self { reason, todo: "run `sentry status` again".to_owned() }
    }

    /// `true` if the caller lacks the permission.
    pub fn is_refusal(&self) -> bool {
        self.reason.starts_with(NOT_ALLOWED)
    }
}

/// A span as a person says it, in its largest whole unit.
pub fn span(span: TimeDelta) -> String {
    let (number, unit) = match span {
        span if span.num_days() >= 2 => (span.num_days(), "day"),
        span if span.num_hours() >= 2 => (span.num_hours(), "hour"),
        span if span.num_minutes() >= 2 => (span.num_minutes(), "minute"),
        span => (span.num_seconds().max(0), "second"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

/// The first names of a list, and the number of the others.
pub fn some_of<S: AsRef<str>>(names: &[S]) -> String {
    /// Names that a line of the status has room for.
    const SHOWN: usize = 3;
    let first: Vec<&str> = names.iter().take(SHOWN).map(AsRef::as_ref).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_missing_action_and_another_error_its_text() {
        let denied = Failure::Refused("the limits cannot be read: AWS answered AccessDeniedException: no".to_owned());
        let gap = Gap::of("dynamodb:Scan", &denied);
        assert_eq!(gap.reason, "the caller may not call dynamodb:Scan");
        assert!(gap.todo.contains("allow dynamodb:Scan"));
        let other = Failure::Unreachable("AWS cannot be reached (timeout)".to_owned());
        assert_eq!(Gap::of("dynamodb:Scan", &other).reason, "AWS cannot be reached (timeout)");
    }

    #[test]
    fn a_span_has_its_largest_unit_and_a_long_list_its_first_names() {
        assert_eq!(
            [1, 119, 120, 7_200, 172_800, -5].map(|seconds| span(TimeDelta::seconds(seconds))),
            ["1 second", "119 seconds", "2 minutes", "2 hours", "2 days", "0 seconds"]
        );
        assert_eq!(some_of(&["a", "b", "c"]), "a, b, c");
        assert_eq!(some_of(&["a", "b", "c", "d", "e"]), "a, b, c and 2 more");
    }
}
