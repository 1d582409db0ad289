"""URLs of storages in messages, without the password in any form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_tunevlseg.search.storage_errors import redact_secrets, redact_url
from monai_tunevlseg.search.storages import open_storage


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:hunter2@host/db", "postgresql://me:***@host/db"),
        ("postgresql+psycopg://me:hunter2@host:5432/db", "postgresql+psycopg://me:***@host:5432/db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("postgresql://host:5432/db", "postgresql://host:5432/db"),
        ("postgresql://host/db?user=me&password=hunter2", "postgresql://host/db?***"),
        ("grpc://me:hunter2@host:13000", "grpc://me:***@host:13000"),
        ("grpc://host:13000", "grpc://host:13000"),
        ("sqlite:////data/me@home/study.db", "sqlite:////data/me@home/study.db"),
        ("journal:///x", "journal:///x"),
        ("study.db", "study.db"),
        ("postgresql:me:hunter2@db/x", "***"),
        ("postgres ql://me:hunter2@db/x", "***"),
        ("postgresql://me:hunter2@db:port/x", "postgresql://***"),
        ("postgresql://me:hun@ter2@db/x", "postgresql://***"),
        ("postgresql://me:hun/ter2@db/x", "postgresql://***"),
        ("postgresql://me:hun?ter2@db/x", "postgresql://***"),
    ],
)
def test_a_url_is_shown_without_its_password(url, shown):
    assert redact_url(url) == shown


SECRET = "hunter2" * 2
FORMS = [
    "{scheme}me:{secret}@host:13000/db",
    "{scheme}:{secret}@host/db",
    "{scheme}host/db?password={secret}",
    "{scheme}host:port/db?password={secret}",
    "{scheme}me:{secret}@host:port/db",
    "{scheme}me:{secret}@",
    "{scheme}me@host/db?sslmode=x&password={secret}",
]


@given(
    st.sampled_from(["postgresql://", "mysql://", "grpc://", "nonsense://", "postgresql:", "", "postgres ql://"]),
    st.sampled_from(FORMS),
    st.text("@:/?#&=% x", max_size=4),
    st.text("@:/?#&=% x", max_size=4),
)
def test_no_form_of_a_url_shows_its_password(scheme, form, before, after):
    url = form.format(scheme=scheme, secret=before + SECRET + after)
    assert SECRET not in redact_url(url), url


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scheme", ["nonsense://", "postgresql:", "", "grpc://", "oracle://"])
def test_no_message_about_an_invalid_url_shows_its_password(scheme, form, monkeypatch):
    monkeypatch.setattr("monai_tunevlseg.search.storages.CONNECT_TIMEOUT", 0.1)
    with pytest.raises((ValueError, OSError, ImportError)) as raised:
        open_storage(form.format(scheme=scheme, secret=SECRET))
    assert SECRET not in str(raised.value)


def test_a_drivers_message_is_redacted():
    url = "postgresql://me:hunt%20er2@host/db?sslpassword=other"
    text = 'no "hunt er2", nor "hunt%20er2" or "other" at ' + url
    assert redact_secrets(text, url) == 'no "***", nor "***" or "***" at ***'
