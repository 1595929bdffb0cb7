//! Private repositories over http: git's own `http-backend` behind a server that wants a token, as GitHub's does.
//!
//! Over the loopback, without TLS, which the product allows there. While a request is being answered, the git that asks is
//! still there: what of it anybody on the machine can see is kept, so that a test can look for a secret in it.

use super::GitHub;
use super::accounts::bearer;
use crate::support::process::{command, living_in};
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

#[derive(Debug, Clone)]
pub struct GitServer {
    url: String,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    /// `METHOD /path?query` and the answer's status.
    requests: Vec<(String, u16)>,
    /// Argument lists of the world's processes.
    processes: Vec<String>,
}

impl GitHub {
    /// Serves the repositories of a world, each of them private.
    pub fn serve_git(&self, root: &Path) -> GitServer {
        let runtime = &self._runtime;
        let listener =
            runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("loopback has ports");
        let url = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (github, root, kept) = (Arc::clone(&self.known), root.to_owned(), Arc::clone(&seen));
        let router =
            Router::new().fallback(move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
                let (known, root, kept) = (Arc::clone(&github), root.clone(), Arc::clone(&kept));
                async move {
                    let work = move || {
                        let good = bearer(&headers).is_some_and(|token| {
                            known.lock().expect("nobody panics with it").accounts.is_good(&token)
                        });
                        let processes = living_in(&root);
                        let response = match good {
                            true => backend(&root, &method, &uri, &headers, &body),
                            false => unauthorised(),
                        };
                        let mut kept = kept.lock().expect("nobody panics with it");
                        kept.requests.push((format!("{method} {uri}"), response.status().as_u16()));
                        kept.processes.extend(processes);
                        response
                    };
                    tokio::task::spawn_blocking(work).await.expect("the backend ends")
                }
            });
        runtime.spawn(async move { axum::serve(listener, router).await });
        GitServer { url, seen }
    }
}

impl GitServer {
    /// What to configure as `clone_url`.
    pub fn clone_url(&self, repository: &str) -> String {
        format!("{}/{repository}.git", self.url)
    }

    /// `METHOD /path?query` and the status of the answer, in order.
    pub fn requests(&self) -> Vec<(String, u16)> {
        self.seen.lock().expect("nobody panics with it").requests.clone()
    }

    /// What everybody could see of the processes that asked.
    pub fn processes(&self) -> Vec<String> {
        self.seen.lock().expect("nobody panics with it").processes.clone()
    }
}

fn unauthorised() -> Response {
    let headers = [("www-authenticate", "Basic realm=\"GitHub\"")];
    (StatusCode::UNAUTHORIZED, headers, "Repository not found.").into_response()
}

/// Runs `git http-backend`, which is a CGI program (RFC 3875).
fn backend(root: &Path, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Response {
    let upstream: PathBuf = root.join("upstream");
    let header =
        |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let mut git = command("git", &root.join("home"));
    git.args(["-c", "safe.directory=*", "-c", "uploadpack.allowAnySHA1InWant=true", "http-backend"])
        .env("GIT_PROJECT_ROOT", upstream)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", method.as_str())
        .env("PATH_INFO", uri.path())
        .env("QUERY_STRING", uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("HTTP_GIT_PROTOCOL", header("git-protocol"))
        .env("GIT_PROTOCOL", header("git-protocol"));
    let mut child = git
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("git is installed");
    let mut stdin = child.stdin.take().expect("it was asked for");
    // It may have answered without reading everything.
    let _ = stdin.write_all(body);
    drop(stdin);
    let output = child.wait_with_output().expect("git ends");
    let end = output.stdout.windows(4).position(|window| window == b"\r\n\r\n");
    let Some(end) = end else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let (head, content) =
        (String::from_utf8_lossy(&output.stdout[..end]).into_owned(), output.stdout[end + 4..].to_vec());
    let mut response = content.into_response();
    for (name, value) in head.split("\r\n").filter_map(|line| line.split_once(": ")) {
        match name {
            "Status" => {
                let code = value.split(' ').next().and_then(|code| code.parse().ok());
                *response.status_mut() = code.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            }
            _ => {
                let name = axum::http::HeaderName::from_bytes(name.as_bytes()).expect("git writes headers");
                response.headers_mut().insert(name, value.parse().expect("git writes headers"));
            }
        }
    }
    response
}
