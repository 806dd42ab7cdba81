//! `sentry status`: one screen that says if the stack is sound.

mod alarms;
mod bill;
mod check;
mod deployment;
mod doors;
mod fresh;
mod models;

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, Utc};
use fn_lookup_limit::Item;
use sentry_report::DaysByScope;

use self::bill::ProfileTags;
use self::check::{Check, Gap, Seen, State};
use crate::failure::Failure;
use crate::limits::bulk;
use crate::limits::store::Store;
use crate::options::{Global, Output};
use crate::output::{Column, Table, print};
use crate::profiles::directory::{self, Profile};
use crate::stack::{Resource, Stack};

/// Key of the cost allocation tag of a stack without the parameter.
const TAG_KEY: &str = "costCenter";

/// Runs the command.
///
/// # Errors
/// If there is a fault, there is no stack, or AWS cannot be reached.
pub async fn run(global: &Global) -> Result<(), Failure> {
    let stack = Stack::find(global).await?;
    let checks = checks(&stack, Utc::now()).await?;
    print(&written(&checks, global.output))?;
    let faults = checks.iter().filter(|check| check.state == State::Fault).count();
    if faults > 0 {
        let names: Vec<&str> = checks.iter().filter(|it| it.state == State::Fault).map(|it| it.name).collect();
        return Err(Failure::Refused(format!(
            "{faults} of {} checks found a fault: {}",
            checks.len(),
            names.join(", ")
        )));
    }
    Ok(())
}

/// Facts that several checks need.
struct Read {
    resources: Seen<Vec<Resource>>,
    history: Seen<DaysByScope>,
    limits: Seen<BTreeMap<String, Item>>,
    profiles: Seen<Vec<Profile>>,
    tags: Seen<ProfileTags>,
}

async fn read(stack: &Stack, now: DateTime<Utc>) -> Read {
    let (bedrock, tagging) = (stack.bedrock(), stack.tagging());
    let (resources, history, limits, profiles, tags) = tokio::join!(
        stack.resources(),
        history(stack, now),
        limits(stack),
        directory::profiles(&bedrock),
        directory::all_tags(&tagging)
    );
    Read {
        resources: resources.map_err(|failure| Gap::of("cloudformation:ListStackResources", &failure)),
        history: history.map_err(|failure| Gap::of("dynamodb:Scan on the usage table", &failure)),
        limits: limits.map_err(|failure| Gap::of("dynamodb:Scan on the limits table", &failure)),
        profiles: profiles.map_err(|failure| Gap::of("bedrock:ListInferenceProfiles", &failure)),
        tags: tags.map_err(|failure| Gap::of("tag:GetResources", &failure)),
    }
}

async fn history(stack: &Stack, now: DateTime<Utc>) -> Result<DaysByScope, Failure> {
    let today = now.date_naive();
    let days = stack.history()?.all_days(today.with_day(1).unwrap_or(today), today).await;
    let days = days.map_err(|error| Failure::unreachable("the usage history cannot be read", &error))?;
    for damaged in &days.damaged {
        eprintln!("warning: {damaged}; its figures are missing");
    }
    Ok(days.by_scope)
}

async fn limits(stack: &Stack) -> Result<BTreeMap<String, Item>, Failure> {
    Store::of(stack)?.all().await
}

async fn checks(stack: &Stack, now: DateTime<Utc>) -> Result<Vec<Check>, Failure> {
    let read = read(stack, now).await;
    let mut checks = of_stack(stack, &read, now).await;
    checks.extend(of_use(stack, &read, now).await?);
    Ok(checks)
}

