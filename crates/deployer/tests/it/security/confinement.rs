//! What a build cannot reach, and how much it cannot use up: it runs as the user that holds every secret (9, 15, 25).

use crate::support::configuration::{Deployment, text};
use crate::support::repository::Repository;
use crate::support::world::World;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What stands in everything that a build must not read.
const CANARY: &str = "c4n4ry-of-somebody-else";

/// A deployment that serves a first release, and what others have.
fn first_release(world: &mut World) -> (Repository, String) {
    world.confine();
    let secret = world.root().join("webhook-secret");
    fs_err::write(&secret, format!("{CANARY}-webhook-secret-of-32-bytes")).expect("the world is writable");
    fs_err::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).expect("the world is writable");
    world.settings.set("webhook_secret_files", format!("[{}]", text(&secret.to_string_lossy())));
    let other = world.path_of("other").join("shared");
    fs_err::create_dir_all(&other).expect("the world is writable");
    fs_err::write(other.join(".env"), format!("TOKEN={CANARY}\n")).expect("the world is writable");
    let repository = world.repository("acme/site");
    world.configure(&deployments(world, &repository));
    let commit = repository.commit(&[("index.html", "one"), ("build.sh", "true")], "first");
    world.environment.push(("CANARY_OF_THE_DAEMON".into(), CANARY.into()));
    world.start();
    world.deploy("site", &repository, &commit);
    (repository, commit)
}

/// Both run what the repository says.
fn deployments(world: &World, repository: &Repository) -> [Deployment; 2] {
    let other = world.repository("acme/other");
    other.commit(&[("index.html", "other"), ("build.sh", "true")], "first");
    let of = |slug, repository| world.deployment(slug, repository).step("build", "make", "sh ./build.sh");
    [of("site", repository), of("other", &other)]
}

/// Each line of a build is tried alone; `refused` must be said of all of them.
fn tries(lines: &[String]) -> String {
    let tried = lines
        .iter()
        .map(|line| format!("if ( {line} ); then echo REACHED '{}'; fi\n", line.replace('\'', "")));
    tried.collect::<String>() + "echo all was tried\nexit 3\n"
}

#[test]
fn a_build_reads_nothing_of_the_deployer_or_of_other_deployments() {
    World::run(|world| {
        let (repository, _) = first_release(world);
        let daemon = format!("/proc/{}", world.daemon_id());
        let state = world.state();
        let readable = [
            world.root().join("webhook-secret"),
            world.path_of("other").join("shared/.env"),
            world.configuration.join("default.toml"),
            state.join("record.sqlite"),
            "/etc/shadow".into(),
            format!("{daemon}/environ").into(),
            format!("{daemon}/mem").into(),
            format!("{daemon}/maps").into(),
            format!("{daemon}/root/etc/hostname").into(),
            format!("{daemon}/cwd/config/default.toml").into(),
        ];
        for path in &readable[..4] {
            assert!(path.exists(), "{} is not there to be refused", path.display());
        }
        let spool = world.spool("site");
        let directories = [
            state.clone(),
            state.join("mirrors"),
            state.join("logs"),
            spool,
            world.root().join("srv"),
            world.path_of("other"),
        ];
        let read = readable.iter().map(|path| format!("head -c 100000 '{}'", path.display()));
        let listed = directories.iter().map(|path| format!("ls '{}'", path.display()));
        let linked = format!("ln -s '{}' link && cat link", world.root().join("webhook-secret").display());
        let supervisor = format!("cat /proc/$PPID/environ /proc/{}/task/*/environ", world.daemon_id());
        let lines: Vec<String> = read.chain(listed).chain([linked, supervisor]).collect();
        let commit = repository.commit(&[("build.sh", &tries(&lines))], "a curious build");
        world.push(&repository, &commit);
        let run = world.ended_run("site", &commit);
        assert_eq!(run.state, "failed", "{run:?}");
        let log = log_of(world, &run.id);
        assert!(log.contains("all was tried") && log.contains("Permission denied"), "{log}");
        assert!(!log.contains("REACHED") && !log.contains(CANARY), "{log}");
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"), "the old release serves on");
        next_push_works(world, &repository);
        assert!(world.log().contains("steps are confined"), "{}", world.log());
    });
}

