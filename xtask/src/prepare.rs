//! What the tests and the benchmark need from outside: Debian packages, GitHub's example payloads, the tools that recipes call, and the root
//! file system of the machines that tests boot.
//!
//! Only what is missing is installed, so that the second run costs nothing and a developer whose machine has
//! everything needs no rights. Packages must not start daemons: while they are installed, Debian's
//! `policy-rc.d` says no.

use crate::process::{capture, command, find, root, run};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program, or a file by its whole path, that shows that its package is there, and the package.
const PACKAGES: [(&str, &str); 30] = [
    ("git", "git"),
    ("strace", "strace"),
    ("mkfs.ext4", "e2fsprogs"),
    ("webhook", "webhook"),
    ("nginx", "nginx-light"),
    ("python3", "python3"),
    ("setfacl", "acl"),
    ("ps", "procps"),
    ("setpriv", "util-linux"),
    ("mount", "mount"),
    ("npm", "npm"),
    ("cc", "gcc"),
    ("certbot", "certbot"),
    ("/usr/lib/python3/dist-packages/certbot_nginx/__init__.py", "python3-certbot-nginx"),
    ("pebble", "pebble"),
    ("uwsgi_python3", "uwsgi-plugin-python3"),
    ("uwsgi", "uwsgi-core"),
    ("go", "golang-go"),
    ("wrk", "wrk"),
    ("ip", "iproute2"),
    ("openssl", "openssl"),
    ("sshd", "openssh-server"),
    ("ssh-keygen", "openssh-client"),
    ("pip3", "python3-pip"),
    ("systemd-nspawn", "systemd-container"),
    ("mmdebstrap", "mmdebstrap"),
    ("faketime", "faketime"),
    ("xz", "xz-utils"),
    ("zsh", "zsh"),
    ("fish", "fish"),
];

/// The machines that tests boot: where their root file systems lie, and what is in them.
const MACHINES: [(&str, &str); 2] = [("machine", "bookworm"), ("machine-trixie", "trixie")];

/// What is in the machines that tests boot; a change makes their root file systems anew. nginx has all modules that Debian has for it; none is
/// enabled until a test says so.
const MACHINE_PACKAGES: [&str; 21] = [
    "systemd",
    "systemd-sysv",
    "dbus",
    "dbus-user-session",
    "libpam-systemd",
    "sudo",
    "git",
    "nginx-extras",
    "acl",
    "ca-certificates",
    "iproute2",
    "procps",
    "python3-minimal",
    "nodejs",
    "openssh-server",
    "certbot",
    "python3-certbot-nginx",
    "pebble",
    "uwsgi-emperor",
    "uwsgi-plugin-python3",
    "postgresql",
];

/// What `policy-rc.d` must exit with so that packages start nothing.
const POLICY: &str = "#!/bin/sh\nexit 101\n";

/// Installs what is missing.
pub fn run_all() -> Result<()> {
    debian_packages()?;
    npm_packages()?;
    crate::openapi::prepare()?;
    pip_packages()?;
    crate::tools::CARGO_DEB.installed()?;
    MACHINES.iter().try_for_each(|(directory, release)| machine_root(directory, release))
}

