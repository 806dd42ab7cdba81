//! Is the stack deployed, and are its workflows and functions wired to each other.

use std::collections::BTreeSet;

use aws_sdk_sfn::operation::describe_state_machine::DescribeStateMachineError;
use futures_util::future::join_all;

use super::check::{Check, Gap, Seen, some_of};
use crate::failure::Failure;
use crate::stack::{Deployed, Resource, Stack};

const FUNCTION: &str = "AWS::Lambda::Function";
/// Outputs that the commands and clients need. A stack without one is older than this program.
const OUTPUTS: [&str; 7] = [
    "RateLimiterArn",
    "LimitsTableName",
    "CatalogueTableName",
    "LedgerTableName",
    "UsageTableName",
    "MetricsQueueUrl",
    "MetricsDeadLetterQueueUrl",
];
/// Parameters that change what the sentry does with a request.
const PARAMETERS: [&str; 5] =
    ["ModelInvocation", "ProfilePolicy", "UsageCacheSeconds", "HoldSeconds", "DiscountPercent"];

/// The state of the stack, judged by CloudFormation's words.
pub fn deployed(name: &'static str, deployed: &Deployed, resources: &Seen<Vec<Resource>>) -> Check {
    let Deployed { status, reason, at } = deployed;
    let at = at.map(|at| format!(" since {}", at.format("%Y-%m-%d %H:%M UTC"))).unwrap_or_default();
    let reason =
        reason.as_ref().filter(|reason| !reason.is_empty()).map(|reason| format!(" ({reason})")).unwrap_or_default();
    let finding = format!("{status}{at}{reason}");
    if let Ok(resources) = resources {
        let failed: Vec<&str> = resources
            .iter()
            .filter(|resource| resource.status.ends_with("_FAILED"))
            .map(|resource| resource.logical_id.as_str())
            .collect();
        if !failed.is_empty() {
            let finding = format!("{finding}; failed resources: {}", some_of(&failed));
            return Check::fault(name, finding, "read the stack's events in CloudFormation and deploy again");
        }
    }
    let resources = resources.as_ref().map(|all| format!(", {} resources", all.len())).unwrap_or_default();
    match status.as_str() {
        "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "IMPORT_COMPLETE" => Check::ok(name, format!("{finding}{resources}")),
        "UPDATE_ROLLBACK_COMPLETE" => Check::warning(
            name,
            format!("{finding}: the last deployment failed, and the version before it runs"),
            "read the stack's events in CloudFormation and deploy again",
        ),
        status if status.ends_with("_IN_PROGRESS") => {
            Check::warning(name, finding, "wait for the end of the deployment, and run `sentry status` again")
        }
        _ => Check::fault(name, finding, "read the stack's events in CloudFormation and deploy again"),
    }
}

/// The parameters of note, and the outputs that an older stack lacks.
pub fn parameters(name: &'static str, stack: &Stack) -> Check {
    let known = PARAMETERS.iter().filter_map(|name| Some(format!("{name}={}", stack.parameter(name)?)));
    let finding = known.collect::<Vec<_>>().join(" ");
    let missing: Vec<&str> = OUTPUTS.into_iter().filter(|name| stack.output(name).is_err()).collect();
    if missing.is_empty() {
        return Check::ok(name, finding);
    }
    let finding = format!("{finding}; outputs are missing: {}", some_of(&missing));
    Check::fault(name, finding, "deploy the present template: the stack is no cost sentry, or an older one")
}

/// A workflow that was read.
#[derive(Clone, Debug, Default)]
pub struct Workflow {
    pub name: &'static str,
    pub active: bool,
    /// The functions that the definition calls.
    pub functions: BTreeSet<String>,
}

/// Reads the rate limiter, and the model router if the stack has one.
///
/// # Errors
/// If a workflow cannot be read.
pub async fn workflows(stack: &Stack) -> Seen<Vec<Workflow>> {
    let names = [("rate limiter", "RateLimiterArn"), ("model router", "ModelRouterArn")];
    let arns = names.into_iter().filter_map(|(name, output)| Some((name, stack.output(output).ok()?)));
    let client = stack.workflows();
    let read = join_all(arns.map(|(name, arn)| read(&client, name, arn))).await;
    read.into_iter().collect()
}

async fn read(client: &aws_sdk_sfn::Client, name: &'static str, arn: &str) -> Seen<Workflow> {
    let answer = client.describe_state_machine().state_machine_arn(arn).send().await;
    match answer {
        Ok(answer) => Ok(Workflow {
            name,
            active: answer.status().is_none_or(|status| status.as_str() == "ACTIVE"),
            functions: functions_of(answer.definition()),
        }),
        Err(error)
            if error.as_service_error().is_some_and(DescribeStateMachineError::is_state_machine_does_not_exist) =>
        {
            Ok(Workflow { name, ..Workflow::default() })
        }
        Err(error) => {
            let failure = Failure::of_call(&format!("the {name} cannot be read"), &error);
            Err(Gap::of("states:DescribeStateMachine", &failure))
        }
    }
}

/// The names of the functions in the texts of a definition that are ARNs of functions.
fn functions_of(definition: &str) -> BTreeSet<String> {
    let arns = definition.split('"').filter(|text| text.starts_with("arn:") && text.contains(":function:"));
    arns.filter_map(|arn| arn.split(':').nth(6)).map(str::to_owned).collect()
}

