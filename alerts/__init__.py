"""Alert rules as data, and what renders them. Imports only `service.core`."""
