//! Files that a build may have made or can exchange: the deployer reads, lists and makes nothing through them that it should not (H1, H6, L1).

use crate::support::configuration::{Deployment, text};
use crate::support::record::Run;
use crate::support::repository::Repository;
use crate::support::wait;
use crate::support::world::World;
use std::path::Path;

/// What stands in the victim's environment file.
const CANARY: &str = "c4n4ry-of-the-victim";

/// The attacker's deployment, and another one that must go on whatever the first does.
struct Two {
    site: Repository,
    other: Repository,
}

impl Two {
    /// A daemon that serves both; `site` has `shared/.env`, and does what its repository says.
    fn start(world: &mut World, change: impl FnOnce(Deployment) -> Deployment) -> Self {
        world.confine();
        let (site, other) = (world.repository("acme/site"), world.repository("acme/other"));
        for (slug, content) in
            [("site", "A=of-the-site\n".to_owned()), ("other", format!("TOKEN={CANARY}\n"))]
        {
            let shared = world.path_of(slug).join("shared");
            fs_err::create_dir_all(&shared).expect("the world is writable");
            fs_err::write(shared.join(".env"), &content).expect("the world is writable");
            fs_err::create_dir(shared.join("mount")).expect("the world is writable");
            fs_err::write(shared.join("mount/.env"), &content).expect("the world is writable");
        }
        let of = |slug, repository| world.deployment(slug, repository).with("env_file", "\"shared/.env\"");
        let site_deployment = change(of("site", &site).step("build", "make", "sh ./build.sh").step(
            "build",
            "again",
            "sh ./again.sh",
        ));
        world.configure(&[site_deployment, of("other", &other)]);
        world.start();
        let two = Self { site, other };
        let first = two.commit("true", "true");
        world.deploy("site", &two.site, &first);
        two.other_goes_on(world);
        two
    }

    /// A commit whose two build steps do this.
    fn commit(&self, build: &str, again: &str) -> String {
        self.site.commit(&[("build.sh", build), ("again.sh", again), ("index.html", build)], "change")
    }

    #[track_caller]
    fn other_goes_on(&self, world: &World) {
        let commit = self.other.commit(&[("index.html", "other")], "of another");
        world.deploy("other", &self.other, &commit);
    }

    #[track_caller]
    fn fails(&self, world: &World, commit: &str) -> Run {
        world.push(&self.site, commit);
        let run = world.ended_run("site", commit);
        assert_eq!(run.state, "failed", "{run:?}");
        run
    }
}

fn log_of(world: &World, run: &str) -> String {
    String::from_utf8_lossy(&world.cli(&["logs", run]).stdout).into_owned()
}

/// Puts something in the place of a file.
fn exchange(path: &Path, by: &str) {
    let line = by.replace("FILE", &format!("'{}'", path.display()));
    let output = crate::support::process::output(
        crate::support::process::command("sh", Path::new("/"))
            .args(["-c", &format!("rm -f '{}'; {line}", path.display())]),
    );
    assert!(output.status.success(), "{line}: {output:?}");
}

#[test]
fn a_build_cannot_exchange_the_environment_file() {
    World::run(|world| {
        let two = Two::start(world, |site| site);
        let victim = world.path_of("other").join("shared/.env");
        let env = world.path_of("site").join("shared/.env");
        let tries = [
            format!("ln -sfn '{}' '{}'", victim.display(), env.display()),
            format!("echo B=planted >> '{}'", env.display()),
            format!("mv '{0}' '{0}.old'", env.display()),
            format!("rm -f '{}'", env.display()),
            format!("ln -f '{}' ./linked && echo B=planted >> ./linked", env.display()),
            format!("echo B=planted > '{}/new'", env.parent().expect("it lies in shared/").display()),
        ];
        let tried = tries.iter().map(|line| format!("if ( {line} ); then echo REACHED; fi\n"));
        let build = tried.collect::<String>() + "echo all was tried\n";
        let commit = two.commit(&build, "echo \"it is $A, $B, $TOKEN\"");
        let run = world.deploy("site", &two.site, &commit);
        let log = log_of(world, &run.id);
        assert!(log.contains("all was tried") && !log.contains("REACHED"), "{log}");
        assert_eq!(fs_err::read_to_string(&env).expect("it is there"), "A=of-the-site\n");
        two.other_goes_on(world);
    });
}

