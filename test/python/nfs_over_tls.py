"""Reads a file by NFS version 3 with RPC bytes made by hand: nfs_over_tls.py < JSON

Takes {"port", "path": [names], "from"?: address, "tls": null or {"ca", "certificate"?, "key"?, "protocols"?}} with paths of PEM files. With "tls" it asks for TLS with the probe of
RFC 9289 and goes on with Python's own ssl module. Prints {"probe": reply in hex, "protocol", "alpn", "mount", "size", "sha256"}; where the server refuses,
"refused" says at which step and how, and what follows is missing.
"""

import hashlib
import json
import socket
import ssl
import struct
import sys

MOUNT, NFS = 100005, 100003
READ_BYTES = 1 << 20
DEADLINE_SECONDS = 60


class Refused(Exception):
    pass


def opaque(data):
    return struct.pack(">I", len(data)) + data + b"\0" * (-len(data) % 4)


def receive(connection, length):
    pieces = []
    while length > 0:
        piece = connection.recv(min(length, 1 << 20))
        if not piece:
            raise Refused("closed")
        pieces.append(piece)
        length -= len(piece)
    return b"".join(pieces)


def exchange(connection, body):
    """Sends a record and returns the reply as one."""
    connection.sendall(struct.pack(">I", 0x80000000 | len(body)) + body)
    (mark,) = struct.unpack(">I", receive(connection, 4))
    assert mark & 0x80000000, "replies are records of one fragment"
    return receive(connection, mark & 0x7FFFFFFF)


def call(connection, xid, program, procedure, args=b""):
    """The result of a call of version 3 with AUTH_NONE."""
    reply = exchange(connection, struct.pack(">IIIIIIIIII", xid, 0, 2, program, 3, procedure, 0, 0, 0, 0) + args)
    got, kind, status = struct.unpack_from(">III", reply)
    assert (got, kind) == (xid, 1)
    if status == 1:
        raise Refused("denied %d %d" % struct.unpack_from(">II", reply, 12))
    flavor, length, accepted = struct.unpack_from(">III", reply, 12)
    assert (flavor, length, accepted) == (0, 0, 0), reply.hex()
    return reply[24:]


def checked(reply):
    (status,) = struct.unpack_from(">I", reply)
    if status != 0:
        raise Refused("status %d" % status)
    return reply[4:]


def handle_of(result):
    (length,) = struct.unpack_from(">I", result)
    return result[4 : 4 + length]


def begin_tls(connection, options, told):
    probe = exchange(connection, struct.pack(">IIIIIIIIII", 1, 0, 2, NFS, 3, 0, 7, 0, 0, 0))
    told["probe"] = probe.hex()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(options["ca"])
    context.set_alpn_protocols(options.get("protocols", ["sunrpc"]))
    if "certificate" in options:
        context.load_cert_chain(options["certificate"], options["key"])
    secured = context.wrap_socket(connection, server_hostname="127.0.0.1")
    told["protocol"] = secured.version()
    told["alpn"] = secured.selected_alpn_protocol()
    return secured


def read_file(connection, path, told):
    call(connection, 2, NFS, 0)
    told["step"] = "mount"
    handle = handle_of(checked(call(connection, 3, MOUNT, 1, opaque(b"/"))))
    told["mount"] = handle.hex()
    told["step"] = "getattr"
    checked(call(connection, 4, NFS, 1, opaque(handle)))
    for name in path:
        told["step"] = name
        handle = handle_of(checked(call(connection, 5, NFS, 3, opaque(handle) + opaque(name.encode()))))
    attributes = checked(call(connection, 6, NFS, 1, opaque(handle)))
    (size,) = struct.unpack_from(">Q", attributes, 20)
    digest = hashlib.sha256()
    offset = 0
    while offset < size:
        result = checked(call(connection, 7, NFS, 6, opaque(handle) + struct.pack(">QI", offset, READ_BYTES)))
        (present,) = struct.unpack_from(">I", result)
        at = 4 + (84 if present else 0)
        count, _eof, length = struct.unpack_from(">III", result, at)
        assert count == length and count > 0
        digest.update(result[at + 12 : at + 12 + count])
        offset += count
    told["size"] = offset
    told["sha256"] = digest.hexdigest()


def main():
    asked = json.load(sys.stdin)
    told = {"step": "connect"}
    try:
        own = (asked.get("from", "127.0.0.1"), 0)
        with socket.create_connection(("127.0.0.1", asked["port"]), DEADLINE_SECONDS, own) as plain:
            connection = plain
            if asked["tls"] is not None:
                connection = begin_tls(plain, asked["tls"], told)
            read_file(connection, asked["path"], told)
            connection.close()
        del told["step"]
    except (Refused, ssl.SSLError) as error:
        told["refused"] = told.pop("step") + ": " + str(error)
    json.dump(told, sys.stdout)


main()
