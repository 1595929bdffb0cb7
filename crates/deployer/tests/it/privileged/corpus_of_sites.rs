//! The corpus of `crates/nginx_policy`, in a machine: hostile files are refused by root, and lead to nothing where they come to be read all the
//! same; ordinary ones are written, tested and served. On Debian 12 and 13, with the modules of nginx-core, and with all of them.

#[path = "../../../../nginx_policy/tests/corpus/samples.rs"]
mod samples;

use super::past_the_deployer::{CANARY, STYLESHEET, TRACES, machine};
use super::{KEY, SENDER, answers, as_deployer, asks, said};
use crate::support::machine::{Debian, Machine, Modules, PRIVILEGED};
use nginx_policy::{Bounds, configuration};
use samples::{Sample, hostile, key_file, ordinary};
use std::collections::{BTreeMap, BTreeSet};

/// Tries to write each text of a file where nginx reads, as the deployer's user, and asks the helper for a test and a reload of those that it
/// could write. Prints how many could be written, and what was answered.
const BY_THE_USER: &str = r#"
import json, os, socket
def ask(*words):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect("/run/durhack-deployer-privileged.sock")
    connection.sendall(b"KEY\n" + json.dumps(words).encode())
    connection.shutdown(socket.SHUT_WR)
    answer = b""
    while piece := connection.recv(65536):
        answer += piece
    return json.loads(answer)
written, answers = 0, []
for text in json.load(open("/srv/requests")):
    for place in ("conf.d/hostile.conf", "snippets/hostile.conf", "sites-enabled/hostile", "modules-enabled/hostile.conf"):
        path = "/etc/nginx/" + place
        try:
            open(path, "w").write(text)
        except PermissionError:
            continue
        written += 1
        answers += [ask("nginx-test"), ask("nginx-reload")]
        os.remove(path)
print(json.dumps([written, answers]))
"#;

/// Writes each file of a list as root, which nobody else can, and asks the helper as the deployer's user what nginx's test says: exit code and
/// output of each.
const BY_ROOT: &str = r#"
import json, os, pwd, socket
user = pwd.getpwnam("durhack-deployer")
def ask(*words):
    connection = socket.socket(socket.AF_UNIX)
    os.setegid(user.pw_gid), os.seteuid(user.pw_uid)
    connection.connect("/run/durhack-deployer-privileged.sock")
    os.seteuid(0), os.setegid(0)
    connection.sendall(b"KEY\n" + json.dumps(words).encode())
    connection.shutdown(socket.SHUT_WR)
    answer = b""
    while piece := connection.recv(65536):
        answer += piece
    answer = json.loads(answer)
    # What root does not understand, it does not have nginx read.
    return answer.get("done") or {"code": 77, "out": "", "err": answer["refused"]}
said = []
for target, text in json.load(open("/srv/files")):
    path = "/etc/nginx/" + target
    open(path, "w").write(text)
    answer = ask("nginx-test")
    said.append([answer["code"], answer["out"] + answer["err"]])
    os.remove(path)
print(json.dumps(said))
"#;

/// What a visitor of each host gets, by paths that lead to what is root's.
const VISITOR: &str = r#"
import json, socket
for host in json.load(open("/srv/hosts")):
    for path in ("/", "/secret", "/root/secret", "/shadow", "/etc/shadow", "/s", "/k/id_rsa", "/c/credentials/webhook-secret", "/p.xml"):
        for port in (80, 8081):
            try:
                connection = socket.create_connection(("127.0.0.1", port), 5)
                connection.sendall(("GET %s HTTP/1.0\r\nHost: %s\r\n\r\n" % (path, host)).encode())
                while piece := connection.recv(65536):
                    print(piece)
            except OSError as error:
                print(error)
"#;

/// Has the helper do each of these, eight at once, and gives its answers.
fn ask_all(machine: &Machine, requests: &[Vec<&str>]) -> Vec<serde_json::Value> {
    let encoded = |words: &Vec<&str>| hex::encode(serde_json::to_vec(words).expect("a list of texts"));
    let requests: Vec<String> = requests.iter().map(encoded).collect();
    let answers: Vec<String> = answers(machine, &SENDER.replace("KEY", KEY), &requests);
    answers.iter().map(|answer| serde_json::from_str(answer).expect("the helper answers in JSON")).collect()
}

