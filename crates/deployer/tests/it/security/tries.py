"""What a hostile build tries, one thing after the other; prints a line for each: its name, what came of it, and the error.

Run as a build step, beside a file tries.json that says where things are. "refused": the kernel said no. "reached": it did not.
"bounded": it is possible, and limited by something that is said.
"""

import ctypes
import errno
import json
import os
import platform
import resource
import socket
import struct

WHERE = json.load(open("tries.json"))
DAEMON, NEIGHBOUR, SUPERVISOR = WHERE["daemon"], WHERE["neighbour"], os.getppid()
LIBC = ctypes.CDLL(None, use_errno=True)
REFUSALS = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EXDEV, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.EROFS}

# Name: number on x86_64, number on aarch64.
NUMBERS = {
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424), "process_madvise": (440, 440),
    "prlimit64": (302, 261), "setpriority": (141, 140), "ioprio_set": (251, 30), "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119), "sched_setattr": (314, 274), "migrate_pages": (256, 238), "shmget": (29, 194),
    "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180), "add_key": (248, 217), "request_key": (249, 218),
    "keyctl": (250, 219), "io_uring_setup": (425, 425), "bpf": (321, 280), "perf_event_open": (298, 241),
    "userfaultfd": (323, 282), "unshare": (272, 97), "clone": (56, 220), "clone3": (435, 435), "setns": (308, 268),
    "mount": (165, 40), "fsopen": (430, 430), "chroot": (161, 51), "pivot_root": (155, 41), "personality": (135, 92),
    "modify_ldt": (154, None), "iopl": (172, None), "clock_settime": (227, 112), "settimeofday": (164, 170),
    "adjtimex": (159, 171), "sethostname": (170, 161), "reboot": (169, 142), "kexec_load": (246, 104),
    "init_module": (175, 105), "finit_module": (313, 273), "swapon": (167, 224), "acct": (163, 89), "syslog": (103, 116),
    "quotactl": (179, 60), "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264), "fanotify_init": (300, 262),
    "openat2": (437, 437), "memfd_secret": (447, 447), "x32_getpid": (0x40000000 + 39, None), "future": (1000, 1000),
}
HERE = 0 if platform.machine() == "x86_64" else 1
TRIES = []


def attempt(name):
    def add(function):
        TRIES.append((name, function))
        return function
    return add


def call(name, *arguments):
    """A raw system call; OSError where it fails, but for what says that only the arguments were wrong: then it was allowed."""
    number = NUMBERS[name][HERE]
    if number is None:
        raise OSError(errno.ENOSYS, "not on this architecture")
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    ctypes.set_errno(0)
    result = LIBC.syscall(ctypes.c_long(number), *words)
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def raw(name, *arguments):
    attempt(name)(lambda: call(*arguments))


def read(path):
    with open(path, "rb") as file:
        file.read(1)


def append(path):
    with open(path, "ab") as file:
        file.write(b"x")


def files(name, *paths):
    """All of them are tried; one that is reached is enough."""
    def try_all(function):
        def run():
            refused = None
            for path in paths:
                try:
                    return function(path)
                except OSError as error:
                    refused = error
            raise refused
        attempt(name)(run)
    return try_all


FOREIGN = WHERE["foreign"]  # A file of another deployment's, with its owner's rights.
CONFIGURATION, RECORD, SECRET, MIRROR = WHERE["configuration"], WHERE["record"], WHERE["secret"], WHERE["mirror"]

