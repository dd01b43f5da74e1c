"""One outside tool per file. Nothing here decides; what tools say is translated into domain values and errors."""
