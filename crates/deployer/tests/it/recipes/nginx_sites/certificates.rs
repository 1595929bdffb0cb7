//! Certificates, with certbot and a CA of the test's own (pebble).

use super::{cause, fails, reconfigure, sites, with_nginx};
use crate::support::configuration::text;
use crate::support::nginx::Nginx;
use crate::support::process::{command, describe, output, succeed};
use crate::support::record::Run;
use crate::support::servers::free_port;
use crate::support::wait;
use crate::support::world::World;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

/// A CA and a DNS server that says of every name that it is this machine. Ended when it is dropped.
struct Ca {
    directory: PathBuf,
    port: u16,
    servers: Vec<Child>,
}

impl Ca {
    /// Everything but the servers, and the world's settings for it. It asks for what it has challenged at `asks`.
    fn prepare(world: &mut World, asks: u16) -> Self {
        let directory = world.root().join("ca");
        fs_err::create_dir_all(&directory).expect("writable");
        let ca = Self { directory, port: free_port(), servers: Vec::new() };
        let mut certificate = command("openssl", &ca.directory);
        certificate
            .current_dir(&ca.directory)
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]);
        certificate.args(["-keyout", "key.pem", "-out", "certificate.pem", "-subj", "/CN=localhost"]);
        succeed(certificate.args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]));
        let configuration = serde_json::json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{}", ca.port), "managementListenAddress": format!("127.0.0.1:{}", free_port()),
            "certificate": "certificate.pem", "privateKey": "key.pem", "httpPort": asks, "tlsPort": free_port(),
            "ocspResponderURL": "", "externalAccountBindingRequired": false, "domainBlocklist": ["blocked.test"],
            "retryAfter": { "authz": 1, "order": 1 },
        }});
        fs_err::write(ca.directory.join("pebble.json"), configuration.to_string()).expect("writable");
        world.settings.set("certificates.acme_server", format!("\"https://localhost:{}/dir\"", ca.port));
        world.settings.set("certificates.self_test", "false");
        world.settings.set("runs.environment_passed", "[\"REQUESTS_CA_BUNDLE\"]");
        let bundle = ca.directory.join("certificate.pem").to_string_lossy().into_owned();
        world.environment.push(("REQUESTS_CA_BUNDLE".into(), bundle));
        ca
    }

    /// The CA is answered from a directory that nginx serves.
    fn answered_from_webroot(world: &mut World) {
        let webroot = world.root().join("webroot");
        fs_err::create_dir_all(&webroot).expect("writable");
        world.settings.set("certificates.webroot", text(&webroot.to_string_lossy()));
    }

    /// The CA is answered by nginx, which certbot configures for that. What differs from a host is told to certbot as an administrator
    /// would: where nginx's files lie, and its port.
    fn answered_by_nginx(world: &World, nginx: &Nginx) {
        let own = world.root().join("home/.config/letsencrypt");
        fs_err::create_dir_all(&own).expect("writable");
        let (root, port) = (nginx.path(""), nginx.port);
        let text = format!("nginx-server-root = {}\nhttp-01-port = {port}\n", root.display());
        fs_err::write(own.join("cli.ini"), text).expect("writable");
    }

    fn start(&mut self) {
        let dns = format!("127.0.0.1:{}", free_port());
        let management = format!("127.0.0.1:{}", free_port());
        let mut names = command("pebble-challtestsrv", &self.directory);
        names.args([
            "-defaultIPv4",
            "127.0.0.1",
            "-defaultIPv6",
            "",
            "-dns01",
            &dns,
            "-http01",
            "",
            "-https01",
            "",
        ]);
        names.args(["-tlsalpn01", "", "-management", &management]);
        let mut authority = command("pebble", &self.directory);
        authority
            .args(["-config", "pebble.json", "-dnsserver", &dns])
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_WFE_NONCEREJECT", "0");
        for server in [&mut names, &mut authority] {
            server.current_dir(&self.directory).stdout(Stdio::null()).stderr(Stdio::null());
            self.servers.push(server.spawn().expect("pebble is installed"));
        }
        wait::until("pebble to listen", || TcpStream::connect(("127.0.0.1", self.port)).ok());
    }
}

