//! The corpus: what real tools printed when they failed. A sample is `### name`, the command, and its lines: `o` for standard output,
//! `e` for standard error, and behind that a space, or `>` for the line that a person picked.

use super::*;
use std::collections::BTreeMap;
use std::path::Path;

/// Of the samples, so many must be right, in percent.
const RIGHT_MIN: usize = 95;

struct Sample {
    kind: String,
    name: String,
    tail: Tail,
    expected: usize,
}

fn samples() -> Vec<Sample> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/process/cause/corpus");
    let mut files: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut samples = Vec::new();
    for file in files {
        let kind = file.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).unwrap();
        for sample in text.split("### ").skip(1) {
            let mut lines = sample.lines();
            let name = lines.next().unwrap().to_owned();
            let command = lines.next().unwrap();
            assert!(command.starts_with("$ "), "{name}");
            let mut tail = Tail::default();
            let mut expected = None;
            for (index, line) in lines.enumerate() {
                let stream = if line.starts_with('o') { Stream::Out } else { Stream::Err };
                if line[1..].starts_with('>') {
                    expected = Some(index);
                }
                let text = line.get(2..).unwrap_or_default().to_owned();
                tail.push(Line { at_ms: 0, stream, text, truncated: false });
            }
            samples.push(Sample {
                kind: kind.clone(),
                name,
                tail,
                expected: expected.expect("a line is picked"),
            });
        }
    }
    samples
}

/// What people are told of samples whose line alone says too little.
#[test]
fn a_mistake_in_a_program_is_told_with_its_place_and_a_wrapped_sentence_whole() {
    let samples = samples();
    for (name, expected) in [
        ("node-check", "server.js:8: SyntaxError: Unexpected identifier 'is'"),
        ("node-syntax-module", "m.mjs:2: SyntaxError: Unexpected token ';'"),
        ("node-syntax", "/srv/site/main.js:2: SyntaxError: Unexpected token ','"),
        (
            "venv-without-ensurepip",
            "The virtual environment was not created successfully because ensurepip is not available.  On Debian/Ubuntu systems, you need to install the python3-venv",
        ),
    ] {
        let sample = samples.iter().find(|sample| sample.name == name).expect("it is in the corpus");
        assert_eq!(sample.tail.cause().as_deref(), Some(expected), "{name}");
        let (around, _) = sample.tail.around().expect("a line is picked");
        assert!(around.iter().all(|line| !line.trim().is_empty()), "{name}: {around:?}");
    }
}

#[test]
fn what_a_registry_does_not_have_is_not_asked_for_again_and_what_may_pass_is() {
    for sample in samples() {
        let cause = format!("exited with 1: {}", sample.tail.cause().unwrap_or_default());
        let expected = match sample.name.as_str() {
            "npm-404" | "pnpm-404" | "yarn-404" | "uv-python-missing" => true,
            "npm-registry-down" | "pnpm-registry-down" | "curl-503" | "curl-cut" | "curl-host" => false,
            _ => continue,
        };
        assert_eq!(is_final(&cause), expected, "{}: {cause}", sample.name);
    }
    for (cause, expected) in [
        ("ERR_PNPM_FETCH_429  GET https://registry.example.org/x: Too Many Requests - 429", false),
        ("ERR_PNPM_FETCH_401  GET https://registry.example.org/x: Unauthorized - 401", true),
        ("408 Client Error: Request Timeout for url", false),
        ("403 Client Error: Forbidden for url", true),
        ("502 Server Error: Bad Gateway for url", false),
        ("exited with 1: line 404 of main.c", false),
    ] {
        assert_eq!(is_final(cause), expected, "{cause}");
    }
}

#[test]
fn of_what_real_tools_print_the_line_is_picked_that_a_person_picks() {
    let samples = samples();
    assert!(samples.len() >= 80);
    let mut by_kind: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut wrong = Vec::new();
    for sample in &samples {
        let texts: Vec<String> =
            sample.tail.lines.iter().map(|line| rendering::plain(&line.text).trim().to_owned()).collect();
        let found = sample.tail.index_of_cause(&texts);
        let (right, all) = by_kind.entry(&sample.kind).or_default();
        *all += 1;
        // The same words elsewhere are the same cause.
        if found.is_some_and(|found| shown(&texts[found]) == shown(&texts[sample.expected])) {
            *right += 1;
        } else {
            let picked = found.map_or("nothing", |found| &texts[found]);
            wrong.push(format!("{}: {picked:?} instead of {:?}", sample.name, texts[sample.expected]));
        }
    }
    for (kind, (right, all)) in &by_kind {
        println!("{kind}: {right} of {all}");
    }
    println!("{} of {}", samples.len() - wrong.len(), samples.len());
    let right = (samples.len() - wrong.len()) * 100 / samples.len();
    println!("{}", wrong.join("\n"));
    assert!(right >= RIGHT_MIN, "{right} % are right; wrong:\n{}", wrong.join("\n"));
}
