//! Calls to Bedrock whose answer arrives in events (`ConverseStream`).
//!
//! The events keep Bedrock's names and fields. [`Tally`] reads what the settlement needs while they pass: the reason
//! of the end and the usage. It keeps texts only if it was made with [`Tally::keeping_texts`].

use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::config::{Builder, StalledStreamProtectionConfig};
use aws_sdk_bedrockruntime::primitives::event_stream::EventReceiver;
use aws_sdk_bedrockruntime::types::error::ConverseStreamOutputError;
use aws_sdk_bedrockruntime::types::{
    ContentBlockDelta, ContentBlockStart, ConverseStreamMetadataEvent, ConverseStreamOutput, MessageStopEvent,
    ReasoningContentBlockDelta, TokenUsage,
};
use aws_smithy_types::base64;
use sentry_contract::ErrorCode;
use sentry_contract::answer::ModelFields;
use sentry_contract::states::InvokeModelInput;
use sentry_domain::Charges;
use serde_json::{Value, json};

use super::blocks::Blocks;
use super::converse::{AnswerMessage, AnswerTier, ConverseAnswer, ConverseOutput, normalize, own_fields};
pub use super::event::Event;
use super::sdk::{body, cache_detail, json as json_of};
use super::{ModelFailure, Reply, prepare};

/// The events of an answer.
pub struct Events(EventReceiver<ConverseStreamOutput, ConverseStreamOutputError>);

/// Calls the model once, for an answer of at most `max_tokens` in events.
///
/// # Errors
/// As [`ask`](super::ask), before the first event.
pub async fn open(client: &Client, input: &InvokeModelInput, max_tokens: u32) -> Result<Events, ModelFailure> {
    let request = prepare(input, max_tokens)?;
    // A model may think for a while between two events. The caller has its own time limit.
    let patient = Builder::new().stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    let call = client.converse_stream().model_id(&input.model.model_id).customize();
    let answer = call.config_override(patient).mutate_request(body(&request)?).send().await?;
    Ok(Events(answer.stream))
}

impl Events {
    /// The next event. `None` at the end. An event of an unknown kind is left out.
    ///
    /// # Errors
    /// If Bedrock ended the answer with an error, or the connection was lost. Tokens may have been used.
    pub async fn next(&mut self) -> Result<Option<Event>, ModelFailure> {
        loop {
            match self.0.recv().await {
                Ok(None) => return Ok(None),
                Ok(Some(output)) => {
                    if let Some(event) = event(output) {
                        return Ok(Some(event));
                    }
                }
                Err(_) => return Err(broken_off()),
            }
        }
    }
}

/// The failure of an answer that did not end as it should. The usage is unknown.
#[must_use]
pub fn broken_off() -> ModelFailure {
    let message = "The answer broke off before its end. Its tokens may have been billed.";
    ModelFailure::new(ErrorCode::ModelUnavailable, message)
}

/// The facts of an answer in events that its settlement needs.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    answer: ConverseAnswer,
    /// `None` if texts are not kept.
    blocks: Option<Blocks>,
}

impl Tally {
    /// A tally that keeps the blocks of the answer too.
    #[must_use]
    pub fn keeping_texts() -> Self {
        Self { blocks: Some(Blocks::default()), ..Self::default() }
    }

    /// `true` if the tally keeps the blocks of the answer.
    #[must_use]
    pub const fn has_texts(&self) -> bool {
        self.blocks.is_some()
    }

    /// The same tally without the blocks of the answer.
    #[must_use]
    pub fn without_texts(self) -> Self {
        Self { blocks: None, ..self }
    }

