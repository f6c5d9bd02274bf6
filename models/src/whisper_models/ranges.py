"""HTTP ranges: what is asked for to go on where a part file ends, and whether the answer does."""

from __future__ import annotations

import re


def resume_headers(size_bytes: int, etag: str | None) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity"}
    if size_bytes:
        headers["Range"] = f"bytes={size_bytes}-"
        # A weak ETag does not promise equal bytes, and If-Range may not carry one.
        if etag and not etag.startswith("W/"):
            headers["If-Range"] = etag
    return headers


def continues_part(content_range: str | None, etag: str | None, size_bytes: int, part_etag: str | None) -> bool:
    """Whether a 206 starts exactly where the part ends and is of the same version."""
    match = re.match(r"bytes (\d+)-", content_range or "")
    starts_right = match is not None and int(match.group(1)) == size_bytes
    return starts_right and (part_etag is None or etag is None or etag == part_etag)


def total_size_bytes(content_range: str | None, content_length: str | None) -> int | None:
    if content_range is not None:
        total = content_range.rpartition("/")[2]
        return int(total) if total.isdecimal() else None
    return int(content_length) if content_length and content_length.isdecimal() else None
