//! The times at which a request passed from one step of the workflow to the next.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};

/// Instants of one request. Each is absent if the request did not come so far, or if it is unknown.
///
/// All but `finished` are from Step Functions (`$states.context`), with milliseconds. `finished` is from the clock of
/// the function `Settle`. The text of an instant that cannot be read counts as absent, so that no settlement fails
/// because of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StepTimes {
    /// The time at which the execution started.
    #[serde(deserialize_with = "instant", skip_serializing_if = "Option::is_none")]
    pub started: Option<DateTime<Utc>>,
    /// `Validate And Tag` ended.
    #[serde(deserialize_with = "instant", skip_serializing_if = "Option::is_none")]
    pub validated: Option<DateTime<Utc>>,
    /// All branches of `Gather` ended.
    #[serde(deserialize_with = "instant", skip_serializing_if = "Option::is_none")]
    pub gathered: Option<DateTime<Utc>>,
    /// The decision was known to the workflow.
    #[serde(deserialize_with = "instant", skip_serializing_if = "Option::is_none")]
    pub decided: Option<DateTime<Utc>>,
    /// The call of the model ended, and `Settle` began.
    #[serde(deserialize_with = "instant", skip_serializing_if = "Option::is_none")]
    pub ended: Option<DateTime<Utc>>,
    /// `Settle` wrote the message for the metrics queue.
    #[serde(deserialize_with = "instant", skip_serializing_if = "Option::is_none")]
    pub finished: Option<DateTime<Utc>>,
    /// `Settle` failed, and the workflow wrote the message.
    #[serde(deserialize_with = "instant", skip_serializing_if = "Option::is_none")]
    pub queued: Option<DateTime<Utc>>,
}

fn instant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    let value = Option::<serde_json::Value>::deserialize(deserializer)?;
    Ok(value.and_then(|value| value.as_str()?.parse().ok()))
}

/// Durations of the steps of one request, in milliseconds. A step that did not happen is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StepMilliseconds {
    /// The duration of `Validate And Tag`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validate: Option<u64>,
    /// `Gather`: usage, limits and token count, in parallel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gather: Option<u64>,
    /// `Reserve`, and `Cancel Reservation` if `Reserve` failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserve: Option<u64>,
    /// The call of the model, with the function or the states that make it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<u64>,
    /// `Settle`, until its message is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settle: Option<u64>,
    /// From the start of the execution to the decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<u64>,
    /// From the start of the execution to the message for the metrics queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

impl StepMilliseconds {
    /// `true` if no duration is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl StepTimes {
    /// The durations between the instants. A duration that would be negative is absent: the clocks disagree.
    #[must_use]
    pub fn milliseconds(&self) -> StepMilliseconds {
        let Self { started, validated, gathered, decided, ended, finished, queued } = *self;
        StepMilliseconds {
            validate: between(started, validated),
            gather: between(validated, gathered),
            reserve: between(gathered, decided),
            model: between(decided, ended),
            settle: between(ended, finished),
            decision: between(started, decided),
            total: between(started, finished.or(queued).or(decided.filter(|_| ended.is_none()))),
        }
    }

    /// The instant of the budget's figures in a record: after the settlement, or at the decision.
    #[must_use]
    pub fn last(&self) -> Option<DateTime<Utc>> {
        self.finished.or(self.decided)
    }
}

fn between(from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> Option<u64> {
    u64::try_from(to?.signed_duration_since(from?).num_milliseconds()).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn steps(times: Value) -> Value {
        json!(serde_json::from_value::<StepTimes>(times).unwrap().milliseconds())
    }

    #[test]
    fn a_step_lasts_from_one_instant_to_the_next() {
        let times = json!({"started": "2026-11-21T05:00:00.100Z", "validated": "2026-11-21T05:00:00.103Z",
                           "gathered": "2026-11-21T05:00:00.115Z", "decided": "2026-11-21T05:00:00.125Z",
                           "ended": "2026-11-21T05:00:07Z", "finished": "2026-11-21T05:00:07.009999Z"});
        let expected = json!({"validate": 3, "gather": 12, "reserve": 10, "model": 6_875, "settle": 9, "decision": 25, "total": 6_909});
        assert_eq!(steps(times), expected);
    }

    #[test]
    fn a_step_that_did_not_happen_or_has_no_known_time_is_absent() {
        let denied = json!({"started": "2026-11-21T05:00:00Z", "validated": "2026-11-21T05:00:00.003Z", "decided": "2026-11-21T05:00:01Z"});
        assert_eq!(steps(denied), json!({"validate": 3, "decision": 1_000, "total": 1_000}));
        let late = json!({"started": "2026-11-21T05:00:00Z", "decided": "2026-11-21T05:00:01Z", "ended": "2026-11-21T05:00:03Z",
                          "queued": "2026-11-21T05:00:09Z"});
        assert_eq!(steps(late), json!({"model": 2_000, "decision": 1_000, "total": 9_000}));
        assert_eq!(steps(json!({"started": 1_795_237_200, "decided": "soon", "ended": null})), json!({}));
        let fast_clock = json!({"ended": "2026-11-21T05:00:03Z", "finished": "2026-11-21T05:00:02.999Z"});
        assert_eq!(steps(fast_clock), json!({}));
    }
}
