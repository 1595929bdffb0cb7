//! `POST /github-webhook`: prove who called, write the delivery to disk, answer.
//!
//! The order of the checks is the contract: method, address, length, signature over the raw bytes, and only then is
//! anything parsed: once, into what is spooled ([`crate::github::webhook_event`]). A 2xx means that the entry and its directory are fsynced. What was signed
//! correctly but cannot be read is kept as well (dispatch gives it its verdict and sets it aside) and answered 400.
//!
//! Absent on the way of a delivery, on purpose: the database, GitHub, git, and any decision about what it leads to. (The record
//! is only read for [`super::pages`].)

use super::body::{BodyError, Budget, ReceivedBody};
use super::callers::{CallerSlot, Callers, TurnedAway};
use super::client_address::client_address;
use super::networks::{Admission, Networks};
use super::signature::{Signature, SignatureRefusal};
use crate::base::names::{DeliveryId, RepositoryName};
use crate::config::{Config, Intake};
use crate::github::webhook_event::{Reading, Unreadable};
use crate::queue::entry::{EntrySource, Header, trimmed};
use crate::store::Store;
use ::http::{HeaderMap, Method, Request, Response, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use serde_json::json;
use spool::{AppendError, Appended, Spool};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Where GitHub delivers to.
const HOOK: &str = "/github-webhook";

/// Read the body of a request that will be refused this far, so that a caller that is still sending sees the answer
/// instead of a reset connection.
const REFUSED_BODY_BYTES_MAX: usize = 64 * 1024;

/// Of what was signed and cannot be read, so much is kept.
const MALFORMED_KEPT_BYTES_MAX: usize = 64 * 1024;

/// What the service answers with.
pub type HttpResponse = Response<Full<Bytes>>;

/// The whole HTTP surface.
pub struct Webhook {
    settings: Intake,
    networks: Networks,
    page_networks: Networks,
    origin: String,
    instance: Option<String>,
    spool: Spool,
    store: Store,
    bodies: Budget,
    /// Held by whoever decodes a form.
    decoding: tokio::sync::Mutex<()>,
}

/// A refusal: its status and the sentence that says why.
struct Refused(StatusCode, String);

impl Webhook {
    /// Everything it needs for the life of the process.
    pub fn new(
        config: &Config,
        networks: Networks,
        page_networks: Networks,
        spool: Spool,
        store: Store,
    ) -> Self {
        Self {
            settings: config.intake.clone(),
            networks,
            page_networks,
            origin: config.origin.clone(),
            instance: config.instance.clone(),
            spool,
            store,
            bodies: Budget::new(config.intake.body_bytes_max),
            decoding: tokio::sync::Mutex::default(),
        }
    }

    /// The settings that the connection loop needs too.
    pub fn settings(&self) -> &Intake {
        &self.settings
    }

    /// A place among the callers for a connection that was just accepted.
    pub fn place(&self, callers: &Arc<Callers>, peer: IpAddr) -> Result<CallerSlot, TurnedAway> {
        callers.admit(peer, &self.networks, &self.page_networks)
    }

    /// Counts a request that comes by a proxy among those of its caller; an answer where he has too many.
    pub fn count(&self, place: &CallerSlot, peer: IpAddr, headers: &HeaderMap) -> Option<HttpResponse> {
        // What a header says that cannot be read is refused later; until then the peer is the caller.
        let client = self.client(peer, headers).unwrap_or(peer);
        let reason = place.heard_of(client, &self.networks).err()?;
        if place.may_complain() {
            tracing::warn!(%peer, %client, reason = reason.as_str(), "turned a caller away (said once a minute at most)");
        }
        let mut answer = refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            "There are too many connections from this address; deliver it again",
        );
        answer.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
        Some(answer)
    }

    /// Answers one request; `peer` is None where the daemon asks itself. Never fails: every failure is an answer.
    pub async fn answer<B>(&self, peer: Option<SocketAddr>, request: Request<B>) -> HttpResponse
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        // A slash at the end of a hook's address is easily added, and means nothing.
        let is_hook = matches!(request.uri().path(), HOOK | "/github-webhook/");
        if let (&Method::POST, true, Some(peer)) = (request.method(), is_hook, peer) {
            return match self.receive(peer, request).await {
                Ok(answer) => answer,
                Err(Refused(status, description)) => refusal(status, &description),
            };
        }
        if let Some(Err(Refused(status, description))) =
            peer.map(|peer| self.admit_visitor(peer.ip(), request.headers()))
        {
            return refusal(status, &description);
        }
        let method = request.method().clone();
        match (request.uri().path(), &method) {
            ("/", &Method::GET | &Method::HEAD) => self.root(),
            ("/", &Method::OPTIONS) => options("GET, HEAD, OPTIONS"),
            ("/", _) => method_not_allowed("GET, HEAD, OPTIONS"),
            (HOOK, &Method::OPTIONS) => options("POST, OPTIONS"),
            (HOOK, _) => method_not_allowed("POST, OPTIONS"),
            (path, &Method::GET | &Method::HEAD)
                if path.starts_with("/runs/") || path.starts_with("/deliveries/") =>
            {
                self.page(path).await
            }
            (path, &Method::GET | &Method::HEAD) => {
                refusal(StatusCode::NOT_FOUND, &format!("There is nothing at {path}"))
            }
            // A hook with a mistake in its address: whoever set it up looks in GitHub's list of deliveries, or in the log.
            (path, &Method::POST) if request.headers().contains_key("x-github-event") => {
                tracing::warn!(path, "refused: webhooks are received at {HOOK}");
                refusal(StatusCode::NOT_FOUND, &format!("Webhooks are received at {HOOK}"))
            }
            _ => method_not_allowed("GET, HEAD"),
        }
    }

    fn root(&self) -> HttpResponse {
        json_answer(
            StatusCode::OK,
            &json!({ "instance": self.instance, "message": "OK", "service": "durhack-deployer", "status": 200 }),
        )
    }

    async fn page(&self, path: &str) -> HttpResponse {
        // Whom the operator has let in knows the repository; whoever has merely found a link may not.
        let is_stranger = !matches!(self.page_networks, Networks::Only(_));
        match super::pages::page(&self.store, path, is_stranger).await {
            Ok(Some(page)) => {
                let mut answer = Response::new(Full::new(Bytes::from(page)));
                let headers = answer.headers_mut();
                for (name, value) in [
                    (header::CONTENT_TYPE, "text/html; charset=utf-8"),
                    (header::CONTENT_SECURITY_POLICY, super::pages::CONTENT_SECURITY_POLICY),
                    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
                    (header::REFERRER_POLICY, "no-referrer"),
                    (header::CACHE_CONTROL, "no-store"),
                ] {
                    headers.insert(name, header::HeaderValue::from_static(value));
                }
                answer
            }
            Ok(None) => refusal(StatusCode::NOT_FOUND, "There is nothing here, or not yet"),
            Err(error) => {
                tracing::warn!(%error, "a page cannot be shown");
                refusal(StatusCode::SERVICE_UNAVAILABLE, "The record cannot be read now")
            }
        }
    }

    async fn receive<B>(&self, peer: SocketAddr, request: Request<B>) -> Result<HttpResponse, Refused>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        let (parts, body) = request.into_parts();
        let client = match self.admit(peer.ip(), &parts.headers) {
            Ok(client) => client,
            Err(refused) => return Err(drained(refused, body).await),
        };
        let announced = announced_length(&parts.headers);
        if announced.unwrap_or(0) > self.settings.body_bytes_max {
            return Err(too_large(self.settings.body_bytes_max));
        }
        let signature = match Signature::from_headers(header_values(&parts.headers, "x-hub-signature-256")) {
            Ok(signature) => signature,
            // No body can make this good: none is waited for.
            Err(refusal) => return Err(drained(unsigned(refusal), body).await),
        };
        let received =
            tokio::time::timeout(self.settings.body_timeout, self.collect(client, body, announced))
                .await
                .map_err(|_| body_too_slow(self.settings.body_timeout))??;
        let signer = self.signer(signature, received.bytes())?;
        let form = is_form(&parts.headers)?;
        let id = delivery_id(&parts.headers)?;
        let event = event_type(&parts.headers)?;
        let body = match form {
            // One after the other: while it is decoded it is there twice.
            true => {
                let _decoding = self.decoding.lock().await;
                Content::of_form(received)
            }
            false => Content::Body(received),
        };
        self.append_to_spool(client, id, event, &signer, body).await
    }

    /// Where the request comes from, and whether it may.
    fn admit(&self, peer: IpAddr, headers: &HeaderMap) -> Result<IpAddr, Refused> {
        let client = self.client(peer, headers)?;
        match self.networks.admit(client) {
            Admission::Allowed => Ok(client),
            Admission::Refused => {
                tracing::warn!(%client, "refused: the address is in none of the source networks");
                let what =
                    format!("Remote IP address {client} is not recognised as a GitHub 'hooks' IP address");
                Err(Refused(StatusCode::FORBIDDEN, what))
            }
            Admission::Unknown => Err(Refused(
                StatusCode::SERVICE_UNAVAILABLE,
                "GitHub's networks are not known yet; the operator can set `source_networks`".into(),
            )),
        }
    }

    /// Whether whoever asks for a page may.
    fn admit_visitor(&self, peer: IpAddr, headers: &HeaderMap) -> Result<(), Refused> {
        if matches!(self.page_networks, Networks::Any) {
            return Ok(());
        }
        let client = self.client(peer, headers)?;
        match self.page_networks.admit(client) {
            Admission::Allowed => Ok(()),
            Admission::Refused | Admission::Unknown => Err(Refused(
                StatusCode::FORBIDDEN,
                format!("{client} may not look at pages here (`page_networks`)"),
            )),
        }
    }

    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Result<IpAddr, Refused> {
        client_address(peer, header_values(headers, "x-forwarded-for"), &self.settings.proxies)
            .ok_or_else(|| Refused(StatusCode::FORBIDDEN, "The X-Forwarded-For header cannot be read".into()))
    }

    /// The whole body, within the limits of one and of all together.
    async fn collect<B>(
        &self,
        client: IpAddr,
        mut body: B,
        announced: Option<usize>,
    ) -> Result<ReceivedBody, Refused>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        let mut received = self.bodies.receive(client, announced);
        while let Some(frame) = body.frame().await {
            let frame = frame
                .map_err(|error| Refused(StatusCode::BAD_REQUEST, format!("The body broke off: {error}")))?;
            // Trailers say nothing here.
            let Ok(piece) = frame.into_data() else { continue };
            received.append(&piece).map_err(|error| match error {
                BodyError::TooLarge(bytes_max) => too_large(bytes_max),
                BodyError::TooManyPieces => {
                    Refused(StatusCode::BAD_REQUEST, "The body comes in too many and too small pieces".into())
                }
                BodyError::NoRoom => Refused(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "Too many large bodies at once; deliver it again".into(),
                ),
                BodyError::NoRoomForAddress => Refused(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "Too many large bodies from this address at once; deliver it again".into(),
                ),
                BodyError::NoMemory(error) => {
                    tracing::error!(%error, "no memory for a body");
                    Refused(
                        StatusCode::SERVICE_UNAVAILABLE,
                        "There is no memory for it; deliver it again".into(),
                    )
                }
            })?;
        }
        Ok(received)
    }

    /// Which secret signed the body. Every secret is tried, whichever fits, so that the time taken says nothing.
    fn signer(&self, signature: Signature, body: &[u8]) -> Result<Signer, Refused> {
        let mut signer = Signer::default();
        for secret in &self.settings.secrets {
            signer.instance |= signature.is_by(secret, &[body]);
        }
        for (repository, secrets) in &self.settings.repository_secrets {
            for secret in secrets {
                if signature.is_by(secret, &[body]) {
                    signer.repositories.push(repository.clone());
                }
            }
        }
        if !signer.instance && signer.repositories.is_empty() {
            tracing::warn!("refused: the signature fits none of the secrets");
            return Err(wrong_signature());
        }
        Ok(signer)
    }

    /// Checks that the signer may speak for the repository, writes the entry, and answers.
    async fn append_to_spool(
        &self,
        client: IpAddr,
        id: DeliveryId,
        event: String,
        signer: &Signer,
        body: Content,
    ) -> Result<HttpResponse, Refused> {
        let read = Reading::of(&event, trimmed(body.bytes()));
        let repository = match &read {
            Ok(reading) => reading.repository.as_deref(),
            Err(unreadable) => unreadable.repository.as_deref(),
        };
        if !signer.may_speak_for(repository, &self.settings) {
            tracing::warn!(repository, "refused: the signature is not by a secret of this repository");
            return Err(wrong_signature());
        }
        let reason = read.as_ref().err().map(Unreadable::to_string);
        let (is_object, reading) = match read {
            Ok(reading) => (true, reading),
            Err(unreadable) => (unreadable.is_object, unreadable.reading()),
        };
        let kept = if is_object { trimmed(body.bytes()) } else { body.bytes() };
        let mut header = Header {
            reading: Some(reading),
            ..Header::new(id.clone(), &event, EntrySource::Github, client.to_string(), kept)
        };
        // What leads to nothing is kept so that somebody can look at it, and no longer than one would.
        let is_cut = header.is_malformed() && kept.len() > MALFORMED_KEPT_BYTES_MAX;
        if is_cut {
            header.cut(kept, MALFORMED_KEPT_BYTES_MAX);
        }
        let spool = self.spool.clone();
        let appended = tokio::task::spawn_blocking(move || {
            crate::failpoint!("delivery-read");
            let id = header.spool_id();
            if is_cut || !is_object {
                let kept = if is_object { trimmed(body.bytes()) } else { body.bytes() };
                let entry = header.with_malformed_body(&kept[..kept.len().min(MALFORMED_KEPT_BYTES_MAX)]);
                drop(body);
                return spool.append(&id, &[&entry]);
            }
            let (start, end) = header.around_payload();
            spool.append(&id, &[&start, trimmed(body.bytes()), end])
        })
        .await
        .map_err(|_| Refused(StatusCode::SERVICE_UNAVAILABLE, "The delivery could not be stored".into()))?;
        self.acknowledge(&id, &event, appended, reason)
    }

    fn acknowledge(
        &self,
        id: &DeliveryId,
        event: &str,
        appended: Result<Appended, AppendError>,
        unreadable: Option<String>,
    ) -> Result<HttpResponse, Refused> {
        match appended {
            Ok(appended) => {
                let duplicate = matches!(appended, Appended::Duplicate(_));
                tracing::info!(delivery = %id, event, duplicate, "stored");
            }
            Err(error) => {
                tracing::error!(delivery = %id, %error, "cannot store the delivery");
                return Err(Refused(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "The delivery could not be stored".into(),
                ));
            }
        }
        crate::failpoint!("delivery-stored");
        if let Some(reason) = unreadable {
            return Err(Refused(StatusCode::BAD_REQUEST, format!("The payload cannot be read: {reason}")));
        }
        let url = format!("{}/deliveries/{id}", self.origin);
        Ok(json_answer(StatusCode::ACCEPTED, &json!({ "delivery": id, "url": url })))
    }
}

