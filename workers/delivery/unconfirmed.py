"""Why a message was not confirmed."""

from __future__ import annotations


class PublishError(Exception):
    """The broker has not confirmed the message, for now; whether it has it is not known."""


class UnroutableError(PublishError):
    """No queue takes the message: the topology is not the one we need."""


class FullError(PublishError):
    """The message's queue takes no more; other queues may."""
