"""What Schemathesis cannot derive from the schema: the scalars, and the form of answers."""

import json
import re

import schemathesis
from hypothesis import strategies as st
from schemathesis.graphql import nodes

schemathesis.graphql.scalar("LocalDate", st.dates().map(lambda day: nodes.String(day.isoformat())))
schemathesis.graphql.scalar("LocalTime", st.times().map(lambda time: nodes.String(time.strftime("%H:%M:%S"))))

CODES = {"BAD_USER_INPUT", "TOO_COMPLEX", "UNAVAILABLE"}


@schemathesis.check
def errors_are_the_clients(ctx, response, case):
    """Checks that each error has one of the documented codes, so that no error is a fault of the server."""
    for error in response.json().get("errors", []):
        code = error.get("extensions", {}).get("code")
        assert code in CODES, f"{code}: {error['message']}"


@schemathesis.check
def invalid_documents_are_refused(ctx, response, case):
    """Checks that documents that the schema does not allow are answered with errors.

    Integers beyond 32 bits are checked only when their field is executed, so below a null they cause no error.
    """
    if not case.meta or not case.meta.generation.mode.is_negative:
        return
    if any(abs(int(number)) >= 2**31 for number in re.findall(r"-?\b\d{10,}\b", json.dumps(case.body))):
        return
    assert response.json().get("errors"), "accepted"
