//! Making, changing and undoing the tables.
//!
//! The migrations are compiled in. Each has its way back, both databases have the same ones, and an applied one is
//! never edited (sqlx refuses to go on if it was). What the deployer before ours remembered, the ids in
//! its table `event`, is taken over with each migration; the table itself is left alone.

use super::answers::AnswerRow;
use super::authenticator::Signed as _;
use super::authorship::{sign_all, sign_faults};
use super::pools::{Pools, reading, within};
use super::{PendingTelling, Release, ReportedDeployment, Run, Step, Store, StoreError, VerdictCode};
use crate::store::pools::MIGRATION_DEADLINE;
use fs_err::os::unix::fs::OpenOptionsExt as _;
use serde::Serialize;
use sqlx::Connection as _;
use sqlx::migrate::Migrator;
use std::collections::HashSet;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

static SQLITE: LazyLock<Migrator> = LazyLock::new(|| known(sqlx::migrate!("./migrations/sqlite")));
static POSTGRES: LazyLock<Migrator> = LazyLock::new(|| known(sqlx::migrate!("./migrations/postgres")));

/// Which advisory lock of PostgreSQL is held from before the look at the tables until all is committed. The one of sqlx ends before that.
const MIGRATION_LOCK: i64 = 0x6475_7268_6163_6b07;

/// The sentence of the verdict on a delivery that was taken over.
pub const IMPORTED_SENTENCE: &str = "It was handled by the deployer that was here before.";

/// A migration that this program knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MigrationStatus {
    pub version: i64,
    /// What it does.
    pub description: String,
    /// Whether the database has it.
    pub applied: bool,
    /// Whether it can be undone.
    pub reversible: bool,
}

/// What is compiled in.
#[cfg(not(feature = "failpoints"))]
fn known(migrator: Migrator) -> Migrator {
    migrator
}

/// What is compiled in, and in tests what lies beside the program: so one program can stand for two versions of itself.
#[cfg(feature = "failpoints")]
#[expect(clippy::needless_pass_by_value, reason = "as without the feature")]
fn known(migrator: Migrator) -> Migrator {
    use sqlx::SqlSafeStr as _;
    use sqlx::migrate::{Migration, MigrationType};
    let program = fs_err::read_link("/proc/self/exe").unwrap_or_default();
    let further = program.with_file_name("further-migrations");
    let read = |name: &str| fs_err::read_to_string(further.join(name)).ok();
    let [up, down] = [("up.sql", MigrationType::ReversibleUp), ("down.sql", MigrationType::ReversibleDown)]
        .map(|(name, kind)| {
            let text = read(name).map(|text| sqlx::AssertSqlSafe(text).into_sql_str());
            text.map(|text| Migration::new(9000, "of a test".into(), kind, text, false))
        });
    Migrator::with_migrations(migrator.iter().cloned().chain(up).chain(down).collect())
}

impl Store {
    /// Applies the migrations that the database does not have yet, and takes over the table `event`. For SQLite,
    /// creates the database file (readable by its owner only) and its directory where they do not exist.
    ///
    /// Where the tables are those of a version that signed nothing, the rows of a SQLite file that only we could write are signed as
    /// they are. Those of PostgreSQL are not: who else could log in there is not known here ([`Store::sign_everything`]).
    ///
    /// Where there was a SQLite database and there is none, or one without tables, nothing is made: [`StoreError::Gone`].
    pub async fn migrate(&self, now_ms: i64) -> Result<(), StoreError> {
        self.must_be_there().await?;
        self.migrate_file(now_ms).await
    }

    /// The same where what was recorded before may be forgotten. What is there is kept all the same; gives whether it was.
    pub async fn migrate_anew(&self, now_ms: i64) -> Result<bool, StoreError> {
        // Not opened: SQLite would begin to fill it.
        let is_empty = |file: PathBuf| file.metadata().map_or(true, |found| found.len() == 0);
        let is_there = !self.pools.file().is_some_and(is_empty) && !self.applied_versions().await?.is_empty();
        if !is_there {
            self.authenticator.set_database(None)?;
        }
        self.migrate_file(now_ms).await?;
        Ok(is_there)
    }

    /// Whether the configured database file had our tables at some time, as the state directory has noted.
    pub fn has_had_database(&self) -> bool {
        self.pools.file().is_some_and(|file| self.authenticator.is_database(&file))
    }

