//! Signatures of what topics deliver: the keys under `<data>/sns/`, their certificates, and a signature for each text.
//!
//! Every file of the directory is a key with its certificate; the last in the order of names signs, and the
//! certificates of all are served, so that adding a file and reloading rotates the key and old messages can still be
//! checked. The first key is made when it is first needed: making one takes as long as a whole start.
//!
//! A signature costs about as much as everything else that is done for a delivery. It does not depend on the
//! subscriber, so each is kept for a while: a publish to a thousand endpoints is signed once.

mod envelopes;
mod files;
mod key;
mod legacy;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex as AsyncMutex;
use tsugite_aws::envelope::SignatureVersion;
use tsugite_base::World;

use self::key::SigningKey;

pub use self::key::KeyError;

/// Before the id of a key in the path of its certificate, as at AWS.
pub const PATH_PREFIX: &str = "/SimpleNotificationService-";
/// Behind it.
pub const PATH_SUFFIX: &str = ".pem";
/// Parts of the cache that are locked apart.
const SHARDS: usize = 16;
/// Signatures that each part keeps: together some 2 MB.
const KEPT: usize = 256;

/// Why nothing can be signed.
#[derive(Clone, Debug)]
pub struct SigningError(String);

impl fmt::Display for SigningError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SigningError {}

/// A signature over a text.
#[derive(Clone, Debug)]
pub struct Signed {
    /// In base64.
    pub value: Arc<str>,
    /// The path of the certificate, from the root of the AWS port.
    pub certificate_path: Arc<str>,
}

/// Signs, and serves the certificates. Shared by all threads.
pub struct Signer {
    directory: PathBuf,
    world: World,
    /// `scheme://host` of certificates, if it is not that of the AWS port.
    certificate_base: Option<String>,
    /// Once they were needed.
    keys: ArcSwapOption<Keys>,
    /// Held while they are read.
    reading: AsyncMutex<()>,
}

/// The keys as they were read, at least one of them.
struct Keys {
    certificates: Vec<(String, String)>,
    signing: SigningKey,
    certificate_path: Arc<str>,
    /// Of what the signing one has signed.
    cache: [Mutex<Cache>; SHARDS],
}

type Digest = (SignatureVersion, Box<[u8]>);

/// The latest signatures by what they are of.
#[derive(Default)]
struct Cache {
    signatures: HashMap<Digest, Arc<str>>,
    /// Oldest first.
    order: VecDeque<Digest>,
}

impl Cache {
    fn put(&mut self, digest: Digest, signature: Arc<str>) {
        if self.signatures.insert(digest.clone(), signature).is_some() {
            return;
        }
        self.order.push_back(digest);
        if self.order.len() > KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.signatures.remove(&oldest);
        }
    }
}

impl Signer {
    /// A signer with the keys of `directory`, which are read, or of which the first is made, when it is needed. The
    /// URLs of certificates begin with `certificate_base` if it is given, else as other links do.
    pub fn new(directory: PathBuf, world: World, certificate_base: Option<String>) -> Signer {
        Signer {
            directory,
            world,
            certificate_base,
            keys: ArcSwapOption::empty(),
            reading: AsyncMutex::default(),
        }
    }

    /// The signature over `text`, as [`tsugite_aws::envelope`] says what that is.
    pub async fn sign(&self, version: SignatureVersion, text: &str) -> Result<Signed, SigningError> {
        let keys = self.keys().await?;
        let signed = |value| Signed {
            value,
            certificate_path: keys.certificate_path.clone(),
        };
        let digest = key::digest_of(version, text);
        let name: Digest = (version, digest.as_ref().into());
        let shard = &keys.cache[usize::from(name.1[0]) % SHARDS];
        let lock = || shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().signatures.get(&name) {
            return Ok(signed(known.clone()));
        }
        // Not under the lock: others would wait for an arithmetic that is not theirs. Two threads may make the same
        // signature, which is the same.
        let made = keys.signing.sign(version, &digest);
        let made: Arc<str> = made
            .ok_or_else(|| SigningError("the signing key refuses to sign".into()))?
            .into();
        lock().put(name, made.clone());
        Ok(signed(made))
    }

    /// The certificate that is served under `path`, in PEM.
    pub async fn certificate(&self, path: &str) -> Result<Option<String>, SigningError> {
        let id = path
            .strip_prefix(PATH_PREFIX)
            .and_then(|rest| rest.strip_suffix(PATH_SUFFIX));
        let Some(id) = id.filter(|id| files::is_id(id)) else {
            return Ok(None);
        };
        let keys = self.keys().await?;
        let found = keys.certificates.iter().find(|(known, _)| known == id);
        Ok(found.map(|(_, certificate)| certificate.clone()))
    }

