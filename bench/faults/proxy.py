"""A TCP proxy that simulates network failures: cut connections, lost data, and lost answers."""

import socket
import struct
import threading

from harness.machine import free_address

# Makes closing send RST instead of FIN.
RESET = struct.pack("ii", 1, 0)
BYTES = 64 * 1024


class Proxy:
    def __init__(self, target):
        """Forwards connections to `address` to `target`, a HOST:PORT."""
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
        """Resets every connection; new ones work."""
        with self.lock:
            connections, self.connections = self.connections, set()
        for connection in connections:
            connection.cut()
        return len(connections)

    def fall_silent(self):
        """Drops all data of existing connections, which stay open at both ends; new ones work."""
        with self.lock:
            for connection in self.connections:
                connection.silent.set()
            return len(self.connections)

    def lose_answers(self, losing):
        """Sets whether connections are reset at the first byte of an answer. Requests still reach the target."""
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
                    # Data is received and dropped, so that neither end notices.
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
