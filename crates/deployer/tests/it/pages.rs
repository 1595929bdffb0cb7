//! What the links lead to that a commit's status and a webhook's answer carry.

use crate::support::http::Request;
use crate::support::push::{Delivery, NO_COMMIT, push_payload};
use crate::support::world::World;

#[test]
fn a_run_and_a_delivery_have_a_page_that_can_do_nothing() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let line = "echo '<script>alert(1)</script> error: <b>no</b>' >&2; exit 1";
        world.configure(&[world.deployment("site", &repository).step("build", "<i>compile", line)]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();
        let guid = world.push(&repository, &commit);
        let run = world.ended_run("site", &commit);

        let get = |path: &str| Request::new("GET", path).send(world.address());
        let page = get(&format!("/runs/{}", run.id));
        assert_eq!(page.status, 200);
        let policy = page.header("content-security-policy").expect("it has one");
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        let text = String::from_utf8_lossy(&page.body).into_owned();
        assert!(text.contains(&commit) && text.contains("failed"), "{text}");
        assert!(!text.contains("<script") && !text.contains("<i>") && !text.contains("<b>"), "{text}");
        assert!(text.contains("&#60;script") || text.contains("&lt;script"), "{text}");

        world.wait_for_verdict(&guid, "failed");
        let page = get(&format!("/deliveries/{guid}"));
        assert_eq!(page.status, 200);
        assert!(String::from_utf8_lossy(&page.body).contains("failed"));

        for nothing in
            [&format!("/runs/{}", &run.id[..8]), "/runs/", "/runs/../../etc/passwd", "/deliveries/x"]
        {
            assert_eq!(get(nothing).status, 404, "{nothing}");
        }
    });
}

/// A page says no more than the commit's status, and of a repository that not everybody may see nothing that a build has printed.
#[test]
fn a_page_says_no_more_than_the_commit_and_of_private_repositories_nothing() {
    World::run(|world| {
        let [open, hidden, unknown] =
            ["acme/open", "acme/hidden", "acme/unknown"].map(|name| world.repository(name));
        let line = "echo \"CANARY $(printf 'x%.0s' $(seq 3000)) TAIL\" >&2; exit 1";
        let deployments = [("open", &open), ("hidden", &hidden), ("unknown", &unknown)]
            .map(|(slug, repository)| world.deployment(slug, repository).step("build", "compile", line));
        world.configure(&deployments);
        world.start();
        for (slug, repository, private) in
            [("open", &open, Some(false)), ("hidden", &hidden, Some(true)), ("unknown", &unknown, None)]
        {
            let commit = repository.commit(&[("index.html", "one")], "first");
            let name = format!("acme/{slug}");
            let mut payload = push_payload(&name, "refs/heads/main", NO_COMMIT, &commit);
            let fields = payload["repository"].as_object_mut().expect("a real payload");
            match private {
                Some(private) => drop(fields.insert("private".into(), private.into())),
                None => drop(fields.shift_remove("private")),
            }
            let delivery = Delivery::of("push", &payload);
            world.accept(&delivery);
            let run = world.ended_run(slug, &commit);
            world.wait_for_verdict(&delivery.guid, "failed");
            let pages = |world: &World| {
                [format!("/runs/{}", run.id), format!("/deliveries/{}", delivery.guid)].map(|path| {
                    let page = Request::new("GET", &path).send(world.address());
                    assert_eq!(page.status, 200, "{path}");
                    String::from_utf8_lossy(&page.body).into_owned()
                })
            };
            for page in pages(world) {
                assert!(page.contains("failed"), "{page}");
                assert_eq!(page.contains("CANARY"), private == Some(false), "{slug}: {page}");
                assert!(!page.contains("TAIL") && !page.contains(&"x".repeat(140)), "{page}");
            }
            // Whom the operator has named is no stranger; it is cut for him all the same.
            if private == Some(true) {
                world.settings.set("page_networks", "[\"127.0.0.0/8\"]");
                world.configure(&deployments);
                world.stop();
                world.start();
                for page in pages(world) {
                    assert!(page.contains("CANARY") && !page.contains("TAIL"), "{page}");
                }
                world.settings.remove("page_networks");
                world.configure(&deployments);
                world.stop();
                world.start();
            }
        }
    });
}

/// What an old push said of its repository was so once: a repository that was made private since is not shown again by it.
#[test]
fn an_old_push_does_not_show_what_is_private_by_now() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository).step(
            "build",
            "compile",
            "echo CANARY >&2; exit 1",
        )]);
        world.start();
        let commit = repository.commit(&[("index.html", "one")], "first");
        let push_of = |commit: &str, private: bool| {
            let mut payload = push_payload("acme/site", "refs/heads/main", NO_COMMIT, commit);
            payload["repository"]["private"] = private.into();
            Delivery::of("push", &payload)
        };
        let public = push_of(&commit, false);
        world.accept(&public);
        let run = world.ended_run("site", &commit);
        world.wait_for_verdict(&public.guid, "failed");
        let is_shown = |world: &World| {
            let page = Request::new("GET", &format!("/runs/{}", run.id)).send(world.address());
            String::from_utf8_lossy(&page.body).contains("CANARY")
        };
        assert!(is_shown(world));
        // Captured, and never delivered until later.
        let late = push_of(&commit, false);
        let second = repository.commit(&[("index.html", "two")], "second");
        let private = push_of(&second, true);
        world.accept(&private);
        world.ended_run("site", &second);
        assert!(!is_shown(world));
        for old in [public.clone(), public.replayed(), late.clone(), late.replayed()] {
            world.accept(&old);
            let after = world.accept(&Delivery::ping("acme/site"));
            world.wait_for_verdict(&after, "ping");
            assert!(!is_shown(world));
        }
    });
}
