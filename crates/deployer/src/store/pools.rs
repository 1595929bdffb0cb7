//! The connections: two pools behind one enum, and the three ways in which the rest of the store uses them.
//!
//! SQLite gets one connection that writes and two that read. With one writer, our own writes queue fairly
//! in its pool instead of polling for SQLite's lock; only other processes are waited for by `busy_timeout`.
//! Caches are small, since the whole program is meant to idle in 12 MB: the record of a small server fits into
//! them anyway.

use super::error::StoreError;
use crate::base::files::safe_path;
use rustix::fs::Access;
use rustix::io::Errno;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _};
use std::future::Future;
use std::path::Path;
use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{io, iter};

/// How long one call may take before it counts as failed. Longer than both waits below together, so that these
/// give their more exact reasons first.
const CALL_DEADLINE: Duration = Duration::from_secs(12);

/// How long SQLite waits for another process's write transaction. Ours take milliseconds; a backup may take seconds.
const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait for one of our own SQLite connections: a little more than for the writer before us to give up.
const SQLITE_ACQUIRE_TIMEOUT: Duration = Duration::from_secs(6);

/// How many connections read from SQLite: a page being rendered, and something else meanwhile.
const SQLITE_READERS_MAX: u32 = 2;

/// The page cache of one SQLite connection, in KiB (SQLite's own default is 2,000).
const SQLITE_CACHE_KIBIBYTES: u32 = 512;

/// To what the write-ahead log is cut back after a checkpoint, in bytes, so that one burst does not keep it big.
const SQLITE_JOURNAL_BYTES_MAX: u32 = 1 << 20;

/// How many connections we take from a PostgreSQL server that others use too.
const POSTGRES_CONNECTIONS_MAX: u32 = 5;

/// How long to wait for a PostgreSQL connection, new or used: a server that is up answers in milliseconds.
const POSTGRES_ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long one of the connections is waited for when all are closed.
const RENEWAL_WAIT: Duration = Duration::from_millis(500);

/// How long an unused connection is kept: each costs memory, here and on the server.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How many prepared statements a connection keeps: those of one deploy's hot path.
const STATEMENTS_MAX: usize = 16;

#[derive(Debug, Clone)]
pub(super) enum Pools {
    Sqlite {
        writer: SqlitePool,
        reader: SqlitePool,
        /// A file could not be used: what the connections hold open of it may be what is wrong.
        is_stale: Arc<AtomicBool>,
    },
    Postgres(PgPool),
}

