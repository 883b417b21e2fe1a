# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A ProxyCommand for ssh that makes a line slow, or cuts it: _proxy.py HOST PORT [OPTION...]."""

from __future__ import annotations

import argparse
import os
import pathlib
import queue
import socket
import threading
import time
import typing as t

Chunks = queue.Queue[tuple[float, bytes]]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--delay", type=float, default=0, help="milliseconds there and back")
    parser.add_argument("--cut", type=int, help="bytes sent, after which the line is cut")
    parser.add_argument("--once", type=pathlib.Path, help="removed by the cut; without it, no cut")
    return parser.parse_args()


def take(read: t.Callable[[], bytes], chunks: Chunks, delay: float) -> None:
    while data := read():
        chunks.put((time.monotonic() + delay, data))
    chunks.put((time.monotonic() + delay, b""))


def give(chunks: Chunks, write: t.Callable[[bytes], object]) -> None:
    while True:
        due, data = chunks.get()
        time.sleep(max(0, due - time.monotonic()))
        if not data:
            # Either end: the other one would wait for ever.
            os._exit(0)
        write(data)


def main() -> None:
    args = arguments()
    line = socket.create_connection((args.host, args.port))
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sent = 0

    def send(data: bytes) -> None:
        nonlocal sent
        sent += len(data)
        if args.cut is not None and sent > args.cut and args.once.exists():
            args.once.unlink()
            os._exit(1)
        line.sendall(data)

    out = os.fdopen(1, "wb", buffering=0)
    for read, write in (
        (lambda: os.read(0, 65536), send),
        (lambda: line.recv(65536), out.write),
    ):
        chunks: Chunks = queue.Queue(maxsize=1024)
        threading.Thread(target=take, args=(read, chunks, args.delay / 2000), daemon=True).start()
        threading.Thread(target=give, args=(chunks, write), daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
