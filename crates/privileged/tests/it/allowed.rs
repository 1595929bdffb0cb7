//! What is allowed is done, by constant programs, and whoever asked hears of it.

use crate::house::House;

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn each_verb_calls_its_programs_and_nothing_else() {
    let house = House::new();
    let certonly = "/usr/bin/certbot certonly --non-interactive --agree-tos --renew-with-new-domains";
    let names = "--webroot-path=/var/lib/letsencrypt/webroot --cert-name=www.a.test --domain=www.a.test --domain=a.test --webroot --register-unsafely-without-email";
    let mut calls = Vec::new();
    for (words, expected) in [
        (&["nginx-test"][..], &["/usr/sbin/nginx -t".to_owned()][..]),
        (
            &["nginx-reload"],
            &[
                "/usr/sbin/nginx -t".into(),
                "/usr/bin/systemctl --no-ask-password reload -- nginx.service".into(),
            ],
        ),
        (
            &["unit-restart", "website"],
            &["/usr/bin/systemctl --no-ask-password restart -- website.service".into()],
        ),
        (
            &["unit-reload", "website.service"],
            &["/usr/bin/systemctl --no-ask-password reload-or-restart -- website.service".into()],
        ),
        (&["certificate", "www.a.test", "a.test"], &[format!("{certonly} --keep-until-expiring {names}")]),
        (&["certificate-renew", "www.a.test", "a.test"], &[format!("{certonly} --force-renewal {names}")]),
    ] {
        let output = house.ask(words);
        assert_eq!(output.status.code(), Some(0), "{words:?}: {}", text(&output.stderr));
        assert!(text(&output.stdout).contains("said by") && text(&output.stderr).contains("complained"));
        calls.extend_from_slice(expected);
        assert_eq!(house.calls(), calls, "{words:?}");
    }
    let journal = house.journal();
    assert!(journal.contains("asks: [\"nginx-reload\"]") && journal.contains(": done\n"), "{journal}");
}

#[test]
fn a_failure_has_its_exit_code_and_ends_the_request() {
    let house = House::new();
    std::fs::write(house.path("fails"), "").unwrap();
    let output = house.ask(&["nginx-reload"]);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(3), "complained\n"));
    assert_eq!(house.calls(), ["/usr/sbin/nginx -t"], "what nginx refuses is not loaded");
    assert!(house.journal().contains("exit code 3: complained"), "{}", house.journal());
}

#[test]
fn root_may_do_it_at_once_and_nobody_else() {
    let house = House::new();
    let output = house.at_once_as(0, &["certificate", "a.test"]);
    assert_eq!((output.status.code(), house.calls().len()), (Some(0), 1), "{}", text(&output.stderr));
    crate::house::refused(&house.at_once_as(0, &["certificate", "evil.test"]), "domains");
    let output = house.at_once_as(crate::house::USER, &["nginx-test"]);
    assert!(output.status.code() == Some(77) && text(&output.stderr).contains("ask nginx-test"));
    assert_eq!(house.calls().len(), 1);
}

#[test]
fn where_nobody_listens_the_client_says_what_to_start() {
    let house = House::new();
    std::fs::remove_file(house.path("socket")).unwrap();
    let output = house.ask(&["nginx-test"]);
    assert_eq!(output.status.code(), Some(69));
    assert!(text(&output.stderr).contains("systemctl enable --now durhack-deployer-privileged.socket"));
}
