//! `init`: looks at a repository and writes a commented deployment for it, which an operator reads, corrects, and uses.
//!
//! What is looked at is a commit, in a mirror of its own that is thrown away afterwards: nothing of the repository is
//! executed or checked out. What kind of package it is, is [`kind`]'s guess, and [`page`] writes it down; both are pure.

pub mod kind;
pub mod page;

use super::setup::drop_in::is_in_a_home;
use super::setup::users::names;
use crate::admin::arguments::InitArguments;
use crate::admin::host::accounts::Account;
use crate::admin::host::{acl, paths};
use crate::base::names::{BranchName, RepositoryName, Slug};
use crate::config::{self, Environment, Purpose};
use crate::daemon;
use crate::git::access::Access;
use crate::git::commit_tree::Tree;
use crate::git::mirror::{FetchError, Mirror};
use crate::plan::proposal::{Subject, toml_text};
use crate::plan::recipes::REFERENCE;
use crate::terminal::failed::Failed;
use anyhow::{Context, Result, anyhow, bail};
use fs_err as fs;
use page::Page;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Longest time to fetch a repository in.
const FETCH_TIMEOUT: Duration = Duration::from_secs(600);

/// Where sites lie as a rule.
const SERVED_BELOW: [&str; 3] = ["/var/www", "/srv", "/opt"];

/// Branches that are looked for where none is named, in this order.
const BRANCHES: [&str; 2] = ["main", "master"];

/// Where a repository is, and what it is called.
#[derive(Debug, PartialEq, Eq)]
struct RepositorySource {
    /// None: it cannot be told.
    repository: Option<RepositoryName>,
    /// What git fetches from here.
    url: String,
    /// What a server should fetch from.
    clone_url: String,
    /// Of a work tree: what is checked out.
    branch: Option<BranchName>,
}

/// Proposes a deployment for a repository, and prints it or adds it to a file.
pub async fn run(
    directory: Option<&Path>,
    environment: &Environment,
    arguments: &InitArguments,
) -> Result<(), Failed> {
    let source = source(&arguments.repository)?;
    let repository = source
        .repository
        .clone()
        .unwrap_or_else(|| RepositoryName::parse("owner/name").expect("it has the form of a name"));
    let slug = match &arguments.slug {
        Some(slug) => Slug::parse(slug).map_err(Failed::because)?,
        None => slug_of(&repository),
    };
    let served = checkout_that_is_served(&source);
    let path = arguments.path.clone().or(served.clone());
    let path = path.unwrap_or_else(|| PathBuf::from("/var/www").join(slug.as_str()));
    if !path.is_absolute() {
        return Err(Failed::because(anyhow!("{} is not an absolute path", path.display())));
    }
    let wished = arguments.branch.as_deref().map(BranchName::parse).transpose().map_err(Failed::because)?;
    let (branch, tree) = look(directory, environment, &source, &repository, wished).await?;
    let user = names(&slug).first().map(ToString::to_string).unwrap_or_default();
    let subject = Subject { tree: &tree, slug: slug.as_str(), path: &path, user: &user };
    let kind = kind::of(&subject, REFERENCE.preset(&repository));
    let default_url = format!("https://github.com/{repository}.git");
    let page = Page {
        slug: &slug,
        repository: &repository,
        is_named: source.repository.is_some() && !is_local(&source.clone_url),
        clone_url: (source.clone_url != default_url).then_some(source.clone_url.as_str()),
        branch: &branch,
        path: &path,
        is_checked_out: served.as_ref() == Some(&path),
        subject,
        kept: &kind::kept(&tree),
        unknown: &kind::unknown(&tree, &kind),
        submodules: (!tree.submodules().is_empty()).then(|| foreign_hosts(&tree, &source.clone_url)),
        uses_lfs: tree.uses_lfs(),
    };
    let text = page.text(&kind);
    if is_local(&source.clone_url)
        && let Some(why) = unreadable(Path::new(&source.url), service(directory, environment).as_ref())
    {
        print_error_line!("warning: {why}");
    }
    match &arguments.write {
        None => crate::terminal::printing::text(&text),
        Some(file) => {
            write(file, &slug, &text)?;
            print_line!("wrote [deployments.{slug}] to {}; read it, then:", file.display());
            match paths::has_services() {
                // It makes the user and allows what is needed: before, the plan would be of a run that cannot be.
                true => print_line!("  sudo durhack-deployer setup && durhack-deployer plan {slug}"),
                false => print_line!("  durhack-deployer config check && durhack-deployer plan {slug}"),
            }
        }
    }
    Ok(())
}

