"""`tercet bucket check` against a real S3 server: what works, what is tried again, and what is said when nothing helps."""
import os
import re
import subprocess

import pytest

from bucket import ACCESS, BUCKET, SECRET, Bucket, certificate, times, xml_error
from node import BINARY

STEPS = 8


def check(bucket, env=None, args=None, **settings):
    command = [BINARY, "bucket", "check", *(bucket.settings(**settings) if args is None else args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, **(env or {})})


def all_ok(result):
    assert result.returncode == 0, result
    assert len(re.findall(r" ok$", result.stdout, flags=re.M)) == STEPS, result.stdout


def test_everything_works_and_is_signed(bucket):
    all_ok(check(bucket))
    assert bucket.proxy.requests["PUT"] >= 6 and not bucket.proxy.wrong
    assert bucket.names() == [] and bucket.uploads() == []


@pytest.mark.parametrize("prefix", ["", "a", "a/b.c/d_e-f"])
def test_prefixes(moto, prefix):
    b = Bucket(moto, prefix)
    try:
        all_ok(check(b))
        assert not b.proxy.wrong
    finally:
        b.stop()


def test_bucket_in_the_hosts_name(bucket):
    all_ok(check(bucket, **{"object.path_style": "false", "object.endpoint": bucket.proxy.url.replace("127.0.0.1", "localhost")}))
    assert not bucket.proxy.wrong


