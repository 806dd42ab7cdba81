//! Whom the list names, and with which ways.

use serde_json::json;

use super::*;

const CASES: &str = include_str!("../../../../tests/account_policy_cases.json");

fn cases() -> serde_json::Value {
    serde_json::from_str(CASES).unwrap()
}

fn sentry() -> Sentry {
    let cases = cases();
    let parameter = |name: &str| cases["parameters"][name].as_str().unwrap().to_owned();
    Sentry {
        rate_limiter: parameter("RateLimiterArn"),
        model_router: Some(parameter("ModelRouterArn")),
        function: parameter("InvokeModelFunctionArn"),
        roles: vec!["cost-sentry-InvokeModelRole-1A2B".to_owned()],
        callers: Vec::new(),
    }
}

/// An account with roles by name, each with one inline statement.
fn account(roles: &[(&str, &str, serde_json::Value)]) -> Account {
    let roles = roles.iter().map(|(path, name, statement)| {
        json!({
            "RoleName": name, "Path": path, "Arn": format!("arn:aws:iam::111122223333:role{path}{name}"),
            "RolePolicyList": [{"PolicyName": "p", "PolicyDocument": {"Statement": [statement]}}],
        })
    });
    let file = json!({
        "UserDetailList": [], "GroupDetailList": [], "Policies": [], "RoleDetailList": roles.collect::<Vec<_>>(),
    });
    Account::read(&file.to_string()).unwrap()
}

fn allow(action: &str, resource: &str) -> serde_json::Value {
    json!({"Sid": "S", "Effect": "Allow", "Action": action, "Resource": resource})
}

#[test]
fn the_ways_are_the_templates_and_none_is_missing() {
    let actions = actions().unwrap();
    assert!(actions.bedrock.len() > 20 && actions.workflow.len() == 2, "{actions:?}");
    let ways = sentry().ways(&actions);
    for case in cases()["waysRound"].as_array().unwrap() {
        let (action, resource) = (case[0].as_str().unwrap(), case[1].as_str().unwrap());
        let is_of = |way: &Way| {
            let is_resource =
                |pattern: &String| way.through == "Bedrock" || super::super::pattern::covers(pattern, resource);
            super::super::pattern::covers(&way.action.to_lowercase(), &action.to_lowercase())
                && way.resources.iter().any(is_resource)
        };
        assert!(ways.iter().any(is_of), "{case}");
    }
}

#[test]
fn somebody_who_may_do_everything_has_every_way_and_the_sentry_is_not_listed() {
    let everything = allow("*", "*");
    let account = account(&[
        ("/", "admin", everything.clone()),
        ("/", "cost-sentry-InvokeModelRole-1A2B", everything.clone()),
        ("/team/", "own-budget", everything),
    ]);
    let (sentry, actions) = (sentry(), actions().unwrap());
    let found = rows(&account, &sentry, &actions, &["arn:aws:iam::*:role/team/*".to_owned()]);
    assert!(found.iter().all(|row| row.principal.ends_with(":role/admin") && row.statement == "S"), "{found:?}");
    assert_eq!(found.len(), sentry.ways(&actions).len());
}

#[test]
fn one_action_on_one_resource_is_one_way() {
    let of = |action: &str, resource: &str| {
        let account = account(&[("/", "a", allow(action, resource))]);
        let found = rows(&account, &sentry(), &actions().unwrap(), &[]);
        found.iter().map(|row| format!("{}: {}", row.through, row.action)).collect::<Vec<_>>()
    };
    let Sentry { rate_limiter, model_router, function, .. } = sentry();
    let router = model_router.unwrap();
    assert_eq!(of("lambda:Invoke*", &format!("{function}:live")), ["the function: lambda:InvokeFunction"]);
    assert_eq!(of("lambda:*", "arn:aws:lambda:eu-west-1:111122223333:function:other"), [""; 0]);
    assert_eq!(of("states:StartSyncExecution", &rate_limiter), [""; 0], "this is what clients do");
    assert_eq!(of("states:*", &rate_limiter), ["the rate limiter: states:StartExecution"]);
    assert_eq!(of("states:StartSyncExecution", &router), ["the router: states:StartSyncExecution"]);
    assert_eq!(of("bedrock:Rerank", "*"), ["Bedrock: bedrock:Rerank"]);
    assert_eq!(of("bedrock:GetInferenceProfile", "*"), [""; 0]);
}

#[test]
fn a_service_linked_role_is_listed_and_does_not_count() {
    let account = account(&[("/aws-service-role/x.amazonaws.com/", "l", allow("bedrock:InvokeModel", "*"))]);
    let found = rows(&account, &sentry(), &actions().unwrap(), &[]);
    assert!(found.iter().all(|row| !row.counts && row.kind == "service-linked role") && found.len() == 1, "{found:?}");
}

#[test]
fn the_table_has_one_line_for_all_actions_of_a_statement() {
    let account = account(&[("/", "a", allow("bedrock:Invoke*", "*")), ("/", "b", allow("bedrock:Rerank", "*"))]);
    let found = rows(&account, &sentry(), &actions().unwrap(), &[]);
    let text = written(&found, Output::Table);
    let lines: Vec<Vec<&str>> =
        text.lines().map(|line| line.split("  ").filter(|it| !it.is_empty()).collect()).collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert_eq!(lines[1][2].trim(), format!("Bedrock (InvokeModel* and {} more)", found.len() - 2));
    assert_eq!(lines[2][2].trim(), "Bedrock (Rerank)");
    assert!(written(&found, Output::Json).contains("\"action\": \"bedrock:InvokeBuilder\""));
}
