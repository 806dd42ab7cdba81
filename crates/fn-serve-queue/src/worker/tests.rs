//! A message from its delivery to its answer, with AWS in memory.

mod world;

use aws_sdk_dynamodb::types::AttributeValue::{N, S};
use chrono::{TimeDelta, Utc};
use sentry_lambda::sqs::{Batch, ItemFailure};
use serde_json::{Value, json};

use self::world::{Effect, MESSAGE, REPLIES, World, document, failed, message, named, succeeded, with};

fn kinds(effects: &[Effect]) -> Vec<&'static str> {
    let kind = |effect: &Effect| match effect {
        Effect::Asked(_) => "asked",
        Effect::Invisible(_) => "invisible",
        Effect::Sent(url, ..) if url == "dead" => "buried",
        Effect::Sent(url, ..) if url == "requests" => "sent again",
        Effect::Sent(..) => "replied",
        Effect::Event(_) => "event",
    };
    effects.iter().map(kind).collect()
}

fn answer(world: &World, request_id: &str) -> Value {
    serde_json::from_str(&world.text(request_id, "answer").unwrap()).unwrap()
}

#[tokio::test]
async fn an_answer_is_kept_replied_and_told_without_text() {
    let world = World::answering([succeeded()]);
    assert!(world.deliver(with(message(&document()), "ReplyTo", REPLIES)).await);
    let effects = world.effects();
    assert_eq!(kinds(&effects), ["asked", "replied", "event"]);
    assert_eq!(effects[0], Effect::Asked(named(MESSAGE)));
    let Effect::Sent(url, body, attributes, ..) = &effects[1] else { panic!() };
    assert_eq!((url.as_str(), body), ("https://replies", &succeeded().to_string()));
    assert_eq!((attributes["applicationId"].as_str(), attributes["requestId"].as_str()), ("helper", MESSAGE));
    let Effect::Event(detail) = &effects[2] else { panic!() };
    assert!(!detail.to_string().contains("secret"), "{detail}");
    assert_eq!((answer(&world, MESSAGE), world.text(MESSAGE, "state")), (succeeded(), Some("done".to_owned())));
    let expires: i64 = world.text(MESSAGE, "expiresAt").unwrap().parse().unwrap();
    assert!((expires - (Utc::now() + TimeDelta::hours(24)).timestamp()).abs() < 60);
}

#[tokio::test]
async fn a_message_that_comes_again_after_its_answer_changes_nothing() {
    let world = World::answering([succeeded()]);
    assert!(world.deliver(message(&document())).await);
    world.effects();
    assert!(world.deliver(message(&document())).await);
    assert_eq!(world.effects(), []);
}

#[tokio::test]
async fn every_code_that_passes_waits_its_time_and_comes_again() {
    let codes = ["BudgetReserved", "ModelThrottled", "ModelUnavailable", "UsageUnavailable", "LedgerUnavailable"];
    for code in codes {
        let world = World::answering([failed(code, json!({})), succeeded()]);
        assert!(world.deliver(message(&document())).await, "{code}");
        let effects = world.effects();
        let [Effect::Asked(_), Effect::Sent(.., Some(seconds))] = &effects[..] else { panic!("{code}: {effects:?}") };
        assert!((40..=60).contains(seconds), "{code}: {seconds}");
        assert_eq!(world.text(MESSAGE, "state").as_deref(), Some("waiting"));
        assert_eq!(world.text(MESSAGE, "code").as_deref(), Some(code));
        // Before its time, it is put off again without a question.
        assert!(world.deliver(message(&document())).await);
        assert_eq!(kinds(&world.effects()), ["sent again"]);
        world.items.lock().unwrap().get_mut(MESSAGE).unwrap().insert("notBefore".to_owned(), N("1".to_owned()));
        assert!(world.deliver(message(&document())).await);
        assert_eq!(kinds(&world.effects()), ["asked", "event"]);
        assert_eq!(world.text(MESSAGE, "state").as_deref(), Some("done"));
    }
}

#[tokio::test]
async fn other_codes_are_the_answer() {
    for code in ["BudgetExceeded", "LimitNotConfigured", "ModelTimeout", "ModelError", "InvalidRequest", "NewCode"] {
        let world = World::answering([failed(code, json!({"resetsAt": "2999-01-01T00:00:00Z"}))]);
        assert!(world.deliver(message(&document())).await, "{code}");
        assert_eq!(answer(&world, MESSAGE)["error"]["code"], code);
    }
}

#[tokio::test]
async fn a_used_up_budget_is_waited_for_in_pieces_of_fifteen_minutes() {
    let resets = Utc::now() + TimeDelta::days(20);
    let world = World::answering([failed("BudgetExceeded", json!({"resetsAt": resets.to_rfc3339()}))]);
    assert!(world.deliver(with(message(&document()), "WhenExceeded", "wait")).await);
    assert!(matches!(world.effects()[1], Effect::Sent(.., Some(900))));
    let not_before: i64 = world.text(MESSAGE, "notBefore").unwrap().parse().unwrap();
    assert!((0..=2).contains(&(not_before - resets.timestamp())));
}

