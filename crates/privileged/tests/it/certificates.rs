//! With the real certbot, and a CA of the test's own (pebble).

use crate::house::{House, LIST, command};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Programs in the house that end with the test.
struct Servers<'house>(&'house House, Vec<Child>);

impl Servers<'_> {
    fn start(&mut self, mut program: Command, port: u16) {
        let child = program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.1.push(child.expect("cargo xtask test --prepare-only installs it"));
        let connects = format!("until (: < /dev/tcp/127.0.0.1/{port}) 2>/dev/null; do :; done");
        let mut wait = self.0.command("timeout");
        let listens = wait.args(["60", "bash", "-c", &connects]).status().unwrap().success();
        assert!(listens, "{program:?} does not listen");
    }
}

impl Drop for Servers<'_> {
    fn drop(&mut self) {
        for server in &mut self.1 {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A CA that says of every name that it is this machine, and asks at this port. Its directory's address.
fn authority(servers: &mut Servers<'_>, house: &House, http: u16) -> String {
    let directory = house.path("");
    let [port, management, names, names_management] = [(); 4].map(|()| free_port());
    let mut certificate = command("openssl");
    certificate.current_dir(&directory).args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]);
    certificate.args(["-keyout", "key.pem", "-out", "certificate.pem", "-subj", "/CN=localhost"]);
    let made = certificate.args(["-addext", "subjectAltName=DNS:localhost"]).output().unwrap();
    assert!(made.status.success());
    let configuration = format!(
        r#"{{"pebble":{{"listenAddress":"127.0.0.1:{port}","managementListenAddress":"127.0.0.1:{management}",
            "certificate":"{0}/certificate.pem","privateKey":"{0}/key.pem","httpPort":{http},"tlsPort":{1},
            "ocspResponderURL":"","externalAccountBindingRequired":false}}}}"#,
        directory.display(),
        free_port()
    );
    std::fs::write(directory.join("pebble.json"), configuration).unwrap();
    let mut resolver = house.command("pebble-challtestsrv");
    resolver.args([
        "-defaultIPv4",
        "127.0.0.1",
        "-defaultIPv6",
        "",
        "-http01",
        "",
        "-https01",
        "",
        "-tlsalpn01",
        "",
    ]);
    resolver.args([
        "-dns01",
        &format!("127.0.0.1:{names}"),
        "-management",
        &format!("127.0.0.1:{names_management}"),
    ]);
    servers.start(resolver, names_management);
    let mut pebble = house.command("pebble");
    pebble.arg("-config").arg(directory.join("pebble.json"));
    pebble.args(["-dnsserver", &format!("127.0.0.1:{names}")]);
    pebble.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_WFE_NONCEREJECT", "0");
    servers.start(pebble, port);
    format!("https://localhost:{port}/dir")
}

/// Serial number and names.
fn shown(certificate: &Path) -> String {
    let mut openssl = command("openssl");
    openssl.args(["x509", "-noout", "-serial", "-ext", "subjectAltName", "-in"]).arg(certificate);
    String::from_utf8(openssl.output().unwrap().stdout).unwrap()
}

#[test]
fn certificates_are_obtained_kept_extended_and_renewed() {
    let house = House::with(&["/usr/sbin/nginx", "/usr/bin/systemctl"]);
    let mut servers = Servers(&house, Vec::new());
    let http = free_port();
    std::fs::create_dir(house.inside("var/acme")).unwrap();
    let mut web = house.command("/usr/bin/python3");
    web.args(["-m", "http.server", &http.to_string(), "--bind", "127.0.0.1", "--directory", "/var/acme"]);
    servers.start(web, http);
    let server = authority(&mut servers, &house, http);
    let trusted = house.inside("etc/ssl/certs/ca-certificates.crt");
    let all =
        [std::fs::read(&trusted).unwrap(), std::fs::read(house.path("certificate.pem")).unwrap()].concat();
    std::fs::write(&trusted, all).unwrap();
    let list = std::fs::read_to_string(house.inside(LIST)).unwrap();
    let certbot =
        format!("[certbot]\nwebroot = \"/var/acme\"\nserver = \"{server}\"\nemail = \"a@example.org\"\n");
    std::fs::write(house.inside(LIST), list + &certbot).unwrap();

    let ask = |words: &[&str]| {
        let output = house.ask(words);
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&said));
        shown(&house.inside("etc/letsencrypt/live/www.a.test/fullchain.pem"))
    };
    let first = ask(&["certificate", "www.a.test"]);
    assert!(first.contains("DNS:www.a.test") && !first.contains("DNS:a.test"), "{first}");
    assert_eq!(ask(&["certificate", "www.a.test"]), first, "it is good for long");
    let more = ask(&["certificate", "www.a.test", "a.test"]);
    assert!(more.contains("DNS:a.test") && more.contains("DNS:www.a.test"), "{more}");
    let renewed = ask(&["certificate-renew", "www.a.test", "a.test"]);
    assert!(renewed != more && renewed.contains("DNS:a.test"), "{renewed}");
}
