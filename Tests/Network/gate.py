"""A worker in front of the worker: lets so many rounds be trained and holds the next one.

usage: gate.py LIMIT WORKER…

LIMIT is a file with the last round that may be trained, read anew while a job waits. So a
federation comes to rest at a round, its daemons alive, and counters can be read that nothing moves
any more. Everything else passes as it is; see Protocol/Worker.md.
"""

import json
import os
import queue
import subprocess
import sys
import threading


def say(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def limit(path):
    try:
        with open(path) as file:
            return int(file.read() or 0)
    except (FileNotFoundError, ValueError):
        return 0


def main():
    limit_file, command = sys.argv[1], sys.argv[2:]
    os.environ["HANSE_THREADS"] = "1"  # ten of them share a machine
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    lines = queue.Queue()

    def listen():
        for line in sys.stdin:
            lines.put(line)
        lines.put(None)

    def answer():
        for line in worker.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
        os._exit(worker.wait())

    for work in (listen, answer):
        threading.Thread(target=work, daemon=True).start()
    held = None

    def forward(line):
        worker.stdin.write(line)
        worker.stdin.flush()

    while True:
        try:
            line = lines.get(timeout=0.1)
        except queue.Empty:
            line = ""
        if line is None:
            worker.stdin.close()
            worker.wait()
            return
        if line:
            message = json.loads(line)
            if message.get("job") == "train":
                held = message
            elif message.get("job") == "cancel" and held and held["id"] == message["id"]:
                say({"version": 1, "event": "cancelled", "id": held["id"]})
                held = None
            else:
                forward(line)
        if held:
            # The daemon calls a round's output after the round.
            number = held["train"]["output"].rsplit("-", 1)[-1]
            if not number.isdigit() or int(number) <= limit(limit_file):
                forward(json.dumps(held) + "\n")
                held = None


main()
