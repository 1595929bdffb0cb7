//! What git says when it fails, and what that means: it has no other way to say so. Its messages are English (`LC_ALL=C`). Pure.

use super::login;

/// Whether what git said on standard error is a failure of the network (which may pass) rather than of the request.
pub fn is_network_failure(message: &str) -> bool {
    const PASSING: [&str; 17] = [
        "Could not resolve host",
        "Could not resolve hostname",
        "Connection refused",
        "Connection reset",
        "Connection timed out",
        "Operation timed out",
        "Network is unreachable",
        "No route to host",
        "Failed to connect",
        "unexpected disconnect",
        "early EOF",
        "The remote end hung up unexpectedly",
        "RPC failed",
        "Connection closed by",
        "HTTP 5",
        "error: 5",
        "Temporary failure in name resolution",
    ];
    PASSING.iter().any(|sign| message.contains(sign))
}

/// Whether what git said means that the other side did not accept who we are.
pub fn is_refusal(said: &str) -> bool {
    const SIGNS: [&str; 6] = [
        "Authentication failed",
        "could not read Username",
        "could not read Password",
        "returned error: 401",
        "returned error: 403",
        "Permission denied (",
    ];
    SIGNS.iter().any(|sign| said.contains(sign))
}

/// What to do about what git said, where that is known, of what was asked at `url` by this user.
pub fn advice(said: &str, url: &str, user: Option<&str>) -> Option<String> {
    let host = login::host_of(url).unwrap_or("it");
    let path = login::path_of(url);
    if let Some(defect) = super::fsck::advice(said) {
        return Some(defect);
    }
    let any = |signs: &[&str]| signs.iter().any(|sign| said.contains(sign));
    if any(&["HOST IDENTIFICATION HAS CHANGED", "Host key verification failed", "No matching host key"]) {
        return Some(format!(
            "the ssh server that answers for {host} does not have the key that is known of it, or none is known. GitHub's keys come \
             from its API; for another server, compare what `ssh-keyscan {host}` prints with what its administrator says, and \
             add it to ~/.ssh/known_hosts of the deployer's user"
        ));
    }
    if any(&["Permission denied (", "Load key", "UNPROTECTED PRIVATE KEY"]) {
        return Some(
            "set `ssh_key_file`, and add the key's public half to the repository as a deploy key".into(),
        );
    }
    if is_refusal(said) {
        return Some("a credential that may read it is needed: `[github] token_file` or `app_id`, or the deployment's `github_token_file`".into());
    }
    if any(&["dubious ownership"]) {
        // What is deployed from is never to be root's: git as root reads what is its own, too.
        let give = match (user.filter(|user| *user != "root"), path) {
            (Some(user), Some(path)) => {
                format!("`chown -R {user}: {path}` gives it to the one that reads it here")
            }
            _ => "give it to the user that deploys, and ask as that one".to_owned(),
        };
        return Some(format!(
            "git reads no repository that another user owns: {give}. `safe.directory` does not help, as git is called without the \
             settings of the user and of this machine"
        ));
    }
    let gone = any(&[
        "Repository not found",
        "' not found",
        "does not appear to be a git repository",
        "' does not exist",
        "unable to access",
    ]);
    // Where there is no server there is no credential either.
    match (path, user) {
        (Some(path), Some(user)) => {
            gone.then(|| format!("is there a repository at {path}, and may {user} read it?"))
        }
        (Some(path), None) => gone.then(|| format!("is there a repository at {path}, and may it be read?")),
        _ => gone.then(|| "is the name right, and may our credential read it?".into()),
    }
}

/// Whether what git said means that the mirror itself is broken.
pub fn is_damage(message: &str) -> bool {
    const SIGNS: [&str; 9] = [
        "bad object",
        "not a git repository",
        "corrupt",
        "unable to read",
        "loose object",
        "invalid sha1 pointer",
        "unresolved deltas",
        "reference broken",
        "packfile",
    ];
    SIGNS.iter().any(|sign| message.contains(sign))
        && !message.contains("fsck error")
        && !message.contains("error: object ")
}

/// Whether git said that the branch is not there.
pub fn is_missing_branch(message: &str) -> bool {
    message.contains("couldn't find remote ref")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_says_leads_to_advice() {
        for (said, expected) in [
            ("Host key verification failed.\nfatal: Could not read", Some("ssh-keyscan")),
            ("git@x: Permission denied (publickey).", Some("ssh_key_file")),
            ("fatal: could not read Username for 'https://github.com'", Some("github_token_file")),
            ("fatal: repository 'https://x/' not found", Some("is the name right")),
            (
                "fatal: detected dubious ownership in repository at '/x/.git'",
                Some("give it to the user that deploys"),
            ),
            ("fatal: early EOF", None),
        ] {
            let advice = advice(said, "https://x/acme/site.git", Some("web"));
            assert!(!advice.as_deref().is_some_and(is_damage), "{advice:?}");
            match expected {
                Some(part) => assert!(advice.is_some_and(|advice| advice.contains(part)), "{said}"),
                None => assert_eq!(advice, None, "{said}"),
            }
        }
    }

    #[test]
    fn of_a_directory_of_this_machine_is_said_which_and_whose_it_must_be() {
        let dubious = "fatal: detected dubious ownership in repository at '/srv/git/a.git'";
        let gone = "fatal: '/srv/git/a.git' does not appear to be a git repository";
        for (said, url, user, expected) in [
            (dubious, "/srv/git/a.git", "deployer", "`chown -R deployer: /srv/git/a.git`"),
            (dubious, "file:///srv/git/a.git", "deployer", "`chown -R deployer: /srv/git/a.git`"),
            (
                gone,
                "/srv/git/a.git",
                "deployer",
                "is there a repository at /srv/git/a.git, and may deployer read it?",
            ),
        ] {
            let advice = advice(said, url, Some(user)).unwrap_or_default();
            assert!(advice.contains(expected), "{advice}");
        }
        let of_root = advice(dubious, "/srv/git/a.git", Some("root")).unwrap_or_default();
        assert!(!of_root.contains("chown"), "{of_root}");
    }
}
