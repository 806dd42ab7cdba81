//! Reads each `cachePoint` in tools, system, and messages, and checks the rules for them.

use serde_json::{Map, Value};

use crate::{
    blocks,
    cache::{CachePoint, Lifetime, Prefixes},
    content,
    error::ApiError,
    facts::{self, Rule},
    fields::{self, Fields},
    models::Model,
    prompt::Prompt,
    tokens, tools,
};

/// Maximum number of checkpoints in a request. Sources: Bedrock user guide, Prompt caching;
/// `UKGovernmentBEIS/inspect_ai` pull request 5131.
const MOST: usize = 4;

/// Reads the blocks of a request in the order in which they form prefixes.
struct Reader<'a> {
    model: Option<Model<'a>>,
    prefixes: Prefixes,
    points: Vec<CachePoint>,
}

/// Reads the checkpoints of a body. `prompt` is the parsed form of the same body.
///
/// # Errors
/// An exception if Bedrock would return one.
pub fn read(body: &Map<String, Value>, prompt: &Prompt, model: Option<Model<'_>>) -> Result<Vec<CachePoint>, ApiError> {
    let mut reader =
        Reader { model, prefixes: Prefixes::new(model.map_or("", |model| model.base)), points: Vec::new() };
    let mut before = 0_u64;
    for (index, tool) in list(body.get("toolConfig").and_then(|config| config.get("tools"))).iter().enumerate() {
        if reader.pass(tool, &format!("tools.{index}"), before)? && reader.has(Rule::NoCachedTools) {
            return Err(fields::malformed(format_args!(
                "#/toolConfig/tools/{index}: extraneous key [cachePoint] is not permitted"
            )));
        }
        before = before.saturating_add(tools::tokens_of(tool, before == 0));
    }
    for (index, block) in list(body.get("system")).iter().enumerate() {
        if !reader.pass(block, &format!("system.{index}"), before)? {
            let text = block.get("text").and_then(Value::as_str).unwrap_or_default();
            before = before.saturating_add(tokens::input_tokens([text]));
        }
    }
    for ((index, message), turn) in list(body.get("messages")).iter().enumerate().zip(&prompt.turns) {
        let (role, content) = content::message_parts(index, message)?;
        for (at, block) in content.iter().enumerate() {
            let here = if block.get("cachePoint").is_some() {
                blocks::tokens_of(role, content.get(..at).unwrap_or_default(), model)
            } else {
                0
            };
            reader.pass(block, &format!("messages.{index}.content.{at}"), before.saturating_add(here))?;
        }
        before = before.saturating_add(turn.tokens());
    }
    reader.check()
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

impl Reader<'_> {
    fn has(&self, rule: Rule) -> bool {
        self.model.is_some_and(|model| model.has(rule))
    }

    /// Reads one block, which `tokens` input tokens precede. Returns `true` if the block is a checkpoint.
    fn pass(&mut self, block: &Value, place: &str, tokens: u64) -> Result<bool, ApiError> {
        let Some(point) = block.get("cachePoint") else {
            self.prefixes.push(&block.to_string());
            return Ok(false);
        };
        let malformed = || fields::malformed(format_args!("{place}: expected type: JSONObject"));
        let point = Fields::new(point.as_object().ok_or_else(malformed)?, place, &["type", "ttl"])?;
        blocks::one_of(&point, "type", place, &["default"])?;
        let lifetime = match point.get("ttl") {
            Some(_) if blocks::one_of(&point, "ttl", place, &["5m", "1h"])? == "1h" => Lifetime::Long,
            _ => Lifetime::Short,
        };
        if lifetime == Lifetime::Long && self.has(Rule::NoLongCache) {
            return Err(ApiError::validation("Extended TTL prompt caching is only supported for Anthropic models"));
        }
        // Sources: BerriAI/litellm pull request 25855, headroomlabs-ai/headroom issue 2939.
        if lifetime == Lifetime::Long && self.points.iter().any(|earlier| earlier.lifetime == Lifetime::Short) {
            return Err(ApiError::model(format!(
                "{place}.cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. Note that \
                 blocks are processed in the following order: `tools`, `system`, `messages`."
            )));
        }
        self.points.push(CachePoint { lifetime, tokens, prefixes: self.prefixes.here() });
        Ok(true)
    }

    fn check(self) -> Result<Vec<CachePoint>, ApiError> {
        if !self.points.is_empty() && self.has(Rule::CachesImplicitly) {
            return Err(fields::unsupported("cachePoint"));
        }
        let is_listed = self.model.is_some_and(|model| facts::of(model.base).is_some());
        if !self.points.is_empty() && is_listed && !self.has(Rule::Caches) {
            // Sources: strands-agents/harness-sdk pull request 1807 (AccessDeniedException), BerriAI/litellm pull
            // request 39210 (403).
            return Err(ApiError::access_denied(
                "You invoked an unsupported model or your request did not allow prompt caching. See the documentation for more \
                 information.",
            ));
        }
        if self.points.len() > MOST {
            return Err(ApiError::model(format!(
                "A maximum of {MOST} blocks with cache_control may be provided. Found {}.",
                self.points.len()
            )));
        }
        Ok(self.points)
    }
}
