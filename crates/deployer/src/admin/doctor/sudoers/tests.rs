//! Lines of sudoers, and what they let the service's user do. `O` open, `D` doubtful, `n` narrow.

use super::judgement::{Width, judge};
use super::*;

fn service() -> Account {
    Account {
        uid: 998,
        gid: 997,
        name: "durhack-deployer".into(),
        home: None,
        groups: vec!["durhack-deployer".into(), "web".into()],
    }
}

fn lines(text: &str) -> Vec<SudoersLine> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("sudoers");
    fs_err::write(&file, text).unwrap();
    read(&file).unwrap()
}

fn verdicts(grants: &[Grant]) -> String {
    let judged = judge(grants);
    let letter = |(_, width): &(&Grant, Width)| match width {
        Width::Open(_) => 'O',
        Width::Doubtful(_) => 'D',
        Width::Narrow => 'n',
    };
    judged.iter().map(letter).collect()
}

#[test]
fn what_each_line_lets_the_service_do() {
    for (text, expected) in [
        // The original's two lines: the first is root, the second exact.
        ("durhack-deployer ALL=(ALL) NOPASSWD: /usr/bin/certbot", "O"),
        ("durhack-deployer ALL=(ALL) NOPASSWD: /usr/bin/systemctl reload nginx", "n"),
        // Other users, groups, numbers, lists.
        ("root ALL=(ALL:ALL) ALL", ""),
        ("%sudo ALL=(ALL:ALL) ALL", ""),
        ("%web ALL=(ALL) NOPASSWD: ALL", "O"),
        ("%#997 ALL=(ALL) NOPASSWD: ALL", "O"),
        ("#998 ALL=(ALL) NOPASSWD: ALL", "O"),
        ("#999 ALL=(ALL) NOPASSWD: ALL", ""),
        ("ALL ALL=(ALL) NOPASSWD: ALL", "O"),
        ("ada, durhack-deployer ALL = NOPASSWD: /usr/sbin/nginx -t", "n"),
        ("ALL, !durhack-deployer ALL=(ALL) NOPASSWD: ALL", ""),
        ("!durhack-deployer, ALL ALL=(ALL) NOPASSWD: ALL", "O"),
        ("ada,bob web1,web2=(root) NOPASSWD:ALL", ""),
        ("\"durhack-deployer\" ALL=(ALL) NOPASSWD: ALL", "O"),
        ("+operators ALL=(ALL) NOPASSWD: ALL", ""),
        // A password that the service has not got.
        ("durhack-deployer ALL=(ALL) ALL", "D"),
        ("durhack-deployer ALL=(ALL) NOPASSWD: ALL, PASSWD: /usr/bin/certbot", "OD"),
        // As whom.
        ("durhack-deployer ALL=(postgres) NOPASSWD: ALL", "D"),
        ("durhack-deployer ALL=(:adm) NOPASSWD: ALL", "D"),
        ("durhack-deployer ALL=(#0) NOPASSWD: ALL", "O"),
        ("durhack-deployer ALL=(ALL, !root) NOPASSWD: ALL", "D"),
        ("durhack-deployer ALL=(postgres) NOPASSWD: /bin/ls \"\", (root) /usr/bin/certbot", "nO"),
        // Wildcards cross spaces.
        ("durhack-deployer ALL=NOPASSWD: /usr/bin/certbot certonly --webroot -w /var/www -d *", "O"),
        ("durhack-deployer ALL=NOPASSWD: /usr/bin/systemctl restart app-*", "O"),
        ("durhack-deployer ALL=NOPASSWD: /usr/bin/systemctl restart app-?", "O"),
        ("durhack-deployer ALL=NOPASSWD: /usr/sbin/nginx -c /etc/nginx/[a-z].conf", "O"),
        ("durhack-deployer ALL=NOPASSWD: /usr/bin/*", "O"),
        ("durhack-deployer ALL=NOPASSWD: /usr/bin/", "O"),
        ("durhack-deployer ALL=NOPASSWD: /usr/local/sbin/tool *", "D"),
        ("durhack-deployer ALL=NOPASSWD: /usr/local/sbin/tool", "D"),
        ("durhack-deployer ALL=NOPASSWD: /usr/local/sbin/tool \"\"", "n"),
        // Exact.
        ("durhack-deployer ALL=NOPASSWD: /usr/sbin/nginx \"\"", "n"),
        ("durhack-deployer ALL=NOPASSWD: /usr/bin/certbot renew --quiet", "n"),
        ("durhack-deployer ALL=NOPASSWD: /usr/bin/systemctl status nginx", "D"),
        ("durhack-deployer ALL=NOPASSWD: /usr/bin/systemctl --no-pager status nginx", "n"),
        ("durhack-deployer ALL=NOPASSWD: /usr/bin/systemctl restart -- a\\:b.service", "n"),
        ("durhack-deployer ALL=NOPASSWD: /usr/bin/env A\\=b", "n"),
        ("durhack-deployer ALL=NOPASSWD: /bin/bash", "O"),
        ("durhack-deployer ALL=NOPASSWD: sudoedit /etc/nginx/*", "O"),
        ("durhack-deployer ALL=NOPASSWD: sudoedit /etc/nginx/nginx.conf", "n"),
        // Regular expressions (sudo 1.9.10).
        (
            "durhack-deployer ALL=(root) NOPASSWD: /usr/local/libexec/issue-cert ^[a-z0-9][a-z0-9.-]{1,252}$",
            "n",
        ),
        ("durhack-deployer ALL=(root) NOPASSWD: /usr/bin/certbot ^certonly -d .*$", "O"),
        (
            "durhack-deployer ALL=(root) NOPASSWD: /usr/bin/systemctl ^restart app-[a-z]{1,20}$, /usr/sbin/nginx -t",
            "nn",
        ),
        ("durhack-deployer ALL=(root) NOPASSWD: ^/usr/bin/.*$ reload", "O"),
        ("durhack-deployer ALL=(root) NOPASSWD: ^/usr/bin/systemctl$ ^reload nginx$", "n"),
        // Tags, options, digests.
        ("durhack-deployer ALL=(root) CWD=/ NOEXEC:NOPASSWD: /usr/bin/certbot", "O"),
        ("durhack-deployer ALL=(root) TIMEOUT=5m NOPASSWD : SETENV:/usr/sbin/nginx -t", "O"),
        ("durhack-deployer ALL=SETENV:NOSETENV:NOPASSWD:NOLOG_OUTPUT: /usr/sbin/nginx -t", "n"),
        ("Defaults:durhack-deployer !authenticate\ndurhack-deployer ALL=ALL", "O"),
        ("durhack-deployer ALL=NOPASSWD: sha256:abc= /usr/bin/certbot", "O"),
        ("durhack-deployer ALL=NOPASSWD: sha224:0123, sha256:4567 /usr/sbin/nginx -t", "n"),
        // What is taken away again, and lists of exceptions, which protect nothing.
        ("durhack-deployer ALL=NOPASSWD: /usr/bin/certbot, !/usr/bin/certbot", ""),
        ("durhack-deployer ALL=NOPASSWD: ALL, !/bin/su", "O"),
        ("durhack-deployer ALL=NOPASSWD: ALL\ndurhack-deployer ALL=!ALL", ""),
        ("durhack-deployer ALL=!ALL, NOPASSWD: ALL", "O"),
        ("durhack-deployer ALL=NOPASSWD: !!/usr/bin/certbot", "O"),
        // Several hosts in one line.
        ("durhack-deployer web=NOPASSWD: /usr/sbin/nginx -t : db=NOPASSWD: /usr/bin/certbot", "nO"),
        // Aliases.
        (
            "User_Alias D = durhack-deployer, ada\nCmnd_Alias C = /usr/bin/certbot : N = /usr/sbin/nginx -t\nD ALL=NOPASSWD: C, N",
            "On",
        ),
        (
            "Cmnd_Alias A = B, /usr/sbin/nginx -t\nCmnd_Alias B = /usr/bin/systemctl\ndurhack-deployer ALL=NOPASSWD: A",
            "On",
        ),
        ("Cmnd_Alias A = /usr/bin/certbot\ndurhack-deployer ALL=NOPASSWD: A, !A", ""),
        ("Cmnd_Alias A = B\nCmnd_Alias B = A\ndurhack-deployer ALL=NOPASSWD: A", ""),
        ("Runas_Alias R = root, www-data\ndurhack-deployer ALL=(R) NOPASSWD: ALL", "O"),
        ("Runas_Alias R = www-data\ndurhack-deployer ALL=(R) NOPASSWD: ALL", "D"),
        ("User_Alias D = ALL, !durhack-deployer\nD ALL=NOPASSWD: ALL", ""),
        ("Host_Alias H = web\ndurhack-deployer H=NOPASSWD: ALL", "O"),
        // Lines that say nothing of users, and lines that are none.
        ("Defaults env_reset\nDefaults:durhack-deployer !requiretty\nDefaults!/usr/bin/certbot noexec", ""),
        ("durhack-deployer", ""),
        ("durhack-deployer ALL", ""),
        ("= , : !", ""),
        ("durhack-deployer ALL=", ""),
        (
            "durhack-deployer ALL=NOPASSWD: /usr/bin/certbot certonly \\\n  -d example.org,\\\n  /usr/bin/systemctl",
            "nO",
        ),
    ] {
        assert_eq!(verdicts(&parse(&lines(text), &service())), expected, "{text}");
    }
}

