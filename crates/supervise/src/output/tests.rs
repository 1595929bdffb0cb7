use super::*;

fn written(redactor: &Redactor, limits: OutputLimits, writes: &[(Stream, &str)]) -> (Vec<Line>, u64, u64) {
    let mut lines = Vec::new();
    let mut sink = |line| lines.push(line);
    let mut output = Output::new(redactor, limits, || 7, &mut sink);
    for (stream, text) in writes {
        output.write(*stream, text.as_bytes());
    }
    output.finish();
    let (total, dropped) = (output.total_bytes, output.dropped_bytes);
    (lines, total, dropped)
}

fn line(stream: Stream, text: &str, truncated: bool) -> Line {
    Line { at_ms: 7, stream, text: text.into(), truncated }
}

#[test]
fn streams_do_not_mix_within_a_line() {
    let limits = OutputLimits { total_bytes_max: 100, line_bytes_max: 100 };
    let writes = [(Stream::Out, "a"), (Stream::Err, "x\ny"), (Stream::Out, "b\n")];
    let (lines, total, dropped) = written(&Redactor::default(), limits, &writes);
    assert_eq!(
        lines,
        [line(Stream::Err, "x", false), line(Stream::Out, "ab", false), line(Stream::Err, "y", false)]
    );
    assert_eq!((total, dropped), (6, 0));
}

#[test]
fn beyond_the_limit_everything_is_dropped_and_one_line_says_so() {
    let limits = OutputLimits { total_bytes_max: 5, line_bytes_max: 100 };
    let writes = [(Stream::Out, "ab\ncdef\n"), (Stream::Err, "12345"), (Stream::Out, "x\n")];
    let (lines, total, dropped) = written(&Redactor::default(), limits, &writes);
    let note = "10 more bytes of output were dropped: the limit is 5";
    assert_eq!(
        lines,
        [line(Stream::Out, "ab", false), line(Stream::Out, "cd", true), line(Stream::Err, note, true)]
    );
    assert_eq!((total, dropped), (15, 10));
}

#[test]
fn exactly_the_limit_is_not_too_much() {
    let limits = OutputLimits { total_bytes_max: 4, line_bytes_max: 100 };
    let (lines, _, dropped) = written(&Redactor::default(), limits, &[(Stream::Out, "abcd")]);
    assert_eq!((lines, dropped), (vec![line(Stream::Out, "abcd", false)], 0));
}

#[test]
fn no_limit_cuts_through_a_secret() {
    let redactor = Redactor::new(["swordfish"]);
    for total_bytes_max in 0..30 {
        for line_bytes_max in 0..30 {
            let limits = OutputLimits { total_bytes_max, line_bytes_max };
            let (lines, ..) =
                written(&redactor, limits, &[(Stream::Out, "my swor"), (Stream::Out, "dfish!\nswordfish")]);
            assert!(lines.iter().all(|line| !line.text.contains("swor")), "{lines:?}");
        }
    }
}
