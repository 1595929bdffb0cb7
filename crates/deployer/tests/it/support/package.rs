//! The package for Debian, as an operator gets it: packed by cargo-deb from the same metadata as `cargo xtask deb`, but of the debug
//! binaries, which the tests have built anyway.

use super::process::{command, succeed};
use std::path::{Path, PathBuf};

/// A package in a directory of its own.
pub struct Package {
    directory: tempfile::TempDir,
}

impl Package {
    /// Packs what was built.
    #[track_caller]
    #[expect(clippy::disallowed_methods, reason = "cargo finds its registry below the developer's home")]
    pub fn new() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let home = std::env::var_os("HOME").expect("cargo needs a home");
        // A toolchain is given, and none is fetched: without these, rustup would have its own mind about that.
        let toolchain = ["RUSTUP_TOOLCHAIN", "RUSTUP_HOME", "CARGO_HOME"];
        let toolchain: Vec<_> = toolchain
            .into_iter()
            .filter_map(|name| Some((name, std::env::var_os(name)?)))
            .chain([("RUSTUP_AUTO_INSTALL", "0".into())])
            .collect();
        // The tests of this crate alone do not build the other one's program.
        let build = ["build", "--quiet", "--locked", "--package", "durhack-privileged"];
        let mut build_other = command(env!("CARGO"), Path::new(&home));
        succeed(build_other.current_dir(&root).args(build).envs(toolchain.clone()));
        let directory = tempfile::tempdir_in(root.join("target")).expect("the build writes there too");
        let packer = root.join("target/testbed/cargo/bin/cargo-deb");
        assert!(packer.exists(), "no {}: run `cargo xtask test --prepare-only`", packer.display());
        let mut pack = command(packer, Path::new(&home));
        pack.envs(toolchain);
        pack.current_dir(&root).args(["deb", "--no-build", "--no-strip", "--fast", "--profile", "dev"]);
        succeed(
            pack.args(["--package", "durhack-deployer", "--output"]).arg(directory.path().join("new.deb")),
        );
        Self { directory }
    }

    /// The package's file.
    pub fn file(&self) -> PathBuf {
        self.directory.path().join("new.deb")
    }

    /// The same under another version: what was installed before, or comes after.
    #[track_caller]
    pub fn of_version(&self, version: &str) -> PathBuf {
        let tree = self.directory.path().join(version);
        succeed(command("dpkg-deb", Path::new("/")).arg("-R").arg(self.file()).arg(&tree));
        let control = tree.join("DEBIAN/control");
        let text = fs_err::read_to_string(&control).expect("dpkg-deb wrote it");
        let set = |line: &str| match line.starts_with("Version:") {
            true => format!("Version: {version}\n"),
            false => format!("{line}\n"),
        };
        fs_err::write(&control, text.lines().map(set).collect::<String>()).expect("it is ours");
        let file = self.directory.path().join(format!("{version}.deb"));
        let mut pack = command("dpkg-deb", Path::new("/"));
        succeed(pack.args(["--root-owner-group", "-Znone", "-b"]).arg(&tree).arg(&file));
        file
    }
}
