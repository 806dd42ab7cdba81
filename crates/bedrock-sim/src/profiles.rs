//! Application inference profiles: the part of Bedrock's control plane that the sentry and its operators use.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize},
    },
    time::SystemTime,
};

use aws_sdk_cloudwatch::primitives::{DateTime, DateTimeFormat};
use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query, State},
    http::StatusCode,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    clock::Clock,
    error::ApiError,
    fields::{self, Fields},
    fingerprint::fingerprint,
    lock::lock,
    models::{ArnKind, Model, metric_id, parse_arn},
    tags,
};

/// Account id that local AWS emulators use.
const ACCOUNT: &str = "000000000000";
const MAX_NAME: usize = 64;
/// The most profiles of a page of `ListInferenceProfiles`.
const MOST_LISTED: usize = 1_000;
/// Source model of a profile that was never created.
const ANY_PROFILE_SOURCE: &str = "mistral.mistral-large-3-675b-instruct";

/// Application inference profiles of one account and Region.
pub struct Profiles {
    region: String,
    accept_any: bool,
    clock: Arc<Clock>,
    pub(crate) created: Mutex<BTreeMap<String, Profile>>,
    /// Number of calls of `GetResources` so far, refused calls included.
    pub(crate) listings: AtomicUsize,
    /// `true` if `GetResources` is throttled.
    pub(crate) throttles: AtomicBool,
    deleted: Mutex<BTreeSet<String>>,
}

/// An application inference profile.
#[derive(Clone)]
pub struct Profile {
    name: String,
    description: Option<Value>,
    source: String,
    /// The values of the profile's tags by key.
    pub(crate) tags: BTreeMap<String, String>,
    /// `true` from the first tag on, also if all tags are removed later.
    pub(crate) was_tagged: bool,
    created_at: String,
}

impl Profile {
    /// A profile that was never created.
    fn any() -> Self {
        Self {
            name: "Any profile".to_owned(),
            description: None,
            source: ANY_PROFILE_SOURCE.to_owned(),
            tags: BTreeMap::new(),
            was_tagged: false,
            created_at: DateTime::from(SystemTime::UNIX_EPOCH).fmt(DateTimeFormat::DateTime).unwrap_or_default(),
        }
    }
}

impl Profiles {
    /// An empty store. With `accept_any`, every profile exists unless it was deleted. `clock` dates new profiles.
    pub fn new(region: &str, accept_any: bool, clock: Arc<Clock>) -> Self {
        Self {
            region: region.to_owned(),
            accept_any,
            clock,
            created: Mutex::default(),
            listings: AtomicUsize::new(0),
            throttles: AtomicBool::new(false),
            deleted: Mutex::default(),
        }
    }

    /// The foundation model of a profile. `None` if the profile does not exist.
    pub fn model_behind(&self, id: &str) -> Option<String> {
        let profile = self.find(id)?;
        Model::parse(&profile.source).map(|model| model.base.to_owned())
    }

    fn find(&self, id: &str) -> Option<Profile> {
        let created = lock(&self.created).get(id).cloned();
        created.or_else(|| (self.accept_any && !lock(&self.deleted).contains(id)).then(Profile::any))
    }

    #[expect(clippy::maybe_infinite_iter, reason = "a number whose hash is free is soon found")]
    fn create(&self, profile: Profile) -> String {
        let mut created = lock(&self.created);
        let id = (created.len()..)
            .map(|number| profile_id(fingerprint(&format!("{number} {}", profile.name))))
            .find(|id| !created.contains_key(id))
            .unwrap_or_default();
        let arn = self.arn("application-inference-profile", &id);
        created.insert(id, profile);
        arn
    }

    /// The ARN of the application inference profile `id`.
    pub(crate) fn arn_of(&self, id: &str) -> String {
        self.arn("application-inference-profile", id)
    }

    fn arn(&self, kind: &str, id: &str) -> String {
        format!("arn:aws:bedrock:{}:{ACCOUNT}:{kind}/{id}", self.region)
    }

    fn describe(&self, id: &str) -> Result<Value, ApiError> {
        let Some(model) = Model::parse(id).filter(|model| model.prefix.is_some()) else {
            return self.find(id).map(|profile| self.description(id, &profile)).ok_or_else(unknown);
        };
        Ok(json!({
            "inferenceProfileName": name_of(model.base),
            "inferenceProfileArn": self.arn("inference-profile", id),
            "inferenceProfileId": id,
            "models": self.models(id),
            "status": "ACTIVE",
            "type": "SYSTEM_DEFINED",
        }))
    }

    fn description(&self, id: &str, profile: &Profile) -> Value {
        let mut description = json!({
            "inferenceProfileName": profile.name,
            "inferenceProfileArn": self.arn("application-inference-profile", id),
            "inferenceProfileId": id,
            "models": self.models(&profile.source),
            "status": "ACTIVE",
            "type": "APPLICATION",
            "createdAt": profile.created_at,
            "updatedAt": profile.created_at,
        });
        if let (Some(text), Some(description)) = (&profile.description, description.as_object_mut()) {
            description.insert("description".to_owned(), text.clone());
        }
        description
    }

