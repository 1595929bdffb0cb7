//! The commits: one bare mirror per repository, for all its deployments, in a directory that no build can reach.
//!
//! Releases are exported from it without a `.git`, so nothing that a build writes is ever read by a git of ours. A mirror is a
//! cache: whoever deletes it loses only the time of the next fetch. One process at a time changes a mirror, held to
//! that by a lock file; what a killed git left locked is therefore stale and is removed.

mod measure;

use super::access::Access;
use crate::base::names::nearest;
use crate::base::names::{BranchName, CommitId, RepositoryName};
use crate::git::commit_tree::{self, Tree};
use crate::git::signature::Signature;
use crate::process::executor::{CapturedOutput, Executor};
use crate::process::lock;
use crate::process::tools::Invocation;
use crate::process::tools::git::signatures::{self, SignatureKind};
use crate::process::tools::git::{self, complaints, login};
use anyhow::{Context, Result, anyhow, bail};
use fs_err as fs;
use measure::Measure;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use supervise::End;
use tokio_util::sync::CancellationToken;

/// Longest time that a git which talks to nobody may take.
const LOCAL_TIMEOUT: Duration = Duration::from_secs(300);

/// Submodules inside submodules, at most: real ones are one or two deep, a cycle is endless.
const SUBMODULE_DEPTH_MAX: usize = 4;

/// Submodules of one commit, with those inside of them. Each costs a fetch.
const SUBMODULES_MAX: usize = 100;

/// A repository's mirror.
#[derive(Clone)]
pub struct Mirror {
    executor: Executor,
    directory: PathBuf,
    root: PathBuf,
    url: String,
    access: Access,
    /// Of commits that were measured already.
    measured: Arc<Mutex<BTreeMap<CommitId, Measure>>>,
}

/// A commit with its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    pub id: CommitId,
    /// Its whole message.
    pub message: String,
}

/// How a work tree differs from its commit.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct TreeState {
    /// Files of the commit that were changed or removed.
    pub modified: Vec<PathBuf>,
    /// What git neither tracks nor ignores; a directory of which that holds as a whole is one entry.
    pub untracked: Vec<PathBuf>,
    /// What it ignores, likewise.
    pub ignored: Vec<PathBuf>,
}

impl TreeState {
    /// Reads what [`git::state_of_tree`] prints.
    fn read(listing: &str) -> Self {
        let mut state = Self::default();
        for entry in git::null_separated(listing) {
            let (Some(letters), Some(path)) = (entry.get(..2), entry.get(3..)) else { continue };
            let path = PathBuf::from(path.trim_end_matches('/'));
            match letters.as_bytes()[1] {
                b' ' => {}
                b'?' => state.untracked.push(path),
                b'!' => state.ignored.push(path),
                _ => state.modified.push(path),
            }
        }
        state
    }
}

/// The branches that are there where one is not.
#[derive(Debug, Default)]
pub struct Others(Vec<BranchName>);

impl Others {
    /// Of more of them only the one that was probably meant is told.
    const TOLD_MAX: usize = 5;

    /// As they are told beside the branch that is not there.
    fn told(&self, wished: &BranchName) -> String {
        let names = || self.0.iter().map(BranchName::as_str);
        match (nearest(wished.as_str(), names()), self.0.len()) {
            (Some(meant), _) => format!(": did you mean {meant}?"),
            (None, 1..=Self::TOLD_MAX) => format!(", which has {}", names().collect::<Vec<_>>().join(", ")),
            _ => String::new(),
        }
    }
}

/// Why a fetch failed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The branch is not there (any more).
    #[error("the branch {branch} does not exist in the repository{}", others.told(branch))]
    NoBranch {
        /// The one that was asked for.
        branch: BranchName,
        /// Those that are there.
        others: Others,
    },
    /// The network or the other side: may pass.
    #[error("{0}")]
    Network(String),
    /// The operator cancelled.
    #[error("cancelled")]
    Cancelled,
    /// Everything else: no such repository, no permission, a damaged mirror.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

