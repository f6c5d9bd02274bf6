"""Of webhooks: their signature, the addresses they may go to, and when they come again."""

from __future__ import annotations

import pytest

from whisper_dispatcher.planner.hooks import (
    DELAYS_S,
    RefusedAddress,
    check_addresses,
    next_try_s,
    next_turn_s,
    signed_headers,
)
from whisper_dispatcher.planner.settings import PlannerSettings

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

NOT_PUBLIC = (
    "127.0.0.1 10.0.0.1 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 224.0.0.1 "
    "::1 fd00::1 fe80::1 fec0::1 ff02::1 ff0e::1 ::10.0.0.1 ::ffff:10.0.0.1 ::ffff:0:a00:1 "
    "64:ff9b::7f00:1 64:ff9b:1::7f00:1 2002:7f00:1::"
).split()


def test_another_body_or_time_has_another_signature() -> None:
    base = signed_headers(SECRET, "j.0", 1000, b"{}")["webhook-signature"]
    assert signed_headers(SECRET, "j.0", 1000, b"{ }")["webhook-signature"] != base
    assert signed_headers(SECRET, "j.0", 1001, b"{}")["webhook-signature"] != base
    assert signed_headers("whsec_b3RoZXI=", "j.0", 1000, b"{}")["webhook-signature"] != base


def test_the_signature_is_the_one_of_the_standards_own_example() -> None:
    headers = signed_headers(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_one_private_address_refuses_the_host(address: str) -> None:
    with pytest.raises(RefusedAddress):
        check_addresses("example.com", ["93.184.215.14", address], allow_private=False)


def test_the_first_public_address_is_the_one_connected_to() -> None:
    public = ["93.184.215.14", "2606:2800:21f::1", "64:ff9b::5db8:d70e"]
    assert check_addresses("example.com", public, allow_private=False) == public[0]
    with pytest.raises(RefusedAddress):
        check_addresses("example.com", [], allow_private=False)


@pytest.mark.parametrize(
    ("age_s", "delay_s"), [(0, 1), (0.25, 0.75), (1, 30), (31, 120), (40, 111), (69_150, 1), (69_151, None)]
)
def test_the_next_try_comes_by_the_webhooks_age(age_s: float, delay_s: float | None) -> None:
    assert next_try_s(age_s) == delay_s


def test_a_client_without_room_is_asked_again_later_and_later() -> None:
    assert [next_turn_s(age_s) for age_s in (0, 10, 100_000)] == [1, 6, 600]


def test_the_last_try_comes_before_the_result_goes() -> None:
    assert sum(DELAYS_S) < PlannerSettings().result_ttl_s
