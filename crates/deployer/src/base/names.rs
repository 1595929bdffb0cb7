//! The types through which untrusted text must pass before it may be compared, stored or handed to a program.
//!
//! A payload, a branch name or an operator's typing is text; a [`Slug`], [`RepositoryName`], [`BranchName`],
//! [`CommitId`] or [`DeliveryId`] has been checked once, here, and nothing later checks again. None of
//! them can begin with `-`, hold a NUL, or (but for `BranchName` and `RepositoryName`, which have `/`) hold a
//! path separator.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a text is not the name it was given as.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {kind}: {reason}")]
pub struct InvalidName {
    /// What it should have been, with its article.
    pub kind: &'static str,
    /// What was given, cut to 80 characters.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// How alike two names must be for one to be taken for the other one misspelt, of 1: `prot` and `port` have 0.93.
const LIKENESS_MIN: f64 = 0.82;

/// "Did you mean": what is most like what was written; nothing where nothing is.
pub fn nearest<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |name: &str| {
        // Two letters that changed places are one mistake, of which Jaro and Winkler think worse than people do.
        let (mistakes, letters) = (strsim::osa_distance(written, name), written.chars().count());
        let by_mistakes = if letters > 0 && mistakes * 3 <= letters { LIKENESS_MIN } else { 0.0 };
        strsim::jaro_winkler(written, name).max(by_mistakes)
    };
    let alike = known.map(|name| (likeness(name), name));
    let alike = alike.filter(|(likeness, _)| *likeness >= LIKENESS_MIN);
    alike.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, name)| name)
}

/// Whether JavaScript's `Number()` makes a number of it: by that PM2 tells ids from names.
fn is_number_of_javascript(text: &str) -> bool {
    let text = text.trim();
    let radix = |prefix: &str, radix: u32| {
        let digits = text.get(..2).filter(|begin| begin.eq_ignore_ascii_case(prefix)).and(text.get(2..));
        digits.is_some_and(|digits| !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix)))
    };
    text.parse::<f64>().is_ok() || radix("0x", 16) || radix("0o", 8) || radix("0b", 2)
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks the text.
            pub fn parse(text: &str) -> Result<Self, InvalidName> {
                let check: fn(&str) -> Result<(), &'static str> = $check;
                match check(text) {
                    Ok(()) => Ok(Self(text.to_owned())),
                    Err(reason) => Err(InvalidName { kind: $kind, text: text.chars().take(80).collect(), reason }),
                }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}

name! {
    /// A deployment's name: `^[a-z0-9][a-z0-9-]{0,62}$`. It names files, locks and status contexts.
    Slug, "a deployment name", |text| {
        if text.is_empty() || text.len() > 63 {
            return Err("it must have 1 to 63 characters");
        }
        if text.starts_with('-') {
            return Err("it must begin with a letter or a digit");
        }
        if !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return Err("only a to z, 0 to 9 and - are allowed");
        }
        if text == "main" {
            return Err("`main` is the name of the deployer's own spool");
        }
        Ok(())
    }
}

name! {
    /// A systemd unit's name, as an argument of `systemctl`: no option, no pattern, no path.
    UnitName, "the name of a systemd unit", |text| {
        if text.is_empty() || text.len() > 255 {
            return Err("it must have 1 to 255 characters");
        }
        if text.starts_with(['-', '.']) {
            return Err("it may not begin with - or .");
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'@' | b':')) {
            return Err("only letters, digits, . _ - @ and : are allowed");
        }
        if text.contains("@.") {
            return Err("it is a template: name an instance, as in app@8101.service");
        }
        Ok(())
    }
}

name! {
    /// The directory of a package in a workspace, as pnpm's `--filter {..}` takes it: no pattern, no option, nothing above.
    PackageDirectory, "the directory of a package", |text| {
        if text.is_empty() || text.len() > 255 {
            return Err("it must have 1 to 255 characters");
        }
        if text.split('/').any(|part| part.is_empty() || part.starts_with(['-', '.'])) {
            return Err("no part of it may be empty or begin with - or .");
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'@' | b'/')) {
            return Err("only letters, digits, . _ - @ and / are allowed");
        }
        Ok(())
    }
}