impl Mirror {
    /// The mirror of a repository that is fetched from `url`; `root` is the directory of all mirrors.
    pub fn new(
        executor: Executor,
        root: PathBuf,
        repository: &RepositoryName,
        url: &str,
        access: Access,
    ) -> Self {
        let directory = root.join(repository.owner()).join(format!("{}.git", repository.name()));
        Self { executor, directory, root, url: url.to_owned(), access, measured: Arc::default() }
    }

    /// What these branches' heads are at the source, in one question; those that are not there are missing. Neither needs nor
    /// changes what is here.
    pub async fn heads(
        &self,
        branches: &[&BranchName],
        deadline: Duration,
        cancel: &CancellationToken,
    ) -> Result<BTreeMap<BranchName, CommitId>, FetchError> {
        let invocation = git::heads(&self.url, branches.iter().copied());
        let answer = self.access.ask(&self.executor, invocation, &self.url, deadline, cancel).await?;
        self.judged(&answer, "git ls-remote", deadline)?;
        Ok(git::heads_in(&answer.output))
    }

    /// The branches that the source has; none where that cannot be asked.
    async fn branches(&self, deadline: Duration, cancel: &CancellationToken) -> Others {
        let asked =
            self.access.ask(&self.executor, git::all_heads(&self.url), &self.url, deadline, cancel).await;
        let answer = asked.ok().filter(|answer| answer.end == End::Exited(0));
        Others(answer.map(|answer| git::heads_in(&answer.output).into_keys().collect()).unwrap_or_default())
    }

    /// What came of asking the source.
    fn judged(&self, answer: &CapturedOutput, what: &str, deadline: Duration) -> Result<(), FetchError> {
        match answer.end {
            End::Exited(0) => Ok(()),
            End::Cancelled => Err(FetchError::Cancelled),
            _ if let Some(limit) = measure::limit_of_git(answer, self.executor.git_limits()) => {
                Err(anyhow!("{what} from {}: {limit}", self.url).into())
            }
            End::DeadlineExceeded => Err(FetchError::Network(format!(
                "{what} from {} took longer than {} s",
                self.url,
                deadline.as_secs()
            ))),
            _ if !complaints::is_refusal(&answer.said) && complaints::is_network_failure(&answer.said) => {
                Err(FetchError::Network(format!("{what} from {}: {}", self.url, answer.complaint)))
            }
            _ => Err(anyhow!(
                "{what} from {}: {}",
                self.url,
                self.access.explained(&self.executor, answer, &self.url)
            )
            .into()),
        }
    }

    /// Brings the branch's head, or one commit, here and says what it is. A mirror that turns out to be damaged (a power cut
    /// can do that) is thrown away and made anew: it is a cache.
    pub async fn fetch(
        &self,
        branch: &BranchName,
        commit: Option<&CommitId>,
        deadline: Duration,
        cancel: &CancellationToken,
    ) -> Result<Commit, FetchError> {
        match self.try_measured_fetch(branch, commit, deadline, cancel).await {
            Err(FetchError::Other(error)) if complaints::is_damage(&format!("{error:#}")) => {
                tracing::warn!(mirror = %self.directory.display(), error = format!("{error:#}"), "the mirror is damaged: made anew");
                {
                    let _lock = self.lock(cancel).await?;
                    fs::remove_dir_all(&self.directory).map_err(anyhow::Error::from)?;
                }
                self.try_measured_fetch(branch, commit, deadline, cancel).await
            }
            result => result,
        }
    }

    /// Nothing is asked of a commit, not even the names of its files, that has not been measured.
    async fn try_measured_fetch(
        &self,
        branch: &BranchName,
        commit: Option<&CommitId>,
        deadline: Duration,
        cancel: &CancellationToken,
    ) -> Result<Commit, FetchError> {
        let found = self.try_fetch(branch, commit, deadline, cancel).await?;
        self.measure(&found.id, Measure::default()).await?;
        Ok(found)
    }

