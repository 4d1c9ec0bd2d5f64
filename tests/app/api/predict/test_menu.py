import pytest

from app.api.predict.menu import Menu
from app.errors import InvalidInput

MENU = Menu({"a": ("x", "y"), "b": ("y",), "c": ("z", "x")}, on_request=("b",))


@pytest.mark.parametrize(
    ("outputs", "field", "message"),
    [
        (["a", "d"], "outputs[1]", "unknown output 'd'; expected some of a, b, c"),
        (["x"], "outputs[0]", "unknown output 'x'"),
        (["q" * 1000], "outputs[0]", f"unknown output '{'q' * 100}'; "),
        ([], "outputs", "at least one output"),
        (["a", "b", "a"], "outputs", "each once"),
    ],
)
def test_what_is_not_on_the_menu_is_refused(outputs: list[str], field: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        MENU.choose(outputs)
    assert caught.value.field == field
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("outputs", "chosen", "needed"),
    [
        (None, ("a", "c"), ("x", "y", "z")),
        (["c", "a"], ("a", "c"), ("z", "x", "y")),
        (["b"], ("b",), ("y",)),
        (["b", "a"], ("a", "b"), ("y", "x")),
    ],
)
def test_choices_come_in_the_menu_s_order_and_each_output_of_the_graph_once(
    outputs: list[str] | None, chosen: tuple[str, ...], needed: tuple[str, ...]
) -> None:
    assert MENU.choose(outputs) == (chosen, needed)
