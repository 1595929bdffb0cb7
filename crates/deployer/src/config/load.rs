//! Finds the layers, reads them, merges them, and hands the rest to [`super::resolve`].
//!
//! This is the part that touches the file system; what the layers mean is decided elsewhere.
//!
//! A configuration says what is run, so it is read only from where the operator writes. Whoever types a command may stand in a
//! release, whose files a push has written: a directory `config` there is not believed merely because it is there
//! ([`why_not_believed`]), and where this machine has an installation, its directory is what is read.

use super::reading::diagnostics::{Diagnostics, Problem};
use super::reading::environment::{Environment, parse_env_file};
use super::reading::raw::{self, Table};
use super::reading::show::Merged;
use crate::base::secret::Secret;
use crate::config::purpose::{Purpose, SYSTEM_DIRECTORY, SecretFile, Unreadable};
use crate::config::recipe::Reference;
use crate::config::resolve::{Location, Resolution, ResolveFacts, default_state_directory, resolve};
use crate::config::users::{self, Users};
use crate::config::{Config, DEVELOPMENT};
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::fs::Metadata;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The environment of the services, which commands about the same installation have too.
pub const SYSTEM_ENVIRONMENT: &str = "/etc/default/durhack-deployer";

/// Larger files are not configurations: a wrong path must not fill the memory.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What names this installation.
const INSTANCE_VARIABLES: [&str; 2] = ["DEPLOYER_INSTANCE", "PYTHON_APP_INSTANCE"];

/// What names the layers that are read besides `default.toml`.
const ENVIRONMENT_VARIABLES: [&str; 2] = ["DEPLOYER_ENV", "PYTHON_ENV"];

/// The files that a configuration consists of, as they were written: all that is needed to load it again. They may hold secrets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenConfig {
    /// Where the layers lie. Absolute.
    pub directory: PathBuf,
    environment: String,
    instance: Option<String>,
    env_files: Vec<String>,
    layers: Vec<Layer>,
    has_users: bool,
}

/// One of the TOML files.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Layer {
    /// As it is shown.
    path: PathBuf,
    text: String,
    world_readable: bool,
}

impl WrittenConfig {
    /// Whether the layers are the same; by what name the environment goes that chose them, services and people may have it otherwise.
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        fn texts(written: &WrittenConfig) -> impl Iterator<Item = (Option<&std::ffi::OsStr>, &str)> {
            written.layers.iter().map(|layer| (layer.path.file_name(), layer.text.as_str()))
        }
        texts(self).eq(texts(other))
    }
}

impl std::fmt::Debug for WrittenConfig {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("WrittenConfig").field(&self.directory).finish()
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
    /// The files that it was read from, to be kept for when they have errors.
    pub written: WrittenConfig,
}

/// Loads the configuration from this directory, or else from [`SYSTEM_DIRECTORY`], or else, where there is none, from `./config`.
///
/// `reference` is what may be written: `plan::recipes::REFERENCE`. On error nothing may start; the error holds everything that was found.
pub fn load(
    reference: &Reference,
    directory: Option<&Path>,
    environment: &Environment,
    purpose: Purpose,
) -> Result<Loaded, Diagnostics> {
    load_with(reference, directory, environment, purpose, None)
}

/// The same for the command that makes webhook secrets: where a file of one is not there yet, the secret is what `absent`
/// makes, and having none at all is no error.
pub fn load_making_secrets(
    reference: &Reference,
    directory: Option<&Path>,
    environment: &Environment,
    absent: &dyn Fn() -> Secret,
) -> Result<Loaded, Diagnostics> {
    load_with(reference, directory, environment, Purpose::Serve, Some(absent))
}

