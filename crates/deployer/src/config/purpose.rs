//! For what a configuration is loaded.

/// Where a service's configuration lies.
pub const SYSTEM_DIRECTORY: &str = "/etc/durhack-deployer";

/// For what a configuration is loaded: which of its secrets are read. The others need not be there, nor be readable by whoever asks: so
/// each half of a divided deployer has its own only, and `status` needs none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To receive and to deploy: all of them.
    Serve,
    /// To receive: those that sign webhooks.
    Listen,
    /// To deploy: those that open GitHub and repositories.
    Deploy,
    /// To ask the database: none.
    Ask,
    /// To look at the configuration itself: all that may be read, and a note of what may not.
    Check,
}

impl Purpose {
    /// Whether what signs webhooks is read.
    pub fn needs_webhook_secrets(self) -> bool {
        matches!(self, Self::Serve | Self::Listen | Self::Check)
    }

    /// Whether tokens and keys are read.
    pub fn needs_keys(self) -> bool {
        matches!(self, Self::Serve | Self::Deploy | Self::Check)
    }
}

/// A file that holds a secret.
#[derive(Clone)]
pub struct SecretFile {
    /// The secret, as the file has it.
    pub text: String,
    /// Its permission bits.
    pub mode: u32,
}

/// Why a file of a secret could not be read.
pub struct Unreadable {
    /// Whether another user owns it, so that reading it is not allowed.
    pub is_forbidden: bool,
    /// The reason, for people.
    pub message: String,
}
