//! Reads the fields of a JSON object one by one. Values keep their text. A field that nobody has taken is refused with
//! its path, and so is one that is there twice. No error contains a value.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeOwned, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::document::unsupported;
use crate::errors::ApiError;

/// The fields of an object that are not taken yet.
pub struct Fields<'a> {
    /// The path of the object. Empty for the body.
    path: String,
    left: BTreeMap<String, &'a RawValue>,
}

impl<'a> Fields<'a> {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// If it is not a JSON object, or has a field twice. The error has the position of a problem of JSON.
    pub fn of_body(body: &'a [u8]) -> Result<Self, ApiError> {
        match serde_json::from_slice(body) {
            Ok(Object(left)) => Ok(Self { path: String::new(), left }),
            Err(error) => {
                let (line, column) = (error.line(), error.column());
                let problem = match Twice::of(&error) {
                    Some(Twice(name)) => format!("the field {name} is there twice"),
                    None => "it is not a JSON object".to_owned(),
                };
                let text = format!("The request body cannot be read at line {line}, column {column}: {problem}.");
                Err(ApiError::validation(&text))
            }
        }
    }

    /// Reads the object at `path`.
    ///
    /// # Errors
    /// If it is no object, or has a field twice.
    pub fn of(path: String, value: &'a RawValue) -> Result<Self, ApiError> {
        match serde_json::from_str(value.get()) {
            Ok(Object(left)) => Ok(Self { path, left }),
            Err(error) => Err(match Twice::of(&error) {
                Some(Twice(name)) => invalid(&joined(&path, &name), "is there twice"),
                None => invalid(&path, "must be an object"),
            }),
        }
    }

    /// The path of the field `name`.
    pub fn path(&self, name: &str) -> String {
        joined(&self.path, name)
    }

    /// `true` if the field is there and not taken.
    pub fn has(&self, name: &str) -> bool {
        self.left.contains_key(name)
    }

    /// The value of a field. A field that is `null` is absent.
    pub fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        self.left.remove(name).filter(|value| value.get() != "null")
    }

    /// A copy of the value of a field.
    pub fn raw(&mut self, name: &str) -> Option<Box<RawValue>> {
        self.take(name).map(ToOwned::to_owned)
    }

    /// The value of a field that must be there.
    ///
    /// # Errors
    /// If it is absent.
    pub fn required(&mut self, name: &str) -> Result<&'a RawValue, ApiError> {
        self.take(name).ok_or_else(|| invalid(&self.path(name), "is required"))
    }

    /// A value of a type of which `expected` is the description.
    ///
    /// # Errors
    /// If the value is of another type.
    pub fn typed<T: DeserializeOwned>(&mut self, name: &str, expected: &str) -> Result<Option<T>, ApiError> {
        let value = self.take(name).map(|value| serde_json::from_str(value.get()));
        value.transpose().map_err(|_| invalid(&self.path(name), &format!("must be {expected}")))
    }

    /// Takes the field `name`, which must be a text if it is there.
    ///
    /// # Errors
    /// If the value is no text.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        self.typed(name, "a text")
    }

    /// A text that must be there.
    ///
    /// # Errors
    /// If it is absent, or no text.
    pub fn required_text(&mut self, name: &str) -> Result<String, ApiError> {
        self.text(name)?.ok_or_else(|| invalid(&self.path(name), "is required"))
    }

    /// The fields of an object inside.
    ///
    /// # Errors
    /// If the value is no object.
    pub fn object(&mut self, name: &str) -> Result<Option<Self>, ApiError> {
        self.take(name).map(|value| Self::of(self.path(name), value)).transpose()
    }

    /// The items of a list, with their paths.
    ///
    /// # Errors
    /// If the value is no list.
    pub fn list(&mut self, name: &str) -> Result<Option<Vec<(String, &'a RawValue)>>, ApiError> {
        self.take(name).map(|value| items(&self.path(name), value)).transpose()
    }

    /// Refuses what nobody has taken.
    ///
    /// # Errors
    /// If a field is left that is not `null`.
    pub fn end(self) -> Result<(), ApiError> {
        match self.left.iter().find(|(_, value)| value.get() != "null") {
            Some((name, _)) => Err(unsupported(&self.path(name), "it has no place in a request of the sentry")),
            None => Ok(()),
        }
    }
}

