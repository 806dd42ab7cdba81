//! `sentry prove --iam`: who in the account can bypass the sentry, and the policy that closes it.

use std::path::Path;

use super::account::{Account, Kind, Principal};
use super::iam::{Opening, Request, Statement, openings};
use super::pattern::arn_fits;
use crate::failure::Failure;
use crate::limits::yaml::{self, Node, Value};
use crate::options::{Global, Output};
use crate::output::{Column, Table, print};
use crate::stack::Stack;

/// The template that denies all ways to bypass the sentry. Its list of actions is the only one.
const TEMPLATE: &str = include_str!("../../../../templates/close-ways-round.yaml");
/// All resources of Bedrock, also those of `bedrock-mantle`.
const ANY_OF_BEDROCK: &str = "arn:*:bedrock*:*:*:*";
const ROLE: &str = "AWS::IAM::Role";
/// Roles of the stack that must call models.
const CALLERS: [&str; 4] = ["InvokeModelRole", "RateLimiterRole", "ModelRouterRole", "GatewayRole"];
/// The parts of an account that the file does not have, in lines that fit a terminal.
const UNSEEN: &str = "\
IAM alone does not show policies of the organization, of resources and of VPC
endpoints, session policies, other accounts, and the root user. Not listed is
who may change policies, or the roles and functions of the stack. Beside users
named bedrock-api-key-…, it does not show who has a Bedrock API key.
";

/// A way to a model.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Way {
    /// The resource that the way leads through, such as `the model router`.
    through: &'static str,
    action: String,
    resources: Vec<String>,
}

/// The resources of the stack that a call can lead through, and those that may call models.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sentry {
    rate_limiter: String,
    model_router: Option<String>,
    function: String,
    /// Names of all roles of the stack.
    roles: Vec<String>,
    /// ARNs of the roles that must call models.
    callers: Vec<String>,
}

/// A way that a principal has.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    principal: String,
    kind: String,
    through: &'static str,
    action: String,
    policy: String,
    statement: String,
    is_conditional: bool,
    /// `false` for a service-linked role, which no policy of the account restricts.
    counts: bool,
}

/// Runs the command.
///
/// # Errors
/// If somebody can bypass the sentry, the file cannot be read, or AWS cannot be reached.
pub async fn run(global: &Global, file: &Path, allowed: &[String]) -> Result<(), Failure> {
    let told = |problem: String| Failure::Refused(format!("the file {}: {problem}", file.display()));
    let is_piped = file == Path::new("-");
    let text = if is_piped { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(file) };
    let text = text.map_err(|error| told(format!("it cannot be read: {error}")))?;
    let account = Account::read(&text).map_err(told)?;
    let stack = Stack::find(global).await?;
    let sentry = Sentry::of(&stack).await?;
    if let Some(principal) =
        account.principals.iter().find(|it| account_of(&it.arn) != account_of(&sentry.rate_limiter))
    {
        return Err(told(format!(
            "it has {}, and the stack is in the account {}. Read the account of the stack",
            principal.arn,
            account_of(&sentry.rate_limiter)
        )));
    }
    let rows = rows(&account, &sentry, &actions().map_err(Failure::Refused)?, allowed);
    print(&written(&rows, global.output))?;
    let mut principals: Vec<&str> = rows.iter().filter(|row| row.counts).map(|row| row.principal.as_str()).collect();
    principals.dedup();
    let command = sentry.command(&stack, allowed);
    let notes = if principals.is_empty() {
        format!("Nobody else of {} users and roles can bypass the sentry.\n\n{UNSEEN}", account.principals.len())
    } else {
        format!(
            "{UNSEEN}\nThis makes the policy that denies all of it:\n\n{command}\n\nAttach it as docs/OPERATIONS.md says.\n"
        )
    };
    if global.output == Output::Table {
        print(&format!("\n{notes}"))?;
    } else {
        eprint!("{notes}");
    }
    if principals.is_empty() {
        return Ok(());
    }
    Err(Failure::Refused(format!(
        "{} of {} users and roles can bypass the sentry, or cannot be judged",
        principals.len(),
        account.principals.len()
    )))
}

fn account_of(arn: &str) -> &str {
    arn.split(':').nth(4).unwrap_or_default()
}

