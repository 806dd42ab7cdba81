//! Tags of profiles on the wire.

use serde_json::{Value, json};

use super::Server;

const TARGET: (&str, &str) = ("x-amz-target", "ResourceGroupsTaggingAPI_20170126.GetResources");

async fn profile(server: &Server, name: &str, tags: Value) -> String {
    let source = json!({"copyFrom": "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0"});
    let request = json!({"inferenceProfileName": name, "modelSource": source, "tags": tags});
    server.post("/inference-profiles", request).await.json()["inferenceProfileArn"].as_str().unwrap().to_owned()
}

async fn resources(server: &Server, request: Value) -> Value {
    server.post_with(TARGET, "/", request).await.json()
}

#[tokio::test]
async fn tags_are_changed_and_found_and_a_resource_without_tags_that_had_some_is_listed() {
    let server = Server::start(&[]).await;
    let sales = profile(&server, "sales", json!([{"key": "costCenter", "value": "sales"}])).await;
    profile(&server, "never-tagged", json!([])).await;
    let find = |value: &str| json!({"TagFilters": [{"Key": "costCenter", "Values": [value]}]});
    let found = resources(&server, find("sales")).await;
    let expected = json!([{"ResourceARN": sales, "Tags": [{"Key": "costCenter", "Value": "sales"}]}]);
    assert_eq!((&found["ResourceTagMappingList"], &found["PaginationToken"]), (&expected, &json!("")));

    let tags = json!([{"key": "costCenter", "value": "services"}, {"key": "environment", "value": "test"}]);
    server.post("/tagResource", json!({"resourceARN": sales, "tags": tags})).await;
    let listed = server.post("/listTagsForResource", json!({"resourceARN": sales})).await.json();
    assert_eq!(listed["tags"], tags);
    assert_eq!(resources(&server, find("sales")).await["ResourceTagMappingList"], json!([]));

    let keys = json!(["costCenter", "environment", "no-such-key"]);
    server.post("/untagResource", json!({"resourceARN": sales, "tagKeys": keys})).await;
    let all = resources(&server, json!({"ResourceTypeFilters": ["bedrock:application-inference-profile"]})).await;
    assert_eq!(all["ResourceTagMappingList"], json!([{"ResourceARN": sales, "Tags": []}]));
    let others = resources(&server, json!({"ResourceTypeFilters": ["s3:bucket"]})).await;
    assert_eq!(others["ResourceTagMappingList"], json!([]));
}

#[tokio::test]
async fn both_lists_come_in_pages() {
    let server = Server::start(&[]).await;
    for number in 0..23 {
        profile(&server, &format!("profile-{number}"), json!([{"key": "number", "value": number.to_string()}])).await;
    }
    let (mut token, mut pages, mut found) = (String::new(), 0, 0);
    loop {
        let page = resources(&server, json!({"ResourcesPerPage": 10, "PaginationToken": token})).await;
        (pages, found) = (pages + 1, found + page["ResourceTagMappingList"].as_array().unwrap().len());
        token = page["PaginationToken"].as_str().unwrap().to_owned();
        if token.is_empty() {
            break;
        }
    }
    assert_eq!((pages, found), (3, 23));
    let first = server.get("/inference-profiles?type=APPLICATION&maxResults=20").await.json();
    let next = first["nextToken"].as_str().unwrap();
    let second =
        server.get(&format!("/inference-profiles?type=APPLICATION&maxResults=20&nextToken={next}")).await.json();
    let count = |page: &Value| page["inferenceProfileSummaries"].as_array().unwrap().len();
    assert_eq!((count(&first), count(&second), second.get("nextToken")), (20, 3, None));
}

#[tokio::test]
async fn a_call_that_the_service_models_do_not_allow_is_refused() {
    let server = Server::start(&[]).await;
    let arn = profile(&server, "sales", json!([])).await;
    for tag in [
        json!({"key": "", "value": "x"}),
        json!({"key": "a&b", "value": "x"}),
        json!({"key": "a", "value": "x".repeat(257)}),
    ] {
        let answer = server.post("/tagResource", json!({"resourceARN": arn, "tags": [tag]})).await;
        assert_eq!(answer.error(), (400, "ValidationException"));
    }
    let many: Vec<Value> = (0..51).map(|number| json!({"key": number.to_string(), "value": ""})).collect();
    let answer = server.post("/tagResource", json!({"resourceARN": arn, "tags": many})).await;
    assert_eq!(answer.error(), (400, "TooManyTagsException"));
    let answer = server.post_with(TARGET, "/", json!({"ResourcesPerPage": 101})).await;
    assert_eq!(answer.error(), (400, "InvalidParameterException"));
    let other = ("x-amz-target", "ResourceGroupsTaggingAPI_20170126.GetTagKeys");
    assert_eq!(server.post_with(other, "/", json!({})).await.error(), (400, "UnknownOperationException"));
}
