//! Reading a request body: bounded in size and time.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::timeout;
use tsugite_aws::AwsError;
use tsugite_base::limits;

/// For a whole body: a full batch at 300 kB/s.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// For reading past a body that is refused, so that the peer comes to read the refusal.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
const LIMIT: usize = limits::AWS_BODY_BYTES;

/// The whole body. `expects_continue` says that the peer waits for leave to send it.
pub(super) async fn read(mut body: Incoming, expects_continue: bool) -> Result<Bytes, AwsError> {
    if body.size_hint().lower() > LIMIT as u64 {
        if !expects_continue {
            drain(body).await;
        }
        return Err(too_large());
    }
    match timeout(BODY_TIMEOUT, gather(&mut body)).await {
        Ok(Ok(Some(bytes))) => Ok(bytes),
        Ok(Ok(None)) => {
            drain(body).await;
            Err(too_large())
        }
        Ok(Err(error)) => Err(AwsError::bad_request(
            "IncompleteBody",
            format!("The request body cannot be read: {error}."),
        )),
        Err(_) => Err(AwsError::sender(
            "RequestTimeout",
            "RequestTimeout",
            408,
            format!(
                "The request body did not arrive within {} seconds.",
                BODY_TIMEOUT.as_secs()
            ),
        )),
    }
}

/// The body, or `None` if it is too large. A body that comes in one piece is not copied.
async fn gather(body: &mut Incoming) -> Result<Option<Bytes>, hyper::Error> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue; // trailers mean nothing here
        };
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            if all.is_empty() {
                let announced = usize::try_from(body.size_hint().lower()).unwrap_or(0);
                all.reserve((first.len() + data.len() + announced).min(LIMIT));
                all.extend_from_slice(&first);
            }
            all.extend_from_slice(&data);
        }
        if first.len().max(all.len()) > LIMIT {
            return Ok(None);
        }
    }
    Ok(Some(if all.is_empty() { first } else { all.freeze() }))
}

async fn drain(mut body: Incoming) {
    let reading = async { while let Some(Ok(_)) = body.frame().await {} };
    // Whoever has not finished by then sees a closed connection instead of the refusal.
    let _ = timeout(DRAIN_TIMEOUT, reading).await;
}

fn too_large() -> AwsError {
    AwsError::sender(
        "RequestEntityTooLarge",
        "RequestEntityTooLarge",
        413,
        format!("The request body is larger than {LIMIT} bytes."),
    )
}