/// The items of the list at `path`, with their paths.
///
/// # Errors
/// If the value is no list.
pub fn items<'a>(path: &str, list: &'a RawValue) -> Result<Vec<(String, &'a RawValue)>, ApiError> {
    let list: Vec<&RawValue> = serde_json::from_str(list.get()).map_err(|_| invalid(path, "must be a list"))?;
    Ok(list.into_iter().enumerate().map(|(place, item)| (format!("{path}[{place}]"), item)).collect())
}

/// The text at `path`.
///
/// # Errors
/// If the value is no text.
pub fn text(path: &str, value: &RawValue) -> Result<String, ApiError> {
    serde_json::from_str(value.get()).map_err(|_| invalid(path, "must be a text"))
}

/// `true` if the value is a text.
pub fn is_text(value: &RawValue) -> bool {
    value.get().starts_with('"')
}

/// The error for the field at `path`.
pub fn invalid(path: &str, problem: &str) -> ApiError {
    ApiError::validation(&format!("{path} {problem}.")).at(path)
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

struct Object<'a>(BTreeMap<String, &'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Once;
        impl<'de> Visitor<'de> for Once {
            type Value = BTreeMap<String, &'de RawValue>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    if fields.contains_key(&name) {
                        return Err(A::Error::custom(format!("{}{name}", Twice::MARK)));
                    }
                    fields.insert(name, value);
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Once).map(Self)
    }
}

/// The name of a field that is there twice.
struct Twice(String);

impl Twice {
    const MARK: &'static str = "twice: ";

    /// Reads it from the error of the parser, whose text ends with the position.
    fn of(error: &serde_json::Error) -> Option<Self> {
        let text = error.to_string();
        let name = text.strip_prefix(Self::MARK)?;
        Some(Self(name.rsplit_once(" at line ").map_or(name, |(name, _)| name).to_owned()))
    }
}

/// `true` if the value is a list, and `false` if it is a text.
///
/// # Errors
/// If it is neither.
pub fn is_list(path: &str, value: &RawValue) -> Result<bool, ApiError> {
    match value.get().starts_with('[') {
        true => Ok(true),
        false if is_text(value) => Ok(false),
        false => Err(invalid(path, "must be a text or a list")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error<T>(result: Result<T, ApiError>) -> String {
        result.err().unwrap().message
    }

    #[test]
    fn values_keep_their_text_and_null_is_absent() {
        let mut fields = Fields::of_body(br#"{"a": 1.50, "b": null, "c": {"d": ["x", 2]}, "e": null}"#).unwrap();
        assert_eq!(fields.take("a").unwrap().get(), "1.50");
        assert!(fields.take("b").is_none());
        let mut inside = fields.object("c").unwrap().unwrap();
        let list = inside.list("d").unwrap().unwrap();
        let shown: Vec<_> = list.iter().map(|(path, value)| (path.as_str(), value.get())).collect();
        assert_eq!(shown, [("c.d[0]", "\"x\""), ("c.d[1]", "2")]);
        assert!(inside.end().is_ok() && fields.end().is_ok());
    }

    #[test]
    fn a_field_that_is_left_missing_twice_or_of_another_type_is_named_without_its_value() {
        let body = br#"{"a": {"b": "secret"}, "c": "secret"}"#;
        let fields = Fields::of_body(body).unwrap();
        assert!(error(fields.end()).starts_with("a cannot be used through the sentry"));
        let mut fields = Fields::of_body(body).unwrap();
        assert!(error(fields.object("a").unwrap().unwrap().end()).starts_with("a.b cannot be used"));
        assert_eq!(error(fields.required("d")), "d is required.");
        assert_eq!(error(fields.typed::<u32>("c", "a number")), "c must be a number.");
        assert_eq!(
            error(Fields::of_body(br#"{"a": 1, "a": 2}"#)),
            "The request body cannot be read at line 1, column 16: the field a is there twice."
        );
        let twice: &RawValue = serde_json::from_str(r#"{"b": 1, "b": 2}"#).unwrap();
        assert_eq!(error(Fields::of("a".into(), twice)), "a.b is there twice.");
        assert_eq!(error(Fields::of("a".into(), serde_json::from_str("[]").unwrap())), "a must be an object.");
        assert!(error(Fields::of_body(b"\"secret\"")).ends_with("it is not a JSON object."));
    }
}
