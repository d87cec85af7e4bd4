"""What the types that ``ringdown types`` makes let through the type checker: mypy is strict, so that an
ignored error that is none is an error itself."""

from __future__ import annotations

import inspect

import shop_api
from shop_api import ChatChannel, OrdersChannel, TrucksChannel, call_price

from ringdown import Client, Message


async def right(client: Client, message: Message) -> None:
    await ChatChannel(client, "42").publish_message({"text": "hello"})
    await TrucksChannel(client, "eu").publish_position([52.5, 13.4], key="t1")
    order = OrdersChannel.as_order_created(message)
    if order is not None and order["status"] == "paid":
        print(order["lines"][0]["sku"])
    print((await call_price(client, {"sku": "x"}))["price"] + 1)


async def wrong(client: Client) -> None:
    ChatsChannel = shop_api.ChatsChannel  # type: ignore[attr-defined]
    print(ChatsChannel)
    await ChatChannel(client, "42").publish_note({"text": "hello"})  # type: ignore[attr-defined]
    await ChatChannel(client, "42").publish_message({"txt": "hello"})  # type: ignore[typeddict-item]
    await OrdersChannel(client).publish_order_created({"id": 1, "status": "gone", "lines": []})  # type: ignore[typeddict-item]
    await call_price(client, {"id": 1})  # type: ignore[typeddict-item]


def test_they_can_be_imported() -> None:
    assert inspect.iscoroutinefunction(right) and inspect.iscoroutinefunction(wrong)
    assert OrdersChannel.as_order_created(Message("other", "orders", {})) is None
