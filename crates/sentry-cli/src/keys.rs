//! `sentry keys`: the keys of the gateway's clients.

use chrono::{DateTime, SecondsFormat, Utc};
use sentry_keys::{Key, KeyHash, KeyRecord, KeysTable, KeysUnavailable, Principal};

use crate::confirm::confirm;
use crate::failure::Failure;
use crate::options::Global;
use crate::output::{Column, Table, print};
use crate::profiles::record;
use crate::stack::Stack;
use crate::stop::moment;

/// The fewest digits by which a key can be named.
const LEAST_DIGITS: usize = 6;

#[derive(clap::Subcommand)]
pub enum Task {
    /// Create a key, and show it once. Only its hash is stored
    ///
    /// With --principal, no key is made. The record then gives an IAM role or user its tags at the gateway's address for principals.
    ///
    /// Every request with the key has its tags. A tag that the key does not have may be given by the client.
    ///
    /// Example:
    ///   sentry keys create --application helper --cost-center support --expires 90d
    ///   sentry keys create --principal arn:aws:iam::123456789012:role/helper \
    ///     --application helper --cost-center support
    #[command(verbatim_doc_comment)]
    #[allow(clippy::doc_markdown, reason = "the text of --help has no Markdown")]
    Create(CreateArgs),
    /// Show all keys: their tags, models and state, but not the keys themselves
    List,
    /// Turn a key off. The next request with it is refused
    Disable(NamedArgs),
    /// Delete a key for good
    Rm(NamedArgs),
}

