//! The files of a commit, as far as a recipe may know them: all paths with what identifies their content, and the text of
//! the few small files that say what kind of package it is.
//!
//! Read from the mirror, never from a work tree, so that nothing that a build wrote is in it.

use crate::process::tools::node_packages::is_lock_file;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use std::collections::BTreeMap;

/// The name of the file that says what git does with which files; of every commit its text is read.
const ATTRIBUTES: &str = ".gitattributes";

/// Names of files whose text a recipe may ask for, wherever they lie.
const KNOWN_NAMES: [&str; 19] = [
    ".gitignore",
    ".gitmodules",
    "package.json",
    "pnpm-workspace.yaml",
    "pnpm-lock.yaml",
    "ecosystem.config.js",
    "ecosystem.config.cjs",
    "ecosystem.config.mjs",
    "ecosystem.config.json",
    "ecosystem.json",
    "process.json",
    "pm2.json",
    "settings.py",
    "pyproject.toml",
    "alembic.ini",
    "go.mod",
    "Cargo.toml",
    "Procfile",
    "schema.prisma",
];

/// Files of those names whose text is read, at most: a workspace has some dozens of packages.
pub const TEXTS_MAX: usize = 200;

/// Of one such file, at most: the largest manifests have some ten thousand bytes. A larger one has no text.
pub const TEXT_BYTES_MAX: u64 = 256 * 1024;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    /// By path, with `/` between its parts.
    files: BTreeMap<String, File>,
    texts: BTreeMap<String, String>,
    /// When some of the files were last changed.
    changes: BTreeMap<String, u64>,
}

/// A file of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// `100644`, `100755`, `120000` for a link, `160000` for a submodule.
    pub mode: String,
    /// The id of its content.
    pub content: String,
    /// None for a submodule.
    pub bytes: Option<u64>,
}

impl Tree {
    /// From these files, without texts.
    pub fn new(files: impl IntoIterator<Item = (String, File)>) -> Self {
        Self { files: files.into_iter().collect(), ..Self::default() }
    }

    /// The same, and what is written in some of the files.
    #[must_use]
    pub fn with_texts(self, texts: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { texts: texts.into_iter().collect(), ..self }
    }

    /// The same, and when some of the files were last changed, in seconds.
    #[must_use]
    pub fn with_changes(self, changes: impl IntoIterator<Item = (String, u64)>) -> Self {
        Self { changes: changes.into_iter().collect(), ..self }
    }

    /// When a file was last changed; None where nobody has asked.
    pub fn changed_at(&self, path: &str) -> Option<u64> {
        self.changes.get(path).copied()
    }

    /// Lock files that lie beside others: of those somebody has to ask when they were changed. At most as many as a person would have.
    pub fn rivals(&self) -> Vec<&str> {
        const RIVALS_MAX: usize = 24;
        let split = |path: &'_ str| path.rsplit_once('/').map_or(0, |(directory, _)| directory.len());
        let locks: Vec<&str> = self
            .files()
            .map(|(path, _)| path)
            .filter(|path| is_lock_file(path.rsplit('/').next().unwrap_or_default()))
            .collect();
        let beside =
            |path: &str| locks.iter().filter(|other| other[..split(other)] == path[..split(path)]).count();
        locks.iter().copied().filter(|path| beside(path) > 1).take(RIVALS_MAX).collect()
    }

    /// All files, sorted by path.
    pub fn files(&self) -> impl Iterator<Item = (&str, &File)> {
        self.files.iter().map(|(path, file)| (path.as_str(), file))
    }

