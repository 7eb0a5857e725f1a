"""How room is given out: it grows with success, shrinks with failure, and is never all taken.

The clock is a number that the tests hand in; nothing is sent.
"""

from clawback.work.rooms import FIRST_ROOM, MOST_ROOM, PER_ORIGIN, Due, Rooms


def due(name: str, url: str | None = None) -> Due:
    return Due(0, name, url or f"https://{name}.example/")


def take(rooms: Rooms, one: Due, now: float = 0.0) -> list[int]:
    """Take all the room that an endpoint gets."""
    found = rooms.share_out([one], now)
    numbers = list(range(found[0][1])) if found else []
    for number in numbers:
        rooms.take(one.endpoint_id, number)
    return numbers


def end(rooms: Rooms, one: Due, numbers: list[int], *, is_well: bool, now: float = 0.0) -> None:
    for number in numbers:
        rooms.give_back(one.endpoint_id, number, now, is_well=is_well)


def test_room_grows_with_success_to_a_bound() -> None:
    rooms, one = Rooms(1000), due("a")
    sizes = []
    for _ in range(5):
        numbers = take(rooms, one)
        sizes.append(len(numbers))
        end(rooms, one, numbers, is_well=True)
    assert sizes[0] == FIRST_ROOM
    assert sizes == sorted(sizes)
    assert sizes[-1] == MOST_ROOM


def test_what_fails_has_room_for_one_and_pauses() -> None:
    rooms, one = Rooms(1000), due("a")
    end(rooms, one, take(rooms, one), is_well=False, now=10)
    assert take(rooms, one, 10.0) == [], "it pauses"
    numbers = take(rooms, one, 11.0)
    assert numbers == [0]
    assert take(rooms, one, 11.0) == [], "one at a time"
    end(rooms, one, numbers, is_well=True, now=11)
    assert len(take(rooms, one, 11.0)) > 1, "one success ends it"


def test_failing_endpoints_never_take_more_than_their_share() -> None:
    rooms = Rooms(40)
    bad = [due(f"bad{number}") for number in range(30)]
    for one in bad:
        end(rooms, one, take(rooms, one), is_well=False)
    taken = sum(len(take(rooms, one, 60.0)) for one in bad)
    assert taken == 10
    good = [due(f"good{number}") for number in range(20)]
    assert sum(len(take(rooms, one, 60.0)) for one in good) == 30, "the rest is free for others"


def test_endpoints_at_one_origin_share_its_connections() -> None:
    rooms = Rooms(1000)
    same = [due(f"e{number}", "https://shop.example/hooks") for number in range(20)]
    assert sum(len(take(rooms, one)) for one in same) == PER_ORIGIN
    assert len(take(rooms, due("other"))) == FIRST_ROOM


def test_all_room_comes_back() -> None:
    rooms, many = Rooms(50), [due(f"e{number}") for number in range(30)]
    for is_well in (True, False, False, True):
        for one in many:
            end(rooms, one, take(rooms, one, 100.0), is_well=is_well, now=0)
    for one in many:
        end(rooms, one, take(rooms, one, 200.0), is_well=True)
    assert sum(len(take(rooms, one, 300.0)) for one in many) > 30
