"""The client of Ringdown: a line that comes back by itself, with what was missed."""

from ._channel import Channel, Message, Page
from ._connection import StateChange
from ._outbox import Ack
from ._presence import Member, Presence
from ._settings import Settings, TokenFunction
from ._state import SharedState
from ._subscription import Gap
from .client import Client
from .errors import RingdownError

__all__ = [
    "Ack",
    "Channel",
    "Client",
    "Gap",
    "Member",
    "Message",
    "Page",
    "Presence",
    "RingdownError",
    "Settings",
    "SharedState",
    "StateChange",
    "TokenFunction",
]
__version__ = "0.1.0"
