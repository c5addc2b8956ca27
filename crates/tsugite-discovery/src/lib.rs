//! Service discovery on the wire: the DNS message codec.
//!
//! Bytes in, typed queries out; typed replies in, bytes out. Knows no registry, opens no socket, and never
//! panics or loops on what a stranger sends.

#![forbid(unsafe_code)]

pub mod dns;
