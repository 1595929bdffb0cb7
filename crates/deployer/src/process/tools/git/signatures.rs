//! Whether a commit is signed, and by whom: as git checks it, with nothing of the user's settings.
//!
//! Only ssh signatures count. Which kind a commit has is read from the commit itself; the programs for the other kinds
//! are set to one that always fails, so that git cannot be made to call them. ssh-keygen judges the key: whether
//! the allowed-signers file has it, for git, and at the commit's time.

use super::{environment, in_mirror, words};
use crate::base::names::CommitId;
use crate::process::tools::Invocation;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

/// The kinds of signature that a commit may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureKind {
    /// None at all.
    None,
    /// By an ssh key.
    Ssh,
    /// By an OpenPGP key.
    OpenPgp,
    /// By a certificate, or something else.
    Other,
}

/// A commit as it is stored: headers, an empty line, the message.
pub fn stored(mirror: &Path, commit: &CommitId) -> Invocation {
    let mut argv = in_mirror(mirror);
    argv.extend(words(["cat-file", "commit"]));
    argv.push(commit.as_str().into());
    Invocation { argv, environment: as_they_are() }
}

/// Of what kind the signature of a [`stored`] commit is.
pub fn kind(stored: &str) -> SignatureKind {
    let headers = stored.split("\n\n").next().unwrap_or_default();
    let signature = headers.lines().find_map(|line| line.strip_prefix("gpgsig "));
    match signature.map(str::trim_end) {
        None => SignatureKind::None,
        Some("-----BEGIN SSH SIGNATURE-----") => SignatureKind::Ssh,
        Some("-----BEGIN PGP SIGNATURE-----" | "-----BEGIN PGP MESSAGE-----") => SignatureKind::OpenPgp,
        Some(_) => SignatureKind::Other,
    }
}

/// Succeeds where one of these signers has signed the commit.
pub fn verify(mirror: &Path, commit: &CommitId, allowed_signers: &Path) -> Invocation {
    let mut argv = in_mirror(mirror);
    let settings = [
        "gpg.format=ssh",
        "gpg.program=false",
        "gpg.openpgp.program=false",
        "gpg.x509.program=false",
        "gpg.ssh.program=ssh-keygen",
        // A signature by a key that the file does not have is otherwise good enough for git.
        "gpg.minTrustLevel=fully",
    ];
    argv.extend(settings.into_iter().flat_map(|setting| [OsString::from("-c"), OsString::from(setting)]));
    let mut signers = OsString::from("gpg.ssh.allowedSignersFile=");
    signers.push(allowed_signers);
    argv.extend([OsString::from("-c"), signers]);
    argv.extend(words(["verify-commit", "--end-of-options"]));
    argv.push(commit.as_str().into());
    Invocation { argv, environment: as_they_are() }
}

/// No object stands in for another.
fn as_they_are() -> BTreeMap<OsString, OsString> {
    let mut environment = environment("");
    environment.insert("GIT_NO_REPLACE_OBJECTS".into(), "1".into());
    environment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_is_that_of_the_header_and_not_of_the_message() {
        let commit = |header: &str, message: &str| format!("tree 1\nauthor a\n{header}\n{message}");
        for (header, message, expected) in [
            ("", "message", SignatureKind::None),
            ("", "gpgsig -----BEGIN SSH SIGNATURE-----", SignatureKind::None),
            ("gpgsig -----BEGIN SSH SIGNATURE-----\n x\n", "message", SignatureKind::Ssh),
            ("gpgsig -----BEGIN PGP SIGNATURE-----\n x\n", "gpgsig -----BEGIN SSH", SignatureKind::OpenPgp),
            ("gpgsig -----BEGIN SIGNED MESSAGE-----\n x\n", "message", SignatureKind::Other),
        ] {
            assert_eq!(kind(&commit(header, message)), expected, "{header} {message}");
        }
    }
}
