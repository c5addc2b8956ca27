//! A request on its way to the service, which may have to be sent more than once.

use std::rc::Rc;

use http::request::Parts;
use http::{Method, Request};
use tsugite_traffic::Nature;

use crate::body::RequestBody;
use crate::call::Call;
use crate::codec::client::{Broken, SendError};
use crate::kept::Kept;
use crate::upstream::Failure;

/// The request.
pub(crate) struct Outgoing {
    /// None while it is under way and there is no copy.
    parts: Option<Parts>,
    body: Source,
    pub(crate) nature: Nature,
}

enum Source {
    Empty,
    /// The client's; gone once it was sent.
    Once(Option<RequestBody>),
    Kept(Rc<Kept>),
}

/// What a method allows.
pub(crate) fn nature(method: &Method, grpc: bool) -> Nature {
    let safe = matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE
    );
    Nature {
        safe,
        idempotent: safe || matches!(*method, Method::PUT | Method::DELETE),
        grpc,
    }
}

impl Outgoing {
    pub(crate) fn new(parts: Parts, body: RequestBody, nature: Nature) -> Outgoing {
        let body = match body {
            RequestBody::Empty => Source::Empty,
            body => Source::Once(Some(body)),
        };
        Outgoing {
            parts: Some(parts),
            body,
            nature,
        }
    }

    /// With a body that is kept.
    pub(crate) fn kept(parts: Parts, kept: Rc<Kept>, nature: Nature) -> Outgoing {
        Outgoing {
            parts: Some(parts),
            body: Source::Kept(kept),
            nature,
        }
    }

    /// The head, to be changed before the next try.
    pub(crate) fn parts(&mut self) -> Option<&mut Parts> {
        self.parts.as_mut()
    }

    /// Whether all of it is there to be sent.
    pub(crate) fn is_at_hand(&self) -> bool {
        self.parts.is_some()
            && match &self.body {
                Source::Empty => true,
                Source::Once(body) => body.is_some(),
                Source::Kept(kept) => kept.is_whole(),
            }
    }

    /// Whether it could be sent again, were its body not too long to be kept.
    pub(crate) fn is_too_long(&self) -> bool {
        matches!(&self.body, Source::Kept(kept) if kept.is_too_much())
    }

    /// The service answered: there will be no other try.
    pub(crate) fn commit(&self) {
        if let Source::Kept(kept) = &self.body {
            kept.commit();
        }
    }

    /// The request to send: a copy if it may be sent again later.
    pub(crate) fn take(&mut self) -> Option<Request<RequestBody>> {
        let body = match &mut self.body {
            Source::Empty if self.nature.idempotent || self.nature.grpc => RequestBody::Empty,
            Source::Empty => return Some(Request::from_parts(self.parts.take()?, RequestBody::Empty)),
            Source::Once(body) => return Some(Request::from_parts(self.parts.take()?, body.take()?)),
            Source::Kept(kept) => RequestBody::Kept(kept.replay()),
        };
        let parts = self.parts.as_ref()?;
        let mut copy = Request::new(body);
        *copy.method_mut() = parts.method.clone();
        *copy.uri_mut() = parts.uri.clone();
        *copy.version_mut() = parts.version;
        *copy.headers_mut() = parts.headers.clone();
        Some(copy)
    }

    /// What a failure to send means: `Ok` if the request can go out on another connection at once, because the endpoint
    /// closed the first while it rested, or refused the stream; and nothing was done yet, or doing it twice is harmless.
    pub(crate) fn again(&mut self, call: &Call, error: SendError) -> Result<(), Failure> {
        let SendError { unsent, broken } = error;
        let harmless = match broken {
            _ if unsent.is_some() => true,
            Broken::RefusedStream => true,
            Broken::Closed => self.nature.idempotent,
            Broken::Reset(_) | Broken::Malformed => false,
        };
        self.give_back(call, unsent);
        if harmless && self.is_at_hand() {
            Ok(())
        } else {
            Err(Failure::Broken(broken))
        }
    }

    /// A request of which not a byte was sent comes back.
    pub(crate) fn give_back(&mut self, call: &Call, unsent: Option<Request<RequestBody>>) {
        let Some(request) = unsent.filter(|_| self.parts.is_none() && !call.upload_has_started()) else {
            return;
        };
        let (parts, body) = request.into_parts();
        self.parts = Some(parts);
        if let Source::Once(own) = &mut self.body {
            *own = Some(body);
        }
    }
}
