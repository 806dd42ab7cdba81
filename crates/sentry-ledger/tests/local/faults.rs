//! Faults that DynamoDB shows under load and the local AWS never does: conflicts between transactions, throttling, and
//! answers that are lost after the write.

use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use fastrand::Rng;

use crate::support::client;

/// A fault of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A transaction works on the item. Nothing happens.
    Conflict,
    /// A transaction with the same token is under way. Nothing happens.
    InProgress,
    /// The partition is too busy. Nothing happens.
    Throttled,
    /// The write happens, and its answer is lost.
    Lost,
}

impl Fault {
    /// DynamoDB's answer to `operation`. `None` if the call goes through.
    fn answer(self, operation: &str) -> Option<String> {
        let error = |name: &str, rest: &str| {
            Some(format!(r#"{{"__type": "com.amazonaws.dynamodb.v20120810#{name}", "message": "injected"{rest}}}"#))
        };
        let canceled = |code: &str| {
            let reasons = format!(r#", "CancellationReasons": [{{"Code": "None"}}, {{"Code": "{code}"}}]"#);
            error("TransactionCanceledException", &reasons)
        };
        match (self, operation.starts_with("Transact")) {
            (Self::Conflict, false) => error("TransactionConflictException", ""),
            (Self::Conflict, true) => canceled("TransactionConflict"),
            (Self::InProgress, _) => error("TransactionInProgressException", ""),
            (Self::Throttled, false) => error("ThrottlingException", ""),
            (Self::Throttled, true) => canceled("ThrottlingError"),
            (Self::Lost, _) => None,
        }
    }
}

/// The calls that fail.
#[derive(Debug)]
pub enum Plan {
    /// The next calls of one operation.
    Next {
        operation: &'static str,
        fault: Fault,
        /// The number of calls that still fail.
        times: u32,
    },
    /// This many of a hundred calls at random, each with a fault that is possible for its operation.
    Some(u32, Rng),
}

impl Plan {
    fn next(&mut self, called: &str) -> Option<Fault> {
        match self {
            Self::Next { operation, fault, times } if *operation == called && *times > 0 => {
                *times -= 1;
                Some(*fault)
            }
            Self::Next { .. } => None,
            Self::Some(share, random) => {
                let faults = match called {
                    "UpdateItem" => [Fault::Conflict, Fault::Throttled, Fault::Lost],
                    // These operations are not part of a transaction, so they have no conflicts.
                    "PutItem" | "DeleteItem" | "GetItem" | "BatchGetItem" => {
                        [Fault::Throttled, Fault::Throttled, Fault::Lost]
                    }
                    "TransactWriteItems" => [Fault::Conflict, Fault::InProgress, Fault::Lost],
                    _ => return None,
                };
                (random.u32(0..100) < *share).then(|| faults[random.usize(0..faults.len())])
            }
        }
    }
}

#[derive(Debug)]
struct Faulty {
    inner: SharedHttpConnector,
    plan: Arc<Mutex<Plan>>,
}

impl HttpConnector for Faulty {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let Some(fault) = self.plan.lock().unwrap().next(&operation) else { return self.inner.call(request) };
        if let Some(answer) = fault.answer(&operation) {
            let answer = HttpResponse::new(StatusCode::try_from(400).unwrap(), SdkBody::from(answer));
            return HttpConnectorFuture::ready(Ok(answer));
        }
        let answer = self.inner.call(request);
        HttpConnectorFuture::new(async move {
            answer.await?;
            Err(ConnectorError::io("the connection was cut".into()))
        })
    }
}

/// A client of the local AWS whose calls fail according to `plan`.
pub async fn faulty(plan: Plan) -> (Client, Arc<Mutex<Plan>>) {
    let plan = Arc::new(Mutex::new(plan));
    let config = client().await.config().clone();
    let inner = config.http_client().unwrap();
    let kept = Arc::clone(&plan);
    let faulty = http_client_fn(move |settings, components| {
        let inner = inner.http_connector(settings, components);
        SharedHttpConnector::new(Faulty { inner, plan: Arc::clone(&kept) })
    });
    (Client::from_conf(config.to_builder().http_client(faulty).build()), plan)
}
