//! Who signed a commit.

use crate::process::tools::git::signatures::SignatureKind;

/// Who has signed a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signature {
    /// One of the allowed signers.
    Allowed,
    /// Somebody else; git's word on it.
    NotAllowed(String),
    /// Nobody, or in a way that is not checked here.
    Other(SignatureKind),
}
