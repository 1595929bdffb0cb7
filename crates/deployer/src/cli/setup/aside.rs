//! Files that somebody else has written where setup writes its own: they are kept, below a directory that says when, before anything of
//! ours comes into their place.

use super::places;
use crate::private_file;
use anyhow::{Context, Result};
use fs_err as fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};

/// In what every file that setup writes begins, or what stands in it.
const MARKS: [&str; 5] = [
    "# Written by `durhack-deployer setup",
    "# The units of the deployments, by `durhack-deployer setup`",
    "# `durhack-deployer setup` installs it, and tries it before it restarts nginx.",
    "# `durhack-deployer setup` adds what the deployments need, and takes nothing away.",
    "Written by `durhack-deployer setup` and",
];

/// Whether a text is one that setup has written.
pub fn is_ours(text: &str) -> bool {
    text.is_empty() || MARKS.iter().any(|mark| text.contains(mark))
}

/// Where a file is kept that was there at this time.
pub fn place_of(date: &str, path: &Path) -> PathBuf {
    Path::new(places::ASIDE).join(date).join(path.strip_prefix("/").unwrap_or(path))
}

/// Copies a file, or a link, with its owner and mode, to where it is kept. One that is kept there already stays as it is.
pub fn keep(path: &Path, kept: &Path) -> Result<()> {
    if kept.symlink_metadata().is_ok() {
        return Ok(());
    }
    let directory = kept.parent().context("a file lies in a directory")?;
    make_private(directory)?;
    copy(path, kept).with_context(|| format!("cannot keep {} in {}", path.display(), kept.display()))
}

/// Puts a kept file back to where it was, in place of what is there.
pub fn bring_back(kept: &Path, path: &Path) -> Result<()> {
    let what = || format!("cannot bring {} back from {}", path.display(), kept.display());
    let directory = path.parent().with_context(what)?;
    fs::create_dir_all(directory)?;
    // A name that neither sudo, nginx, systemd nor uWSGI reads.
    let new = private_file::beside(path, ".setup~");
    if new.symlink_metadata().is_ok() {
        fs::remove_file(&new)?;
    }
    copy(kept, &new).with_context(what)?;
    fs::rename(&new, path)?;
    Ok(std::fs::File::open(directory).and_then(|directory| directory.sync_all())?)
}

/// Moves a file to where it is kept.
pub fn put(path: &Path, kept: &Path) -> Result<()> {
    keep(path, kept)?;
    Ok(fs::remove_file(path)?)
}

/// Root's alone: what is kept may hold secrets.
pub fn make_private(directory: &Path) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .with_context(|| format!("cannot make {}", directory.display()))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let found = fs::symlink_metadata(from)?;
    if found.is_symlink() {
        symlink(fs::read_link(from)?, to)?;
        return Ok(lchown(to, Some(found.uid()), Some(found.gid()))?);
    }
    // fs::copy would wait at a pipe.
    anyhow::ensure!(found.is_file(), "{} is neither a file nor a link", from.display());
    fs::copy(from, to)?;
    chown(to, Some(found.uid()), Some(found.gid()))?;
    fs::set_permissions(to, std::fs::Permissions::from_mode(found.mode() & 0o7777))?;
    Ok(std::fs::File::open(to)?.sync_all()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("file"), "mine").unwrap();
        std::fs::set_permissions(at("file"), PermissionsExt::from_mode(0o640)).unwrap();
        symlink("file", at("link")).unwrap();
        for name in ["file", "link"] {
            let kept = at("kept").join(name);
            keep(&at(name), &kept).unwrap();
            std::fs::remove_file(at(name)).unwrap();
            std::fs::write(at(name), "another's").unwrap();
            // What was kept first is what there was.
            keep(&at(name), &kept).unwrap();
            bring_back(&kept, &at(name)).unwrap();
        }
        assert_eq!(std::fs::read_to_string(at("link")).unwrap(), "mine");
        assert_eq!(std::fs::read_link(at("link")).unwrap(), Path::new("file"));
        assert_eq!(std::fs::metadata(at("file")).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(std::fs::metadata(at("kept")).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn what_setup_writes_is_known_as_its_own() {
        for ours in [
            crate::cli::setup::drop_in::socket(3400),
            crate::cli::setup::drop_in::NGINX.to_owned(),
            crate::cli::setup::sudoers::rules(None),
            crate::cli::setup::allow_list::complete(None, None).unwrap().0,
            crate::config::Users::default().text(),
        ] {
            assert!(is_ours(&ours), "{ours}");
        }
        assert!(!is_ours("durhack-deployer ALL=(ALL) NOPASSWD: /usr/bin/certbot\n"));
    }
}
