//! Automated responses: the change of a limit when its scope reaches a percentage.

use serde::{Deserialize, Serialize};

use crate::budget::{Limits, Unit};
use crate::limit::{Action, Reaction, Remedy, Response, ScopeLimit};

/// The response that the alert of its percentage sets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AlertResponse {
    /// The key of the limits item that has the response.
    pub item: String,
    /// The limits without the response.
    pub before: Limits,
    /// The change that it makes.
    #[serde(flatten)]
    pub reaction: Reaction,
}

impl ScopeLimit {
    /// The same limit with an automated response at the percentage `at`. The percentage is also an alert threshold,
    /// because the mark of the alert is the state of the response.
    #[must_use]
    pub fn responding(mut self, at: u8, reaction: Reaction) -> Self {
        self.alert_at.push(at);
        self.alert_at.sort_unstable();
        self.alert_at.dedup();
        let mut then = self.clone();
        match reaction {
            Reaction::Set(limits) => then.limits = self.limits.replaced_by(&limits),
            Reaction::Action(Action::Fallback) => {
                then.limits = self.limits.used_up();
                then.when_exceeded = vec![Remedy::Fallback];
            }
        }
        then.respond = Some(Box::new(Response { at, reaction, then: None, before: Some(self.limits) }));
        self.respond = Some(Box::new(Response { at, reaction, then: Some(then), before: None }));
        self
    }

    /// The limits without an automated response. Alert thresholds refer to them.
    #[must_use]
    pub fn configured(&self) -> Limits {
        self.respond.as_ref().and_then(|response| response.before).unwrap_or(self.limits)
    }

    /// `true` if an automated response can send requests to the fallback.
    #[must_use]
    pub fn may_respond_by_fallback(&self) -> bool {
        self.respond.as_ref().is_some_and(|response| response.reaction == Reaction::Action(Action::Fallback))
    }

    /// The response in the form that an alert has.
    #[must_use]
    pub fn alert_response(&self) -> Option<(u8, AlertResponse)> {
        let response = self.respond.as_ref()?;
        let (item, before) = (self.item.clone(), self.configured());
        Some((response.at, AlertResponse { item, before, reaction: response.reaction }))
    }
}

impl Limits {
    /// These limits, with the limit of `other` for every unit that `other` limits.
    #[must_use]
    pub fn replaced_by(&self, other: &Self) -> Self {
        Self {
            input: other.input.or(self.input),
            output: other.output.or(self.output),
            usd: other.usd.or(self.usd),
            requests: other.requests.or(self.requests),
            in_flight: other.in_flight.or(self.in_flight),
        }
    }

    /// A limit of 0 on every unit that is limited.
    #[must_use]
    pub fn used_up(&self) -> Self {
        Self {
            input: self.input.map(|_| 0),
            output: self.output.map(|_| 0),
            usd: self.usd.map(|_| crate::Usd::ZERO),
            requests: self.requests.map(|_| 0),
            in_flight: self.in_flight.map(|_| 0),
        }
    }

    /// The first unit of which `used` has reached `percent` of the limit, and the limit. A limit of 0 is never reached.
    #[must_use]
    pub fn reached(&self, used: crate::Amount, percent: u8) -> Option<(Unit, u128)> {
        self.iter().find(|(unit, most)| *most > 0 && used.get(*unit) * 100 >= most * u128::from(percent))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn limit() -> ScopeLimit {
        let window = json!({"name": "2026-11", "key": "2026-11", "start": "2026-11-01T00:00:00Z"});
        serde_json::from_value(json!({
            "scope": "costCenter#a", "source": "costCenter", "item": "costCenter#default", "window": window,
            "limits": {"output": 1_000, "usd": "5"}, "alertAt": [80, 90]
        }))
        .unwrap()
    }

    #[test]
    fn a_response_has_the_limit_that_it_sets_and_remembers_the_one_before() {
        let set = Reaction::Set(Limits { output: Some(950), ..Limits::default() });
        let responding = limit().responding(90, set);
        assert_eq!((responding.alert_at.as_slice(), responding.limits), ([80, 90].as_slice(), limit().limits));
        let then = responding.respond.as_ref().unwrap().then.as_ref().unwrap();
        assert_eq!(then.limits, Limits { output: Some(950), ..limit().limits });
        assert_eq!((then.configured(), responding.configured()), (limit().limits, limit().limits));
        let told = AlertResponse { item: "costCenter#default".to_owned(), before: limit().limits, reaction: set };
        assert_eq!((then.alert_response(), responding.alert_response()), (Some((90, told.clone())), Some((90, told))));
    }

    #[test]
    fn a_response_by_the_fallback_allows_nothing_else() {
        let responding = limit().responding(70, Reaction::Action(Action::Fallback));
        assert_eq!(responding.alert_at, [70, 80, 90]);
        assert!(responding.may_respond_by_fallback());
        let then = responding.respond.unwrap().then.unwrap();
        assert_eq!(then.limits, Limits { output: Some(0), usd: Some(crate::Usd::ZERO), ..Limits::default() });
        assert_eq!(then.when_exceeded, [Remedy::Fallback]);
    }

    #[test]
    fn a_response_is_a_document_of_the_item_s_form() {
        let responding = limit().responding(90, Reaction::Action(Action::Fallback));
        let written = serde_json::to_value(&responding).unwrap();
        assert_eq!((&written["respond"]["at"], &written["respond"]["action"]), (&json!(90), &json!("fallback")));
        assert_eq!(serde_json::from_value::<ScopeLimit>(written).unwrap(), responding);
        let set = Reaction::Set(Limits { output: Some(950), ..Limits::default() });
        assert_eq!(serde_json::to_value(set).unwrap(), json!({"set": {"output": 950}}));
    }

    #[test]
    fn a_percentage_is_reached_by_the_first_unit_that_has_it() {
        let used = |output| crate::Amount { output, ..crate::Amount::ZERO };
        assert_eq!(limit().limits.reached(used(899), 90), None);
        assert_eq!(limit().limits.reached(used(900), 90), Some((Unit::Output, 1_000)));
        assert_eq!(Limits { output: Some(0), ..Limits::default() }.reached(used(1), 1), None);
    }
}
