//! From the keys of the configuration to those of the AWS port.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tsugite_aws::context::Principal;

use crate::aws::{self, Mode};
use crate::config::{Auth, Key};

pub(super) fn mode(auth: Auth) -> Mode {
    match auth {
        Auth::Off => Mode::Off,
        Auth::Known => Mode::Known,
        Auth::Strict => Mode::Strict,
    }
}

pub(super) fn keys(keys: &[Key]) -> aws::Keys {
    let of = |key: &Key| aws::Key {
        secret: key.secret.0.clone(),
        principal: Arc::new(Principal {
            account: key.account.clone(),
            arn: key.arn.clone(),
            user_id: user_id(&key.account, &key.arn),
        }),
    };
    keys.iter().map(|key| (key.id.clone(), of(key))).collect()
}

/// The account for its root; for others an id in the form of AWS's, the same wherever the same ARN is configured.
fn user_id(account: &str, arn: &str) -> String {
    let prefix = match arn.rsplit(':').next() {
        Some("root") => return account.to_owned(),
        Some(resource) if resource.starts_with("user/") => "AIDA",
        _ => "AROA",
    };
    const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let hash = Sha256::digest(arn.as_bytes());
    let letters = hash
        .iter()
        .take(17)
        .map(|byte| char::from(BASE32[usize::from(byte % 32)]));
    prefix.chars().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_ids() {
        let of = |arn: &str| user_id("123456789012", arn);
        assert_eq!(of("arn:aws:iam::123456789012:root"), "123456789012");
        let alice = of("arn:aws:iam::123456789012:user/alice");
        assert!(alice.starts_with("AIDA") && alice.len() == 21, "{alice}");
        assert_ne!(alice, of("arn:aws:iam::123456789012:user/bob"));
        assert!(of("arn:aws:iam::123456789012:role/deploy").starts_with("AROA"));
    }
}
