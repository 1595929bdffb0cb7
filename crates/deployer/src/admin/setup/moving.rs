//! `setup --from DIR`: from the Python tool to this one, without a moment in which a webhook is refused, two
//! deployers work, or a site is away.
//!
//! Theory of operation. The intake comes first, on a port of its own, and takes what nobody sends yet. Then nginx is told: from its reload on,
//! webhooks are written into our spool, and those that the old listener is just answering are waited for. Only then does the listener go, and
//! after it the old workers, each of which first ends what it is at; what is left in their queues is appended to our spool. The worker starts
//! last, and deploys nothing of these deployments before an operator has deployed each of them once (`pipeline::gates`). The way back is the
//! same in the opposite order ([`super::going_back`]).
//!
//! Nothing that somebody else has written is deleted: it is kept below [`paths::ASIDE`], in a directory of the time, and the [`Journal`] says what
//! was where. Each change is in the journal before it is made, so that whatever interrupts this, the same command does the rest.

use super::action::{Action, File, Operation};
use super::events::{entry_of, open_spool};
use super::journal::{Journal, JournalState, remember};
use super::options::SetupOptions;
use super::original::{self, Original};
use super::plan::{self, Plan};
use super::reached::{Content, Reached, TEXT_BYTES_MAX, as_user, read_plain};
use super::{aside, drop_in, layers, old_links, uwsgi_pass};
use crate::admin::arguments::SetupArguments;
use crate::admin::host::accounts;
use crate::admin::host::ask::ask;
use crate::admin::host::paths::{self, Owner};
use crate::admin::setup::host_state::{self, HostState, Moving};
use crate::base::clock;
use crate::base::files::private_file;
use crate::base::names::Slug;
use crate::config::{self, CommandLine, Environment};
use crate::daemon;
use crate::github::meta;
use crate::pipeline::context::Host;
use crate::plan::recipes::REFERENCE;
use crate::process::executor::Executor;
use crate::process::process_table;
use crate::process::tools::systemctl;
use crate::run_log::rendering::plain;
use crate::terminal::failed::Failed;
use crate::terminal::output;
use crate::terminal::question::agreed;
use crate::terminal::style::{BOLD, GREEN, YELLOW};
use anyhow::{Context, Result, anyhow, bail};
use fs_err as fs;
use serde_json::json;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use uwsgi_pass::Address;

/// The port behind nginx is the first free one of these: the old listener has one of them.
const PORTS: std::ops::RangeInclusive<u16> = 3400..=3499;

/// How long nginx's old workers may take for what they are at, before only the connections to the old listener count.
const DRAIN_TIME: Duration = Duration::from_secs(60);

/// How long uWSGI may take to start or to end a vassal.
pub const VASSAL_TIME: Duration = Duration::from_secs(60);

/// How long the old workers may take for the deployments that they are at.
const WORKERS_TIME: Duration = Duration::from_secs(30 * 60);

/// GitHub sends no more than 25 MiB, which the old tool has written with more spaces.
const EVENT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Between two looks at something that is waited for.
const PAUSE: Duration = Duration::from_millis(100);

/// Has a unit's stop wait until its process has ended by itself: a deployment that is killed half-way would take its site down.
const PATIENCE: &str = "[Service]\nTimeoutStopSec=infinity\n";

/// All that a move needs to know.
pub struct Move<'a> {
    /// That of whoever runs the command.
    pub environment: &'a Environment,
    /// Runs the programs of the system that a move needs, as root.
    pub executor: &'a Executor,
    /// Whether what is said is for programs.
    pub is_json: bool,
    /// What was said.
    pub said: Vec<String>,
    /// What is kept lies in a directory of this name, also where the question was answered long after it was shown.
    pub date: String,
}

impl<'a> Move<'a> {
    /// One that begins now.
    pub fn new(environment: &'a Environment, executor: &'a Executor, is_json: bool) -> Self {
        Self { environment, executor, is_json, said: Vec::new(), date: clock::compact_utc(clock::now()) }
    }
}