    async fn try_fetch(
        &self,
        branch: &BranchName,
        commit: Option<&CommitId>,
        deadline: Duration,
        cancel: &CancellationToken,
    ) -> Result<Commit, FetchError> {
        if let Some(commit) = commit
            && let Ok(known) = self.commit(commit).await
        {
            return Ok(known);
        }
        let _lock = self.prepare(cancel).await?;
        let ignored = &self.executor.git_limits().fsck_ignored;
        let invocation = match commit {
            Some(commit) => git::fetch_commit(&self.directory, &self.url, commit, ignored),
            None => git::fetch_branch(&self.directory, &self.url, branch, ignored),
        };
        let answer = self.access.ask(&self.executor, invocation, &self.url, deadline, cancel).await?;
        if complaints::is_missing_branch(&answer.complaint) {
            let others = self.branches(deadline, cancel).await;
            return Err(FetchError::NoBranch { branch: branch.clone(), others });
        }
        let judged = self.judged(&answer, "git fetch", deadline);
        if judged.is_err() {
            // What a git that was killed has begun is as large as a limit allows.
            remove_stale_locks(&self.directory).map_err(anyhow::Error::from)?;
        }
        judged?;
        match commit {
            Some(commit) => Ok(self.commit(commit).await?),
            None => Ok(parse_commit(&self.ask(&git::head(&self.directory, branch)).await?)?),
        }
    }

    /// A commit that is here already.
    pub async fn commit(&self, commit: &CommitId) -> Result<Commit> {
        parse_commit(&self.ask(&git::message(&self.directory, commit)).await?)
    }

    /// The commits that are here already and whose ids begin with these digits.
    pub async fn commits_beginning_with(&self, digits: &str) -> Result<Vec<Commit>> {
        anyhow::ensure!(digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "these are no digits of an id");
        let objects = self.ask(&git::objects_beginning_with(&self.directory, digits)).await?;
        let mut commits = Vec::new();
        for object in objects.lines().filter_map(|line| CommitId::parse(line.trim()).ok()) {
            // Trees and files have ids of the same form.
            if let Ok(commit) = self.commit(&object).await
                && commit.id == object
            {
                commits.push(commit);
            }
        }
        Ok(commits)
    }

    /// Whether one commit is the other or comes before it; not, where one of them is not here.
    pub async fn is_ancestor(&self, old: &CommitId, new: &CommitId) -> bool {
        self.ask(&git::is_ancestor(&self.directory, old, new)).await.is_ok()
    }

    /// The paths that differ between two commits; `None` where the old one is not here (any more).
    pub async fn changed_paths(&self, old: &CommitId, new: &CommitId) -> Option<Vec<String>> {
        let listing = self.ask(&git::changed_paths(&self.directory, old, new)).await.ok()?;
        Some(git::null_separated(&listing).map(str::to_owned).collect())
    }

    /// The files of a commit, with the texts of those that a recipe asks for.
    pub async fn tree(&self, commit: &CommitId, for_recipe: bool) -> Result<Tree> {
        let tree = commit_tree::read_listing(&self.ask(&git::listing(&self.directory, commit)).await?);
        let mut texts = Vec::new();
        for path in tree.notification(for_recipe) {
            let text = self.ask(&git::text(&self.directory, commit, &path)).await?;
            texts.push((path, text));
        }
        let mut changes = Vec::new();
        for path in if for_recipe { tree.rivals() } else { Vec::new() } {
            let seconds = self.ask(&git::changed_at(&self.directory, commit, path)).await?;
            changes.extend(seconds.trim().parse().ok().map(|seconds| (path.to_owned(), seconds)));
        }
        Ok(tree.with_texts(texts).with_changes(changes))
    }

    /// The files of a commit that are pointers of Git LFS.
    pub async fn lfs_pointers(&self, commit: &CommitId) -> Result<Vec<String>> {
        let invocation = git::lfs_pointers(&self.directory, commit);
        let answer = self.executor.ask(&invocation, LOCAL_TIMEOUT, &CancellationToken::new()).await?;
        if answer.end == End::Exited(1) {
            return Ok(Vec::new());
        }
        let path = |entry: &str| entry.split_once(':').map(|(_, path)| path.to_owned());
        Ok(git::null_separated(&answer.output).filter_map(path).collect())
    }

