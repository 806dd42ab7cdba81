//! A place in the document: its value together with its path.

use sentry_contract::ErrorCode;
use serde_json::{Map, Value};

/// Longest field name that a path shows, in characters.
const MOST_NAME_CHARS: usize = 64;
/// Largest whole number: Bedrock's are of 32 bits with a sign. Source: Amazon Bedrock API Reference, InferenceConfiguration.
const MOST_WHOLE: u64 = i32::MAX as u64;

/// What is wrong with a document, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Offence {
    /// `InvalidRequest` or `UnknownModel`.
    pub code: ErrorCode,
    /// Such as `prompt.messages[0].role`.
    pub path: String,
    /// Reads on from the path: "is missing". Never quotes the document's texts.
    pub problem: String,
    /// More facts for a machine than the path.
    pub details: Vec<(&'static str, Value)>,
}

impl Offence {
    /// An `InvalidRequest` at `path`.
    pub fn new(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { code: ErrorCode::InvalidRequest, path: path.into(), problem: problem.into(), details: Vec::new() }
    }

    /// The same, with `details.parameter`: the part of a request that the rule is about.
    pub fn parameter(mut self, name: &str) -> Self {
        self.details.push(("parameter", name.into()));
        self
    }
}

/// A value of the document and how to get there.
#[derive(Clone, Debug)]
pub struct Field<'d> {
    path: String,
    value: &'d Value,
}

impl<'d> Field<'d> {
    /// The document itself.
    pub fn root(value: &'d Value) -> Self {
        Self { path: String::new(), value }
    }

    /// The path as error details write it; the document itself is `$`.
    pub fn path(&self) -> String {
        if self.path.is_empty() { "$".to_owned() } else { self.path.clone() }
    }

    /// An offence at this place.
    pub fn offence(&self, problem: impl Into<String>) -> Offence {
        Offence::new(self.path(), problem)
    }

    /// The path of a field here. A name may be the whole document's length: it is cut, so that the answer stays small.
    fn path_of(&self, name: &str) -> String {
        let name: String = name.chars().take(MOST_NAME_CHARS).collect();
        if self.path.is_empty() { name } else { format!("{}.{name}", self.path) }
    }

    fn wrong_type(&self, expected: &str) -> Offence {
        let found = match self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        self.offence(format!("must be {expected}, but is {found}"))
    }

