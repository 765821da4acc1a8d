"""Reads files at the same time and side by side, so that it can be watched: watched_read.py PROGRESS WAY PATH [WAY PATH ...]

WAY is read, direct or mmap. Each reads once, 1 MiB at a time, and waits if it is more than 8 MiB ahead of the slowest. For each 4 MiB that
the slowest has read, a line with the bytes that the slowest and the fastest have read is put into the file PROGRESS. Prints as JSON the
bytes and the SHA-256 of each. A read that gives fewer bytes than asked for before the end of the file is an error, as it would be to most
programs.
"""

import hashlib
import json
import mmap
import os
import sys
import threading
import traceback

PIECE = 1 << 20
REPORT = 4 << 20
LEAD = 8 << 20


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


class Watched:
    def __init__(self, progress, readers):
        self.progress = os.open(progress, os.O_WRONLY | os.O_CREAT, 0o644)
        self.readers = readers
        self.positions = [0] * len(readers)
        self.results = [None] * len(readers)
        self.reported = 0
        self.moved = threading.Condition()

    def read(self, index):
        digest, way, path = hashlib.sha256(), *self.readers[index]
        try:
            for piece in pieces(path, way):
                # Of a mapped file this is what reads it.
                digest.update(piece)
                self.move(index, len(piece))
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            # The others may wait for this one, or for a server.
            os._exit(1)
        self.results[index] = {"bytes": self.positions[index], "sha256": digest.hexdigest()}

    def move(self, index, length):
        with self.moved:
            self.positions[index] += length
            slowest = min(self.positions)
            if slowest >= self.reported + REPORT:
                self.reported = slowest
                os.write(self.progress, f"{slowest} {max(self.positions)}\n".encode())
                os.fsync(self.progress)
            self.moved.notify_all()
            self.moved.wait_for(lambda: self.positions[index] <= min(self.positions) + LEAD)

    def run(self):
        threads = [threading.Thread(target=self.read, args=[index]) for index in range(len(self.readers))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self.results


if __name__ == "__main__":
    print(json.dumps(Watched(sys.argv[1], list(zip(sys.argv[2::2], sys.argv[3::2]))).run()))
