//! The cases of the end-to-end tests' policies, and those of the IAM User Guide.

use serde_json::json;

use super::*;

const CASES: &str = include_str!("../../../../tests/account_policy_cases.json");

fn cases() -> Value {
    serde_json::from_str(CASES).unwrap()
}

fn names(cases: &Value, name: &str) -> Vec<String> {
    cases[name].as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect()
}

fn requests(cases: &Value, name: &str) -> Vec<Request> {
    let pairs = cases[name].as_array().unwrap().iter();
    pairs.map(|pair| request(pair[0].as_str().unwrap(), pair[1].as_str().unwrap())).collect()
}

fn request(action: &str, resource: &str) -> Request {
    Request { action: action.to_owned(), resource: resource.to_owned() }
}

fn all() -> Vec<Statement> {
    read(&json!({"Effect": "Allow", "Action": "*", "Resource": "*"}))
}

fn read(statement: &Value) -> Vec<Statement> {
    statements(&json!({"Statement": statement})).unwrap()
}

const JO: &str = "arn:aws:iam::111122223333:user/jo";

/// `allowed`, `conditional` or `denied`.
fn judged(identity: &[Statement], boundary: Option<&[Statement]>, wanted: &Request) -> &'static str {
    word(&openings(identity, boundary, JO, wanted))
}

fn word(openings: &[Opening]) -> &'static str {
    match openings.iter().map(|it| it.is_conditional).min() {
        None => "denied",
        Some(true) => "conditional",
        Some(false) => "allowed",
    }
}

/// The policy `name` of the template, attached to somebody who may do everything, or as the boundary.
fn with_policy(cases: &Value, name: &str, principal: &str, wanted: &Request) -> &'static str {
    let policy = statements(&cases["policies"][name]).unwrap();
    if name == "BoundaryPolicy" {
        return word(&openings(&all(), Some(&policy), principal, wanted));
    }
    word(&openings(&[all(), policy].concat(), None, principal, wanted))
}

#[test]
fn the_templates_policies_close_every_way_to_others_and_none_to_the_sentry() {
    let cases = cases();
    for policy in ["DenyPolicy", "BoundaryPolicy", "ServiceControlPolicy"] {
        for way in requests(&cases, "waysRound") {
            for other in names(&cases, "others") {
                assert_eq!(with_policy(&cases, policy, &other, &way), "denied", "{policy} {other} {way:?}");
            }
            for own in names(&cases, "sentrys") {
                assert_eq!(with_policy(&cases, policy, &own, &way), "allowed", "{policy} {own} {way:?}");
            }
        }
        for call in requests(&cases, "leftAlone") {
            for principal in names(&cases, "others").into_iter().chain(names(&cases, "sentrys")) {
                assert_eq!(with_policy(&cases, policy, &principal, &call), "allowed", "{policy} {call:?}");
            }
        }
    }
}

#[test]
fn an_action_that_nothing_allows_is_denied_and_an_explicit_deny_wins() {
    let get = request("s3:GetObject", "arn:aws:s3:::a/b");
    assert_eq!(judged(&[], None, &get), "denied");
    let allow =
        read(&json!({"Effect": "Allow", "Action": ["s3:Get*", "s3:ListBucket"], "Resource": "arn:aws:s3:::a/*"}));
    assert_eq!(judged(&allow, None, &get), "allowed");
    assert_eq!(judged(&allow, None, &request("s3:PutObject", "arn:aws:s3:::a/b")), "denied");
    assert_eq!(judged(&allow, None, &request("s3:GetObject", "arn:aws:s3:::c/b")), "denied");
    let deny = read(&json!({"Effect": "Deny", "Action": "s3:*", "Resource": "*"}));
    assert_eq!(judged(&[allow.clone(), deny.clone()].concat(), None, &get), "denied");
    assert_eq!(judged(&[deny, allow].concat(), None, &get), "denied", "in any order");
}

