"""A bucket for tests: moto's S3 server in a process of its own, behind a proxy of ours that checks every signature and body
by itself and does to requests what networks and buckets do: delays, 500, SlowDown, answers that get lost, refusals."""
import collections
import email.utils
import hashlib
import hmac
import http.client
import http.server
import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request

ACCESS, SECRET, BUCKET = "tercet-key", "tercet-secret/+with:signs", "tercet-test"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Moto:
    """The server. Its data lives in its memory: stop() loses it, pause() does not."""
    def __init__(self):
        self.port = free_port()
        self.process = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(self.port)],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/moto-api/", timeout=5).read()
                return
            except OSError:
                assert self.process.poll() is None and time.monotonic() < end, "moto does not start"
                time.sleep(0.1)

    def stop(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def xml_error(code, message=""):
    return f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'.encode()


Request = collections.namedtuple("Request", "method path query headers body")


def wrong_signature(rq, secret, region="us-east-1"):
    """None, or what is wrong with a request's signature: Signature Version 4 as Amazon publishes it."""
    auth = rq.headers.get("authorization", "")
    if not auth.startswith("AWS4-HMAC-SHA256 "):
        return "no signature"
    parts = dict(p.strip().split("=", 1) for p in auth.split(" ", 1)[1].split(","))
    access, date, where, service, end = parts["Credential"].split("/")
    if access != ACCESS:
        return "InvalidAccessKeyId"
    if (where, service, end) != (region, "s3", "aws4_request"):
        return "scope"
    body_hash = hashlib.sha256(rq.body).hexdigest()
    if rq.headers.get("x-amz-content-sha256") != body_hash:
        return "the body's hash"
    signed = parts["SignedHeaders"].split(";")
    must = {"host", "x-amz-date", "x-amz-content-sha256"} | {h for h in rq.headers if h.startswith(("x-amz-", "if-"))}
    if not must <= set(signed):
        return f"not signed: {must - set(signed)}"
    path = urllib.parse.quote(urllib.parse.unquote(rq.path), safe="/-_.~")
    query = "&".join(sorted(f"{urllib.parse.quote(k, safe='-_.~')}={urllib.parse.quote(v, safe='-_.~')}"
                            for k, v in urllib.parse.parse_qsl(rq.query, keep_blank_values=True)))
    canonical = "\n".join([rq.method, path, query, *[f"{h}:{' '.join(rq.headers[h].split())}" for h in signed], "",
                           ";".join(signed), body_hash])
    to_sign = "\n".join(["AWS4-HMAC-SHA256", rq.headers["x-amz-date"], f"{date}/{where}/{service}/{end}",
                         hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + secret).encode()
    for step in (date, where, service, end, to_sign):
        key = hmac.new(key, step.encode(), hashlib.sha256).digest()
    return None if key.hex() == parts["Signature"] else "SignatureDoesNotMatch"


class Proxy:
    """Listens on its own port. fault(request) -> None or one of
       ("delay", seconds) | ("status", code, error code) | ("cut",) | ("lost",): done, but the answer never comes | ("strip", header)
       | ("reset", bytes): of the answer's body, then the connection is reset | ("short", bytes): then it ends, and no length was told
       | ("skew", seconds): the server's clock is so far ahead of ours, and it refuses ours.
       body_fault(request without its body) -> None or the number of bytes of the body that are read before the connection is reset."""
    def __init__(self, moto, tls=None):
        self.moto, self.fault, self.body_fault = moto, None, None
        self.requests, self.wrong, self.faults = collections.Counter(), [], 0
        self.received = 0
        self.lock = threading.Lock()
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def go(self):
                proxy.handle(self)
            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = go

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request, address):
                pass
        self.server = Server(("127.0.0.1", 0), Handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    @staticmethod
    def answer(h, status, body=b"", headers=(), length=True, date=None):
        h.send_response_only(status)
        h.send_header("date", date or h.date_time_string())
        for k, v in headers:
            h.send_header(k, v)
        if length:
            h.send_header("content-length", str(len(body)))
        h.end_headers()
        if h.command != "HEAD":
            h.wfile.write(body)

    @staticmethod
    def reset(h):
        """RST, where the end of a handler would send a FIN."""
        h.close_connection = True
        h.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(h.connection.detach())

    def answer_in_part(self, h, what, status, body, headers):
        """The beginning of an answer: an HTTP/1.1 client may take it for the whole only where its length is not told."""
        h.close_connection = True
        if what[0] == "short":
            self.answer(h, status, body[:what[1]], headers, length=False)
            return
        self.answer(h, status, b"", [*headers, ("content-length", str(len(body)))], length=False)
        h.wfile.write(body[:what[1]])
        time.sleep(0.05)  # they arrive before the reset does
        self.reset(h)

    def handle(self, h):
        path, _, query = h.path.partition("?")
        headers = {k.lower(): v for k, v in h.headers.items()}
        rq = Request(h.command, path, query, headers, b"")
        length = int(headers.get("content-length") or 0)
        some = self.body_fault(rq) if self.body_fault and length else None
        if some is not None:
            with self.lock:
                self.faults += 1
            h.rfile.read(min(some, length))
            self.reset(h)
            return
        rq = rq._replace(body=h.rfile.read(length))
        with self.lock:
            self.requests[rq.method] += 1
        bad = wrong_signature(rq, SECRET)
        if bad:
            with self.lock:
                self.wrong.append(f"{rq.method} {h.path}: {bad}")
            self.answer(h, 403, xml_error(bad if bad[0].isupper() else "SignatureDoesNotMatch"))
            return
        what = self.fault(rq) if self.fault else None
        if what:
            with self.lock:
                self.faults += 1
        if what and what[0] == "delay":
            time.sleep(what[1])
        if what and what[0] == "status":
            self.answer(h, what[1], xml_error(what[2]))
            return
        if what and what[0] == "skew":
            self.answer(h, 403, xml_error("RequestTimeTooSkewed", "The difference between the request time and the current time is too large."),
                        date=email.utils.formatdate(time.time() + what[1], usegmt=True))
            return
        if what and what[0] == "cut":
            h.close_connection = True
            h.connection.shutdown(socket.SHUT_RDWR)
            return
        if what and what[0] == "strip":
            headers.pop(what[1], None)
        status, answer_headers, body = self.forward(rq._replace(headers=headers), h.path)
        if what and what[0] == "lost":
            h.close_connection = True
            h.connection.shutdown(socket.SHUT_RDWR)
            return
        if what and what[0] in ("reset", "short"):
            self.answer_in_part(h, what, status, body, answer_headers)
            return
        with self.lock:
            self.received += len(body)
        self.answer(h, status, body, answer_headers)

    def forward(self, rq, target):
        c = http.client.HTTPConnection("127.0.0.1", self.moto.port, timeout=60)
        try:
            # A bucket in the host's name (virtual-host style) goes by its path to moto.
            host = rq.headers["host"].split(":")[0]
            if host.startswith(BUCKET + "."):
                target = f"/{BUCKET}{target}"
            keep = {k: v for k, v in rq.headers.items() if k not in ("host", "connection", "expect", "content-length")}
            c.request(rq.method, target, body=rq.body, headers=keep)
            r = c.getresponse()
            body = r.read()
            if rq.method == "HEAD":
                body = bytes(int(r.getheader("content-length") or 0))  # its length is what counts
            drop = ("content-length", "connection", "transfer-encoding", "server", "date")
            headers = [(k, v) for k, v in r.getheaders() if k.lower() not in drop]
            return r.status, headers, body
        except OSError:
            return 503, [], xml_error("ServiceUnavailable", "moto is away")
        finally:
            c.close()


def times(n, what, **match):
    """A fault for the first n requests whose fields match: method="PUT", path="part of it", query="part of it"."""
    left = [n]

    def fault(rq):
        if left[0] == 0 or any(v != rq.method if k == "method" else v not in getattr(rq, k) for k, v in match.items()):
            return None
        left[0] -= 1
        return what
    fault.left = left
    return fault


class Bucket:
    """A bucket with one name of its own per test: settings for a node, and what is in it."""
    def __init__(self, moto, prefix, tls=None):
        import boto3
        from botocore.config import Config
        self.proxy, self.prefix = Proxy(moto, tls), prefix
        self.s3 = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{moto.port}", aws_access_key_id=ACCESS,
                               aws_secret_access_key=SECRET, region_name="us-east-1", config=Config(retries={"max_attempts": 2}))
        try:
            self.s3.create_bucket(Bucket=BUCKET)
        except self.s3.exceptions.BucketAlreadyOwnedByYou:
            pass

    def settings(self, **more):
        rows = {"object.bucket": BUCKET, "object.endpoint": self.proxy.url, "object.prefix": self.prefix,
                "object.access_key": ACCESS, "object.secret_key": SECRET, **more}
        return [x for k, v in rows.items() for x in ("--set", f"{k}={v}")]

    def names(self, under=""):
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{self.prefix}/{under}")
        return [o["Key"][len(self.prefix) + 1:] for p in pages for o in p.get("Contents", [])]

    def uploads(self):
        return [u["Key"] for u in self.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) if u["Key"].startswith(self.prefix)]

    def stale_lists(self, missing=(), left=()):
        """From now on lists lack the objects `missing` and still have those of `left`, whose bytes are as they are."""
        def item(name):
            return f"<Contents><Key>{self.prefix}/{name}</Key><Size>11</Size></Contents>"
        real = type(self.proxy).forward

        def forward(rq, target):
            status, headers, body = real(self.proxy, rq, target)
            if "list-type" not in rq.query or status != 200:
                return status, headers, body
            text = body.decode()
            for c in re.findall(r"<Contents>.*?</Contents>", text, flags=re.S):
                if any(f"/{n}</Key>" in c for n in [*missing, *left]):
                    text = text.replace(c, "")
            text = text.replace("</ListBucketResult>", "".join(map(item, left)) + "</ListBucketResult>")
            with self.proxy.lock:
                self.proxy.faults += 1
            return status, headers, text.encode()
        self.proxy.forward = forward

    def get(self, name):
        return self.s3.get_object(Bucket=BUCKET, Key=f"{self.prefix}/{name}")["Body"].read()

    def put(self, name, body):
        self.s3.put_object(Bucket=BUCKET, Key=f"{self.prefix}/{name}", Body=body)

    def stop(self):
        self.proxy.stop()


def certificate(folder):
    """A key and a certificate that signs itself for 127.0.0.1: their paths."""
    key, cert = os.path.join(folder, "key.pem"), os.path.join(folder, "cert.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key