    /// Adds the facts of one event to the tally.
    pub fn read(&mut self, event: &Event) {
        if let Some(blocks) = &mut self.blocks {
            blocks.read(event);
        }
        match event.name {
            MESSAGE_STOP => {
                self.answer.stop_reason = event.fields.get("stopReason").and_then(Value::as_str).map(str::to_owned);
            }
            METADATA => {
                let usage = event.fields.get("usage").cloned();
                self.answer.usage = usage.and_then(|usage| serde_json::from_value(usage).ok());
                let tier = event.fields.get("serviceTier").and_then(|tier| tier.get("type")?.as_str());
                self.answer.service_tier = tier.map(|tier| AnswerTier { r#type: tier.to_owned() });
            }
            _ => {}
        }
    }

    /// `true` if the usage and the reason of the end are known. No event is missing then, even if the connection is lost.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.answer.usage.is_some() && self.answer.stop_reason.is_some()
    }

    /// The reply to a request with `charges`, after the last event. Without texts, its content is empty.
    ///
    /// # Errors
    /// If the answer does not say its usage or the reason of its end.
    pub fn reply(self, charges: Charges) -> Result<Reply, ModelFailure> {
        let message = Some(AnswerMessage { content: self.blocks.map(Blocks::all).unwrap_or_default() });
        normalize(ConverseAnswer { output: ConverseOutput { message }, ..self.answer }, charges)
    }
}

const MESSAGE_STOP: &str = "messageStop";
const METADATA: &str = "metadata";

fn event(output: ConverseStreamOutput) -> Option<Event> {
    let (name, fields) = match output {
        ConverseStreamOutput::MessageStart(start) => ("messageStart", json!({"role": start.role.as_str()})),
        ConverseStreamOutput::ContentBlockStart(start) => {
            // Blocks of other kinds begin without a start.
            let fields = match start.start? {
                ContentBlockStart::ToolUse(asked) => {
                    json!({"toolUse": {"toolUseId": asked.tool_use_id, "name": asked.name}})
                }
                _ => return None,
            };
            ("contentBlockStart", json!({"contentBlockIndex": start.content_block_index, "start": fields}))
        }
        ConverseStreamOutput::ContentBlockDelta(part) => {
            let fields = delta(part.delta?)?;
            ("contentBlockDelta", json!({"contentBlockIndex": part.content_block_index, "delta": fields}))
        }
        ConverseStreamOutput::ContentBlockStop(stop) => {
            ("contentBlockStop", json!({"contentBlockIndex": stop.content_block_index}))
        }
        ConverseStreamOutput::MessageStop(stop) => (MESSAGE_STOP, stop_fields(stop)),
        ConverseStreamOutput::Metadata(metadata) => (METADATA, metadata_fields(metadata)),
        _ => return None,
    };
    Some(Event { name, fields })
}

fn delta(delta: ContentBlockDelta) -> Option<Value> {
    Some(match delta {
        ContentBlockDelta::Text(text) => json!({"text": text}),
        ContentBlockDelta::ToolUse(part) => json!({"toolUse": {"input": part.input}}),
        ContentBlockDelta::ReasoningContent(thought) => json!({"reasoningContent": match thought {
            ReasoningContentBlockDelta::Text(text) => json!({"text": text}),
            ReasoningContentBlockDelta::Signature(signature) => json!({"signature": signature}),
            ReasoningContentBlockDelta::RedactedContent(bytes) => json!({"redactedContent": base64::encode(bytes)}),
            _ => return None,
        }}),
        _ => return None,
    })
}

fn stop_fields(stop: MessageStopEvent) -> Value {
    let mut fields = json!({"stopReason": stop.stop_reason.as_str()});
    let own = stop.additional_model_response_fields.and_then(|own| own_fields(ModelFields(json_of(own))));
    if let (Some(ModelFields(own)), Some(all)) = (own, fields.as_object_mut()) {
        all.insert("additionalModelResponseFields".to_owned(), own);
    }
    fields
}

fn metadata_fields(metadata: ConverseStreamMetadataEvent) -> Value {
    let fields = [
        ("usage", metadata.usage.map(usage)),
        ("metrics", metadata.metrics.map(|metrics| json!({"latencyMs": metrics.latency_ms}))),
        ("serviceTier", metadata.service_tier.map(|tier| json!({"type": tier.r#type.as_str()}))),
    ];
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn usage(usage: TokenUsage) -> Value {
    let details = usage.cache_details.map(|details| details.into_iter().map(cache_detail).collect::<Vec<_>>());
    let optional = [
        ("cacheReadInputTokens", usage.cache_read_input_tokens.map(Value::from)),
        ("cacheWriteInputTokens", usage.cache_write_input_tokens.map(Value::from)),
        ("cacheDetails", details.map(|details| json!(details))),
    ];
    let counts = [
        ("inputTokens", Some(usage.input_tokens.into())),
        ("outputTokens", Some(usage.output_tokens.into())),
        ("totalTokens", Some(usage.total_tokens.into())),
    ];
    counts.into_iter().chain(optional).filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

#[cfg(test)]
mod tests {
    use aws_sdk_bedrockruntime::types::{
        ContentBlockDeltaEvent, ContentBlockStartEvent, StopReason, ToolUseBlockStart,
    };
    use sentry_domain::TokenUsage as Tokens;

    use super::*;

    fn read(events: &[ConverseStreamOutput]) -> Tally {
        let mut tally = Tally::default();
        events.iter().cloned().filter_map(event).for_each(|event| tally.read(&event));
        tally
    }

    fn stop() -> ConverseStreamOutput {
        ConverseStreamOutput::MessageStop(MessageStopEvent::builder().stop_reason(StopReason::EndTurn).build().unwrap())
    }

    fn metadata() -> ConverseStreamOutput {
        let usage = TokenUsage::builder().input_tokens(3).output_tokens(4).total_tokens(9).cache_read_input_tokens(2);
        ConverseStreamOutput::Metadata(ConverseStreamMetadataEvent::builder().usage(usage.build().unwrap()).build())
    }

    #[test]
    fn the_usage_is_that_of_the_last_event_and_no_text_is_kept() {
        let part = ContentBlockDeltaEvent::builder().delta(ContentBlockDelta::Text("secret".into()));
        let part = ConverseStreamOutput::ContentBlockDelta(part.content_block_index(0).build().unwrap());
        let tally = read(&[part.clone(), stop(), metadata()]);
        assert!(tally.is_complete());
        assert!(!format!("{tally:?} {:?}", event(part)).contains("secret"));
        let reply = tally.reply(Charges::default()).unwrap();
        assert_eq!(
            (reply.usage, reply.content),
            (Tokens { input: 3, output: 4, cache_read: 2, ..Tokens::default() }, vec![])
        );
    }

    #[test]
    fn an_answer_without_its_last_events_has_an_unknown_usage() {
        for events in [vec![], vec![stop()]] {
            assert!(!read(&events).is_complete());
            let failure = read(&events).reply(Charges::default()).unwrap_err();
            assert_eq!((failure.usage, failure.nothing_spent()), (None, false));
        }
        let failure = read(&[metadata()]).reply(Charges::default()).unwrap_err();
        assert_eq!(failure.usage.map(|usage| usage.output), Some(4));
    }

    #[test]
    fn an_event_has_bedrocks_names() {
        let asked = ToolUseBlockStart::builder().tool_use_id("t").name("find").build().unwrap();
        let start = ContentBlockStartEvent::builder().start(ContentBlockStart::ToolUse(asked)).content_block_index(1);
        let found = event(ConverseStreamOutput::ContentBlockStart(start.build().unwrap())).unwrap();
        let fields = json!({"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "t", "name": "find"}}});
        assert_eq!(found, Event { name: "contentBlockStart", fields });
    }
}
