"""Calls functions of huggingface_hub: hub_calls.py CALLS

CALLS is JSON: [[NAME, ARGUMENTS], ...] with the names of functions of the library and keyword arguments. Prints as JSON for each call
{"value": ...} or, if it raised, {"error": [names of the class and of those it is derived from], "message": ...}. Where the endpoint and
the cache are, and the token, is what the environment says, as for any program.
"""

import json
import sys

import huggingface_hub


def call(name, arguments):
    try:
        return {"value": getattr(huggingface_hub, name)(**arguments)}
    except Exception as error:
        return {"error": [kind.__name__ for kind in type(error).__mro__], "message": str(error)}


json.dump([call(*one) for one in json.loads(sys.argv[1])], sys.stdout, default=str)
