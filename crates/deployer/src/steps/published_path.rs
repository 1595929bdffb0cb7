//! Files that are served at a path that does not follow `current`: brought there without a moment in which nothing is there, and back.
//!
//! In a layout of releases, [`Placement::Publish`] makes such a path a link into `current`, once; where a work tree is adopted,
//! [`Placement::Replace`] exchanges what it has there for that link. In place there is no `current`: what is
//! built comes to lie beside what is served, and [`Placement::Exchange`] swaps the two names in one system call (renameat2(2)
//! with RENAME_EXCHANGE). Which of the two is which is then only known by their inodes: so a note with the new one's is
//! written before. It names the run, so that a note of an earlier one takes nothing back.
//!
//! No link that a repository may have planted on the way to a path is followed.

use crate::base::files::safe_path::{self, directory_below};
use anyhow::{Context, Result, bail};
use fs_err as fs;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::{Deserialize, Serialize};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A note is a run's id and a number.
const NOTE_BYTES_MAX: u64 = 256;

/// What is done; paths are relative to the deployment's, but for `Require`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// There must be something here.
    Require {
        path: PathBuf,
        /// What is to be done where there is nothing.
        hint: String,
    },
    /// Remove what an earlier run left beside what is served.
    Clear {
        /// What is served.
        path: PathBuf,
    },
    /// Swap what was built beside it with what is served.
    Exchange {
        /// What is served.
        path: PathBuf,
        /// Whose build it is.
        run: String,
    },
    /// Swap it back, if this run's exchange took place.
    ExchangeBack {
        /// What is served.
        path: PathBuf,
        /// Whose build it is.
        run: String,
    },
    /// Make the path a link to the same path of the live release.
    Publish {
        /// What is served.
        path: PathBuf,
    },
    /// Remove that link.
    Unpublish {
        /// What was served.
        path: PathBuf,
    },
    /// Exchange what is served for that link; it lies beside from then on.
    Replace {
        /// What is served.
        path: PathBuf,
    },
    /// Exchange the link for what lies beside, if there is something.
    Restore {
        /// What is served.
        path: PathBuf,
    },
}

/// Where a build that is to be exchanged with `path` has to lie.
pub fn beside(path: &Path) -> PathBuf {
    named_beside(path, "next")
}

/// Where what was served before the first release lies.
fn before(path: &Path) -> PathBuf {
    named_beside(path, "before")
}

fn named_beside(path: &Path, what: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{what}"))
}

impl Placement {
    /// One line for people.
    pub fn shown(&self) -> String {
        match self {
            Self::Require { path, .. } => format!("require {}", path.display()),
            Self::Clear { path } => format!("remove {}", beside(path).display()),
            Self::Exchange { path, .. } => {
                format!("exchange {} with {}", beside(path).display(), path.display())
            }
            Self::ExchangeBack { path, .. } => {
                format!("exchange {} with {} back", beside(path).display(), path.display())
            }
            Self::Publish { path } => format!("link {} -> {}", path.display(), into_current(path).display()),
            Self::Unpublish { path } => format!("remove the link {}", path.display()),
            Self::Replace { path } => {
                format!("exchange {} for a link -> {}", path.display(), into_current(path).display())
            }
            Self::Restore { path } => {
                format!("exchange the link {} for {}", path.display(), before(path).display())
            }
        }
    }

    /// Does it, below a deployment's path. Gives what is left for the caller to remove.
    pub fn carry_out(&self, root: &Path) -> Result<Option<PathBuf>> {
        match self {
            Self::Clear { path } => return Ok(Some(inside(root, &beside(path))?)),
            Self::Require { path, hint } => require(path, hint),
            Self::Exchange { path, run } => exchange(root, path, run),
            Self::ExchangeBack { path, run } => exchange_back(root, path, run),
            Self::Publish { path } => publish(root, path),
            Self::Unpublish { path } => unpublish(root, path),
            Self::Replace { path } => replace(root, path),
            Self::Restore { path } => restore(root, path),
        }?;
        Ok(None)
    }
}

/// The path below `root`, with no link on the way to it.
fn inside(root: &Path, path: &Path) -> Result<PathBuf> {
    let name = path.file_name().with_context(|| format!("{} has no name", path.display()))?;
    Ok(directory_below(root, path.parent().unwrap_or(Path::new("")))?.join(name))
}

fn require(path: &Path, hint: &str) -> Result<()> {
    match path.symlink_metadata() {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("there is nothing at {}\nhint: {hint}", path.display())
        }
        Err(error) => Err(error).with_context(|| format!("cannot look at {}", path.display())),
    }
}

