//! What needs root, and those who may not have it: the helper under a real systemd, and sudo with the rules that we ship, in a machine with a
//! real nginx, certbot and CA. `crates/privileged/tests` has what needs no machine.

#[path = "../../../privileged/tests/corpus.rs"]
mod corpus;

mod corpus_of_sites;
mod past_the_deployer;

use crate::support::authority;
use crate::support::machine::{KEY, Machine, PRIVILEGED, Sources};
use crate::support::wait;
use std::process::Output;

const LIST: &str = r#"
user = "durhack-deployer"
units = ["website.service"]
domains = ["a.test", "www.a.test"]
[certbot]
server = "https://localhost:14000/dir"
"#;

/// Answers the CA for names that no site has yet.
const CATCH_ALL: &str = "server { listen 80 default_server; location /.well-known/acme-challenge/ { root /var/lib/letsencrypt/webroot; } location / { return 404; } }\n";

const SITE: &str = "server { listen 80; server_name a.test www.a.test; location / { return 200 site; } }\n";

/// Writes each request of a file to the socket, eight at once, and prints the answers: both as JSON lists, requests in hexadecimal digits.
const SENDER: &str = r#"
import concurrent.futures, json, socket
def ask(request):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect("/run/durhack-deployer-privileged.sock")
    try:
        connection.sendall(b"KEY\n" + bytes.fromhex(request))
        connection.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    answer = b""
    try:
        while piece := connection.recv(65536):
            answer += piece
    except OSError as error:
        answer += str(error).encode()
    return answer.decode()
with concurrent.futures.ThreadPoolExecutor(8) as eight:
    print(json.dumps(list(eight.map(ask, json.load(open("/srv/requests"))))))
"#;

/// Calls sudo with each argument list of a file, and prints exit codes and what was said.
const SUDOER: &str = r#"
import json, subprocess
answers = []
for words in json.load(open("/srv/requests")):
    call = subprocess.run(["sudo", "-n", "--"] + words, stdin=subprocess.DEVNULL, capture_output=True)
    answers.append([call.returncode, (call.stdout + call.stderr).decode(errors="replace")])
print(json.dumps(answers))
"#;

/// What a build of the deployer's own user can do to the helper: connections that say nothing, again and again, and some that say something else.
const HOLDER: &str = r#"
import socket, threading, time
def hold(text):
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect("/run/durhack-deployer-privileged.sock")
            connection.sendall(text)
            while connection.recv(4096):
                pass
        except OSError:
            pass
for text in [b""] * 700 + [b"[\"nginx-test\"]\n"] * 10 + [b"0123456789abcdef" * 4 + b"\n"] * 10:
    threading.Thread(target=hold, args=(text,), daemon=True).start()
print("held", flush=True)
time.sleep(600)
"#;

/// A machine with nginx, a site, a unit, and the helper.
fn machine() -> Machine {
    let machine = Machine::boot();
    machine.install_privileged(LIST);
    machine.unit("website.service", "[Service]\nExecStart=/bin/sleep infinity\n");
    machine.write("/etc/nginx/conf.d/site.conf", SITE);
    machine.run(&["systemctl", "start", "website", "nginx"]);
    machine
}

/// As the deployer's user.
fn as_deployer(machine: &Machine, words: &[&str]) -> Output {
    machine.try_run(
        &[&["setpriv", "--reuid=durhack-deployer", "--regid=durhack-deployer", "--init-groups"], words]
            .concat(),
    )
}

/// Has the deployer deploy, as its user.
fn deploy(machine: &Machine, slug: &str) -> Output {
    as_deployer(machine, &["env", "HOME=/var/lib/durhack-deployer", "durhack-deployer", "deploy", slug])
}

#[track_caller]
fn deploys(machine: &Machine, slug: &str) {
    let output = deploy(machine, slug);
    assert!(output.status.success(), "{}\n{}", said(&output), machine.picture());
}

/// Asks the helper for something that it must do.
#[track_caller]
fn asks(machine: &Machine, words: &[&str]) {
    let output = as_deployer(machine, &[&[PRIVILEGED, "ask"], words].concat());
    assert!(output.status.success(), "{words:?}: {}\n{}", said(&output), machine.picture());
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

/// Runs one of the scripts above as the deployer's user, on this.
#[track_caller]
fn answers<T: serde::de::DeserializeOwned>(
    machine: &Machine,
    script: &str,
    requests: &impl serde::Serialize,
) -> T {
    machine.write("/srv/requests", &serde_json::to_string(requests).expect("lists of text"));
    let output = as_deployer(machine, &["python3", "-c", script]);
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).expect("the script prints JSON")
}

