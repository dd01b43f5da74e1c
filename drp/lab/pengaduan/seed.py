# ruff: noqa: UP017 - runs on the hosts' own Python (3.9 and newer), which has no datetime.UTC
"""Fills a new complaints database: random complaints of the last 90 days, random attachments of 1 to 64 KiB.

Run inside the host as the application's user, with the number of complaints as argument and this text on standard
input. Every run writes other content: a recovery that brought back an older copy would be noticed.
"""

from __future__ import annotations

import os
import random
import sys
from datetime import datetime, timedelta, timezone

sys.path.insert(0, "/srv/pengaduan/app")
sys.dont_write_bytecode = True
import pengaduan  # type: ignore[import-not-found] # noqa: E402

NAMES = ("Siti", "Budi", "Asep", "Dewi", "Rina", "Ujang", "Agus", "Yanti", "Neneng", "Dadang", "Wawan", "Lilis")
SUBJECTS = (
    "Jalan berlubang",
    "Lampu jalan padam",
    "Sampah menumpuk",
    "Saluran tersumbat",
    "Pohon tumbang",
    "Air keruh",
)
PLACES = ("Jl. Pajajaran", "Jl. Suryakencana", "Bogor Tengah", "Tanah Sareal", "Bogor Barat", "Cimanggu", "Ciawi")


def main() -> None:
    count = int(sys.argv[1])
    settings = pengaduan.Settings.read("/etc/pengaduan/pengaduan.ini")
    chance = random.SystemRandom()
    now = datetime.now(timezone.utc)
    ages = sorted((chance.uniform(60, 90 * 86400) for _ in range(count)), reverse=True)
    with pengaduan.Database(settings.database).transaction() as cursor:
        for age in ages:
            content = os.urandom(chance.randrange(1024, 64 * 1024))
            stored = pengaduan.store_upload(settings.uploads, content)
            place = chance.choice(PLACES)
            cursor.execute(
                "INSERT INTO complaints (received_at, name, subject, message,"
                " attachment_name, attachment_bytes, attachment_sha256, attachment_file)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
                (
                    now - timedelta(seconds=age),
                    chance.choice(NAMES),
                    f"{chance.choice(SUBJECTS)} di {place}",
                    f"Mohon ditindaklanjuti, sudah {chance.randrange(2, 30)} hari. Kode {os.urandom(24).hex()}",
                    f"foto-{os.urandom(4).hex()}.jpg",
                    len(content),
                    pengaduan.hashlib.sha256(content).hexdigest(),
                    stored,
                ),
            )


if __name__ == "__main__":
    main()