/// Who fetches when it is deployed; None where nobody knows yet.
fn service(directory: Option<&Path>, environment: &Environment) -> Option<Account> {
    let loaded = config::load(&REFERENCE, directory, environment, Purpose::Ask).ok();
    let state = loaded.and_then(|loaded| loaded.config.state_directory.symlink_metadata().ok());
    state.map(|state| Account::of(state.uid())).or_else(|| Account::named(paths::USER))
}

/// Why a repository on this machine, which we have read, cannot be fetched from when it is deployed.
fn unreadable(path: &Path, service: Option<&Account>) -> Option<String> {
    let shown = path.display();
    // Whoever pushes into it as somebody else is refused by git, too, until they say that they trust it.
    let pushers =
        format!("others who push there need `git config --global --add safe.directory {shown}`, each once");
    let give = |name: &str| format!("`chown -R {name}: {shown}`; {pushers}");
    let copy = |name: &str| {
        format!(
            "let it be {name}'s, in a directory that everybody may enter: `cp -r {shown} /srv/` and `chown -R {name}:` what is there then, and write that as `clone_url`"
        )
    };
    let Some(service) = service else {
        return Account::ours().is_root().then(|| {
            format!("as root it can be read; the service's user, which `durhack-deployer setup` makes, must own {shown}: {}", give(paths::USER))
        });
    };
    if service.is_root() {
        return None;
    }
    let name = &service.name;
    let is_packaged = paths::has_services();
    if is_packaged && is_in_a_home(path) {
        return Some(format!(
            "{name}, which deploys, sees nothing of people's homes, and {shown} lies in one: {}",
            copy(name)
        ));
    }
    let closed = path.ancestors().find(|directory| !may_enter(directory, service));
    if let Some(closed) = closed {
        return Some(format!(
            "{name}, which deploys, may not enter {}, so it cannot read {shown}: {}",
            closed.display(),
            copy(name)
        ));
    }
    let owner = path.metadata().ok().map(|found| Account::of(found.uid()))?;
    (owner.uid != service.uid).then(|| {
        format!(
            "{name}, which deploys, cannot fetch from {shown}, which is {}'s: git reads no repository of another user's: {}",
            owner.name,
            give(name)
        )
    })
}

/// By its mode; access lists may allow more.
fn may_enter(directory: &Path, user: &Account) -> bool {
    let Ok(found) = directory.metadata() else { return false };
    let shift = if found.uid() == user.uid {
        6
    } else if found.gid() == user.gid {
        3
    } else {
        0
    };
    let has_list = rustix::fs::getxattr(directory, acl::ACCESS, &mut [0_u8; 4096]).is_ok();
    has_list || found.mode() >> shift & 0o1 != 0
}

/// Where its submodules come from, without the host of the repository itself.
fn foreign_hosts(tree: &Tree, clone_url: &str) -> Vec<String> {
    let is_own = |host: &String| {
        let own = clone_url.split_once("://").map_or(clone_url, |(_, rest)| rest);
        let own = own.split(['/', ':']).next().unwrap_or_default();
        own.rsplit('@').next() == Some(host)
    };
    kind::submodule_hosts(tree).into_iter().filter(|host| !is_own(host)).collect()
}

/// Whether a URL is a directory of this machine, whose name says nothing of what GitHub calls it.
fn is_local(url: &str) -> bool {
    url.starts_with('/') || url.starts_with("file:")
}

/// A directory, `owner/name`, or a URL.
fn source(text: &str) -> Result<RepositorySource> {
    if Path::new(text).is_dir() {
        return work_tree(Path::new(text));
    }
    if let Ok(repository) = RepositoryName::parse(text) {
        let url = format!("https://github.com/{repository}.git");
        return Ok(RepositorySource {
            repository: Some(repository),
            url: url.clone(),
            clone_url: url,
            branch: None,
        });
    }
    let url = config::reading::values::addresses::checked_clone_url(text).map_err(|message| {
        anyhow!("{text:?} is neither a directory, nor owner/name, nor a URL: {message}")
    })?;
    Ok(RepositorySource { repository: repository_of(&url), url: url.clone(), clone_url: url, branch: None })
}