/// What would be different if anything had been done.
fn traces(machine: &Machine) -> Vec<String> {
    let units = ["website.service", "nginx.service", "ssh.service"];
    let mut traces: Vec<String> = units.iter().map(|unit| machine.property(unit, "MainPID")).collect();
    traces.extend(units.iter().map(|unit| machine.property(unit, "InvocationID")));
    traces.push(machine.run(&["pgrep", "-P", &machine.property("nginx.service", "MainPID")]));
    traces.push(machine.run(&[
        "sh",
        "-c",
        "ls -d /canary /var/log/letsencrypt/* /etc/letsencrypt/* 2>&1 || true",
    ]));
    traces.push(machine.run(&["sh", "-c", "ls -A /etc/cron.d /root /etc/nginx/conf.d"]));
    traces
}

/// What the helper has written, and nobody else can have.
fn journal(machine: &Machine) -> String {
    let words = ["journalctl", "--no-pager", "--output=cat", "_UID=0", "-u", "durhack-deployer-privileged"];
    machine.run(&words)
}

fn certificate(machine: &Machine) -> String {
    let file = "/etc/letsencrypt/live/a.test/fullchain.pem";
    machine.run(&["openssl", "x509", "-noout", "-serial", "-ext", "subjectAltName", "-in", file])
}

#[test]
fn the_helper_refuses_two_hundred_hostile_requests_and_leaves_a_line_of_each() {
    let machine = machine();
    let before = traces(&machine);
    let hexadecimal: Vec<String> = corpus::requests().iter().map(hex::encode).collect();
    let answers: Vec<String> = answers(&machine, &SENDER.replace("KEY", KEY), &hexadecimal);
    assert_eq!((answers.len() >= 200, answers.len()), (true, hexadecimal.len()));
    for (request, answer) in corpus::requests().iter().zip(&answers) {
        let shown = String::from_utf8_lossy(&request[..request.len().min(80)]);
        assert!(
            answer.trim_start().starts_with("{\"refused\":\""),
            "{shown:?}: {answer:?}\n{}",
            machine.picture()
        );
    }
    assert_eq!(traces(&machine), before, "{}", machine.picture());
    let journal = journal(&machine);
    assert_eq!(journal.matches(": refused: ").count(), answers.len(), "{journal}");
    // Others do not get as far as that.
    let nobody =
        machine.try_run(&["setpriv", "--reuid=65534", "--clear-groups", PRIVILEGED, "ask", "nginx-test"]);
    assert_eq!(nobody.status.code(), Some(69), "{}", said(&nobody));
    let root = machine.try_run(&[PRIVILEGED, "ask", "nginx-test"]);
    assert!(
        root.status.code() == Some(77) && said(&root).contains("only user \"durhack-deployer\""),
        "{}",
        said(&root)
    );
    // And it still does what it may.
    asks(&machine, &["nginx-test"]);
    assert_eq!(machine.run(&["systemctl", "list-units", "--failed", "--quiet", "--no-legend"]), "");
}

// With a user of its own it cannot connect at all; this is for hosts where builds run as the deployer's.
#[test]
fn a_build_cannot_hold_the_helper_nor_forge_its_journal() {
    let machine = machine();
    machine.write("/srv/hold", &HOLDER.replace("0123456789abcdef", "0123456789abcdee"));
    let unit = "[Service]\nUser=durhack-deployer\nExecStart=/usr/bin/python3 /srv/hold\nLimitNOFILE=4096\n";
    machine.unit("build.service", unit);
    machine.run(&["systemctl", "start", "build"]);
    let connections = || {
        let listed =
            machine.run(&["ss", "-xH", "state", "connected", "src", "/run/durhack-deployer-privileged.sock"]);
        listed.lines().count()
    };
    wait::until_told("the build to hold connections", || (connections() > 300).then_some(()));
    for _ in 0..5 {
        asks(&machine, &["nginx-test"]);
        asks(&machine, &["unit-restart", "website"]);
    }
    assert_eq!(machine.property("build.service", "ActiveState"), "active");
    assert!(connections() > 100, "{}", machine.picture());
    let forged = "user 997, process 1, asks: [\"unit-stop\", \"forged\"]";
    as_deployer(&machine, &["logger", "-t", "durhack-deployer-privileged", forged]);
    let by_name = ["journalctl", "--no-pager", "--output=cat", "-t", "durhack-deployer-privileged"];
    wait::until_told("the forged line", || machine.run(&by_name).contains("forged").then_some(()));
    let journal = journal(&machine);
    assert!(!journal.contains("forged"), "{journal}");
    assert_eq!(journal.matches("asks: [\"nginx-test\"]").count(), 5, "{journal}");
    // A line now and then for all of them together.
    let closed = journal.matches("connections without a request").count();
    assert!((1..60).contains(&closed), "{closed}: {journal}");
}

