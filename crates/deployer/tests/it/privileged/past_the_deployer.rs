//! What an attacker does who has come to write nginx's files past the deployer: configurations with code in them, and such as read or write
//! what is root's. On Debian 12 and 13, with the modules of nginx-core, and with all of them, Perl and Lua too.
//!
//! Written by the deployer's user, where an access list of an earlier version is left, root's nginx reads none of them: the helper refuses. So they
//! are written by root here, as nobody else could, to see that the second wall holds too.

use super::{LIST, as_deployer, asks, said};
use crate::support::machine::{Debian, Machine, Modules, PRIVILEGED};
use crate::support::wait;

/// A configuration, and the modules without which nginx does not understand it.
struct Attack {
    name: &'static str,
    modules: Modules,
    text: &'static str,
}

const fn core(name: &'static str, text: &'static str) -> Attack {
    Attack { name, modules: Modules::Core, text }
}

const fn extras(name: &'static str, text: &'static str) -> Attack {
    Attack { name, modules: Modules::Extras, text }
}

/// What stands in each of root's secrets.
pub const CANARY: &str = "canary-of-root";

const ATTACKS: [Attack; 26] = [
    core("quote root's file", "include /root/secret;"),
    core("quote shadow", "include /etc/shadow;"),
    core("quote a credential", "include /etc/durhack-deployer/credentials/webhook-secret;"),
    core(
        "shadow as a key",
        "server { listen 8181 ssl; ssl_certificate /etc/shadow; ssl_certificate_key /etc/shadow; }",
    ),
    core(
        "an external entity of a stylesheet",
        "server { listen 8181; location / { root /srv/attacker; xslt_stylesheet /srv/attacker/x.xslt; xslt_types text/xml application/xml; } }",
    ),
    core("external entities", "xml_entities /srv/attacker/x.dtd;"),
    core(
        "serve root's files",
        "server { listen 8181; location / { root /root; autoindex on; } location /e { alias /etc/; } }",
    ),
    core(
        "passwords of shadow",
        "server { listen 8181; auth_basic x; auth_basic_user_file /etc/shadow; root /etc; }",
    ),
    core(
        "a log for cron",
        "server { listen 8181; access_log /etc/cron.d/owned; error_log /etc/cron.d/owned-error; }",
    ),
    core("a log for systemd", "server { listen 8181; access_log /run/systemd/system/owned.service; }"),
    core(
        "a log that shutdown runs",
        "server { listen 8181; access_log /run/initramfs/shutdown; error_log /run/owned; }",
    ),
    core(
        "give a directory away",
        "client_body_temp_path /etc/letsencrypt/archive; proxy_temp_path /etc/owned;",
    ),
    core(
        "systemd as an upstream",
        "server { listen 8181; location / { proxy_pass http://unix:/run/systemd/private; } }",
    ),
    core(
        "the bus as an upstream",
        "server { listen 8181; location / { proxy_pass http://unix:/run/dbus/system_bus_socket; } }",
    ),
    core(
        "the helper as an upstream",
        "server { listen 8181; location / { proxy_pass http://unix:/run/durhack-deployer-certbot.sock; } }",
    ),
    core("a module of one's own", "load_module /srv/attacker/x.so;"),
    extras(
        "perl runs a program",
        "perl_set $x 'sub { BEGIN { system(q{touch /etc/owned /run/owned /tmp/owned}); exec(q{/bin/sh}, q{-c}, q{touch /etc/owned}); } 1 }';",
    ),
    extras(
        "perl asks systemd",
        "perl_set $x 'sub { BEGIN { system(q{systemd-run --no-block sh -c \"id > /etc/owned\"}); } 1 }';",
    ),
    extras(
        "perl writes and reads",
        "perl_set $x 'sub { BEGIN { for my $f (qw(/etc/owned /run/owned /etc/cron.d/owned /var/lib/owned /usr/owned /usr/lib64/owned /usr/lib/x86_64-linux-gnu/owned /usr/sbin/owned /dev/shm/owned /proc/sys/kernel/core_pattern /sys/kernel/uevent_helper)) { open(my $h, q{>}, $f) and print $h 1; } \
         for my $f (qw(/etc/shadow /root/secret /etc/durhack-deployer/credentials/webhook-secret /var/lib/durhack-deployer/secret)) { open(my $h, q{<}, $f) and warn <$h>; } } 1 }';",
    ),
    extras(
        "perl connects",
        "perl_set $x 'sub { BEGIN { use Socket; for my $p (qw(/run/systemd/private /run/dbus/system_bus_socket /run/durhack-deployer-certbot.sock \
         /run/durhack-deployer-nginx-test.sock /run/durhack-deployer-privileged.sock /run/systemd/notify)) { socket(my $s, AF_UNIX, SOCK_STREAM, 0); \
         connect($s, sockaddr_un($p)) and warn q{connected to } . $p . qq{ canary-of-root\\n}; } } 1 }';",
    ),
    extras(
        "perl becomes a user",
        "perl_set $x 'sub { BEGIN { $> = 997; $< = 997; open(my $h, q{>}, q{/var/lib/durhack-deployer/owned}) and print $h 1; } 1 }';",
    ),
    extras(
        "lua runs a program",
        "init_by_lua_block { os.execute('touch /etc/owned /run/owned'); os.execute('systemd-run --no-block sh -c \"id > /etc/owned\"') }",
    ),
    extras(
        "lua writes and reads",
        "init_by_lua_block { for _, f in ipairs({'/etc/owned', '/run/owned', '/etc/cron.d/owned', '/run/initramfs/shutdown', '/usr/lib/x86_64-linux-gnu/owned', '/usr/lib/nginx/modules/owned', '/usr/sbin/nginx', '/dev/shm/owned', '/run/systemd/system/owned.service', '/run/udev/rules.d/owned'}) do local h = io.open(f, 'w'); if h then h:write('1') h:close() end end \
         for _, f in ipairs({'/etc/shadow', '/root/secret', '/etc/durhack-deployer/credentials/webhook-secret', '/var/lib/durhack-deployer/secret'}) do local h = io.open(f); if h then ngx.log(ngx.ERR, h:read('*a')) end end }",
    ),
    extras(
        "lua executes by the loader",
        "init_by_lua_block { local ffi = require('ffi'); ffi.cdef('int execl(const char *, const char *, ...); int fork(void);'); \
         if ffi.C.fork() == 0 then ffi.C.execl('/bin/sh', 'sh', '-c', 'touch /etc/owned', nil); ffi.C.execl('/lib64/ld-linux-x86-64.so.2', 'ld', '/bin/touch', '/etc/owned', nil); os.exit(1) end }",
    ),
    extras(
        "lua connects",
        "init_by_lua_block { local ffi = require('ffi'); ffi.cdef('int socket(int, int, int); int connect(int, const void *, unsigned);'); \
         for _, p in ipairs({'/run/systemd/private', '/run/dbus/system_bus_socket', '/run/durhack-deployer-certbot.sock', '/run/durhack-deployer-nginx-test.sock'}) do \
         local a = ffi.new('char[110]'); ffi.copy(a, string.char(1, 0) .. p); if ffi.C.connect(ffi.C.socket(1, 1, 0), a, 110) == 0 then ngx.log(ngx.ERR, 'canary-of-root connected to ' .. p) end end }",
    ),
    extras(
        "lua mounts and makes devices",
        "init_by_lua_block { local ffi = require('ffi'); ffi.cdef('int mount(const char *, const char *, const char *, unsigned long, const void *); int umount2(const char *, int); int unshare(int); int chroot(const char *); int mknod(const char *, unsigned, unsigned long);'); \
         local C = ffi.C; local ok = {C.umount2('/run/systemd/private', 2), C.mount('none', '/tmp', 'tmpfs', 0, nil), C.unshare(0x20000), C.chroot('/tmp'), C.mknod('/var/lib/nginx/owned', 0x6180, 0x800)}; \
         for i, r in ipairs(ok) do if r == 0 then ngx.log(ngx.ERR, 'canary-of-root: call ' .. i) end end }",
    ),
];

