//! Parses the model ids and ARNs of calls.
//!
//! The simulator does not use the parsers of the system under test, so that a mistake in them makes a test fail.

use crate::facts::{self, Facts, Rule};

const VENDORS: [&str; 19] = [
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
    "moonshotai.",
    "nvidia.",
    "twelvelabs.",
    "writer.",
    "xai.",
    "zai.",
];
const MAX_PREFIX: usize = 8;

/// The fields that a model accepts in `additionalModelRequestFields`.
///
/// This is not the `Family` of `sentry-contract`, which selects the adapter of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Every Anthropic Claude model.
    Claude,
    /// Every Amazon Nova model.
    Nova,
    /// Mistral 7B and Mixtral.
    MistralText,
    /// OpenAI gpt-oss and Qwen.
    OpenAiChat,
    /// Models without fields of their own.
    Plain,
    /// All other models. Their fields are not known.
    Other,
}

/// Dialects by the prefix of the model id. The first match applies.
const DIALECTS: [(&str, Dialect); 10] = [
    ("anthropic.", Dialect::Claude),
    ("amazon.nova", Dialect::Nova),
    ("mistral.mistral-7b-", Dialect::MistralText),
    ("mistral.mixtral-", Dialect::MistralText),
    ("mistral.", Dialect::Plain),
    ("meta.", Dialect::Plain),
    ("openai.gpt-oss-", Dialect::OpenAiChat),
    ("qwen.", Dialect::OpenAiChat),
    ("deepseek.", Dialect::Plain),
    ("", Dialect::Other),
];

/// A parsed model id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Model<'a> {
    /// Prefix of a cross-Region profile, such as `us`. `None` if the id has no such prefix.
    pub prefix: Option<&'a str>,
    /// Id of the foundation model, such as `amazon.nova-lite-v1:0`.
    pub base: &'a str,
}

impl<'a> Model<'a> {
    /// Parses `[prefix.]vendor.name`. `None` if the vendor is unknown or the id is malformed.
    pub fn parse(id: &'a str) -> Option<Self> {
        if is_foundation_model(id) {
            return Some(Self { prefix: None, base: id });
        }
        let (prefix, base) = id.split_once('.')?;
        let is_prefix =
            (1..=MAX_PREFIX).contains(&prefix.len()) && prefix.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        (is_prefix && is_foundation_model(base)).then_some(Self { prefix: Some(prefix), base })
    }

    /// The dialect of this model. It is [`Dialect::Other`] for unknown vendors and models.
    pub fn dialect(&self) -> Dialect {
        DIALECTS.iter().find(|(start, _)| self.base.starts_with(start)).map_or(Dialect::Other, |(_, dialect)| *dialect)
    }

    /// `true` if the rule applies to this model.
    pub fn has(&self, rule: Rule) -> bool {
        facts::has(self.base, rule)
    }

    /// `true` if this is a Claude model. Its errors come from Anthropic's API.
    pub fn is_claude(&self) -> bool {
        self.dialect() == Dialect::Claude
    }

    /// `true` if the id can be called in a Region. Profiles of unlisted models are not checked against the list.
    pub fn is_in(&self, region: &str) -> bool {
        let Some(prefix) = self.prefix else { return true };
        let is_listed = |facts: &Facts| facts.profiles.iter().any(|known| known == prefix);
        facts::region_has(region, prefix) && facts::of(self.base).is_none_or(is_listed)
    }

    /// `true` if Bedrock does not serve this model anymore on a day such as `2026-11-26`.
    pub fn has_ended(&self, today: &str) -> bool {
        facts::of(self.base).and_then(|facts| facts.ends.as_deref()).is_some_and(|day| day <= today)
    }
}

fn is_foundation_model(id: &str) -> bool {
    let name_is_set = VENDORS.iter().any(|vendor| id.strip_prefix(vendor).is_some_and(|name| !name.is_empty()));
    name_is_set && id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':'))
}

/// The kind of a Bedrock ARN in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArnKind {
    /// ARN of a foundation model.
    FoundationModel,
    /// A cross-Region profile that AWS defines.
    InferenceProfile,
    /// A profile that an account created.
    ApplicationProfile,
}

/// Parses `arn:aws:bedrock:region:account:kind/id`. `None` if `text` is not such an ARN.
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

/// The value of the metric dimension `ModelId` for a call: the id itself, or the id at the end of an ARN.
pub fn metric_id(model_id: &str) -> &str {
    model_id.rsplit_once('/').map_or(model_id, |(_, id)| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_ids_have_a_vendor_and_a_name() {
        for (id, prefix, dialect) in [
            ("anthropic.claude-opus-5", None, Dialect::Claude),
            ("us.anthropic.claude-haiku-4-5-20251001-v1:0", Some("us"), Dialect::Claude),
            ("us-gov.amazon.nova-lite-v1:0", Some("us-gov"), Dialect::Nova),
            ("us.meta.llama3-3-70b-instruct-v1:0", Some("us"), Dialect::Plain),
            ("openai.gpt-oss-120b-1:0", None, Dialect::OpenAiChat),
            ("global.openai.gpt-6-sol", Some("global"), Dialect::Other),
            ("in.moonshotai.kimi-k3", Some("in"), Dialect::Other),
            ("mistral.mixtral-8x7b-instruct-v0:1", None, Dialect::MistralText),
            ("us.xai.grok-4.7", Some("us"), Dialect::Other),
        ] {
            let model = Model::parse(id).unwrap();
            assert_eq!((model.prefix, model.dialect()), (prefix, dialect), "{id}");
        }
    }

    #[test]
    fn every_listed_id_can_be_called_where_its_profiles_are() {
        for (base, facts) in facts::ids() {
            let model = Model::parse(base).unwrap_or_else(|| panic!("{base} is unknown"));
            assert_eq!((model.prefix, model.base), (None, base.as_str()));
            for prefix in &facts.profiles {
                let id = format!("{prefix}.{base}");
                let model = Model::parse(&id).unwrap();
                assert_eq!((model.prefix, model.base), (Some(prefix.as_str()), base.as_str()));
                let regions =
                    ["us-east-1", "eu-west-1", "ap-northeast-1", "ap-southeast-2", "ap-south-1", "us-gov-west-1"];
                assert!(regions.iter().any(|region| model.is_in(region)), "{id}");
            }
        }
        assert!(!Model::parse("us.anthropic.claude-opus-5").unwrap().is_in("eu-west-1"));
        assert!(!Model::parse("eu.xai.grok-4.7").unwrap().is_in("eu-west-1"));
        assert!(Model::parse("eu.zai.glm-9").unwrap().is_in("eu-west-1"));
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
