"""The membership as a `Choice`: the exported keys in an order that lasts, and one owner for each group."""

from typing import NamedTuple

import numpy as np

from ss_pusher.model import I64, U64, Bools, Choice, Rows
from ss_pusher.select.candidates import NOBODY, Candidates


def owned(candidates: Candidates, own: Rows, network: Rows) -> tuple[Rows, Rows]:
    """The candidates that are exported, and for each group which of them it is credited to: itself, its network.

    `own` and `network` [groups] say which candidate is the group, and which its network; NOBODY: none is. So is the
    owner, where the group falls to the remainder.
    """
    members = np.flatnonzero(candidates.entered > 0)
    slot = np.full(len(candidates) + 1, NOBODY)  # the last one answers for NOBODY
    slot[members] = np.arange(len(members))
    return members, np.where(slot[own] != NOBODY, slot[own], slot[network])


class Exported(NamedTuple):
    """Keys that are exported, as columns, and the tick that each is since; 0: not yet."""

    words: U64  # [words, n]
    since: I64  # [n]


def assembled(members: Exported, remainders: Exported, owner: Rows, home: Rows) -> Choice:
    """All exported keys by the tick since which they are, then by key, so that a new one stands behind those before.

    `owner` [groups] are indices into `members`, NOBODY where the group falls to the remainder: that is `home`
    [groups], indices into `remainders`.
    """
    shown = np.flatnonzero(remainders.since > 0)
    slots = np.full(len(remainders.since), NOBODY)
    slots[shown] = len(members.since) + np.arange(len(shown))
    words = np.concatenate([members.words, remainders.words[:, shown]], axis=1)
    order = np.lexsort([*words[::-1], np.concatenate([members.since, remainders.since[shown]])])
    place = np.empty(len(order), np.intp)
    place[order] = np.arange(len(order))
    keys = np.ascontiguousarray(words[:, order].T)
    return Choice(keys=keys, owner=place[np.where(owner == NOBODY, slots[home], owner)])


def needed(owner: Rows, home: Rows, remainders: int) -> Bools:
    """bool[remainders]: those to which a group falls."""
    return np.bincount(home[owner == NOBODY], minlength=remainders) > 0
