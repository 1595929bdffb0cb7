//! Deployments while somebody visits, and two deployments at once.

use super::{sites, with_nginx};
use crate::support::process::command;
use crate::support::wait;
use std::process::Stdio;

/// Without keep-alive: a connection that is kept open over a reload ends with it, and that is no failure.
#[test]
fn twenty_redeployments_fail_no_request() {
    with_nginx(|world, nginx, repository, _| {
        let first = repository.commit(&[("production/[a.test].conf", &nginx.site("a.test", "0"))], "first");
        world.deploy("nginx", repository, &first);
        let url = format!("http://127.0.0.1:{}/", nginx.port);
        let mut wrk = command("wrk", world.root());
        wrk.args(["-t1", "-c10", "-d120s", "-H", "Connection: close", "-H", "Host: a.test", &url]);
        let wrk = wrk.stdout(Stdio::piped()).spawn().expect("wrk is installed");
        for number in 1..=20 {
            let answer = number.to_string();
            let commit =
                repository.commit(&[("production/[a.test].conf", &nginx.site("a.test", &answer))], &answer);
            world.deploy("nginx", repository, &commit);
            assert_eq!(nginx.page("a.test", "/"), answer);
        }
        // INT: it says what it has counted.
        rustix::process::kill_process(rustix::process::Pid::from_child(&wrk), rustix::process::Signal::INT)
            .unwrap();
        let printed = wrk.wait_with_output().unwrap();
        let printed = String::from_utf8_lossy(&printed.stdout);
        let requests =
            printed.lines().find_map(|line| line.trim().split_once(" requests in")).map(|(number, _)| number);
        let requests: u64 = requests.expect("wrk counts").parse().expect("a number");
        eprintln!("{requests} requests over 20 redeployments");
        assert!(requests > 1_000, "{printed}");
        assert!(!printed.contains("Non-2xx") && !printed.contains("Socket errors"), "{printed}");
    });
}

#[test]
fn two_deployments_of_sites_take_turns() {
    with_nginx(|world, nginx, repository, deployment| {
        let other = world.repository("acme/other");
        world.configure(&[deployment, sites(world, &other, "other")]);
        assert!(world.stop().success());
        world.start();
        for round in ["one", "two", "three"] {
            let ours =
                repository.commit(&[("production/[a.test].conf", &nginx.site("a.test", round))], round);
            let theirs = other.commit(&[("production/[b.test].conf", &nginx.site("b.test", round))], round);
            world.push(repository, &ours);
            world.push(&other, &theirs);
            for (slug, commit) in [("nginx", &ours), ("other", &theirs)] {
                assert_eq!(world.ended_run(slug, commit).state, "succeeded");
            }
            assert_eq!((nginx.page("a.test", "/"), nginx.page("b.test", "/")), (round.into(), round.into()));
        }
        // What is the other's is not ours to replace.
        let theirs = other.commit(&[("production/[a.test].conf", &nginx.site("a.test", "stolen"))], "thief");
        world.push(&other, &theirs);
        assert_eq!(world.ended_run("other", &theirs).state, "failed");
        wait::until("ours to be served still", || (nginx.page("a.test", "/") == "three").then_some(()));
    });
}
