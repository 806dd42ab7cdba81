//! Bedrock's own error messages: who receives them, and the messages that say more than the error's name.

use sentry_contract::ErrorCode;
use sentry_contract::request::Family;
use sentry_contract::states::Carried;
use serde_json::json;

use super::{input, user, wire};
use crate::adapters::{self, Effect, ModelFailure, failed, integration};

const RETIRED: &str =
    "This model version has reached the end of its life. Please refer to the AWS documentation for more details.";
const LEGACY: &str = "Access denied. This Model is marked by provider as Legacy and you have not been actively using the model in the last 30 days. Please upgrade to an active model on Amazon Bedrock";
const FORM: &str = "Model use case details have not been submitted for this account. Fill out the Anthropic use case details form before using the model.";
const NOT_SUBSCRIBED: &str = "Model access is denied due to IAM user or service role is not authorized to perform the required AWS Marketplace actions (aws-marketplace:ViewSubscriptions, aws-marketplace:Subscribe) to enable access to this model.";

/// The failure for an error of Bedrock. It is the same for a call by the SDK and for a call by Step Functions.
async fn failure(status: u16, name: &str, message: &str) -> ModelFailure {
    let (client, _) = wire::client(status, name, &json!({"message": message}).to_string());
    let request = input(Family::Nova, "amazon.nova-lite-v1:0", &user("Hi"), &json!({}));
    let by_sdk = adapters::ask(&client, &request, 9).await.unwrap_err();
    let cause = format!("{message} (Service: BedrockRuntime, Status Code: {status}, Request ID: r-1)");
    for ending in ["", " (SDK Attempt Count: 1)"] {
        let mut by_step_functions =
            integration::failure(&format!("BedrockRuntime.{name}"), &format!("{cause}{ending}"));
        assert!(by_step_functions.error.details.remove("bedrockRequestId").is_some());
        assert_eq!(by_step_functions, by_sdk);
    }
    by_sdk
}

#[tokio::test]
async fn bedrocks_message_travels_beside_the_error_and_is_never_written_with_it() {
    for (status, name) in [
        (400, "ValidationException"),
        (403, "AccessDeniedException"),
        (404, "ResourceNotFoundException"),
        (429, "ThrottlingException"),
        (500, "InternalServerException"),
    ] {
        let failure = failure(status, name, "quotes the SECRET (Service: x) prompt").await;
        let to_the_workflow = [Carried::Open, Carried::Sealed]
            .map(|carried| serde_json::to_string(&failed(failure.clone(), carried)).unwrap());
        for written in to_the_workflow.iter().chain([&format!("{failure:?}")]) {
            assert!(!written.contains("SECRET"), "{written}");
        }
        assert_eq!(failure.bedrock_message.as_deref(), Some("quotes the SECRET (Service: x) prompt"), "{name}");
    }
}

#[tokio::test]
async fn a_long_message_is_cut_between_characters_and_an_empty_one_is_none() {
    let long = failure(400, "ValidationException", &"ü".repeat(3_000)).await;
    assert_eq!(long.bedrock_message, Some("ü".repeat(2_000)));
    assert_eq!(failure(400, "ValidationException", "").await.bedrock_message, None);
    for (error, cause) in [
        ("BedrockRuntime.ValidationException", "a cause of another form"),
        ("BedrockRuntime.SdkClientException", "Read timed out (Service: x)"),
        ("States.Timeout", "SECRET (Service: BedrockRuntime, Status Code: 400)"),
    ] {
        assert_eq!(integration::failure(error, cause).bedrock_message, None, "{error}");
    }
}

#[tokio::test]
async fn a_model_that_has_ended_is_told_apart_from_one_that_never_was() {
    for (message, retired) in [(RETIRED, true), (LEGACY, true), ("Could not resolve the model.", false)] {
        let failure = failure(404, "ResourceNotFoundException", message).await;
        assert_eq!((failure.error.code, failure.effect), (ErrorCode::ModelRejectedRequest, Effect::Nothing));
        assert_eq!(failure.error.details.get("retired"), retired.then_some(&json!(true)), "{message}");
        assert_eq!(failure.error.message.contains("Choose another model"), retired, "{message}");
    }
}

#[tokio::test]
async fn an_error_says_what_an_administrator_must_do_once_for_an_account() {
    for (status, name, message, to_do) in [
        (404, "ResourceNotFoundException", FORM, "submits it once"),
        (404, "FTUFormNotFilled", FORM, "submits it once"),
        (403, "AccessDeniedException", "You have not filled out the required use-case form.", "submits it once"),
        (403, "AccessDeniedException", NOT_SUBSCRIBED, "aws-marketplace:Subscribe"),
        (
            403,
            "AccessDeniedException",
            "Your AWS Marketplace subscription cannot be completed.",
            "calls the model once",
        ),
    ] {
        let failure = failure(status, name, message).await;
        assert_eq!((failure.error.code, failure.effect), (ErrorCode::ModelAccessDenied, Effect::Nothing), "{message}");
        assert!(failure.error.message.contains(to_do), "{}", failure.error.message);
    }
}

#[tokio::test]
async fn the_words_of_a_prompt_in_bedrocks_message_change_no_meaning() {
    let plain = failure(400, "ValidationException", "?").await.error;
    for quoted in [RETIRED, LEGACY, FORM, NOT_SUBSCRIBED] {
        assert_eq!(failure(400, "ValidationException", quoted).await.error, plain);
    }
}
