//! The file of limits that lives in Git: a list of items, in YAML or JSON, each as the limits table has it.

use std::fmt::Write as _;
use std::path::Path;

use aws_sdk_dynamodb::types::AttributeValue;
use fn_lookup_limit::{Item, KEY, check};

use super::yaml::{self, Field, Invalid, Node, Value, quoted};
use crate::failure::Failure;

/// The only field of a file.
const LIMITS: &str = "limits";
/// The order of attributes in a file, and of the fields of a window. Others follow by name.
const ORDER: [&str; 22] = [
    KEY,
    "note",
    "owner",
    "stopped",
    "shared",
    "enforce",
    "window",
    "timeZone",
    "from",
    "until",
    "limit",
    "raise",
    "alertAt",
    "respond",
    "limits",
    "perRequest",
    "whenExceeded",
    "shards",
    "input",
    "output",
    "usd",
    "requests",
];

/// An item of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct FileItem {
    pub key: String,
    /// The whole item, with its key.
    pub item: Item,
    /// The line on which the item begins, from 1.
    pub line: usize,
}

/// Reads the items of the file `path`.
///
/// # Errors
/// If the file cannot be read, or an item has a field that is not understood. The error names the file and the line.
pub fn read(path: &Path) -> Result<Vec<FileItem>, Failure> {
    let text = text_of(path)?;
    parse(&text).map_err(|invalid| refused(path, &invalid))
}

/// The text of the file `path`, or of standard input if it is `-`.
///
/// # Errors
/// If it cannot be read.
pub fn text_of(path: &Path) -> Result<String, Failure> {
    let text =
        if path.as_os_str() == "-" { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(path) };
    text.map_err(|error| Failure::Refused(format!("{} cannot be read: {error}", path.display())))
}

/// The refusal of the file `path`.
pub fn refused(path: &Path, invalid: &Invalid) -> Failure {
    Failure::Refused(format!("{}, line {}: {}. Nothing was changed", path.display(), invalid.line, invalid.problem))
}

/// Reads the items of a text.
///
/// # Errors
/// The line, and what is wrong with it.
pub fn parse(text: &str) -> Result<Vec<FileItem>, Invalid> {
    let root = yaml::read(text)?;
    let shape =
        "a file of limits is a map with the list `limits`, such as `limits: [{modelId: default, limit: {usd: 100}}]`";
    let Value::Map(fields) = root.value else { return Err(Invalid::at(root.line, shape)) };
    if let Some(unknown) = fields.iter().find(|field| field.name != LIMITS) {
        return Err(Invalid::at(unknown.line, format!("{} is no part of a file of limits; {shape}", unknown.name)));
    }
    let list = match fields.into_iter().next().map(|field| (field.line, field.node.value)) {
        Some((_, Value::List(list))) => list,
        Some((line, _)) => {
            return Err(Invalid::at(line, format!("limits must be a list; {shape}. An empty list is []")));
        }
        None => return Err(Invalid::at(1, shape)),
    };
    let mut items: Vec<FileItem> = Vec::with_capacity(list.len());
    for node in &list {
        let item = item_of(node)?;
        if let Some(other) = items.iter().find(|other| other.key == item.key) {
            let problem = format!("the item {} is there twice, first on line {}", item.key, other.line);
            return Err(Invalid::at(item.line, problem));
        }
        items.push(item);
    }
    Ok(items)
}

/// Reads one item, such as `{limit: {usd: 100}}` for the key `key`, or an item that names its key.
///
/// # Errors
/// The line, and what is wrong with it.
pub fn parse_item(text: &str, key: Option<&str>) -> Result<FileItem, Invalid> {
    let mut node = yaml::read(text)?;
    if let (Value::Map(fields), Some(key)) = (&mut node.value, key) {
        let own = fields.iter().find(|field| field.name == KEY);
        if let Some(own) = own.filter(|own| own.node.value != Value::Text(key.to_owned())) {
            return Err(Invalid::at(own.line, format!("{KEY} is not {key}; leave it out")));
        }
        if own.is_none() {
            let value = Node { line: node.line, value: Value::Text(key.to_owned()) };
            fields.push(Field { name: KEY.to_owned(), line: node.line, node: value });
        }
    }
    item_of(&node)
}

