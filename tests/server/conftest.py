"""A client of the application without a network, and a small server with one."""

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient
from serving import app_of, served

from lockstep.server.service import Service


@pytest.fixture(scope="module")
def client() -> Iterator[FlaskClient]:
    """A client of the application around the two-layer model."""
    with app_of() as (app, _):
        yield app.test_client()


@pytest.fixture
def small() -> Iterator[tuple[int, Service]]:
    """The port and the service of a server that answers two requests at once and lets one wait."""
    with app_of(max_batch_size=2, max_waiting=1) as (app, service), served(app, service) as port:
        yield port, service
