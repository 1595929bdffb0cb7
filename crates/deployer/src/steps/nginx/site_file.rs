//! One file of a site, as it was judged.

use super::selection::WantedFile;
use nginx_policy::Directive;

/// A file that may be installed.
#[derive(Debug)]
pub struct SiteFile {
    /// Where it comes from and goes to.
    pub wanted: WantedFile,
    /// What is written in it.
    pub text: String,
    /// The same, as nginx understands it.
    pub directives: Vec<Directive>,
}
