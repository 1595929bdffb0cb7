//! What somebody would try who has become the deployer's user: two hundred requests, and two hundred argument lists. Used here, where programs
//! are stood in for, and in the booted machine (`crates/deployer/tests/it/privileged.rs`).
//!
//! Allowed in both places: the unit `website.service`, the domains `a.test` and `www.a.test`, and nothing of what stands here.

/// Text that somebody hopes will be more than a name.
const INJECTIONS: [&str; 30] = [
    "; reboot",
    " ; touch /canary",
    "$(touch /canary)",
    "`touch /canary`",
    "| touch /canary",
    "& touch /canary",
    "&& touch /canary",
    "\ntouch /canary",
    "\r\ntouch /canary",
    "\0",
    "\0touch",
    " --pre-hook touch",
    " --now",
    "\t--force",
    "/../../x",
    "/",
    "\\",
    "\\x2d",
    "'",
    "\"",
    "%n",
    "*",
    "?",
    "[a-z]",
    "{a,b}",
    "~",
    "#",
    "\u{202e}",
    "\u{e9}",
    "\u{1f980}",
];

/// Units that are not listed, or are none.
const UNITS: [&str; 24] = [
    "ssh.service",
    "nginx.service; reboot",
    "reboot.target",
    "systemd-poweroff.service",
    "emergency.target",
    "durhack-deployer-privileged.socket",
    "website.socket",
    "website.timer",
    "website@.service",
    "website@x.service",
    "website.service.service",
    "Website.service",
    "website.service ",
    " website.service",
    "*",
    "*.service",
    "-p",
    "--",
    "--user",
    "--root=/tmp/x",
    "-H",
    "../website.service",
    "/etc/systemd/system/website.service",
    "",
];

/// Where no site file may lie, or where an administrator's does.
const TARGETS: [&str; 16] = [
    "",
    ".",
    "nginx.conf",
    "mime.types",
    "conf.d",
    "conf.d/",
    "conf.d/.hidden.conf",
    "conf.d/../nginx.conf",
    "/etc/nginx/nginx.conf",
    "/etc/cron.d/hostile",
    "../cron.d/hostile",
    "modules-enabled/hostile.conf",
    "sites-enabled/hostile",
    "snippets/hostile.bin",
    "conf.d/\u{0}.conf",
    "conf.d/a\nb.conf",
];

/// What no site file may say.
const SITES: [&str; 9] = [
    "perl_set $x 'sub { BEGIN { system(q{touch /canary}); } }';",
    "init_by_lua_block { os.execute('touch /canary') }",
    "load_module /tmp/x.so;",
    "user root;",
    "server { access_log /etc/cron.d/hostile; }",
    "server { ssl_certificate_key /etc/shadow; }",
    "include /etc/shadow;",
    "server {",
    "\u{0}",
];

/// Names that are not listed, or are none.
const DOMAINS: [&str; 26] = [
    "evil.test",
    "b.a.test",
    "a.test.evil.test",
    "a.tes",
    "aa.test",
    "*.a.test",
    "*",
    "a.test.",
    ".a.test",
    "a..test",
    "A.test",
    "a.test,evil.test",
    "a.test evil.test",
    "-a.test",
    "a-.test",
    "a_b.test",
    "localhost",
    "127.0.0.1",
    "::1",
    "http://a.test",
    "a.test/../x",
    "../../etc/passwd",
    "caf\u{e9}.test",
    "a.test:80",
    "@a.test",
    "",
];

/// Options of certbot's with which people have become root, and others that would do.
const ESCALATIONS: [&[&str]; 24] = [
    &["--pre-hook", "touch /canary"],
    &["--pre-hook=touch /canary"],
    &["--post-hook", "touch /canary"],
    &["--deploy-hook", "touch /canary"],
    &["--renew-hook", "touch /canary"],
    &["--manual", "--manual-auth-hook", "touch /canary"],
    &["--manual-cleanup-hook", "touch /canary"],
    &["--nginx-ctl", "/tmp/evil"],
    &["--nginx-server-root", "/tmp"],
    &["--config", "/tmp/evil.ini"],
    &["-c", "/tmp/evil.ini"],
    &["--config-dir", "/tmp/evil"],
    &["--work-dir", "/etc"],
    &["--logs-dir", "/etc"],
    &["--server", "http://127.0.0.1:1/dir"],
    &["--key-path", "/etc/shadow"],
    &["--fullchain-path", "/etc/cron.d/x"],
    &["--webroot-path", "/etc"],
    &["-w", "/etc"],
    &["--csr", "/etc/shadow"],
    &["--cert-name", "../../etc"],
    &["--installer", "apache"],
    &["--user-agent", "x"],
    &["--", "x"],
];