/// Files that are there if anything outside nginx was done.
pub const TRACES: &str = "ls -d /etc/owned /run/owned /tmp/owned /usr/owned /var/lib/owned /etc/cron.d/owned* /run/systemd/system/owned* \
                      /run/initramfs/shutdown /var/lib/durhack-deployer/owned /var/lib/nginx/owned /dev/shm/owned \
                      /usr/lib*/owned /usr/lib/*/owned /usr/lib/nginx/modules/owned /usr/sbin/owned /run/udev/rules.d/owned 2>/dev/null; \
                      md5sum < /usr/sbin/nginx; cat /proc/sys/kernel/core_pattern; \
                      stat -c %U /etc/letsencrypt/archive; systemctl list-units --all --no-legend 'run-*' | grep -v '\\.mount' ; true";

pub const STYLESHEET: &str = "<?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY k SYSTEM \"file:///root/secret\">\
    <!ENTITY l SYSTEM \"file:///etc/durhack-deployer/credentials/webhook-secret\">]>\
    <xsl:stylesheet version=\"1.0\" xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\">\
    <xsl:template match=\"/\"><out>&k;&l;</out></xsl:template></xsl:stylesheet>";

/// What a visitor gets.
const VISITOR: &str = r#"
import socket
for path in ("/", "/p.xml", "/secret", "/shadow", "/e/shadow", "/e/durhack-deployer/credentials/webhook-secret"):
    try:
        connection = socket.create_connection(("127.0.0.1", 8181), 5)
        connection.sendall(("GET %s HTTP/1.0\r\nHost: a.test\r\n\r\n" % path).encode())
        while piece := connection.recv(65536):
            print(piece)
    except OSError as error:
        print(error)
