//! The request document of `sentry ask`.

use std::io::Read;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::profiles::rules::pair;

/// The application of a request whose document names none.
const APPLICATION: &str = "sentry-cli";
/// The model of a request whose document names none: the cheapest of the catalogue that reads pictures and files.
const MODEL: &str = "nova-lite";

/// The options that describe a request.
#[derive(clap::Args)]
pub struct RequestArgs {
    /// The prompt. `-` reads it from standard input
    pub prompt: Option<String>,
    /// Alias, id, or ARN of the model [default: nova-lite, or that of --document]
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// The tag applicationId [default: sentry-cli, or that of --document]
    #[arg(long, value_name = "ID")]
    pub application: Option<String>,
    /// The value of the tag costCenter
    #[arg(long, value_name = "NAME")]
    pub cost_center: Option<String>,
    /// The value of the tag environment
    #[arg(long, value_name = "NAME")]
    pub environment: Option<String>,
    /// The value of the tag userId
    #[arg(long, value_name = "ID")]
    pub user: Option<String>,
    /// Another tag of the request
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = pair)]
    pub tags: Vec<(String, String)>,
    /// The tag requestId, so that a repetition is not paid twice
    #[arg(long, value_name = "ID")]
    pub request_id: Option<String>,
    /// The system prompt of the request
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// The most tokens that the answer may have
    #[arg(long, value_name = "TOKENS")]
    pub max_tokens: Option<u32>,
    /// From 0 to 1
    #[arg(long, value_name = "NUMBER")]
    pub temperature: Option<serde_json::Number>,
    /// How much the model thinks before it answers: low, medium, high, or max
    #[arg(long, value_name = "EFFORT")]
    pub reasoning: Option<String>,
    /// A picture (png, jpeg, gif, or webp)
    #[arg(long = "image", value_name = "FILE")]
    pub images: Vec<PathBuf>,
    /// A file for the model to read (pdf, csv, doc, docx, xls, xlsx, html, txt, or md)
    #[arg(long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// A JSON file with the list of tools, as `prompt.tools` of the request document
    #[arg(long, value_name = "FILE")]
    pub tool_file: Option<PathBuf>,
    /// A JSON file with a whole request document. The other options change it
    #[arg(long, value_name = "FILE")]
    pub document: Option<PathBuf>,
}

impl RequestArgs {
    /// The request document.
    ///
    /// # Errors
    /// If there is no prompt, or a file cannot be read.
    pub fn document(&self) -> Result<Value, Failure> {
        let mut document = match &self.document {
            Some(path) => object(path)?,
            None => Map::new(),
        };
        set(&mut document, "model", self.model.clone().map(Value::from));
        if !document.contains_key("model") && !document.contains_key("modelId") {
            document.insert("model".to_owned(), MODEL.into());
        }
        let mut tags = taken(&mut document, "tags")?;
        for (name, value) in self.given_tags() {
            tags.insert(name.to_owned(), value.into());
        }
        tags.entry("applicationId").or_insert_with(|| APPLICATION.into());
        let prompt = self.prompt(taken(&mut document, "prompt")?)?;
        document.insert("prompt".to_owned(), prompt.into());
        document.insert("tags".to_owned(), tags.into());
        Ok(document.into())
    }

    /// The application of the request, without a look at --document.
    pub fn application(&self) -> String {
        self.application.clone().unwrap_or_else(|| APPLICATION.to_owned())
    }

    fn given_tags(&self) -> impl Iterator<Item = (&str, &str)> {
        let named = [
            ("applicationId", &self.application),
            ("costCenter", &self.cost_center),
            ("environment", &self.environment),
            ("userId", &self.user),
            ("requestId", &self.request_id),
        ];
        let named = named.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        named.chain(self.tags.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }

    fn prompt(&self, mut prompt: Map<String, Value>) -> Result<Map<String, Value>, Failure> {
        set(&mut prompt, "system", self.system.clone().map(Value::from));
        set(&mut prompt, "reasoning", self.reasoning.as_ref().map(|effort| json!({"effort": effort})));
        if let Some(path) = &self.tool_file {
            prompt.insert("tools".to_owned(), parsed(path)?);
        }
        let mut parameters = taken(&mut prompt, "parameters")?;
        set(&mut parameters, "max_tokens", self.max_tokens.map(Value::from));
        set(&mut parameters, "temperature", self.temperature.clone().map(Value::from));
        if !parameters.is_empty() {
            prompt.insert("parameters".to_owned(), parameters.into());
        }
        if let Some(content) = self.content()? {
            let message = json!({"role": "user", "content": content});
            match prompt.entry("messages").or_insert_with(|| json!([])) {
                Value::Array(messages) => messages.push(message),
                _ => return Err(Failure::Usage("prompt.messages of --document is no list".to_owned())),
            }
        }
        if !prompt.contains_key("messages") {
            let problem = "there is no prompt: give one, or `-` for standard input, or --document";
            return Err(Failure::Usage(problem.to_owned()));
        }
        Ok(prompt)
    }

    /// The content of the user's message. `None` if only a document was given.
    fn content(&self) -> Result<Option<Value>, Failure> {
        let text = match self.prompt.as_deref() {
            Some("-") => Some(standard_input()?),
            other => other.map(str::to_owned),
        };
        if self.images.is_empty() && self.files.is_empty() {
            return Ok(text.map(Value::from));
        }
        let mut blocks = Vec::new();
        for path in &self.images {
            blocks.push(json!({"image": {"format": format(path, "image")?, "source": {"bytes": base64(path)?}}}));
        }
        for path in &self.files {
            let file = json!({"format": format(path, "file")?, "name": name(path), "source": {"bytes": base64(path)?}});
            blocks.push(json!({"document": file}));
        }
        blocks.extend(text.map(|text| json!({"text": text})));
        Ok(Some(blocks.into()))
    }
}

fn set(map: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    if let Some(value) = value {
        map.insert(name.to_owned(), value);
    }
}

/// The object under `name`, which is taken out. Empty if there is none.
fn taken(map: &mut Map<String, Value>, name: &str) -> Result<Map<String, Value>, Failure> {
    match map.remove(name) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(object)) => Ok(object),
        Some(_) => Err(Failure::Usage(format!("{name} of --document is no object"))),
    }
}

