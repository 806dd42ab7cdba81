//! The alarms of the stack: their states, and if somebody hears them.

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::types::{AlarmType, CompositeAlarm, MetricAlarm};

use super::check::{Check, Gap, Seen, some_of};
use crate::failure::Failure;
use crate::stack::Resource;

/// Beginnings of the logical ids of alarms about what clients use, and not about the stack.
const OF_USE: [&str; 4] = ["Budget", "Profile", "ModelFailures", "UngovernedUsage"];

/// An alarm of the stack, and its present state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    pub name: String,
    /// CloudWatch's word: `OK`, `ALARM` or `INSUFFICIENT_DATA`.
    pub state: String,
    /// `true` if it notifies somebody in the state ALARM.
    pub notifies: bool,
    /// The rule of a composite alarm, with the names of the alarms that it is about.
    pub rule: Option<String>,
}

/// Reads the alarms whose names begin with `prefix`, from every page.
pub async fn read(client: &Client, prefix: &str) -> Seen<Vec<Alarm>> {
    let mut alarms = Vec::new();
    let mut token = None;
    loop {
        let call = client.describe_alarms().alarm_name_prefix(prefix).set_next_token(token);
        let call = call.alarm_types(AlarmType::MetricAlarm).alarm_types(AlarmType::CompositeAlarm);
        let page = call.send().await.map_err(|error| {
            Gap::of("cloudwatch:DescribeAlarms", &Failure::of_call("the alarms cannot be read", &error))
        })?;
        alarms.extend(page.metric_alarms().iter().map(metric_alarm));
        alarms.extend(page.composite_alarms().iter().map(composite_alarm));
        token = page.next_token.filter(|token| !token.is_empty());
        if token.is_none() {
            return Ok(alarms);
        }
    }
}

fn metric_alarm(alarm: &MetricAlarm) -> Alarm {
    Alarm {
        name: alarm.alarm_name().unwrap_or_default().to_owned(),
        state: alarm.state_value().map(|state| state.as_str().to_owned()).unwrap_or_default(),
        notifies: alarm.actions_enabled().unwrap_or(true) && !alarm.alarm_actions().is_empty(),
        rule: None,
    }
}

fn composite_alarm(alarm: &CompositeAlarm) -> Alarm {
    Alarm {
        name: alarm.alarm_name().unwrap_or_default().to_owned(),
        state: alarm.state_value().map(|state| state.as_str().to_owned()).unwrap_or_default(),
        notifies: alarm.actions_enabled().unwrap_or(true) && !alarm.alarm_actions().is_empty(),
        rule: alarm.alarm_rule().map(str::to_owned),
    }
}

/// The alarms that are resources of the stack. Without the resources, all of them: another stack's name can begin in the same way.
pub fn own(alarms: Vec<Alarm>, resources: &Seen<Vec<Resource>>) -> Vec<Alarm> {
    match resources {
        Ok(resources) => {
            alarms.into_iter().filter(|alarm| resources.iter().any(|it| it.physical_id == alarm.name)).collect()
        }
        Err(_) => alarms,
    }
}

/// Judges the states. An alarm about the use of budgets is a warning.
pub fn states(name: &'static str, alarms: &[Alarm], prefix: &str) -> Check {
    let in_alarm = alarms.iter().filter(|alarm| alarm.state == "ALARM");
    let short = |alarm: &Alarm| alarm.name.strip_prefix(prefix).unwrap_or(&alarm.name).to_owned();
    let (of_use, of_stack): (Vec<String>, Vec<String>) =
        in_alarm.map(short).partition(|alarm| OF_USE.iter().any(|prefix| alarm.starts_with(prefix)));
    let todo = "see the alarm's description, which names its paragraph in docs/OPERATIONS.md";
    if !of_stack.is_empty() {
        let all: Vec<String> = of_stack.into_iter().chain(of_use).collect();
        return Check::fault(name, format!("{} of {} in ALARM: {}", all.len(), alarms.len(), some_of(&all)), todo);
    }
    if !of_use.is_empty() {
        let finding = format!("{} of {} in ALARM: {}", of_use.len(), alarms.len(), some_of(&of_use));
        return Check::warning(name, finding, todo);
    }
    if alarms.is_empty() {
        return Check::fault(name, "the stack has no alarms", "deploy the template again");
    }
    let without = alarms.iter().filter(|alarm| alarm.state == "INSUFFICIENT_DATA").count();
    Check::ok(name, format!("none of {} in ALARM, {without} without data", alarms.len()))
}

