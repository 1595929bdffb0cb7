//! Users and groups of this machine, as `/etc/passwd` and `/etc/group` have them. Accounts that are kept elsewhere (LDAP) have a
//! number here and no name.

use anyhow::Result;
use fs_err as fs;
use rustix::process::geteuid;
use std::path::PathBuf;

const PASSWD: &str = "/etc/passwd";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub uid: u32,
    /// Its main group's number.
    pub gid: u32,
    /// Its name, or its number where it has none.
    pub name: String,
    /// None where it has none.
    pub home: Option<PathBuf>,
    /// The names of all groups it is in.
    pub groups: Vec<String>,
}

impl Account {
    /// Who runs this.
    pub fn ours() -> Self {
        Self::of(geteuid().as_raw())
    }

    /// The user of this number.
    pub fn of(uid: u32) -> Self {
        parse(uid, &read(PASSWD), &read("/etc/group"))
    }

    /// The user of this name, if there is one.
    pub fn named(name: &str) -> Option<Self> {
        uid_of(name, &read(PASSWD)).map(Self::of)
    }

    /// Whether it may do everything.
    pub fn is_root(&self) -> bool {
        self.uid == 0
    }
}

/// Nothing where it cannot be read: then nobody has a name.
fn read(path: &str) -> String {
    fs_err::read_to_string(path).unwrap_or_default()
}

fn uid_of(name: &str, passwd: &str) -> Option<u32> {
    let mut lines = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    lines.find(|fields| fields.first() == Some(&name))?.get(2)?.parse().ok()
}

fn parse(uid: u32, passwd: &str, group: &str) -> Account {
    let number = uid.to_string();
    let fields = passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.get(2) == Some(&number.as_str()));
    let field = |at: usize| fields.as_ref().and_then(|fields| fields.get(at).copied());
    let name = field(0).unwrap_or(&number).to_owned();
    let main_group = field(3).unwrap_or(&number);
    let groups = group.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let &[group, _, id, members] = fields.as_slice() else { return None };
        let is_member = id == main_group || members.split(',').any(|member| member == name);
        is_member.then(|| group.to_owned())
    });
    Account {
        uid,
        gid: main_group.parse().unwrap_or(uid),
        groups: groups.collect(),
        home: field(5).filter(|home| !home.is_empty()).map(PathBuf::from),
        name,
    }
}

/// A user's ids. Of the system's own file: it is no user of a directory service.
pub fn account(name: &str) -> Result<Option<(u32, u32)>> {
    Ok(account_in(&fs::read_to_string("/etc/passwd")?, name))
}

/// A user's home, by the system's own file.
pub fn home_of(name: &str) -> Result<Option<PathBuf>> {
    let users = fs::read_to_string("/etc/passwd")?;
    let mut lines = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let fields = lines.find(|fields| fields.first() == Some(&name));
    Ok(fields.and_then(|fields| fields.get(5).map(PathBuf::from)))
}

pub fn account_in(users: &str, name: &str) -> Option<(u32, u32)> {
    let mut lines = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let fields = lines.find(|fields| fields.first() == Some(&name))?;
    Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_groups_are_found() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nweb:x:998:997::/var/lib/web:/usr/sbin/nologin\n";
        let group = "root:x:0:\nweb:x:997:\nssl-cert:x:105:ada,web\nadm:x:4:ada\n";
        let web = parse(998, passwd, group);
        assert_eq!((web.name.as_str(), web.gid), ("web", 997));
        assert_eq!(
            (web.home, web.groups),
            (Some("/var/lib/web".into()), vec!["web".into(), "ssl-cert".into()])
        );
        assert_eq!([uid_of("web", passwd), uid_of("we", passwd)], [Some(998), None]);
        let unknown = parse(4711, passwd, group);
        assert_eq!((unknown.name.as_str(), unknown.gid, unknown.groups.len()), ("4711", 4711, 0));
    }
}
