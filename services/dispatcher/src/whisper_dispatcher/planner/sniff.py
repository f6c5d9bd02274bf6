"""What a file that is no audio seems to be, from its first bytes. For sentences only: nothing is decided by it."""

from __future__ import annotations

ADVICE = "Check that it plays, or convert it and send it again."

SOUND = (
    (0, b"RIFF", "a WAV or AVI file"),
    (0, b"ID3", "an MP3 file"),
    (0, b"OggS", "an OGG file"),
    (0, b"fLaC", "a FLAC file"),
    (4, b"ftyp", "an MP4 file"),
    (0, b"\x1a\x45\xdf\xa3", "a Matroska or WebM file"),
    (0, b"#!AMR", "an AMR file"),
    (0, b"FORM", "an AIFF file"),
    (0, b"caff", "a CAF file"),
    (0, b"\x30\x26\xb2\x75", "a WMA or WMV file"),
)

OTHER = (
    (0, b"%PDF", "a PDF document"),
    (0, b"\x89PNG", "a PNG image"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"GIF8", "a GIF image"),
    (0, b"PK\x03\x04", "a ZIP archive or an office document"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"7z\xbc\xaf", "a 7-Zip archive"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"\x7fELF", "a program"),
    (0, b"MThd", "a MIDI file, which holds notes and no sound"),
)


def why_unreadable(head: bytes) -> str:
    """A sentence for the owner of a file in which no decoder found audio. head: its first kilobytes."""
    if not head:
        return f"The file is empty. {ADVICE}"
    for offset, magic, name in SOUND:
        if head.startswith(magic, offset):
            return f"The file begins like {name}, but no sound could be read from it: it is empty, damaged or cut off. {ADVICE}"
    for offset, magic, name in OTHER:
        if head.startswith(magic, offset):
            return f"The file is {name}. Send a recording, such as WAV, MP3, M4A, OGG or FLAC."
    if _is_text(head):
        return "The file is text. Send a recording, such as WAV, MP3, M4A, OGG or FLAC."
    return f"The file is no audio or video format that this service knows. {ADVICE}"


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        # A character of several bytes may be cut in two at the end of what was read.
        text = head[: error.start].decode() if error.start >= len(head) - 3 else ""
    return bool(text) and all(character.isprintable() or character in "\r\n\t\f\ufeff" for character in text)
