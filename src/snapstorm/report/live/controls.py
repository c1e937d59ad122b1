"""The top part of the live page: what is going on, and what a viewer can do about it.

Its script (`page/live.js`) fills it from the stream of states, and sends button presses.
"""

from __future__ import annotations

from snapstorm.report.markup import Markup, definitions, element, escaped, joined

_FACTS = (
    ("live-phase", "now"),
    ("live-done", "so far"),
    ("live-fault", "fault"),
    ("live-doing", "clients"),
)


def controls() -> Markup:
    """The empty part."""
    facts = [(words, element("span", id=anchor)) for anchor, words in _FACTS]
    return element(
        "section",
        element("h2", escaped("Live"), id="live-title"),
        element("p", escaped("Connecting…"), id="live-status", role="status"),
        definitions([(name, value) for name, value in facts]),
        element("div", *_buttons(), class_="tools"),
        element("p", id="live-fault-words", class_="soft"),
        element("div", id="live-lines", role="log", aria_label="what was worth a line", tabindex="0", class_="lines"),
        _stop_dialog(),
        element("noscript", element("p", escaped("The live page needs JavaScript."))),
        id="live",
        aria_labelledby="live-title",
    )


def _buttons() -> list[Markup]:
    return [
        _button("live-pause", "Pause"),
        _button("live-stop", "Stop…"),
        element(
            "label",
            escaped("Fault "),
            element("select", id="live-fault-key", disabled=True, aria_describedby="live-fault-words"),
        ),
        _button("live-inject", "Inject"),
    ]


def _button(anchor: str, words: str) -> Markup:
    return element("button", escaped(words), type="button", id=anchor, disabled=True)


def _stop_dialog() -> Markup:
    """The choice that changes nothing has the focus. It is not called "Go on", because that ends a pause."""
    choices = (
        ("stop", "End the clients' work, then judge all of it"),
        ("interrupt", "End at once, without a verdict"),
        ("", "Change nothing"),
    )
    return element(
        "dialog",
        element("p", escaped("End this run before its time?"), id="live-stop-words"),
        element(
            "div",
            joined(
                element("button", escaped(words), type="button", data_ask=ask, autofocus=not ask)
                for ask, words in choices
            ),
            class_="tools",
        ),
        id="live-stop-dialog",
        aria_labelledby="live-stop-words",
    )
