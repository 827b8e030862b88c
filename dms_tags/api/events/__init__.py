"""The event feed over HTTP: Server-Sent Events."""
