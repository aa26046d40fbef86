"""From values to a self-contained page: the templates, the style, the scripts and plotly in one file."""

from __future__ import annotations

from typing import Any


def fill(template: str, charts: dict[str, Any], **values: Any) -> str:
    """Return a page that needs no network.

    Parameters
    ----------
    template : name of a file in templates/.
    charts : what the page's script draws, as JSON values.
    """
    # Imported here: `marsfolio trades` and the like read run folders without drawing anything.
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    environment = Environment(
        loader=PackageLoader("marsfolio.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(charts=charts, plotly=Markup(get_plotlyjs()), **values)
