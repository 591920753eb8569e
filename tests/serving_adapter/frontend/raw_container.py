"""A model container made of raw frames, well-behaved or not."""

import struct
import threading

import zmq

U32 = struct.Struct("<I").pack
HEARTBEAT = [b"", U32(2)]
DOUBLES = b"3"


def new_container(name=b"m", version=b"1", kind=DOUBLES, rpc=3):
    return [b"", U32(0), name, version, kind, *([] if rpc is None else [U32(rpc)])]


def response(message_id, *outputs):
    header = struct.pack(f"<{len(outputs) + 1}Q", len(outputs), *map(len, outputs))
    return [b"", U32(1), U32(message_id), struct.pack("<Q", len(header)), header, *outputs]


class Raw:
    """A DEALER that sends and receives raw frames."""

    def __init__(self, port, identity=None):
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        if identity is not None:
            self.socket.setsockopt(zmq.IDENTITY, identity)
        self.socket.connect(f"tcp://127.0.0.1:{port}")

    def send(self, frames):
        self.socket.send_multipart(frames)

    def receive(self, seconds=5.0):
        assert self.socket.poll(int(seconds * 1000)), "nothing came"
        return self.socket.recv_multipart()

    def silent(self, seconds=0.3):
        return not self.socket.poll(int(seconds * 1000))

    def register(self, **how):
        self.send(HEARTBEAT)
        assert self.receive() == [b"", U32(3), U32(2), U32(1)]
        self.send(new_container(**how))
        self.send(HEARTBEAT)
        assert self.receive() == [b"", U32(3), U32(2), U32(0)]

    def request(self):
        """Return the message id and the input frames of the next request."""
        while True:
            frames = self.receive()
            if frames[2] == U32(1):
                return struct.unpack("<I", frames[3])[0], frames[7:]

    def close(self):
        self.socket.close()
        self.context.term()


class Asking:
    """A predict request in a thread."""

    def __init__(self, server, **document):
        self.replies = []
        self.thread = threading.Thread(target=lambda: self.replies.append(server.predict("app", **document).json()))
        self.thread.start()

    def reply(self):
        self.thread.join(10)
        return self.replies[0]
