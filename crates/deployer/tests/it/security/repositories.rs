//! Whoever can push: branch names, git configuration, submodules and links of a repository and of its builds.

use crate::support::configuration::text;
use crate::support::process::{command, succeed};
use crate::support::push::{Delivery, NO_COMMIT};
use crate::support::world::{World, files_under};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Branch names that git accepts and that do something in a shell, an argument list, a page or a terminal.
/// `CANARY` stands for a file that must never appear.
const HOSTILE_BRANCHES: [&str; 20] = [
    "a;touch${IFS}CANARY",
    "$(touch${IFS}CANARY)",
    "`touch${IFS}CANARY`",
    "a|touch${IFS}CANARY",
    "a&touch${IFS}CANARY",
    "a'b",
    "a\"b",
    "a'$(touch${IFS}CANARY)'",
    "a\"$(touch${IFS}CANARY)\"",
    "<script>alert(1)</script>",
    "%2e%2e%2f%2e%2e",
    "a%0atouch%20CANARY",
    "\u{202e}niam",
    "#!",
    "!x",
    "{}",
    "x=y",
    "a>CANARY",
    "ext::sh",
    "main;",
];

// 6, 8: hostile but legal branch names, pushed by a stranger.
#[test]
fn hostile_branch_names_of_a_push_are_only_compared() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();
        let canary = world.root().join("canary");
        let with_dashes = ["--upload-pack=touch${IFS}CANARY;", "-x", "--exec=touch${IFS}CANARY", "--"];
        let outside = ["../../CANARY", "main\0x", "main\n", ""];
        for branch in HOSTILE_BRANCHES.iter().chain(&with_dashes).chain(&outside) {
            let branch = branch.replace("CANARY", &canary.to_string_lossy());
            let reference = format!("refs/heads/{branch}");
            let guid = world.accept(&Delivery::push("acme/site", &reference, NO_COMMIT, &commit));
            let code = world.verdict(&guid).code;
            assert!(["not-a-configured-branch", "malformed"].contains(&code.as_str()), "{branch:?}: {code}");
        }
        assert!(world.runs("site").is_empty());
        assert!(!canary.exists(), "something was executed");
    });
}

// 6, 7, 8: hostile but legal branch names, configured: they are deployed, and reach git only inside a full refspec.
#[test]
fn hostile_branch_names_of_a_deployment_reach_git_only_inside_a_refspec() {
    World::run(|world| {
        let log = world.root().join("git-arguments");
        world.shims = Some(recorder_of_git(world, &log));
        let canary = world.root().join("canary");
        let repository = world.repository("acme/site");
        let mut deployments = Vec::new();
        let mut branches = Vec::new();
        for (number, branch) in HOSTILE_BRANCHES.iter().take(10).enumerate() {
            // A slash would make the name a path, so the canary is named by where a shell would stand.
            let branch = branch.replace("CANARY", "canary");
            repository.start_branch(&branch);
            let commit = repository.commit(&[("index.html", &branch)], "first");
            let slug = format!("site-{number}");
            deployments.push(world.deployment(&slug, &repository).with("branch", text(&branch)).step(
                "build",
                "show",
                "test -n \"$DEPLOYER_COMMIT\"",
            ));
            branches.push((slug, branch, commit));
        }
        world.configure(&deployments);
        world.start();
        for (slug, branch, commit) in &branches {
            world.accept(&repository.push_to(branch, commit));
            assert_eq!(world.ended_run(slug, commit).state, "succeeded", "{branch}");
            assert_eq!(world.live(slug, "index.html").as_ref(), Some(branch));
        }

        let recorded = fs_err::read(&log).expect("git was called");
        let arguments: Vec<&str> = recorded
            .split(|&byte| byte == 0)
            .map(|bytes| std::str::from_utf8(bytes).expect("UTF-8"))
            .collect();
        for (_, branch, _) in &branches {
            let naming: Vec<_> =
                arguments.iter().filter(|argument| argument.contains(branch.as_str())).collect();
            assert!(!naming.is_empty(), "the recorder sees what git is given");
            assert!(naming.iter().all(|argument| argument.contains("refs/heads/")), "{naming:?}");
        }
        let planted = files_under(world.root()).into_iter().find(|path| path.ends_with("canary"));
        assert!(planted.is_none() && !canary.exists(), "{planted:?}");
    });
}

