//! The judgment of policies of IAM, by the rules of the IAM User Guide ("Policy evaluation logic", read in November 2026): an explicit Deny
//! wins, a permissions boundary must allow too, and what nothing allows is denied.
//!
//! Requests can be patterns, such as `bedrock:InvokeModel*` on any resource. Then the judgment errs on one side only: an Allow counts if
//! it allows a part of the request, and a Deny only if it denies all of that part.

use serde_json::Value;

use super::pattern::{arn_fits, by_part, covers, overlap};

/// The context key that is known from the principal alone.
const PRINCIPAL_ARN: &str = "aws:principalarn";

/// A statement of a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// The `Sid`, or the number of the statement in its policy.
    pub name: String,
    is_allow: bool,
    actions: Names,
    resources: Names,
    /// The map of operators. Null if there is no condition.
    condition: Value,
}

/// The patterns of `Action` or `Resource`, or those of `NotAction` or `NotResource`.
#[derive(Clone, Debug, PartialEq)]
enum Names {
    Of(Vec<String>),
    AllBut(Vec<String>),
}

/// `true`, `false`, or not known without the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Yes,
    No,
    Unknown,
}

/// An action on a resource. Both can be patterns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub action: String,
    pub resource: String,
}

/// An Allow that no Deny takes away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The place of the statement in the list of statements.
    pub statement: usize,
    /// `true` if it depends on a condition about the request: of the Allow, of the boundary, or of a Deny.
    pub is_conditional: bool,
}

/// The statements of a policy document.
///
/// # Errors
/// The part that cannot be understood.
pub fn statements(document: &Value) -> Result<Vec<Statement>, String> {
    let listed = match document.get("Statement") {
        Some(Value::Array(statements)) => statements.iter().collect(),
        Some(one @ Value::Object(_)) => vec![one],
        _ => return Err("it has no Statement".to_owned()),
    };
    listed.into_iter().enumerate().map(|(place, statement)| Statement::of(place, statement)).collect()
}

impl Statement {
    fn of(place: usize, statement: &Value) -> Result<Self, String> {
        let number = (place + 1).to_string();
        let name = statement.get("Sid").and_then(Value::as_str).filter(|sid| !sid.is_empty()).unwrap_or(&number);
        let is_allow = match statement.get("Effect").and_then(Value::as_str) {
            Some("Allow") => true,
            Some("Deny") => false,
            _ => return Err(format!("the statement {name} has no Effect")),
        };
        let names = |one: &str, other: &str| -> Result<Names, String> {
            match (texts(statement.get(one)), texts(statement.get(other))) {
                (Some(of), None) => Ok(Names::Of(of)),
                (None, Some(but)) => Ok(Names::AllBut(but)),
                _ => Err(format!("the statement {name} needs either {one} or {other}")),
            }
        };
        Ok(Self {
            name: name.to_owned(),
            is_allow,
            actions: names("Action", "NotAction")?.lowercase(),
            resources: names("Resource", "NotResource")?,
            condition: statement.get("Condition").cloned().unwrap_or_default(),
        })
    }

    /// If the condition holds for `principal`. Only the ARN of the principal is known without the request.
    fn holds(&self, principal: &str) -> Holds {
        let mut all = Holds::Yes;
        for (operator, keys) in self.condition.as_object().into_iter().flatten() {
            let Some(keys) = keys.as_object() else { return Holds::Unknown };
            for (key, values) in keys {
                match test(operator, key, values, principal) {
                    Holds::No => return Holds::No,
                    Holds::Unknown => all = Holds::Unknown,
                    Holds::Yes => {}
                }
            }
        }
        all
    }

    /// `true` if the statement denies all of `request`.
    fn denies(&self, request: &Request) -> bool {
        !self.is_allow && self.actions.cover(&request.action) && self.resources.cover(&request.resource)
    }

    /// The parts of `request` that the statement allows, as far as patterns can say it.
    fn allowed(&self, request: &Request) -> Vec<Request> {
        if !self.is_allow {
            return Vec::new();
        }
        let (actions, resources) = (self.actions.parts(&request.action), self.resources.parts(&request.resource));
        let of_action = |action: String| {
            resources.iter().map(move |resource| Request { action: action.clone(), resource: resource.clone() })
        };
        actions.into_iter().flat_map(of_action).collect()
    }
}

