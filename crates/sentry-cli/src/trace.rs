//! `sentry trace`: the story of one request.

use std::fmt::Write as _;

use aws_sdk_cloudwatchlogs::Client as Logs;
use aws_sdk_cloudwatchlogs::operation::filter_log_events::FilterLogEventsError;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use sentry_contract::request::{Tags, request_key};
use sentry_ledger::{Earlier, Entry, Ledger};
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::options::{Global, Output};
use crate::output::{Column, Table, print};
use crate::stack::Stack;

#[derive(clap::Args)]
pub struct TraceArgs {
    /// The `requestId` of the request
    pub request_id: String,
    /// The application of the request, to look it up in the ledger if the logs do not have it
    #[arg(long, value_name = "ID")]
    pub application: Option<String>,
    /// Days to search the logs back
    #[arg(long, default_value_t = 3, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..=400))]
    pub days: u16,
}

/// The time around a request in which lines of the functions belong to its story. A request takes at most the five minutes
/// of an Express workflow.
///
/// Source: AWS Step Functions Developer Guide, "Quotas", read in November 2026.
const BEFORE: TimeDelta = TimeDelta::seconds(5);
const AFTER: TimeDelta = TimeDelta::minutes(6);
/// The most lines of other functions that are shown.
const MOST_LINES: usize = 100;

/// A line of a log.
struct Line {
    at: DateTime<Utc>,
    group: String,
    text: String,
}

/// The facts about a request.
struct Story {
    /// Lines of the audit log, oldest first. The same line can be there twice, because SQS can deliver twice.
    records: Vec<Value>,
    /// Other lines that name the request.
    mentions: Vec<Line>,
    /// Warnings and errors of the functions at its time.
    around: Vec<Line>,
    ledger: InLedger,
}

/// The entry of a request in the requests table.
enum InLedger {
    /// It was not looked up, because nobody knows the application.
    NotLookedUp,
    Nothing,
    Has(Entry),
}

/// Runs the command.
///
/// # Errors
/// If nothing is known about the request, or the logs cannot be read.
pub async fn run(global: &Global, args: &TraceArgs) -> Result<(), Failure> {
    let id = args.request_id.as_str();
    if id.is_empty() || id.contains(['"', '#']) || id.chars().any(char::is_control) {
        return Err(Failure::Usage(format!("{id:?} is no requestId")));
    }
    let stack = Stack::find(global).await?;
    let story = story(&stack, args).await?;
    if story.records.is_empty() && story.mentions.is_empty() && !matches!(story.ledger, InLedger::Has(_)) {
        return Err(Failure::Refused(format!(
            "nothing is known about the request {id} in the last {} days: it may have been answered before the decision, its message may \
             still be in the queue, or --days and --application help",
            args.days
        )));
    }
    print(&match global.output {
        Output::Json => format!("{:#}\n", story.json(id)),
        Output::Table => story.told(id),
        Output::Csv => {
            let columns = ["part", "name", "value"].map(Column::text).to_vec();
            Table { columns, rows: story.rows() }.written(Output::Csv)
        }
    })
}

async fn story(stack: &Stack, args: &TraceArgs) -> Result<Story, Failure> {
    let logs = stack.logs();
    let now = Utc::now();
    let group = format!("/aws/lambda/{}/emit-metrics", stack.name);
    let since = now - TimeDelta::days(args.days.into());
    let lines = lines(&logs, &group, Some(&args.request_id), since, now).await?;
    let (mut records, mut mentions) = (Vec::new(), Vec::new());
    for line in lines {
        match audit(&line.text, &args.request_id) {
            Some(record) => records.push(record),
            None => mentions.push(line),
        }
    }
    let mut around = Vec::new();
    if let Some(at) = records.first().and_then(instant) {
        around = functions(&logs, &stack.name, at).await?;
        mentions.extend(workflow(&logs, &stack.name, &records, at).await?);
    }
    let ledger = ledger(stack, args, &records, now).await?;
    Ok(Story { records, mentions, around, ledger })
}

/// The audit record of the request, if the line is one.
fn audit(text: &str, id: &str) -> Option<Value> {
    let line: Value = serde_json::from_str(text).ok()?;
    let is_of_request = line.get("message")? == "request" && line.get("tags")?.get(Tags::REQUEST_ID)? == id;
    is_of_request.then_some(line)
}

fn instant(record: &Value) -> Option<DateTime<Utc>> {
    record.get("timestamp")?.as_str()?.parse().ok()
}

