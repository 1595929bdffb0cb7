//! nginx's whole configuration as it would be, aside, tested by nginx before anything that is live changes.
//!
//! The stage holds a copy of every file that nginx would read, at its own path below the stage, with the wanted files in their places. What
//! would reach out of it is rewritten without moving a line: includes lead into the stage; logs, caches, pid and lock files go
//! to the stage; privileged ports become others, each its own; keys and certificates that we cannot read, or that are yet to
//! be obtained, are replaced by a pair of no worth. So the test needs no rights, and opens nothing that anybody uses.

use super::{SitesStep, error_mapping, ownership};
use crate::process::step_context::StepContext;
use crate::process::tools::nginx;
use crate::steps::nginx::site_file::SiteFile;
use anyhow::{Context, Result, bail};
use fs_err as fs;
use globset::GlobBuilder;
use nginx_policy::configuration::{self, Directive, Word, quoted};
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

/// Files of a configuration, at most: a host with thousands of sites has as many.
const FILES_MAX: usize = 10_000;

/// One of them, at most; larger ones are no configuration.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Directories inside directories, at most: links may lead in circles.
const DEPTH_MAX: usize = 8;

/// Ports below 1024 become this many higher: 80 is 64592. A test binds them, and only root may bind the real ones.
const PORT_SHIFT: u16 = 64_512;

/// A self-signed certificate and its key, known to everybody: good for a test of a configuration, and for nothing else. They never
/// leave the stage.
const CERTIFICATE: &str = include_str!("dry_run/certificate.pem");
const KEY: &str = include_str!("dry_run/key.pem");

/// Has nginx judge what would be live with these files.
pub async fn test(step: &SitesStep, files: &[SiteFile], step_context: &StepContext<'_>) -> Result<()> {
    let stage = DryRun::new(step)?;
    let staged = stage.fill(files).context("cannot stage nginx's configuration")?;
    let command = nginx::test_staged(&step.nginx, &staged);
    let printed = error_mapping::judged(step, &command, Some(&stage.root), step_context).await?;
    let read: BTreeSet<&str> = printed.lines().filter_map(file_read).collect();
    for file in files {
        let target = stage.path(&step.nginx.directory.join(&file.wanted.target));
        let is_loaded = read.contains(&*target.to_string_lossy());
        let ending = Path::new(&file.wanted.target).extension().unwrap_or_default().to_string_lossy();
        if file.wanted.site.is_some() && !is_loaded {
            bail!(
                "nginx would not read {}: put `include conf.d/*.{ending};` into the http block of {}",
                file.wanted.target,
                step.nginx.configuration.display()
            );
        }
    }
    Ok(())
}

/// Of what `nginx -T` prints, the lines that name a file.
fn file_read(line: &str) -> Option<&str> {
    line.strip_prefix("# configuration file ")?.strip_suffix(':')
}

struct DryRun<'a> {
    step: &'a SitesStep,
    directory: PathBuf,
    root: PathBuf,
}

/// It holds copies of the host's files: nothing of it stays.
impl Drop for DryRun<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl<'a> DryRun<'a> {
    fn new(step: &'a SitesStep) -> Result<Self> {
        let directory = step.state.join("stage");
        match fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        for name in ["root", "logs", "temporary"] {
            fs::create_dir_all(directory.join(name))?;
        }
        Ok(Self { step, root: directory.join("root"), directory })
    }

    /// Where a file of the host has its copy.
    fn path(&self, original: &Path) -> PathBuf {
        self.root.join(original.strip_prefix("/").unwrap_or(original))
    }

    /// Copies everything, and gives the copy of the file that nginx reads first.
    fn fill(&self, files: &[SiteFile]) -> Result<PathBuf> {
        fs::write(self.directory.join("certificate.pem"), CERTIFICATE)?;
        fs::write(self.directory.join("key.pem"), KEY)?;
        let nginx = &self.step.nginx;
        let ours: BTreeMap<PathBuf, &str> = files
            .iter()
            .map(|file| (nginx.directory.join(&file.wanted.target), file.text.as_str()))
            .collect();
        let replaced = ownership::ours(self.step)?;
        let mut pending: Vec<PathBuf> = vec![nginx.configuration.clone()];
        pending.extend(below(&nginx.directory)?);
        pending.retain(|path| !replaced.contains(path));
        pending.extend(ours.keys().cloned());
        let mut seen = BTreeSet::new();
        while let Some(path) = pending.pop() {
            if seen.len() > FILES_MAX {
                bail!("nginx's configuration has more than {FILES_MAX} files");
            }
            if !seen.insert(path.clone()) {
                continue;
            }
            let text = match ours.get(&path) {
                Some(text) => (*text).to_owned().into_bytes(),
                None => match readable(&path) {
                    Some(bytes) => bytes,
                    None => continue,
                },
            };
            pending.extend(self.copy(&path, &text)?);
        }
        Ok(self.path(&nginx.configuration))
    }

