//! A lint: in `crates/deployer/src/deploy`, files are opened by `safe_path`, or where a reason stands here.
//!
//! What a deployment's builds make, links, pipes and huge files among it, lies where that code works. clippy's `disallowed-methods` holds for a
//! whole crate; this holds for a folder, and for functions. It reads the sources line by line: tests and comments are left out, and it knows no
//! types. What it takes for a look at a file and is none is listed like the rest.

use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Where it holds, below the repository.
const FOLDER: &str = "crates/deployer/src/deploy";

/// All of a file.
const ALL: &str = "*";

/// Imports of functions that are then called by their bare names.
const IMPORT: &str = "use";

/// Which functions of which files may, and why.
const ALLOWED: &[(&str, &[&str], &str)] = &[
    ("access.rs", &["by_ssh"], "the state directory"),
    (
        "adopt.rs",
        &[IMPORT, "survey", "sort", "obstacle", "share", "unshare", "links_to", "old_tree", "aside"],
        "names and kinds of links, never followed; renames of both names at once; an operator's command on a tree that nobody builds in then",
    ),
    ("confinement.rs", &["own_places"], "below the state directory"),
    ("execute.rs", &["find"], "looks for a program in the search path, and opens none"),
    (
        "hand_over.rs",
        &[ALL],
        "the deployer's own program and the state directory; its deployment has no user and is its operator's",
    ),
    (
        "live_modes.rs",
        &[ALL],
        "modes of directories of the deployer's own, by descriptor or without following; notes lie in the state directory",
    ),
    ("lock.rs", &["try_acquire"], "locks lie in the state directory"),
    (
        "mirror.rs",
        &[ALL],
        "mirrors and indexes lie in the state directory; what is checked out is git's to write, in a directory that `directory_below` has found",
    ),
    ("mirror/measure.rs", &["require_room"], "asks how much room there is, and opens nothing"),
    (
        "observe/places.rs",
        &[ALL],
        "kinds of the names in the deployment's path, never followed; nginx's own site files, which no build may write",
    ),
    (
        "placement.rs",
        &[ALL],
        "`inside` has gone to the place without following links; names are looked at, exchanged and removed there, none is read or followed",
    ),
    (
        "processes/pm2.rs",
        &[ALL],
        "whether a script is there, and where a release really lies: nothing is read",
    ),
    ("processes/pm2/ecosystem.rs", &[ALL], "whether a file is there; what it exports comes from the sandbox"),
    (
        "processes/pm2/home.rs",
        &[ALL],
        "PM2's home of the deployer's own user, where no build may write; another user's is read as that user",
    ),
    (
        "processes/pm2/proof.rs",
        &[ALL],
        "/proc, and the end of a log as PM2 names it: of a regular file, opened without waiting",
    ),
    ("processes/systemd.rs", &["lingering"], "whether systemd keeps a user's manager: nothing is opened"),
    ("processes/table.rs", &[ALL], "/proc"),
    (
        "processes/uwsgi.rs",
        &[ALL],
        "the vassal's file, in the emperor's directory; whoever may write there has the emperor run anything",
    ),
    ("recipes/sample.rs", &[ALL], "of tests"),
    (
        "release.rs",
        &[
            "layout_found",
            "looks_in_place",
            "new_name",
            "create",
            "current",
            "is_there",
            "activate",
            "deactivate",
            "sync_directory",
        ],
        "names directly in the deployment's path and in `releases/`, where no build of a release may write; links are read, not followed",
    ),
    ("release.rs", &["check_space"], "how full a file system is"),
    (
        "run/directories.rs",
        &["export", "update_tree", "index"],
        "indexes in the state directory; the deployment's path itself, which the operator names",
    ),
    ("sites/backup.rs", &[ALL], "nginx's configuration and the state directory: no build writes there"),
    ("sites/certificates.rs", &[ALL], "certificates that the helper or certbot has made"),
    ("sites/certificates/backoff.rs", &[ALL], "the state directory"),
    ("sites/certificates/obtained.rs", &[ALL], "the state directory"),
    ("sites/certificates/self_test.rs", &[ALL], "the webroot of challenges, which the deployer writes"),
    ("sites/durable.rs", &[ALL], "nginx's configuration: no build writes there"),
    (
        "sites/files.rs",
        &[ALL],
        "a checkout that git has just made and in which nothing has run: each path is looked at for links first",
    ),
    ("sites/install.rs", &[ALL], "nginx's configuration and the state directory"),
    ("sites/manifest.rs", &[ALL], "the state directory"),
    ("sites/reload.rs", &[ALL], "nginx's configuration, process id and log"),
    ("sites/stage.rs", &[ALL], "a copy of nginx's configuration below the state directory"),
    (
        "sites/writer.rs",
        &[ALL],
        "nginx's configuration, where a host without the helper has the deployer write it",
    ),
    ("state_modes.rs", &[ALL], "the state directory, by descriptor"),
    (
        "step_user.rs",
        &["is_ours", "grant", "id"],
        "looks whether anybody else could exchange it, without following links; the socket that systemd made",
    ),
    ("tools/nginx.rs", &["test_host"], "whether the helper's program is there"),
    ("trees.rs", &["remove"], "what lies under a name is removed, and not followed"),
    ("worker.rs", &["supervised"], "the state directory"),
];

