//! `gh`, GitHub's command line, of which only one thing is wanted: the token of whoever is logged in.

use super::Invocation;
use crate::base::secret::Secret;

pub const PROGRAM: &str = "gh";

/// Prints the token for a host, and for no other.
pub fn auth_token(host: &str) -> Invocation {
    let argv = [PROGRAM, "auth", "token", "--hostname", host].map(Into::into).to_vec();
    let environment = [("GH_PROMPT_DISABLED", "1"), ("GH_NO_UPDATE_NOTIFIER", "1"), ("NO_COLOR", "1")];
    let environment = environment.map(|(name, value)| (name.into(), value.into())).into_iter().collect();
    Invocation { argv, environment }
}

/// The token in what it printed: one line of visible characters.
pub fn token_in(output: &str) -> Option<Secret> {
    let token = output.trim();
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    is_token.then(|| Secret::new(token.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_token_is_taken_for_one() {
        assert_eq!(auth_token("github.com").shown(), "gh auth token --hostname github.com");
        assert_eq!(token_in("gho_abc\n").unwrap().expose(), "gho_abc");
        for bad in ["", "\n", "two words\n", "a\nb\n", "gho_\u{e9}"] {
            assert!(token_in(bad).is_none(), "{bad:?}");
        }
    }
}
