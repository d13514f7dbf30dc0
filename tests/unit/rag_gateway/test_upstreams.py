"""The keys that upstreams are asked with."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag_gateway.epochs import Epochs
from rag_gateway.errors import UnavailableError
from rag_gateway.settings import GatewaySettings
from rag_gateway.upstreams import API_KEY_FILE, Pool


def key_of(directory: Path, content: bytes) -> str | None:
    (directory / "openai").mkdir()
    (directory / "openai" / API_KEY_FILE).write_bytes(content)
    return Pool(GatewaySettings.model_validate({"RAG_CREDENTIALS_DIR": directory}), Epochs())._api_key("openai")()


def test_a_key_is_what_its_file_holds_without_blanks_around_it(tmp_path: Path) -> None:
    assert key_of(tmp_path, b" sk-1\r\n") == "sk-1"


@pytest.mark.parametrize("content", [b"sk-1\nsk-2\n", b"sk-\xff", b"sk-\x00"])
def test_what_no_header_can_carry_is_no_key_and_is_named(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="the credentials 'openai' hold no API key") as refused:
        key_of(tmp_path, content)
    assert refused.value.error_code == "credentials_invalid"
