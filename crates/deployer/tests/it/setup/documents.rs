//! What the package says of itself leads somewhere: links of its documents, the units' `Documentation=`, and the man page.

use crate::support::package::Package;
use crate::support::process::{command, succeed};
use crate::support::world::files_under;
use std::path::Path;

/// Where the inline links of a Markdown text lead, without anchors and what lies on the web.
fn links(text: &str) -> Vec<&str> {
    let targets = text.match_indices("](").filter_map(|(at, _)| text[at + 2..].split_once(')'));
    let targets = targets.map(|(target, _)| target.split('#').next().unwrap_or_default());
    targets.filter(|target| !target.is_empty() && !target.contains("://") && !target.contains(' ')).collect()
}

#[test]
fn each_link_of_the_package_leads_to_a_file_of_it() {
    let root = tempfile::tempdir().expect("a directory in /tmp");
    succeed(command("dpkg-deb", Path::new("/")).arg("-x").arg(Package::new().file()).arg(root.path()));
    let documents = root.path().join("usr/share/doc/durhack-deployer");
    let mut number = 0;
    for file in
        files_under(&documents).into_iter().filter(|file| file.extension().is_some_and(|it| it == "md"))
    {
        let text = fs_err::read_to_string(&file).expect("it was packed");
        for link in links(&text) {
            number += 1;
            let target = file.parent().expect("it has one").join(link);
            assert!(target.exists(), "{}: {link}", file.display());
        }
    }
    assert!(number > 50, "{number} links were looked at");
    for unit in files_under(&root.path().join("usr/lib/systemd/system")) {
        let text = fs_err::read_to_string(&unit).expect("it was packed");
        let named = text
            .lines()
            .filter_map(|line| line.strip_prefix("Documentation="))
            .flat_map(str::split_whitespace);
        for file in named.filter_map(|named| named.strip_prefix("file:///")) {
            assert!(root.path().join(file).exists(), "{}: {file}", unit.display());
        }
    }
    // As `man` shows it. Of other programs there are pages elsewhere.
    let page = root.path().join("usr/share/man/man1/durhack-deployer.1.gz");
    let shown = succeed(command("zcat", Path::new("/")).arg(page));
    let shown = shown.replace('\\', "");
    assert!(shown.contains("durhack-deployer deploy"), "{shown}");
    assert!(!shown.contains("durhack-deployer-deploy(1)") && !shown.contains("-status(1)"), "{shown}");
}