impl Drop for Ca {
    fn drop(&mut self) {
        for server in &mut self.servers {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// A site with a certificate, and its second server, which also answers the CA.
fn tls_site(world: &World, nginx: &Nginx, tls: u16, site: &str, names: &str, answer: &str) -> String {
    let live = world.root().join("letsencrypt/live").join(site);
    let (port, live) = (nginx.port, live.display());
    format!(
        "server {{\n  listen 127.0.0.1:{tls} ssl;\n  server_name {names};\n  ssl_certificate {live}/fullchain.pem;\n  ssl_certificate_key {live}/privkey.pem;\n  location / {{ return 200 {answer}; }}\n}}\n\
         server {{\n  listen 127.0.0.1:{port};\n  server_name {site} *.{site} _;\n  include snippets/acme;\n  location / {{ return 301 https://$host$request_uri; }}\n}}\n"
    )
}

/// The names in the certificate that a visitor is shown, with its serial number in front.
fn certificate_shown(directory: &Path, tls: u16, name: &str) -> String {
    let line = format!(
        "openssl s_client -connect 127.0.0.1:{tls} -servername {name} </dev/null 2>/dev/null | openssl x509 -noout -serial -ext subjectAltName"
    );
    succeed(command("sh", directory).args(["-c", &line]))
}

/// How often certbot was called in a run.
fn certbot_calls(world: &World, run: &Run) -> usize {
    let log = output(&mut world.product(&["logs", &run.id]));
    describe(&log).matches("$ certbot certonly").count()
}

// B.1: a failed certificate, and then a retry that was green and did nothing. B.29: certificates asked for at every change; one failure
// stopped all others.
#[test]
fn b01_b29_certificates_are_obtained_before_a_site_is_live_and_only_when_they_are_needed() {
    World::run(|world| {
        let mut nginx = Nginx::prepare(world);
        let mut ca = Ca::prepare(world, nginx.port);
        Ca::answered_from_webroot(world);
        let repository = world.repository("acme/nginx");
        let deployment = sites(world, &repository, "nginx");
        world.configure(std::slice::from_ref(&deployment));
        world.start();
        nginx.start();
        let tls = free_port();
        let site = |names: &str, answer: &str| tls_site(world, &nginx, tls, "a.test", names, answer);
        let acme =
            format!("location /.well-known/acme-challenge/ {{ root {}/webroot; }}\n", world.root().display());
        let first = repository.commit(
            &[("production/[a.test].nginxconf", &site("a.test", "one")), ("snippets/acme", &acme)],
            "while the CA is away",
        );
        let run = fails(world, &repository, &first);
        assert!(cause(&run).contains("no certificate for a.test") && nginx.files().is_empty(), "{run:?}");
        ca.start();
        // Its patience is protected from us, until an operator knows better.
        assert!(!world.cli(&["deploy", "nginx"]).status.success());
        let again = world.settled("nginx", 2).pop().unwrap();
        assert!(
            cause(&again).contains("could not obtain it once, and the CA is not asked again before"),
            "{again:?}"
        );
        let forced = world.cli(&["deploy", "nginx", "--force"]);
        assert!(forced.status.success(), "{}", describe(&forced));
        let shown = certificate_shown(world.root(), tls, "a.test");
        assert!(shown.contains("DNS:a.test") && !shown.contains("www"), "{shown}");

        // Another text with the same names asks nobody; other names do.
        let second =
            repository.commit(&[("production/[a.test].nginxconf", &site("a.test", "two"))], "same names");
        let run = world.deploy("nginx", &repository, &second);
        assert_eq!((certbot_calls(world, &run), certificate_shown(world.root(), tls, "a.test")), (0, shown));
        let third = repository
            .commit(&[("production/[a.test].nginxconf", &site("a.test www.a.test", "three"))], "more names");
        let run = world.deploy("nginx", &repository, &third);
        let shown = certificate_shown(world.root(), tls, "www.a.test");
        assert!(certbot_calls(world, &run) == 1 && shown.contains("DNS:www.a.test"), "{shown}");

        // One that is refused stops the run, and not the others' certificates.
        let (blocked, other) = (
            tls_site(world, &nginx, tls, "blocked.test", "blocked.test", "x"),
            tls_site(world, &nginx, tls, "z.test", "z.test", "z"),
        );
        let fourth = repository.commit(
            &[("production/[blocked.test].nginxconf", &blocked), ("production/[z.test].nginxconf", &other)],
            "one is refused",
        );
        let files = nginx.files();
        let run = fails(world, &repository, &fourth);
        assert!(cause(&run).contains("blocked.test") && !cause(&run).contains("z.test:"), "{run:?}");
        assert_eq!(nginx.files(), files);
        assert!(world.root().join("letsencrypt/live/z.test/fullchain.pem").exists());
        fs_err::remove_file(repository.work_tree().join("production/[blocked.test].nginxconf")).unwrap();
        let fifth = repository.commit(&[], "without it");
        let run = world.deploy("nginx", &repository, &fifth);
        assert_eq!(certbot_calls(world, &run), 0);

        // Near its end: renewed, and nginx reads it although no file is different.
        let before = certificate_shown(world.root(), tls, "a.test");
        world.settings.set("certificates.renew_before", "\"520w\"");
        reconfigure(world, &deployment);
        let sixth = repository.commit(&[("html/x", "x")], "nothing for nginx");
        world.deploy("nginx", &repository, &sixth);
        wait::until("the renewed certificate", || {
            (certificate_shown(world.root(), tls, "a.test") != before).then_some(())
        });
    });
}

// What certbot writes into nginx's files while the CA asks, the deployer's among them, is gone when it ends.
#[test]
fn certbots_plugin_for_nginx_obtains_certificates_and_leaves_nginx_as_it_was() {
    World::run(|world| {
        let mut nginx = Nginx::prepare(world);
        let mut ca = Ca::prepare(world, nginx.port);
        Ca::answered_by_nginx(world, &nginx);
        let repository = world.repository("acme/nginx");
        world.configure(&[sites(world, &repository, "nginx")]);
        world.start();
        nginx.start();
        ca.start();
        let before = fs_err::read_to_string(nginx.path("nginx.conf")).unwrap();
        let tls = free_port();
        // A name that nginx does not know yet; then one more of a site that it serves.
        for (names, name) in [("a.test", "a.test"), ("a.test www.a.test", "www.a.test")] {
            let site = tls_site(world, &nginx, tls, "a.test", names, "x");
            let commit =
                repository.commit(&[("production/[a.test].nginxconf", &site), ("snippets/acme", "")], names);
            let run = world.deploy("nginx", &repository, &commit);
            assert_eq!(certbot_calls(world, &run), 1);
            let shown = certificate_shown(world.root(), tls, name);
            assert!(shown.contains(&format!("DNS:{name}")), "{shown}");
            assert_eq!(fs_err::read_to_string(nginx.path("nginx.conf")).unwrap(), before);
            let files: Vec<_> = nginx.files().into_values().collect();
            assert_eq!(files, [site, String::new()]);
            let log = describe(&output(&mut world.product(&["logs", &run.id])));
            assert!(log.contains(" --nginx ") && !log.contains("by hand"), "{log}");
        }
    });
}

#[test]
fn what_the_ca_complains_of_is_the_cause() {
    World::run(|world| {
        let mut nginx = Nginx::prepare(world);
        // Where nobody listens.
        let asks = free_port();
        let mut ca = Ca::prepare(world, asks);
        Ca::answered_by_nginx(world, &nginx);
        let repository = world.repository("acme/nginx");
        world.configure(&[sites(world, &repository, "nginx")]);
        world.start();
        nginx.start();
        ca.start();
        let site = tls_site(world, &nginx, free_port(), "a.test", "a.test", "x");
        let commit =
            repository.commit(&[("production/[a.test].nginxconf", &site), ("snippets/acme", "")], "first");
        let run = fails(world, &repository, &commit);
        let said = format!("no certificate for a.test: certbot: a.test: Get \"http://a.test:{asks}/");
        assert!(cause(&run).contains(&said) && cause(&run).contains("connection refused"), "{run:?}");
        let log = describe(&output(&mut world.product(&["logs", &run.id])));
        assert!(log.contains("The Certificate Authority reported these problems"), "{log}");
        assert_eq!(nginx.files().len(), 0);
    });
}

#[test]
fn the_ca_is_not_asked_for_a_name_that_leads_nowhere() {
    with_nginx(|world, nginx, repository, _| {
        let site = tls_site(world, nginx, free_port(), "nothing.invalid", "nothing.invalid", "x");
        let commit = repository
            .commit(&[("production/[nothing.invalid].conf", &site), ("snippets/acme", "")], "first");
        let run = fails(world, repository, &commit);
        assert!(cause(&run).contains("nothing.invalid: nothing.invalid"), "{run:?}");
        assert_eq!((certbot_calls(world, &run), nginx.files().len()), (0, 0));
        assert!(!world.state().join("nginx/nginx/certificates").exists(), "nobody has refused anything");
    });
}

// certbot makes `live/` for root alone, and a daemon without rights sees nothing of what it holds.
#[test]
fn what_certbot_has_decided_about_certificates_that_we_may_not_read_is_remembered() {
    World::run(|world| {
        let mut nginx = Nginx::prepare(world);
        let shims = world.root().join("shims");
        fs_err::create_dir_all(&shims).unwrap();
        // Says yes, as certbot does where what it has will do.
        fs_err::write(shims.join("certbot"), "#!/bin/sh\n").unwrap();
        succeed(command("chmod", world.root()).arg("755").arg(shims.join("certbot")));
        world.shims = Some(shims);
        let repository = world.repository("acme/nginx");
        world.configure(&[sites(world, &repository, "nginx")]);
        world.start();
        nginx.start();
        let live = world.root().join("letsencrypt/live");
        fs_err::create_dir_all(live.join("a.test")).unwrap();
        succeed(command("chmod", world.root()).arg("700").arg(&live));
        // It names the certificate's directory, and has the nginx of this test, which is without rights too, read nothing of it.
        let site = |names: &str, answer: &str| {
            let file = live.join("a.test/answer");
            let (port, file) = (nginx.port, file.display());
            format!(
                "server {{ listen 127.0.0.1:{port}; server_name {names}; ssl_stapling_file {file}; location / {{ return 200 {answer}; }} }}"
            )
        };
        let mut workers = nginx.workers();
        for (names, answer, page, calls, reloads) in [
            // No name resolves: the self-test would refuse them, and fail what certbot has.
            ("a.test", "one", "one", 1, true),
            ("a.test", "two", "two", 0, true),
            ("a.test", "two", "three", 0, false),
            ("a.test b.test", "two", "three", 1, true),
        ] {
            let files =
                [("production/[a.test].conf", site(names, answer)), ("html/index.html", page.to_owned())];
            let commit =
                repository.commit(&files.each_ref().map(|(path, text)| (*path, text.as_str())), page);
            let run = world.deploy("nginx", &repository, &commit);
            assert_eq!((certbot_calls(world, &run), nginx.page("a.test", "/").as_str()), (calls, answer));
            let before = std::mem::replace(&mut workers, nginx.workers());
            assert_eq!(before != workers, reloads, "{names} {answer} {page}");
        }
        // Who wants it asked has it asked.
        assert!(world.cli(&["deploy", "nginx", "--force"]).status.success());
        let run = world.settled("nginx", 5).pop().unwrap();
        assert_eq!(certbot_calls(world, &run), 1);
    });
}

#[test]
fn files_that_certbots_plugin_makes_are_named_with_the_command_that_makes_them() {
    with_nginx(|world, _nginx, repository, _deployment| {
        let directory = world.root().join("letsencrypt");
        let site = format!(
            "server {{ listen {}; server_name a.test;\n include {at}/options-ssl-nginx.conf;\n ssl_dhparam {at}/ssl-dhparams.pem; }}\n",
            free_port(),
            at = directory.display()
        );
        let commit = repository.commit(&[("production/[a.test].conf", &site)], "as certbot writes it");
        let run = fails(world, repository, &commit);
        for (line, file, from) in [
            (2, "options-ssl-nginx.conf", "certbot_nginx/_internal/tls_configs/options-ssl-nginx.conf"),
            (3, "ssl-dhparams.pem", "certbot/ssl-dhparams.pem"),
        ] {
            let said = format!(
                "[a.test].conf:{line}: {at}/{file} does not exist: certbot's plugin for nginx makes it; so does `sudo cp /usr/lib/python3/dist-packages/{from} {at}/{file}`",
                at = directory.display()
            );
            assert!(cause(&run).contains(&said), "{said}: {run:?}");
        }
    });
}
