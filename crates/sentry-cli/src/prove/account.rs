//! The principals of an account, from the file that `aws iam get-account-authorization-details` writes.
//!
//! Source: AWS Identity and Access Management API Reference, `GetAccountAuthorizationDetails`, read in November 2026.

use std::collections::HashMap;

use serde_json::Value;

use super::iam::{Statement, statements};

/// Path of the roles that AWS services make for themselves.
const SERVICE_LINKED: &str = "/aws-service-role/";
/// Beginning of the names of users that Bedrock makes for long-term API keys.
///
/// Source: Amazon Bedrock User Guide, "Generate an Amazon Bedrock API key", read in November 2026.
const API_KEY: &str = "bedrock-api-key-";

/// Somebody who can call AWS.
#[derive(Clone, Debug, PartialEq)]
pub struct Principal {
    pub arn: String,
    /// The name of a role or user, without its path.
    pub name: String,
    pub kind: Kind,
    pub grants: Vec<Grant>,
    /// The statements of the permissions boundary.
    pub boundary: Option<Vec<Statement>>,
    /// Policies that apply, but cannot be judged, each with the reason.
    pub unknown: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    User,
    /// The user of a long-term Bedrock API key.
    ApiKey,
    Role,
    /// A role that these services can assume, such as `lambda`.
    ServiceRole(String),
    /// A role that only one service uses, and that no policy of the account restricts.
    ServiceLinkedRole,
}

impl Kind {
    pub fn word(&self) -> String {
        match self {
            Self::User => "user".to_owned(),
            Self::ApiKey => "Bedrock API key".to_owned(),
            Self::Role => "role".to_owned(),
            Self::ServiceRole(services) => format!("role of {services}"),
            Self::ServiceLinkedRole => "service-linked role".to_owned(),
        }
    }
}

/// A policy that applies to a principal.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    /// The policy as a person finds it, such as `managed policy X of group devs`.
    pub policy: String,
    pub statements: Vec<Statement>,
}

/// The principals of an account, with their policies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Account {
    /// Users first, then roles, each in the order of the file.
    pub principals: Vec<Principal>,
}

/// Documents of managed policies by ARN.
type Managed<'d> = HashMap<&'d str, &'d Value>;

impl Account {
    /// Reads the text of the file.
    ///
    /// # Errors
    /// The problem with the file, and the way to mend it.
    pub fn read(text: &str) -> Result<Self, String> {
        let advice = "write it with: aws iam get-account-authorization-details > iam.json";
        let details: Value =
            serde_json::from_str(text).map_err(|error| format!("it is no JSON ({error}); {advice}"))?;
        let list = |name: &str| {
            details
                .get(name)
                .and_then(Value::as_array)
                .ok_or_else(|| format!("it has no {name}; {advice}, without --filter"))
        };
        if details.get("IsTruncated") == Some(&Value::Bool(true)) {
            return Err(format!("it is only one page of the answer; {advice}, which reads all pages"));
        }
        let managed = list("Policies")?.iter().filter_map(default_version).collect();
        let groups: HashMap<&str, &Value> =
            list("GroupDetailList")?.iter().filter_map(|group| Some((text_of(group, "GroupName")?, group))).collect();
        let users = list("UserDetailList")?.iter().map(|user| of_user(user, &groups, &managed));
        let roles = list("RoleDetailList")?.iter().map(|role| of_role(role, &managed));
        let principals: Option<Vec<Principal>> = users.chain(roles).collect();
        Ok(Self { principals: principals.ok_or_else(|| format!("a user or role has no name or ARN; {advice}"))? })
    }
}

fn text_of<'d>(value: &'d Value, name: &str) -> Option<&'d str> {
    value.get(name)?.as_str()
}

fn items<'d>(value: &'d Value, name: &str) -> impl Iterator<Item = &'d Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn default_version(policy: &Value) -> Option<(&str, &Value)> {
    let default =
        items(policy, "PolicyVersionList").find(|it| it.get("IsDefaultVersion") == Some(&Value::Bool(true)))?;
    Some((text_of(policy, "Arn")?, default.get("Document")?))
}

