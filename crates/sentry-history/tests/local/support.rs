//! A table for each test, and a DynamoDB client with faults.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use test_support::local::create_table;

pub use test_support::local::client;

/// Creates a new table for a history.
pub async fn table(client: &Client) -> String {
    create_table(client, "usage", &["scope", "day"], |call| call).await
}

// Of a hundred transactions, the number that fail with a conflict, and the number whose answer is lost.
const CONFLICTS: u64 = 10;
const LOST: u64 = 10;

#[derive(Debug)]
struct Faulty {
    inner: SharedHttpConnector,
    random: Arc<AtomicU64>,
}

impl HttpConnector for Faulty {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        if !target.ends_with("TransactWriteItems") {
            return self.inner.call(request);
        }
        let seed = self.random.fetch_add(1, Ordering::Relaxed);
        let chance = fastrand::Rng::with_seed(seed).u64(0..100);
        if chance < CONFLICTS {
            let body = r#"{"__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException", "message": "injected",
                           "CancellationReasons": [{"Code": "None"}, {"Code": "TransactionConflict"}]}"#;
            let answer = HttpResponse::new(StatusCode::try_from(400).unwrap(), SdkBody::from(body));
            return HttpConnectorFuture::ready(Ok(answer));
        }
        let answer = self.inner.call(request);
        if chance >= CONFLICTS + LOST {
            return answer;
        }
        HttpConnectorFuture::new(async move {
            answer.await?;
            Err(ConnectorError::io("the connection was cut".into()))
        })
    }
}

/// A client of the local AWS with injected conflicts between transactions, and with answers that are lost after the
/// write. The SDK does not retry, because its token would hide the repeated write.
pub async fn faulty(seed: u64) -> Client {
    let config = client().await.config().clone();
    let inner = config.http_client().unwrap();
    let random = Arc::new(AtomicU64::new(seed));
    let http_client = http_client_fn(move |settings, components| {
        let inner = inner.http_connector(settings, components);
        SharedHttpConnector::new(Faulty { inner, random: Arc::clone(&random) })
    });
    let once = aws_sdk_dynamodb::config::retry::RetryConfig::disabled();
    Client::from_conf(config.to_builder().http_client(http_client).retry_config(once).build())
}
