//! A work tree of the original's becomes releases: nothing is lost, nothing is missing for a moment, and a death in the middle
//! leaves one layout or the other.

use crate::support::configuration::Deployment;
use crate::support::gate::Gate;
use crate::support::node_app::NodeApp;
use crate::support::pm2::Pm2;
use crate::support::process::{command, describe, output, succeed};
use crate::support::repository::Repository;
use crate::support::site::Site;
use crate::support::visitors::Visitors;
use crate::support::world::World;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Output;

/// What lies in the old tree beside what git tracks: path, content, mode, and whether it has to be kept.
const UNTRACKED: [(&str, &str, u32, bool); 6] = [
    (".env", "SECRET=1\n", 0o600, true),
    ("server/keys/private.pem", "key\0\n", 0o640, true),
    ("uploads/deep/picture", "picture", 0o644, true),
    ("notes.txt", "by hand", 0o664, true),
    ("node_modules/x/index.js", "x", 0o644, false),
    ("dist/app.js", "built", 0o755, false),
];

/// A deployment whose path is a clone, as the original made it, with what was put beside it by hand.
fn installation(world: &World) -> (Repository, Deployment, String) {
    let repository = world.repository("acme/site");
    let files = [
        ("index.html", "one"),
        ("server/main.js", "1"),
        (".gitignore", "node_modules/\ndist/\n.env\nserver/keys/\n"),
    ];
    let first = repository.commit(&files, "first");
    let path = world.path_of("site");
    succeed(command("git", world.root()).args(["clone", "-q", &repository.clone_url()]).arg(&path));
    for (name, content, mode, _) in UNTRACKED {
        let file = path.join(name);
        fs_err::create_dir_all(file.parent().expect("it lies in the tree")).expect("the world is writable");
        fs_err::write(&file, content).expect("the world is writable");
        fs_err::set_permissions(&file, PermissionsExt::from_mode(mode)).expect("it is ours");
    }
    fs_err::set_permissions(path.join("server/keys"), PermissionsExt::from_mode(0o750)).expect("it is ours");
    let deployment = world
        .deployment("site", &repository)
        .with("shared_files", "[\".env\", \"notes.txt\"]")
        .with("shared_dirs", "[\"server/keys\", \"uploads\"]")
        .step(
            "build",
            "build",
            "test -e .env && test -e server/keys/private.pem && echo $DEPLOYER_COMMIT > built",
        );
    (repository, deployment, first)
}

/// Everything that must not change: content, mode, owner, times and the file itself.
fn identity(path: &Path) -> (Vec<u8>, u32, u32, i64, u64) {
    let found = fs_err::metadata(path).expect("it is there");
    (fs_err::read(path).expect("it can be read"), found.mode(), found.uid(), found.mtime_nsec(), found.ino())
}

fn identities(root: &Path, kept_only: bool) -> Vec<(Vec<u8>, u32, u32, i64, u64)> {
    let wanted = UNTRACKED.iter().filter(|(.., kept)| *kept || !kept_only);
    wanted.map(|(name, ..)| identity(&root.join(name))).collect()
}

