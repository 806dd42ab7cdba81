//! The upper bound of a request's input tokens.
//!
//! A token is at least one byte of UTF-8. So the bytes of a text bound its tokens for any tokenizer, if the model
//! receives the text as it was sent. The bytes of an image, and of a document in a compressed format, bound nothing.
//! The model cannot read more than its context window, so the window is the bound.

use sentry_contract::content::{
    Block, Content, Document, DocumentSource, GuardContent, Image, ReasoningContent, ReasoningText, ResultBlock,
};
use sentry_contract::request::Prompt;
use sentry_contract::tools::{JsonSchema, OutputFormat, Tool};
use sentry_models::TokenLimits;
use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{PrettyFormatter, Serializer};

use crate::field::Refusal;
use crate::picture;

/// Tokens that a chat template may add to each message, and to each block of a list: its role, separators, the end of
/// the turn. This and the following margins are this project's own. The published templates of Llama 3 and of Qwen
/// (`ChatML`) add 5.
const TOKENS_A_MESSAGE: u64 = 16;
/// Tokens that a chat template may add once: the start of the text, its own preamble, the turn that the model writes.
const TOKENS_A_REQUEST: u64 = 64;
/// Tokens that a template may add to a tool, to a tool use and to a tool result: tags and the names of their parts.
const TOKENS_A_TOOL: u64 = 64;
/// Tokens of the instructions that a model receives if there are tools. Anthropic publishes 159 to 530 for the Claude 3
/// models ("Tool use pricing and tokens"). The rest is this project's margin.
const TOKENS_OF_TOOL_USE: u64 = 1024;
/// Tokens that may surround a document: its number, format and tags.
const TOKENS_A_DOCUMENT: u64 = 128;
/// Bytes of a 16-bit unit of a character outside ASCII, if JSON is written in ASCII: `\uXXXX`.
const BYTES_OF_AN_ESCAPE: usize = 6;

/// The upper bound of the input tokens of `prompt`.
///
/// # Errors
/// Returns the first block whose tokens only the context window bounds, if the window is not known.
pub fn input_tokens(prompt: &Prompt, limits: TokenLimits) -> Result<u64, Refusal> {
    let TokenLimits { context_window, picture: rule, .. } = limits;
    match (unbounded(prompt, rule.is_some()), context_window) {
        (None, window) => {
            let pictures =
                rule.into_iter().flat_map(|rule| pictures(prompt).map(move |image| picture::tokens(image, rule)));
            let tokens = pictures.fold(written(prompt), u64::saturating_add);
            Ok(window.filter(|_| prompt.has_images()).map_or(tokens, |window| tokens.min(window.into())))
        }
        (Some(_), Some(window)) => Ok(window.into()),
        (Some(path), None) => Err(Refusal::new(
            path,
            "cannot be held against a budget: its bytes do not bound its tokens, and the catalogue does not know the model's context \
             window. An admin can add `contextWindow` to the model's entry of the catalogue table, and `picture` for pictures",
        )),
    }
}

fn pictures(prompt: &Prompt) -> impl Iterator<Item = &Image> {
    let blocks = prompt.messages.iter().flat_map(|message| message.content.blocks());
    blocks.flat_map(|block| {
        let own = match block {
            Block::Image(image) | Block::GuardContent(GuardContent::Image(image)) => Some(image),
            _ => None,
        };
        let results = block.results().iter();
        own.into_iter()
            .chain(results.filter_map(|each| if let ResultBlock::Image(image) = each { Some(image) } else { None }))
    })
}

/// The path of the first block whose tokens only the context window bounds. A picture is such a block unless
/// `pictures_are_bounded`.
fn unbounded(prompt: &Prompt, pictures_are_bounded: bool) -> Option<String> {
    let places = prompt.messages.iter().enumerate().flat_map(|(message, each)| {
        let place = move |(block, each)| (format!("prompt.messages[{message}].content[{block}]"), each);
        each.content.blocks().iter().enumerate().map(place)
    });
    places.into_iter().find_map(|(place, block)| match block {
        Block::Image(_) if !pictures_are_bounded => Some(format!("{place}.image")),
        Block::GuardContent(GuardContent::Image(_)) if !pictures_are_bounded => {
            Some(format!("{place}.guardContent.image"))
        }
        Block::Document(document) if document.is_compressed() => Some(format!("{place}.document")),
        _ => block.results().iter().enumerate().find_map(|(index, result)| {
            let place = format!("{place}.toolResult.content[{index}]");
            match result {
                ResultBlock::Image(_) if !pictures_are_bounded => Some(format!("{place}.image")),
                ResultBlock::Document(document) if document.is_compressed() => Some(format!("{place}.document")),
                _ => None,
            }
        }),
    })
}

