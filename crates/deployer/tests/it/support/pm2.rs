//! A PM2 for one test: its own home, its own daemon, ended with the test even when that panics.
//!
//! `cargo xtask test` has installed pm2 and pnpm below `target/testbed/npm`.

use super::process::{command, describe, output};
use super::servers::testbed;
use super::wait;
use super::world::World;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// See the module. Make it before the world is configured.
#[derive(Debug)]
pub struct Pm2 {
    home: PathBuf,
    user_home: PathBuf,
    path: String,
}

impl Pm2 {
    /// Gives the world's daemon the programs, and a PM2 of its own.
    pub fn of(world: &mut World) -> Self {
        let programs = programs();
        assert!(
            programs.join("pm2").exists(),
            "no pm2 in {}: cargo xtask test --prepare-only",
            programs.display()
        );
        let home = world.root().join("pm2");
        fs_err::create_dir(&home).expect("the world is writable");
        // Neither a banner nor a question to PM2's makers.
        fs_err::write(home.join("touch"), "").expect("the world is writable");
        world.environment.push(("PM2_HOME".into(), home.to_string_lossy().into_owned()));
        world.settings.set("runs.environment_passed", r#"["PM2_HOME"]"#);
        world.shims = Some(programs.clone());
        let inherited = command("true", world.root());
        let inherited = inherited.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, value)| value);
        let inherited = inherited.expect("set by `command`").to_string_lossy().into_owned();
        let path = format!("{}:{inherited}", programs.display());
        Self { home, user_home: world.root().join("home"), path }
    }

    pub fn home(&self) -> &Path {
        &self.home
    }

    /// A call of PM2, that must succeed. It starts the daemon where there is none.
    #[track_caller]
    pub fn call(&self, arguments: &[&str]) -> String {
        let mut pm2 = command(programs().join("pm2"), &self.user_home);
        pm2.env("PM2_HOME", &self.home).env("PATH", &self.path).current_dir(&self.home).args(arguments);
        let output = output(&mut pm2);
        assert!(output.status.success(), "pm2 {arguments:?}: {}", describe(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// All processes that it keeps; none where no daemon runs.
    #[track_caller]
    pub fn processes(&self) -> Vec<Value> {
        if self.daemon().is_none() {
            return Vec::new();
        }
        let printed = self.call(&["jlist"]);
        let list = printed.lines().rfind(|line| line.starts_with('[')).expect("jlist prints a list");
        serde_json::from_str(list).expect("jlist prints JSON")
    }

    /// The names of its applications, sorted, each once.
    #[track_caller]
    pub fn names(&self) -> Vec<String> {
        let name = |process: &Value| process["name"].as_str().expect("a name").to_owned();
        let names: std::collections::BTreeSet<String> = self.processes().iter().map(name).collect();
        names.into_iter().collect()
    }

    /// The processes of one application.
    #[track_caller]
    pub fn of_name(&self, name: &str) -> Vec<Value> {
        self.processes().into_iter().filter(|process| process["name"] == name).collect()
    }

    /// The process ids of one application; 0 for one that does not run.
    #[track_caller]
    pub fn pids(&self, name: &str) -> Vec<u64> {
        self.of_name(name).iter().map(|process| process["pid"].as_u64().unwrap_or(0)).collect()
    }

    /// The daemon's process id, if it runs.
    pub fn daemon(&self) -> Option<u32> {
        let pid: u32 = fs_err::read_to_string(self.home.join("pm2.pid")).ok()?.trim().parse().ok()?;
        Path::new("/proc").join(pid.to_string()).exists().then_some(pid)
    }
}

impl Drop for Pm2 {
    fn drop(&mut self) {
        let Some(daemon) = self.daemon() else { return };
        let mut kill = command(programs().join("pm2"), &self.user_home);
        kill.env("PM2_HOME", &self.home).env("PATH", &self.path).arg("kill");
        output(&mut kill);
        if !std::thread::panicking() {
            wait::until("PM2's daemon to end", || (self.daemon() != Some(daemon)).then_some(()));
        }
    }
}

/// Where npm has put programs.
pub fn programs() -> PathBuf {
    testbed("npm/node_modules/.bin")
}
