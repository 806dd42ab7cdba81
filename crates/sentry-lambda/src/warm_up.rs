//! Opens the connection to a service while Lambda initializes the environment. The processor is faster then, and
//! nobody waits.

use std::future::Future;
use std::time::Duration;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextMut;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::Headers;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;

/// The longest time that a warm-up takes. The first call does the work that is left.
const LIMIT: Duration = Duration::from_secs(2);

/// Opens the connection that the next call of a client uses, and loads its credentials. Errors are ignored.
///
/// `call` makes a call of the client that needs no fields, and uses the given interceptor:
///
/// ```ignore
/// sentry_lambda::warm_up(|greeting| client.list_tables().customize().interceptor(greeting).send()).await;
/// ```
///
/// The call uses the endpoint and the connection pool of the client, but sends an empty GET request without a
/// signature. The service answers with a greeting or an error. Both are ignored.
pub async fn warm_up<C: Future>(call: impl FnOnce(Greeting) -> C) {
    let _ = tokio::time::timeout(LIMIT, call(Greeting(()))).await;
}

/// An interceptor that sends a GET request without headers, signature and body instead of the intercepted call.
#[derive(Debug)]
pub struct Greeting(());

impl Intercept for Greeting {
    fn name(&self) -> &'static str {
        "Greeting"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        request.set_method("GET")?;
        *request.headers_mut() = Headers::new();
        *request.body_mut() = SdkBody::empty();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use aws_sdk_dynamodb::Client;
    use test_support::offline_config;
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::Instant;

    use super::*;
    use crate::{Connections, http_client};

    fn client(endpoint: &str) -> Client {
        let config = offline_config(http_client(Connections::Kept)).into_builder().endpoint_url(endpoint);
        Client::new(&config.build())
    }

    async fn greet(client: &Client) {
        warm_up(|greeting| client.list_tables().customize().interceptor(greeting).send()).await;
    }

    /// Answers every request on a connection, and keeps the heads of the requests.
    async fn serve(connection: TcpStream, heads: &Mutex<Vec<String>>) {
        let mut connection = BufStream::new(connection);
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if connection.read_line(&mut head).await.unwrap() == 0 {
                    return;
                }
            }
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
            connection.read_exact(&mut body).await.unwrap();
            heads.lock().unwrap().push(head);
            connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nhealthy").await.unwrap();
            connection.flush().await.unwrap();
        }
    }

    #[tokio::test]
    async fn the_first_call_uses_the_connection_that_the_warm_up_has_opened() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = client(&format!("http://{}", listener.local_addr().unwrap()));
        let connections = Arc::new(Mutex::new(Vec::new()));
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (counted, kept) = (Arc::clone(&connections), Arc::clone(&heads));
        tokio::spawn(async move {
            while let Ok((connection, peer)) = listener.accept().await {
                counted.lock().unwrap().push(peer);
                let kept = Arc::clone(&kept);
                tokio::spawn(async move { serve(connection, &kept).await });
            }
        });
        greet(&client).await;
        assert_eq!((connections.lock().unwrap().len(), heads.lock().unwrap().len()), (1, 1), "after the warm-up");
        let _ = client.list_tables().send().await;
        assert_eq!(connections.lock().unwrap().len(), 1, "after the first call");
        let heads = heads.lock().unwrap();
        let (greeting, call) = (heads[0].to_lowercase(), heads[1].to_lowercase());
        assert!(greeting.starts_with("get / http/1.1\r\n"), "{greeting}");
        assert!(!greeting.contains("authorization") && !greeting.contains("x-amz"), "{greeting}");
        assert!(call.starts_with("post / http/1.1\r\n") && call.contains("authorization"), "{call}");
    }

    #[tokio::test]
    async fn a_service_that_cannot_be_reached_or_is_silent_holds_nobody_up_for_long() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let start = Instant::now();
        greet(&client(&endpoint)).await;
        assert!((LIMIT..LIMIT * 2).contains(&start.elapsed()), "silent: {:?}", start.elapsed());
        drop(listener);
        greet(&client(&endpoint)).await;
    }
}
