//! Versions with known holes, of programs that strangers' input reaches. Pure.
//!
//! A distribution mends a hole without raising the number before its own revision, so of its packages the number alone
//! decides nothing.

/// What is to be said of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// No hole that we know of.
    Fine,
    /// By its number it has this one.
    Vulnerable(&'static str),
    /// It cannot be read.
    Unknown,
}

const GIT_HOLE: &str = "CVE-2025-48384: a submodule's name can make it run a program";

/// The first release of each series without [`GIT_HOLE`]; later series never had it.
const GIT_PATCHED: [(u64, u64, u64); 8] =
    [(2, 43, 7), (2, 44, 4), (2, 45, 4), (2, 46, 4), (2, 47, 3), (2, 48, 2), (2, 49, 1), (2, 50, 1)];

/// Of what `git --version` prints: `git version 2.47.3`, `git version 2.43.0.windows.1`.
pub fn of_git(printed: &str) -> Judgement {
    let Some(version) = number(printed).map(|(version, _)| version) else { return Judgement::Unknown };
    let series = GIT_PATCHED.iter().find(|patched| (patched.0, patched.1) == (version.0, version.1));
    let is_vulnerable = match series {
        Some(patched) => version < *patched,
        None => version < GIT_PATCHED[0],
    };
    if is_vulnerable { Judgement::Vulnerable(GIT_HOLE) } else { Judgement::Fine }
}

/// Of the first line that `sudo -V` prints: `Sudo version 1.9.13p3`.
pub fn of_sudo(printed: &str) -> Judgement {
    let Some((version, patch)) = number(printed) else { return Judgement::Unknown };
    let version = (version, patch);
    if (((1, 9, 14), 0)..((1, 9, 17), 1)).contains(&version) {
        return Judgement::Vulnerable("CVE-2025-32463: any user of the machine becomes root by `sudo -R`");
    }
    let old = ((1, 8, 2), 0)..((1, 8, 32), 0);
    if old.contains(&version) || (((1, 9, 0), 0)..((1, 9, 5), 2)).contains(&version) {
        return Judgement::Vulnerable("CVE-2021-3156: any user of the machine becomes root");
    }
    Judgement::Fine
}

/// `1.9.5p2`, in whatever text: the three numbers, and the one behind the `p`.
pub fn number(text: &str) -> Option<((u64, u64, u64), u64)> {
    let start = text.find(|character: char| character.is_ascii_digit())?;
    let word: &str = text[start..].split_whitespace().next()?;
    let mut parts = word.splitn(3, '.');
    let leading = |part: &str| -> (Option<u64>, usize) {
        let length = part.bytes().take_while(u8::is_ascii_digit).count();
        (part[..length].parse().ok(), length)
    };
    let major = leading(parts.next()?).0?;
    let minor = leading(parts.next()?).0?;
    let last = parts.next().unwrap_or("0");
    let (third, length) = leading(last);
    let patch = last[length..].strip_prefix('p').and_then(|patch| leading(patch).0);
    Some(((major, minor, third.unwrap_or(0)), patch.unwrap_or(0)))
}

/// Whether a Debian package of this version (`1:2.39.5-0+deb12u3`) is what says `2.39.5` of itself.
pub fn is_packaged(package: &str, printed: &str) -> bool {
    let upstream = package.split_once(':').map_or(package, |(_, rest)| rest);
    let upstream = upstream.rsplit_once('-').map(|(upstream, _)| upstream);
    upstream.is_some_and(|upstream| number(upstream).is_some() && number(upstream) == number(printed))
}

/// Whether what `apt-cache policy` printed has nothing newer than what is installed.
pub fn is_newest(policy: &str) -> bool {
    let value = |name: &str| policy.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim);
    let installed = value("Installed:").filter(|version| *version != "(none)");
    installed.is_some() && installed == value("Candidate:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_apt_has_nothing_newer_of_is_the_newest() {
        let policy = |installed: &str, candidate: &str| {
            format!(
                "git:\n  Installed: {installed}\n  Candidate: {candidate}\n  Version table:\n *** {installed} 500\n"
            )
        };
        assert!(is_newest(&policy("1:2.39.5-0+deb12u3", "1:2.39.5-0+deb12u3")));
        assert!(!is_newest(&policy("1:2.39.5-0+deb12u2", "1:2.39.5-0+deb12u3")));
        assert!(!is_newest(&policy("(none)", "(none)")) && !is_newest(""));
    }

    #[test]
    fn versions_of_git() {
        for (text, is_fine) in [
            ("git version 2.43.6", false),
            ("git version 2.43.7", true),
            ("git version 2.44.3", false),
            ("git version 2.44.4", true),
            ("git version 2.45.3", false),
            ("git version 2.45.4", true),
            ("git version 2.46.3", false),
            ("git version 2.46.4", true),
            ("git version 2.47.2", false),
            ("git version 2.47.3", true),
            ("git version 2.48.1", false),
            ("git version 2.48.2", true),
            ("git version 2.49.0", false),
            ("git version 2.49.1", true),
            ("git version 2.50.0", false),
            ("git version 2.50.1", true),
            ("git version 2.51.0", true),
            ("git version 2.39.5", false),
            ("git version 2.43.0.windows.1", false),
            ("git version 2.50.1 (Apple Git-155)", true),
            ("git version 1.8.3.1", false),
            ("git version 3.0.0-rc1", true),
        ] {
            let expected = if is_fine { Judgement::Fine } else { Judgement::Vulnerable(GIT_HOLE) };
            assert_eq!(of_git(text), expected, "{text}");
        }
        for text in ["", "git version", "git version x.y"] {
            assert_eq!(of_git(text), Judgement::Unknown, "{text}");
        }
    }

    #[test]
    fn versions_of_sudo() {
        for (text, hole) in [
            ("Sudo version 1.9.13p3", None),
            ("Sudo version 1.9.14", Some("CVE-2025-32463")),
            ("Sudo version 1.9.16p2", Some("CVE-2025-32463")),
            ("Sudo version 1.9.17", Some("CVE-2025-32463")),
            ("Sudo version 1.9.17p1", None),
            ("Sudo version 1.9.18", None),
            ("Sudo version 1.8.31p2", Some("CVE-2021-3156")),
            ("Sudo version 1.8.32", None),
            ("Sudo version 1.9.5p1", Some("CVE-2021-3156")),
            ("Sudo version 1.9.5p2", None),
            ("Sudo version 1.8.1", None),
        ] {
            let found = match of_sudo(text) {
                Judgement::Vulnerable(hole) => hole.split(':').next(),
                _ => None,
            };
            assert_eq!(found, hole, "{text}");
        }
        assert_eq!(of_sudo("sudo-rs"), Judgement::Unknown);
    }

    #[test]
    fn a_package_is_recognised_by_its_number() {
        for (package, printed, expected) in [
            ("1:2.39.5-0+deb12u3", "git version 2.39.5", true),
            ("1:2.39.5-0+deb12u3", "git version 2.47.3", false),
            ("1.9.16p2-3", "Sudo version 1.9.16p2", true),
            ("1.9.16p2-3", "Sudo version 1.9.16p1", false),
            ("2.39.5", "git version 2.39.5", false),
            ("", "git version 2.39.5", false),
        ] {
            assert_eq!(is_packaged(package, printed), expected, "{package} {printed}");
        }
    }
}
