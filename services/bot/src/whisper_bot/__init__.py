"""Telegram in and out: voice notes become text through the gateway's HTTP API."""
