//! A lint: on the floors that work in a deployment's directories, and where `move-user` walks through them as root, files are opened by
//! `safe_path`, or where a reason stands here. In the whole crate, nothing but `safe_path` calls openat2(2): containers refuse it, and only there stands
//! what is done instead.
//!
//! What a deployment's builds make, links, pipes and huge files among it, lies where that code works. clippy's `disallowed-methods` holds for a
//! whole crate; this holds for a folder, and for functions. It reads the sources line by line: tests and comments are left out, and it knows no
//! types. What it takes for a look at a file and is none is listed like the rest.
//!
//! Not seen: a path that is given to a function of another module which opens it. The functions of `safe_path` that follow links are known by
//! name ([`FOLLOWING`]); whoever writes another one adds it there.

use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Where it holds, below [`CRATE`]. Each is a folder or a file.
const PLACES: [&str; 10] = [
    "admin/move_user",
    "admin/move_user.rs",
    "git",
    "pipeline",
    "plan",
    "plan.rs",
    "process",
    "queue/job.rs",
    "steps",
    "steps.rs",
];

/// Where nothing calls openat2(2), but for one file.
const CRATE: &str = "crates/deployer/src";
const CALLER_OF_OPENAT2: &str = "base/files/safe_path.rs";

/// Functions of this crate that open a path and follow links on it, whatever module they are called through.
const FOLLOWING: [&str; 1] = ["read_small("];

/// All of a file.
const ALL: &str = "*";

/// Imports of functions that are then called by their bare names.
const IMPORT: &str = "use";

