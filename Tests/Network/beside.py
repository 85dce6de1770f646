"""The same transfer by Syncthing, in the same network, and how both are measured.

Both begin from two daemons of which one has everything and the other nothing. The clock runs from
the moment they are connected until the last byte lies under its final name at the receiver: for
Syncthing that is its temporary files renamed, for hanse complete objects. Both sync to disk.
"""

import json
import os
import re
import shutil
import subprocess
import time

import bed as network
from federation import wait

MEBIBYTE = 1 << 20


def follow(labs, late, missing):
    """Seconds from a late lab's first connection to its last payload; its daemon has just begun."""
    folder = labs.home(late) + "/objects"
    total = sum(missing.values())
    start = None
    begun = time.monotonic()
    while time.monotonic() - begun < 300:
        if start is None:
            page = labs.page(late, "peers", None)
            if page and any(peer["link"] != "none" for peer in page["peers"]):
                start = time.monotonic()
        elif held(folder) >= total and missing.keys() <= labs.objects(late).keys():
            return time.monotonic() - start
        time.sleep(0.005)
    return None


def held(folder):
    """Bytes in a folder and below."""
    total = 0
    for path, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.stat(f"{path}/{name}").st_size
            except FileNotFoundError:
                pass
    return total


class Device:
    """One Syncthing: it dials one address or none, discovers nobody, reports to nobody."""

    def __init__(self, bed, host, folder):
        self.bed, self.host, self.folder = bed, host, folder
        self.address = bed.add(host)
        os.makedirs(f"{folder}/files")
        os.makedirs(f"{folder}/files/.stfolder")
        network.run(*bed.inside(host, [
            "syncthing", "generate", f"--home={folder}/home", "--no-default-folder",
            "--skip-port-probing"]))
        self.id = network.run(*bed.inside(
            host, ["syncthing", f"--home={folder}/home", "--device-id"])).strip()
        self.process = None

    def configure(self, other, dials):
        """Two devices, one folder, everything that leaves the network off."""
        address = f"tcp4://{other.address}:22000" if dials else "dynamic"
        devices = "".join(
            f'<device id="{one.id}" compression="never">'
            f"<address>{where}</address></device>"
            for one, where in ((self, "dynamic"), (other, address)))
        off = "".join(f"<{name}>false</{name}>" for name in (
            "globalAnnounceEnabled", "localAnnounceEnabled", "relaysEnabled", "natEnabled",
            "crashReportingEnabled", "startBrowser", "announceLANAddresses"))
        text = (
            f'<configuration version="35"><folder id="f" path="{self.folder}/files" '
            f'type="sendreceive" rescanIntervalS="86400" fsWatcherEnabled="false">'
            f'<device id="{self.id}"></device><device id="{other.id}"></device></folder>{devices}'
            f'<gui enabled="true"><address>127.0.0.1:8384</address><apikey>key</apikey></gui>'
            f"<options><listenAddress>tcp4://{self.address}:22000</listenAddress>{off}"
            f"<urAccepted>-1</urAccepted><autoUpgradeIntervalH>0</autoUpgradeIntervalH>"
            f"<reconnectionIntervalS>1</reconnectionIntervalS></options></configuration>")
        with open(f"{self.folder}/home/config.xml", "w") as file:
            file.write(text)

    def start(self):
        self.log = open(f"{self.folder}/log", "a")
        self.process = subprocess.Popen(
            self.bed.inside(self.host, [
                "syncthing", "serve", f"--home={self.folder}/home", "--no-browser",
                "--no-upgrade", "--no-restart", "--no-default-folder", "--skip-port-probing"]),
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True)

    def ask(self, path):
        """A page of its interface, asked for in its namespace."""
        code = ("import sys, urllib.request as u; print(u.urlopen(u.Request("
                "'http://127.0.0.1:8384/rest/' + sys.argv[1], headers={'X-API-Key': 'key'}), "
                "timeout=5).read().decode())")
        done = subprocess.run(self.bed.inside(self.host, ["python3", "-c", code, path]),
                              capture_output=True, text=True)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def peak(self):
        total = 0
        for process in network.run("ip", "netns", "pids", self.bed.space(self.host)).split():
            try:
                with open(f"/proc/{process}/status") as file:
                    found = re.search(r"VmHWM:\s+(\d+)", file.read())
                    total = max(total, int(found.group(1)) * 1024 if found else 0)
            except FileNotFoundError:
                pass
        return total

    def stop(self):
        self.process.terminate()
        self.process.wait(60)
        self.log.close()


def syncthing(bed, size, repeats):
    """Seconds of each transfer of a file of so many bytes, and the peaks of both sides."""
    giver, taker = (Device(bed, name, f"{bed.folder}/{name}") for name in ("giver", "taker"))
    giver.configure(taker, dials=False)
    taker.configure(giver, dials=True)
    with open(f"{giver.folder}/files/payload", "wb") as file:
        file.write(os.urandom(size))
    seconds, peaks, others = [], [], []
    giver.start()
    wait("Syncthing has scanned the file", lambda: (
        (giver.ask("db/status?folder=f") or {}).get("localBytes", 0) >= size), 120)
    shutil.copytree(f"{taker.folder}/home", f"{taker.folder}/saved")
    for _ in range(repeats):
        taker.start()
        seconds.append(arrival(taker, size))
        peaks.append(taker.peak())
        others.append(giver.peak())
        taker.stop()
        for name in ("home", "files"):
            shutil.rmtree(f"{taker.folder}/{name}")
        shutil.copytree(f"{taker.folder}/saved", f"{taker.folder}/home")
        os.makedirs(f"{taker.folder}/files/.stfolder")
        open(f"{taker.folder}/log", "w").close()
    giver.stop()
    return seconds, peaks, others


def transfer(bed, binaries, size, repeats):
    """The same amount between two processes that only move it, by `hanse bench transfer`: seconds,
    and the peaks of who takes and who serves."""
    done = json.loads(network.run(*bed.inside("giver", [
        f"{binaries}/hanse", "bench", "transfer", "--json", "--size", str(size // MEBIBYTE + 1),
        "--repeats", str(repeats), "--directory", bed.folder])))
    return done["seconds"], done["peak_rss_bytes"], done["peak_rss_bytes_serving"]


def arrival(taker, size):
    """From its log: the line that says that the connection stands; to the file under its name."""
    log, path = f"{taker.folder}/log", f"{taker.folder}/files/payload"
    start = None
    begun = time.monotonic()
    while time.monotonic() - begun < 300:
        if start is None:
            with open(log) as file:
                if "Established secure connection" in file.read():
                    start = time.monotonic()
        elif os.path.exists(path) and os.path.getsize(path) == size:
            return time.monotonic() - start
        time.sleep(0.005)
    return None


def report(name, size, seconds, peaks, others):
    timed = sorted(one for one in seconds if one)
    if not timed:
        print(f"      {name}: nothing arrived", flush=True)
        return
    middle = timed[len(timed) // 2]
    print(f"      {name}: {size / MEBIBYTE:.0f} MiB, seconds "
          f"{' '.join(f'{one:.2f}' for one in timed)}, median {middle:.2f}, "
          f"{size / MEBIBYTE / middle:.0f} MiB/s; peak {max(peaks) / MEBIBYTE:.0f} MiB received, "
          f"{max(others) / MEBIBYTE:.0f} MiB sent", flush=True)