/// The bytes of a payload, where they lie.
enum Content {
    /// The body is the payload.
    Body(ReceivedBody),
    /// It was a field of a form, which holds its share of the budget for it.
    Field { bytes: Bytes, _share: ReceivedBody },
}

impl Content {
    /// A form without that field is taken as it is: then it is no payload.
    fn of_form(mut form: ReceivedBody) -> Self {
        match payload_field(form.bytes()) {
            Some(field) => {
                form.give_back_memory();
                Self::Field { bytes: field, _share: form }
            }
            None => Self::Body(form),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Body(body) => body.bytes(),
            Self::Field { bytes, .. } => bytes,
        }
    }
}

/// For whom the signature was valid.
#[derive(Default)]
struct Signer {
    instance: bool,
    repositories: Vec<RepositoryName>,
}

impl Signer {
    /// A repository with secrets of its own is spoken for by these only.
    fn may_speak_for(&self, repository: Option<&str>, settings: &Intake) -> bool {
        let own = repository.and_then(|name| {
            settings.repository_secrets.keys().find(|own| own.as_str().eq_ignore_ascii_case(name))
        });
        match own {
            Some(own) => self.repositories.contains(own),
            None => self.instance || (repository.is_none() && !self.repositories.is_empty()),
        }
    }
}

