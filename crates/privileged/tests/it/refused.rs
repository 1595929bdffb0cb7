//! What nobody allowed is not done, and whoever asked hears why.

use crate::corpus;
use crate::house::{House, KEY, KEY_FILE, LIST, NOBODY, USER, WORKERS_KEY, mode, refused};
use std::io::{Read, Write};
use std::os::unix::fs::{chown, symlink};
use std::os::unix::net::UnixStream;

#[test]
fn two_hundred_hostile_requests_run_nothing_and_each_hears_why() {
    let house = House::new();
    let requests = corpus::requests();
    assert!(requests.len() >= 200, "{}", requests.len());
    let answers = house.send_as(USER, &requests);
    assert_eq!(answers.len(), requests.len());
    for (request, answer) in requests.iter().zip(&answers) {
        let shown = String::from_utf8_lossy(&request[..request.len().min(80)]).into_owned();
        assert!(answer.starts_with("{\"refused\":\"") && answer.len() > 30, "{shown:?}: {answer}");
    }
    assert_eq!(house.calls(), Vec::<String>::new());
    // Two lines for each, whatever was in it, and nothing that a terminal obeys.
    let journal = house.journal();
    assert_eq!(journal.lines().count(), 2 * requests.len());
    assert!(journal.bytes().all(|byte| matches!(byte, b'\n' | b' '..=b'~')));
    assert!(journal.lines().all(|line| line.len() < 10_000));
    // It is as willing as before.
    assert!(house.ask(&["nginx-test"]).status.success());
}

#[test]
fn the_same_words_are_refused_without_a_socket() {
    let house = House::new();
    for words in corpus::words() {
        // No program can be given such an argument, so none can be asked to.
        if words.iter().any(|word| word.contains('\0')) || matches!(words[0].as_str(), "ask") {
            continue;
        }
        refused(&house.at_once_as(0, &words.iter().map(String::as_str).collect::<Vec<_>>()), "");
    }
    assert_eq!(house.calls(), Vec::<String>::new());
}

#[test]
fn only_the_deployers_user_is_heard() {
    let house = House::new();
    for uid in [NOBODY, 0, USER + 1] {
        refused(&house.ask_as(uid, &["nginx-test"]), "only user \"durhack-deployer\" may ask");
    }
    assert_eq!(house.calls(), Vec::<String>::new());
    assert!(house.ask(&["nginx-test"]).status.success());
}

#[test]
fn a_refusal_says_what_to_add_and_where() {
    let house = House::new();
    refused(
        &house.ask(&["unit-restart", "other"]),
        "\"other.service\" is not in `units` of /etc/durhack-deployer/privileged.toml",
    );
    refused(&house.ask(&["certificate", "a.test", "b.test"]), "\"b.test\" is not in `domains` of /etc/");
}

#[test]
fn a_list_that_is_not_roots_alone_allows_nothing() {
    let house = House::new();
    let list = house.inside(LIST);
    let directory = list.parent().unwrap().to_owned();
    let good = std::fs::read_to_string(&list).unwrap();
    let ask = || house.ask(&["nginx-test"]);

    mode(&list, 0o666);
    refused(&ask(), "can be changed by others than root");
    mode(&list, 0o620);
    refused(&ask(), "chmod go-w");
    mode(&list, 0o644);
    chown(&list, Some(USER), None).unwrap();
    refused(&ask(), "can be changed by others than root");
    chown(&list, Some(0), None).unwrap();
    mode(&directory, 0o777);
    refused(&ask(), "can be changed by others than root");
    mode(&directory, 0o755);
    assert!(ask().status.success());

    std::fs::write(&list, good.clone() + "shell = \"sh\"\n").unwrap();
    refused(&ask(), "cannot be understood");
    std::fs::write(&list, good.replace("durhack-deployer", "nobody-of-that-name")).unwrap();
    refused(&ask(), "who is not in /etc/passwd");
    std::fs::remove_file(&list).unwrap();
    refused(&ask(), "cannot read /etc/durhack-deployer/privileged.toml");
    let elsewhere = house.path("elsewhere.toml");
    std::fs::write(&elsewhere, &good).unwrap();
    symlink(&elsewhere, &list).unwrap();
    refused(&ask(), "cannot read");
    std::fs::remove_file(&list).unwrap();
    std::fs::create_dir(&list).unwrap();
    refused(&ask(), "cannot read");
    assert_eq!(house.calls(), ["/usr/sbin/nginx -t"]);
}

