//! Was this body signed with one of our secrets? Pure.
//!
//! GitHub sends `X-Hub-Signature-256: sha256=<hex of HMAC-SHA256(secret, raw body)>`; the comparison takes the same time
//! wherever the first difference is, and every refusal but a missing header reads the same.

use crate::base::secret::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Why a signature is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureRefusal {
    /// No `X-Hub-Signature-256` at all.
    Missing,
    /// There is one (or several), and it does not fit.
    Wrong,
}

/// The decoded header, ready to be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 32]);

impl Signature {
    /// Reads the header's values. More than one header is a wrong signature, as is any other form.
    pub fn from_headers<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Result<Self, SignatureRefusal> {
        let value = values.next().ok_or(SignatureRefusal::Missing)?;
        if values.next().is_some() {
            return Err(SignatureRefusal::Wrong);
        }
        let digits = value.strip_prefix(b"sha256=").ok_or(SignatureRefusal::Wrong)?;
        let lower_case = digits.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte));
        let mut bytes = [0; 32];
        match hex::decode_to_slice(digits, &mut bytes) {
            Ok(()) if lower_case => Ok(Self(bytes)),
            _ => Err(SignatureRefusal::Wrong),
        }
    }

    /// Whether `secret` made this signature over these pieces of a body. Constant time in the signature.
    pub fn is_by<P: AsRef<[u8]>>(&self, secret: &Secret, body: &[P]) -> bool {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes())
            .expect("HMAC takes keys of any length");
        for piece in body {
            mac.update(piece.as_ref());
        }
        mac.verify_slice(&self.0).is_ok()
    }
}

/// The header's value for a body: what GitHub would send. For `simulate` and the demo.
pub fn sign(secret: &Secret, body: &[u8]) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("HMAC takes keys of any length");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(values: &[&str]) -> Result<Signature, SignatureRefusal> {
        Signature::from_headers(values.iter().map(|value| value.as_bytes()))
    }

    #[test]
    fn github_s_published_vector() {
        let secret = Secret::new("It's a Secret to Everybody".into());
        let header = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert!(parse(&[header]).unwrap().is_by(&secret, &["Hello, ", "", "World!"]));
        assert!(!parse(&[header]).unwrap().is_by(&secret, &["Hello, World?"]));
        assert!(!parse(&[header]).unwrap().is_by(&Secret::new("another".into()), &["Hello, World!"]));
        assert_eq!(sign(&secret, b"Hello, World!"), header);
    }

    #[test]
    fn every_other_form_is_wrong() {
        let good = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert_eq!(parse(&[]), Err(SignatureRefusal::Missing));
        let upper = good.to_uppercase();
        for value in [
            "",
            "sha256",
            "sha256=",
            good,
            &format!("sha1={good}"),
            &format!("SHA256={good}"),
            &format!("sha256={upper}"),
            &format!("sha256={}", &good[1..]),
            &format!("sha256={good}0"),
            &format!("sha256= {good}"),
            &format!(" sha256={good}"),
            &format!("sha256={good} "),
            &format!("sha256={}", good.replace('7', "g")),
            &format!("sha256=0x{}", &good[2..]),
            &format!("sha256={}é", &good[2..]),
            "sha256=\u{0}",
        ] {
            assert_eq!(parse(&[value]), Err(SignatureRefusal::Wrong), "{value:?}");
        }
        let header = format!("sha256={good}");
        assert_eq!(parse(&[&header, &header]), Err(SignatureRefusal::Wrong), "two headers");
    }
}