    /// Who has signed a commit that is here; an error where that cannot be found out.
    pub async fn signature(&self, commit: &CommitId, allowed_signers: &Path) -> Result<Signature> {
        let kind = signatures::kind(&self.ask(&signatures::stored(&self.directory, commit)).await?);
        if kind != SignatureKind::Ssh {
            return Ok(Signature::Other(kind));
        }
        // ssh-keygen would say of a file that is not there only that nobody is allowed.
        fs::metadata(allowed_signers).context("`require_signature` names a file that cannot be read")?;
        restore_settings(&self.directory)?;
        let invocation = signatures::verify(&self.directory, commit, allowed_signers);
        let answer = self.executor.ask(&invocation, LOCAL_TIMEOUT, &CancellationToken::new()).await?;
        match answer.end {
            End::Exited(0) => Ok(Signature::Allowed),
            End::Exited(_) => Ok(Signature::NotAllowed(answer.complaint)),
            end => Err(anyhow!(
                "git verify-commit {}",
                crate::process::executor::complaint_of(&end).unwrap_or_default()
            )),
        }
    }

    /// Writes a commit's files into `tree`; `index` remembers what is there. See [`git::check_out`].
    pub async fn check_out(&self, tree: &Path, index: &Path, commit: &CommitId) -> Result<()> {
        self.measure(commit, Measure::default()).await?.require_room(tree)?;
        // A git that was killed leaves this behind; the deployment's lock says that none is running.
        let _ = fs::remove_file(index.with_extension("index.lock"));
        self.ask(&git::check_out(&self.directory, tree, index, commit)).await.map(drop)
    }

    /// Makes `index` say that `tree` holds `commit`.
    pub async fn assume_checked_out(&self, tree: &Path, index: &Path, commit: &CommitId) -> Result<()> {
        self.ask(&git::assume_checked_out(&self.directory, tree, index, commit)).await.map(drop)
    }

    /// How `tree`, which holds `commit`, differs from it; `index` is made anew.
    pub async fn state_of_tree(&self, tree: &Path, index: &Path, commit: &CommitId) -> Result<TreeState> {
        let _ = fs::remove_file(index);
        self.assume_checked_out(tree, index, commit).await?;
        let state = self.compared_with(tree, index).await?;
        fs::remove_file(index)?;
        Ok(state)
    }

    /// How `tree` differs from what `index` says was written there; of an index that is not there yet, nothing was.
    pub async fn compared_with(&self, tree: &Path, index: &Path) -> Result<TreeState> {
        Ok(TreeState::read(&self.ask(&git::state_of_tree(&self.directory, tree, index)).await?))
    }

    /// Fetches and exports the submodules of a commit below `tree`, to a depth. They come from the server of this mirror, or from one
    /// of these hosts: where this machine connects to is not for a push to say.
    pub async fn check_out_submodules(
        &self,
        tree: &Path,
        index: &Path,
        commit: &CommitId,
        hosts: &[String],
        cancel: &CancellationToken,
    ) -> Result<()> {
        let mut pending = vec![(self.clone(), tree.to_owned(), commit.clone(), 0)];
        let mut number = 0;
        let mut total = self.measure(commit, Measure::default()).await?;
        while let Some((mirror, tree, commit, depth)) = pending.pop() {
            let modules = git::submodules(&mirror.ask(&git::tree_entries(&mirror.directory, &commit)).await?);
            if modules.is_empty() {
                continue;
            }
            if depth == SUBMODULE_DEPTH_MAX {
                return Err(anyhow!("submodules are nested deeper than {SUBMODULE_DEPTH_MAX}"));
            }
            let settings = mirror.ask(&git::submodule_settings(&mirror.directory, &commit)).await?;
            for (path, commit) in modules {
                let url = git::submodule_url(&settings, &path)
                    .with_context(|| format!("submodule {path}: no URL in .gitmodules"))?;
                let module = mirror.submodule(&url).with_context(|| format!("submodule {path}"))?;
                may_be_fetched(&self.url, &module.url, hosts).with_context(|| format!("submodule {path}"))?;
                module
                    .fetch_submodule(&commit, cancel)
                    .await
                    .with_context(|| format!("submodule {path} from {}", module.url))?;
                let below = crate::base::files::safe_path::directory_below(&tree, Path::new(&path))?;
                total = module
                    .measure(&commit, total)
                    .await
                    .with_context(|| format!("with the submodule {path} and all before it"))?;
                number += 1;
                if number > SUBMODULES_MAX {
                    return Err(anyhow!("the commit has more than {SUBMODULES_MAX} submodules"));
                }
                let index = index.with_extension(format!("submodule-{number}"));
                module.check_out(&below, &index, &commit).await?;
                let _ = fs::remove_file(&index);
                pending.push((module, below, commit, depth + 1));
            }
        }
        Ok(())
    }

