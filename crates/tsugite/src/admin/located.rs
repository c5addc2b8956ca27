//! What a request names by a name and, if not the default ones, account and region; and the paths below it.

use tsugite_base::names::Scope;
use tsugite_broker::QueueKey;

use super::resource::encode;
use super::{Admin, Query, Store};

/// A queue or a topic that exists, and the paths below it.
pub(super) struct Located<K = QueueKey> {
    pub(super) key: K,
    /// Of the thing itself, without parameters.
    base: String,
    /// Account and region, where they are not the default ones.
    scope: Vec<String>,
}

impl<K> Located<K> {
    /// `kind` is the collection: `queues` or `topics`.
    pub(super) fn new(key: K, kind: &str, name: &str, scope: &Scope, default: &Scope) -> Located<K> {
        let parameters = match scope == default {
            true => Vec::new(),
            false => vec![
                format!("account={}", encode(&scope.account)),
                format!("region={}", encode(&scope.region)),
            ],
        };
        Located {
            base: format!("/v1/{kind}/{}", encode(name)),
            key,
            scope: parameters,
        }
    }

    /// The path of what lies below it.
    pub(super) fn path(&self, below: &str, parameters: &[String]) -> String {
        let parameters: Vec<&str> = parameters.iter().chain(&self.scope).map(String::as_str).collect();
        match parameters.as_slice() {
            [] => format!("{}{below}", self.base),
            some => format!("{}{below}?{}", self.base, some.join("&")),
        }
    }
}

/// The scope that `?account=…&region=…` names; the default one where they are silent.
pub(super) fn scope<S: Store>(admin: &Admin<S>, query: &Query) -> Scope {
    let default = admin.default_scope();
    Scope {
        account: query.get("account").map_or(default.account, str::to_owned),
        region: query.get("region").map_or(default.region, str::to_owned),
    }
}
