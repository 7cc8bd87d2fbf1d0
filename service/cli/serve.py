"""`threenines serve`: the site service on one machine."""

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from service.cli.options import address, say
from service.cli.sealing import sealer


def serve(
    contract: Annotated[Path, typer.Option(help="Contract file; test it with `threenines check`.")],
    ledger: Annotated[str, typer.Option(help="Ledger URL.")] = "sqlite:///threenines.db",
    listen: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1:9909",
    tokens: Annotated[Path | None, typer.Option(help="Token file; needed beyond loopback.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="TLS certificate; needed beyond loopback.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="TLS key.")] = None,
    seals: Annotated[Path | None, typer.Option(help="Directory to export the daily seals to.")] = None,
    seal_key: Annotated[Path | None, typer.Option(help="Ed25519 private key (PEM) that signs the seals.")] = None,
    restored: Annotated[bool, typer.Option(help="The ledger was put back from a backup; say so once.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v")] = False,
) -> None:
    """Take facts from agents, keep the ledger, publish /metrics.

    Example: threenines serve --contract deploy/examples/demo.yaml --ledger sqlite:///threenines.db
    """
    from service.api import HttpInbox, Listen, Server, Views, create_api
    from service.app import Service
    from service.clock import SystemClock
    from service.contracts import load_agreement
    from service.ledger.checkpoint import checkpoints_of
    from service.ledger.store import SqlLedger
    from service.logs import configure
    from service.tokens import Tokens

    configure(verbose=verbose)
    host, port = address(listen)
    agreement = load_agreement((contract,))
    known = Tokens.load(tokens) if tokens else None
    inbox = HttpInbox()
    clock = SystemClock()
    book = SqlLedger(ledger)
    service = Service(
        contract=agreement.newest,
        agreement=agreement,
        ledger=book,
        bus=inbox,
        clock=clock,
        sealer=sealer(book, clock, seals, seal_key),
        checkpoints=checkpoints_of(ledger),
        restored=restored,
    )
    api = create_api(inbox, Views(metrics=service.metrics, ready=service.ready, tell=service.tell), known)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    service.start()
    try:
        where = Listen(host=host, port=port, certificate=tls_cert, key=tls_key)
        server = Server(api, where, authenticated=known is not None)
        say(f"listening on {'https' if tls_cert else 'http'}://{host}:{server.port}")
        stop.wait()
        server.stop()
    finally:
        service.stop()
