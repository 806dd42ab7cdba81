//! The amounts that a request asked for, as the audit record keeps them.

use sentry_domain::{Charges, Price};
use serde::{Deserialize, Serialize};

use super::MetricsModel;
use crate::request::{Fallback, Family, Model, Request};

/// The facts about a request that decide, together with the limits and the ledger, if it is admitted. A denied request
/// has them too, although it holds nothing. `sentry limits backtest` judges the request again by them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// Upper bound of the input tokens: the estimate, or Bedrock's own count if that is lower.
    pub input_tokens: u64,
    /// The most output tokens that the request asked for: the client's value, or the catalogue's default.
    pub max_tokens: u32,
    /// `true` if the client set `max_tokens`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub max_tokens_given: bool,
    /// The properties of the prompt that decide which rates can apply.
    #[serde(default, skip_serializing_if = "Charges::is_default")]
    pub charges: Charges,
    /// The model that was asked for, with the price of the request.
    pub model: MetricsModel,
    /// The model that may answer instead. Absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<AskedFallback>,
}

/// The amounts of the request to its fallback model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AskedFallback {
    /// The fallback model, with the price of the request on it.
    pub model: MetricsModel,
    /// Upper bound of the tokens that the fallback model reads.
    pub input_tokens: u64,
    /// Maximum number of its output tokens.
    pub max_tokens: u32,
}

impl Asked {
    /// The amounts of `request`. `input_tokens` is the bound of its input tokens.
    #[must_use]
    pub fn of(request: &Request, input_tokens: u64) -> Self {
        let estimate = &request.estimate;
        let fallback = request.fallback.as_ref().map(|fallback| AskedFallback {
            model: (&fallback.model).into(),
            input_tokens: fallback.input_tokens,
            max_tokens: fallback.max_tokens,
        });
        Self {
            input_tokens,
            max_tokens: estimate.max_tokens,
            max_tokens_given: estimate.max_tokens_given,
            charges: estimate.charges,
            model: (&request.model).into(),
            fallback,
        }
    }

    /// The price of the request on the model that was asked for.
    #[must_use]
    pub const fn price(&self) -> Option<&Price> {
        self.model.price.as_ref()
    }
}

impl AskedFallback {
    /// The fallback as a request has it.
    #[must_use]
    pub fn fallback(&self) -> Fallback {
        Fallback { model: Model::from(&self.model), input_tokens: self.input_tokens, max_tokens: self.max_tokens }
    }
}

impl From<&MetricsModel> for Model {
    /// The model as far as a decision needs it. The family and the form of reasoning are not kept, and matter only for
    /// the call.
    fn from(model: &MetricsModel) -> Self {
        Self {
            requested: model.requested.clone(),
            model_id: model.model_id.clone(),
            model_metric: model.model_metric.clone().unwrap_or_else(|| model.model_id.clone()),
            foundation: model.foundation.clone(),
            family: Family::Converse,
            price: model.price,
            price_source: model.price_source,
            reasoning: None,
        }
    }
}
