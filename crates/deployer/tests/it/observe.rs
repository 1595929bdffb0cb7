//! What `status`, `doctor` and the log say when this host is not as it was deployed, and what is mended without a hand.

use crate::support::configuration::text;
use crate::support::process::{command, describe, succeed};
use crate::support::record::Finding;
use crate::support::repository::Repository;
use crate::support::site::Site;
use crate::support::wait;
use crate::support::world::World;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::Value;
use std::process::Output;

/// A world whose one deployment, `site`, is live and looked at four times a second.
#[track_caller]
fn live_site(world: &mut World, keys: &[(&str, String)]) -> (Repository, String) {
    let repository = world.repository("acme/site");
    world.settings.set("reconcile.interval", "\"250ms\"");
    let mut deployment = world.deployment("site", &repository);
    for (key, value) in keys {
        deployment = deployment.with(key, value.clone());
    }
    world.configure(&[deployment]);
    let commit = repository.commit(&[("index.html", "one")], "first");
    world.start();
    world.deploy("site", &repository, &commit);
    (repository, commit)
}

/// Waits until a look begun from now on finds this, and gives it.
#[track_caller]
fn seen(world: &World, code: &str) -> Finding {
    wait::until_told(&format!("{code} to be seen"), || {
        let observed = world.status_of("site").observed?;
        observed.findings.into_iter().find(|finding| finding.code == code)
    })
}

/// Waits until a look finds nothing wrong, and `status` says so.
#[track_caller]
fn well(world: &World) {
    wait::until_told("all to be well", || {
        let status = world.status();
        let findings = &status["deployments"][0]["observed"]["findings"];
        (status["ok"] == true && findings.as_array().is_some_and(Vec::is_empty)).then_some(())
    });
}

