import pytest

from diffopt.body.model import BodyModel, load_body
from tests.formats.layouts import Scene, film_scene


@pytest.fixture(scope="session")
def body() -> BodyModel:
    return load_body()


@pytest.fixture(scope="session")
def scene(body) -> Scene:
    return film_scene(body)


@pytest.fixture(scope="session")
def fast_scene(body) -> Scene:
    """The same walk, from a camera that turns fast: nobody would turn as its inverse makes them."""
    return film_scene(body, seed=10)
