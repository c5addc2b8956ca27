//! What can go wrong with any operation of a store, beside the reasons of the operation itself.

use std::fmt;

/// The outcome of a store operation that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure<E> {
    /// The command breaks a rule of the domain; repeating it will not help.
    Refused(E),
    /// The store cannot take the command now; nothing was changed, and a retry may succeed.
    Unavailable(Unavailable),
}

impl<E> Failure<E> {
    /// Translates the domain's reason.
    pub fn map<F>(self, f: impl FnOnce(E) -> F) -> Failure<F> {
        match self {
            Failure::Refused(e) => Failure::Refused(f(e)),
            Failure::Unavailable(u) => Failure::Unavailable(u),
        }
    }
}

impl<E> From<Unavailable> for Failure<E> {
    fn from(unavailable: Unavailable) -> Self {
        Failure::Unavailable(unavailable)
    }
}

impl<E: fmt::Display> fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Refused(e) => e.fmt(f),
            Failure::Unavailable(u) => u.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for Failure<E> {}

/// Why a store cannot take a command now. Protocols answer it with their 503.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// No room for data that grows the store; deletes are still served.
    Full(String),
    /// The store is stopping.
    Stopping,
    /// Bytes that should be readable are not: a failing or damaged disk. Names the place.
    Unreadable(String),
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unavailable::Full(why) => write!(f, "the store has no room for more: {why}"),
            Unavailable::Stopping => f.write_str("the store is stopping"),
            Unavailable::Unreadable(what) => write!(f, "stored data cannot be read: {what}"),
        }
    }
}

impl std::error::Error for Unavailable {}
