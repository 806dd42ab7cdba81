//! Writes replies: deterministic filler or a backend's text, cut to the limits of the request and counted.

use serde_json::Value;

use crate::{
    directives::Directives,
    facts::{self, Rule},
    faults::Fault,
    fingerprint::fingerprint,
    models::Model,
    prompt::{Form, Prompt},
    schema, signature,
    tokens::{self, Usage},
};

const WORDS: [&str; 24] = [
    "amber", "basin", "cedar", "delta", "ember", "fjord", "grove", "harbor", "island", "juniper", "kelp", "lagoon",
    "meadow", "nectar", "orchard", "pebble", "quartz", "river", "summit", "thicket", "upland", "valley", "willow",
    "zephyr",
];
/// Minimum number of words of a reply if no directive sets its size.
const SHORTEST: u64 = 30;
/// Number of different lengths of such a reply. The maximum is `SHORTEST + SPREAD - 1`.
const SPREAD: u64 = 31;
/// Maximum number of words that are written. A directive can report millions of tokens, but the reply must stay
/// small.
const MOST_WORDS: u64 = 2_000;

/// The text of a reply before directives apply to it.
pub struct Draft {
    /// The complete text before it is cut.
    pub text: String,
    /// Reason why the text ended, if the backend reports it.
    pub stop_reason: Option<&'static str>,
    /// The backend's count of input tokens.
    pub input_tokens: Option<u64>,
    /// The backend's count of output tokens.
    pub output_tokens: Option<u64>,
}

/// The part of the model's thoughts that the caller sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thoughts {
    /// Thoughts with a text, which may be empty.
    Told {
        /// The text of the thoughts.
        text: String,
        /// The signature, if the model signs its thoughts.
        signature: Option<String>,
    },
    /// Base64 bytes that only the model can read.
    Redacted(String),
}

/// A request of the model to use a tool.
pub struct ToolUse {
    /// The id that the tool result refers to.
    pub id: String,
    /// Name of the requested tool.
    pub name: String,
    /// Input that the model passes to the tool.
    pub input: Value,
}

/// A finished reply. It has no `Debug`, because answers must not appear in logs.
pub struct Reply {
    /// The text. `None` if the answer has no text block.
    pub text: Option<String>,
    /// Thoughts before the text, if there are any.
    pub thoughts: Option<Thoughts>,
    /// Tool use after the text, if there is one.
    pub tool_use: Option<ToolUse>,
    /// Stop reason, in the vocabulary of Converse.
    pub stop_reason: String,
    /// The stop sequence that ended the text. `None` if none did. Converse tells it only if it
    /// is asked for.
    pub stop_sequence: Option<String>,
    /// The token counts of the call.
    pub usage: Usage,
    /// `true` if the answer contains the usage.
    pub usage_is_told: bool,
    /// Latency of the call, in milliseconds.
    pub latency_ms: u64,
    /// JSON Pointers to the fields of the model's own answer that the caller wants.
    pub response_paths: Vec<String>,
}

/// Writes filler for a prompt. The same prompt always gets the same text.
pub fn filler(prompt: &Prompt, directives: &Directives) -> Draft {
    let seed = fingerprint(prompt.last_user_text());
    let text = if directives.fault == Some(Fault::Empty) {
        String::new()
    } else if let Some(schema) = &prompt.schema {
        schema::example(schema).to_string()
    } else if let Some(bytes) = directives.output_bytes {
        exact_bytes(seed, usize::try_from(bytes).unwrap_or(0))
    } else {
        let wanted = directives.output_tokens.or(directives.wanted_tokens);
        words(seed, wanted.unwrap_or(SHORTEST + seed % SPREAD).min(MOST_WORDS))
    };
    Draft { text, stop_reason: None, input_tokens: None, output_tokens: None }
}