    /// Reads the directory again, so that a key that was added signs from now on. If it cannot be read, the keys stay
    /// as they were.
    pub async fn reload(&self) {
        let _reading = self.reading.lock().await;
        let Some(before) = self.keys.load_full() else {
            return; // Nobody needed them yet.
        };
        if let Ok(keys) = self.open().await {
            if keys.certificate_path != before.certificate_path {
                tracing::info!(
                    certificate = &*keys.certificate_path,
                    "another key signs from now on"
                );
            }
            self.keys.store(Some(Arc::new(keys)));
        }
    }

    async fn keys(&self) -> Result<Arc<Keys>, SigningError> {
        if let Some(keys) = self.keys.load_full() {
            return Ok(keys);
        }
        let _reading = self.reading.lock().await;
        if let Some(keys) = self.keys.load_full() {
            return Ok(keys);
        }
        let keys = Arc::new(self.open().await?);
        self.keys.store(Some(keys.clone()));
        Ok(keys)
    }

    async fn open(&self) -> Result<Keys, SigningError> {
        let (directory, world) = (self.directory.clone(), self.world.clone());
        // Making a key takes longer than a thread may be away from its connections.
        let opened = tokio::task::spawn_blocking(move || {
            open(&directory, &world).map_err(|why| {
                let error = SigningError(format!("the signing keys in {}: {why}", directory.display()));
                tracing::error!("{error}");
                error
            })
        });
        let stopped = |_| SigningError("the server is stopping".into());
        opened.await.map_err(stopped)?
    }
}