    /// Refuses to take an empty database for the one that was there.
    pub async fn must_be_there(&self) -> Result<(), StoreError> {
        let Some(file) = self.pools.file().filter(|_| self.has_had_database()) else { return Ok(()) };
        let why = match file.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => "there is no such file any more",
            // Not opened: SQLite would begin to fill it.
            Ok(found) if found.len() == 0 => "what lies there now is empty",
            _ if !self.applied_versions().await?.is_empty() => return Ok(()),
            _ => "what lies there now has no tables of the deployer",
        };
        Err(StoreError::Gone { file, why: why.to_owned() })
    }

    async fn migrate_file(&self, now_ms: i64) -> Result<(), StoreError> {
        self.create_file()?;
        within(MIGRATION_DEADLINE, async {
            match &self.pools {
                Pools::Sqlite { writer, .. } => {
                    // Here and not with each connection: that would begin to make a database of an empty file that somebody has put in the
                    // place of ours, and a journal beside it that does not belong to the one that is restored. The database remembers it.
                    sqlx::query("PRAGMA journal_mode = WAL").execute(writer).await?;
                    // All in one transaction, since sqlx does not keep two processes from migrating SQLite at once.
                    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
                    let unsigned: i64 = sqlx::query_scalar(
                        "SELECT (SELECT COUNT(*) FROM pragma_table_info('runs'))
                             * (1 - (SELECT COUNT(*) FROM pragma_table_info('runs') WHERE name = 'mac'))",
                    )
                    .fetch_one(&mut *transaction)
                    .await?;
                    let faults_are_new: bool = sqlx::query_scalar(
                        "SELECT NOT EXISTS (SELECT 1 FROM pragma_table_info('runs') WHERE name = 'fault_mac')",
                    )
                    .fetch_one(&mut *transaction)
                    .await?;
                    SQLITE.run(&mut *transaction).await?;
                    if unsigned > 0 && self.pools.file().is_some_and(|file| only_we_write(&file)) {
                        sign_all!(self, transaction);
                    }
                    if faults_are_new {
                        sign_faults!(self, transaction);
                    }
                    let has_events: i64 = sqlx::query_scalar(
                        "SELECT COUNT(*) FROM pragma_table_info('event') WHERE name = 'id'",
                    )
                    .fetch_one(&mut *transaction)
                    .await?;
                    if has_events > 0 {
                        import_events!(transaction, now_ms);
                    }
                    transaction.commit().await?;
                }
                Pools::Postgres(pool) => {
                    let mut connection = pool.acquire().await?;
                    // sqlx keeps its lock when a migration fails or is abandoned; it ends with the connection.
                    connection.close_on_drop();
                    // All in one transaction: what is signed below is what the migration has made, and nobody has seen it before.
                    let mut transaction = connection.begin().await?;
                    sqlx::query("SELECT pg_advisory_xact_lock($1)")
                        .bind(MIGRATION_LOCK)
                        .execute(&mut *transaction)
                        .await?;
                    let faults_are_new: bool = sqlx::query_scalar(
                        "SELECT NOT EXISTS (SELECT 1 FROM pg_attribute
                             WHERE attrelid = to_regclass('runs') AND attname = 'fault_mac' AND NOT attisdropped)",
                    )
                    .fetch_one(&mut *transaction)
                    .await?;
                    POSTGRES.run(&mut *transaction).await?;
                    if faults_are_new {
                        sign_faults!(self, transaction);
                    }
                    let has_events: i64 = sqlx::query_scalar(
                        "SELECT COUNT(*) FROM pg_attribute
                         WHERE attrelid = to_regclass('event') AND attname = 'id' AND NOT attisdropped",
                    )
                    .fetch_one(&mut *transaction)
                    .await?;
                    if has_events > 0 {
                        import_events!(transaction, now_ms);
                    }
                    transaction.commit().await?;
                }
            }
            Ok(())
        })
        .await?;
        self.pools.file().map_or(Ok(()), |file| self.authenticator.set_database(Some(&file)))
    }

    /// Applies what the database does not have yet, takes exactly that back, and leaves everything as it was: whether [`migrate`] and
    /// [`migrate_down`] would succeed. Others wait meanwhile.
    ///
    /// [`migrate`]: Store::migrate
    /// [`migrate_down`]: Store::migrate_down
    pub async fn rehearse_migration(&self) -> Result<(), StoreError> {
        self.must_be_there().await?;
        let before = self.applied_versions().await?.last().copied().unwrap_or(0);
        self.create_file()?;
        within(MIGRATION_DEADLINE, async {
            match &self.pools {
                Pools::Sqlite { writer, .. } => {
                    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
                    SQLITE.run(&mut *transaction).await?;
                    SQLITE.undo(&mut *transaction, before).await?;
                    transaction.rollback().await?;
                }
                Pools::Postgres(pool) => {
                    let mut connection = pool.acquire().await?;
                    connection.close_on_drop();
                    let mut transaction = connection.begin().await?;
                    POSTGRES.run(&mut *transaction).await?;
                    POSTGRES.undo(&mut *transaction, before).await?;
                    transaction.rollback().await?;
                }
            }
            Ok(())
        })
        .await
    }

    /// The migrations that this program knows, in their order, and whether the database has them. Creates nothing.
    pub async fn migration_status(&self) -> Result<Vec<MigrationStatus>, StoreError> {
        let applied: HashSet<i64> = self.applied_versions().await?.into_iter().collect();
        let migrator = self.migrator();
        let backwards: HashSet<i64> = migrator
            .iter()
            .filter(|migration| migration.migration_type.is_down_migration())
            .map(|migration| migration.version)
            .collect();
        Ok(migrator
            .iter()
            .filter(|migration| migration.migration_type.is_up_migration())
            .map(|migration| MigrationStatus {
                version: migration.version,
                description: migration.description.to_string(),
                applied: applied.contains(&migration.version),
                reversible: backwards.contains(&migration.version),
            })
            .collect())
    }

    /// Takes back the last `steps` migrations that the database has, with all that is recorded in their tables.
    /// Returns how many were undone.
    pub async fn migrate_down(&self, steps: usize) -> Result<usize, StoreError> {
        let applied = self.applied_versions().await?;
        let kept = applied.len().saturating_sub(steps);
        let target = if kept == 0 { 0 } else { applied[kept - 1] };
        if kept == 0 {
            // Whoever takes everything back may begin anew.
            self.authenticator.set_database(None)?;
        }
        within(MIGRATION_DEADLINE, async {
            match &self.pools {
                Pools::Sqlite { writer, .. } => {
                    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
                    SQLITE.undo(&mut *transaction, target).await?;
                    transaction.commit().await?;
                }
                Pools::Postgres(pool) => {
                    let mut connection = pool.acquire().await?;
                    connection.close_on_drop();
                    POSTGRES.undo(&mut *connection, target).await?;
                }
            }
            Ok(applied.len() - kept)
        })
        .await
    }

    fn migrator(&self) -> &'static Migrator {
        match &self.pools {
            Pools::Sqlite { .. } => &SQLITE,
            Pools::Postgres(_) => &POSTGRES,
        }
    }

    /// The versions that the database has, in their order; none where there is no database file yet.
    pub async fn applied_versions(&self) -> Result<Vec<i64>, StoreError> {
        if self.pools.is_empty_file() || self.pools.file().is_some_and(|file| !file.exists()) {
            return Ok(Vec::new());
        }
        let versions: Result<Vec<i64>, StoreError> = reading!(self, |pool| {
            sqlx::query_scalar("SELECT version FROM _sqlx_migrations ORDER BY version")
                .fetch_all(pool)
                .await?
        });
        match versions {
            Err(StoreError::NotMigrated(_)) => Ok(Vec::new()),
            other => other,
        }
    }

    /// Where there was a database none is made, also where it is removed while we look.
    fn create_file(&self) -> Result<(), StoreError> {
        match self.pools.file().filter(|_| !self.has_had_database()) {
            Some(file) => create_private(&file).map_err(|error| StoreError::Unavailable(error.into())),
            None => Ok(()),
        }
    }
}

