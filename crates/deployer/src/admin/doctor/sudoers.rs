//! sudo's rules: sudoers(5), read as far as it takes to say what one user may do. [`parse`] is pure; [`judgement`] says what is too
//! wide.
//!
//! Where sudo would need to know more than the files say (netgroups, the host's name, LDAP) a rule counts as one that applies:
//! a warning too many is read and dismissed, one too few is not.

pub mod judgement;
mod lexer;
mod reading;

pub use reading::read;

use crate::admin::host::accounts::Account;
use lexer::{SudoersToken, tokens};
use std::collections::{HashMap, HashSet};

/// Aliases of aliases, at most: sudo itself refuses loops.
const ALIAS_DEPTH_MAX: usize = 16;

/// A line of a file, continuations joined, comments gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SudoersLine {
    pub place: String,
    pub text: String,
}

/// One command that a user may run, or (negated) may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Where it stands.
    pub place: String,
    /// As written, with its arguments: `/usr/bin/certbot`, `ALL`, `sudoedit /etc/x`.
    pub command: String,
    /// `!`: it takes away what was given before.
    pub negated: bool,
    /// Whether it may be run as root.
    pub as_root: bool,
    /// Without being asked for a password, which the service could not give.
    pub without_password: bool,
    /// `SETENV:`: with whatever variables the caller likes, `LD_PRELOAD` among them.
    pub with_variables: bool,
}

/// What all lines together say of one user, in order. Lines that cannot be read are left out: sudo refuses such files as a whole.
pub fn parse(lines: &[SudoersLine], user: &Account) -> Vec<Grant> {
    let aliases = Aliases::of(lines);
    let mut grants = Vec::new();
    let mut asks_nobody = false;
    for line in lines {
        let tokens = tokens(&line.text);
        if is_setting(&line.text) {
            asks_nobody |= line.text.contains("!authenticate");
        } else if alias_kind(&tokens).is_none() {
            grants.extend(grants_of(&tokens, line, user, &aliases).unwrap_or_default());
        }
    }
    // Whomever that setting is for: it may be the service.
    grants.iter_mut().for_each(|grant| grant.without_password |= asks_nobody);
    grants
}

/// What `sudo -l` printed: the user's rules, without users and hosts.
pub fn parse_listing(printed: &str) -> Vec<Grant> {
    let rules = printed.lines().skip_while(|line| !line.contains("may run the following commands")).skip(1);
    let mut grants = Vec::new();
    for rule in rules.filter(|rule| !rule.trim().is_empty()) {
        let line = SudoersLine { place: "sudo -l".into(), text: rule.trim().to_owned() };
        grants.extend(commands(&tokens(&line.text), &line, &Aliases::default()));
    }
    grants
}

