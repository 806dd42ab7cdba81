//! Which model ids exist, and what the id of a call means.

const VENDORS: [&str; 16] = [
    "anthropic.",
    "amazon.nova",
    "amazon.titan",
    "meta.",
    "mistral.",
    "cohere.",
    "ai21.",
    "deepseek.",
    "openai.",
    "qwen.",
    "google.",
    "minimax.",
    "moonshot.",
    "nvidia.",
    "writer.",
    "zai.",
];
/// Models whose Converse has no system prompt, by AWS's table of supported features (Bedrock user guide, "Supported models and
/// model features").
const WITHOUT_SYSTEM: [&str; 5] =
    ["amazon.titan", "mistral.mistral-7b", "mistral.mixtral", "cohere.command-text", "cohere.command-light"];
/// Some of the models that have reached the end of their life (Bedrock user guide, "Model lifecycle").
const RETIRED: [&str; 3] = ["anthropic.claude-v1", "ai21.j2", "meta.llama2"];
/// Models whose Converse has no conversation, by the same table ("Limited. No chat support").
const WITHOUT_HISTORY: [&str; 2] = ["cohere.command-text", "cohere.command-light"];
/// Models whose Converse refuses `stopSequences`. AWS's page of OpenAI's models maps them all the same; accounts report the refusal
/// (crewAI issues 3317 and 4046 for gpt-oss, dify-official-plugins issue 1767 for Qwen; code that works around it for the others).
const WITHOUT_STOP_SEQUENCES: [&str; 6] = ["openai.", "qwen.", "deepseek.v3", "google.gemma", "nvidia.", "zai."];
/// Models whose tokens Bedrock counts, by AWS's table (Bedrock user guide, "Monitor your token usage by counting tokens before
/// running inference") and by what accounts report of later ones. Claude Opus 4.8 launched with cross-Region inference only and is not.
const COUNTED: [&str; 9] = [
    "anthropic.claude-3-5-",
    "anthropic.claude-3-7-",
    "anthropic.claude-haiku-4-",
    "anthropic.claude-opus-4-1-",
    "anthropic.claude-opus-4-20250514-",
    "anthropic.claude-opus-4-5-",
    "anthropic.claude-opus-4-6-",
    "anthropic.claude-opus-4-7",
    "anthropic.claude-sonnet-4-",
];
const MAX_PREFIX: usize = 8;

/// Models that are alike in what they take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Claude 3 and later.
    ClaudeMessages,
    /// Claude 2 and Instant.
    ClaudeText,
    /// Amazon Nova.
    Nova,
    /// Amazon Titan Text.
    Titan,
    /// Meta Llama.
    Llama,
    /// Mistral AI.
    Mistral,
    /// Cohere Command and Command Light.
    CohereText,
    /// Cohere Command R and R+.
    CohereChat,
    /// AI21 Jamba.
    Jamba,
    /// DeepSeek.
    DeepSeek,
    /// OpenAI's gpt-oss.
    GptOss,
    /// Qwen.
    Qwen,
    /// Any other; here only Converse serves it.
    Other,
}

/// The starts of model ids; the first that fits decides.
const FAMILIES: [(&str, Family); 16] = [
    ("anthropic.claude-v", Family::ClaudeText),
    ("anthropic.claude-instant", Family::ClaudeText),
    ("anthropic.", Family::ClaudeMessages),
    ("amazon.nova", Family::Nova),
    ("amazon.titan-text", Family::Titan),
    ("amazon.titan-tg1", Family::Titan),
    ("meta.", Family::Llama),
    ("mistral.", Family::Mistral),
    ("cohere.command-r", Family::CohereChat),
    ("cohere.command-text", Family::CohereText),
    ("cohere.command-light", Family::CohereText),
    ("ai21.jamba", Family::Jamba),
    ("deepseek.", Family::DeepSeek),
    ("openai.", Family::GptOss),
    ("qwen.", Family::Qwen),
    ("", Family::Other),
];

/// A model id taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Model<'a> {
    /// Prefix of a cross-Region profile, such as `us`.
    pub prefix: Option<&'a str>,
    /// The foundation model, such as `amazon.nova-lite-v1:0`.
    pub base: &'a str,
}

impl<'a> Model<'a> {
    /// Reads `[region.]vendor.name`; nothing if no such model is known.
    pub fn parse(id: &'a str) -> Option<Self> {
        if is_foundation_model(id) {
            return Some(Self { prefix: None, base: id });
        }
        let (prefix, base) = id.split_once('.')?;
        let is_prefix =
            (1..=MAX_PREFIX).contains(&prefix.len()) && prefix.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        (is_prefix && is_foundation_model(base)).then_some(Self { prefix: Some(prefix), base })
    }

    /// The family this model belongs to.
    pub fn family(&self) -> Family {
        FAMILIES.iter().find(|(start, _)| self.base.starts_with(start)).map_or(Family::Other, |(_, family)| *family)
    }