/// Visitors of the site, who must find each of these pages at any time.
fn visitors(site: &Site, pages: &[&'static str]) -> Visitors {
    Visitors::come(site.url().trim_start_matches("http://"), pages)
}

#[track_caller]
fn were_never_turned_away(visitors: Visitors) {
    let seen = visitors.leave();
    assert!(seen.requests > 100 && seen.failures == 0, "{seen}: {:?}", seen.described);
}

#[track_caller]
fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", describe(output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_work_tree_becomes_releases_while_it_serves() {
    World::run(|world| {
        let (repository, deployment, first) = installation(world);
        let path = world.path_of("site");
        world.configure(&[deployment]);
        world.start();
        let site = Site::serve(path.clone());
        let visitor = visitors(&site, &["/index.html", "/dist/app.js", "/uploads/deep/picture", "/.env"]);
        let before = identities(&path, false);

        let plan = said(&world.cli(&["adopt", "site", "--dry-run"]));
        for line in ["  .env", "  uploads", "  server/keys", "  notes.txt", "and 2 that builds make"] {
            assert!(plan.contains(line), "{line:?} in {plan}");
        }
        assert!(!path.join("shared").exists() && !path.join("releases").exists(), "nothing was done");
        let alone = world.cli(&["adopt", "site"]);
        assert!(String::from_utf8_lossy(&alone.stderr).contains("--yes"), "it asks:\n{}", describe(&alone));

        said(&world.cli(&["adopt", "site", "--yes"]));
        assert_eq!(identities(&path, false), before, "the old tree goes on working");
        assert_eq!(identities(&path.join("shared"), true), identities(&path, true));
        assert_eq!(identities(&path.join("current"), true), identities(&path, true));
        assert_eq!(world.live("site", "built").as_deref(), Some(format!("{first}\n").as_str()));
        assert!(world.live("site", "node_modules/x/index.js").is_none(), "a build product is not taken over");
        let mode = fs_err::metadata(path.join("shared/server/keys")).expect("it is there").mode();
        assert_eq!(mode & 0o777, 0o750);
        assert!(said(&world.cli(&["adopt", "site", "--yes"])).contains("already"), "twice is once");

        // The daemon that ran all the time deploys the next push as a release, and rolls back to the adopted one.
        let second = repository.commit(&[("index.html", "two")], "second");
        world.deploy("site", &repository, &second);
        assert_eq!(world.live("site", "index.html").as_deref(), Some("two"));
        assert_eq!(fs_err::read_to_string(path.join("index.html")).expect("the old tree"), "one");
        said(&world.cli(&["rollback", "site"]));
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));
        assert_eq!(world.status_of("site").live.expect("it is live").commit, first);
        let nowhere = world.cli(&["rollback", "site", "--to", "in-place"]);
        assert!(!nowhere.status.success(), "the tree is no release");
        were_never_turned_away(visitor);
    });
}

/// A client that is built in place and served from there, by a recipe that knows from what a release was built. Unhealthy as long as `sick`
/// is there.
fn client(world: &World, sick: &Path) -> (Repository, Deployment, String) {
    let repository = world.repository("acme/jury");
    let first = repository.commit(&client_files("one"), "first");
    let path = world.path_of("jury");
    succeed(command("git", world.root()).args(["clone", "-q", &repository.clone_url()]).arg(&path));
    fs_err::create_dir(path.join("client/build")).expect("the world is writable");
    fs_err::write(path.join("client/build/index.html"), "built before").expect("the world is writable");
    let health = format!("[{{ command = [\"test\", \"!\", \"-e\", {:?}], attempts = 1 }}]", sick.display());
    let deployment = world.deployment("jury", &repository).with("recipe", "\"go-static\"");
    (repository, deployment.with("publish", "[\"client/build\"]").with("health", health), first)
}

fn client_files(page: &str) -> [(&str, &str); 4] {
    // As vite would: to `build`, or to where it is told.
    let build =
        "out=build; if [ \"$1\" = --outDir ]; then out=$2; fi; mkdir -p \"$out\" && cp index.html \"$out\"";
    let package = r#"{"scripts": {"build": "sh build.sh"}}"#;
    let ignored = "client/build\nclient/node_modules\nclient/package-lock.json\n";
    [
        ("client/index.html", page),
        ("client/build.sh", build),
        ("client/package.json", package),
        (".gitignore", ignored),
    ]
}

