//! What can go wrong with the database, sorted by what the caller can do about it.

use sqlx::migrate::MigrateError;

/// Why the database could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nobody is at fault who is running this program: the same call may succeed later. The database is down, starting,
    /// full, locked or read-only, or refuses us (an operator can mend that while we run).
    #[error("the database is not available")]
    Unavailable(#[source] sqlx::Error),

    /// What the database holds is damaged. Repeating does not help; a person with a backup does.
    #[error("the database is damaged")]
    Corrupt(#[source] sqlx::Error),

    /// The tables are not there.
    #[error("the database has no tables of ours yet: run `durhack-deployer migrate up`")]
    NotMigrated(#[source] sqlx::Error),

    /// The tables were made by a version of this program that this one does not know.
    #[error("the database was migrated by another version of durhack-deployer")]
    ForeignSchema(#[source] MigrateError),

    /// There was a database, and there is none: an empty one in its place would pass for the old one.
    #[error("the database {} is gone: {why}", file.display())]
    Gone {
        file: std::path::PathBuf,
        /// From what that is known.
        why: String,
    },

    /// A row that the call is about is not there.
    #[error("the database has no {kind} {id:?}")]
    NotRecorded {
        /// What was looked for, as in `run`.
        kind: &'static str,
        id: String,
    },

    /// A row that the call is about was not written by this deployer, or was changed by somebody else.
    #[error("somebody else has changed the {kind} {id:?} in the database")]
    Foreign {
        /// What it is, as in `run`.
        kind: &'static str,
        id: String,
    },

    /// What is kept outside of the database, so that rows of others are not believed, cannot be read or written.
    #[error("{} cannot be used", path.display())]
    Trust {
        path: std::path::PathBuf,
        #[source]
        error: std::io::Error,
    },

    /// The URL names no database that could be used.
    #[error("{0}")]
    InvalidUrl(String),

    /// A bug of ours: a statement the database does not understand, a value we cannot read back.
    #[error("a statement of the database failed")]
    Defect(#[source] sqlx::Error),
}

impl StoreError {
    /// Whether the same call may succeed later, without anybody changing this program.
    pub fn may_be_retried(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            // A full disk is cleared; a damaged key is not.
            Self::Trust { error, .. } => error.kind() != std::io::ErrorKind::InvalidData,
            _ => false,
        }
    }

    /// SQLite's code, where it is SQLite that says no: sqlite.org/rescode.html, the primary ones.
    fn sqlite_code(&self) -> Option<i32> {
        let (Self::Unavailable(error) | Self::Corrupt(error) | Self::Defect(error)) = self else {
            return None;
        };
        let error = error.as_database_error()?.try_downcast_ref::<sqlx::sqlite::SqliteError>()?;
        Some(sqlx::error::DatabaseError::code(error)?.parse::<i32>().ok()? & 0xff)
    }

    /// Whether another process keeps a SQLite database to itself.
    pub fn is_locked(&self) -> bool {
        matches!(self.sqlite_code(), Some(5 | 6))
    }

    /// Whether a SQLite database, or what lies beside it, cannot be written to: READONLY.
    pub fn is_read_only(&self) -> bool {
        self.sqlite_code() == Some(8)
    }

    /// Whether a SQLite database's files could not be used as they were opened: PERM, READONLY, IOERR, CANTOPEN.
    pub(super) fn is_of_file(&self) -> bool {
        matches!(self.sqlite_code(), Some(3 | 8 | 10 | 14))
    }

    /// Whether there was no room: FULL.
    pub fn is_full(&self) -> bool {
        self.sqlite_code() == Some(13)
            || matches!(self, Self::Trust { error, .. } if error.kind() == std::io::ErrorKind::StorageFull)
    }

    /// What to do about a database that is gone.
    pub const GONE_MEND: &str = "put it back, from where it was moved or from a backup (docs/operating.md, \"Backup\"); or, if what it held may be forgotten, `durhack-deployer migrate up --new`";

    /// Whether the database holds something else than what this deployer has written to it.
    pub fn is_tampering(&self) -> bool {
        matches!(self, Self::Foreign { .. } | Self::NotRecorded { .. })
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database_error) => {
                let code = database_error.code().unwrap_or_default();
                let is_postgres =
                    database_error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some();
                let kind = if is_postgres {
                    of_sqlstate(&code)
                } else {
                    of_sqlite_code(&code, database_error.message())
                };
                kind(error)
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => Self::Unavailable(error),
            _ => Self::Defect(error),
        }
    }
}

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
            other => Self::ForeignSchema(other),
        }
    }
}

type ErrorConstructor = fn(sqlx::Error) -> StoreError;

/// PostgreSQL, appendix A "PostgreSQL Error Codes": the first two characters are the class.
fn of_sqlstate(code: &str) -> ErrorConstructor {
    match code {
        "42P01" => StoreError::NotMigrated,
        "XX001" | "XX002" => StoreError::Corrupt,
        // Read-only (a standby after a fail-over), serialization failure, deadlock, lock not available,
        // statement timeout, database or privilege missing.
        "25006" | "40001" | "40P01" | "55P03" | "57014" | "3D000" | "42501" => StoreError::Unavailable,
        // Connection, authorization, resources (disk full, too many connections), operator (shutdown,
        // starting up), system (I/O error).
        _ if ["08", "28", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => {
            StoreError::Unavailable
        }
        _ => StoreError::Defect,
    }
}

/// sqlite.org/rescode.html: the low byte of an extended code is the primary one.
fn of_sqlite_code(code: &str, message: &str) -> ErrorConstructor {
    match code.parse::<i32>().map(|code| code & 0xff) {
        // ERROR has no finer code for this one.
        Ok(1) if message.starts_with("no such table") => StoreError::NotMigrated,
        // PERM, BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, FULL, CANTOPEN, PROTOCOL.
        Ok(3 | 5 | 6 | 7 | 8 | 9 | 10 | 13 | 14 | 15) => StoreError::Unavailable,
        // CORRUPT, NOTADB.
        Ok(11 | 26) => StoreError::Corrupt,
        _ => StoreError::Defect,
    }
}

/// Whether the database is merely away.
pub fn is_database_away(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<StoreError>().is_some_and(StoreError::may_be_retried))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(kind: ErrorConstructor) -> String {
        let debug = format!("{:?}", kind(sqlx::Error::RowNotFound));
        debug.split('(').next().unwrap().to_owned()
    }

    #[test]
    fn codes_are_sorted_by_what_can_be_done() {
        for (code, expected) in [
            ("57P03", "Unavailable"),
            ("53300", "Unavailable"),
            ("53100", "Unavailable"),
            ("08006", "Unavailable"),
            ("28P01", "Unavailable"),
            ("25006", "Unavailable"),
            ("40P01", "Unavailable"),
            ("XX001", "Corrupt"),
            ("42P01", "NotMigrated"),
            ("42601", "Defect"),
            ("23505", "Defect"),
        ] {
            assert_eq!(name(of_sqlstate(code)), expected, "{code}");
        }
        for (code, message, expected) in [
            ("5", "database is locked", "Unavailable"),
            ("517", "", "Unavailable"),
            ("13", "", "Unavailable"),
            ("778", "", "Unavailable"),
            ("1032", "", "Unavailable"),
            ("14", "", "Unavailable"),
            ("11", "", "Corrupt"),
            ("26", "", "Corrupt"),
            ("1", "no such table: runs", "NotMigrated"),
            ("1", "near \"SELEC\": syntax error", "Defect"),
            ("2067", "", "Defect"),
        ] {
            assert_eq!(name(of_sqlite_code(code, message)), expected, "{code}");
        }
    }
}
