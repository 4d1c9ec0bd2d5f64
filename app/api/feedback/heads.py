"""The heads that answer with receipts, and the policy in force on each."""

from app.api.services import Services
from app.contract.decisions import policies_for
from app.contract.head import Head
from app.contract.policy import Policy
from app.contract.schema import Contract
from app.feedback.ledger import TallyKey
from app.feedback.receipt import Receipt, why_none
from app.feedback.tally import Tally


def head_of(of: Services, receipt: Receipt) -> tuple[Head, Policy | None]:
    """The head that answered, and the policy on it. Its version need not answer any more, but must still be there.

    Raises:
        ValueError: the repository does not have it.
    """
    found = of.registry.models.get(receipt.model)
    contract = next((one.contract for one in found.versions if one.number == receipt.version), None) if found else None
    if contract is None:
        raise ValueError(f"{receipt.model}:{receipt.version} is not in the repository (any more)")
    for head in contract.heads:
        if head.name == receipt.head:
            return head, _policy(of, receipt.model, contract, head)
    raise ValueError("the file of this version is not the one that answered")


def awaited(of: Services) -> dict[TallyKey, Tally]:
    """A tally without rows for each head that answers with receipts; none where there are no receipts."""
    if of.receipts is None:
        return {}
    return {
        (model, version.number, head.name): Tally(head, _policy(of, model, version.contract, head))
        for model, found in of.registry.models.items()
        for version in found.versions
        if version.state == "available" and version.contract is not None
        for head in version.contract.heads
        if why_none(head) is None
    }


def _policy(of: Services, model: str, contract: Contract, head: Head) -> Policy | None:
    try:
        found = policies_for(of.settings.policy, model, contract).get(head.name)
    except ValueError:  # the operator's does not fit this version, which therefore does not answer any more
        return None
    return None if found is None else found.policy
