//! `sentry prove`: shows in the user's own stack that a budget cannot be overrun, or who can bypass the sentry.

mod account;
mod bypass;
mod iam;
mod pattern;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::Utc;
use fn_lookup_limit::{Item, KEY, LimitItems};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use sentry_contract::ErrorCode;
use sentry_contract::request::Tags;
use sentry_contract::states::{LimitsFound, LookupLimitInput};
use sentry_domain::{Amount, ScopeLimit, Usd};
use sentry_ledger::Figures;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::confirm::confirm;
use crate::failure::Failure;
use crate::limits::change::Change;
use crate::limits::store::Store;
use crate::options::{Global, Output};
use crate::output::{Column, Table, print};
use crate::progress;
use crate::stack::Stack;

/// The most output tokens of each request.
const MAX_TOKENS: u32 = 16;
/// Upper bound of the tokens of the prompt, for the price that is told before.
const PROMPT_TOKENS: u64 = 100;

/// Codes of denials because the budget was not known.
const UNDECIDED: [&str; 2] = [ErrorCode::LedgerUnavailable.name(), ErrorCode::UsageUnavailable.name()];
/// Time from the first attempt of a request after which it is not repeated.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(clap::Args)]
pub struct Args {
    /// Number of requests, all at once
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub requests: u32,
    /// Number of requests that the budget has room for
    #[arg(long, default_value_t = 10, value_name = "K", value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub budget: u32,
    /// The model. It needs a limit of its own or a default
    #[arg(long, default_value = "nova-micro", value_name = "MODEL")]
    pub model: String,
    /// List who can bypass the sentry instead, by the file that `aws iam get-account-authorization-details` writes, or `-` for
    /// standard input. Exits with 1 if somebody can
    #[arg(long, value_name = "FILE", conflicts_with_all = ["requests", "budget", "model"])]
    pub iam: Option<PathBuf>,
    /// ARNs of further roles that may call models, because they have a budget of their own. `*` stands for any characters
    #[arg(long, value_name = "ARN", value_delimiter = ',', requires = "iam")]
    pub allowed_role_arns: Vec<String>,
}

/// The answers to the requests, and the figures of the ledger afterwards.
struct Outcome {
    /// The answers by outcome and code.
    counts: BTreeMap<String, usize>,
    succeeded: u64,
    /// Tokens that the answered requests wrote.
    output: u64,
    limit: ScopeLimit,
    figures: Figures,
}

/// Runs the command.
///
/// # Errors
/// If the budget is overrun, something is still held, somebody can bypass the sentry, or AWS cannot be reached.
pub async fn run(global: &Global, args: &Args) -> Result<(), Failure> {
    if let Some(file) = &args.iam {
        return bypass::run(global, file, &args.allowed_role_arns).await;
    }
    let stack = Stack::find(global).await?;
    let application = format!("sentry-prove-{}", Uuid::new_v4().simple());
    let key = format!("application#{application}");
    confirm(global, &question(&stack, args, &key)?)?;
    // The handler is there before anything is written.
    let interrupted = tokio::signal::ctrl_c();
    let outcome = tokio::select! {
        outcome = with_item(&stack, args, &application, &key) => outcome?,
        _ = interrupted => return Err(Failure::Refused(format!(
            "interrupted. Requests can still run for five minutes, so the item {key} stays and limits them. Then remove it: sentry limits rm {key}"
        ))),
    };
    print(&outcome.shown(args, global.output))?;
    match outcome.problem(args) {
        None => Ok(()),
        Some(problem) => Err(Failure::Refused(problem)),
    }
}

/// Adds the item, sends the requests, and removes the item.
async fn with_item(stack: &Stack, args: &Args, application: &str, key: &str) -> Result<Outcome, Failure> {
    let item = item(key, args.budget);
    let store = Store::of(stack)?;
    let writer = store.writer(stack).await?;
    writer.write(&Change { key: key.to_owned(), before: None, after: Some(item.clone()) }, "prove").await?;
    let proved = prove(stack, args, application, &item).await;
    let removed = match store.get(key).await {
        Ok(before) => writer.write(&Change { key: key.to_owned(), before, after: None }, "prove").await,
        Err(failure) => Err(failure),
    };
    if let Err(failure) = removed {
        eprintln!(
            "warning: the item {key} is still in the limits table ({failure}). Remove it: sentry limits rm {key}"
        );
    }
    proved
}

fn question(stack: &Stack, args: &Args, key: &str) -> Result<String, Failure> {
    let resolved = stack.catalogue()?.resolve(&args.model, &stack.region, Utc::now().date_naive()).ok();
    let price = resolved.and_then(|resolved| resolved.model.price);
    let one = price.map(|price| price.most(PROMPT_TOKENS, MAX_TOKENS.into(), sentry_domain::Charges::default()));
    let most = one.map(|usd| Usd::from_picodollars(usd.picodollars().saturating_mul(args.budget.into())));
    let cost = most.map_or_else(|| "an unknown amount".to_owned(), |usd| format!("${usd}"));
    Ok(format!(
        "This adds the limits item {key} for {} requests, sends {} requests to {} at once, and removes the item. It costs at most {cost}. Go on?",
        args.budget, args.requests, args.model
    ))
}

