"""The headers with which a client says what it accepts: names with weights."""


def weights(header: bytes) -> dict[str, float]:
    """The names in a header such as Accept or Accept-Encoding, in order, with their weights, 0 to 1; 0 is no."""
    found: dict[str, float] = {}
    for part in header.decode("latin-1").lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        weight = next((value[2:] for value in parameters if value.startswith("q=")), "1")
        try:
            found[name] = float(weight)
        except ValueError:
            found[name] = 0.0
    return found
