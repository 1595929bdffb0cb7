//! Programs of other people that the checks run, each of one version, locked, below `target/testbed/cargo`.

use crate::process::{capture, cargo, command, root, run};
use anyhow::Result;
use std::path::PathBuf;

/// A program of crates.io.
pub struct Tool {
    name: &'static str,
    /// A new version may work differently: raise it on purpose.
    version: &'static str,
    options: &'static [&'static str],
}

/// Packs. Without its own compression: it calls `xz`, which `prepare` installs.
pub const CARGO_DEB: Tool = Tool { name: "cargo-deb", version: "3.8.0", options: &["--no-default-features"] };

/// Judges dependencies. Unoptimised: it runs for a second, and is built in a minute less.
pub const CARGO_DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2", options: &["--debug"] };

impl Tool {
    /// Where it is; installed first, if it is not there in this version.
    pub fn installed(&self) -> Result<PathBuf> {
        let directory = root().join("target/testbed/cargo");
        let program = directory.join("bin").join(self.name);
        let is_there = program.exists()
            && capture(command(&program).arg("--version")).is_ok_and(|found| found.contains(self.version));
        if !is_there {
            let mut install = cargo(["install", self.name, "--locked", "--version", self.version]);
            run(install.args(self.options).arg("--root").arg(&directory))?;
        }
        Ok(program)
    }
}
