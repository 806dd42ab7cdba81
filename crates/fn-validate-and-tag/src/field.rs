//! A value of the document, together with its path.

use sentry_contract::ErrorCode;
use serde_json::{Map, Value};

/// Longest part of a field name in a path, in characters.
const MOST_NAME_CHARS: usize = 64;
/// Largest whole number. Bedrock has signed integers of 32 bits. Source: Amazon Bedrock API Reference,
/// `InferenceConfiguration`.
const MOST_WHOLE: u64 = i32::MAX as u64;

/// A refusal: the problem with a document, and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub code: ErrorCode,
    /// The path of the field, such as `prompt.messages[0].role`.
    pub path: String,
    /// The rest of the sentence after the path, such as "is missing". It never quotes the texts of the document.
    pub problem: String,
    /// More facts for a machine, beside the path.
    pub details: Vec<(&'static str, Value)>,
}

impl Refusal {
    /// An `InvalidRequest` at `path`.
    pub fn new(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { code: ErrorCode::InvalidRequest, path: path.into(), problem: problem.into(), details: Vec::new() }
    }

    /// Adds `details.parameter`, the part of the request to which the rule applies.
    pub fn parameter(mut self, name: &str) -> Self {
        self.details.push(("parameter", name.into()));
        self
    }
}

/// A value of the document, and its path.
#[derive(Clone, Debug)]
pub struct Field<'d> {
    path: String,
    value: &'d Value,
}

impl<'d> Field<'d> {
    pub fn root(value: &'d Value) -> Self {
        Self { path: String::new(), value }
    }

    /// The path in error details. The path of the document itself is `$`.
    pub fn path(&self) -> String {
        if self.path.is_empty() { "$".to_owned() } else { self.path.clone() }
    }

    pub fn refuse(&self, problem: impl Into<String>) -> Refusal {
        Refusal::new(self.path(), problem)
    }

    /// The path of a field of this object. A name may be as long as the document. It is cut to keep the answer small.
    fn path_of(&self, name: &str) -> String {
        let name: String = name.chars().take(MOST_NAME_CHARS).collect();
        if self.path.is_empty() { name } else { format!("{}.{name}", self.path) }
    }

    fn wrong_type(&self, expected: &str) -> Refusal {
        let found = match self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        self.refuse(format!("must be {expected}, but is {found}"))
    }