impl Sentry {
    async fn of(stack: &Stack) -> Result<Self, Failure> {
        let rate_limiter = stack.output("RateLimiterArn")?.to_owned();
        let resources = stack.resources().await?;
        let part = |place: usize| rate_limiter.split(':').nth(place).unwrap_or_default();
        let (partition, region, account) = (part(1), part(3), part(4));
        let physical = |logical_id: &str| {
            let found = resources.iter().find(|resource| resource.logical_id == logical_id);
            found.map(|resource| resource.physical_id.clone())
        };
        let function = physical("InvokeModelFunction")
            .ok_or_else(|| Failure::Refused(format!("the stack {} has no InvokeModelFunction", stack.name)))?;
        let callers = CALLERS.into_iter().filter_map(physical);
        Ok(Self {
            function: format!("arn:{partition}:lambda:{region}:{account}:function:{function}"),
            model_router: stack.output("ModelRouterArn").ok().map(str::to_owned),
            callers: callers.map(|name| format!("arn:{partition}:iam::{account}:role/{name}")).collect(),
            roles: resources.iter().filter(|it| it.kind == ROLE).map(|it| it.physical_id.clone()).collect(),
            rate_limiter,
        })
    }

    /// The command that deploys the template for this stack.
    fn command(&self, stack: &Stack, allowed: &[String]) -> String {
        let roles: Vec<&str> = self.callers.iter().chain(allowed).map(String::as_str).collect();
        let router = self.model_router.as_ref().map(|arn| format!(" \\\n  ModelRouterArn={arn}")).unwrap_or_default();
        format!(
            "aws cloudformation deploy --region {} --template-file templates/close-ways-round.yaml \\\n  --stack-name close-ways-round \
             --capabilities CAPABILITY_IAM --parameter-overrides \\\n  RateLimiterArn={}{router} \\\n  InvokeModelFunctionArn={} \\\n  \
             AllowedRoleArns={}",
            stack.region,
            self.rate_limiter,
            self.function,
            roles.join(",")
        )
    }

    /// All ways, with the actions of the template.
    fn ways(&self, actions: &Actions) -> Vec<Way> {
        let of = |arn: &str| vec![arn.to_owned(), format!("{arn}:*")];
        let bedrock = actions.bedrock.iter().map(|action| Way {
            through: "Bedrock",
            action: action.clone(),
            resources: vec![ANY_OF_BEDROCK.to_owned()],
        });
        let function =
            Way { through: "the function", action: "lambda:InvokeFunction".to_owned(), resources: of(&self.function) };
        let twice = Way {
            through: "the rate limiter",
            action: "states:StartExecution".to_owned(),
            resources: of(&self.rate_limiter),
        };
        let router = self.model_router.iter().flat_map(|arn| {
            let of_action = |action: &String| Way { through: "the router", action: action.clone(), resources: of(arn) };
            actions.workflow.iter().map(of_action)
        });
        bedrock.chain([function, twice]).chain(router).collect()
    }
}

/// The actions that the template denies.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Actions {
    bedrock: Vec<String>,
    workflow: Vec<String>,
}

/// Reads the actions from the template. Only its mapping is read, because the rest has CloudFormation's own tags.
fn actions() -> Result<Actions, String> {
    let missing = || "the list of actions in close-ways-round.yaml cannot be read".to_owned();
    let (_, mapping) = TEMPLATE.split_once("\nMappings:\n").ok_or_else(missing)?;
    let (mapping, _) = mapping.split_once("\nResources:\n").ok_or_else(missing)?;
    let root = yaml::read(mapping).map_err(|invalid| invalid.to_string())?;
    let lists = field(&root, "Denied").and_then(|denied| field(denied, "Actions"));
    let list = |name| {
        let Value::List(nodes) = &field(lists?, name)?.value else { return None };
        nodes.iter().map(|node| if let Value::Text(text) = &node.value { Some(text.clone()) } else { None }).collect()
    };
    Ok(Actions { bedrock: list("Bedrock").ok_or_else(missing)?, workflow: list("Workflow").ok_or_else(missing)? })
}

fn field<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    let Value::Map(fields) = &node.value else { return None };
    fields.iter().find(|field| field.name == name).map(|field| &field.node)
}

fn rows(account: &Account, sentry: &Sentry, actions: &Actions, allowed: &[String]) -> Vec<Row> {
    let ways = sentry.ways(actions);
    let is_allowed = |principal: &Principal| {
        let is_role = !matches!(principal.kind, Kind::User | Kind::ApiKey);
        is_role && sentry.roles.contains(&principal.name)
            || allowed.iter().any(|pattern| arn_fits(pattern, &principal.arn))
    };
    let others = account.principals.iter().filter(|principal| !is_allowed(principal));
    others.flat_map(|principal| of_principal(principal, &ways)).collect()
}

