//! Site files: root judges them, writes them, and touches nobody else's.

use crate::house::{House, LIST, USER, mode, refused};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::process::Output;

const SITE: &str = "server { listen 80; server_name a.test; location / { return 200 site; } }\n";

#[track_caller]
fn done(output: &Output) -> String {
    let said =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat();
    assert!(output.status.success(), "{said}");
    said
}

fn write(house: &House, target: &str, text: &str) -> Output {
    house.ask_with(&["site-write", target], text)
}

#[test]
fn what_is_judged_good_is_written_by_root_and_removed_again() {
    let house = House::new();
    for target in ["conf.d/[a.test].conf", "snippets/of/a/site", "conf.d/[a.test].conf"] {
        done(&write(&house, target, SITE));
        let found = house.inside(&format!("etc/nginx/{target}"));
        assert_eq!(std::fs::read_to_string(&found).unwrap(), SITE);
        let found = found.metadata().unwrap();
        assert_eq!((found.uid(), found.gid(), found.permissions().mode() & 0o777), (0, 0, 0o644));
    }
    done(&write(&house, "conf.d/[a.test].conf", "server { listen 81; }\n"));
    assert_eq!(
        std::fs::read_to_string(house.inside("etc/nginx/conf.d/[a.test].conf")).unwrap(),
        "server { listen 81; }\n"
    );
    for target in ["conf.d/[a.test].conf", "snippets/of/a/site", "snippets/of/a/site"] {
        done(&house.ask(&["site-remove", target]));
        assert!(!house.inside(&format!("etc/nginx/{target}")).exists());
    }
    // The directories that were made for it have gone too, and those of the package have not.
    assert!(!house.inside("etc/nginx/snippets/of").exists() && house.inside("etc/nginx/snippets").exists());
    assert!(
        house.journal().contains("asks: [\"site-write\", \"conf.d/[a.test].conf\", \"(74 bytes)\"]"),
        "{}",
        house.journal()
    );
}

#[test]
fn what_an_administrator_wrote_is_left_alone() {
    let house = House::new();
    let nginx = house.inside("etc/nginx");
    std::fs::write(nginx.join("conf.d/theirs.conf"), "# theirs\n").unwrap();
    symlink("/etc/passwd", nginx.join("conf.d/link.conf")).unwrap();
    std::fs::create_dir(nginx.join("conf.d/directory.conf")).unwrap();
    for target in ["conf.d/theirs.conf", "conf.d/link.conf", "conf.d/directory.conf"] {
        refused(&write(&house, target, SITE), "is not the deployer's");
        refused(&house.ask(&["site-remove", target]), "is not the deployer's");
    }
    symlink("/var", nginx.join("snippets/elsewhere")).unwrap();
    refused(&write(&house, "snippets/elsewhere/x", SITE), "cannot open /etc/nginx/snippets/elsewhere");
    assert!(!house.inside("var/x").exists());
    assert_eq!(std::fs::read_to_string(nginx.join("conf.d/theirs.conf")).unwrap(), "# theirs\n");
    // Ours, exchanged for something else by root since: not ours any more.
    done(&write(&house, "conf.d/ours.conf", SITE));
    std::fs::remove_file(nginx.join("conf.d/ours.conf")).unwrap();
    symlink("/etc/passwd", nginx.join("conf.d/ours.conf")).unwrap();
    refused(&write(&house, "conf.d/ours.conf", SITE), "is not the deployer's");
}

