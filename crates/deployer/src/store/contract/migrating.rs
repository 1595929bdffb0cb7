//! Tables come, go and come back; what the deployer before ours remembered is taken over.

use super::*;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

#[tokio::test]
async fn there_and_back_on_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&sqlite_url(directory.path())).unwrap();
    there_and_back(&store).await;
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory.path().join("state")), 0o700);
    for file in ["record.sqlite", "record.sqlite-wal"] {
        assert_eq!(mode(&directory.path().join("state").join(file)), 0o600, "{file}");
    }
}

#[tokio::test]
async fn there_and_back_on_postgresql() {
    let Some(server) = Postgres::start() else { return };
    there_and_back(&open(&server.create_database("there")).unwrap()).await;
}

async fn there_and_back(store: &Store) {
    let applied = async || {
        let status = store.migration_status().await.unwrap();
        assert!(!status.is_empty());
        status.into_iter().map(|migration| migration.applied).collect::<BTreeSet<_>>()
    };
    assert_eq!(applied().await, BTreeSet::from([false]));
    store.migrate(0).await.unwrap();
    store.migrate(0).await.unwrap();
    assert_eq!(applied().await, BTreeSet::from([true]));
    store.set_meta("seen", "1").await.unwrap();

    let count = store.migration_status().await.unwrap().len();
    assert_eq!(store.migrate_down(usize::MAX).await.unwrap(), count);
    assert_eq!(applied().await, BTreeSet::from([false]));
    let error = store.meta("seen").await.unwrap_err();
    assert!(matches!(error, StoreError::NotMigrated(_)), "{error:?}");
    assert_eq!(store.migrate_down(1).await.unwrap(), 0);

    store.migrate(0).await.unwrap();
    assert_eq!(store.meta("seen").await.unwrap(), None);
    assert_eq!(store.migrate_down(0).await.unwrap(), 0);
    assert_eq!(applied().await, BTreeSet::from([true]));
}

#[tokio::test]
async fn two_at_once_on_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    let url = sqlite_url(directory.path());
    two_at_once(&url).await;
}

#[tokio::test]
async fn two_at_once_on_postgresql() {
    let Some(server) = Postgres::start() else { return };
    two_at_once(&server.create_database("twice")).await;
}

async fn two_at_once(url: &str) {
    let (one, other) = (open(url).unwrap(), open(url).unwrap());
    let (first, second) = tokio::join!(one.migrate(0), other.migrate(0));
    first.unwrap();
    second.unwrap();
    one.set_meta("seen", "1").await.unwrap();
    assert_eq!(other.meta("seen").await.unwrap().as_deref(), Some("1"));
}

#[tokio::test]
async fn the_table_event_is_taken_over_on_sqlite() {
    let (_directory, store) = sqlite_store().await;
    let Pools::Sqlite { writer, .. } = &store.pools else { unreachable!("it is SQLite") };
    let execute = async |statement: &'static str| {
        sqlx::raw_sql(statement).execute(writer).await.unwrap();
    };
    execute("CREATE TABLE event (id VARCHAR(36) PRIMARY KEY)").await;
    take_over(&store, execute).await;
}

#[tokio::test]
async fn the_table_event_is_taken_over_on_postgresql() {
    let Some(server) = Postgres::start() else { return };
    let store = open(&server.create_database("event")).unwrap();
    server.execute("event", "CREATE TABLE event (id VARCHAR PRIMARY KEY)");
    store.migrate(0).await.unwrap();
    take_over(&store, async |statement| server.execute("event", statement)).await;
}

