//! The parts of a prompt other than its messages, in Converse's terms: tools, a guardrail, and the format of the
//! answer.

use std::fmt;

pub use sentry_domain::ServiceTier;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::content::CachePoint;

/// An entry of the list of tools.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Tool {
    /// A tool that the model may request.
    ToolSpec(ToolSpec),
    /// Marks that the list up to this point is cached.
    CachePoint(CachePoint),
}

impl Tool {
    /// The tool, if this entry is one.
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

/// The description of a tool for the model.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ToolSpec {
    /// Name of the tool: `[a-zA-Z0-9_-]{1,64}`.
    pub name: String,
    /// Purpose of the tool, in the client's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Schema of the tool's input.
    pub input_schema: InputSchema,
    /// `true` if the model's input must match the schema. If it is absent, the model's default applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
}

/// The schema of a tool's input.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum InputSchema {
    /// A JSON Schema, as an object.
    Json(Value),
}

impl InputSchema {
    /// The JSON Schema itself.
    #[must_use]
    pub const fn json(&self) -> &Value {
        let Self::Json(schema) = self;
        schema
    }
}

/// The rule that decides which tool the model requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum ToolChoice {
    /// The model may request any tool, or none.
    Auto {},
    /// The model must request one of the tools.
    Any {},
    /// The model must request this tool.
    Tool {
        /// Name of one of the tools.
        name: String,
    },
}

/// The guardrail that evaluates the prompt and the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guardrail {
    /// The guardrail's id or ARN.
    pub identifier: String,
    /// A version number, or `DRAFT`.
    pub version: String,
}

/// The required format of the answer's text.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum OutputFormat {
    /// JSON that matches a schema.
    JsonSchema(JsonSchema),
}

impl fmt::Debug for OutputFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OutputFormat")
    }
}

/// The schema that the answer's text must match.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JsonSchema {
    /// The name by which the model refers to the schema.
    pub name: String,
    /// A JSON Schema, as an object.
    pub schema: Value,
    /// The purpose of the schema, for the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
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
