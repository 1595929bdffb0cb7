//! The operator's own commands: `steps`, and `hooks` with their shorter forms.

use crate::config::keys::looks_secret;
use crate::config::reading::diagnostics::Severity;
use crate::config::reading::raw::{Node, Value};
use crate::config::reading::reader::{TableReader, Wrong};
use crate::config::reading::values::{
    argv, choice, duration, filled_text, inner_path, integer, list, path_in, shell_line, variables,
};
use crate::config::{CommandLine, Hook, Hooks, Moment, Phase, StepCommand};
use std::collections::BTreeMap;
use std::path::Path;

const PHASES: [(&str, Phase); 7] = [
    ("fetch", Phase::Fetch),
    ("install", Phase::Install),
    ("build", Phase::Build),
    ("migrate", Phase::Migrate),
    ("switch", Phase::Switch),
    ("verify", Phase::Verify),
    ("clean", Phase::Clean),
];

/// Of one deployment, whose `path` its files are relative to.
pub fn steps(table: &TableReader<'_>, path: &Path) -> Vec<StepCommand> {
    let steps = table.tables("steps");
    let steps = steps.iter().filter_map(|step| {
        let phase = step.value("phase", choice(&PHASES)).unwrap_or(Phase::Build);
        step_command(step, phase, path)
    });
    steps.collect()
}

/// Likewise; any recipe may have them.
pub fn hooks(table: &TableReader<'_>, path: &Path) -> Hooks {
    let hooks = table.table("hooks");
    Hooks {
        around: PHASES
            .iter()
            .flat_map(|(phase_name, phase)| hooks_of(&hooks, phase_name, *phase, path))
            .collect(),
        on_failure: commands(&hooks, "on_failure", Phase::Clean, path),
    }
}

fn hooks_of(hooks: &TableReader<'_>, phase_name: &str, phase: Phase, path: &Path) -> Vec<Hook> {
    let of = |moment, key: String| {
        let commands = commands(hooks, &key, phase, path).into_iter();
        commands.map(move |command| Hook { phase, moment, command })
    };
    let mut found = Vec::new();
    // Before the fetch there is no release yet in which anything could run.
    if phase != Phase::Fetch {
        found.extend(of(Moment::Before, format!("before_{phase_name}")));
    }
    found.extend(of(Moment::After, format!("after_{phase_name}")));
    found
}

/// A shell line, an argv, or a list of argvs and tables, of the hook or the recipe's key that has this name.
pub fn commands(hooks: &TableReader<'_>, key: &str, phase: Phase, path: &Path) -> Vec<StepCommand> {
    let bare = |run: Option<CommandLine>| run.map(|run| bare_command(run, phase)).into_iter().collect();
    match hooks.node(key).map(|node| &node.value) {
        None => Vec::new(),
        Some(Value::Text(_)) => bare(hooks.value(key, shell_line)),
        Some(Value::List(nodes)) if nodes.is_empty() => Vec::new(),
        Some(Value::List(nodes)) if nodes.iter().all(|node| matches!(node.value, Value::Text(_))) => {
            bare(hooks.value(key, argv))
        }
        Some(Value::List(nodes)) => nodes
            .iter()
            .enumerate()
            .filter_map(|(at, node)| element(hooks, key, (at, node), phase, path))
            .collect(),
        Some(_) => bare(hooks.value(key, |node| Wrong::kind(node, "a shell line in quotes or a list"))),
    }
}

fn element<'a>(
    hooks: &TableReader<'a>,
    key: &str,
    (at, node): (usize, &'a Node),
    phase: Phase,
    path: &Path,
) -> Option<StepCommand> {
    match &node.value {
        Value::List(_) => hooks.element_value(key, at, node, argv).map(|run| bare_command(run, phase)),
        Value::Text(_) => {
            // Among strings alone it would be an argument; among tables it could be either.
            hooks.error(key, node, "a bare text in a list with tables or lists could be a program or a shell line: write { shell = \"...\" } or [\"...\"]");
            None
        }
        _ => step_command(&hooks.element(key, at, node)?, phase, path),
    }
}

fn bare_command(run: CommandLine, phase: Phase) -> StepCommand {
    StepCommand {
        name: program_name(&run),
        phase,
        run,
        directory: None,
        environment: BTreeMap::new(),
        env_files: Vec::new(),
        timeout: None,
        retries: 0,
        undo: None,
    }
}

/// None where it has no command.
fn step_command(table: &TableReader<'_>, phase: Phase, path: &Path) -> Option<StepCommand> {
    let name = table.value("name", filled_text);
    let run = one_of(table, "run", "shell");
    if !table.is_written("run") && !table.is_written("shell") {
        table.error_at_header(
            "a step needs `run` or `shell`",
            "write for example `run = [\"make\", \"-j2\"]` or `shell = \"make\"`",
        );
    }
    let step = StepCommand {
        directory: table.value("directory", inner_path),
        environment: environment(table),
        env_files: table.value("env_files", list(path_in(path))).unwrap_or_default(),
        timeout: table.value("timeout", duration),
        retries: table.value("retries", integer(0, 100)).unwrap_or_default(),
        undo: one_of(table, "undo", "undo_shell"),
        ..bare_command(run?, phase)
    };
    Some(StepCommand { name: name.unwrap_or_else(|| step.name.clone()), ..step })
}

fn one_of(table: &TableReader<'_>, argv_key: &str, shell_key: &str) -> Option<CommandLine> {
    if table.is_written(argv_key) && table.is_written(shell_key) {
        let message = format!("`{argv_key}` and `{shell_key}` exclude each other");
        table.report_at_key(shell_key, Severity::Error, message, "leave one of them out");
    }
    let program = table.value(argv_key, argv);
    let line = table.value(shell_key, shell_line);
    program.or(line)
}

/// The `environment` of a deployment or a step.
pub fn environment(table: &TableReader<'_>) -> BTreeMap<String, String> {
    let variables = table.value("environment", variables).unwrap_or_default();
    if let Some(name) = variables.keys().find(|name| looks_secret(name)) {
        let message = format!("`{name}` looks like a secret, and `environment` is shown in logs and pages");
        table.report_at_key(
            "environment",
            Severity::Warning,
            message,
            "put it into a file and name that in `env_files`",
        );
    }
    variables
}

/// `make` of `/usr/bin/make -j2`.
fn program_name(run: &CommandLine) -> String {
    let program = match run {
        CommandLine::Argv(words) => words.first().map(String::as_str),
        CommandLine::Shell(line) => line.split_whitespace().next(),
    };
    program
        .and_then(|program| Path::new(program).file_name())
        .and_then(|name| name.to_str())
        .unwrap_or("command")
        .to_owned()
}