/// A repository on this machine: a work tree, or a bare one.
fn work_tree(path: &Path) -> Result<RepositorySource> {
    let path = fs::canonicalize(path)?;
    let (git, shared) = git_directories(&path);
    let Ok(head) = fs::read_to_string(git.join("HEAD")) else {
        bail!("{} is no git repository", path.display())
    };
    let branch = head.trim().strip_prefix("ref: refs/heads/").and_then(|name| BranchName::parse(name).ok());
    let url = path.to_str().context("the path is not UTF-8")?.to_owned();
    let settings = fs::read_to_string(shared.join("config")).unwrap_or_default();
    let origin =
        origin_of(&settings).and_then(|url| config::reading::values::addresses::checked_clone_url(&url).ok());
    // Another directory of this machine says nothing that the one that was asked for does not.
    let origin = origin.filter(|url| !is_local(url));
    let clone_url = origin.unwrap_or_else(|| url.clone());
    let repository = repository_of(&clone_url);
    Ok(RepositorySource { repository, url, clone_url, branch })
}

/// A work tree that lies where sites do is what is served now. Elsewhere it is somebody's own, and nothing is to be deployed there.
fn checkout_that_is_served(source: &RepositorySource) -> Option<PathBuf> {
    let path = Path::new(&source.url);
    let is_among_sites = SERVED_BELOW.iter().any(|root| path.starts_with(root) && path != Path::new(root));
    (is_among_sites && is_work_tree(path)).then(|| path.to_owned())
}

fn is_work_tree(path: &Path) -> bool {
    path.join(".git").symlink_metadata().is_ok()
}

/// Where a repository keeps what is checked out, and its settings: the same place, but for a linked work tree.
fn git_directories(path: &Path) -> (PathBuf, PathBuf) {
    let beside = path.join(".git");
    let git = match fs::read_to_string(&beside) {
        Ok(text) => path.join(text.trim().strip_prefix("gitdir: ").unwrap_or_default()),
        Err(_) if beside.is_dir() => beside,
        Err(_) => path.to_owned(),
    };
    let shared = fs::read_to_string(git.join("commondir")).map(|common| git.join(common.trim()));
    (git.clone(), shared.unwrap_or(git))
}

/// The URL of `origin` in a repository's settings, read as text: nothing that they say is done.
fn origin_of(settings: &str) -> Option<String> {
    let mut lines = settings.lines().map(str::trim).skip_while(|line| *line != "[remote \"origin\"]").skip(1);
    let line =
        lines.by_ref().take_while(|line| !line.starts_with('[')).find(|line| line.starts_with("url"))?;
    Some(line.split_once('=')?.1.trim().to_owned())
}

/// The last two names of a URL.
fn repository_of(url: &str) -> Option<RepositoryName> {
    let url = url.trim_end_matches('/');
    let url = url.strip_suffix(".git").unwrap_or(url);
    let mut names = url.rsplit(['/', ':']);
    let (name, owner) = (names.next()?, names.next()?);
    RepositoryName::parse(&format!("{owner}/{name}")).ok()
}

/// The repository's own name, as far as a deployment may be called that.
fn slug_of(repository: &RepositoryName) -> Slug {
    let name = repository.name().to_ascii_lowercase();
    let name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(63).collect();
    let fallback = || Slug::parse("website").expect("it has the form of a name");
    Slug::parse(name.trim_matches('-')).unwrap_or_else(|_| fallback())
}

