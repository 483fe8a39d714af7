"""Serves the catalogue: python -m catalogue. Environment: HOST, PORT."""

import os

import uvicorn

from catalogue import telemetry

telemetry.start()  # before the application is made: what is measured asks for its providers then

from catalogue.app import app  # noqa: E402

# Its logs go the way of ours: no configuration of its own, and no access log beside the spans.
uvicorn.run(
    app,
    host=os.environ.get("HOST", "127.0.0.1"),
    port=int(os.environ.get("PORT", "8001")),
    log_config=None,
    access_log=False,
    timeout_graceful_shutdown=5,
)
telemetry.stop()