fn of_user(user: &Value, groups: &HashMap<&str, &Value>, managed: &Managed<'_>) -> Option<Principal> {
    let name = text_of(user, "UserName")?;
    let kind = if name.starts_with(API_KEY) { Kind::ApiKey } else { Kind::User };
    let mut principal = Principal::new(user, name, kind, managed)?;
    principal.add(user, "UserPolicyList", "", managed);
    for group in items(user, "GroupList").filter_map(Value::as_str) {
        match groups.get(group) {
            Some(details) => principal.add(details, "GroupPolicyList", &format!(" of group {group}"), managed),
            None => principal.unknown.push(format!("group {group}: it is not in the file")),
        }
    }
    Some(principal)
}

fn of_role(role: &Value, managed: &Managed<'_>) -> Option<Principal> {
    let is_linked = text_of(role, "Path").is_some_and(|path| path.starts_with(SERVICE_LINKED));
    let trust = role.get("AssumeRolePolicyDocument").map(document).unwrap_or_default();
    let services = services(&trust);
    let kind = match services.is_empty() {
        _ if is_linked => Kind::ServiceLinkedRole,
        true => Kind::Role,
        false => Kind::ServiceRole(services.join(", ")),
    };
    let mut principal = Principal::new(role, text_of(role, "RoleName")?, kind, managed)?;
    principal.add(role, "RolePolicyList", "", managed);
    Some(principal)
}