    /// The foundation models that a model id routes to, one for each Region.
    fn models(&self, id: &str) -> Vec<Value> {
        let Some(model) = Model::parse(id) else { return Vec::new() };
        let regions = match model.prefix {
            Some("us") => vec!["us-east-1", "us-east-2", "us-west-2"],
            Some("eu") => vec!["eu-central-1", "eu-west-1", "eu-west-3"],
            _ => vec![self.region.as_str()],
        };
        let arn = |region| json!({"modelArn": format!("arn:aws:bedrock:{region}::foundation-model/{}", model.base)});
        regions.into_iter().map(arn).collect()
    }
}

/// Handles `POST /inference-profiles`, `CreateInferenceProfile`.
pub async fn create(State(profiles): State<Arc<Profiles>>, body: Bytes) -> Result<(StatusCode, Json<Value>), ApiError> {
    let body = fields::body(&body)?;
    let known = ["inferenceProfileName", "description", "clientRequestToken", "modelSource", "tags"];
    let fields = Fields::new(&body, "#", &known)?;
    let name = fields.string("inferenceProfileName")?.ok_or_else(|| fields.missing("inferenceProfileName"))?;
    let is_name = !name.is_empty()
        && name.len() <= MAX_NAME
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && !name.as_bytes().windows(2).any(|pair| pair.iter().all(|byte| b" _-".contains(byte)))
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, ' ' | '_' | '-'));
    if !is_name {
        return Err(ApiError::validation(
            "1 validation error detected: Value at 'inferenceProfileName' failed to satisfy constraint: Member must satisfy \
             regular expression pattern: ([0-9a-zA-Z][ _-]?)+",
        ));
    }
    let source = fields.object("modelSource")?.ok_or_else(|| fields.missing("modelSource"))?;
    let source = Fields::new(source, "#/modelSource", &["copyFrom"])?;
    let arn = source.string("copyFrom")?.ok_or_else(|| source.missing("copyFrom"))?;
    let model = match parse_arn(arn) {
        Some((ArnKind::FoundationModel | ArnKind::InferenceProfile, id)) if Model::parse(id).is_some() => id,
        _ => return Err(ApiError::validation("The provided model source is invalid.")),
    };
    let tags = tags::tags(&fields, "tags")?;
    let arn = profiles.create(Profile {
        name: name.to_owned(),
        description: fields.string("description")?.map(Value::from),
        source: model.to_owned(),
        was_tagged: !tags.is_empty(),
        tags,
        created_at: DateTime::from(profiles.clock.now()).fmt(DateTimeFormat::DateTime).unwrap_or_default(),
    });
    Ok((StatusCode::CREATED, Json(json!({"inferenceProfileArn": arn, "status": "ACTIVE"}))))
}

/// Handles `GET /inference-profiles/{id or ARN}`.
pub async fn get(
    State(profiles): State<Arc<Profiles>>,
    Path(identifier): Path<String>,
) -> Result<Json<Value>, ApiError> {
    profiles.describe(metric_id(&identifier)).map(Json)
}

/// Handles `DELETE /inference-profiles/{id or ARN}`.
pub async fn delete(
    State(profiles): State<Arc<Profiles>>,
    Path(identifier): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let id = metric_id(&identifier);
    lock(&profiles.created).remove(id).ok_or_else(unknown)?;
    lock(&profiles.deleted).insert(id.to_owned());
    Ok(Json(json!({})))
}

/// Query parameters of `ListInferenceProfiles`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListQuery {
    /// `APPLICATION` or `SYSTEM_DEFINED`. SDKs send this parameter as `type` instead of `typeEquals`.
    #[serde(alias = "typeEquals")]
    r#type: Option<String>,
    /// The most profiles of a page, from 1 to 1,000. The service model has no default.
    max_results: Option<usize>,
    /// The `nextToken` of the page before.
    next_token: Option<String>,
}

/// Handles `GET /inference-profiles`, in pages.
pub async fn list(
    State(profiles): State<Arc<Profiles>>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    let most = query.max_results.unwrap_or(MOST_LISTED);
    if !(1..=MOST_LISTED).contains(&most) {
        return Err(ApiError::validation("1 validation error detected: Value at 'maxResults' is not from 1 to 1000."));
    }
    let after = query.next_token.unwrap_or_default();
    let all: Vec<(String, Value)> = match query.r#type.as_deref() {
        None | Some("APPLICATION") => lock(&profiles.created)
            .range::<str, _>((Bound::Excluded(after.as_str()), Bound::Unbounded))
            .take(most + 1)
            .map(|(id, profile)| (id.clone(), profiles.description(id, profile)))
            .collect(),
        Some(_) => Vec::new(),
    };
    let next = all.get(most).and(all.get(most - 1)).map(|(id, _)| id.clone());
    let summaries: Vec<Value> = all.into_iter().take(most).map(|(_, summary)| summary).collect();
    let mut page = json!({"inferenceProfileSummaries": summaries});
    if let (Some(next), Some(page)) = (next, page.as_object_mut()) {
        page.insert("nextToken".to_owned(), next.into());
    }
    Ok(Json(page))
}

/// A name for a system-defined profile, with only the characters that the service model allows.
fn name_of(base: &str) -> String {
    let words = base.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

pub(crate) fn unknown() -> ApiError {
    ApiError::not_found("The inference profile was not found. Check the identifier and try again.")
}

/// An id of twelve lowercase letters and digits, like the application inference profile ids of AWS.
fn profile_id(mut seed: u64) -> String {
    let mut digit = || {
        let digit = u32::try_from(seed % 36).unwrap_or(0);
        seed /= 36;
        char::from_digit(digit, 36).unwrap_or('0')
    };
    (0..12).map(|_| digit()).collect()
}
