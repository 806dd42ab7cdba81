//! Bedrock's rules for the names and tags of profiles. They are narrower than those for the tags of a request.
//!
//! Source: Amazon Bedrock API Reference, `CreateInferenceProfile` and `Tag`, read in November 2026.

use std::collections::BTreeMap;

use crate::failure::Failure;

/// Longest name of a profile, in characters.
const MOST_NAME_CHARS: usize = 64;
/// Longest key of a tag, in characters.
const MOST_KEY_CHARS: usize = 128;
/// Longest value of a tag, in characters.
const MOST_VALUE_CHARS: usize = 256;
/// Maximum number of tags of a profile.
///
/// Source: Amazon Bedrock User Guide, "Tagging Amazon Bedrock resources", read in November 2026.
const MOST_TAGS: usize = 50;
/// Prefix of keys that only AWS can write.
const RESERVED: &str = "aws:";

/// Checks that Bedrock accepts `name` as the name of a profile.
///
/// # Errors
/// [`Failure::Usage`] with the rule.
pub fn check_name(name: &str) -> Result<(), Failure> {
    let separator = |c: char| matches!(c, ' ' | '_' | '-');
    let allowed = |c: char| c.is_ascii_alphanumeric() || separator(c);
    let chars: Vec<char> = name.chars().collect();
    let doubled = chars.iter().zip(chars.iter().skip(1)).any(|(a, b)| separator(*a) && separator(*b));
    let problem = if chars.is_empty() || chars.len() > MOST_NAME_CHARS {
        format!("has {} characters; Bedrock takes 1 to {MOST_NAME_CHARS}", chars.len())
    } else if !chars.iter().all(|c| allowed(*c)) {
        "has a character that Bedrock refuses; use letters of ASCII, digits, spaces, underscores and hyphens".to_owned()
    } else if chars.first().is_some_and(|c| separator(*c)) {
        "must begin with a letter or digit".to_owned()
    } else if doubled {
        "has two separators in a row; Bedrock takes one space, underscore or hyphen at a time".to_owned()
    } else {
        return Ok(());
    };
    Err(Failure::Usage(format!("the profile name {name:?} {problem}. Choose another with --name")))
}

/// Checks that Bedrock accepts the tags.
///
/// # Errors
/// [`Failure::Usage`] with the tag and the rule.
pub fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), Failure> {
    if tags.len() > MOST_TAGS {
        return Err(Failure::Usage(format!("{} tags are too many; a profile has at most {MOST_TAGS}", tags.len())));
    }
    for (key, value) in tags {
        check_key(key)?;
        let problem = if value.is_empty() {
            "is empty, and no request can have an empty tag"
        } else if value.chars().count() > MOST_VALUE_CHARS {
            "has more than 256 characters"
        } else if !value.chars().all(is_allowed) {
            "has a character that Bedrock refuses in tags of profiles; use letters of ASCII, digits, spaces and . _ : / = + @ -"
        } else if value.trim() != value {
            "begins or ends with a space, so no request can match it"
        } else {
            continue;
        };
        return Err(Failure::Usage(format!("the value {value:?} of the tag {key} {problem}")));
    }
    Ok(())
}

/// Checks that Bedrock accepts `key` as the key of a tag.
///
/// # Errors
/// [`Failure::Usage`] with the rule.
pub fn check_key(key: &str) -> Result<(), Failure> {
    let problem = if key.is_empty() || key.chars().count() > MOST_KEY_CHARS {
        "must have 1 to 128 characters"
    } else if !key.chars().all(is_allowed) {
        "has a character that Bedrock refuses; use letters of ASCII, digits, spaces and . _ : / = + @ -"
    } else if key.to_ascii_lowercase().starts_with(RESERVED) {
        "begins with aws:, which only AWS can write"
    } else {
        return Ok(());
    };
    Err(Failure::Usage(format!("the tag key {key:?} {problem}")))
}

fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, ' ' | '.' | '_' | ':' | '/' | '=' | '+' | '@' | '-')
}

/// The name for a profile without `--name`: the parts with every other character replaced by a hyphen, at most 64
/// characters.
pub fn name_of(parts: &[&str]) -> String {
    let mut name = String::new();
    for c in parts.join("-").chars() {
        let c = if c.is_ascii_alphanumeric() { c } else { '-' };
        if c != '-' || !(name.is_empty() || name.ends_with('-')) {
            name.push(c);
        }
    }
    name.truncate(MOST_NAME_CHARS);
    name.trim_end_matches('-').to_owned()
}

/// Reads `KEY=VALUE`.
///
/// # Errors
/// If there is no `=`.
pub fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("it must be KEY=VALUE, such as team=blue")?;
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_outside_the_pattern_are_refused() {
        for name in ["sales", "sales team-1", "a_b", "sales-"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", "-sales", "sales--team", "sales - team", "Büro", "a.b", &"x".repeat(65)] {
            assert!(matches!(check_name(name), Err(Failure::Usage(_))), "{name}");
        }
    }

    #[test]
    fn a_made_name_keeps_the_rules() {
        for parts in [["Sales & Co", "us.anthropic.claude-haiku-4-5-20251001-v1:0"], ["Büro", "x"]] {
            check_name(&name_of(&parts)).unwrap();
        }
        assert_eq!(name_of(&["Sales & Co", "claude-haiku-4-5"]), "Sales-Co-claude-haiku-4-5");
        check_name(&name_of(&[&"long ".repeat(40)])).unwrap();
    }

    #[test]
    fn tags_outside_bedrocks_rules_are_refused() {
        let tags = |key: &str, value: &str| check_tags(&[(key.to_owned(), value.to_owned())].into());
        assert!(tags("costCenter", "sales team@1").is_ok());
        for (key, value) in
            [("", "x"), ("aws:x", "x"), ("k#", "x"), ("k", ""), ("k", "R&D"), ("k", " x"), ("k", &"x".repeat(257))]
        {
            assert!(matches!(tags(key, value), Err(Failure::Usage(_))), "{key} {value}");
        }
        let many = (0..=MOST_TAGS).map(|n| (format!("k{n}"), "v".to_owned())).collect();
        assert!(check_tags(&many).is_err());
    }
}
