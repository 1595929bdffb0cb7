//! A repository as on GitHub: a bare one that the daemon fetches from, and a work tree that pushes to it.

use super::github::GitHub;
use super::process::{command, succeed};
use super::push::{Delivery, NO_COMMIT};
use std::path::{Path, PathBuf};

/// See the module. Its commits are pushed, and known to the world's GitHub, as soon as they are made.
#[derive(Debug)]
pub struct Repository {
    /// `owner/name`
    pub name: String,
    bare: PathBuf,
    work_tree: PathBuf,
    home: PathBuf,
    github: GitHub,
}

impl Repository {
    /// An empty one with the branch `main`, under `root`.
    pub fn create(root: &Path, name: &str, github: GitHub) -> Self {
        let bare = root.join("upstream").join(format!("{name}.git"));
        let work_tree = root.join("work").join(name);
        let home = root.join("home");
        for directory in [&bare, &work_tree] {
            fs_err::create_dir_all(directory).expect("the world is writable");
        }
        github.add_repository(name);
        // The world's files may be given to another user; git then wants to be told that it is meant.
        fs_err::write(home.join("gitconfig"), "[safe]\n\tdirectory = *\n").expect("the world is writable");
        let repository = Self { name: name.to_owned(), bare, work_tree, home, github };
        succeed(
            command("git", &repository.home)
                .args(["init", "-q", "--bare", "-b", "main"])
                .arg(&repository.bare),
        );
        // GitHub lets its default branch be deleted once another one is; a bare repository needs to be told.
        let mut allow = command("git", &repository.home);
        succeed(allow.current_dir(&repository.bare).args(["config", "receive.denyDeleteCurrent", "ignore"]));
        repository.git(&["init", "-q", "-b", "main"]);
        repository
    }

    /// Where the daemon fetches from.
    pub fn clone_url(&self) -> String {
        format!("file://{}", self.bare.display())
    }

    /// What is upstream, for what a push of ours cannot do.
    pub fn bare(&self) -> &Path {
        &self.bare
    }

    /// For what [`Repository::commit`] cannot write: links, modes.
    pub fn work_tree(&self) -> &Path {
        &self.work_tree
    }

    /// git in the work tree.
    #[track_caller]
    pub fn git(&self, arguments: &[&str]) -> String {
        succeed(
            command("git", &self.home)
                .current_dir(&self.work_tree)
                .env("GIT_CONFIG_GLOBAL", self.home.join("gitconfig"))
                .args(arguments),
        )
    }

    /// Writes the files, commits them to the branch checked out, pushes, and gives the commit's id.
    #[track_caller]
    pub fn commit(&self, files: &[(&str, &str)], message: &str) -> String {
        for (name, content) in files {
            let path = self.work_tree.join(name);
            fs_err::create_dir_all(path.parent().expect("a file lies in a directory")).expect("writable");
            fs_err::write(path, content).expect("writable");
        }
        self.git(&["add", "--all"]);
        self.commit_index(message)
    }

    /// Commits what is staged, and pushes.
    #[track_caller]
    pub fn commit_index(&self, message: &str) -> String {
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        let branch = self.git(&["branch", "--show-current"]);
        self.push(&format!("HEAD:refs/heads/{branch}"));
        let commit = self.git(&["rev-parse", "HEAD"]);
        self.github.add_commit(&self.name, &commit);
        commit
    }

    /// Starts a branch at what is checked out, and goes there.
    #[track_caller]
    pub fn start_branch(&self, branch: &str) {
        self.git(&["checkout", "-q", "-b", branch]);
    }

    /// Moves `main` back (or sideways) to a commit, by force.
    #[track_caller]
    pub fn force(&self, commit: &str) {
        self.git(&["reset", "-q", "--hard", commit]);
        self.push("+HEAD:refs/heads/main");
    }

    /// Deletes a branch upstream.
    #[track_caller]
    pub fn delete_branch(&self, branch: &str) {
        self.push(&format!(":refs/heads/{branch}"));
    }

    /// Makes, moves or (by [`NO_COMMIT`]) deletes a reference upstream, to a commit that is there.
    #[track_caller]
    pub fn set_reference(&self, reference: &str, commit: &str) {
        let mut update = command("git", &self.home);
        succeed(update.current_dir(&self.bare).args(["update-ref", reference, commit]));
    }

    /// What GitHub sends after `commit` was pushed to `main`.
    #[track_caller]
    pub fn push_of(&self, commit: &str) -> Delivery {
        self.push_to("main", commit)
    }

    /// What GitHub sends after `commit` was pushed to `branch`.
    #[track_caller]
    pub fn push_to(&self, branch: &str, commit: &str) -> Delivery {
        let parents = self.git(&["rev-list", "--parents", "-n1", commit]);
        let before = parents.split(' ').nth(1).unwrap_or(NO_COMMIT).to_owned();
        Delivery::push(&self.name, &format!("refs/heads/{branch}"), &before, commit)
    }

    #[track_caller]
    fn push(&self, refspec: &str) {
        let url = self.clone_url();
        self.git(&["push", "-q", &url, refspec]);
    }
}

#[test]
fn upstream_has_what_was_pushed_forced_or_deleted() {
    let root = tempfile::tempdir().expect("a directory in /tmp");
    fs_err::create_dir(root.path().join("home")).expect("it is ours");
    let repository = Repository::create(root.path(), "acme/site", GitHub::start());
    let url = repository.clone_url();
    let head = || repository.git(&["ls-remote", &url, "refs/heads/main"]);
    let first = repository.commit(&[("a/b", "1")], "first");
    let second = repository.commit(&[("a/b", "2")], "second");
    assert!(head().starts_with(&second));
    repository.force(&first);
    assert!(head().starts_with(&first));
    let pushed: serde_json::Value =
        serde_json::from_slice(&repository.push_of(&second).body).expect("a payload is JSON");
    assert_eq!((&pushed["before"], &pushed["after"]), (&first.into(), &second.into()));
    assert_eq!(pushed["repository"]["full_name"], "acme/site");
    repository.delete_branch("main");
    assert_eq!(head(), "");
}
