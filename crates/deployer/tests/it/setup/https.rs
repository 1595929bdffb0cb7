//! The deployer's own site with a certificate: GitHub's way in.

use super::Host;
use serde_json::Value;

/// An address of GitHub's, by the configuration of the test.
const OF_GITHUB: &str = "140.82.112.1";

/// As certbot leaves it; only that nobody but itself has signed it.
const CERTIFICATE: &str = "mkdir -p /etc/letsencrypt/live/deploy.test && cd /etc/letsencrypt/live/deploy.test &&
exec openssl req -x509 -newkey rsa:2048 -nodes -days 90 -subj /CN=deploy.test -addext subjectAltName=DNS:deploy.test \
    -addext basicConstraints=critical,CA:FALSE -keyout privkey.pem -out fullchain.pem";

/// A request without a redirect being followed, and what the caller likes to say of itself: status, `Location`, body.
const ASK: &str = "const [method, url] = process.argv.slice(1);
fetch(url, { method, redirect: 'manual', headers: { 'x-forwarded-for': '140.82.112.1', 'x-real-ip': '140.82.112.1' } })
    .then(async answer => console.log(answer.status, answer.headers.get('location'), await answer.text()));";

/// Where believed certificates lie, for node and for the deployer.
const AUTHORITIES: [&str; 2] = ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"];

fn believing() -> Vec<String> {
    let file = "/etc/letsencrypt/live/deploy.test/fullchain.pem";
    AUTHORITIES.map(|name| format!("{name}={file}")).to_vec()
}

#[track_caller]
fn asked(host: &Host, method: &str, url: &str) -> String {
    let mut words = vec!["env"];
    let believing = believing();
    words.extend(believing.iter().map(String::as_str));
    host.machine.run(&[&words[..], &["node", "--eval", ASK, method, url]].concat())
}

/// `simulate push` through the site, by root. It says that it comes from GitHub, too.
fn pushed(host: &Host) -> String {
    let user = format!("SUDO_UID={}", host.machine.run(&["id", "-u", "durhack-deployer"]));
    let believing = believing();
    let mut words = vec!["env", user.as_str()];
    words.extend(believing.iter().map(String::as_str));
    let push = ["simulate", "push", "site", "--json", "--url", "https://deploy.test/github-webhook"];
    let output = host.machine.try_run(&[&words[..], &["durhack-deployer"], &push].concat());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A host whose origin was http gets a certificate, and is asked through it.
pub fn gets_a_certificate_and_is_reached_by_github_alone(host: &Host) {
    let machine = &host.machine;
    let setup = ["durhack-deployer", "setup", "--yes", "--origin", "https://deploy.test"];
    let without = machine.run(&setup);
    for said in ["certbot certonly --webroot", "write `origin = \"https://deploy.test\"`", "nothing to do"] {
        assert!(without.contains(said), "{without}");
    }
    // One that nginx refuses: the site stays as it was.
    machine.write("/etc/letsencrypt/live/deploy.test/fullchain.pem", "no certificate");
    let refused = machine.try_run(&setup);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && why.contains("everything is as it was"), "{why}");
    assert!(machine.get("http://deploy.test/").is_some_and(|answer| answer.contains("durhack-deployer")));

    machine.run(&["sh", "-c", CERTIFICATE]);
    host.edit("http://deploy.test", "https://deploy.test");
    let with = machine.run(&setup);
    assert!(with.contains("write nginx's site for https://deploy.test, test it, reload"), "{with}");
    assert!(
        !with.contains("certbot") && with.contains("webhook  https://deploy.test/github-webhook"),
        "{with}"
    );
    assert!(machine.run(&setup).contains("nothing to do"));

    let deliveries = "deploy.test/deliveries/1?page=2";
    let moved = asked(host, "GET", &format!("http://{deliveries}"));
    assert!(moved.starts_with(&format!("301 https://{deliveries} ")), "{moved}");
    machine.write("/var/www/html/.well-known/acme-challenge/token", "of the CA");
    let renewed = asked(host, "GET", "http://deploy.test/.well-known/acme-challenge/token");
    assert_eq!(renewed, "200 null of the CA", "certificates can be renewed");
    let answer = asked(host, "GET", "https://deploy.test/");
    assert!(answer.starts_with("200 ") && answer.contains("durhack-deployer"), "{answer}");
    let doctor = machine.run(&["durhack-deployer", "doctor"]);
    assert!(doctor.contains("certificates: 1, none near its end"), "{doctor}");

    // Whoever calls from elsewhere is a stranger, signed or not, whatever it says of itself.
    let webhook = "https://deploy.test/github-webhook";
    assert!(asked(host, "POST", webhook).starts_with("403 "));
    let refused: Value = serde_json::from_str(&pushed(host)).expect("JSON");
    assert_eq!(refused["status"], 403, "{refused}");
    // To an address of one's own one comes from there.
    machine.run(&["ip", "address", "add", &format!("{OF_GITHUB}/32"), "dev", "lo"]);
    machine.write("/etc/hosts", &format!("127.0.0.1 localhost\n{OF_GITHUB} deploy.test\n"));
    assert!(asked(host, "POST", webhook).starts_with("400 "), "not signed");
    host.commit(&[("page", "over https")]);
    let accepted: Value = serde_json::from_str(&pushed(host)).expect("JSON");
    assert_eq!(accepted["status"], 202, "{accepted}");
    host.shows("over https");
    let deliveries: Value =
        serde_json::from_str(&host.operator(&["deliveries", "--json", "-n", "1"])).expect("JSON");
    assert_eq!(deliveries[0]["delivery"]["remote_address"], OF_GITHUB, "{deliveries}");
}
