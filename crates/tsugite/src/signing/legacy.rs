//! The one signature that safe bindings do not make any more: RSA PKCS#1 v1.5 over SHA-1, which is what validators of
//! SNS messages expect unless their topic says `SignatureVersion` 2.

use std::ptr::NonNull;

use aws_lc_sys as lc;

/// Bytes of a SHA-1 digest.
const DIGEST: usize = 20;
/// Bytes of the largest RSA key that is read, 8,192 bits.
const LARGEST: usize = 1_024;

/// An RSA private key of the C library.
pub(super) struct LegacyKey(NonNull<lc::EVP_PKEY>);

// SAFETY: the library allows signing with one key on many threads at once ("considered non-mutating for
// thread-safety purposes", rsa.h); nothing else is done with it until it is dropped.
#[expect(
    unsafe_code,
    reason = "a pointer to a key that the library lets threads share"
)]
unsafe impl Send for LegacyKey {}
// SAFETY: as above.
#[expect(
    unsafe_code,
    reason = "a pointer to a key that the library lets threads share"
)]
unsafe impl Sync for LegacyKey {}

impl LegacyKey {
    /// The key of a PKCS#8 document; `None` if it is none, or not one of RSA, or too large.
    #[expect(unsafe_code, reason = "the safe bindings have no SHA-1 signatures")]
    pub(super) fn from_pkcs8(pkcs8: &[u8]) -> Option<LegacyKey> {
        let mut bytes = lc::CBS {
            data: std::ptr::null(),
            len: 0,
        };
        // SAFETY: `bytes` outlives the calls and points into `pkcs8`, which does so too; the parsed key is a copy.
        let key = unsafe {
            lc::CBS_init(&raw mut bytes, pkcs8.as_ptr(), pkcs8.len());
            LegacyKey(NonNull::new(lc::EVP_parse_private_key(&raw mut bytes))?)
        };
        // SAFETY: the key is valid; the RSA key belongs to it, and is null if it is of another kind.
        let bytes = unsafe {
            let rsa = NonNull::new(lc::EVP_PKEY_get0_RSA(key.0.as_ptr()))?;
            lc::RSA_size(rsa.as_ptr()) as usize
        };
        (bytes <= LARGEST).then_some(key)
    }

    /// The signature over a digest; `None` if the library refuses to make it.
    #[expect(unsafe_code, reason = "the safe bindings have no SHA-1 signatures")]
    pub(super) fn sign(&self, digest: &[u8; DIGEST]) -> Option<Vec<u8>> {
        let mut out = [0; LARGEST];
        let mut len = 0;
        // SAFETY: the key is a valid RSA key of at most LARGEST bytes (checked when it was read), and a signature has
        // no more bytes than its key.
        let done = unsafe {
            let rsa = lc::EVP_PKEY_get0_RSA(self.0.as_ptr());
            lc::RSA_sign(
                lc::NID_sha1,
                digest.as_ptr(),
                DIGEST,
                out.as_mut_ptr(),
                &raw mut len,
                rsa,
            )
        };
        let signature = out.get(..len as usize)?;
        (done == 1).then(|| signature.to_vec())
    }
}

impl Drop for LegacyKey {
    #[expect(unsafe_code, reason = "what the library allocated it must free")]
    fn drop(&mut self) {
        // SAFETY: the key was made by the library and is not used after this.
        unsafe { lc::EVP_PKEY_free(self.0.as_ptr()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rsa_keys_are_taken() {
        let rsa = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        let key = LegacyKey::from_pkcs8(rsa.serialized_der()).unwrap();
        assert_eq!(key.sign(&[7; 20]).unwrap().len(), 256);
        let curve = rcgen::KeyPair::generate().unwrap();
        assert!(LegacyKey::from_pkcs8(curve.serialized_der()).is_none());
        assert!(LegacyKey::from_pkcs8(b"no key").is_none());
        assert!(LegacyKey::from_pkcs8(b"").is_none());
    }
}
