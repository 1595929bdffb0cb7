//! The first tutorial, word by word: what it has people type does what it says, and prints what it shows.

use crate::support::process::{command, living_in, product, succeed};
use crate::support::servers::free_port;

const TUTORIAL: &str = include_str!("../../../../docs/tutorials/first-deployment.md");

/// Instead of a moment of waiting: the next run is there, whatever else this machine does.
const NEXT_RUN: &str = "runs=$((runs + 1)); until [ \"$(durhack-deployer runs site 2>/dev/null | wc -l)\" -gt $runs ]; do :; done";

/// The blocks of this language, in the order of the page.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    TUTORIAL.split(&fence).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

/// A line of a block without what is another one each time: ids, times and all that follows them.
fn constant(line: &str) -> &str {
    let end = line.find(|letter: char| letter.is_ascii_digit()).unwrap_or(line.len());
    line[..end].trim_end()
}

#[test]
fn the_first_tutorial_can_be_followed_word_by_word() {
    let home = tempfile::tempdir().expect("a directory in /tmp");
    let binary = product();
    let directory = binary.parent().expect("it lies in a directory").display().to_string();
    // The first block builds the program, which is done.
    let typed: Vec<String> = blocks("sh")
        .into_iter()
        .skip(1)
        .flat_map(str::lines)
        .map(|line| if line.starts_with("sleep ") { NEXT_RUN.to_owned() } else { line.to_owned() })
        .collect();
    let port = free_port().to_string();
    let script = typed.join("\n").replace("3400", &port);
    assert!(script.contains(&port) && script.contains(NEXT_RUN), "{script}");
    let script = format!(
        "set -e\ntrap 'kill %1 2>/dev/null || true' EXIT\nPATH={directory}:$PATH\nruns=0\n{script}\n"
    );

    // Somebody's terminal: programs are found, and there is a name.
    let printed = succeed(command("bash", home.path()).env("USER", "ada").args(["-c", &script]));

    println!("{printed}");
    for line in blocks("text").into_iter().flat_map(str::lines) {
        assert!(
            printed.contains(constant(line)),
            "the page shows `{line}`, which was not printed:\n{printed}"
        );
    }
    // Live, changed, kept though a build failed, and rolled back to.
    let pages: Vec<&str> = printed.lines().filter(|line| line.starts_with("<h1>")).collect();
    assert_eq!(pages, ["<h1>Hello</h1>", "<h1>Hello again</h1>", "<h1>Hello again</h1>", "<h1>Hello</h1>"]);
    assert!(printed.contains("build (sh): exited with 1: error: <h1> is never closed"), "{printed}");
    assert_eq!(living_in(home.path()), Vec::<String>::new());
    assert!(!home.path().join("first").exists(), "it cleans up");
}
