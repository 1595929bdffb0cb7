//! The composition root: what is built, in which order it starts, and in which order it ends.
//!
//! Start: state directory, locks, spools, record, workers, dispatch, report, and the intake last, so that what is accepted finds
//! everything else there; but nothing waits for the database, which may come later. End: the intake first, then dispatch, then
//! the workers (the run in progress may finish within `drain_timeout`, after which it is undone and its entry stays), then
//! what is still to be told.
//!
//! A daemon that deploys itself ends its work (no run is in progress then), starts the new one and puts it in charge ([`self_update`]), or, if
//! that does not become ready, starts its work again. The door stays open all the while: the listening socket is never closed.

pub mod last_good;
mod listener;
mod reload;
mod schema;
pub mod self_update;
mod service_manager;
mod state_directory;
mod state_watch;
pub mod strays;
mod tasks;
mod watchdog;
mod work;

use crate::base::files::safe_path;
use crate::config::{Config, Environment, Loaded, Purpose, SourceNetworks};
use crate::github::credentials::Credentials;
use crate::github::{GitHub, meta};
use crate::notify::Notifier;
use crate::pipeline::context::Host;
use crate::plan::recipes;
use crate::process::env_files::EnvRules;
use crate::process::executor::Executor;
use crate::process::lock;
use crate::process::sandbox::Walls;
use crate::process::step_context::{LogEvent, StepContext};
use crate::process::step_user::is_anothers;
use crate::process::tools::git::login;
use crate::run_log::{self, RunLogWriter};
use crate::steps::self_update::{Pending, SelfUpdateRequest, ThisProcess};
use crate::steps::{health, release};
use crate::store::{Authenticator, Store};
use anyhow::{Context, Result, bail};
use listener::{Given, IntakeListener, Listening};
use schema::bring_schema_up;
use self_update::{Candidate, ExitMode, Handshake, Link};
use service_manager::ServiceManager;
use state_directory::take_locks;
use state_watch::StateWatch;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tasks::Tasks;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use watchdog::Vitals;
use work::Workers;

pub use listener::ADDRESS_FILE;
pub use reload::say;
pub use state_directory::{
    consume, is_listening, is_working, listen_lock, open_spool, prepare_state_directory, work_lock,
};

/// Which part of the deployer this process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Both, in one process.
    Serve,
    /// The intake only.
    Listen,
    /// Everything behind it.
    Work,
}

impl Role {
    fn as_str(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Listen => "listen",
            Self::Work => "work",
        }
    }

    /// Which secrets it has.
    pub fn purpose(self) -> Purpose {
        match self {
            Self::Serve => Purpose::Serve,
            Self::Listen => Purpose::Listen,
            Self::Work => Purpose::Deploy,
        }
    }
}

/// How a daemon is started.
pub struct Start<'a> {
    /// Where its configuration is looked for; None: in the usual places.
    pub directory: Option<&'a Path>,
    pub environment: &'a Environment,
    /// What it does.
    pub role: Role,
    /// It is to succeed the deployer at the other end of its standard input.
    pub take_over: bool,
    /// The socket that whoever started it has opened for it.
    pub passed: Option<std::net::TcpListener>,
    /// When the configuration that it is given was good; None: what is written holds. Until that does again, it receives, and deploys nothing.
    pub last_good: Option<i64>,
}

