//! The capabilities of a model, as data. The catalogue has rules in layers. Each layer contains only its changes.

use sentry_contract::request::{Effort, ReasoningStyle};
use sentry_domain::ServiceTier;
use serde::{Deserialize, Serialize};

/// The sampling parameters that a model accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sampling {
    /// `temperature` and `top_p`, also together.
    All,
    /// `temperature` or `top_p`, but not both.
    OneOfTemperatureTopP,
    /// None of `temperature`, `top_p` and `top_k`.
    None,
}

/// A model's behavior if a request does not set `reasoning`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Thinking {
    /// The model thinks only if a request asks for it.
    Off,
    /// The model thinks unless a request turns it off.
    On,
    /// The model thinks in every request.
    Always,
}

/// The way in which a model thinks before it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reasoning {
    /// The request format for the amount of thinking. Absent if the amount cannot be set, or if no source describes it.
    pub style: Option<ReasoningStyle>,
    /// The behavior if a request does not set `reasoning`.
    pub default: Thinking,
    /// The efforts that the model accepts. Empty if it accepts none.
    pub efforts: Vec<Effort>,
    /// `true` if a request can turn thinking off.
    pub can_be_off: bool,
}

impl Default for Reasoning {
    /// A model that thinks, if nothing else is known about it.
    fn default() -> Self {
        Self { style: None, default: Thinking::On, efforts: Vec::new(), can_be_off: false }
    }
}

/// Prompt caching at cache points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cache {
    /// Fewest tokens before a cache point. A point after fewer tokens has no effect.
    pub min_tokens: u32,
    /// `true` if a cache point can have a lifetime of one hour.
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
        /// The capabilities of a model. Most count as present unless a source says otherwise, and Bedrock then decides.
        /// `top_k`, `fields`, `reasoning` and `cache` count as absent unless a source has them.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Takes {
            $($(#[$doc])* pub $field: $type,)+
            /// The way in which the model thinks. Absent if it does not think.
            pub reasoning: Option<Reasoning>,
            /// Prompt caching. Absent if the model accepts no cache points.
            pub cache: Option<Cache>,
            /// The service tiers with a price, without the standard tier. They come from the price, so a patch has no
            /// such field.
            pub service_tiers: Vec<ServiceTier>,
        }

        impl Default for Takes {
            fn default() -> Self {
                Self { $($field: $default,)+ reasoning: None, cache: None, service_tiers: Vec::new() }
            }
        }

        /// A layer of [`Takes`]. An absent field changes nothing.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields, default)]
        pub struct TakesPatch {
            $($(#[$doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<$type>,)+
            /// The thinking that the layer changes.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub reasoning: Option<ReasoningPatch>,
            /// The prompt caching that the layer changes.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub cache: Option<CachePatch>,
        }

        impl Takes {
            /// Overrides the fields that `patch` sets.
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
            /// Returns the patch without the fields that equal those of `base`.
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

            /// `true` if the patch changes nothing.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                *self == Self::default()
            }
        }
    };
}

takes! {
    /// The sampling parameters that the model accepts.
    sampling: Sampling = Sampling::All;
    /// `true` if the model accepts the parameter `top_k`.
    top_k: bool = false;
    /// `true` if the model accepts the parameter `stop_sequences`.
    stop_sequences: bool = true;
    /// `true` if the model accepts system messages.
    system: bool = true;
    /// `true` if the model accepts more than one turn.
    turns: bool = true;
    /// `true` if the model continues a conversation whose last message is the assistant's.
    prefill: bool = true;
    /// `true` if the model accepts tools.
    tools: bool = true;
    /// `true` if the model accepts a `toolChoice` of `any` or of one tool.
    tool_choice: bool = true;
    /// `true` if the model accepts such a `toolChoice` while it thinks, because of the request or because it always
    /// thinks.
    forced_tool_with_reasoning: bool = true;
    /// `true` if the model accepts pictures.
    images: bool = true;
    /// `true` if the model accepts documents.
    documents: bool = true;
    /// `true` if the model accepts `outputFormat`, a JSON schema for the answer.
    structured_output: bool = true;
    /// The keys that `additionalModelRequestFields` can have.
    fields: Vec<String> = Vec::new();
}

/// A layer of [`Reasoning`]. An absent field changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ReasoningPatch {
    /// The request format for the amount of thinking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub style: Option<ReasoningStyle>,
    /// The behavior if a request does not set `reasoning`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Thinking>,
    /// The efforts that the model accepts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub efforts: Option<Vec<Effort>>,
    /// `true` if a request can turn thinking off.
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

/// A layer of [`Cache`]. An absent field changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CachePatch {
    /// Fewest tokens before a cache point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_tokens: Option<u32>,
    /// `true` if a cache point can have a lifetime of one hour.
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
