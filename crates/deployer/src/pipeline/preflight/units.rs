//! Whether systemd has the units that a deployment names: a misspelt one is found before the switch, not behind it.

use super::Seen;
use crate::base::names::{UnitName, nearest};
use crate::config::resolve::overlap;
use crate::config::{Deployment, Phase};
use crate::pipeline::preflight::programs::is_free;
use crate::process::executor::Executor;
use crate::process::tools::Invocation;
use crate::process::tools::systemctl::{self, LoadState};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long systemd may take to say what it has read. On a busy host it reads files first.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Where systemd looks for units of the whole host, in its order.
const SYSTEM_DIRECTORIES: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// Where packages put their units.
const PACKAGES: [&str; 2] = ["/usr/lib", "/lib"];

/// Where the manager of a user looks, beside the user's own directories.
const USER_DIRECTORIES: [&str; 4] =
    ["/etc/systemd/user", "/run/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user"];

/// The units that a deployment has systemd restart, and whether they are those of the deployer's own user.
pub fn named(deployment: &Deployment) -> (&[UnitName], bool) {
    (&deployment.recipe.units, deployment.recipe.has_user_units)
}

/// Asks systemd for them. Gives also whether one of them runs; None where nobody knows.
pub async fn look(
    executor: &Executor,
    deployment: &Deployment,
    cancel: &CancellationToken,
) -> (Seen, Option<bool>) {
    let (units, user) = named(deployment);
    if units.is_empty() {
        return (Seen::default(), None);
    }
    let mut question = Invocation::of(&systemctl::load_states(user, units));
    // By these a program finds the manager of its user.
    for name in ["XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"] {
        let said = deployment.environment.get(name).filter(|_| user);
        question.environment.extend(said.map(|value| (name.into(), value.into())));
    }
    let home = executor.variable("HOME").map(PathBuf::from);
    match executor.ask(&question, ANSWER_MAX, cancel).await {
        Ok(answer) => judge(deployment, &answer.output, &answer.complaint, home.as_deref()),
        Err(error) => judge(deployment, "", &format!("{error:#}"), home.as_deref()),
    }
}

/// What follows from systemd's answer, or from its having none.
pub fn judge(
    deployment: &Deployment,
    printed: &str,
    complaint: &str,
    home: Option<&Path>,
) -> (Seen, Option<bool>) {
    let (units, user) = named(deployment);
    let mut seen = Seen::default();
    let states = systemctl::read_load_states(printed);
    if states.len() != units.len() {
        // Where there is no systemd, the switch says so.
        let why = if complaint.is_empty() { "systemctl does not say" } else { complaint };
        seen.remarks.push(format!("whether its units exist cannot be asked: {why}"));
        return (seen, None);
    }
    let runs = states.iter().any(|state| state.is_active);
    let places = directories(user, home);
    let may_write = |place: &PathBuf| deployment.writable.iter().any(|root| overlap(place, root));
    let makes_units = commands_may_make_units(deployment) || places.iter().any(may_write);
    for (unit, state) in units.iter().zip(states) {
        match wrong(unit.as_str(), &state, user, &places, &deployment.path) {
            UnitVerdict::Right => {}
            // Commands come before the units, and may do whatever their user, or their sandbox, may.
            UnitVerdict::Wrong(what) if makes_units => seen
                .remarks
                .push(format!("{what}. A command of the run may change that; if none does, it fails there")),
            UnitVerdict::Wrong(what) => seen.obstacles.push(what),
            UnitVerdict::Unsure(what) => seen.remarks.push(what),
        }
    }
    (seen, Some(runs))
}

#[derive(Debug, PartialEq, Eq)]
enum UnitVerdict {
    Right,
    Wrong(String),
    Unsure(String),
}

