//! One key with its certificate: made, read from its file, and used.

use std::fmt;

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SerialNumber};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tsugite_aws::envelope::SignatureVersion;
use tsugite_base::World;

use super::legacy::LegacyKey;

/// The name in the certificate. Libraries that look at it look for this one.
const COMMON_NAME: &str = "sns.amazonaws.com";
/// Years for which a certificate is good; who wants another key sooner adds a file.
const YEARS: i32 = 20;

/// Why there is no key.
#[derive(Debug)]
pub enum KeyError {
    /// The library cannot make one.
    Unmade(String),
    /// The text of a file is not a key with its certificate.
    Unreadable(&'static str),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyError::Unmade(why) => write!(f, "a signing key cannot be made: {why}"),
            KeyError::Unreadable(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for KeyError {}

/// An RSA key that signs envelopes, and the certificate that shows who did.
pub(super) struct SigningKey {
    /// The certificate as it is served.
    pub(super) certificate: String,
    key: rsa::KeyPair,
    legacy: LegacyKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").finish_non_exhaustive()
    }
}

/// The text of a new file: a key of 2,048 bits in PKCS#8 and a certificate that it signed itself, both as PEM.
pub(super) fn generate(world: &World) -> Result<String, KeyError> {
    let unmade = |error: rcgen::Error| KeyError::Unmade(error.to_string());
    let key = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).map_err(unmade)?;
    let mut serial = [0; 16];
    world.entropy.fill(&mut serial);
    // A serial number is positive and does not begin with zeros (RFC 5280, 4.1.2.2).
    serial[0] = (serial[0] & 0x7f) | 0x40;
    // Other machines look at the dates: the clock that they go by counts, not a virtual one.
    let today = world.clock.peers_wall().iso_millis();
    let part = |range: std::ops::Range<usize>| today.get(range).and_then(|text| text.parse::<u16>().ok());
    let (year, month) = (part(0..4).unwrap_or(2026), part(5..7).unwrap_or(1));
    let month = u8::try_from(month).unwrap_or(1);
    let mut params = CertificateParams::new(vec![COMMON_NAME.to_owned()]).map_err(unmade)?;
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, COMMON_NAME);
    name.push(DnType::OrganizationName, "Tsugite, self-signed");
    params.distinguished_name = name;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    // From the first of the month: the clocks of others may be behind.
    params.not_before = rcgen::date_time_ymd(year.into(), month, 1);
    params.not_after = rcgen::date_time_ymd(i32::from(year) + YEARS, month, 1);
    params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    let certificate = params.self_signed(&key).map_err(unmade)?;
    Ok(format!("{}{}", key.serialize_pem(), certificate.pem()))
}

impl SigningKey {
    /// Reads the text of a file.
    pub(super) fn read(text: &str) -> Result<SigningKey, KeyError> {
        let unreadable = KeyError::Unreadable;
        let key = PrivateKeyDer::from_pem_slice(text.as_bytes())
            .map_err(|_| unreadable("it holds no private key in PEM"))?;
        let PrivateKeyDer::Pkcs8(pkcs8) = key else {
            return Err(KeyError::Unreadable(
                "its private key is not in PKCS#8 (`BEGIN PRIVATE KEY`)",
            ));
        };
        let pkcs8 = pkcs8.secret_pkcs8_der();
        let key = rsa::KeyPair::from_pkcs8(pkcs8)
            .map_err(|_| unreadable("its private key is not one of RSA with 2,048 bits or more"))?;
        let legacy = LegacyKey::from_pkcs8(pkcs8).ok_or(KeyError::Unreadable(
            "its private key is not one of RSA with 8,192 bits or less",
        ))?;
        let certificate = CertificateDer::from_pem_slice(text.as_bytes())
            .map_err(|_| unreadable("it holds no certificate in PEM"))?;
        // A certificate holds the public key as it is.
        let public = key.public_key().as_ref();
        if !certificate.windows(public.len()).any(|part| part == public) {
            return Err(KeyError::Unreadable("its certificate is not that of its key"));
        }
        let body = STANDARD.encode(&certificate);
        let mut pem = String::with_capacity(body.len() + 128);
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        for line in body.as_bytes().chunks(64) {
            pem.push_str(std::str::from_utf8(line).unwrap_or_default());
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
        Ok(SigningKey {
            certificate: pem,
            key,
            legacy,
        })
    }

    /// The signature over a digest of [`digest_of`], in base64; `None` if the library refuses.
    pub(super) fn sign(&self, version: SignatureVersion, digest: &Digest) -> Option<String> {
        let signature = match version {
            SignatureVersion::One => self.legacy.sign(digest.as_ref().try_into().ok()?)?,
            SignatureVersion::Two => {
                let mut signature = vec![0; self.key.public_modulus_len()];
                self.key
                    .sign_digest(&RSA_PKCS1_SHA256, digest, &mut signature)
                    .ok()?;
                signature
            }
        };
        Some(STANDARD.encode(signature))
    }
}

/// What a signature of this version is made of.
pub(super) fn digest_of(version: SignatureVersion, text: &str) -> Digest {
    let algorithm = match version {
        SignatureVersion::One => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        SignatureVersion::Two => &digest::SHA256,
    };
    digest::digest(algorithm, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_files_are_named() {
        let (world, _) = crate::world::host();
        let good = generate(&world).unwrap();
        let other = generate(&world).unwrap();
        let half = good.find("-----BEGIN CERTIFICATE").unwrap();
        let other_half = other.find("-----BEGIN CERTIFICATE").unwrap();
        let curve = rcgen::KeyPair::generate().unwrap().serialize_pem();
        for (text, expected) in [
            (String::new(), "no private key"),
            (good[half..].to_owned(), "no private key"),
            (good[..half].to_owned(), "no certificate"),
            (
                format!("{}{}", &good[..half], &other[other_half..]),
                "not that of its key",
            ),
            (format!("{curve}{}", &good[half..]), "not one of RSA"),
        ] {
            let error = SigningKey::read(&text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let read = SigningKey::read(&good).unwrap();
        assert!(good.replace('\r', "").ends_with(&read.certificate));
    }
}
