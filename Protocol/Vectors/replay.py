#!/usr/bin/env python3
"""A second reading of Delta.md and Merge.md: computes every vector of Delta/ and Merge/ anew.

    Protocol/Vectors/replay.py

Standard library only, Python 3.9 or later. It shares nothing with the Swift code but the pages, and
is written to be read beside them, not to be fast. It follows uncompressed and run-length blocks of
zstd only; a frame with others is counted as skipped.
"""

import base64
import hashlib
import math
import pathlib
import struct
import sys

LIMIT = 1 << 58


class Refused(Exception):
    """A check that failed; its name is the argument."""


class Skipped(Exception):
    """Something that this reader does not do."""


def require(condition, check):
    if not condition:
        raise Refused(check)


# Content ids


def content_id(data, kind):
    person = ("hanse-" + kind).encode().ljust(16, b"\0")
    return hashlib.blake2b(data, digest_size=32, person=person).digest()


def text(identity):
    return base64.b32encode(identity).decode().rstrip("=").lower()


def identity(characters):
    return base64.b32decode(characters.upper() + "====")


# Layout


class Layout:
    def __init__(self, vector):
        self.rank, self.alpha = int(vector["rank"]), int(vector["alpha"])
        require(1 <= self.rank <= 1024, "rank")
        require(1 <= self.alpha <= 65536, "alpha")
        modules = [line.split(" ") for line in vector.all("module")]
        require(1 <= len(modules) <= 16384, "module-count")
        self.bytes = struct.pack("<III", self.rank, self.alpha, len(modules))
        self.factors, paths = [], set()
        allowed = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
        for path, inputs, outputs in modules:
            inputs, outputs = int(inputs), int(outputs)
            require(1 <= len(path) <= 256 and set(path) <= allowed, "path")
            require(path not in paths, "duplicate-path")
            require(1 <= inputs <= 1 << 20 and 1 <= outputs <= 1 << 20, "sides")
            paths.add(path)
            self.bytes += struct.pack("<H", len(path)) + path.encode()
            self.bytes += struct.pack("<II", inputs, outputs)
            self.factors += [("A", self.rank * inputs, inputs), ("B", outputs * self.rank, None)]
        self.count = sum(count for _, count, _ in self.factors)
        require(self.count <= 1 << 28, "count")
        self.id = content_id(self.bytes, "layout")

    def ranges(self):
        start = 0
        for _, count, _ in self.factors:
            yield range(start, start + count)
            start += count


# Delta

TIERS = {  # name: code, block, greatest symbol, greatest exponent, entries, Rice parameter
    "int4-128": (1, 128, 7, 36, None, 0),
    "int3-128": (2, 128, 3, 37, None, 0),
    "top64-4096": (16, 4096, 31, 34, 64, 5),
    "top128-4096": (17, 4096, 31, 34, 128, 4),
    "top256-4096": (18, 4096, 31, 34, 256, 3),
    "top512-4096": (19, 4096, 31, 34, 512, 2),
}


def blocks_of(layout, length):
    for whole in layout.ranges():
        for start in range(whole.start, whole.stop, length):
            yield range(start, min(start + length, whole.stop))


class Delta:
    def __init__(self, layout, tier, exponents, symbols):
        self.layout, self.exponents, self.symbols = layout, exponents, symbols
        self.code, self.length = TIERS[tier][:2]
        self.units = [0] * layout.count
        for exponent, block in zip(exponents, blocks_of(layout, self.length)):
            for coordinate in block:
                self.units[coordinate] = symbols[coordinate] << exponent

    def norms(self):
        return [math.isqrt(sum(self.units[i] ** 2 for i in r)) for r in self.layout.ranges()]

    def symbols_hash(self):
        data = self.layout.id + bytes([self.code]) + bytes(self.exponents)
        return content_id(data + bytes(s & 255 for s in self.symbols), "symbols")