/// The item with room for `budget` requests of [`MAX_TOKENS`].
fn item(key: &str, budget: u32) -> Item {
    let number = |number: u64| AttributeValue::N(number.to_string());
    let limit = HashMap::from([
        ("requests".to_owned(), number(budget.into())),
        ("output".to_owned(), number(u64::from(budget) * u64::from(MAX_TOKENS))),
    ]);
    Item::from([
        (KEY.to_owned(), AttributeValue::S(key.to_owned())),
        ("limit".to_owned(), AttributeValue::M(limit)),
        ("note".to_owned(), AttributeValue::S("made by `sentry prove`, which removes it".to_owned())),
    ])
}

async fn prove(stack: &Stack, args: &Args, application: &str, item: &Item) -> Result<Outcome, Failure> {
    let document = json!({
        "model": args.model,
        "prompt": {
            "messages": [{"role": "user", "content": "Answer with the word yes."}],
            "parameters": {"max_tokens": MAX_TOKENS},
        },
        "tags": {"applicationId": application},
    });
    let bar = progress::bar(args.requests.into(), "requests answered");
    let mut running: FuturesUnordered<_> = (0..args.requests).map(|_| decided(stack, &document)).collect();
    let (mut counts, mut succeeded, mut output) = (BTreeMap::new(), 0, 0);
    while let Some(answer) = running.next().await {
        bar.inc(1);
        let answer =
            answer.unwrap_or_else(|failure| json!({"outcome": "No answer:", "error": {"code": failure.to_string()}}));
        let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let outcome = [text("/outcome"), text("/error/code")].join(" ").trim().to_owned();
        *counts.entry(outcome).or_insert(0) += 1;
        succeeded += u64::from(text("/outcome") == "Succeeded");
        output += answer.pointer("/usage/outputTokens").and_then(Value::as_u64).unwrap_or_default();
    }
    bar.finish_and_clear();
    let limit = limit_of(stack, args, application, item)?;
    let ledger = stack.ledger().await?;
    let figures = ledger.figures(&[&limit], Utc::now()).await;
    let figures = figures.map_err(|error| Failure::unreachable("the ledger cannot be read", &error))?;
    let figures = figures.into_iter().next().unwrap_or_default();
    Ok(Outcome { counts, succeeded, output, limit, figures })
}

/// The answer once the budget was known. A stack in which many functions start at once can deny because it did not reach
/// its ledger in time. Nothing was sent to a model then, and a client would try again.
async fn decided(stack: &Stack, document: &Value) -> Result<Value, Failure> {
    let begun = Instant::now();
    loop {
        let answer = stack.start_sync(document).await?;
        let code = answer.pointer("/error/code").and_then(Value::as_str).unwrap_or_default();
        if !UNDECIDED.contains(&code) || begun.elapsed() > PATIENCE {
            return Ok(answer);
        }
        let seconds = answer.pointer("/error/retryAfterSeconds").and_then(Value::as_u64).unwrap_or(1);
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }
}

/// The limit of the item, as the function reads it.
fn limit_of(stack: &Stack, args: &Args, application: &str, item: &Item) -> Result<ScopeLimit, Failure> {
    let now = Utc::now();
    let unusable = |problem: String| Failure::Refused(format!("{}: {problem}", args.model));
    let resolved = stack.catalogue()?.resolve(&args.model, &stack.region, now.date_naive());
    let model = resolved.map_err(|error| unusable(error.to_string()))?.model;
    let mut tags = Tags::default();
    tags.set(Tags::APPLICATION_ID, application.to_owned());
    let key = format!("application#{application}");
    let open = |key: &str| {
        let mut open = item.clone();
        open.insert(KEY.to_owned(), AttributeValue::S(key.to_owned()));
        (key.to_owned(), open)
    };
    let items = LimitItems::new(HashMap::from([open("default"), open(&key)]), stack.budget_tags()?);
    match items.lookup(&LookupLimitInput { model, tags, fallback: None }, now) {
        LimitsFound::Found { limits } => {
            limits.tags.into_iter().next().ok_or_else(|| unusable("the item does not apply".to_owned()))
        }
        LimitsFound::Denied { denial } => Err(unusable(denial.message)),
    }
}

impl Outcome {
    /// The answers that say nothing about the budget, such as a failure of the model.
    fn beside(&self) -> impl Iterator<Item = (&String, &usize)> {
        let of_budget = ["Succeeded", "Denied BudgetExceeded", "Denied BudgetReserved"];
        self.counts.iter().filter(move |(outcome, _)| !of_budget.contains(&outcome.as_str()))
    }