// certbot writes below the webroot as root, and follows links.
#[test]
fn a_webroot_that_others_can_change_gets_no_certificate() {
    let house = House::new();
    let (list, webroot) = (house.inside(LIST), house.inside("var/acme"));
    let good = std::fs::read_to_string(&list).unwrap();
    std::fs::write(&list, good + "[certbot]\nwebroot = \"/var/acme\"\n").unwrap();
    let ask = || house.ask(&["certificate", "a.test"]);
    refused(&ask(), "cannot read /var/acme");
    std::fs::create_dir(&webroot).unwrap();
    assert!(ask().status.success());
    std::fs::remove_dir_all(webroot.join(".well-known")).unwrap();
    symlink("/etc/cron.d", webroot.join(".well-known")).unwrap();
    refused(&ask(), "/var/acme/.well-known is not a directory");
    std::fs::remove_file(webroot.join(".well-known")).unwrap();
    std::fs::create_dir_all(webroot.join(".well-known/acme-challenge")).unwrap();
    assert!(ask().status.success());
    chown(webroot.join(".well-known/acme-challenge"), Some(USER), None).unwrap();
    refused(&ask(), "/var/acme/.well-known/acme-challenge can be changed by others than root");
    assert_eq!(house.calls().len(), 2);
}

#[test]
fn who_does_not_show_the_key_is_shown_out_and_keeps_nobody_out() {
    let house = House::new();
    let connect = || UnixStream::connect(house.path("socket")).unwrap();
    // A thousand silent ones: more than may wait.
    let silent: Vec<UnixStream> = (0..1000).map(|_| connect()).collect();
    assert!(house.ask(&["nginx-test"]).status.success());
    let heard = |mut connection: &UnixStream| {
        let mut answer = String::new();
        connection.read_to_string(&mut answer).map(|_| answer)
    };
    for connection in &silent {
        assert_eq!(heard(connection).unwrap_or_default(), "", "it is closed, and nothing was done");
    }
    for wrong in [
        "[\"nginx-test\"]\n".to_owned(),
        format!("{}\n[\"nginx-test\"]\n", KEY.replace('f', "e")),
        format!("{KEY}0[\"nginx-test\"]\n"),
        format!("{KEY}[\"nginx-test\"]\n"),
        "\n".repeat(100),
    ] {
        let mut connection = connect();
        connection.write_all(wrong.as_bytes()).unwrap();
        let answer = heard(&connection).unwrap_or_default();
        assert!(answer.is_empty() || answer.contains("it did not begin with the key"), "{wrong:?}: {answer}");
    }
    assert_eq!(house.calls(), ["/usr/sbin/nginx -t"]);
    let journal = house.journal();
    assert!(journal.contains("closed ") && journal.lines().count() < 20, "{journal}");
}

#[test]
fn a_key_that_is_missing_or_not_roots_lets_nobody_in() {
    let house = House::new();
    let file = house.inside(KEY_FILE);
    mode(&file, 0o644);
    refused(&house.ask(&["nginx-test"]), "can be read by others than root");
    mode(&file, 0o600);
    std::fs::write(&file, "\n").unwrap();
    refused(&house.ask(&["nginx-test"]), "holds no key; `durhack-deployer setup` makes one");
    std::fs::remove_file(&file).unwrap();
    refused(&house.ask(&["nginx-test"]), "`durhack-deployer setup` makes one");
    std::fs::remove_file(house.inside(WORKERS_KEY)).unwrap();
    let output = house.ask(&["nginx-test"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(69) && said.contains("only durhack-deployer-worker.service has"),
        "{said}"
    );
    assert_eq!(house.calls(), Vec::<String>::new());
}
