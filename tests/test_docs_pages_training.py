"""docs/pages.md: what it says of the training, sheet and card pages is so."""

from __future__ import annotations

from pathlib import Path

from formosa.web.card.pages import routes as card_routes
from formosa.web.sheet.pages import routes as sheet_routes
from formosa.web.training.pages import LIVE
from formosa.web.training.pages import routes as training_routes
from formosa.web.training.rows import PAGE

TEXT = (Path(__file__).parents[1] / "docs" / "pages.md").read_text(encoding="utf-8")


def test_its_addresses_are_served() -> None:
    served = {
        str(getattr(route, "path", ""))
        for route in (*training_routes(), *sheet_routes(), *card_routes())
    }
    assert served == {"/training", "/training/live", "/sheet", "/card"}
    for address in served - {"/training/live"}:
        assert f"`{address}?" in TEXT


def test_its_figures_are_the_codes() -> None:
    assert LIVE == 2000 and "every two seconds" in TEXT
    assert PAGE == 5 and "five a page" in TEXT
