//! `deployer`: the product replaces itself, or stays.
//!
//! The repository that is deployed holds a `build.sh` that puts the product's own binary into the release, or a program that behaves
//! like one until it is to serve. A file `further-migrations/up.sql` beside a binary is a migration more: so one binary is two
//! versions. The first release is made by the command line, without a daemon; from then on the daemon is what `current` names.
//! Faults are numbered as in the list of what the deployer before ours did wrong.

use crate::plan::deploy_as_planned;
use crate::support::configuration::text;
use crate::support::gate::Gate;
use crate::support::machine::{Machine, Sources};
use crate::support::process::{describe, living_in, succeed};
use crate::support::record::Run;
use crate::support::repository::Repository;
use crate::support::sender::Sender;
use crate::support::wait;
use crate::support::world::{SECRET, World};
use rustix::process::{Pid, Signal};
use std::path::{Path, PathBuf};

/// Puts the product into the release.
const GOOD: &str = r#"ln "$PRODUCT" deployer 2>/dev/null || cp "$PRODUCT" deployer"#;

/// A program that answers like the product until it is to serve.
fn faulty(serve: &str) -> String {
    format!(
        r#"ln "$PRODUCT" real 2>/dev/null || cp "$PRODUCT" real
cat > deployer <<'END'
#!/bin/sh
here=$(dirname "$0")
case "$*" in *serve*) {serve} ;; *) exec "$here/real" "$@" ;; esac
END
chmod +x deployer"#
    )
}

/// A world whose daemon is the first release of the deployment `deployer`; beside it there is `site`.
struct Deployers<'w> {
    world: &'w mut World,
    own: Repository,
    site: Repository,
    gate: Gate,
}

impl<'w> Deployers<'w> {
    fn install(world: &'w mut World, keys: &[(&str, &str)]) -> Self {
        let own = world.repository("acme/deployer");
        let site = world.repository("acme/site");
        let gate = Gate::new(&world.root().join("gate"));
        let product = world.binary.to_string_lossy().into_owned();
        let mut deployment = world
            .deployment("deployer", &own)
            .with("recipe", "\"deployer\"")
            .with("build", "[\"sh\", \"build.sh\"]")
            .with("binary", "\"deployer\"")
            .with("environment", format!("{{ PRODUCT = {} }}", text(&product)))
            // The build takes it from where nothing else of it may read.
            .with("readable", format!("[{}]", text(&product)));
        for (key, value) in keys {
            deployment = deployment.with(key, *value);
        }
        // Only a site that says so waits.
        let wait = format!("if [ -e wait ]; then {}; fi", gate.shell());
        world.settings.set("runs.parallel", "2");
        world.configure(&[deployment, world.deployment("site", &site).step("build", "wait", &wait)]);
        own.commit(&[("build.sh", GOOD), ("version", "1")], "one");
        let deployed = world.cli(&["deploy", "deployer"]);
        assert!(deployed.status.success(), "{}", describe(&deployed));
        world.binary = world.path_of("deployer").join("current/deployer");
        world.start();
        Self { world, own, site, gate }
    }

    /// A new version; the build decides what it is worth.
    fn commit(&self, version: &str, build: &str) -> String {
        self.own.commit(&[("build.sh", build), ("version", version)], version)
    }

    /// Pushes a version and waits for the end of its run.
    fn push(&self, version: &str, build: &str) -> Run {
        let commit = self.commit(version, build);
        self.world.push(&self.own, &commit);
        self.world.ended_run("deployer", &commit)
    }

    fn version(&self) -> Option<String> {
        self.world.live("deployer", "version")
    }

    /// The process that serves, with its release's directory; exactly one does.
    #[track_caller]
    fn server(&self) -> (u32, PathBuf) {
        wait::until("exactly one deployer to serve", || match servers(self.world.root()).as_slice() {
            [one] => Some(one.clone()),
            _ => None,
        })
    }

