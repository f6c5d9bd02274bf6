"""All talking to NATS: connection, streams, first-write-wins publishing, pulling, tailing, objects."""
