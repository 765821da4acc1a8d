"""Reads files, pauses, and reads them again: read_twice.py BEGUN GATE PATH [PATH ...]

Files stay open; nothing of the second reading may come from the cache. After the first reading the file BEGUN is made, the second waits
for a file GATE. Prints as JSON for each path what the first reading, the second, and opening the path anew gave: a SHA-256 or the name
of an error.
"""

import errno
import hashlib
import json
import mmap
import os
import sys
import time

PIECE = 1 << 20


def digest(file):
    found = hashlib.sha256()
    buffer = mmap.mmap(-1, PIECE)
    at = 0
    try:
        while length := os.preadv(file, [buffer], at):
            found.update(memoryview(buffer)[:length])
            at += length
    except OSError as error:
        return errno.errorcode[error.errno]
    return found.hexdigest()


def anew(path):
    try:
        file = os.open(path, os.O_RDONLY | os.O_DIRECT)
    except OSError as error:
        return errno.errorcode[error.errno]
    try:
        return digest(file)
    finally:
        os.close(file)


def main():
    begun, gate, *paths = sys.argv[1:]
    files = [os.open(path, os.O_RDONLY | os.O_DIRECT) for path in paths]
    first = [digest(file) for file in files]
    with open(begun, "wb"):
        pass
    while not os.path.exists(gate):
        time.sleep(0.02)
    again = [digest(file) for file in files]
    print(json.dumps([first, again, [anew(path) for path in paths]]))


if __name__ == "__main__":
    main()