    /// The object here.
    pub fn object(&self) -> Result<&'d Map<String, Value>, Offence> {
        self.value.as_object().ok_or_else(|| self.wrong_type("an object"))
    }

    /// The object here, if it has no other fields than `known`.
    pub fn object_of(&self, known: &[&str]) -> Result<&'d Map<String, Value>, Offence> {
        let object = self.object()?;
        match object.keys().find(|name| !known.contains(&name.as_str())) {
            Some(unknown) => Err(Offence::new(
                self.path_of(unknown),
                format!("is not a field of the contract; known here are {}", known.join(", ")),
            )),
            None => Ok(object),
        }
    }

    /// The field `name` of the object here, if it is there.
    pub fn get(&self, name: &str) -> Result<Option<Field<'d>>, Offence> {
        let value = self.object()?.get(name);
        Ok(value.map(|value| Field { path: self.path_of(name), value }))
    }

    /// The optional field `name` of the object here. `null`, and an empty text, list or object, mean that it is not given.
    pub fn optional(&self, name: &str) -> Result<Option<Field<'d>>, Offence> {
        Ok(self.get(name)?.filter(|field| !field.is_nothing()))
    }

    /// Whether the value here says nothing: `null`, or empty.
    pub fn is_nothing(&self) -> bool {
        match self.value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(values) => values.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            Value::Bool(_) | Value::Number(_) => false,
        }
    }

    /// The field `name` of the object here.
    pub fn required(&self, name: &str) -> Result<Field<'d>, Offence> {
        self.get(name)?.ok_or_else(|| Offence::new(self.path_of(name), "is required"))
    }

    /// The list here.
    pub fn list(&self) -> Result<Vec<Field<'d>>, Offence> {
        let items = self.value.as_array().ok_or_else(|| self.wrong_type("a list"))?;
        let field = |(index, value)| Field { path: format!("{}[{index}]", self.path), value };
        Ok(items.iter().enumerate().map(field).collect())
    }

    /// The only field of the object here that is not `null`, which is one of `known`.
    pub fn only(&self, known: &[&'static str]) -> Result<(&'static str, Field<'d>), Offence> {
        let object = self.object_of(known)?;
        let given = |name: &&str| object.get(*name).is_some_and(|value| !value.is_null());
        let mut names = known.iter().copied().filter(given);
        match (names.next(), names.next()) {
            (Some(name), None) => Ok((name, self.required(name)?)),
            _ => Err(self.offence(format!("must have exactly one of {}", known.join(", ")))),
        }
    }

    /// The text here, or the list.
    pub fn text_or_list(&self) -> Result<Result<&'d str, Vec<Field<'d>>>, Offence> {
        match self.value {
            Value::String(text) => Ok(Ok(text)),
            Value::Array(_) => self.list().map(Err),
            _ => Err(self.wrong_type("a string or a list of content blocks")),
        }
    }

    /// The one of `all` that is named here.
    pub fn name_of<T: Copy>(&self, all: &[T], name: fn(T) -> &'static str) -> Result<T, Offence> {
        let given = self.string()?;
        all.iter().copied().find(|each| name(*each) == given).ok_or_else(|| {
            let names: Vec<_> = all.iter().map(|each| name(*each)).collect();
            self.offence(format!("must be one of {}", names.join(", ")))
        })
    }

    /// The text here, if it is as it should be, which `expected` describes.
    pub fn matching(&self, expected: &str, is_right: impl Fn(&str) -> bool) -> Result<String, Offence> {
        let text = self.text()?;
        if is_right(text) { Ok(text.to_owned()) } else { Err(self.offence(format!("must be {expected}"))) }
    }

    /// The string here.
    pub fn string(&self) -> Result<&'d str, Offence> {
        self.value.as_str().ok_or_else(|| self.wrong_type("a string"))
    }

    /// The string here, if it is not empty.
    pub fn text(&self) -> Result<&'d str, Offence> {
        let text = self.string()?;
        if text.is_empty() { Err(self.offence("must not be empty")) } else { Ok(text) }
    }

    /// The boolean here.
    pub fn boolean(&self) -> Result<bool, Offence> {
        self.value.as_bool().ok_or_else(|| self.wrong_type("true or false"))
    }

    /// The text here, if it has a character that is not white space: Converse refuses all others.
    pub fn visible_text(&self) -> Result<&'d str, Offence> {
        let text = self.text()?;
        if text.trim().is_empty() {
            Err(self.offence("must have a character that is not white space"))
        } else {
            Ok(text)
        }
    }

    /// The whole number here, if it is at least `least`. A whole number may be written `5.0`.
    pub fn whole(&self, least: u64) -> Result<u32, Offence> {
        let number = self.value.as_number().ok_or_else(|| self.wrong_type("a whole number"))?;
        let whole = number.as_u64().or_else(|| {
            let float = number.as_f64().filter(|float| float.fract() == 0.0)?;
            format!("{float:.0}").parse().ok()
        });
        whole
            .filter(|whole| (least..=MOST_WHOLE).contains(whole))
            .and_then(|whole| u32::try_from(whole).ok())
            .ok_or_else(|| self.offence(format!("must be a whole number from {least} to {MOST_WHOLE}")))
    }

    /// The number here, if it is from 0 to 1.
    pub fn fraction(&self) -> Result<f64, Offence> {
        let number = self.value.as_f64().ok_or_else(|| self.wrong_type("a number"))?;
        if (0.0..=1.0).contains(&number) { Ok(number) } else { Err(self.offence("must be from 0 to 1")) }
    }
}
