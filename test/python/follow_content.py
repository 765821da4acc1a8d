"""Waits for new content: follow_content.py EXPECTED PATH [PATH ...]

Opens and reads each file again and again until all have the content EXPECTED; what was cached counts, as it does to programs. Prints as
JSON every content that was seen of each, in order.
"""

import json
import sys
import time

DEADLINE_SECONDS = 30


def main():
    expected, *paths = sys.argv[1:]
    seen = {path: [] for path in paths}
    end = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < end and any(found[-1:] != [expected] for found in seen.values()):
        for path, found in seen.items():
            with open(path, encoding="utf-8") as file:
                content = file.read()
            if found[-1:] != [content]:
                found.append(content)
        time.sleep(0.01)
    print(json.dumps(list(seen.values())))


if __name__ == "__main__":
    main()