/// Runs until a signal says stop, or until another deployer has taken over; the answer is how to end.
pub async fn run(loaded: Loaded, start: Start<'_>) -> Result<ExitMode> {
    let (environment, take_over) = (start.environment, start.take_over);
    hide_from_own_children();
    if start.role != Role::Listen {
        keep_hold_of_steps();
    }
    prepare_state_directory(&loaded.config.state_directory)?;
    if start.last_good.is_none() {
        last_good::keep(&loaded, start.role);
    }
    let config = loaded.config;
    let (requests, mut wishes) = mpsc::channel(1);
    let mut host = host(Arc::new(config), environment)?;
    host.this_process = Arc::new(ThisProcess { requests: Some(requests), ..(*host.this_process).clone() });
    let service_manager = ServiceManager::of(&host.this_process, take_over).map(Arc::new);
    let mut signals = Signals::new()?;
    let mut hangups = signal(SignalKind::hangup())?;
    let (mut daemon, mut link) = match take_over {
        false => (Daemon::prepare(host, start).await?, None),
        true => Daemon::take_over(host, start).await?,
    };
    let mut signs_of_life = watch(service_manager.as_ref(), &daemon);
    daemon.start_work()?;
    // Before anybody is told that we listen: what is moved away from then on is missed.
    let mut state = daemon.state_watch();
    daemon.open_door()?;
    if let Some(service_manager) = &service_manager {
        service_manager.ready(&daemon.status());
    }
    let why = loop {
        let request = tokio::select! {
            () = signals.next() => break Why::Told,
            () = daemon.crashed.cancelled() => break Why::Crashed,
            lost = state.lost() => break Why::StateLost(lost),
            () = lost(link.as_mut()) => break Why::Told,
            Some(()) = hangups.recv() => {
                daemon.reload_and_tell(service_manager.as_deref()).await;
                continue;
            }
            () = daemon.mended() => {
                tokio::select! {
                    begun = daemon.begin_as_written(service_manager.as_deref()) => begun?,
                    () = signals.next() => break Why::Told,
                }
                // Its work needs more than receiving did.
                state = daemon.state_watch();
                signs_of_life = watch(service_manager.as_ref(), &daemon);
                continue;
            }
            () = daemon.runs_ended() => {
                daemon.begin_anew().await?;
                if let Some(service_manager) = &service_manager {
                    service_manager.status(&daemon.status());
                }
                continue;
            }
            Some(request) = wishes.recv() => request,
        };
        match daemon.self_update(&request, link.as_ref(), service_manager.as_deref(), &mut signals).await {
            Ok(Some(exit_mode)) => return Ok(exit_mode),
            Ok(None) => break Why::Told,
            Err(error) => daemon.serve_on(request, &error).await?,
        }
    };
    drop(signs_of_life);
    if let Why::StateLost(lost) = &why {
        tracing::error!("{lost}: nothing is accepted or begun any more");
    }
    tracing::info!("stopping");
    if let Some(service_manager) = &service_manager {
        service_manager.stopping();
    }
    match why {
        // What a run in progress did from now on would be recorded where nobody looks.
        Why::StateLost(_) => daemon.stop(std::future::ready(())).await,
        Why::Told | Why::Crashed => daemon.stop(signals.next()).await,
    }
    tracing::info!("stopped");
    match why {
        Why::Told => Ok(ExitMode::Leave),
        Why::Crashed => bail!(
            "a part of the deployer has crashed (see the log); restart it: nothing that was accepted is lost"
        ),
        Why::StateLost(lost) => bail!(
            "{lost}; the deployer has stopped, since nobody would find what it accepted or recorded from now on: put back what was there, and start it again"
        ),
    }
}

/// Why a daemon ends.
enum Why {
    /// Somebody says so.
    Told,
    /// A part of it has crashed.
    Crashed,
    /// What it keeps is not where it was.
    StateLost(String),
}

/// Signs of life, as long as the answer is kept.
fn watch(service_manager: Option<&Arc<ServiceManager>>, daemon: &Daemon) -> JoinSet<()> {
    let mut signs = JoinSet::new();
    if let Some((service_manager, interval)) =
        service_manager.and_then(|service_manager| Some((service_manager, service_manager.watchdog?)))
    {
        let (service_manager, crashed) = (Arc::clone(service_manager), daemon.crashed.clone());
        signs.spawn(watchdog::serve(service_manager, interval, daemon.vitals(), crashed));
    }
    signs
}

/// The parts of a running daemon.
struct Daemon {
    host: Host,
    /// The configuration is the last good one, and of when it is; `role` is what can be done by it.
    last_good: Option<i64>,
    /// What it does when the configuration is good.
    full_role: Role,
    /// What holds instead as soon as the runs in progress have ended.
    next: Option<Host>,
    role: Role,
    /// Where the configuration is looked for.
    directory: Option<PathBuf>,
    environment: Environment,
    /// The host's, for whoever looks whether it answers.
    store: Arc<Mutex<Store>>,
    /// A task that should never end has panicked.
    crashed: CancellationToken,
    locks: Vec<lock::Lock>,
    work: Option<Workers>,
    listener: Option<IntakeListener>,
    /// What goes on whoever is in charge.
    background: Tasks,
}