    /// What serves is what `current` names, and it deploys.
    #[track_caller]
    fn is_in_order(&self, version: &str, page: &str) -> u32 {
        assert_eq!(self.version().as_deref(), Some(version));
        let current = self.world.path_of("deployer").join("current");
        let (pid, release) = self.server();
        assert_eq!(release, current.canonicalize().expect("it is a link"), "what runs is what is linked");
        let commit = self.site.commit(&[("index.html", page)], page);
        self.world.deploy("site", &self.site, &commit);
        assert_eq!(self.world.live("site", "index.html").as_deref(), Some(page));
        assert!(!self.world.state().join("hand-over.json").exists(), "nothing is pending");
        assert!(self.world.settled("deployer", 1).iter().all(Run::is_final));
        pid
    }
}

/// The deployers that serve, by the file that they run from; those who stand in for one do not.
fn servers(root: &Path) -> Vec<(u32, PathBuf)> {
    let lines = living_in(root).into_iter().filter(|line| line.contains(" serve"));
    let found = lines.filter_map(|line| {
        let pid: u32 = line.split(':').next()?.parse().ok()?;
        let file = fs_err::read_link(format!("/proc/{pid}/exe")).ok()?;
        // Not a script that only pretends, which is a shell.
        file.starts_with(root.join("srv")).then(|| Some((pid, file.parent()?.to_owned())))?
    });
    found.collect()
}

#[test]
fn the_new_program_takes_over_without_losing_a_delivery_and_tells_of_it_itself() {
    World::run(|world| {
        let deployers = Deployers::install(world, &[]);
        let before = deployers.is_in_order("1", "one");
        let sender = Sender::start(deployers.world);
        let run = deployers.push("2", GOOD);
        assert_eq!((run.state.as_str(), run.cause), ("succeeded", None));
        let after = deployers.is_in_order("2", "two");
        assert_ne!(before, after);
        assert!(sender.finish(deployers.world) > 10);
        // By whom the end was told: the old one's last word is that it has handed over.
        let log = deployers.world.cli(&["logs", &run.id]);
        let taken_over = format!("process {after} has taken over");
        assert!(String::from_utf8_lossy(&log.stdout).contains(&taken_over), "{}", describe(&log));
        assert_eq!(deployers.world.reported(&deployers.own, &run.commit).state, "success");

        // Once more, by one who is stood in for already: nobody is left between.
        let third = deployers.commit("3", GOOD);
        deploy_as_planned(deployers.world, "deployer", &deployers.own, &third);
        deployers.is_in_order("3", "three");
        let stand_ins =
            || living_in(deployers.world.root()).iter().filter(|line| line.contains("__stand-in")).count();
        assert_eq!(stand_ins(), 1, "{:?}", living_in(deployers.world.root()));
    });
}

#[test]
fn fault_40_a_program_that_does_not_start_leaves_the_old_one_serving() {
    World::run(|world| {
        let deployers = Deployers::install(world, &[]);
        let before = deployers.server();
        let sender = Sender::start(deployers.world);
        let run = deployers.push("2", &faulty("echo broken >&2; exit 7"));
        assert_eq!(run.state, "failed");
        let cause = run.cause.unwrap_or_default();
        assert!(cause.contains("ended before it was ready") && cause.contains('7'), "{cause}");
        let status = deployers.world.reported(&deployers.own, &run.commit);
        assert_eq!(status.state, "failure");
        assert!(status.description.contains("ended before it was ready"), "{status:?}");
        deployers.is_in_order("1", "still here");
        assert_eq!(deployers.server(), before, "it is the same process");
        sender.finish(deployers.world);
        // And the mended one is deployed.
        assert_eq!(deployers.push("3", GOOD).state, "succeeded");
        deployers.is_in_order("3", "mended");
    });
}

#[test]
fn fault_40_a_program_that_is_never_ready_is_not_waited_for_for_ever() {
    World::run(|world| {
        let deployers = Deployers::install(world, &[("step_timeout", "\"5s\"")]);
        let sender = Sender::start(deployers.world);
        let run = deployers.push("2", &faulty("exec sleep 1000"));
        assert_eq!(run.state, "failed");
        assert!(run.cause.unwrap_or_default().contains("not ready in time"));
        deployers.is_in_order("1", "still here");
        sender.finish(deployers.world);
    });
}

