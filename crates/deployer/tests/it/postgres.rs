//! PostgreSQL as the database, and PostgreSQL away.

use crate::support::configuration::text;
use crate::support::gate::Gate;
use crate::support::postgres::Postgres;
use crate::support::process::describe;
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

/// The daemon's user logs in as PostgreSQL's `peer` and a password have it; `doctor` says where a build could do the same.
#[test]
fn a_database_that_a_build_can_log_in_to_is_named() {
    let postgres = Postgres::start().expect("PostgreSQL is installed");
    World::run(|world| {
        world.drop_privileges();
        postgres.execute("postgres", "CREATE ROLE nobody LOGIN PASSWORD 'of-the-record'");
        postgres.create_database("durhack");
        postgres.execute("postgres", "ALTER DATABASE durhack OWNER TO nobody");
        let repository = world.repository("acme/site");
        let said = |world: &World| {
            let report = describe(&world.cli(&["doctor"]));
            let lines = report.lines().filter(|line| line.contains("PostgreSQL"));
            lines.map(str::to_owned).collect::<Vec<_>>().join("\n")
        };

        // As it was documented: no user in the URL, none of the process's environment, and `peer`.
        postgres.demand("local all all peer\nhost all all 127.0.0.1/32 scram-sha-256\n");
        world.settings.set("database_url", text(&postgres.socket_url("", "durhack")));
        world.configure(&[world.deployment("site", &repository)]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.deploy("site", &repository, &first);
        let report = said(world);
        assert!(
            report.contains("without a password") && report.contains("the builds of site run as nobody"),
            "{report}"
        );

        // A password, and yet `peer` beside it: the password is no wall.
        world.stop();
        let with_password = postgres.socket_url("nobody:of-the-record", "durhack");
        world.settings.set("database_url", text(&with_password));
        world.configure(&[world.deployment("site", &repository)]);
        assert!(said(world).contains("the builds of site run as nobody"), "{}", said(world));

        postgres.demand("local all all trust\nhost all all 127.0.0.1/32 trust\n");
        assert!(said(world).contains("without a password"), "{}", said(world));

        postgres.demand("local all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n");
        assert!(said(world).contains("PostgreSQL asks for a password"), "{}", said(world));
        world.start();
        let second = repository.commit(&[("index.html", "two")], "second");
        world.deploy("site", &repository, &second);
    });
}
