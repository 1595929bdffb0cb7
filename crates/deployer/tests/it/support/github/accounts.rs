//! Who may ask the fake GitHub: tokens, and a GitHub App, whose statements are verified as the real one does.
//!
//! Also what `/meta` says of ssh, and, where a test wants it, an answer of `/meta` that is nonsense.

use super::{GitHub, TOKEN, problem, unix_seconds};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::collections::HashSet;

/// GitHub refuses statements that are good for longer.
const STATEMENT_SECONDS_MAX: i64 = 600;

/// See the module.
#[derive(Debug)]
pub struct Accounts {
    /// Beside those of the App.
    tokens: HashSet<String>,
    app: Option<App>,
    /// For `/meta`.
    pub ssh_keys: Vec<String>,
    meta_answer: Option<Vec<u8>>,
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
}

impl Default for Accounts {
    fn default() -> Self {
        Self { tokens: [TOKEN.to_owned()].into(), app: None, ssh_keys: Vec::new(), meta_answer: None }
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

    /// The App's tokens so far, and for which repository each is.
    pub fn app_tokens(&self) -> Vec<(String, String)> {
        self.known().accounts.app.as_ref().map_or_else(Vec::new, |app| app.issued.clone())
    }

    /// The host keys in `/meta`, `TYPE BASE64`.
    pub fn set_ssh_keys(&self, keys: &[&str]) {
        self.known().accounts.ssh_keys = keys.iter().map(|&key| key.to_owned()).collect();
        self.known().meta_version += 1;
    }

    /// From now on `/meta` answers with these bytes, and 200; None: with the truth again.
    pub fn set_meta_answer(&self, answer: Option<&[u8]>) {
        self.known().accounts.meta_answer = answer.map(<[u8]>::to_vec);
    }
}

impl Accounts {
    /// What belongs here; None: it is another's to answer.
    pub fn answer(
        &mut self,
        method: &Method,
        segments: &[&str],
        headers: &HeaderMap,
        body: &[u8],
    ) -> Option<Response> {
        match (method.as_str(), segments) {
            ("GET", ["meta"]) => self.meta_answer.clone().map(IntoResponse::into_response),
            ("GET", ["repos", owner, name, "installation"]) => {
                Some(self.installation(&format!("{owner}/{name}"), headers))
            }
            ("POST", ["app", "installations", "77", "access_tokens"]) => {
                Some(self.access_token(headers, body))
            }
            _ => None,
        }
    }

    /// Whether a request carries a good token.
    pub fn accept(&self, headers: &HeaderMap) -> bool {
        bearer(headers).is_some_and(|token| self.is_good(&token))
    }

    /// Whether this is a token with which one may ask and fetch.
    pub fn is_good(&self, token: &str) -> bool {
        let of_app =
            |app: &App| app.issued.iter().any(|(issued, _)| issued == token) && !app.revoked.contains(token);
        self.tokens.contains(token) || self.app.as_ref().is_some_and(of_app)
    }

    fn installation(&self, repository: &str, headers: &HeaderMap) -> Response {
        let Some(app) = &self.app else { return problem(StatusCode::NOT_FOUND, "Not Found") };
        if let Err(message) = app.verify(headers) {
            return problem(StatusCode::UNAUTHORIZED, message);
        }
        match app.repositories.iter().any(|known| known == repository) {
            true => axum::Json(json!({ "id": 77, "app_id": 1 })).into_response(),
            false => problem(StatusCode::NOT_FOUND, "Not Found"),
        }
    }

    fn access_token(&mut self, headers: &HeaderMap, body: &[u8]) -> Response {
        let Some(app) = &mut self.app else { return problem(StatusCode::NOT_FOUND, "Not Found") };
        if let Err(message) = app.verify(headers) {
            return problem(StatusCode::UNAUTHORIZED, message);
        }
        let asked: Value = serde_json::from_slice(body).unwrap_or_default();
        let names: Vec<&str> =
            asked["repositories"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let of_name = |known: &&String| known.rsplit('/').next().is_some_and(|name| names == [name]);
        let Some(repository) = app.repositories.iter().find(of_name).cloned() else {
            return problem(
                StatusCode::UNPROCESSABLE_ENTITY,
                "There is at least one repository that does not exist",
            );
        };
        let token = format!("ghs_installation-token-number-{}", app.issued.len() + 1);
        app.issued.push((token.clone(), repository));
        let expires_at = jiff::Timestamp::from_second(unix_seconds() + app.lifetime_seconds)
            .expect("a time of these days");
        let answer = json!({ "token": token, "expires_at": expires_at.to_string(), "permissions": {} });
        (StatusCode::CREATED, axum::Json(answer)).into_response()
    }
}

impl App {
    /// As GitHub documents it: RS256 by the App's key, issued by its id, not in the future, for ten minutes at most.
    fn verify(&self, headers: &HeaderMap) -> Result<(), &'static str> {
        let statement = bearer(headers).ok_or("A JSON web token could not be decoded")?;
        let (signed, signature) =
            statement.rsplit_once('.').ok_or("A JSON web token could not be decoded")?;
        let (header, claims) = signed.split_once('.').ok_or("A JSON web token could not be decoded")?;
        let decoded = |part: &str| -> Option<Value> {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
        };
        let (Some(header), Some(claims)) = (decoded(header), decoded(claims)) else {
            return Err("A JSON web token could not be decoded");
        };
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.public_key);
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
        if header["alg"] != "RS256" || key.verify(signed.as_bytes(), &signature).is_err() {
            return Err("A JSON web token could not be decoded");
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
