"""The fixed words of a printed runbook, in both languages; and minutes and times as they are read there."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from drp.domain.model import LocalisedText
from drp.domain.runbooks.by_hand import Language

WORDS: dict[str, tuple[str, str]] = {
    "runbook": ("Runbook", "Buku panduan pemulihan"),
    "file": ("Runbook file", "Berkas panduan"),
    "level": ("Level of exercise", "Tingkat uji coba"),
    "operation": ("Carried out by drp as", "Dijalankan drp sebagai"),
    "printed": ("Printed", "Dicetak"),
    "valid": (
        "What stands here is from the inventory of that moment. Print it anew after each change, and every quarter.",
        "Isinya berasal dari inventaris pada saat itu. Cetak ulang setelah setiap perubahan dan setiap triwulan.",
    ),
    "purpose": ("Purpose", "Tujuan"),
    "when": ("When to use it", "Kapan digunakan"),
    "who": ("Who decides", "Siapa yang memutuskan"),
    "declares": ("May declare (any one of them)", "Berwenang menyatakan (cukup salah satu)"),
    "approves": ("Must agree before it starts (one of these)", "Harus menyetujui sebelum dimulai (salah satu)"),
    "takes_part": ("Has a part in it", "Ikut menjalankan"),
    "nobody": ("nobody is named in people.yaml", "belum ada nama di people.yaml"),
    "part": ("Part", "Peran"),
    "name": ("Name", "Nama"),
    "position": ("Position", "Jabatan"),
    "contact": ("Contact", "Kontak"),
    "stand_in": ("If not reachable", "Jika tidak terhubungi"),
    "preconditions": ("Before you start", "Sebelum mulai"),
    "order": ("Services in their order", "Urutan layanan"),
    "order_text": (
        (
            "Wave 1 needs no other service; a later wave starts when the services that it needs are proved to"
            " work. Data"
            " may be restored for all of them at the same time."
        ),
        (
            "Gelombang 1 tidak membutuhkan layanan lain; gelombang berikutnya dimulai setelah layanan yang"
            " dibutuhkannya"
            " terbukti berfungsi. Data semua layanan boleh dipulihkan bersamaan."
        ),
    ),
    "wave": ("Wave", "Gelombang"),
    "service": ("Service", "Layanan"),
    "needs": ("Needs", "Membutuhkan"),
    "owner": ("Owner", "Pemilik"),
    "hosts": ("From → to host", "Dari → ke host"),
    "none": ("–", "–"),
    "no_services": ("No service is known to be struck.", "Tidak ada layanan yang diketahui terdampak."),
    "steps": ("Steps", "Langkah-langkah"),
    "steps_text": (
        "Write down when each step began and ended, and sign.",
        "Catat kapan tiap langkah dimulai dan selesai, lalu paraf.",
    ),
    "steps_machine": (
        "What drp does itself is grey: with drp you only watch it; without drp, type the commands of the last part.",
        "Pekerjaan drp berlatar abu-abu: dengan drp cukup diawasi; tanpa drp, ketik perintah pada bagian terakhir.",
    ),
    "struck": ("What is lost", "Apa yang hilang"),
    "cut_off": ("Offices without a way to the primary data centre", "Kantor tanpa jalur ke pusat data utama"),
    "office": ("Office", "Kantor"),
    "agencies": ("Agencies", "Perangkat daerah"),
    "stand_in_lines": ("Lines that should stand in", "Jalur yang seharusnya menggantikan"),
    "line": ("Lost line", "Jalur hilang"),
    "backup_line": ("Stands in", "Pengganti"),
    "last_test": ("Last tried", "Terakhir diuji"),
    "never_tested": ("never", "belum pernah"),
    "start_with": ("With drp, start it with", "Dengan drp, mulai dengan"),
    "no_command": (
        "This drp has no command for it yet: what is marked as its work is done by the commands of the last part.",
        "drp ini belum punya perintahnya: pekerjaan yang bertanda drp dilakukan dengan perintah pada bagian terakhir.",
    ),
    "clean_up": ("Clean-up", "Pembersihan"),
    "criteria": ("It has succeeded when", "Berhasil apabila"),
    "stop": ("Stop and ask who declared it when", "Hentikan dan tanyakan kepada yang menyatakan apabila"),
    "fallback": ("How people go on meanwhile", "Cara bekerja sementara"),
    "fallback_for": ("Workable for", "Dapat dijalankan selama"),
    "unrecovered": ("Not recovered by these steps", "Tidak dipulihkan dengan langkah ini"),
    "why": ("Why", "Sebab"),
    "by_hand": ("Without drp: the commands", "Tanpa drp: perintahnya"),
    "by_hand_text": (
        (
            "For when the control node is gone. Every block is typed in one go, in one and the same shell (bash,"
            " as root)"
            " on the host that is named above it, in this order. Stop when a command complains. Services of one"
            " wave can be"
            " worked on at the same time, in a shell each."
        ),
        (
            "Untuk keadaan ketika mesin kendali hilang. Setiap blok diketik sekaligus, dalam satu shell yang sama"
            " (bash, sebagai root) di host yang disebut di atasnya, menurut urutan ini."
            " Berhenti jika ada perintah yang gagal."
            " Layanan dalam satu gelombang boleh dikerjakan bersamaan, masing-masing di shell sendiri."
        ),
    ),
    "by_hand_primary": (
        (
            "First make sure that the old site no longer serves: switch its hosts off, or pull their network. Two sites"
            " that both take entries cannot be put together again."
        ),
        (
            "Pastikan dahulu pusat data lama tidak lagi melayani: matikan host-nya atau cabut jaringannya. Dua"
            " pusat data"
            " yang sama-sama menerima entri tidak dapat disatukan kembali."
        ),
    ),
    "repositories": ("Where its backups are", "Letak rekam cadang"),
    "repository_of": ("Of host", "Milik host"),
    "repository": ("Repository (restic)", "Repositori (restic)"),
    "copies": ("Copies, should it be gone", "Salinan, bila hilang"),
    "password": ("Repository password", "Kata sandi repositori"),
    "keys": ("S3 keys", "Kunci S3"),
    "sealed": ("Sealed copy kept at", "Salinan tersegel disimpan di"),
    "ssh_key": ("SSH key", "Kunci SSH"),
    "programs": ("Programs on", "Program di"),
    "newest": ("Newest restore point when printed", "Titik pulih terbaru saat dicetak"),
    "none_yet": ("there was none", "belum ada"),
    "secret_file": ("file {} of the control node", "berkas {} di mesin kendali"),
    "secret_env": (
        "environment variable {} of drp on the control node",
        "variabel lingkungan {} milik drp di mesin kendali",
    ),
    "secret_credential": ("systemd credential {} of the control node", "kredensial systemd {} di mesin kendali"),
    "secret_command": ("what {} prints on the control node", "keluaran {} di mesin kendali"),
    "left_out": (
        "No command is printed for these; see the service's file: {}",
        "Tidak ada perintah tercetak untuk ini; lihat berkas layanannya: {}",
    ),
    "anywhere": ("any machine", "mesin mana pun"),
    "step": ("Step", "Langkah"),
    "minutes": ("Expected", "Perkiraan"),
    "start": ("Start", "Mulai"),
    "end": ("End", "Selesai"),
    "initials": ("Initials", "Paraf"),
    "by_drp": ("drp does it", "dikerjakan drp"),
    "only": ("only in: {}", "hanya pada: {}"),
    "each": ("for each service", "untuk tiap layanan"),
    "of": ("of: {}", "untuk: {}"),
    "by": ("by: {}", "oleh: {}"),
    "once": ("must not be repeated unasked", "jangan diulang tanpa bertanya"),
    "unknown": ("not known", "belum diketahui"),
    "footer": (
        "Holds no secret, but shows where the city is weak: keep it where only those named in it can take it.",
        (
            "Tidak memuat rahasia, tetapi menunjukkan titik lemah kota: simpan di tempat yang hanya terjangkau"
            " oleh mereka"
            " yang namanya tercantum."
        ),
    ),
    "notify": ("Send to the receivers in drp.yaml: “{}”", "Kirim kepada penerima di drp.yaml: “{}”"),
    "wait": ("Wait {}.", "Tunggu {}."),
    "playbook": ("Run the playbook playbooks/{}.yml on {}.", "Jalankan playbook playbooks/{}.yml pada {}."),
    "recovery_hosts": ("the services' recovery hosts", "host pemulihan layanan"),
    "command": ("On {}: {}", "Di {}: {}"),
    "traffic": ("Users' traffic goes to the {} site: {}", "Lalu lintas pengguna dialihkan ke pusat data {}: {}"),
    "all_services": ("all services", "semua layanan"),
}

SITES = {"primary": ("primary", "utama"), "recovery": ("recovery", "pemulihan")}
RUN_KINDS = {
    "drill": ("exercise", "uji coba"),
    "failover": ("failover", "failover"),
    "switchover": ("switchover", "switchover"),
    "failback": ("failback", "failback"),
}
STEP_KINDS = {
    "manual": ("by people", "oleh manusia"),
    "approval": ("decision", "keputusan"),
    "wait": ("wait", "menunggu"),
    "playbook": ("playbook", "playbook"),
    "command": ("command", "perintah"),
    "notification": ("message", "pemberitahuan"),
    "traffic": ("traffic", "lalu lintas"),
}
LEVELS = {
    "tabletop": ("tabletop", "simulasi meja"),
    "restore-test": ("restore test", "uji pemulihan data"),
    "component": ("component", "komponen"),
    "functional": ("functional", "fungsional"),
    "full": ("full", "menyeluruh"),
}
OPERATIONS = {
    "failover": ("failover", "failover"),
    "switchover": ("switchover (planned)", "switchover (terencana)"),
    "failback": ("failback", "failback"),
    "none": ("nothing: it is people's work", "tidak ada: seluruhnya pekerjaan manusia"),
}
ROLES = {
    "drill-lead": ("drill lead", "pemimpin uji coba"),
    "declares": ("who may declare", "yang berwenang menyatakan"),
    "approves": ("who approves", "yang menyetujui"),
    "drc-contact": ("DR centre's contact", "penghubung DRC"),
    "network-contact": ("network contact", "penghubung jaringan"),
    "observer": ("observer", "pengamat"),
}
STAGES = {
    "unfence": ("Open the old primary again", "Buka kembali situs utama yang lama"),
    "look": ("See what lies at the old primary", "Lihat apa yang ada di situs utama yang lama"),
    "keep": ("Keep what lies there", "Simpan apa yang ada di sana"),
    "stop": ("Stop the services at the site that they leave", "Hentikan layanan di situs yang ditinggalkan"),
    "backup": ("Back up what users wrote last", "Cadangkan tulisan terakhir pengguna"),
    "restore": (
        "Restore the data, and compare it",
        "Pulihkan data, lalu bandingkan",
    ),
    "after-restore": ("Run your own playbook after the restore", "Jalankan playbook sendiri setelah pemulihan data"),
    "activate": ("Start the services", "Jalankan layanan"),
    "after-activate": ("Run your own playbook after the start", "Jalankan playbook sendiri setelah layanan jalan"),
    "verify": ("See whether they answer on their hosts", "Periksa apakah layanan menjawab di host-nya"),
    "after-verify": ("Run your own playbook after the check", "Jalankan playbook sendiri setelah pemeriksaan"),
    "rehearse": (
        "Prove that traffic could be switched; nothing is changed",
        "Buktikan bahwa lalu lintas dapat dialihkan; tidak ada yang diubah",
    ),
    "trial": (
        "Use them at the recovery hosts, before users come; if the data is bad, take the next older restore point",
        "Gunakan di host pemulihan sebelum pengguna masuk; jika datanya rusak, ambil titik pulih sebelumnya",
    ),
    "withdraw": (
        "Only if no restore point is good: stop the bad copy again, and keep its data",
        "Hanya bila tidak ada titik pulih yang baik: hentikan lagi salinan yang rusak, simpan datanya",
    ),
    "stopped": ("See that nothing runs where it was", "Pastikan tidak ada yang jalan di tempat semula"),
    "fence": ("Close the hosts that are left", "Tutup host yang ditinggalkan"),
    "cutover": ("Switch users' traffic", "Alihkan lalu lintas pengguna"),
    "usable": ("Use them from outside, without a break", "Gunakan dari luar tanpa putus"),
    "protect": ("Make the first backup at the new site", "Buat rekam cadang pertama di situs baru"),
    "reopen": ("Only after a failure: start them where they were", "Hanya bila gagal: jalankan di tempat semula"),
    "return": ("Only after a failure: send users back", "Hanya bila gagal: arahkan pengguna kembali"),
    "close-again": ("Only after a failure: close the old primary", "Hanya bila gagal: tutup kembali situs utama lama"),
    "cleanup": ("Remove what an exercise built", "Hapus hasil bangunan uji coba"),
    "unisolate": ("Connect the recovery hosts again", "Sambungkan kembali host pemulihan"),
}
PURPOSES = {
    "reach": ("Log in to {host}", "Masuk ke {host}"),
    "prepare": ("Open the repository", "Buka repositori"),
    "accounts": ("Make the accounts that own the files", "Buat akun pemilik berkas"),
    "servers": ("Start the servers that the data is loaded into", "Jalankan server penampung data"),
    "choose": ("Choose the restore point", "Pilih titik pulih"),
    "restore": ("Restore dataset {dataset}", "Pulihkan dataset {dataset}"),
    "start": ("Start the service", "Jalankan layanan"),
    "ask": ("Ask the application on the host itself", "Tanya aplikasi di host itu sendiri"),
    "traffic": ("Send users here", "Arahkan pengguna ke sini"),
    "close": ("Leave nothing behind", "Jangan tinggalkan apa pun"),
    "outside": ("Use it as a user would, from another machine", "Gunakan seperti pengguna, dari mesin lain"),
}
CHOOSE = {
    "newest": (
        (
            "Of the runs that are listed, take the newest that has all {parts} parts (the words dataset: and"
            " part:), and"
            " type its word run:… For older ones leave out --latest 5."
        ),
        (
            "Dari run yang tampil, ambil yang terbaru dengan {parts} bagian lengkap (kata dataset: dan part:),"
            " lalu ketik"
            " kata run:… miliknya. Untuk yang lebih lama, hilangkan --latest 5."
        ),
    ),
    "before-a-moment": (
        (
            "Leave out --latest 5 where they are too new. Take the newest run BEFORE the damage that has all"
            " {parts} parts"
            " (the words dataset: and part:), and type its word run:… If what was restored shows the damage too, come"
            " back to this place and take the next older one."
        ),
        (
            "Hilangkan --latest 5 bila semuanya terlalu baru. Ambil run terbaru SEBELUM kerusakan dengan {parts} bagian"
            " lengkap (kata dataset: dan part:), lalu ketik kata run:… miliknya. Bila hasilnya masih rusak, kembali ke"
            " sini dan ambil run sebelumnya."
        ),
    ),
    "walk-back": (
        (
            "Begin with the newest run that has all {parts} parts (the words dataset: and part:). If what was restored"
            " proves unclean or damaged, come back to this place and take the next older one; leave out --latest 5"
            " then."
        ),
        (
            "Mulai dengan run terbaru yang {parts} bagiannya lengkap (kata dataset: dan part:). Bila hasilnya"
            " tidak bersih"
            " atau rusak, kembali ke sini dan ambil run sebelumnya; hilangkan --latest 5."
        ),
    ),
}
UNITS = {"ms": ("ms", "md"), "s": ("s", "dtk"), "m": ("min", "mnt"), "h": ("h", "jam"), "d": ("d", "hari")}


def number_of(language: Language) -> int:
    return 0 if language == "en" else 1


def say(language: Language, word: str, *values: str) -> str:
    """A fixed text with its gaps filled."""
    return WORDS[word][number_of(language)].format(*values)


def local(text: LocalisedText, language: Language) -> str:
    return text.en if language == "en" else text.id


def minutes(duration: timedelta | None, language: Language) -> str:
    """A duration for people with a watch: whole minutes, rounded up; seconds below one, hours and days above two."""
    if duration is None:
        return say(language, "unknown")
    seconds = -(-duration // timedelta(seconds=1))
    which = number_of(language)
    if seconds < 60:
        return f"{seconds} {UNITS['s'][which]}"
    whole = -(-seconds // 60)
    if whole < 120:
        return f"{whole} {UNITS['m'][which]}"
    hours, rest = divmod(whole, 60)
    days, hours = divmod(hours, 24) if hours >= 48 else (0, hours)
    parts = [(days, "d"), (hours, "h"), (rest, "m")]
    return " ".join(f"{amount} {UNITS[unit][which]}" for amount, unit in parts if amount)


def moment(at: datetime, zone: str, language: Language) -> str:
    """Day and time of day in the organisation's zone."""
    del language  # ISO order is read alike in both
    there = at.astimezone(ZoneInfo(zone))
    return f"{there:%Y-%m-%d %H:%M} {there.tzname()}"
