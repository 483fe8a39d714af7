"""The catalogue's routes.

GET  /                                health
GET  /products                        all products
GET  /products/{id}?currency=EUR      one, with its price in minor units
GET  /data                            a few products, by a simulated database query
GET  /error                           fails: 500, an exception on the span, an ERROR log
GET  /fault, POST /fault/{name}       leak, cpu-burn: {"on": true|false}, from this host only
"""

import logging
import os

from fastapi import FastAPI, HTTPException, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from opentelemetry import metrics, trace
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

from catalogue import faults, products

log = logging.getLogger("catalogue")
viewed = metrics.get_meter("catalogue").create_counter(
    "shop.products.viewed", unit="{view}", description="Products looked at, alone or in a cart."
)

app = FastAPI(title="catalogue", version="1.0.0", docs_url=None, redoc_url=None)
app.include_router(faults.router)
app.add_middleware(
    CORSMiddleware,  # the front end's page may call this service, and may pass its trace on
    allow_origins=os.environ.get("CORS_ORIGINS", "http://localhost:3001,http://127.0.0.1:3001").split(","),
    allow_methods=["GET", "POST"],
    allow_headers=["content-type", "traceparent", "tracestate", "baggage"],
)


@app.get("/")
async def health():
    return {"service": "catalogue", "status": "ok"}


@app.get("/products")
async def list_products(currency: str = "EUR"):
    return [shown(p, currency) for p in await products.list_all()]


@app.get("/products/{product_id}")
async def product(product_id: str, currency: str = "EUR"):
    found = await products.find(product_id)
    if found is None:
        log.warning("no product %.40s", product_id, extra={"shop.product.id": product_id[:40]})
        raise HTTPException(404, f"no product {product_id[:40]!r}")
    answer = shown(found, currency)
    faults.viewed(found.id)
    viewed.add(1, {"product": found.id, "category": found.category})
    log.info("product viewed", extra={"shop.product.id": found.id, "price": answer["price"], "currency": currency})
    return answer


@app.get("/data")
async def data():
    cheap = sorted(await products.list_all(), key=lambda p: p.cents)[:5]
    log.info("products listed", extra={"rows": len(cheap)})
    return {"products": [shown(p, "EUR") for p in cheap]}


@app.get("/error")
async def error():
    """Fails on purpose: a number that is none, with the parser's error as the cause."""
    try:
        return {"price": int("2,5")}
    except ValueError as cause:
        raise products.PriceError("the price list cannot be read") from cause


def shown(p: products.Product, currency: str):
    return {
        "id": p.id,
        "name": p.name,
        "category": p.category,
        "price": products.price(p, currency),
        "currency": currency,
    }


@app.exception_handler(HTTPException)
async def refused(_: Request, refusal: HTTPException):
    return JSONResponse({"error": refusal.detail}, refusal.status_code)


@app.exception_handler(products.PriceError)
async def failed(_: Request, failure: products.PriceError):
    """Recorded and logged here, once, inside the request's span. Left to the framework's outermost handler the answer
    would lack its CORS headers, and the log its ids."""
    span = trace.get_current_span()
    span.record_exception(failure)
    span.set_status(trace.Status(trace.StatusCode.ERROR, str(failure)))
    log.error("%s", failure, exc_info=failure)
    return JSONResponse({"error": str(failure)}, 500)


# Last: it wraps all of the above. The internal spans of ASGI's receive and send would only be noise.
FastAPIInstrumentor.instrument_app(app, exclude_spans=["receive", "send"])
