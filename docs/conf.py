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


def escape_stars(app, what, name, obj, options, lines):
    """Shapes such as (..., *event_shape) are no emphasis."""
    import re

    def escaped(line):
        parts = line.split("``")  # every other part is literal
        parts[::2] = [re.sub(r"(\(|, )\*(?=\w)", r"\1\\*", part) for part in parts[::2]]
        return "``".join(parts)

    lines[:] = [line if ">>>" in line else escaped(line) for line in lines]


def setup(app):
    """Escape before numpydoc reads the docstring."""
    app.connect("autodoc-process-docstring", escape_stars, priority=100)
