//! Is it alive? ProbeTarget after the switch, some times, until it answers as it should or the attempts are used up.

use crate::config::{HealthCheck, Probe};
use crate::process::command::Command;
use crate::process::step_context::StepContext;
use anyhow::{Result, anyhow};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// As much of a body as is searched for the text that must be in it.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// As much of an unexpected body as is shown.
const BODY_SHOWN_CHARS_MAX: usize = 200;

/// Asks until it is healthy. The error is the last attempt's; the log hears of each one that failed.
pub async fn check(check: &HealthCheck, step_context: &StepContext<'_>) -> Result<()> {
    let mut attempt = 1;
    loop {
        let result = match tokio::time::timeout(check.timeout, probe(check, step_context)).await {
            Ok(result) => result,
            Err(_) => Err(anyhow!("no answer within {:?}", check.timeout)),
        };
        let Err(error) = result else { return Ok(()) };
        step_context.note(format!("attempt {attempt} of {}: {error:#}", check.attempts));
        if attempt >= check.attempts {
            return Err(error.context(format!(
                "{} failed {}",
                check.shown(),
                crate::base::words::counted(attempt, "time", "times")
            )));
        }
        attempt += 1;
        step_context.pause(check.interval).await?;
    }
}

async fn probe(check: &HealthCheck, step_context: &StepContext<'_>) -> Result<()> {
    if let Some(question) = Question::of(check)? {
        return question.ask().await;
    }
    let Probe::Command(line) = &check.probe else { return Err(anyhow!("not a check")) };
    let command = Command {
        line: line.clone(),
        directory: step_context.directory.to_owned(),
        environment: BTreeMap::new(),
        env_files: Vec::new(),
    };
    // `supervise` brings it down at its deadline; the outer one must not be first.
    let deadline = check.timeout.saturating_sub(Duration::from_millis(50));
    let ends_at = step_context.ends_at.min(Instant::now() + deadline);
    StepContext { ends_at, ..*step_context }.run(&command).await
}

/// A check that needs no program; it may be asked any number of times. Each time opens a connection and closes it.
pub struct Question {
    timeout: Duration,
    asked: ProbeTarget,
}

enum ProbeTarget {
    Http { client: reqwest::Client, url: String, status: Vec<u16>, body: Option<String>, headers: HeaderMap },
    Tcp(String),
}

impl Question {
    /// None where the check is a program.
    pub fn of(check: &HealthCheck) -> Result<Option<Self>> {
        let asked = match check.probe.clone() {
            Probe::Http { url, status, body, headers } => {
                let header = |(name, value): (&String, &String)| {
                    Ok((HeaderName::try_from(name)?, HeaderValue::try_from(value)?))
                };
                let headers = headers.iter().map(header).collect::<Result<HeaderMap>>()?;
                ProbeTarget::Http { client: client()?, url, status, body, headers }
            }
            Probe::Tcp(address) => ProbeTarget::Tcp(address),
            Probe::Command(_) => return Ok(None),
        };
        Ok(Some(Self { timeout: check.timeout, asked }))
    }

    /// Asks once. The error says in what way the answer is not as it should be.
    pub async fn ask(&self) -> Result<()> {
        let answer = async {
            match &self.asked {
                ProbeTarget::Http { client, url, status, body, headers } => {
                    let request = client.get(url).headers(headers.clone());
                    http(request, url, status, body.as_deref()).await
                }
                ProbeTarget::Tcp(address) => Ok(TcpStream::connect(address.as_str()).await.map(drop)?),
            }
        };
        let in_time = tokio::time::timeout(self.timeout, answer).await;
        in_time.unwrap_or_else(|_| Err(anyhow!("no answer within {:?}", self.timeout)))
    }
}

fn client() -> Result<reqwest::Client> {
    Ok(reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .pool_max_idle_per_host(0)
        .user_agent(concat!("durhack-deployer/", env!("CARGO_PKG_VERSION")))
        .build()?)
}

async fn http(
    request: reqwest::RequestBuilder,
    url: &str,
    status: &[u16],
    wanted: Option<&str>,
) -> Result<()> {
    let mut response = request.send().await.map_err(|error| in_words(&error, url))?;
    let found = response.status();
    let expected = if status.is_empty() { found.is_success() } else { status.contains(&found.as_u16()) };
    // What streams has answered, too.
    if expected && wanted.is_none() {
        return Ok(());
    }
    if !expected && let Some(to) = response.headers().get(reqwest::header::LOCATION) {
        let to = String::from_utf8_lossy(to.as_bytes());
        return Err(anyhow!(
            "{url} answered {found}, and leads to {}; no redirect is followed. Ask that address, or add the status or the header \
             (`headers = {{ X-Forwarded-Proto = \"https\" }}`) that it wants",
            shown(&to)
        ));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| in_words(&error, url))? {
        body.extend_from_slice(&chunk);
        let is_found =
            expected && wanted.is_some_and(|wanted| String::from_utf8_lossy(&body).contains(wanted));
        if is_found || body.len() > BODY_BYTES_MAX {
            break;
        }
    }
    let body = String::from_utf8_lossy(&body);
    if !expected {
        return Err(anyhow!("{url} answered {found}: {}", shown(&body)));
    }
    match wanted {
        Some(wanted) if !body.contains(wanted) => {
            Err(anyhow!("{url} answered without {wanted:?}: {}", shown(&body)))
        }
        _ => Ok(()),
    }
}

/// "error sending request for url" says nothing; the innermost cause does, and of TLS not even that.
fn in_words(error: &reqwest::Error, url: &str) -> anyhow::Error {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let cause = cause.to_string();
    let any = |signs: &[&str]| signs.iter().any(|sign| cause.contains(sign));
    if any(&["InvalidContentType", "corrupt message"]) {
        return anyhow!("{url}: what listens there does not speak TLS: write http:// instead of https://");
    }
    if any(&["CaUsedAsEndEntity", "UnknownIssuer", "BadSignature"]) {
        return anyhow!(
            "{url}: its certificate is signed by itself or by a CA that this host does not know: add the CA to the host's \
             (update-ca-certificates), or ask the application by http:// behind its proxy ({cause})"
        );
    }
    if any(&["NotValidForName"]) {
        return anyhow!("{url}: its certificate is for another name ({cause})");
    }
    if any(&["Expired", "NotValidYet"]) {
        return anyhow!("{url}: its certificate has expired, or is not valid yet ({cause})");
    }
    anyhow!("{cause}")
}

fn shown(body: &str) -> String {
    body.chars().take(BODY_SHOWN_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