fn header_values<'a>(headers: &'a HeaderMap, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
    headers.get_all(name).iter().map(header::HeaderValue::as_bytes)
}

fn announced_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Whether the payload is form-encoded. GitHub sends JSON or a form; anything else is refused.
fn is_form(headers: &HeaderMap) -> Result<bool, Refused> {
    // GitHub never compresses, and nothing here unpacks what others have packed.
    let is_encoded = |value: &header::HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get_all(header::CONTENT_ENCODING).iter().any(is_encoded) {
        return Err(Refused(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "The body must not be encoded (Content-Encoding)".into(),
        ));
    }
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json" => Ok(false),
        "application/x-www-form-urlencoded" => Ok(true),
        other if other.starts_with("application/") && other.ends_with("+json") => Ok(false),
        _ => Err(Refused(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "The content type must be application/json or application/x-www-form-urlencoded".into(),
        )),
    }
}

/// The `payload` field of a form.
fn payload_field(body: &[u8]) -> Option<Bytes> {
    let (_, value) = form_urlencoded::parse(body).find(|(name, _)| name == "payload")?;
    Some(Bytes::from(value.into_owned().into_bytes()))
}

/// The delivery's GUID; one of our own where the header is missing.
fn delivery_id(headers: &HeaderMap) -> Result<DeliveryId, Refused> {
    let Some(value) = headers.get("x-github-delivery") else { return Ok(DeliveryId::generate()) };
    DeliveryId::parse(value.to_str().unwrap_or_default())
        .map_err(|_| Refused(StatusCode::BAD_REQUEST, "X-GitHub-Delivery is not a GUID".into()))
}