name! {
    /// A script of a `package.json`, as an argument of `pnpm run`.
    ScriptName, "the name of a script", |text| {
        if text.is_empty() || text.len() > 100 {
            return Err("it must have 1 to 100 characters");
        }
        if text.starts_with(['-', '.']) {
            return Err("it may not begin with - or .");
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b':')) {
            return Err("only letters, digits, . _ - and : are allowed");
        }
        Ok(())
    }
}

name! {
    /// An application's name in PM2, which takes some names for something else: numbers are ids, `all` is everything, `/x/` is
    /// a pattern, a comma separates, and `default` is the namespace of whatever names none. It is handed over in a file, never as an argument.
    ApplicationName, "the name of an application", |text| {
        if text.is_empty() || text.len() > 100 {
            return Err("it must have 1 to 100 characters");
        }
        if !text.starts_with(|first: char| first.is_alphanumeric() || matches!(first, '@' | '_' | '(')) {
            return Err("it must begin with a letter, a digit, @, _ or (");
        }
        if !text.chars().all(|c| c.is_alphanumeric() || " ._-:@/()".contains(c)) {
            return Err("only letters, digits, blanks and . _ - : @ / ( ) are allowed");
        }
        if is_number_of_javascript(text) {
            return Err("PM2 takes a number for an id");
        }
        if matches!(text, "all" | "default" | "Infinity") {
            return Err("PM2 takes this word for something else");
        }
        Ok(())
    }
}

name! {
    /// A site's name, as `[site].nginxconf` has it: also a certificate's name and a part of paths. No option, no path, no control
    /// characters; it need not be ASCII.
    SiteName, "the name of a site", |text| {
        if text.is_empty() || text.len() > 200 {
            return Err("it must have 1 to 200 bytes");
        }
        if text.starts_with(['-', '.']) {
            return Err("it may not begin with - or .");
        }
        if text.chars().any(|c| c.is_control() || matches!(c, '/' | '[' | ']' | '\\' | '\u{fffd}')) {
            return Err("no control characters, slashes, brackets or backslashes are allowed");
        }
        Ok(())
    }
}

name! {
    /// A host name for which a certificate can be asked: labels of letters, digits and hyphens, at least two, no wildcard, no address.
    DomainName, "a public host name", |text| {
        if text.len() > 253 {
            return Err("it must have at most 253 characters");
        }
        let labels: Vec<&str> = text.split('.').collect();
        if labels.len() < 2 {
            return Err("it needs at least one dot");
        }
        for label in &labels {
            if label.is_empty() || label.len() > 63 || label.starts_with('-') || label.ends_with('-') {
                return Err("each part must have 1 to 63 characters and may neither begin nor end with -");
            }
            if !label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
                return Err("only a to z, 0 to 9 and - are allowed; write other letters as xn--...");
            }
        }
        if labels.last().is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit())) {
            return Err("it may not be an address");
        }
        Ok(())
    }
}

name! {
    /// `owner/name` as GitHub spells it; letters, digits, `.`, `_` and `-`, neither part `.` or `..`.
    RepositoryName, "a repository name", |text| {
        let Some((owner, name)) = text.split_once('/') else { return Err("it must have the form owner/name") };
        for part in [owner, name] {
            if part.is_empty() || part.len() > 100 {
                return Err("owner and name must have 1 to 100 characters each");
            }
            if part.starts_with(['-', '.']) && (part.starts_with('-') || part == "." || part == "..") {
                return Err("owner and name may not begin with - or be . or ..");
            }
            if !part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
                return Err("only letters, digits, . _ and - are allowed in owner and name");
            }
        }
        Ok(())
    }
}

