//! Commits: the mirror of a repository, who may fetch it, and the tree of one commit.

pub mod access;
pub mod commit_tree;
pub mod mirror;
pub mod signature;
