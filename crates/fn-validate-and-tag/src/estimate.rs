//! The most that a request can take.

use sentry_contract::request::{Estimate, Prompt};

/// Tokens that a chat template may add around each message: its role, separators, the end of the turn.
const TOKENS_A_MESSAGE: u64 = 16;
/// Tokens that a chat template may add once: the begin of the text, a preamble of its own, the turn that is to be written.
const TOKENS_A_REQUEST: u64 = 64;

/// A bound on what `prompt` takes, whose `max_tokens` is filled in; `max_tokens_given` says whether by the client.
///
/// A token is at least one byte of UTF-8, so the bytes of the contents bound the tokens of any tokenizer.
pub fn of(prompt: &Prompt, max_tokens: u32, max_tokens_given: bool) -> Estimate {
    let message = |content: &String| u64::try_from(content.len()).unwrap_or(u64::MAX).saturating_add(TOKENS_A_MESSAGE);
    let input_tokens =
        prompt.messages.iter().fold(TOKENS_A_REQUEST, |tokens, next| tokens.saturating_add(message(&next.content)));
    Estimate { input_tokens, max_tokens, max_tokens_given }
}

#[cfg(test)]
mod tests {
    use sentry_contract::request::{Message, Parameters, Role};

    use super::*;

    #[test]
    fn bytes_of_every_message_count_and_so_do_messages() {
        let message = |role, content: &str| Message { role, content: content.to_owned() };
        let messages = vec![message(Role::System, "Be brief."), message(Role::User, "größer 🦀")];
        let prompt = Prompt { messages, parameters: Parameters::default() };
        let expected = Estimate { input_tokens: 64 + (16 + 9) + (16 + 13), max_tokens: 7, max_tokens_given: true };
        assert_eq!(of(&prompt, 7, true), expected);
    }
}
