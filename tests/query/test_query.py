"""Statement checked: keywords are checked once, for every back end; what is wrong says what would work."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campfire.columns import TableName
from campfire.errors import ValidationError
from campfire.flags import DQFlags
from campfire.query import FILTERS, SORTS, Query, Vocabulary, staleness


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grating": ["PRISM"]}, "did you mean 'gratings'"),
        ({"photo_z_range": (1, 2)}, "unknown keyword"),
        ({"sort": "redshfit"}, "did you mean 'redshift'"),
        ({"sort": "object_id; DROP TABLE objects"}, "cannot sort"),
        ({"sort": "distance"}, "without a cone"),
        ({"sort_dir": "DESC"}, "'asc' or 'desc'"),
        ({"fields": []}, "empty list"),
        ({"gratings": [3]}, "names as text"),
        ({"gratings": {"PRISM": 1}}, "not a list"),
        ({"tags": [""]}, "names as text"),
        ({"programs": [True]}, "names as text"),
        ({"redshift_range": (8, 4)}, r"write \(4, 8\)"),
        ({"redshift_range": (None, None)}, "open at both ends"),
        ({"redshift_range": (math.nan, 4)}, "NaN"),
        ({"redshift_range": (1, 2, 3)}, "not a range"),
        ({"redshift_range": 3}, "not a range"),
        ({"max_snr_range": ("3", None)}, "pass numbers"),
        ({"redshift_quality": ["certain"]}, "secure"),
        ({"redshift_quality": [7]}, "secure"),
        ({"dq_flags": "LOWSNR"}, "LOW_SNR"),
        ({"dq_flags": 0}, "not a mask"),
        ({"dq_flags": 1 << 63}, "63-bit"),
        ({"inspected_only": "yes"}, "True or False"),
        ({"staleness": 1}, "True or False"),
        ({"search": ""}, "not a text"),
        ({"cone_search": (math.nan, 0, 1)}, "NaN"),
        ({"cone_search": (0, 91, 1)}, "-90 to 90"),
        ({"cone_search": (math.inf, 0, 1)}, "ra finite"),
        ({"cone_search": (0, 0, 0)}, "more than 0"),
        ({"cone_search": (0, 0, -3)}, "more than 0"),
        ({"cone_search": (0, 0)}, "not a cone"),
        ({"cone_search": ("10h00m20s", "+02d21m", 20)}, "degrees and arcsec"),
        ({"limit": -1}, "0 or more"),
        ({"limit": 2.5}, "whole number"),
        ({"limit": True}, "whole number"),
        ({"offset": None}, "whole number"),
    ],
)
@pytest.mark.parametrize("table", ["objects", "spectra"])
def test_bad_input(table: TableName, options: dict[str, Any], message: str) -> None:
    """Every bad keyword or value is a ValidationError that says what was passed and what would work."""
    with pytest.raises(ValidationError, match=message):
        Query.of(table, **options)


def test_unknown_table() -> None:
    with pytest.raises(ValidationError, match="'objects' or 'spectra'"):
        Query.of("targets")  # type: ignore[arg-type]


def test_names_in_any_case_numbers_of_any_kind() -> None:
    """Case never matters; numpy scalars are numbers; a single name needs no list; None is left out."""
    options: dict[str, Any] = {
        "programs": [np.int64(6585), "EMBER-UDS"],
        "redshift_range": (np.float32(4), math.inf),
    }
    query = Query.of(
        "objects",
        fields="COSMOS",
        **options,
        gratings=["prism", "PRISM"],
        redshift_quality=["Secure", 3],
        limit=int(np.int64(3)),
        tags=None,
    )
    assert query.get("fields") == ("cosmos",)
    assert query.get("programs") == ("6585", "ember-uds")
    assert query.get("gratings") == ("PRISM",)
    assert query.get("redshift_quality") == (3, 4)
    assert query.get("redshift_range") == (4.0, None)
    assert query.get("tags") is None
    assert hash(query) == hash(query.replace())


def test_default_order() -> None:
    """By name; with a cone and no sort given by distance, also under the column's name."""
    assert Query.of("objects").sort == "object_id"
    assert Query.of("spectra").sort == "spectrum_id"
    cone = (0.0, 0.0, 1.0)
    assert Query.of("spectra", cone_search=cone).sort == "distance"
    assert Query.of("objects", cone_search=cone, sort="object_id").sort == "object_id"
    assert Query.of("objects", cone_search=cone, sort="distance_arcsec").sort == "distance"


def test_vocabulary_names_what_is_near() -> None:
    known = Vocabulary(
        fields=("cosmos", "uds"),
        programs=("ember-uds", "6585"),
        jwst_programs={"1345": ("ceers", "ember-uds")},
    )
    assert Query.of("objects", programs=[1345]).resolved(known).get("programs") == ("ceers", "ember-uds")
    assert Query.of("objects", programs=[6585]).resolved(known).get("programs") == ("6585",)
    with pytest.raises(ValidationError, match=r"unknown field 'cosmo' .did you mean 'cosmos'"):
        Query.of("objects", fields=["cosmo"]).resolved(known)
    with pytest.raises(ValidationError, match="there are none here"):
        Query.of("objects", tags=["lrd"]).resolved(known)


def test_every_documented_keyword_is_a_filter() -> None:
    """The client page's keywords, and nothing but them, are public."""
    documented = (
        "fields programs gratings observations redshift_range redshift_quality max_snr_range dq_flags tags"
        " inspected_only staleness has_photometry search cone_search"
    )
    assert {name for name, spec in FILTERS.items() if spec.public} == set(documented.split())


TIMES = st.datetimes(timezones=st.just(__import__("datetime").UTC))


@given(changed=TIMES, inspected=TIMES)
def test_staleness_compares_instants(changed: Any, inspected: Any) -> None:
    """Data changed after the inspection, however the times are written."""
    texts = changed.isoformat().replace("+00:00", "Z"), inspected.isoformat()
    assert staleness(*texts) == (changed > inspected)
    assert staleness(texts[0], None)
    assert not staleness(None, texts[1])


def test_query_of_parents() -> None:
    """The objects that spectra of a query can belong to: only conditions that look at the object."""
    query = Query.of(
        "spectra", gratings=["PRISM"], tags=["lrd"], cone_search=(1, 2, 3), dq_flags=~DQFlags.LOW_SNR
    )
    parents = query.of_objects()
    assert [c.name for c in parents.where] == ["tags", "cone_search"]
    assert parents == Query.of("objects", tags=["lrd"], cone_search=(1, 2, 3))
    assert set(SORTS) == {"objects", "spectra"}
