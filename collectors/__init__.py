"""The agent beside the hardware: devices, evidence, spool. Imports only `service.core`."""
