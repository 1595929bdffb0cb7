//! What a program of the package needs of the system that it is installed on: the C library and the compiler's runtime, no newer than the
//! package says, and nothing else. Everything else (SQLite, TLS) is inside.
//!
//! Wholly static it is not: names are resolved by the system's own rules (`nsswitch.conf`), which glibc loads at run time, and that its
//! holes are mended is the distribution's work.

use crate::process::{capture, command, root};
use anyhow::{Context, Result, bail};
use std::path::Path;

/// glibc, and what unwinds the stack. Of the loader, whose name differs between processors, the beginning.
const LIBRARIES: [&str; 4] = ["libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux"];

type GlibcVersion = (u32, u32);

/// Fails where a program needs more than the package says; gives what it needs, for people.
pub fn check(program: &Path) -> Result<String> {
    let promised = promised()?;
    let mut readelf = command("readelf");
    let printed = capture(readelf.args(["--wide", "--dynamic", "--version-info"]).arg(program))
        .context("readelf is a part of Debian's binutils")?;
    judge(&printed, promised).with_context(|| format!("{} is not fit for the package", program.display()))
}

/// The version of glibc in the package's `depends`.
fn promised() -> Result<GlibcVersion> {
    let manifest = root().join("crates/deployer/Cargo.toml");
    let text =
        std::fs::read_to_string(&manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
    let version = text.split_once("libc6 (>= ").and_then(|(_, rest)| rest.split_once(')'));
    version
        .and_then(|(version, _)| parse(version))
        .context("the package's `depends` names no version of libc6")
}

/// `2.36`; further numbers do not count.
fn parse(version: &str) -> Option<GlibcVersion> {
    let mut numbers = version.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn judge(printed: &str, promised: GlibcVersion) -> Result<String> {
    let needed: Vec<&str> = printed
        .lines()
        .filter(|line| line.contains("(NEEDED)"))
        .filter_map(|line| Some(line.split_once('[')?.1.split_once(']')?.0))
        .collect();
    if needed.is_empty() {
        bail!("it names no library at all: built for another C library, or not read");
    }
    let is_known = |library: &&str| LIBRARIES.iter().any(|known| library.starts_with(known));
    let further: Vec<&str> = needed.iter().filter(|library| !is_known(library)).copied().collect();
    if !further.is_empty() {
        bail!(
            "it needs {}: switch the feature off that links it, or build it in; a host has only what `depends` names",
            further.join(", ")
        );
    }
    let newest = printed.lines().filter(|line| !line.contains("Flags: WEAK")).filter_map(glibc).max();
    let (major, minor) = newest.unwrap_or_default();
    if (major, minor) > promised {
        bail!(
            "it needs glibc {major}.{minor}, and the package says {}.{} will do: build it on Debian 12, or raise `depends`",
            promised.0,
            promised.1
        );
    }
    Ok(format!("needs {}, glibc {major}.{minor} or newer", needed.join(", ")))
}

/// `Name: GLIBC_2.34  Flags: none  Version: 5`
fn glibc(line: &str) -> Option<GlibcVersion> {
    parse(line.split_once("Name: GLIBC_")?.1.split_whitespace().next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = " 0x0000000000000001 (NEEDED)             Shared library: [libgcc_s.so.1]
 0x0000000000000001 (NEEDED)             Shared library: [libc.so.6]
 0x0000000000000001 (NEEDED)             Shared library: [ld-linux-x86-64.so.2]
 0x000000000000000c (INIT)               0x5000
Version needs section '.gnu.version_r' contains 2 entries:
  0x0000: Version: 1  File: libc.so.6  Cnt: 3
  0x0010:   Name: GLIBC_2.2.5  Flags: none  Version: 4
  0x0020:   Name: GLIBC_2.34  Flags: none  Version: 5
  0x0030:   Name: GLIBC_2.39  Flags: WEAK  Version: 6
  0x0040:   Name: GCC_3.0  Flags: none  Version: 7";

    #[test]
    fn glibc_of_the_promised_version_and_nothing_else() {
        let good = judge(GOOD, (2, 36)).unwrap();
        assert_eq!(good, "needs libgcc_s.so.1, libc.so.6, ld-linux-x86-64.so.2, glibc 2.34 or newer");
        for (before, after, expected) in [
            ("libgcc_s.so.1", "libssl.so.3", "libssl.so.3"),
            ("libgcc_s.so.1", "libsqlite3.so.0", "libsqlite3.so.0"),
            ("GLIBC_2.34", "GLIBC_2.38", "needs glibc 2.38, and the package says 2.36"),
            ("(NEEDED)", "(SONAME)", "no library at all"),
        ] {
            let error = judge(&GOOD.replace(before, after), (2, 36)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn the_package_promises_a_version() {
        assert!(promised().unwrap() >= (2, 31));
    }
}
