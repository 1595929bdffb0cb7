//! PostgreSQL as the record, and PostgreSQL away.

use crate::support::configuration::text;
use crate::support::gate::Gate;
use crate::support::postgres::Postgres;
use crate::support::push::Delivery;
use crate::support::wait;
use crate::support::world::World;

/// Pushes sent while the database is away.
const PUSHES: usize = 30;

#[test]
fn pushes_while_postgresql_is_away_are_neither_refused_nor_lost() {
    let postgres = Postgres::start().expect("PostgreSQL is installed");
    World::run(|world| {
        world.settings.set("database_url", text(&postgres.create_database("durhack")));
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        let first = repository.commit(&[("index.html", "first")], "first");
        world.start();
        world.deploy("site", &repository, &first);

        postgres.stop();
        let mut guids = Vec::new();
        let mut head = first;
        for number in 0..PUSHES {
            head = repository.commit(&[("index.html", &number.to_string())], "change");
            guids.push(world.push(&repository, &head));
            guids.push(world.accept(&Delivery::ping("acme/site")));
        }
        postgres.start_again();

        for guid in &guids {
            wait::until("every delivery to have its final verdict", || {
                let code = world.verdict(guid).code;
                ["deployed", "superseded", "already-live", "ping"].contains(&code.as_str()).then_some(())
            });
        }
        world.settled("site", 2);
        assert_eq!(world.live("site", "index.html"), Some((PUSHES - 1).to_string()));
        assert_eq!(world.status_of("site").live.expect("something is live").commit, head);
        assert_eq!(world.reported(&repository, &head).state, "success");
    });
}

#[test]
fn a_daemon_that_dies_while_postgresql_is_away_loses_nothing() {
    let postgres = Postgres::start().expect("PostgreSQL is installed");
    World::run(|world| {
        world.settings.set("database_url", text(&postgres.create_database("durhack")));
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();
        postgres.stop();
        let guid = world.push(&repository, &commit);

        world.kill();
        world.start();
        let second = world.accept(&Delivery::ping("acme/site"));
        postgres.start_again();

        world.wait_for_verdict(&guid, "deployed");
        world.wait_for_verdict(&second, "ping");
        assert_eq!(world.settled("site", 1).len(), 1);
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));
    });
}

#[test]
fn a_short_absence_during_a_run_does_not_fail_it() {
    let postgres = Postgres::start().expect("PostgreSQL is installed");
    World::run(|world| {
        world.settings.set("database_url", text(&postgres.create_database("durhack")));
        let repository = world.repository("acme/site");
        let gate = Gate::new(&world.root().join("gate"));
        world.configure(&[world.deployment("site", &repository).step("build", "wait", &gate.shell())]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.push(&repository, &commit);
        gate.wait_for(&commit);

        postgres.stop();
        gate.open();
        postgres.start_again();

        assert_eq!(world.ended_run("site", &commit).state, "succeeded");
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));
    });
}