/// Takes the ids of `event` over as deliveries, each with its verdict. Those that are there already stay.
macro_rules! import_events {
    ($transaction:ident, $now_ms:expr) => {
        // "WHERE true" lets SQLite tell the ON of a conflict from that of a join.
        sqlx::query(
            "INSERT INTO deliveries (id, entry, event, source, remote_address, received_at_ms, payload_sha256,
                 dispatched_at_ms)
             SELECT id, '', 'unknown', 'imported', '', $1, '', $1 FROM event WHERE true
             ON CONFLICT (id) DO NOTHING",
        )
        .bind($now_ms)
        .execute(&mut *$transaction)
        .await?;
        sqlx::query(
            "INSERT INTO verdicts (delivery_id, deployment, code, sentence, decided_at_ms)
             SELECT id, '', $1, $2, received_at_ms FROM deliveries WHERE source = 'imported'
             ON CONFLICT (delivery_id, deployment) DO NOTHING",
        )
        .bind(VerdictCode::Imported)
        .bind(IMPORTED_SENTENCE)
        .execute(&mut *$transaction)
        .await?;
    };
}
use import_events;

/// Whether nobody but us can have written to a database file.
fn only_we_write(file: &Path) -> bool {
    let us = rustix::process::geteuid();
    let is_ours = |path: &Path| {
        path.symlink_metadata()
            .is_ok_and(|found| (us.is_root() || found.uid() == us.as_raw()) && found.mode() & 0o022 == 0)
    };
    is_ours(file) && file.parent().is_some_and(is_ours)
}

/// Creates the database file and its directory for their owner only; SQLite gives its other files the same mode.
fn create_private(file: &Path) -> io::Result<()> {
    let directory = file.parent().unwrap_or(Path::new(""));
    if !directory.as_os_str().is_empty() && !directory.is_dir() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot create {}: {error}", directory.display()))
        })?;
    }
    match fs_err::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}
