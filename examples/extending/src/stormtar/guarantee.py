"""The guarantee `listed-in-one-order`."""

from collections.abc import Iterator

from snapstorm.extending import Finding, JudgedGuarantee, ListingSeen, judges


class ListedInOneOrder(JudgedGuarantee):
    id = "listed-in-one-order"
    sentence = "Two listings show the snapshots that are in both in the same order."

    def __init__(self) -> None:
        self._places: dict[str, dict[str, int]] = {}

    @judges(ListingSeen)
    def judge_listing(self, seen: ListingSeen) -> Iterator[Finding]:
        client, ids = seen.listing.client, [entry.id for entry in seen.listing.entries]
        before = self._places.get(client, {})
        places = [before[one] for one in ids if one in before]
        if places != sorted(places):
            yield Finding(f"{client} is shown {', '.join(ids)}, some of which were in another order before")
        self._places[client] = {one: place for place, one in enumerate(ids)}
