//! What a model takes, as data: the catalogue's rules in layers, each of which says only what it changes.

use sentry_contract::request::{Effort, ReasoningStyle};
use sentry_domain::ServiceTier;
use serde::{Deserialize, Serialize};

/// Which sampling parameters a request may give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sampling {
    /// `temperature` and `top_p`.
    All,
    /// `temperature` or `top_p`, not both.
    OneOfTemperatureTopP,
    /// Neither of them, nor `top_k`.
    None,
}

/// Whether a model thinks where a request does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Thinking {
    /// Only when it is asked to.
    Off,
    /// Unless it is asked not to.
    On,
    /// In any case.
    Always,
}

/// How a model thinks before it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reasoning {
    /// The words in which it is told how much; absent where it cannot be told, or where no source says how.
    pub style: Option<ReasoningStyle>,
    /// What it does where a request does not say.
    pub default: Thinking,
    /// The efforts that it knows; empty where it knows none.
    pub efforts: Vec<Effort>,
    /// Whether a request can turn it off.
    pub can_be_off: bool,
}

impl Default for Reasoning {
    /// A model of which no more is known than that it thinks.
    fn default() -> Self {
        Self { style: None, default: Thinking::On, efforts: Vec::new(), can_be_off: false }
    }
}

/// How prompts are cached at cache points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cache {
    /// Fewest tokens before a cache point for it to have an effect.
    pub min_tokens: u32,
    /// Whether a point may live for an hour.
    pub one_hour: bool,
}

impl Default for Cache {
    /// Source: Amazon Bedrock User Guide, "Prompt caching": most models need 1,024 tokens and keep them for five minutes.
    fn default() -> Self {
        Self { min_tokens: 1_024, one_hour: false }
    }
}

