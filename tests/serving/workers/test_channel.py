"""Messages and file descriptors between two ends of a channel."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from serving.workers.channel import Channel, Order, pair


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    ours, theirs = map(Channel, pair())
    yield ours, theirs
    ours.close()
    theirs.close()


def test_messages_keep_their_boundaries_and_order(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    assert theirs.receive() is None
    assert all(ours.send(order) for order in Order)
    assert [theirs.receive() for _ in Order] == [(order.value, None) for order in Order]
    assert theirs.receive() is None


def test_a_file_descriptor_works_at_the_other_end(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    reader, writer = os.pipe()
    assert ours.send(Order.SERVE, writer)
    os.close(writer)
    message = theirs.receive()
    assert message is not None
    assert message.fd is not None
    os.write(message.fd, b"hello")
    os.close(message.fd)
    assert os.read(reader, 9) == b"hello"
    os.close(reader)


def test_a_process_that_reads_nothing_blocks_nobody(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    n_sent = 0
    while ours.send(Order.SERVE):
        n_sent += 1
    assert n_sent > 0
    assert theirs.receive() == (Order.SERVE, None)
    assert ours.send(Order.SERVE)


def test_the_end_of_the_other_process_is_an_empty_message(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    ours.close()
    message = theirs.receive()
    assert message == (b"", None)
    assert not theirs.send(b"x")
