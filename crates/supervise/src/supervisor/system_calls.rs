//! Which system calls a sandboxed command may make, and with which arguments (seccomp).
//!
//! Landlock judges files and signals. It says nothing of what one process may do to another by its number: set its limits (`prlimit`
//! with `RLIMIT_NOFILE` 0 cripples a daemon that no signal reaches), its priority, its scheduling. Nor of what all programs of a user share
//! beside the file system, nor of the kernel's less travelled parts. So here is a closed list of system calls ([`numbers`]), and of arguments
//! where a call is harmless with some only ([`refused_arguments`]). In a systemd unit its own filter is in front of this one; in a terminal,
//! a container or a test this is all there is.
//!
//! What it cannot do: look behind a pointer. Paths are not judged here, and therefore nothing can be said of `chmod` of a file of the same
//! user outside of the sandbox. That takes another user (`user = ...`). `clone3` and `openat2` hide their flags behind a pointer,
//! and so they do not exist; C libraries fall back to the older calls.
//!
//! Programs for another architecture (32-bit ones) are killed: their numbers mean something else.

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};
use std::collections::BTreeMap;

mod numbers;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: TargetArch = TargetArch::aarch64;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Filters this process's system calls and those of all that it starts; says whether the kernel does that.
pub(super) fn restrict_self() -> bool {
    // The later one is asked first, and where both refuse, its word counts.
    filters().is_some_and(|filters| filters.iter().all(|filter| seccompiler::apply_filter(filter).is_ok()))
}

fn filters() -> Option<[BpfProgram; 2]> {
    let numbers = |lists: [&[i64]; 2]| lists.concat().into_iter().map(|number| (number, Vec::new()));
    let allowed: Rules = numbers([numbers::ALLOWED, numbers::ALLOWED_HERE]).collect();
    let mut refused: Rules = numbers([numbers::REFUSED, numbers::REFUSED_HERE]).collect();
    refused.extend(refused_arguments()?);
    let refuse = |errno: i32| SeccompAction::Errno(errno.unsigned_abs());
    let allow = SeccompAction::Allow;
    let build = |rules, otherwise, matched| {
        SeccompFilter::new(rules, otherwise, matched, ARCHITECTURE).ok()?.try_into().ok()
    };
    Some([build(allowed, refuse(libc::ENOSYS), allow.clone())?, build(refused, allow, refuse(libc::EPERM))?])
}

/// Calls that are refused where one of their rules holds.
fn refused_arguments() -> Option<Rules> {
    let mut rules = Rules::new();
    let mut refuse = |number: i64, conditions: &[Condition]| {
        let conditions = conditions.iter().map(|condition| condition.compiled()).collect::<Option<_>>()?;
        rules.entry(number).or_default().push(SeccompRule::new(conditions).ok()?);
        Some(())
    };
    // Limits are read of everybody and set of oneself.
    refuse(libc::SYS_prlimit64, &[NotIs(0, 0), NotNull(2)])?;
    // (which, who): 0 is a process, 1 a group, 2 a user; who is 0 for one's own. A user's are everybody's.
    refuse(libc::SYS_setpriority, &[NotIs(1, 0)])?;
    refuse(libc::SYS_setpriority, &[Is(0, 2)])?;
    // Likewise, but from 1 on.
    refuse(libc::SYS_ioprio_set, &[NotIs(1, 0)])?;
    refuse(libc::SYS_ioprio_set, &[Is(0, 3)])?;
    for number in [
        libc::SYS_sched_setaffinity,
        libc::SYS_sched_setattr,
        libc::SYS_sched_setparam,
        libc::SYS_sched_setscheduler,
    ] {
        refuse(number, &[NotIs(0, 0)])?;
    }
    for flag in NAMESPACES {
        refuse(libc::SYS_unshare, &[Has(0, flag)])?;
        // There it is a part of the signal's number, and means nothing.
        if flag != CLONE_NEWTIME {
            refuse(libc::SYS_clone, &[Has(0, flag)])?;
        }
    }
    // 0xffff_ffff asks.
    refuse(libc::SYS_personality, &[NotIs(0, 0), NotIs(0, u32::MAX)])?;
    // Typing into the terminal that one was started from.
    for request in [TIOCSTI, TIOCLINUX] {
        refuse(libc::SYS_ioctl, &[Is(1, request)])?;
    }
    refuse_sockets(&mut refuse)?;
    refuse_modes(&mut refuse)?;
    Some(rules)
}

