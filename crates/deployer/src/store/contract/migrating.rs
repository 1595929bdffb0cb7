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