async fn take_over(store: &Store, execute: impl AsyncFn(&'static str)) {
    store.record_delivery(&a_delivery("ours", "1-ours"), &[]).await.unwrap();
    execute("INSERT INTO event VALUES ('theirs'), ('ours')").await;
    for now_ms in [70, 80] {
        store.migrate(now_ms).await.unwrap();
    }
    let verdicts = store.verdicts("theirs").await.unwrap();
    let imported = a_verdict("theirs", "", VerdictCode::Imported);
    assert_eq!(verdicts, [Verdict { sentence: IMPORTED_SENTENCE.to_owned(), decided_at_ms: 70, ..imported }]);
    let delivery = store.delivery("theirs").await.unwrap().unwrap();
    assert_eq!((delivery.received_at_ms, delivery.dispatched_at_ms), (70, Some(70)));
    assert_eq!(store.delivery("ours").await.unwrap().unwrap().entry, "1-ours");
    assert!(store.verdicts("ours").await.unwrap().is_empty());
    let known = store.record_delivery(&a_delivery("theirs", "2-theirs"), &[]).await.unwrap();
    assert_eq!(known, Recorded::Known { entry: String::new(), dispatched: true });
    // It is theirs, and stays.
    execute("INSERT INTO event VALUES ('later')").await;
    store.migrate(90).await.unwrap();
    assert!(store.delivery("later").await.unwrap().is_some());
}

#[tokio::test]
async fn a_newer_program_s_database_is_left_alone() {
    let (_directory, store) = sqlite_store().await;
    let Pools::Sqlite { writer, .. } = &store.pools else { unreachable!("it is SQLite") };
    sqlx::raw_sql("INSERT INTO _sqlx_migrations VALUES (9999, 'later', '', TRUE, x'00', 0)")
        .execute(writer)
        .await
        .unwrap();
    for error in [store.migrate(0).await.unwrap_err(), store.migrate_down(1).await.unwrap_err()] {
        assert!(matches!(error, StoreError::ForeignSchema(_)), "{error:?}");
    }
}

/// Every file is read: a migration for one database only, or one that cannot be undone, is found here, and so is
/// one that was added without this crate being built anew.
#[tokio::test]
async fn both_databases_have_the_same_migrations_and_each_a_way_back() {
    let (_directory, store) = sqlite_store().await;
    let known: BTreeSet<i64> =
        store.migration_status().await.unwrap().into_iter().map(|migration| migration.version).collect();
    let names = |database: &str| -> BTreeSet<String> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(database);
        let mut names = BTreeSet::new();
        for entry in fs_err::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            assert!(!fs_err::read_to_string(entry.path()).unwrap().trim().is_empty(), "{entry:?} is empty");
            names.insert(entry.file_name().into_string().unwrap());
        }
        names
    };
    let sqlite = names("sqlite");
    assert_eq!(sqlite, names("postgres"));
    let of_kind = |suffix: &str| -> BTreeSet<String> {
        sqlite.iter().filter_map(|name| name.strip_suffix(suffix).map(str::to_owned)).collect()
    };
    let up = of_kind(".up.sql");
    assert_eq!(up, of_kind(".down.sql"));
    assert_eq!(up.len() * 2, sqlite.len(), "only .up.sql and .down.sql: {sqlite:?}");
    let versions: BTreeSet<i64> =
        up.iter().map(|name| name.split('_').next().unwrap().parse().unwrap()).collect();
    assert_eq!(versions.len(), up.len(), "each has its own number");
    assert_eq!(versions, known, "what is compiled in is what is there");
}

/// The migration with which runs have a fault class and steps a plan index.
const FAULTS: i64 = 7;

#[tokio::test]
async fn what_was_guessed_of_faults_is_stored_on_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    faults(&sqlite_url(directory.path())).await;
}

#[tokio::test]
async fn what_was_guessed_of_faults_is_stored_on_postgresql() {
    let Some(server) = Postgres::start() else { return };
    faults(&server.create_database("faults")).await;
}

