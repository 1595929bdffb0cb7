//! What PM2 must be asked for so that it runs what a release's file names, and no more. Pure.

use super::definition::Definition;
use crate::base::names::Slug;
use crate::process::tools::pm2::{Pm2Process, marks};
use std::path::Path;

/// Whose a process is.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    pub deployment: &'a Slug,
    /// What stands below its path and bears nobody's mark is its own: the Python deployer has started it.
    pub path: &'a Path,
}

#[derive(Debug, Default, PartialEq)]
pub struct Changes<'a> {
    /// Processes to end and forget.
    pub delete: Vec<u64>,
    /// Scheduled applications among those that do their work just now: they are waited for.
    pub busy: Vec<String>,
    /// Applications to reload, or to start.
    pub run: Vec<&'a Definition>,
    /// Scheduled applications to register, without starting them.
    pub register: Vec<&'a Definition>,
}

impl Owner<'_> {
    /// Whether a process is the deployment's.
    pub fn owns(self, process: &Pm2Process) -> bool {
        match process.variable(marks::DEPLOYMENT) {
            Some(deployment) => deployment == self.deployment.as_str(),
            None => {
                process.kept.pm_cwd.starts_with(self.path) || process.kept.pm_exec_path.starts_with(self.path)
            }
        }
    }

    /// Whether it was started for the deployment by us.
    pub fn has_started(self, process: &Pm2Process) -> bool {
        process.variable(marks::DEPLOYMENT) == Some(self.deployment.as_str())
    }

    /// Says so where a name that a file wants is foreign.
    pub fn check_names(self, wanted: &[Definition], processes: &[Pm2Process]) -> Result<(), String> {
        for definition in wanted {
            let foreign = of(definition, processes).find(|process| !self.owns(process));
            if let Some(process) = foreign {
                let whose = match process.variable(marks::DEPLOYMENT) {
                    Some(deployment) => format!("of deployment {deployment}"),
                    None => format!("in {}", process.kept.pm_cwd.display()),
                };
                return Err(format!(
                    "the name {} is taken by an application {whose}\nhint: name it otherwise, or `pm2 delete {}` if nobody needs that one",
                    definition.name, definition.name
                ));
            }
        }
        Ok(())
    }
}

impl Changes<'_> {
    /// Whether PM2 runs what is wanted already.
    pub fn is_empty(&self) -> bool {
        self.delete.is_empty() && self.run.is_empty() && self.register.is_empty()
    }
}

/// What to do. `is_current` says of a process of an application whose definition is unchanged whether it may be left alone.
pub fn changes<'a>(
    owner: Owner<'_>,
    wanted: &'a [Definition],
    processes: &[Pm2Process],
    is_current: &dyn Fn(&Definition, &Pm2Process) -> bool,
) -> Changes<'a> {
    let mut changes = Changes::default();
    let is_wanted =
        |process: &&Pm2Process| wanted.iter().any(|definition| definition.name.as_str() == process.name);
    changes.delete(processes.iter().filter(|process| owner.owns(process) && !is_wanted(process)));
    for definition in wanted {
        let own: Vec<&Pm2Process> = of(definition, processes).collect();
        let same = |mark, value: &str| own.iter().all(|process| process.variable(mark) == Some(value));
        let unchanged = same(marks::WHOLE, &definition.whole);
        let can_be_reloaded = same(marks::FIXED, &definition.fixed)
            && own.iter().all(|process| keeps_variables(definition, process));
        if definition.scheduled {
            // What it runs is found through the link when its time comes: only another definition is a reason to touch it.
            if own.is_empty() || !unchanged || own.iter().any(|process| process.is_dormant()) {
                changes.delete(own.into_iter());
                changes.register.push(definition);
            }
        } else if own.is_empty() {
            changes.run.push(definition);
        } else if !can_be_reloaded {
            changes.delete(own.into_iter());
            changes.run.push(definition);
        } else {
            let all_there = definition.instances.is_none_or(|number| number == own.len());
            if !(unchanged && all_there && own.iter().all(|process| is_current(definition, process))) {
                changes.run.push(definition);
            }
        }
    }
    changes
}

