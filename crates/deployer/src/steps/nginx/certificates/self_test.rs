//! What the CA would find out, found out before it counts as a failure: does the name lead anywhere, and does port 80 there answer
//! from the webroot?

use crate::base::names::DomainName;
use anyhow::{Context, Result, anyhow, bail};
use fs_err as fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Of one question. The CA has about as much patience.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Redirects that are followed, as the CA does.
const REDIRECTS_MAX: usize = 10;

/// Of an answer, what is read: it is a token, or it is not ours. Whoever answers may send without end.
const ANSWER_BYTES_MAX: usize = 4096;

/// Where the CA asks. It cannot be told of another port.
const PORT: u16 = 80;

/// Below the webroot, and in URLs.
const CHALLENGES: &str = ".well-known/acme-challenge";

/// An error says what the CA would have stumbled over. `webroot`: what it asks for is answered from there.
pub async fn test(name: &DomainName, webroot: Option<&Path>) -> Result<()> {
    let found = tokio::time::timeout(TIMEOUT, tokio::net::lookup_host((name.as_str(), PORT))).await;
    let addresses = found.map_err(|_| anyhow!("{name}: DNS does not answer"))?;
    if addresses.map_or(0, Iterator::count) == 0 {
        bail!("{name} resolves to nothing: give it an A or AAAA record that leads to this host");
    }
    match webroot {
        Some(webroot) => challenge(name.as_str(), webroot).await,
        None => Ok(()),
    }
}

async fn challenge(host: &str, webroot: &Path) -> Result<()> {
    let token = uuid::Uuid::now_v7().simple().to_string();
    let Ok(_file) = Challenge::write(webroot, &token) else {
        // Where certbot runs as root, the webroot may be root's.
        return Ok(());
    };
    let url = format!("http://{host}/{CHALLENGES}/{token}");
    let client = reqwest::Client::builder()
        .redirect(same_host())
        // The certificate behind a redirect may be the one that is to be replaced.
        .tls_danger_accept_invalid_certs(true)
        .timeout(TIMEOUT)
        .no_proxy()
        .build()?;
    let hint =
        || format!("{url} is not answered from {}: the CA would not find it either", webroot.display());
    let mut answer = client.get(&url).send().await.with_context(hint)?;
    let status = answer.status();
    if status.is_redirection() {
        // To another host: the CA goes there, and sees for itself. We do not, for it could be any server that this host reaches.
        return Ok(());
    }
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_BYTES_MAX {
            break;
        }
    }
    if body == token.as_bytes() { Ok(()) } else { Err(anyhow!("status {status}").context(hint())) }
}

/// A site leads its visitors to https. Where else it may lead, whoever wrote it decides.
fn same_host() -> reqwest::redirect::Policy {
    reqwest::redirect::Policy::custom(|attempt| {
        let first = attempt.previous().first();
        let is_same = first.is_some_and(|first| {
            let ports = [first.port_or_known_default(), Some(80), Some(443)];
            first.host_str() == attempt.url().host_str()
                && ports.contains(&attempt.url().port_or_known_default())
        });
        match is_same {
            _ if attempt.previous().len() > REDIRECTS_MAX => attempt.error("too many redirects"),
            true => attempt.follow(),
            false => attempt.stop(),
        }
    })
}

/// Gone when it is dropped.
struct Challenge(PathBuf);

impl Challenge {
    fn write(webroot: &Path, token: &str) -> Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        let directory = webroot.join(CHALLENGES);
        fs::create_dir_all(&directory)?;
        let path = directory.join(token);
        fs::write(&path, token)?;
        fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644))?;
        Ok(Self(path))
    }
}

impl Drop for Challenge {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// A server that answers one request out of a directory, whatever it is asked.
    async fn serve(listener: TcpListener, directory: PathBuf) {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let length = connection.read(&mut request).await.unwrap();
        let request = String::from_utf8_lossy(&request[..length]).into_owned();
        let path = request.split(' ').nth(1).unwrap().trim_start_matches('/').to_owned();
        let body = fs::read_to_string(directory.join(path)).unwrap_or_else(|_| "something else".into());
        let answer =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
        connection.write_all(answer.as_bytes()).await.unwrap();
    }

    #[tokio::test]
    async fn a_webroot_that_is_served_is_told_from_one_that_is_not() {
        for right in [true, false] {
            let (webroot, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let host = listener.local_addr().unwrap().to_string();
            let served = if right { webroot.path() } else { other.path() };
            let (tested, ()) =
                tokio::join!(challenge(&host, webroot.path()), serve(listener, served.to_owned()));
            assert_eq!(tested.is_ok(), right, "{tested:?}");
            let left = fs::read_dir(webroot.path().join(CHALLENGES)).unwrap().count();
            assert_eq!(left, 0, "the token is gone");
        }
    }

    /// Answers one request with this head, then with zeros for as long as somebody takes them; gives how many were taken.
    async fn flood(listener: &TcpListener, head: &str, most: usize) -> usize {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let _ = connection.read(&mut request).await.unwrap();
        connection.write_all(head.as_bytes()).await.unwrap();
        let piece = vec![b'0'; 64 * 1024];
        let mut taken = 0;
        while taken < most && connection.write_all(&piece).await.is_ok() {
            taken += piece.len();
        }
        taken
    }

    #[tokio::test]
    async fn an_answer_without_end_is_not_read() {
        const MOST: usize = 256 * 1024 * 1024;
        let webroot = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
        let (tested, taken) = tokio::join!(challenge(&host, webroot.path()), flood(&listener, head, MOST));
        assert!(tested.is_err() && taken < MOST, "{tested:?} {taken}");
    }

    #[tokio::test]
    async fn a_redirect_to_another_host_is_not_followed() {
        let webroot = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let inner = TcpListener::bind("127.0.0.2:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let head = format!(
            "HTTP/1.1 302 Found\r\nLocation: http://{}/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            inner.local_addr().unwrap()
        );
        let asked = async {
            tokio::select! {
                biased;
                _ = inner.accept() => true,
                // By then the answer was made.
                (tested, _) = async { tokio::join!(challenge(&host, webroot.path()), flood(&listener, &head, 0)) } => {
                    assert!(tested.is_ok(), "{tested:?}");
                    false
                }
            }
        };
        assert!(!asked.await, "the other host was asked");
        // Nor is a port of the same host that the CA would not go to.
        let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let head = format!(
            "HTTP/1.1 302 Found\r\nLocation: http://{}/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            other.local_addr().unwrap()
        );
        let (tested, _) = tokio::join!(challenge(&host, webroot.path()), flood(&listener, &head, 0));
        assert!(tested.is_ok(), "{tested:?}");
    }

    #[tokio::test]
    async fn a_name_that_leads_nowhere_is_named() {
        let name = DomainName::parse("nothing.invalid").unwrap();
        let error = test(&name, None).await.unwrap_err().to_string();
        assert!(error.starts_with("nothing.invalid"), "{error}");
    }
}