fn load_with(
    reference: &Reference,
    directory: Option<&Path>,
    environment: &Environment,
    purpose: Purpose,
    absent_webhook_secret: Option<&dyn Fn() -> Secret>,
) -> Result<Loaded, Diagnostics> {
    let mut environment = environment.clone();
    let directory = find_directory(directory, &environment, Path::new(SYSTEM_DIRECTORY))?;
    let absolute_directory = environment.working_directory().join(&directory);
    let env_files = read_env_files(&mut environment, &absolute_directory)?;
    let instance = name_of_file_part(&environment, INSTANCE_VARIABLES)?;
    let environment_name = name_of_file_part(&environment, ENVIRONMENT_VARIABLES)?;
    let environment_name = environment_name.unwrap_or_else(|| DEVELOPMENT.to_owned());

    let layers = read_layers(&directory, &absolute_directory, &environment_name, instance.as_deref())?;
    let users = Users::read(&absolute_directory).map_err(cannot_tell_users)?;
    let written = WrittenConfig {
        directory: absolute_directory,
        environment: environment_name,
        instance,
        env_files,
        layers,
        has_users: users.is_some(),
    };
    finish(reference, written, environment, users, purpose, absent_webhook_secret)
}

fn cannot_tell_users(error: impl Into<String>) -> Diagnostics {
    let help = "`durhack-deployer setup`, as root, writes it anew where it is not there; nothing starts as long as nobody can tell as whom builds run";
    refuse(Problem::error(error).help(help))
}

/// The same of files as they were once, for when those that are there now cannot be used.
///
/// As whom builds run is always what root's file says now.
pub fn load_written(
    reference: &Reference,
    written: &WrittenConfig,
    environment: &Environment,
    purpose: Purpose,
) -> Result<Loaded, Diagnostics> {
    let mut environment = environment.clone();
    for text in &written.env_files {
        let found = parse_env_file(text).map_err(|error| refuse(Problem::error(error.to_string())))?;
        environment.add_missing(found.variables);
    }
    let users = match Users::read(&written.directory) {
        // Builds would run as the deployer itself.
        Ok(None) if written.has_users && purpose.needs_keys() => {
            return Err(cannot_tell_users(format!(
                "{} is gone",
                written.directory.join(users::FILE).display()
            )));
        }
        Ok(users) => users,
        Err(error) if purpose.needs_keys() => return Err(cannot_tell_users(error)),
        Err(_) => None,
    };
    finish(reference, written.clone(), environment, users, purpose, None)
}

fn finish(
    reference: &Reference,
    written: WrittenConfig,
    environment: Environment,
    users: Option<Users>,
    purpose: Purpose,
    absent_webhook_secret: Option<&dyn Fn() -> Secret>,
) -> Result<Loaded, Diagnostics> {
    let tree = merged(&written.layers)?;
    let facts = ResolveFacts {
        reference,
        users: users.as_ref(),
        environment: &environment,
        environment_name: &written.environment,
        instance: written.instance.as_deref(),
        configuration_directory: &written.directory,
        purpose,
        read_secret_file: &read_secret_file,
        location: &location,
        absent_webhook_secret,
    };
    match resolve(&tree, &facts) {
        Resolution { config: Some(config), problems, merged } => {
            let directory = written.directory.clone();
            let layers = written.layers.iter().map(|layer| layer.path.clone()).collect();
            Ok(Loaded { config, problems, merged, layers, environment, users, directory, written })
        }
        Resolution { problems, .. } => Err(problems),
    }
}

/// Where the state of a configuration lies that has errors, as far as that can be told.
///
/// What is found there is to be believed only where it says that it is of this configuration.
pub fn state_directory_of_broken(directory: Option<&Path>, environment: &Environment) -> PathBuf {
    let mut environment = environment.clone();
    let given = directory.map(|directory| environment.working_directory().join(directory));
    let directory = find_directory(directory, &environment, Path::new(SYSTEM_DIRECTORY))
        .map(|directory| environment.working_directory().join(directory));
    let directory = directory.ok().or(given).unwrap_or_else(|| PathBuf::from(SYSTEM_DIRECTORY));
    // What is wrong with these is said elsewhere.
    let _ = read_env_files(&mut environment, &directory);
    let name = |variables| name_of_file_part(&environment, variables).ok().flatten();
    let environment_name = name(ENVIRONMENT_VARIABLES).unwrap_or_else(|| DEVELOPMENT.to_owned());
    let names = layer_names(&environment_name, name(INSTANCE_VARIABLES).as_deref());
    let written = names.iter().rev().find_map(|name| {
        let (text, _) = read_if_there(&directory.join(format!("{name}.toml"))).ok().flatten()?;
        raw::text_at_root(&text, "state_directory")
    });
    match written {
        Some(written) => environment.working_directory().join(written),
        None => default_state_directory(&environment, &directory).0,
    }
}

