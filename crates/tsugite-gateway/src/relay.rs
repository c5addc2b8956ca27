//! Handing an endpoint's answer on to the client, frame by frame, and learning from it how the call went.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;
use tsugite_grpc::Code;
use tsugite_traffic::{Outcome, classify_grpc};

use crate::body::BoxError;
use crate::call::Exchange;
use crate::codec::client::{Broken, H1};
use crate::grpc;
use crate::metrics::ResponseClass;
use crate::pool::Stream;

/// The endpoint's connection, held for as long as the answer needs it.
#[derive(Debug)]
pub(crate) enum Hold {
    H1(H1),
    H2(
        #[expect(
            dead_code,
            reason = "its end frees the stream's place on the shared connection"
        )]
        Stream,
    ),
}

/// The body of an endpoint's answer on its way to the client.
#[derive(Debug)]
pub(crate) struct Relay {
    /// None once the answer has ended or was given up; dropping it cancels what is left upstream.
    incoming: Option<Incoming>,
    hold: Option<Hold>,
    exchange: Exchange,
    /// What the head said, for HTTP.
    head: (Outcome, ResponseClass),
    /// A gRPC answer that must end with trailers, and has not yet.
    awaits_status: bool,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Relay {
    /// Relays an answer whose head said `head`. `awaits_status`: it is a gRPC answer that must end with trailers.
    pub(crate) fn new(
        incoming: Incoming,
        hold: Hold,
        exchange: Exchange,
        head: (Outcome, ResponseClass),
        awaits_status: bool,
    ) -> Relay {
        let mut relay = Relay {
            incoming: Some(incoming),
            hold: Some(hold),
            exchange,
            head,
            awaits_status,
            sleep: None,
        };
        if relay.has_ended() {
            relay.complete();
        }
        relay
    }

    fn has_ended(&self) -> bool {
        !self.awaits_status && self.incoming.as_ref().is_none_or(Incoming::is_end_stream)
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.has_ended()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match &self.incoming {
            Some(incoming) => incoming.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(incoming) = &mut self.incoming else {
            return Poll::Ready(None);
        };
        match Pin::new(incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.learn(&frame);
                if self.has_ended() {
                    self.complete();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(self.broken(Broken::of(&error), error.into()))),
            Poll::Ready(None) => Poll::Ready(self.ended()),
            Poll::Pending => self.poll_limit(cx),
        }
    }

    /// What a frame says about a gRPC call.
    fn learn(&mut self, frame: &Frame<Bytes>) {
        if !self.awaits_status {
            return;
        }
        if let Some(trailers) = frame.trailers_ref() {
            self.awaits_status = false;
            self.status(grpc::status_of(trailers));
        } else {
            self.exchange.responded(Outcome::Success, None);
            if self.exchange.streaming {
                self.exchange.settle(Outcome::Success, ResponseClass::Success);
            }
        }
    }

    /// The call ended with this gRPC status.
    fn status(&self, code: Option<Code>) {
        let outcome = classify_grpc(code.map(Code::number), self.exchange.limit.client_allowed());
        self.exchange.responded(outcome, None);
        self.exchange
            .settle(outcome, ResponseClass::of_grpc(code.unwrap_or(Code::Unknown)));
    }

    /// The answer was handed on as a whole: the connection can take the next request.
    fn complete(&mut self) {
        self.incoming = None;
        if let Some(Hold::H1(h1)) = self.hold.take() {
            self.exchange
                .pool()
                .put_idle(h1, self.exchange.core.clients.coarse_now());
        }
        let (outcome, class) = self.head;
        self.exchange.settle(outcome, class);
    }

    /// The stream ended. A gRPC answer without trailers gets them from us.
    fn ended(&mut self) -> Option<Result<Frame<Bytes>, BoxError>> {
        if !std::mem::take(&mut self.awaits_status) {
            self.complete();
            return None;
        }
        self.status(None);
        self.complete();
        let message = format!(
            "{} ended the stream without a gRPC status",
            self.exchange.service().name
        );
        Some(Ok(Frame::trailers(grpc::trailers(Code::Internal, &message))))
    }

    /// The endpoint broke off.
    fn broken(&mut self, broken: Broken, error: BoxError) -> Result<Frame<Bytes>, BoxError> {
        self.exchange.settle(Outcome::Failure, ResponseClass::Unreachable);
        let message = || format!("{} {}", self.exchange.service().name, broken.text());
        let result = match std::mem::take(&mut self.awaits_status) {
            true => Ok(Frame::trailers(grpc::trailers(broken.grpc(), &message()))),
            false => Err(error),
        };
        self.give_up();
        result
    }

    /// Nothing there yet: the time limit decides whether to wait on.
    fn poll_limit(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.exchange.streaming && !self.exchange.grpc {
            return Poll::Pending;
        }
        // The timer is looked at before the time: it is set once, and almost always still runs.
        while self
            .sleep
            .as_mut()
            .is_none_or(|sleep| sleep.as_mut().poll(cx).is_ready())
        {
            match self.exchange.time_left() {
                None => return Poll::Pending,
                Some(left) if left.is_zero() => return Poll::Ready(Some(self.timed_out())),
                Some(left) => self.sleep = Some(Box::pin(tokio::time::sleep(left))),
            }
        }
        Poll::Pending
    }

    fn timed_out(&mut self) -> Result<Frame<Bytes>, BoxError> {
        self.exchange
            .settle(self.exchange.overrun(), ResponseClass::Timeout);
        let end = match std::mem::take(&mut self.awaits_status) {
            true => Ok(Frame::trailers(grpc::trailers(
                Code::DeadlineExceeded,
                "deadline exceeded",
            ))),
            false => Err("the answer did not end within the time limit".into()),
        };
        self.give_up();
        end
    }

    fn give_up(&mut self) {
        self.incoming = None;
        self.hold = None;
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if self.incoming.is_some() && !self.awaits_status {
            // The client left in the middle of the answer: the service has done its part so far.
            let (outcome, class) = self.head;
            self.exchange.settle(outcome, class);
        }
    }
}