#[test]
fn a_boundary_allows_nothing_and_bounds_what_policies_allow() {
    // IAM User Guide, "Permissions boundaries for IAM entities": the example of the user Shirley.
    let boundary = read(&json!([{"Effect": "Allow", "Action": ["s3:*", "cloudwatch:*", "ec2:*"], "Resource": "*"}]));
    let create = read(&json!({"Effect": "Allow", "Action": "iam:CreateUser", "Resource": "*"}));
    assert_eq!(judged(&create, Some(&boundary), &request("iam:CreateUser", "*")), "denied");
    assert_eq!(judged(&[], Some(&boundary), &request("s3:GetObject", "*")), "denied");
    assert_eq!(judged(&all(), Some(&boundary), &request("s3:GetObject", "*")), "allowed");
    let denying = [boundary, read(&json!({"Effect": "Deny", "Action": "s3:GetObject", "Resource": "*"}))].concat();
    assert_eq!(judged(&all(), Some(&denying), &request("s3:GetObject", "*")), "denied");
}

#[test]
fn not_action_and_not_resource_mean_all_others() {
    // IAM User Guide, "NotAction": everything but IAM is allowed, which includes Bedrock.
    let power = read(&json!({"Effect": "Allow", "NotAction": ["iam:*", "organizations:*"], "Resource": "*"}));
    assert_eq!(judged(&power, None, &request("bedrock:InvokeModel", "*")), "allowed");
    assert_eq!(judged(&power, None, &request("iam:CreateUser", "*")), "denied");
    let but_bedrock = read(&json!({"Effect": "Allow", "NotAction": "bedrock:*", "Resource": "*"}));
    assert_eq!(judged(&but_bedrock, None, &request("bedrock:InvokeModel*", "*")), "denied");
    let but_one = read(&json!({"Effect": "Allow", "NotAction": "bedrock:InvokeModel", "Resource": "*"}));
    assert_eq!(
        judged(&but_one, None, &request("bedrock:InvokeModel*", "*")),
        "allowed",
        "the other actions of the pattern"
    );
    let deny = |statement: Value| [all(), read(&statement)].concat();
    let only_s3 = deny(json!({"Effect": "Deny", "NotAction": "s3:*", "Resource": "*"}));
    assert_eq!(judged(&only_s3, None, &request("bedrock:InvokeModel", "*")), "denied");
    assert_eq!(judged(&only_s3, None, &request("s3:GetObject", "*")), "allowed");
    let elsewhere =
        deny(json!({"Effect": "Deny", "Action": "lambda:*", "NotResource": "arn:aws:lambda:*:*:function:mine"}));
    assert_eq!(
        judged(&elsewhere, None, &request("lambda:InvokeFunction", "arn:aws:lambda:a:1:function:other")),
        "denied"
    );
    assert_eq!(
        judged(&elsewhere, None, &request("lambda:InvokeFunction", "arn:aws:lambda:a:1:function:mine")),
        "allowed"
    );
}

#[test]
fn wildcards_and_case_are_those_of_iam() {
    let allowed = |action: &str, resource: &str| {
        let statement = read(&json!({"Effect": "Allow", "Action": action, "Resource": resource}));
        judged(&statement, None, &request("bedrock:InvokeModel*", "arn:*:bedrock*:*:*:*"))
    };
    for action in ["*", "bedrock:*", "BEDROCK:invokemodel", "bedrock:Invoke?odel", "bedrock:*Stream", "b*"] {
        assert_eq!(allowed(action, "*"), "allowed", "{action}");
    }
    for action in ["bedrock:Get*", "s3:*", "bedrock:InvokeAgent", "bedrock:ListFoundationModels"] {
        assert_eq!(allowed(action, "*"), "denied", "{action}");
    }
    assert_eq!(allowed("*", "arn:aws:bedrock:*::foundation-model/amazon.*"), "allowed");
    assert_eq!(allowed("*", "arn:aws:s3:::bucket/*"), "denied", "no resource of Bedrock");
    assert_eq!(allowed("*", "arn:*:s3:::bucket/*"), "denied", "a star stays within its part");
    assert_eq!(allowed("*", "arn:aws:bedrock:*"), "allowed", "too short for six parts");
    assert_eq!(allowed("*", "arn:aws:bedrock:*:*:*/${aws:username}"), "allowed", "a variable can have any value");
}