/// Judges if the workflows exist and call functions of this stack only.
pub fn wired(name: &'static str, workflows: &[Workflow], resources: &Seen<Vec<Resource>>) -> Check {
    let away: Vec<&str> = workflows.iter().filter(|it| !it.active).map(|it| it.name).collect();
    if !away.is_empty() {
        let finding = format!("missing or not active: {}", away.join(", "));
        return Check::fault(name, finding, "deploy the template again");
    }
    let called: BTreeSet<&str> = workflows.iter().flat_map(|it| &it.functions).map(String::as_str).collect();
    let names: Vec<&str> = workflows.iter().map(|it| it.name).collect();
    let finding = format!("{} active, calling {} functions", names.join(" and "), called.len());
    if let Ok(resources) = resources {
        let own: BTreeSet<&str> =
            resources.iter().filter(|it| it.kind == FUNCTION).map(|it| it.physical_id.as_str()).collect();
        let foreign: Vec<&str> = called.difference(&own).copied().collect();
        if !foreign.is_empty() {
            let finding = format!("a workflow calls functions that are not the stack's: {}", some_of(&foreign));
            return Check::fault(name, finding, "deploy the template again; somebody changed the workflow");
        }
    }
    Check::ok(name, finding)
}

/// The functions with their last change, as CloudFormation knows them.
pub fn functions(name: &'static str, resources: &[Resource]) -> Check {
    let functions: Vec<&Resource> = resources.iter().filter(|it| it.kind == FUNCTION).collect();
    let newest = functions.iter().filter_map(|it| it.updated).max();
    let newest = newest.map(|at| format!(", last change {}", at.format("%Y-%m-%d %H:%M UTC"))).unwrap_or_default();
    let incomplete: Vec<&str> = functions
        .iter()
        .filter(|it| !it.status.ends_with("_COMPLETE") || it.status.starts_with("DELETE"))
        .map(|it| it.logical_id.as_str())
        .collect();
    if functions.is_empty() || !incomplete.is_empty() {
        let finding = format!("{} functions{newest}; not complete: {}", functions.len(), some_of(&incomplete));
        return Check::fault(name, finding, "read the stack's events in CloudFormation and deploy again");
    }
    Check::ok(name, format!("{} functions{newest}", functions.len()))
}

#[cfg(test)]
mod tests {
    use super::super::check::State;
    use super::*;

    fn resource(logical_id: &str, status: &str) -> Resource {
        Resource {
            logical_id: logical_id.to_owned(),
            physical_id: format!("s-{logical_id}"),
            kind: FUNCTION.to_owned(),
            status: status.to_owned(),
            updated: Some("2026-11-21T14:05:00Z".parse().unwrap()),
        }
    }

    fn status(word: &str) -> State {
        let stack = Deployed { status: word.to_owned(), reason: None, at: None };
        deployed("stack", &stack, &Ok(Vec::new())).state
    }

    #[test]
    fn a_failed_deployment_is_a_fault_and_one_that_was_taken_back_a_warning() {
        assert_eq!(["CREATE_COMPLETE", "UPDATE_COMPLETE"].map(status), [State::Ok; 2]);
        assert_eq!(["UPDATE_ROLLBACK_COMPLETE", "UPDATE_IN_PROGRESS"].map(status), [State::Warning; 2]);
        assert_eq!(["ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_FAILED", "DELETE_FAILED"].map(status), [State::Fault; 3]);
        let stack = Deployed { status: "UPDATE_COMPLETE".to_owned(), reason: None, at: None };
        let check = deployed("stack", &stack, &Ok(vec![resource("Reserve", "UPDATE_FAILED")]));
        assert!(check.state == State::Fault && check.finding.contains("Reserve"), "{check:?}");
    }

    #[test]
    fn a_workflow_that_calls_a_foreign_function_is_a_fault() {
        let own = Ok(vec![resource("Reserve", "CREATE_COMPLETE")]);
        let definition = r#"{"A": {"Resource": "arn:aws:lambda:eu-west-1:111122223333:function:s-Reserve"},
            "B": {"Resource": "arn:aws:states:::aws-sdk:bedrockruntime:converse"}}"#;
        let workflow = Workflow { name: "rate limiter", active: true, functions: functions_of(definition) };
        assert_eq!(wired("workflows", std::slice::from_ref(&workflow), &own).state, State::Ok);
        let foreign = functions_of(&definition.replace("s-Reserve", "other"));
        let check = wired("workflows", &[Workflow { functions: foreign, ..workflow.clone() }], &own);
        assert!(check.state == State::Fault && check.finding.contains("other"), "{check:?}");
        let gone = Workflow { active: false, ..workflow };
        assert_eq!(wired("workflows", &[gone], &own).state, State::Fault);
    }

    #[test]
    fn functions_that_are_not_complete_are_named() {
        let check = functions("functions", &[resource("Reserve", "CREATE_COMPLETE")]);
        assert_eq!((check.state, check.finding.as_str()), (State::Ok, "1 functions, last change 2026-11-21 14:05 UTC"));
        let failed = functions("functions", &[resource("Settle", "CREATE_FAILED")]);
        assert!(failed.state == State::Fault && failed.finding.contains("Settle"), "{failed:?}");
        assert_eq!(functions("functions", &[]).state, State::Fault);
    }
}