/// Cuts a draft to the limits of the request, and counts its tokens. Directives replace the computed values. Thoughts
/// of the model `base` come first and count as output. A small maximum may leave no tokens for the text.
pub fn finish(prompt: &Prompt, directives: &Directives, draft: Draft, base: &str) -> Reply {
    let size_is_given = directives.output_tokens.is_some() || directives.output_bytes.is_some();
    let wanted = directives.reasoning.or(prompt.thinking.map(|thinking| thinking.tokens)).unwrap_or(0);
    let most = prompt.max_tokens.filter(|_| !size_is_given);
    let thought = wanted.min(MOST_WORDS).min(most.unwrap_or(u64::MAX));
    let left = most.map(|most| most - thought);
    let cut = match draft.stop_reason {
        Some(reason) => Cut { text: draft.text, stop_reason: reason, stop_sequence: None },
        None if size_is_given => Cut { text: draft.text, stop_reason: "end_turn", stop_sequence: None },
        None => cut(draft.text, &prompt.stop_sequences, left),
    };
    let usage = Usage {
        input: directives.input_tokens.or(draft.input_tokens).unwrap_or_else(|| prompt.input_tokens()),
        output: directives
            .output_tokens
            .or(draft.output_tokens)
            .unwrap_or_else(|| tokens::output_tokens(&cut.text).saturating_add(thought)),
        cache_read: directives.cache_read,
        cache_write: directives.writes_to_cache(),
        cache_write_long: directives.cache_write_long.unwrap_or(0),
    };
    let has_text = directives.fault != Some(Fault::Empty) && (left != Some(0) || thought == 0);
    Reply {
        text: has_text.then_some(cut.text),
        thoughts: (thought > 0).then(|| thoughts(prompt, directives, thought, base)),
        tool_use: None,
        stop_reason: directives.stop_reason.clone().unwrap_or_else(|| cut.stop_reason.to_owned()),
        stop_sequence: cut.stop_sequence.filter(|_| directives.stop_reason.is_none()),
        usage,
        usage_is_told: directives.fault != Some(Fault::MissingUsage),
        latency_ms: 0,
        response_paths: prompt.response_paths.clone(),
    }
}

/// `count` words of thoughts, in the form that the caller sees.
fn thoughts(prompt: &Prompt, directives: &Directives, count: u64, base: &str) -> Thoughts {
    let seed = fingerprint(prompt.last_user_text());
    let owner = if facts::has(base, Rule::ThoughtsAreItsOwn) { base } else { "" };
    let unasked = if Model::parse(base).is_some_and(|model| model.is_claude()) { Form::Signed } else { Form::Plain };
    let form = if directives.redacted { Form::Encrypted } else { prompt.thinking.map_or(unasked, |it| it.form) };
    let signed = |text: String| {
        let signature = Some(signature::sign(seed, owner, &text));
        Thoughts::Told { text, signature }
    };
    match form {
        Form::Signed => signed(words(seed, count)),
        Form::Unseen => signed(String::new()),
        Form::Plain => Thoughts::Told { text: words(seed, count), signature: None },
        Form::Masked => Thoughts::Told { text: "[REDACTED]".to_owned(), signature: None },
        Form::Encrypted => Thoughts::Redacted(signature::sign(seed, owner, "")),
    }
}

/// Adds a tool use to the reply. Its input counts as output, unless a directive sets the output tokens.
pub fn ask_for(tool: Option<ToolUse>, directives: &Directives, mut reply: Reply) -> Reply {
    if let Some(tool) = tool {
        if directives.output_tokens.is_none() {
            let written = tool.input.as_object().map_or(0, tokens::of_json);
            reply.usage.output = reply.usage.output.saturating_add(written);
        }
        if directives.stop_reason.is_none() {
            (reply.stop_reason, reply.stop_sequence) = ("tool_use".to_owned(), None);
        }
        reply.tool_use = Some(tool);
    }
    reply
}

struct Cut {
    text: String,
    stop_reason: &'static str,
    stop_sequence: Option<String>,
}

fn cut(mut text: String, stop_sequences: &[String], most: Option<u64>) -> Cut {
    let mut stop_reason = "end_turn";
    let found = stop_sequences.iter().filter_map(|stop| Some((text.find(stop.as_str())?, stop))).min();
    let mut stop_sequence = found.map(|(_, stop)| stop.clone());
    if let Some((at, _)) = found {
        text.truncate(at);
        stop_reason = "stop_sequence";
    }
    if let Some(max) = most.filter(|max| tokens::output_tokens(&text) > *max) {
        let kept: Vec<&str> = text.split_whitespace().take(usize::try_from(max).unwrap_or(usize::MAX)).collect();
        text = kept.join(" ");
        (stop_reason, stop_sequence) = ("max_tokens", None);
    }
    Cut { text, stop_reason, stop_sequence }
}

