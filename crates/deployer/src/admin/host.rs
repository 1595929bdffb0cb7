//! Facts of a host: accounts, access lists, versions, paths.

pub mod accounts;
pub mod acl;
pub mod inspect;
pub mod paths;
pub mod versions;
