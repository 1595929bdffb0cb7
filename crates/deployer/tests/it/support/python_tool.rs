//! An installation of the Python tool in a machine, as its README has people make it: user, sudo, access lists, checkout with `config/` and
//! `.env`, a vassal of uWSGI's emperor, a unit for the workers, nginx in front, PostgreSQL with the table `event`.
//!
//! Its own code is a PID proxy, which does what the original does where it matters here: the listener checks the signature and writes
//! `queues/main/TIME.json`; the workers pass pushes on to the deployment's queue, deploy one at a time (which takes a while), and on TERM end
//! what they are at before they go. What they have had is in `recorded.log`.

use super::authority;
use super::machine::Machine;
use super::wait;

pub const CHECKOUT: &str = "/var/www/deploy.durhack.com";
pub const SECRET: &str = "a secret of the old installation's";
pub const USER: &str = "durhack-deployer";
pub const UNIT: &str = "queue-workers.service";
pub const VASSAL: &str = "/etc/uwsgi/vassals/deploy.durhack.com.ini";
pub const SUDOERS: &str = "/etc/sudoers.d/durhack-deployer";
pub const SITE: &str = "/etc/nginx/conf.d/[deploy.durhack.com].nginxconf";
pub const SECURE: &str = "/etc/nginx/conf.d/[secure.durhack.com].nginxconf";
pub const NGINX_CHECKOUT: &str = "/home/durhack-deployer/projects/durhack-nginx";

/// In the table `event`: the old tool has dealt with it.
pub const OLD_EVENT: &str = "72d3162e-cc78-11e3-81ab-4c9367dc0958";

const LISTENER: &str = r#"
import hashlib, hmac, json, os, time
from pathlib import Path
ROOT = Path(__file__).resolve().parent.parent.parent
SECRET = b"a secret of the old installation's"

def application(environ, start_response):
    def answer(status, body=b""):
        start_response(status, [("Content-Type", "application/json")])
        return [body]
    if environ["PATH_INFO"] == "/":
        return answer("200 OK", b'{"message":"OK","service":"durhack-deployer","status":200}')
    body = environ["wsgi.input"].read()
    signature = "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(signature, environ.get("HTTP_X_HUB_SIGNATURE_256", "")):
        return answer("403 Forbidden")
    event = {"payload": json.loads(body), "type": environ.get("HTTP_X_GITHUB_EVENT"),
             "id": environ.get("HTTP_X_GITHUB_DELIVERY"), "__dataclass__": "GitHubEvent"}
    queue = ROOT / "queues" / "main"
    queue.mkdir(parents=True, exist_ok=True)
    with open(queue / f"{time.time_ns()}.json", "x") as file:
        json.dump(event, file, indent=2)
    return answer("204 No Content")
"#;

const SUPERVISOR: &str = r#"
import json, os, signal, subprocess, sys, time
from pathlib import Path
ROOT = Path(__file__).resolve().parent.parent
stopped = False
def stop(*_):
    global stopped
    stopped = True
signal.signal(signal.SIGTERM, stop)
main, api = ROOT / "queues" / "main", ROOT / "queues" / "durhack-api"
for queue in (main, api):
    queue.mkdir(parents=True, exist_ok=True)
def items(queue):
    return sorted(path for path in queue.iterdir() if path.suffix == ".json" and not path.name.startswith("."))
while not stopped:
    for path in items(main):
        try:
            event = json.loads(path.read_text())
        except ValueError:
            continue  # being written
        with open(ROOT / "recorded.log", "a") as log:
            log.write(f"{event['id']}\n")
        payload = event["payload"]
        if event["type"] == "push" and payload["repository"]["full_name"] == "ducompsoc/durhack" and payload["ref"] == "refs/heads/main":
            (api / path.name).write_text(json.dumps(event, indent=2))
        path.unlink()
    # The first one has failed, and stays.
    for path in [path for path in items(api) if path.name != "1.json"][:1]:
        # Killed in between, it would leave the site in pieces.
        with open(ROOT / "deploys.log", "a") as log:
            log.write("begun\n")
        subprocess.run(["sleep", "2"])
        with open(ROOT / "deploys.log", "a") as log:
            log.write("ended\n")
        path.unlink()
    time.sleep(0.02)
"#;

const PRODUCTION: &str = r#"
origin = "http://deploy.durhack.com"
proxy_fix = { x_for = 1, x_proto = 1 }

[deployments.deployer]
repository = "ducompsoc/durhack-deployer"
enabled = true
branch = "main"
path = "/var/www/deploy.durhack.com"
systemd_unit_name = "queue-workers"
uwsgi_config_path = "/etc/uwsgi/vassals/deploy.durhack.com.ini"

