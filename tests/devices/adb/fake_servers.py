"""Adb servers that say what a test wants: for answers that a real one gives only to real phones."""

import contextlib
import socket
import threading


@contextlib.contextmanager
def server_that_says(answer, trickle_s=None):
    """Port of a server that answers every connection's first request with these bytes, and closes.

    With ``trickle_s`` it sends a byte at a time, that far apart, and never ends.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.recv(4096)
                if trickle_s is None:
                    connection.sendall(answer)
                else:
                    for byte in answer * 1000:
                        if ended.wait(trickle_s):
                            return
                        connection.sendall(bytes([byte]))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        ended.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def block(text, status=b"OKAY"):
    """A status and a text as an adb server frames them."""
    data = text.encode()
    return status + f"{len(data):04x}".encode() + data
