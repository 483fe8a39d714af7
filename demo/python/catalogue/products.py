"""The products, and the simulated database they lie in."""

import asyncio
import random
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass

from opentelemetry import metrics, trace

from catalogue.telemetry import SECONDS

tracer = trace.get_tracer("catalogue")
query_duration = metrics.get_meter("catalogue").create_histogram(
    "db.client.operation.duration",
    unit="s",
    description="Duration of database client operations.",
    explicit_bucket_boundaries_advisory=SECONDS,
)


@dataclass(frozen=True)
class Product:
    id: str
    name: str
    category: str
    cents: int  # in euro


PRODUCTS = {
    p.id: p
    for p in [
        Product("anchor", "Plough anchor, 10 kg", "deck", 18900),
        Product("bilge-pump", "Bilge pump, 12 V", "electrics", 7450),
        Product("buoy", "Mooring buoy", "deck", 3990),
        Product("compass", "Bulkhead compass", "navigation", 24900),
        Product("davit", "Davit, stainless", "deck", 61000),
        Product("ensign", "Ensign, 45 x 30 cm", "rigging", 1250),
        Product("fender", "Fender with line", "deck", 2790),
        Product("gimbal", "Gimballed lamp", "electrics", 8900),
        Product("halyard", "Halyard, 30 m", "rigging", 9900),
        Product("logbook", "Logbook, waterproof", "navigation", 1890),
        Product("sextant", "Sextant", "navigation", 89900),
        Product("winch-handle", "Winch handle, 25 cm", "rigging", 4990),
    ]
}

# Minor units of each currency for a euro cent.
RATES = {"EUR": 1.0, "USD": 1.09, "GBP": 0.85, "JPY": 1.63}


class PriceError(Exception):
    """A product has no price that can be told."""


def price(product: Product, currency: str) -> int:
    """The price in minor units of a currency."""
    try:
        return round(product.cents * RATES[currency])
    except KeyError as missing:
        raise PriceError(f"{product.id} has no price in {currency}") from missing


@asynccontextmanager
async def statement(operation: str, text: str, median: float):
    """One database statement: a CLIENT span with db.* attributes, a measurement, and a sleep where a real driver would
    wait: around `median` seconds with a tail. Gives the span."""
    name = {"db.system.name": "postgresql", "db.operation.name": operation, "db.collection.name": "products"}
    with tracer.start_as_current_span(
        f"{operation} products",
        kind=trace.SpanKind.CLIENT,
        attributes=name
        | {
            "db.namespace": "catalogue",
            "db.query.text": text,
            "server.address": "catalogue-db",
            "server.port": 5432,
        },
    ) as span:
        started = time.perf_counter()
        await asyncio.sleep(median * min(8, max(0.35, random.lognormvariate(0, 0.7))))
        yield span
        query_duration.record(time.perf_counter() - started, name)


async def find(product_id: str) -> Product | None:
    async with statement("SELECT", "SELECT * FROM products WHERE id = $1", 0.005) as span:
        found = PRODUCTS.get(product_id)
        span.set_attribute("db.response.returned_rows", 1 if found else 0)
    return found


async def list_all() -> list[Product]:
    async with statement("SELECT", "SELECT * FROM products ORDER BY id", 0.011) as span:
        span.set_attribute("db.response.returned_rows", len(PRODUCTS))
    return list(PRODUCTS.values())
