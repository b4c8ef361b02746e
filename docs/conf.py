"""The documentation's site: ``make docs`` builds it, without network, into ``docs/_build``."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from campfire.installation import VERSION

project = "campfire"
author = "The campfire developers"
copyright = author
version = release = VERSION
master_doc = "index"
exclude_patterns = ["_build"]

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_click",
    "sphinx_copybutton",
    "campfire_tables",
]
if os.environ.get("DOCS_ONLINE"):  # links into the documentation of others need their inventories
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "astropy": ("https://docs.astropy.org/en/stable/", None),
        "dask": ("https://docs.dask.org/en/stable/", None),
        "numpy": ("https://numpy.org/doc/stable/", None),
        "python": ("https://docs.python.org/3/", None),
        "specutils": ("https://specutils.readthedocs.io/en/stable/", None),
        "xarray": ("https://docs.xarray.dev/en/stable/", None),
    }

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_typehints = "none"  # numpydoc docstrings say in words what an argument is
autodoc_member_order = "bysource"
autosummary_generate = True
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
numpydoc_validation_checks: set[str] = set()

nitpicky = True  # a name that a docstring points to is in the reference, or is not pointed to
nitpick_ignore_regex = [
    (r"py:(class|obj|exc)", r".*"),
    (r"py:.*", r"(numpy|xarray|astropy|dask|specutils)\..*"),
]

copybutton_exclude = ".linenos, .gp, .go"

html_theme = "pydata_sphinx_theme"
html_title = "campfire"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    "logo": {"text": "campfire"},
    "show_prev_next": True,
    "navigation_with_keys": True,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
html_show_sourcelink = False
html_domain_indices = False