/// The files of the branch's head.
async fn look(
    directory: Option<&Path>,
    environment: &Environment,
    source: &RepositorySource,
    repository: &RepositoryName,
    wished: Option<BranchName>,
) -> Result<(BranchName, Tree), Failed> {
    let scratch = tempfile::tempdir().context("cannot make a directory")?;
    let host = match config::load(&REFERENCE, directory, environment, Purpose::Deploy) {
        Ok(loaded) => daemon::host(Arc::new(loaded.config), environment)?,
        Err(_) => daemon::host(Arc::new(bare_configuration(scratch.path())?), environment)?,
    };
    let access = Access::of_repository(&host.config, host.credentials, repository);
    let mirror = Mirror::new(host.executor, scratch.path().join("mirrors"), repository, &source.url, access);
    let named = wished.or_else(|| source.branch.clone());
    let guesses =
        || BRANCHES.map(|name| BranchName::parse(name).expect("it has the form of a name")).to_vec();
    let branches = named.map_or_else(guesses, |branch| vec![branch]);
    for branch in &branches {
        match mirror.fetch(branch, None, FETCH_TIMEOUT, &CancellationToken::new()).await {
            Ok(head) => return Ok((branch.clone(), mirror.tree(&head.id, true).await?)),
            Err(FetchError::NoBranch { .. }) => {}
            Err(error) => {
                let failed = Failed::because(anyhow!(error).context(format!("cannot fetch {}", source.url)));
                let hint = "is it private? Then give a URL for which this user has a key: git@github.com:OWNER/NAME.git";
                if !is_local(&source.url) {
                    return Err(failed.hint(hint));
                }
                // git, as root too, reads what is one's own.
                let owner = Path::new(&source.url).metadata().ok().map(|found| Account::of(found.uid()));
                let owner = owner.filter(|owner| owner.uid != Account::ours().uid);
                return Err(match owner {
                    Some(owner) => failed.hint(format!(
                        "{0} may read it: `sudo -u {0} durhack-deployer init {1}`, with `| sudo tee -a /etc/durhack-deployer/default.toml` to keep what it says",
                        owner.name, source.url
                    )),
                    None => failed,
                });
            }
        }
    }
    let names: Vec<&str> = branches.iter().map(BranchName::as_str).collect();
    Err(Failed::not_found(format!("{} has no branch {}", source.url, names.join(" or ")))
        .hint("name one: --branch NAME"))
}

/// What programs are started with where nothing is configured yet.
fn bare_configuration(root: &Path) -> Result<config::Config> {
    let directory = root.join("config");
    fs::create_dir_all(&directory)?;
    let state = toml_text(&root.join("state").to_string_lossy());
    let text = format!("state_directory = {state}\norigin = \"http://127.0.0.1\"\n");
    fs::write(directory.join("default.toml"), text)?;
    daemon::prepare_state_directory(&root.join("state"))?;
    let nothing = Environment::new(Vec::<(String, String)>::new(), root);
    let loaded = config::load(&REFERENCE, Some(&directory), &nothing, Purpose::Deploy)
        .map_err(|problems| anyhow!("{}", problems.render(config::Rendering::Plain)))?;
    Ok(loaded.config)
}

/// Adds a deployment to a file, whole or not at all. One that is there already, in any of the files beside it, stays.
fn write(file: &Path, slug: &Slug, text: &str) -> Result<(), Failed> {
    let file =
        if file.exists() { fs::canonicalize(file).context("cannot find it")? } else { file.to_owned() };
    let directory = match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    if !directory.exists() {
        return Err(Failed::because(anyhow!("there is no directory {}", directory.display()))
            .hint(format!("make it first: mkdir -p {}", directory.display())));
    }
    for entry in fs::read_dir(directory).context("cannot look at the file's directory")? {
        let layer = entry.context("cannot look at the file's directory")?.path();
        if layer.extension().is_some_and(|extension| extension == "toml") && has_deployment(&layer, slug)? {
            return Err(Failed::because(anyhow!("{} has a deployment {slug} already", layer.display()))
                .hint("give another name: --slug NAME"));
        }
    }
    let before = match fs::read_to_string(&file) {
        Ok(before) => before,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(anyhow!(error).into()),
    };
    let gap = if before.is_empty() { "" } else { "\n" };
    let whole = format!(
        "{}{gap}{text}",
        if before.ends_with('\n') || before.is_empty() { before.clone() } else { format!("{before}\n") }
    );
    whole.parse::<toml::Table>().with_context(|| format!("{} would not be TOML any more", file.display()))?;
    let mut new = tempfile::NamedTempFile::new_in(directory).context("cannot write")?;
    new.write_all(whole.as_bytes()).context("cannot write")?;
    if let Ok(found) = fs::metadata(&file) {
        let _ = std::os::unix::fs::chown(new.path(), Some(found.uid()), Some(found.gid()));
        fs::set_permissions(new.path(), found.permissions()).context("cannot write")?;
    }
    new.as_file().sync_all().context("cannot write")?;
    new.persist(&file).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(())
}