fn item_of(node: &Node) -> Result<FileItem, Invalid> {
    let Value::Map(fields) = &node.value else {
        return Err(Invalid::at(node.line, "an item must be a map, such as {modelId: default, limit: {usd: 100}}"));
    };
    let key = match fields.iter().find(|field| field.name == KEY) {
        Some(Field { node: Node { value: Value::Text(key), .. }, .. }) if !key.is_empty() => key.clone(),
        Some(field) => {
            return Err(Invalid::at(field.line, format!("{KEY} must be a string that is not empty; quote a number")));
        }
        None => return Err(Invalid::at(node.line, format!("the item has no {KEY}"))),
    };
    let item: Item = fields.iter().map(|field| (field.name.clone(), attribute(&field.node))).collect();
    check(&key, &item).map_err(|invalid| {
        let line = line_of(node, invalid.field());
        let subject = if invalid.field().is_empty() { "the item" } else { invalid.field() };
        Invalid::at(line, format!("in the item {key}, {subject} {}", invalid.problem()))
    })?;
    Ok(FileItem { key, item, line: node.line })
}

/// The line of the field with the path `path`, such as `limits[1].limit.usd`. If the field is absent, the line of the nearest
/// part around it.
fn line_of(node: &Node, path: &str) -> usize {
    match &node.value {
        Value::Map(fields) => {
            // A name can have a dot, so the longest name that fits is meant.
            let fits = |field: &&Field| {
                path.strip_prefix(&field.name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            };
            let Some(field) = fields.iter().filter(fits).max_by_key(|field| field.name.len()) else { return node.line };
            let rest = path.get(field.name.len()..).unwrap_or_default();
            if rest.is_empty() {
                field.line
            } else {
                line_of(&field.node, rest.trim_start_matches('.')).max(field.line)
            }
        }
        Value::List(nodes) => {
            let position = path.strip_prefix('[').and_then(|rest| rest.split_once(']'));
            let found = position.and_then(|(position, rest)| Some((nodes.get(position.parse::<usize>().ok()?)?, rest)));
            found.map_or(node.line, |(node, rest)| line_of(node, rest.trim_start_matches('.')))
        }
        _ => node.line,
    }
}

fn attribute(node: &Node) -> AttributeValue {
    match &node.value {
        Value::Null => AttributeValue::Null(true),
        Value::Bool(truth) => AttributeValue::Bool(*truth),
        Value::Number(digits) => AttributeValue::N(digits.clone()),
        Value::Text(text) => AttributeValue::S(text.clone()),
        Value::List(nodes) => AttributeValue::L(nodes.iter().map(attribute).collect()),
        Value::Map(fields) => {
            AttributeValue::M(fields.iter().map(|field| (field.name.clone(), attribute(&field.node))).collect())
        }
    }
}

/// The text of a file with `items`, in their order.
pub fn written<'i>(items: impl IntoIterator<Item = &'i Item>) -> String {
    let mut text = String::from("limits:");
    let mut is_empty = true;
    for item in items {
        is_empty = false;
        text.push_str("\n  - ");
        let fields = ordered(item);
        let lines = fields.iter().map(|(name, value)| format!("{}:{}", quoted(name), field(name, value)));
        text.push_str(&lines.collect::<Vec<_>>().join("\n    "));
    }
    text + if is_empty { " []\n" } else { "\n" }
}

/// The text after the colon: one line for a value, except that each window of `limits` has its own.
fn field(name: &str, value: &AttributeValue) -> String {
    match value {
        AttributeValue::L(windows) if name == LIMITS => {
            windows.iter().fold(String::new(), |text, window| text + "\n      - " + &flow(window))
        }
        value => format!(" {}", flow(value)),
    }
}

