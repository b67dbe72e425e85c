"""A Prediction as apps pass it on: to JSON, sets, other processes, logs, FastAPI."""

import asyncio
import copy
import json
import pickle

import numpy as np
import pytest

from fmnist_edge.errors import InputError
from fmnist_edge.runtime import Prediction

VALUES = np.array([0.125, 0.75, 0.125], np.float32)
FIELDS = {"label": "Bag", "index": 1, "confidence": 0.75, "probabilities": [0.125, 0.75, 0.125], "latency_ns": 41}


def bag(**changes) -> Prediction:
    return Prediction(**{**FIELDS, "probabilities": VALUES, **changes})


def test_json():
    assert json.loads(json.dumps(bag().as_dict())) == FIELDS == dict(bag())
    assert all(type(value) in (str, int, float, list) for value in bag().as_dict().values())


def test_equality_and_hash_are_of_the_answer():
    same = bag(probabilities=VALUES.copy(), latency_ns=99)
    assert bag() == same and hash(bag()) == hash(same) and {bag(), same} == {bag()}
    assert bag() != bag(index=2) and bag() != bag(probabilities=VALUES + 1) and bag() != "Bag"
    assert bag() in [bag(label="Coat"), same]


def test_repr_is_one_line_for_many_classes():
    text = repr(bag(probabilities=np.zeros(5000, np.float32)))
    assert text == "Prediction(label='Bag', index=1, confidence=0.75, probabilities=<5000 classes>, latency_ns=41)"


@pytest.mark.parametrize("passed_on", [copy.copy, copy.deepcopy, lambda item: pickle.loads(pickle.dumps(item))])
def test_copies(passed_on):
    assert passed_on(bag()).as_dict() == FIELDS


def test_it_cannot_be_changed():
    with pytest.raises(AttributeError, match="'label' was assigned"):
        bag().label = "Coat"
    with pytest.raises(AttributeError, match="'label' was deleted"):
        del bag().label
    with pytest.raises(AttributeError):
        bag().other = 1
    match bag():
        case Prediction(label, index):
            assert (label, index) == ("Bag", 1)


def test_top_k():
    assert bag().top_k(2) == [1, 0] and len(bag().top_k(9)) == 3
    with pytest.raises(InputError, match="k is 0"):
        bag().top_k(0)


def answer(app, path: str):
    """What an ASGI app answers to GET; Starlette's own client for tests needs a package that nothing else needs."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
    }
    asyncio.run(app(scope, receive, send))
    return json.loads(b"".join(message.get("body", b"") for message in sent))


def test_fastapi_returns_it_as_it_is():
    fastapi = pytest.importorskip("fastapi", reason="not installed: fastapi")
    app = fastapi.FastAPI()

    @app.get("/one")
    def one():
        return bag()

    @app.get("/several")
    def several() -> list[Prediction]:
        return [bag(), bag()]

    assert answer(app, "/one") == FIELDS and answer(app, "/several") == [FIELDS, FIELDS]
    response = answer(app, "/openapi.json")["paths"]["/several"]["get"]["responses"]["200"]
    shown = response["content"]["application/json"]["schema"]["items"]
    assert shown["properties"]["probabilities"] == {"type": "array", "items": {"type": "number"}}
