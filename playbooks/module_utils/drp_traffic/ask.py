"""What a recovery host asks itself before users come: whether the application answers, and whether ports are open."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import time

from .process import Trouble

PAUSE_SECONDS = 0.2
ANSWER_SECONDS = 5
HERE = "127.0.0.1"


def carry_out(asks, seconds):
    """Wait until each question was answered well; Trouble with the last answer of one that was not in time."""
    for ask in asks:
        end = time.monotonic() + seconds
        while True:
            said = ASKED[ask["kind"]](ask)
            if not said:
                break
            if time.monotonic() > end:
                raise Trouble("application", "%s, for %g s" % (said, seconds))
            time.sleep(PAUSE_SECONDS)


def ask_http(ask):
    """Empty where a page is answered with the status that is expected; no redirection is followed. Certificates are
    looked at from outside, by the name that users know."""
    if ask["scheme"] == "https":
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(HERE, ask["port"], timeout=ANSWER_SECONDS, context=context)
    else:
        connection = http.client.HTTPConnection(HERE, ask["port"], timeout=ANSWER_SECONDS)
    what = "%s on port %d" % (ask["path"], ask["port"])
    with contextlib.closing(connection):
        try:
            connection.request("GET", ask["path"], headers={"Host": ask["host_header"]} if ask["host_header"] else {})
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException, ValueError) as error:
            return "%s is not answered: %s" % (what, str(error) or type(error).__name__)
    return "" if status == ask["status"] else "%s is answered with %d instead of %d" % (what, status, ask["status"])


def ask_tcp(ask):
    """Empty where a port takes a connection."""
    try:
        socket.create_connection((HERE, ask["port"]), ANSWER_SECONDS).close()
    except OSError as error:
        return "port %d takes no connection: %s" % (ask["port"], error.strerror or error)
    return ""


ASKED = {"http": ask_http, "tcp": ask_tcp}
