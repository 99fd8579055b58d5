"""Sphinx configuration."""

project = "pm_energy"
author = "The pm_energy developers"
copyright = "2026, the pm_energy developers"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
]
myst_enable_extensions = ["dollarmath", "colon_fence"]
autosummary_generate = True
numpydoc_show_class_members = False
autodoc_member_order = "bysource"
exclude_patterns = ["_build"]
html_theme = "pydata_sphinx_theme"
html_title = "pm_energy"
html_theme_options = {"show_prev_next": True, "navbar_end": ["theme-switcher"]}
