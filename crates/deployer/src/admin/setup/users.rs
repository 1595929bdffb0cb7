//! As whom each deployment is to run that names no `user`. Pure.
//!
//! A new deployment gets a user of its own. One that was deployed before there was a `users.toml` stays the deployer's, because its files,
//! its programs and its units are: `move-user` changes all of them together. So does one that is deployed in place.

use crate::base::digest::sha256_hex;
use crate::base::names::{Slug, UserName};
use crate::config::users::DEPLOYER;
use crate::config::{UserSource, Users};
use std::collections::BTreeSet;

/// What the names of these users begin with: an operator recognises them in `ps`.
const PREFIX: &str = "app-";

/// `useradd` allows 32 characters; utmp holds 32 bytes, without room for the end of the text where all are used.
const NAME_BYTES_MAX: usize = 31;

/// Digits of the slug's hash in a shortened name: 2^32 values make two equal ones unlikely, and [`assign`] sees them.
const DIGITS: usize = 8;

/// A deployment, as far as its user depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserTarget {
    /// The deployment's name, from which its user's name is made.
    pub slug: Slug,
    /// As whom it runs by the configuration and `users.toml`. `None`: as the deployer, or (by `source`) not at all.
    pub user: Option<UserName>,
    /// Who says so.
    pub source: UserSource,
    /// What lies at its path.
    pub path: PathState,
}

/// What lies at a deployment's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathState {
    /// Nothing that a deploy would have made.
    New,
    /// Releases that an earlier version made.
    Releases,
    /// A work tree that is deployed in place.
    InPlace,
}

/// Who has a user's name now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountState {
    /// Neither a user nor a group.
    Free,
    /// A user that an earlier `setup` made: it has the home of such users.
    Ours,
    /// It is the name of a user that `setup` did not make.
    Taken,
}

/// What [`assign`] has decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assignment {
    /// All of `users.toml`, as it is to be.
    pub users: Users,
    /// What is new in it, for people.
    pub new: Vec<String>,
    /// What an operator should know.
    pub remarks: Vec<String>,
}

/// The names that a deployment's user may have, the preferred one first.
pub fn names(slug: &Slug) -> Vec<UserName> {
    let slug = slug.as_str();
    let whole = format!("{PREFIX}{slug}");
    let digits = &sha256_hex(slug.as_bytes())[..DIGITS];
    let beginning = &slug[..slug.len().min(NAME_BYTES_MAX - PREFIX.len() - 1 - DIGITS)];
    let shortened = format!("{PREFIX}{}-{digits}", beginning.trim_end_matches('-'));
    let whole = Some(whole).filter(|name| name.len() <= NAME_BYTES_MAX);
    whole.into_iter().chain([shortened]).filter_map(|name| UserName::parse(&name).ok()).collect()
}

/// The first of the names that nobody else has: neither another deployment nor another program.
pub fn free_name(
    slug: &Slug,
    of_others: &BTreeSet<UserName>,
    account: impl Fn(&UserName) -> AccountState,
) -> Option<UserName> {
    let is_free = |name: &UserName| !of_others.contains(name) && account(name) != AccountState::Taken;
    names(slug).into_iter().find(is_free)
}