fn wrong(unit: &str, state: &LoadState, user: bool, places: &[PathBuf], path: &Path) -> UnitVerdict {
    let sudo = if user { "systemctl --user" } else { "sudo systemctl" };
    match state.state.as_str() {
        "not-found" => match file_of(unit, places) {
            None => UnitVerdict::Wrong(missing(unit, user, places)),
            // A release that is linked there brings it; a file that systemd has not read it may still read.
            Some(file) if !file.exists() => UnitVerdict::Unsure(format!(
                "{} is a link that leads nowhere yet: {unit} can only be started where the release brings that file",
                file.display()
            )),
            Some(file) => UnitVerdict::Unsure(format!(
                "systemd has not read {} yet: `{sudo} daemon-reload`",
                file.display()
            )),
        },
        "masked" => {
            UnitVerdict::Wrong(format!("{unit} is masked, so it cannot be started: `{sudo} unmask {unit}`"))
        }
        "bad-setting" | "error" => {
            let why = if state.error.is_empty() { "systemd cannot use its file" } else { &state.error };
            let what = format!("{unit} cannot be started: {why}; `systemd-analyze verify {unit}` says where");
            match file_of(unit, places).is_some_and(|file| is_of_release(&file, path)) {
                true => UnitVerdict::Unsure(format!("{what}. The release brings that file, and may mend it")),
                false => UnitVerdict::Wrong(what),
            }
        }
        _ => UnitVerdict::Right,
    }
}

fn missing(unit: &str, user: bool, places: &[PathBuf]) -> String {
    let list = if user { "systemctl --user list-unit-files" } else { "systemctl list-unit-files" };
    let place = places.first().map(|place| place.join(unit).display().to_string()).unwrap_or_default();
    let alike = alike(unit, places).map_or(String::new(), |other| format!("did you mean {other}? "));
    format!(
        "there is no unit {unit}, and the deployment's `units` name it: {alike}Its file would lie at {place}; `{list}` lists those that there are"
    )
}

/// A unit of this kind whose name is nearly this one, of those that somebody has written here: those of packages are not what was meant.
fn alike(unit: &str, places: &[PathBuf]) -> Option<String> {
    let own = places.iter().filter(|place| !PACKAGES.iter().any(|packages| place.starts_with(packages)));
    let names = own.filter_map(|place| fs_err::read_dir(place).ok()).flatten().flatten();
    let names: Vec<String> = names.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let (stem, kind) = unit.rsplit_once('.')?;
    let stems = names.iter().filter_map(|name| name.rsplit_once('.')).filter(|(_, other)| *other == kind);
    nearest(stem, stems.map(|(stem, _)| stem)).map(|stem| format!("{stem}.{kind}"))
}

/// What lies where systemd would read the unit, or the template of an instance.
fn file_of(unit: &str, places: &[PathBuf]) -> Option<PathBuf> {
    let template = unit.split_once('@').and_then(|(name, rest)| {
        let (_, kind) = rest.rsplit_once('.')?;
        Some(format!("{name}@.{kind}"))
    });
    let names: Vec<&str> = std::iter::once(unit).chain(template.as_deref()).collect();
    let files = names.iter().flat_map(|name| places.iter().map(move |place| place.join(name)));
    files.into_iter().find(|file| file.symlink_metadata().is_ok())
}

/// Whether a unit's file is a link into the deployment, so that each release brings its own.
fn is_of_release(file: &Path, path: &Path) -> bool {
    let target = |link: &Path| link.read_link().ok();
    target(file).is_some_and(|target| target.starts_with(path))
        || file.canonicalize().is_ok_and(|file| path.canonicalize().is_ok_and(|path| file.starts_with(path)))
}

fn directories(user: bool, home: Option<&Path>) -> Vec<PathBuf> {
    if !user {
        return SYSTEM_DIRECTORIES.map(PathBuf::from).into();
    }
    let own = home.map(|home| [home.join(".config/systemd/user"), home.join(".local/share/systemd/user")]);
    own.into_iter().flatten().chain(USER_DIRECTORIES.map(PathBuf::from)).collect()
}

