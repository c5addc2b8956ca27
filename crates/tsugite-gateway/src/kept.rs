//! Request bodies that can be sent again: what was sent of one is kept, up to a bound, until the call is committed.
//!
//! One [`Kept`] belongs to a call, and each try gets a [`Replay`] of it. Only the latest replay gets frames; one that an
//! earlier try left in a connection breaks off there.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;

use crate::body::BoxError;
use crate::call::Call;

/// Bytes that are kept of one body; a longer one cannot be sent again.
const KEPT_BYTES: usize = 64 * 1024;
/// Bytes that one core keeps of all bodies; beyond them, further ones cannot be sent again.
const KEPT_BYTES_PER_CORE: usize = 32 * 1024 * 1024;

/// A body and what is kept of it.
pub(crate) struct Kept {
    call: Rc<Call>,
    state: RefCell<State>,
}

struct State {
    incoming: Incoming,
    pieces: Vec<Piece>,
    bytes: usize,
    /// Pieces that the latest replay has sent.
    position: usize,
    /// The replay that gets the frames.
    turn: u32,
    keeping: Keeping,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keeping {
    /// All that came so far is there.
    Whole,
    /// It became too much.
    TooMuch,
    /// An answer began: there will be no other try.
    Committed,
}

#[derive(Clone)]
enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl Kept {
    pub(crate) fn new(incoming: Incoming, call: Rc<Call>) -> Rc<Kept> {
        let state = State {
            incoming,
            pieces: Vec::new(),
            bytes: 0,
            position: 0,
            turn: 0,
            keeping: Keeping::Whole,
        };
        Rc::new(Kept {
            call,
            state: RefCell::new(state),
        })
    }

    /// Whether the body can be sent from its beginning.
    pub(crate) fn is_whole(&self) -> bool {
        self.state.borrow().keeping == Keeping::Whole
    }

    /// Whether it cannot because it is too long.
    pub(crate) fn is_too_much(&self) -> bool {
        self.state.borrow().keeping == Keeping::TooMuch
    }

    /// The body from its beginning. Earlier replays end.
    pub(crate) fn replay(self: &Rc<Kept>) -> Replay {
        let mut state = self.state.borrow_mut();
        state.turn += 1;
        state.position = 0;
        Replay {
            kept: Rc::clone(self),
            turn: state.turn,
        }
    }

    /// The call has its answer: nothing needs to be kept any more.
    pub(crate) fn commit(&self) {
        let mut state = self.state.borrow_mut();
        if state.keeping == Keeping::Whole {
            state.keeping = Keeping::Committed;
            self.let_go(&mut state);
        }
    }

    /// Forgets pieces that were sent, once none will be sent again.
    fn let_go(&self, state: &mut State) {
        if state.position == state.pieces.len() {
            state.pieces = Vec::new();
            state.position = 0;
            self.release(state);
        }
    }

    fn release(&self, state: &mut State) {
        let all = &self.call.core.kept_bytes;
        all.set(all.get() - std::mem::take(&mut state.bytes));
    }

    /// Keeps a piece that is being sent, if there is room.
    fn keep(&self, state: &mut State, piece: Piece) {
        let bytes = match &piece {
            Piece::Data(data) => data.len(),
            // Nobody sends trailers that matter here; a flat sum bounds them.
            Piece::Trailers(trailers) => trailers.len() * 128,
        };
        let all = &self.call.core.kept_bytes;
        if state.bytes + bytes > KEPT_BYTES || all.get() + bytes > KEPT_BYTES_PER_CORE {
            state.keeping = Keeping::TooMuch;
            self.let_go(state);
            return;
        }
        all.set(all.get() + bytes);
        state.bytes += bytes;
        state.pieces.push(piece);
        state.position += 1;
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let mut state = self.state.borrow_mut();
        let all = &self.call.core.kept_bytes;
        all.set(all.get() - std::mem::take(&mut state.bytes));
    }
}

/// One try's view of the body.
pub(crate) struct Replay {
    kept: Rc<Kept>,
    turn: u32,
}

impl Replay {
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let call = &self.kept.call;
        let state = &mut *self.kept.state.borrow_mut();
        if self.turn != state.turn {
            return Poll::Ready(Some(Err("the request is sent elsewhere".into())));
        }
        call.upload_starts();
        if let Some(piece) = state.pieces.get(state.position).cloned() {
            state.position += 1;
            if state.keeping != Keeping::Whole {
                self.kept.let_go(state);
            }
            return Poll::Ready(Some(Ok(match piece {
                Piece::Data(data) => Frame::data(data),
                Piece::Trailers(trailers) => Frame::trailers(trailers),
            })));
        }
        match ready!(Pin::new(&mut state.incoming).poll_frame(cx)) {
            None => {
                call.upload_ends();
                Poll::Ready(None)
            }
            Some(Ok(frame)) => {
                if state.incoming.is_end_stream() {
                    call.upload_ends();
                }
                if state.keeping == Keeping::Whole {
                    let trailers = || frame.trailers_ref().cloned().map(Piece::Trailers);
                    let data = frame.data_ref().cloned().map(Piece::Data);
                    if let Some(piece) = data.or_else(trailers) {
                        self.kept.keep(state, piece);
                    }
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                call.upload_fails();
                Poll::Ready(Some(Err(error.into())))
            }
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        let state = self.kept.state.borrow();
        self.turn == state.turn && state.position == state.pieces.len() && state.incoming.is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        let state = self.kept.state.borrow();
        let waiting = state.pieces[state.position..].iter().map(|piece| match piece {
            Piece::Data(data) => data.len() as u64,
            Piece::Trailers(_) => 0,
        });
        match state.incoming.size_hint().exact() {
            Some(rest) => SizeHint::with_exact(rest + waiting.sum::<u64>()),
            None => SizeHint::default(),
        }
    }
}
