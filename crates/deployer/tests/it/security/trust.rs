//! Somebody else writes to the database, and nothing of it is carried out: rows of their own, changed rows, and rows as they once were.

use crate::support::configuration::text;
use crate::support::gate::Gate;
use crate::support::postgres::Postgres;
use crate::support::process::describe;
use crate::support::record::Run;
use crate::support::sqlite;
use crate::support::wait;
use crate::support::world::World;
use std::path::PathBuf;

/// Where the world's record lies.
enum Database {
    Sqlite(PathBuf),
    Postgres(Postgres),
}

impl Database {
    fn sqlite(world: &World) -> Self {
        Self::Sqlite(world.state().join("record.sqlite"))
    }

    fn postgres(world: &mut World) -> Self {
        let postgres = Postgres::start().expect("PostgreSQL is installed");
        world.settings.set("database_url", text(&postgres.create_database("durhack")));
        Self::Postgres(postgres)
    }

    /// The SQL of somebody else.
    fn execute(&self, statement: &str) {
        match self {
            Self::Postgres(postgres) => postgres.execute("durhack", statement),
            Self::Sqlite(file) => sqlite::execute(file, statement),
        }
    }
}

/// Another database, the same story.
fn on_both(story: impl Fn(&mut World, &Database)) {
    World::run(|world| {
        let database = Database::sqlite(world);
        story(world, &database);
    });
    World::run(|world| {
        let database = Database::postgres(world);
        story(world, &database);
    });
}

/// Of the runs, all but when they began and ended.
const RUN_COLUMNS: &str = "deployment, repository, branch, commit_id, previous_commit, attempt, trigger_kind, requested_by, entry, delivery_id, release, created_at_ms, started_at_ms, pid, boot_id";

const STEP_COLUMNS: &str = "number, direction, phase, name, command, started_at_ms, ended_at_ms";

const PLANTED: &str = "0199aaaa-0000-7000-8000-000000000001";

fn run(world: &World, id: &str) -> Run {
    world.runs("site").into_iter().find(|run| run.id == id).expect("it is in the record")
}

/// Waits until the daemon has settled a run that it did not believe.
#[track_caller]
fn refused(world: &World, id: &str) -> Run {
    let run = wait::until_told("the run to be settled", || Some(run(world, id)).filter(Run::is_final));
    assert_eq!(run.state, "failed", "{run:?}");
    let cause = run.cause.clone().unwrap_or_default();
    assert!(cause.contains("somebody else has changed this run in the database"), "{cause}");
    run
}

#[test]
fn a_planted_plan_is_not_carried_out() {
    on_both(|world, database| {
        let repository = world.repository("acme/site");
        let [genuine, planted] = ["undone-genuine", "undone-planted"].map(|name| world.root().join(name));
        let undo = format!("touch {}", genuine.display());
        let step =
            format!("{{ phase = \"build\", name = \"b\", shell = \"true\", undo_shell = {} }}", text(&undo));
        world.configure(&[world.deployment("site", &repository).step_of(&step)]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        let deployed = world.deploy("site", &repository, &first);
        world.stop();

        // What H3 and H4 did: a run that is running, with a plan whose undo is a command, and its step as begun.
        database.execute(&format!(
            "INSERT INTO runs (id, state, plan, {RUN_COLUMNS})
             SELECT '{PLANTED}', 'running', replace(plan, 'undone-genuine', 'undone-planted'), {RUN_COLUMNS} FROM runs"
        ));
        database.execute(&format!(
            "INSERT INTO steps (run_id, {STEP_COLUMNS}, state)
             SELECT '{PLANTED}', {STEP_COLUMNS}, CASE WHEN name = 'b' THEN 'started' ELSE state END FROM steps"
        ));
        world.start();
        refused(world, PLANTED);
        assert!(!planted.exists() && !genuine.exists(), "an undo was carried out");
        assert_eq!(world.status_of("site").live.expect("the release is live").commit, first);
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));
        assert_eq!(world.github.statuses("acme/site", &first).last().expect("it was told").state, "success");

        // People hear of it, and the next push is deployed as ever.
        let status = describe(&world.cli(&["status"]));
        assert!(status.contains("rows that this deployer has not written"), "{status}");
        let doctor = describe(&world.cli(&["doctor"]));
        assert!(doctor.contains("the database holds what this deployer has not written: 1 run"), "{doctor}");
        let second = repository.commit(&[("index.html", "two")], "second");
        world.deploy("site", &repository, &second);
        assert_eq!(run(world, &deployed.id).state, "succeeded");
    });
}

