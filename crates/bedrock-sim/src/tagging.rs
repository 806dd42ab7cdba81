//! Tags of application inference profiles: Bedrock's own operations, and `GetResources` of the Resource Groups Tagging API.

use std::{
    ops::Bound,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use serde_json::{Map, Value, json};

use crate::{
    error::ApiError,
    fields::{self, Fields},
    lock::lock,
    models::metric_id,
    profiles::{Profile, Profiles, unknown},
    tags::{MOST_TAGS, tags, too_many},
};

/// The most resources of a page of `GetResources`, and the number if the caller names none.
const MOST_LISTED: usize = 100;
const DEFAULT_LISTED: usize = 50;
/// Most tag filters of a call, and most values of a filter.
const MOST_FILTERS: usize = 50;
const MOST_FILTER_VALUES: usize = 20;
const TARGET: &str = "ResourceGroupsTaggingAPI_20170126.GetResources";
const RESOURCE_TYPES: [&str; 2] = ["bedrock", "bedrock:application-inference-profile"];

/// Handles `POST /tagResource`, which adds tags to a profile.
pub async fn tag(State(profiles): State<Arc<Profiles>>, body: Bytes) -> Result<Json<Value>, ApiError> {
    let body = fields::body(&body)?;
    let fields = Fields::new(&body, "#", &["resourceARN", "tags"])?;
    let new = tags(&fields, "tags")?;
    change(&profiles, &fields, |profile| {
        let mut all = profile.tags.clone();
        all.extend(new);
        if all.len() > MOST_TAGS {
            return Err(too_many());
        }
        profile.was_tagged = true;
        profile.tags = all;
        Ok(())
    })
}

/// Handles `POST /untagResource`. Keys that the resource does not have are no error.
pub async fn untag(State(profiles): State<Arc<Profiles>>, body: Bytes) -> Result<Json<Value>, ApiError> {
    let body = fields::body(&body)?;
    let fields = Fields::new(&body, "#", &["resourceARN", "tagKeys"])?;
    let keys: Vec<&str> = fields.list("tagKeys")?.into_iter().flatten().filter_map(Value::as_str).collect();
    change(&profiles, &fields, |profile| {
        profile.tags.retain(|key, _| !keys.contains(&key.as_str()));
        Ok(())
    })
}

fn change(
    profiles: &Profiles,
    fields: &Fields<'_>,
    edit: impl FnOnce(&mut Profile) -> Result<(), ApiError>,
) -> Result<Json<Value>, ApiError> {
    let arn = fields.string("resourceARN")?.ok_or_else(|| fields.missing("resourceARN"))?;
    edit(lock(&profiles.created).get_mut(metric_id(arn)).ok_or_else(unknown)?)?;
    Ok(Json(json!({})))
}

/// Handles `POST /listTagsForResource`, which returns the tags of a profile.
pub async fn list_tags(State(profiles): State<Arc<Profiles>>, body: Bytes) -> Result<Json<Value>, ApiError> {
    let body = fields::body(&body)?;
    let fields = Fields::new(&body, "#", &["resourceARN"])?;
    let arn = fields.string("resourceARN")?.ok_or_else(|| fields.missing("resourceARN"))?;
    let created = lock(&profiles.created);
    let profile = created.get(metric_id(arn)).ok_or_else(unknown)?;
    let tags: Vec<Value> = profile.tags.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
    Ok(Json(json!({"tags": tags})))
}

/// Handles `POST /` with the target `GetResources`, in pages.
///
/// It returns resources that have or had tags. A resource without tags that once had some comes with an empty list.
/// Source: AWS Resource Groups Tagging API Reference, `GetResources`.
pub async fn get_resources(
    State(profiles): State<Arc<Profiles>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    if headers.get("x-amz-target").is_none_or(|target| target != TARGET) {
        return Err(ApiError::new("UnknownOperationException", StatusCode::BAD_REQUEST, "The operation is unknown."));
    }
    profiles.listings.fetch_add(1, Relaxed);
    if profiles.throttles.load(Relaxed) {
        return Err(ApiError::new("ThrottledException", StatusCode::BAD_REQUEST, "Rate exceeded"));
    }
    let body = fields::body(&body)?;
    let known = ["PaginationToken", "TagFilters", "ResourcesPerPage", "ResourceTypeFilters"];
    let fields = Fields::new(&body, "#", &known)?;
    let types: Vec<&str> =
        fields.list("ResourceTypeFilters")?.into_iter().flatten().filter_map(Value::as_str).collect();
    let filters = filters(&fields)?;
    let most = match body.get("ResourcesPerPage").and_then(Value::as_u64) {
        None => DEFAULT_LISTED,
        Some(count) => usize::try_from(count)
            .ok()
            .filter(|count| (1..=MOST_LISTED).contains(count))
            .ok_or_else(|| invalid("ResourcesPerPage must be from 1 to 100."))?,
    };
    let after = fields.string("PaginationToken")?.unwrap_or_default();
    let is_asked_for = types.is_empty() || types.iter().any(|name| RESOURCE_TYPES.contains(name));
    let created = lock(&profiles.created);
    let found: Vec<(&String, &Profile)> = created
        .range::<str, _>((Bound::Excluded(after), Bound::Unbounded))
        .filter(|(_, profile)| is_asked_for && profile.was_tagged && filters.iter().all(|filter| filter.fits(profile)))
        .take(most + 1)
        .collect();
    let next = found.get(most).and(found.get(most - 1)).map_or("", |(id, _)| id.as_str());
    let mapping = |(id, profile): &(&String, &Profile)| {
        let tags: Vec<Value> = profile.tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
        json!({"ResourceARN": profiles.arn_of(id), "Tags": tags})
    };
    let mappings: Vec<Value> = found.iter().take(most).map(mapping).collect();
    Ok(Json(json!({"PaginationToken": next, "ResourceTagMappingList": mappings})))
}

/// Handles `GET /_sim/listings`: the number of calls of `GetResources` so far, and if they are throttled.
pub async fn listings(State(profiles): State<Arc<Profiles>>) -> Json<Value> {
    let (calls, throttled) = (profiles.listings.load(Relaxed), profiles.throttles.load(Relaxed));
    Json(json!({"getResources": calls, "throttled": throttled}))
}

/// Handles `POST /_sim/listings`: `throttled` turns the throttling of `GetResources` on and off.
pub async fn set_listings(State(profiles): State<Arc<Profiles>>, body: Bytes) -> Result<Json<Value>, ApiError> {
    let body = fields::body(&body)?;
    Fields::new(&body, "#", &["throttled"])?;
    if let Some(throttled) = body.get("throttled").and_then(Value::as_bool) {
        profiles.throttles.store(throttled, Relaxed);
    }
    Ok(listings(State(profiles)).await)
}

/// A tag that a resource must have, with one of the values if there are any.
struct TagFilter {
    key: String,
    values: Vec<String>,
}

impl TagFilter {
    fn fits(&self, profile: &Profile) -> bool {
        let value = profile.tags.get(&self.key);
        value.is_some_and(|value| self.values.is_empty() || self.values.contains(value))
    }
}

fn filters(fields: &Fields<'_>) -> Result<Vec<TagFilter>, ApiError> {
    let texts = |value: Option<&Value>| -> Vec<String> {
        value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let filter = |filter: &Map<String, Value>| TagFilter {
        key: filter.get("Key").and_then(Value::as_str).unwrap_or_default().to_owned(),
        values: texts(filter.get("Values")),
    };
    let filters: Vec<TagFilter> =
        fields.list("TagFilters")?.into_iter().flatten().filter_map(Value::as_object).map(filter).collect();
    if filters.len() > MOST_FILTERS || filters.iter().any(|filter| filter.values.len() > MOST_FILTER_VALUES) {
        return Err(invalid("At most 50 tag filters with 20 values each are possible."));
    }
    Ok(filters)
}

fn invalid(message: &str) -> ApiError {
    ApiError::new("InvalidParameterException", StatusCode::BAD_REQUEST, message)
}
