"""The list of lead stages as it is shipped, and what an installation's own may not say."""

import msgspec
import pytest

from services.profile.domain.lead import LeadStages
from services.profile.settings import Settings


def read(text: bytes) -> LeadStages:
    return msgspec.toml.decode(text, type=LeadStages)


def test_the_shipped_stages_lead_from_a_subscriber_to_an_advocate() -> None:
    stages = read(Settings.model_fields["lead_stages"].default.read_bytes())
    assert list(stages.moves) == [
        "subscriber",
        "lead",
        "marketing-qualified",
        "sales-qualified",
        "opportunity",
        "customer",
        "advocate",
    ]
    reached = set(stages.start)
    while more := {to for stage in reached for to in stages.moves[stage]} - reached:
        reached |= more
    assert reached == set(stages.moves)
    assert "opportunity" not in stages.list_allowed("subscriber")


def test_moves_to_a_stage_that_has_none_of_its_own_are_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="wizard"):
        read(b'start = ["lead"]\n[moves]\nlead = ["wizard"]')
    with pytest.raises(msgspec.ValidationError, match="wizard"):
        read(b'start = ["wizard"]\n[moves]\nlead = []')
