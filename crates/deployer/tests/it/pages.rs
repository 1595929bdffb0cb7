//! What the links lead to that a commit's status and a webhook's answer carry.

use crate::support::http::Request;
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