[deployments.nginx]
repository = "ducompsoc/durhack-nginx"
clone_url = "file:///srv/git/nginx"
enabled = true
branch = "main"
path = "/home/durhack-deployer/projects/durhack-nginx"
sites = [{ rule = "include", select = ["deploy.durhack.com", "secure.durhack.com"] }]

[deployments.durhack-api]
repository = "ducompsoc/durhack"
clone_url = "file:///srv/git/api"
enabled = true
branch = "main"
path = "/var/www/api.durhack.com"
"#;

const LOCAL: &str = r#"
webhook_secret_token = "a secret of the old installation's"
# What only the new tool reads.
source_networks = "any"
runs = { drain_timeout = "1s" }
# Its own look at the network knows only the real one.
certificates = { self_test = false }
[deployments.durhack-api]
recipe = "steps"
steps = [{ phase = "build", name = "build", shell = "cp page built" }]
"#;

const DEFAULT: &str = r#"
origin = "http://deploy.durhack-dev.com"
webhook_secret_token = "not-a-real-secret-token"
executable_search_paths = ["/home/durhack-deployer/.nvm/versions/node/v24.9.0/bin"]
[listen]
host = "localhost"
port = 3400
[proxy_fix]
x_for = 2
x_proto = 2
"#;

const UWSGI: &str = "[uwsgi]
plugins = python3
chdir = /var/www/deploy.durhack.com
pythonpath = /var/www/deploy.durhack.com/src
module = webhook_listener
callable = application
uid = durhack-deployer
gid = durhack-deployer
processes = 1
master = true
socket = [::]:3400
listen = 100
vacuum = true
";

const EMPEROR: &str = "[Service]
ExecStart=/usr/bin/uwsgi --emperor /etc/uwsgi/vassals
Type=notify
KillSignal=SIGQUIT
NotifyAccess=all
[Install]
WantedBy=multi-user.target
";

const WORKERS: &str = "[Unit]
Description=durhack-deployer queue workers
[Service]
Type=exec
User=durhack-deployer
Group=durhack-deployer
WorkingDirectory=/var/www/deploy.durhack.com
Environment=PYTHONPATH=/var/www/deploy.durhack.com/src PYTHON_ENV=production PYTHON_APP_INSTANCE=deploy.durhack.com
ExecStart=/var/www/deploy.durhack.com/.venv/bin/python -m queue_worker_supervisor
KillSignal=SIGTERM
KillMode=mixed
TimeoutStopSec=60
[Install]
WantedBy=multi-user.target
";

const SUDO: &str =
    "# allow `durhack-deployer` to run `certbot` as `root` without a password and with arbitrary arguments
durhack-deployer ALL=(ALL) NOPASSWD: /usr/bin/certbot
durhack-deployer ALL=(ALL) NOPASSWD: /usr/bin/systemctl reload nginx
";

const NGINX_SITE: &str = "server {
    listen 80;
    server_name deploy.durhack.com;
    client_max_body_size 1M;
    location / {
        include snippets/uwsgi-params;
        uwsgi_pass localhost:3400;
    }
}
";