#[test]
fn a_build_writes_to_nothing_but_its_own() {
    World::run(|world| {
        let (repository, _) = first_release(world);
        let planted = "planted-by-a-test-of-durhack-deployer";
        let mirror = world.state().join("mirrors/acme/site.git");
        assert!(mirror.is_dir(), "{mirror:?} is not there to be refused");
        let outside = [
            world.path_of("other"),
            world.path_of("other").join("shared"),
            world.path_of("site"),
            world.path_of("site").join("releases"),
            world.path_of("site").join("current"),
            world.configuration.clone(),
            world.state(),
            world.spool("site"),
            mirror.clone(),
            mirror.join("hooks"),
            world.state().join("logs"),
            world.root().to_owned(),
            "/etc".into(),
            "/usr/local/bin".into(),
            "/tmp".into(),
            "/var/tmp".into(),
            "/root".into(),
        ];
        let planting =
            outside.iter().map(|directory| format!("echo x > '{}/{planted}'", directory.display()));
        let lines: Vec<String> = planting
            .chain([
                format!("echo x >> '{}/config'", mirror.display()),
                format!("rm -rf '{}/HEAD'; ! test -e '{}/HEAD'", mirror.display(), mirror.display()),
                format!("mv '{}' away", world.path_of("other").display()),
                format!("ln -sfn /etc '{}/current'", world.path_of("site").display()),
                format!("echo x > '{}/current/index.html'", world.path_of("site").display()),
                format!("kill -9 {}", world.daemon_id()),
                format!("echo x > /proc/{}/mem", world.daemon_id()),
                "mknod disk b 254 0".into(),
                "mount -t tmpfs none .".into(),
                "echo 0 > /proc/sys/kernel/randomize_va_space".into(),
            ])
            .collect();
        let commit = repository.commit(&[("build.sh", &tries(&lines))], "a grasping build");
        world.push(&repository, &commit);
        let run = world.ended_run("site", &commit);
        assert_eq!(run.state, "failed", "{run:?}");
        let log = log_of(world, &run.id);
        assert!(log.contains("all was tried") && !log.contains("REACHED"), "{log}");
        for directory in outside {
            assert!(!directory.join(planted).exists(), "planted in {}", directory.display());
        }
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"), "the old release serves on");
        next_push_works(world, &repository);
    });
}

#[test]
fn a_build_has_a_home_and_temporary_files_of_its_own_and_its_deployments_directory() {
    World::run(|world| {
        world.confine();
        let repository = world.repository("acme/site");
        let extra = world.root().join("extra");
        fs_err::create_dir_all(extra.join("in")).expect("the world is writable");
        fs_err::write(extra.join("in/word"), "lent").expect("the world is writable");
        fs_err::create_dir(extra.join("out")).expect("the world is writable");
        let lent = |directory: &str| format!("[{}]", text(&extra.join(directory).to_string_lossy()));
        let script = format!(
            "set -e; touch \"$HOME/kept\"; test ! -e \"$TMPDIR/left\"; touch \"$TMPDIR/left\"; mktemp; \
             echo shared > \"$DEPLOYER_PATH/shared/all/by-the-build\"; echo x > /dev/null; head -c 4 /dev/urandom > random; \
             cat '{0}/in/word' > word; echo out > '{0}/out/word'; ! echo x > '{0}/in/new'",
            extra.display()
        );
        let look = format!("env | grep -E '^(HOME|TMPDIR)=' > '{}/out/live'; true", extra.display());
        let deployment = world
            .deployment("site", &repository)
            .with("shared_dirs", "[\"all\"]")
            .with("readable", lent("in"))
            .with("writable", lent("out"))
            .step(
                "build",
                "make",
                &script.replace("$DEPLOYER_PATH", &world.path_of("site").to_string_lossy()),
            )
            .step("build", "again", "test -e \"$HOME/kept\" && test ! -e \"$TMPDIR/left\"")
            // From the switch on, a step may start what outlives it: it is where an operator's own shell would be.
            .step("switch", "look", &format!("{look}; echo x > '{}/in/switched'", extra.display()));
        world.configure(&[deployment]);
        world.start();
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.deploy("site", &repository, &commit);
        assert_eq!(world.live("site", "word").as_deref(), Some("lent"));
        assert!(world.path_of("site").join("shared/all/by-the-build").exists());
        assert!(extra.join("out/word").exists() && extra.join("in/switched").exists());
        let seen = fs_err::read_to_string(extra.join("out/live")).expect("the switch wrote it");
        assert!(!seen.contains("/steps/"), "what is made live has the user's own home: {seen}");
        assert!(world.state().join("steps/site/home/kept").exists());
    });
}

/// In place, undoing belongs to the step that changed the tree: what is built again then is a build, what is started again is not.
#[test]
fn on_the_way_back_in_place_a_build_is_confined_and_a_restart_is_not() {
    World::run(|world| {
        world.confine();
        let repository = world.repository("acme/site");
        let outside = world.root().join("outside");
        fs_err::create_dir(&outside).expect("the world is writable");
        let (built, restarts) = (outside.join("built"), outside.join("restarts"));
        let deployment = world
            .deployment("site", &repository)
            .with("layout", "\"in-place\"")
            .with("health", "[{ shell = \"test ! -e ill\", attempts = 1 }]")
            .step("build", "make", &format!("echo built >> made; touch '{}' || true", built.display()))
            .step("switch", "restart", &format!("echo restarted >> '{}'", restarts.display()));
        world.configure(&[deployment]);
        world.start();
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.deploy("site", &repository, &commit);
        let ill = repository.commit(&[("index.html", "two"), ("ill", "")], "an ill one");
        world.push(&repository, &ill);
        let run = world.ended_run("site", &ill);
        assert_eq!(run.state, "failed", "{run:?}");
        let lines = |path: &Path| fs_err::read_to_string(path).unwrap_or_default().lines().count();
        assert_eq!(lines(&restarts), 3, "the first, the ill one, and the first again");
        assert_eq!(lines(&world.path_of("site").join("made")), 3, "likewise");
        assert!(!built.exists(), "a build was not confined");
    });
}