name! {
    /// A branch, without `refs/heads/`. What git allows, less a leading `-`; it is only ever compared
    /// with the configuration and used inside a full refspec.
    BranchName, "a branch name", |text| {
        if text.is_empty() || text.len() > 255 {
            return Err("it must have 1 to 255 bytes");
        }
        if text.starts_with('-') {
            return Err("it may not begin with -");
        }
        if text.starts_with("refs/") {
            return Err("write the branch without refs/heads/");
        }
        if text.bytes().any(|b| b <= b' ' || b == 0x7f || matches!(b, b'~' | b'^' | b':' | b'?' | b'*' | b'[' | b'\\')) {
            return Err("git allows no white space, control characters or ~ ^ : ? * [ \\ in a branch name");
        }
        if text.contains("..") || text.contains("@{") || text.contains("//") || text == "@" {
            return Err("git allows no .. @{ or // in a branch name");
        }
        if text.ends_with(['.', '/']) || text.starts_with('/') {
            return Err("git allows no branch name that ends with . or / or begins with /");
        }
        if text.split('/').any(|part| part.starts_with('.') || part.ends_with(".lock")) {
            return Err("git allows no part of a branch name that begins with . or ends with .lock");
        }
        Ok(())
    }
}

name! {
    /// A whole commit id: 40 lower-case hexadecimal digits (SHA-1) or 64 (SHA-256).
    CommitId, "a commit id", |text| {
        if text.len() != 40 && text.len() != 64 {
            return Err("it must have 40 or 64 digits");
        }
        if !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return Err("only 0 to 9 and a to f are allowed");
        }
        Ok(())
    }
}

name! {
    /// What identifies a delivery: GitHub's GUID, or an id of ours of the same form (reconcile, operator).
    DeliveryId, "a delivery id", |text| {
        let groups: Vec<&str> = text.split('-').collect();
        if groups.iter().map(|group| group.len()).ne([8, 4, 4, 4, 12]) {
            return Err("it must have the form of a GUID, as in 0b989ba4-242f-11e5-81e1-c7b6966d2516");
        }
        if !text.bytes().all(|b| b == b'-' || b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return Err("only lower-case hexadecimal digits and - are allowed");
        }
        Ok(())
    }
}

name! {
    /// A user of the host, as Debian's `adduser` allows one: `^[a-z_][a-z0-9_-]{0,31}$`. It names files and units, and never root or nobody.
    UserName, "a user's name", |text| {
        if text.is_empty() || text.len() > 32 {
            return Err("it must have 1 to 32 characters");
        }
        if !text.starts_with(|first: char| first.is_ascii_lowercase() || first == '_') {
            return Err("it must begin with a lower-case letter or _");
        }
        if !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-')) {
            return Err("only lower-case letters, digits, _ and - are allowed");
        }
        if text == "root" {
            return Err("no push is worth root");
        }
        if text == "nobody" {
            return Err("many programs share it, and could reach each other's");
        }
        Ok(())
    }
}

impl CommitId {
    /// The first seven digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..7]
    }

    /// All zeros: how GitHub writes "no commit" in `before` and `after`.
    pub fn is_zero(&self) -> bool {
        self.0.bytes().all(|b| b == b'0')
    }
}

impl DeliveryId {
    /// A new id of our own, for what no webhook brought.
    pub fn generate() -> Self {
        Self(uuid::Uuid::now_v7().to_string())
    }
}

impl DeliveryId {
    /// The id of what reconcile asks for: always the same for the same cause, and told from all others by its version, 8.
    pub fn of_reconcile(cause: &str) -> Self {
        let digest = crate::base::digest::sha256_hex(cause.as_bytes());
        let mut bytes = [0; 16];
        hex::decode_to_slice(&digest[..32], &mut bytes).expect("32 hexadecimal digits are 16 bytes");
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string())
    }
}

impl DeliveryId {
    /// The id of a delivery whose GUID cannot be its id: an earlier one with another body has it, or it looks like one of ours.
    pub fn with_body(&self, payload_sha256: &str) -> Self {
        Self::of_reconcile(&format!("body {self} {payload_sha256}"))
    }

    /// Whether it has the form of an id that is computed here ([`of_reconcile`](Self::of_reconcile)), so that others could know it before
    /// it is given. GitHub's GUIDs have another version.
    pub fn is_derived(&self) -> bool {
        self.0.as_bytes()[14] == b'8'
    }
}

impl RepositoryName {
    /// The part before the slash.
    pub fn owner(&self) -> &str {
        self.0.split_once('/').map_or("", |(owner, _)| owner)
    }

