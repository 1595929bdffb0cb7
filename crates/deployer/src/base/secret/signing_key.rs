//! An RSA private key that signs as GitHub wants an App's tokens signed: RS256 (RSASSA-PKCS1-v1_5 with SHA-256, RFC 7518).
//!
//! By aws-lc-rs, which rustls brings with it, so that one implementation of cryptography is in the program. Absent on
//! purpose: other algorithms, and whatever could show the key.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use std::sync::Arc;

#[derive(Clone)]
pub struct SigningKey(Arc<KeyPair>);

/// The text is not such a key. It says no more, so that nothing of a key is ever quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not an RSA private key in PEM")]
pub struct NotAKey;

impl SigningKey {
    /// Reads PEM: PKCS#1 (`RSA PRIVATE KEY`), which is what GitHub gives, or PKCS#8.
    pub fn from_pem(text: &str) -> Result<Self, NotAKey> {
        let pair = match PrivateKeyDer::from_pem_slice(text.as_bytes()) {
            Ok(PrivateKeyDer::Pkcs1(key)) => KeyPair::from_der(key.secret_pkcs1_der()),
            Ok(PrivateKeyDer::Pkcs8(key)) => KeyPair::from_pkcs8(key.secret_pkcs8_der()),
            _ => return Err(NotAKey),
        };
        pair.map(|pair| Self(Arc::new(pair))).map_err(|_| NotAKey)
    }

    /// The signature of a message.
    pub fn rs256(&self, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .expect("a key that could be read signs, and the buffer has its length");
        signature
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SigningKey(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    fn pem(label: &str, der: &[u8]) -> String {
        let lines = STANDARD.encode(der).into_bytes();
        let lines: Vec<_> = lines.chunks(64).map(String::from_utf8_lossy).collect();
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
    }

    #[test]
    fn signs_what_the_public_key_verifies_and_shows_nothing() {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let pkcs8 = pem("PRIVATE KEY", der.as_ref());
        // The PKCS#1 key is the last 1190-odd bytes of the PKCS#8 one: an OCTET STRING with a length of two bytes.
        let start = der.as_ref().windows(4).position(|w| w[..2] == [0x04, 0x82]).unwrap() + 4;
        let pkcs1 = pem("RSA PRIVATE KEY", &der.as_ref()[start..]);
        for text in [&pkcs8, &pkcs1] {
            let key = SigningKey::from_pem(text).unwrap();
            assert_eq!(format!("{key:?}"), "SigningKey(hidden)");
            let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref());
            assert!(public.verify(b"message", &key.rs256(b"message")).is_ok());
            assert!(public.verify(b"another", &key.rs256(b"message")).is_err());
        }
        for bad in ["", "x", &pem("PRIVATE KEY", b"x"), &pem("CERTIFICATE", b"x"), &pkcs8[..200]] {
            assert_eq!(SigningKey::from_pem(bad).err(), Some(NotAKey), "{bad:?}");
        }
    }
}
