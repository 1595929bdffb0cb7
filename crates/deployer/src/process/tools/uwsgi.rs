//! uWSGI, as we read it: which process runs a vassal's file, and what that file says of its master.
//!
//! Nothing of uWSGI is called: the emperor is told by a file's time ([`super::super::processes::uwsgi`]).

use std::path::{Path, PathBuf};

/// Whether a process with these arguments, started in `directory` where that is known, runs this vassal's file.
///
/// The emperor calls `uwsgi --ini NAME`: the whole path where it watches a pattern, the name alone where it watches a directory, in
/// which it then stands.
pub fn runs_vassal(arguments: &[String], directory: Option<&Path>, config: &Path) -> bool {
    const OPTIONS: [&str; 5] = ["--ini", "--config", "--yaml", "--json", "--xml"];
    let named = arguments.windows(2).filter(|words| OPTIONS.contains(&words[0].as_str()));
    let here = directory.is_none_or(|directory| Some(directory) == config.parent());
    named
        .map(|words| Path::new(&words[1]))
        .any(|named| named == config || here && Some(named.as_os_str()) == config.file_name())
}

/// The file into which a vassal's master writes its number, if its file names one.
pub fn pid_file(config: &Path, text: &str) -> Option<PathBuf> {
    const KEYS: [&str; 3] = ["pidfile", "pidfile2", "safe-pidfile"];
    let mut in_section = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            in_section = line == "[uwsgi]";
            continue;
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        if in_section && KEYS.contains(&key.trim()) {
            return expanded(config, value.trim());
        }
    }
    None
}

/// With uWSGI's variables for parts of the file's name; None where it has others, or is not absolute.
fn expanded(config: &Path, value: &str) -> Option<PathBuf> {
    let text = |part: Option<&std::ffi::OsStr>| part.map(|part| part.to_string_lossy().into_owned());
    let mut expanded = String::new();
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            expanded.push(letter);
            continue;
        }
        let known = match letters.next()? {
            'n' => text(config.file_stem()),
            's' => text(config.file_name()),
            'p' => text(Some(config.as_os_str())),
            'd' => text(config.parent().map(Path::as_os_str)).map(|directory| format!("{directory}/")),
            '%' => Some("%".to_owned()),
            _ => None,
        };
        expanded.push_str(&known?);
    }
    Some(PathBuf::from(expanded)).filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vassal_is_known_by_its_file() {
        let config = Path::new("/etc/uwsgi/vassals/api.ini");
        for (arguments, directory, expected) in [
            ("uwsgi --ini api.ini", None, true),
            ("uwsgi --ini api.ini", Some("/etc/uwsgi/vassals"), true),
            ("uwsgi --ini api.ini", Some("/home/other/vassals"), false),
            ("uwsgi --ini /etc/uwsgi/vassals/api.ini", Some("/"), true),
            ("uwsgi --ini /etc/uwsgi/vassals/api.ini.old", None, false),
            ("uwsgi --ini my-api.ini", None, false),
            ("uwsgi --emperor /etc/uwsgi/vassals", None, false),
            ("vim /etc/uwsgi/vassals/api.ini", None, false),
        ] {
            let words: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
            assert_eq!(
                runs_vassal(&words, directory.map(Path::new), config),
                expected,
                "{arguments} {directory:?}"
            );
        }
    }

    #[test]
    fn the_pid_file_is_read_as_uwsgi_reads_it() {
        let config = Path::new("/etc/vassals/api.ini");
        for (line, expected) in [
            ("pidfile = /run/uwsgi/%n.pid", Some("/run/uwsgi/api.pid")),
            ("safe-pidfile=%d%s.pid", Some("/etc/vassals/api.ini.pid")),
            ("pidfile = %(here)/x", None),
            ("pidfile = relative.pid", None),
            ("; pidfile = /x", None),
            ("[other]\npidfile = /x", None),
        ] {
            let text = format!("[uwsgi]\nmaster = true\n{line}\n");
            assert_eq!(pid_file(config, &text), expected.map(PathBuf::from), "{line}");
        }
    }
}