/// Judges if each alarm notifies somebody, by itself or through a composite alarm.
pub fn heard(name: &'static str, alarms: &[Alarm]) -> Check {
    let is_heard = |alarm: &Alarm| {
        let of_composite = |other: &Alarm| {
            let rule = other.rule.as_deref().unwrap_or_default();
            other.notifies && rule.split(['(', ')', '"', ' ']).any(|word| word == alarm.name)
        };
        alarm.notifies || alarms.iter().any(of_composite)
    };
    let silent = alarms.iter().filter(|alarm| !is_heard(alarm)).count();
    if silent == 0 {
        return Check::ok(name, format!("each of {} alarms notifies somebody", alarms.len()));
    }
    Check::warning(
        name,
        format!("{silent} of {} alarms notify nobody", alarms.len()),
        "deploy with AlarmTopicArn or AlertEmail, and confirm the subscription",
    )
}

#[cfg(test)]
mod tests {
    use aws_sdk_cloudwatch::operation::describe_alarms::DescribeAlarmsOutput;
    use aws_sdk_cloudwatch::types::StateValue;
    use aws_smithy_mocks::{RuleMode, mock};
    use test_support::mock_client;

    use super::super::check::State;
    use super::*;

    fn alarm(name: &str, state: &str, notifies: bool) -> Alarm {
        Alarm { name: format!("s-{name}"), state: state.to_owned(), notifies, rule: None }
    }

    #[test]
    fn an_alarm_of_the_stack_is_a_fault_and_one_of_its_use_a_warning() {
        let judged = |alarms: &[Alarm]| states("alarms", alarms, "s-");
        assert_eq!(judged(&[alarm("Settle", "INSUFFICIENT_DATA", true)]).state, State::Ok);
        assert_eq!(judged(&[alarm("BudgetUsedUpAlarm", "ALARM", true)]).state, State::Warning);
        let fault = judged(&[alarm("BudgetUsedUpAlarm", "ALARM", true), alarm("SweepSilentAlarm", "ALARM", true)]);
        assert!(
            fault.state == State::Fault && fault.finding.contains("2 of 2 in ALARM: SweepSilentAlarm"),
            "{fault:?}"
        );
        assert_eq!(judged(&[]).state, State::Fault);
    }

    #[test]
    fn a_member_of_a_composite_alarm_is_heard_through_it() {
        let members = [alarm("a", "OK", false), alarm("ab", "OK", false)];
        assert_eq!(heard("n", &members).finding, "2 of 2 alarms notify nobody");
        let composite = Alarm { rule: Some("ALARM(\"s-a\") OR ALARM(s-other)".to_owned()), ..alarm("c", "OK", true) };
        let all = [&members[..], std::slice::from_ref(&composite)].concat();
        assert_eq!(heard("n", &all).finding, "1 of 3 alarms notify nobody", "`s-ab` is not in the rule");
        let silent = [&members[..1], &[Alarm { notifies: false, ..composite }]].concat();
        assert_eq!(heard("n", &silent).finding, "2 of 2 alarms notify nobody");
    }

    #[tokio::test]
    async fn every_page_is_read_and_disabled_actions_notify_nobody() {
        let metric = |name: &str| MetricAlarm::builder().alarm_name(name).alarm_actions("arn:topic");
        let first =
            mock!(Client::describe_alarms).match_requests(|call| call.next_token().is_none()).then_output(move || {
                let alarm = metric("s-a").state_value(StateValue::Alarm).build();
                DescribeAlarmsOutput::builder().metric_alarms(alarm).next_token("2").build()
            });
        let second = mock!(Client::describe_alarms).match_requests(|call| call.next_token() == Some("2")).then_output(
            move || {
                let alarm = metric("s-b").state_value(StateValue::Ok).actions_enabled(false).build();
                DescribeAlarmsOutput::builder().metric_alarms(alarm).build()
            },
        );
        let client = mock_client!(aws_sdk_cloudwatch, RuleMode::MatchAny, &[&first, &second]);
        let alarms = read(&client, "s-").await.unwrap();
        let told: Vec<(&str, &str, bool)> =
            alarms.iter().map(|it| (it.name.as_str(), it.state.as_str(), it.notifies)).collect();
        assert_eq!(told, [("s-a", "ALARM", true), ("s-b", "OK", false)]);
    }
}
