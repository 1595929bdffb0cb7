//! What everything else stands on, and what knows nothing of deployments: names, clock, secrets, files.

pub mod clock;
pub mod digest;
pub mod failpoint;
pub mod files;
pub mod names;
pub mod secret;
pub mod short_ids;
pub mod words;