/// Completes what is recorded. Entries of deployments that are not configured (any more) stay: their files are still their users'.
pub fn assign(
    targets: &[UserTarget],
    recorded: Option<&Users>,
    account: impl Fn(&UserName) -> AccountState,
) -> Assignment {
    let deployer = UserName::parse(DEPLOYER).expect("it is the name of a user");
    let mut assignment = Assignment { users: recorded.cloned().unwrap_or_default(), ..Assignment::default() };
    for target in targets {
        let slug = &target.slug;
        let is_open = matches!(target.source, UserSource::NotSetUp | UserSource::Missing);
        let users = &assignment.users;
        let mut taken: BTreeSet<UserName> = targets.iter().filter_map(|other| other.user.clone()).collect();
        taken.extend(users.iter().filter(|(other, _)| *other != slug).map(|(_, user)| user.clone()));
        let made_before = || names(slug).iter().any(|name| account(name) == AccountState::Ours);
        let is_deployers = match target.path {
            PathState::InPlace => true,
            PathState::Releases => target.source == UserSource::NotSetUp && !made_before(),
            PathState::New => false,
        };
        let user = match (is_open, is_deployers) {
            (false, _) => None,
            (true, true) => Some(deployer.clone()),
            (true, false) => free_name(slug, &taken, &account),
        };
        if let Some(user) = &user {
            assignment.new.push(format!("{slug}: {user}"));
            assignment.users.set(slug.clone(), user.clone());
        } else if is_open {
            let tried: Vec<String> = names(slug).iter().map(ToString::to_string).collect();
            assignment.remarks.push(format!(
                "there is no free name for a user of {slug}: {} are users that `setup` did not make. Nothing of {slug} runs before you write `user = \"NAME\"` for it",
                tried.join(" and ")
            ));
        }
        if user.as_ref() == Some(&deployer) || (target.user.is_none() && !is_open) {
            assignment.remarks.push(shared(slug, target));
        } else if is_open && target.path == PathState::Releases && user.is_some() {
            assignment.remarks.push(format!(
                "{slug} has releases that another user has made: `sudo durhack-deployer move-user {slug}` makes them its own user's"
            ));
        }
    }
    assignment.remarks.extend(several_of_one(targets));
    assignment
}

fn shared(slug: &Slug, target: &UserTarget) -> String {
    let who = if target.source == UserSource::Written { "as you ask for" } else { "as it was before" };
    let first = match target.path {
        PathState::InPlace => format!("`durhack-deployer adopt {slug}`, and then "),
        _ => String::new(),
    };
    let then = match target.source {
        UserSource::Written => "take `user` out, and ",
        _ => "",
    };
    format!(
        "{slug} is built and run as the deployer itself, {who}: whatever is pushed to it can do what the deployer can: reach every deployment, also those that have a user of their own. {first}{then}`sudo durhack-deployer move-user {slug}` gives it a user of its own"
    )
}

