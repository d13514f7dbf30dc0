"""HTTP/1.1 as uvicorn speaks it, but for two things that clients do.

Some offer another protocol with each request, as Java's does with HTTP/2. An offer may be ignored; the parser takes it for the end of HTTP
instead and drops the body, so such a request is parsed a second time, without its offer. And a head may never end: nobody bounds it.
"""

from __future__ import annotations

from collections.abc import Iterator

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Beside what arrives together with its beginning.
MAX_HEAD_BYTES = 64 * 1024


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol, which answers HTTP/1.1 with HTTP/1.1 whatever was offered, and heads that end."""

    _begun = 0
    _in_head = False
    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived."""
        self._unset_keepalive_if_required()
        begun = self._begun
        try:
            self._parse(data)
            if self._in_head and self._begun == begun:
                self._bound_head(len(data))
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):  # CONNECT is no offer, and no proxy is here
            self.send_400_response("Invalid HTTP request received.")

    def _parse(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offered:
            head = b"".join(self._head_without_offer())
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
            self.parser.feed_data(head + data[offered.args[0] :])

    def _bound_head(self, more: int) -> None:
        self._head_bytes += more
        if self._head_bytes > MAX_HEAD_BYTES:
            raise httptools.HttpParserError("the head has no end")

    def _head_without_offer(self) -> Iterator[bytes]:
        yield b"%s %s HTTP/%s\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        for name, value in self.headers:
            if name != b"upgrade":  # what else belongs to the offer means nothing without it
                yield b"%s: %s\r\n" % (name, value)
        yield b"\r\n"

    def on_message_begin(self) -> None:
        """A head begins here."""
        self._begun += 1
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """A request begins here, unless it will be parsed again."""
        self._in_head = False
        if not self.parser.should_upgrade():
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """A request ends here, unless it will be parsed again."""
        if not self.parser.should_upgrade():
            super().on_message_complete()
