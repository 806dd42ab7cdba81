//! What stands beside the messages of a prompt: tools, a guardrail, a service tier; in Converse's words.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::content::names;

/// A tool that the model may ask for.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tool {
    /// What it is.
    pub tool_spec: ToolSpec,
}

impl fmt::Debug for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tool")
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

names! {
    /// How a request is processed, and at which rate.
    ServiceTier { Default = "default", Flex = "flex", Priority = "priority", Reserved = "reserved", }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tools_are_written_as_they_are_read_and_not_shown() {
        let tool = json!({"toolSpec": {"name": "secret", "description": "secret", "inputSchema": {"json": {"type": "object"}}}});
        let read: Tool = serde_json::from_value(tool.clone()).unwrap();
        assert_eq!((serde_json::to_value(&read).unwrap(), format!("{read:?}").as_str()), (tool, "Tool"));
        assert_eq!(read.tool_spec.input_schema.json(), &json!({"type": "object"}));
        for choice in [json!({"auto": {}}), json!({"any": {}}), json!({"tool": {"name": "t"}})] {
            let read: ToolChoice = serde_json::from_value(choice.clone()).unwrap();
            assert_eq!(serde_json::to_value(read).unwrap(), choice);
        }
        assert!(serde_json::from_value::<ToolChoice>(json!({"auto": {"name": "t"}})).is_err());
    }

    #[test]
    fn tiers_are_written_as_bedrock_names_them() {
        for tier in ServiceTier::ALL {
            assert_eq!(serde_json::to_value(tier).unwrap(), tier.name());
        }
    }
}