/// What the version before has guessed: from the plan that a run has or has not, the verdicts that name it, and the numbers of its steps.
async fn faults(url: &str) {
    // Each time by a store of its own, as by a process of its own: statements that a connection has prepared know the columns of before.
    let opened = async || {
        let store = open(url).unwrap();
        store.migrate(0).await.unwrap();
        drop(store);
        open(url).unwrap()
    };
    let down = async || {
        let store = open(url).unwrap();
        let status = store.migration_status().await.unwrap();
        let steps = status.iter().filter(|migration| migration.version >= FAULTS).count();
        assert_eq!(store.migrate_down(steps).await.unwrap(), steps);
    };
    let store = opened().await;
    use RunState::{Cancelled, Failed, Interrupted, Running, Skipped, Succeeded, Waiting};
    let plan =
        |before: &str| Some(format!(r#"{{"steps":[],{before}"environment":{{"X":"\"steps_before\":7"}}}}"#));
    let (of_0_1_0, later) = (plan(""), plan(r#""steps_before":2,"#));
    use FaultClass::{Commit, Host, Operator};
    let (none, host, commit) = (Some(FaultClass::None), Some(Host), Some(Commit));
    let cases = [
        ("m01", Succeeded, RunTrigger::Delivery, later.clone(), Some(VerdictCode::Deployed), none, Some(0)),
        ("m02", Failed, RunTrigger::Delivery, None, Some(VerdictCode::Failed), host, None),
        ("m03", Failed, RunTrigger::Reconcile, None, None, host, None),
        ("m04", Failed, RunTrigger::Delivery, None, Some(VerdictCode::Refused), commit, None),
        ("m05", Failed, RunTrigger::Delivery, later.clone(), Some(VerdictCode::Failed), commit, Some(0)),
        ("m06", Failed, RunTrigger::Delivery, later.clone(), Some(VerdictCode::Error), host, Some(0)),
        ("m07", Cancelled, RunTrigger::Delivery, later.clone(), None, Some(Operator), Some(0)),
        ("m08", Interrupted, RunTrigger::Delivery, of_0_1_0.clone(), None, none, Some(1)),
        ("m09", Waiting, RunTrigger::Delivery, None, Some(VerdictCode::Waiting), none, None),
        ("m10", Skipped, RunTrigger::Delivery, None, None, none, None),
        ("m11", Running, RunTrigger::Delivery, later, None, None, Some(0)),
        ("m12", Running, RunTrigger::Delivery, of_0_1_0.clone(), None, None, Some(1)),
        ("m13", Running, RunTrigger::Rollback, of_0_1_0, None, None, Some(2)),
        // Not a plan: nothing can be undone by it, and the migration does not end over it.
        ("m14", Running, RunTrigger::Delivery, Some("{\"steps_before\":".to_owned()), None, None, Some(1)),
    ];
    for (id, state, trigger, plan, code, _, _) in &cases {
        let new = NewRun { trigger: *trigger, ..a_run(id, "api", id) };
        store.create_run(&new).await.unwrap();
        store.start_run(id, 1, 1, "boot").await.unwrap();
        for number in 1..=3 {
            let start = StepStart {
                run_id: id,
                number,
                plan_index: None,
                direction: Direction::Do,
                phase: "build",
                name: "b",
                command: None,
                started_at_ms: 1,
            };
            for direction in [Direction::Do, Direction::Undo] {
                store.step_started(&StepStart { direction, ..start }).await.unwrap();
                let end = StepEnd {
                    run_id: id,
                    number,
                    direction,
                    state: StepState::Succeeded,
                    detail: None,
                    cause: None,
                    ended_at_ms: 2,
                };
                store.step_ended(&end).await.unwrap();
            }
        }
        if let Some(plan) = plan {
            store.save_plan(id, plan).await.unwrap();
        }
        if *state != Running {
            let verdict =
                code.map(|code| Verdict { run_id: Some((*id).to_owned()), ..a_verdict(id, "api", code) });
            let end = RunEnd {
                run_id: id,
                state: *state,
                // What is stored is lost on the way down, and guessed on the way up.
                fault: FaultClass::None,
                cause: None,
                summary: None,
                ended_at_ms: 5,
                blocked: &[],
                verdicts: verdict.as_slice(),
                notifications: &[],
            };
            store.end_run(&end).await.unwrap();
        }
    }
    super::forged::execute(&store, "UPDATE runs SET cause = 'forged' WHERE id = 'm10'").await;
    down().await;
    let store = opened().await;
    let check = async || {
        for (id, state, _, _, _, fault, third_index) in &cases {
            let run = store.run(id).await.unwrap().unwrap();
            assert_eq!((run.state, run.fault), (*state, *fault), "{id}");
            assert_eq!(store.is_our_run(&run).unwrap(), *id != "m10", "{id}");
            let steps = store.steps(id).await.unwrap();
            assert!(store.are_our_steps(&steps).unwrap(), "{id}");
            let of_third = |direction| {
                steps.iter().find(|step| step.number == 3 && step.direction == direction).unwrap().plan_index
            };
            assert_eq!((of_third(Direction::Do), of_third(Direction::Undo)), (*third_index, None), "{id}");
            let first = steps[0].plan_index;
            assert_eq!(first, third_index.map(|third| third - 2).filter(|first| *first >= 0), "{id}");
            assert_eq!(store.is_open_and_ours(&run).unwrap(), *state == Running, "{id}");
        }
    };
    check().await;

    // A run of which nobody knows what it has left is no word of the version before, which does nothing for it but end it.
    let unknown =
        RunUnknown { run_id: "m14", cause: "what is live is unknown", at_ms: 6, notifications: &[] };
    store.run_is_unknown(&unknown).await.unwrap();
    let run = store.run("m14").await.unwrap().unwrap();
    assert_eq!((run.state, run.fault, run.ended_at_ms), (RunState::Unknown, Some(Operator), None));
    assert!(store.is_open_and_ours(&run).unwrap());
    assert!(store.unfinished_runs(Some("api")).await.unwrap().contains(&run));
    assert_eq!(
        store.migrate(0).await.map_err(|error| error.to_string()),
        Ok(()),
        "signed once, and not anew"
    );
    down().await;
    let store = opened().await;
    let run = store.run("m14").await.unwrap().unwrap();
    assert_eq!((run.state, run.fault, store.is_our_run(&run).unwrap()), (RunState::Running, None, false));
    assert_eq!(
        store.run("m10").await.unwrap().unwrap().cause.as_deref(),
        Some("forged"),
        "and still not ours"
    );
}
