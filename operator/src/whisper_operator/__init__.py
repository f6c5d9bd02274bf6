"""Turns WhisperServer and WhisperClient objects into what they describe."""