fn bounds() -> Bounds {
    Bounds {
        directory: "/etc/nginx".into(),
        certificates: "/etc/letsencrypt".into(),
        logs: "/var/log/nginx".into(),
        allowed: Vec::new(),
    }
}

/// What the files of the corpus name: programs, stylesheets and keys that would do something if nginx took them.
fn plant(machine: &Machine) {
    for file in ["/srv/x.xslt", "/var/www/web/current/html/x.xslt"] {
        machine.write(file, STYLESHEET);
    }
    machine.write("/srv/web/current/html/entities.dtd", "<!ENTITY k SYSTEM \"file:///root/secret\"> %k;");
    machine.write("/srv/x.pl", "package x; BEGIN { system(q{id > /etc/owned}); } 1;");
    machine.write("/srv/x.lua", "os.execute('id > /etc/owned')");
    machine.write("/root/.ssh/id_rsa", CANARY);
    machine.write("/etc/nginx/snippets/x", "10.0.0.0-10.255.255.255 a;\n");
    for directory in ["/etc/nginx/ca", "/etc/nginx/ssl"] {
        machine.run(&["mkdir", "-p", directory]);
    }
}

/// Each is refused at its line, and nothing is written.
fn are_refused_by_the_helper(machine: &Machine, files: &[Sample]) {
    let state = ["find", "/etc/nginx", "-printf", "%p %s %T@\n"];
    let before = machine.run(&state);
    let targets: Vec<String> =
        (0..files.len()).map(|number| format!("conf.d/hostile-{number}.conf")).collect();
    let requests: Vec<_> =
        targets.iter().zip(files).map(|(target, file)| vec!["site-write", target, &file.text]).collect();
    for (file, answer) in files.iter().zip(ask_all(machine, &requests)) {
        let refused = answer["refused"].as_str().unwrap_or_default();
        assert!(
            refused.contains(&format!("line {}: ", file.fields[0])) && refused.contains(&file.fields[1]),
            "{}: {answer}",
            file.name
        );
    }
    assert_eq!(machine.run(&state), before);
}

/// Whoever is the deployer's user cannot write them; where an access list of an earlier version lets it, root has nginx read none.
fn are_not_read_where_the_user_writes_them(machine: &Machine, files: &[Sample]) {
    let texts: Vec<&str> = files.iter().map(|file| file.text.as_str()).collect();
    let script = BY_THE_USER.replace("KEY", KEY);
    let (written, _): (usize, Vec<serde_json::Value>) = answers(machine, &script, &texts);
    assert_eq!(written, 0, "nginx's directories are root's");
    let access = "u:durhack-deployer:rwx,d:u:durhack-deployer:rwx";
    machine.run(&["setfacl", "-m", access, "/etc/nginx/conf.d"]);
    let (written, heard): (usize, Vec<serde_json::Value>) = answers(machine, &script, &texts);
    assert_eq!((written, heard.len()), (files.len(), 2 * files.len()));
    for answer in &heard {
        let why = answer["refused"].as_str().unwrap_or_default();
        let names = why.contains("/etc/nginx/conf.d") && why.contains("can be changed by others than root");
        assert!(names, "{answer}");
    }
    machine.run(&["setfacl", "-b", "/etc/nginx/conf.d"]);
}

/// What became of hostile files that root has written.
#[derive(Default)]
struct Read {
    /// nginx refused them: it does not know them, or its walls do not let it do what they say.
    refused: usize,
    /// nginx took them, and visitors asked for what is root's.
    served: usize,
    /// Those with a directive that this nginx has no module for.
    unknown: Vec<usize>,
}

