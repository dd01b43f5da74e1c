"""One use case per file, told from top to bottom in the words of design.md. The world comes in through `drp.ports`."""
