"""What real daemons are put through. A scenario takes a bed, the binaries, checks, options."""

import random
import shutil
import signal
import subprocess
import sys
import time

from federation import HERE, PORT, Federation, LabError, wait

# Everything is let in, rounds are as short as they can be: what is tested is the network.
EAGER = ["--local-steps", "3", "--batch", "2", "--length", "32", "--learning-rate", "0.01",
         "--tolerance", "100"]
MEBIBYTE = 1 << 20
FOR_EVER = 1_000_000
MEDIUM = {"hidden": 128, "layers": 4, "intermediate": 128}


def rules(grace, rank=4):
    return EAGER + ["--grace", str(grace), "--rank", str(rank), "--alpha", str(2 * rank)]


def wide(layers):
    """A small model with wide factors: its adapter is twice as large as itself."""
    return {"hidden": 256, "layers": layers, "intermediate": 256}


def names(count):
    return [f"lab{number}" for number in range(count)]


def same_entries(labs, check):
    """Nothing lost: every store has every entry."""
    stores = {lab: labs.entries(lab) for lab in labs.names}
    union = {}
    for store in stores.values():
        union.update(store)
    for lab, store in stores.items():
        check(f"{lab}: has all {len(union)} entries", store == union,
              f"{len(union) - len(store)} are missing")


def one_root(labs, check):
    roots = labs.inspect(check)
    check("one state root everywhere", len(roots) == 1, roots)


def traffic(bed, binaries, check, options, advertise=None, name="thin"):
    """So many labs on thin links publish so much, and come to rest: same root, hardly a byte
    twice."""
    rounds, count = options.rounds, options.labs
    shape = MEDIUM if options.quick else wide(options.layers)
    labs = Federation(bed, binaries, [], rules(3600, rank=64 if options.quick else 256), shape,
                      begin=count, name=name)
    for lab in names(count):
        address = bed.add(f"{name}-{lab}")
        labs.addresses[lab] = address
        labs.enrol(lab, advertise and advertise(lab, address))
    for lab in labs.names:
        bed.thin(f"{name}-{lab}", options.megabits)
    wire = {lab: bed.received(f"{name}-{lab}") for lab in labs.names}
    labs.let(rounds)
    seconds, head = labs.one_head(rounds, seconds=options.patience, sealed=True)
    check(f"{count} labs come to one sealed head of round {rounds} ({seconds:.0f} s)",
          head["round"] == rounds, head)
    # At rest: attestations have been heard by everybody when all stores are the same.
    wait("all stores have the same entries",
         lambda: len({frozenset(labs.entries(lab).items()) for lab in labs.names}) == 1, 120)
    worst, most = 0.0, 0
    for lab in labs.names:
        received, ideal = labs.received(lab), labs.payloads_of_others(lab)
        ratio = received["block_bytes"] / max(1, ideal)
        over = (bed.received(f"{name}-{lab}") - wire[lab]) / max(1, ideal)
        worst, most = max(worst, ratio), max(most, ideal)
        print(f"      {lab}: {received['block_bytes'] / MEBIBYTE:.1f} MiB of payloads for "
              f"{ideal / MEBIBYTE:.1f}, ratio {ratio:.4f}, on the wire {over:.3f}; "
              f"{received['duplicate_entries']} of {received['entries']} entries in vain; peak "
              f"{labs.peak(lab) / MEBIBYTE:.0f} MiB", flush=True)
        check(f"{lab}: has every payload", ratio >= 1, ratio)
    if advertise is None or not options.quick:
        amount = f"worst {worst:.4f} of {most / MEBIBYTE:.0f} MiB"
        check(f"bytes received / ideal at most 1.05 ({amount})", worst <= 1.05, worst)
    same_entries(labs, check)
    check("all daemons end with success", not labs.stop_all())
    one_root(labs, check)


def thin(bed, binaries, check, options):
    """(a) thin links"""
    traffic(bed, binaries, check, options)