/// Deployments whose users are the same.
fn several_of_one(targets: &[UserTarget]) -> Vec<String> {
    let users: BTreeSet<&UserName> = targets.iter().filter_map(|target| target.user.as_ref()).collect();
    let mut remarks = Vec::new();
    for user in users {
        let slugs: Vec<&str> = targets
            .iter()
            .filter(|target| target.user.as_ref() == Some(user))
            .map(|target| target.slug.as_str())
            .collect();
        if slugs.len() > 1 {
            remarks.push(format!(
                "{} share the user {user}: whatever is pushed to one of them can change and end the others",
                slugs.join(", ")
            ));
        }
    }
    remarks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slug(text: &str) -> Slug {
        Slug::parse(text).unwrap()
    }

    fn user(text: &str) -> UserName {
        UserName::parse(text).unwrap()
    }

    fn target(name: &str, source: UserSource, path: PathState) -> UserTarget {
        UserTarget { slug: slug(name), user: None, source, path }
    }

    fn free(_: &UserName) -> AccountState {
        AccountState::Free
    }

    /// `slug: user`, a line each, and how many remarks there are.
    fn decided(assignment: &Assignment) -> String {
        format!("{} ({} remarks)", assignment.new.join(", "), assignment.remarks.len())
    }

    #[test]
    fn a_name_is_short_enough_and_says_whose_it_is() {
        for (slug_text, expected) in [
            ("web", "app-web app-web-4b5e57f6"),
            ("0", "app-0 app-0-5feceb66"),
            (&"a".repeat(27), "app-aaaaaaaaaaaaaaaaaaaaaaaaaaa app-aaaaaaaaaaaaaaaaaa-"),
            (&"a".repeat(28), "app-aaaaaaaaaaaaaaaaaa-"),
            (&format!("{}-{}", "a".repeat(17), "b".repeat(40)), "app-aaaaaaaaaaaaaaaaa-"),
        ] {
            let names: Vec<String> = names(&slug(slug_text)).iter().map(ToString::to_string).collect();
            assert!(names.join(" ").starts_with(expected), "{slug_text}: {names:?}");
            assert!(
                names.iter().all(|name| name.len() <= NAME_BYTES_MAX && !name.contains("--")),
                "{names:?}"
            );
        }
        // What differs only at the end has names that differ.
        let long = |end: &str| names(&slug(&format!("{}{end}", "durhack-staging-".repeat(3))));
        assert_ne!(long("a"), long("b"));
    }

    #[test]
    fn what_is_new_has_a_user_of_its_own_and_what_was_there_stays_as_it_was() {
        use PathState::{InPlace, New, Releases};
        use UserSource::{Missing, NotSetUp, Recorded, Written};
        for (source, path, expected) in [
            (NotSetUp, New, "x: app-x (0 remarks)"),
            (NotSetUp, Releases, "x: durhack-deployer (1 remarks)"),
            (NotSetUp, InPlace, "x: durhack-deployer (1 remarks)"),
            (Missing, New, "x: app-x (0 remarks)"),
            // Renamed, perhaps.
            (Missing, Releases, "x: app-x (1 remarks)"),
            (Missing, InPlace, "x: durhack-deployer (1 remarks)"),
            // It is the deployer's, by the configuration or the database.
            (Written, New, " (1 remarks)"),
            (Recorded, Releases, " (1 remarks)"),
        ] {
            let assignment = assign(&[target("x", source, path)], None, free);
            assert_eq!(decided(&assignment), expected, "{source:?} {path:?}");
        }
        // The record was lost, and the user that it named is there.
        let ours = |_: &UserName| AccountState::Ours;
        let found_again = assign(&[target("x", NotSetUp, Releases)], None, ours);
        assert_eq!(found_again.new, ["x: app-x"]);
    }

    #[test]
    fn nobody_gets_the_user_of_somebody_else() {
        let taken = |names: &'static [&str]| {
            move |name: &UserName| match names.contains(&name.as_str()) {
                true => AccountState::Taken,
                false => AccountState::Free,
            }
        };
        let new = [target("web", UserSource::Missing, PathState::New)];
        let second = assign(&new, None, taken(&["app-web"]));
        assert_eq!(second.new, ["web: app-web-4b5e57f6"]);
        let none = assign(&new, None, taken(&["app-web", "app-web-4b5e57f6"]));
        assert!(none.new.is_empty() && none.users.of(&slug("web")).is_none(), "{none:?}");
        assert!(none.remarks[0].contains("write `user = \"NAME\"`"), "{none:?}");
        // What another deployment is told to run as, and what another one ran as that may come back.
        let other =
            UserTarget { user: Some(user("app-web")), ..target("api", UserSource::Written, PathState::New) };
        assert_eq!(assign(&[new[0].clone(), other], None, free).new, ["web: app-web-4b5e57f6"]);
        let mut recorded = Users::default();
        recorded.set(slug("gone"), user("app-web"));
        let assignment = assign(&new, Some(&recorded), free);
        assert_eq!(assignment.new, ["web: app-web-4b5e57f6"]);
        assert_eq!(assignment.users.of(&slug("gone")), Some(&user("app-web")), "it stays");
    }

    #[test]
    fn who_shares_is_told_what_that_means() {
        let shares = |name: &str| UserTarget {
            user: Some(user("web")),
            ..target(name, UserSource::Written, PathState::New)
        };
        let assignment = assign(&[shares("a"), shares("b")], None, free);
        insta::assert_snapshot!(assignment.remarks.join("\n"), @"a, b share the user web: whatever is pushed to one of them can change and end the others");
        let old = [
            target("a", UserSource::NotSetUp, PathState::Releases),
            target("b", UserSource::NotSetUp, PathState::InPlace),
            target("c", UserSource::Written, PathState::New),
        ];
        insta::assert_snapshot!(assign(&old, None, free).remarks.join("\n"), @r"
        a is built and run as the deployer itself, as it was before: whatever is pushed to it can do what the deployer can: reach every deployment, also those that have a user of their own. `sudo durhack-deployer move-user a` gives it a user of its own
        b is built and run as the deployer itself, as it was before: whatever is pushed to it can do what the deployer can: reach every deployment, also those that have a user of their own. `durhack-deployer adopt b`, and then `sudo durhack-deployer move-user b` gives it a user of its own
        c is built and run as the deployer itself, as you ask for: whatever is pushed to it can do what the deployer can: reach every deployment, also those that have a user of their own. take `user` out, and `sudo durhack-deployer move-user c` gives it a user of its own
        ");
    }
}
