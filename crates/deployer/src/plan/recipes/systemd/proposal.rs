//! Programs that somebody has to keep running, as `init` proposes them: by a Procfile, or by the language that they are written in.

use crate::base::names::UnitName;
use crate::config::Phase;
use crate::git::commit_tree::Tree;
use crate::plan::manifests::install_and_build;
use crate::plan::proposal::{DetectedStep, Evidence, Proposal, Subject, Unit, quoted, step, toml_list};

/// Processes of a Procfile, at most: more than any package for one server has.
const PROCESSES_MAX: usize = 20;

/// `None` where nothing in the repository names a program that goes on running.
pub fn of(subject: &Subject<'_>) -> Option<Proposal> {
    procfile(subject).or_else(|| python(subject)).or_else(|| go(subject))
}

/// Commands that make a release, and the units that run it.
fn proposal(
    subject: &Subject<'_>,
    evidence: Evidence,
    by: &str,
    steps: Vec<DetectedStep>,
    units: &[Unit],
) -> Proposal {
    let why = format!("By {by}: these commands make a release, and these units run it.");
    let mut proposal = Proposal::new("systemd", evidence, why).comment(format!(
        "TODO: write these units, with User={} and WorkingDirectory={}/current",
        subject.user,
        quoted(&subject.path.to_string_lossy())
    ));
    for unit in units {
        proposal = proposal.comment(format!("  {}: {}", unit.name, quoted(&unit.command)));
    }
    let names: Vec<&str> = units.iter().map(|unit| unit.name.as_str()).collect();
    proposal.key("units", toml_list(&names)).steps(steps)
}

fn procfile(subject: &Subject<'_>) -> Option<Proposal> {
    let lines = subject.tree.text("Procfile")?.lines().filter_map(|line| line.split_once(':'));
    let (_, mut steps) = install_and_build(subject.tree).unwrap_or_default();
    let mut units = Vec::new();
    for (process, command) in lines {
        if matches!(process.trim(), "release" | "preflight") {
            steps.extend(release_step(&steps, command));
        } else {
            units.extend(unit(&format!("{}-{}", subject.slug, process.trim()), command));
        }
    }
    units.truncate(PROCESSES_MAX);
    (!units.is_empty()).then(|| proposal(subject, Evidence::Processes, "Procfile", steps, &units))
}

/// What runs once, before a release, where it is of plain words and nothing does the same already.
fn release_step(steps: &[DetectedStep], command: &str) -> Option<DetectedStep> {
    let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
    let plain =
        |word: &String| word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/:=@".contains(&byte));
    let is_there = steps.iter().any(|step| step.phase == Phase::Migrate);
    (!is_there && !words.is_empty() && words.len() <= 20 && words.iter().all(plain)).then(|| DetectedStep {
        phase: Phase::Migrate,
        run: words,
        directory: None,
        why: "the Procfile's `release`; look whether its programs are found".into(),
    })
}

fn unit(name: &str, command: &str) -> Option<Unit> {
    let name = UnitName::parse(&format!("{name}.service")).ok()?;
    Some(Unit { name, command: command.trim().to_owned() })
}

/// What uv installs. Of what uWSGI serves, its own recipe knows more.
fn python(subject: &Subject<'_>) -> Option<Proposal> {
    let tree: &Tree = subject.tree;
    if !tree.has("uv.lock") {
        return None;
    }
    let (by, steps) = install_and_build(tree)?;
    let unit = unit(subject.slug, "<path>/current/.venv/bin/python -m ...");
    Some(proposal(subject, Evidence::Language, &by, steps, unit.as_slice()))
}

fn go(subject: &Subject<'_>) -> Option<Proposal> {
    let tree = subject.tree;
    let by = ["go.mod", "server/go.mod"].into_iter().find(|path| tree.has(path))?;
    let run: &[&str] = match by {
        "go.mod" => &["go", "build", "-o", "bin/", "./..."],
        _ => &["go", "-C", "server", "build", "-o", "../bin/", "./..."],
    };
    let (others, mut steps) = install_and_build(tree).unwrap_or_default();
    steps.push(step(Phase::Build, "", run, "every main package becomes a program in bin/"));
    let unit = unit(subject.slug, "<path>/current/bin/...");
    let by =
        [by.to_owned(), others].into_iter().filter(|by| !by.is_empty()).collect::<Vec<_>>().join(" and ");
    Some(proposal(subject, Evidence::Language, &by, steps, unit.as_slice()))
}
