"""A receiver of events that does next to nothing: it stands for fifty on other machines, so it stands back on this one."""

from __future__ import annotations

import asyncio
import os
import re
import sys

ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
_length = re.compile(rb"(?i)\r\ncontent-length: (\d+)").search


class Answering(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while (end := self._rest.find(b"\r\n\r\n")) >= 0:
            length = _length(self._rest[:end])
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._rest) < whole:
                return
            self._rest = self._rest[whole:]
            self._transport.write(ANSWER)  # type: ignore[attr-defined]


async def main() -> None:
    """Listens on a free port, which it prints, until it is ended."""
    os.nice(15)
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
