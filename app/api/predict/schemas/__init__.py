"""The responses of /predict, as the OpenAPI document shows them; one file for each kind of task.

Responses are written from arrays without these classes; tests compare the two.
"""

from app.api.predict.schemas.classification import ClassificationAnswer
from app.api.predict.schemas.multilabel import MultilabelAnswer
from app.api.predict.schemas.regression import RegressionAnswer
from app.api.predict.schemas.several import SeveralAnswer

Answer = ClassificationAnswer | MultilabelAnswer | RegressionAnswer | SeveralAnswer
"""`model.task` says which."""
