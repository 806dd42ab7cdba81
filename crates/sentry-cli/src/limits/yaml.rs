//! Reads YAML with the line of every field and the digits of every number. JSON is YAML.

use granit_parser::{Event, Parser, ScalarStyle, Span};
use thiserror::Error;

/// Deepest nesting. An item has at most six levels in a file.
const MOST_LEVELS: usize = 32;

/// A value, and the line on which it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The number of the line, counted from 1.
    pub line: usize,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Null,
    Bool(bool),
    /// The digits as written.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Field>),
}

/// A field of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    /// The line of the name, from 1.
    pub line: usize,
    pub node: Node,
}

/// The reason why a text is no YAML, or has a form that cannot be an item.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {problem}")]
pub struct Invalid {
    /// The number of the line, counted from 1.
    pub line: usize,
    pub problem: String,
}

impl Invalid {
    pub fn at(line: usize, problem: impl Into<String>) -> Self {
        Self { line, problem: problem.into() }
    }
}

/// Reads the only document of `text`.
///
/// # Errors
/// If the text is not YAML, or has two documents, an anchor, a tag, or two fields with one name.
pub fn read(text: &str) -> Result<Node, Invalid> {
    let mut reader = Reader { events: Parser::new_from_str(text) };
    let (first, span) = reader.next()?;
    let root = match first {
        Event::StreamEnd => return Ok(Node { line: 1, value: Value::Null }),
        first => reader.node(first, span, 0)?,
    };
    match reader.next()? {
        (Event::StreamEnd, _) => Ok(root),
        (_, span) => Err(Invalid::at(line(span), "a second document begins; write everything into one")),
    }
}

fn line(span: Span) -> usize {
    span.start.line()
}

struct Reader<'t> {
    events: Parser<'t, granit_parser::StrInput<'t>>,
}

impl<'t> Reader<'t> {
    /// The next event that is about a value, or the end.
    fn next(&mut self) -> Result<(Event<'t>, Span), Invalid> {
        loop {
            match self.events.next_event() {
                None => return Ok((Event::StreamEnd, Span::default())),
                Some(Err(error)) => {
                    return Err(Invalid::at(error.marker().line(), format!("this is no YAML: {}", error.info())));
                }
                Some(Ok((Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd, _))) => {}
                Some(Ok((event, span))) if is_of_data(&event) => return Ok((event, span)),
                Some(Ok(_)) => {}
            }
        }
    }

    fn node(&mut self, event: Event<'t>, span: Span, level: usize) -> Result<Node, Invalid> {
        let line = line(span);
        if level > MOST_LEVELS {
            return Err(Invalid::at(line, "this is nested too deeply"));
        }
        let value = match event {
            Event::Scalar(text, style, 0, None) => scalar(&text, style),
            Event::SequenceStart(_, 0, None) => Value::List(self.list(level)?),
            Event::MappingStart(_, 0, None) => Value::Map(self.map(level)?),
            Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..) | Event::Alias(_) => {
                return Err(Invalid::at(
                    line,
                    "anchors (&), aliases (*) and tags (!) are not supported; write the value",
                ));
            }
            _ => return Err(Invalid::at(line, "a value is missing")),
        };
        Ok(Node { line, value })
    }

    fn list(&mut self, level: usize) -> Result<Vec<Node>, Invalid> {
        let mut nodes = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(nodes),
                (event, span) => nodes.push(self.node(event, span, level + 1)?),
            }
        }
    }

    fn map(&mut self, level: usize) -> Result<Vec<Field>, Invalid> {
        let mut fields: Vec<Field> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            let line = line(span);
            let name = match event {
                Event::MappingEnd => return Ok(fields),
                Event::Scalar(name, ..) => name.into_owned(),
                _ => return Err(Invalid::at(line, "the name of a field must be a string")),
            };
            if let Some(other) = fields.iter().find(|field| field.name == name) {
                return Err(Invalid::at(line, format!("{name} is there twice, first on line {}", other.line)));
            }
            let (event, span) = self.next()?;
            let node = self.node(event, span, level + 1)?;
            fields.push(Field { name, line, node });
        }
    }
}

/// `false` for comments and other events that carry no data.
fn is_of_data(event: &Event<'_>) -> bool {
    matches!(
        event,
        Event::Scalar(..)
            | Event::SequenceStart(..)
            | Event::SequenceEnd
            | Event::MappingStart(..)
            | Event::MappingEnd
            | Event::Alias(_)
            | Event::StreamEnd
    )
}

