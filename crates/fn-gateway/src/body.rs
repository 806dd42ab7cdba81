//! Bodies of requests that are refused before they are read.

use std::time::Duration;

use axum::body::Body;
use futures_util::StreamExt;

/// Most bytes of a body that are read for nothing: more than a request can have.
const MOST_BYTES: usize = 8 * 1_048_576;
/// Most time for it.
const MOST_TIME: Duration = Duration::from_secs(5);

/// Reads the rest of a body and drops it, within limits. A client that is still writing its request when the answer comes
/// sees a lost connection instead of the answer, and tries again.
pub async fn discard(body: Body) {
    let mut parts = body.into_data_stream();
    let read = async {
        let mut bytes = 0;
        while let Some(Ok(part)) = parts.next().await {
            bytes += part.len();
            if bytes > MOST_BYTES {
                return;
            }
        }
    };
    // After this time, the client has to live with a lost connection.
    let _ = tokio::time::timeout(MOST_TIME, read).await;
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::stream;

    use super::*;

    /// A body of `parts` parts of a mebibyte, and the number of those that were read.
    fn body(parts: usize) -> (Body, Arc<AtomicUsize>) {
        let read = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&read);
        let parts = stream::iter(0..parts).map(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
            Ok::<_, Infallible>(vec![b'a'; 1_048_576])
        });
        (Body::from_stream(parts), read)
    }

    #[tokio::test]
    async fn a_body_is_read_to_its_end_but_not_without_end() {
        for (parts, expected) in [(0, 0), (3, 3), (100, 9)] {
            let (body, read) = body(parts);
            discard(body).await;
            assert_eq!(read.load(Ordering::Relaxed), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_end_is_left_after_some_time() {
        let begun = tokio::time::Instant::now();
        discard(Body::from_stream(stream::pending::<Result<Vec<u8>, Infallible>>())).await;
        assert_eq!(begun.elapsed(), MOST_TIME);
    }
}
