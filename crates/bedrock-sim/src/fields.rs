//! Reading JSON bodies the way Bedrock does: unknown fields, wrong types and figures out of range are ValidationExceptions.

use serde_json::{Map, Value};

use crate::error::ApiError;

/// The body of a request as an object.
///
/// # Errors
/// A ValidationException if it is not JSON or not an object.
pub fn body(bytes: &[u8]) -> Result<Map<String, Value>, ApiError> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(malformed("#: expected type: JSONObject")),
        Err(_) => Err(malformed("the body is not valid JSON")),
    }
}

/// A ValidationException for a body that does not have the right form.
pub fn malformed(detail: impl std::fmt::Display) -> ApiError {
    ApiError::validation(format!("Malformed input request: {detail}, please reformat your input and try again."))
}

/// Sets a field of an object; anything else stays as it is.
pub fn set(object: &mut Value, name: &str, value: impl Into<Value>) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value.into());
    }
}

/// An object together with its place in the body, for messages.
#[derive(Clone, Copy)]
pub struct Fields<'a> {
    map: &'a Map<String, Value>,
    place: &'a str,
}

impl<'a> Fields<'a> {
    /// The object at this place; fields other than `known` are refused.
    ///
    /// # Errors
    /// A ValidationException that names the unknown field.
    pub fn new(map: &'a Map<String, Value>, place: &'a str, known: &[&str]) -> Result<Self, ApiError> {
        match map.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(malformed(format_args!("{place}: extraneous key [{key}] is not permitted"))),
            None => Ok(Self { map, place }),
        }
    }

    /// The value of a field, if it is set.
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// An object inside this one.
    ///
    /// # Errors
    /// A ValidationException if it is something else.
    pub fn object(&self, name: &str) -> Result<Option<&'a Map<String, Value>>, ApiError> {
        self.typed(name, "JSONObject", Value::as_object)
    }

    /// A list.
    ///
    /// # Errors
    /// A ValidationException if it is something else.
    pub fn list(&self, name: &str) -> Result<Option<&'a Vec<Value>>, ApiError> {
        self.typed(name, "JSONArray", Value::as_array)
    }

    /// A string.
    ///
    /// # Errors
    /// A ValidationException if it is something else.
    pub fn string(&self, name: &str) -> Result<Option<&'a str>, ApiError> {
        self.typed(name, "String", Value::as_str)
    }

    /// A text that must be there and not be empty.
    ///
    /// # Errors
    /// A ValidationException if it is missing, empty or something else.
    pub fn text(&self, name: &str) -> Result<&'a str, ApiError> {
        match self.string(name)? {
            Some("") => Err(malformed(format_args!("{}/{name}: expected minLength: 1, actual: 0", self.place))),
            Some(text) => Ok(text),
            None => Err(self.missing(name)),
        }
    }

    /// An integer of at least `min`.
    ///
    /// # Errors
    /// A ValidationException if it is not an integer or less.
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

    /// A number from 0 to 1.
    ///
    /// # Errors
    /// A ValidationException if it is not a number or out of range.
    pub fn fraction(&self, name: &str) -> Result<Option<f64>, ApiError> {
        self.number(name, 0.0, 1.0)
    }

    /// A number from `min` to `max`.
    ///
    /// # Errors
    /// A ValidationException if it is not a number or out of range.
    pub fn number(&self, name: &str, min: f64, max: f64) -> Result<Option<f64>, ApiError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.as_f64() {
            None => Err(self.wrong_type(name, "Number")),
            Some(number) if (min..=max).contains(&number) => Ok(Some(number)),
            Some(_) => Err(self.constraint(name, value, &format!("Member must have value between {min} and {max}"))),
        }
    }

    /// A list of strings that are not empty; missing means none.
    ///
    /// # Errors
    /// A ValidationException if it is something else.
    pub fn strings(&self, name: &str) -> Result<Vec<String>, ApiError> {
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let values = self.list(name)?.map(Vec::as_slice).unwrap_or_default();
        let strings: Option<Vec<String>> = values.iter().map(text).collect();
        strings.ok_or_else(|| self.wrong_type(name, "list of non-empty strings"))
    }

    /// The error for a required field that is not there.
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
