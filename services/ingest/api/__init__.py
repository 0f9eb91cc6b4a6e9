"""Ingest over HTTP: the tracking protocol and our own JSON as plain ASGI, everything people use as ordinary FastAPI."""

from fastapi import FastAPI

from services.ingest.api.deps import ApiDeps
from services.ingest.api.routes import add_routes

__all__ = ["ApiDeps", "FastAPI", "add_routes"]