#[test]
fn fault_40_a_program_that_is_not_healthy_is_not_left_alone() {
    World::run(|world| {
        let marker = world.root().join("unhealthy");
        let check = format!("test ! -e '{}'", marker.display());
        let health = format!("[{{ shell = {}, attempts = 1 }}]", text(&check));
        let deployers = Deployers::install(world, &[("health", &health)]);
        let sender = Sender::start(deployers.world);
        fs_err::write(&marker, "").expect("the world is writable");
        let run = deployers.push("2", GOOD);
        assert_eq!(run.state, "failed");
        deployers.is_in_order("1", "still here");
        fs_err::remove_file(&marker).expect("it is there");
        assert_eq!(deployers.push("3", GOOD).state, "succeeded");
        deployers.is_in_order("3", "healthy");
        sender.finish(deployers.world);
    });
}

#[test]
fn fault_40_the_code_that_runs_is_not_changed_under_it() {
    World::run(|world| {
        let deployers = Deployers::install(world, &[]);
        let (_, release) = deployers.server();
        let before = fs_err::read(release.join("version")).expect("it is there");
        assert_eq!(deployers.push("2", "exit 3").state, "failed");
        assert_eq!(deployers.push("3", GOOD).state, "succeeded");
        assert_eq!(fs_err::read(release.join("version")).expect("it is kept"), before);
    });
}

#[test]
fn fault_41_a_configuration_that_the_new_program_refuses_changes_nothing() {
    World::run(|world| {
        let deployers = Deployers::install(world, &[]);
        // From here on the configuration is part of the repository, as the original's is.
        let file = deployers.world.root().join("config/default.toml");
        let right = fs_err::read_to_string(file).expect("it was written");
        let wrong = format!("{right}\n[deployments.extra]\nrepository = \"acme/extra\"\n");
        deployers.own.commit(&[("config/default.toml", &right)], "configuration");
        assert_eq!(deployers.push("2", GOOD).state, "succeeded");
        deployers.world.configuration = deployers.world.path_of("deployer").join("current/config");
        deployers.world.stop();
        deployers.world.start();

        deployers.own.commit(&[("config/default.toml", &wrong)], "configuration");
        let run = deployers.push("3", GOOD);
        assert_eq!(run.state, "failed");
        let cause = run.cause.unwrap_or_default();
        assert!(cause.contains("refuses the configuration"), "{cause}");
        deployers.is_in_order("2", "still here");

        deployers.own.commit(&[("config/default.toml", &right)], "configuration");
        assert_eq!(deployers.push("4", GOOD).state, "succeeded");
        let pid = deployers.is_in_order("4", "mended");
        let arguments = fs_err::read_to_string(format!("/proc/{pid}/cmdline")).expect("it runs");
        let current = deployers.world.path_of("deployer").join("current").canonicalize().expect("a link");
        assert!(arguments.contains(&*current.join("config").to_string_lossy()), "{arguments:?}");
    });
}

#[test]
fn fault_42_the_runs_of_other_deployments_end_before_the_hand_over() {
    World::run(|world| {
        let deployers = Deployers::install(world, &[]);
        let slow = deployers.site.commit(&[("wait", ""), ("index.html", "slow")], "slow");
        let guid = deployers.world.push(&deployers.site, &slow);
        deployers.gate.wait_for(&slow);
        let (before, _) = deployers.server();
        let commit = deployers.commit("2", GOOD);
        deployers.world.push(&deployers.own, &commit);
        let run = wait::until("the hand-over to wait", || {
            let run = deployers.world.runs("deployer").pop().filter(|run| run.commit == commit)?;
            let page = deployers.world.run_page(&run.id);
            page.steps.iter().any(|step| step.name == "hand-over").then_some(run)
        });
        let next = deployers.site.commit(&[("index.html", "next")], "next");
        let waiting = deployers.world.push(&deployers.site, &next);
        assert_eq!(deployers.server().0, before, "nobody took over");
        assert!(!deployers.world.state().join("hand-over.json").exists(), "nobody was asked to");

        deployers.gate.open();
        deployers.world.wait_for_verdict(&guid, "deployed");
        assert_eq!(deployers.world.ended_run("site", &slow).state, "succeeded");
        assert_eq!(deployers.world.ended_run("deployer", &commit).id, run.id);
        deployers.world.wait_for_verdict(&waiting, "deployed");
        assert_ne!(deployers.is_in_order("2", "after"), before);
    });
}

