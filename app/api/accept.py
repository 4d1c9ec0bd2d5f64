"""Reads the headers that say what a client accepts: names with weights."""


def weights(header: bytes) -> dict[str, float]:
    """The names in a header such as Accept or Accept-Encoding, in order, with weights from 0 (not accepted) to 1."""
    found: dict[str, float] = {}
    for part in header.decode("latin-1").lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        weight = next((value[2:] for value in parameters if value.startswith("q=")), "1")
        try:
            found[name] = float(weight)
        except ValueError:  # a weight that cannot be read is no reason to refuse the request
            found[name] = 0.0
    return found