impl Daemon {
    /// What must succeed at once: nobody else does our work, and nobody else listens where we do.
    async fn prepare(host: Host, start: Start<'_>) -> Result<Self> {
        let given = start.passed.map(|listener| Given { listener, listening: Listening::Passed });
        let role = if start.last_good.is_some() { Role::Listen } else { start.role };
        let daemon = Self::prepare_on(host, role, start.directory, start.environment, given).await?;
        Ok(Self { last_good: start.last_good, full_role: start.role, ..daemon })
    }

    async fn prepare_on(
        host: Host,
        role: Role,
        directory: Option<&Path>,
        environment: &Environment,
        given: Option<Given>,
    ) -> Result<Self> {
        let locks = take_locks(&host.config.state_directory, role).await?;
        let crashed = CancellationToken::new();
        let background = Tasks::new(&crashed);
        let github_meta = keep_github_meta(&host.config, role, &background);
        let listener = match role {
            Role::Work => None,
            Role::Serve | Role::Listen => Some(IntakeListener::new(&host, github_meta, given).await?),
        };
        let (directory, environment) = (directory.map(Path::to_owned), environment.clone());
        let (next, work) = (None, None);
        let store = Arc::new(Mutex::new(host.store.clone()));
        Ok(Self {
            host,
            last_good: None,
            full_role: role,
            next,
            role,
            directory,
            environment,
            store,
            crashed,
            locks,
            work,
            listener,
            background,
        })
    }

    /// Becomes ready beside a deployer that still serves, and waits to be put in charge.
    async fn take_over(host: Host, start: Start<'_>) -> Result<(Self, Option<Link>)> {
        let mut handshake = Handshake::receive()?;
        let ready = async {
            let given = handshake.listener().map(|listener| Given { listener, listening: Listening::Own });
            let Start { role, directory, environment, .. } = start;
            let mut daemon = Self::prepare_on(host, role, directory, environment, given).await?;
            bring_schema_up(&daemon.host).await.context("the database cannot be used")?;
            daemon.open_door()?;
            Ok(daemon)
        };
        match ready.await {
            Ok(mut daemon) => match handshake.take_charge().await {
                Ok(link) => Ok((daemon, link)),
                Err(error) => {
                    daemon.close_door().await;
                    Err(error)
                }
            },
            Err(error) => {
                handshake.refuse(&error).await;
                Err(error)
            }
        }
    }

    /// What a sign of life needs. The intake by itself only reads the database, for pages.
    fn vitals(&self) -> Vitals {
        let state_directory = &self.host.config.state_directory;
        let directory = match self.role {
            Role::Listen => Host::spool_directory(state_directory, "main"),
            Role::Serve | Role::Work => state_directory.clone(),
        };
        let self_probe = self.listener.as_ref().map(|listener| listener.self_probe.clone());
        let store = (self.role != Role::Listen).then(|| Arc::clone(&self.store));
        Vitals { directory, self_probe, store }
    }

    /// The intake by itself goes on without the database, which it only reads.
    fn state_watch(&self) -> StateWatch {
        let store = (self.role != Role::Listen).then(|| Arc::clone(&self.store));
        StateWatch::new(&self.host.config.state_directory, store)
    }

    fn start_work(&mut self) -> Result<()> {
        if self.role != Role::Listen {
            self.work = Some(Workers::start(&self.host, &self.crashed)?);
        }
        Ok(())
    }

    fn open_door(&mut self) -> Result<()> {
        self.listener.as_mut().map_or(Ok(()), |listener| listener.open(&self.crashed))
    }

    async fn close_door(&mut self) {
        if let Some(listener) = &mut self.listener {
            listener.close().await;
        }
    }

    async fn reload_and_tell(&mut self, service_manager: Option<&ServiceManager>) {
        tracing::info!("reading the configuration anew");
        if let Some(service_manager) = service_manager {
            service_manager.reloading();
        }
        let status = match self.reload().await {
            Ok(()) => {
                tracing::info!("the configuration was read anew");
                self.status()
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(error, "the configuration stays as it was");
                format!("{}; NOT RELOADED: {error}", self.status())
            }
        };
        if let Some(service_manager) = service_manager {
            service_manager.ready(&status);
        }
    }

