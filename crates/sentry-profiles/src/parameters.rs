//! A fixed list of profiles in Parameter Store (`ProfileMapParameter`), instead of the tags of the profiles.
//!
//! The SDK crate of Systems Manager has a thousand operations and takes as long to compile as all others together. This is
//! the one call that is needed, with the SDK's signer and its client.

use std::time::SystemTime;

use aws_config::SdkConfig;
use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::body::SdkBody;
use serde::Deserialize;
use serde_json::json;

use crate::snapshot::{TaggedProfile, Values};

const SERVICE: &str = "ssm";
const TARGET: &str = "AmazonSSM.GetParametersByPath";
const CONTENT_TYPE: &str = "application/x-amz-json-1.1";
/// Parameters of a page. Source: AWS Systems Manager API Reference, `GetParametersByPath`: at most 10.
const OF_A_PAGE: u8 = 10;

/// The profiles of a path in Parameter Store. Each parameter under it has a JSON list of entries.
#[derive(Clone, Debug)]
pub struct ParameterStore {
    config: SdkConfig,
    endpoint: String,
    path: String,
}

/// The parameters cannot be read, or one of them is no list of profiles.
#[derive(Debug, thiserror::Error)]
pub enum ParametersError {
    /// The call could not be made or was refused.
    #[error("the parameters under {path} cannot be read: {reason}")]
    Call {
        /// The path of the parameters.
        path: String,
        /// The text of the error.
        reason: String,
    },
    /// A parameter has another form.
    #[error(
        "the parameter {name} is no list of profiles such as [{{\"profile\": ARN, \"model\": ID, \"costCenter\": \"sales\"}}]: {problem}"
    )]
    Form {
        /// Name of the parameter.
        name: String,
        /// The place of the mistake. It has no part of the value.
        problem: String,
    },
}

/// An entry of a parameter.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    /// ARN of the profile.
    profile: String,
    /// Id of the model or system-defined profile that it was made from.
    model: String,
    application_id: Option<String>,
    cost_center: Option<String>,
    environment: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Page {
    parameters: Vec<Parameter>,
    next_token: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Parameter {
    name: String,
    value: String,
}

/// The refusal of AWS, or a body that is no JSON.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

/// A request that is signed: its URL, headers and body.
#[derive(Clone, Debug)]
struct Signed {
    url: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl ParameterStore {
    /// The parameters under `path`, such as `/cost-sentry/profiles`, in the Region of `config`. An endpoint in `config`
    /// replaces that of AWS.
    #[must_use]
    pub fn new(config: SdkConfig, path: String) -> Self {
        let region = config.region().map(ToString::to_string).unwrap_or_default();
        // Source: AWS General Reference, "AWS service endpoints", partition `aws-cn`.
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let endpoint =
            config.endpoint_url().map_or_else(|| format!("https://{SERVICE}.{region}.{domain}"), str::to_owned);
        Self { config, endpoint, path }
    }

    /// All profiles of the parameters, from every page.
    ///
    /// # Errors
    /// [`ParametersError`].
    pub async fn profiles(&self) -> Result<Vec<TaggedProfile>, ParametersError> {
        let mut profiles = Vec::new();
        let mut token = None;
        loop {
            let page = self.page(token.as_deref()).await;
            let page = page.map_err(|reason| ParametersError::Call { path: self.path.clone(), reason })?;
            for parameter in &page.parameters {
                profiles.extend(read(parameter)?);
            }
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(profiles);
            }
        }
    }

    async fn page(&self, token: Option<&str>) -> Result<Page, String> {
        let mut body = json!({"Path": self.path, "Recursive": true, "MaxResults": OF_A_PAGE});
        if let (Some(token), Some(fields)) = (token, body.as_object_mut()) {
            fields.insert("NextToken".to_owned(), token.into());
        }
        let signed = self.signed(body.to_string()).await?;
        let mut call = Operation::builder().service_name(SERVICE).operation_name("GetParametersByPath");
        call = call.endpoint_url(&self.endpoint).no_auth();
        if let Some(client) = self.config.http_client() {
            call = call.http_client(client);
        }
        if let Some(timeouts) = self.config.timeout_config() {
            call = call.timeout_config(timeouts.clone());
        }
        if let Some(sleep) = self.config.sleep_impl() {
            call = call.sleep_impl(sleep);
        }
        let call = call.no_retry().serializer(request).deserializer(answered).build();
        let sent: Result<Page, SdkError<Refused, HttpResponse>> = call.invoke(signed).await;
        sent.map_err(|error| match error.as_service_error() {
            Some(refused) => refused.to_string(),
            None => error.to_string(),
        })
    }

    async fn signed(&self, body: String) -> Result<Signed, String> {
        let provider = self.config.credentials_provider().ok_or("there are no credentials")?;
        let credentials = provider.provide_credentials().await.map_err(|error| error.to_string())?;
        let url = format!("{}/", self.endpoint.trim_end_matches('/'));
        let headers = [("content-type", CONTENT_TYPE), ("x-amz-target", TARGET)];
        let signable = SignableRequest::new("POST", &url, headers.into_iter(), SignableBody::Bytes(body.as_bytes()));
        let signable = signable.map_err(|error| error.to_string())?;
        let identity = credentials.into();
        let region = self.config.region().map(ToString::to_string).unwrap_or_default();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(&region)
            .name(SERVICE)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| error.to_string())?;
        let (instructions, _) = sign(signable, &params.into()).map_err(|error| error.to_string())?.into_parts();
        let given = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let added = instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(Signed { headers: given.into_iter().chain(added).collect(), url, body })
    }
}

fn request(signed: Signed) -> Result<HttpRequest, BoxError> {
    let mut request = HttpRequest::new(SdkBody::from(signed.body));
    request.set_method("POST")?;
    request.set_uri(signed.url)?;
    for (name, value) in signed.headers {
        request.headers_mut().try_insert(name, value)?;
    }
    Ok(request)
}

fn answered(answer: &HttpResponse) -> Result<Page, OrchestratorError<Refused>> {
    let body = answer.body().bytes().unwrap_or_default();
    if !answer.status().is_success() {
        let told: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        let part = |name: &str| told.get(name).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        let reason = format!("{} {} {}", answer.status().as_u16(), part("__type"), part("message"));
        return Err(OrchestratorError::operation(Refused(reason.trim().to_owned())));
    }
    serde_json::from_slice(body)
        .map_err(|error| OrchestratorError::operation(Refused(format!("no answer of Parameter Store: {error}"))))
}

fn read(parameter: &Parameter) -> Result<Vec<TaggedProfile>, ParametersError> {
    let entries: Vec<Entry> = serde_json::from_str(&parameter.value).map_err(|error| ParametersError::Form {
        name: parameter.name.clone(),
        problem: format!("line {}, column {}", error.line(), error.column()),
    })?;
    let profile = |entry: Entry| {
        let values: Values<String> = [entry.application_id, entry.cost_center, entry.environment];
        TaggedProfile { arn: entry.profile, model: entry.model, values }
    };
    Ok(entries.into_iter().map(profile).collect())
}

#[cfg(test)]
mod tests;
