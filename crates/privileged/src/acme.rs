//! Whether nginx answers the CA's question, found out before the CA asks it.
//!
//! certbot writes what the CA asks for below the webroot, and the site serves it. A name that nginx does not serve from there would count as a
//! failure at the CA, and say nothing of what to do. Only what this host's nginx says is looked at: DNS and firewalls are the deployer's to try.

use crate::request::{DomainName, Refusal};
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Below the webroot, and in the CA's URLs.
const CHALLENGES: &str = ".well-known/acme-challenge";

/// nginx on this host answers at once, or hangs.
const TIMEOUT: Duration = Duration::from_secs(5);

/// So long after `nginx -s reload` processes with the configuration of before may still answer.
const RELOAD_MAX: Duration = Duration::from_secs(10);

/// Until nginx is asked again.
const PAUSE: Duration = Duration::from_millis(200);

/// Of an answer, what is read: the token comes behind a few headers.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// An error says which name nginx does not answer for, and what the site needs.
pub fn check(names: &[DomainName], webroot: &Path) -> Result<(), Refusal> {
    let token = format!("durhack-deployer-{}", std::process::id());
    let directory = webroot.join(CHALLENGES);
    let file = directory.join(&token);
    let written = fs::create_dir_all(&directory).and_then(|()| fs::write(&file, &token));
    written.map_err(|error| Refusal(format!("cannot write {}: {error}", file.display())))?;
    let deadline = Instant::now() + RELOAD_MAX;
    let mut unanswered = names.iter().find(|name| is_refused(name, &token));
    while unanswered.is_some() && Instant::now() < deadline {
        thread::sleep(PAUSE);
        unanswered = names.iter().find(|name| is_refused(name, &token));
    }
    // What is left behind says nothing to anybody.
    let _ = fs::remove_file(&file);
    unanswered.map_or(Ok(()), |name| Err(Refusal(format!("http://{name}/{CHALLENGES}/ {}", hint(webroot)))))
}

/// What a site needs so that the CA finds its answer.
pub fn hint(webroot: &Path) -> String {
    format!(
        "is not answered from {0}, and certbot's plugin for nginx, which rewrites nginx's files, is not used any more: the server on port 80 that answers for \
         this name needs `location /.well-known/acme-challenge/ {{ root {0}; }}`; for a name that is new that is the default server. Deploy that \
         first, then the certificate. Another directory is named by `webroot` in [certbot] of {1}",
        webroot.display(),
        crate::allow_list::PATH
    )
}

/// Whether nginx answers with something else. A redirect is for the CA to follow, and where nobody listens on this address, nothing is known.
fn is_refused(name: &DomainName, token: &str) -> bool {
    match answer(name, token) {
        Ok(answer) => {
            let status = answer.split(' ').nth(1).unwrap_or_default();
            let is_redirect = matches!(status, "301" | "302" | "303" | "307" | "308");
            !(is_redirect || status == "200" && answer.contains(token))
        }
        Err(_) => false,
    }
}

fn answer(name: &DomainName, token: &str) -> io::Result<String> {
    let mut connection = TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, 80).into(), TIMEOUT)?;
    connection.set_read_timeout(Some(TIMEOUT))?;
    connection.set_write_timeout(Some(TIMEOUT))?;
    write!(connection, "GET /{CHALLENGES}/{token} HTTP/1.0\r\nHost: {name}\r\nConnection: close\r\n\r\n")?;
    let mut bytes = Vec::new();
    connection.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
