//! Who sends a request: its signature, held against the keys that the operator gave out.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::request;
use tsugite_aws::AwsError;
use tsugite_aws::context::{Caller, Principal};
use tsugite_aws::error::shorten;
use tsugite_aws::sigv4::{Claim, Request, SigningKey};
use tsugite_base::Timestamp;

/// Derived keys that a thread keeps: one for each access key, day, region and service in use.
const KEPT: usize = 1024;

/// What is asked of callers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Nothing: signatures are not looked at.
    #[default]
    Off,
    /// A signature by a key that is known; accounts are apart.
    Known,
    /// As `Known`, and the policies of queues and topics decide, also for callers of other accounts.
    Strict,
}

/// A key that was given out.
#[derive(Clone)]
pub struct Key {
    /// The secret that signs.
    pub secret: String,
    /// Whose it is.
    pub principal: Arc<Principal>,
}

/// Secrets do not show.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("principal", &self.principal)
            .finish_non_exhaustive()
    }
}

/// The keys by access key id.
pub type Keys = HashMap<String, Key>;

/// What a request asks for, as far as it matters who sends it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    /// The service, as credential scopes name it.
    pub service: &'a str,
    /// Whether it may come unsigned: the links of messages do.
    pub open: bool,
}

/// Mode and keys of a door.
pub(super) struct Auth {
    pub(super) mode: Mode,
    keys: ArcSwap<Keys>,
}

/// Derived keys of one thread, and the keys that they were derived from.
#[derive(Default)]
pub(super) struct Derived {
    of: Arc<Keys>,
    by_credential: HashMap<String, SigningKey>,
}

impl Auth {
    pub(super) fn new(mode: Mode, keys: Keys) -> Auth {
        Auth {
            mode,
            keys: ArcSwap::from_pointee(keys),
        }
    }

    /// From now on these keys count, and only these.
    pub(super) fn set_keys(&self, keys: Keys) {
        self.keys.store(Arc::new(keys));
    }

    /// The account of an access key that nobody verified, where one is configured for it.
    pub(super) fn account_of(&self, access_key: &str) -> Option<String> {
        let keys = self.keys.load();
        keys.get(access_key).map(|key| key.principal.account.clone())
    }

    /// Who sent this request: verified, or refused.
    pub(super) fn caller(
        &self,
        derived: &RefCell<Derived>,
        (head, body): (&request::Parts, &[u8]),
        Asked { service, open }: Asked<'_>,
        now: Timestamp,
    ) -> Result<Caller, AwsError> {
        if self.mode == Mode::Off {
            return Ok(Caller::Anyone);
        }
        let headers: Vec<(&str, &[u8])> = head
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        let request = Request {
            method: head.method.as_str(),
            path: head.uri.path(),
            query: head.uri.query().unwrap_or_default(),
            headers: &headers,
            body,
        };
        let Some(claim) = Claim::read(&request)? else {
            // Queues and topics can be open to everybody, and only policies can say that they are.
            return match (self.mode, service) {
                (Mode::Strict, "sqs" | "sns") => Ok(Caller::Anonymous),
                _ if open => Ok(Caller::Anonymous),
                _ => Err(missing()),
            };
        };
        let keys = self.keys.load_full();
        let key = keys
            .get(claim.scope().access_key)
            .ok_or_else(|| unknown(claim.scope().access_key))?;
        claim.check_scope(service, now)?;
        let mut derived = derived.borrow_mut();
        let signing_key = derived.key(&keys, key, &claim);
        claim.verify(&request, signing_key)?;
        Ok(Caller::Known(key.principal.clone()))
    }
}

impl Derived {
    fn key(&mut self, keys: &Arc<Keys>, key: &Key, claim: &Claim<'_>) -> &SigningKey {
        if !Arc::ptr_eq(&self.of, keys) || self.by_credential.len() >= KEPT {
            self.by_credential.clear();
            self.of = keys.clone();
        }
        if !self.by_credential.contains_key(claim.credential()) {
            let scope = claim.scope();
            let derived = SigningKey::derive(&key.secret, scope.date, scope.region, scope.service);
            self.by_credential.insert(claim.credential().to_owned(), derived);
        }
        &self.by_credential[claim.credential()]
    }
}

/// Nobody signed the request.
pub(super) fn missing() -> AwsError {
    AwsError::sender(
        "MissingAuthenticationTokenException",
        "MissingAuthenticationToken",
        403,
        "Request is missing Authentication Token: sign it with a key of this server (aws.keys in its configuration).",
    )
}

fn unknown(access_key: &str) -> AwsError {
    AwsError::sender(
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        403,
        format!(
            "The security token included in the request is invalid: the access key {} is not known here.",
            shorten(access_key)
        ),
    )
}
