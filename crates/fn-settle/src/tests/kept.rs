//! Answers that are kept for clients that lose their connection.

use aws_sdk_dynamodb::operation::delete_item::DeleteItemOutput;
use chrono::TimeDelta;

use super::*;
use crate::AnswersTable;

/// A write to the answers table.
fn keeps(succeeds: bool) -> Rule {
    let keep = mock!(Client::update_item).match_requests(|update| {
        let key = update.key().unwrap();
        let values = update.expression_attribute_values().unwrap();
        let answer: Value = serde_json::from_str(values[":answer"].as_s().unwrap()).unwrap();
        update.table_name() == Some("answers")
            && update.update_expression().unwrap().ends_with("#expires = if_not_exists(#queued, :expires)")
            && (&key["applicationId"], &key["requestId"]) == (&S("helper".to_owned()), &S("r1".to_owned()))
            && answer["output"]["message"]["content"] == "the marked answer"
            && (&values[":done"], &values[":outcome"]) == (&S("done".to_owned()), &S("Succeeded".to_owned()))
            // Two hours after 2026-11-21T12:00:07Z.
            && values[":expires"] == N("1795269607".to_owned())
    });
    if succeeds {
        keep.then_output(|| UpdateItemOutput::builder().build())
    } else {
        keep.then_error(|| UpdateItemError::InternalServerError(InternalServerError::builder().build()))
    }
}

fn keeping(rules: &[&Rule], keep: &Rule) -> Settler {
    let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, &[keep]);
    settler(rules).keeping(Some(AnswersTable::new(client, "answers".into(), TimeDelta::hours(2))))
}

#[tokio::test]
async fn an_answer_is_kept_and_returned_even_if_it_cannot_be_kept() {
    for succeeds in [true, false] {
        let keep = keeps(succeeds);
        let rule = settles(&[], item(&[("settledOutput", 900)]));
        let event = event(reservation(json!({"output": 5_000}), json!([])), answered());
        let answer = settle(&keeping(&[&rule], &keep), event).await.unwrap();
        assert_eq!(answer["outcome"], "Succeeded");
        assert_eq!(keep.num_calls(), 1);
    }
}

#[tokio::test]
async fn a_failure_that_used_nothing_is_not_kept_because_its_id_can_be_used_again() {
    let keep = mock!(Client::update_item).then_output(|| UpdateItemOutput::builder().build());
    let rule = settles(&["-400", "-1000"], item(&[]));
    let forget = mock!(Client::delete_item).then_output(|| DeleteItemOutput::builder().build());
    let event = event(reservation(json!({"output": 5_000}), json!([])), failed(json!({"nothingSpent": true})));
    settle(&keeping(&[&rule, &forget], &keep), event).await.unwrap();
    assert_eq!(keep.num_calls(), 0);
}
