//! The page that shows a caller its own budgets. It needs nothing else: no script, no other file, no other origin.

use std::sync::LazyLock;

use askama::Template;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use percent_encoding::percent_decode_str;
use sentry_contract::{ErrorBody, ErrorCode};
use sentry_domain::{BudgetEntry, Dollars, Enforcement, Headroom};
use sha2::{Digest, Sha256};

use crate::caller::Caller;
use crate::errors::{ApiError, Reason};

/// The budgets of a caller.
pub struct Budgets {
    /// The model that the figures are about. `None` for the budgets of the caller's tags alone.
    pub model: Option<String>,
    /// The figures of each scope and window.
    pub entries: Vec<BudgetEntry>,
    /// The reason why a request would be denied.
    pub error: Option<ErrorBody>,
}

/// `true` if a used-up budget is the reason, and not the configuration.
fn is_spent(error: &ErrorBody) -> bool {
    matches!(error.code, ErrorCode::BudgetExceeded | ErrorCode::BudgetReserved)
}

/// The styles of the page, which are part of it.
const STYLES: &str = include_str!("../templates/page.css");

/// The rules of the page for browsers: only its own styles, and its form only to the gateway.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(STYLES));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
});

/// The page, which `templates/` has as HTML.
#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    styles: &'a str,
    /// The tags of the caller, by name.
    caller: Vec<(&'a str, &'a str)>,
    model: Option<&'a str>,
    /// The name of a class and a sentence.
    notice: Option<(&'static str, String)>,
    cards: Vec<Card>,
    generated: String,
    has_budgets: bool,
}

/// A budget: one scope in one window.
struct Card {
    scope: String,
    window: String,
    resets: Option<String>,
    observes: bool,
    lines: Vec<Line>,
}

/// A unit of a budget.
struct Line {
    unit: &'static str,
    limit: String,
    used: String,
    held: String,
    left: String,
    /// The percentage of the limit that is used or held, from 0 to 100.
    percent: u64,
}

/// The page that asks for a key.
pub fn entry(status: StatusCode, problem: Option<&str>) -> Response {
    let notice = problem.map(|problem| ("bad", problem.to_owned()));
    respond(status, &Page { notice, ..empty(Utc::now()) })
}

/// The page after an error. It says nothing of the request.
pub fn failed(error: &ApiError) -> Response {
    let status = match error.reason {
        Reason::NoKey => StatusCode::UNAUTHORIZED,
        Reason::KeysUnavailable | Reason::TableUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        Reason::AccessDenied => StatusCode::FORBIDDEN,
        _ => StatusCode::BAD_REQUEST,
    };
    entry(status, Some(&error.message))
}

/// The page with the budgets of `caller` at `now`.
pub fn budgets(caller: &Caller, found: &Budgets, now: DateTime<Utc>) -> Response {
    let notice = match (&found.error, &found.model) {
        (Some(error), _) if is_spent(error) => {
            Some(("bad", format!("A request for one token would be denied now. {}", error.message)))
        }
        (Some(error), _) => Some(("bad", error.message.clone())),
        (None, Some(_)) => Some(("good", "A request for one token would be admitted now.".to_owned())),
        (None, None) => None,
    };
    let caller = caller.tags.iter().map(|(name, value)| (words_of_kind(name), value.as_str())).collect();
    let cards = found.entries.iter().map(card).collect();
    let model = found.model.as_deref();
    respond(StatusCode::OK, &Page { caller, model, notice, cards, has_budgets: true, ..empty(now) })
}

fn empty<'a>(now: DateTime<Utc>) -> Page<'a> {
    Page {
        styles: STYLES,
        caller: Vec::new(),
        model: None,
        notice: None,
        cards: Vec::new(),
        generated: date(now),
        has_budgets: false,
    }
}

