//! A creation that fails at one of its steps.

use aws_sdk_bedrock::error::ErrorMetadata;
use aws_sdk_bedrock::operation::create_inference_profile::CreateInferenceProfileOutput;
use aws_sdk_bedrock::operation::delete_inference_profile::{DeleteInferenceProfileError, DeleteInferenceProfileOutput};
use aws_sdk_bedrock::operation::get_inference_profile::{GetInferenceProfileError, GetInferenceProfileOutput};
use aws_sdk_bedrock::operation::list_inference_profiles::ListInferenceProfilesOutput;
use aws_sdk_bedrock::operation::list_tags_for_resource::ListTagsForResourceOutput;
use aws_sdk_bedrock::types::{InferenceProfileModel, InferenceProfileSummary, InferenceProfileType};
use aws_sdk_dynamodb::operation::delete_item::DeleteItemOutput;
use aws_sdk_dynamodb::operation::get_item::GetItemOutput;
use aws_sdk_dynamodb::operation::put_item::{PutItemError, PutItemOutput};
use aws_sdk_dynamodb::types::error::ConditionalCheckFailedException;
use aws_smithy_mocks::{Rule, RuleMode, mock};
use test_support::mock_client;

use super::*;

const ARN: &str = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abcdefghijkl";
const SOURCE: &str = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0";

fn wanted() -> Wanted {
    let tags = [(Tags::COST_CENTER.to_owned(), "sales".to_owned())].into();
    Wanted { name: "sales".to_owned(), source: SOURCE.to_owned(), tags, alias: Some("sales".to_owned()) }
}

fn created() -> Rule {
    mock!(Client::create_inference_profile)
        .then_output(|| CreateInferenceProfileOutput::builder().inference_profile_arn(ARN).build().unwrap())
}

fn found(status: InferenceProfileStatus) -> Rule {
    mock!(Client::get_inference_profile).then_output(move || {
        GetInferenceProfileOutput::builder()
            .inference_profile_name("sales")
            .inference_profile_arn(ARN)
            .inference_profile_id("abcdefghijkl")
            .models(InferenceProfileModel::builder().model_arn(SOURCE).build())
            .status(status.clone())
            .r#type(InferenceProfileType::Application)
            .build()
            .unwrap()
    })
}

fn tagged(value: &'static str) -> Rule {
    mock!(Client::list_tags_for_resource).then_output(move || {
        let tag = Tag::builder().key(Tags::COST_CENTER).value(value).build().unwrap();
        ListTagsForResourceOutput::builder().tags(tag).build()
    })
}

fn deleted() -> Rule {
    mock!(Client::delete_inference_profile).then_output(|| DeleteInferenceProfileOutput::builder().build())
}

fn denied() -> ErrorMetadata {
    ErrorMetadata::builder().code("AccessDeniedException").message("no").build()
}

fn put() -> Rule {
    mock!(aws_sdk_dynamodb::Client::put_item).then_output(|| PutItemOutput::builder().build())
}

fn no_alias() -> Rule {
    mock!(aws_sdk_dynamodb::Client::get_item).then_output(|| GetItemOutput::builder().build())
}

async fn run(bedrock: &[&Rule], dynamodb: &[&Rule]) -> Result<String, Failure> {
    let bedrock = mock_client!(aws_sdk_bedrock, RuleMode::MatchAny, bedrock);
    let dynamodb = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, dynamodb);
    create(&bedrock, &CatalogueTable::new(dynamodb, "catalogue".to_owned()), &wanted()).await
}

#[tokio::test]
async fn the_alias_is_written_last() {
    let (put, deleted) = (put(), deleted());
    let rules = [&created(), &found(InferenceProfileStatus::Active), &tagged("sales"), &deleted];
    assert_eq!(run(&rules, &[&put]).await.unwrap(), ARN);
    assert_eq!((put.num_calls(), deleted.num_calls()), (1, 0));
}

#[tokio::test]
async fn a_refused_creation_has_nothing_to_undo() {
    let refused = mock!(Client::create_inference_profile).then_http_response(|| {
        let body = r#"{"__type": "AccessDeniedException", "message": "no"}"#;
        let mut answer = aws_sdk_bedrock::config::http::HttpResponse::new(403.try_into().unwrap(), body.into());
        answer.headers_mut().insert("x-amzn-errortype", "AccessDeniedException");
        answer
    });
    let (put, deleted) = (put(), deleted());
    let failure = run(&[&refused, &deleted], &[&put]).await.unwrap_err();
    assert!(failure.to_string().contains("AccessDenied"), "{failure}");
    assert_eq!((put.num_calls(), deleted.num_calls()), (0, 0));
}

#[tokio::test]
async fn a_profile_that_cannot_be_checked_is_removed() {
    let unreadable = mock!(Client::get_inference_profile).then_error(|| GetInferenceProfileError::generic(denied()));
    let inactive = found(InferenceProfileStatus::from("CREATING"));
    for check in [
        [&unreadable, &tagged("sales")],
        [&inactive, &tagged("sales")],
        [&found(InferenceProfileStatus::Active), &tagged("support")],
    ] {
        let (put, deleted) = (put(), deleted());
        let failure = run(&[&created(), check[0], check[1], &deleted], &[&put, &no_alias()]).await.unwrap_err();
        assert!(failure.to_string().contains("nothing was changed"), "{failure}");
        assert_eq!((put.num_calls(), deleted.num_calls()), (0, 1), "{failure}");
    }
}

