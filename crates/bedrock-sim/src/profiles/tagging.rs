//! Tags of profiles: `TagResource` and `UntagResource` of Bedrock, and `GetResources` of the Resource Groups Tagging API.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use serde_json::{Value, json};

use super::{Profiles, unknown};
use crate::{
    error::ApiError,
    fields::{self, Fields},
    lock::lock,
    models::metric_id,
};

/// The operation of the Resource Groups Tagging API that the simulator has.
const GET_RESOURCES: &str = "ResourceGroupsTaggingAPI_20170126.GetResources";
/// Most resources on a page.
///
/// Source: Resource Groups Tagging API Reference, `GetResources`.
const MOST_RESOURCES: usize = 100;

/// Handles `POST /tagResource`.
pub async fn tag(State(profiles): State<Arc<Profiles>>, body: Bytes) -> Result<Json<Value>, ApiError> {
    let body = fields::body(&body)?;
    let fields = Fields::new(&body, "#", &["resourceARN", "tags"])?;
    let added = fields.list("tags")?.cloned().ok_or_else(|| fields.missing("tags"))?;
    let keys: Vec<Value> = added.iter().filter_map(|tag| tag.get("key").cloned()).collect();
    change(&profiles, &fields, |tags| {
        tags.retain(|tag| tag.get("key").is_none_or(|key| !keys.contains(key)));
        tags.extend(added);
    })
}

/// Handles `POST /untagResource`.
pub async fn untag(State(profiles): State<Arc<Profiles>>, body: Bytes) -> Result<Json<Value>, ApiError> {
    let body = fields::body(&body)?;
    let fields = Fields::new(&body, "#", &["resourceARN", "tagKeys"])?;
    let keys = fields.list("tagKeys")?.cloned().ok_or_else(|| fields.missing("tagKeys"))?;
    change(&profiles, &fields, |tags| tags.retain(|tag| tag.get("key").is_none_or(|key| !keys.contains(key))))
}

fn change(
    profiles: &Profiles,
    fields: &Fields<'_>,
    change: impl FnOnce(&mut Vec<Value>),
) -> Result<Json<Value>, ApiError> {
    let arn = fields.string("resourceARN")?.ok_or_else(|| fields.missing("resourceARN"))?;
    let mut created = lock(&profiles.created);
    let profile = created.get_mut(metric_id(arn)).ok_or_else(unknown)?;
    if let Some(tags) = profile.tags.as_array_mut() {
        change(tags);
    }
    Ok(Json(json!({})))
}

/// Handles `GetResources`: the profiles that have tags. Filters of tags are not served.
pub async fn get_resources(
    State(profiles): State<Arc<Profiles>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    if headers.get("x-amz-target").is_none_or(|target| target != GET_RESOURCES) {
        let problem = "bedrock-sim does not have this operation.";
        return Err(ApiError::new("UnknownOperationException", StatusCode::NOT_FOUND, problem));
    }
    let body = fields::body(&body)?;
    let known = ["ResourceTypeFilters", "ResourcesPerPage", "PaginationToken"];
    let fields = Fields::new(&body, "#", &known)?;
    let size = body.get("ResourcesPerPage").and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
    let size = size.unwrap_or(MOST_RESOURCES).clamp(1, MOST_RESOURCES);
    let start = fields.string("PaginationToken")?.and_then(|token| token.parse().ok()).unwrap_or(0_usize);
    let created = lock(&profiles.created);
    let tagged = created.iter().filter(|(_, profile)| profile.tags.as_array().is_some_and(|tags| !tags.is_empty()));
    let resources: Vec<Value> = tagged
        .map(|(id, profile)| {
            let tags = profile.tags.as_array().into_iter().flatten();
            let tags: Vec<Value> = tags.map(|tag| json!({"Key": tag.get("key"), "Value": tag.get("value")})).collect();
            json!({"ResourceARN": profiles.arn("application-inference-profile", id), "Tags": tags})
        })
        .collect();
    let end = start.saturating_add(size);
    let token = if end < resources.len() { end.to_string() } else { String::new() };
    let page: Vec<Value> = resources.into_iter().skip(start).take(size).collect();
    Ok(Json(json!({"ResourceTagMappingList": page, "PaginationToken": token})))
}