/// What a path is. Not by directories that nobody may enter: systemd puts one and the same in the place of all that a unit may not see.
fn location(path: &Path) -> Location {
    let real = real_path(path);
    let seen = real.ancestors().filter_map(|above| {
        let found = above.metadata().ok().filter(|found| found.mode() & 0o777 != 0)?;
        let rest = real.strip_prefix(above).unwrap_or(Path::new("")).to_owned();
        Some(((found.dev(), found.ino()), rest))
    });
    Location { seen_from: seen.collect() }
}

/// Where a path leads through links. What is not there yet will lie where its directory leads.
fn real_path(path: &Path) -> PathBuf {
    let there = path.ancestors().find_map(|above| Some((above, fs_err::canonicalize(above).ok()?)));
    match there {
        Some((above, real)) => {
            let below = path.strip_prefix(above).unwrap_or(Path::new(""));
            if below.as_os_str().is_empty() { real } else { real.join(below) }
        }
        None => path.to_owned(),
    }
}

fn refuse(problem: Problem) -> Diagnostics {
    Diagnostics::from_iter([problem])
}

/// The directory of a configuration that belongs to whoever works there: for development, and where nothing is installed.
const LOCAL_DIRECTORY: &str = "config";

/// What a deployment's releases lie in.
const RELEASES: &str = "releases";

/// Why what lies in the working directory is not believed; None where it is.
fn why_not_believed(environment: &Environment) -> Option<String> {
    let here = environment.working_directory();
    let us = rustix::process::geteuid().as_raw();
    let variable = |name: &str| environment.get(name).filter(|value| !value.is_empty());
    // Root works in directories of many, and what it believes is done by root: it must say what it means.
    if environment.is_root()
        && !variable("DEPLOYER_ENV").is_some_and(|name| matches!(name, DEVELOPMENT | "test"))
    {
        return Some(format!("root reads it only with DEPLOYER_ENV={DEVELOPMENT} in its environment"));
    }
    // Who has become the service's user by sudo stands where they stood before, and means the service's configuration.
    if variable("SUDO_UID").is_some_and(|person| person != us.to_string()) && !environment.is_root() {
        return Some("this was called by sudo".to_owned());
    }
    let canonical = here.canonicalize().unwrap_or_else(|_| here.to_owned());
    if canonical.components().any(|part| part.as_os_str() == RELEASES) {
        return Some("it lies in a release, whose files a push has written".to_owned());
    }
    let strange =
        [here.to_owned(), here.join(LOCAL_DIRECTORY)].into_iter().find(|path| !is_private_to(us, path))?;
    Some(format!("others than you and root can write {}", strange.display()))
}

/// Whether only this user and root decide about what lies there.
fn is_private_to(user: u32, path: &Path) -> bool {
    // A link is its maker's, wherever it leads.
    path.symlink_metadata().is_ok_and(|found| {
        let is_ours = found.uid() == user || found.uid() == 0;
        // The group of a user's own name is the rule on Debian, and so are files that it may write.
        let is_own_group = found.gid() == rustix::process::getegid().as_raw() && user != 0;
        is_ours
            && found.mode() & 0o002 == 0
            && (found.mode() & 0o020 == 0 || is_own_group || found.is_symlink())
    })
}