    /// The part behind the slash.
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, name)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_and_is_not_a_name() {
        assert!(Slug::parse("durhack-api").is_ok());
        for bad in ["", "-x", "A", "a/b", "a.b", "..", "a b", "main", &"a".repeat(64)] {
            assert!(Slug::parse(bad).is_err(), "{bad:?}");
        }
        for good in ["web", "_www", "durhack-staging_2"] {
            assert!(UserName::parse(good).is_ok(), "{good:?}");
        }
        for bad in [
            "",
            "root",
            "nobody",
            "-x",
            "0",
            "1000",
            "Web",
            "a b",
            "a/b",
            "..",
            "a.b",
            "a:b",
            "a\n",
            "é",
            &"a".repeat(33),
        ] {
            assert!(UserName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(RepositoryName::parse("ducompsoc/durhack.x_y-z").is_ok());
        for bad in ["", "a", "a/b/c", "../x", "a/..", "-a/b", "a/-b", "a /b", "a/b\0", "a/é"] {
            assert!(RepositoryName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(BranchName::parse("feature/x+y").is_ok());
        assert!(BranchName::parse("a;id").is_ok(), "legal in git, harmless as data");
        for bad in
            ["", "--upload-pack=x", "a..b", "a b", "refs/heads/main", ".a", "a.lock", "a/", "a\nb", "x@{1}"]
        {
            assert!(BranchName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(SiteName::parse("durhack.com").is_ok() && SiteName::parse("caf\u{e9}").is_ok());
        for bad in ["", "-x", "..", "a/b", "a]", "a\nb", "a\u{fffd}"] {
            assert!(SiteName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(DomainName::parse("xn--caf-dma.durhack-dev.com").is_ok());
        for bad in [
            "",
            "localhost",
            "_",
            "*.x.org",
            "~^x",
            ".x.org",
            "x.org.",
            "-x.org",
            "x.org --pre-hook id",
            "x;id.org",
            "X.org",
            "10.0.0.1",
            "a..b",
            "caf\u{e9}.org",
            "--pre-hook.x",
        ] {
            assert!(DomainName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(CommitId::parse(&"0".repeat(40)).is_ok_and(|id| id.is_zero()));
        for bad in ["", "abc", "x; touch /tmp/x #", &"A".repeat(40), &"g".repeat(40)] {
            assert!(CommitId::parse(bad).is_err(), "{bad:?}");
        }
        assert!(DeliveryId::parse("0b989ba4-242f-11e5-81e1-c7b6966d2516").is_ok());
        for bad in
            ["", "../../x", "0B989BA4-242F-11E5-81E1-C7B6966D2516", "0b989ba4-242f-11e5-81e1-c7b6966d2516x"]
        {
            assert!(DeliveryId::parse(bad).is_err(), "{bad:?}");
        }
        assert!(DeliveryId::parse(DeliveryId::generate().as_str()).is_ok());
        let [one, same, other] = ["a", "a", "b"].map(DeliveryId::of_reconcile);
        assert!(DeliveryId::parse(one.as_str()).is_ok() && one == same && one != other);
        assert_eq!(one.as_str().as_bytes()[14], b'8', "{one}");
        assert!(one.is_derived() && one.with_body("00").is_derived());
        assert!(!DeliveryId::generate().is_derived());
    }

    #[test]
    fn what_pm2_takes_for_something_else_is_no_name_of_an_application() {
        for good in ["web", "2fa", "api (blue)", "größe", "@acme/site", "_x", "1-api", "7 dwarfs", "0xyz"] {
            assert!(ApplicationName::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "7", "1e5", "0x1f", "0b1", "7 ", "1.5", "all", "default", "Infinity", "/x/", "a,b", "-x", "",
            "a\nb", "a\u{1b}b", "a'b",
        ] {
            assert!(ApplicationName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_like_nothing_is_not_suggested() {
        for (written, known, expected) in [
            ("wbe", &["web", "api"][..], Some("web")),
            ("prot", &["host", "port"], Some("port")),
            ("mian", &["main", "develop"], Some("main")),
            ("site-b", &["systemd-binfmt", "site-a"], Some("site-a")),
            ("site-b", &["systemd-binfmt"], None),
            ("zzzz", &["web", "api"], None),
            ("", &["web"], None),
        ] {
            assert_eq!(nearest(written, known.iter().copied()), expected, "{written}");
        }
    }
}
