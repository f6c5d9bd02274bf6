"""What crosses a process boundary: messages, failure reasons and the names in NATS. pydantic only."""