#[test]
fn a_run_that_has_ended_is_not_undone_because_its_old_row_is_put_back() {
    on_both(|world, database| {
        let repository = world.repository("acme/site");
        let undone = world.root().join("undone");
        let gate = Gate::new(&world.root().join("gate"));
        let step = gate.step_undone_by(&undone);
        world.configure(&[world.deployment("site", &repository).step_of(&step)]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.push(&repository, &first);
        gate.wait_for(&first);
        // A build that may read the database keeps its own run as it is now: genuine, and in progress.
        database.execute(
            "CREATE TABLE kept_runs AS SELECT * FROM runs; CREATE TABLE kept_steps AS SELECT * FROM steps",
        );
        gate.open();
        let run = world.ended_run("site", &first);
        assert_eq!(run.state, "succeeded");
        world.stop();
        database.execute(
            "DELETE FROM steps; DELETE FROM runs; INSERT INTO runs SELECT * FROM kept_runs; INSERT INTO steps SELECT * FROM kept_steps",
        );
        world.start();
        refused(world, &run.id);
        assert!(!undone.exists(), "an undo was carried out");
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));
        database.execute("DROP TABLE kept_runs; DROP TABLE kept_steps");
    });
}

#[test]
fn a_crash_is_put_in_order_as_long_as_nobody_else_writes() {
    on_both(|world, database| {
        let repository = world.repository("acme/site");
        let undone = world.root().join("undone");
        let gate = Gate::new(&world.root().join("gate"));
        let step = gate.step_undone_by(&undone);
        world.configure(&[world.deployment("site", &repository).step_of(&step)]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.push(&repository, &first);
        gate.wait_for(&first);
        world.kill();
        // Somebody else says that all of it has succeeded.
        database.execute("UPDATE steps SET state = 'succeeded'");
        gate.open();
        world.start();
        let run = wait::until_told("the run to be found", || world.runs("site").into_iter().next());
        refused(world, &run.id);
        assert!(!undone.exists(), "nothing was believed");
        assert!(world.status_of("site").live.is_none(), "nor that it is live");
        let deployed = world.cli(&["deploy", "site"]);
        assert!(deployed.status.success(), "{}", describe(&deployed));

        world.stop();
        gate.close();
        let second = repository.commit(&[("index.html", "two")], "second");
        world.start();
        world.push(&repository, &second);
        gate.wait_for(&second);
        world.kill();
        gate.open();
        world.start();
        wait::until("the genuine undo to be carried out", || undone.exists().then_some(()));
        wait::until_told("the second to be live", || {
            world.status_of("site").live.filter(|live| live.commit == second)
        });
    });
}

#[test]
fn an_approval_that_no_operator_gave_does_not_count() {
    on_both(|world, database| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository).with("approval", "true")]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.push(&repository, &first);
        assert_eq!(world.ended_run("site", &first).state, "waiting");
        world.stop();
        for key in ["approved/site", "released/site"] {
            database.execute(&format!("INSERT INTO meta (key, value) VALUES ('{key}', '{first}')"));
        }
        database
            .execute("INSERT INTO meta (key, value) VALUES ('freeze-lifted-until/site', '99999999999999')");
        world.start();
        // It is looked at again at start; a second push is decided after that.
        let second = repository.commit(&[("index.html", "two")], "second");
        world.push(&repository, &second);
        assert_eq!(world.ended_run("site", &second).state, "waiting");
        assert!(world.status_of("site").live.is_none());
        assert!(world.runs("site").iter().all(|run| run.state == "waiting"));

        let approved = world.cli(&["approve", "site", &second]);
        assert!(approved.status.success(), "{}", describe(&approved));
        assert_eq!(world.live("site", "index.html").as_deref(), Some("two"));
    });
}

#[test]
fn a_rollback_goes_to_no_release_that_others_have_recorded() {
    on_both(|world, database| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        let run = world.deploy("site", &repository, &first);
        let planted = world.path_of("site").join("releases/planted");
        fs_err::create_dir(&planted).expect("the world is writable");
        fs_err::write(planted.join("index.html"), "planted").expect("the world is writable");
        let outside = world.root().join("outside");
        fs_err::create_dir(&outside).expect("the world is writable");
        for (name, path) in [("planted", planted.as_path()), ("../../../outside", outside.as_path())] {
            database.execute(&format!(
                "INSERT INTO releases (deployment, name, path, commit_id, run_id, state, created_at_ms, live_at_ms)
                 VALUES ('site', '{name}', '{}', '{}', '{}', 'good', 1, 999999999999999)",
                path.display(),
                "c".repeat(40),
                run.id
            ));
        }
        for arguments in [
            &["rollback", "site"][..],
            &["rollback", "site", "--to", "planted"],
            &["rollback", "site", "--to", "../../../outside"],
        ] {
            let output = world.cli(arguments);
            assert!(!output.status.success(), "{}", describe(&output));
            assert!(describe(&output).contains("release"), "{}", describe(&output));
            assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));
        }
        // Nor is theirs removed when room is made.
        for number in 0..5 {
            let commit = repository.commit(&[("index.html", &number.to_string())], "change");
            world.deploy("site", &repository, &commit);
        }
        assert!(planted.exists() && outside.exists());
    });
}