impl Pools {
    pub(super) fn open(url: &str) -> Result<Self, StoreError> {
        match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") => open_sqlite(url),
            Some("postgres" | "postgresql") => open_postgres(url),
            _ => Err(StoreError::InvalidUrl(
                "a database URL begins with sqlite: or postgres://, as in sqlite:var/record.sqlite"
                    .to_owned(),
            )),
        }
    }

    /// The SQLite database file; none for PostgreSQL.
    pub(super) fn file(&self) -> Option<std::path::PathBuf> {
        match self {
            Self::Sqlite { writer, .. } => Some(writer.connect_options().get_filename().to_owned()),
            Self::Postgres(_) => None,
        }
    }

    /// Whether somebody has put an empty file in the place of a SQLite database, or `migrate` is about to fill it.
    pub(super) fn is_empty_file(&self) -> bool {
        self.file().is_some_and(|file| file.metadata().is_ok_and(|found| found.len() == 0))
    }

    /// Opens a connection, asks, and closes it again.
    pub(super) async fn ping_anew(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite { reader, .. } => {
                let mut connection = reader.connect_options().as_ref().clone().connect().await?;
                connection.ping().await?;
                connection.close().await?;
            }
            Self::Postgres(pool) => {
                let mut connection = pool.connect_options().as_ref().clone().connect().await?;
                connection.ping().await?;
                connection.close().await?;
            }
        }
        Ok(())
    }

    /// Closes all connections where a call has failed because of the file, so that the next one opens it anew. SQLite shares the files beside
    /// a database between all connections of a process: as long as one of them is open that was opened while they could not be written to,
    /// none can write.
    async fn renew(&self) {
        let Self::Sqlite { writer, reader, is_stale } = self else { return };
        if !is_stale.swap(false, Ordering::Relaxed) {
            return;
        }
        let mut all = Vec::new();
        for pool in iter::once(writer).chain(iter::repeat_n(reader, SQLITE_READERS_MAX as usize)) {
            // One that is in use, or cannot be opened, is left out.
            if let Ok(Ok(connection)) = tokio::time::timeout(RENEWAL_WAIT, pool.acquire()).await {
                all.push(connection);
            }
        }
        for connection in all {
            let _ = connection.close().await;
        }
        let file = writer.connect_options().get_filename().to_owned();
        if let Err(error) = mend_modes(&file) {
            tracing::debug!(%error, "what lies beside the database keeps its mode");
        }
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite { writer, reader, .. } => {
                // The writer last: whoever closes last checkpoints.
                reader.close().await;
                writer.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

fn open_sqlite(url: &str) -> Result<Pools, StoreError> {
    let options = SqliteConnectOptions::from_str(url).map_err(|error| invalid_url(&error))?;
    if url.contains(":memory:") || url.contains("mode=memory") || options.get_filename() == Path::new("") {
        return Err(StoreError::InvalidUrl(
            "a record in memory would be forgotten: name a file, as in sqlite:var/record.sqlite".to_owned(),
        ));
    }
    let options = options
        // `migrate` creates the file, with its permissions; a database that vanished must not silently begin anew.
        .create_if_missing(false)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(SQLITE_BUSY_TIMEOUT)
        .pragma("cache_size", format!("-{SQLITE_CACHE_KIBIBYTES}"))
        .pragma("journal_size_limit", SQLITE_JOURNAL_BYTES_MAX.to_string())
        .statement_cache_capacity(STATEMENTS_MAX)
        .disable_statement_logging();
    let pool = SqlitePoolOptions::new()
        .acquire_timeout(SQLITE_ACQUIRE_TIMEOUT)
        .idle_timeout(IDLE_TIMEOUT)
        .test_before_acquire(false)
        .after_release(|connection, _| {
            Box::pin(async move {
                // SQLite itself rolls back on a full disk and the like; sqlx's own ROLLBACK then fails, and it
                // takes the connection to be within a transaction for ever. Such a one is not used again. The
                // ping is answered behind the ROLLBACK that is still queued.
                connection.ping().await?;
                Ok(!connection.is_in_transaction())
            })
        });
    Ok(Pools::Sqlite {
        writer: pool.clone().max_connections(1).connect_lazy_with(options.clone()),
        reader: pool.max_connections(SQLITE_READERS_MAX).connect_lazy_with(options),
        is_stale: Arc::default(),
    })
}

/// Gives the files that SQLite has made beside a database its mode. Made while the database was read-only they have the mode that it had
/// then, and SQLite leaves it so when the database's is mended: nobody but root could ever write again.
fn mend_modes(file: &Path) -> Result<(), safe_path::Refused> {
    let Some(directory) = file.parent() else { return Ok(()) };
    // None of them is opened: to close it would drop the locks that our connections have on it.
    let wanted = safe_path::find_now(directory, file)?.mode();
    for suffix in ["-wal", "-shm"] {
        let mut path = file.as_os_str().to_owned();
        path.push(suffix);
        let path = Path::new(&path);
        let beside = match safe_path::find_now(directory, path) {
            Err(refused) if refused.is_missing() => continue,
            found => found?,
        };
        if beside.mode() != wanted && beside.owner() == rustix::process::geteuid().as_raw() {
            let refused =
                |error: Errno| safe_path::Refused::System { path: path.to_owned(), error: error.into() };
            beside.set_mode(wanted).map_err(refused)?;
        }
    }
    Ok(())
}

/// Where to read. Whoever may not write beside a database that nobody has open (a backup was the last to close it) cannot make the files
/// that its journal needs; but then nobody changes it either, so that it is read as it lies there.
pub(super) fn reading_pool(reader: &SqlitePool) -> SqlitePool {
    let known = reader.connect_options();
    let file = known.get_filename();
    let mut journal = file.as_os_str().to_owned();
    journal.push("-wal");
    let directory = file.parent().filter(|directory| !directory.as_os_str().is_empty());
    let is_writable = rustix::fs::access(directory.unwrap_or(Path::new(".")), Access::WRITE_OK).is_ok();
    if is_writable || Path::new(&journal).exists() || !file.exists() {
        return reader.clone();
    }
    let options = SqliteConnectOptions::new().filename(file).read_only(true).immutable(true);
    let pool = SqlitePoolOptions::new().max_connections(1).acquire_timeout(SQLITE_ACQUIRE_TIMEOUT);
    pool.connect_lazy_with(options.disable_statement_logging())
}

/// What sqlx takes for the name of a user that nobody has named.
const UNNAMED: [&str; 2] = ["anonymous", "unknown"];

/// How to connect to PostgreSQL. Where neither the URL nor `PGUSER` names a user, it is the process's, as libpq has it.
pub(super) fn postgres_options(url: &str) -> Result<PgConnectOptions, StoreError> {
    let parse = |url: &str| PgConnectOptions::from_str(url).map_err(|error| invalid_url(&error));
    let options = parse(url)?;
    let is_unnamed = UNNAMED.contains(&options.get_username()) && !url.contains(options.get_username());
    match is_unnamed.then(process_user).flatten() {
        None => Ok(options),
        Some(user) => {
            let user: String = form_urlencoded::byte_serialize(user.as_bytes()).collect();
            // In the URL and not in what was read from it: passwords of `~/.pgpass` are found by it.
            parse(&format!("{url}{}user={user}", if url.contains('?') { '&' } else { '?' }))
        }
    }
}

/// The name of the user that this process runs as; None where this machine's table has none.
pub(super) fn process_user() -> Option<String> {
    let number = rustix::process::geteuid().as_raw().to_string();
    let passwd = fs_err::read_to_string("/etc/passwd").ok()?;
    let mut lines = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let fields = lines.find(|fields| fields.get(2) == Some(&number.as_str()))?;
    Some((*fields.first()?).to_owned())
}

/// Where PostgreSQL's sockets are: Debian's, and PostgreSQL's own default.
const POSTGRES_SOCKETS: [&str; 2] = ["/run/postgresql", "/tmp"];

pub(super) async fn opens_without_password(url: &str) -> Result<Option<String>, StoreError> {
    let known = postgres_options(url)?;
    let bare = |way: Option<&Path>| {
        let options =
            PgConnectOptions::new_without_pgpass().username(known.get_username()).port(known.get_port());
        let options = options.ssl_mode(known.get_ssl_mode()).application_name("durhack-deployer");
        let options = match known.get_database() {
            Some(database) => options.database(database),
            None => options,
        };
        match way {
            Some(socket) => options.socket(socket),
            None => options.host(known.get_host()),
        }
    };
    let is_local =
        known.get_socket().is_some() || matches!(known.get_host(), "localhost" | "127.0.0.1" | "::1");
    let mut ways = vec![known.get_socket().map(std::path::PathBuf::as_path)];
    if is_local {
        ways.extend(POSTGRES_SOCKETS.iter().map(|socket| Some(Path::new(*socket))));
    }
    for way in ways {
        let attempt = bare(way).disable_statement_logging();
        if let Ok(Ok(connection)) = tokio::time::timeout(POSTGRES_ACQUIRE_TIMEOUT, attempt.connect()).await {
            let _ = connection.close().await;
            let shown =
                way.map_or_else(|| known.get_host().to_owned(), |socket| socket.display().to_string());
            return Ok(Some(shown));
        }
    }
    Ok(None)
}

fn open_postgres(url: &str) -> Result<Pools, StoreError> {
    let options = postgres_options(url)?
        .application_name("durhack-deployer")
        .statement_cache_capacity(STATEMENTS_MAX)
        .disable_statement_logging();
    let pool = PgPoolOptions::new()
        .max_connections(POSTGRES_CONNECTIONS_MAX)
        .acquire_timeout(POSTGRES_ACQUIRE_TIMEOUT)
        .idle_timeout(IDLE_TIMEOUT)
        .after_release(|connection, _| {
            Box::pin(async move {
                // A server that vanished without a word would otherwise keep the connection, and its place in
                // the pool, until TCP gives up.
                match tokio::time::timeout(POSTGRES_ACQUIRE_TIMEOUT, connection.ping()).await {
                    Ok(answer) => answer.map(|()| true),
                    Err(_) => Err(no_answer()),
                }
            })
        })
        .connect_lazy_with(options);
    Ok(Pools::Postgres(pool))
}

fn invalid_url(error: &sqlx::Error) -> StoreError {
    // Not the URL itself: it can hold a password.
    StoreError::InvalidUrl(format!("the database URL cannot be read: {error}"))
}

fn no_answer() -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, "the database did not answer in time"))
}

