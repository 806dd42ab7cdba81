//! The audit lines in CloudWatch Logs.

use chrono::TimeDelta;

use super::Span;
use super::audit::{History, Reader};
use crate::failure::Failure;
use crate::progress;
use crate::stack::Stack;

/// Matches the audit lines of requests.
///
/// Source: Amazon CloudWatch Logs User Guide, "Filter pattern syntax", read in November 2026.
const PATTERN: &str = "{ $.message = \"request\" }";
/// Time after a request in which its line is usually written. After a failure of CloudWatch it can be later.
const WRITTEN_WITHIN: TimeDelta = TimeDelta::days(1);

/// The log group with the audit lines.
pub fn group(stack: &Stack) -> String {
    format!("/aws/lambda/{}/emit-metrics", stack.name)
}

/// Reads the audit lines that were written in a span of time or soon after it.
///
/// # Errors
/// If the log group does not exist or cannot be read.
pub async fn history(stack: &Stack, span: Span) -> Result<History, Failure> {
    let (logs, group) = (stack.logs(), group(stack));
    let doing = format!("the log group {group} cannot be read");
    let spinner = progress::spinner("audit lines");
    let (mut reader, mut token) = (Reader::new(span), None);
    loop {
        let call = logs
            .filter_log_events()
            .log_group_name(&group)
            .filter_pattern(PATTERN)
            .set_start_time(span.0.map(|from| from.timestamp_millis()))
            .set_end_time(span.1.map(|until| (until + WRITTEN_WITHIN).timestamp_millis()))
            .set_next_token(token);
        let answer = call.send().await.map_err(|error| Failure::of_call(&doing, &error))?;
        answer.events().iter().filter_map(|event| event.message()).for_each(|text| reader.read(text));
        spinner.set_message(format!("{} audit lines read", reader.requests()));
        token = answer.next_token;
        if token.is_none() {
            spinner.finish_and_clear();
            return Ok(reader.finish());
        }
    }
}
