"""Figure: one measured number beside what it must be and what it should be."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One number, the least or most it must be, and the better one that is aimed at.

    value     None where it could not be measured, which `note` then explains
    at_least  whether more is better
    """

    name: str
    value: float | None
    unit: str = ""
    must: float | None = None
    aim: float | None = None
    at_least: bool = True
    note: str = ""

    def _keeps(self, bound: float | None) -> bool | None:
        if bound is None or self.value is None:
            return None
        return self.value >= bound if self.at_least else self.value <= bound

    @property
    def verdict(self) -> str:
        """What is said of it: met, missed, aim met, aim missed, not measured, or nothing."""
        if self.must is None and self.aim is None:
            return ""
        if self.value is None:
            return "not measured"
        if self._keeps(self.must) is False:
            return "MISSED"
        said = [] if self.must is None else ["met"]
        if self.aim is not None:
            said.append("aim met" if self._keeps(self.aim) else "aim missed")
        return ", ".join(said)

    def shown(self, value: float | None) -> str:
        """Return a value with its unit, and nothing for none."""
        return "" if value is None else f"{value:.4g}{self.unit}"

    def cells(self) -> list[str]:
        """Return the row of a table: name, value, must, aim, verdict, note."""
        sign = "≥ " if self.at_least else "≤ "
        bounds = [
            sign + self.shown(each) if each is not None else "" for each in (self.must, self.aim)
        ]
        return [self.name, self.shown(self.value) or "—", *bounds, self.verdict, self.note]

    def document(self) -> dict[str, object]:
        """Return what is saved."""
        return {**asdict(self), "verdict": self.verdict}


COLUMNS = ["what", "measured", "must", "aim", "", "note"]
"""Heads of the columns of `Figure.cells`."""