#[test]
fn a_deny_counts_only_if_it_denies_all_that_is_allowed() {
    let way = request("bedrock:InvokeModel*", "arn:*:bedrock*:*:*:*");
    let with = |allow: Value, deny: Value| judged(&[read(&allow), read(&deny)].concat(), None, &way);
    let everything = || json!({"Effect": "Allow", "Action": "*", "Resource": "*"});
    let deny = |action: Value, resource: &str| json!({"Effect": "Deny", "Action": action, "Resource": resource});
    assert_eq!(with(everything(), deny(json!("bedrock:InvokeModel"), "*")), "allowed", "streams are left");
    assert_eq!(
        with(everything(), deny(json!("bedrock:*"), "arn:aws:bedrock:*::foundation-model/*")),
        "allowed",
        "profiles are left"
    );
    assert_eq!(with(everything(), deny(json!("bedrock:*"), "*")), "denied");
    let one = json!({"Effect": "Allow", "Action": "bedrock:InvokeModel", "Resource": "arn:aws:bedrock:eu-west-1::foundation-model/a"});
    assert_eq!(
        with(one.clone(), deny(json!("bedrock:InvokeModel"), "arn:aws:bedrock:*::foundation-model/*")),
        "denied"
    );
    assert_eq!(
        with(one, deny(json!("bedrock:InvokeModel"), "arn:aws:bedrock:*::foundation-model/${aws:username}")),
        "allowed"
    );
}

#[test]
fn a_condition_about_the_request_is_told_and_never_a_deny() {
    let way = request("bedrock:InvokeModel", "arn:*:bedrock*:*:*:*");
    let mfa = json!({"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}});
    let deny = |condition: &Value| {
        let deny = json!({"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": condition});
        judged(&[all(), read(&deny)].concat(), None, &way)
    };
    assert_eq!(deny(&mfa), "conditional");
    let allow = |condition: Value| {
        let allow = json!({"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition});
        judged(&read(&allow), None, &way)
    };
    assert_eq!(allow(json!({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}})), "conditional");
    let both = [all(), read(&json!({"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": mfa}))].concat();
    assert_eq!(judged(&both, None, &way), "allowed", "the other statement has no condition");
    let bounded = read(&json!({"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": mfa}));
    assert_eq!(judged(&all(), Some(&bounded), &way), "conditional");
}

#[test]
fn conditions_on_the_principals_arn_are_judged() {
    let way = request("bedrock:InvokeModel", "*");
    let deny = |condition: Value| {
        let deny = json!({"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": condition});
        judged(&[all(), read(&deny)].concat(), None, &way)
    };
    for (condition, expected) in [
        (json!({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/*"}}), "denied"),
        (json!({"ArnNotLike": {"aws:principalarn": ["arn:aws:iam::*:role/x", JO]}}), "allowed"),
        (json!({"StringNotEqualsIfExists": {"aws:PrincipalArn": JO}}), "allowed"),
        (json!({"StringLike": {"aws:PrincipalArn": "*jo"}}), "denied"),
        (json!({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::${aws:PrincipalAccount}:user/*"}}), "conditional"),
        (json!({"ArnLike": {"aws:PrincipalArn": JO}, "Bool": {"aws:SecureTransport": "false"}}), "conditional"),
        (json!({"ArnNotLike": {"aws:PrincipalArn": JO}, "Bool": {"aws:SecureTransport": "false"}}), "allowed"),
        (json!({"ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": "o-1/*"}}), "conditional"),
    ] {
        assert_eq!(deny(condition.clone()), expected, "{condition}");
    }
}

#[test]
fn a_document_that_is_no_policy_is_an_error_and_not_empty() {
    for document in [
        json!({}),
        json!({"Statement": [{"Effect": "Allow", "Resource": "*"}]}),
        json!({"Statement": [{"Effect": "Allow", "Action": "*", "NotAction": "*", "Resource": "*"}]}),
        json!({"Statement": [{"Effect": "allow", "Action": "*", "Resource": "*"}]}),
        json!({"Statement": [{"Effect": "Allow", "Action": 1, "Resource": "*"}]}),
    ] {
        assert!(statements(&document).is_err(), "{document}");
    }
    assert_eq!(statements(&json!({"Statement": []})).unwrap(), []);
}
