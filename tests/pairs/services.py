"""Token services on real sockets: the endpoints of `fake_aws` and `fake_google` behind the fake provider's own server."""

from tests.fake_endpoint import Endpoint
from tests.fake_provider import Answer, Expected, FakeProvider, reply
from tests.fake_provider.received import Received


def token_service(endpoint: Endpoint) -> FakeProvider:
    """Answers every request as `endpoint` does, and checks its framing as any provider's."""

    def respond(request: Received) -> Answer:
        headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in request.headers]
        asked = endpoint.answer(request.method, request.target.encode(), headers, request.body)
        try:
            asked.send(None)  # nothing in an endpoint waits
        except StopIteration as done:
            status, answered, body = done.value
            return reply(status, body, edge=False, content_type=answered.pop("content-type"))
        raise AssertionError("the endpoint waits for something")

    expected = Expected(authorize=lambda request: ())
    return FakeProvider(expected=expected, respond=respond, rules=lambda request: (), model_of=lambda request: "")
