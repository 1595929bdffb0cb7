//! Files that somebody else has written where setup writes its own: they are kept, below a directory that says when, before anything of
//! ours comes into their place.

use super::reached::{Content, Reached, TEXT_BYTES_MAX};
use crate::admin::host::paths;
use anyhow::{Context, Result};
use std::os::unix::fs::DirBuilderExt;
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
    Path::new(paths::ASIDE).join(date).join(path.strip_prefix("/").unwrap_or(path))
}

/// Copies a file, or a link, with its owner and mode, to where it is kept. One that is kept there already stays as it is.
pub fn keep(path: &Path, kept: &Path) -> Result<()> {
    keep_reached(&Reached::entry(path)?, kept)
}

/// The same, of what was reached.
pub fn keep_reached(from: &Reached, kept: &Path) -> Result<()> {
    let work = || match from.link() {
        Some((target, owner)) => place(kept)?.map_or(Ok(()), |place| place.make_link(&target, owner)),
        None => keep_content(&from.read(TEXT_BYTES_MAX)?, kept),
    };
    work().with_context(|| format!("cannot keep {} in {}", from.path.display(), kept.display()))
}

/// The same, of what was read.
pub fn keep_content(content: &Content, kept: &Path) -> Result<()> {
    place(kept)?.map_or(Ok(()), |place| place.write(content))
}

/// None: something is kept there already.
fn place(kept: &Path) -> Result<Option<Reached>> {
    make_private(kept.parent().context("a file lies in a directory")?)?;
    Ok(kept.symlink_metadata().is_err().then_some(Reached::entry(kept)?))
}

/// Puts a kept file back to where it was, in place of what is there.
pub fn bring_back(kept: &Path, path: &Path) -> Result<()> {
    let (from, to) = (Reached::entry(kept)?, way_back(kept, path)?);
    match from.link() {
        Some((target, owner)) => to.make_link(&target, owner),
        None => to.write(&from.read(TEXT_BYTES_MAX)?),
    }
}

/// Where a kept file was, with what to do where there is no way to it any more.
pub fn way_back(kept: &Path, path: &Path) -> Result<Reached> {
    Reached::exactly(path).with_context(|| {
        format!(
            "cannot bring back {}, which is kept in {}: each directory on its way must be there again, and be no link",
            path.display(),
            kept.display()
        )
    })
}

/// Root's alone: what is kept may hold secrets.
pub fn make_private(directory: &Path) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .with_context(|| format!("cannot make {}", directory.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

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
            crate::admin::setup::drop_in::socket(3400),
            crate::admin::setup::drop_in::NGINX.to_owned(),
            crate::admin::setup::sudoers::rules(None),
            crate::admin::setup::allow_list::complete(None, None).unwrap().0,
            crate::config::Users::default().text(),
        ] {
            assert!(is_ours(&ours), "{ours}");
        }
        assert!(!is_ours("durhack-deployer ALL=(ALL) NOPASSWD: /usr/bin/certbot\n"));
    }
}
