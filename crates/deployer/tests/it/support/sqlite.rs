//! SQL of others than the deployer, and what lies in its database.

use sqlx::{Connection as _, Row as _};
use std::path::Path;

/// Carries statements out in a database file, which is made where there is none.
#[track_caller]
pub fn execute(file: &Path, statements: &str) {
    on(file, async |connection| {
        let statements = sqlx::raw_sql(sqlx::AssertSqlSafe(statements.to_owned()));
        statements.execute(connection).await.expect("the statement is right");
    });
}

/// The rows of a query, each as its columns' texts, in order.
#[track_caller]
pub fn rows(file: &Path, query: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    on(file, async |connection| {
        let query = sqlx::query(sqlx::AssertSqlSafe(query.to_owned()));
        for row in query.fetch_all(connection).await.expect("the query is right") {
            found.push((0..row.len()).map(|column| row.get::<String, _>(column)).collect());
        }
    });
    found
}

#[track_caller]
fn on(file: &Path, work: impl AsyncFnOnce(&mut sqlx::SqliteConnection)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime starts").block_on(async {
        let url = format!("sqlite:{}?mode=rwc", file.display());
        let mut connection = sqlx::SqliteConnection::connect(&url).await.expect("it can be opened");
        work(&mut connection).await;
        connection.close().await.expect("it can be closed");
    });
}