/// Written by root, they come to be read: nothing of root's is seen, and nothing is done outside nginx.
fn lead_to_nothing_where_root_writes_them(machine: &Machine, files: &[&Sample]) -> Read {
    let before = machine.run(&["sh", "-c", TRACES]);
    // A name for each, so that a visitor can ask for all of them at once.
    let named = |(number, file): (usize, &&Sample)| {
        let text = file.text.replacen("server {", &format!("server {{ server_name h{number}.test;"), 1);
        (format!("conf.d/h{number}.conf"), text)
    };
    let all: Vec<(String, String)> = files.iter().enumerate().map(named).collect();
    // What only leads nginx's user elsewhere is good configuration to nginx: these are tested together, further down.
    let is_configuration = |(_, file): &(usize, &&Sample)| {
        ["whom nginx asks", "visitors send", "leads up", "may be served", "own services"]
            .contains(&file.fields[1].as_str())
    };
    let (good, doubtful): (Vec<_>, Vec<_>) = files.iter().enumerate().partition(is_configuration);
    let doubtful: Vec<usize> = doubtful.into_iter().map(|(number, _)| number).collect();
    let texts: Vec<_> = doubtful.iter().map(|&number| &all[number]).collect();
    machine.write("/srv/files", &serde_json::to_string(&texts).expect("lists of text"));
    let output = machine.run(&["python3", "-c", &BY_ROOT.replace("KEY", KEY)]);
    let tested: Vec<(i32, String)> = serde_json::from_str(&output).expect("the script prints JSON");
    let mut read = Read::default();
    let mut pending: Vec<_> = good.into_iter().map(|(number, _)| all[number].clone()).collect();
    for (&number, (code, heard)) in doubtful.iter().zip(&tested) {
        assert!(!heard.contains(CANARY), "{}: {heard}", files[number].name);
        if *code == 0 {
            pending.push(all[number].clone());
        } else if heard.contains("unknown directive") {
            read.unknown.push(number);
        }
    }
    assert_eq!(machine.run(&["sh", "-c", TRACES]), before, "{}", machine.picture());
    let mut alone = Vec::new();
    while !pending.is_empty() || !alone.is_empty() {
        if pending.is_empty() {
            pending.extend(alone.pop());
        }
        for (target, text) in &pending {
            machine.write(&format!("/etc/nginx/{target}"), text);
        }
        let remove = |target: &str| machine.run(&["rm", &format!("/etc/nginx/{target}")]);
        let mut later = until_accepted(machine, &mut pending, |target| drop(remove(target)));
        if pending.is_empty() {
            pending = later;
            continue;
        }
        let reloaded = machine.try_run(&["systemctl", "reload", "nginx"]);
        if reloaded.status.success() {
            let hosts: Vec<String> = pending
                .iter()
                .map(|(target, _)| target.replace("conf.d/", "").replace(".conf", ".test"))
                .collect();
            machine.write("/srv/hosts", &serde_json::to_string(&hosts).expect("lists of text"));
            let served = machine.run(&["python3", "-c", VISITOR]);
            assert!(!served.contains(CANARY), "{pending:?}: {served}");
            read.served += pending.len();
        } else if pending.len() > 1 {
            // The walls of nginx's own unit refuse what its test, which is not root, only warns of. The complaint names a path.
            let log = machine.run(&["journalctl", "--no-pager", "-o", "cat", "-u", "nginx", "-n", "20"]);
            let complaint = log.lines().rfind(|line| line.contains("[emerg]")).unwrap_or_default();
            let mut words = complaint.split([' ', '"', ',']).map(|word| word.trim_start_matches("unix:"));
            let path = words.find(|word| word.starts_with('/')).unwrap_or_else(|| panic!("{log}"));
            let (to_blame, others): (Vec<_>, Vec<_>) =
                pending.iter().cloned().partition(|(_, text)| text.contains(path));
            assert!(!to_blame.is_empty(), "{log}");
            alone.extend(to_blame);
            later.extend(others);
        }
        pending.iter().for_each(|(target, _)| drop(remove(target)));
        pending = later;
    }
    asks(machine, &["nginx-reload"]);
    read.refused = files.len() - read.served;
    let log = machine.run(&["sh", "-c", "cat /var/log/nginx/*.log; journalctl --no-pager -o cat"]);
    assert!(!log.contains(CANARY), "{log}");
    assert_eq!(machine.run(&["sh", "-c", TRACES]), before, "{}", machine.picture());
    read
}