/// Root who asks from its own home goes on as the service's user, who may not look there (`cli::owner`).
fn is_out_of_sight(path: &Path) -> bool {
    path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

fn find_directory(
    given: Option<&Path>,
    environment: &Environment,
    system: &Path,
) -> Result<PathBuf, Diagnostics> {
    let working_directory = environment.working_directory();
    if let Some(given) = given {
        return match working_directory.join(given).is_dir() {
            true => Ok(given.to_owned()),
            false => Err(refuse(
                Problem::error(format!("there is no configuration directory {}", given.display()))
                    .help("name a directory that holds default.toml and its layers"),
            )),
        };
    }
    if system.is_dir() {
        return Ok(system.to_owned());
    }
    let here = working_directory.join(LOCAL_DIRECTORY);
    if !here.is_dir() {
        return Err(refuse(
            Problem::error(format!("there is no configuration directory: neither {} nor {}", system.display(), here.display()))
                .help("`durhack-deployer setup`, as root, makes the first; or make the second with a default.toml in it (`durhack-deployer config reference` lists every key), or name one with --config"),
        ));
    }
    match why_not_believed(environment) {
        None => Ok(PathBuf::from(LOCAL_DIRECTORY)),
        Some(reason) => {
            Err(refuse(Problem::error(format!("{} is not read: {reason}", here.display())).help(format!(
                "if it is yours, name it: --config {}; an installation's configuration lies in {}",
                here.display(),
                system.display()
            ))))
        }
    }
}

/// `.env` beside the configuration directory, where only those can have written it who could have written that. Gives the texts.
fn read_env_files(environment: &mut Environment, directory: &Path) -> Result<Vec<String>, Diagnostics> {
    let mut texts = Vec::new();
    // What an administrator types is about the same deployments as what the services do.
    if directory == Path::new(SYSTEM_DIRECTORY) {
        texts.extend(read_env_file(environment, Path::new(SYSTEM_ENVIRONMENT))?);
    }
    if let Some(file) = directory.parent().map(|parent| parent.join(".env")) {
        texts.extend(read_env_file(environment, &file)?);
    }
    Ok(texts)
}

fn read_env_file(environment: &mut Environment, file: &Path) -> Result<Option<String>, Diagnostics> {
    let us = rustix::process::geteuid().as_raw();
    if is_out_of_sight(file) || file.symlink_metadata().is_err() {
        return Ok(None);
    }
    if !is_private_to(us, file) {
        // Root asks about installations of others: what is theirs it does without.
        if environment.is_root() {
            return Ok(None);
        }
        return Err(refuse(
            Problem::error(format!("{} is not read: others than you and root can write it", file.display()))
                .help("`chown` it, and `chmod go-w` it, or remove it"),
        ));
    }
    let Some((text, _)) = read_if_there(file)? else { return Ok(None) };
    match parse_env_file(&text) {
        Ok(found) => {
            environment.add_missing(found.variables);
            Ok(Some(text))
        }
        Err(error) => {
            let problem = Problem::error(format!("{}: {error}", file.display()));
            Err(refuse(problem.help("write KEY=value lines; quote values that hold white space or #")))
        }
    }
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
) -> Result<Vec<Layer>, Diagnostics> {
    let mut layers = Vec::new();
    let names = layer_names(environment, instance);
    for name in &names {
        let file = format!("{name}.toml");
        let shown_path = shown_directory.join(&file);
        let Some((text, metadata)) = read_if_there(&directory.join(&file))? else { continue };
        let world_readable = metadata.permissions().mode() & 0o004 != 0;
        layers.push(Layer { path: shown_path, text, world_readable });
    }
    if layers.is_empty() {
        let problem =
            Problem::error(format!("the directory {} holds no configuration", shown_directory.display()));
        let help = format!("one of these files must be there: {}.toml", names.join(".toml, "));
        return Err(refuse(problem.help(help)));
    }
    Ok(layers)
}

/// Each laid over those before it.
fn merged(layers: &[Layer]) -> Result<Table, Diagnostics> {
    let mut tree = Table::default();
    let mut problems = Diagnostics::default();
    for layer in layers {
        match raw::parse(layer.path.clone(), &layer.text, layer.world_readable) {
            Ok(layer) => tree.merge(layer),
            Err(wrong) => wrong.into_iter().for_each(|problem| problems.push(problem)),
        }
    }
    if problems.is_empty() { Ok(tree) } else { Err(problems) }
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
    // What lies there may be anything. To open a FIFO waits for whoever writes to it, unless one says otherwise.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = std::fs::File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(std::io::Error::new(ErrorKind::InvalidInput, "it is no file"));
    }
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
    fn where_a_configuration_is_believed() {
        let (home, system) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (here, nowhere) = (home.path(), home.path().join("etc"));
        std::fs::create_dir(here.join("config")).unwrap();
        let us = rustix::process::geteuid().as_raw().to_string();
        let found = |variables: &[(&str, &str)], directory: &Path, system: &Path, is_root: bool| {
            let environment = Environment::new(variables.iter().copied(), directory).of_root(is_root);
            find_directory(None, &environment, system).map_err(|problems| problems.to_string())
        };
        let refused = |result: Result<PathBuf, String>, reason: &str| {
            let problems = result.unwrap_err();
            assert!(problems.contains(reason) && problems.contains("--config"), "{problems}");
        };
        // A newcomer, in a directory of their own.
        let local = Ok(PathBuf::from("config"));
        assert_eq!(found(&[], here, &nowhere, false), local);
        assert_eq!(found(&[("PYTHON_ENV", "production")], here, &nowhere, false), local);
        assert_eq!(found(&[("SUDO_UID", &us)], here, &nowhere, false), local);
        // Where something is installed, that is what is meant.
        assert_eq!(
            found(&[("DEPLOYER_ENV", "development")], here, system.path(), false),
            Ok(system.path().to_owned())
        );
        // Root says so, and not in the directory itself.
        std::fs::write(here.join(".env"), "DEPLOYER_ENV=development\n").unwrap();
        refused(found(&[], here, &nowhere, true), "DEPLOYER_ENV=development");
        refused(found(&[("DEPLOYER_ENV", "production")], here, &nowhere, true), "DEPLOYER_ENV=development");
        assert_eq!(found(&[("DEPLOYER_ENV", "development")], here, &nowhere, true), local);
        refused(found(&[("SUDO_UID", "4711")], here, &nowhere, false), "sudo");
        // What a push has written.
        let release = here.join("srv/site/releases/20261123T125730Z-016c10c");
        std::fs::create_dir_all(release.join("config")).unwrap();
        std::fs::create_dir_all(release.join("sub/config")).unwrap();
        std::os::unix::fs::symlink(&release, here.join("srv/site/current")).unwrap();
        for place in [release.clone(), release.join("sub"), here.join("srv/site/current")] {
            refused(found(&[], &place, &nowhere, false), "release");
        }
        // What others can write, or have.
        let mode = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        for path in [here.to_owned(), here.join("config")] {
            mode(&path, 0o777);
            refused(found(&[], here, &nowhere, false), "others than you");
            mode(&path, 0o755);
        }
        if us == "0" {
            std::os::unix::fs::chown(here.join("config"), Some(1000), None).unwrap();
            refused(found(&[], here, &nowhere, false), "others than you");
        }
        refused(found(&[], &nowhere, &nowhere, false), "there is no configuration directory");
    }

    #[test]
    fn what_is_no_file_is_refused_and_not_waited_for() {
        let scratch = tempfile::tempdir().unwrap();
        let fifo = scratch.path().join("default.toml");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        let problems = read_if_there(&fifo).unwrap_err().to_string();
        assert!(problems.contains("it is no file"), "{problems}");
    }

    #[test]
    fn layers_in_the_order_of_the_original() {
        assert_eq!(
            layer_names("E", Some("I")),
            ["default", "E", "I", "E-I", "local", "local-E", "local-I", "local-E-I"]
        );
        assert_eq!(layer_names("E", None), ["default", "E", "local", "local-E"]);
    }
}