/// Warnings and errors of all functions around `at`.
async fn functions(logs: &Logs, stack: &str, at: DateTime<Utc>) -> Result<Vec<Line>, Failure> {
    let mut found = Vec::new();
    for group in groups(logs, &format!("/aws/lambda/{stack}/")).await? {
        for level in ["ERROR", "WARN"] {
            let lines = lines(logs, &group, Some(level), at - BEFORE, at + AFTER).await?;
            found.extend(lines.into_iter().filter(|line| has_level(&line.text, level)));
        }
    }
    found.sort_by_key(|line| line.at);
    found.truncate(MOST_LINES);
    Ok(found)
}

fn has_level(text: &str, level: &str) -> bool {
    let line: Option<Value> = serde_json::from_str(text).ok();
    line.is_some_and(|line| line.get("level").is_some_and(|of_line| of_line == level))
}

/// Errors of the workflow that ran the request, if the audit record names the execution.
async fn workflow(logs: &Logs, stack: &str, records: &[Value], at: DateTime<Utc>) -> Result<Vec<Line>, Failure> {
    let execution = records.iter().find_map(|record| record.get("execution_id")?.as_str());
    // The last part of the ARN is unique, and has no character with a meaning in a filter.
    let Some(name) = execution.and_then(|arn| arn.rsplit(':').next()) else { return Ok(Vec::new()) };
    let group = format!("/aws/vendedlogs/states/{stack}/rate-limiter");
    lines(logs, &group, Some(name), at - BEFORE, at + AFTER).await
}

async fn groups(logs: &Logs, prefix: &str) -> Result<Vec<String>, Failure> {
    let mut groups = Vec::new();
    let mut token = None;
    loop {
        let call = logs.describe_log_groups().log_group_name_prefix(prefix).set_next_token(token);
        let answer = call.send().await.map_err(|error| Failure::of_call("the log groups cannot be listed", &error))?;
        groups.extend(answer.log_groups().iter().filter_map(|group| group.log_group_name.clone()));
        token = answer.next_token;
        if token.is_none() {
            return Ok(groups);
        }
    }
}

/// The lines of `group` in a span of time, with `term` in them. Empty if there is no such group.
async fn lines(
    logs: &Logs,
    group: &str,
    term: Option<&str>,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Vec<Line>, Failure> {
    let mut lines = Vec::new();
    let mut token = None;
    loop {
        let call = logs
            .filter_log_events()
            .log_group_name(group)
            .start_time(from.timestamp_millis())
            .end_time(until.timestamp_millis())
            .set_filter_pattern(term.map(|term| format!("\"{term}\"")))
            .set_next_token(token);
        let answer = match call.send().await {
            Ok(answer) => answer,
            Err(error)
                if error.as_service_error().is_some_and(FilterLogEventsError::is_resource_not_found_exception) =>
            {
                return Ok(lines);
            }
            Err(error) => return Err(Failure::of_call(&format!("the log {group} cannot be read"), &error)),
        };
        lines.extend(answer.events().iter().filter_map(|event| {
            let at = DateTime::from_timestamp_millis(event.timestamp?)?;
            Some(Line { at, group: group.to_owned(), text: event.message.clone()?.trim_end().to_owned() })
        }));
        token = answer.next_token;
        if token.is_none() {
            return Ok(lines);
        }
    }
}

/// The ledger's entry. The application is that of the audit record, or that of the option.
async fn ledger(stack: &Stack, args: &TraceArgs, records: &[Value], now: DateTime<Utc>) -> Result<InLedger, Failure> {
    let of_record = records.iter().find_map(|record| record.get("tags")?.get(Tags::APPLICATION_ID)?.as_str());
    let Some(application) = args.application.as_deref().or(of_record) else { return Ok(InLedger::NotLookedUp) };
    let (table, requests) = (stack.output("LedgerTableName")?.to_owned(), stack.requests_table().await?);
    let ledger = Ledger::new(stack.dynamodb(), table, requests);
    let entry = ledger.entry(&request_key(application, &args.request_id), now).await;
    let entry = entry.map_err(|error| Failure::unreachable("the ledger cannot be read", &error))?;
    Ok(entry.map_or(InLedger::Nothing, InLedger::Has))
}

impl Story {
    fn json(&self, id: &str) -> Value {
        let lines = |lines: &[Line]| {
            let lines =
                lines.iter().map(|line| json!({"at": line.at, "logGroup": line.group, "line": parsed(&line.text)}));
            lines.collect::<Vec<Value>>()
        };
        json!({
            "requestId": id,
            "auditRecords": self.records,
            "ledger": match &self.ledger {
                InLedger::Has(entry) => entry_json(entry),
                InLedger::NotLookedUp | InLedger::Nothing => Value::Null,
            },
            "logLines": lines(&self.mentions),
            "warningsAtItsTime": lines(&self.around),
        })
    }

    /// One row for each field of the audit record and of the ledger's entry, and for each log line.
    fn rows(&self) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        let mut add = |part: &str, fields: Vec<(String, String)>| {
            rows.extend(fields.into_iter().map(|(name, value)| vec![part.to_owned(), name, value]));
        };
        for record in &self.records {
            let mut fields = Vec::new();
            flat("", record, &mut fields);
            add("audit", fields);
        }
        if let InLedger::Has(entry) = &self.ledger {
            let mut fields = Vec::new();
            flat("", &entry_json(entry), &mut fields);
            add("ledger", fields);
        }
        for (part, lines) in [("log", &self.mentions), ("around", &self.around)] {
            add(part, lines.iter().map(|line| (line.group.clone(), line.text.clone())).collect());
        }
        rows
    }

    fn told(&self, id: &str) -> String {
        let mut text = format!("request {id}\n");
        if self.records.is_empty() {
            text.push_str("\nThe audit log does not have it.\n");
        }
        let mut told: Vec<&Value> = Vec::new();
        for record in &self.records {
            // SQS can deliver a message twice.
            if !told.contains(&record) {
                told.push(record);
                text.push_str(&section("audit record", record));
            }
        }
        text.push_str("\nledger\n");
        text.push_str(&match &self.ledger {
            InLedger::NotLookedUp => {
                "  not looked up, because nobody knows the application; see --application\n".to_owned()
            }
            InLedger::Nothing => {
                "  no entry: the request was denied, used nothing, or is older than 48 hours\n".to_owned()
            }
            InLedger::Has(entry) => section("", &entry_json(entry)),
        });
        text.push_str(&listed("log lines that name it", &self.mentions));
        text.push_str(&listed(
            "warnings and errors of the functions at its time (also of other requests)",
            &self.around,
        ));
        text
    }
}

