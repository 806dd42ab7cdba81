//! Converse's own rules for a conversation. They apply to every model.
//!
//! Sources: Amazon Bedrock API Reference, Message, `ContentBlock`, `DocumentBlock`, `ToolResultBlock` and `CachePointBlock`;
//! Amazon Bedrock User Guide, "Call a tool with the Converse API" and "Prompt caching".

use std::collections::BTreeSet;

use sentry_contract::content::{Block, CachePoint, Content, ToolResult, ToolUse};
use sentry_contract::request::{Message, Role};
use sentry_contract::tools::Tool;
use sentry_domain::CacheTtl;

use crate::field::Refusal;
use crate::prompt::PromptFields;

/// Limit of pictures in one turn.
const MOST_IMAGES: usize = 20;
/// Limit of documents in one turn.
const MOST_DOCUMENTS: usize = 5;
/// Limit of cache points in a request.
const MOST_CACHE_POINTS: usize = 4;

/// Checks the messages and the tools of a prompt.
///
/// # Errors
/// Returns the first place that Converse would reject.
pub fn check(fields: &PromptFields) -> Result<(), Refusal> {
    let turns = turns(&fields.messages);
    starts_with_the_user(&turns)?;
    for turn in &turns {
        no_blank_text(turn)?;
        files(turn)?;
    }
    tool_names(&fields.tools)?;
    tool_turns(&turns, fields)?;
    cache_points(fields)
}

/// A block and its path in the document.
struct Placed<'a> {
    path: String,
    block: &'a Block,
}

/// Consecutive messages of one role. System messages and empty messages are left out.
struct Turn<'a> {
    role: Role,
    /// The index of the turn's first message in `messages`.
    first: usize,
    blocks: Vec<Placed<'a>>,
    has_text: bool,
}

impl Turn<'_> {
    fn tool_uses(&self) -> impl Iterator<Item = (&str, &ToolUse)> {
        self.blocks.iter().filter_map(|placed| match placed.block {
            Block::ToolUse(tool_use) => Some((placed.path.as_str(), tool_use)),
            _ => None,
        })
    }

    fn tool_results(&self) -> impl Iterator<Item = (&str, &ToolResult)> {
        self.blocks.iter().filter_map(|placed| match placed.block {
            Block::ToolResult(result) => Some((placed.path.as_str(), result)),
            _ => None,
        })
    }
}

fn turns(messages: &[Message]) -> Vec<Turn<'_>> {
    let mut turns: Vec<Turn<'_>> = Vec::new();
    for (place, Message { role, content }) in messages.iter().enumerate() {
        if *role == Role::System || is_empty(content) {
            continue;
        }
        if turns.last().is_none_or(|turn| turn.role != *role) {
            turns.push(Turn { role: *role, first: place, blocks: Vec::new(), has_text: false });
        }
        let Some(turn) = turns.last_mut() else { continue };
        turn.has_text |= matches!(content, Content::Text(_));
        for (index, block) in content.blocks().iter().enumerate() {
            turn.has_text |= block.as_text().is_some();
            turn.blocks.push(Placed { path: format!("prompt.messages[{place}].content[{index}]"), block });
        }
    }
    turns
}

/// `true` if a message has only blank texts, or nothing.
fn is_empty(content: &Content) -> bool {
    match content {
        Content::Text(text) => text.trim().is_empty(),
        Content::Blocks(blocks) => {
            blocks.iter().all(|block| block.as_text().is_some_and(|text| text.trim().is_empty()))
        }
    }
}