#[tokio::test]
async fn an_alias_of_somebody_else_stays_and_the_profile_is_removed() {
    let taken = mock!(aws_sdk_dynamodb::Client::put_item).then_error(|| {
        let error = ConditionalCheckFailedException::builder()
            .meta(aws_sdk_dynamodb::error::ErrorMetadata::builder().code("ConditionalCheckFailedException").build());
        PutItemError::ConditionalCheckFailedException(error.build())
    });
    let theirs = mock!(aws_sdk_dynamodb::Client::get_item).then_output(|| {
        GetItemOutput::builder().set_item(Some(alias_item("alias#sales", "amazon.nova-pro-v1:0"))).build()
    });
    let removed = mock!(aws_sdk_dynamodb::Client::delete_item).then_output(|| DeleteItemOutput::builder().build());
    let deleted = deleted();
    let rules = [&created(), &found(InferenceProfileStatus::Active), &tagged("sales"), &deleted];
    let failure = run(&rules, &[&taken, &theirs, &removed]).await.unwrap_err();
    assert!(matches!(failure, Failure::Conflict(_)), "{failure}");
    assert_eq!((removed.num_calls(), deleted.num_calls()), (0, 1));
}

#[tokio::test]
async fn an_alias_that_was_written_although_its_answer_was_lost_is_removed() {
    let lost = mock!(aws_sdk_dynamodb::Client::put_item).then_error(|| PutItemError::generic(denied()));
    let written = mock!(aws_sdk_dynamodb::Client::get_item)
        .then_output(|| GetItemOutput::builder().set_item(Some(alias_item("alias#sales", ARN))).build());
    let removed = mock!(aws_sdk_dynamodb::Client::delete_item).then_output(|| DeleteItemOutput::builder().build());
    let deleted = deleted();
    let rules = [&created(), &found(InferenceProfileStatus::Active), &tagged("sales"), &deleted];
    run(&rules, &[&lost, &written, &removed]).await.unwrap_err();
    assert_eq!((removed.num_calls(), deleted.num_calls()), (1, 1));
}

#[tokio::test]
async fn a_failed_undo_names_what_remains_and_the_command_that_removes_it() {
    let stuck = mock!(Client::delete_inference_profile).then_error(|| DeleteInferenceProfileError::generic(denied()));
    let rules = [&created(), &found(InferenceProfileStatus::Active), &tagged("support"), &stuck];
    let failure = run(&rules, &[&no_alias()]).await.unwrap_err().to_string();
    assert!(failure.contains(&format!("sentry profiles delete {ARN}")), "{failure}");
    assert!(!failure.contains("nothing was changed"), "{failure}");
}

#[tokio::test]
async fn a_creation_without_an_answer_is_looked_for_and_removed() {
    let silent = mock!(Client::create_inference_profile).then_http_response(|| {
        aws_sdk_bedrock::config::http::HttpResponse::new(201.try_into().unwrap(), "not json".into())
    });
    let listed = mock!(Client::list_inference_profiles).then_output(|| {
        let profile = InferenceProfileSummary::builder()
            .inference_profile_name("sales")
            .inference_profile_arn(ARN)
            .inference_profile_id("abcdefghijkl")
            .models(InferenceProfileModel::builder().model_arn(SOURCE).build())
            .status(InferenceProfileStatus::Active)
            .r#type(InferenceProfileType::Application);
        ListInferenceProfilesOutput::builder().inference_profile_summaries(profile.build().unwrap()).build()
    });
    let deleted = self::deleted();
    run(&[&silent, &listed, &tagged("sales"), &deleted], &[&no_alias()]).await.unwrap_err();
    assert_eq!(deleted.num_calls(), 1);
    let deleted = self::deleted();
    run(&[&silent, &listed, &tagged("support"), &deleted], &[&no_alias()]).await.unwrap_err();
    assert_eq!(deleted.num_calls(), 0, "a profile of somebody else stays");
}

#[tokio::test]
async fn every_page_of_the_lists_is_read() {
    let page = |number: u32, next: Option<&str>| {
        let next = next.map(str::to_owned);
        mock!(Client::list_inference_profiles).then_output(move || {
            let profile = InferenceProfileSummary::builder()
                .inference_profile_name(format!("p{number}"))
                .inference_profile_arn(ARN)
                .inference_profile_id("abcdefghijkl")
                .models(InferenceProfileModel::builder().model_arn(SOURCE).build())
                .status(InferenceProfileStatus::Active)
                .r#type(InferenceProfileType::Application);
            let profile = profile.build().unwrap();
            ListInferenceProfilesOutput::builder()
                .inference_profile_summaries(profile)
                .set_next_token(next.clone())
                .build()
        })
    };
    let rules = [&page(1, Some("a")), &page(2, Some("b")), &page(3, None)];
    let bedrock = mock_client!(aws_sdk_bedrock, RuleMode::Sequential, &rules);
    let names: Vec<_> = directory::profiles(&bedrock).await.unwrap().into_iter().map(|it| it.name).collect();
    assert_eq!(names, ["p1", "p2", "p3"]);
}

#[tokio::test]
async fn every_page_of_the_catalogue_table_is_read() {
    use aws_sdk_dynamodb::operation::scan::ScanOutput;
    let page = |key: &'static str, last: bool| {
        mock!(aws_sdk_dynamodb::Client::scan).then_output(move || {
            let scan = ScanOutput::builder().items(alias_item(key, ARN));
            let next = alias_item(key, ARN).into_iter().filter(|(name, _)| name == "entry").collect();
            scan.set_last_evaluated_key((!last).then_some(next)).build()
        })
    };
    let rules = [&page("alias#a", false), &page("alias#b", true)];
    let dynamodb = mock_client!(aws_sdk_dynamodb, RuleMode::Sequential, &rules);
    let items = CatalogueTable::new(dynamodb, "catalogue".to_owned()).all().await.unwrap();
    assert_eq!(crate::catalogue::aliases_of(&items, ARN), ["a", "b"]);
}