/// Everything but local sockets, TCP, UDP and what is built upon them, and questions about the host's own addresses.
fn refuse_sockets(refuse: &mut impl FnMut(i64, &[Condition]) -> Option<()>) -> Option<()> {
    let [unix, inet, inet6, netlink] =
        [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK].map(i32::unsigned_abs);
    let other = [NotIs(0, unix), NotIs(0, inet), NotIs(0, inet6), NotIs(0, netlink)];
    refuse(libc::SYS_socket, &other)?;
    refuse(libc::SYS_socketpair, &[NotIs(0, unix)])?;
    refuse(libc::SYS_socket, &[Is(0, netlink), NotIs(2, libc::NETLINK_ROUTE.unsigned_abs())])?;
    let [stream, datagram] = [libc::SOCK_STREAM, libc::SOCK_DGRAM].map(i32::unsigned_abs);
    for domain in [inet, inet6] {
        for kind in (0..=SOCKET_KIND_MASK).filter(|kind| ![stream, datagram].contains(kind)) {
            refuse(libc::SYS_socket, &[Is(0, domain), Masked(1, SOCKET_KIND_MASK, kind)])?;
        }
        for (kind, protocols) in [
            (stream, &[0, libc::IPPROTO_TCP, libc::IPPROTO_MPTCP][..]),
            (datagram, &[0, libc::IPPROTO_UDP, libc::IPPROTO_ICMP, libc::IPPROTO_ICMPV6]),
        ] {
            let other = protocols.iter().map(|protocol| NotIs(2, protocol.unsigned_abs()));
            let conditions: Vec<Condition> =
                [Is(0, domain), Masked(1, SOCKET_KIND_MASK, kind)].into_iter().chain(other).collect();
            refuse(libc::SYS_socket, &conditions)?;
        }
    }
    Some(())
}

/// A program that runs as its owner whoever starts it: somebody who is not in the sandbox could start it.
fn refuse_modes(refuse: &mut impl FnMut(i64, &[Condition]) -> Option<()>) -> Option<()> {
    for bit in [libc::S_ISUID, libc::S_ISGID] {
        for (number, mode) in
            [(libc::SYS_fchmod, 1), (libc::SYS_fchmodat, 2), (libc::SYS_mkdirat, 2), (libc::SYS_mknodat, 2)]
        {
            refuse(number, &[Has(mode, bit)])?;
        }
        // The mode means nothing where nothing is made.
        for makes in [libc::O_CREAT, O_TMPFILE] {
            refuse(libc::SYS_openat, &[Has(2, makes.unsigned_abs()), Has(3, bit)])?;
            #[cfg(target_arch = "x86_64")]
            refuse(libc::SYS_open, &[Has(1, makes.unsigned_abs()), Has(2, bit)])?;
        }
        #[cfg(target_arch = "x86_64")]
        for number in [libc::SYS_chmod, libc::SYS_mkdir, libc::SYS_mknod, libc::SYS_creat] {
            refuse(number, &[Has(1, bit)])?;
        }
    }
    Some(())
}

/// Of one argument, by its place.
#[derive(Debug, Clone, Copy)]
enum Condition {
    Is(u8, u32),
    NotIs(u8, u32),
    /// The whole of it: a pointer.
    NotNull(u8),
    /// All of these bits are set.
    Has(u8, u32),
    /// Of these bits, exactly those are set.
    Masked(u8, u32, u32),
}
use Condition::{Has, Is, Masked, NotIs, NotNull};

impl Condition {
    fn compiled(self) -> Option<SeccompCondition> {
        let (argument, length, operator, value) = match self {
            Is(argument, value) => (argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value),
            NotIs(argument, value) => (argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, value),
            NotNull(argument) => (argument, SeccompCmpArgLen::Qword, SeccompCmpOp::Ne, 0),
            Has(argument, bits) => {
                (argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(bits.into()), bits)
            }
            Masked(argument, mask, bits) => {
                (argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(mask.into()), bits)
            }
        };
        SeccompCondition::new(argument, length, operator, value.into()).ok()
    }
}

/// `linux/sched.h`: mount, UTS, IPC, user, process, network, control group, time.
const NAMESPACES: [u32; 8] = [
    0x0002_0000,
    0x0400_0000,
    0x0800_0000,
    0x1000_0000,
    0x2000_0000,
    0x4000_0000,
    0x0200_0000,
    CLONE_NEWTIME,
];
const CLONE_NEWTIME: u32 = 0x0000_0080;

/// `asm-generic/ioctls.h` and `linux/tiocl.h`.
const TIOCSTI: u32 = 0x5412;
const TIOCLINUX: u32 = 0x541c;

/// The kernel's own bit, without the one for directories that is said with it.
const O_TMPFILE: i32 = 0x0040_0000;

/// Above it are flags (`SOCK_CLOEXEC`, `SOCK_NONBLOCK`).
const SOCKET_KIND_MASK: u32 = 0xf;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_number_is_on_one_list_and_the_filters_can_be_built() {
        let allowed: Vec<i64> = [numbers::ALLOWED, numbers::ALLOWED_HERE].concat();
        let refused: Vec<i64> = [numbers::REFUSED, numbers::REFUSED_HERE].concat();
        let all: Vec<i64> = [&allowed[..], &refused].concat();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
        for hidden in [libc::SYS_clone3, libc::SYS_openat2] {
            assert!(!all.contains(&hidden), "{hidden}: its flags cannot be seen");
        }
        let by_argument = refused_arguments().unwrap();
        assert!(by_argument.keys().all(|number| allowed.contains(number)), "the others are refused anyway");
        assert!(filters().is_some());
    }
}