fn is_setting(text: &str) -> bool {
    text.strip_prefix("Defaults").is_some_and(|rest| rest.starts_with([' ', '\t', '@', ':', '!', '>']))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum AliasKind {
    User,
    Runas,
    Command,
    Host,
}

fn alias_kind(tokens: &[SudoersToken]) -> Option<AliasKind> {
    match tokens.first()? {
        SudoersToken::Word(word) => match word.as_str() {
            "User_Alias" => Some(AliasKind::User),
            "Runas_Alias" => Some(AliasKind::Runas),
            "Cmnd_Alias" | "Cmd_Alias" => Some(AliasKind::Command),
            "Host_Alias" => Some(AliasKind::Host),
            _ => None,
        },
        _ => None,
    }
}

/// What names in capital letters stand for.
#[derive(Debug, Default)]
struct Aliases(HashMap<(AliasKind, String), Vec<SudoersToken>>);

impl Aliases {
    fn of(lines: &[SudoersLine]) -> Self {
        let mut aliases = HashMap::new();
        for line in lines {
            let tokens = tokens(&line.text);
            let Some(kind) = alias_kind(&tokens) else { continue };
            // `A = x, y : B = z`
            for definition in tokens[1..].split(|token| *token == SudoersToken::Colon) {
                if let [SudoersToken::Word(name), SudoersToken::Equals, members @ ..] = definition {
                    aliases.insert((kind, name.clone()), members.to_vec());
                }
            }
        }
        Self(aliases)
    }

    fn get(&self, kind: AliasKind, name: &str) -> Option<&[SudoersToken]> {
        self.0.get(&(kind, name.to_owned())).map(Vec::as_slice)
    }
}

/// The members of a list with commas: whether each is negated, and its words.
fn members(tokens: &[SudoersToken]) -> impl Iterator<Item = (bool, &[SudoersToken])> {
    tokens.split(|token| *token == SudoersToken::Comma).map(|member| {
        let negations = member.iter().take_while(|token| **token == SudoersToken::Not).count();
        (negations % 2 == 1, &member[negations..])
    })
}

/// Whether a list of users has this one; the last member that fits decides.
fn has_user(
    tokens: &[SudoersToken],
    kind: AliasKind,
    user: &Account,
    aliases: &Aliases,
    depth: usize,
) -> bool {
    let mut found = false;
    for (negated, member) in members(tokens) {
        let [SudoersToken::Word(word)] = member else { continue };
        let fits = match aliases.get(kind, word) {
            Some(alias) => depth < ALIAS_DEPTH_MAX && has_user(alias, kind, user, aliases, depth + 1),
            None => is_user(word, user),
        };
        if fits {
            found = !negated;
        }
    }
    found
}

fn is_user(word: &str, user: &Account) -> bool {
    if let Some(group) = word.strip_prefix('%') {
        let by_number = group.strip_prefix('#').and_then(|number| number.parse().ok());
        return by_number == Some(user.gid) || user.groups.iter().any(|known| known == group);
    }
    match word.strip_prefix('#') {
        Some(number) => number.parse() == Ok(user.uid),
        None => word == "ALL" || word == user.name,
    }
}

/// `users hosts = commands : hosts = commands`. None: this is no such line.
fn grants_of(
    tokens: &[SudoersToken],
    line: &SudoersLine,
    user: &Account,
    aliases: &Aliases,
) -> Option<Vec<Grant>> {
    let equals = tokens.iter().position(|token| *token == SudoersToken::Equals)?;
    // Two lists side by side: the first word that no comma or `!` ties to the one before it begins the hosts.
    let head = &tokens[..equals];
    let tied = |at: usize| matches!(head[at - 1], SudoersToken::Comma | SudoersToken::Not);
    let hosts = (1..head.len())
        .find(|&at| matches!(head[at], SudoersToken::Word(_) | SudoersToken::Not) && !tied(at))?;
    if !has_user(&head[..hosts], AliasKind::User, user, aliases, 0) {
        return None;
    }
    let mut grants = Vec::new();
    for (number, part) in tokens[equals + 1..].split(|token| *token == SudoersToken::Colon).enumerate() {
        let rules = match number {
            0 => part,
            // Of a further part: behind its hosts.
            _ => part
                .iter()
                .position(|token| *token == SudoersToken::Equals)
                .map_or(part, |at| &part[at + 1..]),
        };
        grants.extend(commands(rules, line, aliases));
    }
    Some(grants)
}

/// `(runas) TAG: command, TAG: command`; what stands before one command holds for those after it.
fn commands(tokens: &[SudoersToken], line: &SudoersLine, aliases: &Aliases) -> Vec<Grant> {
    let mut grants = Vec::new();
    let (mut as_root, mut without_password, mut with_variables) = (true, false, false);
    for mut rest in tokens.split(|token| *token == SudoersToken::Comma) {
        loop {
            match rest {
                [SudoersToken::Runas(runas), following @ ..] => {
                    as_root = includes_root(runas, aliases);
                    rest = following;
                }
                [SudoersToken::Word(option), SudoersToken::Equals, SudoersToken::Word(_), following @ ..]
                    if is_option(option) =>
                {
                    rest = following;
                }
                [SudoersToken::Tag(tag), following @ ..] => {
                    match tag.as_str() {
                        "NOPASSWD" => without_password = true,
                        "PASSWD" => without_password = false,
                        "SETENV" => with_variables = true,
                        "NOSETENV" => with_variables = false,
                        _ => {}
                    }
                    rest = following;
                }
                _ => break,
            }
        }
        let template = Grant {
            place: line.place.clone(),
            command: String::new(),
            negated: false,
            as_root,
            without_password,
            with_variables,
        };
        expand(rest, &template, aliases, &mut HashSet::new(), &mut grants);
    }
    grants
}

fn is_option(word: &str) -> bool {
    const OPTIONS: [&str; 10] = [
        "ROLE",
        "TYPE",
        "PRIVS",
        "LIMITPRIVS",
        "APPARMOR_PROFILE",
        "TIMEOUT",
        "NOTBEFORE",
        "NOTAFTER",
        "CWD",
        "CHROOT",
    ];
    OPTIONS.contains(&word)
}

/// The commands that one member of a list stands for.
fn expand(
    member: &[SudoersToken],
    template: &Grant,
    aliases: &Aliases,
    seen: &mut HashSet<String>,
    grants: &mut Vec<Grant>,
) {
    let negations = member.iter().take_while(|token| **token == SudoersToken::Not).count();
    let negated = template.negated ^ (negations % 2 == 1);
    let mut words: Vec<&str> = member[negations..].iter().map(SudoersToken::text).collect();
    // `sha256:HEX /path`: only a program with this content.
    while words.first().is_some_and(|word| is_digest(word)) {
        words.remove(0);
    }
    let (negated, words) = match words.first() {
        // The `!` may also stand behind the digest.
        Some(&"!") => (!negated, &words[1..]),
        _ => (negated, &words[..]),
    };
    let Some(first) = words.first() else { return };
    match aliases.get(AliasKind::Command, first) {
        Some(alias) if words.len() == 1 => {
            if !seen.insert((*first).to_owned()) {
                return;
            }
            let template = Grant { negated, ..template.clone() };
            alias
                .split(|token| *token == SudoersToken::Comma)
                .for_each(|member| expand(member, &template, aliases, seen, grants));
            seen.remove(*first);
        }
        _ => grants.push(Grant { command: words.join(" "), negated, ..template.clone() }),
    }
}

fn is_digest(word: &str) -> bool {
    ["sha224:", "sha256:", "sha384:", "sha512:"].iter().any(|kind| word.starts_with(kind))
}

/// Whether `(users : groups)` lets one be root. `(:group)` and `()` are the user itself.
fn includes_root(runas: &str, aliases: &Aliases) -> bool {
    let users = runas.split_once(':').map_or(runas, |(users, _)| users);
    let root = Account { uid: 0, gid: 0, name: "root".into(), home: None, groups: vec!["root".into()] };
    has_user(&tokens(users), AliasKind::Runas, &root, aliases, 0)
}

#[cfg(test)]
mod tests;
