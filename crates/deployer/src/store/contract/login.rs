//! As whom PostgreSQL is asked, and whether it lets somebody in who knows no password.

use super::*;

#[tokio::test]
async fn a_url_without_a_user_means_the_process_s_and_what_needs_no_password_is_seen() {
    let Some(server) = Postgres::start() else { return };
    let user = pools::process_user().expect("who runs tests has a name");
    server.execute("postgres", &format!("CREATE ROLE \"{user}\" LOGIN PASSWORD 'of-the-record'"));
    server.create_database("login");
    server.execute("postgres", &format!("ALTER DATABASE login OWNER TO \"{user}\""));
    let host = "host all all 127.0.0.1/32 scram-sha-256\n";

    server.demand(&format!("local all all peer\n{host}"));
    let url = server.socket_url("", "login");
    let store = open(&url).unwrap();
    store.migrate(0).await.unwrap();
    store.close().await;
    assert!(Store::opens_without_password(&url).await.unwrap().is_some());
    let with_password = server.socket_url(&format!("{user}:of-the-record"), "login");
    assert!(Store::opens_without_password(&with_password).await.unwrap().is_some(), "peer beside a password");

    server.demand(&format!("local all all scram-sha-256\n{host}"));
    assert_eq!(Store::opens_without_password(&with_password).await.unwrap(), None);
    assert!(open(&url).unwrap().meta("x").await.is_err());
    let store = open(&with_password).unwrap();
    store.migrate(0).await.unwrap();
    store.close().await;

    server.demand("local all all trust\nhost all all 127.0.0.1/32 trust\n");
    assert!(Store::opens_without_password(&with_password).await.unwrap().is_some());
}

#[test]
fn a_named_user_stays_who_it_is() {
    for (url, user) in [
        ("postgres://me@localhost/x", "me"),
        ("postgres://localhost/x?user=me", "me"),
        ("postgres://anonymous@localhost/x", "anonymous"),
    ] {
        assert_eq!(pools::postgres_options(url).unwrap().get_username(), user, "{url}");
    }
    let ours = pools::process_user().expect("who runs tests has a name");
    for url in ["postgres:///x?host=/run/postgresql", "postgres://localhost/x", "postgres://localhost:5432/x"]
    {
        assert_eq!(pools::postgres_options(url).unwrap().get_username(), ours, "{url}");
    }
}
