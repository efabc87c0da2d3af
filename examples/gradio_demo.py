"""A demo in the browser that shows the image while it is painted, with Gradio.

pip install impasto gradio
python gradio_demo.py
"""

from collections.abc import Iterator

import gradio as gr
from PIL import Image

import impasto

STYLIZER = impasto.Stylizer()


def paint(
    content: Image.Image | None, style: Image.Image | None, size: float, strength: float
) -> Iterator[Image.Image]:
    """Yield the image after every evaluation, and at last the result."""
    if content is None or style is None:
        raise gr.Error("Choose a content image and a style image.")
    recipe = impasto.Recipe(size=int(size), strength=strength)
    try:
        for event in STYLIZER.paint(content, style, recipe=recipe):
            if isinstance(event, impasto.Step):
                yield Image.fromarray(event.pixels.clip(0, 255).astype("uint8"))
            elif isinstance(event, impasto.Finished):
                yield event.result.image
    except impasto.InputError as error:
        raise gr.Error(str(error)) from None


demo = gr.Interface(
    paint,
    [
        gr.Image(type="pil", label="Content image"),
        gr.Image(type="pil", label="Style image"),
        gr.Slider(64, 1024, value=384, step=16, label="Size in pixels"),
        gr.Slider(0, 1, value=0.5, label="Strength"),
    ],
    gr.Image(label="Result", format="png"),
    title="Neural style transfer with impasto",
    api_name="paint",
    concurrency_limit=1,  # a stylizer runs in one thread at a time
)

if __name__ == "__main__":
    demo.queue().launch()