"#;

pub fn machine(debian: Debian) -> Machine {
    let machine = Machine::boot_with(debian);
    machine.install_privileged(LIST);
    machine.confine_nginx();
    let secret = format!("{CANARY};\n");
    for file in [
        "/root/secret",
        "/etc/durhack-deployer/credentials/webhook-secret",
        "/var/lib/durhack-deployer/secret",
        "/srv/attacker/x.so",
    ] {
        machine.write(file, &secret);
    }
    machine.write("/srv/attacker/x.xslt", STYLESHEET);
    machine.write("/srv/attacker/x.dtd", "<!ENTITY k SYSTEM \"file:///root/secret\"> %k;");
    machine.write("/srv/attacker/p.xml", "<a/>");
    machine.run(&["sh", "-c", &format!("echo '{CANARY}:*:1::::::' >> /etc/shadow; chmod 700 /root; mkdir -p /etc/letsencrypt/archive /run/initramfs")]);
    machine
}

/// Has root's nginx take what is there, as far as it does, and gives all that was said and served.
fn taken(machine: &Machine) -> String {
    let mut heard = String::new();
    for words in [&["ask", "nginx-test"][..], &["ask", "nginx-reload"]] {
        heard += &said(&as_deployer(machine, &[&[PRIVILEGED], words].concat()));
    }
    // Whatever the test says, somebody else may reload it, or start it anew.
    machine.run(&["systemctl", "reset-failed", "nginx"]);
    for verb in ["reload", "restart"] {
        machine.try_run(&["systemctl", verb, "nginx"]);
        heard += &machine.run(&["python3", "-c", VISITOR]);
    }
    heard
}

fn nothing_of_roots_is_read_run_or_written(debian: Debian, modules: Modules) {
    let machine = machine(debian);
    let hostile = "/etc/nginx/conf.d/hostile.conf";
    machine.enable_modules(modules);
    machine.run(&["systemctl", "restart", "nginx"]);
    asks(&machine, &["nginx-test"]);
    let before = machine.run(&["sh", "-c", TRACES]);
    for attack in ATTACKS.iter().filter(|attack| modules == Modules::Extras || attack.modules == modules) {
        machine.write(hostile, attack.text);
        let heard = taken(&machine);
        let log =
            machine.run(&["sh", "-c", "cat /var/log/nginx/*.log; journalctl --no-pager -o cat -u nginx"]);
        let name = format!("{debian:?}, {modules:?}: {}", attack.name);
        println!(
            "{name}: {}",
            heard.lines().find(|line| line.contains("emerg") || line.contains("rror")).unwrap_or("taken")
        );
        assert!(!heard.contains(CANARY), "{name}: {heard}");
        assert!(!log.contains(CANARY), "{name}: {log}");
        assert_eq!(machine.run(&["sh", "-c", TRACES]), before, "{name}: {heard}\n{log}");
        machine.run(&["rm", hostile]);
        machine.run(&["systemctl", "reset-failed", "nginx"]);
    }
    machine.run(&["systemctl", "restart", "nginx"]);
    asks(&machine, &["nginx-reload"]);
}