/// A condition operator on one context key.
fn test(operator: &str, key: &str, values: &Value, principal: &str) -> Holds {
    let operator = operator.strip_suffix("IfExists").unwrap_or(operator);
    let Some(values) = texts(Some(values)).filter(|_| key.eq_ignore_ascii_case(PRINCIPAL_ARN)) else {
        return Holds::Unknown;
    };
    if values.iter().any(|value| value.contains("${")) {
        return Holds::Unknown;
    }
    let any = |fits: fn(&str, &str) -> bool| values.iter().any(|value| fits(value, principal));
    let holds = match operator {
        "ArnLike" | "ArnEquals" => any(arn_fits),
        "ArnNotLike" | "ArnNotEquals" => !any(arn_fits),
        "StringLike" => any(covers),
        "StringNotLike" => !any(covers),
        "StringEquals" => any(|value, principal| value == principal),
        "StringNotEquals" => !any(|value, principal| value == principal),
        _ => return Holds::Unknown,
    };
    if holds { Holds::Yes } else { Holds::No }
}

impl Names {
    fn lowercase(self) -> Self {
        let lower = |names: Vec<String>| names.into_iter().map(|name| name.to_lowercase()).collect();
        match self {
            Self::Of(names) => Self::Of(lower(names)),
            Self::AllBut(names) => Self::AllBut(lower(names)),
        }
    }

    /// `true` if all of `wanted` is meant. A pattern with a policy variable covers nothing.
    fn cover(&self, wanted: &str) -> bool {
        match self {
            Self::Of(names) => names.iter().any(|name| by_part(name, wanted, covers)),
            Self::AllBut(names) => !names.iter().any(|name| by_part(&without_variables(name), wanted, overlap)),
        }
    }

    /// The parts of `wanted` that are meant. A policy variable can have any value.
    fn parts(&self, wanted: &str) -> Vec<String> {
        match self {
            Self::Of(names) => {
                let names = names.iter().map(|name| without_variables(name));
                let met = names.filter(|name| by_part(name, wanted, overlap));
                met.map(|name| if by_part(wanted, &name, covers) { name } else { wanted.to_owned() }).collect()
            }
            Self::AllBut(names) if names.iter().any(|name| by_part(name, wanted, covers)) => Vec::new(),
            Self::AllBut(_) => vec![wanted.to_owned()],
        }
    }
}

/// The pattern with a star for each policy variable such as `${aws:username}`.
fn without_variables(pattern: &str) -> String {
    let mut text = String::new();
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((_, after)) = after.split_once('}') else { break };
        text.push_str(before);
        text.push('*');
        rest = after;
    }
    text + rest
}

fn texts(value: Option<&Value>) -> Option<Vec<String>> {
    match value? {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(texts) => texts.iter().map(|text| text.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

/// The statements of `identity` that allow `principal` a part of `request`, within `boundary` if there is one, and that no Deny takes
/// away.
pub fn openings(
    identity: &[Statement],
    boundary: Option<&[Statement]>,
    principal: &str,
    request: &Request,
) -> Vec<Opening> {
    let request = Request { action: request.action.to_lowercase(), resource: request.resource.clone() };
    let all = || identity.iter().chain(boundary.into_iter().flatten());
    let open = |part: &Request| {
        let mut is_conditional = false;
        for deny in all().filter(|statement| statement.denies(part)) {
            match deny.holds(principal) {
                Holds::Yes => return None,
                Holds::Unknown => is_conditional = true,
                Holds::No => {}
            }
        }
        let Some(boundary) = boundary else { return Some(is_conditional) };
        let allows = boundary.iter().filter(|statement| !statement.allowed(part).is_empty());
        let held: Vec<Holds> = allows.map(|statement| statement.holds(principal)).collect();
        if held.contains(&Holds::Yes) {
            return Some(is_conditional);
        }
        held.contains(&Holds::Unknown).then_some(true)
    };
    let opening = |(place, statement): (usize, &Statement)| {
        let is_conditional = match statement.holds(principal) {
            Holds::No => return None,
            held => held == Holds::Unknown,
        };
        let open: Vec<bool> = statement.allowed(&request).iter().filter_map(open).collect();
        let least = open.iter().min()?;
        Some(Opening { statement: place, is_conditional: is_conditional || *least })
    };
    identity.iter().enumerate().filter_map(opening).collect()
}

#[cfg(test)]
#[path = "iam_tests.rs"]
mod tests;
