//! Tables on a terminal and in a pipe.

use crate::support::terminal::Terminal;
use crate::support::world::World;

#[test]
fn a_table_fits_the_terminal_and_is_whole_in_a_pipe() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let line = "test ! -e broken || { echo 'error: the reason is a sentence that is longer than eighty columns are, and goes on and on'; exit 1; }";
        world
            .configure(&[world.deployment("a-site-with-a-name", &repository).step("build", "compile", line)]);
        world.start();
        let good = repository.commit(&[("index.html", "one")], "first");
        world.deploy("a-site-with-a-name", &repository, &good);
        let bad = repository.commit(&[("broken", "")], "second");
        let guid = world.push(&repository, &bad);
        let run = world.ended_run("a-site-with-a-name", &bad);
        world.wait_for_verdict(&guid, "failed");

        for arguments in [&["runs"][..], &["status"], &["deliveries"], &["run", &run.id]] {
            let (_, shown) = Terminal::start(world.product(arguments), 80).end();
            let is_of_table =
                |line: &&str| line.contains("DEPLOYMENT") || line.contains("a-site-with-a-name  ");
            let lines: Vec<&str> = shown.lines().filter(is_of_table).collect();
            assert!(lines.iter().all(|line| line.chars().count() <= 80), "{arguments:?}: {shown}");
            assert!(arguments[0] == "run" || lines.len() > 1, "{arguments:?}: {shown}");
            assert!(!shown.contains("(UTC)"), "{arguments:?}: times are relative: {shown}");
            if arguments[0] == "runs" {
                assert!(shown.contains('…'), "{shown}");
                assert!(shown.contains(" ago") || shown.contains("just now"), "{shown}");
                assert!(!shown.contains(&run.id), "{shown}");
            }
            let piped = world.cli(arguments);
            let piped = String::from_utf8_lossy(&piped.stdout).into_owned();
            assert!(!piped.contains('…'), "{piped}");
            if arguments[0] == "runs" {
                assert!(piped.contains(&run.id) && piped.contains("AT (UTC)"), "{piped}");
                assert!(piped.contains("and goes on and on"), "{piped}");
            }
        }
        let (_, wide) = Terminal::start(world.product(&["runs"]), 400).end();
        assert!(wide.contains(&run.id) && wide.contains("AT (UTC)"), "{wide}");
    });
}
