"""Labs with real homes and real daemons, each in a namespace of its own."""

import http.client
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time

import model

HERE = os.path.dirname(os.path.abspath(__file__))
PORT = 7400


class LabError(Exception):
    """Something a lab should do did not happen."""


class Control(http.client.HTTPConnection):
    """HTTP over a daemon's control socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


# What a daemon says that has just started.
NOT_YET = ("where its own log ends", "not ready to take requests")


def wait(what, holds, seconds=120.0, pause=0.1):
    """Waits until something holds; gives how long that took and what it gave."""
    start = time.monotonic()
    while True:
        value = holds()
        if value:
            return time.monotonic() - start, value
        if time.monotonic() - start > seconds:
            raise LabError(f"not within {seconds:g} s: {what}")
        time.sleep(pause)


class Federation:
    """Some labs on a bed. `shape` is the model's, `rules` are options of `hanse init`."""

    def __init__(self, bed, binaries, names, rules, shape=None, begin=None, name="net"):
        self.bed, self.binaries, self.rules = bed, binaries, rules
        self.folder = os.path.join(bed.folder, name)
        self.names, self.addresses, self.daemons, self.limits = [], {}, {}, {}
        self.begin = begin or len(names)
        os.makedirs(self.folder)
        model.write(self.folder + "/model", **(shape or {}))
        for lab in names:
            self.enrol(lab)

    # Homes

    def home(self, lab):
        return f"{self.folder}/{lab}"

    def enrol(self, lab, advertise=None, start=True):
        """Makes a lab's home, has it approved by those that are there, and starts its daemon."""
        number = len(self.addresses)
        address = self.addresses.get(lab) or self.bed.add(f"{os.path.basename(self.folder)}-{lab}")
        self.addresses[lab] = address
        with open(f"{self.folder}/{lab}.jsonl", "w") as file:
            file.write(model.text(number))
        own = ["--home", self.home(lab), "--name", lab, "--model", self.folder + "/model",
               "--data", f"{self.folder}/{lab}.jsonl", "--listen", f"{address}:{PORT}"]
        if not self.names:
            self.hanse(lab, ["init", "--federation", "net", "--labs-to-begin", str(self.begin)]
                       + self.rules + own)
        else:
            ticket = self.signs(self.names[0], ["invite"]).strip()
            self.signs(lab, ["join", ticket] + own)
        self.configure(lab, advertise)
        self.start(lab)
        members = [member for member in self.names if member in self.daemons]
        self.names.append(lab)
        for member in members:
            wait(f"{member} has the request of {lab}, or its admission",
                 lambda m=member: lab in self.roster(m) or self.approve(m, lab))
        try:
            wait(f"everybody knows {lab}",
                 lambda: all(lab in self.roster(m) for m in members + [lab]))
        except LabError as error:
            without = [m for m in members + [lab] if lab not in self.roster(m)]
            raise LabError(f"{error}; not {without}: "
                           + str({m: self.last_words(m) for m in without})) from None

    def configure(self, lab, advertise):
        self.limits[lab] = f"{self.folder}/{lab}.limit"
        worker = [sys.executable, f"{HERE}/gate.py", self.limits[lab], f"{self.binaries}/hanse",
                  "worker", "--model", self.folder + "/model", "--dtype", "f32"]
        with open(self.home(lab) + "/hanse.toml") as file:
            lines = file.read().replace("[training]\n", "[training]\nheld_out_tokens = 256\n")
        head = f"advertise = {json.dumps(advertise)}\n" if advertise else ""
        with open(self.home(lab) + "/hanse.toml", "w") as file:
            file.write(f"{head}{lines}\n[worker]\ncommand = {json.dumps(worker)}\n")
        self.let(0, [lab])

    def let(self, last, labs=None):
        """Lets rounds up to `last` be trained."""
        for lab in labs or self.names:
            with open(self.limits[lab] + ".new", "w") as file:
                file.write(str(last))
            os.rename(self.limits[lab] + ".new", self.limits[lab])

    def rest(self, labs=None, attempts=5):
        """Lets the round that is under way and the next be the last, and waits until all labs stand
        on one head. A lab that left a round without one that was slow may have begun the next from
        its smaller head, which it then keeps until it has trained: another round is let through."""
        last = max((head["round"] for head in self.heads(labs) if head), default=0) + 2
        for attempt in range(1, attempts + 1):
            self.let(last)
            try:
                return self.one_head(last, labs, seconds=120)
            except LabError:
                if attempt == attempts:
                    raise
                last += 1

    def approve(self, member, subject):
        try:
            self.hanse(member, ["approve", subject, "--yes"])
            return True
        except LabError:
            return False

    # Daemons

    def start(self, lab, patience=120.0):
        with open(f"{self.folder}/{lab}.log", "a") as log:
            self.daemons[lab] = subprocess.Popen(
                self.bed.inside(f"{os.path.basename(self.folder)}-{lab}",
                                [f"{self.binaries}/hansed", "--home", self.home(lab)]),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

        def answers():
            if self.daemons[lab].poll() is not None:
                raise LabError(f"the daemon of {lab} ended with {self.daemons[lab].returncode}: "
                               + self.last_words(lab))
            return self.page(lab, "status", None)

        wait(f"the daemon of {lab} answers", answers, patience, 0.02)

    def stop(self, lab, how=signal.SIGTERM, patience=120):
        daemon = self.daemons.pop(lab, None)
        if daemon is None:
            return 0
        daemon.send_signal(how)
        return daemon.wait(patience)

    def stop_all(self):
        return [(lab, code) for lab in list(self.daemons) if (code := self.stop(lab)) != 0]

    def last_words(self, lab):
        with open(f"{self.folder}/{lab}.log") as file:
            return " | ".join(file.read().splitlines()[-5:])

    def peak(self, lab):
        """The most memory that a daemon ever held, in bytes."""
        with open(f"/proc/{self.daemons[lab].pid}/status") as file:
            for line in file:
                if line.startswith("VmHWM"):
                    return int(line.split()[1]) * 1024
        return 0

    # Asking

    def hanse(self, lab, words, code=0):
        """Runs `hanse` in a lab's namespace; gives what it says."""
        words = list(words)
        if "--home" not in words:
            words += ["--home", self.home(lab)]
        done = subprocess.run(
            self.bed.inside(f"{os.path.basename(self.folder)}-{lab}",
                            [f"{self.binaries}/hanse"] + words),
            stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != code:
            raise LabError(f"hanse {' '.join(words)} ended with {done.returncode}: "
                           + done.stderr + done.stdout)
        return done.stdout

    def signs(self, lab, words):
        """What a lab does under its name, once a daemon that has just started may sign."""
        def done():
            try:
                return [self.hanse(lab, words)]
            except LabError as error:
                if not any(why in str(error) for why in NOT_YET):
                    raise
                return None

        return wait(f"{lab} may sign: hanse {words[0]}", done)[1][0]

    def page(self, lab, name, *otherwise):
        """A page of a running daemon; the second argument instead, when it does not answer."""
        try:
            control = Control(self.home(lab) + "/control.sock")
            control.request("GET", "/v1/" + name)
            answer = control.getresponse()
            page = json.loads(answer.read())
            control.close()
            if answer.status != 200:
                raise LabError(f"{lab}: {page}")
            return page
        except (OSError, http.client.HTTPException, LabError):
            if otherwise:
                return otherwise[0]
            raise

    def roster(self, lab):
        page = self.page(lab, "roster", None)
        return [row["lab"]["name"] for row in page["labs"]] if page else []

    def heads(self, labs=None):
        pages = [self.page(lab, "status", None) for lab in labs or self.daemons]
        return [page["head"] if page else None for page in pages]

    def one_head(self, round, labs=None, seconds=300.0, sealed=False):
        """Waits until all heads are one, of this round or later; gives how long and the head."""
        labs = list(labs or self.daemons)

        def same():
            heads = self.heads(labs)
            if any(head is None or head["round"] < round for head in heads):
                return None
            if sealed and not all(head["sealed"] for head in heads):
                return None
            return heads[0] if len({(h["id"], h["state_root"]) for h in heads}) == 1 else None

        try:
            return wait(f"one head of round {round} or later", same, seconds)
        except LabError as error:
            seen = [(lab, head and (head["round"], head["id"][:8], head["sealed"]))
                    for lab, head in zip(labs, self.heads(labs))]
            details = [(lab, page and page["detail"])
                       for lab in labs for page in [self.page(lab, "status", None)]]
            raise LabError(f"{error}; heads: {seen}; {details}") from None

    def received(self, lab):
        """What came to a lab since its daemon began: all counts, added up over its peers."""
        total = dict.fromkeys(
            ("entries", "duplicate_entries", "block_bytes", "wasted_block_bytes"), 0)
        for peer in self.page(lab, "peers")["peers"]:
            for key in total:
                total[key] += peer.get("received", {}).get(key, 0)
        return total

    def entries(self, lab):
        """Every entry in a lab's store: its id by author and place."""
        database = sqlite3.connect(f"file:{self.home(lab)}/hanse.sqlite?mode=ro", uri=True)
        try:
            return {(bytes(row[0]), row[1]): bytes(row[2]) for row in
                    database.execute("SELECT lab, sequence, id FROM entries")}
        finally:
            database.close()

    def objects(self, lab):
        """Complete objects in a lab's store: size by id."""
        database = sqlite3.connect(f"file:{self.home(lab)}/hanse.sqlite?mode=ro", uri=True)
        try:
            return {bytes(row[0]): row[1] for row in
                    database.execute("SELECT id, size FROM objects WHERE complete")}
        finally:
            database.close()

    def payloads_of_others(self, lab):
        """Bytes of the payloads that others announced and this lab has whole."""
        total = 0
        log = json.loads(self.hanse(lab, ["log", "--json", "--limit", "10000"]))
        rows = [row for merge in log["merges"] for row in merge["contributions"]] + log["open"]
        for row in rows:
            total += row["bytes"] if row["author"]["name"] != lab else 0
        return total

    # At the end

    def inspect(self, check, labs=None):
        """With all daemons stopped: fsck and replay of every home, forks, and one root."""
        labs = labs or self.names
        roots, everything = set(), {}
        for lab in labs:
            damages = json.loads(self.hanse(lab, ["fsck", "--json"]))["damages"]
            check(f"{lab}: fsck is clean", not damages, damages)
            page = json.loads(self.hanse(lab, ["verify", "--json"]))
            check(f"{lab}: the replay finds nothing", page["ok"], page["findings"])
            roots.add((page["head"]["id"], page["head"]["state_root"]))
            for place, entry in self.entries(lab).items():
                if everything.setdefault(place, entry) != entry:
                    check(f"{lab}: one entry for one place", False, place)
        return roots

