"""Addresses on a board, which this process hands out: allocating there costs nothing."""

from bisect import bisect_left

PAGE = 4096


class Addresses:
    """Ranges of whole pages from an area, each with a page behind it that nobody has: a kernel that runs off its end faults."""

    def __init__(self, start: int, size: int) -> None:
        self.start, self.end = start, start + size
        self._free = [(start, start + size)] if size > 0 else []  # sorted, and never adjacent
        self._taken: dict[int, int] = {}

    def take(self, size: int) -> int | None:
        """The start of a range of at least `size` bytes, which is a multiple of the page; None where there is none."""
        size = -(-max(size, 1) // PAGE) * PAGE
        wanted = size + PAGE
        for i, (start, end) in enumerate(self._free):
            if end - start >= wanted:
                self._free[i : i + 1] = [(start + wanted, end)] if end - start > wanted else []
                self._taken[start] = size
                return start
        return None

    def size_of(self, start: int) -> int:
        """The bytes of the range that was taken at `start`, a multiple of the page."""
        return self._taken[start]

    def has(self, address: int) -> bool:
        """Whether the address is one of the area's."""
        return self.start <= address < self.end

    def give(self, start: int) -> None:
        """Give the range that was taken at `start` back."""
        end = start + self._taken.pop(start) + PAGE
        i = bisect_left(self._free, (start, end))
        if i < len(self._free) and self._free[i][0] == end:
            end = self._free.pop(i)[1]
        if i and self._free[i - 1][1] == start:
            i, start = i - 1, self._free.pop(i - 1)[0]
        self._free.insert(i, (start, end))