fn exchange(root: &Path, path: &Path, run: &str) -> Result<()> {
    let (served, built) = (inside(root, path)?, inside(root, &beside(path))?);
    let new = fs::symlink_metadata(&built).context("there is nothing to exchange")?;
    write_note(&named_beside(&served, "exchange"), &note_text(run, new.ino()))?;
    swap(&built, &served)
}

fn exchange_back(root: &Path, path: &Path, run: &str) -> Result<()> {
    let (served, built) = (inside(root, path)?, inside(root, &beside(path))?);
    let note = safe_path::read_text_now(root, &named_beside(&served, "exchange"), NOTE_BYTES_MAX);
    let note = note.unwrap_or_default();
    match served.symlink_metadata() {
        Ok(found) if note == note_text(run, found.ino()) => swap(&served, &built),
        // Not exchanged, or back already.
        _ => Ok(()),
    }
}

/// Writes it durably, and into no file that a link of a build's names.
fn write_note(note: &Path, text: &str) -> Result<()> {
    match fs::remove_file(note) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let mut file = fs::File::options().write(true).create_new(true).open(note)?;
    file.write_all(text.as_bytes())?;
    Ok(file.sync_all()?)
}

fn note_text(run: &str, inode: u64) -> String {
    format!("{run} {inode}\n")
}

/// Gives `from` the name `to`, and what had that name the name `from`.
fn swap(from: &Path, to: &Path) -> Result<()> {
    let flags = match to.symlink_metadata() {
        Ok(_) => RenameFlags::EXCHANGE,
        Err(_) => RenameFlags::NOREPLACE,
    };
    renameat_with(CWD, from, CWD, to, flags)
        .with_context(|| format!("cannot exchange {} with {}", from.display(), to.display()))?;
    let directory = to.parent().expect("it lies in a directory");
    Ok(fs::File::open(directory)?.sync_all()?)
}

/// Where a published path leads: out of its own directory to `current`.
fn into_current(path: &Path) -> PathBuf {
    let up: PathBuf = path.iter().skip(1).map(|_| "..").collect();
    up.join("current").join(path)
}

fn publish(root: &Path, path: &Path) -> Result<()> {
    let (link, target) = (inside(root, path)?, into_current(path));
    match link.symlink_metadata() {
        Ok(_) if is_link_to(&link, &target) => Ok(()),
        Ok(_) => {
            bail!("{} is in the way of a link to the live release\nhint: mv {0} {0}.old", link.display())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(fs::os::unix::fs::symlink(&target, &link)?),
        Err(error) => Err(error).with_context(|| format!("cannot look at {}", link.display())),
    }
}

fn unpublish(root: &Path, path: &Path) -> Result<()> {
    let link = inside(root, path)?;
    match is_link_to(&link, &into_current(path)) {
        true => Ok(fs::remove_file(&link)?),
        false => Ok(()),
    }
}

fn replace(root: &Path, path: &Path) -> Result<()> {
    let (served, aside, target) = (inside(root, path)?, inside(root, &before(path))?, into_current(path));
    if is_link_to(&served, &target) || served.symlink_metadata().is_err() {
        return publish(root, path);
    }
    if is_link_to(&aside, &target) {
        fs::remove_file(&aside)?;
    }
    // What lies there already is somebody's, and stays: then there is no link.
    fs::os::unix::fs::symlink(&target, &aside)?;
    swap(&aside, &served)
}

fn restore(root: &Path, path: &Path) -> Result<()> {
    let (served, aside, target) = (inside(root, path)?, inside(root, &before(path))?, into_current(path));
    let is_replaced = is_link_to(&served, &target) && aside.symlink_metadata().is_ok();
    if is_replaced && !is_link_to(&aside, &target) {
        swap(&aside, &served)?;
    }
    match is_link_to(&aside, &target) {
        true => Ok(fs::remove_file(&aside)?),
        false => Ok(()),
    }
}

fn is_link_to(path: &Path, target: &Path) -> bool {
    fs::read_link(path).is_ok_and(|found| found == target)
}

/// Makes what remains of a directory of the work tree when the tree is moved aside: the links of the published paths below `name`,
/// in a directory `made`. False: there are none.
pub fn keep_published(published: &[PathBuf], name: &Path, made: &Path) -> Result<bool> {
    let mut any = false;
    for path in published {
        let Ok(inner) = path.strip_prefix(name) else { continue };
        let link = made.join(inner);
        fs::create_dir_all(link.parent().unwrap_or(made))?;
        match fs::os::unix::fs::symlink(into_current(path), &link) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
            _ => any = true,
        }
    }
    Ok(any)
}

/// Whether a path of the old tree is, or lies behind, a published link into `current`.
pub fn leads_to_current(published: &[PathBuf], root: &Path, path: &Path) -> bool {
    let mut above = published.iter().filter(|published| path.starts_with(published));
    above.any(|published| is_link_to(&root.join(published), &into_current(published)))
}

