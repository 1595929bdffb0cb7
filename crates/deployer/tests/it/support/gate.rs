//! A door in a deployment's step: the step says that it has come, and waits there until the test opens.
//!
//! That is how a test acts "while something is being deployed" without sleeping.

use super::configuration::text;
use super::wait;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub struct Gate {
    arrivals: PathBuf,
    opened: PathBuf,
}

impl Gate {
    /// A closed gate that keeps its two files in `directory`.
    pub fn new(directory: &Path) -> Self {
        fs_err::create_dir_all(directory).expect("the world is writable");
        Self { arrivals: directory.join("arrivals"), opened: directory.join("opened") }
    }

    /// What the step has to run: writes its commit, then waits.
    pub fn shell(&self) -> String {
        let [arrivals, opened] = [&self.arrivals, &self.opened].map(|path| path.display());
        format!("echo $DEPLOYER_COMMIT >> '{arrivals}'; until [ -e '{opened}' ]; do sleep 0.02; done")
    }

    /// A step of a build that waits at the gate, and whose undo leaves a file behind.
    pub fn step_undone_by(&self, undone: &Path) -> String {
        format!(
            "{{ phase = \"build\", name = \"b\", shell = {}, undo_shell = {} }}",
            text(&self.shell()),
            text(&format!("touch {}", undone.display()))
        )
    }

    /// The commits that have come so far, in order.
    pub fn arrivals(&self) -> Vec<String> {
        let text = fs_err::read_to_string(&self.arrivals).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits for this commit to come.
    #[track_caller]
    pub fn wait_for(&self, commit: &str) {
        wait::until(&format!("{commit} to come to the gate"), || {
            self.arrivals().iter().any(|arrival| arrival == commit).then_some(())
        });
    }

    /// From now on everybody passes.
    pub fn open(&self) {
        fs_err::write(&self.opened, "").expect("the world is writable");
    }

    /// From now on nobody passes.
    pub fn close(&self) {
        fs_err::remove_file(&self.opened).expect("it was open");
    }
}