def read_delta(data, layout, tier, announced_stream=None):
    code, length, symbol_limit, exponent_limit, entries, rice = TIERS[tier]
    require(len(data) > 56, "too-short")
    require(data[:8] == b"HANSEDLT", "magic")
    require(data[8] == 1, "version")
    require(data[10:12] == b"\0\0", "reserved")
    coordinates, block_count, stream_length = struct.unpack("<III", data[12:24])
    if announced_stream is not None:
        require(announced_stream == stream_length, "decoded-size")
    require(data[9] == code, "tier")
    require(data[24:56] == layout.id, "layout")
    require(coordinates == layout.count, "coordinate-count")
    blocks = list(blocks_of(layout, length))
    require(block_count == len(blocks), "block-count")
    if entries is None:
        require(stream_length == len(blocks) + (layout.count + 1) // 2, "stream-length")
    else:
        k = [-(-entries * len(block) // 4096) for block in blocks]
        bits = sum(n * (1 + rice) + (len(block) >> rice) for n, block in zip(k, blocks))
        longest = 4 * len(blocks) + -(-bits // 8) + -(-2 * sum(k) // 8)
        require(stream_length <= longest, "stream-length")
    frame = data[56:]
    require(len(frame) <= stream_length + stream_length // 128 + 512, "too-long")
    stream = read_frame(frame, stream_length)
    if entries is None:
        exponents, symbols = dense(stream, length, layout)
    else:
        exponents, symbols = sparse(stream, blocks, k, rice, layout)
    require(all(e <= exponent_limit for e in exponents), "exponent")
    require(all(abs(s) <= symbol_limit for s in symbols), "symbol")
    for exponent, block in zip(exponents, blocks):
        require(exponent == 0 or any(symbols[i] for i in block), "zero-block")
    return Delta(layout, tier, exponents, symbols)


def read_frame(frame, size):
    require(frame[:4] == b"\x28\xb5\x2f\xfd", "frame-kind")
    require(len(frame) > 5, "frame-header")
    descriptor, at = frame[4], 5
    is_single, has_checksum = descriptor & 32, descriptor & 4
    require(not descriptor & 8, "frame-header")
    window = None
    if not is_single:
        window = 1 << 10 + (frame[at] >> 3)
        window += (window >> 3) * (frame[at] & 7)
        at += 1
    dictionary_bytes = (0, 1, 2, 4)[descriptor & 3]
    size_bytes = (1 if is_single else 0, 2, 4, 8)[descriptor >> 6]
    require(len(frame) >= at + dictionary_bytes + size_bytes, "frame-header")
    dictionary = int.from_bytes(frame[at : at + dictionary_bytes], "little")
    at += dictionary_bytes
    content = int.from_bytes(frame[at : at + size_bytes], "little") + (size_bytes == 2) * 256
    at += size_bytes
    require(dictionary == 0, "frame-dictionary")
    require(size_bytes > 0 and content == size, "frame-content-size")
    require((content if window is None else window) <= 1 << 23, "frame-window")
    # First where the frame ends, then what it holds.
    found, is_last, is_compressed = [], False, False
    while not is_last:
        require(len(frame) >= at + 3, "frame-damaged")
        header = int.from_bytes(frame[at : at + 3], "little")
        is_last, kind, length = header & 1, header >> 1 & 3, header >> 3
        require(kind != 3, "frame-damaged")
        at += 3
        require(len(frame) >= at + (1 if kind == 1 else length), "frame-damaged")
        if kind == 1:
            found.append((frame[at], length))
            at += 1
        else:
            is_compressed |= kind == 2
            found.append((frame[at : at + length], None))
            at += length
    checksum = frame[at : at + 4]
    at += 4 if has_checksum else 0
    require(len(frame) >= at, "frame-damaged")
    require(len(frame) == at, "frame-length")
    if is_compressed:
        raise Skipped("a compressed block")
    longest = min(1 << 17, content if window is None else window)
    require(all((n or 0) <= longest for _, n in found), "frame-damaged")
    stream = b"".join(bytes([b]) * n if n is not None else b for b, n in found)
    require(len(stream) == size, "frame-damaged")
    if has_checksum:
        require(xxh64(stream) & 0xFFFFFFFF == int.from_bytes(checksum, "little"), "frame-damaged")
    return stream


def xxh64(data):
    """XXH64 of any bytes, seed 0; RFC 8878 keeps its low four bytes."""
    mask = (1 << 64) - 1
    p1, p2, p3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
    p4, p5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5

    def rotate(x, n):
        return (x << n | x >> 64 - n) & mask

    def step(lane, word):
        return rotate(lane + word * p2 & mask, 31) * p1 & mask

    at = 0
    if len(data) >= 32:
        lanes = [p1 + p2 & mask, p2, 0, -p1 & mask]
        while at + 32 <= len(data):
            words = struct.unpack("<4Q", data[at : at + 32])
            lanes = [step(lane, word) for lane, word in zip(lanes, words)]
            at += 32
        value = sum(rotate(lane, n) for lane, n in zip(lanes, (1, 7, 12, 18))) & mask
        for lane in lanes:
            value = ((value ^ step(0, lane)) * p1 + p4) & mask
    else:
        value = p5
    value = value + len(data) & mask
    while at + 8 <= len(data):
        word = int.from_bytes(data[at : at + 8], "little")
        value = (rotate(value ^ step(0, word), 27) * p1 + p4) & mask
        at += 8
    if at + 4 <= len(data):
        word = int.from_bytes(data[at : at + 4], "little")
        value = (rotate(value ^ word * p1 & mask, 23) * p2 + p3) & mask
        at += 4
    for byte in data[at:]:
        value = rotate(value ^ byte * p5 & mask, 11) * p1 & mask
    value = (value ^ value >> 33) * p2 & mask
    value = (value ^ value >> 29) * p3 & mask
    return value ^ value >> 32


def dense(stream, length, layout):
    count = sum(1 for _ in blocks_of(layout, length))
    values = [nibble for byte in stream[count:] for nibble in (byte & 15, byte >> 4)]
    require(all(value == 0 for value in values[layout.count :]), "padding")
    values = [value - 16 if value > 7 else value for value in values]
    exponents, symbols = [0] * count, [0] * layout.count
    from_exponents, from_values = iter(stream), iter(values)
    for wanted in "AB":
        block = 0
        for (kind, _, _), places in zip(layout.factors, layout.ranges()):
            for start in range(places.start, places.stop, length):
                if kind == wanted:
                    exponents[block] = next(from_exponents)
                    for place in range(start, min(start + length, places.stop)):
                        symbols[place] = next(from_values)
                block += 1
    return exponents, symbols


def sparse(stream, blocks, k, rice, layout):
    n = len(blocks)
    require(len(stream) >= 4 * n, "stream-end")
    exponents, levels = list(stream[:n]), stream[n : 2 * n]
    missing = struct.unpack("<%dH" % n, stream[2 * n : 4 * n])
    bits = [byte >> i & 1 for byte in stream[4 * n :] for i in range(8)]
    at = 0

    def take():
        nonlocal at
        require(at < len(bits), "stream-end")
        at += 1
        return bits[at - 1]

    def fill():
        while at % 8:
            require(take() == 0, "padding")

    places = []
    for block, limit, lacking in zip(blocks, k, missing):
        require(lacking <= limit, "entry-count")
        places.append([])
        place = block.start
        for _ in range(limit - lacking):
            upper = 0
            while take():
                upper += 1
                require(place + (upper << rice) < block.stop, "gap")
            place += (upper << rice) + sum(take() << i for i in range(rice))
            require(place < block.stop, "gap")
            places[-1].append(place)
            place += 1
    fill()
    symbols = [0] * layout.count
    for own, byte in zip(places, levels):
        require(byte < 128, "levels")
        low = (byte >> 4) + 8
        high = low + (byte & 15) + 1
        for place in own:
            sign = take()
            symbols[place] = (high if take() else low) * (-1 if sign else 1)
        used = sorted({abs(symbols[place]) for place in own})
        if len(used) == 2:
            canonical = (used[0] - 8) * 16 + used[1] - used[0] - 1
        elif used:
            least = min(used[0], 15)
            canonical = (least - 8) * 16 + max(used[0], least + 1) - least - 1
        else:
            canonical = 0
        require(byte == canonical, "levels")
    fill()
    require(at == len(bits), "stream-end")
    return exponents, symbols


# Merge


def rounded(numerator, denominator):
    quotient, rest = divmod(numerator, denominator)
    above = 2 * rest > denominator or (2 * rest == denominator and quotient % 2)
    return quotient + bool(above)


def saturated(value):
    return max(-LIMIT, min(LIMIT, value))


def lower_median(values):
    return sorted(values)[(len(values) - 1) // 2]


def chacha20_words(key):
    mask = 0xFFFFFFFF
    counter = 0
    while True:
        start = list(struct.unpack("<4I", b"expand 32-byte k")) + list(struct.unpack("<8I", key))
        start += [counter, 0, 0, 0]
        state = start[:]

        def quarter(a, b, c, d):
            for x, y, z, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                state[x] = state[x] + state[y] & mask
                turned = state[z] ^ state[x]
                state[z] = (turned << n | turned >> 32 - n) & mask

        for _ in range(10):
            for column in range(4):
                quarter(column, column + 4, column + 8, column + 12)
            for column in range(4):
                quarter(
                    column, 4 + (column + 1) % 4, 8 + (column + 2) % 4, 12 + (column + 3) % 4)
        block = struct.pack("<16I", *(x + y & mask for x, y in zip(state, start)))
        yield from struct.unpack("<8Q", block)
        counter += 1


class State:
    def __init__(self, layout, seed):
        self.layout, self.round = layout, 0
        self.velocity = [0] * layout.count
        self.remembered = [0] * len(layout.factors)
        words = chacha20_words(content_id(seed, "start"))
        self.theta = []
        for kind, count, inputs in layout.factors:
            if kind == "B":
                self.theta += [0] * count
                continue
            bound = math.isqrt((1 << 80) // inputs)
            mask = (1 << (2 * bound).bit_length()) - 1
            for _ in range(count):
                word = next(words) & mask
                while word > 2 * bound:
                    word = next(words) & mask
                self.theta.append(word - bound)

    def encoded(self):
        data = b"HANSESTA\x01" + bytes(7) + self.layout.id
        data += struct.pack("<%dQ" % len(self.remembered), *self.remembered)
        return data + struct.pack("<%dq" % (2 * len(self.theta)), *self.theta, *self.velocity)

    def load(self, data, root=None):
        require(data[:8] == b"HANSESTA", "state-magic")
        require(len(data) >= 48, "state-length")
        require(data[8] == 1, "state-version")
        require(data[9:16] == bytes(7), "state-reserved")
        require(data[16:48] == self.layout.id, "state-layout")
        factors, count = len(self.layout.factors), self.layout.count
        require(len(data) == 48 + 8 * (factors + 2 * count), "state-length")
        self.remembered = list(struct.unpack("<%dQ" % factors, data[48 : 48 + 8 * factors]))
        numbers = struct.unpack("<%dq" % (2 * count), data[48 + 8 * factors :])
        require(all(abs(number) <= LIMIT for number in numbers), "state-range")
        self.theta, self.velocity = list(numbers[:count]), list(numbers[count:])
        require(root is None or self.root() == root, "state-root")

    def root(self):
        return content_id(self.encoded(), "state")


def shares(tokens):
    cap = lower_median(tokens)
    counts = [min(count, cap) if cap else 1 for count in tokens]
    total = sum(counts)
    result = [count * 65536 // total for count in counts]
    rests = [count * 65536 % total for count in counts]
    order = sorted(range(len(counts)), key=lambda i: (-rests[i], i))
    for index in order[: 65536 - sum(result)]:
        result[index] += 1
    return result


def read_rules(vector):
    rule = vector.get("rule", "clipped-mean")
    require(rule in ("clipped-mean", "median", "nnm-trimmed-mean"), "rule")
    eta, mu = int(vector.get("outer-rate", 45875)), int(vector.get("momentum", 58982))
    late = int(vector.get("lateness-limit", 2))
    require(1 <= eta <= 1 << 20, "outer-rate")
    require(mu < 1 << 16, "momentum")
    require(late <= 2, "lateness-limit")
    return rule, eta, mu, late


def fold(state, number, group, rules):
    rule, eta, mu, late = rules
    require(number > state.round, "round")
    once = {}
    for one in sorted(group, key=lambda one: one["id"]):
        require(one["landing"] == number and one["round"] <= number, "landing")
        facts = {key: value for key, value in one.items() if key != "delta"}
        known = once.setdefault(one["id"], one)
        require({k: v for k, v in known.items() if k != "delta"} == facts, "conflict")
    live = [
        one for one in once.values()
        if not one["recalled"] and one["landing"] - one["round"] <= late]
    seats = [(one["author"], one["round"]) for one in live]
    require(len(seats) == len(set(seats)), "twice")
    state.round = number
    if not live:
        return
    n = len(live)
    norms = [one["delta"].norms() for one in live]
    clips = [[1 << 32] * len(state.remembered) for _ in live]
    for factor, remembered in enumerate(state.remembered):
        median = lower_median([norm[factor] for norm in norms])
        limit = median if n >= 3 else remembered or None
        for row in range(n):
            norm = norms[row][factor]
            if limit is not None and norm > limit:
                clips[row][factor] = (limit << 32) // norm
        if median:
            if n < 3 and remembered:
                median = min(median, 2 * remembered)
            state.remembered[factor] = median
    lateness = [(36, 9, 4)[one["landing"] - one["round"]] for one in live]
    weights = shares([one["tokens"] if rule == "clipped-mean" else 1 for one in live])
    trim = (n - 1) // 3
    is_mixed = rule == "nnm-trimmed-mean" and n >= 4
    if is_mixed:
        mixed_with = neighbours(state.layout, live, clips, n - trim)
    for factor, places in enumerate(state.layout.ranges()):
        for i in places:
            scaled = [
                clips[row][factor] * lateness[row] * live[row]["delta"].units[i]
                for row in range(n)]
            if is_mixed:
                mixtures = sorted(sum(scaled[j] for j in near) for near in mixed_with)
                rest = sum(mixtures[trim : n - trim])
                change = rounded(rest, (n - trim) * (n - 2 * trim) * 36 << 32)
            elif rule == "median":
                middle = sorted(scaled)
                change = rounded(middle[(n - 1) // 2] + middle[n // 2], 2 * 36 << 32)
            else:
                change = rounded(sum(w * x for w, x in zip(weights, scaled)), 36 << 48)
            v = saturated(rounded(mu * state.velocity[i], 65536) + change)
            ahead = change + rounded(mu * v, 65536)
            state.velocity[i] = v
            state.theta[i] = saturated(state.theta[i] + rounded(eta * ahead, 65536))


def neighbours(layout, live, clips, count):
    points = []
    for row, one in enumerate(live):
        point = []
        for factor, places in enumerate(layout.ranges()):
            point += [rounded(clips[row][factor] * one["delta"].units[i], 1 << 32) for i in places]
        points.append(point)
    result = []
    for point in points:
        distances = [sum((x - y) ** 2 for x, y in zip(point, other)) for other in points]
        result.append(sorted(range(len(points)), key=lambda j: (distances[j], j))[:count])
    return result


# Vectors


class Vector:
    def __init__(self, path):
        head, _, body = path.read_text().partition("\n\n")
        self.fields = []
        for line in head.splitlines():
            key, _, value = line.partition(":")
            self.fields.append((key, value[1:]))
        self.body = bytes.fromhex(body.replace("\n", ""))

    def all(self, key):
        return [value for own, value in self.fields if own == key]

    def get(self, key, default=None):
        return (self.all(key) or [default])[0]

    def __getitem__(self, key):
        return self.all(key)[0]


def numbers(values):
    return " ".join(str(value) for value in values)


def same(found, vector, key):
    if found != vector[key]:
        raise AssertionError("%s is %s, not %s" % (key, found, vector[key]))


def run_layout(vector):
    layout = Layout(vector)
    assert layout.bytes == vector.body, "other bytes"
    same(text(layout.id), vector, "id")


def run_delta(vector):
    delta = read_delta(vector.body, Layout(vector), vector["tier"])
    same(text(delta.symbols_hash()), vector, "symbols-hash")
    same(numbers(delta.norms()), vector, "factor-norms")
    same(numbers(delta.exponents), vector, "exponents")
    same(numbers(delta.symbols), vector, "symbols")


def run_announcement(vector):
    require(vector["announced-codec"] == vector["tier"], "codec")
    require(int(vector["announced-size"]) == len(vector.body), "payload-length")
    delta = read_delta(
        vector.body, Layout(vector), vector["tier"], int(vector["announced-decoded-size"]))
    require(text(delta.symbols_hash()) == vector["announced-symbols"], "symbols")
    require(numbers(delta.norms()) == vector["announced-norms"], "norms")
    require(any(delta.norms()), "zero")


def run_block_list(vector):
    data = vector.body
    require(len(data) >= 8, "block-list-length")
    size = int.from_bytes(data[:8], "little")
    require(1 <= size <= 1 << 30, "payload-size")
    require(len(data) == 8 + 32 * -(-size // 262144), "block-list-length")
    payload = bytes(i % 251 for i in range(int(vector["payload-length"])))
    expected = struct.pack("<Q", len(payload))
    for start in range(0, len(payload), 262144):
        expected += content_id(payload[start : start + 262144], "block")
    assert data == expected, "other bytes"
    same(text(content_id(data, "object")), vector, "id")


def run_start(vector):
    state = State(Layout(vector), bytes.fromhex(vector["seed"]))
    same(numbers(state.theta), vector, "theta")
    same(text(state.root()), vector, "root")


def run_root(vector):
    same(str(math.isqrt(int(vector["value"]))), vector, "square-root")


def run_shares(vector):
    same(numbers(shares([int(t) for t in vector["tokens"].split()])), vector, "shares")


def run_snapshot(vector):
    state = State(Layout(vector), b"")
    state.load(vector.body, identity(vector["root"]))
    assert state.encoded() == vector.body, "other bytes"


def run_fold(vector):
    rules = read_rules(vector)
    layout = Layout(vector)
    state = State(layout, bytes.fromhex(vector["seed"]))
    if vector.body:
        state.load(vector.body)
    number, group = None, []

    def finish():
        if number is not None:
            fold(state, number, group, rules)

    for key, value in vector.fields:
        if key == "round":
            finish()
            number, group = int(value), []
        elif key == "contribution":
            facts = dict((word + "=").split("=")[:2] for word in value.split(" "))
            group.append({
                "id": identity(facts["id"]), "author": identity(facts["author"]),
                "round": int(facts["round"]), "tokens": int(facts["tokens"]),
                "landing": int(facts.get("landing", number)), "recalled": "recalled" in facts})
        elif key == "exponents":
            exponents = [int(e) for e in value.split()]
        elif key == "symbols":
            symbols = [int(s) for s in value.split()]
            group[-1]["delta"] = Delta(layout, "int4-128", exponents, symbols)
        elif key in ("theta", "velocity", "medians", "root"):
            finish()
            number = None
            found = {
                "theta": numbers(state.theta), "velocity": numbers(state.velocity),
                "medians": numbers(state.remembered), "root": text(state.root())}[key]
            assert found == value, "%s is %s, not %s" % (key, found, value)
    finish()


KINDS = {
    "layout": run_layout, "delta": run_delta, "announcement": run_announcement,
    "block-list": run_block_list, "start": run_start, "square-root": run_root,
    "shares": run_shares, "snapshot": run_snapshot, "fold": run_fold,
}


def main():
    held, skipped, broken = 0, 0, 0
    here = pathlib.Path(__file__).resolve().parent
    for path in sorted(here.glob("Delta/*.txt")) + sorted(here.glob("Merge/*.txt")):
        vector = Vector(path)
        try:
            KINDS[vector["kind"]](vector)
            outcome = "success"
        except Refused as refusal:
            outcome = refusal.args[0]
        except Skipped:
            skipped += 1
            continue
        except AssertionError as difference:
            outcome = str(difference)
        if outcome == vector["expect"]:
            held += 1
        else:
            broken += 1
            print("%s: %s, expected %s" % (path.name, outcome, vector["expect"]))
    print("%d hold, %d skipped, %d broken" % (held, skipped, broken))
    return 1 if broken or not held else 0


if __name__ == "__main__":
    sys.exit(main())