    /// Whether there is such a file.
    pub fn has(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// Whether there is something below such a directory.
    pub fn has_directory(&self, path: &str) -> bool {
        let inside = format!("{path}/");
        self.files.range(inside.clone()..).next().is_some_and(|(found, _)| found.starts_with(&inside))
    }

    /// The paths of its submodules.
    pub fn submodules(&self) -> Vec<&str> {
        self.files().filter(|(_, file)| file.mode == "160000").map(|(path, _)| path).collect()
    }

    /// Whether files of it may be pointers of Git LFS.
    pub fn uses_lfs(&self) -> bool {
        let attributes = self.texts.iter().filter(|(path, _)| path.ends_with(ATTRIBUTES));
        attributes.into_iter().any(|(_, text)| text.contains("filter=lfs"))
    }

    /// Whether a pattern of `paths` matches a file of it.
    pub fn matches(&self, pattern: &str) -> bool {
        let pattern = crate::git::commit_tree::globs(&[pattern.to_owned()]);
        self.files.keys().any(|path| pattern.is_match(path))
    }

    /// What is written in a file of a known name.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// Paths of the files of which the text should be read; without those that only a recipe asks for, where it asks for none.
    pub fn notification(&self, for_recipe: bool) -> Vec<String> {
        let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let notification = self.files.iter().filter(|(path, file)| {
            let is_file = file.mode.starts_with("100");
            let name = name(path);
            is_file
                && (name == ATTRIBUTES || for_recipe && KNOWN_NAMES.contains(&name.as_str()))
                // A name in another encoding came here as text, and cannot be asked for.
                && !path.contains('\u{FFFD}')
                && file.bytes.is_some_and(|bytes| bytes <= TEXT_BYTES_MAX)
        });
        notification.map(|(path, _)| path.clone()).take(TEXTS_MAX).collect()
    }
}

/// Reads what `git ls-tree -r -z --long` printed.
pub fn read_listing(listing: &str) -> Tree {
    let entries = listing.split('\0').filter_map(|entry| {
        let (head, path) = entry.split_once('\t')?;
        let mut words = head.split_ascii_whitespace();
        let (mode, _kind, content, bytes) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let file = File { mode: mode.into(), content: content.into(), bytes: bytes.parse().ok() };
        Some((path.to_owned(), file))
    });
    Tree::new(entries)
}

/// Patterns as in GitHub Actions: `*` stops at a slash, `**` does not, `docs/**` is everything below `docs`. Beside that `docs` and `docs/` are
/// also everything below it, as in `.gitignore` and CODEOWNERS.
pub fn globs(patterns: &[String]) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let whole = pattern.trim_end_matches('/');
        let last = whole.rsplit('/').next().unwrap_or_default();
        let below = (!last.contains(['*', '?', '[', '{'])).then(|| format!("{whole}/**"));
        for pattern in [Some(whole.to_owned()), below].into_iter().flatten() {
            // `config` has refused what is no pattern.
            if let Ok(glob) = GlobBuilder::new(&pattern).literal_separator(true).build() {
                set.add(glob);
            }
        }
    }
    set.build().unwrap_or_else(|_| GlobSet::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_becomes_a_tree() {
        let listing = [
            "100644 blob aaa      12\tpackage.json",
            "100755 blob bbb 9000000\tserver/package.json",
            "120000 blob ccc 5\tlink",
            "160000 commit ddd       -\tmodule",
            "100644 blob eee 1\tpr\u{f6}d/[a] b.conf",
            // Of a name in another encoding, as it comes here.
            "100644 blob fff 2\tpkg\u{FFFD}/package.json",
            "",
        ];
        let tree = read_listing(&listing.join("\0"));
        assert_eq!(tree.files().count(), 6);
        assert!(tree.has("pr\u{f6}d/[a] b.conf") && tree.has("module") && !tree.has("server"));
        assert!(tree.has_directory("server") && !tree.has_directory("serv") && !tree.has_directory("link"));
        assert_eq!(tree.notification(true), ["package.json"], "one is too large, one cannot be asked for");
        let locks = ["yarn.lock", "package-lock.json", "a/bun.lock", "b/bun.lock", "ab/yarn.lock"];
        let file = || File { mode: "100644".into(), content: String::new(), bytes: Some(1) };
        let several = Tree::new(locks.map(|path| (path.to_owned(), file())));
        assert_eq!(several.rivals(), ["package-lock.json", "yarn.lock"]);
        let tree = tree.with_texts([("package.json".into(), "{}".into())]);
        assert_eq!((tree.text("package.json"), tree.text("server/package.json")), (Some("{}"), None));
    }
}
