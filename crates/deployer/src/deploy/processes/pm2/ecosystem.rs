//! Reading an ecosystem file: a program of ours evaluates it with node, as PM2 itself would, sandboxed, and says what it exports.
//!
//! In a line of its own on standard output, with a mark in front: the file may print what it likes. What it exports holds what it took from the
//! environment, secrets too, and must come through as it is, where all else that is printed is redacted: so its bytes are written
//! in letters of which no secret is made. The path is an argument, not part of the program.

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
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// What the line of the answer begins with.
const MARK: &str = "durhack-deployer exports ";

/// The letter of a zero byte: the first of the 256 patterns of Braille, which Unicode has in the order of their numbers.
const FIRST_LETTER: u32 = 0x2800;

/// `import` takes CommonJS and both kinds of ESM. An error of the file's is an answer.
const PROGRAM: &str = r#"
const { pathToFileURL } = require("node:url");
const [, file, mark] = process.argv;
const print = process.stdout.write.bind(process.stdout);
const say = (what) => {
  const letters = Array.from(Buffer.from(JSON.stringify(what)), (byte) => String.fromCharCode(0x2800 + byte));
  print(`${mark}${letters.join("")}\n`, () => process.exit(0));
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

/// Evaluates it, and reads what it exports.
pub async fn read(
    file: &Path,
    origin: Origin<'_>,
    env_files: &[PathBuf],
    workbench: &Workbench<'_>,
) -> Result<Vec<Definition>> {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let words = ["node", "--eval", PROGRAM, "--", &file.to_string_lossy(), MARK];
    let command = Command {
        line: CommandLine::Argv(words.map(str::to_owned).to_vec()),
        directory: workbench.directory.to_owned(),
        environment: BTreeMap::new(),
        env_files: env_files.to_vec(),
    };
    workbench.note(format!("evaluating {}", file.display()));
    let answer = workbench.evaluate(&command, MARK).await.with_context(|| name.clone())?;
    let said = understood(answer.as_deref()).with_context(|| name.clone())?;
    if let Some(error) = said.error {
        bail!("{name}: {error}");
    }
    definitions(&said.apps.unwrap_or_default(), origin).map_err(|error| anyhow!("{name}: {error}"))
}

fn understood(answer: Option<&str>) -> Result<Answer> {
    let answer = answer.ok_or_else(|| anyhow!("it ended the program that read it"))?;
    let letters = answer.chars().map(|letter| u8::try_from(u32::from(letter).wrapping_sub(FIRST_LETTER)));
    let bytes: Vec<u8> = letters.collect::<Result<_, _>>()?;
    if bytes.len() > ANSWER_BYTES_MAX {
        bail!("it exports {} bytes, and at most {ANSWER_BYTES_MAX} are allowed", bytes.len());
    }
    Ok(serde_json::from_slice(&bytes)?)
}
