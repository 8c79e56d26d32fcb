"""For all tests: one thread a process, and a picture drawn here.

On busy machines small models are many times slower with more threads.
"""

import io
import os

import pytest
from PIL import Image, ImageDraw

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported, and for the processes that tests start


@pytest.fixture(scope="session")
def drawn_picture() -> bytes:
    image = Image.new("RGB", (96, 64), "skyblue")
    ImageDraw.Draw(image).rectangle((10, 20, 60, 60), fill="firebrick", outline="black")
    buffer = io.BytesIO()
    image.save(buffer, "JPEG")
    return buffer.getvalue()
