"""Another program of the user that builds run as: what it has is what `tries.py` reaches for. Ends with its standard input."""

import ctypes
import json
import os
import socket
import sys

directory = sys.argv[1]
name = f"durhack-neighbour-{os.getpid()}"
libc = ctypes.CDLL(None, use_errno=True)
key = 0x64000000 + os.getpid()
segment = libc.shmget(key, 4096, 0o1600)
shared = open(f"/dev/shm/{name}", "w")
closed = os.path.join(directory, "agent")
os.mkdir(closed, 0o700)
sockets = []
for family, address in [
    (socket.AF_UNIX, "\0" + name),
    (socket.AF_UNIX, os.path.join(closed, "socket")),
    (socket.AF_INET, ("127.0.0.1", 0)),
]:
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.bind(address)
    listening.listen()
    sockets.append(listening)
print(
    json.dumps(
        {
            "neighbour": os.getpid(),
            "shm_key": key,
            "shared": name,
            "queue": name,
            "abstract": name,
            "socket": os.path.join(closed, "socket"),
            "port": sockets[2].getsockname()[1],
        }
    ),
    flush=True,
)
sys.stdin.read()
libc.shmctl(segment, 0, 0)
os.unlink(f"/dev/shm/{name}")
