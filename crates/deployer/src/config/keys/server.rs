//! What the HTTP server listens on, whom it believes, and what a caller of it may use up.

use super::TEXTS;
use crate::config::keys::Default::Value;
use crate::config::keys::KeyKind::{Duration, Integer, Size, Text};
use crate::config::keys::{Key, Section};

/// The keys of `[listen]`, in the order in which the reference has them.
pub static LISTEN: Section = Section {
    meaning: "Where the HTTP server listens.",
    keys: &[
        Key::new("host", Text, Value(r#""localhost""#), r#""::""#, "Host name or address."),
        Key::new(
            "port",
            Integer { min: 0, max: 65535 },
            Value("3400"),
            "3400",
            "TCP port; 0 takes a free one.",
        ),
    ],
};

/// The keys of `[proxy_fix]`, in the order in which the reference has them.
pub static PROXY_FIX: Section = Section {
    meaning: "Which reverse proxies stand in front, and so which entries of `X-Forwarded-For` are believed.",
    keys: &[
        Key::new(
            "x_for",
            Integer { min: 0, max: 16 },
            Value("0"),
            "1",
            "How many proxies add an entry: the client is that many entries from the right. 0: the peer is the client. Whoever connects passes for a proxy.",
        ),
        Key::new(
            "x_proto",
            Integer { min: 0, max: 16 },
            Value("0"),
            "1",
            "Accepted for the sake of existing configurations; without effect, because `origin` says how we are reached.",
        ),
        Key::new(
            "trusted_proxies",
            TEXTS,
            Value("[]"),
            r#"["127.0.0.0/8", "::1/128"]"#,
            "Networks of the proxies: the client is the right-most entry that is in none of them. Instead of `x_for`, and better: a peer outside of them is the client whatever it writes.",
        ),
    ],
};

/// The keys of `[limits]`, in the order in which the reference has them.
pub static LIMITS: Section = Section {
    meaning: "What one caller may use up.",
    keys: &[
        Key::new(
            "body_max",
            Size,
            Value(r#""25MiB""#),
            r#""25MiB""#,
            "Largest accepted body of a webhook. GitHub sends at most 25 MiB.",
        ),
        Key::new(
            "header_timeout",
            Duration,
            Value(r#""10s""#),
            r#""10s""#,
            "From accepting a connection, or its last answer, to the end of the request's headers.",
        ),
        Key::new(
            "body_timeout",
            Duration,
            Value(r#""30s""#),
            r#""30s""#,
            "From the end of the headers to the end of the body.",
        ),
        Key::new(
            "connections_max",
            Integer { min: 1, max: 65536 },
            Value("256"),
            "256",
            "Connections at once; further ones wait in the kernel's backlog.",
        ),
        Key::new(
            "connections_per_address_max",
            Integer { min: 1, max: 65536 },
            Value("128"),
            "128",
            "Connections of one address at once (of IPv6: of one /64); behind a proxy of `[proxy_fix]`, of the address that it names. Further ones are closed, or answered 503.",
        ),
    ],
};
