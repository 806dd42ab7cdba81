//! The routes, and the start and stop of the server.

use std::{
    io::{self, Write},
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::{HeaderValue, StatusCode},
    middleware::{Next, from_fn, from_fn_with_state},
    response::Response,
    routing::{get, post},
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use crate::{
    call,
    connection::{Connection, DroppableListener},
    controls, count_tokens,
    error::ApiError,
    form::Operation,
    options::Options,
    profiles, recorder,
    state::Sim,
    tagging,
};

/// Maximum size of a request body, in bytes. Source: Bedrock API reference, `InvokeModel`. The page of Converse has no
/// limit.
const MAX_BODY: usize = 25_000_000;

/// Reason why the server did not start or stopped.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An option has an invalid value.
    #[error("{0}")]
    Option(String),
    /// The server cannot use the port, stdout, or a signal handler.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Serves requests until SIGTERM or Ctrl-C. Open calls are dropped at that time.
///
/// # Errors
/// [`StartError::Option`] if an option is invalid. [`StartError::Io`] if the port, stdout, or a signal cannot be
/// used.
pub async fn run(options: Options) -> Result<(), StartError> {
    let sim = Sim::new(&options).map_err(StartError::Option)?;
    let mut terminated = signal(SignalKind::terminate())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
    writeln!(io::stdout(), "bedrock-sim listening on http://{}", listener.local_addr()?)?;
    tokio::select! {
        served = serve(listener, sim) => served?,
        _ = terminated.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    Ok(())
}

/// Serves requests on a listener, without end.
pub async fn serve(listener: TcpListener, sim: Sim) -> io::Result<()> {
    let service = router(Arc::new(sim)).into_make_service_with_connect_info::<Connection>();
    axum::serve(DroppableListener(listener), service).await
}

fn router(sim: Arc<Sim>) -> Router {
    let profiles = Router::new()
        .route("/inference-profiles", post(profiles::create).get(profiles::list))
        .route("/inference-profiles/{identifier}", get(profiles::get).delete(profiles::delete))
        .route("/listTagsForResource", post(tagging::list_tags))
        .route("/tagResource", post(tagging::tag))
        .route("/untagResource", post(tagging::untag))
        .route("/", post(tagging::get_resources))
        .route("/_sim/listings", get(tagging::listings).post(tagging::set_listings))
        .with_state(Arc::clone(&sim.profiles));
    let clock = get(controls::clock).post(controls::set_clock).with_state(Arc::clone(&sim.clock));
    let exchanges = get(recorder::exchanges).with_state(Arc::clone(&sim.recorder));
    Router::new()
        .route("/model/{model_id}/converse", call::handler(Operation { invokes: false, streams: false }))
        .route("/model/{model_id}/converse-stream", call::handler(Operation { invokes: false, streams: true }))
        .route("/model/{model_id}/invoke", call::handler(Operation { invokes: true, streams: false }))
        .route(
            "/model/{model_id}/invoke-with-response-stream",
            call::handler(Operation { invokes: true, streams: true }),
        )
        .route("/model/{model_id}/count-tokens", post(count_tokens::count_tokens))
        .merge(profiles)
        .route("/_sim/health", get(controls::health))
        .route("/_sim/calls", get(controls::calls))
        .route("/_sim/defaults", get(controls::defaults).post(controls::set_defaults))
        .route("/_sim/clock", clock)
        .route("/_sim/exchanges", exchanges)
        .fallback(unknown_operation)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn(with_request_id))
        .layer(from_fn_with_state(Arc::clone(&sim.recorder), recorder::record))
        .with_state(sim)
}

async fn unknown_operation() -> ApiError {
    ApiError::new("UnknownOperationException", StatusCode::NOT_FOUND, "bedrock-sim does not have this operation.")
}

/// Adds a request id to every answer, because SDKs report it.
async fn with_request_id(request: Request, next: Next) -> Response {
    static REQUESTS: AtomicU64 = AtomicU64::new(1);
    let number = REQUESTS.fetch_add(1, Ordering::Relaxed);
    let mut response = next.run(request).await;
    if let Ok(id) = HeaderValue::try_from(format!("00000000-0000-4000-8000-{number:012x}")) {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
    response
}