    /// Gives our place to the new program. None: we were told to stop instead. An error: nothing came of it, and our work is to be
    /// started again.
    async fn self_update(
        &mut self,
        request: &SelfUpdateRequest,
        link: Option<&Link>,
        service_manager: Option<&ServiceManager>,
        signals: &mut Signals,
    ) -> Result<Option<ExitMode>> {
        tracing::info!(
            run = request.pending.run,
            "handing over to {}",
            request.planned.program.file.display()
        );
        // The run waits for just this; nothing else is in progress.
        if let Some(work) = self.work.take() {
            work.end(&self.host, std::future::pending()).await;
        }
        self.locks.clear();
        request.pending.save(&self.host.config.state_directory)?;
        let listener = self.listener.as_ref().map(|listener| &listener.listener);
        let program = &request.planned.program;
        let mut candidate = Candidate::start(program, self.role.as_str(), listener, link).await?;
        let tried = tokio::select! {
            tried = self.try_out(&mut candidate, request) => tried.map(Some),
            () = signals.next() => Ok(None),
        };
        if !matches!(tried, Ok(Some(()))) {
            candidate.dismiss().await;
            return tried.map(|_| None);
        }
        // Where systemd cannot be told, it goes on knowing us, and we stand in.
        let alone = match service_manager {
            Some(service_manager) => match service_manager.name_main_process(candidate.pid()).await {
                Ok(()) => true,
                Err(error) => {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "systemd cannot be told of the new deployer"
                    );
                    false
                }
            },
            None => false,
        };
        let pid = candidate.pid();
        match candidate.put_in_charge(alone, link).await {
            Ok(exit_mode) => {
                tracing::info!(pid = pid.as_raw_pid(), "another deployer has taken over");
                Ok(Some(exit_mode))
            }
            Err((candidate, error)) => {
                candidate.dismiss().await;
                Err(error)
            }
        }
    }

    /// The new program is ready, healthy while it alone answers, and what `current` names.
    async fn try_out(&mut self, candidate: &mut Candidate, request: &SelfUpdateRequest) -> Result<()> {
        candidate.ready(request.ends_at).await?;
        self.close_door().await;
        let slug =
            self.host.config.deployments.keys().find(|slug| slug.as_str() == request.pending.deployment);
        let slug = slug.context("the deployment is not configured")?;
        let log = Mutex::new(RunLogWriter::open(&self.host.logs(), &request.pending.run));
        let hear = |heard: LogEvent<'_>| {
            if let LogEvent::Note(text) = heard {
                log.lock().expect("no holder panics").write(request.step, run_log::Stream::Note, text);
            }
        };
        let step_context = StepContext {
            executor: &self.host.executor,
            environment: &self.host.this_process.environment,
            walls: &Walls::default(),
            env_rules: &EnvRules::default(),
            directory: &request.planned.program.release,
            ends_at: request.ends_at,
            cancel: &CancellationToken::new(),
            hear: &hear,
        };
        for check in &request.planned.health {
            health::check(check, &step_context).await?;
        }
        step_context.note(format!("process {} is ready", candidate.pid().as_raw_pid()));
        release::activate(&self.host.config.deployments[slug], &request.planned.release)
    }

    /// Nothing came of it: we are who we were. The run's own worker finds in the file what became of it.
    async fn serve_on(&mut self, request: SelfUpdateRequest, error: &anyhow::Error) -> Result<()> {
        let cause = format!("switch ({}): {error:#}", recipes::SELF_UPDATE);
        tracing::error!(run = request.pending.run, cause, "the new deployer did not take over: serving on");
        let state_directory = self.host.config.state_directory.clone();
        let pending = Pending { refused: Some(cause), ..request.pending };
        if let Err(error) = pending.save(&state_directory) {
            tracing::error!(error = format!("{error:#}"), "cannot record that the self-update failed");
        }
        self.open_door()?;
        self.locks = take_locks(&state_directory, self.role).await?;
        self.take_next();
        self.start_work()
    }

    /// The intake first, then what is in progress, then what is still to be told.
    async fn stop(mut self, hurry: impl Future<Output = ()>) {
        self.background.stop.cancel();
        let open_requests = self.listener.take().map(IntakeListener::leave).unwrap_or_default();
        if let Some(work) = self.work.take() {
            work.end(&self.host, hurry).await;
        }
        for requests in open_requests {
            requests.tracker.wait().await;
        }
    }
}

