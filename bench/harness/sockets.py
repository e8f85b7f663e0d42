"""WebSocket messages of a client as bytes."""

import json

UPGRADE = (b"GET /graphql HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
           b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
           b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n")


def frame(message):
    """Returns a text message, masked with zeros."""
    text = json.dumps(message).encode()
    return bytes([0x81, 0x80 | len(text)]) + bytes(4) + text if len(text) < 126 else \
        bytes([0x81, 0xFE]) + len(text).to_bytes(2) + bytes(4) + text
