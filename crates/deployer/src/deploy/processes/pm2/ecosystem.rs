//! Reading an ecosystem file: a program of ours evaluates it with node, as PM2 itself would, and says in a file what it exports.
//!
//! Never through standard output: the file may print what it likes. The path is an argument, not part of the program.

use super::definition::{Definition, Origin, definitions};
use crate::config::CommandLine;
use crate::deploy::plan::Command;
use crate::deploy::workbench::Workbench;
use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where PM2 and its users look, in this order.
const NAMES: [&str; 3] = ["ecosystem.config.js", "ecosystem.config.cjs", "ecosystem.config.mjs"];

/// What a file may export, written down: more than any honest one by far.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// `import` takes CommonJS and both kinds of ESM. An error of the file's is an answer.
const PROGRAM: &str = r#"
const { writeFileSync } = require("node:fs");
const { pathToFileURL } = require("node:url");
const [, file, answer] = process.argv;
const say = (what) => {
  writeFileSync(answer, JSON.stringify(what), { mode: 0o600 });
  process.exit(0);
};
const fail = (error) => say({ error: String(error?.message ?? error).split("\n")[0] });
process.on("uncaughtException", fail);
import(pathToFileURL(file)).then((module) => {
  const exported = module.default ?? module;
  say({ apps: exported.apps ?? null });
}).catch(fail);
"#;

#[derive(Deserialize)]
struct Answer {
    apps: Option<Value>,
    error: Option<String>,
}

/// The file that names a release's applications.
pub fn find(release: &Path, configured: Option<&Path>) -> Result<PathBuf> {
    let candidates: Vec<&Path> =
        configured.map_or_else(|| NAMES.iter().map(Path::new).collect(), |path| vec![path]);
    let found = candidates.iter().map(|name| release.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| {
        let names: Vec<String> = candidates.iter().map(|name| name.display().to_string()).collect();
        anyhow!(
            "the release has no {}\nhint: `ecosystem` names the file that names the applications",
            names.join(" and no ")
        )
    })
}

/// Evaluates it, and reads what it exports. `answer` is a file that may be overwritten.
pub async fn read(
    file: &Path,
    answer: &Path,
    origin: Origin<'_>,
    env_files: &[PathBuf],
    workbench: &Workbench<'_>,
) -> Result<Vec<Definition>> {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // What an earlier evaluation said is no answer to this one.
    remove(answer)?;
    let words = ["node", "--eval", PROGRAM, "--", &file.to_string_lossy(), &answer.to_string_lossy()];
    let command = Command {
        line: CommandLine::Argv(words.map(str::to_owned).to_vec()),
        directory: workbench.directory.to_owned(),
        environment: BTreeMap::new(),
        env_files: env_files.to_vec(),
    };
    workbench.note(format!("evaluating {}", file.display()));
    workbench.run(&command).await.with_context(|| name.clone())?;
    let said = understood(answer).with_context(|| name.clone())?;
    remove(answer)?;
    if let Some(error) = said.error {
        bail!("{name}: {error}");
    }
    definitions(&said.apps.unwrap_or_default(), origin).map_err(|error| anyhow!("{name}: {error}"))
}

fn understood(answer: &Path) -> Result<Answer> {
    let bytes = fs_err::metadata(answer).map_err(|_| anyhow!("it ended the program that read it"))?.len();
    if bytes > ANSWER_BYTES_MAX {
        bail!("it exports {bytes} bytes, and at most {ANSWER_BYTES_MAX} are allowed");
    }
    Ok(serde_json::from_slice(&fs_err::read(answer)?)?)
}

fn remove(file: &Path) -> Result<()> {
    match fs_err::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
