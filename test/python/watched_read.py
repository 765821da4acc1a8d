"""Reads a file once, slowly enough to be watched: watched_read.py PATH WAY PROGRESS

WAY is read, direct or mmap. Each 16 MiB a line with the bytes read so far is put into the file PROGRESS. Prints as JSON the bytes and their
SHA-256. A read that gives fewer bytes than asked for before the end of the file is an error, as it would be to most programs.
"""

import hashlib
import json
import mmap
import os
import sys

PIECE = 1 << 20
REPORT = 16 << 20


def pieces(path, way):
    """Whole pieces of a file, each asked for once."""
    file = os.open(path, os.O_RDONLY | (os.O_DIRECT if way == "direct" else 0))
    size = os.fstat(file).st_size
    if way == "mmap":
        view = memoryview(mmap.mmap(file, 0, prot=mmap.PROT_READ))
        for at in range(0, size, PIECE):
            yield view[at : at + PIECE]
        return
    buffer = mmap.mmap(-1, PIECE)
    for at in range(0, size, PIECE):
        length = os.readv(file, [buffer])
        if length != min(PIECE, size - at):
            raise ValueError(f"{path}: {length} bytes at {at} of {size}")
        yield memoryview(buffer)[:length]
    if os.readv(file, [buffer]) != 0:
        raise ValueError(f"{path}: bytes after its end")


def main():
    path, way, progress = sys.argv[1:]
    digest, done = hashlib.sha256(), 0
    report = os.open(progress, os.O_WRONLY | os.O_CREAT, 0o644)
    for piece in pieces(path, way):
        digest.update(piece)
        done += len(piece)
        if done % REPORT == 0:
            os.write(report, f"{done}\n".encode())
            os.fsync(report)
    print(json.dumps({"bytes": done, "sha256": digest.hexdigest()}))


if __name__ == "__main__":
    main()