/// A value as flow YAML on one line. In a flow, texts with `,`, `[` or `{` are quoted, which `quoted` does.
pub fn flow(value: &AttributeValue) -> String {
    match value {
        AttributeValue::S(text) => quoted(text),
        AttributeValue::M(map) => {
            let fields = ordered(map).into_iter().map(|(name, value)| format!("{}: {}", quoted(name), flow(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        AttributeValue::L(list) => format!("[{}]", list.iter().map(flow).collect::<Vec<_>>().join(", ")),
        AttributeValue::Ss(_) | AttributeValue::Ns(_) => flow(&as_list(value)),
        other => json(other),
    }
}

/// A value as JSON, with every digit of its numbers.
pub fn json(value: &AttributeValue) -> String {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    match value {
        AttributeValue::S(value) => text(value),
        AttributeValue::N(digits) => digits.clone(),
        AttributeValue::Bool(truth) => truth.to_string(),
        AttributeValue::M(map) => json_item(map),
        AttributeValue::L(list) => format!("[{}]", list.iter().map(json).collect::<Vec<_>>().join(", ")),
        AttributeValue::Ss(_) | AttributeValue::Ns(_) => json(&as_list(value)),
        _ => "null".to_owned(),
    }
}

/// A set as a list in a stable order, because a file has no sets. The remedies of `whenExceeded` come in the order in which the
/// sentry tries those of a set. Other values stay as they are.
pub fn as_list(value: &AttributeValue) -> AttributeValue {
    match value {
        AttributeValue::Ss(set) => {
            let mut texts = set.clone();
            texts.sort_unstable();
            AttributeValue::L(texts.into_iter().map(AttributeValue::S).collect())
        }
        AttributeValue::Ns(set) => {
            let mut numbers = set.clone();
            numbers.sort_unstable_by_key(|digits| (digits.parse().unwrap_or(u64::MAX), digits.clone()));
            AttributeValue::L(numbers.into_iter().map(AttributeValue::N).collect())
        }
        other => other.clone(),
    }
}

/// An item as JSON.
pub fn json_item(item: &Item) -> String {
    let mut text = String::from("{");
    for (position, (name, value)) in ordered(item).into_iter().enumerate() {
        let comma = if position == 0 { "" } else { ", " };
        let _ = write!(text, "{comma}{}: {}", serde_json::Value::from(name), json(value));
    }
    text + "}"
}

/// The fields in the order of a file. A NULL is left out, because it is the same as absent.
fn ordered(item: &Item) -> Vec<(&str, &AttributeValue)> {
    let mut fields: Vec<(&str, &AttributeValue)> =
        item.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.as_str(), value)).collect();
    fields.sort_by_key(|(name, _)| (ORDER.iter().position(|other| other == name).unwrap_or(ORDER.len()), *name));
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# Agreed in November.
limits:
  - modelId: default
    limit: {usd: 100}
  - modelId: costCenter#support
    note: \"agreed: finance\"
    limits:
      - {window: month, limit: {usd: 500.10}, alertAt: [80, 100]}
      - {window: day, limit: {usd: 50}}
";

    #[test]
    fn a_file_is_read_and_written_back() {
        let items = parse(FILE).unwrap();
        assert_eq!(
            items.iter().map(|item| (item.key.as_str(), item.line)).collect::<Vec<_>>(),
            [("default", 3), ("costCenter#support", 5)]
        );
        let text = written(items.iter().map(|item| &item.item));
        assert_eq!(text, FILE.split_once('\n').unwrap().1);
        let again: Vec<_> = parse(&text).unwrap().into_iter().map(|item| item.item).collect();
        assert_eq!(again, items.into_iter().map(|item| item.item).collect::<Vec<_>>());
        assert_eq!(parse(&written([])).unwrap(), []);
    }

    #[test]
    fn an_item_as_json_keeps_its_digits() {
        let items = parse(FILE).unwrap();
        let json = json_item(&items[1].item);
        assert!(json.starts_with("{\"modelId\": \"costCenter#support\", \"note\""), "{json}");
        assert!(json.contains("{\"usd\": 500.10}"), "{json}");
        assert_eq!(parse_item(&json, None).unwrap().item, items[1].item);
    }

    #[test]
    fn every_fault_has_its_line() {
        for (text, line, part) in [
            (FILE.replace("note", "notes"), 6, "notes is no setting"),
            (FILE.replace("window: day", "windw: day"), 9, "limits[1].windw"),
            (FILE.replace("usd: 50}", "usd: -1}"), 9, "limits[1].limit.usd must be a number of dollars"),
            (FILE.replace("limit: {usd: 100}", "limit:\n      usd: \"100\""), 5, "limit.usd must be a number"),
            (FILE.replace("    limit: {usd: 100}\n", ""), 3, "limit is missing"),
            (FILE.replace("default", "costCenter#support"), 5, "there twice, first on line 3"),
            (FILE.replace("modelId: default", "model: default"), 3, "no modelId"),
            (FILE.replace("modelId: default", "modelId: 7"), 3, "quote a number"),
            (
                FILE.replace("limits:\n  - modelId: default", "version: 1\nlimits:\n  - modelId: default"),
                2,
                "version is no part",
            ),
            ("limits: 7\n".to_owned(), 1, "must be a list"),
            ("limits:\n  - default\n".to_owned(), 2, "must be a map"),
            (String::new(), 1, "map with the list"),
        ] {
            let invalid = parse(&text).unwrap_err();
            assert!(invalid.problem.contains(part), "{text}: {invalid}");
            assert_eq!(invalid.line, line, "{text}: {invalid}");
        }
    }

    #[test]
    fn a_file_that_does_not_exist_is_named() {
        let message = read(Path::new("no/such/file.yaml")).unwrap_err().to_string();
        assert!(message.starts_with("no/such/file.yaml cannot be read"), "{message}");
    }
}