/// Something found.
#[derive(Debug, PartialEq)]
struct Access {
    line: usize,
    function: String,
    what: String,
}

/// See the module.
pub fn check() -> Result<()> {
    let mut files = Vec::new();
    collect(Path::new(FOLDER), &mut files).with_context(|| format!("cannot read {FOLDER}"))?;
    files.sort();
    let mut used = BTreeSet::new();
    let mut problems = Vec::new();
    for path in &files {
        let name = path.strip_prefix(FOLDER).expect("it was found there").to_string_lossy().into_owned();
        for access in accesses(&std::fs::read_to_string(path)?) {
            match allowed(&name, &access.function, ALLOWED) {
                Some(entry) => drop(used.insert(entry)),
                None => problems.push(format!(
                    "{}:{}: `{}` in `{}`: a build may have made this file. Use `safe_path` (read_text, open_now, Directory), or list the function in xtask/src/file_access.rs with the reason why nobody else can write there",
                    path.display(), access.line, access.what, access.function
                )),
            }
        }
    }
    for (file, functions, _) in ALLOWED {
        for function in functions.iter().filter(|function| !used.contains(&(*file, **function))) {
            eprintln!(
                "note: xtask/src/file_access.rs: `{function}` of {file} opens nothing any more: remove it"
            );
        }
    }
    if !problems.is_empty() {
        bail!("files are opened where links are followed:\n{}", problems.join("\n"));
    }
    Ok(())
}

fn allowed<'a>(
    file: &str,
    function: &str,
    list: &[(&'a str, &[&'a str], &str)],
) -> Option<(&'a str, &'a str)> {
    let of_file = list.iter().filter(|(name, ..)| *name == file);
    let mut entries =
        of_file.flat_map(|(name, functions, _)| functions.iter().map(|function| (*name, *function)));
    entries.find(|(_, allowed)| *allowed == function || *allowed == ALL)
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// Every place of a source at which a file is looked at, but for its tests.
fn accesses(source: &str) -> Vec<Access> {
    let mut found = Vec::new();
    let mut function = String::new();
    let mut import = false;
    let lines: Vec<&str> = source.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        if code.trim() == "#[cfg(test)]"
            && lines.get(at + 1).is_some_and(|next| next.starts_with("mod tests"))
        {
            break;
        }
        if let Some(name) = function_name(code) {
            function = name.to_owned();
        }
        import |= code.trim_start().starts_with("use ") || code.trim_start().starts_with("pub use ");
        let whose = if import { IMPORT.to_owned() } else { function.clone() };
        for what in if import { imported(code) } else { called(code) } {
            found.push(Access { line: at + 1, function: whose.clone(), what });
        }
        import &= !code.contains(';');
    }
    found
}

fn function_name(code: &str) -> Option<&str> {
    let words = code.split_whitespace();
    let name = words.skip_while(|word| *word != "fn").nth(1)?;
    let before = code.split("fn ").next()?.trim();
    let is_head = before.split_whitespace().all(|word| {
        ["async", "const", "unsafe"].contains(&word) || word.starts_with("pub") || word.ends_with(')')
    });
    is_head.then(|| name.split(['(', '<']).next().unwrap_or(name))
}

/// Functions of a module of files that are imported by name.
fn imported(code: &str) -> Vec<String> {
    let Some(at) = code.find("fs::") else { return Vec::new() };
    let names = code[at..].split(|of: char| !(of.is_alphanumeric() || of == '_'));
    let modules = ["fs", "os", "unix", "self", "as", "tokio"];
    let is_function = |name: &&str| name.starts_with(char::is_lowercase) && !modules.contains(name);
    names.filter(is_function).map(str::to_owned).collect()
}