#[derive(clap::Args)]
pub struct CreateArgs {
    /// The tag applicationId of the key's requests
    #[arg(long, value_name = "ID")]
    application: String,
    /// The tag costCenter of the key's requests
    #[arg(long, value_name = "NAME")]
    cost_center: String,
    /// The tag environment of the key's requests [default: the client may state it]
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// The tag userId of the key's requests [default: the client may state it]
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// Models that the key may use: aliases, ids or ARNs, with commas [default: all but application inference profiles]
    #[arg(long, value_name = "MODEL", value_delimiter = ',')]
    models: Option<Vec<String>>,
    /// The end of the key: an instant, a UTC day such as 2026-12-01, or a time from now such as 30m, 2h, 90d [default: never]
    #[arg(long, value_name = "MOMENT")]
    expires: Option<String>,
    /// The ARN of an IAM role or user that the record is for, instead of a key. Its path does not count
    #[arg(long, value_name = "ARN")]
    principal: Option<String>,
    /// A remark, such as the owner of the key
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

#[derive(clap::Args)]
pub struct NamedArgs {
    /// The key's id in `sentry keys list`, or its first digits
    id: String,
}

/// Creates, lists, disables or removes keys.
pub async fn run(global: &Global, task: &Task) -> Result<(), Failure> {
    match task {
        Task::Create(args) => create(global, args).await,
        Task::List => list(global).await,
        Task::Disable(args) => disable(global, &args.id).await,
        Task::Rm(args) => remove(global, &args.id).await,
    }
}

async fn create(global: &Global, args: &CreateArgs) -> Result<(), Failure> {
    let now = Utc::now();
    let expires_at = args.expires.as_deref().map(|moment_text| moment(moment_text, now)).transpose()?;
    check(args)?;
    let principal = args.principal.as_deref().map(principal).transpose()?;
    let table = table(global).await?;
    let key = Key::random();
    let stored = KeyRecord {
        hash: principal.as_ref().map_or_else(|| key.hash(), Principal::hash),
        principal,
        application_id: args.application.clone(),
        cost_center: Some(args.cost_center.clone()),
        environment: args.environment.clone(),
        user_id: args.user.clone(),
        models: args.models.clone(),
        expires_at,
        enabled: true,
        created_at: Some(now),
        note: args.note.clone(),
    };
    let id = stored.hash.short().to_owned();
    let stored_already = |error: KeysUnavailable| match (error.code(), &stored.principal) {
        (Some("ConditionalCheckFailedException"), Some(principal)) => {
            let arn = principal.arn();
            Failure::Conflict(format!("{arn} has the record {id} already; `sentry keys rm {id}` deletes it"))
        }
        _ => unreachable(&error),
    };
    table.add(&stored).await.map_err(stored_already)?;
    if let Some(principal) = &stored.principal {
        let shown = [("id", id), ("principal", principal.arn().to_owned()), ("expires", written(expires_at))];
        return print(&record(&shown, global.output));
    }
    print(&record(&[("id", id), ("key", key.reveal().to_owned()), ("expires", written(expires_at))], global.output))?;
    eprintln!("Keep the key now. It is not stored, and cannot be shown again");
    Ok(())
}

/// The principal with this ARN.
fn principal(arn: &str) -> Result<Principal, Failure> {
    let form = "such as arn:aws:iam::123456789012:role/helper";
    Principal::parse(arn).ok_or_else(|| Failure::Usage(format!("--principal is no ARN of an IAM role or user, {form}")))
}

/// Tags must have the form that requests need, or no request with the key would be accepted.
fn check(args: &CreateArgs) -> Result<(), Failure> {
    let tags = [
        ("--application", Some(&args.application)),
        ("--cost-center", Some(&args.cost_center)),
        ("--environment", args.environment.as_ref()),
        ("--user", args.user.as_ref()),
    ];
    for (option, value) in tags {
        let Some(value) = value else { continue };
        if value.trim() != value || !(1..=255).contains(&value.chars().count()) || value.chars().any(char::is_control) {
            let problem = "must have 1 to 255 characters, without control characters and spaces at its ends";
            return Err(Failure::Usage(format!("{option} {problem}")));
        }
    }
    if args.models.as_ref().is_some_and(|models| models.iter().any(|model| model.trim().is_empty())) {
        return Err(Failure::Usage("--models has an empty name".to_owned()));
    }
    Ok(())
}

async fn list(global: &Global) -> Result<(), Failure> {
    let mut keys = Vec::new();
    for found in table(global).await?.all().await.map_err(|error| unreachable(&error))? {
        match found {
            Ok(key) => keys.push(key),
            Err(invalid) => eprintln!("note: an item of the table is no key, and is refused: {invalid}"),
        }
    }
    keys.sort_by(|one, other| (&one.application_id, &one.hash).cmp(&(&other.application_id, &other.hash)));
    let names = ["id", "application", "costCenter", "environment", "user", "models", "expires", "state", "principal"];
    let now = Utc::now();
    let rows = keys.iter().map(|key| row(key, now)).collect();
    Table { columns: names.map(Column::text).to_vec(), rows }.print(global.output)
}

fn row(key: &KeyRecord, now: DateTime<Utc>) -> Vec<String> {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let state = match (key.enabled, key.is_valid(now)) {
        (false, _) => "disabled",
        (true, false) => "expired",
        (true, true) => "valid",
    };
    vec![
        key.hash.short().to_owned(),
        key.application_id.clone(),
        text(&key.cost_center),
        text(&key.environment),
        text(&key.user_id),
        key.models.as_ref().map(|models| models.join(" ")).unwrap_or_default(),
        written(key.expires_at),
        state.to_owned(),
        key.principal.as_ref().map(|principal| principal.arn().to_owned()).unwrap_or_default(),
    ]
}

fn written(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(|| "never".to_owned(), |at| at.to_rfc3339_opts(SecondsFormat::Secs, true))
}

async fn disable(global: &Global, id: &str) -> Result<(), Failure> {
    let table = table(global).await?;
    let key = named(&table, id).await?;
    let short = key.hash.short();
    if !key.enabled {
        eprintln!("{short} is disabled already. Nothing was changed");
        return Ok(());
    }
    confirm(global, &format!("Disable the key {short} of {}? Its next request is refused.", key.application_id))?;
    if table.disable(&key.hash).await.map_err(|error| unreachable(&error))? {
        return Ok(());
    }
    Err(Failure::Conflict(format!("the key {short} was deleted meanwhile")))
}

async fn remove(global: &Global, id: &str) -> Result<(), Failure> {
    let table = table(global).await?;
    let key = named(&table, id).await?;
    let short = key.hash.short();
    confirm(global, &format!("Delete the key {short} of {}? It cannot be made again.", key.application_id))?;
    table.remove(&key.hash).await.map_err(|error| unreachable(&error))
}

/// The only key whose id begins with `id`.
async fn named(table: &KeysTable, id: &str) -> Result<KeyRecord, Failure> {
    if id.len() < LEAST_DIGITS {
        return Err(Failure::Usage(format!("give at least {LEAST_DIGITS} digits of the key's id")));
    }
    // Somebody may only have the key itself.
    let id = Key::parse(id).map_or_else(|| id.to_owned(), |key| key.hash().0);
    let all = table.all().await.map_err(|error| unreachable(&error))?;
    let mut found = all.into_iter().flatten().filter(|key| key.hash.0.starts_with(&id));
    match (found.next(), found.next()) {
        (Some(key), None) => Ok(key),
        (None, _) => {
            let id = KeyHash(id);
            Err(Failure::Refused(format!("there is no key {}. `sentry keys list` shows all", id.short())))
        }
        (Some(_), Some(_)) => Err(Failure::Refused(format!("several keys begin with {id}; give more digits"))),
    }
}

async fn table(global: &Global) -> Result<KeysTable, Failure> {
    let stack = Stack::find(global).await?;
    let name = stack.output("KeysTableName").map_err(|_| {
        Failure::Refused(format!("the stack {} has no gateway; deploy it with the parameter Gateway=on", stack.name))
    })?;
    Ok(KeysTable::new(stack.dynamodb(), name.to_owned()))
}

/// The failure of a call. An answer of AWS is a refusal.
fn unreachable(error: &KeysUnavailable) -> Failure {
    let doing = "the table of keys cannot be used";
    match error.code() {
        Some(code) => Failure::Refused(format!("{doing}: AWS answered {code}")),
        None => Failure::unreachable(doing, error),
    }
}
