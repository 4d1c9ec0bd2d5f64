"""The outputs that a request can choose, and the graph's outputs that each is written from."""

from collections.abc import Sequence

from app.errors import InvalidInput


class Menu:
    """The outputs of a kind of model by name, each with the graph's outputs that it is written from.

    Args:
        on_request: outputs that are answered only if requested.
        maps: those that have a value for each cell of a grid, which are answered only if requested, too.
    """

    def __init__(
        self, selectable: dict[str, tuple[str, ...]], on_request: Sequence[str] = (), maps: Sequence[str] = ()
    ) -> None:
        self.selectable = selectable
        self.maps = frozenset(maps)
        self.default = tuple(name for name in selectable if name not in (*on_request, *maps))
        self._needed = self._of_graph(self.default)

    def choose(self, outputs: Sequence[str] | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The requested outputs in the menu's order, and the graph's outputs that they need.

        Raises:
            InvalidInput: an output is unknown or named twice, or `outputs` names none.
        """
        if outputs is None:
            return self.default, self._needed
        for index, name in enumerate(outputs):
            if name not in self.selectable:
                expected = f"expected some of {', '.join(self.selectable)}"
                raise InvalidInput(f"unknown output {name[:100]!r}; {expected}", f"outputs[{index}]")
        if not outputs or len(outputs) != len(set(outputs)):
            raise InvalidInput("expected at least one output and each once, or no `outputs` for all of them", "outputs")
        return tuple(name for name in self.selectable if name in outputs), self._of_graph(outputs)

    def _of_graph(self, outputs: Sequence[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for choice in outputs for name in self.selectable[choice]))