def test_session_token_and_file_and_environment(bucket, tmp_path):
    all_ok(check(bucket, **{"object.session_token": "a/token+with=signs"}))
    no_keys = {"object.access_key": "", "object.secret_key": ""}
    all_ok(check(bucket, env={"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET}, **no_keys))
    path = tmp_path / "keys"
    path.write_text(f"# keys\n[other]\naws_access_key_id = no\naws_secret_access_key = no\n\n[mine]\naws_access_key_id={ACCESS}\n"
                    f"aws_secret_access_key = {SECRET}\n")
    all_ok(check(bucket, **no_keys, **{"object.credentials_file": path, "object.profile": "mine"}))
    assert not bucket.proxy.wrong
    r = check(bucket, **no_keys, **{"object.credentials_file": path, "object.profile": "third"})
    assert r.returncode == 1 and "profile [third] lacks" in r.stderr
    r = check(bucket, env={"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, **no_keys)
    assert r.returncode == 1 and "no credentials" in r.stderr
    assert SECRET not in r.stderr + r.stdout


@pytest.mark.parametrize("what", [("status", 500, "InternalError"), ("status", 503, "SlowDown"), ("status", 429, "TooManyRequests"),
                                  ("cut",), ("delay", 0.3)])
@pytest.mark.parametrize("method", ["PUT", "GET", "POST", "DELETE", "HEAD"])
def test_passing_faults_are_tried_again(bucket, what, method):
    bucket.proxy.fault = times(2, what, method=method)
    all_ok(check(bucket))
    assert bucket.proxy.faults == 2 and bucket.names() == [] and bucket.uploads() == []


@pytest.mark.parametrize("what", [("reset", 0), ("reset", 2), ("short", 2)])
def test_answers_that_end_in_the_middle(bucket, what):
    """What has come of them is not taken for all."""
    bucket.proxy.fault = times(2, what, method="GET", path="check")
    all_ok(check(bucket))
    assert bucket.proxy.faults == 2 and bucket.names() == []
    bucket.proxy.fault = times(100, what, method="GET", path="check")
    r = check(bucket)
    assert r.returncode == 1 and "GET http" in r.stderr, r


@pytest.mark.parametrize("some", [0, 1 << 20])
@pytest.mark.parametrize("match", [{"query": "partNumber=1"}, {"query": "partNumber=2"}, {"query": "uploadId=", "method": "POST"}])
def test_connections_reset_while_a_body_is_sent(bucket, some, match):
    bucket.proxy.body_fault = times(2, some, **match)
    all_ok(check(bucket))
    assert bucket.proxy.faults == 2 and bucket.names() == [] and bucket.uploads() == []


def test_lost_answers_of_an_upload_in_parts(bucket):
    bucket.proxy.fault = times(1, ("lost",), method="POST", query="uploadId=")
    all_ok(check(bucket))
    assert bucket.proxy.faults == 1
    bucket.proxy.fault = times(1, ("lost",), method="PUT", query="partNumber=2")
    all_ok(check(bucket))
    assert bucket.names() == [] and bucket.uploads() == []


def test_a_failed_upload_in_parts_is_aborted(bucket):
    bucket.proxy.fault = times(100, ("status", 500, "InternalError"), method="PUT", query="partNumber=2")
    r = check(bucket)
    assert r.returncode == 1 and "upload in parts" in r.stdout and "InternalError" in r.stderr
    assert bucket.uploads() == [] and bucket.names() == []


def test_no_answer_is_no_hang(bucket):
    bucket.proxy.fault = times(100, ("delay", 30))
    r = check(bucket, **{"object.timeout": "300ms"})
    assert r.returncode == 1 and "timed out" in r.stderr.lower()


@pytest.mark.parametrize("settings,says", [
    ({"object.secret_key": "wrong"}, "the secret key does not belong to access key tercet-key"),
    ({"object.access_key": "nobody"}, "does not know access key nobody"),
    ({"object.bucket": "no-such-bucket"}, "there is no bucket 'no-such-bucket': make it"),
    ({"object.bucket": "No_Bucket"}, "is no name of a bucket"),
    ({"object.endpoint": "localhost:9000"}, "does not begin with http:// or https://"),
    ({"object.endpoint": "http://host/path"}, "is not http(s)://host"),
    ({"object.prefix": "../x"}, "object.prefix"),
    ({"object.endpoint": "http://127.0.0.1:1"}, "Failed to connect"),
    ({"object.endpoint": "http://no-such-host.invalid"}, "Could not resolve host"),
    ({"object.bucket": ""}, "object.bucket is not set"),
])
def test_what_a_person_must_do_is_said(bucket, settings, says):
    r = check(bucket, **settings)
    assert r.returncode == 1 and says in r.stderr, r
    assert SECRET not in r.stderr + r.stdout


@pytest.mark.parametrize("status,code,says", [
    (403, "RequestTimeTooSkewed", "set this machine's clock"), (403, "AccessDenied", "give it GetObject, PutObject"),
    (403, "ExpiredToken", "has expired"), (400, "ExpiredToken", "has expired"), (301, "PermanentRedirect", "correct object.endpoint and object.region"),
    (400, "AuthorizationHeaderMalformed", "another address"), (501, "NotImplemented", "conditional writes"),
])
def test_refusals_are_told_apart(bucket, status, code, says):
    bucket.proxy.fault = times(1, ("status", status, code), method="PUT")
    r = check(bucket)
    assert r.returncode == 1 and says in r.stderr, r


def test_a_server_that_ignores_conditions_is_found_out(bucket):
    bucket.proxy.fault = times(100, ("strip", "if-none-match"))
    r = check(bucket)
    assert r.returncode == 1 and "If-None-Match: * did not stop a second write" in r.stderr
    bucket.proxy.fault = times(100, ("strip", "if-match"))
    r = check(bucket)
    assert r.returncode == 1 and "If-Match did not stop a write" in r.stderr
    bucket.proxy.fault = times(100, ("strip", "range"))
    r = check(bucket)
    assert r.returncode == 1 and "range" in r.stderr
    assert bucket.names() == []


def test_answers_that_are_none(bucket):
    for body in (b"", b"<html>a proxy's page</html>", b"<!DOCTYPE a [<!ENTITY b 'c'>]><ListBucketResult/>", b"\xff\xfe" * 100, xml_error("x")):
        real = bucket.proxy.forward
        bucket.proxy.forward = lambda rq, target: (200, [], body) if "list-type" in rq.query else real(rq, target)
        r = check(bucket)
        bucket.proxy.forward = real
        assert r.returncode == 1 and "list" in r.stdout, r


def test_certificates(moto, tmp_path, request):
    cert, key = certificate(tmp_path)
    b = Bucket(moto, "tls", (cert, key))
    try:
        r = check(b)
        assert r.returncode == 1 and "certificate is not trusted" in r.stderr and "object.ca_file" in r.stderr
        all_ok(check(b, **{"object.ca_file": cert}))
        all_ok(check(b, **{"object.tls_verify": "false"}))
        r = check(b, **{"object.ca_file": cert, "object.endpoint": b.proxy.url.replace("127.0.0.1", "localhost")})
        assert r.returncode == 1 and "certificate is not trusted" in r.stderr  # of another name
        r = check(b, **{"object.ca_file": tmp_path / "none"})
        assert r.returncode == 1 and "object.ca_file" in r.stderr
    finally:
        b.stop()


def test_secrets_are_not_shown(bucket):
    r = subprocess.run([BINARY, "config", "check", *bucket.settings(**{"object.session_token": "the-token"})], capture_output=True, text=True)
    assert r.returncode == 0 and BUCKET in r.stdout and ACCESS in r.stdout
    assert SECRET not in r.stdout and "the-token" not in r.stdout and r.stdout.count('"(hidden)"') == 2
    r = subprocess.run([BINARY, "config", "check", "--set", "object.secret_key=" + "s3cret" * 400], capture_output=True, text=True)
    assert r.returncode == 2 and "object.secret_key" in r.stderr and "s3cret" not in r.stderr
