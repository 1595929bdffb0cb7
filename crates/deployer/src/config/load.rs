//! Finds the layers, reads them, merges them, and hands the rest to [`super::resolve`].
//!
//! This is the part that touches the file system; what the layers mean is decided elsewhere.

use super::diagnostics::{Diagnostics, Problem};
use super::environment::{Environment, parse_env_file};
use super::raw::{self, Table};
use super::resolve::secrets::{SecretFile, Unreadable};
use super::resolve::{Facts, Resolution, resolve};
use super::show::Merged;
use super::users::{self, Users};
use super::{Config, DEVELOPMENT};
use crate::secret::Secret;
use std::fs::Metadata;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Where a service's configuration lies.
pub const SYSTEM_DIRECTORY: &str = "/etc/durhack-deployer";

/// Larger files are not configurations: a wrong path must not fill the memory.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// For what a configuration is loaded: which of its secrets are read. The others need not be there, nor be readable by whoever asks: so
/// each half of a divided deployer has its own only, and `status` needs none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To receive and to deploy: all of them.
    Serve,
    /// To receive: those that sign webhooks.
    Listen,
    /// To deploy: those that open GitHub and repositories.
    Deploy,
    /// To ask the record: none.
    Ask,
    /// To look at the configuration itself: all that may be read, and a note of what may not.
    Check,
}

impl Purpose {
    /// Whether what signs webhooks is read.
    pub fn needs_webhook_secrets(self) -> bool {
        matches!(self, Self::Serve | Self::Listen | Self::Check)
    }

    /// Whether tokens and keys are read.
    pub fn needs_keys(self) -> bool {
        matches!(self, Self::Serve | Self::Deploy | Self::Check)
    }
}

/// A configuration that can be used, and all that is worth saying about it.
#[derive(Debug)]
pub struct Loaded {
    /// Resolved; without the deployments that have an error.
    pub config: Config,
    /// Errors of deployments that were left out, warnings and notes.
    pub problems: Diagnostics,
    /// What holds, and from where.
    pub merged: Merged,
    /// The files that were read, in order.
    pub layers: Vec<PathBuf>,
    /// The environment with what `.env` files add.
    pub environment: Environment,
    /// What `setup` has recorded as the deployments' users. `None`: there is no such record.
    pub users: Option<Users>,
    /// Where the layers lie. Absolute.
    pub directory: PathBuf,
}

/// Loads the configuration from this directory, or else from `./config`, or else from [`SYSTEM_DIRECTORY`].
///
/// On error nothing may start; the error holds everything that was found.
pub fn load(
    directory: Option<&Path>,
    environment: &Environment,
    purpose: Purpose,
) -> Result<Loaded, Diagnostics> {
    load_with(directory, environment, purpose, None)
}

/// The same for the command that makes webhook secrets: where a file of one is not there yet, the secret is what `absent`
/// makes, and having none at all is no error.
pub fn load_making_secrets(
    directory: Option<&Path>,
    environment: &Environment,
    absent: &dyn Fn() -> Secret,
) -> Result<Loaded, Diagnostics> {
    load_with(directory, environment, Purpose::Serve, Some(absent))
}

fn load_with(
    directory: Option<&Path>,
    environment: &Environment,
    purpose: Purpose,
    absent_webhook_secret: Option<&dyn Fn() -> Secret>,
) -> Result<Loaded, Diagnostics> {
    let mut environment = environment.clone();
    let directory = find_directory(directory, environment.working_directory(), environment.is_root())?;
    let absolute_directory = environment.working_directory().join(&directory);
    read_env_files(&mut environment, &absolute_directory)?;
    let instance = name_of_file_part(&environment, ["DEPLOYER_INSTANCE", "PYTHON_APP_INSTANCE"])?;
    let environment_name = name_of_file_part(&environment, ["DEPLOYER_ENV", "PYTHON_ENV"])?;
    let environment_name = environment_name.as_deref().unwrap_or(DEVELOPMENT);

    let (tree, layers) = read_layers(&directory, &absolute_directory, environment_name, instance.as_deref())?;
    let users = Users::read(&absolute_directory).map_err(|error| {
        let help = "`durhack-deployer setup`, as root, writes it anew where it is not there; nothing starts as long as nobody can tell as whom builds run";
        refuse(Problem::error(error).help(help))
    })?;
    let facts = Facts {
        users: users.as_ref(),
        environment: &environment,
        environment_name,
        instance: instance.as_deref(),
        configuration_directory: &absolute_directory,
        purpose,
        read_secret_file: &read_secret_file,
        absent_webhook_secret,
    };
    match resolve(&tree, &facts) {
        Resolution { config: Some(config), problems, merged } => {
            let directory = absolute_directory;
            Ok(Loaded { config, problems, merged, layers, environment, users, directory })
        }
        Resolution { problems, .. } => Err(problems),
    }
}

