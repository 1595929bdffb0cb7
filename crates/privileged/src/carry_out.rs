//! Carries a request out: by a file of root's own writing, by systemctl, or by a unit that has walls of its own.

use crate::allow_list::AllowList;
use crate::answer::Answer;
use crate::client::{CERTBOT, NGINX_TEST, ask_unit};
use crate::request::{Refusal, Request};
use crate::{commands, program, readers, sites};

/// What it comes to. `words` is what the request was made of.
pub fn request(request: &Request, words: &[String], list: &AllowList) -> Result<Answer, Refusal> {
    list.permit(request)?;
    match request {
        Request::NginxTest => nginx_test(list),
        Request::NginxReload => {
            let tested = nginx_test(list)?;
            match tested {
                Answer::Done { code: 0, .. } => Ok(tested.and(program::run_all(&[commands::nginx_reload()]))),
                _ => Ok(tested),
            }
        }
        Request::Unit(verb, unit) => Ok(program::run_all(&[commands::unit(*verb, unit)])),
        Request::UnitJournal(unit) => Ok(program::run_all(&[commands::unit_journal(unit)])),
        Request::Certificate { .. } => {
            // nginx reads the certificate next, and with it everything else.
            readers::check(list)?;
            Ok(ask_unit(CERTBOT, words))
        }
        Request::SiteWrite { target, text } => sites::write(target, text, list).map(|()| done("")),
        Request::SiteRemove(target) => sites::remove(target).map(|()| done("")),
        Request::SitesAdopt(trees) => sites::adopt(trees, list).map(|report| done(&report)),
    }
}

fn nginx_test(list: &AllowList) -> Result<Answer, Refusal> {
    readers::check(list)?;
    sites::check_together(list)?;
    Ok(ask_unit(NGINX_TEST, &["nginx-test".to_owned()]))
}

fn done(report: &str) -> Answer {
    Answer::Done { code: 0, out: report.to_owned(), err: String::new() }
}
