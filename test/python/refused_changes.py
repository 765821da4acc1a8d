"""Tries to change a directory in every way: refused_changes.py DIRECTORY FILE UID

Prints as JSON the name of the error of each change, or "done". A change counts as refused if any of its calls is: a client may keep what
is written until a file is closed.
"""

import errno
import json
import os
import stat
import sys


def rewrite(path, flags, data=b"changed"):
    file = os.open(path, flags, 0o644)
    try:
        os.write(file, data)
        os.fsync(file)
    finally:
        os.close(file)


def changes(directory, name):
    path = os.path.join(directory, name)
    new = os.path.join(directory, "new")
    return {
        "write": lambda: rewrite(path, os.O_WRONLY),
        "read and write": lambda: rewrite(path, os.O_RDWR),
        "append": lambda: rewrite(path, os.O_WRONLY | os.O_APPEND),
        "open and truncate": lambda: rewrite(path, os.O_WRONLY | os.O_TRUNC),
        "write past the cache": lambda: rewrite(path, os.O_WRONLY | os.O_SYNC),
        "create": lambda: rewrite(new, os.O_WRONLY | os.O_CREAT),
        "create exclusively": lambda: rewrite(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL),
        "truncate": lambda: os.truncate(path, 1),
        "extend": lambda: os.truncate(path, 1 << 20),
        "unlink": lambda: os.unlink(path),
        "rename": lambda: os.rename(path, new),
        "rename a directory": lambda: os.rename(directory, directory + "-moved"),
        "link": lambda: os.link(path, new),
        "symlink": lambda: os.symlink(name, new),
        "mkdir": lambda: os.mkdir(new),
        "rmdir": lambda: os.rmdir(directory),
        "make a pipe": lambda: os.mkfifo(new),
        "make a node": lambda: os.mknod(new, stat.S_IFREG | 0o600),
        "chmod": lambda: os.chmod(path, 0o777),
        "chmod of a directory": lambda: os.chmod(directory, 0o777),
        "chown": lambda: os.chown(path, os.getuid(), os.getgid()),
        "set times": lambda: os.utime(path, (1, 1)),
        "touch": lambda: os.utime(path),
        "setxattr": lambda: os.setxattr(path, "user.calyx", b"x"),
    }


def main():
    directory, name, uid = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if uid != 0:
        os.setgid(uid)
        os.setuid(uid)
    results = {}
    for change, make in changes(directory, name).items():
        try:
            make()
            results[change] = "done"
        except OSError as error:
            results[change] = errno.errorcode[error.errno]
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