fn refuse(problem: Problem) -> Diagnostics {
    Diagnostics::from_iter([problem])
}

/// What lies in the directory where somebody happens to be may be anybody's: root believes only what is root's.
fn is_believed(path: &Path, is_root: bool) -> bool {
    // A link is its maker's, wherever it leads.
    !is_root || path.symlink_metadata().is_ok_and(|found| found.uid() == 0 && found.mode() & 0o022 == 0)
}

/// Root who asks from its own home goes on as the service's user, who may not look there (`cli::owner`).
fn is_out_of_sight(path: &Path) -> bool {
    path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

fn find_directory(
    given: Option<&Path>,
    working_directory: &Path,
    is_root: bool,
) -> Result<PathBuf, Diagnostics> {
    if let Some(given) = given {
        return match working_directory.join(given).is_dir() {
            true => Ok(given.to_owned()),
            false => Err(refuse(
                Problem::error(format!("there is no configuration directory {}", given.display()))
                    .help("name a directory that holds default.toml and its layers"),
            )),
        };
    }
    let candidates = [Path::new("config"), Path::new(SYSTEM_DIRECTORY)];
    let is_there = |path: &&&Path| {
        let directory = working_directory.join(path);
        let around = directory.parent().unwrap_or(working_directory);
        directory.is_dir() && is_believed(&directory, is_root) && is_believed(around, is_root)
    };
    candidates.iter().find(is_there).map(|path| path.to_path_buf()).ok_or_else(|| {
        let here = working_directory.join("config");
        refuse(
            Problem::error(format!("there is no configuration directory: neither {} nor {SYSTEM_DIRECTORY}", here.display()))
                .help("`durhack-deployer setup`, as root, makes the second; or make one with a default.toml in it (`durhack-deployer config reference` lists every key), or name one with --config. Root believes ./config only where it is root's"),
        )
    })
}

/// `.env` in the working directory, then the one beside the configuration directory.
fn read_env_files(environment: &mut Environment, directory: &Path) -> Result<(), Diagnostics> {
    let mut files = vec![environment.working_directory().join(".env")];
    files.retain(|file| !is_out_of_sight(file));
    files.extend(directory.parent().map(|parent| parent.join(".env")));
    files.dedup();
    files.retain(|file| is_believed(file, environment.is_root()));
    for file in files {
        let Some((text, _)) = read_if_there(&file)? else { continue };
        match parse_env_file(&text) {
            Ok(variables) => environment.add_missing(variables),
            Err(error) => {
                let problem = Problem::error(format!("{}: {error}", file.display()));
                return Err(refuse(
                    problem.help("write KEY=value lines; quote values that hold white space or #"),
                ));
            }
        }
    }
    Ok(())
}

/// The first of the variables that is set and not empty. It becomes a part of file names.
fn name_of_file_part(environment: &Environment, variables: [&str; 2]) -> Result<Option<String>, Diagnostics> {
    let set = variables.iter().find_map(|variable| {
        environment.get(variable).filter(|value| !value.is_empty()).map(|value| (variable, value))
    });
    let Some((variable, value)) = set else { return Ok(None) };
    let is_safe = value.len() <= 100
        && value.starts_with(|first: char| first.is_ascii_alphanumeric())
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    // Its layer would be the file that says as whom builds run.
    if is_safe && value != users::FILE.trim_end_matches(".toml") {
        return Ok(Some(value.to_owned()));
    }
    let problem = Problem::error(format!(
        "the environment variable {variable} is {value:?}, which cannot be a part of a file name"
    ));
    Err(refuse(problem.help("use letters, digits, `.`, `_` and `-`, as in deploy.durhack.com")))
}

/// The names of the layers, each laid over those before it.
fn layer_names(environment: &str, instance: Option<&str>) -> Vec<String> {
    let mut names = Vec::new();
    for prefix in [None, Some("local")] {
        let name = |parts: &[&str]| prefix.iter().chain(parts).copied().collect::<Vec<_>>().join("-");
        names.push(prefix.unwrap_or("default").to_owned());
        names.push(name(&[environment]));
        if let Some(instance) = instance {
            names.push(name(&[instance]));
            names.push(name(&[environment, instance]));
        }
    }
    names
}

fn read_layers(
    shown_directory: &Path,
    directory: &Path,
    environment: &str,
    instance: Option<&str>,
) -> Result<(Table, Vec<PathBuf>), Diagnostics> {
    let mut tree = Table::default();
    let mut layers = Vec::new();
    let mut problems = Diagnostics::default();
    let names = layer_names(environment, instance);
    for name in &names {
        let file = format!("{name}.toml");
        let shown_path = shown_directory.join(&file);
        let Some((text, metadata)) = read_if_there(&directory.join(&file))? else { continue };
        let world_readable = metadata.permissions().mode() & 0o004 != 0;
        match raw::parse(shown_path.clone(), &text, world_readable) {
            Ok(layer) => tree.merge(layer),
            Err(wrong) => wrong.into_iter().for_each(|problem| problems.push(problem)),
        }
        layers.push(shown_path);
    }
    if layers.is_empty() {
        let problem =
            Problem::error(format!("the directory {} holds no configuration", shown_directory.display()));
        problems
            .push(problem.help(format!("one of these files must be there: {}.toml", names.join(".toml, "))));
    }
    if problems.is_empty() { Ok((tree, layers)) } else { Err(problems) }
}

/// None where there is no such file.
fn read_if_there(path: &Path) -> Result<Option<(String, Metadata)>, Diagnostics> {
    match read_text(path) {
        Ok(read) => Ok(Some(read)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => {
            let problem = Problem::error(format!("{} cannot be read: {error}", path.display()));
            Err(refuse(match error.kind() {
                ErrorKind::PermissionDenied => {
                    problem.help("run this as the deployer's user, or as root: `sudo durhack-deployer ...`")
                }
                _ => problem,
            }))
        }
    }
}

fn read_text(path: &Path) -> std::io::Result<(String, Metadata)> {
    let file = std::fs::File::open(path)?;
    let metadata = file.metadata()?;
    let mut text = String::new();
    // One more than allowed, so that a file of exactly the limit is told from a larger one.
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    match text.len() as u64 > FILE_BYTES_MAX {
        true => Err(std::io::Error::new(
            ErrorKind::FileTooLarge,
            format!("it has more than {FILE_BYTES_MAX} bytes"),
        )),
        false => Ok((text, metadata)),
    }
}

fn read_secret_file(path: &Path) -> Result<Option<SecretFile>, Unreadable> {
    match read_text(path) {
        Ok((text, metadata)) => Ok(Some(SecretFile { text, mode: metadata.permissions().mode() })),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Unreadable {
            is_forbidden: error.kind() == ErrorKind::PermissionDenied,
            message: format!("the file {} cannot be read: {error}", path.display()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_in_the_order_of_the_original() {
        assert_eq!(
            layer_names("E", Some("I")),
            ["default", "E", "I", "E-I", "local", "local-E", "local-I", "local-E-I"]
        );
        assert_eq!(layer_names("E", None), ["default", "E", "local", "local-E"]);
    }
}
