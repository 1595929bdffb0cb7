//! Health checks: what applications want to be asked, and what is said where the answer is not as it should be.

use crate::support::process::describe;
use crate::support::world::World;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};

/// Answers each connection by what is asked for, on a port of its own, as long as the test runs.
fn application() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it listens").port();
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            std::thread::spawn(move || answer(connection));
        }
    });
    port
}

fn answer(mut connection: TcpStream) {
    let mut lines = BufReader::new(connection.try_clone().expect("a descriptor is left")).lines();
    let head: Vec<String> =
        lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let has = |line: &str| head.iter().any(|found| found.eq_ignore_ascii_case(line));
    let path = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let reply = match path {
        "/by-name" if has("host: shop.example.org") => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK",
        "/by-name" => "HTTP/1.1 400 Bad Request\r\nContent-Length: 12\r\n\r\nInvalid Host",
        "/https-only" if has("x-forwarded-proto: https") => "HTTP/1.1 204 No Content\r\n\r\n",
        "/https-only" => {
            "HTTP/1.1 301 Moved Permanently\r\nLocation: https://shop.example.org/\r\nContent-Length: 0\r\n\r\n"
        }
        // An event stream: it goes on for ever.
        _ => "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: ready\n\n",
    };
    let _ = connection.write_all(reply.as_bytes());
    if path == "/events" {
        // Until the other side closes.
        let _ = std::io::Read::read(&mut connection, &mut [0; 1]);
    }
}

#[test]
fn applications_are_asked_as_they_want_and_the_answer_is_told_in_words() {
    World::run(|world| {
        let port = application();
        let repository = world.repository("acme/site");
        let deployment = world.deployment("site", &repository);
        let host = r#"headers = { Host = "shop.example.org" }"#;
        let proto = r#"headers = { X-Forwarded-Proto = "https" }"#;
        for (number, (scheme, path, keys, expected)) in [
            ("http", "/by-name", host, None),
            ("http", "/by-name", r#"body = "OK""#, Some("answered 400 Bad Request: Invalid Host")),
            ("http", "/https-only", proto, None),
            (
                "http",
                "/https-only",
                "",
                Some("answered 301 Moved Permanently, and leads to https://shop.example.org/"),
            ),
            ("http", "/events", "", None),
            ("http", "/events", r#"body = "ready""#, None),
            ("https", "/events", "", Some("does not speak TLS: write http:// instead of https://")),
        ]
        .into_iter()
        .enumerate()
        {
            let comma = if keys.is_empty() { "" } else { "," };
            let check =
                format!(r#"[{{ http = "{scheme}://127.0.0.1:{port}{path}", attempts = 1{comma} {keys} }}]"#);
            world.configure(&[deployment.clone().with("health", check)]);
            world.start();
            let commit = repository.commit(&[("index.html", &number.to_string())], "next");
            world.push(&repository, &commit);
            let run = world.ended_run("site", &commit);
            let cause = run.cause.unwrap_or_default();
            assert_eq!(run.state == "succeeded", expected.is_none(), "{scheme} {path} {keys}: {cause}");
            assert!(cause.contains(expected.unwrap_or_default()), "{scheme} {path} {keys}: {cause}");
            world.stop();
        }
    });
}

/// Programs that git must not run, and a file whose lines must not be changed.
const CONFIGURATION: &str = "[core]
\thooksPath = HOOKS
\tautocrlf = true
\tfileMode = false
[init]
\tdefaultBranch = trunk
[commit]
\tgpgSign = true
[gpg]
\tprogram = false
[fetch]
\tpruneTags = true
[transfer]
\thideRefs = refs
[safe]
\tbareRepository = explicit
[url \"https://127.0.0.1:1/\"]
\tinsteadOf = file://
";

#[test]
fn proxies_languages_and_git_of_whoever_starts_it_change_nothing() {
    World::run(|world| {
        let hooks = world.root().join("hooks");
        fs_err::create_dir(&hooks).expect("the world is writable");
        for hook in ["reference-transaction", "post-checkout", "post-index-change"] {
            fs_err::write(hooks.join(hook), "#!/bin/sh\nexit 1\n").expect("the world is writable");
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs_err::set_permissions(hooks.join(hook), mode).expect("the world is writable");
        }
        let git = world.root().join("gitconfig");
        fs_err::write(&git, CONFIGURATION.replace("HOOKS", &hooks.to_string_lossy()))
            .expect("the world is writable");
        // Nobody listens there. GitHub cannot be told of the run, and nothing else asks GitHub.
        let proxies = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];
        world.environment.extend(proxies.map(|name| (name.into(), "http://127.0.0.1:1".into())));
        world.environment.extend(
            [
                ("GIT_CONFIG_GLOBAL", &*git.to_string_lossy()),
                ("GIT_CONFIG_NOSYSTEM", "0"),
                ("GIT_DIR", "/nonexistent"),
                ("LANG", "de_DE.UTF-8"),
                ("LC_ALL", "de_DE.UTF-8"),
                ("LANGUAGE", "de"),
                ("TZ", "America/New_York"),
            ]
            .map(|(name, value)| (name.into(), value.into())),
        );
        let repository = world.repository("acme/site");
        let health = format!(
            "[{{ http = \"http://127.0.0.1:{}/by-name\", headers = {{ Host = \"shop.example.org\" }} }}]",
            application()
        );
        world.configure(&[world.deployment("site", &repository).with("health", health)]);
        let commit = repository.commit(&[("page", "one\ntwo\n")], "first");
        world.start();
        world.deploy("site", &repository, &commit);
        assert_eq!(world.live("site", "page").as_deref(), Some("one\ntwo\n"));
        let pushed = world.cli(&["simulate", "push", "site"]);
        assert!(String::from_utf8_lossy(&pushed.stdout).starts_with("202 "), "{}", describe(&pushed));
        // What git says is read, and shown, in one language.
        let missing = world.cli(&["deploy", "site", "--commit", &"a".repeat(40)]);
        let said = describe(&missing);
        assert!(!missing.status.success() && said.contains("not our ref"), "{said}");
    });
}