#[test]
fn a_client_is_served_at_the_same_path_before_meanwhile_and_after() {
    World::run(|world| {
        let sick = world.root().join("sick");
        let (repository, deployment, _) = client(world, &sick);
        let path = world.path_of("jury");
        let page = path.join("client/build/index.html");
        let served = || fs_err::read_to_string(&page).expect("it is served");
        world.configure(&[deployment]);
        world.start();
        let site = Site::serve(path.clone());
        let visitor = visitors(&site, &["/client/build/index.html"]);

        fs_err::write(&sick, "").expect("the world is writable");
        let refused = world.cli(&["adopt", "jury", "--yes"]);
        assert!(!refused.status.success(), "{}", describe(&refused));
        assert_eq!(served(), "built before");
        assert!(!path.join("client/build").is_symlink(), "it is what it was");

        fs_err::remove_file(&sick).expect("the world is writable");
        said(&world.cli(&["adopt", "jury", "--yes"]));
        assert_eq!(served(), "one");
        let second = repository.commit(&client_files("two"), "second");
        world.deploy("jury", &repository, &second);
        assert_eq!(served(), "two");
        said(&world.cli(&["adopt", "jury", "--finish", "--yes"]));
        assert_eq!(served(), "two");
        assert!(!path.join("client/package.json").exists(), "the old tree is moved aside");
        assert!(
            said(&world.cli(&["adopt", "jury", "--finish", "--yes"])).contains("nothing"),
            "once is enough"
        );
        were_never_turned_away(visitor);
    });
}

#[test]
fn after_an_adoption_that_failed_a_daemon_that_starts_deploys_nothing_by_itself() {
    World::run(|world| {
        let sick = world.root().join("sick");
        let (repository, deployment, first) = client(world, &sick);
        world.configure(&[deployment]);
        fs_err::write(&sick, "").expect("the world is writable");
        let failed = world.cli(&["adopt", "jury", "--yes"]);
        assert!(!failed.status.success(), "{}", describe(&failed));
        fs_err::remove_file(&sick).expect("the world is writable");
        let plan = said(&world.cli(&["plan", "jury"]));
        assert!(plan.contains("is live already"), "nothing has changed but that it was tried: {plan}");

        // A worker begins with what waits, and ends what it has begun: when it has stopped, it has compared the configuration too.
        let second = repository.commit(&client_files("two"), "second [skip deploy]");
        world.start();
        let push = world.push(&repository, &second);
        world.wait_for_verdict(&push, "skipped");
        world.stop();
        let waiting = world.cli(&["queue"]);
        assert_eq!(said(&waiting), "nothing waits\n");
        let states: Vec<String> = world.runs("jury").into_iter().map(|run| run.state).collect();
        assert_eq!(states, ["failed", "skipped"]);
        let page = world.path_of("jury").join("client/build/index.html");
        assert_eq!(fs_err::read_to_string(&page).expect("it is served"), "built before");

        // Whoever asks gets a deploy that is known to have succeeded, as before.
        said(&world.cli(&["deploy", "jury", "--commit", &first]));
        assert_eq!(fs_err::read_to_string(page).expect("it is served"), "one");
    });
}

#[test]
fn what_is_left_of_the_old_tree_is_moved_aside_when_nothing_runs_in_it() {
    World::run(|world| {
        let (repository, deployment, _) = installation(world);
        let path = world.path_of("site");
        world.configure(&[deployment]);
        let early = world.cli(&["adopt", "site", "--finish"]);
        assert!(String::from_utf8_lossy(&early.stderr).contains("in place"), "{}", describe(&early));
        said(&world.cli(&["adopt", "site", "--yes"]));
        let before = identities(&path, false);
        let mut program = command("sleep", world.root());
        let mut program =
            program.arg("600").current_dir(path.join("server")).spawn().expect("sleep is installed");
        let busy = world.cli(&["adopt", "site", "--finish", "--yes"]);
        program.kill().expect("it is our child");
        program.wait().expect("it is our child");
        assert!(String::from_utf8_lossy(&busy.stderr).contains("sleep 600"), "{}", describe(&busy));

        let site = Site::serve(path.join("current"));
        let visitor = visitors(&site, &["/index.html", "/.env", "/uploads/deep/picture"]);
        said(&world.cli(&["adopt", "site", "--finish", "--yes"]));
        let mut names: Vec<PathBuf> = fs_err::read_dir(&path)
            .expect("it is there")
            .map(|entry| entry.expect("readable").path())
            .collect();
        names.sort();
        let aside = names
            .iter()
            .find(|name| name.to_string_lossy().contains("before-adopt-"))
            .expect("moved")
            .clone();
        let own = [".durhack-deployer.lock", "current", "releases", "shared"].map(|name| path.join(name));
        assert!(names.iter().filter(|name| **name != aside).eq(&own), "{names:?}");
        assert_eq!(identities(&aside, false), before, "nothing was deleted");
        assert!(said(&world.cli(&["adopt", "site", "--finish", "--yes"])).contains("nothing is left"));

        let second = repository.commit(&[("index.html", "two")], "second");
        world.start();
        world.deploy("site", &repository, &second);
        assert_eq!(world.live("site", "index.html").as_deref(), Some("two"));
        were_never_turned_away(visitor);
    });
}

