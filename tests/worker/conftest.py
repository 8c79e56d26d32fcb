"""A picture for the tests that need one, drawn here."""

import io

import pytest
from PIL import Image, ImageDraw


@pytest.fixture(scope="session")
def drawn_picture() -> bytes:
    image = Image.new("RGB", (96, 64), "skyblue")
    ImageDraw.Draw(image).rectangle((10, 20, 60, 60), fill="firebrick", outline="black")
    buffer = io.BytesIO()
    image.save(buffer, "JPEG")
    return buffer.getvalue()
