"""What callers of old expect: two dialects and accounts, over the same sessions."""

from __future__ import annotations

from fastapi import APIRouter

from . import accounts, events, generic, keys, mpc, sockets

routers: list[APIRouter] = [
    mpc.router,
    accounts.router,
    generic.router,
    events.router,
    sockets.router,
    keys.router,
]
