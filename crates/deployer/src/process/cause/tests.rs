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
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/deploy/cause/corpus");
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
