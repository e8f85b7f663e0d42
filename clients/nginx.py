"""The requests that `clients/nginx` sends through the proxy at PROXY_SOCKET: those of the given pages, and a WebSocket."""

import base64
import json
import os
import re
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

PROXY = os.environ["PROXY_SOCKET"]
# All requests go to the proxy, regardless of the port in their URL, with the token if one is given.
CURL = 'curl() { command curl -sS --unix-socket "$PROXY_SOCKET" ${TOKEN:+-H "authorization: Bearer $TOKEN"} "$@"; }\n'
SECONDS_MAX = 30


def requests(page):
    """Returns each request of a page with its expected answer."""
    for block in re.findall(r"^```console\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = part.rstrip("\n").split("\n")
            # A command continues on the next line while a quote is open, and after a pipe.
            length = next(length for length in range(1, len(lines) + 1)
                          if "\n".join(lines[:length]).count("'") % 2 == 0 and not lines[length - 1].endswith("|"))
            command = "\n".join(lines[:length])
            if re.search(r"\bcurl\b", command):
                yield command, "\n".join(lines[length:])


def ask(command, token=""):
    done = subprocess.run(["bash", "-c", CURL + command], text=True, stdout=subprocess.PIPE, timeout=SECONDS_MAX,
                          env={**os.environ, "TOKEN": token}, check=True)
    return done.stdout.rstrip("\n")


def create_token():
    command = [os.environ["HEADCOUNT_BIN"], "token", "create", "me", "--role", "admin"]
    token = subprocess.run(command, text=True, stdout=subprocess.PIPE, check=True).stdout.strip()
    # The server accepts the token a moment later.
    deadline = time.monotonic() + SECONDS_MAX
    while '"count"' not in ask("curl localhost/space/1/count", token):
        assert time.monotonic() < deadline, "the server does not accept the token"
    return token


def open_socket(token):
    """Returns the answer of the server to the first message over a WebSocket."""
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(SECONDS_MAX)
        stream.connect(PROXY)
        key = base64.b64encode(os.urandom(16)).decode()
        stream.sendall((f"GET /graphql HTTP/1.1\r\nHost: counts.example.org\r\nOrigin: https://counts.example.org\r\n"
                        f"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n").encode())
        reader = stream.makefile("rb")
        head = b"".join(iter(reader.readline, b"\r\n")).decode()
        assert head.startswith("HTTP/1.1 101 "), head
        said = json.dumps({"type": "connection_init", "payload": {"authorization": f"Bearer {token}"}}).encode()
        # One text frame, masked with zeros, of 126 bytes to 65,535.
        said = said.ljust(126)
        stream.sendall(b"\x81\xfe" + struct.pack("!H", len(said)) + bytes(4) + said)
        _, length = reader.read(2)
        return json.loads(reader.read(length))


def main():
    refused = json.loads(ask("curl localhost/space/1/count"))["detail"]
    assert refused.startswith("This request came through a proxy"), refused
    token = create_token()
    assert "A token is needed" in ask("curl localhost/space/1/count")
    number = 0
    for page in map(Path, sys.argv[1:]):
        found = list(requests(page.read_text()))
        assert found, f"{page} has no requests"
        number += len(found)
        for command, expected in found:
            answer = ask(command, token)
            assert answer == expected, f"$ {command}\n{answer}\nwhere {page} says\n{expected}"
    assert open_socket(token) == {"type": "connection_ack"}
    print(f"{number} requests and a WebSocket through nginx")


main()