#[test]
fn a_death_in_the_middle_leaves_one_layout_or_the_other() {
    for point in [
        "step-started:3",
        "step-done:3",
        "release-created:1",
        "link-made:1",
        "link-moved:1",
        "live:1",
        "run-ended:1",
    ] {
        World::run(|world| {
            let (repository, deployment, first) = installation(world);
            let path = world.path_of("site");
            world.configure(&[deployment]);
            let before = identities(&path, false);
            let mut adopt = world.product(&["adopt", "site", "--yes"]);
            let died = output(adopt.env("DEPLOYER_CRASH_AT", point));
            assert_eq!(std::os::unix::process::ExitStatusExt::signal(&died.status), Some(9), "{point}");
            assert_eq!(identities(&path, false), before, "{point}: the old tree works");

            said(&world.cli(&["adopt", "site", "--yes"]));
            assert_eq!(identities(&path, false), before, "{point}");
            assert_eq!(identities(&path.join("current"), true), identities(&path, true), "{point}");
            assert_eq!(
                world.live("site", "built").as_deref(),
                Some(format!("{first}\n").as_str()),
                "{point}"
            );
            let second = repository.commit(&[("index.html", "two")], "second");
            world.start();
            world.deploy("site", &repository, &second);
            assert_eq!(world.live("site", "index.html").as_deref(), Some("two"), "{point}");
        });
    }
}

#[test]
fn a_failed_adoption_is_taken_back_and_the_tree_is_deployed_in_place_as_before() {
    World::run(|world| {
        let (repository, deployment, first) = installation(world);
        let path = world.path_of("site");
        let restarts = world.root().join("restarts");
        let restart = format!("echo $DEPLOYER_RELEASE >> '{}'", restarts.display());
        // It is healthy in place, and not as a release.
        let check = "[{ shell = \"test -e .git\", attempts = 1 }]";
        world.configure(&[deployment.with("health", check).step("switch", "restart", &restart)]);
        world.start();
        let before = identities(&path, false);
        let failed = world.cli(&["adopt", "site", "--yes"]);
        assert!(!failed.status.success(), "{}", describe(&failed));
        assert_eq!(identities(&path, false), before);
        assert!(!path.join(".env").is_symlink() && !path.join("uploads").is_symlink(), "no link is left");
        assert!(!path.join("shared/.env").exists() && !path.join("current").exists());
        let restarted = fs_err::read_to_string(&restarts).expect("it was restarted");
        let restarted: Vec<&str> = restarted.lines().collect();
        assert_eq!(restarted.last(), Some(&path.to_string_lossy().as_ref()), "{restarted:?}");
        assert_eq!(world.status_of("site").live.expect("the tree is live").commit, first);

        let second = repository.commit(&[("index.html", "two")], "second");
        world.deploy("site", &repository, &second);
        assert_eq!(fs_err::read_to_string(path.join("index.html")).expect("in place"), "two");
        let log = world.cli(&["logs", "site"]);
        assert!(said(&log).contains("durhack-deployer adopt site"), "the run warns");
        let status = world.cli(&["status"]);
        assert!(String::from_utf8_lossy(&status.stderr).contains("durhack-deployer adopt site"));
        let checked = world.cli(&["config", "check"]);
        assert!(String::from_utf8_lossy(&checked.stderr).contains("durhack-deployer adopt site"));
    });
}

