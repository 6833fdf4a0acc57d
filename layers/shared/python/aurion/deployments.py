"""What a deployment waits for: work that a stack's resource stands for, and the answer to it.

CloudFormation calls the function with an address of its own and goes on when something has been put
there. Source:
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html
"""

import json
import logging
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from aurion.errors import DeploymentUnreachable
from aurion.tls import outbound_context

logger = logging.getLogger(__name__)

_ANSWER_S = 10.0


def carry_out(
    event: Mapping[str, Any], resource: str, work: Callable[[], Mapping[str, str]]
) -> dict[str, Any]:
    """Do the work, tell the deployment how it went, and return what was told.

    A failure is told without its text, which stands in the function's log, and raised. Nobody is
    told when nobody asked by an address, as on one machine.

    Raises:
        DeploymentUnreachable: The answer could not be left; the deployment waits and then fails.
    """
    answer: dict[str, Any] = {"Status": "FAILED", "PhysicalResourceId": resource, "Data": {}}
    try:
        answer["Data"] = dict(work())
        answer["Status"] = "SUCCESS"
    finally:
        _tell(event, answer)
    return answer


def _tell(event: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
    address = event.get("ResponseURL")
    if not address:
        return
    body = {
        **answer,
        "Reason": "See the function's log.",
        **{name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")},
    }
    request = urllib.request.Request(  # noqa: S310 - CloudFormation's own address
        address,
        data=json.dumps(body).encode(),
        method="PUT",
        # The address is signed without a type; urllib would add one.
        headers={"Content-Type": ""},
    )
    try:
        with urllib.request.urlopen(  # noqa: S310
            request, timeout=_ANSWER_S, context=outbound_context()
        ):
            logger.info("the deployment was told", extra={"status": answer["Status"]})
    except urllib.error.URLError:
        raise DeploymentUnreachable from None