#[test]
fn the_helper_does_what_is_allowed() {
    let machine = machine();
    let main = || machine.property("website.service", "MainPID");
    let first = main();
    asks(&machine, &["unit-restart", "website.service"]);
    assert_ne!(main(), first);
    asks(&machine, &["unit-stop", "website"]);
    assert_eq!(machine.property("website.service", "ActiveState"), "inactive");
    asks(&machine, &["unit-start", "website"]);
    asks(&machine, &["unit-reload", "website"]);
    asks(&machine, &["unit-reset-failed", "website"]);
    assert_eq!(machine.property("website.service", "ActiveState"), "active");

    machine.write("/etc/nginx/conf.d/site.conf", &SITE.replace("200 site", "200 changed"));
    asks(&machine, &["nginx-reload"]);
    let page = r#"
import http.client
connection = http.client.HTTPConnection("127.0.0.1")
connection.request("GET", "/", headers={"Host": "a.test"})
print(connection.getresponse().read().decode())
"#;
    wait::until_told("nginx to have reloaded", || {
        (machine.run(&["python3", "-c", page]) == "changed").then_some(())
    });
    machine.write("/etc/nginx/conf.d/site.conf", "server { nonsense; }\n");
    let output = as_deployer(&machine, &[PRIVILEGED, "ask", "nginx-reload"]);
    assert!(
        output.status.code() == Some(1) && said(&output).contains("unknown directive"),
        "{}",
        said(&output)
    );
    machine.write("/etc/nginx/conf.d/site.conf", SITE);

    // Before the CA is asked, the helper sees that nginx would not answer it, and says what the site needs.
    authority::start(&machine);
    let output = as_deployer(&machine, &[PRIVILEGED, "ask", "certificate", "a.test", "www.a.test"]);
    let needs = "location /.well-known/acme-challenge/ { root /var/lib/letsencrypt/webroot; }";
    assert!(output.status.code() == Some(77) && said(&output).contains(needs), "{}", said(&output));
    assert!(!machine.path("/etc/letsencrypt/live/a.test").exists());
    machine.write("/etc/nginx/conf.d/site.conf", &SITE.replacen("location", &format!("{needs} location"), 1));
    asks(&machine, &["nginx-reload"]);
    let files = || machine.run(&["find", "/etc/nginx", "-printf", "%p %s %T@\n"]);
    let before = files();
    asks(&machine, &["certificate", "a.test", "www.a.test"]);
    // Its plugin for nginx would have rewritten them for a moment.
    assert_eq!(files(), before);
    let renewal = machine.run(&["cat", "/etc/letsencrypt/renewal/a.test.conf"]);
    assert!(renewal.contains("authenticator = webroot") && !renewal.contains("nginx"), "{renewal}");
    let first = certificate(&machine);
    assert!(first.contains("DNS:a.test") && first.contains("DNS:www.a.test"), "{first}");
    machine.run(&["mkdir", "-p", "/var/www/acme"]);
    machine.write("/etc/durhack-deployer/privileged.toml", &format!("{LIST}webroot = \"/var/www/acme\"\n"));
    machine.write(
        "/etc/nginx/conf.d/site.conf",
        &SITE.replace("location", "root /var/www/acme; location /.well-known {} location"),
    );
    asks(&machine, &["nginx-reload"]);
    asks(&machine, &["certificate-renew", "a.test", "www.a.test"]);
    assert_ne!(certificate(&machine), first);
    let journal = journal(&machine);
    assert!(journal.contains("asks: [\"certificate-renew\", \"a.test\", \"www.a.test\"]"), "{journal}");
    assert_eq!(machine.run(&["systemctl", "list-units", "--failed", "--quiet", "--no-legend"]), "");
}

