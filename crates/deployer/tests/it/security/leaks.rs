//! Whoever can read: logs, pages and terminals, and the environment of a build.

use crate::support::configuration::text;
use crate::support::gate::Gate;
use crate::support::github;
use crate::support::process::describe;
use crate::support::push::{Delivery, NO_COMMIT, push_payload};
use crate::support::world::{SECRET, World, files_without_secrets};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;

// 14: no secret in any log, answer, file of ours, or argument list, however a step writes it.
#[test]
fn secrets_do_not_leave_the_deployer() {
    World::run(|world| {
        let secrets: Vec<String> =
            (0..50).map(|number| format!("s3cr3t/value+{number:02}&with=all~kinds of bytes")).collect();
        let env_file = world.root().join("secrets.env");
        let lines: String = secrets
            .iter()
            .enumerate()
            .map(|(number, secret)| format!("CANARY_{number}=\"{secret}\"\n"))
            .collect();
        fs_err::write(&env_file, lines).expect("the world is writable");
        fs_err::set_permissions(&env_file, std::fs::Permissions::from_mode(0o600))
            .expect("the world is writable");
        let repository = world.repository("acme/site");
        let gate = Gate::new(&world.root().join("gate"));
        let deployment = world
            .deployment("site", &repository)
            .with("env_files", format!("[{}]", text(&env_file.to_string_lossy())))
            .step("build", "leak", LEAK)
            .step("build", "wait", &gate.shell());
        world.configure(&[deployment]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.push(&repository, &commit);
        gate.wait_for(&commit);
        let arguments = every_command_line();
        gate.open();
        let run = world.ended_run("site", &commit);
        assert_eq!(run.state, "succeeded", "{run:?}");
        world.reported(&repository, &commit);

        let mut places =
            vec![("arguments".to_owned(), arguments), ("the daemon's log".to_owned(), world.log().into())];
        for subcommand in [&["logs", run.id.as_str()][..], &["run", &run.id, "--json"], &["config", "show"]] {
            places.push((subcommand.join(" "), world.cli(subcommand).stdout));
        }
        for path in files_without_secrets(&world.state()) {
            places.push((path.display().to_string(), fs_err::read(&path).expect("readable")));
        }
        let log = world.cli(&["logs", &run.id]).stdout;
        assert!(String::from_utf8_lossy(&log).contains("the leak ends here"), "the step's output was kept");
        let mut forbidden: Vec<String> = secrets.iter().flat_map(|secret| forms_of(secret)).collect();
        forbidden.extend([SECRET.to_owned(), github::TOKEN.to_owned()]);
        for (place, bytes) in &places {
            let said = String::from_utf8_lossy(bytes);
            let found: Vec<_> = forbidden.iter().filter(|form| said.contains(form.as_str())).collect();
            assert!(found.is_empty(), "{found:?} in {place}");
        }
    });
}

/// Prints every secret plainly, in hexadecimal, base64 and URL form, and in two writes.
const LEAK: &str = r#"
for number in $(seq 0 49); do
  eval "secret=\$CANARY_$number"
  echo "plain $secret"
  printf 'hex %s\n' "$(printf %s "$secret" | od -An -v -tx1 | tr -d ' \n')"
  printf 'base64 %s\n' "$(printf %s "$secret" | base64 -w0)"
  printf 'url %s\n' "$(printf %s "$secret" | sed 's/\//%2F/g; s/+/%2B/g; s/&/%26/g; s/=/%3D/g; s/ /%20/g')"
  half=$(printf %s "$secret" | cut -c1-12); rest=$(printf %s "$secret" | cut -c13-)
  printf '%s' "$half"; sleep 0.01; printf '%s\n' "$rest"
  echo "error $secret" >&2
done
echo the leak ends here
"#;

/// The same forms.
fn forms_of(secret: &str) -> Vec<String> {
    use base64::Engine as _;
    let url: String = secret
        .chars()
        .map(|character| match character {
            '/' | '+' | '&' | '=' | ' ' => format!("%{:02X}", u32::from(character)),
            other => other.to_string(),
        })
        .collect();
    let base64 = base64::engine::general_purpose::STANDARD.encode(secret);
    vec![secret.to_owned(), hex::encode(secret), base64, url]
}

/// The arguments of every process there is.
fn every_command_line() -> Vec<u8> {
    let processes = fs_err::read_dir("/proc").expect("/proc is mounted").flatten();
    processes.filter_map(|entry| fs_err::read(entry.path().join("cmdline")).ok()).flatten().collect()
}

// 15: a step sees its own environment and nothing of the daemon's.
#[test]
fn a_step_sees_nothing_of_the_daemon() {
    World::run(|world| {
        world.drop_privileges();
        world.environment.push(("CANARY_OF_THE_DAEMON".into(), "c4n4ry-of-the-daemon".into()));
        world
            .environment
            .push(("DATABASE_URL".into(), format!("sqlite:{}/c4n4ry.sqlite", world.state().display())));
        let repository = world.repository("acme/site");
        let seen = world.root().join("seen");
        let line = format!(
            "exec > '{}' 2>&1; env; ls -l /proc/self/fd; \
             p=$PPID; while [ \"$p\" -gt 1 ]; do tr '\\0' '\\n' < /proc/$p/environ; ls -l /proc/$p/fd; \
             p=$(sed 's/.*) . \\([0-9]*\\) .*/\\1/' /proc/$p/stat); [ -n \"$p\" ] || p=0; done; true",
            seen.display()
        );
        world.configure(&[world.deployment("site", &repository).step("build", "look", &line)]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.deploy("site", &repository, &commit);

        let seen = fs_err::read_to_string(&seen).expect("the step wrote it");
        assert!(seen.contains("DEPLOYER_COMMIT="), "{seen}");
        for hidden in ["c4n4ry", "DATABASE_URL", SECRET, "record.sqlite", "spool", "socket:"] {
            assert!(!seen.contains(hidden), "{hidden} in:\n{seen}");
        }
    });
}

// 16: what a commit or a step writes cannot command the terminal of whoever reads it.
#[test]
fn hostile_output_is_harmless_on_a_terminal() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let line = r"printf 'begin\033]0;title\007\033[2J\033[31mred\033[0m\033]8;;http://evil\033\\link\033]8;;\033\\\302\233\342\200\256\377\376\r\bend\n'; head -c 2000000 /dev/zero | tr '\0' y; exit 1";
        world.configure(&[world.deployment("site", &repository).step("build", "paint", line)]);
        let message = "\u{1b}]0;title\u{7}\u{1b}[2J<script>alert(1)</script>\u{202e}";
        let commit = repository.commit(&[("index.html", "one")], message);
        world.start();
        let mut payload = push_payload("acme/site", "refs/heads/main", NO_COMMIT, &commit);
        for member in ["message", "id"] {
            payload["commits"][0][member] = json!(message);
        }
        payload["head_commit"]["message"] = json!(message);
        payload["head_commit"]["author"]["name"] = json!(message);
        payload["pusher"]["name"] = json!(message);
        let guid = world.accept(&Delivery::of("push", &payload));
        let run = world.ended_run("site", &commit);

        let log = world.cli(&["logs", &run.id]);
        assert!(String::from_utf8_lossy(&log.stdout).contains("begin"), "{}", describe(&log));
        for arguments in [
            &["logs", run.id.as_str()][..],
            &["run", &run.id],
            &["runs"],
            &["status"],
            &["explain", &guid],
            &["deliveries"],
        ] {
            let output = world.cli(arguments);
            let printed = String::from_utf8_lossy(&output.stdout).into_owned();
            let commanding = |character: char| {
                (character.is_control() && !['\n', '\t'].contains(&character))
                    || ('\u{202a}'..='\u{202e}').contains(&character)
            };
            assert!(!printed.contains(commanding), "{arguments:?}: {printed:?}");
        }
        let status = world.reported(&repository, &commit);
        assert!(!status.description.contains(|character: char| character.is_control()), "{status:?}");
    });
}
