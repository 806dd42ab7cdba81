//! `sentry ask`: a request as a client sends it, or what would be decided about it.

mod document;
mod dry_run;
mod queue;

use std::fmt::Write as _;

use serde_json::{Value, json};

use self::document::RequestArgs;
use self::dry_run::Foreseen;
use self::queue::Ticket;
use crate::budget::entries;
use crate::failure::Failure;
use crate::options::{Global, Output};
use crate::output::{Column, Table, print};
use crate::progress;
use crate::stack::Stack;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub request: RequestArgs,
    /// Only find out what would be decided. Nothing is sent to a model, and nothing is written anywhere
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub queue: QueueArgs,
    /// Only show the kept answer to an earlier request of --application
    #[arg(long, value_name = "REQUEST_ID", conflicts_with_all = ["dry_run", "queued"])]
    pub answer: Option<String>,
}

/// How a request goes through the request queue.
#[derive(clap::Args)]
pub struct QueueArgs {
    /// Send the request through the request queue, and wait for its answer. It waits for a free budget and a throttled model
    #[arg(long = "async", conflicts_with = "dry_run")]
    pub queued: bool,
    /// With --async: print the request id, and do not wait for the answer
    #[arg(long, requires = "queued")]
    pub no_wait: bool,
    /// With --async: if the budget is used up, wait until it resets
    #[arg(long, requires = "queued")]
    pub wait_for_reset: bool,
}

/// Runs the command.
///
/// # Errors
/// If the request is refused, denied or fails, or AWS cannot be reached.
pub async fn run(global: &Global, args: &Args) -> Result<(), Failure> {
    if let Some(request_id) = &args.answer {
        let ticket = Ticket { application_id: args.request.application(), request_id: request_id.clone() };
        let answer = queue::answer(&Stack::find(global).await?, &ticket).await?;
        return shown(&answer, global.output);
    }
    let document = args.request.document()?;
    let stack = Stack::find(global).await?;
    if args.queue.queued {
        let ticket = queue::send(&stack, document, args.queue.wait_for_reset).await?;
        if args.queue.no_wait {
            return print(&ticket_text(&ticket, global.output));
        }
        let answer = queue::wait(&stack, &ticket).await?;
        return shown(&answer, global.output);
    }
    if args.dry_run {
        let foreseen = dry_run::foresee(&stack, &document).await?;
        print(&foreseen_text(&foreseen, global.output))?;
        return match foreseen {
            Foreseen::Approved { .. } => Ok(()),
            Foreseen::Refused(answer) => Err(Failure::Refused(format!(
                "the request would not be sent to a model ({})",
                answer.error.as_ref().map_or("no code", |error| error.code.name())
            ))),
        };
    }
    let spinner = progress::spinner("The model answers");
    let answer = stack.start_sync(&document).await;
    spinner.finish_and_clear();
    shown(&answer?, global.output)
}

/// Prints an answer.
///
/// # Errors
/// If the answer has no message of the model.
fn shown(answer: &Value, output: Output) -> Result<(), Failure> {
    print(&answer_text(answer, output))?;
    if text(answer, "/outcome") == "Succeeded" {
        return Ok(());
    }
    Err(Failure::Refused(format!("{} ({})", text(answer, "/outcome"), text(answer, "/error/code"))))
}

/// The name of a request in the queue.
fn ticket_text(ticket: &Ticket, output: Output) -> String {
    let Ticket { application_id, request_id } = ticket;
    match output {
        Output::Json => format!("{:#}\n", json!({"applicationId": application_id, "requestId": request_id})),
        Output::Csv => {
            let columns = ["applicationId", "requestId"].map(Column::text).to_vec();
            Table { columns, rows: vec![vec![application_id.clone(), request_id.clone()]] }.written(output)
        }
        Output::Table => format!("{request_id}\n"),
    }
}

/// The answer in the form `output`.
fn answer_text(answer: &Value, output: Output) -> String {
    match output {
        Output::Json => format!("{answer:#}\n"),
        Output::Csv => row(answer).written(output),
        Output::Table => told(answer),
    }
}

/// The answer for a person: the text, then what it cost and what is left.
fn told(answer: &Value) -> String {
    let mut told = String::new();
    if let Some(content) = answer.pointer("/output/message/content") {
        let _ = writeln!(told, "{}\n", readable(content));
    }
    if let Some(error) = answer.get("error") {
        let _ = writeln!(told, "{}: {}", text(error, "/code"), text(error, "/message"));
        if let Some(seconds) = error.get("retryAfterSeconds") {
            let _ = writeln!(told, "Retry after {seconds} seconds.");
        }
        told.push('\n');
    }
    let mut fact = |name: &str, value: String| {
        if !value.is_empty() {
            let _ = writeln!(told, "{name:<9} {value}");
        }
    };
    fact("outcome", format!("{} {}", text(answer, "/outcome"), text(answer, "/statusCode")));
    fact("request", text(answer, "/tags/requestId"));
    fact("model", called(answer));
    fact("tokens", tokens(answer));
    fact("cost", cost(answer));
    fact("degraded", answer.get("degraded").map(Value::to_string).unwrap_or_default());
    for denial in list(answer, "/wouldDeny") {
        fact("observed", format!("{}: {}", text(denial, "/code"), text(denial, "/message")));
    }
    for notice in list(answer, "/notices") {
        fact("notice", text(notice, "/message"));
    }
    if !list(answer, "/budget").is_empty() {
        let _ = write!(told, "\n{}", entries(list(answer, "/budget")).written(Output::Table));
    }
    told
}

