//! Limits against usage.

use serde::{Deserialize, Serialize};

/// The tokens that a window allows; a kind that is absent is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenLimits {
    /// Tokens read, cached or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<u64>,
    /// Tokens written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<u64>,
}

/// The tokens that a window has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Tokens read, cached or not.
    pub input: u64,
    /// Tokens written.
    pub output: u64,
}

/// What the budget says of one more request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is room under every limit.
    Approved,
    /// The limit on tokens read is used up.
    InputExceeded,
    /// The limit on tokens written is used up.
    OutputExceeded,
}

impl TokenLimits {
    /// Approves while less than each limit is spent; a limit of 0 therefore allows nothing.
    #[must_use]
    pub fn judge(&self, spent: Spent) -> Verdict {
        if self.input.is_some_and(|limit| spent.input >= limit) {
            Verdict::InputExceeded
        } else if self.output.is_some_and(|limit| spent.output >= limit) {
            Verdict::OutputExceeded
        } else {
            Verdict::Approved
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limits(input: impl Into<Option<u64>>, output: impl Into<Option<u64>>) -> TokenLimits {
        TokenLimits { input: input.into(), output: output.into() }
    }

    #[test]
    fn a_limit_is_used_up_when_all_of_it_is_spent() {
        let spent = Spent { input: 100, output: 10 };
        assert_eq!(limits(101, 11).judge(spent), Verdict::Approved);
        assert_eq!(limits(100, 11).judge(spent), Verdict::InputExceeded);
        assert_eq!(limits(101, 10).judge(spent), Verdict::OutputExceeded);
        assert_eq!(limits(None, 11).judge(spent), Verdict::Approved);
    }

    #[test]
    fn a_limit_of_zero_allows_nothing() {
        assert_eq!(limits(0, None).judge(Spent::default()), Verdict::InputExceeded);
        assert_eq!(limits(None, 0).judge(Spent::default()), Verdict::OutputExceeded);
    }

    proptest! {
        #[test]
        fn spending_more_or_allowing_less_never_turns_a_denial_into_an_approval(
            input in 0_u64..50, output in 0_u64..50, used_in in 0_u64..50, used_out in 0_u64..50, more in 0_u64..50,
        ) {
            let spent = Spent { input: used_in, output: used_out };
            if limits(input, output).judge(spent) != Verdict::Approved {
                let worse = Spent { input: used_in + more, output: used_out + more };
                prop_assert_ne!(limits(input, output).judge(worse), Verdict::Approved);
                let tighter = limits(input.saturating_sub(more), output.saturating_sub(more));
                prop_assert_ne!(tighter.judge(spent), Verdict::Approved);
            }
        }
    }
}
