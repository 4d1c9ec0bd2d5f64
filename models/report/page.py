"""Writes the page of a version from the contracts in its files."""

from hashlib import sha256
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app.contract.repository import model_path
from app.contract.schema import Contract
from models import artefact
from models.report.figures import charts, numbers


def page(repository: Path, name: str, version: int) -> str:
    """The page as HTML. Text of the model is escaped: a file may come from anywhere.

    Raises:
        ArtefactError: no such version, or a file is no artefact.
        ContractError: its contract is not readable.
    """
    contract = artefact.read(repository, name, version)[1]
    folder = model_path(repository, name, version).parent
    plans = {f"model.{device}.onnx": one for device, (_, one) in artefact.read_plans(repository, name, version).items()}
    files = [_file(folder / file, one) for file, one in {"model.onnx": contract, **plans}.items()]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    template = environment.get_template("page.html")
    return template.render(name=name, version=version, contract=contract, files=files, charts=charts, numbers=numbers)


def _file(path: Path, contract: Contract) -> dict[str, str]:
    compiled, content = contract.compilation, path.read_bytes()
    known = compiled is not None and compiled.macs_single > 0
    return {
        "name": path.name,
        "plan": contract.plan,
        "passes": f"{compiled.macs / compiled.macs_single:.2f}" if compiled is not None and known else "–",
        "megabytes": f"{len(content) / 1e6:.2f}",
        "digest": sha256(content).hexdigest(),
    }
