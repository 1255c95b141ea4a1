# Filled by lib/api's package export.
