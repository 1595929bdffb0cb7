//! The ways in which deployers were broken (`SECURITY.md`), tried on this one. The numbers are those of the
//! project's list of threats; what concerns signatures, slow clients and names in headers is in `intake`.

use crate::support::configuration::text;
use crate::support::gate::Gate;
use crate::support::http::{Request, connect};
use crate::support::process::describe;
use crate::support::push::{Delivery, NO_COMMIT, push_payload, signature};
use crate::support::wait;
use crate::support::world::{SECRET, World, files_under};
use serde_json::json;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// What the daemon may hold in memory, whatever strangers send.
const MEMORY_KILOBYTES_MAX: u64 = 100 * 1024;

// 1: no secret, no service.
#[test]
fn it_does_not_start_without_a_real_secret() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let start = |world: &World, why: &str| {
            world.configure(&[world.deployment("site", &repository)]);
            let output = world.start_refused();
            let said = describe(&output);
            assert!(said.contains("webhook_secret_token"), "{why}: {said}");
        };
        for weak in
            ["\"\"", "\" \"", "\"short\"", "\"                                        \"", "[]", "[\"\"]"]
        {
            world.settings.set("webhook_secret_token", weak);
            start(world, weak);
        }
        world.settings.remove("webhook_secret_token");
        start(world, "missing");
        world.settings.set("webhook_secret_token", "\"not-a-real-secret-token\"");
        world.environment.push(("DEPLOYER_ENV".into(), "production".into()));
        start(world, "the published default");
    });
}

// 3: what is not signed takes neither memory nor disk, and good deliveries get through meanwhile.
#[test]
fn bodies_of_strangers_fill_neither_memory_nor_disk() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        world.start();
        let body = vec![b' '; 25 * 1024 * 1024];
        let unsigned = Delivery::new("push", body);
        let head = unsigned.unsigned().header("X-Hub-Signature-256", signature(SECRET, b"something else"));

        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    // Refused at the end, or cut off before it: both are fine.
                    let mut connection = connect(world.address());
                    let _ = connection.write_all(&head.clone().body(&unsigned.body).bytes());
                });
            }
            for _ in 0..4 {
                scope.spawn(|| endless_chunks(world.address(), &head));
            }
            for _ in 0..10 {
                world.accept(&Delivery::ping("acme/site"));
            }
        });

        let status = fs_err::read_to_string(format!("/proc/{}/status", world.daemon_id())).expect("it lives");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel tells");
        let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
        assert!(kilobytes < MEMORY_KILOBYTES_MAX, "{kilobytes} kB at the peak");
        wait::until("the disk to be as it was", || {
            files_under(&world.spool("main")).iter().all(|path| path.is_dir()).then_some(())
        });
    });
}

/// A chunked body without an end, until the server has had enough; gives up at four times the limit.
fn endless_chunks(address: &str, head: &Request) {
    let mut connection = connect(address);
    let head = head.clone().header("Transfer-Encoding", "chunked");
    let mut chunk = b"100000\r\n".to_vec();
    chunk.resize(chunk.len() + 0x10_0000, b' ');
    chunk.extend_from_slice(b"\r\n");
    let mut sent = connection.write_all(&head.bytes());
    let mut megabytes = 0;
    while sent.is_ok() {
        sent = connection.write_all(&chunk);
        megabytes += 1;
        assert!(megabytes <= 100, "the server reads without end");
    }
}

