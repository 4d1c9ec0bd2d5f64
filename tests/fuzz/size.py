"""How much is tried: a little in `make test`, FUZZ_EXAMPLES cases in `make fuzz`."""

import os

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "250"))
