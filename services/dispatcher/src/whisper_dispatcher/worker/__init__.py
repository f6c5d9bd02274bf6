"""The pod's first process: whisper-servers on the loopback, and one window at a time for each of them."""
