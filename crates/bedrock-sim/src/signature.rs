//! Signatures of thoughts. A later call can verify a signature without any stored state.
//!
//! A signature is base64 of a mark, a number that depends on the prompt, and a hash. The hash covers the number, the
//! model that the signature is bound to, and the text. Signatures find mistakes in tests. They are not cryptographic.

use aws_smithy_types::base64;

use crate::fingerprint::fingerprint;

const MARK: &str = "sim-thought-";
const SALT: &str = "of bedrock-sim";

/// A signature of `text`. It is bound to the model `owner`, or to no model if `owner` is empty.
pub fn sign(number: u64, owner: &str, text: &str) -> String {
    let number = format!("{number:016x}");
    let hash = hash(&number, owner, text);
    base64::encode(format!("{MARK}{number}{hash}"))
}

/// `true` if `signature` is a signature of `text` for the model `owner`.
pub fn fits(signature: &str, owner: &str, text: &str) -> bool {
    let Ok(decoded) = base64::decode(signature) else { return false };
    let Ok(decoded) = String::from_utf8(decoded) else { return false };
    let split = decoded.strip_prefix(MARK).and_then(|rest| rest.split_at_checked(16));
    split.is_some_and(|(number, found)| found == hash(number, owner, text))
}

fn hash(number: &str, owner: &str, text: &str) -> String {
    format!("{:016x}", fingerprint(&format!("{SALT}|{number}|{owner}|{text}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_text_and_the_owner_that_were_signed_fit() {
        let signature = sign(7, "a.model", "Hm.");
        assert!(fits(&signature, "a.model", "Hm."));
        for (owner, text) in [("b.model", "Hm."), ("a.model", "Hm!"), ("", "Hm.")] {
            assert!(!fits(&signature, owner, text));
        }
        for other in ["", "?", "EqsimXX", &base64::encode("sim-thought-"), &base64::encode([0xff, 0xfe])] {
            assert!(!fits(other, "a.model", "Hm."), "{other}");
        }
        assert_ne!(signature, sign(8, "a.model", "Hm."));
    }
}
