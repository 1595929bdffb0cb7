//! The corpus: site files as people write them are accepted, hostile ones refused at the expected line, and the list covers
//! every directive of Debian's nginx with a decision.

#![expect(clippy::unwrap_used, reason = "in a test an error is a failure, also in its supporting functions")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test asks the machine's own nginx, and what the environment offers"
)]

#[path = "corpus/samples.rs"]
mod samples;

use nginx_policy::configuration::each;
use nginx_policy::{Bounds, judge, judge_allowance, judge_name, judge_together};
use proptest::prelude::*;
use samples::{Sample, hostile, key_file, ordinary};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

fn bounds() -> Bounds {
    Bounds {
        directory: "/etc/nginx".into(),
        certificates: "/etc/letsencrypt".into(),
        logs: "/var/log/nginx".into(),
        allowed: Vec::new(),
    }
}

#[test]
fn two_hundred_ordinary_files_pass() {
    let all = ordinary();
    let names: BTreeSet<&str> = all.iter().map(|sample| sample.name.as_str()).collect();
    assert_eq!(names.len(), all.len(), "each has its own name");
    assert!(all.len() >= 200, "{}", all.len());
    let wrong: Vec<String> = all
        .iter()
        .filter_map(|sample| {
            let objections = judge(sample.text.as_bytes(), &bounds()).err()?;
            Some(format!("{}: {}", sample.name, objections[0]))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn hostile_files_are_refused_at_their_line() {
    let all = hostile();
    assert!(all.len() >= 100, "{}", all.len());
    let mut wrong = Vec::new();
    for Sample { name, fields, text } in &all {
        let (line, says) = (fields[0].parse::<usize>().unwrap(), fields[1].as_str());
        match judge(text.as_bytes(), &bounds()) {
            Ok(_) => wrong.push(format!("{name}: accepted")),
            Err(objections)
                if objections.iter().any(|found| found.line == line && found.message.contains(says)) => {}
            Err(objections) => wrong.push(format!("{name}: {objections:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn hostile_characters_are_refused_at_their_line() {
    for (text, says) in [
        ("\u{feff}server { }", "U+FEFF"),
        ("server { } \0", "U+0000"),
        ("# \u{1b}[2J", "U+001B"),
        ("# a\rxslt_stylesheet /x;", "U+000D"),
        ("server { } \r", "U+000D"),
        ("# \u{85}", "U+0085"),
        ("# \u{7f}", "U+007F"),
        ("# \u{202e}", "U+202E"),
        ("# \u{2066}", "U+2066"),
        ("# \u{200b}", "U+200B"),
        ("# \u{2028}", "U+2028"),
    ] {
        let objections = judge(format!("\n{text}").as_bytes(), &bounds()).unwrap_err();
        assert_eq!(objections[0].line, 2, "{text:?}");
        assert!(objections[0].message.contains(says), "{text:?}: {objections:?}");
    }
    let objections = judge(b"# a\n# \xff\n", &bounds()).unwrap_err();
    assert!(objections[0].line == 2 && objections[0].message.contains("UTF-8"), "{objections:?}");
}

/// The judge is asked by a process that is root: whatever it is given, it answers, and briefly.
#[test]
fn bombs_are_answered() {
    let megabyte = 1024 * 1024;
    for unit in [
        "a;",
        "a{",
        "{",
        "}",
        "server{",
        "a a ",
        "\"",
        "\"\" ",
        "\\",
        "${",
        "#",
        "\n",
        "x 1;\n",
        "map $a $b{a b;}",
        "\u{e9}",
    ] {
        let text = unit.repeat(megabyte / unit.len());
        for text in [text.clone(), format!("server {{ {text}"), format!("map $a $b {{ {text} }}")] {
            answers(text.as_bytes());
        }
    }
    let word = "x".repeat(megabyte - 10);
    answers(format!("{word};").as_bytes());
    answers(format!("root /{};", &word[..megabyte - 20]).as_bytes());
    answers("server { ".repeat(40).as_bytes());
    answers(&vec![0; 64 * megabyte]);
}

/// Variables that are made of variables, and what is put together of them again and again. Each of these took minutes or gigabytes once.
#[test]
fn bombs_of_variables_are_answered() {
    let chain = |numbers: Box<dyn Iterator<Item = usize>>, link: &str| {
        let link = |number: usize| {
            link.replace("NEXT", &(number + 1).to_string()).replace("THIS", &number.to_string())
        };
        numbers.map(link).collect::<String>()
    };
    for link in [
        "set $vTHIS $vNEXT;\n",
        "map $vNEXT $vTHIS { default $vNEXT; }\n",
        "map $vNEXT $vTHIS { ~^(.*)$ $1; }\n",
        "if ($vNEXT ~ ^(.*)$) { set $vTHIS $1; }\n",
        "if ($vNEXT ~ ^(?<vTHIS>.*)$) { break; }\n",
        "set_md5 $vTHIS $vNEXT;\n",
    ] {
        for (last, is_accepted) in [(1_000, true), (4_000, false)] {
            let orders: [Box<dyn Iterator<Item = usize>>; 2] = [Box::new(1..last), Box::new((1..last).rev())];
            for numbers in orders {
                let text = chain(numbers, link) + &format!("set $v{last} $arg_x;\n");
                // What comes out at its end is still seen to be a visitor's.
                let used = format!("server {{ {text} root /srv/$v1; }}");
                assert!(judge(used.as_bytes(), &bounds()).is_err(), "{link}");
                let unused = judge(format!("server {{ {text} }}").as_bytes(), &bounds());
                assert_eq!(unused.is_ok(), is_accepted, "{link}: {unused:?}");
            }
        }
    }
    let values: String = (0..1_990).map(|number| format!("k{number} v{number};\n")).collect();
    let uses = "location / { root /srv/$b; }\n".repeat(8_000);
    answers(format!("map $uri $b {{ {values} }} server {{ {uses} }}").as_bytes());
    let different: String =
        (0..8_000).map(|number| format!("location / {{ root /srv/$b/{number}; }}\n")).collect();
    answers(format!("map $uri $b {{ {values} }} server {{ {different} }}").as_bytes());
    let many_opens = "$x".repeat(1_000);
    let opens = format!("location / {{ root /srv/{many_opens}$b; }}\n").repeat(300);
    answers(format!("map $uri $b {{ {values} }} server {{ {opens} }}").as_bytes());
    // One long value, several times in one word.
    for length in [900_000, 4_000] {
        let value = "a".repeat(length);
        let times = "$x".repeat(10);
        let uses = format!("location / {{ root /srv/{times}; }}\n").repeat(2_000);
        let text = format!("map $uri $x {{ default \"{value}\"; }} server {{ root /srv/{times}; {uses} }}");
        assert!(judge(text.as_bytes(), &bounds()).is_err());
    }
    // The same where the files of a host are looked at together.
    let map = format!("map $uri $b {{ {values} }}");
    let site = format!("server {{ {} }}", "location / { root /srv/$b; }\n".repeat(20));
    let judged: Vec<_> = [map, site].iter().map(|text| judge(text.as_bytes(), &bounds()).unwrap()).collect();
    let mut all = vec![judged[0].as_slice()];
    all.extend(std::iter::repeat_n(judged[1].as_slice(), 50));
    assert!(judge_together(&all, &bounds()).is_empty());
}

#[test]
fn a_word_that_nginx_would_not_take_is_refused() {
    let of = |length: usize| format!("server {{\nadd_header x \"{}\"; }}", "a".repeat(length));
    assert!(judge(of(4_000).as_bytes(), &bounds()).is_ok());
    let objections = judge(of(4_100).as_bytes(), &bounds()).unwrap_err();
    assert!(objections[0].line == 2 && objections[0].message.contains("too long"), "{objections:?}");
}

/// Few objections, and short ones.
fn answers(text: &[u8]) {
    if let Err(objections) = judge(text, &bounds()) {
        assert!((1..=100).contains(&objections.len()));
        assert!(objections.iter().all(|found| found.line > 0 && found.message.len() < 2_000));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn random_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        answers(&bytes);
    }

    #[test]
    fn random_configurations_are_answered(
        parts in proptest::collection::vec(
            prop::sample::select(vec![
                "server", "location", "map", "geo", "include", "root", "listen", "ranges", "access_log", "proxy_pass", "unix:", "/run/",
                "ssl_certificate", "try_files", "if", "..", "/", "$x", "${", "{", "}", ";", " ", "\n", "\"", "'", "\\", "#", "é", "[", "]", ":", "-", "0", "443",
                "syslog:server=", "fastcgi_param", "uwsgi_modifier1", "geoip2", "*", ".bin", "html/", "UNIX:", "echo_subrequest", "-f",
            ]),
            0..40,
        )
    ) {
        answers(parts.concat().as_bytes());
    }

    #[test]
    fn random_names_and_allowances_are_answered(name in "\\PC{0,40}") {
        let _ = judge_name(&name);
        let _ = judge_name(&format!("conf.d/{name}"));
        let _ = judge_allowance(&name);
    }

    /// Whatever else is in a file, a directive that is not on the list is seen.
    #[test]
    fn nothing_hides_a_directive(before in "[a-z \\n\"'{};#$\\\\]{0,40}") {
        let text = format!("{before}\nxslt_stylesheet /x;\n");
        if let Ok(directives) = judge(text.as_bytes(), &bounds()) {
            // Then it is a comment's, a quote's or another directive's argument to nginx too.
            each(&directives, &mut |directive| assert_ne!(directive.name(), "xslt_stylesheet"));
        }
    }
}

/// What `directives.txt` says of each command that Debian's binaries know is what the list does. The file was made from those binaries.
#[test]
fn every_directive_of_debians_nginx_has_its_decision() {
    let table = std::fs::read_to_string(corpus().join("directives.txt")).unwrap();
    let mut counts = BTreeMap::new();
    let mut wrong = Vec::new();
    for line in table.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let mut words = line.split_whitespace();
        let [decision, name] = [(); 2].map(|()| words.next().unwrap());
        *counts.entry(decision).or_insert(0) += 1;
        if decision != decided(name) {
            wrong.push(format!("{name}: {decision} is written, and it is {}", decided(name)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(counts.values().sum::<i32>() > 1000, "{counts:?}");
}

/// `listed`: every site may say it, some with rules for its arguments. `allowable`: an operator may allow it. `never`: nobody can.
fn decided(name: &str) -> &'static str {
    let objections = [format!("{name};"), format!("{name} {{ }}")].map(|text| {
        judge(text.as_bytes(), &bounds()).err().map_or(String::new(), |found| found[0].message.clone())
    });
    if !objections.iter().all(|message| message.contains("not on the list") || message.contains("nginx.conf"))
    {
        return "listed";
    }
    if judge_allowance(name).is_ok() { "allowable" } else { "never" }
}

#[test]
fn what_an_operator_allows_passes_and_nothing_else_does() {
    let allowing = |allowed: &[&str]| Bounds {
        allowed: allowed.iter().map(|name| (*name).to_owned()).collect(),
        ..bounds()
    };
    for (text, allowed) in [
        ("server { location / { xslt_stylesheet /srv/x.xslt; } }", "xslt_stylesheet"),
        ("server { root /data2/www/x; }", "/data2/www"),
        ("server { location /x { alias /srv/x/.cache/pages/; } }", "/srv/x/.cache"),
        ("server { dav_methods PUT; }", "dav_methods"),
        ("access_log /srv/x/log;", "access_log"),
        ("third_party on;", "third_party"),
        ("server { listen 22; }", "listen"),
    ] {
        assert!(judge(text.as_bytes(), &bounds()).is_err(), "{text}");
        assert_eq!(judge(text.as_bytes(), &allowing(&[allowed])).err(), None, "{text}");
        assert!(judge(text.as_bytes(), &allowing(&["another"])).is_err(), "{text}");
    }
    for (text, allowed) in [
        ("load_module x;", "load_module"),
        ("user root;", "user"),
        ("geo $x { ranges; include snippets/x; }", "include"),
        ("server { root /etc; }", "/srv"),
    ] {
        assert!(judge(text.as_bytes(), &allowing(&[allowed])).is_err(), "{text}");
    }
}

#[test]
fn what_another_file_decides_is_seen_where_files_are_judged_together() {
    let site =
        "server { location /a { set $backend 127.0.0.1; }\n location / { proxy_pass http://$backend; } }";
    for (other, is_good) in [
        ("server { set $backend 127.0.0.2:3000; location / { proxy_pass http://$backend; } }", true),
        ("map $host $another { default $arg_x; }", true),
        ("map $host $backend { default $arg_x; }", false),
        ("server { location ~ ^/(?<backend>.*)$ { return 204; } }", false),
        ("map $host $backend { default unix:/run/docker.sock; }", false),
    ] {
        let files = [site, other].map(|text| judge(text.as_bytes(), &bounds()).unwrap());
        let found = judge_together(&[&files[0], &files[1]], &bounds());
        assert_eq!(found.is_empty(), is_good, "{other}: {found:?}");
        assert!(found.iter().all(|(number, objection)| (*number, objection.line) == (0, 2)), "{found:?}");
    }
}

/// Every accepted file is one that nginx accepts too, as far as this machine's nginx has what it needs.
#[test]
fn nginx_accepts_the_ordinary_files() {
    let Some(nginx) = Nginx::find() else {
        assert!(std::env::var_os("CI").is_none(), "nginx is not installed");
        return;
    };
    let all = ordinary();
    let mut wrong = Vec::new();
    let mut tried = 0;
    for sample in &all {
        // A snippet is tested where a site includes it.
        if sample.name.starts_with("snippets/") || !nginx.has(&sample.fields) {
            continue;
        }
        tried += 1;
        if let Err(says) = nginx.test(sample, &all) {
            wrong.push(format!("{}: {says}", sample.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tried >= 180, "{tried}");
}

/// This machine's nginx, with the modules that are there.
struct Nginx {
    version: (u32, u32, u32),
    /// `NGINX_MODULES`: where further modules of the same build lie.
    modules: PathBuf,
}

impl Nginx {
    fn find() -> Option<Self> {
        let output = Command::new("/usr/sbin/nginx").arg("-v").output().ok()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let version = text.split("nginx/").nth(1)?.split_whitespace().next()?;
        let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        let modules = std::env::var_os("NGINX_MODULES").unwrap_or_else(|| "/usr/lib/nginx/modules".into());
        Some(Self { version: (next(), next(), next()), modules: modules.into() })
    }

    /// Of what a sample needs: modules by name, the version from which on it is possible, or of the `1.18` kind the last that it is for.
    fn has(&self, needs: &[String]) -> bool {
        needs.iter().flat_map(|need| need.split_whitespace()).all(|need| match need {
            "1.25.1" => self.version >= (1, 25, 1),
            "1.18" | "1.22" => self.version < (1, 25, 0),
            module => self.module(module).exists(),
        })
    }

    fn module(&self, name: &str) -> PathBuf {
        let name = if name == "ndk_http" { name.to_owned() } else { format!("ngx_{name}") };
        self.modules.join(format!("{name}_module.so"))
    }

    /// A whole configuration with this file in it, below a directory of its own.
    fn test(&self, sample: &Sample, all: &[Sample]) -> Result<(), String> {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path();
        let etc = root.join("etc/nginx");
        let moved = |text: &str| {
            let mut text = text.to_owned();
            for directory in [
                "/etc/nginx",
                "/etc/letsencrypt",
                "/etc/ssl",
                "/var/log/nginx",
                "/var/cache/nginx",
                "/usr/share/GeoIP",
                "/var/lib/GeoIP",
            ] {
                text = text.replace(&format!("{directory}/"), &format!("{}{directory}/", root.display()));
                text = text.replace(&format!("{directory} "), &format!("{}{directory} ", root.display()));
            }
            text
        };
        for directory in
            ["etc/nginx/conf.d/upstreams", "etc/letsencrypt", "var/log/nginx", "var/cache/nginx", "temporary"]
        {
            std::fs::create_dir_all(root.join(directory)).unwrap();
        }
        for name in
            ["mime.types", "fastcgi_params", "fastcgi.conf", "uwsgi_params", "scgi_params", "proxy_params"]
        {
            std::fs::copy(Path::new("/etc/nginx").join(name), etc.join(name)).unwrap();
        }
        std::fs::write(root.join("etc/letsencrypt/options-ssl-nginx.conf"), "ssl_session_timeout 1440m;\n")
            .unwrap();
        for snippet in all.iter().filter(|sample| sample.name.starts_with("snippets/")) {
            let path = etc.join(&snippet.name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, moved(&snippet.text)).unwrap();
        }
        let directives = judge(sample.text.as_bytes(), &bounds()).map_err(|found| format!("{found:?}"))?;
        let mut text = sample.text.clone();
        let mut replacements = Vec::new();
        each(&directives, &mut |directive| {
            let Some(first) = directive.arguments().first() else { return };
            if nginx_policy::names_key_file(directive.name()) {
                let path = etc.join(moved(&first.text));
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, key_file(directive.name())).unwrap();
            }
            if directive.name() == "listen" {
                replacements.push((first.place.clone(), high_port(&first.text)));
            }
            // One session cache has one size, and a log socket may not be there.
            if directive.name().ends_with("_log") && first.text.starts_with("/dev/std") {
                replacements.push((first.place.clone(), root.join("log").display().to_string()));
            }
        });
        replacements.sort_by_key(|(place, _)| std::cmp::Reverse(place.start));
        for (place, by) in replacements {
            text.replace_range(place, &by);
        }
        std::fs::write(etc.join("conf.d/site.conf"), moved(&text)).unwrap();
        let mut main = String::new();
        for module in sample
            .fields
            .iter()
            .flat_map(|field| field.split_whitespace())
            .filter(|need| !need.starts_with("1."))
        {
            main += &format!("load_module {};\n", self.module(module).display());
        }
        main += &format!(
            "pid {0}/pid; lock_file {0}/lock; error_log {0}/error.log; events {{ }}\nhttp {{\n",
            root.display()
        );
        main += "include mime.types; access_log off;\n";
        for name in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            main += &format!("{name}_temp_path {}/temporary/{name};\n", root.display());
        }
        main += "include conf.d/*.conf;\n}\n";
        std::fs::write(etc.join("nginx.conf"), main).unwrap();
        let output = Command::new("/usr/sbin/nginx")
            .arg("-t")
            .arg("-p")
            .arg(root)
            .arg("-c")
            .arg(etc.join("nginx.conf"))
            .arg("-e")
            .arg(root.join("error.log"))
            .output()
            .unwrap();
        let says = String::from_utf8_lossy(&output.stderr).into_owned();
        let says = says.lines().find(|line| line.contains("[emerg]")).unwrap_or(&says).to_owned();
        // Hosts and databases of the samples are not there.
        let is_surroundings =
            ["host not found", "GeoIP", "GeoLite", "libmaxminddb"].iter().any(|word| says.contains(word));
        if output.status.success() || is_surroundings { Ok(()) } else { Err(says) }
    }
}

/// Privileged ports become others, which this test can bind.
fn high_port(address: &str) -> String {
    let high = |port: &str| port.parse::<u32>().map(|port| (20_000 + port % 10_000).to_string());
    if let Ok(port) = high(address) {
        return port;
    }
    match address.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => format!("{host}:{}", high(port).unwrap()),
        _ => format!("{address}:20080"),
    }
}