    /// How much there is in a commit besides what is `counted` already; an error where that exceeds a limit.
    async fn measure(&self, commit: &CommitId, counted: Measure) -> Result<Measure> {
        let known = self.measured.lock().expect("no holder panics").get(commit).copied();
        let limits = self.executor.git_limits();
        if let Some(known) = known {
            let all = counted.and(known);
            return all.excess(limits).map_or(Ok(all), |excess| Err(excess.into()));
        }
        restore_settings(&self.directory)?;
        let mut counting = measure::Counting::new(counted, limits);
        let invocation = git::listing_in_lines(&self.directory, commit);
        let answer =
            self.executor.read_lines(&invocation, LOCAL_TIMEOUT, |line| counting.count(line)).await?;
        let found = counting.end(&answer)?;
        let of_commit = found.without(counted);
        self.measured.lock().expect("no holder panics").insert(commit.clone(), of_commit);
        Ok(found)
    }

    async fn fetch_submodule(&self, commit: &CommitId, cancel: &CancellationToken) -> Result<()> {
        let branch = BranchName::parse("main").expect("a valid name");
        self.fetch(&branch, Some(commit), LOCAL_TIMEOUT, cancel).await?;
        Ok(())
    }

    /// A submodule's mirror. Its URL comes from the repository, so it may only speak https or ssh, or lie beside its parent. Each deployment
    /// has its own: what is here already is given without asking the server, who might not give it to another deployment.
    fn submodule(&self, url: &str) -> Result<Self> {
        let url = match url.starts_with("./") || url.starts_with("../") {
            true => relative_url(&self.url, url)?,
            false => url.to_owned(),
        };
        let parent_is_local = self.url.starts_with("file://") || self.url.starts_with('/');
        let allowed = url.starts_with("https://")
            || url.starts_with("ssh://")
            || (url.contains('@') && url.contains(':') && !url.contains("://"))
            || (parent_is_local && url.starts_with("file://"))
            || (self.url.starts_with("http://") && url.starts_with("http://"));
        if !allowed || url.starts_with('-') {
            return Err(anyhow!("its URL {url:?} is neither https nor ssh"));
        }
        let access = self.access.to_submodule(&url);
        let name = crate::base::digest::sha256_hex(format!("{}\n{url}", access.deployment()).as_bytes());
        let directory = self.root.join("submodules").join(format!("{}.git", &name[..32]));
        Ok(Self { directory, url, access, ..self.clone() })
    }

    async fn lock(&self, cancel: &CancellationToken) -> Result<lock::Lock, FetchError> {
        let parent = self.directory.parent().expect("a mirror lies below the state directory");
        let name = self.directory.file_name().expect("a mirror has a name").to_string_lossy().into_owned();
        tokio::select! {
            () = cancel.cancelled() => Err(FetchError::Cancelled),
            lock = lock::acquire(parent, &name) => Ok(lock?),
        }
    }