/// Somebody has planted it before builds were kept from it: H1a.
#[test]
fn an_environment_file_that_is_a_link_is_refused() {
    World::run(|world| {
        let two = Two::start(world, |site| site);
        let env = world.path_of("site").join("shared/.env");
        let victim = world.path_of("other").join("shared/.env");
        let sign = world.path_of("site").join(".cache/seen");
        for link in [
            format!("ln -s '{}' FILE", victim.display()),
            "ln -s ../../other/shared/.env FILE".into(),
            "ln -s /proc/self/environ FILE".into(),
            "ln -s /proc/self/fd/0 FILE".into(),
        ] {
            exchange(&env, &link);
            let commit = two.commit("true", &format!("env > '{}'", sign.display()));
            let run = two.fails(world, &commit);
            let cause = run.cause.expect("a failed run has a cause");
            assert!(cause.contains("link") && cause.contains(".env"), "{link}: {cause}");
            assert!(!sign.exists(), "{link}: the step ran");
        }
        two.other_goes_on(world);
    });
}

/// H6, for an environment file: each of these once blocked a thread of the daemon, or filled its memory.
#[test]
fn whatever_stands_in_the_place_of_an_environment_file_the_others_go_on() {
    World::run(|world| {
        let two = Two::start(world, |site| site.with("timeout", "\"60s\""));
        let env = world.path_of("site").join("shared/.env");
        for (what, said) in [
            ("mkfifo FILE", "named pipe"),
            ("ln -s /dev/zero FILE", "link"),
            ("truncate -s 3G FILE", "3221225472 bytes"),
            ("mkdir FILE", "directory"),
            (
                "perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => shift, Listen => 1) or die' FILE",
                "socket",
            ),
            ("mknod FILE c 1 5", "device"),
        ] {
            exchange(&env, what);
            let commit = two.commit("true", what);
            let run = two.fails(world, &commit);
            let cause = run.cause.expect("a failed run has a cause");
            assert!(cause.contains(said) && cause.contains("shared/.env"), "{what}: {cause}");
            two.other_goes_on(world);
            assert!(!memory_is_large(world), "{what}");
            if what.starts_with("mkdir") {
                fs_err::remove_dir(&env).expect("it is empty");
            }
        }
        // And with a file in its place, everything goes on.
        exchange(&env, "echo A=again > FILE");
        let commit = two.commit("true", "true # again");
        world.deploy("site", &two.site, &commit);
    });
}

/// Whether the daemon has ever held more than 300 MiB.
fn memory_is_large(world: &World) -> bool {
    let status = fs_err::read_to_string(format!("/proc/{}/status", world.daemon_id())).expect("it runs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel says it");
    peak.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") > 300 * 1024
}

/// H6, for a shared file: read to find out whether a release would be another one.
#[test]
fn whatever_stands_in_the_place_of_a_shared_file_the_others_go_on() {
    World::run(|world| {
        world.confine();
        let (site, other) = (world.repository("acme/site"), world.repository("acme/other"));
        let file = world.path_of("site").join("shared/data");
        fs_err::create_dir_all(file.parent().expect("it lies in shared/")).expect("the world is writable");
        fs_err::write(&file, "data").expect("the world is writable");
        let deployment = world
            .deployment("site", &site)
            .with("recipe", text("go-static"))
            .with("shared_files", "[\"data\"]")
            .with("client_build", "[\"true\"]")
            .with("client_output", text("client"));
        let deployment = deployment.with("client", text("client"));
        world.configure(&[deployment, world.deployment("other", &other)]);
        world.start();
        for what in ["mkfifo FILE", "ln -s /dev/zero FILE", "truncate -s 3G FILE", "ln -s FILE FILE"] {
            exchange(&file, what);
            let commit = site.commit(&[("client/package.json", "{}"), ("client/index.html", what)], "change");
            world.push(&site, &commit);
            wait::until("the run to end, or to be skipped", || {
                world.runs("site").into_iter().rfind(|run| run.commit == commit).filter(Run::is_final)
            });
            let commit = other.commit(&[("index.html", what)], "of another");
            world.deploy("other", &other, &commit);
            assert!(!memory_is_large(world), "{what}");
        }
    });
}