fn of_principal(principal: &Principal, ways: &[Way]) -> Vec<Row> {
    // The names of policies beside the statements of all of them.
    let policies: Vec<&str> =
        principal.grants.iter().flat_map(|grant| grant.statements.iter().map(|_| grant.policy.as_str())).collect();
    let statements: Vec<Statement> = principal.grants.iter().flat_map(|grant| grant.statements.clone()).collect();
    let row = |through, action: &str, policy: &str, statement: &str, is_conditional| Row {
        principal: principal.arn.clone(),
        kind: principal.kind.word(),
        through,
        action: action.to_owned(),
        policy: policy.to_owned(),
        statement: statement.to_owned(),
        is_conditional,
        counts: principal.kind != Kind::ServiceLinkedRole,
    };
    let mut rows = Vec::new();
    for way in ways {
        let mut found: Vec<Opening> = Vec::new();
        for resource in &way.resources {
            let request = Request { action: way.action.clone(), resource: resource.clone() };
            for opening in openings(&statements, principal.boundary.as_deref(), &principal.arn, &request) {
                match found.iter_mut().find(|it| it.statement == opening.statement) {
                    Some(known) => known.is_conditional &= opening.is_conditional,
                    None => found.push(opening),
                }
            }
        }
        for Opening { statement, is_conditional } in found {
            let policy = policies.get(statement).copied().unwrap_or_default();
            let name = statements.get(statement).map(|it| it.name.as_str()).unwrap_or_default();
            rows.push(row(way.through, &way.action, policy, name, is_conditional));
        }
    }
    rows.extend(principal.unknown.iter().map(|reason| row("not known", "", reason, "", false)));
    rows
}

fn written(rows: &[Row], output: Output) -> String {
    if output == Output::Table {
        return if rows.is_empty() { String::new() } else { grouped(rows).written(output) };
    }
    let cells = rows.iter().map(|row| {
        let conditions = if row.is_conditional { "yes" } else { "no" };
        [&row.principal, &row.kind, row.through, &row.action, &row.policy, &row.statement, conditions]
            .map(str::to_owned)
            .to_vec()
    });
    let columns =
        ["principal", "kind", "through", "action", "policy", "statement", "conditions"].map(Column::text).to_vec();
    Table { rows: cells.collect(), columns }.written(output)
}

/// One line for all that a statement allows.
fn grouped(rows: &[Row]) -> Table {
    let mut lines: Vec<Vec<&Row>> = Vec::new();
    for row in rows {
        let key = |row: &Row| (row.principal.clone(), row.policy.clone(), row.statement.clone(), row.is_conditional);
        match lines.iter_mut().find(|line| line.first().is_some_and(|first| key(first) == key(row))) {
            Some(line) => line.push(row),
            None => lines.push(vec![row]),
        }
    }
    let shown = lines.iter().filter_map(|line| {
        let first = line.first()?;
        let name = first.principal.rsplit('/').next().unwrap_or_default();
        let statement =
            if first.statement.is_empty() { String::new() } else { format!(", statement {}", first.statement) };
        let conditions = if first.is_conditional { ", with conditions" } else { "" };
        Some(vec![
            name.to_owned(),
            first.kind.clone(),
            ways_of(line),
            format!("{}{statement}{conditions}", first.policy),
        ])
    });
    Table { columns: ["principal", "kind", "way", "allowed by"].map(Column::text).to_vec(), rows: shown.collect() }
}

/// The ways of `rows`, with one action of each.
fn ways_of(rows: &[&Row]) -> String {
    let mut told: Vec<String> = Vec::new();
    for (place, row) in rows.iter().enumerate() {
        if rows.iter().take(place).any(|before| before.through == row.through) {
            continue;
        }
        let count = rows.iter().filter(|other| other.through == row.through).count();
        let action = row.action.rsplit(':').next().unwrap_or_default();
        told.push(match count {
            _ if action.is_empty() => row.through.to_owned(),
            1 => format!("{} ({action})", row.through),
            _ => format!("{} ({action} and {} more)", row.through, count - 1),
        });
    }
    told.join(", ")
}

#[cfg(test)]
#[path = "bypass_tests.rs"]
mod tests;
