"""A network of its own: a namespace for each lab, one bridge, thin links, and nothing left behind.

The bridge stands in a namespace too, so that no interface, route or packet of this machine is
touched. Everything is named after the process that made it, and is taken down at its end.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time

PREFIX = "hanse-net-"
KEPT = "kept"


class BedError(Exception):
    """The network could not be made: what failed, and the way out."""


def run(*words, check=True):
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if check and done.returncode != 0:
        raise BedError(f"{' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def leftovers():
    """Takes down what a run left that was killed before it could: its process is gone."""
    def is_left(name):
        owner = name[len(PREFIX):].split("-")[0]
        return (name.startswith(PREFIX) and owner.isdigit()
                and not os.path.exists(f"/proc/{owner}"))

    for line in run("ip", "netns", "list").splitlines():
        if line.split() and is_left(line.split()[0]):
            take_down(line.split()[0])
    for name in os.listdir("/tmp"):
        # What HANSE_KEEP_LABS kept is for people to remove.
        if is_left(name) and not os.path.exists(f"/tmp/{name}/{KEPT}"):
            shutil.rmtree(f"/tmp/{name}", ignore_errors=True)


def take_down(namespace):
    """Ends the processes of a namespace, all of them ours, and deletes it."""
    for attempt in range(100):
        processes = run("ip", "netns", "pids", namespace, check=False).split()
        if not processes:
            break
        for process in processes:
            try:
                os.kill(int(process), signal.SIGTERM if attempt == 0 else signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.05)
    run("ip", "netns", "del", namespace, check=False)


class Bed:
    """Namespaces on one bridge. Use with `with`: they are gone afterwards, however it ends."""

    def __init__(self):
        self.name = f"{PREFIX}{os.getpid()}"
        self.bridge = f"{self.name}-bridge"
        self.spaces = []
        self.addresses = {}
        self.folder = None

    def __enter__(self):
        leftovers()
        self.folder = tempfile.mkdtemp(prefix=f"{self.name}-", dir="/tmp")
        self._space(self.bridge)
        for bridge in ("whole", "apart"):
            run("ip", "-n", self.bridge, "link", "add", bridge, "type", "bridge")
            run("ip", "-n", self.bridge, "link", "set", bridge, "up")
        return self

    def __exit__(self, *_):
        # Whoever interrupts a second time waits: half a network would be left.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for space in reversed(self.spaces):
            take_down(space)
        if os.environ.get("HANSE_KEEP_LABS"):
            with open(f"{self.folder}/{KEPT}", "w"):
                print(f"kept {self.folder}", flush=True)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _space(self, name):
        run("ip", "netns", "add", name)
        self.spaces.append(name)
        run("ip", "-n", name, "link", "set", "lo", "up")

    def add(self, host):
        """A namespace on the bridge. Gives its address."""
        number = len(self.addresses) + 1
        space, port = f"{self.name}-{host}", f"p{number}"
        self._space(space)
        run("ip", "-n", self.bridge, "link", "add", port, "type", "veth", "peer", "name", "net",
            "netns", space)
        run("ip", "-n", self.bridge, "link", "set", port, "master", "whole", "up")
        address = f"10.77.{number // 250}.{number % 250 + 1}"
        run("ip", "-n", space, "addr", "add", address + "/16", "dev", "net")
        run("ip", "-n", space, "link", "set", "net", "up")
        self.addresses[host] = (address, port)
        return address

    def space(self, host):
        return f"{self.name}-{host}"

    def inside(self, host, command):
        """The command's words as run in a host's namespace."""
        return ["ip", "netns", "exec", self.space(host)] + command

    def thin(self, host, megabits):
        """Holds a host's link to so many megabits a second, both ways."""
        shape = ["root", "tbf", "rate", f"{megabits}mbit", "burst", "128kb", "latency", "300ms"]
        run("tc", "-n", self.space(host), "qdisc", "replace", "dev", "net", *shape)
        run("tc", "-n", self.bridge, "qdisc", "replace", "dev", self.addresses[host][1], *shape)

    def part(self, hosts):
        """Moves hosts to a bridge of their own: between the two, every packet is lost."""
        for host in hosts:
            run("ip", "-n", self.bridge, "link", "set", self.addresses[host][1], "master", "apart")

    def heal(self):
        """One network again."""
        for _, port in self.addresses.values():
            run("ip", "-n", self.bridge, "link", "set", port, "master", "whole")

    def received(self, host):
        """Bytes that came over a host's link, headers included."""
        path = "/sys/class/net/net/statistics/rx_bytes"
        return int(run(*self.inside(host, ["cat", path])))
