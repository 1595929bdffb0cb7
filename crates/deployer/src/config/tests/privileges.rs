//! How what needs root is done, and what is then root's to say.

use super::{TestHost, brief, brief_of};
use crate::config::Privileges;

#[test]
fn each_way_has_its_word() {
    for (written, expected) in [
        ("privileges = \"direct\"", Privileges::Direct),
        ("privileges = \"sudo\"", Privileges::Sudo),
        ("privileges = \"helper\"", Privileges::Helper),
    ] {
        let loaded = TestHost::signed(written).loaded();
        assert_eq!(loaded.config.privileges, expected);
        assert!(loaded.problems.is_empty(), "{}", loaded.problems);
    }
    assert!(brief(TestHost::signed("privileges = \"root\"").load()).contains("helper"));
}

#[test]
fn the_helper_takes_no_programs_and_no_paths() {
    for key in
        ["program = \"/opt/nginx\"", "directory = \"/opt\"", "prefix = \"/opt\"", "reload = \"signal\""]
    {
        let with = |way: &str| format!("privileges = \"{way}\"\n[nginx]\n{key}\n");
        let refused = brief(TestHost::signed(&with("helper")).load());
        assert!(refused.contains("`privileges = \"helper\"`"), "{key}: {refused}");
        assert!(TestHost::signed(&with("direct")).loaded().problems.is_empty(), "{key}");
    }
}

#[test]
fn what_roots_certbot_is_not_told_is_worth_a_warning() {
    let keys =
        "email = \"a@b.org\"\nacme_server = \"https://ca.org/dir\"\ndirectory = \"/opt/certificates\"\n";
    for (way, warnings) in [("helper", 3), ("sudo", 3), ("direct", 0)] {
        let loaded = TestHost::signed(&format!("privileges = \"{way}\"\n[certificates]\n{keys}")).loaded();
        let problems = brief_of(&loaded.problems);
        assert_eq!(problems.matches("is not told to certbot").count(), warnings, "{way}: {problems}");
    }
}