macro_rules! takes {
    ($($(#[$doc:meta])* $field:ident: $type:ty = $default:expr;)+) => {
        /// What a model takes. Where no source says that it does not take something, it is assumed to: Bedrock decides then.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Takes {
            $($(#[$doc])* pub $field: $type,)+
            /// How it thinks; absent for a model that does not.
            pub reasoning: Option<Reasoning>,
            /// How it caches prompts; absent where it takes no cache points.
            pub cache: Option<Cache>,
            /// The service tiers that have a price, beside the standard one. It follows from the price, and is no part of a patch.
            pub service_tiers: Vec<ServiceTier>,
        }

        impl Default for Takes {
            fn default() -> Self {
                Self { $($field: $default,)+ reasoning: None, cache: None, service_tiers: Vec::new() }
            }
        }

        /// A layer of [`Takes`]: what it does not say stays as it was.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields, default)]
        pub struct TakesPatch {
            $($(#[$doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<$type>,)+
            /// How it thinks.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub reasoning: Option<ReasoningPatch>,
            /// How it caches prompts.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub cache: Option<CachePatch>,
        }

        impl Takes {
            /// This, changed by what `patch` says.
            pub fn apply(&mut self, patch: &TakesPatch) {
                $(if let Some(value) = &patch.$field { self.$field.clone_from(value); })+
                if let Some(reasoning) = &patch.reasoning {
                    reasoning.apply(self.reasoning.get_or_insert_with(Reasoning::default));
                }
                if let Some(cache) = &patch.cache {
                    cache.apply(self.cache.get_or_insert_with(Cache::default));
                }
            }
        }

        impl TakesPatch {
            /// Only what differs from `base`.
            #[must_use]
            pub fn beyond(mut self, base: &Takes) -> Self {
                $(if self.$field.as_ref() == Some(&base.$field) { self.$field = None; })+
                self.reasoning = self.reasoning.map(|own| own.beyond(base.reasoning.as_ref())).filter(|own| {
                    base.reasoning.is_none() || *own != ReasoningPatch::default()
                });
                self.cache = self.cache.map(|own| own.beyond(base.cache.as_ref())).filter(|own| {
                    base.cache.is_none() || *own != CachePatch::default()
                });
                self
            }

            /// Whether it says nothing.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                *self == Self::default()
            }
        }
    };
}

takes! {
    /// `temperature` and `top_p`.
    sampling: Sampling = Sampling::All;
    /// The parameter `top_k`.
    top_k: bool = false;
    /// The parameter `stop_sequences`.
    stop_sequences: bool = true;
    /// System messages.
    system: bool = true;
    /// A conversation of more than one turn.
    turns: bool = true;
    /// A conversation that ends with the assistant, to be continued.
    prefill: bool = true;
    /// Tools.
    tools: bool = true;
    /// A `toolChoice` of `any`, or of one tool.
    tool_choice: bool = true;
    /// Such a `toolChoice` while the model thinks: because the request says so, or because it always does.
    forced_tool_with_reasoning: bool = true;
    /// Pictures.
    images: bool = true;
    /// Documents.
    documents: bool = true;
    /// `outputFormat`, an answer by a JSON schema.
    structured_output: bool = true;
    /// The keys that `additionalModelRequestFields` may have.
    fields: Vec<String> = Vec::new();
}

/// A layer of [`Reasoning`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ReasoningPatch {
    /// The words in which it is told how much.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub style: Option<ReasoningStyle>,
    /// What it does where a request does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Thinking>,
    /// The efforts that it knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub efforts: Option<Vec<Effort>>,
    /// Whether a request can turn it off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_be_off: Option<bool>,
}

impl ReasoningPatch {
    fn apply(&self, reasoning: &mut Reasoning) {
        reasoning.style = self.style.or(reasoning.style);
        reasoning.default = self.default.unwrap_or(reasoning.default);
        reasoning.can_be_off = self.can_be_off.unwrap_or(reasoning.can_be_off);
        if let Some(efforts) = &self.efforts {
            reasoning.efforts.clone_from(efforts);
        }
    }

    fn beyond(self, base: Option<&Reasoning>) -> Self {
        let Some(base) = base else { return self };
        Self {
            style: self.style.filter(|own| Some(*own) != base.style),
            default: self.default.filter(|own| *own != base.default),
            efforts: self.efforts.filter(|own| *own != base.efforts),
            can_be_off: self.can_be_off.filter(|own| *own != base.can_be_off),
        }
    }
}

/// A layer of [`Cache`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CachePatch {
    /// Fewest tokens before a cache point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_tokens: Option<u32>,
    /// Whether a point may live for an hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub one_hour: Option<bool>,
}

impl CachePatch {
    fn apply(self, cache: &mut Cache) {
        cache.min_tokens = self.min_tokens.unwrap_or(cache.min_tokens);
        cache.one_hour = self.one_hour.unwrap_or(cache.one_hour);
    }

    fn beyond(self, base: Option<&Cache>) -> Self {
        let Some(base) = base else { return self };
        Self {
            min_tokens: self.min_tokens.filter(|own| *own != base.min_tokens),
            one_hour: self.one_hour.filter(|own| *own != base.one_hour),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_changes_only_what_it_says() {
        let layer: TakesPatch =
            serde_json::from_str(r#"{"images": false, "reasoning": {"default": "off", "canBeOff": true}}"#).unwrap();
        let mut takes = Takes::default();
        takes.apply(&layer);
        takes.apply(&serde_json::from_str(r#"{"reasoning": {"style": "nova-effort"}, "cache": {}}"#).unwrap());
        let reasoning = takes.reasoning.clone().unwrap();
        assert!(!takes.images && takes.documents && reasoning.can_be_off);
        assert_eq!((reasoning.default, reasoning.style), (Thinking::Off, Some(ReasoningStyle::NovaEffort)));
        assert_eq!(takes.cache, Some(Cache::default()));
        assert!(layer.clone().beyond(&takes).is_empty());
        assert_eq!(layer.clone().beyond(&Takes::default()), layer);
        assert!(serde_json::from_str::<TakesPatch>(r#"{"picture": false}"#).is_err());
    }
}
