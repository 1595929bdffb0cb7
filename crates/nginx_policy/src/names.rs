//! Which names files may have in nginx's directory.

/// The longest path below nginx's directory, in bytes.
const TARGET_BYTES_MAX: usize = 512;

/// The longest name that file systems accept, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// Judges where a file may be installed, relative to nginx's directory: `conf.d/NAME` or `snippets/NAME`, directories below these
/// included. The error says why not.
pub fn judge_name(target: &str) -> Result<(), String> {
    let wrong = |why: &str| Err(format!("{target:?}: {why}"));
    if target.len() > TARGET_BYTES_MAX {
        return Err(format!("a name of {} bytes is too long: at most {TARGET_BYTES_MAX}", target.len()));
    }
    let Some((directory, rest)) = target.split_once('/') else {
        return wrong("files may lie in conf.d/ and snippets/ only");
    };
    if !matches!(directory, "conf.d" | "snippets") {
        return wrong("files may lie in conf.d/ and snippets/ only");
    }
    for part in rest.split('/') {
        if part.is_empty() || part.len() > NAME_BYTES_MAX {
            return wrong("a part of its name is empty or too long");
        }
        if part.starts_with('.') || part.starts_with('-') {
            return wrong("no part of its name may begin with a dot or a dash");
        }
        // To an `include`, some of these are a pattern; brackets are part of the names of sites.
        let strange = |character: char| {
            crate::is_forbidden(character, None)
                || matches!(character, '\n' | '\t')
                || "*?\\`;{}$|<>".contains(character)
        };
        if part.contains(strange) || part.trim() != part {
            return wrong(
                "its name has control characters, characters that mean something to nginx, or spaces at an end",
            );
        }
        // `geo` with `ranges` loads FILE.bin as a memory image in the place of FILE.
        if part.to_ascii_lowercase().ends_with(".bin") {
            return wrong("names may not end in .bin: nginx loads such files as a memory image");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_sites_and_snippets_pass() {
        for name in [
            "conf.d/a.conf",
            "conf.d/[durhack.com].nginxconf",
            "conf.d/sub/[caf\u{e9}.org].conf",
            "snippets/tls",
            "snippets/h5bp/basic.conf",
            "conf.d/caf\u{e9} \"x\".conf",
            "snippets/a_b~c+d@e,f=g#(1).inc",
        ] {
            assert_eq!(judge_name(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn other_names_are_refused() {
        for name in [
            "",
            "conf.d",
            "conf.d/",
            "nginx.conf",
            "/etc/nginx/conf.d/x",
            "modules-enabled/x.conf",
            "sites-enabled/x",
            "conf.d/../nginx.conf",
            "conf.d/./x",
            "conf.d//x",
            "conf.d/.x",
            "conf.d/.git/x",
            "conf.d/-x",
            "snippets/x.bin",
            "snippets/x.BIN",
            "snippets/x.bin/y",
            "snippets/a ",
            "snippets/ a",
            "snippets/a\nb",
            "snippets/a\tb",
            "snippets/a\rb",
            "snippets/a\u{202e}b",
            "snippets/a\0b",
            "snippets/a\u{85}b",
            "snippets/a*b",
            "snippets/a;b",
            "snippets/a\\b",
        ] {
            assert!(judge_name(name).is_err(), "{name:?}");
        }
        assert!(judge_name(&format!("conf.d/{}", "x".repeat(600))).is_err());
        assert!(judge_name(&format!("conf.d/{}", "x".repeat(256))).is_err());
    }
}