# Files
attempt("read the deployer's configuration")(lambda: read(CONFIGURATION))
attempt("read the deployer's database")(lambda: read(RECORD))
attempt("write to the deployer's database")(lambda: append(RECORD))
attempt("read the webhook secret")(lambda: read(SECRET))
attempt("list the deployer's state")(lambda: os.listdir(WHERE["state"]))
attempt("put a job into a spool")(lambda: append(WHERE["spool"] + "/planted"))
attempt("read the git mirror")(lambda: read(MIRROR + "/HEAD"))
attempt("write to the git mirror")(lambda: append(MIRROR + "/config"))
attempt("read another deployment's .env")(lambda: read(FOREIGN))
attempt("write to another deployment's files")(lambda: append(FOREIGN))
attempt("make a file in another deployment")(lambda: append(os.path.dirname(FOREIGN) + "/planted"))
attempt("rename another deployment's file")(lambda: (os.rename(FOREIGN, FOREIGN + ".away"), os.rename(FOREIGN + ".away", FOREIGN)))
attempt("remove another deployment's file")(lambda: os.unlink(WHERE["decoy"]))
attempt("truncate another deployment's file by its path")(lambda: os.truncate(WHERE["truncated"], 1))
attempt("read through a symbolic link of one's own")(lambda: (os.symlink(FOREIGN, "link"), read("link")))
attempt("read through a hard link of one's own")(lambda: (os.link(FOREIGN, "hard"), read("hard")))
attempt("replace the deployment's own `current`")(lambda: os.rename("tries.json", WHERE["path"] + "/current"))
attempt("write to the live release")(lambda: append(WHERE["path"] + "/current/index.html"))
attempt("change another file's mode (chmod)")(lambda: os.chmod(FOREIGN, 0o640))
attempt("change another file's times (utime)")(lambda: os.utime(FOREIGN, (1, 1)))
attempt("see that a foreign file is there, its size and owner (stat)")(lambda: os.stat(FOREIGN))
attempt("give a file of one's own the set-user-ID bit")(lambda: os.chmod("tries.py", 0o4755))
attempt("make a file with the set-user-ID bit")(lambda: os.close(os.open("suid", os.O_CREAT | os.O_WRONLY, 0o4755)))
attempt("make a device")(lambda: os.mknod("disk", 0o60600, os.makedev(254, 0)))
attempt("write to /etc")(lambda: append("/etc/planted-by-a-test"))
attempt("write to /tmp")(lambda: append("/tmp/tried-by-a-test-of-durhack-deployer"))
raw("open a file by its handle", "open_by_handle_at", -1, 0, 0)
raw("ask for a file's handle", "name_to_handle_at", -100, ctypes.c_char_p(b"/"), 0, 0, 0)
raw("open with hidden flags (openat2)", "openat2", -100, ctypes.c_char_p(b"/"), 0, 0)
raw("watch a file system (fanotify)", "fanotify_init", 0x200, 0)
raw("set quotas", "quotactl", 0x80000800, 0, 0, 0)

# Processes
attempt("read the deployer's environment")(lambda: read(f"/proc/{DAEMON}/environ"))
attempt("read the deployer's memory")(lambda: read(f"/proc/{DAEMON}/mem"))
attempt("read the supervisor process's memory")(lambda: read(f"/proc/{SUPERVISOR}/mem"))
attempt("read another program's environment")(lambda: read(f"/proc/{NEIGHBOUR}/environ"))
attempt("open another program's memory for writing")(lambda: open(f"/proc/{NEIGHBOUR}/mem", "r+b").close())
attempt("list the numbers of another program's descriptors")(lambda: os.listdir(f"/proc/{NEIGHBOUR}/fd"))
attempt("see what another program's descriptors are of")(lambda: os.readlink(f"/proc/{NEIGHBOUR}/fd/0"))
attempt("change another program's score for the OOM killer")(lambda: open(f"/proc/{NEIGHBOUR}/oom_score_adj", "w").write("1000"))
attempt("signal the deployer")(lambda: os.kill(DAEMON, 18))
attempt("signal the supervisor process")(lambda: os.kill(SUPERVISOR, 18))
attempt("signal another program")(lambda: os.kill(NEIGHBOUR, 18))
attempt("signal another program by a pidfd")(lambda: call("pidfd_send_signal", call("pidfd_open", NEIGHBOUR, 0), 18, 0, 0))
raw("trace another program", "ptrace", 16, NEIGHBOUR, 0, 0)
raw("read another program's memory by system call", "process_vm_readv", NEIGHBOUR, 0, 0, 0, 0, 0)
raw("write another program's memory by system call", "process_vm_writev", NEIGHBOUR, 0, 0, 0, 0, 0)
attempt("take another program's descriptor")(lambda: call("pidfd_getfd", call("pidfd_open", NEIGHBOUR, 0), 0, 0))
raw("compare another program's resources", "kcmp", os.getpid(), NEIGHBOUR, 1, 0, 0)
attempt("page out another program")(lambda: call("process_madvise", call("pidfd_open", NEIGHBOUR, 0), 0, 0, 21, 0))
raw("move another program's memory", "migrate_pages", NEIGHBOUR, 0, 0, 0)