fn endless_words(seed: u64) -> impl Iterator<Item = &'static str> {
    let start = usize::try_from(seed % WORDS.len() as u64).unwrap_or(0);
    // 7 and 24 have no common divisor. So every word appears once before a word repeats.
    WORDS.iter().copied().cycle().skip(start).step_by(7)
}

fn words(seed: u64, count: u64) -> String {
    endless_words(seed).take(usize::try_from(count).unwrap_or(0)).collect::<Vec<_>>().join(" ")
}

fn exact_bytes(seed: u64, bytes: usize) -> String {
    let mut text = String::with_capacity(bytes.saturating_add(16));
    for word in endless_words(seed) {
        if text.len() >= bytes {
            break;
        }
        text.push_str(word);
        text.push(' ');
    }
    text.truncate(bytes);
    // Callers may trim the answer. A space at the end would be lost, so it becomes a period.
    if text.ends_with(' ') {
        text.pop();
        text.push('.');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::{Role, Turn};

    fn prompt(text: &str) -> Prompt {
        Prompt { turns: vec![Turn::of(Role::User, text.to_owned())], ..Prompt::default() }
    }

    fn reply(prompt: &Prompt) -> Reply {
        let directives = Directives::parse(prompt.last_user_text()).unwrap();
        finish(prompt, &directives, filler(prompt, &directives), "")
    }

    #[test]
    fn the_same_prompt_gets_the_same_reply_and_its_words_are_its_tokens() {
        let (one, two) = (reply(&prompt("Explain S3")), reply(&prompt("Explain S3")));
        assert_eq!(one.text, two.text);
        assert_eq!(one.usage.output, tokens::output_tokens(&one.text.unwrap()));
        assert!((SHORTEST..SHORTEST + SPREAD).contains(&one.usage.output));
        assert_eq!((one.stop_reason.as_str(), one.usage.input), ("end_turn", 6));
    }

    #[test]
    fn max_tokens_cuts_the_reply() {
        let reply = reply(&Prompt { max_tokens: Some(5), ..prompt("Explain S3") });
        assert_eq!((reply.usage.output, reply.stop_reason.as_str()), (5, "max_tokens"));
        assert_eq!(tokens::output_tokens(&reply.text.unwrap()), 5);
    }

    #[test]
    fn a_wanted_length_is_kept_as_far_as_the_maximum_allows() {
        let asked = "[[sim wanted-tokens=143]]";
        for (max_tokens, expected) in [(10, (10, "max_tokens")), (143, (143, "end_turn")), (500, (143, "end_turn"))] {
            let reply = reply(&Prompt { max_tokens: Some(max_tokens), ..prompt(asked) });
            assert_eq!((reply.usage.output, reply.stop_reason.as_str()), expected);
        }
    }

    #[test]
    fn the_first_stop_sequence_cuts_the_reply() {
        let stop_sequences = vec!["never".to_owned(), "river".to_owned()];
        let reply = reply(&Prompt { stop_sequences, ..prompt("Explain S3") });
        assert!(!reply.text.unwrap().contains("river"));
        assert_eq!((reply.stop_reason.as_str(), reply.stop_sequence.as_deref()), ("stop_sequence", Some("river")));
    }

    #[test]
    fn directives_replace_the_figures() {
        let asked = "[[sim output-tokens=143 input-tokens=21 cache-read=5 cache-write=7 stop-reason=content_filtered]]";
        let reply = reply(&Prompt { max_tokens: Some(10), ..prompt(asked) });
        let expected = Usage { input: 21, output: 143, cache_read: Some(5), cache_write: Some(7), cache_write_long: 0 };
        assert_eq!((reply.usage, reply.stop_reason.as_str()), (expected, "content_filtered"));
        assert_eq!(tokens::output_tokens(&reply.text.unwrap()), 143);
    }

    #[test]
    fn a_reply_can_be_of_an_exact_size_or_empty() {
        for bytes in [0, 1, 6, 7, 1000, 200_000] {
            let reply = reply(&prompt(&format!("[[sim output-bytes={bytes}]]")));
            assert_eq!(reply.text.unwrap().len(), bytes);
        }
        assert!(reply(&prompt("[[sim fault=empty]]")).text.is_none());
        assert!(!reply(&prompt("[[sim fault=missing-usage]]")).usage_is_told);
    }
}
