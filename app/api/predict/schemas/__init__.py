"""The answers of /predict, as the OpenAPI document shows them: one file for each kind of task.

They are written from arrays without passing through these classes; tests hold the two together.
"""

from app.api.predict.schemas.classification import ClassificationAnswer
from app.api.predict.schemas.regression import RegressionAnswer

Answer = ClassificationAnswer | RegressionAnswer
"""`model.task` tells which."""