#[test]
fn what_would_be_lost_is_refused_and_a_run_is_not_disturbed() {
    World::run(|world| {
        let (repository, deployment, _) = installation(world);
        let path = world.path_of("site");
        let gate = Gate::new(&world.root().join("gate"));
        world.configure(&[deployment.step("build", "wait", &gate.shell())]);
        fs_err::write(path.join("server/main.js"), "changed by hand").expect("it is ours");
        let refused = world.cli(&["adopt", "site", "--yes"]);
        assert!(
            String::from_utf8_lossy(&refused.stderr).contains("server/main.js"),
            "{}",
            describe(&refused)
        );
        fs_err::create_dir_all(path.join("shared")).expect("it is ours");
        fs_err::write(path.join("shared/.env"), "another").expect("it is ours");
        let refused = world.cli(&["adopt", "site", "--yes", "--force"]);
        assert!(String::from_utf8_lossy(&refused.stderr).contains("differ"), "{}", describe(&refused));
        fs_err::remove_file(path.join("shared/.env")).expect("it is ours");
        fs_err::write(path.join("unlisted.txt"), "nobody names it").expect("it is ours");
        let plan = said(&world.cli(&["adopt", "site", "--force", "--dry-run"]));
        assert!(plan.contains("shared_files = [\".env\",\"notes.txt\",\"unlisted.txt\"]"), "{plan}");

        world.start();
        let second = repository.commit(&[("index.html", "two")], "second");
        world.push(&repository, &second);
        gate.wait_for(&second);
        let busy = world.cli(&["adopt", "site", "--yes", "--force"]);
        assert_eq!(busy.status.code(), Some(4), "{}", describe(&busy));
        gate.open();
        world.ended_run("site", &second);
        fs_err::write(path.join("server/main.js"), "changed by hand").expect("it is ours");
        said(&world.cli(&["adopt", "site", "--yes", "--force"]));
        assert_eq!(world.live("site", "server/main.js").as_deref(), Some("1"));
        assert_eq!(fs_err::read_to_string(path.join("server/main.js")).expect("it stays"), "changed by hand");
    });
}

#[test]
fn a_push_that_waits_is_deployed_after_the_adoption() {
    World::run(|world| {
        let (repository, deployment, first) = installation(world);
        let gate = Gate::new(&world.root().join("gate"));
        world.configure(&[deployment.step("build", "wait", &gate.shell())]);
        let second = repository.commit(&[("index.html", "two")], "second");
        world.start();
        world.push(&repository, &second);
        gate.wait_for(&second);
        world.kill();
        gate.open();
        said(&world.cli(&["adopt", "site", "--yes"]));
        let runs: Vec<(String, String)> =
            world.runs("site").into_iter().map(|run| (run.commit, run.state)).collect();
        let [undone, succeeded] = ["undone", "succeeded"].map(str::to_owned);
        let expected = [(second.clone(), undone), (first, succeeded.clone()), (second, succeeded)];
        assert_eq!(runs, expected);
        assert_eq!(world.live("site", "index.html").as_deref(), Some("two"));
    });
}

#[test]
fn a_daemon_with_another_configuration_does_not_adopt_what_was_not_agreed_upon() {
    World::run(|world| {
        let (_repository, deployment, _) = installation(world);
        world.configure(std::slice::from_ref(&deployment));
        world.start();
        // The operator adds a file, and forgets the daemon.
        let more = "[\".env\", \"notes.txt\", \"dist/app.js\"]";
        world.configure(&[deployment.with("shared_files", more)]);
        let refused = world.cli(&["adopt", "site", "--yes"]);
        assert!(!refused.status.success(), "{}", describe(&refused));
        assert!(
            String::from_utf8_lossy(&refused.stdout).contains("restart the daemon"),
            "{}",
            describe(&refused)
        );
        assert!(!world.path_of("site").join("current").exists());
    });
}

#[test]
fn an_adoption_can_be_gone_back_on() {
    World::run(|world| {
        let (repository, deployment, _) = installation(world);
        let path = world.path_of("site");
        world.configure(std::slice::from_ref(&deployment));
        said(&world.cli(&["adopt", "site", "--yes"]));
        world.configure(&[deployment.clone().with("layout", "\"in-place\"")]);
        said(&world.cli(&["deploy", "site", "--force"]));
        fs_err::remove_file(path.join("current")).expect("nothing names it");
        world.configure(&[deployment]);
        let second = repository.commit(&[("index.html", "two")], "second");
        world.start();
        world.deploy("site", &repository, &second);
        assert_eq!(fs_err::read_to_string(path.join("index.html")).expect("in place"), "two");
        assert!(!path.join("current").exists());
    });
}