    /// Takes the mirror's lock, makes it if it is not there, and clears what a killed git left.
    async fn prepare(&self, cancel: &CancellationToken) -> Result<lock::Lock, FetchError> {
        let lock = self.lock(cancel).await?;
        if !self.directory.exists() {
            // Aside, and then renamed: a git that is killed in the middle leaves no half of one.
            let new = self.directory.with_extension("new");
            let _ = fs::remove_dir_all(&new);
            self.ask(&git::init(&new)).await?;
            fs::rename(&new, &self.directory).map_err(anyhow::Error::from)?;
        }
        remove_stale_locks(&self.directory).map_err(anyhow::Error::from)?;
        restore_settings(&self.directory)?;
        Ok(lock)
    }

    /// Packs what many fetches have brought into one. For the quiet hours.
    pub async fn repack(&self, cancel: &CancellationToken) -> Result<()> {
        if self.directory.exists() {
            let _lock = self.prepare(cancel).await?;
            self.ask(&git::repack(&self.directory)).await?;
        }
        Ok(())
    }

    async fn ask(&self, invocation: &Invocation) -> Result<String> {
        restore_settings(&self.directory)?;
        let answer = self.executor.ask(invocation, LOCAL_TIMEOUT, &CancellationToken::new()).await?;
        match crate::process::executor::complaint_of(&answer.end) {
            None => Ok(answer.output),
            Some(_) if let Some(limit) = measure::limit_of_git(&answer, self.executor.git_limits()) => {
                Err(anyhow!("git: {limit}"))
            }
            Some(_) if !answer.complaint.is_empty() => Err(anyhow!("git: {}", answer.complaint)),
            Some(ended) => Err(anyhow!("git {ended}: {}", invocation.shown())),
        }
    }
}

fn parse_commit(text: &str) -> Result<Commit> {
    let (id, message) = text.split_once('\n').context("git log printed no commit")?;
    Ok(Commit { id: CommitId::parse(id.trim())?, message: message.trim_end().to_owned() })
}

/// `../other.git` beside `https://host/owner/this.git`.
fn relative_url(base: &str, relative: &str) -> Result<String> {
    let mut base = base.trim_end_matches('/').to_owned();
    let mut relative = relative;
    loop {
        if let Some(rest) = relative.strip_prefix("../") {
            let cut = base.rfind(['/', ':']).context("its URL leads out of the server")?;
            base.truncate(cut);
            relative = rest;
        } else if let Some(rest) = relative.strip_prefix("./") {
            relative = rest;
        } else {
            return Ok(format!("{base}/{relative}"));
        }
    }
}

/// What a mirror's configuration says. Nothing else may be in it.
const SETTINGS: &str = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n";

/// What a mirror has no use for, and by which it could be made to run programs or to read other repositories.
const PLANTABLE: [&str; 6] = [
    "hooks",
    "info",
    "config.worktree",
    "commondir",
    "objects/info/alternates",
    "objects/info/http-alternates",
];

/// Makes a mirror's settings what they were when we made it: should a build have found a way to write there (it runs as the
/// same user where it is not confined), what it wrote is gone before git reads it.
fn restore_settings(mirror: &Path) -> Result<()> {
    if !mirror.is_dir() {
        return Ok(());
    }
    let config = mirror.join("config");
    let genuine = config.symlink_metadata().is_ok_and(|found| found.is_file())
        && fs::read(&config).is_ok_and(|found| found == SETTINGS.as_bytes());
    if !genuine {
        let new = mirror.join("config.new");
        fs::write(&new, SETTINGS)?;
        fs::rename(&new, &config)?;
    }
    for name in PLANTABLE {
        let path = mirror.join(name);
        match path.symlink_metadata() {
            Ok(found) if found.is_dir() => fs::remove_dir_all(&path)?,
            Ok(_) => fs::remove_file(&path)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot look at {}", path.display())),
        }
    }
    Ok(())
}