/// The event type; empty where the header is missing.
fn event_type(headers: &HeaderMap) -> Result<String, Refused> {
    let Some(value) = headers.get("x-github-event") else { return Ok(String::new()) };
    let text = value.to_str().unwrap_or_default();
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let plain = (1..=64).contains(&text.len()) && text.bytes().all(known);
    plain
        .then(|| text.to_owned())
        .ok_or_else(|| Refused(StatusCode::BAD_REQUEST, "X-GitHub-Event is not an event name".into()))
}

fn unsigned(refusal: SignatureRefusal) -> Refused {
    match refusal {
        SignatureRefusal::Missing => {
            tracing::warn!("refused: no signature (hint: the webhook's settings at GitHub have no secret)");
            let description =
                "X-Hub-Signature-256 header is missing: set the secret in the webhook's settings";
            Refused(StatusCode::BAD_REQUEST, description.into())
        }
        SignatureRefusal::Wrong => wrong_signature(),
    }
}

fn wrong_signature() -> Refused {
    Refused(StatusCode::FORBIDDEN, "X-Hub-Signature-256 header didn't match expected signature".into())
}

fn too_large(body_bytes_max: usize) -> Refused {
    Refused(StatusCode::PAYLOAD_TOO_LARGE, format!("The body is larger than {body_bytes_max} bytes"))
}

