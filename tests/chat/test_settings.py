"""Settings as a person types them."""

import pytest

from lockstep.chat.settings import parse_setting
from lockstep.core.errors import LockstepError


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("temperature", "0", 0.0),
        ("temperature", "0.7", 0.7),
        ("top_p", "1", 1.0),
        ("top_k", "0", 0),
        ("seed", "4294967295", 2**32 - 1),
    ],
)
def test_a_value_becomes_a_number_of_its_kind(name: str, text: str, value: float) -> None:
    parsed = parse_setting(name, text)
    assert (parsed, type(parsed)) == (value, type(value))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("temprature", "1", r"temprature; did you mean temperature\? Settings: "),
        ("colour", "1", r"colour\. Settings: "),
        ("temperature", "warm", r"temperature = warm: allowed is 0 or a number from 0\.01 to 10"),
        ("temperature", "nan", "temperature = nan: allowed"),
        ("temperature", "1e-9", "temperature = 1e-9: allowed"),  # would overflow the logits
        ("repetition_penalty", "inf", "repetition_penalty = inf: allowed"),
        ("top_p", "0", r"top_p = 0: allowed is a number from 0\.01 to 1"),
        ("top_k", "1.5", "top_k = 1.5: allowed is a whole number from 0"),
        ("max_new_tokens", "0", "max_new_tokens = 0: allowed is a whole number from 1"),
        ("seed", "-1", "seed = -1: allowed is a whole number from 0 to 4294967295"),
        ("history", "", "history = : allowed is a whole number"),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_allowed(name: str, text: str, message: str) -> None:
    with pytest.raises(LockstepError, match=message):
        parse_setting(name, text)
