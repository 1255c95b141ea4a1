# What nanobind's stub generator does not see: the exception is registered by hand.
_core.__suffix__:
    class Error(ValueError):
        """A mistake in a text, a shape, a dtype or a binding. str() shows every finding."""

        diagnostics: list[dict]