#[test]
fn nothing_of_roots_is_read_run_or_written_on_debian_12_with_nginx_core() {
    nothing_of_roots_is_read_run_or_written(Debian::Bookworm, Modules::Core);
}

#[test]
fn nothing_of_roots_is_read_run_or_written_on_debian_12() {
    nothing_of_roots_is_read_run_or_written(Debian::Bookworm, Modules::Extras);
}

#[test]
fn nothing_of_roots_is_read_run_or_written_on_debian_13_with_nginx_core() {
    nothing_of_roots_is_read_run_or_written(Debian::Trixie, Modules::Core);
}

#[test]
fn nothing_of_roots_is_read_run_or_written_on_debian_13() {
    nothing_of_roots_is_read_run_or_written(Debian::Trixie, Modules::Extras);
}

// Without the walls it is root: so what is seen above is the walls' work, and not that the attacks do not work.
#[test]
fn without_its_walls_nginx_does_what_they_say() {
    let machine = machine(Debian::Bookworm);
    machine.run(&["rm", "-r", "/etc/systemd/system/nginx.service.d"]);
    machine.run(&["systemctl", "daemon-reload"]);
    machine.enable_modules(Modules::Extras);
    for name in ["perl runs a program", "lua runs a program", "a log for cron"] {
        let attack = ATTACKS.iter().find(|attack| attack.name == name).expect("it is one of them");
        machine.write("/etc/nginx/conf.d/hostile.conf", attack.text);
        machine.try_run(&["systemctl", "restart", "nginx"]);
        wait::until_told(name, || {
            let done = machine.try_run(&["sh", "-c", "ls /etc/owned /etc/cron.d/owned 2>/dev/null"]);
            (!done.stdout.is_empty()).then_some(())
        });
        machine.run(&[
            "rm",
            "-f",
            "/etc/owned",
            "/run/owned",
            "/etc/cron.d/owned",
            "/etc/cron.d/owned-error",
        ]);
    }
}

#[test]
fn what_the_deployers_user_can_still_write_is_not_read_by_roots_nginx() {
    let machine = machine(Debian::Bookworm);
    machine.enable_modules(Modules::Extras);
    machine.run(&["systemctl", "restart", "nginx"]);
    // As an earlier version's setup left it.
    let access = "u:durhack-deployer:rwx,d:u:durhack-deployer:rwx";
    machine.run(&["setfacl", "-m", access, "/etc/nginx/conf.d", "/etc/nginx/snippets"]);
    let before = machine.run(&["sh", "-c", TRACES]);
    for attack in &ATTACKS {
        machine.write("/srv/attacker/text", attack.text);
        let copied = as_deployer(&machine, &["cp", "/srv/attacker/text", "/etc/nginx/conf.d/hostile.conf"]);
        assert!(copied.status.success(), "{}", said(&copied));
        for words in [&["nginx-test"][..], &["nginx-reload"], &["certificate", "a.test"]] {
            let output = as_deployer(&machine, &[&[PRIVILEGED, "ask"], words].concat());
            let heard = said(&output);
            assert_eq!(output.status.code(), Some(77), "{}: {heard}", attack.name);
            assert!(
                heard.contains("/etc/nginx/") && heard.contains("can be changed by others than root"),
                "{heard}"
            );
        }
    }
    assert_eq!(machine.run(&["sh", "-c", TRACES]), before);
    // With the list taken away, the file is still the user's.
    machine.run(&["setfacl", "-b", "/etc/nginx/conf.d", "/etc/nginx/snippets"]);
    let heard = said(&as_deployer(&machine, &[PRIVILEGED, "ask", "nginx-reload"]));
    assert!(heard.contains("/etc/nginx/conf.d/hostile.conf can be changed by others"), "{heard}");
    let adopted = machine.run(&[PRIVILEGED, "sites-adopt"]);
    assert!(adopted.starts_with("conf.d/hostile.conf: left as it is:"), "{adopted}");
    machine.run(&["rm", "/etc/nginx/conf.d/hostile.conf"]);
    asks(&machine, &["nginx-reload"]);
}