/// Whether a command of the operator's, outside of the sandbox, comes before the units are started.
fn commands_may_make_units(deployment: &Deployment) -> bool {
    super::programs::commands(deployment)
        .iter()
        .filter(|(phase, _)| *phase <= Phase::Switch)
        .any(|(phase, _)| is_free(deployment, *phase))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::deployment_of;

    fn said(keys: &str, printed: &str) -> (Vec<String>, Vec<String>) {
        let deployment =
            deployment_of(&format!("recipe = \"systemd\"\nunits = [\"nosuch-x.service\"]\n{keys}"));
        let (seen, _) = judge(&deployment, printed, "", None);
        (seen.obstacles, seen.remarks)
    }

    #[test]
    fn a_unit_that_cannot_be_started_is_an_obstacle_unless_a_command_may_mend_it() {
        let block =
            |state: &str, error: &str| format!("Id=nosuch-x.service\nLoadState={state}\nLoadError={error}\n");
        assert_eq!(said("", &block("loaded", "")), (vec![], vec![]));
        let (obstacles, remarks) = said("", &block("not-found", ""));
        assert!(obstacles[0].starts_with("there is no unit nosuch-x.service"), "{obstacles:?}");
        assert!(remarks.is_empty(), "{remarks:?}");
        let (obstacles, _) = said("", &block("masked", ""));
        assert!(obstacles[0].contains("`sudo systemctl unmask nosuch-x.service`"), "{obstacles:?}");
        let error =
            "org.freedesktop.systemd1.BadUnitSetting \"Unit nosuch-x.service has a bad unit file setting.\"";
        let (obstacles, _) = said("", &block("bad-setting", error));
        assert!(
            obstacles[0].contains("started: Unit nosuch-x.service has a bad unit file setting.;"),
            "{obstacles:?}"
        );

        for keys in [
            "confine = false\nsteps = [{ phase = \"build\", run = [\"make\"] }]",
            "hooks = { before_switch = [\"make\"] }",
        ] {
            let (obstacles, remarks) = said(keys, &block("not-found", ""));
            assert!(
                obstacles.is_empty() && remarks[0].contains("A command of the run may"),
                "{keys}: {obstacles:?}"
            );
        }
        for keys in
            ["steps = [{ phase = \"build\", run = [\"make\"] }]", "hooks = { after_verify = [\"make\"] }"]
        {
            assert_eq!(said(keys, &block("not-found", "")).0.len(), 1, "{keys}");
        }
        let (obstacles, remarks) = said("", "");
        assert!(obstacles.is_empty() && remarks[0].contains("cannot be asked"), "{remarks:?}");
    }

    #[test]
    fn a_file_that_a_release_brings_or_systemd_has_not_read_is_no_obstacle() {
        let scratch = tempfile::tempdir().unwrap();
        let (places, path) = ([scratch.path().join("units")], scratch.path().join("app"));
        fs_err::create_dir_all(&places[0]).unwrap();
        let state = |state: &str| LoadState { state: state.to_owned(), ..LoadState::default() };
        let judged = |unit: &str, found: &str| wrong(unit, &state(found), false, &places, &path);
        assert!(matches!(judged("app.service", "not-found"), UnitVerdict::Wrong(_)));
        fs_err::os::unix::fs::symlink(path.join("current/app.service"), places[0].join("app.service"))
            .unwrap();
        fs_err::write(places[0].join("worker@.service"), "").unwrap();
        for (unit, found, expected) in [
            ("app.service", "not-found", "leads nowhere yet"),
            ("app.service", "bad-setting", "may mend it"),
            ("worker@1.service", "not-found", "daemon-reload"),
        ] {
            let UnitVerdict::Unsure(said) = judged(unit, found) else { panic!("{unit} {found}") };
            assert!(said.contains(expected), "{said}");
        }
        let UnitVerdict::Wrong(said) = judged("ap.service", "not-found") else { panic!() };
        let place = places[0].join("ap.service");
        let expected = format!("did you mean app.service? Its file would lie at {}; ", place.display());
        assert!(said.contains(&expected), "{said}");
        // Only the ending is like that of another one.
        fs_err::write(places[0].join("systemd-binfmt.service"), "").unwrap();
        let UnitVerdict::Wrong(said) = judged("site-b.service", "not-found") else { panic!() };
        assert!(!said.contains("did you mean"), "{said}");
        assert!(matches!(judged("worker@1.service", "bad-setting"), UnitVerdict::Wrong(_)));
    }
}