fn standard_input() -> Result<String, Failure> {
    let mut text = String::new();
    let read = std::io::stdin().read_to_string(&mut text);
    read.map_err(|error| Failure::Usage(format!("standard input cannot be read as text: {error}")))?;
    Ok(text)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::Usage(format!("{} cannot be read: {error}", path.display())))
}

fn parsed(path: &Path) -> Result<Value, Failure> {
    serde_json::from_slice(&read(path)?)
        .map_err(|error| Failure::Usage(format!("{} is no JSON: {error}", path.display())))
}

fn object(path: &Path) -> Result<Map<String, Value>, Failure> {
    match parsed(path)? {
        Value::Object(object) => Ok(object),
        _ => Err(Failure::Usage(format!("{} is no JSON object", path.display()))),
    }
}

fn base64(path: &Path) -> Result<String, Failure> {
    Ok(STANDARD.encode(read(path)?))
}

/// The format by the end of the file's name. `jpg` is `jpeg` and `htm` is `html`.
fn format(path: &Path, kind: &str) -> Result<String, Failure> {
    let extension = path.extension().and_then(|extension| extension.to_str()).map(str::to_lowercase);
    match extension.as_deref() {
        Some("jpg") => Ok("jpeg".to_owned()),
        Some("htm") => Ok("html".to_owned()),
        Some(extension) => Ok(extension.to_owned()),
        None => Err(Failure::Usage(format!("{} has no ending that tells the format of the {kind}", path.display()))),
    }
}

/// The name of a document, with only the characters that Converse allows.
///
/// Source: Amazon Bedrock API Reference, `DocumentBlock`.
fn name(path: &Path) -> String {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let allowed = |letter: char| if letter.is_ascii_alphanumeric() || "-()[]".contains(letter) { letter } else { '-' };
    let name: String = stem.chars().map(allowed).collect();
    if name.is_empty() { "file".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        request: RequestArgs,
    }

    fn document(arguments: &[&str]) -> Result<Value, Failure> {
        Line::parse_from([&["ask"], arguments].concat()).request.document()
    }

    #[test]
    fn a_prompt_alone_is_a_request() {
        let expected = json!({"model": "nova-lite", "tags": {"applicationId": "sentry-cli"},
                              "prompt": {"messages": [{"role": "user", "content": "Hello"}]}});
        assert_eq!(document(&["Hello"]).unwrap(), expected);
        assert!(matches!(document(&[]), Err(Failure::Usage(_))));
    }

    #[test]
    fn options_become_fields_and_numbers_stay_as_written() {
        let written = document(&[
            "Hi",
            "--model",
            "sales",
            "--cost-center",
            "sales",
            "--tag",
            "run=7",
            "--max-tokens",
            "20",
            "--temperature",
            "0.10",
            "--system",
            "Be brief.",
            "--reasoning",
            "low",
            "--request-id",
            "r1",
        ]);
        let expected = json!({"model": "sales",
            "tags": {"costCenter": "sales", "requestId": "r1", "run": "7", "applicationId": "sentry-cli"},
            "prompt": {"system": "Be brief.", "reasoning": {"effort": "low"},
                       "parameters": {"max_tokens": 20, "temperature": 0.1},
                       "messages": [{"role": "user", "content": "Hi"}]}});
        assert_eq!(written.unwrap(), expected);
    }

    #[test]
    fn a_document_is_changed_and_not_replaced() {
        let folder = std::env::temp_dir().join(format!("sentry-ask-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (file, picture) = (folder.join("request.json"), folder.join("a b.JPG"));
        let first = json!({"role": "user", "content": "One"});
        let whole =
            json!({"modelId": "nova-pro", "prompt": {"messages": [first]}, "tags": {"applicationId": "helper"}});
        std::fs::write(&file, whole.to_string()).unwrap();
        std::fs::write(&picture, [1, 2, 3]).unwrap();
        let (file, picture) = (file.to_str().unwrap(), picture.to_str().unwrap());
        assert_eq!(document(&["--document", file]).unwrap(), whole);
        let more = document(&["Two", "--document", file, "--image", picture, "--file", picture]).unwrap();
        let blocks = &more["prompt"]["messages"][1]["content"];
        assert_eq!(blocks[0], json!({"image": {"format": "jpeg", "source": {"bytes": "AQID"}}}));
        assert_eq!(blocks[1]["document"]["name"], "a-b");
        assert_eq!(blocks[2], json!({"text": "Two"}));
        assert!(matches!(document(&["--document", picture]), Err(Failure::Usage(_))));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
