//! Who may ask the fake GitHub: tokens, and a GitHub App, whose statements are verified as the real one does.
//! `apps/get-repo-installation`, `apps/create-installation-access-token`.

use super::{Answer, GitHub, Known, Request, TOKEN, not_found, now, problem, unix_seconds, user};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::collections::HashSet;

/// GitHub refuses statements that are good for longer.
const STATEMENT_SECONDS_MAX: i64 = 600;

/// What it says to who does not come with one.
const NO_STATEMENT: &str = "A JSON web token could not be decoded";

/// The number of the only installation.
const INSTALLATION: &str = "77";

#[derive(Debug)]
pub struct Accounts {
    /// Beside those of the App.
    tokens: HashSet<String>,
    app: Option<App>,
}

#[derive(Debug)]
struct App {
    id: String,
    public_key: Vec<u8>,
    /// `owner/name` of the repositories in which it is installed.
    repositories: Vec<String>,
    /// Token and the repository it is for.
    issued: Vec<(String, String)>,
    revoked: HashSet<String>,
    /// Of the tokens to come.
    lifetime_seconds: i64,
    permissions: Value,
    is_suspended: bool,
}

impl Default for Accounts {
    fn default() -> Self {
        Self { tokens: [TOKEN.to_owned()].into(), app: None }
    }
}

impl GitHub {
    /// One more token that is accepted.
    pub fn add_token(&self, token: &str) {
        self.known().accounts.tokens.insert(token.to_owned());
    }

    /// A token that was accepted is so no longer.
    pub fn remove_token(&self, token: &str) {
        self.known().accounts.tokens.remove(token);
    }

    /// Registers the App with this id and public key (PKCS#1 DER), installed in one repository.
    pub fn install_app(&self, id: u64, public_key: &[u8], repository: &str) {
        self.known().accounts.app = Some(App {
            id: id.to_string(),
            public_key: public_key.to_vec(),
            repositories: vec![repository.to_owned()],
            issued: Vec::new(),
            revoked: HashSet::new(),
            lifetime_seconds: 3600,
            permissions: json!({ "contents": "read", "statuses": "write", "metadata": "read" }),
            is_suspended: false,
        });
    }

    /// Every token that the App has got so far is accepted no longer.
    pub fn revoke_app_tokens(&self) {
        if let Some(app) = &mut self.known().accounts.app {
            app.revoked = app.issued.iter().map(|(token, _)| token.clone()).collect();
        }
    }

    /// How long the App's next tokens are good for.
    pub fn set_app_token_lifetime(&self, seconds: i64) {
        self.known().accounts.app.as_mut().expect("an App is installed").lifetime_seconds = seconds;
    }

    /// What the App may in its installation.
    pub fn set_app_permissions(&self, permissions: Value) {
        self.known().accounts.app.as_mut().expect("an App is installed").permissions = permissions;
    }

    /// The account's owner suspends the installation, which gets no tokens any more.
    pub fn suspend_app(&self) {
        self.known().accounts.app.as_mut().expect("an App is installed").is_suspended = true;
    }

    /// The App's tokens so far, and for which repository each is.
    pub fn app_tokens(&self) -> Vec<(String, String)> {
        self.known().accounts.app.as_ref().map_or_else(Vec::new, |app| app.issued.clone())
    }
}

pub fn route(known: &mut Known, request: &Request) -> Option<Answer> {
    match (request.method.as_str(), request.segments().as_slice()) {
        ("GET", ["repos", owner, name, "installation"]) => {
            Some(known.accounts.installation(&known.url, &format!("{owner}/{name}")))
        }
        ("POST", ["app", "installations", INSTALLATION, "access_tokens"]) => {
            Some(known.accounts.access_token(&request.body))
        }
        _ => None,
    }
}

