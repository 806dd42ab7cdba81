//! Reads JSON bodies as Bedrock does. Unknown fields, wrong types, and numbers out of range are errors.

use serde_json::{Map, Value};

use crate::error::ApiError;

/// Parses the body of a request as a JSON object.
///
/// # Errors
/// A `ValidationException` if the body is not valid JSON, or not an object.
pub fn body(bytes: &[u8]) -> Result<Map<String, Value>, ApiError> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(malformed("#: expected type: JSONObject")),
        Err(_) => Err(malformed("the body is not valid JSON")),
    }
}

/// A `ValidationException` for a body that does not have the right form.
pub fn malformed(detail: impl std::fmt::Display) -> ApiError {
    ApiError::validation(format!("Malformed input request: {detail}, please reformat your input and try again."))
}

/// A `ValidationException` for a Converse field that the model does not support.
pub fn unsupported(field: &str) -> ApiError {
    ApiError::validation(format!("This model doesn't support the {field} field. Remove {field} and try again."))
}

/// Sets a field if `object` is a JSON object. Does nothing for other values.
pub fn set(object: &mut Value, name: &str, value: impl Into<Value>) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value.into());
    }
}

/// A JSON object with its place in the body, which error messages name.
#[derive(Clone, Copy)]
pub struct Fields<'a> {
    map: &'a Map<String, Value>,
    place: &'a str,
}

