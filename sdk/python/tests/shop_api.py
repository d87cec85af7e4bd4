# Made by ringdown types --lang python from shop.yaml. Change that, and make it again.
# ruff: noqa
from __future__ import annotations

import sys
from typing import Any, Literal

from ringdown import Ack, Channel, Client, Message

if sys.version_info >= (3, 11):
    from typing import NotRequired, TypedDict
else:
    from typing_extensions import NotRequired, TypedDict


class OrdersOrderCreatedLinesItem(TypedDict):
    sku: str
    count: NotRequired[int]

OrdersOrderCreated = TypedDict("OrdersOrderCreated", {"id": "int", "status": "Literal[\"new\", \"paid\"]", "lines": "list[OrdersOrderCreatedLinesItem]", "note": "NotRequired[str | None]", "from": "NotRequired[str]"})


class ChatMessage(TypedDict):
    text: str


class ChatTyping(TypedDict):
    active: bool


class PriceData(TypedDict):
    sku: str

PriceResult = TypedDict("PriceResult", {"price": "float", "odd-name": "NotRequired[bool]"})


class OrdersChannel:
    """Every order, as it happens"""

    def __init__(self, client: Client) -> None:
        self.channel: Channel = client.channel("orders")

    async def publish_order_created(self, data: OrdersOrderCreated, *, key: str | None = None) -> Ack:
        """Somebody ordered"""
        return await self.channel.publish("order-created", data, key=key)

    @staticmethod
    def as_order_created(message: Message) -> OrdersOrderCreated | None:
        """The data of a message, if it is one of these."""
        data: OrdersOrderCreated | None = message.data if message.type == "order-created" else None
        return data

    async def publish_order_gone(self, data: Any, *, key: str | None = None) -> Ack:
        return await self.channel.publish("order-gone", data, key=key)

    @staticmethod
    def as_order_gone(message: Message) -> Any | None:
        """The data of a message, if it is one of these."""
        data: Any | None = message.data if message.type == "order-gone" else None
        return data


class ChatChannel:
    def __init__(self, client: Client, room: str) -> None:
        self.channel: Channel = client.channel(f"chat:{room}")

    async def publish_message(self, data: ChatMessage, *, key: str | None = None) -> Ack:
        return await self.channel.publish("message", data, key=key)

    @staticmethod
    def as_message(message: Message) -> ChatMessage | None:
        """The data of a message, if it is one of these."""
        data: ChatMessage | None = message.data if message.type == "message" else None
        return data

    async def publish_typing(self, data: ChatTyping, *, key: str | None = None) -> Ack:
        return await self.channel.publish("typing", data, key=key)

    @staticmethod
    def as_typing(message: Message) -> ChatTyping | None:
        """The data of a message, if it is one of these."""
        data: ChatTyping | None = message.data if message.type == "typing" else None
        return data


class TrucksChannel:
    def __init__(self, client: Client, region: str) -> None:
        self.channel: Channel = client.channel(f"trucks:{region}")

    async def publish_position(self, data: list[float], *, key: str | None = None) -> Ack:
        return await self.channel.publish("position", data, key=key)

    @staticmethod
    def as_position(message: Message) -> list[float] | None:
        """The data of a message, if it is one of these."""
        data: list[float] | None = message.data if message.type == "position" else None
        return data


class UserInboxChannel:
    def __init__(self, client: Client, user: str) -> None:
        self.channel: Channel = client.channel(f"user:{user}:inbox")


async def call_ping_backend(client: Client, data: Any) -> Any:
    result: Any = await client.call("ping-backend", data)
    return result


async def call_price(client: Client, data: PriceData) -> PriceResult:
    """What something costs"""

    result: PriceResult = await client.call("price", data)
    return result
