#!/usr/bin/env python3
"""Bounded traffic to the demo services: a few requests a second, until a time or until stopped."""
import argparse
import random
import time
import urllib.error
import urllib.request


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--url", default="http://127.0.0.1:8001")
    p.add_argument("--rate", type=float, default=5, help="requests a second, at most 50")
    p.add_argument("--seconds", type=float, default=4 * 3600, help="stops by itself after this long")
    a = p.parse_args()
    pause = 1 / max(0.1, min(a.rate, 50))
    end = time.monotonic() + a.seconds
    while time.monotonic() < end:
        path = random.choices(["/data", "/", "/error"], [80, 15, 5])[0]
        try:
            urllib.request.urlopen(a.url + path, timeout=5).read()
        except (urllib.error.URLError, OSError):
            pass  # 500s are part of the show; a service that restarts comes back
        time.sleep(random.expovariate(1 / pause))


main()
