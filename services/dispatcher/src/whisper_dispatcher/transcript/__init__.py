"""What was said: parsing a server's answer, merging windows, rendering. Values in, values out, no I/O."""