impl<'a> Fields<'a> {
    /// The object at `place`, which may have only the fields `known`.
    ///
    /// # Errors
    /// A `ValidationException` that names the first unknown field.
    pub fn new(map: &'a Map<String, Value>, place: &'a str, known: &[&str]) -> Result<Self, ApiError> {
        match map.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(malformed(format_args!("{place}: extraneous key [{key}] is not permitted"))),
            None => Ok(Self { map, place }),
        }
    }

    /// The value of a field. `None` if it is absent or null.
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// The object in a field. `None` if the field is absent.
    ///
    /// # Errors
    /// A `ValidationException` if the value is not an object.
    pub fn object(&self, name: &str) -> Result<Option<&'a Map<String, Value>>, ApiError> {
        self.typed(name, "JSONObject", Value::as_object)
    }

    /// The list in a field. `None` if the field is absent.
    ///
    /// # Errors
    /// A `ValidationException` if the value is not a list.
    pub fn list(&self, name: &str) -> Result<Option<&'a Vec<Value>>, ApiError> {
        self.typed(name, "JSONArray", Value::as_array)
    }

    /// The string in a field. `None` if the field is absent.
    ///
    /// # Errors
    /// A `ValidationException` if the value is not a string.
    pub fn string(&self, name: &str) -> Result<Option<&'a str>, ApiError> {
        self.typed(name, "String", Value::as_str)
    }

    /// The string in a required field, which must not be empty.
    ///
    /// # Errors
    /// A `ValidationException` if the value is absent, empty, or not a string.
    pub fn text(&self, name: &str) -> Result<&'a str, ApiError> {
        match self.string(name)? {
            Some("") => Err(malformed(format_args!("{}/{name}: expected minLength: 1, actual: 0", self.place))),
            Some(text) => Ok(text),
            None => Err(self.missing(name)),
        }
    }

    /// The integer in a field, which must be at least `min`. `None` if the field is absent.
    ///
    /// # Errors
    /// A `ValidationException` if the value is not an integer or is less than `min`.
    pub fn integer(&self, name: &str, min: u64) -> Result<Option<u64>, ApiError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        if !(value.is_u64() || value.is_i64()) {
            return Err(self.wrong_type(name, "Integer"));
        }
        match value.as_u64() {
            Some(number) if number >= min => Ok(Some(number)),
            _ => Err(self.constraint(name, value, &format!("Member must have value greater than or equal to {min}"))),
        }
    }

    /// The number in a field, which must be from 0 to 1. `None` if the field is absent.
    ///
    /// # Errors
    /// A `ValidationException` if the value is not a number or is out of range.
    pub fn fraction(&self, name: &str) -> Result<Option<f64>, ApiError> {
        self.number(name, 0.0, 1.0)
    }

    /// The number in a field, which must be from `min` to `max`. `None` if the field is absent.
    ///
    /// # Errors
    /// A `ValidationException` if the value is not a number or is out of range.
    pub fn number(&self, name: &str, min: f64, max: f64) -> Result<Option<f64>, ApiError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.as_f64() {
            None => Err(self.wrong_type(name, "Number")),
            Some(number) if (min..=max).contains(&number) => Ok(Some(number)),
            Some(_) => Err(self.constraint(name, value, &format!("Member must have value between {min} and {max}"))),
        }
    }

    /// The list of non-empty strings in a field. The list is empty if the field is absent.
    ///
    /// # Errors
    /// A `ValidationException` if the value is not a list of non-empty strings.
    pub fn strings(&self, name: &str) -> Result<Vec<String>, ApiError> {
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let values = self.list(name)?.map(Vec::as_slice).unwrap_or_default();
        let strings: Option<Vec<String>> = values.iter().map(text).collect();
        strings.ok_or_else(|| self.wrong_type(name, "list of non-empty strings"))
    }

    /// The error for a required field that is absent.
    pub fn missing(&self, name: &str) -> ApiError {
        malformed(format_args!("{}: required key [{name}] not found", self.place))
    }

    fn typed<T>(&self, name: &str, kind: &str, read: impl Fn(&'a Value) -> Option<T>) -> Result<Option<T>, ApiError> {
        self.get(name).map(|value| read(value).ok_or_else(|| self.wrong_type(name, kind))).transpose()
    }

    fn wrong_type(&self, name: &str, kind: &str) -> ApiError {
        malformed(format_args!("{}/{name}: expected type: {kind}", self.place))
    }

    fn constraint(&self, name: &str, value: &Value, rule: &str) -> ApiError {
        ApiError::validation(format!(
            "1 validation error detected: Value '{value}' at '{}/{name}' failed to satisfy constraint: {rule}",
            self.place
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check<T>(value: Value, read: impl Fn(Fields<'_>) -> Result<T, ApiError>) -> Result<T, String> {
        let Value::Object(map) = value else { panic!("not an object") };
        Fields::new(&map, "#", &["n", "s"]).and_then(read).map_err(|error| error.message)
    }

    #[test]
    fn unknown_fields_are_refused_by_name() {
        let error = check(json!({"temprature": 1}), |_| Ok(())).unwrap_err();
        assert!(error.contains("extraneous key [temprature]"), "{error}");
    }

    #[test]
    fn figures_out_of_range_are_refused() {
        assert_eq!(check(json!({"n": 1}), |f| f.integer("n", 1)), Ok(Some(1)));
        assert_eq!(check(json!({"n": null}), |f| f.integer("n", 1)), Ok(None));
        for bad in [json!({"n": 0}), json!({"n": -1}), json!({"n": 1.5}), json!({"n": "1"})] {
            assert!(check(bad, |f| f.integer("n", 1)).is_err());
        }
        assert_eq!(check(json!({"n": 1}), |f| f.fraction("n")), Ok(Some(1.0)));
        for bad in [json!({"n": 1.01}), json!({"n": -0.1}), json!({"n": "0"})] {
            assert!(check(bad, |f| f.fraction("n")).is_err());
        }
    }

    #[test]
    fn lists_of_strings_have_no_empty_ones() {
        assert_eq!(check(json!({}), |f| f.strings("s")), Ok(vec![]));
        assert_eq!(check(json!({"s": ["a"]}), |f| f.strings("s")), Ok(vec!["a".to_owned()]));
        for bad in [json!({"s": [""]}), json!({"s": [1]}), json!({"s": "a"})] {
            assert!(check(bad, |f| f.strings("s")).is_err());
        }
    }
}