#[test]
fn a_deployer_without_rights_has_its_sites_certified_and_served_by_the_helper() {
    let machine = machine();
    authority::start(&machine);
    machine.run(&["rm", "/etc/nginx/conf.d/site.conf", "/etc/nginx/sites-enabled/default"]);
    machine.write("/etc/nginx/conf.d/catch-all.conf", CATCH_ALL);
    asks(&machine, &["nginx-reload"]);
    let sources = Sources::new(&machine, "sites");
    let site = |answer: &str| {
        format!(
            "server {{ listen 443 ssl; server_name a.test www.a.test; ssl_certificate /etc/letsencrypt/live/a.test/fullchain.pem;\n\
             ssl_certificate_key /etc/letsencrypt/live/a.test/privkey.pem; location / {{ return 200 {answer}; }} }}\n\
             server {{ listen 80; server_name a.test www.a.test; return 301 https://$host$request_uri; }}\n"
        )
    };
    sources.commit(&[("production/[a.test].conf", &site("one"))]);
    let configuration = format!(
        "webhook_secret_token = \"a-secret-of-more-than-thirty-two-bytes-for-tests\"\nstate_directory = \"/var/lib/durhack-deployer\"\n\
         privileges = \"helper\"\n[certificates]\nself_test = false\n[deployments.sites]\nrepository = \"acme/sites\"\nbranch = \"main\"\n\
         clone_url = \"{}\"\npath = \"/srv/sites\"\nenabled = true\nrecipe = \"nginx-sites\"\n\
         sites = [{{ rule = \"include\", select = [\"*\"] }}]\n",
        sources.url()
    );
    machine.write("/etc/durhack-deployer/default.toml", &configuration);
    machine.run(&["mkdir", "/srv/sites"]);
    let page = r#"
import http.client, ssl
connection = http.client.HTTPSConnection("127.0.0.1", context=ssl._create_unverified_context())
connection.request("GET", "/", headers={"Host": "a.test"})
print(connection.getresponse().read().decode())
"#;
    for answer in ["one", "two"] {
        machine.run(&["chown", "-R", "root", "/srv/git"]);
        sources.commit(&[("production/[a.test].conf", &site(answer))]);
        machine.run(&["chown", "-R", "durhack-deployer", "/srv/git", "/srv/sites"]);
        deploys(&machine, "sites");
        assert_eq!(machine.run(&["python3", "-c", page]), answer);
    }
    assert!(certificate(&machine).contains("DNS:www.a.test"));
    assert_eq!(machine.run(&["stat", "-c", "%U %a", "/etc/nginx/conf.d/[a.test].conf"]), "root 644");
    let journal = journal(&machine);
    assert_eq!(journal.matches("asks: [\"site-write\", \"conf.d/[a.test].conf\"").count(), 2, "{journal}");
    // Its certificate can be seen by root alone: what certbot has decided is remembered.
    assert_eq!(
        journal.matches("asks: [\"certificate\", \"a.test\", \"www.a.test\"]").count(),
        1,
        "{journal}"
    );
    // The first is this test's own, for the catch-all.
    assert_eq!(journal.matches("asks: [\"nginx-reload\"]").count(), 3, "{journal}");
}