/// Carries a call of the database out, until its deadline.
pub(super) fn in_time<T>(
    call: impl Future<Output = Result<T, StoreError>>,
) -> impl Future<Output = Result<T, StoreError>> {
    within(CALL_DEADLINE, call)
}

/// Carries something out until a deadline. What is still under way then is undone by the database.
pub(super) fn within<T>(
    deadline: Duration,
    call: impl Future<Output = Result<T, StoreError>>,
) -> impl Future<Output = Result<T, StoreError>> {
    // Boxed, since a call holds both databases' futures, and everything that deploys holds calls.
    let call = Box::pin(call);
    async move {
        match tokio::time::timeout(deadline, call).await {
            Ok(result) => result,
            Err(_) => Err(StoreError::Unavailable(no_answer())),
        }
    }
}

/// Carries a call out with connections that can be relied on, as far as is known.
pub(super) async fn renewed<T>(
    pools: &Pools,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    if pools.is_empty_file() {
        let error = io::Error::new(io::ErrorKind::UnexpectedEof, "the database's file is empty");
        return Err(StoreError::Unavailable(sqlx::Error::Io(error)));
    }
    pools.renew().await;
    let result = call.await;
    if let (Pools::Sqlite { is_stale, .. }, Err(error)) = (pools, &result)
        && error.is_of_file()
    {
        is_stale.store(true, Ordering::Relaxed);
    }
    result
}