fn starts_with_the_user(turns: &[Turn<'_>]) -> Result<(), Refusal> {
    match turns.first() {
        Some(Turn { role: Role::User, .. }) => Ok(()),
        Some(turn) => {
            let path = format!("prompt.messages[{}].role", turn.first);
            Err(Refusal::new(path, "must be user: a conversation starts with a turn of the user"))
        }
        None => Err(Refusal::new("prompt.messages", "must have a message of the user; the others are empty")),
    }
}

/// Refuses a blank text block of the assistant beside other blocks. A message with only blank texts is left out
/// instead.
fn no_blank_text(turn: &Turn<'_>) -> Result<(), Refusal> {
    let is_blank = |placed: &&Placed<'_>| placed.block.as_text().is_some_and(|text| text.trim().is_empty());
    match turn.blocks.iter().find(is_blank) {
        Some(placed) => {
            Err(Refusal::new(format!("{}.text", placed.path), "must have a character that is not white space"))
        }
        None => Ok(()),
    }
}

fn files(turn: &Turn<'_>) -> Result<(), Refusal> {
    let of = |is: fn(&Block) -> bool| turn.blocks.iter().filter(move |placed| is(placed.block));
    if let Some(extra) = of(|block| matches!(block, Block::Image(_))).nth(MOST_IMAGES) {
        return Err(Refusal::new(&extra.path, format!("is one picture too many: a turn has at most {MOST_IMAGES}")));
    }
    let is_document = |block: &Block| matches!(block, Block::Document(_));
    if let Some(extra) = of(is_document).nth(MOST_DOCUMENTS) {
        return Err(Refusal::new(
            &extra.path,
            format!("is one document too many: a turn has at most {MOST_DOCUMENTS}"),
        ));
    }
    match of(is_document).next() {
        Some(document) if !turn.has_text => {
            Err(Refusal::new(&document.path, "needs a text in the same turn that says what to do with the document"))
        }
        _ => Ok(()),
    }
}

fn tool_names(tools: &[Tool]) -> Result<(), Refusal> {
    let mut names = BTreeSet::new();
    for (place, tool) in tools.iter().enumerate() {
        if tool.spec().is_some_and(|spec| !names.insert(spec.name.as_str())) {
            let path = format!("prompt.tools[{place}].toolSpec.name");
            return Err(Refusal::new(path, "is the name of another tool too; every tool needs its own"));
        }
    }
    Ok(())
}

/// Checks the order of tool use. Every `toolUse` needs a `toolResult` in the next turn, every `toolResult` answers a
/// `toolUse` of the previous turn, and both need `tools`.
fn tool_turns(turns: &[Turn<'_>], fields: &PromptFields) -> Result<(), Refusal> {
    let mut open = BTreeSet::new();
    for (place, turn) in turns.iter().enumerate() {
        for (path, result) in turn.tool_results() {
            if !open.remove(result.tool_use_id.as_str()) {
                let path = format!("{path}.toolResult.toolUseId");
                return Err(Refusal::new(path, "does not match an unanswered toolUse of the previous turn"));
            }
        }
        let results: Vec<&str> = turns
            .get(place + 1)
            .into_iter()
            .flat_map(Turn::tool_results)
            .map(|(_, result)| &*result.tool_use_id)
            .collect();
        open.clear();
        for (path, used) in turn.tool_uses() {
            if !open.insert(used.tool_use_id.as_str()) {
                return Err(Refusal::new(format!("{path}.toolUse.toolUseId"), "is used twice in this turn"));
            }
            if !results.contains(&used.tool_use_id.as_str()) {
                let problem = "has no toolResult in the next turn; send the result of the tool, or omit the toolUse";
                return Err(Refusal::new(format!("{path}.toolUse"), problem));
            }
        }
        let speaks_of_tools = turn.tool_uses().map(|(path, _)| path).chain(turn.tool_results().map(|(path, _)| path));
        if let (Some(path), true) = (speaks_of_tools.min(), fields.tools.is_empty()) {
            let problem = "is about a tool, so the request needs `prompt.tools`; send the tools with every turn";
            return Err(Refusal::new(path, problem).parameter("tools"));
        }
    }
    Ok(())
}

/// Checks the number and order of cache points. A request has at most four. In the order of the prompt (tools,
/// `system`, messages), points of one hour come before points of five minutes.
fn cache_points(fields: &PromptFields) -> Result<(), Refusal> {
    let mut shorter_before = false;
    for (count, (path, point)) in placed_cache_points(fields).into_iter().enumerate() {
        if count == MOST_CACHE_POINTS {
            return Err(Refusal::new(path, format!("is one too many: a request has at most {MOST_CACHE_POINTS}")));
        }
        match point.ttl.unwrap_or_default() {
            CacheTtl::OneHour if shorter_before => {
                let problem = "is 1h, but an earlier cache point is 5m; longer lifetimes must come first, in the order tools, system, messages";
                return Err(Refusal::new(format!("{path}.ttl"), problem));
            }
            CacheTtl::OneHour => {}
            CacheTtl::FiveMinutes => shorter_before = true,
        }
    }
    Ok(())
}

fn placed_cache_points(fields: &PromptFields) -> Vec<(String, CachePoint)> {
    let of_tools = fields.tools.iter().enumerate().filter_map(|(place, tool)| match tool {
        Tool::CachePoint(point) => Some((format!("prompt.tools[{place}].cachePoint"), *point)),
        Tool::ToolSpec(_) => None,
    });
    let of_system = fields.system.iter().flat_map(|content| points_of("prompt.system".to_owned(), content));
    let system_first = |role: Role| role != Role::System;
    let mut messages: Vec<_> = fields.messages.iter().enumerate().collect();
    messages.sort_by_key(|(_, message)| system_first(message.role));
    let of_messages = messages
        .into_iter()
        .flat_map(|(place, message)| points_of(format!("prompt.messages[{place}].content"), &message.content));
    of_tools.chain(of_system).chain(of_messages).collect()
}

fn points_of(path: String, content: &Content) -> impl Iterator<Item = (String, CachePoint)> {
    content.blocks().iter().enumerate().filter_map(move |(index, block)| match block {
        Block::CachePoint(point) => Some((format!("{path}[{index}].cachePoint"), *point)),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
