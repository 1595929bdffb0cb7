//! Fifty site files that are broken or hostile: each is refused with its file and line, and the running nginx is as it was.

use super::{cause, fails, remove, with_nginx};
use crate::support::repository::Repository;
use crate::support::world::World;
use std::os::unix::fs::symlink;
use std::path::Path;

const SITE: &str = "production/[evil.test].conf";

/// What is put into the site's file (PORT is nginx's, LOGS where logs may be, DIRECTORY nginx's own, CANARY must never be), and the line.
const FILES: [(&str, usize); 58] = [
    // No configuration.
    ("server {", 1),
    ("server { listen PORT;\n\n", 3),
    ("}", 1),
    (";", 1),
    ("\n\nlisten", 3),
    ("server { server_name \"x; }", 1),
    ("server { server_name \"x\"y; }", 1),
    ("\u{feff}server { }", 1),
    // Unknown to nginx, or to this place.
    ("nonsense on;", 1),
    ("server {\n  nonsense {\n  }\n}", 2),
    ("server { listen PORT; listen PORT; }", 1),
    ("server { listen 127.0.0.1:PORT default_server; }", 1),
    ("server { listen 99999; }", 1),
    ("server { location / { proxy_pass; } }", 1),
    ("server {\n\n  location / { return 200 $no_such_variable; }\n}", 3),
    ("server { location ~ ( { } }", 1),
    ("server { if ($x) { listen 1; } }", 1),
    ("worker_connections 1;", 1),
    ("upstream u { }", 1),
    ("upstream u { server 127.0.0.1:1; }\nupstream u { server 127.0.0.1:1; }", 2),
    ("limit_req_zone $x zone=a:1;", 1),
    ("server { location / { limit_req zone=unknown; } }", 1),
    // Certificates that are not there.
    ("server {\n listen 127.0.0.1:1444 ssl;\n}", 1),
    ("server {\n ssl_certificate /etc/ssl/no/such.pem;\n ssl_certificate_key /etc/ssl/no/such.key; }", 2),
    (
        "server {\n ssl_certificate DIRECTORY/nginx.conf;\n ssl_certificate_key DIRECTORY/nginx.conf; listen 127.0.0.1:1444 ssl; }",
        2,
    ),
    // Out of bounds: what root would read.
    ("\ninclude /etc/passwd;", 2),
    ("include ../state/*;", 1),
    ("include DIRECTORY/../state/x;", 1),
    ("map $uri $x {\n include /etc/shadow;\n}", 2),
    ("types { include /proc/self/environ; }", 1),
    ("\"include\" '/etc/shadow';", 1),
    ("server { ssl_certificate_key /etc/shadow; ssl_certificate /etc/shadow; }", 1),
    ("server { ssl_password_file /etc/shadow; }", 1),
    ("server { ssl_conf_command PrivateKey /etc/shadow; }", 1),
    ("server { location / { proxy_ssl_certificate /root/.ssh/id_rsa; } }", 1),
    // What root would write.
    ("access_log CANARY;", 1),
    ("server {\n\n error_log CANARY debug; }", 3),
    ("access_log LOGS/../../canary;", 1),
    ("access_log LOGS/$host.log;", 1),
    ("proxy_cache_path CANARY keys_zone=a:1m;", 1),
    ("client_body_temp_path CANARY;", 1),
    ("server { listen unix:CANARY; }", 1),
    // What would run, or belongs to the host.
    ("load_module CANARY;", 1),
    ("perl_modules CANARY;", 1),
    ("server { location / { content_by_lua_block { os.execute(\"touch CANARY\") } } }", 1),
    ("js_import CANARY;", 1),
    // Root's files read, nginx's memory served, and what is on no list.
    ("server {\n location = /p.xml {\n  xslt_stylesheet DIRECTORY/x.xslt; } }", 3),
    ("xml_entities DIRECTORY/x.dtd;", 1),
    ("geo $x { ranges;\n include snippets/x; }", 2),
    ("ranges;", 1),
    ("include .*/state/x;", 1),
    ("include snippets/*/\\.\\./\\.\\./state/x;", 1),
    ("server {\n root /; }", 2),
    ("server { location / { proxy_pass http://unix:/run/durhack-deployer-privileged.sock; } }", 1),
    ("server { location / { proxy_ssl_conf_command PrivateKey CANARY; } }", 1),
    ("server { location / { dav_methods PUT; root /srv; } }", 1),
    ("# a\rinclude x;", 1),
    ("user root;\npid CANARY;\nenv X;\ndaemon off;", 1),
];

#[test]
fn fifty_broken_or_hostile_files_leave_the_running_nginx_as_it_was() {
    with_nginx(|world, nginx, repository, _| {
        let good = repository.commit(
            &[("production/[a.test].conf", &nginx.site("a.test", "one")), ("snippets/x", "expires 1h;")],
            "good",
        );
        world.deploy("nginx", repository, &good);
        let canary = world.root().join("state/../canary");
        let canary = canary.display().to_string().replace("/state/..", "");
        let before = (nginx.files(), nginx.workers(), fs_err::read(nginx.path("nginx.conf")).unwrap());
        let unchanged = |what: &str| {
            let now = (nginx.files(), nginx.workers(), fs_err::read(nginx.path("nginx.conf")).unwrap());
            assert_eq!(now, before, "{what}");
            assert_eq!(nginx.page("a.test", "/"), "one");
            assert!(!Path::new(&canary).exists(), "{what}");
        };
        for (content, line) in FILES {
            let content = content
                .replace("PORT", &nginx.port.to_string())
                .replace("LOGS", &nginx.path("logs").to_string_lossy())
                .replace("DIRECTORY", nginx.path("").to_string_lossy().trim_end_matches('/'))
                .replace("CANARY", &canary);
            refused(world, repository, &[(SITE, &content)], &format!("{SITE}:{line}"));
            unchanged(&content);
        }
        // Not text; a link; a snippet, which nobody would have looked at.
        fs_err::write(repository.work_tree().join(SITE), b"# \xff\xfe\n").unwrap();
        refused(world, repository, &[], &format!("{SITE}:1: its text is not UTF-8"));
        fs_err::create_dir_all(repository.work_tree().join("production")).unwrap();
        symlink("/etc/passwd", repository.work_tree().join(SITE)).unwrap();
        refused(world, repository, &[], &format!("{SITE}: it is a link"));
        refused(world, repository, &[("snippets/y", "\naccess_log /etc/cron.d/x;")], "snippets/y:2");
        refused(
            world,
            repository,
            &[("snippets/y.bin", "expires 1h;")],
            "snippets/y.bin: \"snippets/y.bin\"",
        );
        unchanged("the last four");
        let good =
            repository.commit(&[("production/[b.test].conf", &nginx.site("b.test", "b"))], "good again");
        world.deploy("nginx", repository, &good);
        assert_eq!(nginx.page("b.test", "/"), "b");
    });
}

/// Pushes these files (and what lies in the work tree), wants them refused for this reason, and removes them again.
#[track_caller]
fn refused(world: &World, repository: &Repository, files: &[(&str, &str)], reason: &str) {
    let commit = repository.commit(files, "hostile");
    let run = fails(world, repository, &commit);
    assert!(cause(&run).contains(reason), "{reason}: {files:?}: {:?}", run.cause);
    let path = files.first().map_or(SITE, |(path, _)| path);
    remove(repository, path);
}