impl Accounts {
    /// Whether whoever asks this may ask it: everybody for `/meta`, the App for its tokens, and for all else one with a token.
    pub fn admit(&self, request: &Request) -> Result<(), &'static str> {
        match request.segments().as_slice() {
            ["meta"] => Ok(()),
            ["repos", _, _, "installation"] | ["app", ..] => {
                self.app.as_ref().map_or(Err(NO_STATEMENT), |app| app.verify(&request.headers))
            }
            _ if bearer(&request.headers).is_some_and(|token| self.is_good(&token)) => Ok(()),
            _ => Err("Bad credentials"),
        }
    }

    /// Whether this is a token with which one may ask and fetch.
    pub fn is_good(&self, token: &str) -> bool {
        let of_app =
            |app: &App| app.issued.iter().any(|(issued, _)| issued == token) && !app.revoked.contains(token);
        self.tokens.contains(token) || self.app.as_ref().is_some_and(of_app)
    }

    fn installation(&self, base: &str, repository: &str) -> Answer {
        let Some(app) = &self.app else { return not_found() };
        if !app.repositories.iter().any(|known| known == repository) {
            return not_found();
        }
        let url = format!("{base}/app/installations/{INSTALLATION}");
        let id = |text: &str| text.parse::<u64>().expect("a number of ours");
        let installation = json!({
            "id": id(INSTALLATION),
            "account": user("acme"),
            "repository_selection": "selected",
            "access_tokens_url": format!("{url}/access_tokens"),
            "repositories_url": format!("{base}/installation/repositories"),
            "html_url": format!("https://github.com/settings/installations/{INSTALLATION}"),
            "app_id": id(&app.id),
            "app_slug": "durhack-deployer",
            "target_id": 1,
            "target_type": "Organization",
            "permissions": app.permissions,
            "events": [],
            "created_at": now(),
            "updated_at": now(),
            "single_file_name": null,
            "suspended_by": app.is_suspended.then(|| user("acme")),
            "suspended_at": app.is_suspended.then(now),
        });
        Answer::new(200, installation)
    }

    fn access_token(&mut self, body: &[u8]) -> Answer {
        let Some(app) = &mut self.app else { return not_found() };
        if app.is_suspended {
            return problem(403, "This installation has been suspended");
        }
        let asked: Value = serde_json::from_slice(body).unwrap_or_default();
        let names: Vec<&str> =
            asked["repositories"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let of_name = |known: &&String| known.rsplit('/').next().is_some_and(|name| names == [name]);
        let Some(repository) = app.repositories.iter().find(of_name).cloned() else {
            return problem(422, "There is at least one repository that does not exist");
        };
        let token = format!("ghs_installation-token-number-{}", app.issued.len() + 1);
        app.issued.push((token.clone(), repository));
        let expires_at = jiff::Timestamp::from_second(unix_seconds() + app.lifetime_seconds)
            .expect("a time of these days");
        let answer = json!({
            "token": token,
            "expires_at": expires_at.to_string(),
            "permissions": app.permissions,
            "repository_selection": "selected",
        });
        Answer::new(201, answer)
    }
}

impl App {
    /// As GitHub documents it: RS256 by the App's key, issued by its id, not in the future, for ten minutes at most.
    fn verify(&self, headers: &HeaderMap) -> Result<(), &'static str> {
        let statement = bearer(headers).ok_or(NO_STATEMENT)?;
        let (signed, signature) = statement.rsplit_once('.').ok_or(NO_STATEMENT)?;
        let (header, claims) = signed.split_once('.').ok_or(NO_STATEMENT)?;
        let decoded = |part: &str| -> Option<Value> {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
        };
        let (Some(header), Some(claims)) = (decoded(header), decoded(claims)) else {
            return Err(NO_STATEMENT);
        };
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.public_key);
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
        if header["alg"] != "RS256" || key.verify(signed.as_bytes(), &signature).is_err() {
            return Err(NO_STATEMENT);
        }
        let (issued, expires) =
            (claims["iat"].as_i64().unwrap_or(i64::MAX), claims["exp"].as_i64().unwrap_or(0));
        let now = unix_seconds();
        if claims["iss"] != *self.id || issued > now {
            return Err(
                "'Issuer' claim ('iss') must be an Integer, 'Issued at' claim ('iat') must be in the past",
            );
        }
        if expires <= now || expires > now + STATEMENT_SECONDS_MAX {
            return Err("'Expiration time' claim ('exp') is too far in the future");
        }
        Ok(())
    }
}

/// The token of an `Authorization` header, of whichever of the three kinds.
pub fn bearer(headers: &HeaderMap) -> Option<String> {
    let given = headers.get("authorization")?.to_str().ok()?;
    if let Some(basic) = given.strip_prefix("Basic ") {
        let decoded = String::from_utf8(STANDARD.decode(basic).ok()?).ok()?;
        return decoded.strip_prefix("x-access-token:").map(str::to_owned);
    }
    given.strip_prefix("Bearer ").or_else(|| given.strip_prefix("token ")).map(str::to_owned)
}
