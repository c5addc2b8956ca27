//! The keys that callers of the AWS port sign with: in the configuration, or in a file of their own.

use std::path::{Path, PathBuf};

use serde_saphyr::Spanned;

use super::Secret;
use super::raw;
use super::reader::Reader;

/// A key that was given out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Access key id.
    pub id: String,
    /// The secret access key.
    pub secret: Secret,
    /// The account that it speaks for.
    pub account: String,
    /// Whose it is, for example `arn:aws:iam::123456789012:user/alice`.
    pub arn: String,
}

/// The shortest secret: AWS's have 40 characters, and short ones can be guessed from one signed request.
const SECRET_CHARS: std::ops::RangeInclusive<usize> = 16..=256;

/// The keys of `keys` and of the file that `file` names, and the files that were read for them.
pub(super) fn keys(
    r: &mut Reader,
    keys: Vec<raw::Key>,
    file: raw::Maybe<String>,
    default_account: &str,
    files: &mut Vec<PathBuf>,
) -> Vec<Key> {
    let mut all: Vec<Key> = Vec::new();
    for key in keys {
        add(r, key, default_account, &mut all, files);
    }
    let more = r.maybe(file, |path| {
        let path = PathBuf::from(path);
        files.push(path.clone());
        of_file(&path, default_account, files)
    });
    for key in more.unwrap_or_default() {
        if all.iter().any(|other| other.id == key.id) {
            let text = format!("the key `{}` stands in aws.keys and in aws.keys_file", key.id);
            r.refuse(super::Place::Nowhere, text);
        }
        all.push(key);
    }
    all
}

/// The keys of a file that holds a list of them. Its problems name their place in it.
fn of_file(path: &Path, default_account: &str, files: &mut Vec<PathBuf>) -> Result<Vec<Key>, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("`{shown}` cannot be read: {error}"))?;
    let blank = |line: &str| line.trim_start().starts_with('#') || line.trim().is_empty();
    if text.lines().all(blank) {
        return Ok(Vec::new());
    }
    let options = serde_saphyr::options! { with_snippet: false };
    let keys: Vec<raw::Key> = serde_saphyr::from_str_with_options(&text, options)
        .map_err(|error| super::ConfigError::yaml(path, &error).to_string())?;
    let mut r = Reader::new(Some(path));
    let mut all = Vec::new();
    for key in keys {
        add(&mut r, key, default_account, &mut all, files);
    }
    r.finish(all).map_err(|error| error.to_string())
}

fn add(r: &mut Reader, raw: raw::Key, default_account: &str, all: &mut Vec<Key>, files: &mut Vec<PathBuf>) {
    let place = r.place(&raw.id);
    let secret = secret(r, &raw, files);
    let id = r.one(raw.id, |id| {
        let good = (1..=128).contains(&id.len())
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        if !good {
            return Err(format!(
                "`{id}` is not an access key id; write 1 to 128 letters, digits, `_`, `-` or `.`"
            ));
        }
        match all.iter().any(|other| other.id == id) {
            true => Err(format!("the key `{id}` stands here twice")),
            false => Ok(id),
        }
    });
    let account = r.maybe(raw.account, account);
    let account = account.unwrap_or_else(|| default_account.to_owned());
    let arn = r.maybe(raw.user, |user| arn(&user, &account));
    let arn = arn.unwrap_or_else(|| format!("arn:aws:iam::{account}:root"));
    match (id, secret) {
        (Some(id), Some(secret)) => all.push(Key {
            id,
            secret,
            account,
            arn,
        }),
        (Some(id), None) if raw.secret.is_none() && raw.secret_env.is_none() && raw.secret_file.is_none() => {
            r.refuse(
                place,
                format!("the key `{id}` has no secret; give it secret, secret_env or secret_file"),
            );
        }
        _ => {}
    }
}

/// The secret from wherever the key says that it is; exactly one place.
fn secret(r: &mut Reader, raw: &raw::Key, files: &mut Vec<PathBuf>) -> Option<Secret> {
    let given: Vec<&Spanned<String>> = [&raw.secret, &raw.secret_env, &raw.secret_file]
        .into_iter()
        .flatten()
        .collect();
    if let [_, second, ..] = given[..] {
        let place = r.place(second);
        r.refuse(
            place,
            "a key has one secret: give one of secret, secret_env and secret_file",
        );
        return None;
    }
    let plain = r.maybe(raw.secret.clone(), |text| good_secret(&text, "the secret"));
    let of_environment = r.maybe(raw.secret_env.clone(), |name| {
        let text = std::env::var(&name).map_err(|_| format!("the environment has no variable `{name}`"))?;
        good_secret(&text, &format!("the secret in `{name}`"))
    });
    let of_file = r.maybe(raw.secret_file.clone(), |path| {
        files.push(PathBuf::from(&path));
        let text =
            std::fs::read_to_string(&path).map_err(|error| format!("`{path}` cannot be read: {error}"))?;
        good_secret(&text, &format!("the secret in `{path}`"))
    });
    plain.or(of_environment).or(of_file)
}

/// Never shows the secret itself.
fn good_secret(text: &str, what: &str) -> Result<Secret, String> {
    let text = text.trim();
    if SECRET_CHARS.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(Secret(text.to_owned()));
    }
    Err(format!(
        "{what} must be {} to {} visible ASCII characters long",
        SECRET_CHARS.start(),
        SECRET_CHARS.end()
    ))
}

fn account(value: String) -> Result<String, String> {
    let good = value.len() == 12 && value.bytes().all(|b| b.is_ascii_digit());
    good.then_some(value)
        .ok_or_else(|| "an account is twelve digits, in quotes".to_owned())
}

/// The ARN of a user by name, or an ARN of IAM or STS as it is, if it is one of the account.
fn arn(user: &str, account: &str) -> Result<String, String> {
    if user.starts_with("arn:") {
        let parts: Vec<&str> = user.splitn(6, ':').collect();
        return match parts[..] {
            [_, _, "iam" | "sts", "", of, rest] if of == account && !rest.is_empty() => Ok(user.to_owned()),
            [_, _, "iam" | "sts", "", of, _] => {
                Err(format!("`{user}` is of account {of}, the key of {account}"))
            }
            _ => Err(format!(
                "`{user}` is not an ARN of IAM; write a name, or one like arn:aws:iam::{account}:user/alice"
            )),
        };
    }
    let good = (1..=64).contains(&user.len())
        && user.bytes().all(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'+' | b'=' | b',' | b'.' | b'@' | b'_' | b'-')
        });
    good.then(|| format!("arn:aws:iam::{account}:user/{user}"))
        .ok_or_else(|| {
            format!("`{user}` is not a user name; write 1 to 64 letters, digits or any of +=,.@_-")
        })
}
