//! The calls that are sent, and the lists that come back.

use aws_smithy_http_client::test_util::StaticReplayClient;
use serde_json::Value;
use test_support::{http_answer, offline_config};

use super::*;

const ARN: &str = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/p1";

fn page(values: &[&str], next: Option<&str>) -> String {
    let parameters =
        values.iter().enumerate().map(|(number, value)| json!({"Name": format!("/sentry/{number}"), "Value": value}));
    json!({"Parameters": parameters.collect::<Vec<_>>(), "NextToken": next}).to_string()
}

async fn profiles(answers: &[(u16, String)]) -> (Result<Vec<TaggedProfile>, ParametersError>, StaticReplayClient) {
    let events = answers.iter().map(|(status, body)| http_answer(*status, &[], body)).collect();
    let client = StaticReplayClient::new(events);
    let store = ParameterStore::new(offline_config(client.clone()), "/sentry".to_owned());
    (store.profiles().await, client)
}

#[tokio::test]
async fn every_page_is_read_with_a_signed_call() {
    let first = format!(r#"[{{"profile": "{ARN}", "model": "m", "costCenter": "sales", "environment": "prod"}}]"#);
    let answers =
        [(200, page(&[&first, "[]"], Some("next"))), (200, page(&[r#"[{"profile": "b", "model": "n"}]"#], None))];
    let (found, client) = profiles(&answers).await;
    let expected = |arn: &str, model: &str, values: Values<&str>| TaggedProfile {
        arn: arn.to_owned(),
        model: model.to_owned(),
        values: values.map(|value| value.map(str::to_owned)),
    };
    let sales = expected(ARN, "m", [None, Some("sales"), Some("prod")]);
    assert_eq!(found.unwrap(), [sales, expected("b", "n", [None, None, None])]);
    let requests: Vec<_> = client.actual_requests().collect();
    assert_eq!(requests.len(), 2);
    for (request, token) in requests.iter().zip([None, Some("next")]) {
        assert_eq!(request.uri(), "https://ssm.us-east-1.amazonaws.com/");
        assert_eq!(request.headers().get("x-amz-target"), Some(TARGET));
        let authorization = request.headers().get("authorization").unwrap();
        assert!(
            authorization
                .contains("/us-east-1/ssm/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-target"),
            "{authorization}"
        );
        let body: Value = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
        assert_eq!((&body["Path"], body["NextToken"].as_str()), (&json!("/sentry"), token));
    }
}

#[tokio::test]
async fn a_refusal_and_a_wrong_list_are_told_without_the_value() {
    let refusal = json!({"__type": "AccessDeniedException", "message": "not authorized"}).to_string();
    let (refused, _) = profiles(&[(400, refusal)]).await;
    let told = "the parameters under /sentry cannot be read: 400 AccessDeniedException not authorized";
    assert_eq!(refused.unwrap_err().to_string(), told);
    for wrong in [r#"{"profile": "secret"}"#, r#"[{"profile": "secret", "modell": "m"}]"#, "secret"] {
        let (refused, _) = profiles(&[(200, page(&[wrong], None))]).await;
        let told = refused.unwrap_err().to_string();
        assert!(told.starts_with("the parameter /sentry/0 is no list of profiles"), "{told}");
        assert!(!told.contains("secret"), "{told}");
    }
}
