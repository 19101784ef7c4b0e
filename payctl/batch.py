"""payctl batch."""

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from payctl import batch_files, batch_view, exit_codes, merchant_files, show
from payctl.failures import Exit, Failure
from payctl.options import Download, Json, Timeout, Watch, stack_of
from payctl.stack import Stack
from payments.domain.batch.state import Batch, Source

app = typer.Typer(help="Batches of payments: CSV files in the S3 bucket.", no_args_is_help=True)


@app.command()
def upload(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="A .csv or .csv.gz file.")],
    watch: Watch = False,
    download: Download = None,
    timeout: Timeout = 300,
    merchant: Annotated[
        str, typer.Option(metavar="NAME", help="Upload to this merchant's folder, under the merchant's role.")
    ] = "",
    json: Json = False,
) -> None:
    """Upload a CSV file of payments. With --download, also wait for the result files."""
    stack = stack_of(context)
    if merchant:
        stack = merchant_files.stack_of_merchant(stack, merchant)
        source = merchant_files.upload(stack, merchant, file)
    else:
        source = batch_files.upload(stack, file)
    if merchant and (watch or download):
        _wait_for_results(stack, source, timeout, download, json)
    if watch or download:
        _watch(stack, source.batch_id, timeout, download, json)
        return
    if json:
        show.as_json({"batch_id": source.batch_id, "bucket": source.bucket, "key": source.key})
        return
    show.facts(
        [
            ("batch", source.batch_id),
            ("file", f"s3://{source.bucket}/{source.key}"),
            ("environment", stack.name),
            ("progress", "" if merchant else f"payctl batch show {source.batch_id} --watch"),
            ("results", f"s3://{source.bucket}/{source.result_key('')}" if merchant else ""),
        ]
    )


@app.command("show")
def show_batch(
    context: typer.Context,
    batch_id: str,
    watch: Watch = False,
    download: Download = None,
    timeout: Timeout = 300,
    json: Json = False,
) -> None:
    """Show the progress of a batch, its totals and its rejected rows. The exit code is that of its outcome."""
    stack = stack_of(context)
    if watch or download:
        _watch(stack, batch_id, timeout, download, json)
        return
    batch = batch_files.get(stack, batch_id)
    if batch is None:
        raise Failure(f"there is no batch {batch_id} in {stack.name}; list them with: payctl batch list")
    _print_result(stack, batch, json)
    raise typer.Exit(exit_codes.of_batch(batch))


@app.command("list")
def list_batches(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Maximum number of batches, newest first.")] = 20,
    json: Json = False,
) -> None:
    """List the uploaded files, newest first, with the status of each batch."""
    stack = stack_of(context)
    batches = batch_files.newest(stack, limit)
    if json:
        show.as_json([batch_view.listed_as_json(source, batch) for source, batch in batches])
    else:
        batch_view.listing(stack, batches)


def _watch(stack: Stack, batch_id: str, timeout: float, download: Path | None, json: bool) -> None:
    try:
        batch, gave_up = batch_view.watched(stack, batch_id, timeout)
    except KeyboardInterrupt:
        show.note(f"the batch continues; watch it again with: payctl batch show {batch_id} --watch")
        raise
    _print_result(stack, batch, json)
    if gave_up:
        held = batch_view.held_by(stack, batch)
        raise Failure(
            gave_up,
            details=[*filter(None, [held]), f"continue watching with: payctl batch show {batch_id} --watch"],
            code=Exit.STILL_OPEN,
        )
    if download:
        for path in batch_files.download(stack, batch, download):
            show.note(f"wrote {path}")
    raise typer.Exit(exit_codes.of_batch(batch))


def _wait_for_results(stack: Stack, source: Source, timeout: float, download: Path | None, json: bool) -> NoReturn:
    """Wait for the result files of a merchant, who cannot read the tables. Ends the command."""
    results = merchant_files.watched(stack, source, timeout)
    errors = [(error["line"], error["column"], error["reason"], error["what_to_do"]) for error in results.errors]
    if json:
        show.as_json({"batch_id": source.batch_id, "by_status": results.by_status, "errors": results.errors})
    else:
        show.facts([("batch", source.batch_id), *results.by_status.items(), ("errors", len(errors) or "")])
        show.table("errors", ("line", "column", "reason", "what to do"), errors[: batch_view.REJECTED_SHOWN])
    for path in merchant_files.write(results, download) if download else ():
        show.note(f"wrote {path}")
    raise typer.Exit(results.exit_code)


def _print_result(stack: Stack, batch: Batch, json: bool) -> None:
    if json:
        show.as_json(batch_view.as_json(batch, batch_view.held_by(stack, batch)))
        return
    rejected, more = batch_files.rejected_rows(stack, batch, limit=batch_view.REJECTED_SHOWN)
    batch_view.one(stack, batch, rejected, more)