/// What is written to the socket, byte for byte.
pub fn requests() -> Vec<Vec<u8>> {
    let mut requests: Vec<Vec<u8>> = words().iter().map(|words| json(words)).collect();
    let long = "a".repeat(60_000);
    let raw: [&[u8]; 24] = [
        b"",
        b"\n",
        b"\0",
        b"nginx-reload",
        b"nginx-reload\n",
        b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        b"\xff\xfe\xfd",
        b"[\"nginx-test\", \"\xff\"]",
        b"[",
        b"[[\"nginx-test\"]]",
        b"{\"verb\":\"nginx-test\"}",
        b"\"nginx-test\"",
        b"null",
        b"[null]",
        b"[1]",
        b"[\"nginx-test\"] [\"nginx-test\"]",
        b"[\"nginx-test\"]]",
        b"[\"nginx-test\",]",
        b"[\"nginx-\\u0000test\"]",
        b"\xef\xbb\xbf[\"nginx-test\"]",
        b"[\"\\ud800\"]",
        b"{\"done\":{\"code\":0,\"out\":\"\",\"err\":\"\"}}",
        b"#!/bin/sh\ntouch /canary\n",
        b"()\n{ :;}; touch /canary",
    ];
    requests.extend(raw.map(<[u8]>::to_vec));
    requests.extend([
        long.clone().into_bytes(),
        json(&["unit-restart".into(), long.clone()]),
        json(&["certificate".into(), format!("{}a.test", "a.".repeat(150))]),
        "[".repeat(30_000).into_bytes(),
        vec![0; 100_000],
        [b"[\"nginx-test\"".as_slice(), " ".repeat(2_200_000).as_bytes(), b"]"].concat(),
    ]);
    requests
}

/// A verb and its arguments, which must be refused whoever asks, and whichever way.
pub fn words() -> Vec<Vec<String>> {
    let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let mut all: Vec<Vec<String>> = Vec::new();
    for unit in UNITS {
        all.push(list(&["unit-restart", unit]));
        all.push(list(&["unit-start", unit]));
    }
    for injection in INJECTIONS {
        all.push(list(&["unit-restart", &format!("website.service{injection}")]));
        all.push(list(&["certificate", &format!("a.test{injection}")]));
    }
    for target in TARGETS {
        all.push(list(&["site-write", target, "server { listen 80; }\n"]));
        all.push(list(&["site-remove", target]));
    }
    for text in SITES {
        all.push(list(&["site-write", "conf.d/hostile.conf", text]));
    }
    for domain in DOMAINS {
        all.push(list(&["certificate", domain]));
        all.push(list(&["certificate-renew", "a.test", domain]));
    }
    for escalation in ESCALATIONS {
        all.push(list(&[&["certificate", "a.test"], escalation].concat()));
    }
    all.push(list(&[&["certificate"][..], &["a.test"; 101]].concat()));
    for words in [
        &["certificate"][..],
        &["nginx-test", "-c", "/tmp/evil.conf"],
        &["nginx-test", "-g", "load_module /tmp/evil.so;"],
        &["nginx-reload", "-s", "stop"],
        &["unit-restart"],
        &["unit-restart", "website.service", "ssh.service"],
        &["unit-mask", "website.service"],
        &["unit-edit", "website.service"],
        &["site-install", "../cron.d/x", "* * * * * root id"],
        &["sh", "-c", "touch /canary"],
        &["ask", "nginx-test"],
        &["--socket", "/tmp/x"],
        &["NGINX-TEST"],
        &[""],
    ] {
        all.push(list(words));
    }
    all
}

fn json(words: &[String]) -> Vec<u8> {
    let mut text = Vec::from(*b"[");
    for word in words {
        if text.len() > 1 {
            text.push(b',');
        }
        text.push(b'"');
        for character in word.chars() {
            match character {
                '"' | '\\' => text.extend([b'\\', character as u8]),
                '\0'..='\x1f' => text.extend(format!("\\u{:04x}", character as u32).into_bytes()),
                _ => text.extend(character.to_string().into_bytes()),
            }
        }
        text.push(b'"');
    }
    text.push(b']');
    text
}