fn entry_json(entry: &Entry) -> Value {
    let (state, told) = match &entry.earlier {
        Earlier::InFlight if entry.given_up => ("given up", None),
        Earlier::InFlight => ("in flight", None),
        Earlier::Settled { told } => ("settled", told.as_deref()),
    };
    json!({"state": state, "owner": entry.owner, "used": told.map(parsed)})
}

/// A text as JSON, if it is JSON.
fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}

/// The fields of an object, one a line. Fields of objects in it have their path as the name.
fn section(title: &str, value: &Value) -> String {
    let mut fields = Vec::new();
    flat("", value, &mut fields);
    let width = fields.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let mut text = if title.is_empty() { String::new() } else { format!("\n{title}\n") };
    for (name, value) in fields {
        let _ = writeln!(text, "  {name:width$}  {value}");
    }
    text
}

fn flat(path: &str, value: &Value, fields: &mut Vec<(String, String)>) {
    let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let each = |map: &Map<String, Value>, fields: &mut Vec<(String, String)>| {
        map.iter().for_each(|(name, value)| flat(&join(name), value, fields));
    };
    match value {
        Value::Object(map) => each(map, fields),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(position, value)| flat(&join(&position.to_string()), value, fields));
        }
        Value::Null => {}
        Value::String(text) => fields.push((path.to_owned(), text.clone())),
        other => fields.push((path.to_owned(), other.to_string())),
    }
}

fn listed(title: &str, lines: &[Line]) -> String {
    let mut text = format!("\n{title}\n");
    if lines.is_empty() {
        text.push_str("  none\n");
    }
    for line in lines {
        let function = line.group.rsplit('/').next().unwrap_or(&line.group);
        let at = line.at.to_rfc3339_opts(SecondsFormat::Millis, true);
        let _ = writeln!(text, "  {at}  {function}  {}", line.text);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_audit_line_of_the_request_is_its_record() {
        let line = |id: &str, message: &str| json!({"message": message, "tags": {"requestId": id}}).to_string();
        assert!(audit(&line("r1", "request"), "r1").is_some());
        assert_eq!(audit(&line("r11", "request"), "r1"), None);
        assert_eq!(audit(&line("r1", "response"), "r1"), None);
        assert_eq!(audit("START RequestId: r1", "r1"), None);
    }

    #[test]
    fn a_story_is_told_once_and_names_what_is_not_known() {
        let record =
            json!({"outcome": "Denied", "code": null, "tags": {"requestId": "r1"}, "budget": [{"scope": "user#jo"}]});
        let story = Story {
            records: vec![record.clone(), record],
            mentions: vec![],
            around: vec![],
            ledger: InLedger::Nothing,
        };
        let expected = "request r1\n\naudit record\n  outcome         Denied\n  tags.requestId  r1\n  budget.0.scope  user#jo\n\nledger\n  no entry: the request was denied, used nothing, or is older than 48 hours\n\nlog lines that name it\n  none\n\nwarnings and errors of the functions at its time (also of other requests)\n  none\n";
        assert_eq!(story.told("r1"), expected);
        assert_eq!(story.json("r1")["auditRecords"].as_array().unwrap().len(), 2);
    }
}
