"""The selection as its rules read, one group at a time and without bounds on memory; slow, and only for tests."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from ss_pusher.select.candidates import SMOOTHING
from tests.select.build import Key


@dataclass
class Known:
    born: int
    score: dict[str, float]
    silent: dict[str, float]
    held: dict[str, int] = field(default_factory=dict)  # ranking: for how many ticks in a row below its band
    entered: int = 0


class Reference:
    """Rankings and hold, with room for everybody, no budgets and no networks."""

    def __init__(self, top: Mapping[str, int], hold: int) -> None:
        self.top, self.hold = top, hold
        self.known: dict[Key, Known] = {}
        self.tick = 0

    def choose(self, scores: Mapping[str, Mapping[Key, float]], seconds: float) -> list[Key]:
        """The exported keys, in their order."""
        self.tick += 1
        self._observe(scores, seconds)
        ranks = {name: self._ranks(name) for name in self.top}
        for key, group in self.known.items():
            place = {name: ranks[name].get(key, math.inf) for name in self.top}
            if group.entered:
                self._settle(group, place)
            elif any(place[name] <= count for name, count in self.top.items()):
                group.entered = self.tick
                group.held = {name: 0 for name, count in self.top.items() if place[name] <= count}
        self.known = {k: g for k, g in self.known.items() if g.entered or any(g.score.values())}
        return sorted((k for k, g in self.known.items() if g.entered), key=lambda k: (self.known[k].entered, k))

    def _observe(self, scores: Mapping[str, Mapping[Key, float]], seconds: float) -> None:
        gain = -math.expm1(-seconds / SMOOTHING)
        for key in {key for by_key in scores.values() for key in by_key}:
            self.known.setdefault(key, Known(self.tick, dict.fromkeys(self.top, 0.0), dict.fromkeys(self.top, 0.0)))
        for key, group in self.known.items():
            for name in self.top:
                latest = scores[name].get(key, 0.0)
                group.silent[name] = 0 if latest > 0 else group.silent[name] + seconds
                moved = group.score[name] + gain * (latest - group.score[name])
                group.score[name] = 0 if group.silent[name] > 10 * SMOOTHING else moved

    def _ranks(self, name: str) -> dict[Key, int]:
        scoring = [(-g.score[name], g.born, key) for key, g in self.known.items() if g.score[name] > 0]
        return {key: rank for rank, (_, _, key) in enumerate(sorted(scoring), start=1)}

    def _settle(self, group: Known, place: Mapping[str, float]) -> None:
        for name, count in self.top.items():
            if place[name] <= count:
                group.held.setdefault(name, 0)
            if name in group.held:
                group.held[name] = group.held[name] + 1 if place[name] > 2 * count else 0
                if group.held[name] > self.hold:
                    del group.held[name]
        if not group.held:
            group.entered = 0
