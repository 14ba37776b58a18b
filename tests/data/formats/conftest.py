import pytest
from layouts import Scene, film_scene

from diffopt.body.model import BodyModel, load_body


@pytest.fixture(scope="session")
def body() -> BodyModel:
    return load_body()


@pytest.fixture(scope="session")
def scene(body) -> Scene:
    return film_scene(body)
