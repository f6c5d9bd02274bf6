"""Turns WhisperServer, WhisperModel and WhisperClient objects into what they describe."""