/// A directory with a `git` that writes down its arguments, each ended by a NUL, and is git otherwise.
fn recorder_of_git(world: &World, log: &Path) -> PathBuf {
    let directory = world.root().join("shims");
    fs_err::create_dir(&directory).expect("the world is writable");
    let find = succeed(command("sh", world.root()).args(["-c", "command -v git"]));
    let script = format!("#!/bin/sh\nprintf '%s\\0' \"$@\" >> '{}'\nexec {find} \"$@\"\n", log.display());
    let path = directory.join("git");
    fs_err::write(&path, script).expect("the world is writable");
    fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("the world is writable");
    directory
}

/// Configuration that makes git run a program, as `key value`; `PROGRAM` writes the canary.
const GIT_TRAPS: [(&str, &str); 14] = [
    ("core.fsmonitor", "PROGRAM"),
    ("core.hooksPath", "HOOKS"),
    ("core.sshCommand", "PROGRAM"),
    ("core.gitProxy", "PROGRAM"),
    ("core.askPass", "PROGRAM"),
    ("core.pager", "PROGRAM"),
    ("core.editor", "PROGRAM"),
    ("core.alternateRefsCommand", "PROGRAM"),
    ("credential.helper", "!PROGRAM"),
    ("diff.external", "PROGRAM"),
    ("remote.origin.uploadpack", "PROGRAM"),
    ("uploadpack.packObjectsHook", "PROGRAM"),
    ("filter.trap.smudge", "PROGRAM"),
    ("protocol.ext.allow", "always"),
];

/// A build's shell line that plants traps in every git directory and configuration file that it can name.
fn planting(world: &World, directories: &[String]) -> String {
    let program = world.root().join("trap");
    let canary = world.root().join("canary");
    let hooks = world.root().join("hooks");
    let script = format!("#!/bin/sh\necho \"$0 $*\" >> '{}'\n", canary.display());
    fs_err::create_dir(&hooks).expect("the world is writable");
    let names = ["post-checkout", "reference-transaction", "post-index-change", "pre-auto-gc", "post-merge"];
    let files = names.iter().map(|name| hooks.join(name)).chain([program.clone()]);
    for file in files {
        fs_err::write(&file, &script).expect("the world is writable");
        fs_err::set_permissions(&file, std::fs::Permissions::from_mode(0o755))
            .expect("the world is writable");
    }
    let mut configuration = String::new();
    for (key, value) in GIT_TRAPS {
        let value =
            value.replace("PROGRAM", &program.to_string_lossy()).replace("HOOKS", &hooks.to_string_lossy());
        let (section, name) = key.rsplit_once('.').expect("keys have sections");
        let section = match section.split_once('.') {
            Some((section, sub)) => format!("[{section} \"{sub}\"]"),
            None => format!("[{section}]"),
        };
        configuration.push_str(&format!("{section}\n\t{name} = {value}\n"));
    }
    let traps = world.root().join("traps");
    fs_err::write(&traps, configuration).expect("the world is writable");
    let mut line = String::new();
    for directory in directories {
        line.push_str(&format!(
            "for d in {directory}; do mkdir -p \"$d/hooks\" \"$d/info\"; cat '{traps}' >> \"$d/config\"; \
             cp '{hooks}'/* \"$d/hooks/\"; echo '* filter=trap' >> \"$d/info/attributes\"; done; ",
            traps = traps.display(),
            hooks = hooks.display(),
        ));
    }
    line.push_str(&format!(
        "mkdir -p \"$HOME/.config/git\"; cp '{0}' \"$HOME/.gitconfig\"; cp '{0}' \"$HOME/.config/git/config\"; true",
        traps.display()
    ));
    line
}

// 9: what a build plants is executed by nothing afterwards.
#[track_caller]
fn nothing_planted_is_executed(directories: &[&str], in_mirrors: bool) {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let mut directories: Vec<String> =
            directories.iter().map(|&directory| directory.to_owned()).collect();
        if in_mirrors {
            directories.push(format!("'{}'/mirrors/*/*.git", world.state().display()));
        }
        let line = planting(world, &directories);
        world.configure(&[world.deployment("site", &repository).step("build", "plant", &line)]);
        world.start();
        for number in 0..3 {
            let page = number.to_string();
            let commit =
                repository.commit(&[("index.html", &page), (".gitattributes", "* filter=trap")], "change");
            world.deploy("site", &repository, &commit);
            assert_eq!(world.live("site", "index.html"), Some(page));
        }
        let canary = world.root().join("canary");
        let executed = fs_err::read_to_string(&canary).unwrap_or_default();
        assert!(executed.is_empty(), "executed:\n{executed}");
    });
}

