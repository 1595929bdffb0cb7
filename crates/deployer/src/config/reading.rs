//! Files to typed values: where the layers are, what stands where in them, and what is wrong with it.

pub mod diagnostics;
pub mod environment;
pub mod load;
pub mod passed_socket;
pub mod raw;
pub mod reader;
pub mod show;
pub mod values;