/// Moves an installation of the Python tool here (`setup --from DIR`).
pub async fn from(
    directory: &Path,
    environment: &Environment,
    executor: &Executor,
    arguments: &SetupArguments,
) -> Result<(), Failed> {
    let directory = environment.working_directory().join(directory);
    let original = original::look(&directory, executor).await?;
    let journal = Journal::read()?;
    let converted = layers::convert(&original.layers)?;
    check_secret(converted.secret.as_deref())?;
    let is_installed = journal.is_some() && Path::new(paths::FIRST_LAYER).exists();
    let is_here = journal.as_ref().is_some_and(|journal| journal.state == JournalState::Here);
    if original.sites.is_empty()
        && original.is_live()
        && journal.as_ref().is_none_or(|journal| journal.sites.is_empty())
    {
        return Err(Failed::because(anyhow!("no file of nginx's sends webhooks to the old listener ({})", shown(&original.address)))
            .hint("without nginx in between there would be a moment in which webhooks are refused: have nginx `uwsgi_pass` to it first"));
    }
    let port = port(journal.as_ref(), executor).await?;
    let mut the_move = Move::new(environment, executor, arguments.json);
    let (actions, remarks) = the_move.planned(&original, &converted, port, is_installed).await?;
    let found = original.lines();
    if arguments.json && arguments.dry_run {
        output::json(&json!({ "found": found, "to_do": actions, "remarks": remarks }));
        return Ok(());
    }
    if !arguments.json {
        let checkout = original.checkout.display().to_string();
        print_line!("{BOLD}HostState in {}:{BOLD:#}", plain(&checkout));
        found.iter().for_each(|line| print_line!("  {}", plain(line)));
        print_line!("\n{BOLD}To be done:{BOLD:#}");
        for (number, action) in actions.iter().enumerate() {
            print_line!("{:>3}. {}", number + 1, plain(action));
        }
        remarks.iter().for_each(|remark| print_line!("{YELLOW}  -{YELLOW:#} {}", plain(remark)));
    }
    if arguments.dry_run {
        print_line!("\nnothing was done (--dry-run)");
        return Ok(());
    }
    let is_handed_over = || {
        let trees =
            the_move.config().map(|config| old_links::trees(&config).into_values().flatten().collect());
        let links = trees.map(|trees| old_links::find(&trees));
        let known =
            journal.iter().flat_map(|journal| &journal.links).map(|kept| &kept.path).collect::<Vec<_>>();
        links.is_ok_and(|links| links.iter().all(|link| known.contains(&link)))
    };
    if is_here
        && !original.is_live()
        && original.sites.is_empty()
        && original.waiting.is_empty()
        && is_handed_over()
    {
        the_move.say("nothing to do: what was installed here has moved already");
    } else {
        agreed(arguments.yes, "Do it?")?;
        the_move.carry_out(&original, &converted, journal.unwrap_or_default(), port, is_installed).await.map_err(|error| {
            Failed::because(error).hint("what was done before it stays; mend the cause, and run the same command again: it does the rest; or `durhack-deployer setup --back`")
        })?;
    }
    let plans = the_move.plans().await?;
    if arguments.json {
        output::json(
            &json!({ "found": found, "to_do": actions, "remarks": remarks, "done": the_move.said, "plans": plans }),
        );
        return Ok(());
    }
    print_line!("\n{GREEN}done{GREEN:#}: webhooks are received here, and nothing is deployed by itself yet");
    for (slug, plan) in &plans {
        print_line!("\n{BOLD}durhack-deployer plan {slug}{BOLD:#}");
        plan.lines().for_each(|line| print_line!("  {}", plain(line)));
    }
    print_line!("\n{BOLD}Next{BOLD:#}");
    for (slug, _) in &plans {
        print_line!("  durhack-deployer deploy {slug}     the first time, by you; from then on by each push");
    }
    print_line!("  durhack-deployer doctor             is everything well?");
    print_line!("  durhack-deployer setup --back       the old tool works again");
    Ok(())
}