fn has_deployment(file: &Path, slug: &Slug) -> Result<bool> {
    let text = fs::read_to_string(file)?;
    let table: toml::Table = text.parse().with_context(|| format!("{} is not TOML", file.display()))?;
    let deployments = table.get("deployments").and_then(toml::Value::as_table);
    Ok(deployments.is_some_and(|deployments| deployments.contains_key(slug.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repositorys_name_is_in_its_url() {
        for (url, expected) in [
            ("https://github.com/acme/site.git", Some("acme/site")),
            ("git@github.com:acme/site.git", Some("acme/site")),
            ("ssh://git@host/acme/site/", Some("acme/site")),
            ("/srv/git/site.git", Some("git/site")),
            ("https://host", None),
        ] {
            assert_eq!(repository_of(url).as_ref().map(RepositoryName::as_str), expected, "{url}");
        }
        let settings = "[core]\n\turl = no\n[remote \"origin\"]\n\tfetch = x\n\turl = git@github.com:a/b.git\n[branch]\n";
        assert_eq!(origin_of(settings).as_deref(), Some("git@github.com:a/b.git"));
        assert_eq!(origin_of("[remote \"other\"]\nurl = x\n"), None);
    }

    #[test]
    fn only_a_checkout_among_sites_is_proposed_as_the_path() {
        let scratch = tempfile::tempdir().unwrap();
        fs::create_dir(scratch.path().join(".git")).unwrap();
        let source = |url: &str| RepositorySource {
            repository: None,
            url: url.into(),
            clone_url: url.into(),
            branch: None,
        };
        assert!(is_work_tree(scratch.path()));
        assert_eq!(checkout_that_is_served(&source(&scratch.path().to_string_lossy())), None);
        assert_eq!(checkout_that_is_served(&source("/srv/git/no-such-work-tree.git")), None);
        assert_eq!(checkout_that_is_served(&source("https://github.com/acme/site.git")), None);
    }

    #[test]
    fn a_directory_that_the_service_cannot_read_is_said() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = tempfile::tempdir().unwrap();
        let repository = scratch.path().join("closed/site");
        fs::create_dir_all(&repository).unwrap();
        let us = Account::ours();
        let other =
            Account { uid: us.uid + 1, gid: us.gid + 1, name: "deployer".into(), home: None, groups: vec![] };
        let mode =
            |path: &Path, mode| fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        mode(scratch.path(), 0o755);
        let said = |service: &Account| unreadable(&repository, Some(service)).unwrap_or_default();
        assert_eq!(said(&us), "", "it is ours");
        let shown = repository.display();
        assert!(
            said(&other).contains(&format!("cannot fetch from {shown}, which is {}'s", us.name)),
            "{}",
            said(&other)
        );
        // Everybody may enter it: a copy would only be one more place.
        assert!(said(&other).contains(&format!("`chown -R deployer: {shown}`")), "{}", said(&other));
        assert!(!said(&other).contains("cp -r"), "{}", said(&other));
        mode(&scratch.path().join("closed"), 0o700);
        let expected =
            format!("deployer, which deploys, may not enter {}", scratch.path().join("closed").display());
        assert!(said(&other).starts_with(&expected), "{}", said(&other));
        assert!(said(&other).contains("cp -r"), "{}", said(&other));
        assert_eq!(said(&us), "");
    }

    #[test]
    fn a_deployment_is_called_like_its_repository_where_that_can_be() {
        let slug = |name: &str| slug_of(&RepositoryName::parse(name).unwrap()).to_string();
        assert_eq!(slug("acme/My_Site.org"), "my-site-org");
        assert_eq!((slug("acme/main"), slug("acme/_")), ("website".into(), "website".into()));
    }
}
