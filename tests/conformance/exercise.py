"""Random requests to a served volume, each compared with a model in memory.

    exercise.py URI SEED SECONDS MODEL

MODEL is a file: what the volume holds at the beginning, if it exists, and at the end. All is flushed at the end.
"""

import os
import random
import sys
import time

import nbd

uri, seed, seconds, path = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
chance = random.Random(seed)
BLOCK = 4096
LONGEST = 300_000


def connect():
    h = nbd.NBD()
    h.add_meta_context(nbd.CONTEXT_BASE_ALLOCATION)
    h.connect_uri(uri)
    return h


h = connect()
if os.path.exists(path):
    model = bytearray(open(path, "rb").read())
else:
    model = bytearray(min(h.get_size(), 24 << 20))
    if not h.can_trim():
        # In place: what nobody has written is noise.
        model[:] = b"".join(h.pread(1 << 20, at) for at in range(0, len(model), 1 << 20))


def where():
    """A range; often at the edges of sectors, blocks and the end, and often small."""
    length = min(int(chance.expovariate(1 / chance.choice([100, 5000, 60000]))) + 1, LONGEST)
    at = chance.randrange(len(model))
    if chance.random() < 0.5:
        grain = chance.choice([512, BLOCK, 65536])
        at -= at % grain
        if chance.random() < 0.5:
            length = min((length + grain - 1) // grain * grain, LONGEST // grain * grain)
    if chance.random() < 0.05:
        at = len(model) - length
    return max(at, 0), min(length, len(model) - max(at, 0))


def contents(length):
    kind = chance.randrange(4)
    if kind == 0:
        return chance.randbytes(length)
    if kind == 1:
        return bytes([chance.randrange(256)]) * length
    if kind == 2:
        at = chance.randrange(len(model) - length + 1) // BLOCK * BLOCK
        return bytes(model[at:at + length])
    return (b"a line of text, number %d\n" % chance.randrange(1000) * (length // 20 + 1))[:length]


def fua():
    return nbd.CMD_FLAG_FUA if chance.random() < 0.05 else 0


def read(at, length):
    found = h.pread(length, at)
    if found != model[at:at + length]:
        first = next(i for i in range(length) if found[i] != model[at + i])
        raise Exception(f"read {at} {length}: byte {at + first} is {found[first]}, not {model[at + first]}")


def write(at, length):
    data = contents(length)
    h.pwrite(data, at, fua())
    model[at:at + length] = data


def zero(at, length):
    flags = chance.choice([0, nbd.CMD_FLAG_NO_HOLE])
    h.zero(length, at, fua() | flags)
    model[at:at + length] = bytes(length)


def trim(at, length):
    if not h.can_trim():
        return
    h.trim(length, at, fua())
    # Blocks that lie wholly in the range become zeros; what is at the edges stays.
    first, last = (at + BLOCK - 1) // BLOCK * BLOCK, (at + length) // BLOCK * BLOCK
    if first < last:
        model[first:last] = bytes(last - first)


def status(at, length):
    if not h.can_meta_context(nbd.CONTEXT_BASE_ALLOCATION):
        return

    def extent(context, offset, entries, error):
        for size, flags in zip(entries[::2], entries[1::2]):
            end = min(offset + size, len(model))
            if flags & nbd.STATE_ZERO and any(model[offset:end]):
                raise Exception(f"status {at} {length}: {offset} to {end} are not all zeros")
            offset += size

    h.block_status(length, at, extent)


def flush(at, length):
    h.flush()


def reconnect(at, length):
    global h
    h.shutdown()
    h = connect()


actions = [read] * 8 + [write] * 8 + [zero] * 2 + [trim] * 2 + [status] * 2 + [flush, reconnect]
end, count, done = time.monotonic() + seconds, 0, []
try:
    while time.monotonic() < end:
        action, (at, length) = chance.choice(actions), where()
        done.append(f"{action.__name__} {at} {length}")
        action(at, length)
        count += 1
    for at in range(0, len(model), 1 << 20):
        read(at, min(1 << 20, len(model) - at))
    h.flush()
    h.shutdown()
except Exception:
    print(f"seed {seed}, request {count}; the last ones:", *done[-20:], sep="\n  ", file=sys.stderr)
    raise
open(path, "wb").write(model)
print(count)
