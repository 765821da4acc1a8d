"""Lists directories with a pause: list_slowly.py BEGUN GATE DIRECTORY [DIRECTORY ...]

Takes 3000 names of each, makes the file BEGUN, waits until there is a file GATE, and takes the others. Prints as JSON the names of each.
"""

import itertools
import json
import os
import sys
import time

FIRST = 3000


def main():
    begun, gate, *directories = sys.argv[1:]
    listings = [os.scandir(directory) for directory in directories]
    names = [[entry.name for entry in itertools.islice(listing, FIRST)] for listing in listings]
    with open(begun, "wb"):
        pass
    while not os.path.exists(gate):
        time.sleep(0.02)
    for found, listing in zip(names, listings):
        found += [entry.name for entry in listing]
    print(json.dumps(names))


if __name__ == "__main__":
    main()
