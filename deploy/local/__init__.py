"""The embedded stack: real Kafka, PostgreSQL and Redis as child processes, without Docker and without root rights."""

from deploy.local.errors import LocalStackError
from deploy.local.stack import BACKING_PARTS, LocalStack, start

__all__ = ["BACKING_PARTS", "LocalStack", "LocalStackError", "start"]
