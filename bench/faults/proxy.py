"""A TCP proxy that simulates network faults: cut connections, silence, and lost answers."""

import socket
import struct
import threading

from harness.machine import free_address

# Closing sends a reset instead of an end.
RESET = struct.pack("ii", 1, 0)
BYTES = 64 * 1024


class Proxy:
    def __init__(self, target):
        """`target` is a HOST:PORT; whoever connects to `address` reaches it."""
        host, port = target.rsplit(":", 1)
        self.target = host, int(port)
        self.address = free_address()
        self.url = f"http://{self.address}"
        self.lock = threading.Lock()
        self.connections = set()
        self.losing = False
        self.lost = 0
        host, port = self.address.rsplit(":", 1)
        self.listener = socket.create_server((host, int(port)))
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self):
        """Every connection breaks; new ones work."""
        with self.lock:
            connections, self.connections = self.connections, set()
        for connection in connections:
            connection.cut()
        return len(connections)

    def fall_silent(self):
        """Every connection stays open at both ends, and nothing passes any more; new ones work."""
        with self.lock:
            for connection in self.connections:
                connection.silent.set()
            return len(self.connections)

    def lose_answers(self, losing):
        """While it does, requests reach the target, and where an answer comes the connection breaks instead."""
        self.losing = losing

    def close(self):
        self.listener.close()
        self.cut()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self.target, timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            connection = Connection(self, client, server)
            with self.lock:
                self.connections.add(connection)
            connection.start()


class Connection:
    def __init__(self, proxy, client, server):
        self.proxy, self.client, self.server = proxy, client, server
        self.silent = threading.Event()

    def start(self):
        for ends in ((self.client, self.server), (self.server, self.client)):
            threading.Thread(target=self._pump, args=ends, daemon=True).start()

    def _pump(self, source, target):
        try:
            while data := source.recv(BYTES):
                if self.silent.is_set():
                    # What comes is taken and passed to nobody, so that neither end learns anything.
                    continue
                if source is self.server and self.proxy.losing:
                    self.proxy.lost += 1
                    break
                target.sendall(data)
        except OSError:
            pass
        if not self.silent.is_set():
            self.cut()

    def cut(self):
        with self.proxy.lock:
            self.proxy.connections.discard(self)
        for end in (self.client, self.server):
            try:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()