/// H1b: what steers a loader, an interpreter or a shell reaches no step outside of the sandbox.
#[test]
fn an_environment_file_gives_steps_outside_the_sandbox_what_the_operator_lists_and_no_more() {
    World::run(|world| {
        let seen = world.root().join("seen");
        let look = format!("env > '{}'", seen.display());
        let two = Two::start(world, |site| {
            site.with("env_unsandboxed", "[\"HOOK_URL\"]").step("switch", "look", &look)
        });
        let env = world.path_of("site").join("shared/.env");
        let evil = world.root().join("evil.so");
        let lines = format!(
            "HOOK_URL=https://hook\nSECRET=withheld\nLD_PRELOAD={0}\nLD_AUDIT={0}\nPATH=/usr/bin:/bin:/evil\nBASH_ENV={0}\nENV={0}\n\
             NODE_OPTIONS=--require={0}\nPYTHONPATH=/evil\nPERL5OPT=-Mevil\nGIT_SSH_COMMAND={0}\nDEPLOYER_RUN=x\n\
             GLIBC_TUNABLES=x\nHOME=/evil\nTMPDIR=/evil\nIFS=x\n",
            evil.display()
        );
        exchange(&env, "true");
        fs_err::write(&env, lines).expect("the world is writable");
        let commit = two.commit("true", "echo \"sandboxed: ${SECRET:+given} ${NODE_OPTIONS:+given}\"");
        let run = world.deploy("site", &two.site, &commit);
        let log = log_of(world, &run.id);
        let seen = fs_err::read_to_string(&seen).expect("the switch wrote it");
        assert!(seen.contains("HOOK_URL=https://hook"), "{seen}");
        assert!(!seen.contains("evil") && !seen.contains("withheld"), "{seen}");
        assert!(log.contains("sandboxed: given given"), "{log}");
        assert!(
            log.contains("SECRET") && log.contains("env_unsandboxed"),
            "it says what was withheld: {log}"
        );
    });
}

/// The process that starts a sandboxed step is not in the sandbox yet: a library that the step is given is not its own.
#[test]
fn what_a_sandboxed_step_loads_is_not_loaded_outside_of_the_sandbox() {
    World::run(|world| {
        world.confine();
        let site = world.repository("acme/site");
        let shared = world.path_of("site").join("shared");
        fs_err::create_dir_all(shared.join("lib")).expect("the world is writable");
        let canary = world.root().join("canary");
        let source = format!(
            "#include <stdio.h>\n#include <fcntl.h>\n__attribute__((constructor)) static void run(void) {{ open(\"{}\", O_CREAT | O_WRONLY, 0600); }}\n",
            canary.display()
        );
        let build =
            "if [ -e evil.c ]; then cc -shared -fPIC -o \"$DEPLOYER_PATH/shared/lib/evil.so\" evil.c; fi";
        let deployment = world
            .deployment("site", &site)
            .with("shared_dirs", "[\"lib\"]")
            .with("env_file", "\"env\"")
            .step("build", "make", &build.replace("$DEPLOYER_PATH", &world.path_of("site").to_string_lossy()))
            .step("build", "again", "echo loaded by ${LD_PRELOAD:-nobody}");
        fs_err::write(world.path_of("site").join("env"), "A=1\n").expect("the world is writable");
        world.configure(&[deployment]);
        world.start();
        let first = site.commit(&[("index.html", "one"), ("evil.c", &source)], "first");
        world.deploy("site", &site, &first);
        let library = shared.join("lib/evil.so");
        assert!(library.exists(), "it was built");
        let line = format!("LD_PRELOAD={}\n", library.display());
        fs_err::write(world.path_of("site").join("env"), line).expect("the world is writable");
        let second = site.commit(&[("index.html", "two"), ("evil.c", "")], "second");
        world.deploy("site", &site, &second);
        assert!(!canary.exists(), "it was loaded outside of the sandbox");
    });
}

/// L1: links that a build has planted in `shared/` are no way for the deployer.
#[test]
fn shared_directories_are_not_made_through_links() {
    World::run(|world| {
        world.confine();
        let site = world.repository("acme/site");
        let outside = world.state().join("locks");
        fs_err::create_dir_all(&outside).expect("the world is writable");
        let shared = world.path_of("site").join("shared");
        fs_err::create_dir_all(&shared).expect("the world is writable");
        std::os::unix::fs::symlink(&outside, shared.join("a")).expect("the world is writable");
        for (key, path) in [("shared_dirs", "a/b/c"), ("shared_files", "a/d/file"), ("shared_dirs", "a")] {
            world.configure(&[world.deployment("site", &site).with(key, format!("[{}]", text(path)))]);
            world.start();
            let commit = site.commit(&[("index.html", path)], "change");
            world.push(&site, &commit);
            let run = world.ended_run("site", &commit);
            assert_eq!(run.state, "failed", "{path}: {run:?}");
            let cause = run.cause.expect("a failed run has a cause");
            assert!(cause.contains("shared/a") && cause.contains("link"), "{cause}");
            world.stop();
        }
        for made in ["b", "d"] {
            assert!(!outside.join(made).exists(), "{made} was made outside");
        }
    });
}