#[test]
fn where_others_can_write_root_writes_nothing_and_has_nginx_read_nothing() {
    let house = House::new();
    let conf_d = house.inside("etc/nginx/conf.d");
    done(&write(&house, "conf.d/a.conf", SITE));
    done(&house.ask(&["nginx-test"]));
    let because = "can be changed by others than root";
    mode(&conf_d, 0o775);
    for output in
        [write(&house, "conf.d/b.conf", SITE), house.ask(&["nginx-test"]), house.ask(&["nginx-reload"])]
    {
        refused(&output, because);
    }
    mode(&conf_d, 0o755);
    let file = conf_d.join("a.conf");
    chown(&file, Some(USER), None).unwrap();
    for words in [&["nginx-test"][..], &["nginx-reload"], &["certificate", "a.test"]] {
        refused(&house.ask(words), because);
        // By sudo it is the same.
        refused(&house.at_once_as(0, words), because);
    }
    chown(&file, Some(0), None).unwrap();
    // What is linked or included from elsewhere is looked at where it is.
    let elsewhere = house.inside("var/elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::write(elsewhere.join("x"), "").unwrap();
    symlink("/var/elsewhere/x", conf_d.join("link.conf")).unwrap();
    done(&house.ask(&["nginx-test"]));
    chown(elsewhere.join("x"), Some(USER), None).unwrap();
    refused(&house.ask(&["nginx-test"]), because);
    std::fs::remove_file(conf_d.join("link.conf")).unwrap();
    done(&house.ask(&["nginx-test"]));
    for include in [
        "include /var/elsewhere/x;",
        "http { include /var/elsewhere/*.conf; }",
        "include '/var/elsewhere/x';",
    ] {
        std::fs::write(conf_d.join("include.conf"), include).unwrap();
        refused(&house.ask(&["nginx-test"]), because);
    }
    // Unless root says so.
    let list = house.inside(LIST);
    let listed = std::fs::read_to_string(&list).unwrap() + "nginx_foreign = [\"/var/elsewhere/x\"]\n";
    std::fs::write(&list, listed).unwrap();
    done(&house.ask(&["nginx-test"]));
    std::fs::write(conf_d.join("include.conf"), "include /var/not-there/x;").unwrap();
    done(&house.ask(&["nginx-test"]));
    mode(&house.inside("var"), 0o777);
    refused(&house.ask(&["nginx-test"]), because);
    mode(&house.inside("var"), 0o755);
}

#[test]
fn what_the_deployers_user_wrote_becomes_roots_if_it_is_good() {
    let house = House::new();
    let conf_d = house.inside("etc/nginx/conf.d");
    std::fs::create_dir(conf_d.join("sub")).unwrap();
    let users = |name: &str, text: &str| {
        std::fs::write(conf_d.join(name), text).unwrap();
        chown(conf_d.join(name), Some(USER), None).unwrap();
    };
    users("good.conf", SITE);
    users("sub/good.conf", SITE);
    users("bad.conf", "perl_set $x 'sub {}';\n");
    std::fs::write(conf_d.join("theirs.conf"), SITE).unwrap();
    for (name, to, uid) in [("own.conf", "/var/checkout", USER), ("secret.conf", "/etc/secret", 0)] {
        std::fs::write(house.inside(&to[1..]), SITE).unwrap();
        chown(house.inside(&to[1..]), Some(uid), None).unwrap();
        symlink(to, conf_d.join(name)).unwrap();
        std::os::unix::fs::lchown(conf_d.join(name), Some(USER), None).unwrap();
    }
    refused(&house.ask(&["sites-adopt"]), "for root");
    let report = done(&house.at_once_as(0, &["sites-adopt"]));
    let mut lines = report.lines();
    for (target, became) in [
        ("conf.d/bad.conf", "left as it is: conf.d/bad.conf: line 1"),
        ("conf.d/good.conf", "root's now"),
        ("conf.d/own.conf", "root's now"),
        ("conf.d/secret.conf", "left as it is: it is not a plain file"),
        ("conf.d/sub/good.conf", "root's now"),
    ] {
        let line = lines.next().unwrap();
        assert!(line.starts_with(&format!("{target}: {became}")), "{line}");
    }
    assert_eq!(lines.next(), None);
    for name in ["good.conf", "own.conf", "sub/good.conf"] {
        let found = conf_d.join(name).symlink_metadata().unwrap();
        assert!(found.is_file() && found.uid() == 0 && found.mode() & 0o777 == 0o644, "{name}");
    }
    assert_eq!(conf_d.join("bad.conf").metadata().unwrap().uid(), USER);
    std::fs::remove_file(conf_d.join("bad.conf")).unwrap();
    std::fs::remove_file(conf_d.join("secret.conf")).unwrap();
    // They are the deployer's, so it may replace and remove them; the administrator's it may not.
    done(&write(&house, "conf.d/good.conf", "server { listen 81; }\n"));
    done(&house.ask(&["site-remove", "conf.d/own.conf"]));
    refused(&house.ask(&["site-remove", "conf.d/theirs.conf"]), "is not the deployer's");
    assert_eq!(done(&house.at_once_as(0, &["sites-adopt"])), "");
    done(&house.ask(&["nginx-test"]));
}

#[test]
fn links_of_the_python_tool_are_taken_over_and_no_others() {
    let house = House::new();
    let conf_d = house.inside("etc/nginx/conf.d");
    let tree = house.inside("var/tree");
    std::fs::create_dir_all(tree.join("local-live")).unwrap();
    std::fs::create_dir_all(house.inside("var/tree-of-others")).unwrap();
    let file = |path: &str, text: &str, uid: u32| {
        std::fs::write(house.inside(path), text).unwrap();
        chown(house.inside(path), Some(uid), None).unwrap();
    };
    file("var/tree/local-live/good", SITE, USER);
    file("var/tree/local-live/bad", "perl_set $x 'sub {}';\n", USER);
    file("var/tree/local-live/roots", SITE, 0);
    file("var/tree-of-others/x", SITE, USER);
    file("var/secret", SITE, 0);
    symlink("/var/secret", tree.join("local-live/way")).unwrap();
    for (name, to) in [
        ("good.conf", "/var/tree/local-live/good"),
        ("bad.conf", "/var/tree/local-live/bad"),
        ("gone.conf", "/var/tree/local-live/gone"),
        ("roots.conf", "/var/tree/local-live/roots"),
        ("way.conf", "/var/tree/local-live/way"),
        ("up.conf", "/var/tree/../secret"),
        ("other.conf", "/var/tree-of-others/x"),
    ] {
        // Of root's, as an administrator makes them.
        symlink(to, conf_d.join(name)).unwrap();
    }
    refused(&house.ask(&["sites-adopt", "/var/tree"]), "for root");
    let report = done(&house.at_once_as(0, &["sites-adopt", "/var/tree"]));
    let mut lines = report.lines();
    for (target, became) in [
        ("conf.d/bad.conf", "stays a link until it is deployed: conf.d/bad.conf: line 1"),
        ("conf.d/gone.conf", "stays a link until it is deployed: No such file"),
        ("conf.d/good.conf", "root's now"),
        ("conf.d/roots.conf", "stays a link until it is deployed: it is not a plain file of"),
        ("conf.d/way.conf", "stays a link until it is deployed: it is not a plain file of"),
    ] {
        let line = lines.next().unwrap();
        assert!(line.starts_with(&format!("{target}: {became}")), "{report}");
    }
    assert_eq!(lines.next(), None);
    let found = conf_d.join("good.conf").symlink_metadata().unwrap();
    assert!(found.is_file() && found.uid() == 0);
    // What stayed a link may be replaced and removed, and what it leads to stays.
    done(&write(&house, "conf.d/bad.conf", SITE));
    done(&write(&house, "conf.d/way.conf", SITE));
    done(&house.ask(&["site-remove", "conf.d/gone.conf"]));
    assert_eq!(std::fs::read_to_string(tree.join("local-live/bad")).unwrap(), "perl_set $x 'sub {}';\n");
    assert!(tree.join("local-live/way").symlink_metadata().unwrap().is_symlink());
    assert!(conf_d.join("gone.conf").symlink_metadata().is_err());
    done(&house.ask(&["site-remove", "conf.d/bad.conf"]));
    // As long as it leads there, and only once.
    symlink("/var/tree/local-live/bad", conf_d.join("bad.conf")).unwrap();
    std::fs::remove_file(conf_d.join("roots.conf")).unwrap();
    symlink("/var/secret", conf_d.join("roots.conf")).unwrap();
    for theirs in ["conf.d/bad.conf", "conf.d/roots.conf", "conf.d/up.conf", "conf.d/other.conf"] {
        refused(&write(&house, theirs, SITE), "is not the deployer's");
        refused(&house.ask(&["site-remove", theirs]), "is not the deployer's");
    }
}

#[test]
fn root_says_what_sites_may_say_beside_the_list() {
    let house = House::new();
    let site = "server { location / { perl main::handler; } }\n";
    refused(&write(&house, "conf.d/a.conf", site), "conf.d/a.conf: line 1");
    let list = house.inside(LIST);
    let listed = std::fs::read_to_string(&list).unwrap() + "sites_allow = [\"perl\"]\n";
    std::fs::write(&list, listed).unwrap();
    done(&write(&house, "conf.d/a.conf", site));
}

#[test]
fn what_one_file_decides_of_another_is_seen_before_nginx_reads_both() {
    let house = House::new();
    let site = "server { location /a { set $x 127.0.0.1; }\nlocation / { proxy_pass http://$x; } }\n";
    done(&write(&house, "conf.d/a.conf", site));
    done(&house.ask(&["nginx-test"]));
    let calls = house.calls();
    done(&write(&house, "conf.d/b.conf", "map $uri $x { default unix:/run/docker.sock; }\n"));
    for words in [&["nginx-test"][..], &["nginx-reload"]] {
        refused(&house.ask(words), "conf.d/a.conf: with the other sites' files: line 2: proxy_pass");
    }
    assert_eq!(house.calls(), calls);
    done(&house.ask(&["site-remove", "conf.d/b.conf"]));
    done(&house.ask(&["nginx-test"]));
}

#[test]
fn what_root_cannot_understand_is_refused_by_name_and_not_taken_for_nothing() {
    let house = House::new();
    let foreign = house.inside("var/foreign");
    std::fs::create_dir(&foreign).unwrap();
    chown(&foreign, Some(USER), None).unwrap();
    std::fs::write(foreign.join("x.conf"), "perl_modules /tmp;\n").unwrap();
    let file = house.inside("etc/nginx/conf.d/administrators.conf");
    let include = b"include /var/foreign/*.conf;\n".as_slice();
    let owner = "can be changed by others than root";
    for (before, because) in [
        (b"# plain\n".as_slice(), owner),
        (b"# gr\xfcn\n", owner),
        (b"add_header x \"gr\xfcn\";\n", owner),
        (b"init_by_lua_block { local s = 1 -- it is Bob's }\n}\n", owner),
        (b"init_by_lua_block { ngx.say('} include x;') }\n", owner),
        (b"map $a $b { x y; }\n", owner),
        (b"a \"b\"c;\n", "conf.d/administrators.conf is not understood here (something follows"),
        (b"}\n", "conf.d/administrators.conf is not understood here"),
        (b"init_by_lua_block { ' }\n", "conf.d/administrators.conf is not understood here"),
        (
            &[b"#".repeat(4_300_000).as_slice(), b"\n"].concat(),
            "is not understood here (it has 4300030 bytes",
        ),
    ] {
        std::fs::write(&file, [before, include].concat()).unwrap();
        for words in [&["nginx-test"][..], &["nginx-reload"], &["certificate", "a.test"]] {
            refused(&house.ask(words), because);
        }
    }
    assert!(house.calls().is_empty());
    // What nginx does not read may be anything.
    std::fs::write(&file, "").unwrap();
    std::fs::write(house.inside("etc/nginx/conf.d/dhparam.pem"), "-----BEGIN DH PARAMETERS-----\n").unwrap();
    std::fs::write(house.inside("etc/nginx/conf.d/.administrators.conf.swp"), "b0VIM '").unwrap();
    done(&house.ask(&["nginx-test"]));
    // Root may say that it is in order all the same.
    std::fs::write(&file, "a \"b\"c;\n").unwrap();
    refused(&house.ask(&["nginx-test"]), "add \"/etc/nginx/conf.d/administrators.conf\" to `nginx_foreign`");
    let list = house.inside(LIST);
    let listed = std::fs::read_to_string(&list).unwrap();
    let foreign = "nginx_foreign = [\"/etc/nginx/conf.d/administrators.conf\"]\n";
    std::fs::write(&list, listed + foreign).unwrap();
    done(&house.ask(&["nginx-test"]));
}

#[test]
fn a_site_file_that_cannot_be_judged_any_more_is_not_left_out() {
    let house = House::new();
    let site = "server { location /a { set $x 127.0.0.1; }\nlocation / { proxy_pass http://$x; } }\n";
    done(&write(&house, "conf.d/a.conf", site));
    let file = house.inside("etc/nginx/conf.d/a.conf");
    for text in [
        b"server { add_header x \"gr\xfcn\"; }\n".to_vec(),
        b"server { init_by_lua_block { it's } }\n".to_vec(),
        [b"#".repeat(1_100_000), b"\n".to_vec()].concat(),
    ] {
        std::fs::write(&file, text).unwrap();
        refused(&house.ask(&["nginx-test"]), "/etc/nginx/conf.d/a.conf");
    }
    done(&write(&house, "conf.d/a.conf", site));
    done(&house.ask(&["nginx-test"]));
    std::fs::remove_file(&file).unwrap();
    done(&house.ask(&["nginx-test"]));
}

#[test]
fn a_cache_is_not_given_away_through_a_link() {
    let house = House::new();
    let caches = house.inside("var/cache/nginx");
    std::fs::create_dir_all(&caches).unwrap();
    chown(&caches, Some(0), Some(0)).unwrap();
    mode(&caches, 0o755);
    let site = "proxy_cache_path /var/cache/nginx/pages keys_zone=p:1m;\n";
    done(&write(&house, "conf.d/a.conf", site));
    done(&house.ask(&["nginx-test"]));
    let calls = house.calls();
    symlink("/etc/shadow", caches.join("pages")).unwrap();
    refused(&house.ask(&["nginx-test"]), "/var/cache/nginx/pages is a link");
    refused(&write(&house, "conf.d/a.conf", site), "/var/cache/nginx/pages is a link");
    std::fs::remove_file(caches.join("pages")).unwrap();
    std::fs::create_dir(caches.join("pages")).unwrap();
    // It may be nginx's user's; the directory around it may not.
    chown(caches.join("pages"), Some(USER), None).unwrap();
    done(&house.ask(&["nginx-test"]));
    assert_eq!(house.calls().len(), calls.len() + 1);
    chown(&caches, Some(USER), None).unwrap();
    refused(&house.ask(&["nginx-reload"]), "/var/cache/nginx can be changed by others than root");
    refused(
        &write(&house, "conf.d/b.conf", "scgi_cache_path /var/cache/nginx/b keys_zone=b:1m;\n"),
        "/var/cache/nginx can",
    );
    done(&write(&house, "conf.d/a.conf", "server { listen 80; }\n"));
    done(&house.ask(&["nginx-reload"]));
}
