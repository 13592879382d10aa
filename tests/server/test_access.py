"""Keys and origins that the server is started with."""

import pytest

from lockstep.core.errors import LockstepError
from lockstep.server.access import Access, check_access


@pytest.mark.parametrize("key", ["short", "with blanks in between it", "größer als sechzehn"])
def test_a_poor_key_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(LockstepError, match="no good key") as caught:
        check_access("127.0.0.1", key, [])
    assert key not in str(caught.value)


@pytest.mark.parametrize("origin", ["*", "example.org", "https://example.org/", "ftp://example.org", "https://"])
def test_an_origin_must_be_exact(origin: str) -> None:
    with pytest.raises(LockstepError, match="is no origin"):
        check_access("127.0.0.1", None, [origin])
    assert check_access("::1", None, ["https://example.org:8443"]) == Access("::1", None, ("https://example.org:8443",))
