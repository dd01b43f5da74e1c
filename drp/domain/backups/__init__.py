"""How backups are declared, run, kept, checked and copied."""
