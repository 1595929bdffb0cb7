//! A certificate authority in a machine, which the machine trusts.

use super::machine::Machine;
use super::wait;

/// Its directory, for `--server` of certbot.
pub const DIRECTORY: &str = "https://localhost:14000/dir";

/// A CA that says of every name that it is this machine.
const AUTHORITY: &str = r#"{"pebble":{"listenAddress":"127.0.0.1:14000","managementListenAddress":"127.0.0.1:15000",
"certificate":"/srv/ca/certificate.pem","privateKey":"/srv/ca/key.pem","httpPort":80,"tlsPort":443,
"ocspResponderURL":"","externalAccountBindingRequired":false}}"#;

/// Starts a CA, and has the machine trust it.
pub fn start(machine: &Machine) {
    machine.write("/srv/ca/pebble.json", AUTHORITY);
    let certificate = "cd /srv/ca && openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout key.pem -out certificate.pem \
                       -subj /CN=localhost -addext subjectAltName=DNS:localhost && cat certificate.pem >> /etc/ssl/certs/ca-certificates.crt";
    machine.run(&["sh", "-c", certificate]);
    machine.unit(
        "resolver.service",
        "[Service]\nExecStart=pebble-challtestsrv -defaultIPv4 127.0.0.1 -defaultIPv6 \"\" -http01 \"\" -https01 \"\" -tlsalpn01 \"\" \
         -dns01 127.0.0.1:8053 -management 127.0.0.1:8055\n",
    );
    machine.unit(
        "authority.service",
        "[Service]\nEnvironment=PEBBLE_VA_NOSLEEP=1 PEBBLE_WFE_NONCEREJECT=0\n\
         ExecStart=pebble -config /srv/ca/pebble.json -dnsserver 127.0.0.1:8053\n",
    );
    machine.run(&["systemctl", "start", "resolver", "authority"]);
    let asked = "import socket; socket.create_connection(('127.0.0.1', 14000))";
    wait::until_told("pebble to listen", || {
        machine.try_run(&["python3", "-c", asked]).status.success().then_some(())
    });
}