#[test]
fn git_traps_around_the_release_are_not_executed() {
    nothing_planted_is_executed(&[".git", "../.git", "../../.git", "../../shared/.git", "$HOME/.git"], false);
}

#[test]
fn git_traps_in_the_mirror_are_not_executed() {
    nothing_planted_is_executed(&[], true);
}

// 10: submodules, filters and odd names of a repository are content, not commands.
#[test]
fn submodules_and_filters_of_a_repository_do_nothing() {
    World::run(|world| {
        let canary = world.root().join("canary");
        let repository = world.repository("acme/site");
        let inner = world.repository("acme/inner");
        let submodule = inner.commit(&[("inside.txt", "inside")], "inner");
        world.configure(&[world.deployment("site", &repository)]);
        world.start();

        let touch = format!("touch {}", canary.display());
        let module =
            |name: &str, url: &str| format!("[submodule \"{name}\"]\n\tpath = {name}\n\turl = {url}\n");
        let filters = (".gitattributes", "* filter=lfs diff=lfs\n");
        repository.commit(&[(".gitmodules", &module("one", &inner.clone_url())), filters], "modules");
        repository.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{submodule},one")]);
        fs_err::write(repository.work_tree().join("index.html"), "page").expect("writable");
        repository.git(&["add", "index.html"]);
        let commit = repository.commit_index("submodules");
        world.deploy("site", &repository, &commit);

        assert_eq!(world.live("site", "index.html").as_deref(), Some("page"));
        assert_eq!(world.live("site", "one/inside.txt"), None, "off by default");

        // URLs that are commands: git's own check of what it receives refuses the commit.
        let urls = [
            format!("ext::sh -c {}", touch.replace(' ', "% ")),
            format!("--upload-pack={touch}"),
            format!("{}\n\tupdate = !{touch}", inner.clone_url()),
        ];
        for url in urls {
            let hostile = repository.commit(&[(".gitmodules", &module("two", &url))], "hostile");
            world.push(&repository, &hostile);
            let run = world.ended_run("site", &hostile);
            assert!(["failed", "succeeded"].contains(&run.state.as_str()), "{run:?}");
        }
        assert!(!canary.exists(), "something was executed");
    });
}

// 11: a link in a repository leads nowhere outside the release when something is put there.
#[test]
fn links_in_a_repository_are_not_followed_by_the_deployer() {
    World::run(|world| {
        let outside = world.root().join("outside");
        fs_err::create_dir(&outside).expect("the world is writable");
        fs_err::write(outside.join("precious"), "precious").expect("the world is writable");
        let repository = world.repository("acme/site");
        let deployment = world
            .deployment("site", &repository)
            .with("shared_files", "[\"config/local.env\", \".env\"]")
            .with("shared_dirs", "[\"data/uploads\", \"keys\"]");
        world.configure(&[deployment]);
        let shared = world.path_of("site").join("shared");
        for directory in ["config", "data/uploads", "keys"] {
            fs_err::create_dir_all(shared.join(directory)).expect("the world is writable");
        }
        for file in ["config/local.env", ".env"] {
            fs_err::write(shared.join(file), "A=1").expect("the world is writable");
        }
        world.start();
        for link in ["config", "data", "keys"] {
            symlink(&outside, repository.work_tree().join(link)).expect("writable");
        }
        symlink(outside.join("precious"), repository.work_tree().join(".env")).expect("writable");
        symlink("/etc/passwd", repository.work_tree().join("passwd")).expect("writable");
        let commit = repository.commit(&[("index.html", "page")], "links");
        world.push(&repository, &commit);
        // Deployed with the links replaced, or refused: both are safe.
        world.ended_run("site", &commit);

        let left = files_under(&outside);
        assert_eq!(left, [outside.join("precious")], "something was written through a link");
        assert_eq!(fs_err::read_to_string(outside.join("precious")).expect("readable"), "precious");
    });
}