def set_limit(pid):
    call("prlimit64", pid, 7, ctypes.create_string_buffer(struct.pack("QQ", 1 << 10, 1 << 10)), 0)


attempt("set the deployer's limits")(lambda: set_limit(DAEMON))
attempt("set the supervisor process's limits")(lambda: set_limit(SUPERVISOR))
attempt("set another program's limits")(lambda: set_limit(NEIGHBOUR))
attempt("read another program's limits")(lambda: call("prlimit64", NEIGHBOUR, 7, 0, ctypes.create_string_buffer(16)))
raw("lower the deployer's priority", "setpriority", 0, DAEMON, 19)
# Of a user that has no process: where it were allowed, nobody would be hurt (ESRCH).
attempt("lower the priority of all of a user's programs")(lambda: call("setpriority", 2, 3999999999, 19))
raw("change the deployer's scheduling", "sched_setscheduler", DAEMON, 5, ctypes.create_string_buffer(4))
raw("change another program's scheduling", "sched_setattr", NEIGHBOUR, ctypes.create_string_buffer(struct.pack("IIQiIQQQ", 48, 5, 0, 0, 0, 0, 0, 0)), 0)
raw("bind the deployer to one processor", "sched_setaffinity", DAEMON, 8, ctypes.create_string_buffer(b"\1" + bytes(7)))
raw("lower the deployer's priority at the disk", "ioprio_set", 1, DAEMON, 3 << 13)
attempt("write to the control groups")(lambda: append("/sys/fs/cgroup/cgroup.procs"))

# What programs of one user share
raw("open another program's System V shared memory", "shmget", WHERE["shm_key"], 0, 0)
raw("make System V semaphores", "semget", 0, 1, 0o1600)
raw("make a System V message queue", "msgget", 0, 0o1600)
raw("open a POSIX message queue", "mq_open", ctypes.c_char_p(WHERE["queue"].encode()), 0o100, 0o600, 0)
attempt("open another program's POSIX shared memory (/dev/shm)")(lambda: append("/dev/shm/" + WHERE["shared"]))
raw("add a key to the kernel's keyrings", "add_key", ctypes.c_char_p(b"user"), ctypes.c_char_p(b"d"), ctypes.c_char_p(b"x"), 1, -4)
raw("look for a key in the kernel's keyrings", "request_key", ctypes.c_char_p(b"user"), ctypes.c_char_p(b"d"), 0, -4)
raw("read the user's keyring", "keyctl", 0, -4, 0)

# The kernel
raw("use io_uring", "io_uring_setup", 4, ctypes.create_string_buffer(120))
raw("load a BPF program", "bpf", 0, ctypes.create_string_buffer(120), 120)
raw("measure performance of others", "perf_event_open", ctypes.create_string_buffer(112), NEIGHBOUR, -1, -1, 0)
raw("handle page faults (userfaultfd)", "userfaultfd", 1)
raw("hide memory from the kernel (memfd_secret)", "memfd_secret", 0)
raw("make a user namespace (unshare)", "unshare", 0x10000000)
attempt("make a user namespace (clone)")(lambda: os._exit(0) if call("clone", 0x10000000 | 17, 0, 0, 0, 0) == 0 else None)
raw("make a process with hidden flags (clone3)", "clone3", ctypes.create_string_buffer(88), 88)
attempt("enter another program's namespace")(lambda: call("setns", call("pidfd_open", NEIGHBOUR, 0), 0x02000000))
raw("mount a file system", "mount", ctypes.c_char_p(b"none"), ctypes.c_char_p(b"."), ctypes.c_char_p(b"tmpfs"), 0, 0)
raw("open a file system to mount", "fsopen", ctypes.c_char_p(b"tmpfs"), 0)
raw("change the root directory (chroot)", "chroot", ctypes.c_char_p(b"."))
raw("change the root mount (pivot_root)", "pivot_root", ctypes.c_char_p(b"."), ctypes.c_char_p(b"."))
raw("change the execution domain (personality)", "personality", 0x0040000)
raw("install segments (modify_ldt)", "modify_ldt", 0, 0, 0)
raw("reach devices' ports (iopl)", "iopl", 3)
raw("set the clock", "clock_settime", 0, ctypes.create_string_buffer(struct.pack("qq", 1, 0)))
raw("set the time of day", "settimeofday", ctypes.create_string_buffer(struct.pack("qq", 1, 0)), 0)
attempt("tune the clock")(lambda: call("adjtimex", ctypes.create_string_buffer(struct.pack("I", 1) + bytes(204))))
raw("set the host's name", "sethostname", ctypes.c_char_p(b"x"), 1)
raw("reboot", "reboot", 0, 0, 0, 0)
raw("load another kernel", "kexec_load", 0, 0, 0, 0)
raw("load a kernel module", "init_module", 0, 0, 0)
raw("swap to a file", "swapon", ctypes.c_char_p(b"tries.py"), 0)
raw("write accounts of processes to a file", "acct", ctypes.c_char_p(b"tries.py"))
raw("read the kernel's log", "syslog", 3, ctypes.create_string_buffer(64), 64)
attempt("change the kernel's settings")(lambda: append("/proc/sys/kernel/core_pattern"))
raw("call by x32 numbers", "x32_getpid")
raw("call what no kernel has yet", "future")