impl Changes<'_> {
    fn delete<'p>(&mut self, processes: impl Iterator<Item = &'p Pm2Process>) {
        for process in processes {
            self.delete.extend(process.id);
            if process.is_scheduled() && process.is_at_work() {
                self.busy.push(process.name.clone());
            }
        }
    }
}

/// A reload adds variables and changes them, and cannot take one away.
fn keeps_variables(definition: &Definition, process: &Pm2Process) -> bool {
    let before =
        process.variable(marks::VARIABLES).unwrap_or_default().split(',').filter(|name| !name.is_empty());
    before.into_iter().all(|name| definition.variables.iter().any(|variable| variable == name))
}

/// The processes of an application.
pub fn of<'p>(definition: &Definition, processes: &'p [Pm2Process]) -> impl Iterator<Item = &'p Pm2Process> {
    let name = definition.name.clone();
    processes.iter().filter(move |process| process.id.is_some() && process.name == name.as_str())
}

#[cfg(test)]
mod tests {
    use super::super::definition::{Origin, definitions};
    use super::*;
    use crate::process::tools::pm2::Pm2State;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    fn slug() -> Slug {
        Slug::parse("api").unwrap()
    }

    fn wanted(applications: &Value) -> Vec<Definition> {
        let (slug, environment) = (slug(), BTreeMap::new());
        let through = Path::new("/srv/api/current");
        let origin = Origin {
            deployment: &slug,
            release: &[],
            through,
            environment: &environment,
            of_release: &environment,
            block: None,
        };
        definitions(applications, origin).unwrap()
    }

    fn running(id: u64, definition: &Definition) -> Pm2Process {
        let variables = definition.variables.join(",");
        let env = json!({
            marks::DEPLOYMENT: "api",
            marks::FIXED: definition.fixed,
            marks::WHOLE: definition.whole,
            marks::VARIABLES: variables,
        });
        let kept = Pm2State { status: "online".into(), env, ..Pm2State::default() };
        Pm2Process { id: Some(id), name: definition.name.to_string(), pid: 100, kept }
    }

    fn stranger(name: &str, directory: &str) -> Pm2Process {
        let kept = Pm2State { status: "online".into(), pm_cwd: directory.into(), ..Pm2State::default() };
        Pm2Process { id: Some(90), name: name.into(), pid: 90, kept }
    }

