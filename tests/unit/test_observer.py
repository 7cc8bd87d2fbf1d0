"""Pieces to stretches: what is told of a stretch is what was decided of it, wherever it was cut."""

from hypothesis import given
from hypothesis import strategies as st

from collectors.edges import UP, Look, Piece
from collectors.observer import Observer, Stretch
from service.core.health import Health

LOOKS = [UP, Look(Health.DOWN, "xid:79"), Look(Health.DEGRADED, "nvlink:link_down"), Look(None, "agent:edge")]


def test_a_change_exactly_where_the_last_stretch_ended_is_told_from_there() -> None:
    """A heartbeat that ended at the very edge must not carry the old health over it."""
    observer = Observer(gpus=("a",), cursor_ms=0, heartbeat_ms=500)
    observer.add("a", [Piece(0, 500, UP)])
    before = observer.due()
    observer.add("a", [Piece(500, 600, LOOKS[1])])
    after = observer.due()

    assert [(one.from_ms, one.to_ms, one.gpus[0].health) for one in (*before, *after)] == [
        (0, 500, Health.UP),
        (500, 600, Health.DOWN),
    ]


rows = st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(1, 900), st.sampled_from(LOOKS), st.booleans()))


@given(rows)
def test_stretches_touch_and_say_of_every_instant_what_was_decided(row: list[tuple[str, int, Look, bool]]) -> None:
    """However pieces of two GPUs and flushes interleave, no millisecond is told otherwise than decided."""
    observer = Observer(gpus=("a", "b"), cursor_ms=0, heartbeat_ms=500)
    ends, decided, told = {"a": 0, "b": 0}, {"a": list[Piece](), "b": list[Piece]()}, list[Stretch]()
    for gpu, length_ms, look, flush in row:
        piece = Piece(ends[gpu], ends[gpu] + length_ms, look)
        ends[gpu] = piece.to_ms
        decided[gpu].append(piece)
        observer.add(gpu, [piece])
        told += observer.due() if flush else ()
    told += observer.due(force=True)

    assert [one.from_ms for one in told] == [0, *(one.to_ms for one in told)][: len(told)]
    for stretch in told:
        for seen in stretch.gpus:
            covering = [
                piece for piece in decided[seen.gpu] if piece.from_ms < stretch.to_ms and piece.to_ms > stretch.from_ms
            ]
            assert {(piece.look.health, piece.look.cause) for piece in covering} == {(seen.health, seen.cause)}