@attempt("type into a terminal (TIOCSTI)")
def type_into_terminal():
    import fcntl
    _, slave = os.openpty()
    fcntl.ioctl(slave, 0x5412, b"x")


# Sockets
for number, what in [(17, "packets of the network card"), (40, "virtual machines' sockets"), (38, "the kernel's cryptography"), (31, "Bluetooth")]:
    attempt(f"open a socket for {what}")(lambda number=number: socket.socket(number, socket.SOCK_RAW if number == 17 else socket.SOCK_SEQPACKET if number == 38 else socket.SOCK_STREAM))
attempt("open a raw IP socket")(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
attempt("open an SCTP socket")(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132))
attempt("ask the kernel's audit (netlink)")(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9))
attempt("ask for the host's network addresses (netlink)")(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0))


def connect(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.connect(address)


attempt("connect to another program's abstract socket")(lambda: connect(socket.AF_UNIX, "\0" + WHERE["abstract"]))
attempt("connect to another program's socket in a closed directory (ssh agent, PostgreSQL)")(lambda: connect(socket.AF_UNIX, WHERE["socket"]))
attempt("connect to a port of this host (a database, Redis)")(lambda: connect(socket.AF_INET, ("127.0.0.1", WHERE["port"])))
attempt("connect to the deployer's own port")(lambda: connect(socket.AF_INET, ("127.0.0.1", WHERE["deployer_port"])))
attempt("list the host's sockets by name (/proc/net/unix)")(lambda: read("/proc/net/unix"))

# Using up


def bounded(number, limit=None):
    soft, hard = resource.getrlimit(number)
    if hard == resource.RLIM_INFINITY or (limit is not None and hard > limit):
        raise AssertionError(f"no limit: {hard}")
    return "bounded"


attempt("start processes without end")(lambda: bounded(resource.RLIMIT_NPROC))
attempt("write a file without end")(lambda: bounded(resource.RLIMIT_FSIZE))
attempt("leave core dumps")(lambda: bounded(resource.RLIMIT_CORE, 0))
attempt("use memory without end")(lambda: open("/proc/self/oom_score_adj").read().strip() == "500" and "bounded")
attempt("raise one's own limits")(lambda: resource.setrlimit(resource.RLIMIT_NPROC, (resource.RLIM_INFINITY,) * 2))
attempt("raise one's own priority")(lambda: os.setpriority(os.PRIO_PROCESS, 0, -5))
attempt("become a real-time process")(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)))
attempt("protect this process from the OOM killer")(lambda: open("/proc/self/oom_score_adj", "w").write("0"))
attempt("fill the disk with many files")(lambda: append("one-of-many"))
attempt("outlive the run (setsid, empty environment)")(lambda: os.spawnve(os.P_NOWAIT, "/usr/bin/setsid", ["setsid", "sleep", WHERE["seconds"]], {}) and "bounded")

for name, function in TRIES:
    try:
        answer = function()
        answer, why = (answer, "") if answer == "bounded" else ("reached", "")
    except OSError as error:
        # An argument that makes no sense is found out only after permission was given.
        answer, why = ("refused" if error.errno in REFUSALS else "reached"), errno.errorcode.get(error.errno, str(error.errno))
    except ValueError as error:
        answer, why = "refused", "EPERM"
    except AssertionError as error:
        answer, why = "reached", str(error)
    print(f"TRIED\t{name}\t{answer}\t{why}", flush=True)
print("ALL WAS TRIED", flush=True)
