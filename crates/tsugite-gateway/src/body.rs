//! Bodies in both directions. Data is handed on frame by frame, never collected: what waits in memory is at most one
//! frame here and the codecs' bounded buffers.

use std::error::Error;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

use crate::call::Call;
use crate::codec::io::ConnState;
use crate::kept::Replay;
use crate::relay::Relay;

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// The body of an answer to a client.
#[derive(Debug)]
pub(crate) struct Body {
    content: Content,
    /// Keeps the connection busy until the body is done with.
    busy: Option<Busy>,
}

#[derive(Debug)]
enum Content {
    Empty,
    Full(Bytes),
    Relayed(Relay),
}

impl Body {
    pub(crate) const fn empty() -> Body {
        Body {
            content: Content::Empty,
            busy: None,
        }
    }

    pub(crate) fn full(bytes: Bytes) -> Body {
        Body {
            content: Content::Full(bytes),
            busy: None,
        }
    }

    pub(crate) fn relayed(relay: Relay) -> Body {
        Body {
            content: Content::Relayed(relay),
            busy: None,
        }
    }

    /// The exchange ends when this body is dropped.
    pub(crate) fn hold(&mut self, busy: Busy) {
        self.busy = Some(busy);
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.content {
            Content::Empty => Poll::Ready(None),
            Content::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.content = Content::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Content::Relayed(relay) => relay.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Empty => true,
            Content::Full(_) => false,
            Content::Relayed(relay) => relay.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Empty => SizeHint::with_exact(0),
            Content::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Relayed(relay) => relay.size_hint(),
        }
    }
}

/// Marks the client's connection as busy for as long as it lives.
#[derive(Debug)]
pub(crate) struct Busy(Arc<ConnState>);

impl Busy {
    pub(crate) fn begin(state: &Arc<ConnState>) -> Busy {
        state.exchange_begins();
        Busy(state.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.exchange_ends();
    }
}

/// The body of a request to an endpoint.
pub(crate) enum RequestBody {
    /// None, or one that was empty from the start.
    Empty,
    /// The client's, handed on.
    Client { incoming: Incoming, call: Rc<Call> },
    /// The client's, of which what was sent is kept for another try.
    Kept(Replay),
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let (incoming, call) = match &mut *self {
            RequestBody::Empty => return Poll::Ready(None),
            RequestBody::Client { incoming, call } => (incoming, call),
            RequestBody::Kept(replay) => return replay.poll_frame(cx),
        };
        call.upload_starts();
        match ready!(Pin::new(&mut *incoming).poll_frame(cx)) {
            None => {
                call.upload_ends();
                Poll::Ready(None)
            }
            Some(Ok(frame)) => {
                if incoming.is_end_stream() {
                    call.upload_ends();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                call.upload_fails();
                Poll::Ready(Some(Err(error.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            RequestBody::Empty => true,
            RequestBody::Client { incoming, .. } => incoming.is_end_stream(),
            RequestBody::Kept(replay) => replay.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            RequestBody::Empty => SizeHint::with_exact(0),
            RequestBody::Client { incoming, .. } => incoming.size_hint(),
            RequestBody::Kept(replay) => replay.size_hint(),
        }
    }
}
