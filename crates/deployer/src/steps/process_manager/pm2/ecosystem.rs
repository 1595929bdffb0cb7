//! Reading an ecosystem file: a program of ours evaluates it with node, as PM2 itself would, sandboxed, and says what it exports.
//!
//! In a line of its own on standard output, with a mark in front: the file may print what it likes. What it exports holds what it took from the
//! environment, secrets too, and must come through as it is, where all else that is printed is redacted: so its bytes are written
//! in letters of which no secret is made. The path is an argument, not part of the program.

use super::definition::{Block, Definition, Origin, definitions};
use crate::config::CommandLine;
use crate::process::command::Command;
use crate::process::step_context::StepContext;
use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Where PM2 and its users look, in this order.
pub const NAMES: [&str; 20] = [
    "ecosystem.config.js",
    "ecosystem.config.cjs",
    "ecosystem.config.mjs",
    "ecosystem.config.json",
    "ecosystem.config.yml",
    "ecosystem.config.yaml",
    "ecosystem.json",
    "ecosystem.yml",
    "ecosystem.yaml",
    "process.json",
    "process.yml",
    "process.yaml",
    "process.config.js",
    "process.config.cjs",
    "pm2.json",
    "pm2.yml",
    "pm2.yaml",
    "pm2.config.js",
    "pm2.config.cjs",
    "pm2.config.mjs",
];

/// What a file may export, written down: more than any honest one by far.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// What the line of the answer begins with.
const MARK: &str = "durhack-deployer exports ";

/// The letter of a zero byte: the first of the 256 patterns of Braille, which Unicode has in the order of their numbers.
const FIRST_LETTER: u32 = 0x2800;

/// Reads what PM2 reads (`Common.parseConfig` and `API._startJson` of PM2 7), as PM2 reads it: JSON is an expression of JavaScript there, and
/// YAML is what PM2's own library makes of it. `import` takes CommonJS and both kinds of ESM. An error of the file's is an answer.
const PROGRAM: &str = r#"
const { existsSync, readFileSync, realpathSync } = require("node:fs");
const { createRequire } = require("node:module");
const { delimiter, dirname, join } = require("node:path");
const { pathToFileURL } = require("node:url");
const vm = require("node:vm");
const [, file, mark, kind] = process.argv;
const print = process.stdout.write.bind(process.stdout);
const say = (what) => {
  const letters = Array.from(Buffer.from(JSON.stringify(what)), (byte) => String.fromCharCode(0x2800 + byte));
  print(`${mark}${letters.join("")}\n`, () => process.exit(0));
};
const fail = (error) => say({ error: String(error?.message ?? error).split("\n")[0] });
const holds = (value) => Boolean(value && (value.apps || value.pm2 || value.static));
const yaml = () => {
  for (const directory of process.env.PATH.split(delimiter)) {
    const program = join(directory, "pm2");
    const places = existsSync(program) ? [realpathSync(program)] : [];
    places.push(join(directory, "../lib/node_modules/pm2/bin/pm2"), join(directory, "../pm2/bin/pm2"));
    for (const place of places.filter((place) => existsSync(place))) {
      try {
        return createRequire(place)("js-yaml");
      } catch {}
    }
  }
  throw new Error("PM2's library for YAML is not found beside `pm2`: write the file as JSON or JavaScript");
};
const readers = {
  json: () => vm.runInThisContext(`(${readFileSync(file, "utf8")})`, { filename: file }),
  yaml: () => yaml().load(readFileSync(file, "utf8")),
  script: async () => {
    const module = await import(pathToFileURL(file));
    return { module, exported: "default" in module && (holds(module.default) || !holds(module)) ? module.default : module };
  },
};
const isApplication = (value) => ["name", "script", "cmd", "command"].some((key) => key in value);
const served = (page) => ({
  name: page.name ? page.name : `static-page-server-${page.port}`,
  script: "serve",
  env: {
    PM2_SERVE_PORT: page.port,
    PM2_SERVE_HOST: page.host,
    PM2_SERVE_PATH: page.path,
    PM2_SERVE_SPA: page.spa,
    PM2_SERVE_FTP: page.ftp,
    PM2_SERVE_DIRECTORY: page.directory,
    PM2_SERVE_BASIC_AUTH: page.basic_auth !== undefined,
    PM2_SERVE_BASIC_AUTH_USERNAME: page.basic_auth?.username,
    PM2_SERVE_BASIC_AUTH_PASSWORD: page.basic_auth?.password,
    PM2_SERVE_MONITOR: page.monitor,
  },
});
process.on("uncaughtException", fail);
(async () => {
  // Not the value itself: a promise that is exported would be waited for.
  const read = await readers[kind]();
  const exported = kind === "script" ? read.exported : read;
  if (typeof exported === "function") throw "it exports a function, which PM2 does not call: export what it returns";
  if (typeof exported?.then === "function") throw "it exports a promise, for which PM2 does not wait: export the value";
  if (exported === null || typeof exported !== "object") throw "it exports no list `apps`";
  const named = exported.apps || exported.pm2;
  const alone = Array.isArray(exported) || isApplication(exported) ? exported : exported.static ? [] : null;
  const apps = named || alone;
  const pages = [].concat(exported.static ?? []).map(served);
  say({ apps: apps && [].concat(apps, pages), deploy: exported.deploy });
})().catch(fail);
"#;

