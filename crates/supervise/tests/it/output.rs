//! Output comes in order, within its limits, and without secrets.

use std::fmt::Write as _;

use supervise::{End, Line, REDACTED, Redactor, Stream};

use crate::support::{PROGRAM, finish, perl, sh, texts, unique};

#[tokio::test]
async fn ten_thousand_lines_keep_their_order() {
    let (outcome, lines) = finish(sh("i=0; while [ $i -lt 10000 ]; do echo $i; i=$((i+1)); done")).await;
    assert_eq!(lines.len(), 10_000);
    assert!(lines.iter().enumerate().all(|(index, line)| line.text == index.to_string()));
    assert_eq!((outcome.output_bytes, outcome.output_dropped_bytes), (48_890, 0));
}

#[tokio::test]
async fn a_line_carries_its_stream_and_its_time() {
    let (_, mut lines) = finish(sh("echo out; echo err >&2; printf end")).await;
    lines.sort_by_key(|line| line.stream == Stream::Err);
    let line = |stream, text: &str| Line { at_ms: 42, stream, text: text.into(), truncated: false };
    assert_eq!(lines, [line(Stream::Out, "out"), line(Stream::Out, "end"), line(Stream::Err, "err")]);
}

#[tokio::test]
async fn a_line_of_ten_megabytes_is_cut_and_the_next_is_whole() {
    let mut command = perl(r#"print "x" x 10_000_000, "\nnext\n""#);
    command.limits.line_bytes_max = 1000;
    let (outcome, lines) = finish(command).await;
    assert_eq!(texts(&lines), [&"x".repeat(1000), "next"]);
    assert_eq!(lines.iter().map(|line| line.truncated).collect::<Vec<_>>(), [true, false]);
    assert_eq!(outcome.output_bytes, 10_000_006);
}

#[tokio::test]
async fn what_is_not_utf8_does_not_disturb() {
    let (_, lines) = finish(sh(r"printf 'a\377b\000c\n\360\237\246\200\n'")).await;
    assert_eq!(texts(&lines), ["a\u{fffd}b\0c", "🦀"]);
}

#[tokio::test]
async fn progress_bars_are_lines() {
    let (_, lines) = finish(sh(r"printf '10%%\r20%%\r\n\r\nend\r'")).await;
    assert_eq!(texts(&lines), ["10%", "20%", "", "end"]);
}

#[tokio::test]
async fn too_much_output_is_dropped_without_blocking_the_command() {
    let mut command = perl(r#"print "0123456789\n" x 100_000; exit 4"#);
    command.limits.total_bytes_max = 25;
    let (outcome, lines) = finish(command).await;
    let note = "1099975 more bytes of output were dropped: the limit is 25";
    assert_eq!(texts(&lines), ["0123456789", "0123456789", "012", note]);
    assert_eq!(outcome.end, End::Exited(4));
    assert_eq!((outcome.output_bytes, outcome.output_dropped_bytes), (1_100_000, 1_099_975));
}

#[test]
fn a_flood_of_a_gigabyte_takes_no_memory() {
    for script in [
        r#"perl -e 'print "flood" x 2000, "\n" for 1..107374'"#,
        // One endless line, full of beginnings of the secret.
        "tr '\\0' S < /dev/zero | head -c 1073741824 | sed s/^/flood/",
    ] {
        #[expect(clippy::disallowed_methods, reason = "a process of its own, whose memory can be measured")]
        let output =
            std::process::Command::new(PROGRAM).args([script, "SSSSSSSSX", &unique()]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("end: Exited(0)"), "{text}");
        assert!(text.contains("output_bytes: 1073") || text.contains("output_bytes: 1074"), "{text}");
        let peak_kib = text.split("VmHWM:").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap();
        assert!(peak_kib.parse::<u32>().unwrap() < 32 * 1024, "{text}");
    }
}

#[tokio::test]
async fn secrets_do_not_come_out_in_any_encoding_however_the_writes_are_cut() {
    let secret = "hunter2/+ünd so weiter";
    // Each form in two writes, cut at every place, to both streams; by encoders that are not ours.
    let script = r#"
        use MIME::Base64; $| = 1;
        my $secret = $ARGV[0];
        my $base64 = encode_base64($secret, "");
        (my $url = $base64) =~ tr,+/,-_,; (my $bare = $url) =~ s/=+$//;
        my $hex = unpack "H*", $secret;
        (my $percent = $secret) =~ s/([^A-Za-z0-9._~-])/sprintf "%%%02X", ord $1/ge;
        for my $form ($secret, $base64, $url, $bare, $hex, uc $hex, $percent) {
            for my $cut (0 .. length $form) {
                for my $stream (*STDOUT, *STDERR) {
                    syswrite $stream, "<" . substr $form, 0, $cut;
                    select undef, undef, undef, 0.0002;
                    syswrite $stream, substr($form, $cut) . ">\n";
                }
            }
        }
    "#;
    let mut command = perl(script);
    command.args.push(secret.into());
    command.redact = Redactor::new([secret]);
    let (outcome, lines) = finish(command).await;
    assert_eq!(outcome.end, End::Exited(0));
    assert!(lines.len() > 200);
    let expected = format!("<{REDACTED}>");
    let others = lines.iter().filter(|line| line.text != expected).fold(String::new(), |mut all, line| {
        writeln!(all, "{}", line.text).unwrap();
        all
    });
    assert_eq!(others, "");
}