/// Which functions of which files may, and why.
const ALLOWED: &[(&str, &[&str], &str)] = &[
    ("git/access.rs", &["by_ssh"], "the state directory"),
    (
        "pipeline/adopt.rs",
        &[IMPORT, "survey", "sort", "obstacle", "share", "unshare", "links_to", "old_tree", "aside"],
        "names and kinds of links, never followed; renames of both names at once; an operator's command on a tree that nobody builds in then",
    ),
    (
        "pipeline/adopt.rs",
        &["in_use", "named_by", "links_from", "walk", "lies_in_old_tree"],
        "whether the deployer's own files are there; files of nginx's and systemd's configuration, where no build writes; where links lead, of which \
         nothing is opened",
    ),
    (
        "process/claim.rs",
        &[IMPORT, "holds", "open", "written", "expect_no_database"],
        "the kernel's table of locks; the lock's own descriptor, which `safe_path` has opened, and its directory's; whether the database is there, in the state directory",
    ),
    ("process/sandbox_policy.rs", &["own_places"], "below the state directory"),
    ("process/executor.rs", &["find"], "looks for a program in the search path, and opens none"),
    (
        "steps/self_update.rs",
        &[ALL],
        "the deployer's own program and the state directory; its deployment has no user and is its operator's",
    ),
    (
        "steps/live_modes.rs",
        &[ALL],
        "modes of directories of the deployer's own, by descriptor or without following; notes lie in the state directory",
    ),
    (
        "steps/kept_files.rs",
        &["keep_now", "put_back_now", "prune"],
        "copies in the state directory; what is copied is opened, and put back, by `safe_path`",
    ),
    (
        "process/lock.rs",
        &["try_acquire", "holder"],
        "locks lie in the state directory; the kernel's table of locks",
    ),
    (
        "admin/move_user.rs",
        &["look", "carry_out", "directories", "is_directory_of"],
        "kinds and owners of names, never followed: what is then done goes by descriptors, or as the deployer",
    ),
    ("admin/move_user.rs", &["lock_of"], "the lock's own descriptor"),
    (
        "admin/move_user/programs.rs",
        &["with_drop_in", "none_of"],
        "/etc/systemd, where root alone writes; whether there is a socket in PM2's home, which is then asked as its user",
    ),
    ("admin/move_user/served.rs", &[ALL], "a directory below /run, where root alone writes"),
    (
        "admin/move_user/tree.rs",
        &[IMPORT, "is_still_there", "remove_access_lists", "look"],
        "descriptors that `safe_path::entry` has given, and the kernel's names for them",
    ),
    (
        "git/mirror.rs",
        &[ALL],
        "mirrors and indexes lie in the state directory; what is checked out is git's to write, in a directory that `directory_below` has found",
    ),
    (
        "pipeline/worker/attempt.rs",
        &["rollback_target"],
        "whether there is a directory of that name, which a rollback opens by `safe_path` later",
    ),
    ("git/mirror/measure.rs", &["require_room"], "asks how much room there is, and opens nothing"),
    (
        "pipeline/observe/places.rs",
        &[ALL],
        "kinds of the names in the deployment's path, never followed; nginx's own site files, which no build may write",
    ),
    (
        "steps/published_path.rs",
        &[ALL],
        "`inside` has gone to the place without following links; names are looked at, exchanged and removed there, none is read or followed",
    ),
    (
        "steps/process_manager/pm2.rs",
        &[ALL],
        "whether a script is there, and where a release really lies: nothing is read",
    ),
    (
        "steps/process_manager/pm2/ecosystem.rs",
        &[ALL],
        "whether a file is there; what it exports comes from the sandbox",
    ),
    (
        "steps/process_manager/pm2/former.rs",
        &["end"],
        "a socket in a directory of root's below /run, for the deployer alone",
    ),
    (
        "steps/process_manager/pm2/home.rs",
        &[ALL],
        "PM2's home of the deployer's own user, where no build may write; another user's is read as that user",
    ),
    (
        "steps/process_manager/pm2/proof.rs",
        &[ALL],
        "/proc, and the end of a log as PM2 names it: of a regular file, opened without waiting",
    ),
    (
        "steps/process_manager/systemd.rs",
        &["lingering"],
        "whether systemd keeps a user's manager: nothing is opened",
    ),
    ("process/process_table.rs", &[ALL], "/proc"),
    (
        "steps/process_manager/uwsgi.rs",
        &[IMPORT, "link", "touch", "file", "stop"],
        "names in the emperor's directory, and the link there; whoever may write there has the emperor run anything",
    ),
    (
        "steps/process_manager/uwsgi.rs",
        &["running_now"],
        "a pid file, wherever the vassal's file says that it lies: of it only a number is used, and it is read on a thread of its own",
    ),
    (
        "steps/process_manager/uwsgi.rs",
        &["masters_by_arguments", "old"],
        "where directories really lie: nothing in them is opened",
    ),
    ("steps/process_manager/uwsgi.rs", &["emperor"], "/proc"),
    ("plan/recipes/sample.rs", &[ALL], "of tests"),
    (
        "steps/release.rs",
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
    ("steps/release.rs", &["check_space", "is_hidden_home"], "how full a file system is, and of what kind"),
    (
        "pipeline/preflight.rs",
        &["units_and_ports", "missing_files"],
        "whether names are there, the link `current` among them; nothing is opened or followed",
    ),
    ("pipeline/preflight/ports.rs", &["taken", "holder"], "the kernel's tables and links in /proc"),
    (
        "pipeline/preflight/programs.rs",
        &["find", "is_program", "is_seen_otherwise"],
        "whether a program is there, and may be started; none is opened",
    ),
    (
        "pipeline/preflight/units.rs",
        &["wrong", "alike", "file_of", "is_of_release"],
        "names in systemd's own directories; of links into a release, where they lead, and whether that is there: nothing is opened",
    ),
    (
        "pipeline/preflight/walls.rs",
        &[IMPORT, "here", "judge", "path_of"],
        "whether the deployment's path can be written to, and on what file system; nothing is opened",
    ),
    (
        "steps/process_manager/systemd.rs",
        &["has_other_file"],
        "where the link of a unit's file, and the releases, lie; the files themselves are read by `safe_path`",
    ),
    (
        "pipeline/preview.rs",
        &["overwritten"],
        "git's index in the state directory, copied to a directory of this process's own",
    ),
    ("steps/tree_in_place.rs", &["changed_here"], "whether there is a file, which `safe_path` then opens"),
    ("pipeline/recovery.rs", &["without_plan"], "the state directory"),
    (
        "pipeline/run/directories.rs",
        &["export", "update_tree", "index"],
        "indexes in the state directory; the deployment's path itself, which the operator names",
    ),
    ("steps/nginx/backup.rs", &[ALL], "nginx's configuration and the state directory: no build writes there"),
    ("steps/nginx/certificates.rs", &[ALL], "certificates that the helper or certbot has made"),
    ("steps/nginx/certificates/backoff.rs", &[ALL], "the state directory"),
    ("steps/nginx/certificates/obtained.rs", &[ALL], "the state directory"),
    ("steps/nginx/certificates/self_test.rs", &[ALL], "the webroot of challenges, which the deployer writes"),
    ("steps/nginx/install.rs", &[ALL], "nginx's configuration and the state directory"),
    ("steps/nginx/ownership.rs", &[ALL], "nginx's configuration, where no build may write"),
    ("steps/nginx/manifest.rs", &[ALL], "the state directory"),
    ("steps/nginx/reload.rs", &[ALL], "nginx's configuration, process id and log"),
    ("steps/nginx/dry_run.rs", &[ALL], "a copy of nginx's configuration below the state directory"),
    (
        "steps/nginx/writer.rs",
        &[ALL],
        "nginx's configuration, where a host without the helper has the deployer write it",
    ),
    ("pipeline/state_modes.rs", &[ALL], "the state directory, by descriptor"),
    ("process/step_user.rs", &["id", "missing"], "a socket's owner, and the socket that systemd made"),
    ("process/step_user.rs", &["is_anothers"], "whose the state directory is"),
    (
        "process/step_user_access.rs",
        &["is_ours", "grant"],
        "looks whether anybody else could exchange it, without following links; the socket that systemd made",
    ),
    ("process/step_user.rs", &["ids"], "names of sockets, in a directory of root's: nothing is opened"),
    (
        "process/step_user_access.rs",
        &["keep_others_out"],
        "whose the deployment's own directory is: an access list takes something away from others, in directories of the deployer's alone",
    ),
    (
        "process/step_user.rs",
        &["has_key", "derived"],
        "keys, in directories where root and systemd alone write",
    ),
    ("process/tools/nginx.rs", &["test_host"], "whether the helper's program is there"),
    ("process/remove_tree.rs", &["remove"], "what lies under a name is removed, and not followed"),
    ("pipeline/worker.rs", &["supervised"], "the state directory"),
    ("pipeline/recovery.rs", &["without_plan"], "the state directory"),
];

#[derive(Debug, PartialEq)]
struct Access {
    line: usize,
    function: String,
    what: String,
}

pub fn check() -> Result<()> {
    let mut used = BTreeSet::new();
    let mut problems = Vec::new();
    for place in PLACES {
        for path in sources(&Path::new(CRATE).join(place))? {
            let name = path.strip_prefix(CRATE).expect("it was found there").to_string_lossy();
            for access in accesses(&std::fs::read_to_string(&path)?) {
                match allowed(&name, &access.function, ALLOWED) {
                    Some(entry) => drop(used.insert(entry)),
                    None => problems.push(format!(
                        "{}:{}: `{}` in `{}`: a build may have made this file. Use `safe_path` (read_text, open_now, Directory), or list the function in xtask/src/file_access.rs with the reason why nobody else can write there",
                        path.display(), access.line, access.what, access.function
                    )),
                }
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
    for path in sources(Path::new(CRATE))? {
        if path != Path::new(CRATE).join(CALLER_OF_OPENAT2) {
            let lines = lines_with_openat2(&std::fs::read_to_string(&path)?);
            problems.extend(lines.iter().map(|line| {
                format!(
                    "{}:{line}: openat2 is refused in some containers. Use `safe_path` (entry, read_now, Directory), which knows what to do then",
                    path.display()
                )
            }));
        }
    }
    if !problems.is_empty() {
        bail!(
            "files are opened where links are followed, or where a container does not allow it:\n{}",
            problems.join("\n")
        );
    }
    Ok(())
}

/// The sources of a folder, or a file, in order.
pub fn sources(place: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    match place.is_dir() {
        true => collect(place, &mut files).with_context(|| format!("cannot read {}", place.display()))?,
        false => files.push(place.to_owned()),
    }
    files.sort();
    Ok(files)
}

/// The lines that name the call, but for comments.
fn lines_with_openat2(source: &str) -> Vec<usize> {
    let is_named = |code: &str| {
        code.match_indices("openat2").any(|(at, name)| {
            let is_part = |of: char| of.is_alphanumeric() || of == '_';
            !code[..at].ends_with(is_part) && !code[at + name.len()..].starts_with(is_part)
        })
    };
    let lines = source.lines().enumerate();
    lines.filter(|(_, line)| is_named(without_comment(line))).map(|(at, _)| at + 1).collect()
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
    // An import, which may take several lines, and where it began.
    let mut import: Option<(usize, String)> = None;
    let lines: Vec<&str> = source.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let code = without_comment(line);
        if code.trim() == "#[cfg(test)]"
            && lines.get(at + 1).is_some_and(|next| next.starts_with("mod tests"))
        {
            break;
        }
        if let Some(name) = function_name(code) {
            function = name.to_owned();
        }
        let is_import = ["use ", "pub use ", "pub(crate) use ", "pub(super) use "]
            .iter()
            .any(|head| code.trim_start().starts_with(head));
        if is_import || import.is_some() {
            let (_, text) = import.get_or_insert_with(|| (at + 1, String::new()));
            text.push_str(code);
            if code.contains(';') {
                let (line, text) = import.take().expect("it was just written");
                let imported = imported(&text).into_iter();
                found.extend(imported.map(|what| Access { line, function: IMPORT.to_owned(), what }));
            }
            continue;
        }
        let called = called(code).into_iter();
        found.extend(called.map(|what| Access { line: at + 1, function: function.clone(), what }));
    }
    found
}

/// The code of a line. Slashes in a text, such as an address, begin no comment.
pub fn without_comment(line: &str) -> &str {
    let (mut is_text, mut is_escaped) = (false, false);
    for (at, of) in line.char_indices() {
        match of {
            '"' if !is_escaped && !line[..at].ends_with('\'') => is_text = !is_text,
            '/' if !is_text && line[at..].starts_with("//") => return &line[..at],
            _ => {}
        }
        is_escaped = of == '\\' && !is_escaped;
    }
    // A text of several lines, or a quote that is none: what looks like a comment is taken for one.
    if is_text { line.split("//").next().unwrap_or_default() } else { line }
}

pub fn function_name(code: &str) -> Option<&str> {
    let words = code.split_whitespace();
    let name = words.skip_while(|word| *word != "fn").nth(1)?;
    let before = code.split("fn ").next()?.trim();
    let is_head = before.split_whitespace().all(|word| {
        ["async", "const", "unsafe"].contains(&word) || word.starts_with("pub") || word.ends_with(')')
    });
    is_head.then(|| name.split(['(', '<']).next().unwrap_or(name))
}

/// Functions of a module of files that are imported by name, and such a module where it gets another name than `fs`: it would not be known
/// by that.
fn imported(text: &str) -> Vec<String> {
    let modules = ["fs", "os", "unix", "self", "as", "tokio"];
    let mut found = Vec::new();
    let words = |text: &str| -> Vec<String> {
        let words = text.split(|of: char| !(of.is_alphanumeric() || of == '_'));
        words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    for (at, _) in text.match_indices("fs::") {
        if !text[..at].ends_with(|of: char| of.is_alphanumeric() || of == '_') {
            // Up to the end of its braces: what follows them is another module's.
            let mut depth = 0;
            let is_inside = |of: &char| {
                depth += i32::from(*of == '{') - i32::from(*of == '}');
                depth > 0 || !",}".contains(*of)
            };
            let names: String = text[at..].chars().take_while(is_inside).collect();
            let is_function =
                |name: &String| name.starts_with(char::is_lowercase) && !modules.contains(&name.as_str());
            found.extend(words(&names).into_iter().filter(is_function));
        }
    }
    let all = words(text);
    for names in all.windows(3) {
        let [module, renames, name] = names else { continue };
        if ["fs", "fs_err"].contains(&module.as_str()) && renames == "as" && name != "fs" {
            found.push(format!("{module} as {name}"));
        }
    }
    found
}

/// Calls that open, list, make, change or look at what a name leads to.
fn called(code: &str) -> Vec<String> {
    const METHODS: [&str; 20] = [
        ".exists()",
        ".try_exists()",
        ".metadata()",
        ".symlink_metadata()",
        ".canonicalize()",
        ".read_link()",
        ".read_dir()",
        "File::open(",
        "File::create(",
        "File::create_new(",
        "File::options(",
        "OpenOptions::new(",
        "NamedTempFile::new",
        "TempDir::new",
        "tempdir_in(",
        "tempfile_in(",
        "UnixStream::connect(",
        "UnixListener::bind(",
        "UnixDatagram::bind(",
        "Dir::new(",
    ];
    let mut found: Vec<String> =
        METHODS.iter().filter(|method| code.contains(**method)).map(|method| (*method).to_owned()).collect();
    let is_part = |of: char| of.is_alphanumeric() || of == '_';
    for (at, name) in FOLLOWING.iter().flat_map(|name| code.match_indices(name)) {
        let is_head = code[..at].trim_end().ends_with("fn");
        if !code[..at].ends_with(is_part) && !is_head {
            found.push(name.to_owned());
        }
    }
    for (at, _) in code.match_indices("fs::").chain(code.match_indices("fs_err::")) {
        let path: String =
            code[at..].chars().take_while(|of| of.is_alphanumeric() || "_:".contains(*of)).collect();
        let name = path.rsplit("::").next().unwrap_or_default();
        // With or without a parenthesis: `.map(fs::metadata)` calls it too.
        let is_whole = !code[..at].ends_with(is_part);
        let is_constructor = name.starts_with("from_");
        if is_whole && name.starts_with(char::is_lowercase) && name != "fs" && !is_constructor {
            found.push(path);
        }
    }
    // The same as values: `.filter(Path::exists)`.
    for (at, kind) in code.match_indices("Path::").chain(code.match_indices("PathBuf::")) {
        let name: String = code[at + kind.len()..].chars().take_while(|of| is_part(*of)).collect();
        let looks =
            ["exists", "try_exists", "is_file", "is_dir", "is_symlink", "metadata", "symlink_metadata"];
        let follows = ["canonicalize", "read_link", "read_dir"];
        if looks.contains(&name.as_str()) || follows.contains(&name.as_str()) {
            found.push(format!("{kind}{name}"));
        }
    }
    for method in [".is_file()", ".is_dir()", ".is_symlink()"] {
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
            // What an earlier state of this lint did not see.
            ("let note = read_small(&file);", "read_small("),
            ("let note = release::read_small(&file);", "read_small("),
            ("if directory.join(name).is_symlink() {", ".is_symlink()"),
            ("let all = paths.iter().map(fs::read_to_string);", "fs::read_to_string"),
            ("let all = paths.iter().filter(|path| is(path)).all(Path::exists);", "Path::exists"),
            ("let socket = UnixStream::connect(path)?;", "UnixStream::connect("),
            ("let file = File::create_new(path)?;", "File::create_new("),
            ("let address = \"http://x\"; let text = fs::read(&file)?;", "fs::read"),
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
        let several = "use a::b;\npub(super) use rustix::fs::{\n    CWD, Mode,\n    openat, // why\n};\n";
        assert_eq!(found(several), [(2, "use".into(), "openat".into())]);
        assert_eq!(found("use std::{fs::{File, read}, io};\n"), [(1, "use".into(), "read".into())]);
        assert_eq!(found("use fs_err as files;\n"), [(1, "use".into(), "fs_err as files".into())]);
    }

    #[test]
    fn who_calls_openat2_is_found_and_who_names_its_number_is_not() {
        let source = "use rustix::fs::{\n    openat2,\n};\n// openat2\nlet a = rustix::fs::openat2(b);\nlet c = libc::SYS_openat2;\n";
        assert_eq!(lines_with_openat2(source), [2, 5]);
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