fn check_secret(secret: Option<&str>) -> Result<(), Failed> {
    const PUBLISHED: &str = "not-a-real-secret-token";
    const BYTES_MIN: usize = 16;
    match secret {
        None => Err(Failed::because(anyhow!("the old configuration has no webhook_secret_token"))),
        Some(secret) if secret == PUBLISHED || secret.len() < BYTES_MIN => {
            Err(Failed::because(anyhow!("the old tool's webhook secret is the published one, or has fewer than {BYTES_MIN} bytes: everybody could have something deployed"))
                .hint("have GitHub sign with another one first, written into config/local.toml of the old tool as `webhook_secret_token`"))
        }
        Some(_) => Ok(()),
    }
}

/// An address, for people.
pub fn shown(address: &Address) -> String {
    match address {
        Address::Port(port) => format!("port {port}"),
        Address::Socket(path) => path.clone(),
    }
}

/// The port behind nginx: that of an earlier try, or else a free one.
async fn port(journal: Option<&Journal>, executor: &Executor) -> Result<u16> {
    if let Some(journal) = journal.filter(|journal| journal.port != 0) {
        return Ok(journal.port);
    }
    let printed = ask(executor, &systemctl::installations(&[paths::INTAKE_SOCKET])).await?;
    let is_listening = systemctl::read_installations(&printed).iter().any(|unit| unit.is_active);
    let written = fs::read_to_string(paths::SOCKET_DROP_IN).ok().and_then(|text| drop_in::port_in(&text));
    if let Some(port) = written.filter(|_| is_listening) {
        return Ok(port);
    }
    let is_free = |port: &u16| {
        TcpListener::bind(("127.0.0.1", *port)).is_ok() && TcpListener::bind(("::", *port)).is_ok()
    };
    PORTS.into_iter().find(is_free).context("none of the ports 3400 to 3499 is free")
}

