"""POST a PNG or JPEG to /classify, or GET /health, which asks the engine. At most WAITING images wait for their turn;
others get 503 with Retry-After. SIGTERM stops the service after the accepted requests. It listens only on 127.0.0.1: to
serve other machines, put a proxy with TLS in front.
    pip install fastapi uvicorn
    python examples/http_service.py exported/tiny_resnet/int8.tflite 8080
    curl --data-binary @photo.jpg http://127.0.0.1:8080/classify"""

import asyncio
import io
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

import uvicorn
from fastapi import FastAPI, HTTPException, Request, responses
from starlette.requests import ClientDisconnect

from fmnist_edge.errors import FileError, FmnistEdgeError
from fmnist_edge.runtime import Classifier

LARGEST_BODY, SECONDS, CONNECTIONS = 4 << 20, 10.0, 64  # bytes; time to send them; connections at once


async def body_of(request: Request) -> io.BytesIO:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_BODY:
            raise HTTPException(413, f"the body is larger than {LARGEST_BODY} bytes")
    return io.BytesIO(body)


def service(classify: Classifier, waiting: int) -> FastAPI:
    app, turns, places = FastAPI(), ThreadPoolExecutor(1), asyncio.Semaphore(waiting)

    def ask(call, *arguments):  # in one thread: the server goes on accepting meanwhile
        return asyncio.get_running_loop().run_in_executor(turns, call, *arguments)

    @app.exception_handler(FmnistEdgeError)
    async def failed(_, error):  # a bad image, or our error
        return responses.JSONResponse({"detail": str(error)}, 400 if type(error) is FileError else 500)

    @app.get("/health")
    async def health():
        await ask(classify.warm_up, 1)
        return {"status": "ok"}

    @app.post("/classify")
    async def answer(request: Request):
        try:
            body = await asyncio.wait_for(body_of(request), SECONDS)
        except (asyncio.TimeoutError, ClientDisconnect):  # noqa: UP041, for Python 3.10
            raise HTTPException(408, f"the body did not arrive in {SECONDS:g} s") from None
        if places.locked():
            raise HTTPException(503, "busy", {"Retry-After": "1"})
        async with places:
            return await ask(lambda: classify.from_file(body, invert="auto"))  # a Prediction becomes JSON

    return app


def main(model: str, port: int = 8080, waiting: int = 8) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises the signal again when it has stopped
    with Classifier.load(model) as classify:
        config = uvicorn.Config(service(classify, waiting), port=port, log_level="error", limit_concurrency=CONNECTIONS)
        listener = config.bind_socket()
        listener.listen(128)
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))  # MODEL [PORT [WAITING]]