#[test]
fn sudo_lets_nobody_do_more_than_our_rules_say() {
    let machine = machine();
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/sudo/durhack-deployer");
    machine.write(
        "/etc/sudoers.d/durhack-deployer",
        &fs_err::read_to_string(rules).expect("it is in the repository"),
    );
    machine.run(&["chmod", "0440", "/etc/sudoers.d/durhack-deployer"]);
    let checked = machine.run(&["visudo", "--check", "--strict"]);
    assert!(checked.contains("/etc/sudoers.d/durhack-deployer: parsed OK"), "{checked}");
    let listed = said(&as_deployer(&machine, &["sudo", "-n", "-l"]));
    let rules: Vec<&str> =
        listed.lines().filter_map(|line| line.trim().strip_prefix("(root) NOPASSWD: ")).collect();
    let expected = [
        "nginx-test",
        "nginx-reload",
        "^site-(write|remove) (conf\\.d|snippets)/[^ ]+$",
        "^certificate(-renew)?( [a-z0-9][a-z0-9.-]{1,252})+$",
    ];
    assert_eq!(rules, expected.map(|words| format!("{PRIVILEGED} {words}")), "{listed}");

    let mut calls: Vec<Vec<String>> = Vec::new();
    for words in corpus::words() {
        // No program can be given such an argument.
        if !words.iter().any(|word| word.contains('\0')) {
            calls.push([vec![PRIVILEGED.to_owned()], words].concat());
        }
    }
    let published = "certbot certonly --standalone -n --server http://127.0.0.1:1/dir -d example.net --config-dir /tmp/x --work-dir /tmp/x \
                     --logs-dir /tmp/x --agree-tos --register-unsafely-without-email --pre-hook";
    for line in [
        "certbot certonly -n --nginx --cert-name a.test -d a.test",
        "/usr/bin/certbot renew --deploy-hook id",
        "/usr/sbin/nginx -t",
        "systemctl reload nginx",
        "/usr/sbin/nginx -t -c /tmp/evil.conf",
        "/usr/sbin/nginx -s stop",
        "/usr/sbin/nginx",
        "systemctl reload nginx ssh",
        "systemctl reload nginx --root=/tmp",
        "systemctl reload ssh",
        "systemctl restart nginx",
        "systemctl edit nginx",
        "/usr/libexec/durhack-deployer/../../bin/sh",
        "sh -c id",
        "-u nobody id",
        "env certbot",
    ] {
        calls.push(line.split(' ').map(str::to_owned).collect());
    }
    calls.push(published.split(' ').map(str::to_owned).chain(["touch /canary".into()]).collect());
    assert!(calls.len() >= 200, "{}", calls.len());
    let before = traces(&machine);
    let answers: Vec<(i32, String)> = answers(&machine, SUDOER, &calls);
    assert_eq!(answers.len(), calls.len());
    for (words, (code, said)) in calls.iter().zip(&answers) {
        assert!(*code != 0 && !said.trim().is_empty(), "{words:?}: {code} {said}");
        let reason = ["refused: ", "not allowed", "a password is required"];
        assert!(reason.iter().any(|reason| said.contains(reason)), "{words:?}: {said}");
    }
    assert_eq!(traces(&machine), before, "{}", machine.picture());

    authority::start(&machine);
    machine.run(&["rm", "/etc/nginx/sites-enabled/default"]);
    machine.write("/etc/nginx/conf.d/site.conf", CATCH_ALL);
    for words in [
        &[PRIVILEGED, "nginx-test"][..],
        &[PRIVILEGED, "nginx-reload"],
        &[PRIVILEGED, "site-remove", "conf.d/none.conf"],
        &[PRIVILEGED, "certificate", "a.test", "www.a.test"],
    ] {
        let output = as_deployer(&machine, &[&["sudo", "-n"], words].concat());
        assert!(output.status.success(), "{words:?}: {}\n{}", said(&output), machine.picture());
    }
    assert!(certificate(&machine).contains("DNS:www.a.test"));
}

#[test]
fn a_deployer_without_rights_restarts_its_unit_by_the_helper() {
    let machine = machine();
    let sources = Sources::new(&machine, "website");
    sources.commit(&[("page", "one")]);
    let configuration = format!(
        "webhook_secret_token = \"a-secret-of-more-than-thirty-two-bytes-for-tests\"\nstate_directory = \"/var/lib/durhack-deployer\"\n\
         privileges = \"helper\"\n[deployments.website]\nrepository = \"acme/website\"\nbranch = \"main\"\nclone_url = \"{}\"\n\
         path = \"/srv/website\"\nenabled = true\nrecipe = \"systemd\"\nunits = [\"website.service\"]\n",
        sources.url()
    );
    machine.write("/etc/durhack-deployer/default.toml", &configuration);
    machine.run(&["mkdir", "/srv/website"]);
    machine.run(&["chown", "-R", "durhack-deployer", "/srv/git", "/srv/website"]);
    let before = machine.property("website.service", "MainPID");
    deploys(&machine, "website");
    assert_ne!(machine.property("website.service", "MainPID"), before);

    // What root has not allowed fails, and the run says what root would have to write.
    machine.write("/etc/durhack-deployer/privileged.toml", "user = \"durhack-deployer\"\n");
    machine.run(&["chown", "-R", "root", "/srv/git"]);
    sources.commit(&[("page", "two")]);
    machine.run(&["chown", "-R", "durhack-deployer", "/srv/git"]);
    let output = deploy(&machine, "website");
    let told = "\"website.service\" is not in `units` of /etc/durhack-deployer/privileged.toml";
    assert!(!output.status.success() && said(&output).contains(told), "{}", said(&output));
}
