//! One thing has one name, and one is one.

use crate::support::process::describe;
use crate::support::world::World;

#[test]
fn one_is_not_many_and_nothing_is_said_twice() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        world.start();
        let commit = repository.commit(&[("index.html", "one")], "first");
        let guid = world.push(&repository, &commit);
        assert_eq!(world.ended_run("site", &commit).state, "succeeded");
        world.wait_for_verdict(&guid, "deployed");
        let bad = world.spool("main").join("bad/00000000000000000001-a.json");
        fs_err::write(bad, "{}").expect("the spool is writable");
        let mut said = String::new();
        for arguments in [
            &["status"][..],
            &["doctor"],
            &["queue"],
            &["config", "check"],
            &["explain", "site"],
            &["run", "site"],
            &["logs", "site"],
            &["plan", "site"],
        ] {
            said.push_str(&describe(&world.cli(arguments)));
        }
        for line in said.lines() {
            let words: Vec<&str> = line.split(|character: char| !character.is_alphanumeric()).collect();
            for pair in words.windows(2).filter(|pair| pair[0] == "1") {
                let many = [
                    "deployments",
                    "deliveries",
                    "entries",
                    "layers",
                    "errors",
                    "warnings",
                    "migrations",
                    "statuses",
                    "files",
                ];
                assert!(!many.contains(&pair[1]), "{line}");
            }
            for said_twice in ["fetch fetch:", "deployed: deployed", "failed (failed)", "set aside", "buried"]
            {
                assert!(!line.contains(said_twice), "{line}");
            }
        }
        assert!(said.contains("1 delivery was dead-lettered"), "{said}");
    });
}