/// The text of a message's content, which is a text or a list of blocks. Other blocks are shown as JSON.
fn readable(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            let shown = blocks.iter().map(|block| match block.get("text") {
                Some(Value::String(text)) => text.clone(),
                _ => block.to_string(),
            });
            shown.collect::<Vec<_>>().join("\n")
        }
        other => other.to_string(),
    }
}

fn called(answer: &Value) -> String {
    let (requested, id) = (text(answer, "/model/requested"), text(answer, "/model/modelId"));
    if requested == id || id.is_empty() { requested } else { format!("{requested} ({id})") }
}

fn tokens(answer: &Value) -> String {
    if answer.get("usage").is_none() {
        return String::new();
    }
    let count = |name: &str| text(answer, &format!("/usage/{name}"));
    let cached = [("cacheReadInputTokens", "from the cache"), ("cacheWriteInputTokens", "to the cache")];
    let mut counted = vec![format!("{} in", count("inputTokens")), format!("{} out", count("outputTokens"))];
    let cached = cached.iter().map(|(name, what)| (count(name), what)).filter(|(count, _)| count != "0");
    counted.extend(cached.map(|(count, what)| format!("{count} {what}")));
    counted.join(", ")
}

fn cost(answer: &Value) -> String {
    match answer.pointer("/cost/priced") {
        Some(Value::Bool(true)) => format!("${}", text(answer, "/cost/usd")),
        Some(_) => "not known: the model has no price".to_owned(),
        None => String::new(),
    }
}

/// The answer as one row of a table, for a spreadsheet.
fn row(answer: &Value) -> Table {
    let names = ["/outcome", "/statusCode", "/error/code", "/tags/requestId", "/model/modelId"];
    let counts = ["/usage/inputTokens", "/usage/outputTokens"];
    let columns = ["outcome", "statusCode", "code", "requestId", "modelId"].map(Column::text).into_iter();
    let columns = columns.chain(["inputTokens", "outputTokens"].map(Column::count)).chain([Column::dollars("usd")]);
    let cells = names.iter().chain(&counts).chain(&["/cost/usd"]).map(|pointer| text(answer, pointer));
    Table { columns: columns.collect(), rows: vec![cells.collect()] }
}

fn foreseen_text(foreseen: &Foreseen, output: Output) -> String {
    let json = foreseen.json();
    match (output, foreseen) {
        (Output::Json, _) => format!("{json:#}\n"),
        (Output::Csv, _) => {
            let columns = ["wouldBe", "code", "modelId", "maxTokens"].map(Column::text).to_vec();
            let cells = ["/wouldBe", "/answer/error/code", "/model", "/maxTokens"].map(|pointer| text(&json, pointer));
            Table { columns, rows: vec![cells.to_vec()] }.written(output)
        }
        (Output::Table, Foreseen::Refused(answer)) => {
            let answer = serde_json::to_value(answer).unwrap_or_default();
            format!("Nothing was sent or written. The answer would be:\n\n{}", told(&answer))
        }
        (Output::Table, Foreseen::Approved { admitted, .. }) => {
            let mut told = "Nothing was sent or written. The request would be admitted:\n\n".to_owned();
            let hold = &admitted.reservation.hold;
            let _ = writeln!(told, "model     {} ({})", admitted.model.requested, admitted.model.model_id);
            let _ = writeln!(told, "hold      {} tokens in, {} tokens out, ${}", hold.input, hold.output, hold.usd);
            for (name, pointer) in [("degraded", "/degraded"), ("observed", "/wouldDeny"), ("notices", "/notices")] {
                let value =
                    json.pointer(pointer).filter(|value| !value.is_null() && **value != Value::Array(Vec::new()));
                if let Some(value) = value {
                    let _ = writeln!(told, "{name:<9} {value}");
                }
            }
            let _ = write!(told, "\n{}", entries(list(&json, "/budget")).written(output));
            told
        }
    }
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The text or number at `pointer`. Empty if there is none.
fn text(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Value {
        json!({"outcome": "Succeeded", "statusCode": 200, "tags": {"requestId": "r1"},
            "model": {"requested": "sales", "modelId": "arn:x"},
            "output": {"message": {"role": "assistant", "content": [{"text": "Yes."}, {"toolUse": {"name": "t"}}]}},
            "usage": {"inputTokens": 21, "outputTokens": 9, "cacheReadInputTokens": 5, "cacheWriteInputTokens": 0},
            "cost": {"usd": "0.000070000", "priced": true},
            "budget": [{"scope": "costCenter#sales", "window": "2026-11", "resetsAt": "2026-12-01T00:00:00Z", "source": "costCenter",
                        "usd": {"limit": "0.20", "used": "0.10", "reserved": "0", "remaining": "0.10"}}]})
    }

    #[test]
    fn an_answer_is_told_with_its_cost_and_its_budget() {
        let told = answer_text(&answer(), Output::Table);
        for part in
            ["Yes.", "toolUse", "sales (arn:x)", "21 in, 9 out, 5 from the cache", "$0.000070000", "costCenter#sales"]
        {
            assert!(told.contains(part), "{part} in {told}");
        }
        assert!(answer_text(&answer(), Output::Csv).ends_with("Succeeded,200,,r1,arn:x,21,9,0.000070000\r\n"));
    }

    #[test]
    fn a_denial_says_why_and_when_to_retry() {
        let error = json!({"code": "BudgetReserved", "message": "Held.", "retryAfterSeconds": 3});
        let told = told(&json!({"outcome": "Denied", "statusCode": 429, "error": error}));
        assert!(told.starts_with("BudgetReserved: Held.\nRetry after 3 seconds.\n"), "{told}");
    }
}
