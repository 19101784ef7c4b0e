"""Anchor: once an hour, write the heads of the audit chains that changed, signed, under Object Lock."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from payments.adapters import aws_clients as aws
from payments.adapters.dynamodb.listing import DynamoPaymentListing
from payments.adapters.kms import KmsChainSigner
from payments.adapters.lambda_functions import FunctionStarter
from payments.adapters.s3_anchors import S3AnchorStore
from payments.application.anchor import AnchorBroken, AnchorRun
from payments.config import setting
from payments.domain.clock import utc_now
from payments.observability.logs import invocation, logger
from payments.observability.metrics import ANCHORS_WRITTEN, AUDIT_BROKEN, count

itself = FunctionStarter(aws.functions(), setting("AWS_LAMBDA_FUNCTION_NAME"))
run = AnchorRun(
    listing=DynamoPaymentListing(aws.dynamodb(), setting("PAYMENTS_TABLE")),
    store=S3AnchorStore(aws.s3(), setting("ANCHOR_BUCKET")),
    signer=KmsChainSigner(aws.kms(), setting("ANCHOR_KEY_ARN")),
    environment_id=setting("ENVIRONMENT_ID"),
    clock=utc_now,
    continue_later=lambda: itself({}),
)
log = logger()


@invocation
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """Event in: {}. It begins the next anchor, or continues one that was begun."""
    del event
    try:
        anchor = run.run(context.aws_request_id, lambda: context.get_remaining_time_in_millis() / 1000)
    except AnchorBroken as broken:
        log.error("anchor broken", extra={"reason": str(broken)})
        count(AUDIT_BROKEN)
        raise
    if anchor is None:
        log.info("the anchor continues in another run")
        return
    log.info("anchored", extra={"anchor": anchor.number, "until": anchor.until, "heads": anchor.leaves})
    count(ANCHORS_WRITTEN)
