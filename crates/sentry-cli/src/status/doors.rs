//! The entries beside the workflow: the request queue and the gateway.

use super::check::{Check, Seen};
use super::fresh::{self, Depth};
use crate::stack::Stack;

/// Reads the messages of the queue in the output `output`. `None` if the stack has no such queue.
pub async fn depth(stack: &Stack, output: &str) -> Seen<Option<Depth>> {
    match stack.output(output) {
        Ok(_) => fresh::depth(stack, output).await.map(Some),
        Err(_) => Ok(None),
    }
}

/// Shows the request queue. Messages may wait for days for their budget, so a long queue is no fault.
pub fn requests(name: &'static str, depth: Option<Depth>) -> Check {
    Check::ok(
        name,
        match depth {
            Some(Depth { waiting, in_work }) => format!("{waiting} requests wait and {in_work} are in work"),
            None => "off (AsyncConcurrency=0)".to_owned(),
        },
    )
}

/// Judges the requests that failed for good.
pub fn dead_requests(name: &'static str, depth: Option<Depth>) -> Check {
    let Some(Depth { waiting, in_work }) = depth else { return Check::ok(name, "off (AsyncConcurrency=0)") };
    let dead = waiting + in_work;
    if dead == 0 {
        return Check::ok(name, "no request failed for good");
    }
    Check::fault(
        name,
        format!("{dead} requests failed for good, and have no answer"),
        "read the attribute Reason of the messages in RequestDeadLetterQueueUrl, correct it, and redrive the queue",
    )
}

/// Shows the addresses of the gateway.
pub fn gateway(name: &'static str, stack: &Stack) -> Check {
    let addresses = [("GatewayUrl", "keys"), ("GatewayIamUrl", "IAM principals")];
    let shown: Vec<String> = addresses
        .iter()
        .filter_map(|(output, callers)| Some(format!("{} for {callers}", stack.output(output).ok()?)))
        .collect();
    Check::ok(name, if shown.is_empty() { "off (Gateway=off)".to_owned() } else { shown.join(", ") })
}

#[cfg(test)]
mod tests {
    use super::super::check::State;
    use super::*;

    #[test]
    fn waiting_requests_are_no_fault_and_every_dead_one_is() {
        let depth = |waiting| Some(Depth { waiting, in_work: 1 });
        assert_eq!(requests("r", depth(100_000)).state, State::Ok);
        assert_eq!(requests("r", depth(2)).finding, "2 requests wait and 1 are in work");
        assert_eq!(dead_requests("d", depth(0)).state, State::Fault);
        assert_eq!(dead_requests("d", Some(Depth::default())).state, State::Ok);
    }

    #[test]
    fn a_stack_without_a_queue_says_which_parameter_turns_it_on() {
        for check in [requests("r", None), dead_requests("d", None)] {
            assert_eq!((check.state, check.finding.as_str()), (State::Ok, "off (AsyncConcurrency=0)"));
        }
    }
}
