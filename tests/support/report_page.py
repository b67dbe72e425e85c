"""The report page as tests read it, and results that fill every part of one."""

from html.parser import HTMLParser

from support.bench_results import result
from support.report_results import CALIBRATION, HOSTILE, entry, read

VOID = frozenset(("input", "link", "meta"))


class Parsed(HTMLParser):
    """Elements with their attributes; an element that is closed out of order fails."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.content, self.problems = [], [], {}, []
        self.feed(text)
        self.close()
        assert not self.open and not self.problems, (self.open, self.problems)

    def handle_starttag(self, name, attributes):
        self.elements.append((name, dict(attributes)))
        if name not in VOID:
            self.open.append(name)

    def handle_endtag(self, name):
        if not self.open or self.open.pop() != name:
            self.problems.append((name, self.getpos()))

    def handle_data(self, text):
        if self.open:
            self.content.setdefault(self.open[-1], []).append(text)

    def all(self, name):
        return [attributes for found, attributes in self.elements if found == name]


def hostile(folder):
    """A result that is hostile wherever text is shown, and valid."""
    cells = [
        entry(
            HOSTILE, HOSTILE, engine=HOSTILE, format=HOSTILE, engine_version=HOSTILE, artifact=f"{HOSTILE}/{HOSTILE}"
        ),
        entry(HOSTILE, f"stock_{HOSTILE}", engine=HOSTILE),
        entry(status="failed", reason=HOSTILE, rounds=[]),
    ]
    machine = {"device": HOSTILE, "cpu": HOSTILE, "os": HOSTILE, "packages": {HOSTILE: HOSTILE}}
    made = result(*cells, plan={"name": HOSTILE}, machine=machine, created=HOSTILE, calibration=CALIBRATION)
    reason = {"rule": HOSTILE, "text": HOSTILE}
    made["verdict"] = {"status": HOSTILE, "reasons": [reason], "unseen": [HOSTILE]}
    made["cells"][0]["verdict"] = {"status": "INVALID", "reasons": [reason], "unseen": []}
    return read(folder, made)