    /// Writes one copy, and gives what it includes from outside nginx's directory.
    fn copy(&self, path: &Path, bytes: &[u8]) -> Result<Vec<PathBuf>> {
        let copy = self.path(path);
        fs::create_dir_all(copy.parent().expect("it lies below the stage"))?;
        let parsed =
            std::str::from_utf8(bytes).ok().and_then(|text| Some((text, configuration::parse(text).ok()?)));
        // Not a configuration, or one that nginx will complain of: as it is.
        let Some((text, directives)) = parsed else {
            fs::write(copy, bytes)?;
            return Ok(Vec::new());
        };
        let mut rewriting = Rewriting { stage: self, replacements: Vec::new(), outside: Vec::new() };
        configuration::each(&directives, &mut |directive| rewriting.rewrite(directive));
        scopes(&directives).into_iter().for_each(|scope| rewriting.replace_keys(scope));
        let mut rewritten = text.to_owned();
        rewriting.replacements.sort_by_key(|(place, _)| std::cmp::Reverse(place.start));
        for (place, replacement) in rewriting.replacements {
            rewritten.replace_range(place, &replacement);
        }
        if path == self.step.nginx.configuration {
            rewritten.insert_str(0, &self.missing_globals(&directives));
        }
        fs::write(copy, rewritten)?;
        Ok(rewriting.outside)
    }

    /// What nginx would otherwise take from where it was built to. On the first line, so that no line moves.
    fn missing_globals(&self, directives: &[Directive]) -> String {
        let globals = [("pid", "nginx.pid"), ("lock_file", "nginx.lock"), ("error_log", "logs/error.log")];
        let missing =
            globals.iter().filter(|(name, _)| !directives.iter().any(|found| found.name() == *name));
        missing.map(|(name, file)| format!("{name} {}; ", self.own(file))).collect()
    }

    /// A path in the stage, as nginx reads it.
    fn own(&self, name: &str) -> String {
        quoted(&self.directory.join(name).to_string_lossy())
    }
}

/// Every list of directives that stand side by side.
fn scopes(directives: &[Directive]) -> Vec<&[Directive]> {
    let mut scopes = vec![directives];
    configuration::each(directives, &mut |directive| {
        if let Some(block) = directive.block.as_deref().filter(|_| !directive.holds_data()) {
            scopes.push(block);
        }
    });
    scopes
}

struct Rewriting<'a> {
    stage: &'a DryRun<'a>,
    replacements: Vec<(std::ops::Range<usize>, String)>,
    outside: Vec<PathBuf>,
}

impl Rewriting<'_> {
    fn replace(&mut self, word: &Word, by: String) {
        self.replacements.push((word.place.clone(), by));
    }

    fn rewrite(&mut self, directive: &Directive) {
        let Some(first) = directive.arguments().first() else { return };
        let number = first.place.start;
        match directive.name() {
            "include" => {
                let nginx = &self.stage.step.nginx;
                // Relative to the directory of the file that nginx reads first.
                let base = nginx.configuration.parent().unwrap_or(&nginx.directory);
                let path = base.join(&first.text);
                if !path.starts_with(&nginx.directory) {
                    self.outside.extend(expanded(&path));
                }
                self.replace(first, quoted(&self.stage.path(&path).to_string_lossy()));
            }
            name @ ("access_log" | "error_log") if is_log_file(name, &first.text) => {
                let name = format!("logs/{:x}", hash(&first.text));
                self.replace(first, self.stage.own(&name));
            }
            "pid" => self.replace(first, self.stage.own("nginx.pid")),
            "lock_file" => self.replace(first, self.stage.own("nginx.lock")),
            name if name.ends_with("_temp_path") || name.ends_with("_cache_path") => {
                self.replace(first, self.stage.own(&format!("temporary/{name}-{number}")));
            }
            "listen" => {
                if let Some(shifted) = shifted(&first.text) {
                    self.replace(first, quoted(&shifted));
                }
            }
            "ssl_trusted_certificate" | "ssl_client_certificate" if !self.can_read(&first.text) => {
                self.replace(first, self.stage.own("certificate.pem"));
            }
            _ => {}
        }
    }

    /// A certificate and its key belong together: where one of a scope cannot be read, all of that scope are replaced.
    fn replace_keys(&mut self, scope: &[Directive]) {
        for prefix in ["", "proxy_", "grpc_", "uwsgi_"] {
            let [certificate, key] =
                ["ssl_certificate", "ssl_certificate_key"].map(|name| format!("{prefix}{name}"));
            let pair = |directive: &&Directive| directive.name() == certificate || directive.name() == key;
            let words: Vec<(&Directive, &Word)> = scope
                .iter()
                .filter(pair)
                .filter_map(|directive| Some((directive, directive.arguments().first()?)))
                .collect();
            if words.iter().all(|(_, word)| word.text.is_empty() || self.can_read(&word.text)) {
                continue;
            }
            for (directive, word) in words {
                let file = if directive.name() == key { "key.pem" } else { "certificate.pem" };
                self.replace(word, self.stage.own(file));
            }
        }
    }

    fn can_read(&self, path: &str) -> bool {
        let nginx = &self.stage.step.nginx;
        let base = nginx.configuration.parent().unwrap_or(&nginx.directory);
        // Names with variables or engines are not looked at by a test.
        path.contains('$') || path.contains(':') || fs::File::open(base.join(path)).is_ok()
    }
}