/// Has nginx test what is there until it accepts it. Two files may not be possible together, such as two with an `upstream` of one name: the one
/// that nginx complains of is removed, and is given back for another time. Hosts that it looks up get an address. Nothing is left where nginx refuses the
/// only one.
fn until_accepted(
    machine: &Machine,
    there: &mut Vec<(String, String)>,
    remove: impl Fn(&str),
) -> Vec<(String, String)> {
    let mut later = Vec::new();
    loop {
        let output = as_deployer(machine, &[PRIVILEGED, "ask", "nginx-test"]);
        let heard = said(&output);
        if output.status.success() {
            return later;
        }
        if let Some(host) = between(&heard, "host not found in upstream \"", "\"") {
            let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
            machine.run(&["sh", "-c", "echo 127.0.0.1 $0 >> /etc/hosts", host]);
            continue;
        }
        let named = between(&heard, " in /etc/nginx/", ".conf:").map(|name| format!("{name}.conf"));
        // Of a variable that nobody defines nginx says only the name.
        let word = between(&heard, "\"", "\"").unwrap_or("no word");
        let at = there
            .iter()
            .position(|(target, _)| Some(target) == named.as_ref())
            .or_else(|| there.iter().position(|(_, text)| text.contains(word)));
        let at = at.unwrap_or_else(|| panic!("{heard}"));
        let file = there.remove(at);
        remove(&file.0);
        if there.is_empty() {
            println!(
                "{}: {}",
                file.0,
                heard.lines().rfind(|line| line.contains("[emerg]")).unwrap_or_default()
            );
            return later;
        }
        later.push(file);
    }
}

/// What stands between these two in the last complaint.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let line = text.lines().rfind(|line| line.contains("[emerg]"))?;
    let (_, rest) = line.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}

/// What happened to the ordinary files.
struct Accepted {
    written: usize,
    served: usize,
    /// Those that need what this nginx has not, by what that is.
    without: BTreeMap<String, usize>,
}

/// Each is written by the helper, tested together with others, and read by nginx. Then all of them are removed.
fn are_written_tested_and_read(
    machine: &Machine,
    debian: Debian,
    modules: Modules,
    files: &[Sample],
) -> Accepted {
    let has = machine.modules(modules);
    let mut without = BTreeMap::new();
    let missing = |file: &Sample| {
        let mut needs = file.fields.iter().flat_map(|field| field.split_whitespace());
        let is_there = |need: &str| match need {
            "1.25.1" => debian == Debian::Trixie,
            "1.18" | "1.22" => debian == Debian::Bookworm,
            module => {
                let name = if module == "ndk_http" { "http_ndk" } else { module };
                has.contains(&format!("mod-{}", name.replace('_', "-")))
            }
        };
        // As systemd starts nginx, its output is a socket, which is not opened again.
        let is_containers = file.text.contains("/dev/stdout") || file.text.contains("/dev/stderr");
        needs
            .find(|need| !is_there(need))
            .map(str::to_owned)
            .or_else(|| is_containers.then(|| "an output to open, as in a container".to_owned()))
            .or_else(|| file.text.contains("geoip").then(|| "a database of MaxMind's".to_owned()))
    };
    let target = |file: &Sample| match file.name.starts_with("snippets/") {
        true => file.name.clone(),
        false => format!("conf.d/{}.conf", file.name),
    };
    let targets: Vec<String> = files.iter().map(target).collect();
    let write: Vec<_> =
        targets.iter().zip(files).map(|(target, file)| vec!["site-write", target, &file.text]).collect();
    let remove: Vec<_> = targets.iter().map(|target| vec!["site-remove", target.as_str()]).collect();
    for (file, answer) in files.iter().zip(ask_all(machine, &write)) {
        assert_eq!(answer["done"]["code"], 0, "{}: {answer}", file.name);
    }
    let mut pending = Vec::new();
    for (target, file) in targets.iter().zip(files).filter(|(target, _)| target.starts_with("conf.d/")) {
        match missing(file) {
            None => pending.push((target.clone(), file.text.clone())),
            Some(need) => {
                *without.entry(need).or_default() += 1;
                asks(machine, &["site-remove", target]);
            }
        }
    }
    let served = pending.len();
    while !pending.is_empty() {
        let later = until_accepted(machine, &mut pending, |target| asks(machine, &["site-remove", target]));
        assert!(!pending.is_empty(), "nginx refuses a file that is alone");
        asks(machine, &["nginx-reload"]);
        let gone: Vec<_> = pending.iter().map(|(target, _)| vec!["site-remove", target.as_str()]).collect();
        ask_all(machine, &gone);
        let next: Vec<_> =
            later.iter().map(|(target, text)| vec!["site-write", target.as_str(), text.as_str()]).collect();
        ask_all(machine, &next);
        pending = later;
    }
    for answer in ask_all(machine, &remove) {
        assert_eq!(answer["done"]["code"], 0, "{answer}");
    }
    Accepted { written: files.len(), served, without }
}