#[test]
fn fault_42_migrations_are_the_new_programs_and_go_back_with_it() {
    World::run(|world| {
        let deployers = Deployers::install(world, &[]);
        let further = "further-migrations";
        deployers.own.commit(
            &[
                (&format!("{further}/up.sql"), "CREATE TABLE further (id INTEGER);"),
                (&format!("{further}/down.sql"), "DROP TABLE further;"),
            ],
            "a migration",
        );
        let applied = |world: &World| {
            let status = succeed(&mut world.product(&["migrate", "status", "--json"]));
            status.matches("\"applied\": true").count()
        };
        let before = applied(deployers.world);
        // It migrates, and only then fails.
        let migrating = faulty("\"$here/real\" --config \"$2\" migrate up; exit 7");
        let commit = deployers.commit("2", &migrating);
        deployers.world.push(&deployers.own, &commit);
        // Until it is undone, the command line of the old program cannot read the database.
        assert_eq!(deployers.world.reported(&deployers.own, &commit).state, "failure");
        deployers.is_in_order("1", "the old program can use the record");
        assert_eq!(applied(deployers.world), before);

        let commit = deployers.commit("3", GOOD);
        deployers.world.push(&deployers.own, &commit);
        // Nor from then on until the link names the new one.
        assert_eq!(deployers.world.reported(&deployers.own, &commit).state, "success");
        deployers.is_in_order("3", "migrated");
        assert_eq!(applied(deployers.world), before + 1);
    });
}

#[test]
fn fault_42_a_migration_that_cannot_be_applied_or_taken_back_is_found_before_anything_is_switched() {
    World::run(|world| {
        let deployers = Deployers::install(world, &[]);
        let (before, _) = deployers.server();
        let up = "further-migrations/up.sql";
        deployers.own.commit(&[(up, "CREATE TABLE further (id INTEGER);")], "no way back");
        let run = deployers.push("2", GOOD);
        assert!(run.cause.unwrap_or_default().contains("cannot be undone"));
        let down = "further-migrations/down.sql";
        deployers.own.commit(&[(up, "CREATE TABLE runs (id INTEGER);"), (down, "")], "impossible");
        let run = deployers.push("3", GOOD);
        assert!(run.cause.unwrap_or_default().contains("refuses the database"));
        assert_eq!(deployers.is_in_order("1", "still here"), before);
    });
}

#[test]
fn a_push_during_the_hand_over_is_deployed_by_the_new_program() {
    World::run(|world| {
        let deployers = Deployers::install(world, &[]);
        // The second version comes up slowly: until then there is time for a third.
        let slow = format!(
            "{GOOD}; mv deployer real; printf '#!/bin/sh\\n' > deployer; \
             echo 'until [ -e {open} ]; do sleep 0.02; done; exec \"$(dirname \"$0\")/real\" \"$@\"' >> deployer; chmod +x deployer",
            open = deployers.world.root().join("open").display()
        );
        // What it answers before it is to serve is not slow.
        let slow = slow
            .replace("until [", "case \"$*\" in *serve*) until [")
            .replace("done; exec", "done;; esac; exec");
        let second = deployers.commit("2", &slow);
        deployers.world.push(&deployers.own, &second);
        let pending = deployers.world.state().join("hand-over.json");
        wait::until("the hand-over to begin", || pending.exists().then_some(()));
        let third = deployers.commit("3", GOOD);
        let guid = deployers.world.push(&deployers.own, &third);
        let page = deployers.site.commit(&[("index.html", "meanwhile")], "meanwhile");
        let meanwhile = deployers.world.push(&deployers.site, &page);
        fs_err::write(deployers.world.root().join("open"), "").expect("the world is writable");

        deployers.world.wait_for_verdict(&guid, "deployed");
        deployers.world.wait_for_verdict(&meanwhile, "deployed");
        assert_eq!(deployers.world.ended_run("deployer", &second).state, "succeeded");
        deployers.is_in_order("3", "third");
    });
}