/// The services that may assume a role, without `.amazonaws.com`.
fn services(trust: &Value) -> Vec<String> {
    let of_statement = |statement: &Value| -> Vec<String> {
        match statement.pointer("/Principal/Service") {
            Some(Value::String(service)) => vec![service.clone()],
            Some(Value::Array(services)) => services.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    };
    let statements = match trust.get("Statement") {
        Some(Value::Array(statements)) => statements.iter().flat_map(of_statement).collect(),
        Some(statement) => of_statement(statement),
        None => Vec::new(),
    };
    let mut short: Vec<String> =
        statements.iter().map(|it| it.split(".amazonaws.com").next().unwrap_or_default().to_owned()).collect();
    short.sort();
    short.dedup();
    short
}

impl Principal {
    fn new(details: &Value, name: &str, kind: Kind, managed: &Managed<'_>) -> Option<Self> {
        let arn = text_of(details, "Arn")?.to_owned();
        let mut principal =
            Self { arn, name: name.to_owned(), kind, grants: Vec::new(), boundary: None, unknown: Vec::new() };
        if let Some(boundary) = details.pointer("/PermissionsBoundary/PermissionsBoundaryArn").and_then(Value::as_str) {
            principal.boundary = match judged(boundary, managed.get(boundary).copied()) {
                Ok(statements) => Some(statements),
                Err(reason) => {
                    principal.unknown.push(format!("permissions boundary {reason}"));
                    None
                }
            };
        }
        Some(principal)
    }

    /// Adds the inline policies in the list `inline` of `details`, and its managed ones.
    fn add(&mut self, details: &Value, inline: &str, of: &str, managed: &Managed<'_>) {
        for policy in items(details, inline) {
            let name = text_of(policy, "PolicyName").unwrap_or_default();
            self.grant(format!("inline policy {name}{of}"), judged(name, policy.get("PolicyDocument")));
        }
        for policy in items(details, "AttachedManagedPolicies") {
            let (name, arn) = (text_of(policy, "PolicyName").unwrap_or_default(), text_of(policy, "PolicyArn"));
            let document = arn.and_then(|arn| managed.get(arn).copied());
            self.grant(format!("managed policy {name}{of}"), judged(name, document));
        }
    }

    fn grant(&mut self, policy: String, statements: Result<Vec<Statement>, String>) {
        match statements {
            Ok(statements) => self.grants.push(Grant { policy, statements }),
            Err(reason) => self.unknown.push(format!("{policy}: {reason}")),
        }
    }
}

fn judged(name: &str, found: Option<&Value>) -> Result<Vec<Statement>, String> {
    let found = found.ok_or_else(|| format!("{name} is not in the file"))?;
    statements(&document(found))
}

/// The document. The AWS CLI writes it as JSON, and the API as text in percent-encoding.
fn document(value: &Value) -> Value {
    match value {
        Value::String(text) => serde_json::from_str(&decoded(text)).unwrap_or_default(),
        other => other.clone(),
    }
}

/// The text without percent-encoding.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        if let Some(byte) = hex.filter(|_| *first == b'%') {
            bytes.push(byte);
            rest = after.get(2..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn file() -> Value {
        let allow = json!({"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}});
        let trust = json!({"Statement": [{"Effect": "Allow", "Principal": {"Service": ["lambda.amazonaws.com", "ec2.amazonaws.com.cn"]}}]});
        json!({
            "UserDetailList": [
                {"UserName": "jo", "Arn": "arn:aws:iam::1:user/jo", "GroupList": ["devs", "gone"],
                 "UserPolicyList": [{"PolicyName": "own", "PolicyDocument": "%7B%22Statement%22%3A%5B%5D%7D"}],
                 "AttachedManagedPolicies": [{"PolicyName": "Missing", "PolicyArn": "arn:aws:iam::aws:policy/Missing"}],
                 "PermissionsBoundary": {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": "arn:p"}},
                {"UserName": "bedrock-api-key-x1", "Arn": "arn:aws:iam::1:user/bedrock-api-key-x1"},
            ],
            "GroupDetailList": [
                {"GroupName": "devs", "GroupPolicyList": [{"PolicyName": "g", "PolicyDocument": allow}],
                 "AttachedManagedPolicies": [{"PolicyName": "P", "PolicyArn": "arn:p"}]},
            ],
            "RoleDetailList": [
                {"RoleName": "r", "Path": "/", "Arn": "arn:aws:iam::1:role/r", "AssumeRolePolicyDocument": trust},
                {"RoleName": "l", "Path": "/aws-service-role/x/", "Arn": "arn:aws:iam::1:role/l", "AssumeRolePolicyDocument": trust},
            ],
            "Policies": [
                {"Arn": "arn:p", "PolicyVersionList": [
                    {"IsDefaultVersion": false, "Document": {}}, {"IsDefaultVersion": true, "Document": allow}]},
            ],
        })
    }

    #[test]
    fn inline_managed_and_group_policies_and_the_boundary_are_found() {
        let account = Account::read(&file().to_string()).unwrap();
        let [jo, key, role, linked] = &account.principals[..] else { panic!("{account:?}") };
        let policies: Vec<&str> = jo.grants.iter().map(|grant| grant.policy.as_str()).collect();
        assert_eq!(policies, ["inline policy own", "inline policy g of group devs", "managed policy P of group devs"]);
        assert_eq!(jo.boundary.as_ref().unwrap().len(), 1, "the default version");
        assert_eq!(
            jo.unknown,
            ["managed policy Missing: Missing is not in the file", "group gone: it is not in the file"]
        );
        assert_eq!((&key.kind, &linked.kind), (&Kind::ApiKey, &Kind::ServiceLinkedRole));
        assert_eq!(role.kind, Kind::ServiceRole("ec2, lambda".to_owned()));
    }

    #[test]
    fn a_file_that_is_not_whole_is_refused_with_the_command_that_writes_it() {
        let mut page = file();
        page["IsTruncated"] = Value::Bool(true);
        let mut filtered = file();
        filtered.as_object_mut().unwrap().remove("Policies");
        for (text, word) in
            [("{".to_owned(), "no JSON"), (page.to_string(), "one page"), (filtered.to_string(), "has no Policies")]
        {
            let problem = Account::read(&text).unwrap_err();
            assert!(problem.contains(word) && problem.contains("get-account-authorization-details"), "{problem}");
        }
    }

    #[test]
    fn a_policy_that_cannot_be_understood_is_unknown_and_not_empty() {
        let mut odd = file();
        odd["RoleDetailList"][0]["RolePolicyList"] =
            json!([{"PolicyName": "odd", "PolicyDocument": {"Statement": [{"Effect": "Perhaps"}]}}]);
        let account = Account::read(&odd.to_string()).unwrap();
        assert_eq!(account.principals[2].unknown, ["inline policy odd: the statement 1 has no Effect"]);
    }
}