/// A place that a build was given to write to is the place itself, not what a link there leads to.
#[test]
fn a_planted_link_does_not_widen_the_sandbox() {
    World::run(|world| {
        world.confine();
        let site = world.repository("acme/site");
        let outside = world.root().join("outside");
        fs_err::create_dir_all(&outside).expect("the world is writable");
        let path = world.path_of("site");
        for planted in [".cache", "shared", "shared/kept"] {
            let link = path.join(planted);
            let _ = fs_err::remove_dir_all(path.join(".cache"));
            let _ = fs_err::remove_dir_all(path.join("shared"));
            fs_err::create_dir_all(link.parent().expect("it has one")).expect("the world is writable");
            std::os::unix::fs::symlink(&outside, &link).expect("the world is writable");
            let line = format!("echo x > '{}/planted'", outside.display());
            world.configure(&[world
                .deployment("site", &site)
                .with("shared_dirs", "[\"kept\"]")
                .step("build", "make", &line)]);
            world.start();
            let commit = site.commit(&[("index.html", planted)], "change");
            world.push(&site, &commit);
            let run = world.ended_run("site", &commit);
            assert_eq!(run.state, "failed", "{planted}: {run:?}");
            assert!(!outside.join("planted").exists(), "{planted}");
            world.stop();
        }
    });
}

/// A file system on which every call hangs, as a network's does when the server is gone: FUSE, with nobody who answers. Gone when this is.
struct Hanging {
    holder: std::process::Child,
    at: std::path::PathBuf,
}

impl Hanging {
    fn mount(at: &Path) -> Self {
        use std::io::BufRead;
        let script = "exec 3<>/dev/fuse && mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 none \"$0\" && echo mounted && read end";
        let mut shell = crate::support::process::command("bash", Path::new("/"));
        shell
            .arg("-c")
            .arg(script)
            .arg(at)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped());
        let mut holder = shell.spawn().expect("there is a bash");
        let mut said = String::new();
        let mut output = std::io::BufReader::new(holder.stdout.take().expect("it is piped"));
        output.read_line(&mut said).expect("it is text");
        let hanging = Self { holder, at: at.to_owned() };
        assert_eq!(said, "mounted\n", "this test needs root and /dev/fuse");
        hanging
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        let mut umount = crate::support::process::command("umount", Path::new("/"));
        crate::support::process::output(umount.arg("--lazy").arg(&self.at));
    }
}

#[test]
fn a_file_system_that_hangs_holds_one_deployment_until_it_is_cancelled() {
    World::run(|world| {
        let two =
            Two::start(world, |site| site.with("env_file", "\"shared/mount/.env\"").with("env_files", "[]"));
        let at = world.path_of("site").join("shared/mount");
        let hanging = Hanging::mount(&at);
        let commit = two.commit("true", "true # hangs");
        world.push(&two.site, &commit);
        wait::until("the run to be at the step", || {
            let run = world.runs("site").into_iter().rfind(|run| run.commit == commit)?;
            world.run_page(&run.id).steps.iter().any(|step| step.name == "preflight").then_some(())
        });
        for _ in 0..2 {
            two.other_goes_on(world);
        }
        let cancelled = world.cli(&["cancel", "site"]);
        assert!(cancelled.status.success(), "{cancelled:?}");
        let run = world.ended_run("site", &commit);
        assert_eq!(run.state, "cancelled", "{run:?}");
        // Its time ends it, too; and the daemon ends while a call still hangs.
        two.other_goes_on(world);
        let again = two.commit("true", "true # hangs again");
        world.push(&two.site, &again);
        wait::until("the run to be at the step", || {
            let run = world.runs("site").into_iter().rfind(|run| run.commit == again)?;
            world.run_page(&run.id).steps.iter().any(|step| step.name == "preflight").then_some(())
        });
        world.stop();
        drop(hanging);
    });
}