/// One statement that reads: an expression over a pool, which may use `?`.
macro_rules! reading {
    ($store:expr, |$pool:ident| $work:expr) => {
        $crate::store::pools::in_time($crate::store::pools::renewed(&$store.pools, async {
            match &$store.pools {
                $crate::store::pools::Pools::Sqlite { reader, .. } => {
                    let $pool = &$crate::store::pools::reading_pool(reader);
                    Ok($work)
                }
                $crate::store::pools::Pools::Postgres($pool) => Ok($work),
            }
        }))
        .await
    };
}
pub(super) use reading;

/// One statement that writes.
macro_rules! writing {
    ($store:expr, |$pool:ident| $work:expr) => {
        $crate::store::pools::in_time($crate::store::pools::renewed(&$store.pools, async {
            match &$store.pools {
                $crate::store::pools::Pools::Sqlite { writer: $pool, .. } => Ok($work),
                $crate::store::pools::Pools::Postgres($pool) => Ok($work),
            }
        }))
        .await
    };
}
pub(super) use writing;

/// Several statements, all or none; leaving by `?` or `return Err` undoes what was done.
///
/// SQLite takes its write lock at once: a transaction that begins by reading and then wants to write fails
/// without waiting when another has written meanwhile.
macro_rules! transaction {
    ($store:expr, |$transaction:ident| $work:expr) => {
        $crate::store::pools::in_time($crate::store::pools::renewed(&$store.pools, async {
            match &$store.pools {
                $crate::store::pools::Pools::Sqlite { writer, .. } => {
                    let mut $transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
                    let outcome = $work;
                    $transaction.commit().await?;
                    Ok(outcome)
                }
                $crate::store::pools::Pools::Postgres(pool) => {
                    let mut $transaction = pool.begin().await?;
                    let outcome = $work;
                    $transaction.commit().await?;
                    Ok(outcome)
                }
            }
        }))
        .await
    };
}
pub(super) use transaction;

/// That an UPDATE found its row.
pub(super) fn found(rows_affected: u64, kind: &'static str, id: impl Into<String>) -> Result<(), StoreError> {
    if rows_affected == 0 { Err(StoreError::NotRecorded { kind, id: id.into() }) } else { Ok(()) }
}

/// How long a migration may take, with waiting for another process that is migrating. Long enough for
/// an index over years of deliveries; short enough to end.
pub(super) const MIGRATION_DEADLINE: Duration = Duration::from_secs(120);
