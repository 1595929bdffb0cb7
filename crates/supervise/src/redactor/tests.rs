use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::*;

/// What comes out when `input` is written in pieces of these sizes, over and over.
fn redacted(redactor: &Redactor, input: &[u8], sizes: &[usize]) -> Vec<u8> {
    let mut output = Vec::new();
    let mut redaction = redactor.begin();
    let mut rest = input;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, later) = rest.split_at((*size).clamp(1, rest.len()));
        redaction.push(piece, &mut output);
        rest = later;
    }
    redaction.finish(&mut output);
    output
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// By an encoder that is not the one under test.
fn percent_encoded(value: &str) -> String {
    value.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn every_form_is_taken_out_whole() {
    let secret = "p@ss w'rd/\"ü\\?=";
    let redactor = Redactor::new([secret]);
    for form in [
        secret.to_owned(),
        STANDARD.encode(secret),
        STANDARD_NO_PAD.encode(secret),
        URL_SAFE.encode(secret),
        URL_SAFE_NO_PAD.encode(secret),
        hex::encode(secret),
        hex::encode_upper(secret),
        percent_encoded(secret),
        "p%40ss%20w%27rd%2F%22%C3%BC%5C%3F%3D".into(),
        "p%40ss%20w%27rd%2f%22%c3%bc%5c%3f%3d".into(),
        "p%40ss%20w'rd%2F%22%C3%BC%5C%3F%3D".into(),
        "p%40ss+w%27rd%2F%22%C3%BC%5C%3F%3D".into(),
        "p%40ss%20w%27rd/%22%C3%BC%5C%3F%3D".into(),
        r#"p@ss w'rd/\"ü\\?="#.into(),
        r#"p@ss w'\''rd/"ü\?="#.into(),
    ] {
        assert_eq!(redactor.redact(&format!("<{form}>")), "<[redacted]>", "{form}");
    }
}

#[test]
fn base64_of_a_larger_text_shows_nothing_of_the_secret_in_it() {
    let secret = "correct-horse-battery";
    let redactor = Redactor::new([secret]);
    for before in ["", "u", "us", "use", "user:"] {
        for after in ["", "@", "@h", "@ho"] {
            let text = format!("{before}{secret}{after}");
            for encoded in [STANDARD.encode(&text), URL_SAFE_NO_PAD.encode(&text)] {
                let shown = redactor.redact(&encoded);
                assert!(shown.contains(REDACTED), "{text}: {shown}");
                let left = shown.replace(REDACTED, "");
                // One character of base64 on each side may be shared with a neighbour.
                let own = encoded.len() - STANDARD_NO_PAD.encode(secret).len();
                assert!(left.len() <= own + 2, "{text}: {shown}");
            }
        }
    }
}

#[test]
fn wrapped_base64_is_taken_out_line_by_line() {
    let secret = "0123456789abcdefghijklmnopqrstuvwxyz".repeat(5);
    let encoded = STANDARD.encode(&secret);
    for columns in [76, 64] {
        let wrapped: Vec<&str> =
            encoded.as_bytes().chunks(columns).map(|line| str::from_utf8(line).unwrap()).collect();
        let shown = Redactor::new([secret.as_str()]).redact(&wrapped.join("\n"));
        assert!(shown.lines().all(|line| line == REDACTED), "{shown}");
    }
}

#[test]
fn a_key_of_several_lines_is_taken_out_line_by_line() {
    let redactor = Redactor::new(["-----BEGIN KEY-----\nMIIEowIBAAKCAQEA\r\nshort\nkuGV9uT0Qm8w\n"]);
    let shown = redactor.redact("  MIIEowIBAAKCAQEA\r\n> kuGV9uT0Qm8w <\nshort");
    assert_eq!(shown, "  [redacted]\r\n> [redacted] <\nshort");
}

#[test]
fn the_line_feed_of_a_secret_file_is_not_needed_to_find_it() {
    assert_eq!(Redactor::new(["hunter2\n"]).redact("pw=hunter2;"), "pw=[redacted];");
    assert_eq!(Redactor::new(["abcd\n"]).redact("pw=abcd;"), "pw=[redacted];");
}

#[test]
fn secrets_that_overlap_leave_nothing_of_either() {
    let redactor = Redactor::new(["abcdef", "defghi"]);
    for sizes in [&[100][..], &[1], &[6, 3]] {
        assert_eq!(redacted(&redactor, b"<abcdefghi>", sizes), b"<[redacted]>", "{sizes:?}");
        assert_eq!(redacted(&redactor, b"<abcdefgh>", sizes), b"<[redacted]gh>", "{sizes:?}");
        assert_eq!(redacted(&redactor, b"abcdefabcdef", sizes), b"[redacted][redacted]", "{sizes:?}");
    }
}

#[test]
fn a_secret_within_the_beginning_of_another_waits_for_it() {
    let redactor = Redactor::new(["abbaaa", "bbaa"]);
    for sizes in [&[100][..], &[1], &[5, 1]] {
        assert_eq!(redacted(&redactor, b"<abbaaa>", sizes), b"<[redacted]>", "{sizes:?}");
        assert_eq!(redacted(&redactor, b"<abbaa>", sizes), b"<a[redacted]>", "{sizes:?}");
    }
}

#[test]
fn only_what_could_become_a_secret_is_held_back() {
    let redactor = Redactor::new(["swordfish"]);
    for (input, at_once) in
        [("hello\n", "hello\n"), ("hello swo", "hello "), ("sword swordfis", "sword "), ("fish", "fish")]
    {
        let mut output = Vec::new();
        redactor.begin().push(input.as_bytes(), &mut output);
        assert_eq!(String::from_utf8_lossy(&output), at_once);
    }
}

#[test]
fn short_values_are_no_secrets_and_none_is_printed() {
    assert_eq!(Redactor::new(["", "abc", " \n"]).redact("abc abc"), "abc abc");
    assert!(!format!("{:?}", Redactor::new(["hunter2"])).contains("hunter2"));
}

/// One row for each disguise in which a program may print a secret without meaning to hide it.
#[test]
fn disguises_are_seen_through() {
    let secret = "s3cr&t<\"p'/wü+rd🔑>";
    let redactor = Redactor::new([secret]);
    for (what, disguise) in [
        ("HTML of Python", "s3cr&amp;t&lt;&quot;p&#x27;/wü+rd🔑&gt;"),
        ("HTML of PHP", "s3cr&amp;t&lt;&quot;p&#039;/wü+rd🔑&gt;"),
        ("HTML of Go", "s3cr&amp;t&lt;&#34;p&#39;/wü&#43;rd🔑&gt;"),
        ("HTML of ours", "s3cr&#38;t&#60;&#34;p&#39;/wü+rd🔑&#62;"),
        ("HTML of mustache", "s3cr&amp;t&lt;&quot;p&#39;&#x2F;wü+rd🔑&gt;"),
        ("XML", "s3cr&amp;t&lt;&quot;p&apos;/wü+rd🔑&gt;"),
        ("text of HTML", "s3cr&amp;t&lt;\"p'/wü+rd🔑&gt;"),
        ("JSON", r#"s3cr&t<\"p'/wü+rd🔑>"#),
        ("JSON of Python", r#"s3cr&t<\"p'/w\u00fc+rd\ud83d\udd11>"#),
        ("JSON of PHP", r#"s3cr&t<\"p'\/w\u00fc+rd\ud83d\udd11>"#),
        ("JSON of Go", r#"s3cr\u0026t\u003c\"p'/wü+rd🔑\u003e"#),
        ("JSON of .NET", r"s3cr\u0026t\u003C\u0022p\u0027/w\u00FC\u002Brd\uD83D\uDD11\u003E"),
        ("JSON in JSON", r#"s3cr&t<\\\"p'/wü+rd🔑>"#),
        ("printf %q", r#"s3cr\&t\<\"p\'/wü+rd🔑\>"#),
        ("a colour", "s3cr\x1b[31m&t<\"p'/wü\x1b[0;1;38;5;9m+rd🔑>"),
        ("a link", "s3cr&t<\x1b]8;;http://x\x1b\\\"p'/wü+rd🔑>"),
        ("a carriage return", "s3cr&t<\r\"p'/wü+rd🔑>"),
        ("a NUL and a bell", "s3cr&t<\0\"p'\x07/wü+rd🔑>"),
        ("a colour in HTML", "s3cr&am\x1b[mp;t&lt;&quot;p&apos;/wü+rd🔑&gt;"),
    ] {
        for sizes in [&[usize::MAX][..], &[1], &[3, 7]] {
            let output = redacted(&redactor, format!("<{disguise}>").as_bytes(), sizes);
            assert_eq!(String::from_utf8_lossy(&output), "<[redacted]>", "{what}: {disguise}");
        }
    }
}

#[test]
fn what_is_secret_within_a_url_is_secret_by_itself() {
    for (secret, alone) in [
        ("postgres://deployer:p%40ss-word@db.example/deployer", &["p%40ss-word", "p@ss-word"][..]),
        ("postgresql://deployer:hunter22@localhost:5432/x?sslmode=require", &["hunter22"]),
        ("postgres://db.example/x?user=deployer&password=hunter%2122", &["hunter%2122", "hunter!22"]),
        ("host=localhost user=deployer password='hunter22'", &["hunter22"]),
        ("redis://:hunter22@localhost", &["hunter22"]),
        ("https://ghp_0123456789abcdef@github.com/a/b", &["ghp_0123456789abcdef"]),
        ("https://x-access-token:ghs_0123456789@github.com/a/b", &["ghs_0123456789"]),
    ] {
        let redactor = Redactor::new([secret]);
        for alone in alone {
            assert_eq!(redactor.redact(&format!("<{alone}>")), "<[redacted]>", "{secret}");
        }
        let ordinary = "deployer localhost db.example github.com require x-access-token";
        assert_eq!(redactor.redact(ordinary), ordinary, "{secret}");
    }
}

#[test]
fn colours_and_returns_that_hide_nothing_stay() {
    let redactor = Redactor::new(["hunter22"]);
    for text in ["\x1b[32mok\x1b[0m 10%\r20%\r\n", "hunter\x1b[31m2", "\x1b[3", "\x1b]8;;x", "\x1b", "a\x08b"]
    {
        for sizes in [&[usize::MAX][..], &[1]] {
            let output = redacted(&redactor, text.as_bytes(), sizes);
            assert_eq!(String::from_utf8_lossy(&output), text);
        }
    }
}

/// From few letters, so that partial, overlapping and repeated finds are common.
fn few_letters(length: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    proptest::collection::vec(prop::sample::select(vec!['a', 'b', '\n']), length)
        .prop_map(|letters| letters.into_iter().collect())
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(1..20_usize, 1..8)
}

/// From few pieces, some of which are not shown.
fn coloured(length: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    let pieces = vec!["a", "b", "a", "b", "\x1b", "[", "m", "\x1b[1m", "\r", "\x1b]", "\x07", "\n"];
    proptest::collection::vec(prop::sample::select(pieces), length).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_colour_hides_a_secret_and_chunking_does_not_matter(
        secrets in proptest::collection::vec("[ab]{4,8}", 1..4),
        input in coloured(0..150),
        sizes in sizes(),
    ) {
        let redactor = Redactor::new(secrets.iter().map(String::as_str));
        let output = redacted(&redactor, input.as_bytes(), &sizes);
        prop_assert_eq!(&output, &redacted(&redactor, input.as_bytes(), &[usize::MAX]));
        // What was taken out is no part of what is left on both sides of it.
        let left = String::from_utf8(output).unwrap().replace(REDACTED, "\n");
        let shown = Skeleton::of(left.as_bytes(), true).bytes.into_owned();
        for secret in &secrets {
            prop_assert!(!contains(&shown, secret.as_bytes()), "{:?}", left);
        }
    }

    #[test]
    fn no_secret_comes_out_and_chunking_does_not_matter(
        secrets in proptest::collection::vec(few_letters(4..9), 1..4),
        input in few_letters(0..200),
        sizes in sizes(),
    ) {
        let redactor = Redactor::new(secrets.iter().map(String::as_str));
        let output = redacted(&redactor, input.as_bytes(), &sizes);
        for secret in &secrets {
            prop_assert!(!contains(&output, secret.as_bytes()));
        }
        prop_assert_eq!(output, redacted(&redactor, input.as_bytes(), &[usize::MAX]));
    }

    #[test]
    fn exactly_the_union_of_all_finds_is_taken_out(
        secrets in proptest::collection::vec("[ab]{4,8}", 1..4),
        input in "[ab]{0,200}",
        sizes in sizes(),
    ) {
        let redactor = Redactor::new(secrets.iter().map(String::as_str));
        let mut taken = vec![false; input.len()];
        for secret in &secrets {
            for start in 0..input.len() {
                if input[start..].starts_with(secret.as_str()) {
                    taken[start..start + secret.len()].fill(true);
                }
            }
        }
        let kept: String = input.chars().zip(&taken).filter(|(_, taken)| !**taken).map(|(letter, _)| letter).collect();
        let output = String::from_utf8(redacted(&redactor, input.as_bytes(), &sizes)).unwrap();
        prop_assert_eq!(output.replace(REDACTED, ""), kept);
    }

    #[test]
    fn what_holds_no_secret_passes_unchanged(input in proptest::collection::vec(any::<u8>(), 0..500), sizes in sizes()) {
        let secret = "S3cret-that-random-bytes-do-not-hit";
        let output = redacted(&Redactor::new([secret]), &input, &sizes);
        prop_assert_eq!(output, input);
    }

    #[test]
    fn encoded_secrets_do_not_come_out_wherever_the_writes_are_cut(
        secret in "[ -~]{8,60}",
        before in "[a-z ]{0,20}",
        sizes in sizes(),
    ) {
        let redactor = Redactor::new([secret.as_str()]);
        let forms = [
            secret.clone(), STANDARD.encode(&secret), URL_SAFE_NO_PAD.encode(&secret),
            hex::encode(&secret), hex::encode_upper(&secret), percent_encoded(&secret),
        ];
        for form in forms {
            let output = redacted(&redactor, format!("{before}{form}\n").as_bytes(), &sizes);
            prop_assert!(!contains(&output, form.as_bytes()));
        }
    }
}
