//! Which defects of objects git overlooks when it fetches.
//!
//! Objects that were made by old or other programs have harmless oddities: a time zone of `+051800`, an author without an address,
//! a mode with a zero in front. Everybody else clones such repositories, so they are deployed. What could lead out of a
//! release's directory is refused whatever is configured: names such as `..` and `.git`, submodules' names and URLs that are
//! options, links in the place of `.gitmodules`.

use crate::config::FSCK_ALLOWABLE;

/// What says something of people and times only, or is what git itself wrote once. Never a reason not to deploy.
const HARMLESS: [&str; 16] = [
    "badDate",
    "badDateOverflow",
    "badEmail",
    "badFilemode",
    "badGpgsig",
    "badHeaderContinuation",
    "badName",
    "badTagName",
    "badTimezone",
    "missingEmail",
    "missingNameBeforeEmail",
    "missingSpaceBeforeDate",
    "missingSpaceBeforeEmail",
    "missingTaggerEntry",
    "zeroPaddedDate",
    "zeroPaddedFilemode",
];

/// The settings for a fetch that overlooks these, and what is harmless.
pub fn settings<'a>(ignored: &'a [&'static str]) -> impl Iterator<Item = String> + 'a {
    let kinds = HARMLESS.iter().chain(ignored);
    std::iter::once("fetch.fsckObjects=true".to_owned())
        .chain(kinds.map(|kind| format!("fetch.fsck.{kind}=ignore")))
}

/// What to do about a defect that git has refused, in what it said: `error: object ID: KIND: why`.
pub fn advice(said: &str) -> Option<String> {
    let line = said.lines().find_map(|line| line.trim().strip_prefix("error: object "))?;
    let kind = line.split(": ").nth(1)?;
    Some(match FSCK_ALLOWABLE.contains(&kind) {
        true => format!(
            "git refuses this object of the repository's history. `fsck_ignored = [\"{kind}\"]` in `[git]` lets it pass"
        ),
        false => "git refuses this object of the repository's history, and so do we: such an object can lead out of a release's \
                  directory. The commits that hold it must be written anew (git filter-repo)"
            .into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_defect_is_told_with_the_key_that_allows_it_or_that_there_is_none() {
        let id = "a".repeat(40);
        for (said, expected) in [
            (
                format!("error: object {id}: treeNotSorted: not properly sorted\nfatal: fsck error"),
                Some("fsck_ignored = [\"treeNotSorted\"]"),
            ),
            (format!("error: object {id}: hasDotdot: contains '..'\nfatal: fsck error"), Some("so do we")),
            (format!("error: object {id}: gitmodulesUrl: disallowed submodule url"), Some("so do we")),
            ("fatal: early EOF".to_owned(), None),
        ] {
            let found = advice(&said);
            assert_eq!(found.is_some(), expected.is_some(), "{said}");
            assert!(found.unwrap_or_default().contains(expected.unwrap_or_default()), "{said}");
        }
    }
}