// 5: one poisoned entry is not a crash loop.
#[test]
fn a_poisoned_entry_is_buried_once() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();
        let spools = [world.spool("main"), world.spool("site")];
        world.stop();
        let poisons: [&[u8]; 6] = [
            b"",
            b"{",
            b"\0\0\0\0\0\0\0\0",
            b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
            br#"{"version":999,"id":"0b989ba4-242f-11e5-81e1-c7b6966d2516","event":"push"}"#,
            br#"{"version":1,"id":"../../x","event":"push","received_at":"x","source":"x","payload":"{}"}"#,
        ];
        for spool in &spools {
            for (number, poison) in poisons.iter().enumerate() {
                let name = format!("{:020}-0b989ba4-242f-11e5-81e1-00000000000{number}.json", number + 1);
                fs_err::write(spool.join(name), poison).expect("the spool is writable");
            }
            symlink(
                "/etc/passwd",
                spool.join("00000000000000000100-0b989ba4-242f-11e5-81e1-000000000010.json"),
            )
            .expect("the spool is writable");
            fs_err::create_dir(spool.join("00000000000000000101-0b989ba4-242f-11e5-81e1-000000000011.json"))
                .expect("the spool is writable");
        }
        for _ in 0..10 {
            world.start();
            world.kill();
        }
        world.start();
        world.deploy("site", &repository, &commit);
        for spool in &spools {
            let ready = |path: &Path| path.is_file() && path.extension().is_some_and(|end| end == "json");
            wait::until("the poison to be buried", || {
                let mut entries = fs_err::read_dir(spool).expect("readable").flatten();
                entries.all(|entry| !ready(&entry.path())).then_some(())
            });
            let reason = |path: &Path| path.extension().is_some_and(|end| end == "reason");
            let buried = files_under(&spool.join("bad")).iter().filter(|path| !reason(path)).count();
            assert!(buried >= poisons.len(), "{buried} of {} in {}", poisons.len(), spool.display());
        }
    });
}

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
fn recorder_of_git(world: &World, log: &Path) -> std::path::PathBuf {
    let directory = world.root().join("shims");
    fs_err::create_dir(&directory).expect("the world is writable");
    let find = crate::support::process::succeed(
        crate::support::process::command("sh", world.root()).args(["-c", "command -v git"]),
    );
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
        let modules = [
            ("one", inner.clone_url()),
            ("two", format!("ext::sh -c {}", touch.replace(' ', "% "))),
            ("three", format!("--upload-pack={touch}")),
        ];
        let mut text = String::new();
        for (name, url) in &modules {
            text.push_str(&format!(
                "[submodule \"{name}\"]\n\tpath = {name}\n\turl = {url}\n\tupdate = !{touch}\n"
            ));
        }
        text.push_str("[submodule \"../../hooks\"]\n\tpath = \"four\\r\"\n\turl = ./x\n");
        repository
            .commit(&[(".gitmodules", &text), (".gitattributes", "* filter=lfs diff=lfs\n")], "modules");
        for (name, _) in &modules {
            repository.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{submodule},{name}")]);
        }
        fs_err::write(repository.work_tree().join("index.html"), "page").expect("writable");
        repository.git(&["add", "index.html"]);
        let commit = repository.commit_index("submodules");
        world.deploy("site", &repository, &commit);

        assert_eq!(world.live("site", "index.html").as_deref(), Some("page"));
        assert_eq!(world.live("site", "one/inside.txt"), None, "off by default");
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

// 12: names of a payload are never paths.
#[test]
fn hostile_repository_names_of_a_payload_are_only_compared() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();
        let before = files_under(world.root()).len();
        let long = format!("acme/{}", "x".repeat(4096));
        for name in
            ["../../escape", "acme/../../escape", "/etc/escape", "acme/site\0", "acme", "", "acme/-x", &long]
        {
            let mut payload = push_payload("acme/site", "refs/heads/main", NO_COMMIT, &commit);
            payload["repository"]["full_name"] = json!(name);
            let guid = world.accept(&Delivery::of("push", &payload));
            let code = world.verdict(&guid).code;
            assert!(
                ["not-a-configured-repository", "malformed"].contains(&code.as_str()),
                "{name:?}: {code}"
            );
        }
        for after in ["", "x; touch CANARY", "--output=CANARY", "HEAD", &"A".repeat(40), "../../x"] {
            let payload = push_payload("acme/site", "refs/heads/main", NO_COMMIT, after);
            let guid = world.accept(&Delivery::of("push", &payload));
            world.verdict(&guid);
        }
        let paths = files_under(world.root());
        assert!(
            paths.iter().all(|path| !path.to_string_lossy().contains("escape")),
            "{before} before: {paths:?}"
        );
        wait::until("whatever the pushes woke to end", || {
            world.runs("site").iter().all(|run| run.is_final() && run.commit == commit).then_some(())
        });
    });
}

