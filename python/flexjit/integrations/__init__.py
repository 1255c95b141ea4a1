"""Other packages, whose attention flexjit takes over: flexjit.integrations.transformers."""