#[test]
fn a_grant_says_where_it_stands_and_what_it_is() {
    let text = "# the service\ndurhack-deployer ALL=(root) NOPASSWD: /usr/bin/certbot certonly -d *\n";
    let grants = parse(&lines(text), &service());
    assert_eq!(grants[0].command, "/usr/bin/certbot certonly -d *");
    assert!(grants[0].place.ends_with("sudoers:2") && grants[0].as_root && grants[0].without_password);
}

#[test]
fn what_sudo_lists_is_judged_alike() {
    let printed = "Matching Defaults entries for web on host:\n    env_reset, secure_path=/usr/bin\n\n\
        User web may run the following commands on host:\n    (ALL) NOPASSWD: /usr/bin/certbot\n    \
        (root) NOPASSWD: /usr/bin/systemctl reload nginx, /usr/sbin/nginx -t\n    (ALL : ALL) ALL\n";
    assert_eq!(verdicts(&parse_listing(printed)), "OnnD");
    assert!(parse_listing("Sorry, user web may not run sudo on host.\n").is_empty());
}

proptest::proptest! {
    #[test]
    fn nothing_makes_it_panic(text in "[a-cADL \t=:,!()\\\\\"#%/*$^\\[\\]\u{e9}\n]{0,60}") {
        let lines: Vec<SudoersLine> = text.lines().map(|line| SudoersLine { place: "x:1".into(), text: line.to_owned() }).collect();
        let named = SudoersLine { place: "x:1".into(), text: format!("ALL ALL={text}") };
        judge(&parse(&lines, &service()));
        judge(&parse(&[named], &service()));
        judge(&parse_listing(&format!("may run the following commands\n{text}")));
    }
}
