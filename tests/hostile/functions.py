"""Functions that call themselves, each other, or too many of them."""

from collections.abc import Iterator
from functools import partial

from tests.hostile.file import Hostile, poisoned


def files() -> Iterator[Hostile]:
    def function(name: str, *calls: str) -> str:
        names = [f"v{at}" for at in range(len(calls))]
        steps = " ".join(f"{new} = com.microsoft.{call}({old})" for new, old, call in zip(names, ["x", *names], calls))
        last = names[-1] if names else "x"
        return (
            f'<domain: "com.microsoft", opset_import: ["" : 20, "com.microsoft" : 1]> {name} (x) => (y) '
            f"{{ {steps} y = Cos({last}) }}"
        )

    start = "start = ReduceMin<keepdims = 0>(input) poison = com.microsoft.f0(start)"
    itself = function("f0", "f0")
    each_other = " ".join(function(f"f{at}", f"f{(at + 1) % 3}") for at in range(3))
    twice = " ".join([*(function(f"f{at}", f"f{at + 1}", f"f{at + 1}") for at in range(40)), function("f40")])
    long = " ".join([*(function(f"f{at}", f"f{at + 1}") for at in range(3000)), function("f3000")])
    for name, functions, reasons in (
        ("itself", itself, ("must not be recursive",)),
        ("each-other", each_other, ("must not be recursive",)),
        ("twice", twice, ("took more than",)),
        ("long", long, ("depth exceeds limit",)),
    ):
        yield Hostile(f"function-{name}", partial(poisoned, start, functions), reasons, slow=name == "twice")