/// Calls that open, list, make, change or look at what a name leads to.
fn called(code: &str) -> Vec<String> {
    const METHODS: [&str; 12] = [
        ".exists()",
        ".try_exists()",
        ".metadata()",
        ".symlink_metadata()",
        ".canonicalize()",
        ".read_link()",
        ".read_dir()",
        "File::open(",
        "File::create(",
        "File::options(",
        "OpenOptions::new(",
        "NamedTempFile::new",
    ];
    let mut found: Vec<String> =
        METHODS.iter().filter(|method| code.contains(**method)).map(|method| (*method).to_owned()).collect();
    for (at, _) in code.match_indices("fs::").chain(code.match_indices("fs_err::")) {
        let path: String =
            code[at..].chars().take_while(|of| of.is_alphanumeric() || "_:".contains(*of)).collect();
        let name = path.rsplit("::").next().unwrap_or_default();
        let is_call = code[at + path.len()..].starts_with('(');
        let is_whole = !code[..at].ends_with(|of: char| of.is_alphanumeric() || of == '_');
        if is_call && is_whole && name.starts_with(char::is_lowercase) {
            found.push(path);
        }
    }
    for method in [".is_file()", ".is_dir()"] {
        for (at, _) in code.match_indices(method) {
            // Of what was looked at already.
            let receiver =
                code[..at].rsplit(|of: char| !(of.is_alphanumeric() || "_().".contains(of))).next();
            let receiver = receiver.unwrap_or_default();
            if !["found", "kind", "file_type()"].iter().any(|known| receiver.ends_with(known)) {
                found.push(method.to_owned());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(source: &str) -> Vec<(usize, String, String)> {
        accesses(source).into_iter().map(|access| (access.line, access.function, access.what)).collect()
    }

    #[test]
    fn a_planted_violation_is_found_with_its_line_and_function() {
        for (planted, what) in [
            ("let text = fs_err::read_to_string(file)?;", "fs_err::read_to_string"),
            ("let text = fs::read(&file)?;", "fs::read"),
            ("let text = std::fs::read(&file)?;", "fs::read"),
            ("let text = tokio::fs::read(&file).await?;", "fs::read"),
            ("std::os::unix::fs::symlink(a, b)?;", "fs::symlink"),
            ("let fd = rustix::fs::open(path, flags, mode)?;", "fs::open"),
            ("let file = File::open(path)?;", "File::open("),
            ("if path.exists() {", ".exists()"),
            ("let real = path.canonicalize()?;", ".canonicalize()"),
            ("if directory.join(name).is_file() {", ".is_file()"),
        ] {
            let source = format!(
                "use a::b;\n\nimpl A {{\n    pub async fn of<'a>(file: &'a Path) -> X {{\n        {planted}\n    }}\n}}\n"
            );
            assert_eq!(found(&source), [(5, "of".into(), what.into())], "{planted}");
        }
        assert_eq!(
            found("use rustix::fs::{CWD, RenameFlags, renameat_with};\n"),
            [(1, "use".into(), "renameat_with".into())]
        );
        assert_eq!(found("use fs_err::os::unix::fs::symlink;\n"), [(1, "use".into(), "symlink".into())]);
    }

    #[test]
    fn what_opens_nothing_is_not_found() {
        let source = "use fs_err as fs;\nuse std::os::unix::fs::MetadataExt;\nfn a() {\n    // fs::read(x)\n    let offs = offs::read(x);\n    let x = found.is_file() || entry.file_type().is_dir();\n    let y: fs::File = z;\n}\n#[cfg(test)]\nmod tests {\n    fn b() { fs::read(x) }\n}\n";
        assert_eq!(found(source), []);
    }

    #[test]
    fn a_function_that_is_not_listed_is_not_allowed() {
        let list: &[(&str, &[&str], &str)] = &[("lock.rs", &["acquire"], "why"), ("sites.rs", &[ALL], "why")];
        assert!(allowed("lock.rs", "acquire", list).is_some() && allowed("sites.rs", "any", list).is_some());
        assert!(
            allowed("lock.rs", "other", list).is_none() && allowed("other.rs", "acquire", list).is_none()
        );
    }
}