/// Removes lock files, and half of packs, that a killed git left in a mirror that we hold the lock of.
fn remove_stale_locks(mirror: &Path) -> std::io::Result<()> {
    let mut pending = vec![mirror.join("refs")];
    let top = ["HEAD.lock", "config.lock", "packed-refs.lock", "shallow.lock", "index.lock"];
    for name in top {
        match fs::remove_file(mirror.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    let packs = mirror.join("objects/pack");
    for entry in fs::read_dir(&packs).into_iter().flatten() {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(b"tmp_") && entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                pending.push(entry.path());
            } else if entry.path().extension().is_some_and(|extension| extension == "lock") {
                fs::remove_file(entry.path())?;
            }
        }
    }
    Ok(())
}

/// Whether a submodule may be fetched from where its repository says.
fn may_be_fetched(clone_url: &str, url: &str, hosts: &[String]) -> Result<()> {
    // Files are of this machine, which only a clone URL that is one leads to.
    if url.starts_with("file://") {
        return Ok(());
    }
    let server = login::host_of(clone_url);
    let host = login::host_of(url).context("its URL names no host")?;
    let is_listed =
        hosts.iter().map(String::as_str).chain(server).any(|known| known.eq_ignore_ascii_case(host));
    if !is_listed {
        bail!(
            "{host} is not the server of the repository\nhint: `submodule_hosts = [{host:?}]` lets submodules come from there"
        );
    }
    // Another port is another server.
    let is_same = login::port_of(url) == login::port_of(clone_url) && Some(host) == server;
    if login::port_of(url).is_some() && !is_same {
        bail!("submodules come from the usual port of {host} only");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_a_tree_is_read_by_the_second_letter() {
        let state =
            TreeState::read("A  clean\0AM changed\0 D gone\0?? new dir/\0!! node_modules/\0D  elsewhere\0");
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(state.modified, paths(&["changed", "gone"]));
        assert_eq!(state.untracked, paths(&["new dir"]));
        assert_eq!(state.ignored, paths(&["node_modules"]));
    }

    #[test]
    fn submodules_come_from_the_server_of_the_repository_and_listed_hosts() {
        let hosts = ["gitlab.com".to_owned()];
        let [github, own] = ["https://github.com/a/b.git", "https://git.example.org:8443/a/b.git"];
        for (clone_url, url, expected) in [
            (github, "https://github.com/x/y.git", true),
            (github, "https://GitHub.com/x/y.git", true),
            (github, "git@github.com:x/y.git", true),
            (github, "ssh://git@github.com/x/y.git", true),
            (github, "https://gitlab.com/x/y.git", true),
            (github, "https://github.com:8080/x/y.git", false),
            (github, "https://gitlab.com:8080/x/y.git", false),
            (github, "https://169.254.169.254/x", false),
            (github, "https://localhost:3400/x", false),
            (github, "https://github.com.example.org/x", false),
            (github, "https://github.com@10.0.0.1/x", false),
            (github, "git@10.0.0.1:x", false),
            (github, "ssh://-oProxyCommand=x/y", false),
            (github, "https:///x", false),
            ("git@github.com:a/b.git", "https://github.com/x/y.git", true),
            (own, "https://git.example.org:8443/x/y.git", true),
            (own, "https://git.example.org:22/x/y.git", false),
        ] {
            let found = may_be_fetched(clone_url, url, &hosts);
            assert_eq!(found.is_ok(), expected, "{clone_url} {url} {found:?}");
        }
        let error = format!("{:#}", may_be_fetched(github, "https://internal/x", &[]).unwrap_err());
        assert!(error.contains("submodule_hosts"), "{error}");
    }

    #[test]
    fn relative_submodule_urls_stay_on_the_server() {
        for (base, relative, expected) in [
            ("https://github.com/a/b.git", "../c.git", Some("https://github.com/a/c.git")),
            ("git@github.com:a/b.git", "../c.git", Some("git@github.com:a/c.git")),
            ("https://github.com/a/b.git", "./c.git", Some("https://github.com/a/b.git/c.git")),
            ("x", "../c.git", None),
        ] {
            assert_eq!(relative_url(base, relative).ok().as_deref(), expected, "{base} {relative}");
        }
    }
}