#[test]
fn github_is_told_only_what_the_deployer_says() {
    on_both(|world, database| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.deploy("site", &repository, &first);
        world.reported(&repository, &first);
        let other = repository.commit(&[("index.html", "two")], "second");
        database.execute(&format!(
            "INSERT INTO outbox (kind, repository, commit_id, context, deployment, body, created_at_ms, next_at_ms)
             VALUES ('status', 'acme/site', '{other}', 'ci/test', 'site', '{{\"state\":\"success\",\"context\":\"ci/test\"}}', 1, 1)"
        ));
        wait::until_told("the row to be refused", || {
            let status = describe(&world.cli(&["status", "--json"]));
            status.contains("somebody else has put this into the database").then_some(())
        });
        assert!(world.github.statuses("acme/site", &other).is_empty());
    });
}

#[test]
fn nobody_is_told_of_what_others_say_or_put_back() {
    on_both(|world, database| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        let run = world.deploy("site", &repository, &first);
        world.reported(&repository, &first);
        let other = repository.commit(&[("index.html", "two")], "second");
        let told = |world: &World, commit: &str| -> Vec<String> {
            let statuses = world.github.statuses("acme/site", commit);
            statuses.into_iter().map(|status| format!("{} {}", status.state, status.description)).collect()
        };
        let before = told(world, &first);
        // A run of theirs that waits, deliveries that wait for it and for a run of ours, and what GitHub has had already.
        for (id, run_id) in [("1", PLANTED), ("2", run.id.as_str())] {
            database.execute(&format!(
                "INSERT INTO verdicts (delivery_id, deployment, code, sentence, run_id, decided_at_ms)
                 VALUES ('0199aaaa-0000-7000-8000-00000000001{id}', 'site', 'waiting', 'x', '{run_id}', 1)"
            ));
        }
        database.execute(&format!(
            "INSERT INTO runs (id, deployment, repository, branch, commit_id, attempt, trigger_kind, requested_by, entry, state, created_at_ms, ended_at_ms, pid, boot_id)
             VALUES ('{PLANTED}', 'site', 'acme/site', 'main', '{other}', 1, 'delivery', 'x', 'x', 'waiting', 1, 1, 1, 'boot')"
        ));
        let third = repository.commit(&[("index.html", "three")], "third");
        world.deploy("site", &repository, &third);
        world.reported(&repository, &third);
        assert_eq!(told(world, &other), Vec::<String>::new());
        assert_eq!(told(world, &first), before);

        let told_of_third = told(world, &third);
        database.execute("UPDATE outbox SET done_at_ms = NULL, superseded_at_ms = NULL, next_at_ms = 1");
        wait::until_told("the rows to be refused", || {
            let status = describe(&world.cli(&["status", "--json"]));
            (status.contains("or put it back") && status.replace(" ", "").contains("\"statuses_unsent\":0"))
                .then_some(())
        });
        assert_eq!((told(world, &first), told(world, &third)), (before, told_of_third));
    });
}

/// Rows of releases as they were at another time: what is live is not said to be something else, and nothing goes back to what is gone.
#[test]
fn releases_are_what_they_were_last() {
    on_both(|world, database| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        world.start();
        let mut commits = Vec::new();
        for number in ["one", "two", "three"] {
            let commit = repository.commit(&[("index.html", number)], number);
            world.deploy("site", &repository, &commit);
            commits.push(commit);
            if number == "two" {
                database.execute("CREATE TABLE kept AS SELECT * FROM releases");
            }
        }
        world.stop();
        database.execute("DELETE FROM releases");
        database.execute("INSERT INTO releases SELECT * FROM kept");
        assert!(world.status_of("site").live.is_none_or(|live| live.commit != commits[1]));
        world.start();
        // Two was live when its row was read: it is no release to go back to, nor what serves.
        let refused = world.cli(&["rollback", "site", "--to", &commits[1]]);
        assert!(!refused.status.success(), "{}", describe(&refused));
        assert_eq!(world.live("site", "index.html").as_deref(), Some("three"));
        let fourth = repository.commit(&[("index.html", "four")], "four");
        world.deploy("site", &repository, &fourth);
        assert_eq!(world.live("site", "index.html").as_deref(), Some("four"));
        assert_eq!(world.status_of("site").live.expect("it is known").commit, fourth);
    });
}

#[test]
fn what_an_operator_has_looked_at_is_signed() {
    on_both(|world, database| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.deploy("site", &repository, &commit);
        // As an upgrade from 0.1.0 with PostgreSQL leaves it, or a backup that was restored without the key.
        database.execute("UPDATE runs SET mac = NULL; UPDATE releases SET mac = NULL");
        for _ in 0..2 {
            let refused = world.cli(&["migrate", "trust"]);
            let said = describe(&refused);
            assert!(
                !refused.status.success() && said.contains("1 run, 1 release") && said.contains("--yes"),
                "nothing is signed by asking: {said}"
            );
        }
        let signed = world.cli(&["migrate", "trust", "--yes"]);
        assert!(signed.status.success(), "{}", describe(&signed));
        assert_eq!(world.status_of("site").live.expect("it is known again").commit, commit);
        assert!(describe(&world.cli(&["migrate", "trust"])).contains("signed already"));
    });
}