/// `error_log off` writes a file that is called so.
fn is_log_file(directive: &str, target: &str) -> bool {
    let is_elsewhere = target == "stderr" || target.starts_with("syslog:") || target.starts_with("memory:");
    !(is_elsewhere || (target == "off" && directive == "access_log"))
}

/// The same log is the same file in the stage.
fn hash(text: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// An address with another port in the place of a privileged one; None where it has none such.
fn shifted(address: &str) -> Option<String> {
    if address.starts_with("unix:") {
        return None;
    }
    let shift = |port: &str| {
        let port: u16 = port.parse().ok()?;
        (port < 1024).then(|| port + PORT_SHIFT)
    };
    if address.bytes().all(|byte| byte.is_ascii_digit()) {
        return shift(address).map(|port| port.to_string());
    }
    match address.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
        Some((host, port)) => shift(port).map(|port| format!("{host}:{port}")),
        // Without a port it is 80.
        None => Some(format!("{address}:{}", 80 + PORT_SHIFT)),
    }
}

fn readable(path: &Path) -> Option<Vec<u8>> {
    let found = fs::metadata(path).ok()?;
    let bytes = (found.is_file() && found.len() <= FILE_BYTES_MAX).then(|| fs::read(path).ok())??;
    // What nginx reads a key from, it reads from where it is.
    let is_key = bytes.windows(11).any(|window| window == b"PRIVATE KEY");
    (!is_key).then_some(bytes)
}

/// Every file below a directory, links followed.
fn below(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut pending = vec![(directory.to_owned(), 0)];
    while let Some((directory, depth)) = pending.pop() {
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::PermissionDenied && depth > 0 => continue,
            Err(error) => return Err(error.into()),
        };
        for entry in entries {
            let path = entry?.path();
            match fs::metadata(&path) {
                Ok(found) if found.is_dir() && depth < DEPTH_MAX => pending.push((path, depth + 1)),
                Ok(found) if found.is_file() => files.push(path),
                _ => {}
            }
        }
        if files.len() > FILES_MAX {
            bail!("{} has more than {FILES_MAX} files", directory.display());
        }
    }
    Ok(files)
}

/// The files that a pattern of an `include` means, as glob(3) sees them.
fn expanded(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("/")];
    for part in pattern
        .components()
        .filter_map(|part| if let Component::Normal(part) = part { part.to_str() } else { None })
    {
        if !part.contains(['*', '?', '[']) {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        let Ok(glob) = GlobBuilder::new(part).literal_separator(true).build() else { return Vec::new() };
        let matcher = glob.compile_matcher();
        let matching = |directory: &PathBuf| {
            let entries = fs::read_dir(directory).into_iter().flatten().flatten();
            let names = entries.filter(|entry| {
                let name = entry.file_name();
                let hidden = name.to_string_lossy().starts_with('.') && !part.starts_with('.');
                !hidden && matcher.is_match(Path::new(&name))
            });
            names.map(|entry| entry.path()).collect::<Vec<_>>()
        };
        found = found.iter().flat_map(matching).collect();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn privileged_ports_become_others_each_its_own() {
        for (address, expected) in [
            ("80", Some("64592")),
            ("443", Some("64955")),
            ("8080", None),
            ("127.0.0.1:80", Some("127.0.0.1:64592")),
            ("[::]:443", Some("[::]:64955")),
            ("[::1]", Some("[::1]:64592")),
            ("localhost", Some("localhost:64592")),
            ("*:8443", None),
            ("unix:/run/x", None),
        ] {
            assert_eq!(shifted(address).as_deref(), expected, "{address}");
        }
    }

    #[test]
    fn patterns_mean_what_they_mean_to_nginx() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["a.conf", "b.conf", ".c.conf", "d.txt"] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        let mut found = expanded(&directory.path().join("*.conf"));
        found.sort();
        assert_eq!(found, ["a.conf", "b.conf"].map(|name| directory.path().join(name)));
        assert!(expanded(Path::new("/no/such/*")).is_empty());
    }
}
