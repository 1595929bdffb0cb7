//! The gap of a switch, as a run tells of it.

use crate::support::configuration::{Deployment, text};
use crate::support::gate::Gate;
use crate::support::repository::Repository;
use crate::support::site::Site;
use crate::support::wait;
use crate::support::world::World;

fn deployment(world: &World, repository: &Repository, url: &str) -> Deployment {
    let page = text(&format!("{url}/index.html"));
    let health = format!("[{{ http = {page}, attempts = 500, interval = \"100ms\" }}]");
    world.deployment("site", repository).with("health", health)
}

#[test]
fn a_switch_without_a_gap_says_so_and_a_first_deploy_says_nothing() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let site = Site::serve(world.path_of("site").join("current"));
        world.configure(&[deployment(world, &repository, &site.url())]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        assert_eq!(world.deploy("site", &repository, &first).summary, None);
        assert_eq!(world.reported(&repository, &first).description, "deployed");

        let second = repository.commit(&[("index.html", "two")], "second");
        let run = world.deploy("site", &repository, &second);
        assert_eq!(run.summary.as_deref(), Some("no downtime while switching"), "{run:?}");
        assert_eq!(world.reported(&repository, &second).description, "deployed, no downtime while switching");
        let listed = String::from_utf8(world.cli(&["runs", "site"]).stdout).expect("UTF-8");
        assert!(listed.contains("no downtime while switching"), "{listed}");
    });
}

#[test]
fn a_program_that_is_away_while_it_is_restarted_has_a_gap() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let current = world.path_of("site").join("current");
        let site = Site::serve(current.clone());
        let gate = Gate::new(&world.root().join("gate"));
        let restart = format!("[ -z \"$DEPLOYER_PREVIOUS_COMMIT\" ] || {{ {}; }}", gate.shell());
        world.configure(&[deployment(world, &repository, &site.url()).step("switch", "restart", &restart)]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.deploy("site", &repository, &first);

        let second = repository.commit(&[("index.html", "two")], "second");
        world.push(&repository, &second);
        gate.wait_for(&second);
        let address = site.url().trim_start_matches("http://").to_owned();
        drop(site);
        gate.open();
        wait::until("the health check to have asked in vain", || {
            let log = world.cli(&["logs", "site"]);
            String::from_utf8_lossy(&log.stdout).contains("attempt 1 of").then_some(())
        });
        let _site = Site::serve_at(current, &address);
        let run = world.ended_run("site", &second);
        assert_eq!(run.state, "succeeded", "{run:?}");
        let summary = run.summary.expect("it says for how long");
        assert!(
            summary.starts_with("not reachable for ") && summary.ends_with(" while switching"),
            "{summary}"
        );
    });
}
