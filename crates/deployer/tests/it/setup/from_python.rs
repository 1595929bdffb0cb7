//! `docs/how-to/migrating-from-the-python-tool.md`, word by word, on a machine where the Python tool works, under pushes and visits that do not
//! pause: there, back, and there again.

use crate::support::machine::{Debian, Machine};
use crate::support::package::Package;
use crate::support::push::{NO_COMMIT, push_payload};
use crate::support::python_tool::{self as old, CHECKOUT, SECRET, SECURE, SITE, SUDOERS, UNIT, USER, VASSAL};
use crate::support::servers::testbed;
use crate::support::traffic::Traffic;
use crate::support::wait;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const GUIDE: &str = include_str!("../../../../../docs/how-to/migrating-from-the-python-tool.md");

/// Of an item that has failed in the old tool, and stays in its queue.
const FAILED_EVENT: &str = "11111111-cc78-11e3-81ab-4c9367dc0958";

/// What the guide has people type under a heading.
fn commands(heading: &str) -> Vec<String> {
    let section =
        GUIDE.split("\n## ").find(|section| section.starts_with(heading)).expect("it is in the guide");
    let blocks = section.split("```sh\n").skip(1).filter_map(|block| block.split("```").next());
    blocks
        .flat_map(str::lines)
        .map(|line| line.split('#').next().unwrap_or_default().trim().to_owned())
        .collect()
}

/// Types it as root; nobody is there to be asked.
#[track_caller]
fn types(machine: &Machine, command: &str) -> String {
    let mut command = command.trim_start_matches("sudo ").to_owned();
    if command.starts_with("apt install") {
        command = command.replace("apt install", "dpkg -i");
    } else if command.contains("durhack-deployer setup") && !command.contains("--dry-run") {
        command += " --yes";
    }
    let printed = machine.run(&["sh", "-c", &format!("cd /root && {command} 2>&1")]);
    println!("# {command}\n{printed}\n");
    printed
}

fn state(machine: &Machine, unit: &str) -> (String, String) {
    (machine.property(unit, "ActiveState"), machine.property(unit, "UnitFileState"))
}

fn is(active: &str, enabled: &str) -> (String, String) {
    (active.to_owned(), enabled.to_owned())
}

fn json_of(machine: &Machine, words: &[&str]) -> Value {
    serde_json::from_str(&machine.run(&[&["durhack-deployer"], words].concat())).expect("JSON")
}

