//! Limits, windows and instants that the tests of several crates use.

use chrono::{DateTime, Utc};
use sentry_domain::{Enforcement, LimitWindow, Limits, ScopeLimit};

/// The time that `text` names, such as `2026-11-21T12:00:00Z`.
///
/// # Panics
/// If `text` is no time.
#[must_use]
pub fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// A limit on November 2026 that denies, and that allows no remedy.
#[must_use]
pub fn limit(scope: &str, limits: Limits, shards: u16) -> ScopeLimit {
    let window = LimitWindow {
        name: "2026-11".into(),
        key: "2026-11".into(),
        start: at("2026-11-01T00:00:00Z"),
        resets_at: Some(at("2026-12-01T00:00:00Z")),
    };
    ScopeLimit {
        scope: scope.into(),
        source: "model".into(),
        item: scope.into(),
        window,
        limits,
        per_request: Limits::default(),
        enforce: Enforcement::Deny,
        alert_at: vec![],
        shards,
        when_exceeded: vec![],
        respond: None,
    }
}