    /// Whether Converse takes system texts for this model.
    pub fn has_system(&self) -> bool {
        !self.is_one_of(&WITHOUT_SYSTEM)
    }

    /// Whether Converse takes more than one message for this model.
    pub fn has_history(&self) -> bool {
        !self.is_one_of(&WITHOUT_HISTORY)
    }

    /// Whether Converse takes stop sequences for this model.
    pub fn has_stop_sequences(&self) -> bool {
        !self.is_one_of(&WITHOUT_STOP_SEQUENCES)
    }

    /// Whether Bedrock does not serve this model any more.
    pub fn is_retired(&self) -> bool {
        self.is_one_of(&RETIRED)
    }

    /// Whether CountTokens knows this model.
    pub fn counts_tokens(&self) -> bool {
        self.is_one_of(&COUNTED)
    }

    fn is_one_of(&self, starts: &[&str]) -> bool {
        starts.iter().any(|start| self.base.starts_with(start))
    }
}

fn is_foundation_model(id: &str) -> bool {
    let name_is_set = VENDORS.iter().any(|vendor| id.strip_prefix(vendor).is_some_and(|name| !name.is_empty()));
    name_is_set && id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':'))
}

/// Kind of an ARN of Bedrock that a call can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArnKind {
    /// A foundation model.
    FoundationModel,
    /// A cross-Region profile that AWS defines.
    InferenceProfile,
    /// A profile that an account created.
    ApplicationProfile,
}

/// Takes `arn:aws:bedrock:region:account:kind/id` apart; nothing if it is not such an ARN.
pub fn parse_arn(text: &str) -> Option<(ArnKind, &str)> {
    let mut parts = text.splitn(6, ':');
    let (scheme, partition, service) = (parts.next()?, parts.next()?, parts.next()?);
    if scheme != "arn" || !partition.starts_with("aws") || service != "bedrock" {
        return None;
    }
    let (kind, id) = parts.nth(2)?.split_once('/')?;
    let kind = match kind {
        "foundation-model" => ArnKind::FoundationModel,
        "inference-profile" => ArnKind::InferenceProfile,
        "application-inference-profile" => ArnKind::ApplicationProfile,
        _ => return None,
    };
    let plain = !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':'));
    plain.then_some((kind, id))
}

/// The value of the dimension `ModelId` for a call: the id, or the bare id at the end of an ARN.
pub fn metric_id(model_id: &str) -> &str {
    model_id.rsplit_once('/').map_or(model_id, |(_, id)| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_ids_have_a_vendor_and_a_name() {
        for (id, prefix, family) in [
            ("anthropic.claude-v2:0", None, Family::ClaudeText),
            ("anthropic.claude-instant-v1", None, Family::ClaudeText),
            ("anthropic.claude-3-haiku-20240307-v1:0", None, Family::ClaudeMessages),
            ("us.anthropic.claude-3-5-haiku-20241022-v1:0", Some("us"), Family::ClaudeMessages),
            ("global.anthropic.claude-sonnet-4-20250514-v1:0", Some("global"), Family::ClaudeMessages),
            ("us-gov.amazon.nova-lite-v1:0", Some("us-gov"), Family::Nova),
            ("us.meta.llama3-3-70b-instruct-v1:0", Some("us"), Family::Llama),
            ("openai.gpt-oss-120b-1:0", None, Family::GptOss),
            ("cohere.command-r-plus-v1:0", None, Family::CohereChat),
            ("cohere.command-light-text-v14", None, Family::CohereText),
            ("cohere.embed-english-v3", None, Family::Other),
            ("amazon.titan-text-express-v1", None, Family::Titan),
            ("amazon.titan-embed-text-v2:0", None, Family::Other),
            ("writer.palmyra-x5-v1:0", None, Family::Other),
        ] {
            let model = Model::parse(id).unwrap();
            assert_eq!((model.prefix, model.family()), (prefix, family), "{id}");
        }
    }

    #[test]
    fn other_ids_are_unknown() {
        for id in [
            "",
            "anthropic",
            "anthropic.",
            "gpt-4",
            "acme.model-1",
            "us.acme.model-1",
            "US.meta.llama",
            "amazon.rekognition",
            "meta.llama 3",
            "anthropic.claude/../x",
        ] {
            assert_eq!(Model::parse(id), None, "{id}");
        }
    }

    #[test]
    fn arns_are_taken_apart() {
        let profile = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123xyz";
        assert_eq!(parse_arn(profile), Some((ArnKind::ApplicationProfile, "abc123xyz")));
        assert_eq!(metric_id(profile), "abc123xyz");
        let model = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0";
        assert_eq!(parse_arn(model), Some((ArnKind::FoundationModel, "amazon.nova-lite-v1:0")));
        assert_eq!(metric_id("amazon.nova-lite-v1:0"), "amazon.nova-lite-v1:0");
        assert_eq!(parse_arn("arn:aws:s3:::bucket/key"), None);
        assert_eq!(parse_arn("arn:aws:bedrock:us-east-1:1:application-inference-profile/"), None);
    }
}