#[tokio::test]
async fn a_message_that_waits_is_sent_again_under_its_first_id() {
    let world = World::answering([failed("ModelThrottled", json!({})), succeeded()]);
    let mut record = with(with(message(&document()), "ReplyTo", REPLIES), "WhenExceeded", "wait");
    // A message has at most ten attributes, so one of these has no place.
    for number in 0..8 {
        record = with(record, &format!("Client{number}"), "x");
    }
    record.attributes.message_group_id = Some("support".to_owned());
    assert!(world.deliver(record.clone()).await);
    let effects = world.effects();
    let Effect::Sent(url, body, attributes, group, _) = &effects[1] else { panic!("{effects:?}") };
    assert_eq!((url.as_str(), body, group.as_deref()), ("requests", &record.body, Some("support")));
    let kept = ["ReplyTo", "WhenExceeded", "FirstMessageId"].map(|name| attributes[name].as_str());
    assert_eq!((kept, attributes.len()), ([REPLIES, "wait", MESSAGE], 10));
    // The copy has another id of SQS, and is the same request.
    world.items.lock().unwrap().get_mut(MESSAGE).unwrap().insert("notBefore".to_owned(), N("1".to_owned()));
    let mut copy = with(message(&document()), "FirstMessageId", MESSAGE);
    copy.message_id = "another".to_owned();
    assert!(world.deliver(copy).await);
    assert_eq!(world.effects()[0], Effect::Asked(named(MESSAGE)));
}

#[tokio::test]
async fn a_message_whose_copy_is_refused_is_hidden_for_its_wait() {
    let resets = Utc::now() + TimeDelta::days(20);
    let exceeded = failed("BudgetExceeded", json!({"resetsAt": resets.to_rfc3339()}));
    for (answer, waits) in [(failed("ModelThrottled", json!({})), 40..=60), (exceeded, 43_200..=43_200)] {
        let world = World::answering([answer]);
        world.broken.lock().unwrap().insert("requests");
        assert!(!world.deliver(with(message(&document()), "WhenExceeded", "wait")).await);
        let effects = world.effects();
        let [Effect::Asked(_), Effect::Invisible(seconds)] = &effects[..] else { panic!("{effects:?}") };
        assert!(waits.contains(seconds), "{seconds}");
    }
}

#[tokio::test]
async fn a_function_that_died_after_the_payment_finds_the_kept_answer() {
    let world = World::answering([]);
    let kept = S(succeeded().to_string());
    for state in ["running", "waiting", "done"] {
        let state = S(state.to_owned());
        world.put(MESSAGE, &[("state", state), ("firstMessageId", S(MESSAGE.to_owned())), ("answer", kept.clone())]);
        assert!(world.deliver(message(&document())).await);
        assert_eq!(kinds(&world.effects()), ["event"]);
        assert_eq!(world.text(MESSAGE, "state").as_deref(), Some("done"));
    }
}

#[tokio::test]
async fn an_execution_that_is_still_in_flight_is_waited_for_and_its_answer_is_found() {
    let duplicate = |state: &str| failed("DuplicateRequest", json!({"state": state}));
    let world = World::answering([duplicate("in_flight")]);
    world.put(
        MESSAGE,
        &[("state", S("running".into())), ("firstMessageId", S(MESSAGE.into())), ("version", N("1".into()))],
    );
    *world.kept_meanwhile.lock().unwrap() = Some(succeeded());
    assert!(world.deliver(message(&document())).await);
    assert_eq!(kinds(&world.effects()), ["asked", "sent again"]);
    assert_eq!(world.text(MESSAGE, "interrupted").as_deref(), Some("1"));
    assert!(world.deliver(message(&document())).await);
    assert_eq!((kinds(&world.effects()), answer(&world, MESSAGE)), (vec!["event"], succeeded()));
}

#[tokio::test]
async fn a_settled_request_has_its_kept_answer_or_the_honest_refusal() {
    let settled = failed("DuplicateRequest", json!({"state": "settled", "usage": {"totalTokens": 9}}));
    let world = World::answering([settled.clone()]);
    *world.kept_meanwhile.lock().unwrap() = Some(succeeded());
    assert!(world.deliver(message(&document())).await);
    assert_eq!(answer(&world, MESSAGE), succeeded());
    let world = World::answering([failed("ModelUnavailable", json!({})), settled]);
    assert!(world.deliver(message(&document())).await);
    world.items.lock().unwrap().get_mut(MESSAGE).unwrap().insert("notBefore".to_owned(), N("1".to_owned()));
    assert!(world.deliver(message(&document())).await);
    let details = &answer(&world, MESSAGE)["error"]["details"];
    assert_eq!(*details, json!({"state": "settled", "usage": {"totalTokens": 9}, "earlierCode": "ModelUnavailable"}));
}

