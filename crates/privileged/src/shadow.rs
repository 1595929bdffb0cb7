//! Empty copies of the directories that nginx writes logs and caches in: what its test opens there is opened in these, and is gone with the
//! unit. Only names of directories are copied.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where the unit shows what is there, and the empty directory that stands in its place.
const TREES: [(&str, &str); 2] = [("/run/real/log", "/var/log"), ("/run/real/cache", "/var/cache")];

/// A host whose logs lie in more directories than this has its test without the others.
const DIRECTORIES_MAX: usize = 10_000;

/// Makes the empty copies. Fails only where one of them cannot be made; what cannot be read is left out.
pub fn make() -> io::Result<()> {
    let mut made = 0;
    for (real, shadow) in TREES {
        let mut pending = vec![PathBuf::new()];
        while let Some(below) = pending.pop() {
            // What is not there, or cannot be read, has nothing that nginx could need.
            let entries = fs::read_dir(Path::new(real).join(&below)).into_iter().flatten().flatten();
            for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
                made += 1;
                if made > DIRECTORIES_MAX {
                    return Ok(());
                }
                let below = below.join(entry.file_name());
                match fs::create_dir(Path::new(shadow).join(&below)) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                    _ => pending.push(below),
                }
            }
        }
    }
    Ok(())
}
