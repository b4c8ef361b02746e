"""Queries: stated once, evaluated by the local catalogue, by the service, and in numpy.

=====================================================  =======================================================
``Query.of(table, **filters) -> Query``                 check keywords; ``table`` is "objects" or "spectra"
``query.resolved(vocabulary) -> Query``                 check names and spell them right
``query.to_params() -> list[dict[str, str]]``           URL parameters: a superset, one or two requests
``query.inexact -> frozenset[str]``                     what of it the service does not do itself
``Query.from_params(table, params, fixed=) -> Query``   the way back, as the service reads them
``query.of_objects() -> Query``                         the query for the parents of spectra
``finish(query, columns) -> Columns``                   filter, sort and cut a superset exactly
``matches(query.where, columns) -> bool array``         the filter alone
=====================================================  =======================================================
"""

from campfire.query.evaluate import chord_squared, distance_arcsec, finish, matches, unit_vectors
from campfire.query.filters import FILTERS, SORTS, Filter, Filters, QueryOptions, staleness
from campfire.query.flag_masks import ImpliedMasks, implied_masks
from campfire.query.known_names import Vocabulary, did_you_mean
from campfire.query.model import Condition, Query
from campfire.query.url_params import WIRE_SORTS

__all__ = [
    "FILTERS",
    "SORTS",
    "WIRE_SORTS",
    "Condition",
    "Filter",
    "Filters",
    "ImpliedMasks",
    "Query",
    "QueryOptions",
    "Vocabulary",
    "chord_squared",
    "did_you_mean",
    "distance_arcsec",
    "finish",
    "implied_masks",
    "matches",
    "staleness",
    "unit_vectors",
]