def faults(bed, binaries, check, options):
    """(b) the same, and a proxy before some that delays, stalls, resets, flips, goes deaf"""
    proxy_address = bed.add("proxy")
    pairs, process = [], []

    def advertise(lab, address):
        """Six of ten are reached through the proxy only."""
        number = int(lab[3:])
        if number % 5 > 2:
            return None
        # A proxy for each, so that it listens before anybody dials.
        port = PORT + 100 + number
        pairs.append(f"{proxy_address}:{port}={address}:{PORT}")
        started = subprocess.Popen(
            bed.inside("proxy", [sys.executable, f"{HERE}/proxy.py", str(number), pairs[-1]]),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.stdout.readline()
        process.append(started)
        return [f"{proxy_address}:{port}"]

    traffic(bed, binaries, check, options, advertise, "faults")
    struck = {}
    for one in process:
        one.stdin.write("\n")
        one.stdin.flush()
        for word in one.stdout.readline().split():
            fault, count = word.split("=")
            struck[fault] = struck.get(fault, 0) + int(count)
        one.stdin.close()
        one.terminate()
        one.wait()
    print(f"      connections and faults: {struck}", flush=True)
    check("every kind of fault struck", options.quick or all(struck.values()), struck)


def partition(bed, binaries, check, options):
    """(c) five labs parted 2 | 3 for ten rounds, then healed"""
    labs = Federation(bed, binaries, names(5), rules(2), name="part")
    labs.let(FOR_EVER)
    labs.one_head(3)
    few, many = labs.names[:2], labs.names[2:]
    loss = {lab: labs.page(lab, "status")["held_out"]["now"] for lab in labs.names}
    bed.part([f"part-{lab}" for lab in few])
    before = max(head["round"] for head in labs.heads())
    rounds = 2 if options.quick else 10
    seconds, _ = wait(f"the three go on for {rounds} rounds",
                      lambda: all(head and head["round"] >= before + rounds
                                  for head in labs.heads(many)), 900)
    print(f"      parted at round {before}; {rounds} rounds of the three took {seconds:.0f} s",
          flush=True)
    # Long enough that every connection between the two sides is given up.
    parted = time.monotonic()
    while not options.quick and time.monotonic() - parted < 120:
        time.sleep(1)
    # The two may still finish what they had in hand.
    for lab in few:
        page = labs.page(lab, "status")
        check(f"{lab} waits at round {page['head']['round']}",
              page["head"]["round"] <= before + 1, page["head"])
        said = labs.hanse(lab, ["status"])
        why = [line.strip() for line in said.splitlines()
               if "wait" in line or "quorum" in line or "heard" in line]
        print(f"      {lab} says: {page['activity']}: {page['detail']}", flush=True)
        check(f"{lab} says in `hanse status` for whom it waits",
              page["activity"] == "waiting" and any(name in page["detail"] for name in many), why)
    sealed = [head["sealed"] for head in labs.heads(many)]
    print(f"      of the three, sealed: {sealed}", flush=True)
    bed.heal()
    healed = time.monotonic()
    target = max(head["round"] for head in labs.heads(many))
    seconds, head = labs.one_head(target, seconds=300)
    check(f"one head within 60 s of healing ({seconds:.1f} s)", seconds <= 60, seconds)
    wait("that round is sealed everywhere",
         lambda: all(h and (h["sealed"] and h["round"] >= target or h["round"] > target + 1)
                     for h in labs.heads()), 120)
    check(f"sealed soon after ({time.monotonic() - healed:.1f} s after healing)", True)
    now = {lab: labs.page(lab, "status")["held_out"]["now"] for lab in labs.names}
    mean, then = (sum(values.values()) / len(values) for values in (now, loss))
    check(f"loss not worse ({then:.4f} before, {mean:.4f} now, mean of five)",
          mean <= then + 0.02, now)
    labs.rest()
    check("all daemons end with success", not labs.stop_all())
    labs.inspect(check)


def kills(bed, binaries, check, options):
    """(d) kill -9 at random instants: rounds, merges, roster changes"""
    chance = random.Random(options.seed)
    labs = Federation(bed, binaries, names(5), rules(2), name="kill")
    begun = labs.rest()[1]["round"]
    ids = {labs.page(lab, "status")["lab"]["name"]: lab for lab in labs.names}
    check("five labs run", len(ids) == 5)
    shown = {lab: {} for lab in labs.names}
    lost, gone, count = [], [], options.kills
    for kill in range(count):
        # A round for each kill, so that rounds are under way and logs stay of a length to compare.
        labs.let(begun + kill + 3)
        time.sleep(chance.uniform(0, 1.5))
        if kill % max(4, count // 8) == 3:
            change_roster(labs, chance, shown, gone)
        victim = chance.choice([lab for lab in labs.daemons])
        labs.stop(victim, signal.SIGKILL)
        for lab in labs.names:
            entries = labs.entries(lab)
            lost += [(kill, lab, place) for place, entry in shown[lab].items()
                     if entries.get(place) != entry]
            shown[lab].update(entries)
        # What others have of the victim's own log it had kept before it sent it.
        for lab in labs.names:
            lost += [(kill, victim, "sent before it was durable", place)
                     for place, entry in shown[lab].items()
                     if place[0] == own_id(labs, victim) and shown[victim].get(place) != entry]
        labs.start(victim)
        if kill % 20 == 19:
            rounds = [head and head["round"] for head in labs.heads()]
            print(f"      {kill + 1} kills, {len(lost)} entries lost, rounds {rounds}", flush=True)
    check(f"{count} kills: nothing acknowledged is lost", not lost, lost[:5])
    stay = [lab for lab in labs.names if lab not in gone]
    labs.rest(stay)
    check("the labs go on together", True)
    codes = labs.stop_all()
    check("all daemons end with success", not codes, codes)
    roots = labs.inspect(check, stay)
    print(f"      heads at the end: {[root[0][:8] for root in roots]}", flush=True)
    check("one state root for one merge", len({m for m, _ in roots}) == len(roots), roots)


def own_id(labs, lab):
    """A lab's id as its own log has it, remembered."""
    cache = labs.__dict__.setdefault("own_ids", {})
    if lab not in cache:
        import base64
        for member in labs.daemons:
            page = labs.page(member, "roster", None)
            for row in page["labs"] if page else []:
                text = row["lab"]["id"].upper()
                cache[row["lab"]["name"]] = base64.b32decode(text + "=" * (-len(text) % 8))
    return cache.get(lab)


def change_roster(labs, chance, shown, gone):
    """Somebody joins, or who joined last is removed; kills go on while it is enacted."""
    extra = [lab for lab in labs.names if lab.startswith("guest") and lab not in gone]
    if extra:
        lab = extra[-1]
        own_id(labs, lab)
        stay = [member for member in labs.names if member not in gone and member != lab]
        labs.signs(stay[0], ["revoke", lab, "--reason", "leaves"])
        proposal = [row["id"] for row in labs.page(stay[0], "pending")["proposals"]]
        for member in stay[1:]:
            wait(f"{member} approves the removal of {lab}",
                 lambda m=member: lab not in labs.roster(m)
                 or any(labs.approve(m, one) for one in proposal))
        labs.stop(lab)
        gone.append(lab)
    else:
        lab = f"guest{len(gone)}"
        labs.enrol(lab)
        shown[lab] = {}


def prepared(bed, binaries, options, name, megabytes):
    """Three labs, of which one was away while the others published so much together.

    Gives the federation, the late lab's name and what it lacks; one of the others is stopped, so
    that everything passes between two.
    """
    labs = Federation(bed, binaries, [], rules(2, rank=64 if options.quick else 256),
                      MEDIUM if options.quick else wide(options.resume_layers), begin=3, name=name)
    for lab in ("one", "two", "late"):
        labs.enrol(lab)
    wait("all three are connected", lambda: all(
        peer["link"] != "none" for lab in labs.names for peer in labs.page(lab, "peers")["peers"]))
    labs.stop("late")
    size, round = 0, 0
    while size < megabytes * MEBIBYTE:
        round += 1
        labs.let(round)
        labs.one_head(round, ["one", "two"], seconds=600)
        size = sum(labs.objects("one").values())
        if options.quick and round == 6:
            break
    labs.stop("two")
    held = labs.objects("late")
    missing = {key: value for key, value in labs.objects("one").items() if key not in held}
    return labs, "late", missing


def resume(bed, binaries, check, options):
    """(e) kill -9 at half of a 100 MiB transfer"""
    labs, late, missing = prepared(bed, binaries, options, "resume", 100)
    ideal = sum(missing.values())
    print(f"      {late} lacks {len(missing)} payloads, {ideal / MEBIBYTE:.1f} MiB", flush=True)
    # Slow enough that half can be seen coming.
    bed.thin(f"resume-{late}", 160 if not options.quick else 1)
    labs.start(late)

    def half():
        received = labs.received(late)["block_bytes"]
        return received if received >= ideal / 2 else None

    _, first = wait("half of it is here", half, 300, 0.005)
    labs.stop(late, signal.SIGKILL)
    check(f"killed at {first / MEBIBYTE:.1f} of {ideal / MEBIBYTE:.1f} MiB", first < ideal)
    labs.start(late)
    wait("all of it is here", lambda: missing.keys() <= labs.objects(late).keys(), 300)
    second = labs.received(late)["block_bytes"]
    again = first + second - ideal
    check(f"{again / MEBIBYTE:.2f} MiB fetched twice, at most 8", again <= 8 * MEBIBYTE, again)
    labs.stop_all()
    labs.inspect(check)


def syncthing(bed, binaries, check, options):
    """(f) 100 MiB between two daemons, durable, beside Syncthing"""
    import beside
    labs, late, missing = prepared(bed, binaries, options, "beside", 100)
    ideal = sum(missing.values())
    saved = labs.home(late) + ".saved"
    shutil.copytree(labs.home(late), saved, ignore=shutil.ignore_patterns("*.sock"))
    ours, peaks, server = [], [], []
    # Begun anew, so that what training and folding took does not count for the transfer.
    labs.stop("one")
    labs.start("one")
    for _ in range(options.repeats):
        labs.start(late)
        ours.append(beside.follow(labs, late, missing))
        peaks.append(labs.peak(late))
        server.append(labs.peak("one"))
        labs.stop(late, signal.SIGKILL)
        shutil.rmtree(labs.home(late))
        shutil.copytree(saved, labs.home(late))
    labs.stop_all()
    theirs, their_peaks, their_server = beside.syncthing(bed, ideal, options.repeats)
    alone, taking, serving = beside.transfer(bed, binaries, ideal, options.repeats)
    beside.report("hanse, whole labs, which fold and judge too", ideal, ours, peaks, server)
    beside.report("hanse bench transfer", ideal, alone, [taking], [serving])
    beside.report("syncthing", ideal, theirs, their_peaks, their_server)
    middle = sorted(ours)[len(ours) // 2]
    rival = sorted(theirs)[len(theirs) // 2]
    moved = sorted(alone)[len(alone) // 2]
    check(f"{ideal / MEBIBYTE:.0f} MiB arrive with everybody", all(ours) and all(theirs))
    check(f"to move them takes no longer: {moved:.2f} s, Syncthing {rival:.2f} s (medians), whole "
          f"labs {middle:.2f} s", options.quick or moved <= rival, moved / rival)
    most, least = max(taking, serving), min(their_peaks + their_server)
    check(f"to move them takes {most / MEBIBYTE:.0f} MiB of memory at most, Syncthing "
          f"{least / MEBIBYTE:.0f} at least", options.quick or most <= least, most)


ALL = {"thin": thin, "faults": faults, "partition": partition, "kills": kills, "resume": resume,
       "syncthing": syncthing}