fn open(directory: &std::path::Path, world: &World) -> Result<Keys, String> {
    let mut found = files::read(directory).map_err(|error| error.to_string())?;
    if found.is_empty() {
        let text = key::generate(world).map_err(|error| error.to_string())?;
        // Ids sort by when they were made, so that a new one signs.
        let seconds = world.clock.peers_wall().seconds();
        let (high, low) = (world.random_u64(), world.random_u64() >> 32);
        let id = format!("{seconds:08x}{high:016x}{low:08x}");
        files::write(directory, &id, &text).map_err(|error| error.to_string())?;
        tracing::info!(id, "a key was made that signs what topics deliver");
        found.push((id, text));
    }
    let mut certificates = Vec::new();
    let mut last = None;
    for (id, text) in found {
        let key = SigningKey::read(&text).map_err(|error| format!("{id}.pem: {error}"))?;
        certificates.push((id.clone(), key.certificate.clone()));
        last = Some((id, key));
    }
    let (id, signing) = last.ok_or("there are none")?;
    Ok(Keys {
        certificates,
        signing,
        certificate_path: format!("{PATH_PREFIX}{id}{PATH_SUFFIX}").into(),
        cache: Default::default(),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;

    /// A directory that goes when it is dropped.
    pub(crate) struct Scratch(pub(crate) PathBuf);

    impl Scratch {
        pub(crate) fn new() -> Scratch {
            let (world, _) = crate::world::host();
            let directory = std::env::temp_dir().join(format!("tsugite-signing-{}", world.uuid()));
            std::fs::create_dir_all(&directory).unwrap();
            Scratch(directory)
        }

        pub(crate) fn signer(&self) -> Signer {
            Signer::new(self.0.join("sns"), crate::world::host().0, None)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn write(path: &Path, bytes: &[u8]) -> String {
        std::fs::write(path, bytes).unwrap();
        path.display().to_string()
    }

    /// What a program that we did not write says of a signature.
    pub(crate) fn openssl_accepts(
        scratch: &Path,
        digest: &str,
        certificate: &str,
        signature: &str,
        text: &str,
    ) -> bool {
        use base64::Engine as _;
        let signature = base64::engine::general_purpose::STANDARD
            .decode(signature)
            .unwrap();
        let certificate = write(&scratch.join("c.pem"), certificate.as_bytes());
        let public = Command::new("openssl")
            .args(["x509", "-in", &certificate, "-pubkey", "-noout"])
            .output()
            .unwrap();
        assert!(public.status.success(), "{public:?}");
        let public = write(&scratch.join("public.pem"), &public.stdout);
        let signature = write(&scratch.join("signature"), &signature);
        let text = write(&scratch.join("text"), text.as_bytes());
        let arguments = [
            "dgst",
            digest,
            "-verify",
            &public,
            "-signature",
            &signature,
            &text,
        ];
        let verified = Command::new("openssl").args(arguments).output().unwrap();
        verified.status.success()
    }

    #[tokio::test]
    async fn openssl_accepts_both_versions() {
        let scratch = Scratch::new();
        let signer = scratch.signer();
        let text = "Message\nhällo\nMessageId\n1\n";
        for (version, digest) in [
            (SignatureVersion::One, "-sha1"),
            (SignatureVersion::Two, "-sha256"),
        ] {
            let signed = signer.sign(version, text).await.unwrap();
            let certificate = signer
                .certificate(&signed.certificate_path)
                .await
                .unwrap()
                .unwrap();
            let accepts = |text| openssl_accepts(&scratch.0, digest, &certificate, &signed.value, text);
            assert!(accepts(text), "{version:?}");
            assert!(!accepts("Message\nhallo\nMessageId\n1\n"), "{version:?}");
        }
    }

    #[tokio::test]
    async fn keys_survive_and_rotate() {
        let scratch = Scratch::new();
        let first = scratch.signer();
        let before = first.sign(SignatureVersion::Two, "text").await.unwrap();
        let again = scratch.signer();
        let after = again.sign(SignatureVersion::Two, "text").await.unwrap();
        // PKCS#1 v1.5 is deterministic: the same key makes the same signature.
        assert_eq!(
            (&before.value, &before.certificate_path),
            (&after.value, &after.certificate_path)
        );
        let old = again
            .certificate(&before.certificate_path)
            .await
            .unwrap()
            .unwrap();

        let text = key::generate(&crate::world::host().0).unwrap();
        std::fs::write(scratch.0.join("sns/zz-new.pem"), text).unwrap();
        std::fs::write(scratch.0.join("sns/ignored.new"), "half a file").unwrap();
        let rotated = scratch.signer();
        let new = rotated.sign(SignatureVersion::Two, "text").await.unwrap();
        assert_eq!(&*new.certificate_path, "/SimpleNotificationService-zz-new.pem");
        assert_ne!(new.value, before.value);
        let served = rotated.certificate(&before.certificate_path).await.unwrap();
        assert_eq!(served.unwrap(), old, "old messages can still be checked");
        // Who runs already learns of it with the next reload, and forgets what it signed before.
        let still = first.sign(SignatureVersion::Two, "text").await.unwrap();
        assert_eq!(still.value, before.value);
        first.reload().await;
        let reloaded = first.sign(SignatureVersion::Two, "text").await.unwrap();
        assert_eq!(
            (&reloaded.value, &reloaded.certificate_path),
            (&new.value, &new.certificate_path)
        );
        std::fs::write(scratch.0.join("sns/zzz-bad.pem"), "nothing").unwrap();
        first.reload().await;
        let kept = first.sign(SignatureVersion::Two, "text").await.unwrap();
        assert_eq!(kept.value, new.value);
        std::fs::remove_file(scratch.0.join("sns/zzz-bad.pem")).unwrap();
        for path in [
            "/",
            "/SimpleNotificationService-.pem",
            "/SimpleNotificationService-other.pem",
            "/SimpleNotificationService-../sns/zz-new.pem",
            "/zz-new.pem",
        ] {
            assert_eq!(rotated.certificate(path).await.unwrap(), None, "{path}");
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn nobody_else_reads_keys() {
        use std::os::unix::fs::PermissionsExt as _;
        let scratch = Scratch::new();
        scratch
            .signer()
            .sign(SignatureVersion::One, "text")
            .await
            .unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let directory = scratch.0.join("sns");
        assert_eq!(mode(&directory), 0o700);
        let files: Vec<_> = std::fs::read_dir(&directory).unwrap().flatten().collect();
        assert_eq!(files.len(), 1);
        assert_eq!(mode(&files[0].path()), 0o600);
    }

    #[tokio::test]
    async fn bad_files_are_named_and_can_be_mended() {
        let scratch = Scratch::new();
        let bad = scratch.0.join("sns/bad.pem");
        std::fs::create_dir_all(scratch.0.join("sns")).unwrap();
        std::fs::write(&bad, "nothing").unwrap();
        let signer = scratch.signer();
        let error = signer
            .sign(SignatureVersion::One, "text")
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("bad.pem: it holds no private key"), "{error}");
        std::fs::remove_file(&bad).unwrap();
        assert!(signer.sign(SignatureVersion::One, "text").await.is_ok());
    }

    #[tokio::test]
    async fn the_cache_is_bounded() {
        let mut cache = Cache::default();
        for n in 0..1_000u32 {
            let digest = || (SignatureVersion::One, Box::from(n.to_be_bytes()));
            cache.put(digest(), "a".into());
            cache.put(digest(), "b".into());
        }
        assert_eq!((cache.signatures.len(), cache.order.len()), (KEPT, KEPT));
        let newest = (
            SignatureVersion::One,
            Box::from(999u32.to_be_bytes()) as Box<[u8]>,
        );
        assert_eq!(cache.signatures.get(&newest).map(|s| &**s), Some("b"));
        let other = (SignatureVersion::Two, newest.1);
        assert_eq!(cache.signatures.get(&other), None);
    }
}
