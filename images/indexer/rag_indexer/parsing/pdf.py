"""The text of a PDF, page by page, by pypdf. A scan without a text layer gives no text; it is then empty, not failed."""

from __future__ import annotations

import io
import logging

from pypdf import PdfReader
from pypdf.errors import PyPdfError

from rag_indexer.errors import DocumentError
from rag_indexer.parsing.documents import Parsed

MAX_PAGES = 5_000

# It warns about every oddity that it repairs.
logging.getLogger("pypdf").setLevel(logging.ERROR)


def parse_pdf(content: bytes) -> Parsed:
    """Parse a PDF of at most `MAX_PAGES` pages that needs no password."""
    try:
        reader = PdfReader(io.BytesIO(content))
        if reader.is_encrypted and not reader.decrypt(""):
            raise DocumentError("the PDF needs a password")
        if len(reader.pages) > MAX_PAGES:
            raise DocumentError(f"a PDF of {len(reader.pages)} pages, allowed: at most {MAX_PAGES}")
        pages = [page.extract_text().strip() for page in reader.pages]
        title = reader.metadata.title if reader.metadata else None
    except DocumentError:
        raise
    # The library raises plain errors of many kinds on files that were made to break it.
    except (PyPdfError, ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError, OSError) as error:
        raise DocumentError(f"not a readable PDF: {type(error).__name__}: {error!s:.200}") from error
    return Parsed("\n\n".join(page for page in pages if page), str(title or ""))