/// The upper bound of the tokens of all texts and JSON, with the margins.
fn written(prompt: &Prompt) -> u64 {
    // Without `..`, so that the compiler asks for a new field. The model does not read the fields that are ignored here.
    let Prompt {
        system,
        messages,
        tools,
        output_format: format,
        parameters: _,
        tool_choice: _,
        guardrail: _,
        service_tier: _,
        reasoning: _,
        additional_model_request_fields: _,
        additional_model_response_field_paths: _,
    } = prompt;
    let said = system.iter().chain(messages.iter().map(|message| &message.content)).map(content);
    let tools = tools.iter().map(tool);
    let form = format.iter().map(output_format);
    let instructions = if prompt.has_tools() { TOKENS_OF_TOOL_USE } else { 0 };
    said.chain(tools).chain(form).fold(TOKENS_A_REQUEST.saturating_add(instructions), u64::saturating_add)
}

fn content(content: &Content) -> u64 {
    let blocks = content.blocks().iter().map(|each| block(each).saturating_add(TOKENS_A_MESSAGE));
    let text = if let Content::Text(text) = content { bytes(text) } else { 0 };
    blocks.fold(text.saturating_add(TOKENS_A_MESSAGE), u64::saturating_add)
}

fn block(block: &Block) -> u64 {
    match block {
        Block::Text(text) => bytes(text),
        Block::Document(file) => document(file),
        Block::ToolUse(asked) => {
            sum([bytes(&asked.tool_use_id), bytes(&asked.name), json(&asked.input), TOKENS_A_TOOL])
        }
        Block::ToolResult(answered) => {
            let results = answered.content.iter().map(|each| result(each).saturating_add(TOKENS_A_MESSAGE));
            sum(results.chain([bytes(&answered.tool_use_id), TOKENS_A_TOOL]))
        }
        // A vendor's encrypted text or signature is not shorter than the text that it replaces.
        Block::ReasoningContent(ReasoningContent::ReasoningText(ReasoningText { text, signature })) => {
            sum([bytes(text), signature.as_deref().map_or(0, bytes)])
        }
        Block::ReasoningContent(ReasoningContent::RedactedContent(encrypted)) => bytes(encrypted),
        Block::GuardContent(GuardContent::Text(guarded)) => bytes(&guarded.text),
        Block::Image(_) | Block::GuardContent(GuardContent::Image(_)) | Block::CachePoint(_) => 0,
    }
}

fn result(block: &ResultBlock) -> u64 {
    match block {
        ResultBlock::Text(text) => quoted(text),
        ResultBlock::Json(value) => json(value),
        ResultBlock::Image(_) => 0,
        ResultBlock::Document(file) => document(file),
    }
}

/// The upper bound of a document's tokens. Base64 is longer than the content that it encodes.
fn document(file: &Document) -> u64 {
    let (DocumentSource::Bytes(inside) | DocumentSource::Text(inside)) = &file.source;
    sum([bytes(&file.name), bytes(inside), TOKENS_A_DOCUMENT])
}

fn tool(tool: &Tool) -> u64 {
    let Some(spec) = tool.spec() else { return 0 };
    let description = spec.description.as_deref().map_or(0, quoted);
    sum([bytes(&spec.name), description, json(spec.input_schema.json()), TOKENS_A_TOOL])
}

fn output_format(format: &OutputFormat) -> u64 {
    let OutputFormat::JsonSchema(JsonSchema { name, schema, description }) = format;
    let description = description.as_deref().map_or(0, quoted);
    sum([bytes(name), description, json(schema), TOKENS_A_TOOL])
}

fn sum(tokens: impl IntoIterator<Item = u64>) -> u64 {
    tokens.into_iter().fold(0, u64::saturating_add)
}

fn bytes(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}

/// Bytes of a text if a template writes it as a JSON string.
fn quoted(text: &str) -> u64 {
    json(&Value::from(text))
}

