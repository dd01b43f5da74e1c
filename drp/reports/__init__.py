"""Evidence to documents: one neutral document of facts (`document.build`), many renderers, and a verifier."""