/// The runs of a deployment: state and trigger, the newest first.
fn runs(machine: &Machine, slug: &str) -> Vec<String> {
    let runs = json_of(machine, &["runs", slug, "--json"]);
    let runs = runs.as_array().expect("a list").iter();
    runs.map(|run| run["state"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Everything of the administrator's.
fn theirs(machine: &Machine) -> String {
    let files = format!(
        "stat -c '%A %U %G %N' {VASSAL} '{SITE}' {SUDOERS}; cat {SUDOERS} '{SITE}' {VASSAL} /etc/systemd/system/{UNIT}; find /etc/nginx -printf '%p %y %u %m %l\n' | sort; getfacl -RP -p /etc/nginx/conf.d /etc/nginx/snippets; find {CHECKOUT} -not -path '*/queues/*' -type f ! -name '*.log' ! -name '*.pyc' | sort | xargs sha256sum"
    );
    machine.run(&["sh", "-c", &files])
}

/// A commit to `main` of one of the repositories.
fn committed(machine: &Machine, name: &str, files: &[(&str, &str)]) -> String {
    let directory = format!("/srv/git/{name}");
    for (file, text) in files {
        machine.write(&format!("{directory}/{file}"), text);
    }
    let git = ["runuser", "-u", USER, "--", "git", "-C", &directory];
    machine.run(&["chown", "-R", &format!("{USER}:"), &directory]);
    machine.run(&[&git[..], &["commit", "-q", "-a", "-m", "next"]].concat());
    machine.run(&[&git[..], &["rev-parse", "HEAD"]].concat())
}

/// A push to `main` of the application, as GitHub sends it.
fn pushed(machine: &Machine, page: &str) -> (Value, String) {
    let commit = committed(machine, "api", &[("page", page)]);
    (push_payload("ducompsoc/durhack", "refs/heads/main", NO_COMMIT, &commit), commit)
}

/// The sites as the guide has people change them before they are deployed: to the new tool, and with the CA's questions answered.
fn sites(machine: &Machine, names: &str, page: &str) {
    const QUESTIONS: &str = "location /.well-known/acme-challenge/ { root /var/lib/letsencrypt/webroot; }";
    let deployer = format!(
        "server {{ listen 80; server_name deploy.durhack.com; client_max_body_size 25m; {QUESTIONS}\n\
         location / {{ proxy_pass http://127.0.0.1:3401; proxy_set_header X-Forwarded-For $remote_addr; }} }}\n"
    );
    let secure = format!(
        "server {{ listen 443 ssl; server_name {names}; ssl_certificate /etc/letsencrypt/live/secure.durhack.com/fullchain.pem;\n\
         ssl_certificate_key /etc/letsencrypt/live/secure.durhack.com/privkey.pem; location / {{ return 200 {page}; }} }}\n\
         server {{ listen 80; server_name {names}; {QUESTIONS} location / {{ return 301 https://$host$request_uri; }} }}\n"
    );
    committed(
        machine,
        "nginx",
        &[
            ("production/[deploy.durhack.com].nginxconf", &deployer),
            ("production/[secure.durhack.com].nginxconf", &secure),
        ],
    );
}

/// What a visitor of the site with a certificate sees, and the certificate's number.
fn secure_page(machine: &Machine) -> (String, String) {
    let visit = r#"
import http.client, ssl
connection = http.client.HTTPSConnection("127.0.0.1", context=ssl._create_unverified_context())
connection.request("GET", "/", headers={"Host": "secure.durhack.com"})
print(connection.getresponse().read().decode())
"#;
    let number = "openssl s_client -connect 127.0.0.1:443 -servername secure.durhack.com </dev/null 2>/dev/null | openssl x509 -noout -serial -ext subjectAltName";
    (machine.run(&["python3", "-c", visit]), machine.run(&["sh", "-c", number]))
}

/// The new tool works, and the old one does not.
#[track_caller]
fn is_here(machine: &Machine) {
    assert_eq!(state(machine, UNIT), is("inactive", "disabled"));
    for unit in ["durhack-deployer-worker.service", "durhack-deployer-intake.service"] {
        assert_eq!(state(machine, unit), is("active", "enabled"), "{unit}");
    }
    for gone in [VASSAL, SUDOERS] {
        assert!(machine.path(gone).symlink_metadata().is_err(), "{gone}");
    }
    let site = machine.run(&["cat", SITE]);
    assert!(site.contains("proxy_pass http://127.0.0.1:3401;") && !site.contains("uwsgi_pass"), "{site}");
    for taken in [SITE, SECURE, "/etc/nginx/snippets/uwsgi-params"] {
        assert_eq!(machine.run(&["stat", "-c", "%F %U", taken]), "regular file root", "{taken}");
    }
    let judged =
        machine.try_run(&["/usr/libexec/durhack-deployer/durhack-deployer-privileged", "nginx-test"]);
    assert!(judged.status.success(), "{judged:?}");
    let access = machine.run(&["getfacl", "-p", "/etc/nginx/conf.d"]);
    assert!(!access.contains(USER), "{access}");
    // Never two.
    let listener = machine.try_run(&["pgrep", "-u", USER, "-f", "uwsgi|queue_worker_supervisor"]);
    assert!(listener.stdout.is_empty(), "{}", machine.picture());
}

fn there_and_back_and_there_again(debian: Debian) {
    let machine = Machine::boot_with(debian);
    machine.run(&["rm", "-f", "/usr/local/bin/durhack-deployer"]);
    machine.install(&Package::new().file(), "/root/durhack-deployer_1_amd64.deb");
    machine.install_directory(&testbed("npm/node_modules"), "/opt/node_modules");
    machine.run(&["ln", "-s", "/opt/node_modules/.bin/pm2", "/usr/local/bin/pm2"]);
    old::install(&machine);
    let before = theirs(&machine);
    let elsewhere = push_payload("acme/elsewhere", "refs/heads/main", NO_COMMIT, &"1".repeat(40));
    let traffic = Traffic::start(&machine, SECRET, "deploy.durhack.com", &elsewhere, 8000);
    wait::until_told("the old tool to have had a push", || {
        (!old::recorded(&machine).is_empty()).then_some(())
    });

    let typed = commands("Move");
    let [install, try_it, do_it, deploy, deploy_sites, status, doctor] = typed.as_slice() else {
        panic!("{typed:?}")
    };
    types(&machine, install);
    let planned = types(&machine, try_it);
    for said in [
        "production.toml",
        UNIT,
        VASSAL,
        SITE,
        SUDOERS,
        "deployer:...@localhost",
        "x_proto has no effect",
        "the deployment deployer is the Python tool itself",
        "nothing was done",
    ] {
        assert!(planned.contains(said), "{said}: {planned}");
    }
    assert!(!planned.contains("password@") && !planned.contains(SECRET), "{planned}");
    assert_eq!(theirs(&machine), before, "--dry-run changed something");
    assert!(!machine.path("/etc/durhack-deployer/production.toml").exists());

    // One deployment of the old tool is under way, and one has failed.
    let (push, _) = pushed(&machine, "two");
    machine.write(
        &format!("{CHECKOUT}/queues/durhack-api/1.json"),
        &json!({ "payload": push, "type": "push", "id": FAILED_EVENT, "__dataclass__": "GitHubEvent" })
            .to_string(),
    );
    traffic.push(&push);
    let moved = types(&machine, do_it);
    is_here(&machine);
    assert!(
        moved.contains("durhack-deployer plan durhack-api")
            && moved.contains("nothing is deployed by itself"),
        "{moved}"
    );
    let deploys = machine.run(&["cat", &format!("{CHECKOUT}/deploys.log")]);
    let count = |what: &str| deploys.lines().filter(|line| *line == what).count();
    assert_eq!(count("begun"), count("ended"), "a deployment of the old tool was killed: {deploys}");
    for (path, expected) in [
        ("/etc/durhack-deployer/local.toml", format!("root:{USER} 640")),
        ("/etc/default/durhack-deployer", format!("root:{USER} 640")),
        ("/etc/durhack-deployer/credentials/webhook-secret", "root:root 600".to_owned()),
    ] {
        assert_eq!(machine.run(&["stat", "-c", "%U:%G %a", path]), expected, "{path}");
    }
    assert!(
        !machine
            .try_run(&["grep", "-rq", SECRET, "--include=*.toml", "/etc/durhack-deployer"])
            .status
            .success()
    );
    assert_eq!(
        machine.run(&[
            "sh",
            "-c",
            "find /var/backups/durhack-deployer -name durhack-deployer -path '*sudoers.d*' | wc -l"
        ]),
        "1"
    );

    // Pushes wait for the first deploy by an operator, and reconcile does nothing.
    let (push, _) = pushed(&machine, "three");
    traffic.push(&push);
    wait::until_told("the push to wait", || {
        (runs(&machine, "durhack-api").first()? == "waiting").then_some(())
    });
    assert_eq!(machine.run(&["cat", "/var/www/api.durhack.com/page"]), "one");
    types(&machine, deploy);
    assert_eq!(machine.run(&["cat", "/var/www/api.durhack.com/built"]), "three");
    let (push, _) = pushed(&machine, "four");
    traffic.push(&push);
    wait::until_told("a push to be deployed", || {
        (machine.run(&["cat", "/var/www/api.durhack.com/built"]) == "four").then_some(())
    });

    // So do the sites: with the certificate that the old tool's certbot has obtained, then with one more name in it.
    let (page, of_the_plugin) = secure_page(&machine);
    assert_eq!(page, "one");
    let cut_off = machine.try_run(&["durhack-deployer", "deploy", "nginx"]);
    let cut_off = String::from_utf8_lossy(&[cut_off.stdout, cut_off.stderr].concat()).into_owned();
    assert!(
        cut_off.contains("deploy.durhack.com is this deployer's own name, and it does not speak uwsgi"),
        "{cut_off}"
    );
    sites(&machine, "secure.durhack.com", "two");
    types(&machine, deploy_sites);
    assert_eq!(secure_page(&machine), ("two".into(), of_the_plugin.clone()));
    let renewal = || machine.run(&["cat", "/etc/letsencrypt/renewal/secure.durhack.com.conf"]);
    assert!(renewal().contains("authenticator = nginx"), "{}", renewal());
    sites(&machine, "secure.durhack.com www.secure.durhack.com", "three");
    let refused = machine.try_run(&["durhack-deployer", "deploy", "nginx"]);
    let refused = String::from_utf8_lossy(&[refused.stdout, refused.stderr].concat()).into_owned();
    assert!(
        refused.contains("in `domains` of /etc/durhack-deployer/privileged.toml; root can add it there"),
        "{refused}"
    );
    machine.run(&[
        "sed",
        "-i",
        "/^domains = /s/\\[/[\"www.secure.durhack.com\", /",
        "/etc/durhack-deployer/privileged.toml",
    ]);
    types(&machine, deploy_sites);
    let (page, of_the_webroot) = secure_page(&machine);
    assert_eq!(page, "three");
    assert!(of_the_webroot.contains("DNS:www.secure.durhack.com"), "{of_the_webroot}");
    assert!(renewal().contains("authenticator = webroot"), "{}", renewal());
    types(
        &machine,
        "certbot renew --force-renewal --no-random-sleep-on-renew --cert-name secure.durhack.com",
    );
    machine.run(&["systemctl", "reload", "nginx"]);
    wait::until_told("the renewed certificate to be served", || {
        (secure_page(&machine).1 != of_the_webroot).then_some(())
    });
    types(&machine, status);
    types(&machine, &format!("{doctor} || true"));
    let imported = json_of(&machine, &["deliveries", "--json", "-n", "10000"]).to_string();
    assert!(imported.contains(old::OLD_EVENT), "the ids of the old database");
    assert!(imported.contains(FAILED_EVENT), "what waited in the old queues");

    // Back: everything is as it was.
    let typed = commands("Go back");
    let [back, again] = typed.as_slice() else { panic!("{typed:?}") };
    let went = types(&machine, back);
    assert_eq!(theirs(&machine), before, "{went}");
    assert_eq!(secure_page(&machine).0, "one");
    assert_eq!(state(&machine, UNIT), is("active", "enabled"));
    for unit in [
        "durhack-deployer-worker.service",
        "durhack-deployer-intake.service",
        "durhack-deployer-intake.socket",
    ] {
        assert_eq!(state(&machine, unit), is("inactive", "disabled"), "{unit}");
    }
    let had = old::recorded(&machine).len();
    wait::until_told("the old tool to have pushes again", || {
        (old::recorded(&machine).len() > had + 20).then_some(())
    });

    // And there again: what an operator has deployed before waits again.
    types(&machine, again);
    is_here(&machine);
    let (push, _) = pushed(&machine, "five");
    traffic.push(&push);
    wait::until_told("the push to wait again", || {
        (runs(&machine, "durhack-api").first()? == "waiting").then_some(())
    });
    types(&machine, deploy);
    assert_eq!(machine.run(&["cat", "/var/www/api.durhack.com/built"]), "five");
    assert_eq!(secure_page(&machine).0, "one");
    types(&machine, deploy_sites);
    assert_eq!(secure_page(&machine).0, "three");

    let seen = traffic.stop();
    assert_eq!(seen.errors, json!([]), "of {}: {}", seen.guids.len(), machine.picture());
    let statuses: BTreeSet<&str> =
        seen.answers.as_object().expect("a table").keys().map(String::as_str).collect();
    assert_eq!(statuses, ["202", "204"].into(), "{}", seen.answers);
    let pages = seen.pages.as_object().expect("a table");
    assert!(pages.keys().all(|page| page.starts_with("200 ")), "{}", seen.pages);
    let old_ones: BTreeSet<String> = old::recorded(&machine).into_iter().collect();
    let limit = (seen.guids.len() * 3).to_string();
    wait::until_told("every push to be recorded by one of the two", || {
        let all = json_of(&machine, &["deliveries", "--json", "-n", &limit]);
        let new_ones: BTreeSet<&str> =
            all.as_array()?.iter().filter_map(|entry| entry["delivery"]["id"].as_str()).collect();
        let lost = seen
            .guids
            .iter()
            .filter(|guid| !old_ones.contains(*guid) && !new_ones.contains(guid.as_str()))
            .count();
        (lost == 0).then_some(())
    });
    println!(
        "{} pushes ({}), {} visits: none lost, none refused",
        seen.guids.len(),
        seen.answers,
        pages.values().filter_map(Value::as_u64).sum::<u64>()
    );
}

#[test]
fn the_same_on_debian_13() {
    there_and_back_and_there_again(Debian::Trixie);
}

#[test]
fn the_python_tool_moves_here_and_back_and_here_again_while_github_pushes() {
    there_and_back_and_there_again(Debian::Bookworm);
}
