//! What stands beside the messages of a prompt: tools, a guardrail, the form of the answer; in Converse's words.

use std::fmt;

pub use sentry_domain::ServiceTier;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::content::CachePoint;

/// An entry of the list of tools.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Tool {
    /// A tool that the model may ask for.
    ToolSpec(ToolSpec),
    /// The list up to here is cached.
    CachePoint(CachePoint),
}

impl Tool {
    /// The tool, if it is one.
    #[must_use]
    pub const fn spec(&self) -> Option<&ToolSpec> {
        match self {
            Self::ToolSpec(spec) => Some(spec),
            Self::CachePoint(_) => None,
        }
    }
}

impl fmt::Debug for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ToolSpec(_) => f.write_str("ToolSpec"),
            Self::CachePoint(point) => point.fmt(f),
        }
    }
}

/// What the model is told of a tool.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ToolSpec {
    /// `[a-zA-Z0-9_-]{1,64}`
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it takes.
    pub input_schema: InputSchema,
    /// Whether the model's input must fit the schema; as the model does by itself where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
}

/// What a tool takes.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum InputSchema {
    /// A JSON Schema.
    Json(Value),
}

impl InputSchema {
    /// The JSON Schema.
    #[must_use]
    pub const fn json(&self) -> &Value {
        let Self::Json(schema) = self;
        schema
    }
}

/// Which tool the model has to ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum ToolChoice {
    /// Whichever it likes, or none.
    Auto {},
    /// One of them.
    Any {},
    /// This one.
    Tool {
        /// One of the tools.
        name: String,
    },
}

/// The guardrail that looks at what goes in and what comes out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guardrail {
    /// Its id or ARN.
    pub identifier: String,
    /// A number, or `DRAFT`.
    pub version: String,
}

/// The form that the answer's text must have.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum OutputFormat {
    /// JSON by a schema.
    JsonSchema(JsonSchema),
}

impl fmt::Debug for OutputFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OutputFormat")
    }
}

/// A schema that the answer's text fits.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JsonSchema {
    /// What the model knows it by.
    pub name: String,
    /// A JSON Schema, an object.
    pub schema: Value,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tools_are_written_as_they_are_read_and_not_shown() {
        let tool = json!({"toolSpec": {"name": "secret", "description": "secret", "inputSchema": {"json": {"type": "object"}}}});
        let read: Tool = serde_json::from_value(tool.clone()).unwrap();
        assert_eq!((serde_json::to_value(&read).unwrap(), format!("{read:?}").as_str()), (tool, "ToolSpec"));
        assert_eq!(read.spec().unwrap().input_schema.json(), &json!({"type": "object"}));
        for choice in [json!({"auto": {}}), json!({"any": {}}), json!({"tool": {"name": "t"}})] {
            let read: ToolChoice = serde_json::from_value(choice.clone()).unwrap();
            assert_eq!(serde_json::to_value(read).unwrap(), choice);
        }
        assert!(serde_json::from_value::<ToolChoice>(json!({"auto": {"name": "t"}})).is_err());
    }
}
