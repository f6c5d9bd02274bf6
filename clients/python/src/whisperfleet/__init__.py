"""Whisperfleet for Python programs: `whisperfleet.client` talks to a gateway, `whisperfleet.celery` is a Celery task.

Knows the HTTP API alone; nothing of the services is imported here.
"""