#[derive(Deserialize)]
struct EvaluatedFile {
    apps: Option<Value>,
    deploy: Option<Value>,
    error: Option<String>,
}

/// What a file names.
#[derive(Debug)]
pub struct Exported {
    /// The applications that PM2 is to run, in the order of the file.
    pub definitions: Vec<Definition>,
    /// What is to be said of blocks `env_*` that nothing uses.
    pub unused: Option<String>,
}

/// The file that names a release's applications.
pub fn find(release: &Path, configured: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = configured {
        let found = Some(release.join(path)).filter(|path| path.is_file());
        return found.ok_or_else(|| {
            anyhow!(
                "the release has no {}\nhint: `ecosystem` names the file that names the applications",
                path.display()
            )
        });
    }
    let found = NAMES.iter().map(|name| release.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| {
        anyhow!(
            "the release has no ecosystem.config.js, and no other file by which PM2 knows applications\nhint: `ecosystem` names the file that names the applications"
        )
    })
}

/// How PM2 reads a file of this name; None: as no file of applications.
fn kind(name: &str) -> Option<&'static str> {
    let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
    match name {
        _ if name.contains(".json") => Some("json"),
        _ if name.contains(".yml") || name.contains(".yaml") => Some("yaml"),
        _ if ends(&[".js", ".cjs", ".mjs"]) => Some("script"),
        _ => None,
    }
}

/// Evaluates it, and reads what it exports.
pub async fn read(
    file: &Path,
    origin: Origin<'_>,
    env_files: &[PathBuf],
    step_context: &StepContext<'_>,
) -> Result<Exported> {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let kind = kind(&name).ok_or_else(|| {
        anyhow!(
            "{name}: PM2 reads applications from files that end with .js, .cjs, .mjs, .json, .yml or .yaml"
        )
    })?;
    let words = ["node", "--eval", PROGRAM, "--", &file.to_string_lossy(), MARK, kind];
    let command = Command {
        line: CommandLine::Argv(words.map(str::to_owned).to_vec()),
        directory: step_context.directory.to_owned(),
        environment: BTreeMap::new(),
        env_files: env_files.to_vec(),
    };
    step_context.note(format!("evaluating {}", file.display()));
    let answer = step_context.evaluate(&command, MARK).await.with_context(|| name.clone())?;
    let said = understood(answer.as_deref()).with_context(|| name.clone())?;
    if let Some(error) = said.error {
        bail!("{name}: {error}");
    }
    let mut applications = said.apps.unwrap_or_default();
    let blocks = blocks(&applications);
    let of_deploy =
        origin.block.and_then(|block| said.deploy.as_ref()?.get(&block.name)?.get("env")?.as_object());
    for application in applications.as_array_mut().into_iter().flatten() {
        lay_over(application, of_deploy);
    }
    if let Some(block) = origin.block.filter(|block| block.is_asked_for && of_deploy.is_none())
        && !blocks.contains(&block.name)
    {
        bail!("{name}: no application has `env_{0}`, which `pm2_env = \"{0}\"` asks for", block.name);
    }
    let unused = unused(&name, &blocks, origin.block);
    let definitions = definitions(&applications, origin).map_err(|error| anyhow!("{name}: {error}"))?;
    Ok(Exported { definitions, unused })
}