// 13: where a payload says to fetch from is nobody's business.
#[test]
fn urls_of_a_payload_are_never_asked() {
    World::run(|world| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        listener.set_nonblocking(true).expect("a socket can be asked without waiting");
        let trap = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();

        let mut payload = push_payload("acme/site", "refs/heads/main", NO_COMMIT, &commit);
        let keys: Vec<String> =
            payload["repository"].as_object().expect("a real payload").keys().cloned().collect();
        for key in keys.iter().filter(|key| key.ends_with("url")) {
            payload["repository"][key] = json!(format!("{trap}/{key}"));
        }
        payload["compare"] = json!(trap);
        payload["head_commit"]["url"] = json!(trap);
        let guid = world.accept(&Delivery::of("push", &payload));
        world.wait_for_verdict(&guid, "deployed");
        world.reported(&repository, &commit);

        let asked = listener.accept().map(|(_, from)| from);
        assert!(asked.is_err(), "{asked:?} was sent there by the payload");
    });
}

// 14: no secret in any log, answer, file of ours, or argument list, however a step writes it.
#[test]
fn secrets_do_not_leave_the_deployer() {
    World::run(|world| {
        let secrets: Vec<String> =
            (0..50).map(|number| format!("s3cr3t/value+{number:02}&with=all~kinds of bytes")).collect();
        let env_file = world.root().join("secrets.env");
        let lines: String = secrets
            .iter()
            .enumerate()
            .map(|(number, secret)| format!("CANARY_{number}=\"{secret}\"\n"))
            .collect();
        fs_err::write(&env_file, lines).expect("the world is writable");
        fs_err::set_permissions(&env_file, std::fs::Permissions::from_mode(0o600))
            .expect("the world is writable");
        let repository = world.repository("acme/site");
        let gate = Gate::new(&world.root().join("gate"));
        let deployment = world
            .deployment("site", &repository)
            .with("env_files", format!("[{}]", text(&env_file.to_string_lossy())))
            .step("build", "leak", LEAK)
            .step("build", "wait", &gate.shell());
        world.configure(&[deployment]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.push(&repository, &commit);
        gate.wait_for(&commit);
        let arguments = every_command_line();
        gate.open();
        let run = world.ended_run("site", &commit);
        assert_eq!(run.state, "succeeded", "{run:?}");
        world.reported(&repository, &commit);

        let mut places =
            vec![("arguments".to_owned(), arguments), ("the daemon's log".to_owned(), world.log().into())];
        for subcommand in [&["logs", run.id.as_str()][..], &["run", &run.id, "--json"], &["config", "show"]] {
            places.push((subcommand.join(" "), world.cli(subcommand).stdout));
        }
        for path in files_under(&world.state()).into_iter().filter(|path| path.is_file()) {
            places.push((path.display().to_string(), fs_err::read(&path).expect("readable")));
        }
        let log = world.cli(&["logs", &run.id]).stdout;
        assert!(String::from_utf8_lossy(&log).contains("the leak ends here"), "the step's output was kept");
        let mut forbidden: Vec<String> = secrets.iter().flat_map(|secret| forms_of(secret)).collect();
        forbidden.extend([SECRET.to_owned(), crate::support::github::TOKEN.to_owned()]);
        for (place, bytes) in &places {
            let said = String::from_utf8_lossy(bytes);
            let found: Vec<_> = forbidden.iter().filter(|form| said.contains(form.as_str())).collect();
            assert!(found.is_empty(), "{found:?} in {place}");
        }
    });
}

/// Prints every secret plainly, in hexadecimal, base64 and URL form, and in two writes.
const LEAK: &str = r#"
for number in $(seq 0 49); do
  eval "secret=\$CANARY_$number"
  echo "plain $secret"
  printf 'hex %s\n' "$(printf %s "$secret" | od -An -v -tx1 | tr -d ' \n')"
  printf 'base64 %s\n' "$(printf %s "$secret" | base64 -w0)"
  printf 'url %s\n' "$(printf %s "$secret" | sed 's/\//%2F/g; s/+/%2B/g; s/&/%26/g; s/=/%3D/g; s/ /%20/g')"
  half=$(printf %s "$secret" | cut -c1-12); rest=$(printf %s "$secret" | cut -c13-)
  printf '%s' "$half"; sleep 0.01; printf '%s\n' "$rest"
  echo "error $secret" >&2
done
echo the leak ends here
"#;

/// The same forms.
fn forms_of(secret: &str) -> Vec<String> {
    use base64::Engine as _;
    let url: String = secret
        .chars()
        .map(|character| match character {
            '/' | '+' | '&' | '=' | ' ' => format!("%{:02X}", u32::from(character)),
            other => other.to_string(),
        })
        .collect();
    let base64 = base64::engine::general_purpose::STANDARD.encode(secret);
    vec![secret.to_owned(), hex::encode(secret), base64, url]
}

/// The arguments of every process there is.
fn every_command_line() -> Vec<u8> {
    let processes = fs_err::read_dir("/proc").expect("/proc is mounted").flatten();
    processes.filter_map(|entry| fs_err::read(entry.path().join("cmdline")).ok()).flatten().collect()
}

// 15: a step sees its own environment and nothing of the daemon's.
#[test]
fn a_step_sees_nothing_of_the_daemon() {
    World::run(|world| {
        world.drop_privileges();
        world.environment.push(("CANARY_OF_THE_DAEMON".into(), "c4n4ry-of-the-daemon".into()));
        world
            .environment
            .push(("DATABASE_URL".into(), format!("sqlite:{}/c4n4ry.sqlite", world.state().display())));
        let repository = world.repository("acme/site");
        let seen = world.root().join("seen");
        let line = format!(
            "exec > '{}' 2>&1; env; ls -l /proc/self/fd; \
             p=$PPID; while [ \"$p\" -gt 1 ]; do tr '\\0' '\\n' < /proc/$p/environ; ls -l /proc/$p/fd; \
             p=$(sed 's/.*) . \\([0-9]*\\) .*/\\1/' /proc/$p/stat); [ -n \"$p\" ] || p=0; done; true",
            seen.display()
        );
        world.configure(&[world.deployment("site", &repository).step("build", "look", &line)]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.deploy("site", &repository, &commit);

        let seen = fs_err::read_to_string(&seen).expect("the step wrote it");
        assert!(seen.contains("DEPLOYER_COMMIT="), "{seen}");
        for hidden in ["c4n4ry", "DATABASE_URL", SECRET, "record.sqlite", "spool", "socket:"] {
            assert!(!seen.contains(hidden), "{hidden} in:\n{seen}");
        }
    });
}

// 16: what a commit or a step writes cannot command the terminal of whoever reads it.
#[test]
fn hostile_output_is_harmless_on_a_terminal() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let line = r"printf 'begin\033]0;title\007\033[2J\033[31mred\033[0m\033]8;;http://evil\033\\link\033]8;;\033\\\302\233\342\200\256\377\376\r\bend\n'; head -c 2000000 /dev/zero | tr '\0' y; exit 1";
        world.configure(&[world.deployment("site", &repository).step("build", "paint", line)]);
        let message = "\u{1b}]0;title\u{7}\u{1b}[2J<script>alert(1)</script>\u{202e}";
        let commit = repository.commit(&[("index.html", "one")], message);
        world.start();
        let mut payload = push_payload("acme/site", "refs/heads/main", NO_COMMIT, &commit);
        for member in ["message", "id"] {
            payload["commits"][0][member] = json!(message);
        }
        payload["head_commit"]["message"] = json!(message);
        payload["head_commit"]["author"]["name"] = json!(message);
        payload["pusher"]["name"] = json!(message);
        let guid = world.accept(&Delivery::of("push", &payload));
        let run = world.ended_run("site", &commit);

        let log = world.cli(&["logs", &run.id]);
        assert!(String::from_utf8_lossy(&log.stdout).contains("begin"), "{}", describe(&log));
        for arguments in [
            &["logs", run.id.as_str()][..],
            &["run", &run.id],
            &["runs"],
            &["status"],
            &["explain", &guid],
            &["deliveries"],
        ] {
            let output = world.cli(arguments);
            let printed = String::from_utf8_lossy(&output.stdout).into_owned();
            let commanding = |character: char| {
                (character.is_control() && !['\n', '\t'].contains(&character))
                    || ('\u{202a}'..='\u{202e}').contains(&character)
            };
            assert!(!printed.contains(commanding), "{arguments:?}: {printed:?}");
        }
        let status = world.reported(&repository, &commit);
        assert!(!status.description.contains(|character: char| character.is_control()), "{status:?}");
    });
}