#[test]
fn applications_under_pm2_move_with_the_adoption_and_back_with_a_failed_one() {
    World::run(|world| {
        let pm2 = Pm2::of(world);
        let app = NodeApp::of(world, "pnpm-app", "app");
        let path = world.path_of("app");
        fs_err::remove_dir_all(path.join("shared")).expect("in place there is none");
        fs_err::create_dir_all(path.join("server")).expect("the world is writable");
        fs_err::write(path.join("server/.env"), "of this host").expect("the world is writable");
        let healthy = app.deployment(world);
        let in_place = healthy.clone().with("layout", "\"in-place\"").with("shared_files", "[]");
        world.configure(&[in_place]);
        world.start();
        let first = app.version("one");
        world.deploy("app", &app.repository, &first);
        world.stop();

        let place = || PathBuf::from(app.answer()["place"].as_str().expect("a place"));
        let tree = fs_err::canonicalize(&path).expect("it is there");
        assert_eq!(place(), tree);
        // It is healthy in place, and not as a release.
        world.configure(&[healthy.clone().with("health", "[{ shell = \"test -e .git\", attempts = 1 }]")]);
        let failed = world.cli(&["adopt", "app", "--yes"]);
        assert!(!failed.status.success(), "{}", describe(&failed));
        assert!(!path.join("current").exists());
        assert_eq!((place(), app.live_version().as_str()), (tree, "one"), "{}", describe(&failed));
        assert_eq!(pm2.names(), ["app-server", "app-ticket-assigner"]);

        world.configure(&[healthy]);
        said(&world.cli(&["adopt", "app", "--yes"]));
        assert_eq!(place(), fs_err::canonicalize(path.join("current")).expect("a link"));
        assert_eq!(app.answer()["kept"], "of this host");
        assert_eq!(pm2.pids("app-server").len(), 2);
    });
}

#[test]
fn what_never_was_deployed_is_neither_adopted_nor_moved_away() {
    World::run(|world| {
        let repository = world.repository("acme/nginx");
        repository.commit(&[("production/site.conf", "server {}\n"), ("snippets/a", "\n")], "first");
        let path = world.path_of("nginx");
        succeed(command("git", world.root()).args(["clone", "-q", &repository.clone_url()]).arg(&path));
        let deployment = world.deployment("nginx", &repository).with("recipe", "\"nginx-sites\"");
        world.configure(&[deployment.with("sites", "[]")]);
        for words in [&["adopt", "nginx", "--yes"][..], &["adopt", "nginx", "--finish", "--yes"]] {
            let refused = world.cli(words);
            let why = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert!(!refused.status.success(), "{}", describe(&refused));
            assert!(why.contains("nothing of nginx is live yet: deploy it first"), "{why}");
        }
        assert!(path.join("snippets/a").exists() && path.join(".git").exists(), "everything is where it was");
    });
}

#[test]
fn a_tree_that_holds_the_deployers_own_files_is_refused() {
    World::run(|world| {
        let (repository, deployment, first) = installation(world);
        // As the Python tool was installed: its own checkout holds `config/`, `.env`, and what it works with.
        let root = world.root().to_owned();
        let git = |words: &[&str]| succeed(command("git", &root).arg("-C").arg(&root).args(words));
        git(&["init", "-q"]);
        git(&["fetch", "-q", &repository.clone_url(), "main"]);
        git(&["checkout", "-q", "-f", &first]);
        world.configure(&[deployment.with("path", format!("{:?}", root.display().to_string()))]);
        let refused = world.cli(&["adopt", "site", "--yes", "--force"]);
        let why = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success(), "{}", describe(&refused));
        for what in ["the deployer's configuration lies in it", "the deployer's state lies in it"] {
            assert!(why.contains(what), "{what}: {why}");
        }
        assert!(!root.join("shared").exists() && !root.join("releases").exists(), "nothing was done");
    });
}
