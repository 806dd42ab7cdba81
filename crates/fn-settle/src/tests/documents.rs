//! The final documents, and their messages for the metrics queue.

use std::sync::{Arc, Mutex};

use super::*;

/// An admitted request with all tags, whose limit alerts at 80 and 100 percent.
fn admitted(notes: Value, ended: Value) -> Value {
    let mut event = event(reservation(json!({"output": 1_000, "usd": "1.00"}), json!([80, 100])), ended);
    event["admitted"]["tags"] = json!({"applicationId": "helper", "costCenter": "support", "requestId": "r1",
                                       "timestamp": "2026-11-21T11:59:59.500000Z", "modelMetric": MODEL});
    let hold = &mut event["admitted"]["reservation"]["hold"];
    (hold["requests"], hold["inFlight"]) = (json!(1), json!(1));
    event["admitted"]["notes"] = notes;
    event
}

/// The final document, and the message. The ledger is left with `after`, and can be read.
async fn ended(event: Value, after: &[(&str, u64)]) -> Value {
    let sent = Arc::new(Mutex::new(Value::Null));
    let keeps = Arc::clone(&sent);
    let queue = mock!(aws_sdk_sqs::Client::send_message).then_compute_output(move |message| {
        *keeps.lock().unwrap() = serde_json::from_str(message.message_body().unwrap()).unwrap();
        SendMessageOutput::builder().build()
    });
    let (update, stored) = (settles(&[], item(after)), item(after));
    let get =
        mock!(Client::get_item).then_output(move || GetItemOutput::builder().set_item(Some(stored.clone())).build());
    let forget = mock!(Client::delete_item).then_output(|| DeleteItemOutput::builder().build());
    let document = settle(&settler_with(&[&update, &get, &forget], &queue), event).await.unwrap();
    let mut message = sent.lock().unwrap().take();
    // The function adds its own time to the time of the call, so it is not the same in each run.
    let finished = message["times"].as_object_mut().unwrap().remove("finished").unwrap();
    assert!(finished.as_str().unwrap().starts_with("2026-11-21T12:00:"));
    json!({"document": document, "message": message})
}

#[tokio::test]
async fn a_request_ends_with_a_document_for_the_client_and_a_message_for_the_metrics() {
    let used = [("settledInput", 120_350), ("settledOutput", 900), ("settledUsd", 464_550_000_000)];
    let answer = admitted(json!({}), answered());
    insta::assert_json_snapshot!("an_answer", ended(answer, &used).await);

    let would_deny = json!({"code": "BudgetExceeded", "message": "The requests of user#jo are used up.", "retryable": false,
                            "details": {"scope": "user#jo", "exceeded": "requests", "needed": 1, "remaining": 0}});
    let notes = json!({"degraded": {"action": "clamp", "from": 2_048, "to": 1_000}, "wouldDeny": [would_deny],
                       "notices": [{"code": "ModelRetiring", "message": "claude-sonnet-4 ends on 2027-01-10."}]});
    let content = json!([{"ReasoningContent": {"ReasoningText": {"Text": "Hm.", "Signature": "EqQB"}}}, {"Text": "Let me look."},
                         {"ToolUse": {"ToolUseId": "t1", "Name": "find", "Input": {"place": "harbor"}}}]);
    let usage = json!({"InputTokens": 50, "OutputTokens": 143, "CacheReadInputTokens": 200, "CacheWriteInputTokens": 90, "TotalTokens": 483,
                       "CacheDetails": [{"Ttl": "1h", "InputTokens": 60}, {"Ttl": "5m", "InputTokens": 30}]});
    let result = json!({"Output": {"Message": {"Role": "assistant", "Content": content}}, "StopReason": "tool_use", "Usage": usage,
                        "ServiceTier": {"Type": "default"}});
    let by_step_functions = json!({"terms": {"rich": true}, "result": result});
    let few = [("settledInput", 340), ("settledOutput", 143), ("settledUsd", 2_827_500_000)];
    insta::assert_json_snapshot!(
        "a_rich_answer_to_a_changed_request",
        ended(admitted(notes, by_step_functions), &few).await
    );
}

#[tokio::test]
async fn a_failure_ends_with_its_error_and_with_what_it_spent() {
    let reason = Sealed::new(&"`temperature` and `top_p` cannot both be given").unwrap();
    let rejected = failed(json!({"nothingSpent": true, "bedrockMessage": reason}));
    insta::assert_json_snapshot!("a_failure_that_spent_nothing", ended(admitted(json!({}), rejected), &[]).await);

    let timeout = json!({"terms": {"rich": false}, "error": "States.Timeout", "cause": ""});
    let held = [("heldOutput", 1_000), ("committedOutput", 1_000), ("heldUsd", 16_200_000_000)];
    insta::assert_json_snapshot!(
        "a_failure_that_may_have_spent_its_hold",
        ended(admitted(json!({}), timeout), &held).await
    );

    let usage = json!({"inputTokens": 350, "outputTokens": 900, "cacheReadInputTokens": 0, "cacheWriteInputTokens": 0, "totalTokens": 1_250});
    let error = json!({"code": "OutputTooLarge", "message": "The answer takes 300000 bytes.", "retryable": false, "details": {}});
    let too_large = json!({"failure": {"statusCode": 502, "error": error, "usage": usage}});
    let used = [("settledInput", 350), ("settledOutput", 900), ("settledUsd", 14_550_000_000)];
    insta::assert_json_snapshot!("a_failure_whose_usage_is_known", ended(admitted(json!({}), too_large), &used).await);
}