impl Move<'_> {
    /// Says what was done.
    pub fn say(&mut self, line: impl Into<String>) {
        let line = line.into();
        if !self.is_json {
            print_line!("{}", plain(&line));
        }
        self.said.push(line);
    }

    /// What will be done, for people, and what there is to be said beside it. Nothing is changed: the configuration is read where it is tried.
    async fn planned(
        &self,
        original: &Original,
        converted: &layers::Converted,
        port: u16,
        is_installed: bool,
    ) -> Result<(Vec<String>, Vec<String>), Failed> {
        let stage = tempfile::tempdir().context("cannot make a temporary directory")?;
        for (name, text) in &converted.files {
            fs::write(stage.path().join(name), text).context("cannot write a temporary file")?;
        }
        let tried = if is_installed { Path::new(paths::CONFIGURATION) } else { stage.path() };
        let options = options(tried);
        let mut found = host_state::look(&options, &self.environment_of(original), self.executor).await?;
        // As it will be.
        found.account = accounts::account(&original.user)?;
        self.prepare_plan(&mut found, port, true);
        let prepared = plan::plan(&found, &self::options(Path::new(paths::CONFIGURATION)))?;
        let mut lines = Vec::new();
        let mut remarks = converted.changes.clone();
        remarks.extend(original.remarks.iter().cloned());
        if is_installed {
            remarks.push(format!("the configuration in {} is kept as it is", paths::CONFIGURATION));
        } else {
            lines.extend(
                self.installing(original, converted, &found).iter().map(|action| action.what.clone()),
            );
        }
        lines.extend(prepared.actions.iter().map(|action| action.what.clone()));
        remarks.extend(prepared.remarks.iter().cloned());
        for site in &original.sites {
            lines.push(format!("have {} lead to 127.0.0.1:{port}, tested by nginx, and reload: from here on webhooks come to the new intake (kept: {})", site.path.display(), aside::place_of(&found.date, &site.path).display()));
            if site.target.is_some() {
                remarks.push(format!("{} comes from a repository: change `uwsgi_pass` there, too, as this command does it here, before you deploy that", site.path.display()));
            }
        }
        lines.push("wait until the old listener has answered what it was sent".into());
        for vassal in &original.vassals {
            lines.push(format!(
                "end the old listener: move {} to {}",
                vassal.display(),
                aside::place_of(&found.date, vassal).display()
            ));
        }
        for unit in &original.units {
            let first = if unit.is_workers { ", when its deployments have ended" } else { "" };
            lines.push(format!("stop {}{first}, and start it no more at boot", unit.name));
        }
        lines.push(format!(
            "take along what waits in {}/queues by then ({} now)",
            original.checkout.display(),
            original.waiting.len()
        ));
        for file in &original.sudoers {
            lines.push(format!(
                "move {} to {}: nothing needs it any more",
                file.display(),
                aside::place_of(&found.date, file).display()
            ));
        }
        let paths = found.configuration.iter().flat_map(|known| &known.sites_paths);
        for link in old_links::find(&paths.flat_map(|path| old_links::names_of(path)).collect()) {
            lines.push(format!(
                "make a file of root's of the link {}, so that a deploy can replace it (kept: {})",
                link.display(),
                aside::place_of(&found.date, &link).display()
            ));
        }
        lines.push(format!(
            "start {}, now and at every boot; it waits for your first `deploy` of each deployment",
            paths::WORKER
        ));
        Ok((lines, remarks))
    }

    /// The environment in which the services will read the configuration.
    fn environment_of(&self, original: &Original) -> Environment {
        let instance = original.instance.as_deref().unwrap_or_default();
        let database = original.database_url.as_deref().unwrap_or_default();
        let environment = self.environment.with_defaults([("DEPLOYER_ENV", original.environment.as_str())]);
        let environment = if instance.is_empty() {
            environment
        } else {
            environment.with_defaults([("DEPLOYER_INSTANCE", instance)])
        };
        if database.is_empty() {
            environment
        } else {
            environment.with_defaults([("DATABASE_URL", database)])
        }
    }

    /// Has a look's plan leave out what it must.
    fn prepare_plan(&self, found: &mut HostState, port: u16, is_old_tool_live: bool) {
        found.date.clone_from(&self.date);
        found.moving = Some(Moving { port, is_old_tool_live });
        if let Some(known) = found.configuration.as_mut().filter(|_| is_old_tool_live) {
            let slugs: Vec<Slug> = known.slugs.iter().cloned().collect();
            known.assignment.users.set_waiting(slugs, clock::now_ms());
        }
    }

    /// What puts the configuration where the services read it.
    fn installing(
        &self,
        original: &Original,
        converted: &layers::Converted,
        found: &HostState,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        let mut write = |path: PathBuf, text: String, owner: Owner, mode: u32, what: String| {
            if path.symlink_metadata().is_ok() {
                let kept = aside::place_of(&found.date, &path);
                let what = format!("keep {}: {}", path.display(), kept.display());
                actions.push(Action::new(what, Operation::Keep(path.clone(), kept)));
            }
            actions.push(Action::new(what, Operation::Write(File { path, text, owner, mode })));
        };
        let user = &original.user;
        if user != paths::USER || original.home != Path::new(paths::STATE) {
            for (path, text) in paths::USER_DROP_INS.iter().zip(drop_in::users(user, &original.home)) {
                let what = format!("have the services run as {user}, and see its home: {path}");
                write(path.into(), text, Owner::Root, 0o644, what);
            }
        }
        for (name, text) in &converted.files {
            let path = Path::new(paths::CONFIGURATION).join(name);
            let what = format!("install {name} in {}", paths::CONFIGURATION);
            write(path, text.clone(), Owner::RootForDeployer, 0o640, what);
        }
        let mut text = format!(
            "# Written by `durhack-deployer setup --from {}`.\nDEPLOYER_ENV={}\n",
            original.checkout.display(),
            original.environment
        );
        let more = [("DEPLOYER_INSTANCE", &original.instance), ("DATABASE_URL", &original.database_url)];
        for (name, value) in more.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
            text.push_str(&format!("{name}={value}\n"));
        }
        let what = format!("write the services' environment, {}", paths::ENVIRONMENT);
        write(paths::ENVIRONMENT.into(), text, Owner::RootForDeployer, 0o640, what);
        actions
    }

    async fn carry_out(
        &mut self,
        original: &Original,
        converted: &layers::Converted,
        mut journal: Journal,
        port: u16,
        is_installed: bool,
    ) -> Result<()> {
        let executor = self.executor;
        let options = options(Path::new(paths::CONFIGURATION));
        let date = self.date.clone();
        if journal.state == JournalState::Back {
            // What was kept then stays where it lies.
            journal = Journal::default();
        }
        journal.from.clone_from(&original.checkout);
        journal.user.clone_from(&original.user);
        journal.port = port;
        if let Address::Port(old) = original.address {
            journal.old_port = Some(old);
        }
        if !is_installed {
            self.install(original, converted).await?;
        }
        journal.state = JournalState::UnderWay;
        journal.save()?;
        let mut found = host_state::look(&options, self.environment, executor).await?;
        self.do_plan(&plan::directories(&found)?).await?;
        // The worker makes what is in it, and does not run yet. As its user: it is that user's, who may put links there.
        let account = accounts::account(&paths::user())?.context("the deployer's user is there")?;
        as_user(account, || daemon::prepare_state_directory(Path::new(paths::STATE)))?;
        self.know_networks().await?;
        found = host_state::look(&options, self.environment, executor).await?;
        self.prepare_plan(&mut found, port, true);
        self.do_plan(&plan::plan(&found, &options)?).await?;
        answers(port).await?;

        self.remember_access(original, &mut journal, &date).await?;
        let mut sites = Vec::new();
        for site in &original.sites {
            // Behind a link, as the old tool makes them: the recipe knows such a link, and makes a file of its own of it.
            let reached = Reached::behind_links(&site.path)?;
            remember(&mut journal.sites, &date, &reached)?;
            sites.push(reached);
        }
        journal.save()?;
        self.turn_nginx(original, &sites, port, &journal).await?;
        let mut vassals = Vec::new();
        for vassal in &original.vassals {
            let reached = Reached::entry(vassal)?;
            remember(&mut journal.vassals, &date, &reached)?;
            vassals.push(reached);
        }
        for unit in &original.units {
            if unit.is_active || unit.is_enabled {
                let list = if unit.is_workers { &mut journal.units } else { &mut journal.listeners };
                list.retain(|(name, _)| *name != unit.name);
                list.push((unit.name.clone(), unit.is_enabled));
            }
        }
        journal.save()?;
        for vassal in vassals {
            vassal.remove()?;
            self.say(format!("moved {} aside: uWSGI ends the old listener", vassal.path.display()));
        }
        for unit in original.units.iter().filter(|unit| !unit.is_workers) {
            self.stop_old(&unit.name).await?;
        }
        if !original.vassals.is_empty() && !self.waits(VASSAL_TIME, || !is_listening(&original.address)).await
        {
            bail!(
                "the old listener still listens on {}: does something else than {} start it?",
                shown(&original.address),
                original.vassals[0].display()
            );
        }
        for unit in original.units.iter().filter(|unit| unit.is_workers) {
            self.stop_old(&unit.name).await?;
        }
        self.take_along(&original.checkout, &date).await?;
        self.take_rights(original, &mut journal, &date)?;
        let mut found = host_state::look(&options, self.environment, executor).await?;
        self.prepare_plan(&mut found, port, false);
        self.do_plan(&plan::plan(&found, &options)?).await?;
        let config = self.config()?;
        for line in old_links::hand_over(&config, &mut journal, &date, executor).await? {
            self.say(line);
        }
        journal.state = JournalState::Here;
        journal.save()
    }

    /// The configuration that is installed, as the units have it.
    fn config(&self) -> Result<config::Config> {
        let environment = host_state::as_units_have_it(self.environment);
        let loaded = config::load(
            &REFERENCE,
            Some(Path::new(paths::CONFIGURATION)),
            &environment,
            config::Purpose::Ask,
        );
        Ok(loaded.map_err(|problems| anyhow!("{problems}"))?.config)
    }

    /// The intake asks nobody, and the worker does not run yet: from where GitHub calls must be known before it calls here.
    async fn know_networks(&mut self) -> Result<()> {
        let config = self.config()?;
        if config.intake.source_networks != config::SourceNetworks::GitHub {
            return Ok(());
        }
        // As the user whose directory the answer is written to; a thread of its own, because of which it is written by nobody else.
        let account = accounts::account(&paths::user())?.context("the deployer's user is there")?;
        let asked = as_user(account, || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async { meta::MetaRefresher::open(&config).know().await })
        });
        asked.with_context(|| format!("GitHub cannot be asked from where its webhooks come, and the new intake would refuse them: put its answer (https://api.github.com/meta) into {}/{}, or write `source_networks`", config.state_directory.display(), meta::META_FILE))
    }

    async fn do_plan(&mut self, plan: &Plan) -> Result<()> {
        for action in &plan.actions {
            self.say(action.what.clone());
            action.carry_out(self.executor).await.with_context(|| format!("cannot {}", action.what))?;
        }
        Ok(())
    }

    async fn install(&mut self, original: &Original, converted: &layers::Converted) -> Result<()> {
        let found = HostState { date: self.date.clone(), ..HostState::default() };
        // As whom the services run is known from here on.
        let actions = self.installing(original, converted, &found);
        let (users, rest): (Vec<Action>, Vec<Action>) =
            actions.into_iter().partition(|action| match &action.operation {
                Operation::Write(file) => file.path.ends_with("user.conf"),
                Operation::Keep(path, _) => path.ends_with("user.conf"),
                _ => false,
            });
        self.do_plan(&Plan::of(users)).await?;
        ask(self.executor, &systemctl::reload_units()).await?;
        let account = accounts::account(&paths::user())?
            .with_context(|| format!("there is no user {}", paths::user()))?;
        let found = HostState { account: Some(account), ..found };
        self.do_plan(&plan::directories(&found)?).await?;
        self.do_plan(&Plan::of(rest)).await?;
        let (secret, path) =
            (converted.secret.as_deref().unwrap_or_default(), Path::new(paths::WEBHOOK_SECRET));
        if read_plain(path, TEXT_BYTES_MAX).is_ok_and(|text| text.trim() != secret) {
            aside::keep(path, &aside::place_of(&found.date, path))?;
        }
        private_file::replace(path, &format!("{secret}\n"), Path::new(paths::CREDENTIALS))?;
        self.say(format!("wrote the webhook secret to {}", paths::WEBHOOK_SECRET));
        Ok(())
    }

    /// From its reload on, webhooks come here; those that old workers of nginx's are at are waited for.
    async fn turn_nginx(
        &mut self,
        original: &Original,
        sites: &[Reached],
        port: u16,
        journal: &Journal,
    ) -> Result<()> {
        if original.sites.is_empty() {
            return Ok(());
        }
        for site in sites {
            let content = site.read(TEXT_BYTES_MAX)?;
            let text = std::str::from_utf8(&content.bytes)
                .with_context(|| format!("{} is no text", site.path.display()))?;
            let Some(text) = uwsgi_pass::changed(text, &original.address, port) else { continue };
            site.write(&Content { bytes: text.into_bytes(), ..content })?;
        }
        let undo = || journal.sites.iter().try_for_each(|kept| aside::bring_back(&kept.kept, &kept.path));
        if let Err(error) = ask(self.executor, &words(&["nginx", "-t"])).await {
            undo()?;
            return Err(error.context("nginx does not accept its files so; they are as they were"));
        }
        let before = nginx_workers();
        if let Err(error) = ask(self.executor, &reload_nginx()).await {
            undo()?;
            return Err(error.context("nginx cannot be reloaded; its files are as they were"));
        }
        self.say(format!("nginx sends webhooks to 127.0.0.1:{port}"));
        self.drain(&before, &original.address).await
    }

    /// Waits until nobody asks the old listener any more.
    pub async fn drain(&mut self, workers: &[(i32, u64)], address: &Address) -> Result<()> {
        let have_ended = || workers.iter().all(|worker| !is_process(*worker));
        if self.waits(DRAIN_TIME, have_ended).await {
            return Ok(());
        }
        // Some are kept by a visitor's long connection, as that of a web socket.
        let port = match address {
            Address::Port(port) => *port,
            Address::Socket(_) => {
                bail!("workers of nginx's have not ended what they are at; run the same command again")
            }
        };
        match self.waits(DRAIN_TIME, || !has_connections(port)).await {
            true => Ok(()),
            false => bail!("the old listener is still asked over port {port}; run the same command again"),
        }
    }

    /// Whether it comes to be within a time.
    pub async fn waits(&self, time: Duration, is_so: impl Fn() -> bool) -> bool {
        let begun = Instant::now();
        while !is_so() {
            if begun.elapsed() > time {
                return false;
            }
            tokio::time::sleep(PAUSE).await;
        }
        true
    }

    /// Stops one of the old units when it has ended what it is at, however long that takes.
    async fn stop_old(&mut self, name: &str) -> Result<()> {
        let patience = PathBuf::from(format!("/run/systemd/system/{name}.d/durhack-deployer-setup.conf"));
        fs::create_dir_all(patience.parent().context("it lies in a directory")?)?;
        fs::write(&patience, PATIENCE)?;
        ask(self.executor, &systemctl::reload_units()).await?;
        self.say(format!("stop {name}, which ends what it is at"));
        ask(self.executor, &words(&["systemctl", "--no-ask-password", "disable", "--", name])).await?;
        ask(self.executor, &words(&["systemctl", "--no-ask-password", "stop", "--no-block", "--", name]))
            .await?;
        let begun = Instant::now();
        loop {
            let state = ask(
                self.executor,
                &words(&["systemctl", "show", "--value", "--property=ActiveState", "--", name]),
            )
            .await?;
            if ["inactive", "failed"].contains(&state.trim()) {
                break;
            }
            if begun.elapsed() > WORKERS_TIME {
                bail!(
                    "{name} still works on a deployment; webhooks wait in the new intake. Run the same command again when it has ended (`journalctl -u {name}`)"
                );
            }
            tokio::time::sleep(PAUSE).await;
        }
        fs::remove_file(&patience)?;
        ask(self.executor, &systemctl::reload_units()).await.map(drop)
    }

    /// What its queues still hold becomes ours.
    async fn take_along(&mut self, checkout: &Path, date: &str) -> Result<()> {
        let account = accounts::account(&paths::user())?.context("the deployer's user is there")?;
        let directory = Host::spool_directory(Path::new(paths::STATE), "main");
        let mut number = 0;
        // All of it as the user whose queues these are: links and pipes may lie there by now.
        for path in as_user(account, || Ok(original::waiting(checkout)))? {
            let take = || {
                let Some((text, (header, payload))) =
                    read_plain(&path, EVENT_BYTES_MAX).ok().and_then(|text| {
                        let entry = entry_of(text.as_bytes())?;
                        Some((text, entry))
                    })
                else {
                    return Ok(None);
                };
                // What is there already is as good as new.
                let entry = header.with_payload(payload.as_bytes());
                drop(open_spool(&directory)?.append(&header.spool_id(), &[&entry])?);
                Ok(Some(text))
            };
            let Some(text) = as_user(account, take)? else {
                self.say(format!("{} is no event, and is left there", path.display()));
                continue;
            };
            let content = Content { bytes: text.into_bytes(), owner: account, mode: 0o600 };
            aside::keep_content(&content, &aside::place_of(date, &path))?;
            as_user(account, || Ok(fs::remove_file(&path)?))?;
            number += 1;
        }
        if number > 0 {
            self.say(format!("took along {number} events that waited in {}/queues", checkout.display()));
        }
        Ok(())
    }

    /// What it could write among nginx's files is remembered, before setup takes it away.
    async fn remember_access(
        &mut self,
        original: &Original,
        journal: &mut Journal,
        date: &str,
    ) -> Result<()> {
        let directories = paths::NGINX_SITES.map(|name| format!("{}/{name}", paths::NGINX));
        let mut listed = Vec::new();
        let is_there = |path: &&String| fs::symlink_metadata(path.as_str()).is_ok_and(|found| found.is_dir());
        for directory in directories.iter().filter(is_there) {
            let call = words(&["getfacl", "--absolute-names", "--omit-header", directory]);
            let printed = ask(self.executor, &call).await?;
            if printed.lines().any(|line| line.contains(&format!("user:{}:", original.user))) {
                listed.push(directory.as_str());
            }
        }
        if listed.is_empty() || journal.access.is_some() {
            return Ok(());
        }
        let call = [&["getfacl", "--absolute-names", "--recursive", "--physical"][..], &listed].concat();
        let printed = ask(self.executor, &words(&call)).await?;
        let kept = aside::place_of(date, Path::new("/access-lists"));
        aside::make_private(kept.parent().context("it lies in a directory")?)?;
        private_file::replace(&kept, &format!("{}\n", printed.trim_end()), Path::new(paths::ASIDE))?;
        journal.access = Some(kept);
        Ok(())
    }

    /// What let the old tool act as root is moved aside.
    fn take_rights(&mut self, original: &Original, journal: &mut Journal, date: &str) -> Result<()> {
        let files: Vec<Reached> =
            original.sudoers.iter().map(|file| Reached::entry(file)).collect::<Result<_>>()?;
        for file in &files {
            remember(&mut journal.sudoers, date, file)?;
        }
        journal.save()?;
        for file in files {
            file.remove()?;
            self.say(format!("moved {} aside", file.path.display()));
        }
        Ok(())
    }

    /// What `plan` says of each deployment that is on.
    async fn plans(&self) -> Result<Vec<(String, String)>, Failed> {
        let config = self.config()?;
        let mut plans = Vec::new();
        for deployment in config.deployments.values().filter(|deployment| deployment.enabled) {
            let slug = deployment.slug.to_string();
            let plan = ask(self.executor, &words(&["/proc/self/exe", "plan", &slug])).await;
            plans.push((slug, plan.unwrap_or_else(|error| format!("{error:#}"))));
        }
        Ok(plans)
    }
}

