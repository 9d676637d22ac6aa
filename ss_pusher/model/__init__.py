"""The types that travel from stage to stage. Imports nothing else of ours; holds no behaviour but access to columns."""

from ss_pusher.model.arrays import F64, I64, U8, U16, U32, U64, Bools, Column, Rows
from ss_pusher.model.declarations import (
    Family,
    FlowCounter,
    FlowGauge,
    FlowHistogram,
    Fold,
    LedgerField,
    MetricType,
    Preset,
)
from ss_pusher.model.flows import OTHER, OTHER_WORD, Choice, Flows, Groups, KeyPart, Movement
from ss_pusher.model.request import Pending, Protocol, Request
from ss_pusher.model.snapshot import Block, HistogramBlock, Labels, NativeBuckets, Snapshot
from ss_pusher.model.sockets import AddressFamily, Direction, Rule, Sockets, TcpState

__all__ = [
    "F64",
    "I64",
    "OTHER",
    "OTHER_WORD",
    "U8",
    "U16",
    "U32",
    "U64",
    "AddressFamily",
    "Block",
    "Bools",
    "Choice",
    "Column",
    "Direction",
    "Family",
    "FlowCounter",
    "FlowGauge",
    "FlowHistogram",
    "Flows",
    "Fold",
    "Groups",
    "HistogramBlock",
    "KeyPart",
    "Labels",
    "LedgerField",
    "MetricType",
    "Movement",
    "NativeBuckets",
    "Pending",
    "Preset",
    "Protocol",
    "Request",
    "Rows",
    "Rule",
    "Snapshot",
    "Sockets",
    "TcpState",
]