/// Has a certificate, which certbot has obtained with its plugin for nginx, as the old tool calls it.
const SECURE_SITE: &str = "server {
    listen 443 ssl;
    server_name secure.durhack.com;
    ssl_certificate /etc/letsencrypt/live/secure.durhack.com/fullchain.pem;
    ssl_certificate_key /etc/letsencrypt/live/secure.durhack.com/privkey.pem;
    location / { return 200 one; }
}
server { listen 80; server_name secure.durhack.com; return 301 https://$host$request_uri; }
";

const API_SITE: &str = "server {
    listen 127.0.0.1:8000;
    location / { proxy_pass http://127.0.0.1:3001; }
}
";

const API: &str = r#"
const { readFileSync } = require("fs");
require("http").createServer((_, answer) => answer.end(readFileSync(`${__dirname}/page`))).listen(3001, "127.0.0.1");
"#;

/// Makes it, and starts it.
#[track_caller]
pub fn install(machine: &Machine) {
    let shell = |script: &str| machine.run(&["sh", "-ec", script]);
    machine.write("/etc/hosts", "127.0.0.1 localhost deploy.durhack.com secure.durhack.com\n");
    shell("useradd --create-home --shell /bin/bash durhack-deployer; chmod 755 /home/durhack-deployer");
    machine.write(SUDOERS, SUDO);
    shell("chmod 440 /etc/sudoers.d/durhack-deployer");
    shell(
        "setfacl --default -m user:durhack-deployer:rw /etc/nginx/conf.d; setfacl -R -m user:durhack-deployer:rw /etc/nginx/conf.d; setfacl -m user:durhack-deployer:rwx /etc/nginx/conf.d",
    );

    shell("systemctl start postgresql; until pg_isready -q; do sleep 0.1; done");
    let database = "psql -v ON_ERROR_STOP=1 -q";
    shell(&format!(
        "cd /; runuser -u postgres -- {database} -c \"CREATE ROLE deployer LOGIN PASSWORD 'password'\" -c 'CREATE DATABASE deployer OWNER deployer';
        PGPASSWORD=password {database} -h localhost -U deployer deployer -c 'CREATE TABLE event(id varchar primary key)' -c \"INSERT INTO event VALUES ('{OLD_EVENT}')\""
    ));

    let file = |name: &str, text: &str| machine.write(&format!("{CHECKOUT}/{name}"), text);
    file("config/default.toml", DEFAULT);
    file("config/production.toml", PRODUCTION);
    file("config/local.toml", LOCAL);
    file(".env", "DATABASE_URL=postgresql+psycopg://deployer:password@localhost:5432/deployer\n");
    file("src/webhook_listener/__init__.py", LISTENER);
    file("src/queue_worker_supervisor.py", SUPERVISOR);
    file("uwsgi.ini", UWSGI);
    file("README.md", "the administrator's own\n");
    shell(&format!(
        "mkdir -p {CHECKOUT}/.venv/bin {CHECKOUT}/queues; ln -s /usr/bin/python3 {CHECKOUT}/.venv/bin/python"
    ));

    for (name, path, files) in [
        (
            "api",
            "/var/www/api.durhack.com",
            &[("page", "one"), ("main.js", API), (".gitignore", "built\n")][..],
        ),
        (
            "nginx",
            NGINX_CHECKOUT,
            &[
                ("production/[deploy.durhack.com].nginxconf", NGINX_SITE),
                ("production/[secure.durhack.com].nginxconf", SECURE_SITE),
                ("snippets/uwsgi-params", "include uwsgi_params;\n"),
            ],
        ),
    ] {
        let git = format!("git -C /srv/git/{name}");
        machine.run(&["git", "init", "-q", "-b", "main", &format!("/srv/git/{name}")]);
        for (file, text) in files {
            machine.write(&format!("/srv/git/{name}/{file}"), text);
        }
        shell(&format!(
            "{git} add --all; {git} commit -q -m first; mkdir -p $(dirname {path}); git clone -q /srv/git/{name} {path}; git -C {path} checkout -q --detach"
        ));
    }
    shell("rm -f /etc/nginx/sites-enabled/default; systemctl start nginx");
    authority::start(machine);
    shell(&format!(
        "echo server = {} >> /etc/letsencrypt/cli.ini;
        certbot --non-interactive --agree-tos --register-unsafely-without-email --nginx --cert-name secure.durhack.com -d secure.durhack.com --renew-with-new-domains certonly",
        authority::DIRECTORY
    ));
    shell(&format!(
        "mkdir {NGINX_CHECKOUT}/local-live; cp {NGINX_CHECKOUT}/production/* {NGINX_CHECKOUT}/local-live/;
        for site in '{SITE}' '{SECURE}'; do ln -s \"{NGINX_CHECKOUT}/local-live/$(basename \"$site\")\" \"$site\"; done;
        ln -s {NGINX_CHECKOUT}/snippets/uwsgi-params /etc/nginx/snippets/uwsgi-params"
    ));
    // Those that the old tool makes by itself are its user's.
    machine.run(&["chown", "--no-dereference", USER, SECURE]);
    machine.write("/etc/nginx/conf.d/include.conf", "include /etc/nginx/conf.d/*.nginxconf;\n");
    machine.write("/etc/nginx/conf.d/api.conf", API_SITE);
    shell(&format!(
        "chown -R {USER}: /srv/git {CHECKOUT} /var/www/api.durhack.com /home/{USER}; chmod 600 {CHECKOUT}/.env"
    ));

    machine.run(&[
        "runuser",
        "-u",
        USER,
        "--",
        "env",
        "HOME=/home/durhack-deployer",
        "pm2",
        "start",
        "--silent",
        "/var/www/api.durhack.com/main.js",
        "--name",
        "durhack-server",
    ]);
    machine.run(&["mkdir", "-p", "/etc/uwsgi/vassals"]);
    machine.run(&["ln", "-s", &format!("{CHECKOUT}/uwsgi.ini"), VASSAL]);
    machine.unit("emperor.uwsgi.service", EMPEROR);
    machine.unit(UNIT, WORKERS);
    machine.run(&["systemctl", "enable", "--now", "--quiet", "emperor.uwsgi.service", UNIT]);
    machine.run(&["systemctl", "restart", "nginx"]);
    wait::until_told("the old tool to answer through nginx", || {
        machine.get("http://deploy.durhack.com/").filter(|answer| answer.contains("service"))
    });
}

/// What the old workers have had.
pub fn recorded(machine: &Machine) -> Vec<String> {
    let log = fs_err::read_to_string(machine.path(&format!("{CHECKOUT}/recorded.log"))).unwrap_or_default();
    log.lines().map(str::to_owned).collect()
}
