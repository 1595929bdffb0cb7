//! An nginx of a test's own: real, without rights, on a free port of loopback, with everything it needs below the world.

use super::configuration::text;
use super::process::{command, output, succeed};
use super::servers::free_port;
use super::wait;
use super::world::World;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

/// The system's user without any rights, as which daemon and nginx run.
const NOBODY: u32 = 65534;

/// See the module. Ends nginx when it is dropped, so it must not outlive the test's closure.
#[derive(Debug)]
pub struct Nginx {
    prefix: PathBuf,
    pub port: u16,
    server: Option<Child>,
}

impl Nginx {
    /// Writes its configuration, and the world's settings for it. The daemon will run without rights.
    pub fn prepare(world: &mut World) -> Self {
        let prefix = world.root().join("nginx");
        for directory in ["conf.d", "snippets", "logs", "temporary"] {
            fs_err::create_dir_all(prefix.join(directory)).expect("the world is writable");
        }
        let nginx = Self { prefix, port: free_port(), server: None };
        nginx.write("nginx.conf", &nginx.configuration());
        let quoted = |path: &Path| text(&path.to_string_lossy());
        world.settings.set("privileges", "\"direct\"");
        world.settings.set("nginx.directory", quoted(&nginx.prefix));
        world.settings.set("nginx.prefix", quoted(&nginx.prefix));
        world.settings.set("nginx.log_directory", quoted(&nginx.prefix.join("logs")));
        world.settings.set("nginx.reload", "\"signal\"");
        world.settings.set("certificates.directory", quoted(&world.root().join("letsencrypt")));
        world.drop_privileges();
        nginx
    }

    fn configuration(&self) -> String {
        let (prefix, port) = (self.prefix.display(), self.port);
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {prefix}/temporary/{kind};\n"))
            .concat();
        format!(
            "worker_processes 1;\npid {prefix}/nginx.pid;\nerror_log {prefix}/logs/error.log;\nevents {{ worker_connections 512; }}\n\
             http {{\naccess_log off;\nserver_names_hash_bucket_size 128;\n{temporary}\
             include {prefix}/conf.d/*.conf;\ninclude conf.d/*.nginxconf;\n\
             server {{ listen 127.0.0.1:{port} default_server; location / {{ return 404; }}\n\
             location /.well-known/acme-challenge/ {{ root {prefix}/../webroot; }} }}\n}}\n"
        )
    }

    /// Starts it; the world must have been started, which gives everything in it to the user without rights.
    #[track_caller]
    pub fn start(&mut self) {
        let owner = format!("{NOBODY}:{NOBODY}");
        succeed(command("chown", &self.prefix).args(["-R", "-h", &owner]).arg(&self.prefix));
        let identity = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".into()];
        let mut server = command("setpriv", &self.prefix);
        server.args(identity).arg("nginx").arg("-p").arg(&self.prefix).arg("-c").arg(self.path("nginx.conf"));
        server.args(["-g", "daemon off;"]).stdout(Stdio::null()).stderr(Stdio::null());
        self.server = Some(server.spawn().expect("setpriv is installed"));
        wait::until("nginx to listen", || TcpStream::connect(("127.0.0.1", self.port)).ok());
    }

    /// A path below its directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.prefix.join(name)
    }

    /// Writes one of its files, as the host's administrator would.
    pub fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        fs_err::create_dir_all(path.parent().expect("it lies in a directory")).expect("writable");
        fs_err::write(path, content).expect("writable");
    }

    /// The process ids of the workers that serve.
    #[track_caller]
    pub fn workers(&self) -> BTreeSet<String> {
        let master = self.server.as_ref().expect("it was started").id().to_string();
        wait::until("nginx's old workers to be gone", || {
            let listing = output(command("ps", &self.prefix).args(["--ppid", &master, "-o", "pid=,args="]));
            let listing = String::from_utf8_lossy(&listing.stdout).into_owned();
            let leaving = listing.contains("shutting down");
            let pids = listing.lines().filter_map(|line| line.split_whitespace().next().map(str::to_owned));
            let pids: BTreeSet<String> = pids.collect();
            (!leaving && pids.len() == 1).then_some(pids)
        })
    }

    /// Everything below `conf.d` and `snippets`: paths, and what is there, byte for byte.
    pub fn files(&self) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        for path in ["conf.d", "snippets"].iter().flat_map(|name| super::world::files_under(&self.path(name)))
        {
            let found = path.symlink_metadata().expect("it was listed");
            let content = if found.is_symlink() {
                format!("-> {}", fs_err::read_link(&path).expect("it is a link").display())
            } else if found.is_dir() {
                "directory".to_owned()
            } else {
                String::from_utf8_lossy(&fs_err::read(&path).expect("readable")).into_owned()
            };
            let name = path.strip_prefix(&self.prefix).expect("it lies below").to_string_lossy().into_owned();
            files.insert(name, content);
        }
        files
    }

    /// What a visitor of a site sees: the body; "404" and the like where there is no success.
    #[track_caller]
    pub fn page(&self, host: &str, path: &str) -> String {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port)).expect("nginx listens");
        connection.set_read_timeout(Some(Duration::from_secs(60))).expect("a positive timeout");
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).expect("nginx reads");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("nginx answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        let status = head.split(' ').nth(1).expect("an answer has a status");
        if status == "200" { body.trim_end().to_owned() } else { status.to_owned() }
    }

    /// A site's file: a server that answers with this text, and one that redirects to it.
    pub fn site(&self, name: &str, answer: &str) -> String {
        let port = self.port;
        format!(
            "server {{\n    listen 127.0.0.1:{port};\n    server_name {name};\n    location / {{ return 200 \"{answer}\\n\"; }}\n}}\n\
             server {{\n    listen 127.0.0.1:{port};\n    server_name www.{name} old.{name};\n    return 301 http://{name}$request_uri;\n}}\n"
        )
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let pid = rustix::process::Pid::from_child(&server);
            // TERM: the master takes its workers with it.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            let _ = server.wait();
        }
    }
}
