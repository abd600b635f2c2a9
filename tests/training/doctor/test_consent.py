from __future__ import annotations

import polars as pl

from training.doctor.consent import ConsentColumn, consent_lines, measure_consents


def test_consents_are_counted_by_channel() -> None:
    users = pl.DataFrame(
        {
            "user_id": list("abcd"),
            "consent_push": [True, False, None, None],
            "consent_email": pl.Series([None] * 4, dtype=pl.String),
            "consent_sms": ["ja", None, None, None],
        }
    )
    push, email, sms = measure_consents(users)
    assert push == ConsentColumn("consent_push", 1, 1, 2)
    assert email == ConsentColumn("consent_email", 0, 0, 4)
    assert not sms.is_readable
    assert push.line().startswith("consent_push: 1 of 4 users agreed, 1 refused, 2 have no value: ")
    assert "not of true and false" in sms.line()


def test_what_a_plan_assumes_is_stated() -> None:
    assert "no column consent_<channel>" in consent_lines((), 5)[0]
    assert consent_lines((), 0) == ["no user, so that no push plan is possible"]
    assert len(consent_lines((ConsentColumn("consent_push", 1, 1, 1),) * 2, 5)) == 2