/// Bytes of a JSON value in the widest form that a template may write: with an indent of four, and in ASCII.
fn json(value: &Value) -> u64 {
    let mut written = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut written, PrettyFormatter::with_indent(b"    "));
    let pretty = value.serialize(&mut serializer).ok().and_then(|()| String::from_utf8(written).ok());
    let width = |char: char| if char.is_ascii() { 1 } else { char.len_utf16() * BYTES_OF_AN_ESCAPE };
    // A JSON value can always be written. If that fails, nothing bounds it.
    pretty.map_or(u64::MAX, |text| u64::try_from(text.chars().map(width).sum::<usize>()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sentry_contract::content::ImageFormat;
    use sentry_models::PictureRule;
    use serde_json::json;

    use super::*;

    const NONE: TokenLimits = TokenLimits { context_window: None, output: None, picture: None };

    fn window(tokens: u32) -> TokenLimits {
        TokenLimits { context_window: Some(tokens), ..NONE }
    }

    fn prompt(value: Value) -> Prompt {
        serde_json::from_value(value).unwrap()
    }

    fn user(content: &Value) -> Prompt {
        prompt(json!({"messages": [{"role": "user", "content": content}]}))
    }

    fn tokens(content: &Value) -> u64 {
        input_tokens(&user(content), NONE).unwrap()
    }

    #[test]
    fn bytes_of_every_message_count_and_so_do_messages_and_blocks() {
        let messages = json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "größer 🦀"}]);
        assert_eq!(input_tokens(&prompt(json!({"messages": messages})), NONE), Ok(64 + (16 + 9) + (16 + 13)));
        let beside = prompt(json!({"system": [{"text": "Hi"}], "messages": [{"role": "user", "content": "Hi"}]}));
        assert_eq!(input_tokens(&beside, NONE), Ok(64 + (16 + 16 + 2) + (16 + 2)));
        assert_eq!(tokens(&json!([{"text": "one"}, {"text": "two"}])), 64 + 16 + (16 + 3) + (16 + 3));
    }

    #[test]
    fn a_text_document_counts_by_its_bytes_and_json_by_its_widest_form() {
        let document = json!([{"document": {"format": "md", "name": "notes", "source": {"text": "# S3"}}}]);
        assert_eq!(tokens(&document), 64 + 16 + 16 + 128 + 5 + 4);
        // {\n    "q": "\u00f6"\n}
        let asked = json!([{"toolUse": {"toolUseId": "t1", "name": "find", "input": {"q": "ö"}}}]);
        assert_eq!(tokens(&asked), 64 + 1024 + 16 + 16 + 64 + 2 + 4 + (2 + 9 + 8 + 2));
        let tool = json!({"toolSpec": {"name": "find", "description": "Finds.", "inputSchema": {"json": {}}}});
        let tools = prompt(json!({"messages": [{"role": "user", "content": "Hi"}], "tools": [tool]}));
        assert_eq!(input_tokens(&tools, NONE), Ok(64 + 1024 + 16 + 2 + (64 + 4 + 8 + 2)));
    }

    #[test]
    fn a_part_without_a_bound_in_bytes_is_bounded_by_the_context_window_or_refused() {
        let image = json!({"image": {"format": "png", "source": {"bytes": "YQ=="}}});
        let pdf = json!({"document": {"format": "pdf", "name": "a", "source": {"bytes": "YQ=="}}});
        let html = json!({"document": {"format": "html", "name": "a", "source": {"bytes": "YQ=="}}});
        let result = |inside: &Value| json!({"toolResult": {"toolUseId": "t1", "content": [{"text": "a"}, inside]}});
        for (content, path) in [
            (json!([{"text": "a"}, image]), "prompt.messages[0].content[1].image"),
            (json!([html, pdf]), "prompt.messages[0].content[1].document"),
            (json!([result(&image)]), "prompt.messages[0].content[0].toolResult.content[1].image"),
            (json!([result(&pdf)]), "prompt.messages[0].content[0].toolResult.content[1].document"),
        ] {
            assert_eq!(input_tokens(&user(&content), window(200_000)), Ok(200_000));
            assert_eq!(input_tokens(&user(&content), NONE).unwrap_err().path, path);
        }
        assert!(input_tokens(&user(&json!([html, result(&html)])), NONE).is_ok());
    }

    #[test]
    fn pictures_are_held_by_their_rule_and_never_at_more_than_the_context_window() {
        let image = json!({"image": picture::tests::image(ImageFormat::Png, 1_200, 900)});
        let pdf = json!({"document": {"format": "pdf", "name": "a", "source": {"bytes": "YQ=="}}});
        let nova = |tokens| TokenLimits { picture: Some(PictureRule::Nova), ..window(tokens) };
        let one = 1_800 + 225 + 64;
        let shown = user(&json!([{"text": "What is this?"}, image]));
        assert_eq!(input_tokens(&shown, nova(300_000)), Ok(64 + 16 + (16 + 13) + (16 + one)));
        assert_eq!(input_tokens(&shown, nova(2_000)), Ok(2_000));
        assert_eq!(
            input_tokens(&shown, TokenLimits { context_window: None, ..nova(0) }),
            Ok(64 + 16 + (16 + 13) + (16 + one))
        );
        let results = json!([{"toolResult": {"toolUseId": "t1", "content": [image, image]}}]);
        assert_eq!(input_tokens(&user(&results), nova(300_000)), Ok(64 + 1_024 + 16 + 16 + (64 + 2) + 2 * (16 + one)));
        assert_eq!(input_tokens(&user(&json!([image, pdf])), nova(300_000)), Ok(300_000));
    }

    proptest! {
        /// Every byte that is sent counts, in any place.
        #[test]
        fn no_content_has_more_bytes_than_tokens_are_held(text in "\\PC{1,60}", key in "\\PC{1,9}", number in any::<i32>()) {
            let value = json!({&key: [text, number, {"deep": text}]});
            for (content, bytes) in [
                (json!(text), text.len()),
                (json!([{"text": text}]), text.len()),
                (json!([{"document": {"format": "txt", "name": key, "source": {"text": text}}}]), text.len() + key.len()),
                (json!([{"toolUse": {"toolUseId": "t", "name": "n", "input": value}}]), value.to_string().len()),
                (json!([{"toolResult": {"toolUseId": "t", "content": [{"json": value}, {"text": text}]}}]), value.to_string().len() + text.len()),
            ] {
                prop_assert!(tokens(&content) >= u64::try_from(bytes).unwrap());
            }
        }
    }
}
