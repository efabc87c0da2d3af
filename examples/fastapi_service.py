"""A web service that paints uploaded images, with FastAPI.

    pip install impasto fastapi python-multipart uvicorn
    uvicorn fastapi_service:app
    curl -F content=@photo.jpg -F style=@painting.jpg -F size=384 localhost:8000/paint -o result.png

One stylizer serves all requests, one after the other. If a client disconnects or the server stops,
the run stops after its current step.
"""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import FastAPI, File, Form, HTTPException, Response

import impasto

MAX_SIZE = 1024
"""Maximum longest side of a result in pixels, which limits the time of a request."""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Load the network at the start, and free it at the end."""
    with impasto.Stylizer() as stylizer:
        stylizer.load()
        app.state.stylizer = stylizer
        yield


app = FastAPI(title="impasto", lifespan=lifespan)


@app.post("/paint", response_class=Response)
async def paint(
    content: Annotated[bytes, File(description="content image")],
    style: Annotated[bytes, File(description="style image")],
    size: Annotated[int, Form(ge=64, le=MAX_SIZE)] = 512,
    strength: Annotated[float, Form(ge=0, le=1)] = 0.5,
) -> Response:
    """Paint the content image in the style of the style image; return a PNG."""
    recipe = impasto.Recipe(size=size, strength=strength)
    try:
        result = await app.state.stylizer.astylize(content, style, recipe=recipe)
    except impasto.InputError as error:  # an upload that is no image, or is too small
        raise HTTPException(422, str(error)) from None
    file = io.BytesIO()
    result.save(file, format="png")
    return Response(file.getvalue(), media_type="image/png")