/// Variables of the file's `deploy`, which PM2 lays over an application's `env`, and under its block.
fn lay_over(application: &mut Value, of_deploy: Option<&Map<String, Value>>) {
    let (Some(application), Some(of_deploy)) = (application.as_object_mut(), of_deploy) else { return };
    let variables = application.entry("env").or_insert_with(|| Value::Object(Map::new()));
    if let Some(variables) = variables.as_object_mut() {
        variables.extend(of_deploy.clone());
    }
}

/// The names of the blocks `env_*` of some applications.
fn blocks(applications: &Value) -> BTreeSet<String> {
    let applications = applications.as_array().into_iter().flatten().filter_map(Value::as_object);
    let fields = applications.flat_map(Map::keys);
    fields.filter_map(|field| field.strip_prefix("env_")).map(str::to_owned).collect()
}

/// The names of blocks `env_*` that a file seems to have, by its text alone.
pub fn blocks_in_text(text: &str) -> BTreeSet<String> {
    let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let names = text.match_indices("env_").filter_map(|(at, prefix)| {
        let rest = &text[at + prefix.len()..];
        let name: String = rest.chars().take_while(|letter| is_of_name(*letter)).collect();
        let is_key = rest[name.len()..].trim_start_matches(['"', '\'']).trim_start().starts_with(':');
        (is_key && !text[..at].ends_with(is_of_name) && !name.is_empty()).then_some(name)
    });
    names.collect()
}

/// What is to be said where a file has such blocks and none of them is used.
pub fn unused(file: &str, blocks: &BTreeSet<String>, used: Option<&Block>) -> Option<String> {
    let is_used = used.is_some_and(|used| used.is_asked_for || blocks.contains(&used.name));
    let first = blocks.first().filter(|_| !is_used)?;
    let names: Vec<String> = blocks.iter().map(|name| format!("`env_{name}`")).collect();
    Some(format!(
        "{file} has {}, of which nothing is used: `pm2_env = \"{first}\"` uses `env_{first}`, as `pm2 start --env {first}` does",
        names.join(" and ")
    ))
}

fn understood(answer: Option<&str>) -> Result<EvaluatedFile> {
    let answer = answer.ok_or_else(|| anyhow!("it ended the program that read it"))?;
    let letters = answer.chars().map(|letter| u8::try_from(u32::from(letter).wrapping_sub(FIRST_LETTER)));
    let bytes: Vec<u8> = letters.collect::<Result<_, _>>()?;
    if bytes.len() > ANSWER_BYTES_MAX {
        bail!("it exports {} bytes, and at most {ANSWER_BYTES_MAX} are allowed", bytes.len());
    }
    Ok(serde_json::from_slice(&bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_seen_in_a_text() {
        for (text, expected) in [
            ("env_production: { A: 1 }, env: {}", &["production"][..]),
            ("\"env_staging\" : {}, 'env_qa_2': {}", &["qa_2", "staging"]),
            ("my_env_x: 1, env_: {}, process.env_file, env_file", &[]),
        ] {
            assert_eq!(blocks_in_text(text).iter().collect::<Vec<_>>(), expected, "{text}");
        }
        let (blocks, used) = (blocks_in_text("env_production:"), |name: &str, is_asked_for| Block {
            name: name.into(),
            is_asked_for,
        });
        assert!(unused("x", &blocks, None).unwrap().contains("`pm2_env = \"production\"`"));
        assert_eq!(unused("x", &blocks, Some(&used("production", false))), None);
        assert!(unused("x", &blocks_in_text("env_a:"), Some(&used("production", false))).is_some());
    }

    #[test]
    fn a_file_is_read_as_pm2_would() {
        for (name, expected) in [
            ("ecosystem.config.cjs", Some("script")),
            ("pm2.js", Some("script")),
            ("process.json", Some("json")),
            ("ecosystem.config.yml", Some("yaml")),
            ("apps.ts", None),
            ("apps.toml", None),
        ] {
            assert_eq!(kind(name), expected, "{name}");
        }
    }
}
