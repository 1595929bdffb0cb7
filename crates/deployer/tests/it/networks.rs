//! From where a webhook may come, where GitHub says so.

use crate::support::github::Weather;
use crate::support::push::{Delivery, signature};
use crate::support::wait;
use crate::support::world::{SECRET, World};

/// An address of GitHub's, by the fake's list.
const GITHUB: &str = "140.82.112.7";
/// One that is not.
const STRANGER: &str = "203.0.113.9";

/// The status that a signed ping gets that comes with these `X-Forwarded-For` headers.
fn send(world: &World, forwarded: &[&str]) -> u16 {
    let delivery = Delivery::ping("acme/site");
    let signed = delivery.unsigned().header("X-Hub-Signature-256", signature(SECRET, &delivery.body));
    let request = forwarded.iter().fold(signed, |request, value| request.header("X-Forwarded-For", value));
    request.body(&delivery.body).send(world.address()).status
}

/// A world that lets in GitHub only, behind one proxy.
fn prepare(world: &mut World) {
    world.settings.set("source_networks", "\"github\"");
    world.settings.set("proxy_fix.x_for", "1");
    world.configure(&[]);
}

fn questions(world: &World) -> usize {
    world.github.requests().iter().filter(|request| *request == "GET /meta").count()
}

#[test]
fn a_first_start_refuses_until_github_has_said_its_networks_which_are_then_kept() {
    World::run(|world| {
        prepare(world);
        world.github.set_weather(Weather::Fails);
        world.start();
        assert_eq!([send(world, &[GITHUB]), send(world, &[STRANGER])], [503, 503]);
        world.github.set_weather(Weather::Fine);
        wait::until("GitHub to be let in", || (send(world, &[GITHUB]) == 202).then_some(()));
        for (forwarded, status) in [
            (&["::ffff:140.82.112.7"][..], 202),
            (&["2a0a:a440::1"][..], 202),
            (&[STRANGER][..], 403),
            // What stands left of the proxy's own entry was written by the caller.
            (&["140.82.112.7, 203.0.113.9"][..], 403),
            (&[GITHUB, STRANGER][..], 403),
            (&[][..], 403),
        ] {
            assert_eq!(send(world, forwarded), status, "{forwarded:?}");
        }
        let list = world.state().join("github-meta.json");
        wait::until("the list to be kept", || list.exists().then_some(()));
        let kept: serde_json::Value =
            serde_json::from_slice(&fs_err::read(&list).expect("kept")).expect("JSON");
        assert_eq!(kept["etag"], "W/\"0000000000000001\"");

        // GitHub is down at the next start: the list counts.
        world.stop();
        world.github.set_weather(Weather::Hangs);
        world.start();
        assert_eq!([send(world, &[GITHUB]), send(world, &[STRANGER])], [202, 403]);

        // What has changed meanwhile is known soon after the next.
        world.stop();
        world.github.set_weather(Weather::Fine);
        world.github.set_hooks(&["203.0.113.0/24"]);
        world.start();
        wait::until("the new list to count", || {
            ([send(world, &[GITHUB]), send(world, &[STRANGER])] == [403, 202]).then_some(())
        });
    });
}

#[test]
fn without_a_proxy_no_header_helps() {
    World::run(|world| {
        prepare(world);
        world.settings.set("proxy_fix.x_for", "0");
        world.configure(&[]);
        world.start();
        wait::until("the list to be known", || (send(world, &[]) == 403).then_some(()));
        assert_eq!(send(world, &[GITHUB]), 403);
    });
}

#[test]
fn what_has_not_changed_is_not_sent_again() {
    World::run(|world| {
        prepare(world);
        world.start();
        let list = world.state().join("github-meta.json");
        wait::until("the list to be kept", || list.exists().then_some(()));
        world.stop();
        let log_before = world.log();
        let known = |log: &str| log.matches("GitHub's networks are known").count();
        assert_eq!(known(&log_before), 1);
        world.start();
        wait::until("the second question", || (questions(world) == 2).then_some(()));
        assert_eq!(send(world, &[GITHUB]), 202);
        world.stop();
        assert_eq!(known(&world.log()), 1, "the second answer was 304");
    });
}

#[test]
fn nonsense_never_takes_the_place_of_a_good_list() {
    World::run(|world| {
        prepare(world);
        world.start();
        let list = world.state().join("github-meta.json");
        wait::until("the list to be kept", || list.exists().then_some(()));
        world.stop();
        let good = fs_err::read(&list).expect("kept");
        let huge = [br#"{"hooks":["203.0.113.0/24"],"x":""#, &vec![b'x'; 5 << 20][..], b"\"}"].concat();
        for nonsense in [
            &b""[..],
            b"<html>Sign in to the Wi-Fi</html>",
            b"{}",
            br#"{"hooks":[]}"#,
            br#"{"hooks":["0.0.0.0/0"]}"#,
            br#"{"hooks":["203.0.113.0/24","0.0.0.0/1","128.0.0.0/1"]}"#,
            &huge,
        ] {
            world.github.set_meta_answer(Some(nonsense));
            let refused = world.log().matches("GitHub's networks were not refreshed").count();
            world.start();
            wait::until("the answer to be refused", || {
                (world.log().matches("GitHub's networks were not refreshed").count() > refused).then_some(())
            });
            assert_eq!([send(world, &[GITHUB]), send(world, &[STRANGER])], [202, 403]);
            world.stop();
            assert_eq!(fs_err::read(&list).expect("kept"), good, "{}", nonsense.len());
        }
    });
}

#[test]
fn a_limit_of_githubs_is_honoured() {
    World::run(|world| {
        prepare(world);
        world.github.set_weather(Weather::PrimaryLimit);
        world.start();
        wait::until("the limit to be met", || world.log().contains("rate limit").then_some(()));
        assert_eq!(send(world, &[GITHUB]), 503);
        world.github.set_weather(Weather::Fine);
        wait::until("GitHub to be let in", || (send(world, &[GITHUB]) == 202).then_some(()));
    });
}
