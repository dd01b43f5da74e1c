"""Layanan pengaduan: the lab's demonstration service, a small public complaints application with real data."""