#[test]
fn a_deployer_killed_while_it_waits_for_the_new_one_is_started_again_as_it_was() {
    World::run(|world| {
        let deployers = Deployers::install(world, &[]);
        deployers.commit("2", &faulty("\"$here/real\" --config \"$2\" migrate up; exec sleep 1000"));
        let up = "further-migrations/up.sql";
        let down = "further-migrations/down.sql";
        let files = [(up, "CREATE TABLE further (id INTEGER);"), (down, "DROP TABLE further;")];
        let commit = deployers.own.commit(&files, "a migration");
        deployers.world.push(&deployers.own, &commit);
        wait::until("the new program to be waited for", || {
            living_in(deployers.world.root()).iter().any(|line| line.contains("sleep 1000")).then_some(())
        });
        let (pid, _) = deployers.server();
        deployers.world.kill();
        // `sleep` does not see the socket close, as a deployer would.
        end_strangers(deployers.world.root(), pid);
        let good = deployers.commit("3", GOOD);
        deployers.world.start();
        deployers.world.push(&deployers.own, &good);
        assert_eq!(deployers.world.reported(&deployers.own, &good).state, "success");
        let runs = deployers.world.settled("deployer", 2);
        assert!(runs.iter().any(|run| run.commit == commit && run.state == "undone"), "{runs:#?}");
        deployers.is_in_order("3", "after all");
    });
}

#[test]
fn a_new_deployer_killed_before_it_has_tidied_up_finishes_when_it_is_started_again() {
    World::run(|world| {
        let gate = Gate::new(&world.root().join("after"));
        let hook =
            format!("{{ after_switch = {} }}", text(&format!("if [ -e wait ]; then {}; fi", gate.shell())));
        let deployers = Deployers::install(world, &[("hooks", &hook)]);
        let commit = deployers.own.commit(&[("wait", ""), ("version", "2")], "2");
        deployers.world.push(&deployers.own, &commit);
        gate.wait_for(&commit);
        let (pid, _) = deployers.server();
        kill(pid);
        // Whoever stands in for it ends as it did.
        assert_eq!(deployers.world.wait_for_exit().code(), Some(128 + 9));
        gate.open();
        deployers.world.start();
        let run = deployers.world.ended_run("deployer", &commit);
        assert_eq!(run.state, "succeeded", "{run:?}");
        assert_eq!(deployers.world.runs("deployer").len(), 2, "nothing was done twice");
        deployers.is_in_order("2", "finished");
    });
}

#[test]
fn a_deployer_told_to_stop_during_a_hand_over_ends_and_the_new_one_with_it() {
    World::run(|world| {
        let deployers = Deployers::install(world, &[]);
        let commit = deployers.commit("2", &faulty("exec sleep 1000"));
        deployers.world.push(&deployers.own, &commit);
        wait::until("the new program to be waited for", || {
            living_in(deployers.world.root()).iter().any(|line| line.contains("sleep 1000")).then_some(())
        });
        assert!(deployers.world.stop().success());
        wait::until("the new program to be gone", || {
            living_in(deployers.world.root()).is_empty().then_some(())
        });
        let good = deployers.commit("3", GOOD);
        deployers.world.start();
        deployers.world.ended_run("deployer", &good);
        deployers.is_in_order("3", "after all");
    });
}

#[test]
fn whoever_kills_the_stand_in_ends_the_deployer_behind_it() {
    World::run(|world| {
        let deployers = Deployers::install(world, &[]);
        assert_eq!(deployers.push("2", GOOD).state, "succeeded");
        deployers.server();
        deployers.world.kill();
        wait::until("the deployer to be gone", || servers(deployers.world.root()).is_empty().then_some(()));
        deployers.world.start();
        deployers.is_in_order("2", "again");
    });
}

#[test]
fn an_operator_goes_back_to_the_version_before() {
    World::run(|world| {
        let deployers = Deployers::install(world, &[]);
        assert_eq!(deployers.push("2", GOOD).state, "succeeded");
        let back = deployers.world.cli(&["rollback", "deployer"]);
        assert!(back.status.success(), "{}", describe(&back));
        deployers.is_in_order("1", "back");
    });
}

fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    rustix::process::kill_process(pid, Signal::KILL).expect("it is the world's");
}

/// Kills what is left of a world, but for one.
fn end_strangers(root: &Path, but: u32) {
    for line in living_in(root) {
        let pid: u32 = line.split(':').next().and_then(|pid| pid.parse().ok()).expect("PID: arguments");
        if pid != but {
            kill(pid);
        }
    }
}