    fn decide<'a>(wanted: &'a [Definition], processes: &[Pm2Process], current: bool) -> Changes<'a> {
        let slug = slug();
        let owner = Owner { deployment: &slug, path: Path::new("/srv/api") };
        changes(owner, wanted, processes, &|_, _| current)
    }

    fn names<'a>(definitions: &[&'a Definition]) -> Vec<&'a str> {
        definitions.iter().map(|definition| definition.name.as_str()).collect()
    }

    const SCHEDULE: &str = "*/15 * * * *";

    #[test]
    fn what_runs_is_reloaded_unless_it_is_current() {
        let wanted = wanted(&json!([{"name": "web", "script": "a.js"}]));
        let processes = [running(0, &wanted[0])];
        assert!(decide(&wanted, &processes, true).is_empty());
        let changes = decide(&wanted, &processes, false);
        assert_eq!((names(&changes.run), changes.delete.len()), (vec!["web"], 0));
    }

    #[test]
    fn what_does_not_run_is_started() {
        let wanted = wanted(
            &json!([{"name": "web", "script": "a.js"}, {"name": "job", "script": "j.js", "cron_restart": SCHEDULE, "autorestart": false}]),
        );
        let changes = decide(&wanted, &[], true);
        assert_eq!((names(&changes.run), names(&changes.register)), (vec!["web"], vec!["job"]));
    }

    #[test]
    fn a_changed_script_is_registered_anew_and_a_changed_variable_is_reloaded() {
        let before = wanted(&json!([{"name": "web", "script": "a.js", "env": {"A": "1"}}]));
        let processes = [running(3, &before[0])];
        for (application, deleted) in [
            (json!({"name": "web", "script": "a.js", "env": {"A": "2", "B": "1"}}), &[][..]),
            (json!({"name": "web", "script": "a.js"}), &[3]),
            (json!({"name": "web", "script": "b.js", "env": {"A": "1"}}), &[3]),
        ] {
            let after = wanted(&json!([application]));
            let changes = decide(&after, &processes, true);
            assert_eq!((names(&changes.run), &changes.delete[..]), (vec!["web"], deleted), "{application}");
        }
    }

    #[test]
    fn one_instance_too_few_is_a_reason_to_reload() {
        let wanted = wanted(&json!([{"name": "web", "script": "a.js", "instances": 2}]));
        let processes = [running(0, &wanted[0])];
        assert_eq!(names(&decide(&wanted, &processes, true).run), ["web"]);
    }

    #[test]
    fn only_what_is_ours_and_not_wanted_is_removed() {
        let before = wanted(&json!([{"name": "old", "script": "a.js"}, {"name": "web", "script": "a.js"}]));
        let wanted = &before[1..];
        let mut processes: Vec<Pm2Process> =
            (0..).zip(&before).map(|(id, definition)| running(id, definition)).collect();
        processes.push(stranger("other", "/srv/api-two"));
        assert_eq!(decide(wanted, &processes, true).delete, [0]);
        // Of the Python deployer, in the same directory.
        processes.push(stranger("legacy", "/srv/api/server"));
        assert_eq!(decide(wanted, &processes, true).delete, [0, 90]);
        // Below our path, and yet another deployment's.
        let mut foreign = running(7, &before[0]);
        foreign.kept.env[marks::DEPLOYMENT] = json!("other");
        foreign.kept.pm_cwd = "/srv/api/current".into();
        processes.push(foreign);
        assert_eq!(decide(wanted, &processes, true).delete, [0, 90]);
    }

    #[test]
    fn a_name_of_somebody_else_is_an_error() {
        let wanted = wanted(&json!([{"name": "web", "script": "a.js"}]));
        let slug = slug();
        let owner = Owner { deployment: &slug, path: Path::new("/srv/api") };
        assert_eq!(owner.check_names(&wanted, &[stranger("web", "/srv/api")]), Ok(()));
        let error = owner.check_names(&wanted, &[stranger("web", "/srv/shop")]).unwrap_err();
        assert!(error.starts_with("the name web is taken by an application in /srv/shop\nhint:"), "{error}");
    }

    #[test]
    fn a_scheduled_application_is_touched_only_where_its_definition_changed_and_it_is_not_at_work() {
        let job = |script: &str| {
            wanted(
                &json!([{"name": "job", "script": script, "cron_restart": SCHEDULE, "autorestart": false}]),
            )
        };
        let (same, other) = (job("a.js"), job("b.js"));
        let mut process = running(4, &same[0]);
        process.kept.cron_restart = json!(SCHEDULE);
        process.kept.autorestart = json!(false);
        assert!(
            decide(&same, &[process.clone()], false).is_empty(),
            "whatever release it was registered for"
        );
        let changes = decide(&other, &[process.clone()], false);
        assert_eq!((&changes.delete[..], names(&changes.register)), (&[4][..], vec!["job"]));
        assert_eq!(changes.busy, ["job"]);
        process.kept.status = "stopped".into();
        assert_eq!(decide(&other, &[process.clone()], false).busy, Vec::<String>::new());
        // Registered half-way: PM2 would never start it.
        process.kept.autostart = json!(false);
        assert_eq!(names(&decide(&same, &[process], true).register), ["job"]);
    }
}