/// Whether there is nothing at `name` but what [`keep_published`] makes.
pub fn is_published_only(published: &[PathBuf], root: &Path, name: &Path) -> bool {
    if published.iter().any(|path| path == name) {
        return is_link_to(&root.join(name), &into_current(name));
    }
    let is_on_the_way = published.iter().any(|path| path.starts_with(name));
    let Ok(inner) = fs::read_dir(root.join(name)) else { return false };
    is_on_the_way
        && inner.into_iter().all(|entry| {
            entry.is_ok_and(|entry| is_published_only(published, root, &name.join(entry.file_name())))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Site(tempfile::TempDir);

    impl Site {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            fs::create_dir(root.path().join("client")).unwrap();
            Self(root)
        }

        fn write(&self, path: &Path, content: &str) {
            let directory = self.0.path().join(path);
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("index.html"), content).unwrap();
        }

        fn served(&self) -> String {
            fs::read_to_string(self.0.path().join("client/build/index.html")).unwrap_or_default()
        }

        fn act(&self, placement: &Placement) -> Result<()> {
            placement.carry_out(self.0.path()).map(drop)
        }
    }

    fn both(run: &str) -> (Placement, Placement) {
        let (path, run) = (PathBuf::from("client/build"), run.to_owned());
        let back = Placement::ExchangeBack { path: path.clone(), run: run.clone() };
        (Placement::Exchange { path, run }, back)
    }

    #[test]
    fn an_exchange_is_taken_back_once_and_only_by_its_own_run() {
        let site = Site::new();
        let live = Path::new("client/build");
        site.write(live, "old");
        site.write(&beside(live), "new");
        let ((exchange, back), (_, back_of_other)) = (both("1"), both("2"));
        site.act(&back).unwrap();
        assert_eq!(site.served(), "old", "nothing had been exchanged");
        site.act(&exchange).unwrap();
        assert_eq!(site.served(), "new");
        site.act(&back_of_other).unwrap();
        assert_eq!(site.served(), "new", "an earlier run's exchange stays");
        for _ in 0..2 {
            site.act(&back).unwrap();
            assert_eq!(site.served(), "old", "however often");
        }
    }

    #[test]
    fn a_first_exchange_takes_the_name_and_gives_it_back() {
        let site = Site::new();
        site.write(&beside(Path::new("client/build")), "new");
        let (exchange, back) = both("1");
        site.act(&exchange).unwrap();
        assert_eq!(site.served(), "new");
        site.act(&back).unwrap();
        site.act(&back).unwrap();
        assert_eq!(site.served(), "");
    }

    #[test]
    fn what_was_not_built_is_not_exchanged() {
        let site = Site::new();
        site.write(Path::new("client/build"), "old");
        let (exchange, _) = both("1");
        assert!(site.act(&exchange).unwrap_err().to_string().starts_with("there is nothing to exchange"));
        let require =
            Placement::Require { path: site.0.path().join("client/build"), hint: "build it".into() };
        site.act(&require).unwrap();
        let require = Placement::Require { path: site.0.path().join("gone"), hint: "build it".into() };
        assert!(site.act(&require).unwrap_err().to_string().ends_with("gone\nhint: build it"));
        assert_eq!(site.served(), "old");
    }

    #[test]
    fn a_published_path_is_a_link_into_current_and_nothing_else_is_touched() {
        let site = Site::new();
        let root = site.0.path();
        site.write(Path::new("releases/1/client/build"), "one");
        fs::os::unix::fs::symlink("releases/1", root.join("current")).unwrap();
        let path = PathBuf::from("client/build");
        let (publish, unpublish) =
            (Placement::Publish { path: path.clone() }, Placement::Unpublish { path: path.clone() });
        site.act(&publish).unwrap();
        site.act(&publish).unwrap();
        assert_eq!(site.served(), "one");
        assert_eq!(publish.shown(), "link client/build -> ../current/client/build");
        site.act(&unpublish).unwrap();
        site.act(&unpublish).unwrap();
        assert!(root.join(&path).symlink_metadata().is_err());
        site.write(&path, "somebody's");
        assert!(site.act(&publish).unwrap_err().to_string().contains("in the way"));
        site.act(&unpublish).unwrap();
        assert_eq!(site.served(), "somebody's");
    }

    #[test]
    fn what_a_work_tree_serves_is_replaced_and_comes_back_from_any_state() {
        let site = Site::new();
        let root = site.0.path();
        let path = PathBuf::from("client/build");
        site.write(Path::new("releases/1/client/build"), "one");
        fs::os::unix::fs::symlink("releases/1", root.join("current")).unwrap();
        site.write(&path, "in place");
        let replace = Placement::Replace { path: path.clone() };
        let restore = Placement::Restore { path: path.clone() };
        site.act(&restore).unwrap();
        assert_eq!(site.served(), "in place", "nothing had been replaced");
        // A crash may come before the exchange.
        fs::os::unix::fs::symlink("../current/client/build", root.join("client/.build.before")).unwrap();
        for _ in 0..2 {
            site.act(&replace).unwrap();
            assert_eq!(site.served(), "one");
        }
        for _ in 0..2 {
            site.act(&restore).unwrap();
            assert_eq!(site.served(), "in place");
            assert!(root.join("client/.build.before").symlink_metadata().is_err());
        }
        site.act(&replace).unwrap();
        fs::remove_file(root.join("client/build")).unwrap();
        site.write(&path, "again");
        assert!(site.act(&replace).is_err(), "what was served first is not lost");
        assert_eq!(site.served(), "again");
    }

    #[test]
    fn of_a_tree_that_is_moved_aside_the_published_links_stay() {
        let site = Site::new();
        let root = site.0.path();
        let published = [PathBuf::from("client/build")];
        let (client, kept) = (Path::new("client"), root.join("kept"));
        site.write(Path::new("client/build"), "a directory");
        assert!(!is_published_only(&published, root, client));
        for _ in 0..2 {
            assert!(keep_published(&published, client, &kept).unwrap());
        }
        assert!(!keep_published(&published, Path::new("server"), &root.join("server")).unwrap());
        assert!(!root.join("server").exists());
        fs::remove_dir_all(root.join("client")).unwrap();
        fs::rename(&kept, root.join("client")).unwrap();
        assert!(is_published_only(&published, root, client));
        fs::write(root.join("client/more"), "of the tree").unwrap();
        assert!(!is_published_only(&published, root, client));
    }

    #[test]
    fn links_on_the_way_are_not_followed() {
        let site = Site::new();
        let outside = tempfile::tempdir().unwrap();
        fs::create_dir(outside.path().join(".build.next")).unwrap();
        fs::remove_dir(site.0.path().join("client")).unwrap();
        fs::os::unix::fs::symlink(outside.path(), site.0.path().join("client")).unwrap();
        assert!(site.act(&Placement::Clear { path: "client/build".into() }).is_err());
        assert!(site.act(&both("1").0).is_err());
        assert!(outside.path().join(".build.next").exists());
    }

    #[test]
    fn a_note_goes_into_no_file_that_a_build_has_linked() {
        let site = Site::new();
        site.write(&beside(Path::new("client/build")), "new");
        let precious = site.0.path().join("precious");
        fs::write(&precious, "mine").unwrap();
        fs::os::unix::fs::symlink(&precious, site.0.path().join("client/.build.exchange")).unwrap();
        site.act(&both("1").0).unwrap();
        assert_eq!(
            (fs::read_to_string(&precious).unwrap().as_str(), site.served().as_str()),
            ("mine", "new")
        );
    }

    #[test]
    fn what_an_earlier_run_left_goes() {
        let site = Site::new();
        let clear = Placement::Clear { path: "client/build".into() };
        let left = clear.carry_out(site.0.path()).unwrap();
        assert_eq!(left, Some(site.0.path().join("client/.build.next")));
        fs::os::unix::fs::symlink("/etc", site.0.path().join("link")).unwrap();
        let outside = Placement::Clear { path: "link/build".into() };
        assert!(outside.carry_out(site.0.path()).is_err(), "no link is followed on the way");
    }

    #[test]
    fn a_note_that_is_a_link_or_a_pipe_is_none() {
        let (site, path) = (Site::new(), PathBuf::from("client/build"));
        site.write(&path, "old");
        site.write(&beside(&path), "new");
        let run = "run".to_owned();
        site.act(&Placement::Exchange { path: path.clone(), run: run.clone() }).unwrap();
        assert_eq!(site.served(), "new");
        let note = site.0.path().join("client/.build.exchange");
        let (kept, back) = (site.0.path().join("kept"), Placement::ExchangeBack { path, run });
        fs::rename(&note, &kept).unwrap();
        fs::os::unix::fs::symlink(&kept, &note).unwrap();
        site.act(&back).unwrap();
        assert_eq!(site.served(), "new", "what a link leads to was believed");
        fs::remove_file(&note).unwrap();
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(CWD, &note, kind, rustix::fs::Mode::RWXU, 0).unwrap();
        site.act(&back).unwrap();
        fs::remove_file(&note).unwrap();
        fs::rename(&kept, &note).unwrap();
        site.act(&back).unwrap();
        assert_eq!(site.served(), "old");
    }
}
