//! What goes over the wire, as the routes see it: a request, an answer, GitHub's pages of a list, and its forms of an error.

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// A request as it came.
#[derive(Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// An answer; the body is null where there is none.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Value,
}

impl Request {
    pub fn segments(&self) -> Vec<&str> {
        self.path.trim_start_matches('/').split('/').collect()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A page of a list, as `page` and `per_page` ask, with a link to the next.
    pub fn page<T: serde::Serialize>(&self, base: &str, all: &[T]) -> Answer {
        let number = self.query("page").and_then(|page| page.parse().ok()).unwrap_or(1_usize).max(1);
        self.slice(base, all, (number - 1) * self.per_page(), &format!("page={}", number + 1))
    }

    /// The same where GitHub counts by a cursor.
    pub fn page_by_cursor<T: serde::Serialize>(&self, base: &str, all: &[T]) -> Answer {
        let start = self.query("cursor").and_then(|cursor| cursor.strip_prefix("v1_")?.parse().ok());
        let start: usize = start.unwrap_or(0);
        self.slice(base, all, start, &format!("cursor=v1_{}", start + self.per_page()))
    }

    fn per_page(&self) -> usize {
        self.query("per_page").and_then(|count| count.parse().ok()).unwrap_or(30_usize).clamp(1, 100)
    }

    fn slice<T: serde::Serialize>(&self, base: &str, all: &[T], start: usize, next: &str) -> Answer {
        let per_page = self.per_page();
        let entries: Vec<&T> = all.iter().skip(start).take(per_page).collect();
        let answer = Answer::new(200, json!(entries));
        if start + per_page >= all.len() {
            return answer;
        }
        let others = self.query.iter().filter(|(name, _)| name != "page" && name != "cursor");
        let others: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(others).finish();
        let url = format!("{base}{}?{others}&{next}", self.path);
        answer.header("link", format!("<{url}>; rel=\"next\", <{url}>; rel=\"last\""))
    }
}

impl Answer {
    pub fn new(status: u16, body: Value) -> Self {
        Self { status, headers: Vec::new(), body }
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).expect("a status of ours");
        let mut response = match self.body {
            Value::Null => status.into_response(),
            body => (status, axum::Json(body)).into_response(),
        };
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value.parse().expect("a header of ours"));
        }
        response
    }
}

/// GitHub's form of an error.
pub fn problem(status: u16, message: &str) -> Answer {
    let body = json!({
        "message": message,
        "documentation_url": "https://docs.github.com/rest",
        "status": status.to_string(),
    });
    Answer::new(status, body)
}

pub fn not_found() -> Answer {
    problem(404, "Not Found")
}

/// GitHub's form of what its validation says.
pub fn validation_failed(resource: &str, message: &str) -> Answer {
    let mut answer = problem(422, "Validation Failed");
    answer.body["errors"] = json!([{ "resource": resource, "code": "custom", "message": message }]);
    answer
}

/// What GitHub says of whoever did something.
pub fn user(login: &str) -> Value {
    let url = format!("https://api.github.com/users/{login}");
    json!({
        "login": login, "id": 1, "node_id": "U_1", "avatar_url": "https://avatars.githubusercontent.com/u/1",
        "gravatar_id": "", "url": url, "html_url": format!("https://github.com/{login}"),
        "followers_url": url, "following_url": url, "gists_url": url, "starred_url": url,
        "subscriptions_url": url, "organizations_url": url, "repos_url": url, "events_url": url,
        "received_events_url": url, "type": "Bot", "site_admin": false,
    })
}

/// Whether a number of ours is what a path says.
pub fn is_number(number: &Value, text: &str) -> bool {
    number.as_u64().is_some_and(|number| text.parse() == Ok(number))
}
