//! Whether the database can be written to, found out by beginning to; and who keeps us from it.

use super::migrations::MIGRATION_DEADLINE;
use super::pools::{Pools, in_time, renewed, within};
use super::{Store, StoreError};
use crate::base::files::{kernel_locks, private_file};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

impl Store {
    /// Begins to write and leaves everything as it was. A database that can be read only answers every question and remembers nothing.
    pub async fn can_write(&self) -> Result<(), StoreError> {
        in_time(renewed(&self.pools, async {
            match &self.pools {
                Pools::Sqlite { writer, .. } => {
                    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
                    // SQLite begins also where it may only read; the first statement that writes says so, whether it finds a row or not.
                    let written =
                        sqlx::query("DELETE FROM meta WHERE key = ''").execute(&mut *transaction).await;
                    transaction.rollback().await?;
                    match written.map_err(StoreError::from) {
                        Err(StoreError::NotMigrated(_)) => {}
                        result => {
                            result?;
                        }
                    }
                }
                Pools::Postgres(pool) => {
                    // Of a session that is read-only (a standby after a fail-over) even a table of its own is refused.
                    let mut transaction = pool.begin().await?;
                    sqlx::query("CREATE TEMPORARY TABLE durhack_deployer_can_write (id BIGINT)")
                        .execute(&mut *transaction)
                        .await?;
                    transaction.rollback().await?;
                }
            }
            Ok(())
        }))
        .await
    }

    /// Copies a SQLite database, whole and consistent, to a file beside it that only its owner reads, and gives that. PostgreSQL: nothing.
    pub async fn back_up(&self, name: &str) -> Result<Option<PathBuf>, StoreError> {
        let (Pools::Sqlite { writer, .. }, Some(file)) = (&self.pools, self.file()) else { return Ok(None) };
        let backup = private_file::beside(&file, &format!(".before-down-{name}"));
        // SQLite fills an empty file, and leaves its owner and mode as they are.
        let made = private_file::create(&backup, "", &file);
        made.map_err(|error| {
            StoreError::Unavailable(sqlx::Error::Io(io::Error::other(format!("{error:#}"))))
        })?;
        within(MIGRATION_DEADLINE, async {
            sqlx::query("VACUUM INTO $1").bind(backup.to_string_lossy()).execute(writer).await?;
            Ok(())
        })
        .await?;
        Ok(Some(backup))
    }

    /// Who keeps a SQLite database to itself, where that is why a call failed.
    pub fn who_locks(&self, error: &anyhow::Error) -> Option<String> {
        let is_locked = error.downcast_ref::<StoreError>().is_some_and(StoreError::is_locked);
        let who = if is_locked { self.lockers() } else { Vec::new() };
        (!who.is_empty()).then(|| format!("{} holds it", who.join(", ")))
    }

    /// The processes that hold a SQLite database for themselves, as `process 123 (sqlite3)`; as far as the kernel says so.
    pub fn lockers(&self) -> Vec<String> {
        let Some(file) = self.file() else { return Vec::new() };
        let beside = |ending: &str| {
            let mut name = file.as_os_str().to_owned();
            name.push(ending);
            Path::new(&name).metadata().map(|found| found.ino()).ok()
        };
        let inodes: Vec<u64> = ["", "-wal", "-shm"].into_iter().filter_map(beside).collect();
        let locks = fs_err::read_to_string("/proc/locks").unwrap_or_default();
        kernel_locks::holders(&locks, "POSIX", &inodes)
            .into_iter()
            .map(|pid| {
                let name = fs_err::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                match name.trim() {
                    "" => format!("process {pid}"),
                    name => format!("process {pid} ({name})"),
                }
            })
            .collect()
    }
}