fn respond(status: StatusCode, page: &Page<'_>) -> Response {
    let Ok(text) = page.render() else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let mut response = (status, Html(text)).into_response();
    let headers: [(HeaderName, HeaderValue); 4] = [
        (header::CONTENT_SECURITY_POLICY, POLICY.clone()),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    response.headers_mut().extend(headers);
    response
}

fn card(entry: &BudgetEntry) -> Card {
    let lines = [
        entry.usd.map(dollars),
        entry.input.map(|figures| counts("Tokens read", figures)),
        entry.output.map(|figures| counts("Tokens written", figures)),
        entry.requests.map(|figures| counts("Requests", figures)),
        entry.in_flight.map(|figures| counts("Requests at once", figures)),
    ];
    Card {
        scope: words_of_scope(&entry.scope),
        window: words_of_window(&entry.window),
        resets: entry.resets_at.map(date),
        observes: entry.enforce != Enforcement::Deny,
        lines: lines.into_iter().flatten().collect(),
    }
}

fn counts(unit: &'static str, figures: Headroom<u64>) -> Line {
    let Headroom { limit, used, reserved, remaining } = figures;
    let percent = percent(u128::from(limit), u128::from(used) + u128::from(reserved));
    let [limit, used, held, left] = [limit, used, reserved, remaining].map(grouped);
    Line { unit, limit, used, held, left, percent }
}

fn dollars(figures: Headroom<Dollars>) -> Line {
    let Headroom { limit, used, reserved, remaining } = figures;
    let amount = |Dollars(usd): Dollars| usd.picodollars();
    let percent = percent(amount(limit), amount(used).saturating_add(amount(reserved)));
    let [limit, used, held, left] =
        [limit, used, reserved, remaining].map(|Dollars(usd)| format!("${}", usd.with_decimals(2)));
    Line { unit: "Dollars", limit, used, held, left, percent }
}

/// The percentage of `limit` that `taken` is, at most 100. A limit of 0 is always used up.
fn percent(limit: u128, taken: u128) -> u64 {
    let percent = taken.saturating_mul(100).checked_div(limit).unwrap_or(100).min(100);
    u64::try_from(percent).unwrap_or(100)
}

/// A number with its digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn date(at: DateTime<Utc>) -> String {
    at.format("%-d %B %Y, %H:%M UTC").to_string()
}

/// A scope in words: `application#helper+environment#test` is `Application helper, environment test`.
fn words_of_scope(scope: &str) -> String {
    let words = scope.split('+').map(|part| {
        let (kind, value) = part.split_once('#').unwrap_or((part, ""));
        let value = percent_decode_str(value).decode_utf8_lossy();
        format!("{} {value}", words_of_kind(kind)).trim_end().to_owned()
    });
    let words: Vec<String> = words.collect();
    let mut first = true;
    let words = words.into_iter().map(|each| if std::mem::take(&mut first) { each } else { lower_first(&each) });
    words.collect::<Vec<_>>().join(", ")
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// The kind of a scope, or the name of a tag, in words. Tags of the administrator keep their name.
fn words_of_kind(kind: &str) -> &str {
    match kind {
        "model" => "Model",
        "foundation" => "All names of the model",
        "application" | "applicationId" => "Application",
        "costCenter" => "Cost center",
        "environment" => "Environment",
        "user" | "userId" => "User",
        other => other,
    }
}

/// A window in words. Its name is that of docs/CONTRACT.md, such as `2026-11` or `2026-W47`.
fn words_of_window(name: &str) -> String {
    let hour = |name: &str| format!("Hour {}:00", name.replace('T', " "));
    let kind = match name.len() {
        _ if name == "total" => return "In all".to_owned(),
        _ if name == "inFlight" => return "At any moment".to_owned(),
        _ if name.contains('/') => "Period",
        _ if name.contains('W') => "Week",
        7 => "Month",
        10 => "Day",
        13 => return hour(name),
        _ => "Minute",
    };
    format!("{kind} {}", name.replace('T', " ").replace('/', " to ").trim_end_matches(" to .."))
}

#[cfg(test)]
mod tests;
