//! What must be true of a repository when everything is over.

use super::site::{Head, Site};
use crate::support::record::Run;
use crate::support::world::World;

/// What is wrong; nothing, if all went well.
pub fn judge(world: &World, site: &Site, runs: &[Run]) -> Vec<String> {
    let of_branch = |branch| {
        let slug = site.slug(branch);
        let runs: Vec<&Run> = runs.iter().filter(|run| run.deployment == slug).collect();
        let wrong = [
            live(world, site, branch),
            order(&site.went_live(world, branch), &commits(&site.heads[branch])),
            deployed(site, branch, &runs),
            told(world, site, branch, &runs),
        ];
        wrong.into_iter().flatten().map(move |wrong| format!("{slug}: {wrong}"))
    };
    (0..site.schedule.branches).flat_map(of_branch).collect()
}

/// What is live is the branch's head, where it has one that can be.
fn live(world: &World, site: &Site, branch: usize) -> Vec<String> {
    let live = site.live(world, branch);
    match site.good_head(branch) {
        Some(head) if live != Some(head) => vec![format!("the head is commit {head}, live is {live:?}")],
        _ => Vec::new(),
    }
}

/// The commits that a branch was at, one after the other.
fn commits(heads: &[Head]) -> Vec<usize> {
    heads.iter().filter_map(|head| head.commit).collect()
}

/// Nothing older came after something newer, where a commit to which the branch was moved back is newer than what it was moved
/// back from. What went live twice in succession was finished after a crash.
fn order(went_live: &[usize], heads: &[usize]) -> Vec<String> {
    let mut place = 0;
    for commit in went_live {
        match heads[place..].iter().position(|head| head == commit) {
            Some(further) => place += further,
            None => {
                return vec![format!(
                    "commit {commit} went live too late: {went_live:?}, the heads were {heads:?}"
                )];
            }
        }
    }
    Vec::new()
}

/// Every run has deployed what was the branch's head at some moment of it.
fn deployed(site: &Site, branch: usize, runs: &[&Run]) -> Vec<String> {
    let wrong = |run: &&&Run| {
        let (Some(started), Some(ended)) = (run.started_at_ms, run.ended_at_ms) else { return false };
        run.state == "succeeded"
            && !heads_between(&site.heads[branch], started, ended)
                .iter()
                .any(|head| head.commit == site.number_of(&run.commit))
    };
    let said = |run: &&Run| {
        format!(
            "run {} deployed commit {:?}, which was not the head then",
            run.id,
            site.number_of(&run.commit)
        )
    };
    runs.iter().filter(wrong).map(said).collect()
}

/// What a branch was in a time, and may have been at its ends.
fn heads_between(heads: &[Head], first_ms: i64, last_ms: i64) -> &[Head] {
    let begin = heads.iter().rposition(|head| head.begun_ms < first_ms).unwrap_or(0);
    let end = heads.partition_point(|head| head.begins_ms <= last_ms);
    &heads[begin.min(end)..end]
}

/// Every commit that was heard of or tried has its final status, and the right one.
fn told(world: &World, site: &Site, branch: usize, runs: &[&Run]) -> Vec<String> {
    let mut wrong = Vec::new();
    for number in 0..site.commits.len() {
        let states = site.states(world, branch, number);
        let ended =
            |state: &str| runs.iter().any(|run| run.commit == site.commits[number] && run.state == state);
        let last = states.last().map(|(state, description)| (state.as_str(), description.as_str()));
        let (is_head, is_broken) = (site.head(branch) == Some(number), site.schedule.commits[number].broken);
        let is_right = match last {
            None => !ended("succeeded") && !ended("failed"),
            Some(("success", _)) => ended("succeeded") && !is_broken,
            Some(("failure", _)) => ended("failed") && is_broken,
            // It was superseded by another, or could not be fetched when it was asked for. What was deployed stays so, unless it was asked
            // for again, and that failed.
            Some(("error", _)) => !is_head && (!ended("succeeded") || ended("failed")),
            Some(_) => false,
        };
        if !is_right {
            wrong.push(format!("commit {number} was told as {states:?}"));
        }
    }
    wrong
}

/// The commits of which GitHub shows that something is to come.
pub fn pending(world: &World, site: &Site) -> impl Iterator<Item = usize> {
    let is_pending = move |(branch, number): &(usize, usize)| {
        site.states(world, *branch, *number).last().is_some_and(|(state, _)| state == "pending")
    };
    let of_branch = move |branch| (0..site.commits.len()).map(move |number| (branch, number));
    (0..site.schedule.branches).flat_map(of_branch).filter(is_pending).map(|(_, number)| number)
}

#[test]
fn what_is_older_is_found() {
    for (went_live, heads, is_right) in [
        (&[][..], &[][..], true),
        (&[0, 1, 3][..], &[0, 1, 2, 3][..], true),
        (&[0, 1, 1][..], &[0, 1][..], true),
        (&[1, 0][..], &[0, 1][..], false),
        // Moved back by force: the older one is the newer head.
        (&[0, 1, 0][..], &[0, 1, 0][..], true),
        (&[1, 0, 1][..], &[0, 1, 0][..], false),
        (&[2][..], &[0, 1][..], false),
    ] {
        assert_eq!(order(went_live, heads).is_empty(), is_right, "{went_live:?} {heads:?}");
    }
}

#[test]
fn what_was_the_head_in_a_time_is_found() {
    let head = |commit, at| Head { commit: Some(commit), begins_ms: at, begun_ms: at + 2 };
    let heads = [head(0, 10), head(1, 20), head(2, 30)];
    for (first, last, expected) in [
        (13, 15, &[0][..]),
        (13, 20, &[0, 1][..]),
        // It may have been the head just before as well.
        (22, 25, &[0, 1][..]),
        (23, 25, &[1][..]),
        (5, 40, &[0, 1, 2][..]),
        (1, 2, &[][..]),
    ] {
        assert_eq!(commits(heads_between(&heads, first, last)), expected, "{first} to {last}");
    }
}