    pub fn object(&self) -> Result<&'d Map<String, Value>, Refusal> {
        self.value.as_object().ok_or_else(|| self.wrong_type("an object"))
    }

    /// The object, if it has only fields of `known`.
    pub fn object_of(&self, known: &[&str]) -> Result<&'d Map<String, Value>, Refusal> {
        let object = self.object()?;
        match object.keys().find(|name| !known.contains(&name.as_str())) {
            Some(unknown) => Err(Refusal::new(
                self.path_of(unknown),
                format!("is not a field of the contract; known here are {}", known.join(", ")),
            )),
            None => Ok(object),
        }
    }

    /// The field `name` of this object. `None` if it is missing.
    pub fn get(&self, name: &str) -> Result<Option<Field<'d>>, Refusal> {
        let value = self.object()?.get(name);
        Ok(value.map(|value| Field { path: self.path_of(name), value }))
    }

    /// The optional field `name` of this object. `None` if it is missing, `null`, or an empty text, list or object.
    pub fn optional(&self, name: &str) -> Result<Option<Field<'d>>, Refusal> {
        Ok(self.get(name)?.filter(|field| !field.is_nothing()))
    }

    /// `true` if the value is `null`, or an empty text, list or object.
    pub fn is_nothing(&self) -> bool {
        match self.value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(values) => values.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            Value::Bool(_) | Value::Number(_) => false,
        }
    }

    pub fn required(&self, name: &str) -> Result<Field<'d>, Refusal> {
        self.get(name)?.ok_or_else(|| Refusal::new(self.path_of(name), "is required"))
    }

    pub fn list(&self) -> Result<Vec<Field<'d>>, Refusal> {
        let items = self.value.as_array().ok_or_else(|| self.wrong_type("a list"))?;
        let field = |(index, value)| Field { path: format!("{}[{index}]", self.path), value };
        Ok(items.iter().enumerate().map(field).collect())
    }

    /// The only field of this object that is not `null`. Its name must be one of `known`.
    pub fn only(&self, known: &[&'static str]) -> Result<(&'static str, Field<'d>), Refusal> {
        let object = self.object_of(known)?;
        let given = |name: &&str| object.get(*name).is_some_and(|value| !value.is_null());
        let mut names = known.iter().copied().filter(given);
        match (names.next(), names.next()) {
            (Some(name), None) => Ok((name, self.required(name)?)),
            _ => Err(self.refuse(format!("must have exactly one of {}", known.join(", ")))),
        }
    }

    /// The value, if it is a text (`Ok`) or a list (`Err`).
    pub fn text_or_list(&self) -> Result<Result<&'d str, Vec<Field<'d>>>, Refusal> {
        match self.value {
            Value::String(text) => Ok(Ok(text)),
            Value::Array(_) => self.list().map(Err),
            _ => Err(self.wrong_type("a string or a list of content blocks")),
        }
    }

    /// The element of `all` whose name is the value.
    pub fn name_of<T: Copy>(&self, all: &[T], name: fn(T) -> &'static str) -> Result<T, Refusal> {
        let given = self.string()?;
        all.iter().copied().find(|each| name(*each) == given).ok_or_else(|| {
            let names: Vec<_> = all.iter().map(|each| name(*each)).collect();
            self.refuse(format!("must be one of {}", names.join(", ")))
        })
    }

    /// The text, if `is_right` accepts it. `expected` describes an accepted text, for the refusal.
    pub fn matching(&self, expected: &str, is_right: impl Fn(&str) -> bool) -> Result<String, Refusal> {
        let text = self.text()?;
        if is_right(text) { Ok(text.to_owned()) } else { Err(self.refuse(format!("must be {expected}"))) }
    }

    pub fn string(&self) -> Result<&'d str, Refusal> {
        self.value.as_str().ok_or_else(|| self.wrong_type("a string"))
    }

    /// The text, if it is not empty.
    pub fn text(&self) -> Result<&'d str, Refusal> {
        let text = self.string()?;
        if text.is_empty() { Err(self.refuse("must not be empty")) } else { Ok(text) }
    }

    pub fn boolean(&self) -> Result<bool, Refusal> {
        self.value.as_bool().ok_or_else(|| self.wrong_type("true or false"))
    }

    /// The text, if it has a character that is not white space. Converse rejects other texts.
    pub fn visible_text(&self) -> Result<&'d str, Refusal> {
        let text = self.text()?;
        if text.trim().is_empty() {
            Err(self.refuse("must have a character that is not white space"))
        } else {
            Ok(text)
        }
    }

    /// The whole number, if it is from `least` to 2147483647. It may be written as `5.0`.
    pub fn whole(&self, least: u64) -> Result<u32, Refusal> {
        let number = self.value.as_number().ok_or_else(|| self.wrong_type("a whole number"))?;
        let whole = number.as_u64().or_else(|| {
            let float = number.as_f64().filter(|float| float.fract() == 0.0)?;
            format!("{float:.0}").parse().ok()
        });
        whole
            .filter(|whole| (least..=MOST_WHOLE).contains(whole))
            .and_then(|whole| u32::try_from(whole).ok())
            .ok_or_else(|| self.refuse(format!("must be a whole number from {least} to {MOST_WHOLE}")))
    }

    /// The number, if it is from 0 to 1.
    pub fn fraction(&self) -> Result<f64, Refusal> {
        let number = self.value.as_f64().ok_or_else(|| self.wrong_type("a number"))?;
        if (0.0..=1.0).contains(&number) { Ok(number) } else { Err(self.refuse("must be from 0 to 1")) }
    }
}