#[tokio::test]
async fn executions_without_an_answer_are_repeated_and_given_up_in_the_end() {
    let world = World::answering([]);
    for attempt in 1..=5 {
        world.answers.lock().unwrap().push_back(None);
        assert!(world.deliver(message(&document())).await);
        assert_eq!(world.text(MESSAGE, "interrupted"), Some(attempt.to_string()));
        world.items.lock().unwrap().get_mut(MESSAGE).unwrap().insert("notBefore".to_owned(), N("1".to_owned()));
    }
    world.effects();
    assert!(world.deliver(message(&document())).await);
    let effects = world.effects();
    assert_eq!(kinds(&effects), ["buried", "event"]);
    let Effect::Sent(_, body, attributes, ..) = &effects[0] else { panic!() };
    assert_eq!(
        (body, attributes["Reason"].as_str()),
        (&document().to_string(), "the request had no answer in 5 attempts")
    );
    assert_eq!(answer(&world, MESSAGE)["error"]["details"], json!({"reason": "GivenUp"}));
}

#[tokio::test]
async fn poison_is_buried_with_a_reason_that_has_no_text() {
    let mut record = with(message(&json!("a secret")), "Trace", "7");
    record.body = "{\"a secret".to_owned();
    let world = World::answering([]);
    assert!(world.deliver(record.clone()).await);
    let effects = world.effects();
    let [Effect::Sent(url, body, attributes, ..)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((url.as_str(), body, attributes["Trace"].as_str()), ("dead", &record.body, "7"));
    assert_eq!(attributes["Reason"], "the body is not JSON: end error at line 1, column 10");
    world.broken.lock().unwrap().insert("dead");
    assert!(world.deliver(record.clone()).await);
    assert_eq!(kinds(&world.effects()), ["sent again"], "no message is lost");
    world.broken.lock().unwrap().insert("requests");
    assert!(!world.deliver(record).await);
    assert_eq!(kinds(&world.effects()), ["invisible"]);
}

#[tokio::test]
async fn an_attribute_that_is_not_allowed_costs_nothing() {
    for (name, value) in [("ReplyTo", "arn:aws:sqs:us-east-1:123456789012:other"), ("WhenExceeded", "later")] {
        let world = World::answering([]);
        assert!(world.deliver(with(message(&document()), name, value)).await);
        assert_eq!(kinds(&world.effects()), ["event"]);
        let answer = answer(&world, MESSAGE);
        assert_eq!((&answer["outcome"], &answer["error"]["details"]["path"]), (&json!("Invalid"), &json!(name)));
        assert_eq!(answer["tags"]["costCenter"], "support");
    }
}

#[tokio::test]
async fn an_answer_is_delivered_again_until_reply_and_event_are_sent() {
    let record = with(message(&document()), "ReplyTo", REPLIES);
    for broken in ["https://replies", "events"] {
        let world = World::answering([succeeded()]);
        world.broken.lock().unwrap().insert(broken);
        assert!(world.deliver(record.clone()).await);
        assert_eq!(kinds(&world.effects()).last(), Some(&"sent again"));
        assert_eq!((answer(&world, MESSAGE), world.text(MESSAGE, "toldAt")), (succeeded(), None));
        world.broken.lock().unwrap().clear();
        world.effects();
        assert!(world.deliver(record.clone()).await);
        assert_eq!(kinds(&world.effects()), ["replied", "event"], "the request is not asked again");
        assert!(world.text(MESSAGE, "toldAt").is_some());
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_delivered_becomes_a_dead_letter_and_stays_in_the_table() {
    let record = with(message(&document()), "ReplyTo", REPLIES);
    let world = World::answering([succeeded()]);
    world.broken.lock().unwrap().insert("https://replies");
    assert!(world.deliver(record.clone()).await);
    let weeks: i64 = world.text(MESSAGE, "expiresAt").unwrap().parse().unwrap();
    assert!(weeks > (Utc::now() + TimeDelta::days(14)).timestamp(), "the message can come again for so long");
    let long_ago = N((Utc::now() - TimeDelta::minutes(31)).timestamp().to_string());
    world.items.lock().unwrap().get_mut(MESSAGE).unwrap().insert("doneAt".to_owned(), long_ago);
    world.effects();
    assert!(world.deliver(record.clone()).await);
    assert_eq!(kinds(&world.effects()), ["buried"]);
    assert_eq!((answer(&world, MESSAGE), world.text(MESSAGE, "queuedUntil")), (succeeded(), None));
    assert!(world.deliver(record).await);
    assert_eq!(world.effects(), []);
}

#[tokio::test]
async fn the_same_document_in_another_message_gets_the_same_answer() {
    let world = World::answering([succeeded()]);
    let twin = || {
        let mut record = with(message(&named("order-1")), "ReplyTo", REPLIES);
        record.message_id = "twin".to_owned();
        record
    };
    assert!(world.deliver(message(&named("order-1"))).await);
    let first = world.item("order-1");
    world.effects();
    assert!(world.deliver(twin()).await);
    let effects = world.effects();
    assert_eq!(kinds(&effects), ["replied", "event"]);
    let Effect::Sent(_, body, ..) = &effects[0] else { panic!() };
    assert_eq!(serde_json::from_str::<Value>(body).unwrap()["replayed"], true);
    assert_eq!(world.item("order-1"), first);
    // While the first one has no answer yet, the other one waits.
    let mut running = first.clone();
    running.remove("answer");
    running.insert("state".to_owned(), S("running".to_owned()));
    world.items.lock().unwrap().insert("order-1".to_owned(), running);
    assert!(world.deliver(twin()).await);
    assert_eq!(kinds(&world.effects()), ["sent again"]);
}

#[tokio::test]
async fn another_document_with_the_same_id_is_refused_unless_the_first_has_no_models_answer() {
    let world = World::answering([succeeded()]);
    assert!(world.deliver(message(&named("order-1"))).await);
    let first = world.item("order-1");
    let mut other = named("order-1");
    other["model"] = "nova-pro".into();
    let mut record = with(message(&other), "ReplyTo", REPLIES);
    record.message_id = "other".to_owned();
    world.effects();
    assert!(world.deliver(record.clone()).await);
    let effects = world.effects();
    assert_eq!(kinds(&effects), ["replied", "event"]);
    let Effect::Sent(_, body, ..) = &effects[0] else { panic!() };
    let refused: Value = serde_json::from_str(body).unwrap();
    assert_eq!((&refused["error"]["code"], &refused["statusCode"]), (&json!("DuplicateRequest"), &json!(409)));
    assert_eq!(world.item("order-1"), first, "the first answer stays");

    let world = World::answering([failed("BudgetExceeded", json!({})), succeeded()]);
    assert!(world.deliver(message(&named("order-1"))).await);
    assert!(world.deliver(record).await);
    assert_eq!(answer(&world, "order-1"), succeeded());
    assert_eq!(world.text("order-1", "firstMessageId").as_deref(), Some("other"));
}

#[tokio::test]
async fn the_rate_limiter_answers_for_the_request_of_a_direct_caller() {
    let mut replayed = succeeded();
    replayed["replayed"] = true.into();
    let duplicate = failed("DuplicateRequest", json!({"state": "settled"}));
    for told in [replayed, duplicate] {
        let world = World::answering([told.clone()]);
        world.put("order-1", &[("state", S("done".into())), ("answer", S(succeeded().to_string()))]);
        assert!(world.deliver(with(message(&named("order-1")), "ReplyTo", REPLIES)).await);
        let effects = world.effects();
        assert_eq!(kinds(&effects), ["asked", "replied", "event"]);
        let Effect::Sent(_, body, ..) = &effects[1] else { panic!("a reply") };
        assert_eq!(serde_json::from_str::<Value>(body).unwrap(), told);
        assert_eq!(world.text("order-1", "firstMessageId"), None);
        assert_eq!(answer(&world, "order-1"), succeeded());
    }
    let world = World::answering([failed("ModelThrottled", json!({}))]);
    world.put("order-1", &[("state", S("done".into())), ("answer", S(succeeded().to_string()))]);
    assert!(world.deliver(message(&named("order-1"))).await);
    assert_eq!(kinds(&world.effects()), ["asked", "sent again"]);
}

#[tokio::test]
async fn an_item_that_has_expired_does_not_count() {
    let world = World::answering([succeeded()]);
    let expired = N((Utc::now() - TimeDelta::hours(1)).timestamp().to_string());
    world.put(MESSAGE, &[("state", S("done".into())), ("answer", S("{}".into())), ("expiresAt", expired)]);
    assert!(world.deliver(message(&document())).await);
    assert_eq!(answer(&world, MESSAGE), succeeded());
}

#[tokio::test]
async fn of_a_batch_only_the_messages_that_stay_are_reported() {
    let world = World::answering([failed("ModelThrottled", json!({})), succeeded()]);
    world.broken.lock().unwrap().insert("requests");
    let mut second = message(&document());
    second.message_id = "second".to_owned();
    let batch = Batch { records: vec![message(&document()), second] };
    let reported = world.worker().serve(batch).await.batch_item_failures;
    assert_eq!(reported, [ItemFailure { item_identifier: MESSAGE.to_owned() }]);
}