fn body_too_slow(limit: Duration) -> Refused {
    Refused(StatusCode::REQUEST_TIMEOUT, format!("The body took longer than {} s", limit.as_secs()))
}

/// Reads a little of a body that nobody wants; see [`REFUSED_BODY_BYTES_MAX`].
async fn drained<B: Body<Data = Bytes> + Unpin>(refused: Refused, mut body: B) -> Refused {
    let mut seen = 0;
    let drain = async {
        while let Some(Ok(frame)) = body.frame().await {
            seen += frame.data_ref().map_or(0, Bytes::len);
            if seen > REFUSED_BODY_BYTES_MAX {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(1), drain).await;
    refused
}

fn json_answer(status: StatusCode, body: &serde_json::Value) -> HttpResponse {
    let mut answer = Response::new(Full::new(Bytes::from(body.to_string())));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, header::HeaderValue::from_static("nosniff"));
    answer
}

fn refusal(status: StatusCode, description: &str) -> HttpResponse {
    let message = status.canonical_reason().unwrap_or("Error");
    let mut answer = json_answer(
        status,
        &json!({ "status": status.as_u16(), "message": message, "description": description }),
    );
    if status == StatusCode::PAYLOAD_TOO_LARGE || status == StatusCode::REQUEST_TIMEOUT {
        answer.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    }
    answer
}

fn method_not_allowed(allow: &'static str) -> HttpResponse {
    let mut answer = refusal(StatusCode::METHOD_NOT_ALLOWED, &format!("Allowed here: {allow}"));
    answer.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static(allow));
    answer
}

fn options(allow: &'static str) -> HttpResponse {
    let mut answer = Response::new(Full::default());
    answer.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static(allow));
    answer
}
