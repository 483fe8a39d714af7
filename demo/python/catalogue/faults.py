"""Faults that can be switched on to be found again in the telemetry. Only this host may: a demo's switch is no API."""

import hashlib
import ipaddress
import logging
import time

from fastapi import APIRouter, Depends, HTTPException, Request
from opentelemetry import trace
from pydantic import BaseModel

log = logging.getLogger("catalogue.faults")
tracer = trace.get_tracer("catalogue")

LEAK_STEP = 512 << 10
LEAK_MAX = 300 << 20
BURN_SECONDS = 0.08
BURN_SHARE = 0.6  # of one core at most

on = {"leak": False, "cpu-burn": False}
_pages: list[bytearray] = []  # what leaks
_burn_again = 0.0  # monotonic time before which nothing burns


def viewed(product_id: str):
    """What the faults add to the view of a product."""
    if on["leak"]:
        remember_page(product_id)
    if on["cpu-burn"]:
        recompute_price(product_id)


def remember_page(product_id: str):
    """The leak: a cache of rendered pages whose key never repeats. Bounded, so that the host survives the demo."""
    if len(_pages) * LEAK_STEP < LEAK_MAX:
        _pages.append(bytearray(product_id.encode() * (LEAK_STEP // len(product_id))))
        if len(_pages) % 100 == 0:
            log.info("page cache has %d entries", len(_pages), extra={"cache.entries": len(_pages)})


def recompute_price(product_id: str):
    """The hot loop: it holds the event loop, so every other request waits too. Rests long enough to stay under its share."""
    global _burn_again
    started = time.monotonic()
    if started < _burn_again:
        return
    with tracer.start_as_current_span("recompute price", attributes={"shop.product.id": product_id}) as span:
        rounds = 0
        digest = product_id.encode()
        while time.monotonic() - started < BURN_SECONDS:
            digest = hashlib.sha256(digest).digest()
            rounds += 1
        span.set_attribute("shop.price.rounds", rounds)
    _burn_again = time.monotonic() + BURN_SECONDS * (1 / BURN_SHARE - 1)


def from_here(request: Request):
    # uvicorn says who connects; without a proxy in front that is the caller.
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
        address = getattr(address, "ipv4_mapped", None) or address
        here = address.is_loopback
    except ValueError:
        here = False
    if not here:
        raise HTTPException(403, "faults are switched from this host only")


class Switch(BaseModel):
    on: bool


router = APIRouter(prefix="/fault", dependencies=[Depends(from_here)])


@router.get("")
async def state():
    return on


@router.post("/{name}")
async def switch(name: str, to: Switch):
    if name not in on:
        raise HTTPException(404, f"catalogue has no fault {name!r}")
    on[name] = to.on
    if name == "leak" and not to.on:
        _pages.clear()
    log.warning("fault %s is %s", name, "on" if to.on else "off", extra={"fault": name, "on": to.on})
    return on