/// A root file system of booted machines, about half a minute and 500 MB. A directory, not an archive: each machine puts a layer
/// of its own above it, so nothing has to be unpacked.
fn machine_root(name: &str, release: &str) -> Result<()> {
    let directory = root().join("target/testbed").join(name);
    let (marker, tree) = (directory.join("installed"), directory.join("root"));
    let wanted = MACHINE_PACKAGES.join(",");
    if std::fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    if capture(command("id").arg("-u"))? != "0" {
        bail!("the machines that tests boot can only be made, and booted, by root");
    }
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    run(command("rm").args(["-rf", "--"]).args([&marker, &tree]))?;
    let include = format!("--include={wanted}");
    run(command("mmdebstrap").args(["--quiet", "--variant=minbase", &include, release]).arg(&tree))?;
    for (file, content) in [("etc/hosts", "127.0.0.1 localhost\n"), ("etc/hostname", "machine\n")] {
        let file = tree.join(file);
        std::fs::write(&file, content).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let modules = tree.join("etc/nginx/modules-enabled");
    for module in std::fs::read_dir(&modules).with_context(|| format!("no {}", modules.display()))? {
        std::fs::remove_file(module?.path())?;
    }
    // What only one test needs is started by that: a machine boots in half a second.
    for unit in ["uwsgi-emperor", "postgresql"] {
        let disabled = ["systemctl", "disable", "--quiet", unit];
        run(command("chroot").arg(&tree).args(disabled))?;
    }
    // It has no network but its own.
    run(command("rm").arg("-f").arg(tree.join("etc/resolv.conf")))?;
    std::fs::write(&marker, wanted).with_context(|| format!("cannot write {}", marker.display()))
}

fn debian_packages() -> Result<()> {
    let mut missing: Vec<&str> =
        PACKAGES.iter().filter(|(program, _)| find(program).is_none()).map(|&(_, package)| package).collect();
    if !has_postgresql() {
        missing.push("postgresql");
    }
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.join(" ");
    if find("apt-get").is_none() {
        bail!("the tests need {packages}\nhint: there is no apt-get here; install them in your system's way");
    }
    if capture(command("id").arg("-u"))? != "0" {
        bail!("the tests need {packages}\nhint: sudo apt-get install --no-install-recommends {packages}");
    }
    let _policy = Policy::set()?;
    run(command("apt-get").args(["update", "-qq"]))?;
    let mut install = command("apt-get");
    install.env("DEBIAN_FRONTEND", "noninteractive");
    run(install.args(["install", "-y", "-qq", "--no-install-recommends"]).args(&missing))
}

/// PostgreSQL's programs are not in `PATH`; each version has a directory of its own.
fn has_postgresql() -> bool {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions.map(|version| version.path().join("bin/initdb")).any(|program| program.exists())
}

/// While it lives, installed packages start no daemons. A policy that was there already is left alone.
struct Policy(Option<PathBuf>);

impl Policy {
    fn set() -> Result<Self> {
        let path = Path::new("/usr/sbin/policy-rc.d");
        if path.exists() {
            return Ok(Self(None));
        }
        run(command("install").args(["-m", "755", "/dev/null"]).arg(path))?;
        let policy = Self(Some(path.to_owned()));
        std::fs::write(path, POLICY).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(policy)
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = std::fs::remove_file(path)
        {
            eprintln!("warning: cannot remove {}: {error}", path.display());
        }
    }
}

/// GitHub's example payloads and their schemas, and what runs Node applications: `xtask/testbed/npm` names them, its lock file
/// everything below them by hash.
fn npm_packages() -> Result<()> {
    installed_once("npm", &["package.json", "package-lock.json"], |directory| {
        let mut npm = command("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"]).arg(directory);
        npm
    })
}

/// What manages Python projects: `xtask/testbed/pip` names it, by hash.
fn pip_packages() -> Result<()> {
    installed_once("pip", &["requirements.txt"], |directory| {
        let mut pip = command("pip3");
        pip.args([
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--require-hashes",
            "--no-deps",
            "--upgrade",
        ]);
        pip.arg("--target").arg(directory).arg("--requirement").arg(directory.join("requirements.txt"));
        pip
    })
}

/// Installs into `target/testbed/NAME` what the files of `xtask/testbed/NAME` say, unless that is there already.
fn installed_once(name: &str, files: &[&str], install: impl Fn(&Path) -> Command) -> Result<()> {
    let (source, directory) =
        (root().join("xtask/testbed").join(name), root().join("target/testbed").join(name));
    let marker = directory.join("installed");
    let read = |file: &Path| {
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
    };
    let texts = files.iter().map(|file| read(&source.join(file))).collect::<Result<Vec<_>>>()?;
    // The marker is written last: an installation that was interrupted is done again.
    if std::fs::read_to_string(&marker).is_ok_and(|installed| installed == texts.concat()) {
        return Ok(());
    }
    let write = |file: &Path, text: &str| {
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
    };
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    for (file, text) in files.iter().zip(&texts) {
        write(&directory.join(file), text)?;
    }
    run(&mut install(&directory))?;
    write(&marker, &texts.concat())
}
