"""The compiler from a PyTorch network to an artefact: `export` writes a version of a model."""

from models.export.options import ExportOptions, Precision
from models.export.pipeline import export
from models.export.verification import VerificationError

__all__ = ["ExportOptions", "Precision", "VerificationError", "export"]
