//! `uv`, as we call it.

use crate::config::CommandLine;

/// Installs what the lock file says into the project's `.venv`. The lock file is never changed; development dependencies are installed
/// too, because that is where migrators are kept.
pub fn sync(python: Option<&str>) -> CommandLine {
    let mut words = vec!["uv".to_owned(), "sync".into(), "--frozen".into()];
    if let Some(python) = python {
        words.extend(["--python".to_owned(), python.to_owned()]);
    }
    CommandLine::Argv(words)
}

/// Runs a program with the virtual environment's own ones first in PATH, and installs nothing.
pub fn run(program: &[String]) -> CommandLine {
    let uv = ["uv", "run", "--frozen", "--no-sync", "--"].map(str::to_owned);
    CommandLine::Argv(uv.into_iter().chain(program.iter().cloned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_changes_the_lock_file() {
        assert_eq!(sync(None).shown(), "uv sync --frozen");
        assert_eq!(sync(Some("/usr/bin/python3")).shown(), "uv sync --frozen --python /usr/bin/python3");
        let migrate = ["alembic", "upgrade", "head"].map(str::to_owned);
        assert_eq!(run(&migrate).shown(), "uv run --frozen --no-sync -- alembic upgrade head");
    }
}
