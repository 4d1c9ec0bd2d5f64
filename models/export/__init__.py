"""The compiler from a PyTorch network to an artefact: `export` writes a version of a model."""

from models.export.options import ExportOptions, HeadOptions, InputOptions, Precision
from models.export.pipeline import export
from models.export.verification import VerificationError

__all__ = ["ExportOptions", "HeadOptions", "InputOptions", "Precision", "VerificationError", "export"]