/// Under a real service manager that supervises by process id: it must learn who serves, and never end the new one by accident.
#[test]
fn under_systemd_the_new_program_becomes_the_units_main_process() {
    let machine = Machine::boot();
    let sources = Sources::new(&machine, "deployer");
    let url = sources.url();
    machine.write(
        "/etc/durhack-deployer/default.toml",
        &format!(
            r#"
webhook_secret_token = "{SECRET}"
source_networks = "any"
state_directory = "/var/lib/durhack-deployer"
listen.port = 3400
[deployments.deployer]
repository = "acme/deployer"
branch = "main"
clone_url = "{url}"
path = "/srv/deployer"
enabled = true
recipe = "deployer"
build = ["sh", "build.sh"]
binary = "deployer"
step_timeout = "20s"
environment = {{ PRODUCT = "/usr/local/bin/durhack-deployer" }}
"#
        ),
    );
    machine.unit(
        "durhack-deployer.service",
        "[Service]\nType=notify\nExecStart=/srv/deployer/current/deployer --config /etc/durhack-deployer serve\n\
         Restart=on-failure\nRestartSec=100ms\nKillMode=mixed\n",
    );
    let product = "/usr/local/bin/durhack-deployer";
    let main_process = || machine.property("durhack-deployer", "MainPID");
    // The program that the main process runs, by its release.
    let serves = |commit: &str| {
        let file = machine.run(&["readlink", &format!("/proc/{}/exe", main_process())]);
        assert!(file.contains(&commit[..7]), "{file}\n{}", machine.picture());
        assert!(machine.get("http://127.0.0.1:3400/").is_some_and(|body| body.contains("OK")));
        assert_eq!(machine.property("durhack-deployer", "ActiveState"), "active");
    };
    let one = sources.commit(&[("build.sh", GOOD), ("version", "1")]);
    machine.run(&[product, "deploy", "deployer"]);
    machine.run(&["systemctl", "start", "durhack-deployer"]);
    serves(&one);
    let first = main_process();

    let two = sources.commit(&[("version", "2")]);
    machine.run(&[product, "deploy", "deployer"]);
    assert_ne!(main_process(), first);
    serves(&two);
    wait::until("the old process to be gone", || {
        (!machine.path(&format!("/proc/{first}")).exists()).then_some(())
    });
    assert_eq!(machine.property("durhack-deployer", "NRestarts"), "0");

    // One that is never ready; a restart of the service in the middle of that ends both, and starts the old one.
    let pending = machine.path("/var/lib/durhack-deployer/hand-over.json");
    sources.commit(&[("build.sh", &faulty("exec sleep 1000"))]);
    machine.run(&[product, "deploy", "deployer", "--no-wait"]);
    wait::until("the hand-over to begin", || pending.exists().then_some(()));
    let good = sources.commit(&[("build.sh", GOOD), ("version", "3")]);
    machine.run(&["systemctl", "restart", "durhack-deployer"]);
    // The push that was being deployed is tried again, with the head as it is now.
    wait::until("the head to be live", || {
        let current = fs_err::read_link(machine.path("/srv/deployer/current")).ok()?;
        current.to_string_lossy().contains(&good[..7]).then_some(())
    });
    wait::until("the run to be settled", || (!pending.exists()).then_some(()));
    serves(&good);

    // A restart reaches the new main process, and a crash of it is noticed.
    let before = main_process();
    machine.run(&["systemctl", "restart", "durhack-deployer"]);
    assert_ne!(main_process(), before);
    serves(&good);
    let again = sources.commit(&[("version", "4")]);
    machine.run(&[product, "deploy", "deployer"]);
    serves(&again);
    let before = main_process();
    machine.run(&["systemctl", "kill", "--kill-whom=main", "--signal=KILL", "durhack-deployer"]);
    wait::until_told("systemd to start it again", || {
        let main = main_process();
        (main != before && main != "0" && machine.get("http://127.0.0.1:3400/").is_some()).then_some(())
    });
    serves(&again);
    assert_eq!(machine.property("durhack-deployer", "NRestarts"), "1");
}