/// The new intake must answer before anybody is sent to it.
async fn answers(port: u16) -> Result<()> {
    const TIME: Duration = Duration::from_secs(30);
    let asked = async {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
        let mut answer = Vec::new();
        stream.take(64 * 1024).read_to_end(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = tokio::time::timeout(TIME, asked).await.context("the new intake does not answer")?;
    let answer = answer.context("the new intake cannot be asked")?;
    match answer.starts_with(b"HTTP/1.1 200") {
        true => Ok(()),
        false => bail!("the new intake answers {:.40}", String::from_utf8_lossy(&answer)),
    }
}

/// Nothing but where the configuration lies.
pub fn options(configuration: &Path) -> SetupOptions {
    SetupOptions { configuration: configuration.to_owned(), origin: None, privileges: None, uninstall: false }
}

/// A program and its arguments.
pub fn words(words: &[&str]) -> CommandLine {
    CommandLine::Argv(words.iter().map(|word| (*word).to_owned()).collect())
}

/// Has nginx read its files again.
pub fn reload_nginx() -> CommandLine {
    systemctl::reload_if_running(paths::NGINX_UNIT)
}

/// nginx's workers: number and start.
pub fn nginx_workers() -> Vec<(i32, u64)> {
    let all = process_table::all().unwrap_or_default();
    let is_worker = |process: &process_table::Process| {
        process.arguments.first().is_some_and(|name| name.starts_with("nginx: worker"))
    };
    all.iter().filter(|process| is_worker(process)).map(process_table::Process::identity).collect()
}

fn is_process((pid, started): (i32, u64)) -> bool {
    process_table::read(pid).is_some_and(|process| process.identity() == (pid, started))
}

/// The lines of the kernel's table of TCP sockets: local port, remote port and state.
fn tcp_sockets() -> Vec<(u16, u16, u8)> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let lines = tables.iter().flat_map(|table| table.lines().skip(1));
    let port = |address: &str| u16::from_str_radix(address.rsplit(':').next()?, 16).ok();
    lines
        .filter_map(|line| {
            let mut words = line.split_whitespace().skip(1);
            Some((port(words.next()?)?, port(words.next()?)?, u8::from_str_radix(words.next()?, 16).ok()?))
        })
        .collect()
}

/// Whether somebody listens there.
pub fn is_listening(address: &Address) -> bool {
    const LISTEN: u8 = 0x0A;
    match address {
        Address::Port(port) => {
            tcp_sockets().iter().any(|(local, _, state)| local == port && *state == LISTEN)
        }
        Address::Socket(path) => Path::new(path).exists(),
    }
}

fn has_connections(port: u16) -> bool {
    const ESTABLISHED: u8 = 0x01;
    tcp_sockets().iter().any(|(local, _, state)| *local == port && *state == ESTABLISHED)
}
