//! `setfacl` and `getfacl`, as we call them: a user who may write where root is the owner.

use crate::config::CommandLine;
use std::collections::BTreeSet;
use std::path::Path;

/// What the user may do in a directory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Access {
    /// Make, rename and remove files in it.
    pub directory: bool,
    /// Read and write what will be made in it.
    pub new_files: bool,
    /// Read and write everything that lies in it.
    pub existing_files: bool,
}

/// Everything that lies in the directory now. `X`: directories below it can also be entered.
pub fn grant_existing(user: &str, directory: &Path) -> CommandLine {
    setfacl(&["--recursive", "--physical", "--modify", &format!("user:{user}:rwX")], directory)
}

/// What will be made in it.
pub fn grant_new(user: &str, directory: &Path) -> CommandLine {
    setfacl(&["--default", "--modify", &format!("user:{user}:rw")], directory)
}

/// The directory itself.
pub fn grant_directory(user: &str, directory: &Path) -> CommandLine {
    setfacl(&["--modify", &format!("user:{user}:rwx")], directory)
}

/// A directory that nobody can enter but the deployer, who owns it. What is made in it everybody may read; the user and the deployer may
/// write it, whoever of them makes it.
pub fn prepare(user: &str, deployer: u32, directory: &Path) -> CommandLine {
    let closed = format!("user:{user}:---,group::---,other::---");
    let made = "default:user::rwx,default:group::r-x,default:other::r-x";
    let entries = format!("{closed},{made},default:user:{user}:rwx,default:user:{deployer}:rwx");
    setfacl(&["--modify", &entries], directory)
}

/// Opens what [`prepare`] has closed.
pub fn open(user: &str, directory: &Path) -> CommandLine {
    setfacl(&["--modify", &format!("user:{user}:rwx,group::r-x,other::r-x")], directory)
}

/// Directories in which a user and the deployer, who owns them, both write, whoever of them makes what.
pub fn share(user: &str, deployer: u32, directories: &[impl AsRef<Path>]) -> CommandLine {
    let entries = format!("user:{user}:rwx,default:user:{user}:rwx,default:user:{deployer}:rwx");
    on(&["--modify", &entries], directories)
}

/// Lets a user enter a directory, and none of these others, whatever everybody may do there: an entry that names a user goes before. By number:
/// a name that is not known would be an error.
pub fn keep_out(own: Option<u32>, others: &BTreeSet<u32>, directory: &Path) -> CommandLine {
    let own = own.map(|user| format!("user:{user}:r-x"));
    let entries: Vec<String> =
        own.into_iter().chain(others.iter().map(|user| format!("user:{user}:---"))).collect();
    setfacl(&["--modify", &entries.join(",")], directory)
}

/// Files that a user may read.
pub fn let_read(user: &str, files: &[impl AsRef<Path>]) -> CommandLine {
    on(&["--modify", &format!("user:{user}:r")], files)
}

/// Takes all of that back.
pub fn revoke(user: &str, directory: &Path) -> CommandLine {
    let entries = format!("user:{user},default:user:{user}");
    setfacl(&["--recursive", "--physical", "--remove", &entries], directory)
}

/// Asks for everything in the directory, it first.
pub fn show(directory: &Path) -> CommandLine {
    let words = ["getfacl", "--recursive", "--physical", "--absolute-names", "--all-effective", "--"];
    CommandLine::Argv(words.map(str::to_owned).into_iter().chain([text(directory)]).collect())
}

/// Reads what [`show`] printed: a block for each file, with a line for each entry and what is left of it by the mask.
pub fn access(user: &str, printed: &str) -> Access {
    let mut blocks = printed.split("\n\n").filter(|block| !block.trim().is_empty());
    let entry = format!("user:{user}:");
    let has = |block: &str, entry: &str, wanted: &str| {
        block.lines().any(|line| line.starts_with(entry) && is_allowed(line, wanted))
    };
    let first = blocks.next().unwrap_or_default();
    Access {
        directory: has(first, &entry, "rwx"),
        new_files: has(first, &format!("default:{entry}"), "rw"),
        existing_files: blocks.all(|block| has(block, &entry, "rw")),
    }
}

/// Of `user:somebody:rwx<tab>#effective:r--`: whether what is effective holds these rights.
fn is_allowed(line: &str, wanted: &str) -> bool {
    let effective = line.rsplit(':').next().unwrap_or_default();
    wanted.chars().all(|right| effective.contains(right))
}

fn setfacl(options: &[&str], directory: &Path) -> CommandLine {
    on(options, &[directory])
}

fn on(options: &[&str], paths: &[impl AsRef<Path>]) -> CommandLine {
    let words = ["setfacl"].iter().chain(options).chain(&["--"]).map(|word| (*word).to_owned());
    CommandLine::Argv(words.chain(paths.iter().map(|path| text(path.as_ref()))).collect())
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_those_that_the_mask_leaves() {
        let whole = "# file: /etc/nginx/conf.d\n# owner: root\nuser::rwx\nuser:me:rwx\t#effective:rwx\ndefault:user:me:rw-\t#effective:rw-\n\n# file: /etc/nginx/conf.d/a\nuser:me:rw-\t#effective:rw-\n\n";
        let all = Access { directory: true, new_files: true, existing_files: true };
        assert_eq!(access("me", whole), all);
        assert_eq!(access("other", whole), Access { existing_files: false, ..Access::default() });
        let masked = whole.replace("a\nuser:me:rw-\t#effective:rw-", "a\nuser:me:rw-\t#effective:r--");
        assert_eq!(access("me", &masked), Access { existing_files: false, ..all });
        let bare = "# file: /etc/nginx/conf.d\nuser::rwx\n\n";
        assert_eq!(access("me", bare), Access { existing_files: true, ..Access::default() });
    }

    #[test]
    fn a_directory_is_an_argument_and_nothing_else() {
        let directory = Path::new("/etc/nginx/conf.d");
        for (call, expected) in [
            (grant_new("me", directory), "setfacl --default --modify user:me:rw -- /etc/nginx/conf.d"),
            (
                grant_existing("me", directory),
                "setfacl --recursive --physical --modify user:me:rwX -- /etc/nginx/conf.d",
            ),
            (
                share("me", 7, &[directory, Path::new("/a")]),
                "setfacl --modify user:me:rwx,default:user:me:rwx,default:user:7:rwx -- /etc/nginx/conf.d /a",
            ),
            (
                prepare("me", 7, directory),
                "setfacl --modify user:me:---,group::---,other::---,default:user::rwx,default:group::r-x,default:other::r-x,default:user:me:rwx,default:user:7:rwx -- /etc/nginx/conf.d",
            ),
            (
                open("me", directory),
                "setfacl --modify user:me:rwx,group::r-x,other::r-x -- /etc/nginx/conf.d",
            ),
            (let_read("me", &[directory]), "setfacl --modify user:me:r -- /etc/nginx/conf.d"),
            (grant_directory("me", directory), "setfacl --modify user:me:rwx -- /etc/nginx/conf.d"),
            (
                revoke("me", directory),
                "setfacl --recursive --physical --remove user:me,default:user:me -- /etc/nginx/conf.d",
            ),
        ] {
            assert_eq!(call.shown(), expected);
        }
    }
}