/// Makes the keys and databases that the files name, and directories that their owners would have made.
fn surroundings(machine: &Machine, files: &[Sample]) {
    let mut made = BTreeSet::new();
    // As certbot writes it.
    machine.write("/etc/letsencrypt/options-ssl-nginx.conf", "ssl_session_timeout 1440m;\n");
    for file in files {
        let directives =
            nginx_policy::judge(file.text.as_bytes(), &bounds()).expect("it is an ordinary file");
        configuration::each(&directives, &mut |directive| {
            let path = directive.argument().unwrap_or_default();
            if nginx_policy::names_key_file(directive.name())
                && !path.is_empty()
                && made.insert(path.to_owned())
            {
                let path = std::path::Path::new("/etc/nginx").join(path);
                let file = machine.path(&path.to_string_lossy());
                fs_err::create_dir_all(file.parent().expect("a file lies in a directory")).expect("writable");
                fs_err::write(file, key_file(directive.name())).expect("writable");
            }
        });
    }
}

fn hostile_files_lead_to_nothing(debian: Debian) {
    let machine = machine(debian);
    plant(&machine);
    machine.enable_modules(Modules::Core);
    machine.run(&["systemctl", "restart", "nginx"]);
    let files = hostile();
    assert!(files.len() >= 200, "{}", files.len());
    are_refused_by_the_helper(&machine, &files);
    are_not_read_where_the_user_writes_them(&machine, &files);
    let all: Vec<&Sample> = files.iter().collect();
    let core = lead_to_nothing_where_root_writes_them(&machine, &all);
    // The others nginx has understood already.
    machine.enable_modules(Modules::Extras);
    machine.run(&["systemctl", "restart", "nginx"]);
    let others: Vec<&Sample> = core.unknown.iter().map(|&number| &files[number]).collect();
    let extras = lead_to_nothing_where_root_writes_them(&machine, &others);
    println!(
        "{debian:?}: {0} hostile files: {0} refused by the helper; none could be written by its user; {0} not read where an access list lets it; \
         written by root: nginx-core took {1} and refused {2}, nginx-extras took {3} of the {4} that nginx-core does not know; nothing of root's \
         was seen or changed",
        files.len(),
        core.served,
        core.refused,
        extras.served,
        others.len(),
    );
}

fn ordinary_files_are_served(debian: Debian) {
    let machine = machine(debian);
    // Debian's own would be in the way of the corpus'.
    machine.run(&["sh", "-c", "rm /etc/nginx/snippets/* /etc/nginx/sites-enabled/default"]);
    // What Debian's nginx.conf says for all sites, a file cannot say for all of them again.
    let once = "/^[[:space:]]*(ssl_|gzip|types_hash|server_tokens|sendfile|tcp_)/d";
    machine.run(&["sed", "-i", "-E", once, "/etc/nginx/nginx.conf"]);
    let files = ordinary();
    assert!(files.len() >= 200, "{}", files.len());
    surroundings(&machine, &files);
    for modules in [Modules::Core, Modules::Extras] {
        machine.enable_modules(modules);
        machine.run(&["systemctl", "restart", "nginx"]);
        let accepted = are_written_tested_and_read(&machine, debian, modules, &files);
        println!(
            "{debian:?}, {modules:?}: {} ordinary files written by the helper, {} sites tested and read by nginx; not tested, as this nginx \
             lacks what they need: {:?}",
            accepted.written, accepted.served, accepted.without
        );
    }
}

#[test]
fn hostile_files_lead_to_nothing_on_debian_12() {
    hostile_files_lead_to_nothing(Debian::Bookworm);
}

#[test]
fn hostile_files_lead_to_nothing_on_debian_13() {
    hostile_files_lead_to_nothing(Debian::Trixie);
}

#[test]
fn ordinary_files_are_served_on_debian_12() {
    ordinary_files_are_served(Debian::Bookworm);
}

#[test]
fn ordinary_files_are_served_on_debian_13() {
    ordinary_files_are_served(Debian::Trixie);
}