/// Waits until whoever stands in for us is no more; for ever where nobody does.
async fn lost(link: Option<&mut Link>) {
    match link {
        Some(link) => {
            link.lost().await;
            tracing::warn!("the process that stood in for this one has been ended");
        }
        None => std::future::pending().await,
    }
}

/// The signals that say stop, heard from the beginning on.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        let [terminate, interrupt] = [SignalKind::terminate(), SignalKind::interrupt()].map(signal);
        Ok(Self { terminate: terminate?, interrupt: interrupt? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Makes sure that no step outlives its run, whatever it does to its supervisor process: what it leaves behind becomes our child, and each
/// step has a control group where systemd delegates one. Best effort: without the one or the other, what is left does the work.
fn keep_hold_of_steps() {
    if let Err(error) = supervise::become_subreaper() {
        tracing::warn!(%error, "what a step leaves behind when it kills its supervisor process may not be found");
    }
    if supervise::settle_in_control_group() {
        tracing::info!("each step has a control group of its own");
    }
}

/// Steps run as our own user, where nothing else is configured: they may not look into our memory, environment and files.
fn hide_from_own_children() {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "steps may be able to look into this process");
    }
}

/// An address is shorter.
const ADDRESS_BYTES_MAX: u64 = 128;

/// Everything that deployments stand on.
pub fn host(config: Arc<Config>, environment: &Environment) -> Result<Host> {
    let store = Store::open(config.database_url.expose(), Authenticator::new(&config.state_directory))?;
    let executor = executor(&config, environment);
    let credentials = Credentials::new(&config, &executor)?;
    let github = GitHub::new(&config.github, credentials.clone())?;
    let slots = Arc::new(Semaphore::new(config.runs.parallel_max));
    let this_process = Arc::new(ThisProcess::of_process(environment));
    let notifier = Notifier {
        config: Arc::clone(&config),
        store: store.clone(),
        credentials: credentials.clone(),
        wake: Arc::new(Notify::new()),
    };
    Ok(Host { config, store, executor, credentials, github, slots, this_process, notifier })
}

/// What runs programs. The supervisor process is this program itself, also after an upgrade has replaced its file.
///
/// Where root only has the command line of another user's installation, it does without that one's programs: who writes in
/// `executable_search_paths` would be root.
pub fn executor(config: &Config, environment: &Environment) -> Executor {
    let supervisor = "/proc/self/exe".into();
    match is_anothers(&config.state_directory) {
        true => Executor::new(
            supervisor,
            &Config { executable_search_paths: Vec::new(), ..config.clone() },
            environment,
        ),
        false => Executor::new(supervisor, config, environment),
    }
}

/// Where the running daemon listens, as it has written. Anything else in that place is none of its words.
pub fn address(config: &Config) -> Option<SocketAddr> {
    let state = &config.state_directory;
    safe_path::read_text_now(state, &state.join(ADDRESS_FILE), ADDRESS_BYTES_MAX).ok()?.trim().parse().ok()
}

/// Keeps what GitHub says of itself up to date, if the deployer needs it: for who may call, or for whom ssh may talk to. Whoever only
/// listens asks nobody: that needs no way out of this machine.
fn keep_github_meta(config: &Config, role: Role, tasks: &Tasks) -> meta::KnownMeta {
    let for_intake = config.intake.source_networks == SourceNetworks::GitHub;
    let host = config.github.host();
    let by_ssh = |url: &str| login::is_ssh(url) && login::is_on(url, &host);
    let for_ssh = config.deployments.values().any(|deployment| by_ssh(&deployment.clone_url));
    let refresher = meta::MetaRefresher::open(config);
    let known = refresher.known();
    match role {
        Role::Listen if for_intake => {
            tasks.start("the look at GitHub's networks", refresher.follow(tasks.stop.clone()));
        }
        Role::Serve | Role::Work if for_intake || for_ssh => {
            refresher.keep_known_hosts();
            tasks.start("the refresh of GitHub's networks", refresher.serve(tasks.stop.clone()));
        }
        _ => {}
    }
    known
}