/// The value of a scalar by the core schema of YAML 1.2. Octal and hexadecimal numbers stay texts.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::Text(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        number if is_number(number) => Value::Number(number.to_owned()),
        text => Value::Text(text.to_owned()),
    }
}

/// `true` if a plain scalar is a decimal number: `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`.
pub fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let has_a_digit = !whole.is_empty() || !fraction.is_empty();
    has_a_digit
        && digits(whole)
        && digits(fraction)
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent))
}

/// `text` as YAML that is read back as the same string: plain if that is safe, otherwise quoted as in JSON.
pub fn quoted(text: &str) -> String {
    let plain = |c: char| {
        c.is_alphanumeric() || matches!(c, '.' | '_' | '/' | '-' | '#' | '+' | '%' | '@' | ':' | ' ' | '=' | '(' | ')')
    };
    let begins = text.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    let ends = !text.ends_with([' ', ':']);
    let safe = begins && ends && text.chars().all(plain) && !text.contains(": ") && !text.contains(" #");
    if safe && matches!(scalar(text, ScalarStyle::Plain), Value::Text(_)) && !is_of_old_yaml(text) {
        return text.to_owned();
    }
    serde_json::Value::from(text).to_string()
}

/// `true` for texts that other readers of YAML, of version 1.1, take for a Boolean, a number or a moment.
fn is_of_old_yaml(text: &str) -> bool {
    ["y", "n", "yes", "no", "on", "off"].contains(&text.to_lowercase().as_str())
        || text.starts_with(|c: char| c.is_ascii_digit())
            && !text.contains(|c: char| c.is_alphabetic() && !"exobTZ".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(text: &str) -> Value {
        Value::Number(text.to_owned())
    }

    #[test]
    fn numbers_keep_their_digits_and_fields_their_lines() {
        let node = read("# a comment\na: 0.10\nb:\n  - 1E+2 # another\n  - \"7\"\nc: {d: yes, e: null}\n").unwrap();
        let Value::Map(fields) = node.value else { panic!("no map") };
        let lines: Vec<_> = fields.iter().map(|field| (field.name.as_str(), field.line)).collect();
        assert_eq!(lines, [("a", 2), ("b", 3), ("c", 6)]);
        assert_eq!(fields[0].node.value, number("0.10"));
        let Value::List(list) = &fields[1].node.value else { panic!("no list") };
        assert_eq!((&list[0].value, list[0].line), (&number("1E+2"), 4));
        assert_eq!(list[1].value, Value::Text("7".into()));
    }

    #[test]
    fn json_is_yaml() {
        let node = read("{\"limits\": [\n{\"modelId\": \"a#b\", \"limit\": {\"usd\": 12.345678901234}}]}").unwrap();
        let Value::Map(fields) = node.value else { panic!("no map") };
        let Value::List(items) = &fields[0].node.value else { panic!("no list") };
        assert_eq!(items[0].line, 2);
    }

    #[test]
    fn an_entry_that_cannot_be_an_item_is_refused_with_its_line() {
        for (text, line, part) in [
            ("a: 1\na: 2\n", 2, "twice"),
            ("a: &x 1\n", 1, "anchors"),
            ("a: !!int 1\n", 1, "anchors"),
            ("a: 1\n---\nb: 2\n", 3, "second document"),
            ("a: [1\n", 1, "no YAML"),
            ("? [1]\n: 2\n", 1, "name"),
        ] {
            let invalid = read(text).unwrap_err();
            assert!(invalid.problem.contains(part), "{text}: {invalid}");
            assert_eq!(invalid.line, line, "{text}: {invalid}");
        }
        assert_eq!(read("").unwrap().value, Value::Null);
        let deep = "[".repeat(40) + &"]".repeat(40);
        assert!(read(&deep).unwrap_err().problem.contains("deeply"));
    }

    proptest! {
        #[test]
        fn every_text_is_read_back(text in "\\PC{0,20}|[a-zA-Z0-9#+%: .-]{0,12}|[-+.0-9eExo:]{1,8}") {
            let node = read(&format!("a: {}\n", quoted(&text))).unwrap();
            let Value::Map(fields) = node.value else { panic!("no map") };
            prop_assert_eq!(&fields[0].node.value, &Value::Text(text.clone()));
            let node = read(&format!("{}: 1\n", quoted(&text))).unwrap();
            let Value::Map(fields) = node.value else { panic!("no map") };
            prop_assert_eq!(&fields[0].name, &text);
        }

        #[test]
        fn no_text_panics(text in "[-:{}\\[\\] a\n&*!'\"|>#0]{0,30}") {
            let _ = read(&text);
        }
    }
}