/// The checks of the stack itself.
async fn of_stack(stack: &Stack, read: &Read, now: DateTime<Utc>) -> Vec<Check> {
    let prefix = format!("{}-", stack.name);
    let cloudwatch = stack.cloudwatch();
    let (workflows, metrics, queue, dead, requests, dead_requests, alarms) = tokio::join!(
        deployment::workflows(stack),
        fresh::metrics(stack, &read.resources, now),
        fresh::depth(stack, "MetricsQueueUrl"),
        fresh::depth(stack, "MetricsDeadLetterQueueUrl"),
        doors::depth(stack, "RequestQueueUrl"),
        doors::depth(stack, "RequestDeadLetterQueueUrl"),
        alarms::read(&cloudwatch, &prefix)
    );
    let alarms = alarms.map(|alarms| alarms::own(alarms, &read.resources));
    vec![
        deployment::deployed("stack", &stack.deployed, &read.resources),
        deployment::parameters("parameters", stack),
        Check::of("workflows", &workflows, |it| deployment::wired("workflows", it, &read.resources)),
        Check::of("functions", &read.resources, |it| deployment::functions("functions", it)),
        Check::of("decisions", &metrics, |it| fresh::decisions("decisions", it, now)),
        Check::of("metric queue", &queue, |it| fresh::queue("metric queue", *it, &metrics)),
        Check::of("dead letters", &dead, |it| fresh::dead_letters("dead letters", *it)),
        Check::of("request queue", &requests, |it| doors::requests("request queue", *it)),
        Check::of("dead requests", &dead_requests, |it| doors::dead_requests("dead requests", *it)),
        doors::gateway("gateway", stack),
        Check::of("sweep", &metrics, |it| fresh::sweep("sweep", it, stack.deployed.at, now)),
        Check::of("alarms", &alarms, |it| alarms::states("alarms", it, &prefix)),
        Check::of("notifications", &alarms, |it| alarms::heard("notifications", it)),
    ]
}

/// The checks of limits, models and the bill.
async fn of_use(stack: &Stack, read: &Read, now: DateTime<Utc>) -> Result<Vec<Check>, Failure> {
    let today = now.date_naive();
    let key = stack.parameter("CostAllocationTag").unwrap_or(TAG_KEY);
    let cost_explorer = stack.cost_explorer();
    let names = models::names(&read.history, &read.limits);
    let (problems, in_use, tag) = tokio::join!(
        problems(stack, &read.limits),
        models::in_use(stack, names, &read.profiles, today),
        bill::allocation_tag(&cost_explorer, key)
    );
    let catalogue = stack.catalogue()?;
    Ok(vec![
        Check::of("limits", &problems, |(count, problems)| models::limits("limits", *count, problems)),
        Check::of("bypass", &read.history, |it| models::bypassed("bypass", it)),
        Check::of("model ends", &in_use, |it| models::ends("model ends", it)),
        Check::of("prices", &in_use, |it| models::prices("prices", it, &catalogue, &stack.region, today)),
        Check::of("profiles", &read.profiles, |it| bill::quota("profiles", it)),
        Check::of("profile tags", &both(&read.profiles, &read.tags), |(profiles, tags)| {
            bill::profile_tags("profile tags", profiles, tags, now)
        }),
        Check::of("no profile", &read.history, |it| models::without_profile("no profile", it)),
        Check::of("cost tag", &tag, |it| bill::allocation("cost tag", key, it.as_ref())),
    ])
}

fn both<'s, A, B>(a: &'s Seen<A>, b: &'s Seen<B>) -> Seen<(&'s A, &'s B)> {
    match (a, b) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (Err(gap), _) | (_, Err(gap)) => Err(gap.clone()),
    }
}

/// The number of limits, and those that no request can reach or that are malformed.
async fn problems(stack: &Stack, limits: &Seen<BTreeMap<String, Item>>) -> Seen<(usize, Vec<(String, String)>)> {
    let limits = limits.as_ref().map_err(Clone::clone)?;
    let problems = bulk::problems(stack, limits).await;
    let needed = "dynamodb:GetItem and dynamodb:Scan on the catalogue table, and bedrock:GetInferenceProfile";
    Ok((limits.len(), problems.map_err(|failure| Gap::of(needed, &failure))?))
}

fn written(checks: &[Check], output: Output) -> String {
    if output != Output::Table {
        let rows = checks.iter().map(|check| {
            let state = check.state.word().to_lowercase();
            vec![check.name.to_owned(), state, check.finding.clone(), check.todo.clone()]
        });
        let columns = ["check", "state", "finding", "todo"].map(Column::text).to_vec();
        return Table { columns, rows: rows.collect() }.written(output);
    }
    let rows = checks.iter().map(|check| {
        let todo = if check.todo.is_empty() { String::new() } else { format!(". To do: {}", check.todo) };
        vec![check.name.to_owned(), check.state.word().to_owned(), format!("{}{todo}", check.finding)]
    });
    let table = Table { columns: ["check", "state", "finding"].map(Column::text).to_vec(), rows: rows.collect() };
    let count = |state| checks.iter().filter(|check| check.state == state).count();
    format!(
        "{}\nok {}, warning {}, fault {}, unknown {}\n",
        table.written(output),
        count(State::Ok),
        count(State::Warning),
        count(State::Fault),
        count(State::Unknown)
    )
}