    /// The problem. `None` if the budget was used up and kept, and nothing is held.
    fn problem(&self, args: &Args) -> Option<String> {
        let Figures { settled, held, .. } = &self.figures;
        let most = u64::from(args.budget);
        if self.succeeded > most || settled.requests > most || self.output > most * u64::from(MAX_TOKENS) {
            return Some(format!(
                "the budget was overrun: {} requests were answered on a budget for {most}",
                self.succeeded
            ));
        }
        if settled.requests < self.succeeded || settled.output < self.output {
            return Some("the ledger has less than was used".to_owned());
        }
        if let Some((outcome, count)) = self.beside().next() {
            return Some(format!("{count} requests ended as {outcome}, which says nothing about the budget"));
        }
        let least = u64::from(args.requests).min(most);
        if self.succeeded < least {
            let succeeded = self.succeeded;
            return Some(format!("only {succeeded} of {least} requests were answered, so the budget was not used up"));
        }
        if *held != Amount::ZERO {
            return Some(
                "requests are still held. They expire after HoldSeconds; then run `sentry budget` again".to_owned(),
            );
        }
        None
    }

    fn shown(&self, args: &Args, output: Output) -> String {
        let Figures { settled, held, .. } = &self.figures;
        if output != Output::Table {
            let mut rows: Vec<Vec<String>> =
                self.counts.iter().map(|(outcome, count)| vec![outcome.clone(), count.to_string()]).collect();
            let ledger = [("limit", u64::from(args.budget)), ("settled", settled.requests), ("held", held.requests)];
            rows.extend(ledger.map(|(name, count)| vec![format!("ledger: {name}"), count.to_string()]));
            return Table { columns: vec![Column::text("what"), Column::count("requests")], rows }.written(output);
        }
        let rows = self.counts.iter().map(|(outcome, count)| vec![outcome.clone(), count.to_string()]).collect();
        let answers = Table { columns: vec![Column::text("answer"), Column::count("requests")], rows };
        let ledger = Table {
            columns: ["ledger", "limit", "settled", "held"].map(Column::text).to_vec(),
            rows: vec![
                [
                    "requests".to_owned(),
                    args.budget.to_string(),
                    settled.requests.to_string(),
                    held.requests.to_string(),
                ]
                .to_vec(),
                [
                    "output".to_owned(),
                    (args.budget * MAX_TOKENS).to_string(),
                    settled.output.to_string(),
                    held.output.to_string(),
                ]
                .to_vec(),
            ],
        };
        let verdict = match self.problem(args) {
            None => format!(
                "The budget of {} held: {} of {} requests were admitted.",
                self.limit.scope, self.succeeded, args.requests
            ),
            Some(problem) => format!("NOT PROVED: {problem}."),
        };
        format!("{}\n{}\n{verdict}\n", answers.written(output), ledger.written(output))
    }
}

#[cfg(test)]
mod tests {
    use sentry_domain::Limits;

    use super::*;

    fn of(requests: u32, budget: u32) -> Args {
        Args { requests, budget, model: "m".to_owned(), iam: None, allowed_role_arns: Vec::new() }
    }

    fn outcome(succeeded: u64, settled: u64, held: u64) -> Outcome {
        let amount = |requests| Amount { requests, output: requests, ..Amount::ZERO };
        Outcome {
            counts: BTreeMap::from([("Succeeded".to_owned(), 1), ("Denied BudgetExceeded".to_owned(), 2)]),
            succeeded,
            output: succeeded,
            limit: test_support::limit("application#x", Limits { requests: Some(10), ..Limits::default() }, 1),
            figures: Figures { settled: amount(settled), held: amount(held), ..Figures::default() },
        }
    }

    #[test]
    fn an_overrun_a_loss_and_a_hold_that_stays_are_found() {
        let args = of(100, 10);
        assert_eq!(outcome(10, 10, 0).problem(&args), None);
        assert!(outcome(11, 11, 0).problem(&args).unwrap().contains("overrun"));
        assert!(outcome(10, 11, 0).problem(&args).unwrap().contains("overrun"));
        assert!(outcome(10, 9, 0).problem(&args).unwrap().contains("less"));
        assert!(outcome(10, 10, 1).problem(&args).unwrap().contains("held"));
        assert!(outcome(11, 11, 0).shown(&args, Output::Table).contains("NOT PROVED"));
    }

    #[test]
    fn requests_that_never_met_the_budget_prove_nothing() {
        let args = of(100, 10);
        assert!(outcome(0, 0, 0).problem(&args).unwrap().contains("only 0 of 10"));
        assert_eq!(outcome(0, 0, 0).problem(&Args { budget: 0, ..args }), None);
        let args = of(3, 10);
        assert_eq!(outcome(3, 3, 0).problem(&args), None);
        for other in
            ["No answer", "Denied LimitNotConfigured", "InvocationFailed ModelAccessDenied", "Invalid UnknownModel"]
        {
            let mut failed = outcome(3, 3, 0);
            failed.counts.insert(other.to_owned(), 1);
            assert!(failed.problem(&args).unwrap().contains(other));
        }
    }
}
