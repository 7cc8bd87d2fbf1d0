"""The site service: bus, ledger, projection, scheduler, exporter, API and command line."""