#[test]
fn who_does_not_want_it_is_not_confined() {
    World::run(|world| {
        world.confine();
        let repository = world.repository("acme/site");
        let sign = world.root().join("sign");
        let line = format!("touch '{}'; touch \"$HOME/mine\"", sign.display());
        world.configure(&[world
            .deployment("site", &repository)
            .with("confine", "false")
            .step("build", "make", &line)]);
        world.start();
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.deploy("site", &repository, &commit);
        assert!(sign.exists() && world.root().join("home/mine").exists());
    });
}

/// More levels than there may be descriptors, of which the worker's unit gives it 1024 as well.
#[test]
fn a_tree_of_two_thousand_levels_is_removed_like_any_other() {
    World::run(|world| {
        let limit = Rlimit { current: Some(1024), ..getrlimit(Resource::Nofile) };
        setrlimit(Resource::Nofile, limit).expect("a limit may be lowered");
        world.confine();
        let repository = world.repository("acme/site");
        // In the first release, and in what a step of the second leaves in TMPDIR.
        let nest = r#"
            open my $file, "place"; my $place = <$file>;
            exit if $place eq "nowhere";
            chdir $ENV{TMPDIR} if $place eq "temporary";
            for (1 .. 2000) { mkdir "d" and chdir "d" or die }"#;
        let deployment = world
            .deployment("site", &repository)
            .with("keep_releases", "1")
            .step("build", "nest", &format!("perl -e '{nest}'"))
            .step("build", "look", "test -z \"$(ls \"$TMPDIR\")\"");
        world.configure(&[deployment]);
        world.start();
        for place in ["release", "temporary", "nowhere"] {
            let commit = repository.commit(&[("index.html", place), ("place", place)], "another");
            world.deploy("site", &repository, &commit);
        }
        let left = fs_err::read_dir(world.path_of("site").join("releases")).expect("it is there").count();
        assert_eq!(left, 2, "the live one and the one before");
    });
}

/// A bomb must not reach the machine that this test shares: `RLIMIT_NPROC`, which root is not blocked by, bounds it before anything
/// of ours does.
#[test]
fn a_fork_bomb_in_a_build_is_ended_and_told() {
    World::run(|world| {
        world.drop_privileges();
        world.settings.set("confinement.step_tasks_max", "60");
        let (repository, _) = first_release(world);
        // The supervisor process's wall is lower, and nobody can raise it. Without any wall there is no bomb.
        let bomb = "prlimit --pid $$ --nproc=300:300 2> /dev/null \
                    || test $(awk '/Max processes/ { print $4 }' /proc/self/limits) -le 300 || exit 1
                    exec nice -n 19 perl -e 'while (1) { defined fork or select undef, undef, undef, 0.01 }'";
        let commit = repository.commit(&[("build.sh", bomb)], "a bomb");
        let cause = failed_push(world, &repository, &commit);
        assert!(cause.contains("had more than 60 processes and threads"), "{cause}");
        next_push_works(world, &repository);
    });
}

#[test]
fn a_build_that_eats_memory_or_disk_is_ended_and_told() {
    World::run(|world| {
        world.settings.set("confinement.step_memory_max", "\"64MiB\"");
        world.settings.set("confinement.step_file_max", "\"1MiB\"");
        let (repository, _) = first_release(world);
        let eater = "exec perl -e 'my $x = q(x) x 150_000_000; sleep 600'";
        let commit = repository.commit(&[("build.sh", eater)], "an eater");
        let cause = failed_push(world, &repository, &commit);
        assert!(cause.contains("used more than 64 MiB of memory"), "{cause}");
        let commit =
            repository.commit(&[("build.sh", "exec head -c 2000000 /dev/zero > large")], "a large file");
        let cause = failed_push(world, &repository, &commit);
        assert!(cause.contains("`confinement.step_file_max`"), "{cause}");
        next_push_works(world, &repository);
    });
}

/// Pushes what cannot be built; gives the cause. The old release serves on.
#[track_caller]
fn failed_push(world: &World, repository: &Repository, commit: &str) -> String {
    world.push(repository, commit);
    let run = world.ended_run("site", commit);
    assert_eq!(run.state, "failed", "{run:?}");
    assert_eq!(world.live("site", "index.html").as_deref(), Some("one"), "the old release serves on");
    run.cause.expect("a failed run has a cause")
}

#[track_caller]
fn next_push_works(world: &World, repository: &Repository) {
    let commit = repository.commit(&[("index.html", "two"), ("build.sh", "true")], "a good one");
    world.deploy("site", repository, &commit);
    assert_eq!(world.live("site", "index.html").as_deref(), Some("two"));
}

fn log_of(world: &World, run: &str) -> String {
    String::from_utf8_lossy(&world.cli(&["logs", run]).stdout).into_owned()
}
