//! From a job in the queue of a deployment to a release that is live, or to the old one that still is.

pub mod adopt;
pub mod context;
pub mod downtime;
pub mod gates;
pub mod inbox;
pub mod live_state;
pub mod observe;
pub mod outcome;
pub mod preflight;
pub mod preview;
pub mod recovery;
pub mod run;
pub mod state_modes;
pub mod unknown;
pub mod worker;