#[track_caller]
fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// `doctor` names a finding as an error, and says what to do.
#[track_caller]
fn doctor_says(world: &World, what: &str) {
    let output = world.cli(&["doctor", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("doctor --json prints JSON");
    let findings = report["findings"].as_array().expect("a list");
    let is_it = |finding: &&Value| {
        finding["check"] == "deployments" && finding["what"].as_str().is_some_and(|said| said.contains(what))
    };
    let found = findings.iter().find(is_it).unwrap_or_else(|| panic!("{what}: {report:#}"));
    assert!(found["mend"].as_str().is_some_and(|mend| !mend.is_empty()), "{found}");
    assert_eq!((found["level"].as_str(), output.status.code()), (Some("error"), Some(1)), "{found}");
}

/// How often the daemon has warned of this.
fn warnings(world: &World, what: &str) -> usize {
    world.log().lines().filter(|line| line.contains("WARN") && line.contains(what)).count()
}

#[test]
fn a_link_that_is_removed_is_told_and_made_again() {
    World::run(|world| {
        live_site(world, &[]);
        well(world);
        let link = world.path_of("site").join("current");
        fs_err::remove_file(&link).expect("it is a link");
        wait::until_told("the site to be served again", || world.live("site", "index.html"));
        well(world);
        assert_eq!(warnings(world, "is not there; "), 1, "{}", world.log());
        assert_eq!(warnings(world, "the link current is made again"), 1, "{}", world.log());
        assert_eq!(world.runs("site").len(), 1, "nothing was built for it");
    });
}

#[test]
fn a_release_that_is_deleted_is_told_and_made_again_of_its_commit() {
    World::run(|world| {
        let (repository, first) = live_site(world, &[]);
        well(world);
        // Only reconcile and pushes deploy this one.
        repository.commit(&[("index.html", "two")], "second");
        let release = fs_err::canonicalize(world.path_of("site").join("current")).expect("it is live");
        fs_err::remove_dir_all(&release).expect("writable");
        wait::until_told("a release to be live again", || world.live("site", "index.html"));
        well(world);
        let live = world.status_of("site").live.expect("it is live");
        assert_eq!(live.commit, first, "the commit that was live, not the branch's head");
        assert_eq!(warnings(world, "the live release"), 2, "told, and made again: {}", world.log());
        let run = world.runs("site").pop().expect("it was built");
        assert_eq!((run.trigger.as_str(), run.state.as_str()), ("reconcile", "succeeded"));
    });
}

#[test]
fn a_directory_that_is_removed_is_told_and_made_again() {
    World::run(|world| {
        live_site(world, &[]);
        well(world);
        fs_err::remove_dir_all(world.path_of("site")).expect("writable");
        wait::until_told("a release to be live again", || world.live("site", "index.html"));
        well(world);
        assert_eq!(warnings(world, "is not there; the worker makes the release again"), 1, "{}", world.log());
    });
}

#[test]
fn a_directory_that_held_what_releases_share_is_told_and_not_made_anew() {
    World::run(|world| {
        live_site(world, &[("shared_dirs", "[\"uploads\"]".into())]);
        well(world);
        let aside = world.root().join("aside");
        fs_err::rename(world.path_of("site"), &aside).expect("writable");
        let found = seen(world, "path-gone");
        assert!(found.mend.contains("backup") && found.mend.contains("deploy site --force"), "{found:?}");
        doctor_says(world, "is not there");
        let shown = world.cli(&["status"]);
        assert!(
            out(&shown).contains("error site: ") && shown.status.code() == Some(1),
            "{}",
            describe(&shown)
        );
        assert_eq!(world.runs("site").len(), 1);
        assert!(!world.path_of("site").exists(), "nothing was made where a file system may be mounted again");
        fs_err::rename(&aside, world.path_of("site")).expect("writable");
        well(world);
    });
}

#[test]
fn something_else_in_the_place_of_the_link_is_told_and_left_alone() {
    World::run(|world| {
        live_site(world, &[]);
        well(world);
        let link = world.path_of("site").join("current");
        let by_hand = world.path_of("site").join("by-hand");
        fs_err::create_dir(&by_hand).expect("writable");
        fs_err::write(by_hand.join("index.html"), "by hand").expect("writable");
        // At once: a link that is gone for a moment is made again.
        renameat_with(CWD, &by_hand, CWD, &link, RenameFlags::EXCHANGE).expect("both are there");
        let found = seen(world, "link-replaced");
        assert_eq!(found.severity, "error");
        assert!(found.mend.contains("mv ") && found.mend.contains(".aside"), "{found:?}");
        doctor_says(world, "is not a link");
        assert_eq!(world.live("site", "index.html").as_deref(), Some("by hand"));
        assert_eq!(world.status_of("site").live.map(|live| live.release), None, "nothing of it was deployed");
        // As it says.
        fs_err::rename(&link, link.with_extension("aside")).expect("writable");
        wait::until_told("the site to be served again", || {
            world.live("site", "index.html").filter(|page| page == "one")
        });
        well(world);
    });
}

#[test]
fn a_link_that_somebody_moves_is_told_and_what_it_names_is_live() {
    World::run(|world| {
        let (repository, first) = live_site(world, &[]);
        let earlier = fs_err::read_link(world.path_of("site").join("current")).expect("it is live");
        let second = repository.commit(&[("index.html", "two")], "second");
        world.deploy("site", &repository, &second);
        well(world);
        let link = world.path_of("site").join("current");
        let new = link.with_extension("new");
        fs_err::os::unix::fs::symlink(&earlier, &new).expect("writable");
        fs_err::rename(&new, &link).expect("writable");
        let found = seen(world, "link-moved");
        assert!(found.mend.contains("durhack-deployer deploy site"), "{found:?}");
        assert_eq!(world.status_of("site").live.expect("it serves").commit, first, "what the link says");
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"), "it was meant");
    });
}

#[test]
fn a_page_that_does_not_answer_is_told_once_and_again_when_it_does() {
    World::run(|world| {
        let page = Site::serve(world.path_of("site").join("current"));
        let address = page.url().trim_start_matches("http://").trim_end_matches('/').to_owned();
        let url = format!("{}/index.html", page.url());
        let health = format!("[{{ http = {}, attempts = 2, interval = \"50ms\" }}]", text(&url));
        live_site(world, &[("health", health)]);
        well(world);
        drop(page);
        let found = seen(world, "unhealthy");
        assert_eq!(found.severity, "error");
        let looked_at = || world.status_of("site").observed.expect("it was looked at").at_ms;
        let before = looked_at();
        wait::until("two further looks", || (looked_at() > before).then_some(()));
        doctor_says(world, "is not answered as it should be");
        assert_eq!(warnings(world, "is not answered as it should be"), 1, "{}", world.log());
        let page = Site::serve_at(world.path_of("site").join("current"), &address);
        well(world);
        assert!(world.log().contains("no longer so: "), "{}", world.log());
        drop(page);
    });
}

#[test]
fn a_branch_that_is_gone_and_a_source_that_is_away_are_told_with_when_it_is_asked_next() {
    World::run(|world| {
        world.settings.set("reconcile.enabled", "true");
        let (repository, commit) = live_site(world, &[]);
        well(world);
        let bare = repository.bare().to_owned();
        repository.set_reference("refs/heads/trunk", &commit);
        repository.delete_branch("main");
        let found = seen(world, "branch-gone");
        assert!(
            found.what.contains("the branch main does not exist") && found.mend.contains("`branch`"),
            "{found:?}"
        );
        assert_eq!(world.status()["ok"], false);
        repository.set_reference("refs/heads/main", &commit);
        well(world);
        let aside = world.root().join("aside.git");
        fs_err::rename(&bare, &aside).expect("writable");
        let found = seen(world, "source-away");
        assert!(found.what.contains("asked at 20") && found.what.contains("is next at 20"), "{found:?}");
        let shown = out(&world.cli(&["status"]));
        assert!(shown.contains("site cannot be compared") && shown.contains(", next at 20"), "{shown}");
        fs_err::rename(&aside, &bare).expect("writable");
    });
}

#[test]
fn each_part_of_the_deployer_is_told_and_what_is_dead_is_an_error() {
    World::run(|world| {
        live_site(world, &[]);
        well(world);
        let level = |status: &Value, name: &str| {
            let parts = status["parts"].as_array().expect("a list");
            let part = parts.iter().find(|part| part["name"] == name).expect("it is shown");
            part["level"].as_str().expect("a word").to_owned()
        };
        let status = world.status();
        for part in ["intake", "worker", "database", "queues"] {
            assert_eq!(level(&status, part), "ok", "{status:#}");
        }
        // A file that is none of the queue's.
        let stray = world.spool("main").join("notes.txt");
        fs_err::write(&stray, "").expect("writable");
        let status = world.status();
        assert_eq!((level(&status, "queues"), &status["ok"]), ("warning".into(), &Value::Bool(true)));
        assert!(out(&world.cli(&["status"])).contains("notes.txt is no entry of the queue"));
        assert!(out(&world.cli(&["doctor"])).contains("notes.txt is no entry of the queue"));
        fs_err::remove_file(stray).expect("it is there");

        world.stop();
        let status = world.status();
        assert_eq!([level(&status, "intake"), level(&status, "worker")], ["error", "error"], "{status:#}");
        assert_eq!(status["ok"], false);
        let report = world.cli(&["doctor", "--json"]);
        assert_eq!(report.status.code(), Some(1), "{}", describe(&report));
        assert!(out(&report).contains("nobody deploys"));
    });
}

#[test]
fn a_state_disk_without_room_is_told_everywhere() {
    World::run(|world| {
        world.mount_small(&world.state(), 64 << 20);
        world.settings.set("runs.disk_free_min", "\"1MiB\"");
        live_site(world, &[]);
        well(world);
        let filler = world.state().join("filler");
        let mut command = command("fallocate", world.root());
        succeed(command.args(["-l", "63M"]).arg(&filler));
        let found = seen(world, "no-room");
        assert!(found.what.contains("the disk is full") && found.what.contains("state"), "{found:?}");
        let shown = world.cli(&["status"]);
        assert!(out(&shown).contains("error") && shown.status.code() == Some(1), "{}", describe(&shown));
        doctor_says(world, "the disk is full");
        assert_eq!(warnings(world, "the disk is full"), 1, "{}", world.log());
        fs_err::remove_file(filler).expect("it is there");
        well(world);
    });
}
