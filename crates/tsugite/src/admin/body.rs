//! The body of an answer: all of it at once, or events as they come.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use http_body_util::Full;
use tsugite_engine::RegistryStore;

use crate::watch::{Follower, Told};

/// A body of the admin port.
pub(crate) enum Body {
    /// A document.
    Full(Full<Bytes>),
    /// A watch.
    Stream(Pin<Box<dyn http_body::Body<Data = Bytes, Error = Infallible> + Send>>),
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Body::Full(full) => Pin::new(full).poll_frame(cx),
            Body::Stream(stream) => stream.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Full(full) => full.is_end_stream(),
            Body::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Full(full) => full.size_hint(),
            Body::Stream(stream) => stream.size_hint(),
        }
    }
}

/// How what is told is written.
pub(super) trait Write: Send + 'static {
    /// One portion; an empty one is a sign of life. Nothing may come of it.
    fn portion(&self, told: &[Told]) -> Bytes;

    /// What is sent behind the last portion.
    fn trailers(&self) -> Option<HeaderMap>;
}

type Step<S> = Pin<Box<dyn Future<Output = (Follower<S>, Option<Vec<Told>>)> + Send>>;

/// A follower as a body. It is asked for more only when what it told has been read.
pub(super) struct Watching<S, W> {
    step: Option<Step<S>>,
    write: W,
}

impl<S: RegistryStore, W: Write + Unpin> Watching<S, W> {
    /// The body of an answer.
    pub(super) fn body(follower: Follower<S>, write: W) -> Body {
        Body::Stream(Box::pin(Watching {
            step: Some(step(follower)),
            write,
        }))
    }
}

fn step<S: RegistryStore>(mut follower: Follower<S>) -> Step<S> {
    Box::pin(async move {
        let told = follower.next().await;
        (follower, told)
    })
}

impl<S: RegistryStore, W: Write + Unpin> http_body::Body for Watching<S, W> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        loop {
            let Some(step_now) = &mut self.step else {
                return Poll::Ready(None);
            };
            let (follower, told) = ready!(step_now.as_mut().poll(cx));
            let Some(told) = told else {
                self.step = None;
                return Poll::Ready(
                    self.write
                        .trailers()
                        .map(|trailers| Ok(Frame::trailers(trailers))),
                );
            };
            self.step = Some(step(follower));
            let bytes = self.write.portion(&told);
            if !bytes.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
        }
    }
}
